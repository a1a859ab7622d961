/* SPDX-License-Identifier: MIT */
/* sim/agent.c - the two agents: a machine, its journal, its death and its successor. */
#include "sim/inside.h"

#include <stdlib.h>
#include <string.h>

/* An answer to the agent; set and text are copied. */
void sim_answer(struct sim_world *w, int side, struct gw_event event, uint64_t delay)
{
	struct happening *h;

	delay += w->slow_ns;
	h = sim_will(w, ANSWER, side,
	             w->now + delay + sim_dice_below(w, delay * w->config.jitter + 1));
	h->event = event;
}

void sim_answer_text(struct sim_world *w, int side, enum gw_event_kind kind, const char *text)
{
	struct happening *h = sim_will(w, ANSWER, side, w->now + 10000 + w->slow_ns);

	h->event.kind = kind;
	h->data = sim_need(strlen(text) + 1);
	memcpy(h->data, text, strlen(text) + 1);
}

void sim_answer_set(struct sim_world *w, int side, enum gw_event_kind kind, const bool *members)
{
	struct happening *h = sim_will(w, ANSWER, side,
	                               w->now + 100000 + w->slow_ns +
	                                       sim_dice_below(w, w->config.jitter * 100000 + 1));
	struct gw_set set;
	uint64_t page;

	h->data = sim_need(gw_set_words(w->config.pages) * sizeof(uint64_t));
	gw_set_init(&set, h->data, w->config.pages);
	for (page = 0; page < w->config.pages; page++)
		if (members[page])
			gw_set_add(&set, page);
	h->event.kind = kind;
}

bool sim_journal_settled(enum gw_journal_record record)
{
	return record == GW_REC_RELEASED || record == GW_REC_STAYED || record == GW_REC_NEVER;
}

void sim_crash(struct sim_world *w, int side, uint64_t for_ns)
{
	struct agent *a = &w->agent[side];

	if (!a->alive)
		return;
	a->alive = false;
	sim_hang_up(w, side); /* what was sent is on its way */
	a->incarnation++;
	if (side == SIM_SOURCE)
		w->source.tracking = false;
	sim_drop_commands(w, side);
	w->restarting[side] = true;
	sim_will(w, RESTART, side, w->now + for_ns);
}

static void give_memory(struct sim_world *w, int side, size_t bytes)
{
	free(w->agent[side].memory);
	w->agent[side].memory = sim_need(bytes);
}

void sim_start_source(struct sim_world *w)
{
	const struct sim_world_config *c = &w->config;
	struct gw_source_config config = {
	        .name = "small",
	        .vcpus = c->vcpus,
	        .ram_pages = c->pages,
	        .state_bytes = 4096,
	        .link_timeout_ns = c->link_timeout_ns,
	        .reconnect_ns = c->reconnect_ns,
	        .downtime_limit_ns = 10000000,
	        .deadline_ns = c->deadline_ns,
	        .verify = c->verify,
	        .paused = c->paused,
	};
	struct agent *a = &w->agent[SIM_SOURCE];
	int i;

	if (gw_policy_init(&config.policy, c->policy) ||
	    gw_order_init(&config.order, c->order ? c->order : "linear"))
		abort();
	for (i = 0; i < 2 && c->settings[i][0]; i++)
		if (gw_policy_set(&config.policy, c->settings[i][0], c->settings[i][1]))
			abort();
	give_memory(w, SIM_SOURCE, gw_source_bytes(c->pages));
	(void)gw_source_init(a->memory, &config);
	a->alive = true;
	a->incarnation++;
}

/* A fresh one has heard of nothing; else it takes up what its journal says. */
void sim_start_destination(struct sim_world *w, bool fresh)
{
	struct agent *a = &w->agent[SIM_DESTINATION];
	struct gw_destination_config config = {
	        .ram_pages = fresh && w->epochs ? 0 : w->config.pages,
	        .vcpus = w->config.vcpus,
	        .serves_faults = !w->config.no_faults,
	        .why_no_faults = "this host has no userfaultfd",
	        .link_timeout_ns = w->config.link_timeout_ns,
	};

	give_memory(w, SIM_DESTINATION, gw_destination_bytes(config.ram_pages, config.vcpus));
	(void)gw_destination_init(a->memory, &config);
	a->alive = true;
	a->incarnation++;
	a->pages = config.ram_pages;
	a->journal_open = !fresh;
	w->dest.digests_kept = fresh;
	if (!fresh) {
		struct gw_event event = {.kind = GW_EV_RECOVER};

		event.recover.record = a->record;
		event.recover.faults = w->dest.uffd && w->dest.vm.state != VM_DEAD;
		sim_line(w, SIM_DESTINATION, "a new agent takes over");
		sim_step(w, SIM_DESTINATION, &event);
		sim_fault_again(w);
	}
}

void sim_restart(struct sim_world *w, int side)
{
	struct agent *a = &w->agent[side];
	struct gw_event event = {.kind = GW_EV_RECOVER};

	w->restarting[side] = false;
	if (a->alive || !a->has_journal || sim_journal_settled(a->record))
		return;
	if (side == SIM_DESTINATION) {
		sim_start_destination(w, false);
		return;
	}
	sim_start_source(w);
	event.recover.record = a->record;
	sim_line(w, SIM_SOURCE, "a new agent takes over");
	sim_step(w, SIM_SOURCE, &event);
}

static void write_journal(struct sim_world *w, int side, enum gw_journal_record record)
{
	struct agent *a = &w->agent[side];

	sim_line(w, side, "journal: %s", gw_journal_record_name(record));
	if (!a->alive)
		return;
	if (a->journal_open)
		a->record = record; /* else nothing was reserved: nothing to remember */
	sim_check_journals(w);
	sim_answer(w, side, (struct gw_event){.kind = GW_EV_JOURNALED}, 50000);
}

static void ended(struct sim_world *w, int side, const struct gw_action *action)
{
	struct agent *a = &w->agent[side];

	sim_line(w, side, "ends: %s (%s)", gw_outcome_name(action->finish.outcome),
	         action->finish.text);
	if (!a->alive)
		return;
	a->alive = false;
	if (side == SIM_SOURCE)
		w->source.tracking = false; /* closed with the agent */
	a->outcome = action->finish.outcome;
	(void)snprintf(a->end, sizeof(a->end), "%s: %s", gw_outcome_name(action->finish.outcome),
	               action->finish.text);
	if (side == SIM_DESTINATION && a->record == GW_REC_WHOLE && w->dest.released_said)
		a->record = GW_REC_RELEASED;
}

static void act(struct sim_world *w, int side, const struct gw_action *action)
{
	switch (action->kind) {
	case GW_ACT_TRACE:
		sim_line(w, side, "%s", action->text + strcspn(action->text, " ") + 13);
		break;
	case GW_ACT_SEND: sim_say(w, side, &action->message); break;
	case GW_ACT_MAP: sim_say_map(w, side, action->set); break;
	case GW_ACT_JOURNAL: write_journal(w, side, action->journal.record); break;
	case GW_ACT_HANG_UP: sim_hang_up(w, side); break;
	case GW_ACT_FINISH: ended(w, side, action); break;
	case GW_ACT_CONNECT:
		sim_line(w, side, "connects");
		if (w->agent[side].alive)
			sim_will(w, CONNECT, side, w->now + 2 * w->config.latency_ns);
		break;
	default:
		if (side == SIM_SOURCE)
			sim_source_acts(w, action);
		else
			sim_destination_acts(w, action);
	}
}

void sim_step(struct sim_world *w, int side, struct gw_event *event)
{
	struct agent *a = &w->agent[side];
	unsigned incarnation = a->incarnation;
	struct gw_actions *out;
	size_t i;
	int err;

	if (!a->alive)
		return;
	w->steps++;
	event->now_ns = w->now;
	event->link_bytes = w->wire_bytes;
	out = &w->out[side];
	err = side == SIM_SOURCE ? gw_source_step(a->memory, event, out)
	                         : gw_destination_step(a->memory, event, out);
	if (err == -EPROTO)
		sim_violated(w, "%s takes %s for a breach of the protocol", sim_side_names[side],
		             event->kind == GW_EV_MESSAGE ? gw_message_name(event->message->kind)
		                                          : "a frame");
	if (out->count + 1 >= GW_ACTIONS_MAX)
		sim_violated(w, "%s: too many actions in one step", sim_side_names[side]);
	for (i = 0; i < out->count && a->alive && a->incarnation == incarnation; i++)
		act(w, side, &out->at[i]);
	if (side == SIM_SOURCE)
		sim_ask_for_room(w);
}

uint64_t sim_deadline(const struct sim_world *w, int side)
{
	const struct agent *a = &w->agent[side];

	if (!a->alive)
		return UINT64_MAX;
	return side == SIM_SOURCE ? gw_source_deadline(a->memory)
	                          : gw_destination_deadline(a->memory);
}

void sim_give_answer(struct sim_world *w, struct happening *h)
{
	struct gw_set set;

	if (h->event.kind == GW_EV_SURVEYED || h->event.kind == GW_EV_TRACKING ||
	    h->event.kind == GW_EV_SCANNED || h->event.kind == GW_EV_PEEKED) {
		set = (struct gw_set){h->data, w->config.pages};
		h->event.set = &set;
	} else if (h->data) {
		h->event.text = h->data;
	}
	sim_step(w, h->side, &h->event);
}

void sim_lose(struct sim_world *w, struct happening *h)
{
	struct agent *a = &w->agent[h->side];

	if (!a->epoch || a->epoch != h->epoch)
		return;
	a->epoch = 0;
	sim_step(w, h->side, &(struct gw_event){.kind = GW_EV_LINK_LOST, .text = h->data});
}
