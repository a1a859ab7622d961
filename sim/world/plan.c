/* SPDX-License-Identifier: MIT */
/*
 * sim/world/plan.c - a policy that chooses has had the guest observed: the estimate of what was
 * seen, in worlds of its own, says which move it is to be.
 */
#include "sim/world/inside.h"

#include <stdlib.h>
#include <string.h>

#include "sim/estimate.h"
#include "sim/run.h"
#include "sim/trace/trace.h"

static void add_written(const struct gw_observation *seen, struct gw_set *written)
{
	for (size_t i = 0; i < seen->count; i++)
		for (size_t k = 0; k < seen->windows[i].written_count; k++)
			gw_set_add_run(written, seen->windows[i].written[k]);
}

/*
 * What a recording would say. The estimate fills what was written, wherever it was zero: so that as
 * many pages are zero afterwards as are now, there were more of them.
 */
static struct sim_trace *record(struct migration *m, const struct gw_observation *seen)
{
	uint64_t populated = gw_set_count(&m->source.populated), rest;
	uint64_t zero = populated - gw_set_count(&m->source.full);
	struct sim_trace_head head = {.ram_pages = m->spec.ram_pages,
	                              .page_bytes = GW_PAGE_BYTES,
	                              .vcpus = m->spec.vcpus,
	                              .state_bytes = m->spec.state_bytes,
	                              .cpu_known = seen->cpu_known,
	                              .network_known = seen->network_known};
	struct sim_trace *trace;
	struct gw_set written;

	gw_set_init(&written, sim_need(gw_set_words(head.ram_pages) * sizeof(uint64_t)),
	            head.ram_pages);
	add_written(seen, &written);
	rest = populated - gw_set_count(&written);
	if (rest)
		head.zero_pages = (uint64_t)((unsigned __int128)zero * populated / rest);
	if (head.zero_pages > populated)
		head.zero_pages = populated;
	free(written.words);
	(void)snprintf(head.vm, sizeof(head.vm), "%s", m->spec.name);
	trace = sim_trace_of(&head, &m->source.populated, seen->windows, seen->count);
	if (!trace)
		abort();
	return trace;
}

static int plan(struct migration *m, const struct gw_observation *seen, struct sim_plan *plan,
                struct gw_error *why)
{
	const struct sim_estimate_options usual = {.seed = sim_chance_next(&m->chance)};
	struct sim_scenario scenario = *m->world->scenario;
	struct sim_trace *trace = record(m, seen);
	struct sim_vm vm = m->spec;
	const char *key;
	int err;

	vm.workload = sim_workload_find("trace")->defaults;
	vm.workload.trace = trace;
	(void)sim_workload_check(&vm.workload, vm.ram_pages, vm.vcpus, &key);
	scenario.at_once = 0;
	scenario.sharing = (struct sim_sharing){0};
	scenario.vms = &vm;
	scenario.vm_count = 1;
	err = sim_plan_make(plan, &scenario, 0, m->world->estimate ? m->world->estimate : &usual,
	                    why);
	sim_trace_free(trace);
	return err;
}

bool sim_take_plan(struct migration *m, struct gw_error *why)
{
	const struct gw_observation seen = sim_observed(m);
	struct sim_plan *made;

	if (!seen.count) {
		(void)gw_fail(why, ENODATA, "%s goes by what the VM does, and it was not observed",
		              m->spec.move.policy);
		return false;
	}
	made = sim_need(sizeof(*made));
	if (plan(m, &seen, made, why)) {
		free(made);
		return false;
	}
	m->result->plan = made;
	if (made->taken == GW_CHOICE_NONE) {
		(void)gw_fail(why, ERANGE, "%s", made->reason);
		return false;
	}
	sim_line(m, SIM_SOURCE, "%s", made->reason);
	m->spec.move = made->estimate.moves[made->taken];
	return true;
}
