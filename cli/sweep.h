/* SPDX-License-Identifier: MIT */
/*
 * cli/sweep.h - scenarios x policies x settings x seeds: which runs there are, in a fixed order.
 *
 * The last varies first: all seeds of one group follow each other. A setting with several values
 * makes a group of each; a policy that does not know it goes without it, so that no run is there
 * twice.
 */
#ifndef GW_CLI_SWEEP_H
#define GW_CLI_SWEEP_H

#include "base/error.h"
#include "sim/scenario/scenario.h"

#define GW_SWEEP_RUNS_MAX    10000000
#define GW_SWEEP_CHOICES_MAX 64

/* --set KEY=VALUE,VALUE... */
struct gw_sweep_axis {
	char key[sizeof(((struct sim_setting *)0)->key)];
	size_t count;
	struct sim_setting choices[GW_SWEEP_CHOICES_MAX]; /* the key in each */
};

/* One policy with one choice of its settings, in one scenario. */
struct gw_sweep_group {
	const struct sim_scenario *scenario; /* borrowed */
	const char *policy;                  /* NULL: as the scenario says */
	struct sim_setting settings[SIM_SETTINGS_MAX];
	unsigned setting_count;
};

struct gw_sweep {
	/* The caller's. */
	const struct sim_scenario *scenarios;
	size_t scenario_count;
	const char *const *policies; /* none: as each scenario says */
	size_t policy_count;
	/* Filled in by what follows. */
	struct gw_sweep_axis axes[SIM_SETTINGS_MAX];
	size_t axis_count;
	struct {
		uint64_t first, last;
	} seeds[GW_SWEEP_CHOICES_MAX]; /* none: as each scenario says */
	size_t seed_ranges;
	struct gw_sweep_group *groups; /* owned */
	size_t group_count;
	size_t seeds_each, run_count;
};

/* "key=value,value"; again for the same key: more values of it. */
int gw_sweep_set(struct gw_sweep *sweep, const char *text, struct gw_error *error);
/* "7", "1-100", "1,5,10-12". */
int gw_sweep_seeds(struct gw_sweep *sweep, const char *text, struct gw_error *error);
/* Lists the groups; every move of every run is then known to be possible. */
int gw_sweep_plan(struct gw_sweep *sweep, struct gw_error *error);
void gw_sweep_clear(struct gw_sweep *sweep);

static inline const struct gw_sweep_group *gw_sweep_group(const struct gw_sweep *sweep, size_t run)
{
	return &sweep->groups[run / sweep->seeds_each];
}

uint64_t gw_sweep_seed(const struct gw_sweep *sweep, size_t run);
/* Names the run by all that its result depends on, but for godwit itself. */
uint64_t gw_sweep_key(const struct gw_sweep *sweep, size_t run);
/* The group's scenario with its moves changed; only `vms` is the copy's own: free() it. */
int gw_sweep_scenario(const struct gw_sweep *sweep, size_t run, struct sim_scenario *copy,
                      struct gw_error *error);

#endif
