/* SPDX-License-Identifier: MIT */
/*
 * live/host/session/loop.c - the destination's agent: one turn of its loop, from poll() to the
 * machine; and what a person says to it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "live/host/clock.h"
#include "live/host/session/parts.h"

enum { P_ROUTER, P_CONTROL, P_URGENT, P_BULK, P_FAULTS, P_VM, P_STATE, P_ASK, P_COUNT };

void gw_session_queue(struct session *s, enum gw_event_kind kind, const char *text)
{
	gw_answers_put(&s->answers, kind, text);
}

void gw_session_lost(struct session *s, const char *why)
{
	gw_answers_put_lost(&s->answers, why);
}

void gw_session_step(struct session *s, struct gw_event *event)
{
	event->now_ns = gw_now_ns();
	event->link_bytes = gw_link_bytes(&s->link);
	(void)gw_destination_step(s->machine, event, &s->actions);
	gw_session_carry_out(s);
}

void gw_session_drain_queue(struct session *s)
{
	struct gw_answer answer;

	while (!s->finished && gw_answers_take(&s->answers, &answer)) {
		struct gw_event event = {.kind = answer.kind};

		if (answer.kind == GW_EV_COMPARED)
			event = s->compared;
		else if (answer.kind == GW_EV_SURVEYED)
			event.set = &s->pages;
		else
			event.text = answer.text;
		gw_session_step(s, &event);
	}
}

static void prepare_poll(struct session *s, struct pollfd *items)
{
	bool flows = s->receiving;

	gw_agent_watch(&items[P_ROUTER], s->options->router, !s->orphan, false);
	gw_agent_watch(&items[P_CONTROL], s->link.up ? gw_mailbox_fd(s->link.control) : -1, true,
	               s->link.up && gw_mailbox_wants_to_write(s->link.control));
	gw_agent_watch(&items[P_URGENT], flows ? gw_mailbox_fd(s->link.urgent) : -1, true,
	               flows && gw_mailbox_wants_to_write(s->link.urgent));
	gw_agent_watch(&items[P_BULK], flows ? s->link.bulk : -1, true, false);
	gw_agent_watch(&items[P_FAULTS], s->has_faults ? s->faults.fd : -1, true, false);
	gw_agent_watch(&items[P_VM], s->has_guest ? gw_vm_fd(s->guest.vm) : -1, !s->vm_cut, false);
	gw_agent_watch(&items[P_STATE], s->state_fd, true,
	               s->may_load && s->state.taken < s->state.count);
	gw_agent_watch(&items[P_ASK], s->control ? gw_control_fd(s->control) : -1, true, false);
}

/* A person says who runs the VM. */
static void answer_resolve(struct session *s, enum gw_event_kind said)
{
	enum gw_state state = gw_destination_state(s->machine);

	if (state != GW_STATE_COMMITMENT && state != GW_STATE_DOUBT) {
		gw_control_answer(s->control, "refused: there is no doubt to resolve\n");
		return;
	}
	gw_session_queue(s, said, NULL);
	gw_session_drain_queue(s);
	if (gw_destination_state(s->machine) == state)
		gw_control_answer(s->control,
		                  "refused: it lacks pages that only the source has, or its "
		                  "journal cannot be written; it does not run here\n");
	else
		gw_control_answer(s->control, "ok\n");
}

static void answer_control(struct session *s)
{
	char command[64];

	if (!gw_control_next(s->control, command, sizeof(command)))
		return;
	if (!strcmp(command, "abort")) {
		bool late = gw_destination_state(s->machine) >= GW_STATE_COMMITMENT;

		gw_session_queue(s, GW_EV_ABORT, "stopped by the destination's user");
		gw_control_answer(s->control, late ? "refused: the source decides now\n" : "ok\n");
		return;
	}
	if (!strcmp(command, "run-here") || !strcmp(command, "gone")) {
		answer_resolve(s, command[0] == 'r' ? GW_EV_RESOLVED_HERE : GW_EV_RESOLVED_GONE);
		return;
	}
	gw_control_answer(s->control, "%s 0 0\n", gw_state_name(gw_destination_state(s->machine)));
}

void gw_session_turn(struct session *s)
{
	struct pollfd items[P_COUNT];
	struct gw_event tick = {.kind = GW_EV_TICK};
	int wait = gw_poll_ms(gw_destination_deadline(s->machine), gw_now_ns());
	bool more;

	prepare_poll(s, items);
	if (s->more)
		wait = 0;
	if (poll(items, P_COUNT, wait) < 0 && errno != EINTR)
		return;
	if (items[P_FAULTS].revents)
		gw_session_read_faults(s);
	if (items[P_VM].revents) {
		gw_session_read_vm(
		        s); /* before COMMIT is heard: a VM that is dead takes no commitment */
		gw_session_drain_queue(s);
	}
	if (s->receiving && (items[P_URGENT].revents & POLLOUT))
		(void)gw_mailbox_flush(s->link.urgent);
	more = s->more;
	s->more = false;
	if (s->receiving && (more || (items[P_URGENT].revents & (POLLIN | POLLHUP | POLLERR))))
		gw_session_receive(s, &s->urgent);
	if (s->link.up && (items[P_CONTROL].revents & POLLOUT) &&
	    gw_mailbox_flush(s->link.control) < 0)
		gw_session_lost(s, "the control connection broke");
	if (s->link.up && (items[P_CONTROL].revents & (POLLIN | POLLHUP | POLLERR)))
		gw_session_read_control(s);
	if (s->receiving && (more || items[P_BULK].revents))
		gw_session_receive(s, &s->bulk);
	if (s->state_fd >= 0 && (items[P_STATE].revents & POLLOUT))
		gw_session_flush_state(s);
	if (s->state_fd >= 0 && (items[P_STATE].revents & (POLLIN | POLLHUP)))
		gw_session_read_state(s);
	if (items[P_ASK].revents)
		answer_control(s);
	gw_session_drain_queue(s);
	if (items[P_ROUTER].revents)
		gw_session_take_link(s);
	gw_session_drain_queue(s);
	if (!s->finished && gw_now_ns() >= gw_destination_deadline(s->machine))
		gw_session_step(s, &tick);
	gw_session_drain_queue(s);
	if (s->options->trace)
		(void)fflush(s->options->trace);
}
