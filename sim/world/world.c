/* SPDX-License-Identifier: MIT */
/* sim/world/world.c - what happens, in its order, to whom, and the lines that tell it. */
#include "sim/world/inside.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim/estimate.h"
#include "sim/run.h"

#define STEPS_MAX 30000 /* of a small migration, with any number of faults */
#define HOURS_MAX 2

const char *const sim_side_names[SIM_SIDES] = {"source", "destination"};

/* Of a small VM under test: every step takes its time, so that a fault can come in between. */
static const struct sim_costs small_costs = {
        .scan_ns_per_dirty_page = 1000,
        .first_write_ns = 1000,
        .place_ns_per_page = 600,
        .fault_ns = 2000,
        .stop_ns = 2000000,
        .cont_ns = 1000000,
        .save_ns = 3000000,
        .load_ns = 1000000,
        .reserve_ns = 5000000,
        .journal_ns = 50000,
        .shadow_start_ns = 3000000,
        .shadow_load_ns = 2000000,
        .shadow_look_ns = 500000,
};

#define SMALL_STATE_BYTES 4096

/* --- chance, lines ------------------------------------------------------------------------- */

uint64_t sim_dice_below(struct migration *m, uint64_t limit)
{
	return sim_chance_below(&m->chance, limit);
}

void sim_violated(struct migration *m, const char *format, ...)
{
	struct sim_world *w = m->world;
	va_list args;

	if (w->violation[0])
		return;
	va_start(args, format);
	(void)vsnprintf(w->violation, sizeof(w->violation), format, args);
	va_end(args);
	if (w->trace)
		(void)fprintf(w->trace, "VIOLATION %s\n", w->violation);
}

void sim_line(struct migration *m, int side, const char *format, ...)
{
	uint64_t now = sim_now(m);
	char text[1024];
	va_list args;
	int used;

	m->lines++;
	text[0] = '\0';
	if (sim_listens(m)) {
		used = snprintf(text, sizeof(text), "%llu.%06llu %-11s ",
		                (unsigned long long)(now / SIM_BILLION),
		                (unsigned long long)(now % SIM_BILLION / 1000u),
		                side == SIM_SIDES ? "world" : sim_side_names[side]);
		va_start(args, format);
		(void)vsnprintf(text + used, sizeof(text) - (size_t)used, format, args);
		va_end(args);
		if (m->config.trace)
			(void)fprintf(m->config.trace, "%s\n", text);
	}
	sim_strike_at(m, text);
	m->moment = SIM_MOMENT_NONE;
}

/* --- what will happen ---------------------------------------------------------------------- */

static void happen(struct migration *m, struct happening *h)
{
	struct agent *a = &m->agent[h->side];
	bool current = a->alive && a->incarnation == h->incarnation;

	switch (h->what) {
	case ANSWER:
		if (current && h->event.kind == GW_EV_LINK_UP && a->epoch != h->epoch)
			h->event = (struct gw_event){.kind = GW_EV_LINK_LOST,
			                             .text = "it broke at once"};
		if (current)
			sim_give_answer(m, h);
		break;
	case LOSS:
		if (current)
			sim_lose(m, h);
		break;
	case CONNECT:
		if (current)
			sim_connect_again(m);
		break;
	case RESTART: sim_restart(m, h->side); break;
	case COMMAND: sim_command_done(m, h); break;
	case DIGEST:
		if (current && h->epoch == a->epoch)
			sim_digest_turn(m);
		break;
	}
}

static void happened(struct sim_happening *self)
{
	struct happening *h = SIM_OWNER(self, struct happening, at);
	struct migration *m = h->m;

	m->waiting--;
	happen(m, h);
	sim_give(m->world, h);
	sim_happened(m);
}

struct happening *sim_will(struct migration *m, enum what what, int side, uint64_t at)
{
	struct happening *h = sim_take(m->world, sizeof(*h));

	*h = (struct happening){
	        .at.happens = happened,
	        .m = m,
	        .what = what,
	        .side = side,
	        .incarnation = m->agent[side].incarnation,
	        .epoch = m->agent[side].epoch,
	};
	m->waiting++;
	sim_clock_at(&m->world->clock, &h->at, at);
	return h;
}

void sim_happened(struct migration *m)
{
	if (m->is_due)
		return;
	m->is_due = true;
	m->next_due = m->world->due;
	m->world->due = m;
}

/* --- migrations ---------------------------------------------------------------------------- */

static void forget(struct migration *m)
{
	sim_detach(m);
	sim_shadow_free(m);
	sim_guest_free(m);
	sim_memory_free(m);
	sim_give(m->world, m->agent[SIM_SOURCE].memory);
	sim_give(m->world, m->agent[SIM_DESTINATION].memory);
	m->agent[SIM_SOURCE].memory = m->agent[SIM_DESTINATION].memory = NULL;
}

static void begin_to_observe(struct migration *m, uint64_t for_ns)
{
	m->phase = PHASE_OBSERVES;
	sim_memory_init(m);
	sim_guest_init(m);
	sim_observe(m, for_ns);
}

static void begin_more(struct sim_world *w)
{
	while (!w->coordinator && w->next < w->count && (!w->at_once || w->running < w->at_once)) {
		struct migration *m = &w->migrations[w->next++];

		w->running++;
		sim_clock_at(&w->clock, &m->begins, m->spec.start_ns);
	}
}

static void is_over(struct migration *m)
{
	struct sim_world *w = m->world;

	m->phase = PHASE_OVER;
	w->over++;
	w->running--;
	forget(m);
	sim_leaves_link(m);
	begin_more(w);
}

/* No policy can keep the limits: the VM stays, and nothing was begun. */
static void stays(struct migration *m, const struct gw_error *why)
{
	struct sim_vm_outcome *r = m->result;

	sim_line(m, SIM_SOURCE, "stays: %s", why->text);
	r->end_ns = sim_now(m);
	r->outcome = GW_STAYED;
	(void)snprintf(r->reason, sizeof(r->reason), "%.*s", (int)sizeof(r->reason) - 1, why->text);
	r->observation_ns = sim_observed_ns(m);
	sim_observer_free(m);
	is_over(m);
}

static void begin_to_move(struct migration *m)
{
	struct agent *s = &m->agent[SIM_SOURCE];
	struct gw_error why;

	if (m->phase == PHASE_OBSERVES) {
		sim_guest_was_observed(m);
	} else {
		sim_memory_init(m);
		sim_guest_init(m);
	}
	if (sim_move_chooses(&m->spec.move) && !sim_take_plan(m, &why)) {
		stays(m, &why);
		return;
	}
	m->phase = PHASE_MOVES;
	sim_take_beginning(m);
	sim_guest_counts_traffic(m);
	sim_start_destination(m, true);
	sim_start_source(m);
	m->observed_ns = sim_observed_ns(m);
	sim_observer_free(m);
	s->has_journal = s->journal_open = true;
	s->record = GW_REC_LEAVING;
	s->pages = m->spec.ram_pages;
	sim_attach(m);
	sim_answer_plain(m, SIM_SOURCE, GW_EV_START, 0);
}

static void begins(struct sim_happening *self)
{
	struct migration *m = SIM_OWNER(self, struct migration, begins);
	uint64_t observes_ns = m->phase == PHASE_WAITS ? sim_observes_ns(m) : 0;

	if (sim_now(m) < m->wire.down_until)
		sim_clock_at(&m->world->clock, self, m->wire.down_until);
	else if (observes_ns)
		begin_to_observe(m, observes_ns);
	else
		begin_to_move(m);
}

/* A link of its path is lost. */
static void breaks(struct sim_happening *self)
{
	struct migration *m = SIM_OWNER(self, struct migration, breaks);

	if (m->phase == PHASE_MOVES) {
		sim_cut(m, &(struct sim_planned){.for_ns = m->breaks_for_ns});
		sim_happened(m);
	} else {
		m->wire.down_until = sim_now(m) + m->breaks_for_ns;
	}
}

/* Nothing will come of itself any more. */
static bool quiet(const struct migration *m)
{
	return !m->waiting && !sim_queued(&m->agent[SIM_SOURCE].deadline) &&
	       !sim_queued(&m->agent[SIM_DESTINATION].deadline) && !sim_queued(&m->wire.room);
}

static void look_after(struct migration *m)
{
	m->is_due = false;
	if (m->phase != PHASE_MOVES)
		return;
	while (quiet(m) && sim_person(m))
		;
	if (!quiet(m))
		return;
	sim_judge(m);
	sim_take_result(m);
	is_over(m);
}

bool sim_world_turn(struct sim_world *w)
{
	if (w->violation[0] || w->over == w->count || sim_clock_next(&w->clock) > w->limit_ns ||
	    !sim_clock_step(&w->clock))
		return false;
	while (w->due) {
		struct migration *m = w->due;

		w->due = m->next_due;
		look_after(m);
	}
	return true;
}

static const char *state_of(const struct agent *a)
{
	if (!a->alive)
		return "none";
	return gw_state_name(a->side == SIM_SOURCE ? gw_source_state(a->memory)
	                                           : gw_destination_state(a->memory));
}

void sim_world_run(struct sim_world *w)
{
	struct migration *m = &w->migrations[0];

	while (m->steps <= STEPS_MAX && sim_world_turn(w))
		if (m->hurt && m->phase == PHASE_MOVES)
			sim_lose_patience(m);
	if (!w->violation[0] && w->over < w->count)
		sim_violated(m, "it never ends: source in %s, destination in %s",
		             state_of(&m->agent[SIM_SOURCE]), state_of(&m->agent[SIM_DESTINATION]));
}

/* --- worlds -------------------------------------------------------------------------------- */

struct sim_world *sim_world_empty(size_t migrations)
{
	struct sim_world *w = sim_need(sizeof(*w));

	sim_clock_init(&w->clock);
	w->network = sim_network_new(&w->clock);
	if (!w->network)
		abort();
	w->runs_in = sim_need(GW_MAP_RUNS_MAX * sizeof(*w->runs_in));
	w->runs_out = sim_need(GW_MAP_RUNS_MAX * sizeof(*w->runs_out));
	w->migrations = sim_need(migrations * sizeof(*w->migrations));
	w->limit_ns = SIM_NEVER;
	return w;
}

struct migration *sim_world_add(struct sim_world *w, uint64_t seed)
{
	struct migration *m = &w->migrations[w->count];
	int side, channel;

	memset(m, 0, sizeof(*m));
	m->world = w;
	m->number = (unsigned)w->count++;
	m->chance = sim_chance_of(seed, m->number);
	m->begins.happens = begins;
	m->breaks.happens = breaks;
	m->wire.room.happens = sim_room_came;
	for (side = 0; side < SIM_SIDES; side++) {
		m->agent[side].m = m;
		m->agent[side].side = side;
		m->agent[side].deadline.happens = sim_deadline_came;
		m->agent[side].outcome = GW_UNFINISHED;
	}
	for (channel = 0; channel < 4; channel++) {
		m->wire.inbox[channel].m = m;
		m->wire.inbox[channel].done.happens = sim_parcel_done;
	}
	return m;
}

void sim_world_begin(struct sim_world *w)
{
	begin_more(w);
}

static void name(char *to, size_t room, const char *from)
{
	(void)snprintf(to, room, "%s", from);
}

static void specify(struct sim_vm *vm, const struct sim_world_config *c)
{
	unsigned i;

	vm->ram_pages = c->pages;
	vm->vcpus = c->vcpus;
	vm->populated_share = 0.75;
	vm->zero_share = 0.125;
	vm->state_bytes = SMALL_STATE_BYTES;
	vm->workload = sim_workload_find("locality")->defaults;
	vm->workload.set_pages = c->pages;
	vm->workload.skew = 0.6;
	vm->workload.write_pages_per_s = 1e9 / (double)c->write_ns;
	vm->workload.read_pages_per_s = 1e9 / (double)c->touch_ns;
	vm->move.downtime_limit_ns = c->downtime_ns ? c->downtime_ns : 10000000;
	vm->move.deadline_ns = c->deadline_ns;
	vm->move.verify = c->verify;
	vm->move.observe_ns = c->observe_ns;
	vm->shadow = sim_shadow_default;
	vm->shadow.divergence = c->divergence;
	vm->paused = c->paused;
	vm->path_count = 1;
	vm->start_ns = 1000000;
	name(vm->name, sizeof(vm->name), "small");
	name(vm->move.policy, sizeof(vm->move.policy), c->policy);
	name(vm->move.order, sizeof(vm->move.order), c->order ? c->order : "");
	for (i = 0; i < 2 && c->settings[i][0]; i++) {
		struct sim_setting *s = &vm->move.settings[vm->move.setting_count++];

		name(s->key, sizeof(s->key), c->settings[i][0]);
		name(s->value, sizeof(s->value), c->settings[i][1]);
	}
}

static void forget_all(struct sim_world *w)
{
	size_t i;

	for (i = 0; i < w->count; i++) {
		sim_workload_free(w->migrations[i].workload);
		sim_observer_free(&w->migrations[i]);
		sim_workload_free(w->migrations[i].shadow.workload);
	}
	sim_network_reset(w->network);
	sim_clock_reset(&w->clock);
	sim_pool_reset(w);
	w->count = w->next = w->running = w->over = 0;
	w->due = NULL;
	w->violation[0] = '\0';
}

void sim_world_reset(struct sim_world *w, const struct sim_world_config *config)
{
	const char *key;
	struct migration *m;

	forget_all(w);
	sim_network_set_rate(w->network, 0, config->bytes_per_s);
	m = sim_world_add(w, config->seed);
	m->config = *config;
	specify(&m->spec, config);
	if (sim_workload_check(&m->spec.workload, config->pages, config->vcpus, &key))
		abort();
	/* The link itself carries at once: a small world's latency varies. */
	m->wire.hop_ns = m->wire.back_ns = config->latency_ns;
	w->trace = config->trace;
	begin_more(w);
}

struct sim_world *sim_world_new(const struct sim_world_config *config)
{
	struct sim_world *w = sim_world_empty(1);

	(void)sim_network_add_link(
	        w->network,
	        &(struct sim_link_config){.name = "link", .bytes_per_s = config->bytes_per_s});
	w->costs = small_costs;
	w->versions = true;
	w->limit_ns = HOURS_MAX * 3600 * SIM_BILLION;
	sim_world_reset(w, config);
	return w;
}

void sim_world_free(struct sim_world *w)
{
	forget_all(w);
	sim_coordinator_free(w);
	sim_network_free(w->network);
	sim_clock_free(&w->clock);
	sim_pool_free(w);
	free(w->runs_in);
	free(w->runs_out);
	free(w->migrations);
	free(w);
}

const char *sim_world_violation(const struct sim_world *w)
{
	return w->violation[0] ? w->violation : NULL;
}

uint64_t sim_world_lines(const struct sim_world *w)
{
	return w->migrations[0].lines;
}

uint64_t sim_world_now_ns(const struct sim_world *w)
{
	return w->clock.now_ns;
}

const struct sim_strike *sim_world_strikes(const struct sim_world *w, size_t *count)
{
	*count = w->migrations[0].struck;
	return w->migrations[0].strikes;
}

unsigned sim_world_states(const struct sim_world *w, int side)
{
	return w->migrations[0].agent[side].states;
}

enum gw_journal_record sim_world_record(const struct sim_world *w, int side)
{
	return w->migrations[0].agent[side].record;
}

const char *sim_world_end(const struct sim_world *w, int side)
{
	return w->migrations[0].agent[side].end;
}
