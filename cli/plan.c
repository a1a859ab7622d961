/* SPDX-License-Identifier: MIT */
#include "cli/plan.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/values.h"
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

void gw_plan_apply(struct sim_scenario *scenario, const struct gw_plan_link *link,
                   uint64_t downtime_ns, uint64_t deadline_ns)
{
	struct sim_vm *vm = &scenario->vms[0];

	if (link->bytes_per_s)
		scenario->links[0].bytes_per_s = link->bytes_per_s;
	if (link->latency_ns)
		scenario->links[0].latency_ns = link->latency_ns;
	vm->move.limit_bytes_per_s = link->limit_bytes_per_s;
	if (downtime_ns)
		vm->move.downtime_limit_ns = downtime_ns;
	vm->move.deadline_ns = deadline_ns;
}

/* --- the plan ------------------------------------------------------------------------------- */

static int choose(struct gw_plan *plan, const struct sim_estimate *e, struct gw_error *error)
{
	struct gw_choice choice = {.taken = 0};

	if (plan->chooses)
		gw_choose(&choice, e->forecasts, e->count, &plan->limits);
	if (choice.taken == GW_CHOICE_NONE)
		return gw_fail(error, ERANGE, "%s: %s; the VM was left as it was", plan->name,
		               choice.reason);
	(void)snprintf(plan->reason, sizeof(plan->reason), "%s", choice.reason);
	plan->move = e->moves[choice.taken];
	plan->forecast = e->forecasts[choice.taken];
	plan->known = plan->forecast.completed == plan->forecast.samples;
	return 0;
}

static int estimate(struct gw_plan *plan, const struct sim_trace *trace,
                    const struct gw_plan_link *link, struct gw_error *error)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const struct sim_estimate_options options = {.seed = 1,
	                                             .jobs = cores > 0 ? (unsigned)cores : 1,
	                                             .as_asked = !plan->chooses,
	                                             .progress = plan->progress,
	                                             .arg = plan->arg};
	struct sim_scenario scenario;
	struct sim_estimate e;
	int err = sim_scenario_of_trace(&scenario, trace, error);

	if (err)
		return err;
	if (!plan->chooses)
		scenario.vms[0].move = plan->asked;
	gw_plan_apply(&scenario, link, plan->limits.downtime_ns, plan->limits.deadline_ns);
	err = sim_estimate(&e, &scenario, 0, &options, error);
	sim_scenario_free(&scenario);
	if (err)
		return err;
	err = choose(plan, &e, error);
	sim_estimate_clear(&e);
	return err;
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
		err = estimate(plan, plan->trace ? plan->trace : own, &link, error);
	else if (plan->chooses)
		err = gw_fail(error, ENODATA,
		              "policy auto chooses by what the VM does, and %s was not observed: "
		              "it is paused, or --observe is 0",
		              plan->name);
	sim_trace_free(own);
	if (!err && plan->chooses)
		err = sim_move_init(&plan->move, policy, order, NULL);
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

void gw_plan_sentence(const struct gw_plan *plan, char *text, size_t bytes)
{
	const struct gw_interval *figures = plan->forecast.figures;
	char total[112], unavailable[112];

	(void)snprintf(text, bytes, "%s%sannounced: total time %s, unavailable %s",
	               plan->chooses ? plan->reason : "", plan->chooses ? "; " : "",
	               times(total, sizeof(total), &figures[GW_FIGURE_TOTAL_TIME]),
	               times(unavailable, sizeof(unavailable), &figures[GW_FIGURE_UNAVAILABLE]));
}

void gw_plan_print(const struct gw_plan *plan, const struct gw_metrics *metrics, FILE *out)
{
	const struct gw_interval *figures = plan->forecast.figures;
	char text[112];

	if (!plan->known)
		return;
	(void)fprintf(out, "  announced        total time %s\n",
	              times(text, sizeof(text), &figures[GW_FIGURE_TOTAL_TIME]));
	if (metrics->downtime_known)
		(void)fprintf(out, "                   unavailable %s\n",
		              times(text, sizeof(text), &figures[GW_FIGURE_UNAVAILABLE]));
}

void gw_plan_tell(const struct gw_plan *plan, json_t *result)
{
	json_t *announced = json_object();

	if (plan->chooses && plan->known) {
		json_t *chosen = json_object();

		(void)json_object_set_new(chosen, "policy", json_string(plan->move.policy));
		(void)json_object_set_new(chosen, "settings", gw_move_settings_json(&plan->move));
		(void)json_object_set_new(chosen, "reason", json_string(plan->reason));
		(void)json_object_set_new(result, "policy", json_string("auto"));
		(void)json_object_set_new(result, "chosen", chosen);
	}
	for (unsigned i = 0; plan->known && i < GW_FIGURES; i++)
		if (i != GW_FIGURE_FAULTS || plan->forecast.pulls)
			(void)json_object_set_new(announced, gw_figure_name((enum gw_figure)i),
			                          gw_interval_json(&plan->forecast.figures[i]));
	if (plan->known)
		(void)json_object_set(result, "announced", announced);
	json_decref(announced);
}
