/* SPDX-License-Identifier: MIT */
/*
 * sim/workload/workload.h - what a guest does to its memory: for each vCPU an endless row of
 * touches.
 *
 * Before the switch the row is carried out up to now whenever somebody looks; after it, touch by
 * touch, and a vCPU that meets a missing page waits, and goes on from there. So a workload says how
 * long a vCPU thinks before it touches a page, never at what instant it does.
 *
 * Rates are turned into integers once, at the beginning; every decision after that is one of
 * integers, so that a seed gives the same row on every machine.
 *
 * Adding a kind: one file in sim/workload/, one row in workload.c's table, one test.
 */
#ifndef GW_SIM_WORKLOAD_H
#define GW_SIM_WORKLOAD_H

#include <stdbool.h>

#include "core/page/set.h"
#include "sim/chance.h"

struct sim_trace; /* sim/trace/trace.h */

struct sim_touch {
	uint64_t think_ns; /* of the vCPU, before this touch */
	uint64_t page;
	bool writes;
};

/* More touches than a nanosecond apart are no workload of one vCPU. */
#define SIM_TOUCHES_PER_S_MAX 1e9
#define SIM_PHASES_MAX        1024
/* The hot fifth's share of touches when all pages are alike. */
#define SIM_SKEW_NONE 0.2

/* Rates are of the whole VM; each vCPU does its share. */
struct sim_workload_config {
	const struct sim_workload_kind *kind;
	double write_pages_per_s, read_pages_per_s;
	double cpu_share;                 /* of its vCPUs, 0..1; what S2's X3 sees */
	uint64_t network_bytes_per_s;     /* the guest's own traffic */
	uint64_t set_pages, offset_pages; /* writable working set; 0 set_pages: the kind's share */
	double skew;                      /* share of touches that go to the hot fifth, 0.2..1 */
	double drift_pages_per_s;         /* how fast the working set moves */
	uint64_t stride_pages;            /* sequential: from one touch to the next */
	uint64_t phase_ns;             /* phases: how long one lasts; compile: a job, on average */
	unsigned phases;               /* phases: how many working sets take turns */
	uint64_t burst_ns;             /* server: mean time between bursts of requests */
	const struct sim_trace *trace; /* kind "trace": borrowed */
	uint64_t from_ns;              /* trace: where it begins; behind the end, again from the start */
};

struct sim_workload; /* of one guest: where each vCPU is */

struct sim_workload_kind {
	const char *name;
	const char *summary;
	/* What a scenario may say beyond rates, cpu and network, by the scenario's names. */
	const char *keys;
	struct sim_workload_config defaults;
	uint64_t set_divisor; /* left out, the working set is ram / set_divisor; 0: set_pages_max */
	uint64_t set_pages_max;
	/* NULL, or what is impossible, as half a sentence: "needs ...". May be NULL itself. */
	const char *(*check)(struct sim_workload_config *config, uint64_t ram_pages,
	                     unsigned vcpus);
	size_t vcpu_bytes; /* what it remembers of each vCPU, zeroed at the beginning */
	void (*start)(struct sim_workload *workload, unsigned vcpu); /* NULL: nothing to do */
	void (*next)(struct sim_workload *workload, unsigned vcpu, struct sim_touch *touch);
	/* Its vCPUs' time from one instant of its life to a later one, in thousandths of theirs.
	 * NULL: the config's cpu_share. */
	uint32_t (*cpu_permille)(const struct sim_workload_config *config, uint64_t from_ns,
	                         uint64_t to_ns);
};

/* The table, ended by NULL. */
extern const struct sim_workload_kind *const sim_workloads[];
/* NULL: there is none. */
const struct sim_workload_kind *sim_workload_find(const char *name);

/*
 * Fills in the working set where it was left out. NULL, or half a sentence on what is impossible;
 * *key is then the scenario's name of the value it is about.
 */
const char *sim_workload_check(struct sim_workload_config *config, uint64_t ram_pages,
                               unsigned vcpus, const char **key);

uint32_t sim_workload_cpu_permille(const struct sim_workload_config *config, uint64_t from_ns,
                                   uint64_t to_ns);

/* The config has been checked; it is copied. Owns its memory. NULL: no memory. */
struct sim_workload *sim_workload_new(const struct sim_workload_config *config, uint64_t ram_pages,
                                      unsigned vcpus, uint64_t seed);
/* Another guest that stands where this one does. NULL: no memory. */
struct sim_workload *sim_workload_copy(const struct sim_workload *workload);
void sim_workload_free(struct sim_workload *workload);
/* The next touch of that vCPU; think_ns is SIM_NEVER if it touches nothing any more. */
void sim_workload_next(struct sim_workload *workload, unsigned vcpu, struct sim_touch *touch);

#endif
