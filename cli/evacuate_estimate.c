/* SPDX-License-Identifier: MIT */
/*
 * cli/evacuate_estimate.c - what each policy would take of one of many VMs: as for `migrate
 * --policy auto` (cli/plan.h), but with fewer samples and candidates, for there are tens of VMs and
 * a user who waits.
 */
#include <string.h>

#include "cli/evacuate.h"
#include "cli/plan.h"
#include "sim/trace/trace.h"

#define SAMPLES 3

/* stop-copy makes a VM stand for seconds; run-ahead takes a second VM's memory. */
static const char *const candidates[] = {"precopy",    "deferred", "hybrid", "sdf-hybrid",
                                         "wws-hybrid", "postcopy", NULL};

_Static_assert(sizeof(candidates) / sizeof(candidates[0]) - 1 <= GW_WAYS_MAX, "fits");

/* For a policy that goes by what the VM did before its move. */
static void keep_trace(const struct sim_trace *trace, int keep)
{
	struct sim_trace_writer *writer;
	int err;
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", keep);
	if (sim_trace_create(&writer, path, sim_trace_head(trace), sim_trace_populated(trace),
	                     NULL))
		return;
	err = 0;
	for (size_t i = 0; !err && i < sim_trace_windows(trace); i++)
		err = sim_trace_add(writer, sim_trace_window(trace, i), NULL);
	(void)sim_trace_close(writer, NULL);
}

static struct sim_move asked(const struct gw_evacuation *e)
{
	struct sim_move move = {.policy = "auto",
	                        .downtime_limit_ns = e->options.downtime_ns,
	                        .observe_ns = SIM_AS_POLICY};

	return move;
}

static size_t take(const struct sim_estimate *estimate, uint64_t rate, uint64_t downtime_ns,
                   struct gw_fleet_way *ways)
{
	size_t count = 0;

	for (size_t i = 0; i < estimate->count && count < GW_WAYS_MAX; i++) {
		const struct gw_forecast *f = &estimate->forecasts[i];
		struct gw_fleet_way *way = &ways[count];

		if (!f->samples || f->completed < f->samples ||
		    f->figures[GW_FIGURE_DOWNTIME].middle > downtime_ns)
			continue;
		*way = (struct gw_fleet_way){.pulls = f->pulls,
		                             .rate_bytes_per_s = rate,
		                             .total_time = f->figures[GW_FIGURE_TOTAL_TIME],
		                             .unavailable = f->figures[GW_FIGURE_UNAVAILABLE],
		                             .bytes = f->figures[GW_FIGURE_BYTES]};
		(void)snprintf(way->policy, sizeof(way->policy), "%s", f->policy);
		count++;
	}
	return count;
}

size_t gw_evacuation_estimate(const struct gw_evacuation *e, const struct gw_guest *guest,
                              const struct gw_observed *seen, uint64_t rate_bytes_per_s, int keep,
                              struct gw_fleet_way *ways)
{
	const char *only[] = {e->options.policy, NULL};
	const struct sim_estimate_options options = {
	        .seed = 1, .samples = SAMPLES, .policies = only[0] ? only : candidates};
	struct sim_trace *trace = gw_observed_trace(seen, guest->vm->name);
	struct sim_estimate estimate = {.count = 0};
	struct sim_scenario scenario;
	size_t count = 0;

	if (!trace)
		return 0;
	keep_trace(trace, keep);
	if (!sim_scenario_of_trace(&scenario, trace, NULL)) {
		scenario.costs = sim_costs_of(guest->kind);
		scenario.links[0].bytes_per_s = rate_bytes_per_s;
		scenario.vms[0].move = asked(e);
		if (!sim_estimate(&estimate, &scenario, 0, &options, NULL))
			count = take(&estimate, rate_bytes_per_s, e->options.downtime_ns, ways);
		sim_estimate_clear(&estimate);
		sim_scenario_free(&scenario);
	}
	sim_trace_free(trace);
	return count;
}
