/* SPDX-License-Identifier: MIT */
/*
 * sim/workload.h - what a guest does to its memory: for each vCPU an endless row of touches.
 *
 * Before the switch the row is carried out up to now whenever somebody looks; after it, touch by
 * touch, and a vCPU that meets a missing page waits, and goes on from there. So a workload says how
 * long a vCPU thinks before it touches a page, never at what instant it does.
 *
 * Adding a kind: one file, one row in workload.c's table, one test.
 */
#ifndef GW_SIM_WORKLOAD_H
#define GW_SIM_WORKLOAD_H

#include <stdbool.h>

#include "core/page/set.h"
#include "sim/chance.h"

struct sim_trace; /* sim/trace.h */

struct sim_touch {
	uint64_t think_ns; /* of the vCPU, before this touch */
	uint64_t page;
	bool writes;
};

/* Rates are of the whole VM; each vCPU does its share. */
struct sim_workload_config {
	const struct sim_workload_kind *kind;
	double write_pages_per_s, read_pages_per_s;
	double cpu_share;                 /* of one vCPU, 0..1; what S2's X3 sees */
	uint64_t network_bytes_per_s;     /* the guest's own traffic */
	uint64_t set_pages, offset_pages; /* writable working set; 0 set_pages: all of memory */
	double skew;                      /* share of touches that go to the hot fifth; 0.2: none */
	double drift_pages_per_s;         /* how fast the working set moves */
	uint64_t stride_pages;            /* sequential: 1 */
	uint64_t phase_ns;                /* phases: how long one lasts */
	uint64_t burst_ns;                /* server: mean time between requests' bursts */
	const struct sim_trace *trace;    /* kind "trace": borrowed */
};

struct sim_workload; /* of one guest: where each vCPU is */

struct sim_workload_kind {
	const char *name;
	const char *summary;
	/* Fills in what the scenario left out. NULL, or a sentence on what is impossible. */
	const char *(*check)(struct sim_workload_config *config, uint64_t ram_pages);
	size_t (*bytes)(const struct sim_workload_config *config, unsigned vcpus);
	void (*start)(struct sim_workload *workload);
	void (*next)(struct sim_workload *workload, unsigned vcpu, struct sim_touch *touch);
};

/* The table, ended by NULL. */
extern const struct sim_workload_kind *const sim_workloads[];
const struct sim_workload_kind *sim_workload_find(const char *name);

/* Owns its memory; the config is copied. NULL: no memory. */
struct sim_workload *sim_workload_new(const struct sim_workload_config *config, uint64_t ram_pages,
                                      unsigned vcpus, uint64_t seed);
void sim_workload_free(struct sim_workload *workload);
/* The next touch of that vCPU; think_ns is SIM_NEVER if it touches nothing any more. */
void sim_workload_next(struct sim_workload *workload, unsigned vcpu, struct sim_touch *touch);

#endif
