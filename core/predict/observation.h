/* SPDX-License-Identifier: MIT */
/*
 * core/predict/observation.h - what was seen of a running VM: in windows before its move, and in
 * each round of it.
 *
 *     |<- window ->|<- window ->|   ...   |<--- round 1 --->|<- round 2 ->|
 *     |<--------- observation ---------->| move
 *
 * Both worlds make them: live from outside the VM (live/host/watch.h), the simulator from its
 * modelled guest or from a recorded trace (sim/trace/trace.h).
 */
#ifndef GW_CORE_PREDICT_OBSERVATION_H
#define GW_CORE_PREDICT_OBSERVATION_H

#include "core/page/set.h"

/* Which pages were touched from start_ns on, for length_ns. */
struct gw_window {
	uint64_t start_ns, length_ns; /* since watching began */
	const struct gw_run *written,
	        *read;                    /* borrowed, ascending, with gaps; no page is in both */
	size_t written_count, read_count; /* runs */
	bool read_sampled;                /* else nothing is known of reads */
	uint32_t cpu_permille;            /* of all vCPUs: 0 to 1000 */
	uint64_t network_bytes;           /* of the VM's own traffic, in and out */
};

/* Windows in their order, the newest last. All zeros: nothing was observed. */
struct gw_observation {
	const struct gw_window *windows; /* borrowed */
	size_t count;
	bool cpu_known, network_known; /* else the windows have zeros there */
};

/* What the VM and its host's link did in a round: S2's X2, X3, X4 and X6 (section 4). */
struct gw_activity {
	bool cpu_known, network_known, link_known; /* else zero */
	uint32_t cpu_permille;                     /* of all vCPUs: 0 to 1000 */
	uint64_t memory_pages;                     /* that hold data; 0: not known */
	uint64_t network_bytes_per_s;              /* of the VM's own traffic, in and out */
	uint64_t link_bytes_per_s; /* everybody's, out by the link that the migration uses */
};

#endif
