/* SPDX-License-Identifier: MIT */
/*
 * cli/plan.h - between a VM that was observed and its move: what that would cost, and under policy
 * auto which move it is to be.
 *
 * Here the world that observes (live/host/observe.h) meets the one that foretells (sim/estimate.h).
 */
#ifndef GW_CLI_PLAN_H
#define GW_CLI_PLAN_H

#include <jansson.h>

#include "cli/estimate.h"
#include "live/host/migrate.h"

/* What was observed as a trace in memory, whose runs are borrowed; NULL: no memory. */
struct sim_trace *gw_observed_trace(const struct gw_observed *seen, const char *name);

/*
 * The scenario's only VM runs here: what its kind of hypervisor costs, and what a copy of it may
 * take of this host's memory.
 */
void gw_plan_here(struct sim_scenario *scenario, const char *hypervisor);

/* What is to be known of the link; zeros: not known. */
struct gw_plan_link {
	uint64_t bytes_per_s, latency_ns; /* one way */
};

struct gw_plan {
	/* The caller's, borrowed. */
	const char *name;              /* of the VM */
	const char *hypervisor;        /* its kind */
	const struct sim_trace *trace; /* what was observed earlier; NULL: nothing */
	struct gw_plan_link link;
	struct sim_move asked; /* with its limits; its policy may be one that chooses */
	bool (*progress)(void *arg, size_t done, size_t all);
	void *arg;
	/* What came of it. */
	bool known; /* there is a forecast */
	const struct gw_forecast *forecast;
	struct sim_plan plan; /* to be cleared */
};

/*
 * Where the VM was observed, or a trace is there: the forecast, and under policy auto the choice,
 * which is put into policy and order. -ERANGE: no policy keeps the limits; -ENODATA: auto, and
 * nothing was observed.
 */
int gw_plan_make(struct gw_plan *plan, const struct gw_outlook *outlook, struct gw_policy *policy,
                 struct gw_order *order, struct gw_error *error);
/* One sentence: the choice, and what is announced. */
void gw_plan_sentence(const struct sim_plan *plan, char *text, size_t bytes);
/* What was announced beside what came, for a person. */
void gw_plan_print(const struct sim_plan *plan, const struct gw_metrics *metrics, FILE *out);
/* Into a result: "announced", and under auto "chosen"; nothing where none was taken. */
void gw_plan_tell(const struct sim_plan *plan, json_t *result);

#endif
