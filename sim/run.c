/* SPDX-License-Identifier: MIT */
/* sim/run.c - from a scenario to a world, and from its end to an outcome. */
#include "sim/run.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/estimate.h"
#include "sim/world/inside.h"

#define LIMIT_NS (UINT64_C(48) * 3600 * SIM_BILLION)
/* A turn takes from some nanoseconds to some milliseconds: the real clock says when to tell, and
 * nothing else goes by it. */
#define PROGRESS_TURNS 64u
#define PROGRESS_NS    50000000u

/* --- what came of a move ------------------------------------------------------------------- */

void sim_take_round(struct migration *m, const struct gw_round *round)
{
	struct sim_vm_outcome *r = m->result;

	if (!r)
		return;
	if (r->round_count == r->round_room) {
		size_t room = r->round_room ? 2 * r->round_room : 8;
		struct gw_round *larger = realloc(r->rounds, room * sizeof(*larger));

		if (!larger)
			abort();
		r->rounds = larger;
		r->round_room = room;
	}
	r->rounds[r->round_count++] = *round;
	r->rounds_end_ns = sim_now(m);
	if (round->bandwidth_bytes_per_s)
		r->bandwidth_bytes_per_s = round->bandwidth_bytes_per_s;
	if (r->round_count == m->world->limit_rounds)
		m->world->limit_ns = sim_now(m);
}

static void take_guests_view(struct migration *m, struct sim_vm_outcome *r)
{
	uint64_t stall = 0;
	unsigned i;

	for (i = 0; i < m->spec.vcpus; i++) {
		stall += m->threads[i].stall_ns;
		if (m->threads[i].longest_ns > r->guest_longest_ns)
			r->guest_longest_ns = m->threads[i].longest_ns;
	}
	if (m->stood_for_ns > r->guest_longest_ns)
		r->guest_longest_ns = m->stood_for_ns;
	/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): a scenario's VM has a vCPU at least */
	r->guest_stall_ns = stall / m->spec.vcpus;
	r->early_stall_ns = m->early_stall_ns / m->spec.vcpus;
	r->touched_pages = m->touched_pages;
	r->arrived_pages = m->arrived_pages;
	r->guest_faults = m->guest_faults;
	r->first_writes = m->first_writes;
	sim_guest_traffic(m, &r->traffic_bytes, &r->traffic_wanted_bytes);
}

void sim_take_beginning(struct migration *m)
{
	if (m->result)
		m->result->start_ns = sim_now(m);
}

void sim_take_result(struct migration *m)
{
	const struct agent *s = &m->agent[SIM_SOURCE];
	struct sim_vm_outcome *r = m->result;

	if (!r)
		return;
	r->end_ns = sim_now(m);
	r->outcome = s->outcome;
	(void)snprintf(r->reason, sizeof(r->reason), "%s", s->end);
	r->metrics = *gw_source_metrics(s->memory);
	r->zero_pages = m->zero_pages;
	r->state_bytes = m->spec.state_bytes;
	r->observation_ns = m->observed_ns;
	r->latency_ns = m->wire.back_ns;
	if (m->dest.staged)
		(void)snprintf(r->order, sizeof(r->order), "%s", sim_move_order(&m->spec.move));
	take_guests_view(m, r);
}

/* --- from scenario to world ---------------------------------------------------------------- */

static void lay_path(struct migration *m, const struct sim_scenario *scenario)
{
	unsigned i;

	for (i = 0; i < m->spec.path_count; i++) {
		const struct sim_link_config *link = &scenario->links[m->spec.path[i]];

		m->wire.back_ns += link->latency_ns;
		if (!link->cut_for_ns || m->breaks_for_ns)
			continue;
		m->breaks_for_ns = link->cut_for_ns;
		sim_clock_at(&m->world->clock, &m->breaks, link->cut_ns);
	}
}

static int by_start(const void *a, const void *b)
{
	const struct sim_vm *const *x = a, *const *y = b;

	if ((*x)->start_ns != (*y)->start_ns)
		return (*x)->start_ns < (*y)->start_ns ? -1 : 1;
	return *x < *y ? -1 : *x > *y;
}

static void add_moves(struct sim_world *w, const struct sim_scenario *scenario,
                      struct sim_outcome *outcome)
{
	const struct sim_vm **order = sim_need(scenario->vm_count * sizeof(const struct sim_vm *));
	size_t i;

	for (i = 0; i < scenario->vm_count; i++)
		order[i] = &scenario->vms[i];
	qsort(order, scenario->vm_count, sizeof(const struct sim_vm *), by_start);
	for (i = 0; i < scenario->vm_count; i++) {
		size_t number = (size_t)(order[i] - scenario->vms);
		struct migration *m = sim_world_add(w, scenario->seed);

		m->chance = sim_chance_of(scenario->seed, number);
		m->spec = *order[i];
		m->result = &outcome->vms[number];
		m->result->vm = order[i];
		m->result->outcome = GW_UNFINISHED;
		lay_path(m, scenario);
		if (!m->spec.paused)
			sim_guest_sends(m, m->spec.path[0]);
	}
	free(order);
}

static struct sim_world *world_of(const struct sim_scenario *scenario, struct sim_outcome *outcome)
{
	struct sim_world *w = sim_world_empty(scenario->vm_count);
	size_t i;

	w->scenario = scenario;
	w->costs = scenario->costs;
	w->versions = scenario->versions;
	w->at_once = scenario->at_once;
	for (i = 0; i < scenario->link_count; i++)
		(void)sim_network_add_link(w->network, &scenario->links[i]);
	add_moves(w, scenario, outcome);
	if (scenario->sharing.policy.kind)
		sim_coordinate(w, &scenario->sharing, scenario->links, scenario->link_count);
	return w;
}

/* --- the run ------------------------------------------------------------------------------- */

static bool is_time(uint64_t *told_ns)
{
	struct timespec now;
	uint64_t now_ns;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	if (now_ns - *told_ns < PROGRESS_NS)
		return false;
	*told_ns = now_ns;
	return true;
}

static bool tell_progress(const struct sim_world *w, const struct sim_run_options *options)
{
	struct sim_progress progress = {
	        .now_ns = w->clock.now_ns, .done = w->over, .all = w->count};
	size_t i;

	if (!options || !options->progress)
		return true;
	for (i = 0; i < w->count; i++) {
		const struct agent *s = &w->migrations[i].agent[SIM_SOURCE];

		if (w->migrations[i].phase != PHASE_MOVES)
			continue;
		gw_source_progress(s->memory, &progress.done_pages, &progress.all_pages);
		break;
	}
	return options->progress(options->arg, &progress);
}

static void finish(struct sim_world *w, const struct sim_scenario *scenario,
                   struct sim_outcome *outcome)
{
	unsigned i;

	outcome->end_ns = w->clock.now_ns;
	outcome->unfinished = w->count - w->over;
	for (i = 0; i < scenario->link_count; i++)
		outcome->carried_bytes += sim_network_carried(w->network, i);
	memcpy(outcome->violation, w->violation, sizeof(outcome->violation));
	for (i = 0; i < w->count; i++) {
		struct sim_vm_outcome *r = w->migrations[i].result;

		if (w->migrations[i].phase != PHASE_OVER)
			(void)snprintf(r->reason, sizeof(r->reason),
			               "the move had not ended when virtual time ran out");
	}
}

int sim_run(const struct sim_scenario *scenario, const struct sim_run_options *options,
            struct sim_outcome *outcome, struct gw_error *error)
{
	struct sim_world *w;
	bool goes_on = true;
	uint64_t told_ns = 0;
	unsigned turns = 0;

	memset(outcome, 0, sizeof(*outcome));
	outcome->vm_count = scenario->vm_count;
	outcome->vms = calloc(scenario->vm_count, sizeof(*outcome->vms));
	if (!outcome->vms)
		return gw_fail(error, ENOMEM, "no memory for %zu outcomes", scenario->vm_count);
	w = world_of(scenario, outcome);
	w->trace = options ? options->trace : NULL;
	w->limit_ns = options && options->limit_ns ? options->limit_ns : LIMIT_NS;
	w->limit_rounds = options ? options->limit_rounds : 0;
	w->estimate = options ? options->estimate : NULL;
	sim_world_begin(w);
	while (goes_on && sim_world_turn(w))
		if (++turns % PROGRESS_TURNS == 0 && is_time(&told_ns))
			goes_on = tell_progress(w, options);
	finish(w, scenario, outcome);
	sim_world_free(w);
	return goes_on ? 0 : gw_fail(error, EINTR, "stopped by the user");
}

void sim_outcome_clear(struct sim_outcome *outcome)
{
	size_t i;

	for (i = 0; outcome->vms && i < outcome->vm_count; i++) {
		free(outcome->vms[i].rounds);
		if (outcome->vms[i].plan)
			sim_plan_clear(outcome->vms[i].plan);
		free(outcome->vms[i].plan);
	}
	free(outcome->vms);
	memset(outcome, 0, sizeof(*outcome));
}
