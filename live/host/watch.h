/* SPDX-License-Identifier: MIT */
/*
 * live/host/watch.h - watches a running VM: which pages it writes and reads, window by window.
 *
 * The VM runs on, and knows nothing of it; what that costs the VM is in docs/trace.md. Nothing is
 * left in the hypervisor afterwards, also if we are killed: the tracking ends with its descriptor.
 */
#ifndef GW_LIVE_HOST_WATCH_H
#define GW_LIVE_HOST_WATCH_H

#include "core/page/set.h"
#include "live/host/guest.h"
#include "live/memory/ram.h"

/* Told once, before the first window. */
struct gw_watch_facts {
	const char *tracker;
	uint64_t ram_pages, state_bytes; /* 0: not known */
	uint64_t zero_pages; /* populated ones, where they are counted */
	const struct gw_set *populated; /* borrowed */
	uint32_t read_every;            /* 0: reads are not seen here */
	bool cpu_known, network_known;
};

struct gw_watch_window {
	uint64_t start_ns, length_ns;        /* since watching began; no gaps */
	const struct gw_set *written, *read; /* borrowed; no page is in both */
	bool read_sampled;
	uint32_t cpu_permille; /* of all vCPUs */
	uint64_t network_bytes;
};

struct gw_watch_options {
	const struct gw_ram *ram; /* the VM's, which the caller holds; NULL: it is held meanwhile */
	const char *tracker;  /* NULL: the best that works */
	uint64_t window_ns;   /* more than 0; a scan that takes longer makes them longer */
	uint64_t duration_ns; /* 0: until stop_fd can be read */
	uint32_t read_every;  /* windows; 0: never look at reads */
	bool count_zeros;     /* reads all populated pages once */
	int stop_fd;          /* -1: none */
	void *arg;
	/* Both end the watching by returning not 0. */
	int (*begin)(void *arg, const struct gw_watch_facts *facts, struct gw_error *error);
	int (*window)(void *arg, const struct gw_watch_window *window, struct gw_error *error);
	void (*note)(void *arg, const char *sentence);
};

/* -EBUSY: someone migrates or watches it. That the VM ends is no failure; it is noted. */
int gw_watch(const struct gw_guest *guest, const struct gw_watch_options *options,
             struct gw_error *error);

#endif
