/* SPDX-License-Identifier: MIT */
/* sim/world/agent.c - the two agents: a machine, its journal, its death and its successor. */
#include "sim/world/inside.h"

#include <stdlib.h>
#include <string.h>

#define DEADLINE_SPINS 64
#define WRITTEN_NS     10000u /* a record that is not synced */

/* --- answers ------------------------------------------------------------------------------- */

void sim_answer(struct migration *m, int side, struct gw_event event, uint64_t delay)
{
	delay += m->slow_ns;
	if (m->config.jitter)
		delay += sim_dice_below(m, delay * m->config.jitter + 1);
	sim_will(m, ANSWER, side, sim_now(m) + delay)->event = event;
}

void sim_answer_plain(struct migration *m, int side, enum gw_event_kind kind, uint64_t delay)
{
	sim_answer(m, side, (struct gw_event){.kind = kind}, delay);
}

void sim_answer_text(struct migration *m, int side, enum gw_event_kind kind, const char *text)
{
	struct gw_event event = {.kind = kind};

	event.text = text;
	sim_will(m, ANSWER, side, sim_now(m) + 10000 + m->slow_ns)->event = event;
}

/* Sets are those of the instant at which the agent looks. */
void sim_give_answer(struct migration *m, struct happening *h)
{
	struct gw_event *event = &h->event;

	switch (event->kind) {
	case GW_EV_SURVEYED:
		sim_guest_lives(m);
		event->set = h->side == SIM_SOURCE ? &m->source.populated : &m->dest.present;
		break;
	case GW_EV_TRACKING:
		sim_guest_lives(m);
		event->set = &m->source.populated;
		break;
	case GW_EV_SCANNED:
	case GW_EV_PEEKED: event->set = &m->source.scanned; break;
	default: break;
	}
	sim_step(m, h->side, event);
}

/* --- deadlines ----------------------------------------------------------------------------- */

static uint64_t deadline(const struct agent *a)
{
	if (!a->alive)
		return SIM_NEVER;
	return a->side == SIM_SOURCE ? gw_source_deadline(a->memory)
	                             : gw_destination_deadline(a->memory);
}

/* One that moves away is left where it is queued: it finds out when it comes. */
static void watch_deadline(struct agent *a)
{
	uint64_t at = deadline(a);

	if (sim_queued(&a->deadline) && at != SIM_NEVER && at >= a->deadline.at_ns)
		return;
	sim_clock_at(&a->m->world->clock, &a->deadline, at);
}

static void check_spin(struct migration *m, struct agent *a)
{
	if (sim_now(m) != m->ticked_ns)
		m->ticks = 0;
	m->ticked_ns = sim_now(m);
	if (++m->ticks > DEADLINE_SPINS)
		sim_violated(m, "%s: the deadline spins", sim_side_names[a->side]);
}

void sim_deadline_came(struct sim_happening *self)
{
	struct agent *a = SIM_OWNER(self, struct agent, deadline);
	struct migration *m = a->m;

	if (deadline(a) > sim_now(m)) {
		watch_deadline(a);
	} else {
		check_spin(m, a);
		sim_step(m, a->side, &(struct gw_event){.kind = GW_EV_TICK});
	}
	sim_happened(m);
}

/* --- life and death ------------------------------------------------------------------------ */

bool sim_journal_settled(enum gw_journal_record record)
{
	return record == GW_REC_RELEASED || record == GW_REC_STAYED || record == GW_REC_NEVER;
}

void sim_crash(struct migration *m, int side, uint64_t for_ns)
{
	struct agent *a = &m->agent[side];

	if (!a->alive)
		return;
	sim_hang_up(m, side); /* what was sent is on its way */
	a->alive = a->tears = false;
	a->state = GW_STATES;
	a->states |= 1u << GW_STATES;
	a->incarnation++;
	watch_deadline(a);
	if (side == SIM_SOURCE) {
		m->source.tracking = false;
		sim_shadow_end(m); /* it dies with its parent */
	}
	sim_drop_commands(m, side);
	m->restarting[side] = true;
	sim_will(m, RESTART, side, sim_now(m) + for_ns);
}

static void *give_memory(struct agent *a, size_t bytes)
{
	sim_give(a->m->world, a->memory);
	a->memory = sim_take(a->m->world, bytes);
	a->alive = true;
	a->incarnation++;
	a->state = GW_STATE_PRE_MIGRATION;
	a->states |= 1u << GW_STATE_PRE_MIGRATION;
	return a->memory;
}

void sim_start_source(struct migration *m)
{
	const struct sim_vm *vm = &m->spec;
	struct gw_source_config config = {
	        .name = vm->name,
	        .vcpus = vm->vcpus,
	        .ram_pages = vm->ram_pages,
	        .latency_ns = m->wire.back_ns,
	        .state_bytes = vm->state_bytes,
	        .limit_bytes_per_s = vm->move.limit_bytes_per_s,
	        .downtime_limit_ns = vm->move.downtime_limit_ns,
	        .deadline_ns = vm->move.deadline_ns,
	        .link_timeout_ns = m->config.link_timeout_ns,
	        .reconnect_ns = m->config.reconnect_ns,
	        .verify = vm->move.verify,
	        .paused = vm->paused,
	        .hot = m->hot,
	        .hot_count = m->hot_count,
	        .observation = sim_observed(m),
	        .destination = m->source.peer,
	};
	struct agent *a = &m->agent[SIM_SOURCE];

	if (sim_move_init(&vm->move, &config.policy, &config.order, NULL))
		abort(); /* the scenario was checked */
	(void)gw_source_init(
	        give_memory(a, gw_source_bytes(&config.policy, &config.order, vm->ram_pages)),
	        &config);
}

/* A fresh one has heard of nothing; else it takes up what its journal says. */
void sim_start_destination(struct migration *m, bool fresh)
{
	struct agent *a = &m->agent[SIM_DESTINATION];
	struct gw_destination_config config = {
	        .host.bytes = {1, m->dest.identity},
	        .ram_pages = fresh && m->wire.epochs ? 0 : m->spec.ram_pages,
	        .vcpus = m->spec.vcpus,
	        .serves_faults = !m->config.no_faults,
	        .why_no_faults = "this host has no userfaultfd",
	        .link_timeout_ns = m->config.link_timeout_ns,
	};
	struct gw_event event = {.kind = GW_EV_RECOVER};

	(void)gw_destination_init(
	        give_memory(a, gw_destination_bytes(config.ram_pages, config.vcpus)), &config);
	a->pages = config.ram_pages;
	a->journal_open = !fresh;
	m->dest.digests_kept = fresh;
	if (fresh)
		return;
	event.recover.record = a->record;
	event.recover.faults = m->dest.uffd && m->dest.vm.state != VM_DEAD;
	sim_line(m, SIM_DESTINATION, "a new agent takes over");
	sim_step(m, SIM_DESTINATION, &event);
	sim_fault_again(m);
}

void sim_restart(struct migration *m, int side)
{
	struct agent *a = &m->agent[side];
	struct gw_event event = {.kind = GW_EV_RECOVER};

	m->restarting[side] = false;
	if (a->alive || !a->has_journal || sim_journal_settled(a->record))
		return;
	if (side == SIM_SOURCE && m->image_lost && a->record != GW_REC_LEAVING)
		return; /* its memory file is gone: there is nothing to go on with */
	if (side == SIM_SOURCE && m->source.released) { /* live/host/migrate/migrate.c: finish_release() */
		a->record = GW_REC_RELEASED;
		return;
	}
	if (side == SIM_DESTINATION) {
		sim_start_destination(m, false);
		return;
	}
	sim_start_source(m);
	event.recover.record = a->record;
	sim_line(m, SIM_SOURCE, "a new agent takes over");
	sim_step(m, SIM_SOURCE, &event);
}

/* --- actions of both ----------------------------------------------------------------------- */

static void leave_unwritten(struct migration *m, int side, enum gw_journal_record record)
{
	m->full[side] = false;
	m->never_unwritten |= record == GW_REC_NEVER;
	m->refused += record == GW_REC_MINE; /* without it `cont` is not asked for */
	sim_answer_text(m, side, GW_EV_UNWRITTEN, "the disk is full");
}

static void write_journal(struct migration *m, int side, const struct gw_action *action)
{
	struct agent *a = &m->agent[side];

	m->moment = SIM_MOMENT_RECORDS + action->journal.record;
	sim_line(m, side, "journal: %s", gw_journal_record_name(action->journal.record));
	if (!a->alive)
		return;
	if (a->tears) { /* a torn line counts for nothing */
		sim_crash(m, side, a->tears_ns);
		return;
	}
	if (m->full[side] && a->journal_open) {
		leave_unwritten(m, side, action->journal.record);
		return;
	}
	if (a->journal_open)
		a->record = action->journal.record; /* else nothing was reserved */
	sim_check_journals(m);
	sim_answer_plain(m, side, GW_EV_JOURNALED,
	                 action->journal.durable ? m->world->costs.journal_ns : WRITTEN_NS);
}

static void ended(struct migration *m, int side, const struct gw_action *action)
{
	struct agent *a = &m->agent[side];

	sim_line(m, side, "ends: %s (%s)", gw_outcome_name(action->finish.outcome),
	         action->finish.text);
	if (!a->alive)
		return;
	a->alive = false;
	a->state = GW_STATES;
	if (side == SIM_SOURCE)
		m->source.tracking = false; /* closed with the agent */
	if (side == SIM_SOURCE && sim_shadow_lives(m))
		sim_violated(m, "the agent ends and leaves a shadow");
	a->outcome = action->finish.outcome;
	(void)snprintf(a->end, sizeof(a->end), "%s", action->finish.text);
	if (side == SIM_DESTINATION && a->record == GW_REC_WHOLE && m->dest.released_said)
		a->record = GW_REC_RELEASED;
}

/* A user's trace, as live prints it; where there are many VMs each line says which. */
static void tell_user(const struct migration *m, const char *text, size_t head)
{
	FILE *to = m->world->trace;

	if (!to || m->config.trace)
		return;
	if (m->world->count == 1)
		(void)fprintf(to, "%s\n", text);
	else
		(void)fprintf(to, "%.*s%s: %s\n", (int)head, text, m->spec.name, text + head);
}

/* "12.345678 source      text": the time, who, and what. */
static void trace(struct migration *m, int side, const char *text)
{
	size_t stamp = strcspn(text, " "), head = text[stamp] ? stamp + 13 : 0;

	tell_user(m, text, head);
	sim_line(m, side, "%s", text + head);
}

static void act(struct migration *m, int side, const struct gw_action *action)
{
	switch (action->kind) {
	case GW_ACT_TRACE: trace(m, side, action->text); break;
	case GW_ACT_SEND: sim_say(m, side, &action->message); break;
	case GW_ACT_MAP: sim_say_map(m, side, action->set); break;
	case GW_ACT_JOURNAL: write_journal(m, side, action); break;
	case GW_ACT_HANG_UP: sim_hang_up(m, side); break;
	case GW_ACT_FINISH: ended(m, side, action); break;
	case GW_ACT_CONNECT:
		sim_line(m, side, "connects");
		if (m->agent[side].alive)
			sim_will(m, CONNECT, side, sim_now(m) + 2 * m->wire.back_ns);
		break;
	default:
		if (side == SIM_SOURCE)
			sim_source_acts(m, action);
		else
			sim_destination_acts(m, action);
	}
}

static void carry_out(struct migration *m, int side, struct gw_actions *out)
{
	struct agent *a = &m->agent[side];
	unsigned incarnation = a->incarnation;
	size_t i;

	if (out->count + 1 >= GW_ACTIONS_MAX)
		sim_violated(m, "%s: too many actions in one step", sim_side_names[side]);
	for (i = 0; i < out->count && a->alive && a->incarnation == incarnation; i++)
		act(m, side, &out->at[i]);
}

static void enters(struct migration *m, struct agent *a)
{
	enum gw_state state = a->side == SIM_SOURCE ? gw_source_state(a->memory)
	                                            : gw_destination_state(a->memory);

	if (state == a->state)
		return;
	a->state = state;
	a->states |= 1u << state;
	m->moment = SIM_MOMENT_ENTERS + state;
}

void sim_step(struct migration *m, int side, struct gw_event *event)
{
	struct agent *a = &m->agent[side];
	struct gw_actions *out = &m->world->out[side];
	int err;

	if (!a->alive)
		return;
	m->steps++;
	event->now_ns = sim_now(m);
	event->link_bytes = m->wire.bytes;
	out->quiet = !m->world->trace && !sim_listens(m);
	err = side == SIM_SOURCE ? gw_source_step(a->memory, event, out)
	                         : gw_destination_step(a->memory, event, out);
	enters(m, a);
	if (err == -EPROTO && !m->hurt && !m->never_unwritten)
		sim_violated(m, "%s takes %s for a breach of the protocol", sim_side_names[side],
		             event->kind == GW_EV_MESSAGE ? gw_message_name(event->message->kind)
		                                          : "a frame");
	carry_out(m, side, out);
	watch_deadline(a);
	if (side == SIM_SOURCE) {
		sim_has_stepped(m);
		sim_ask_for_room(m);
	}
}
