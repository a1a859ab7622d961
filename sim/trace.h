/* SPDX-License-Identifier: MIT */
/*
 * sim/trace.h - recorded page sets of a running VM: which pages it wrote and read, window by
 * window.
 *
 * docs/trace.md describes the file. A reader maps or reads it once and keeps windows as runs, so
 * that any number of simulated guests can play the same trace.
 */
#ifndef GW_SIM_TRACE_H
#define GW_SIM_TRACE_H

#include "base/error.h"
#include "core/page/set.h"

/* What the file says of the VM and of how it was watched. */
struct sim_trace_head {
	char vm[128];
	uint64_t ram_pages;
	uint32_t page_bytes, vcpus;
	uint64_t window_ns;
	uint64_t state_bytes;     /* of the device state, 0: not known */
	uint64_t populated_pages; /* when recording began */
	uint64_t zero_pages;      /* populated, but all zero */
	uint32_t read_every;      /* reads are sampled in every n-th window; 0: never */
	char tracker[16];
};

struct sim_trace_window {
	uint64_t start_ns, length_ns;        /* since recording began */
	const struct gw_run *written, *read; /* borrowed from the trace, ascending */
	size_t written_count, read_count;
	bool read_sampled;
	/* Of the VM in this window; what S2 needs. */
	uint32_t cpu_permille; /* of all its vCPUs */
	uint64_t network_bytes;
};

struct sim_trace;

/* -EINVAL with a sentence that names the file, the offset, and what is wrong there. */
int sim_trace_open(struct sim_trace **trace, const char *path, struct gw_error *error);
int sim_trace_parse(struct sim_trace **trace, const uint8_t *bytes, size_t size, const char *name,
                    struct gw_error *error);
void sim_trace_free(struct sim_trace *trace);
const struct sim_trace_head *sim_trace_head(const struct sim_trace *trace);
/* Pages that held data when recording began. */
const struct gw_set *sim_trace_populated(const struct sim_trace *trace);
size_t sim_trace_windows(const struct sim_trace *trace);
const struct sim_trace_window *sim_trace_window(const struct sim_trace *trace, size_t number);

/* Writing: windows in their order; what was written so far is a whole file after each close. */
struct sim_trace_writer;
int sim_trace_create(struct sim_trace_writer **writer, const char *path,
                     const struct sim_trace_head *head, const struct gw_set *populated,
                     struct gw_error *error);
int sim_trace_add(struct sim_trace_writer *writer, const struct sim_trace_window *window,
                  struct gw_error *error);
int sim_trace_close(struct sim_trace_writer *writer, struct gw_error *error);

#endif
