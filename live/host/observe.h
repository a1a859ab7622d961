/* SPDX-License-Identifier: MIT */
/*
 * live/host/observe.h - a running VM is watched for a while, and what was seen is kept.
 *
 *     struct gw_observed seen;
 *     err = gw_observe(&guest, NULL, &(struct gw_observe_options){.for_ns = ...}, &seen, &error);
 *     ... seen.observation, seen.populated ...
 *     gw_observed_clear(&seen);
 *
 * Nothing of it stays in the hypervisor: the VM can be moved, or watched anew, at once.
 */
#ifndef GW_LIVE_HOST_OBSERVE_H
#define GW_LIVE_HOST_OBSERVE_H

#include "base/windows.h"
#include "live/host/slowness.h"
#include "live/host/watch.h"

/* As S3 has it (section 3.1); reads cost the guest a fault a page, so they are sampled. */
#define GW_OBSERVE_WINDOW_NS  50000000ull
#define GW_OBSERVE_READ_EVERY 10

struct gw_observe_options {
	const char *tracker; /* NULL: the best that works */
	uint64_t for_ns;     /* 0: only what memory holds is looked at */
	bool count_zeros;    /* how many populated pages are zero: reads all of them */
	void *arg;
	/* After each window; false ends it, with -ECANCELED. May be NULL. */
	bool (*goes_on)(void *arg, uint64_t done_ns, uint64_t all_ns, uint64_t pages_per_s);
	/* Something the user should know: one sentence. May be NULL. */
	void (*note)(void *arg, const char *sentence);
};

struct gw_observed {
	struct gw_observation observation; /* borrows from `windows` */
	struct gw_set populated;           /* owned: pages that held data when it began */
	uint64_t observed_ns;              /* the length of all windows that are kept */
	uint64_t ram_pages, zero_pages;    /* 0 zero_pages: not counted, or none */
	uint64_t state_bytes;              /* of the device state; 0: not known */
	uint32_t vcpus;
	char tracker[16];
	struct gw_slowness slowness;
	struct gw_windows windows; /* owned */
};

/*
 * `ram`: the VM's, which the caller holds; NULL: it is opened and held meanwhile. A VM that is
 * paused is not watched, and there are no windows. -EBUSY: someone migrates or watches it;
 * -ESRCH: the VM ended; -ECANCELED. On failure nothing is left to clear.
 */
int gw_observe(const struct gw_guest *guest, const struct gw_ram *ram,
               const struct gw_observe_options *options, struct gw_observed *observed,
               struct gw_error *error);
void gw_observed_clear(struct gw_observed *observed);

#endif
