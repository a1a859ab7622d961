/* SPDX-License-Identifier: MIT */
/* sim/workload/kinds.h - what kinds of workload share: a vCPU's pace, and where its touches go. */
#ifndef GW_SIM_WORKLOAD_KINDS_H
#define GW_SIM_WORKLOAD_KINDS_H

#include "sim/workload/workload.h"

/* Thinking is counted in 2^-16 ns, so that a mean of a few nanoseconds is kept exactly. */
#define SIM_THINK_SHIFT 16
/* Hot fifths within hot fifths: 5^16 pages are more than there will be. */
#define SIM_LEVELS 16
/* Shares of 1 are 2^32. */
#define SIM_WHOLE_SHIFT 32

/* Of kinds that do not say otherwise; docs/simulator.md tells where they come from. */
#define SIM_SHAPE_DEFAULTS                                                                         \
	.skew = 0.8, .stride_pages = 1, .phase_ns = 1000000000, .phases = 4, .burst_ns = 10000000

struct sim_vcpu {
	struct sim_chance chance;
	uint64_t owed; /* of thinking, less than 1 ns */
};

struct sim_workload {
	struct sim_workload_config config;
	uint64_t ram_pages;
	unsigned vcpus;
	uint64_t think;       /* mean, of one vCPU, between two touches; 0: none ever */
	uint64_t write_below; /* share of writes, of 2^32 */
	/* Of the hot fifth, its fifth and so on: where it ends, and how many touches it gets. */
	uint64_t hot_fifth[SIM_LEVELS]; /* of 2^64 */
	uint32_t hot_below[SIM_LEVELS]; /* of 2^32 */
	size_t vcpu_stride;
	_Alignas(16) unsigned char memory[]; /* a struct sim_vcpu and the kind's, for each */
};

static inline struct sim_vcpu *sim_vcpu(struct sim_workload *workload, unsigned vcpu)
{
	return (struct sim_vcpu *)(workload->memory + vcpu * workload->vcpu_stride);
}

/* What the kind remembers of this vCPU. */
static inline void *sim_vcpu_own(struct sim_vcpu *vcpu)
{
	return vcpu + 1;
}

/* How long it thinks, uniform in [0.5, 1.5] of the mean, and whether it then writes. */
static inline void sim_pace(const struct sim_workload *workload, struct sim_vcpu *vcpu,
                            uint64_t think, struct sim_touch *touch)
{
	uint64_t bits = sim_chance_next(&vcpu->chance);
	uint64_t spread = (uint64_t)(((unsigned __int128)think * (bits >> 32)) >> 32);
	uint64_t owed = vcpu->owed + think / 2 + spread;

	touch->think_ns = owed >> SIM_THINK_SHIFT;
	touch->writes = (uint32_t)bits < workload->write_below;
	vcpu->owed = owed & ((1u << SIM_THINK_SHIFT) - 1);
}

static inline uint64_t sim_share(uint64_t n, uint64_t of_2_64)
{
	return (uint64_t)(((unsigned __int128)n * of_2_64) >> 64);
}

/*
 * One of n, 0 the likeliest: the hot share of the touches go to the first fifth, as many of those
 * to the first fifth of it, and so on: level k is left with n / 5^k. The self-similar distribution
 * of Gray et al., Quickly Generating Billion-Record Synthetic Databases (SIGMOD 1994), by its
 * recursion, without pow(). All levels are compared at once: a branch for each would be guessed
 * wrong at most touches.
 */
static inline uint64_t sim_skewed(const struct sim_workload *workload, struct sim_vcpu *vcpu,
                                  uint64_t n)
{
	uint32_t draw = (uint32_t)sim_chance_next(&vcpu->chance), level = 0;
	uint64_t first = 0, end = n;

	for (unsigned k = 0; k < SIM_LEVELS; k++)
		level += draw < workload->hot_below[k];
	if (level < SIM_LEVELS)
		first = sim_share(n, workload->hot_fifth[level]);
	if (level)
		end = sim_share(n, workload->hot_fifth[level - 1]);
	return first + sim_chance_below(&vcpu->chance, end - first);
}

/* Memory is a ring for what moves: both are below it. */
static inline uint64_t sim_around(const struct sim_workload *workload, uint64_t base, uint64_t more)
{
	uint64_t room = workload->ram_pages - base;

	return more < room ? base + more : more - room;
}

extern const struct sim_workload_kind sim_workload_idle, sim_workload_random, sim_workload_locality,
        sim_workload_sequential, sim_workload_chase, sim_workload_phases, sim_workload_compile,
        sim_workload_server, sim_workload_trace;

#endif
