/* SPDX-License-Identifier: MIT */
#include "cli/plan.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/values.h"
#include "live/host/room.h"
#include "sim/trace/trace.h"

#define LINK_BYTES_PER_S 125000000u /* where nobody says it: Gigabit Ethernet */

struct sim_trace *gw_observed_trace(const struct gw_observed *seen, const char *name)
{
	struct sim_trace_head head = {.ram_pages = seen->ram_pages,
	                              .page_bytes = GW_PAGE_BYTES,
	                              .vcpus = seen->vcpus,
	                              .window_ns = GW_OBSERVE_WINDOW_NS,
	                              .state_bytes = seen->state_bytes,
	                              .zero_pages = seen->zero_pages,
	                              .read_every = GW_OBSERVE_READ_EVERY,
	                              .cpu_known = seen->observation.cpu_known,
	                              .network_known = seen->observation.network_known};

	(void)snprintf(head.vm, sizeof(head.vm), "%.*s", (int)sizeof(head.vm) - 1, name);
	(void)snprintf(head.tracker, sizeof(head.tracker), "%s", seen->tracker);
	return sim_trace_of(&head, &seen->populated, seen->observation.windows,
	                    seen->observation.count);
}

/* --- the plan ------------------------------------------------------------------------------- */

void gw_plan_here(struct sim_scenario *scenario, const char *hypervisor)
{
	struct sim_vm *vm = &scenario->vms[0];
	uint64_t spare = gw_room_memory() / 2, most = sim_copy_bytes(vm);

	scenario->costs = sim_costs_of(hypervisor);
	vm->shadow.memory_pages = (spare < most ? spare : most) / GW_PAGE_BYTES;
	vm->shadow.fails = !vm->shadow.memory_pages;
}

static int estimate(struct gw_plan *plan, const struct sim_trace *trace,
                    const struct gw_plan_link *link, const struct gw_slowness *slowness,
                    struct gw_error *error)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const struct sim_estimate_options options = {.seed = 1,
	                                             .jobs = cores > 0 ? (unsigned)cores : 1,
	                                             .slowness = slowness->permille,
	                                             .slowness_count = gw_slowness_count(slowness),
	                                             .progress = plan->progress,
	                                             .arg = plan->arg};
	struct sim_scenario scenario;
	struct gw_error why;
	int err = sim_scenario_of_trace(&scenario, trace, error);

	if (err)
		return err;
	gw_plan_here(&scenario, plan->hypervisor);
	scenario.links[0].bytes_per_s = link->bytes_per_s;
	if (link->latency_ns)
		scenario.links[0].latency_ns = link->latency_ns;
	scenario.vms[0].move = plan->asked;
	err = sim_plan_make(&plan->plan, &scenario, 0, &options, &why);
	sim_scenario_free(&scenario);
	if (!err && plan->plan.taken == GW_CHOICE_NONE)
		err = gw_fail(&why, ERANGE, "%s", plan->plan.reason);
	if (err)
		return gw_fail(error, -err, "%s; %s is as it was", why.text, plan->name);
	plan->forecast = &plan->plan.estimate.forecasts[plan->plan.taken];
	plan->known = plan->forecast->completed == plan->forecast->samples;
	return 0;
}

/* The user's word, then the device's, then a guess. */
static struct gw_plan_link link_of(const struct gw_plan *plan, const struct gw_outlook *outlook)
{
	struct gw_plan_link link = plan->link;

	if (!link.bytes_per_s)
		link.bytes_per_s = outlook->way->device_bytes_per_s;
	if (!link.bytes_per_s)
		link.bytes_per_s = LINK_BYTES_PER_S;
	if (!link.latency_ns)
		link.latency_ns = outlook->way->latency_ns;
	return link;
}

int gw_plan_make(struct gw_plan *plan, const struct gw_outlook *outlook, struct gw_policy *policy,
                 struct gw_order *order, struct gw_error *error)
{
	const struct gw_plan_link link = link_of(plan, outlook);
	struct sim_trace *own = NULL;
	int err = 0;

	if (!plan->trace && outlook->seen->windows.count) {
		own = gw_observed_trace(outlook->seen, plan->name);
		if (!own)
			return gw_fail(error, ENOMEM, "no memory for what was observed");
	}
	if (plan->trace || own)
		err = estimate(plan, plan->trace ? plan->trace : own, &link,
		               &outlook->seen->slowness, error);
	else if (policy->kind->chooses)
		err = gw_fail(error, ENODATA,
		              "policy %s goes by what the VM does, and %s was not observed: it is "
		              "paused, or --observe is 0",
		              policy->kind->name, plan->name);
	sim_trace_free(own);
	if (!err && policy->kind->chooses)
		err = sim_move_init(&plan->plan.estimate.moves[plan->plan.taken], policy, order,
		                    NULL);
	return err;
}

static const char *times(char *text, size_t bytes, const struct gw_interval *x)
{
	char middle[32], low[32], high[32];

	(void)snprintf(text, bytes, "%s (%s to %s)",
	               gw_show_duration(middle, sizeof(middle), x->middle),
	               gw_show_duration(low, sizeof(low), x->low),
	               gw_show_duration(high, sizeof(high), x->high));
	return text;
}

void gw_plan_sentence(const struct sim_plan *plan, char *text, size_t bytes)
{
	const struct gw_interval *figures = plan->estimate.forecasts[plan->taken].figures;
	char total[112], unavailable[112];

	(void)snprintf(text, bytes, "%s%sannounced: total time %s, unavailable %s", plan->reason,
	               plan->reason[0] ? "; " : "",
	               times(total, sizeof(total), &figures[GW_FIGURE_TOTAL_TIME]),
	               times(unavailable, sizeof(unavailable), &figures[GW_FIGURE_UNAVAILABLE]));
}

void gw_plan_print(const struct sim_plan *plan, const struct gw_metrics *metrics, FILE *out)
{
	const struct gw_interval *figures = plan->estimate.forecasts[plan->taken].figures;
	char text[112];

	(void)fprintf(out, "  announced        total time %s\n",
	              times(text, sizeof(text), &figures[GW_FIGURE_TOTAL_TIME]));
	if (metrics->downtime_known)
		(void)fprintf(out, "                   unavailable %s\n",
		              times(text, sizeof(text), &figures[GW_FIGURE_UNAVAILABLE]));
}

static json_t *chosen_json(const struct sim_plan *plan)
{
	const struct sim_move *move = &plan->estimate.moves[plan->taken];
	json_t *chosen = json_object();

	(void)json_object_set_new(chosen, "policy", json_string(move->policy));
	(void)json_object_set_new(chosen, "settings", gw_move_settings_json(move));
	(void)json_object_set_new(chosen, "reason", json_string(plan->reason));
	return chosen;
}

void gw_plan_tell(const struct sim_plan *plan, json_t *result)
{
	const struct gw_forecast *forecast;
	json_t *announced;

	if (plan->taken == GW_CHOICE_NONE)
		return;
	forecast = &plan->estimate.forecasts[plan->taken];
	announced = json_object();
	for (unsigned i = 0; i < GW_FIGURES; i++)
		if (i != GW_FIGURE_FAULTS || forecast->pulls)
			(void)json_object_set_new(announced, gw_figure_name((enum gw_figure)i),
			                          gw_interval_json(&forecast->figures[i]));
	if (plan->reason[0])
		(void)json_object_set_new(result, "chosen", chosen_json(plan));
	(void)json_object_set_new(result, "announced", announced);
}
