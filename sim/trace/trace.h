/* SPDX-License-Identifier: MIT */
/*
 * sim/trace/trace.h - recorded page sets of a running VM: which pages it wrote and read, window by
 * window.
 *
 * docs/trace.md describes the file. A reader reads it once and keeps windows as runs, so that any
 * number of simulated guests, in any number of threads, can play the same trace.
 */
#ifndef GW_SIM_TRACE_H
#define GW_SIM_TRACE_H

#include "base/error.h"
#include "core/predict/observation.h"

/* A trace that would need more in memory for its windows is refused, and none is written. */
#define SIM_TRACE_MEMORY_MAX (1ull << 30)
#define SIM_TRACE_PAGES_MAX  (1ull << 32)

/* What the file says of the VM and of how it was watched. */
struct sim_trace_head {
	char vm[128]; /* ended by a zero, no control characters */
	uint64_t ram_pages;
	uint32_t page_bytes, vcpus;
	uint64_t window_ns;            /* as asked for; each window says how long it was */
	uint64_t state_bytes;          /* of the device state, 0: not known */
	uint64_t populated_pages;      /* when recording began; the writer counts them itself */
	uint64_t zero_pages;           /* populated, but all zero */
	uint32_t read_every;           /* reads are sampled in every n-th window; 0: never */
	bool cpu_known, network_known; /* else the windows have zeros there */
	char tracker[16];
};

struct sim_trace;

/* -EINVAL with a sentence that names the file, the offset, and what is wrong there. */
int sim_trace_open(struct sim_trace **trace, const char *path, struct gw_error *error);
/* `name` is what the sentence calls it; the bytes are not needed afterwards. */
int sim_trace_parse(struct sim_trace **trace, const uint8_t *bytes, size_t size, const char *name,
                    struct gw_error *error);
/* A trace in memory, as if it had been recorded: all is copied but the runs, which are borrowed.
 * The head's number of populated pages is counted here. NULL: no memory. */
struct sim_trace *sim_trace_of(const struct sim_trace_head *head, const struct gw_set *populated,
                               const struct gw_window *windows, size_t count);
/* The same VM with other windows; likewise. */
struct sim_trace *sim_trace_with(const struct sim_trace *trace, const struct gw_window *windows,
                                 size_t count);
/* The windows that begin at from_ns or later and end within for_ns of it; likewise. */
struct sim_trace *sim_trace_part(const struct sim_trace *trace, uint64_t from_ns, uint64_t for_ns);
void sim_trace_free(struct sim_trace *trace);
const struct sim_trace_head *sim_trace_head(const struct sim_trace *trace);
/* Pages that held data when recording began. */
const struct gw_set *sim_trace_populated(const struct sim_trace *trace);
/* Those of them that are known not to be zero, for they were written since; NULL: of none. */
const struct gw_set *sim_trace_filled(const struct sim_trace *trace);
size_t sim_trace_windows(const struct sim_trace *trace);
const struct gw_window *sim_trace_window(const struct sim_trace *trace, size_t number);

/*
 * Writing: windows in their order. Only close() makes the file whole: one that was left before it,
 * whatever was written, is refused as cut. create() writes over what is at `path`.
 */
struct sim_trace_writer;
int sim_trace_create(struct sim_trace_writer **writer, const char *path,
                     const struct sim_trace_head *head, const struct gw_set *populated,
                     struct gw_error *error);
/* -EFBIG: the trace is full, this window is not in it; close() still makes a whole file. */
int sim_trace_add(struct sim_trace_writer *writer, const struct gw_window *window,
                  struct gw_error *error);
/* Frees the writer in any case. */
int sim_trace_close(struct sim_trace_writer *writer, struct gw_error *error);

#endif
