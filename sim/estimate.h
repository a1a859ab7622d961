/* SPDX-License-Identifier: MIT */
/*
 * sim/estimate.h - what moving a VM would cost under each policy, from what was observed of it.
 *
 * The estimate is the engine itself, simulated over the observation: no formula, so that what a
 * policy would decide in that round it decides. What is not known is varied from sample to sample:
 *
 *   what the VM does next   the observation, begun at another of its windows, with pages drawn
 *                           (sim/trace/extend.h), of up to SIM_DOUBT_UNSEEN times as many that
 *                           were not seen as there are at least
 *   the link's rate         by SIM_DOUBT_LINK_PERMILLE at most, up and down
 *   the hosts' costs        by SIM_DOUBT_COSTS_PERCENT at most, up and down; and each up to as
 *                           many times as work took longer where the VM was observed
 *
 * The two figures are how far live moves were from simulated ones (docs/simulator.md). Intervals
 * and the choice are core/model/estimate.h's.
 */
#ifndef GW_SIM_ESTIMATE_H
#define GW_SIM_ESTIMATE_H

#include "base/error.h"
#include "core/model/estimate.h"
#include "sim/scenario/scenario.h"

#define SIM_DOUBT_LINK_PERMILLE  15u
#define SIM_DOUBT_COSTS_PERCENT  20u
#define SIM_DOUBT_UNSEEN         4u
#define SIM_ESTIMATE_SAMPLES     7u
#define SIM_ESTIMATE_SAMPLES_MAX 64u

/* What a copy of the VM takes of its host's memory at most, as live/host/shadow.h limits it. */
uint64_t sim_copy_bytes(const struct sim_vm *vm);

struct sim_estimate_options {
	uint64_t seed;
	unsigned samples; /* 0: SIM_ESTIMATE_SAMPLES */
	unsigned jobs;    /* threads beside the caller's; 0: the caller's does all */
	/* Ended by NULL, borrowed: only these, each as it is. NULL: all, and a few settings. */
	const char *const *policies;
	/* How many times as long, a thousand times, work took for want of processors, as it was
	 * seen now and then (live/host/slowness.h); none: as long as it takes. Borrowed. */
	const uint32_t *slowness;
	size_t slowness_count;
	/* Now and then, by the caller's thread; false ends it with -EINTR. May be NULL. */
	bool (*progress)(void *arg, size_t done, size_t all);
	void *arg;
};

struct sim_estimate {
	size_t count;
	struct sim_move *moves;        /* owned: policy, order and settings of each */
	struct gw_forecast *forecasts; /* owned */
	double written_bytes_per_s;    /* distinct pages a window, over the observation */
};

/*
 * Of the scenario's VM of that number, moved alone over its path; its workload must be a trace, and
 * its move says the limits: what is played is every policy with that bandwidth, downtime and
 * deadline. 0, -EINTR or -ENOMEM.
 */
int sim_estimate(struct sim_estimate *estimate, const struct sim_scenario *scenario, size_t vm,
                 const struct sim_estimate_options *options, struct gw_error *error);
void sim_estimate_clear(struct sim_estimate *estimate);

/* Its policy stands for another. */
bool sim_move_chooses(const struct sim_move *move);

/* Every policy's estimate, the move that is taken, and why ("": it was asked for). */
struct sim_plan {
	struct sim_estimate estimate;
	size_t taken; /* its number there; GW_CHOICE_NONE: no policy keeps the limits */
	char reason[400];
};

/*
 * As sim_estimate(); where the VM's policy chooses, the choice under its move's limits, else only
 * what is asked for.
 */
int sim_plan_make(struct sim_plan *plan, const struct sim_scenario *scenario, size_t vm,
                  const struct sim_estimate_options *options, struct gw_error *error);
void sim_plan_clear(struct sim_plan *plan);

#endif
