/* SPDX-License-Identifier: MIT */
/*
 * live/host/migrate/loop.c - the source's agent: one turn of its loop, from poll() to the machine.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "live/host/clock.h"
#include "live/host/migrate/parts.h"

#define CONTROL_QUEUE_MAX (1u << 20) /* no more state is read while so much waits */
#define PROGRESS_NS       200000000ull
#define FRAMES_A_TURN     4 /* bulk frames before urgent pages are looked at again */

enum { P_CONTROL, P_URGENT, P_BULK, P_VM, P_STATE, P_SHADOW, P_STOP, P_ASK, P_COUNT };

void gw_migrate_queue(struct agent *a, enum gw_event_kind kind, const char *text)
{
	gw_answers_put(&a->answers, kind, text);
}

void gw_migrate_lost(struct agent *a, const char *why)
{
	gw_answers_put_lost(&a->answers, why);
}

void gw_migrate_step(struct agent *a, struct gw_event *event)
{
	event->now_ns = gw_now_ns();
	a->link.frame_bytes = a->bulk.sent_bytes + a->urgent.sent_bytes;
	event->link_bytes = gw_link_bytes(&a->link);
	(void)gw_source_step(a->machine, event, &a->actions);
	gw_migrate_carry_out(a);
}

void gw_migrate_drain_queue(struct agent *a)
{
	struct gw_answer answer;

	while (!a->finished && gw_answers_take(&a->answers, &answer)) {
		struct gw_event event = {.kind = answer.kind};

		if (answer.kind == GW_EV_SURVEYED || answer.kind == GW_EV_TRACKING ||
		    answer.kind == GW_EV_SCANNED)
			event.set = &a->pages;
		else if (answer.kind == GW_EV_PEEKED)
			event.set = &a->peeked;
		else
			event.text = answer.text;
		if (answer.kind == GW_EV_SCANNED)
			event.activity = a->activity;
		gw_migrate_step(a, &event);
	}
}

static void fill_bulk(struct agent *a)
{
	int frames;

	for (frames = 0; frames < FRAMES_A_TURN; frames++) {
		struct gw_event event = {.kind = GW_EV_ROOM};

		if (!a->link.up || a->finished || gw_answers_any(&a->answers))
			return;
		gw_migrate_flush_bulk(a);
		if (!gw_migrate_bulk_idle(a) || !gw_source_wants_room(a->machine))
			return;
		gw_migrate_step(a, &event);
	}
}

static void show_progress(struct agent *a)
{
	uint64_t now = gw_now_ns(), done, all;

	if (!a->options->progress || now - a->progress_ns < PROGRESS_NS)
		return;
	a->progress_ns = now;
	gw_source_progress(a->machine, &done, &all);
	a->options->progress(a->options->arg, gw_state_name(gw_source_state(a->machine)),
	                     done * GW_PAGE_BYTES, all * GW_PAGE_BYTES, now);
}

static void prepare_poll(struct agent *a, struct pollfd *items)
{
	bool bulk_waits, state_may;

	memset(items, 0, P_COUNT * sizeof(*items));
	gw_agent_watch(&items[P_CONTROL], -1, false, false);
	gw_agent_watch(&items[P_URGENT], -1, false, false);
	gw_agent_watch(&items[P_BULK], -1, false, false);
	if (a->link.up) {
		bulk_waits = !gw_migrate_bulk_idle(a) || gw_source_wants_room(a->machine);
		gw_agent_watch(&items[P_CONTROL], gw_mailbox_fd(a->link.control), true,
		               gw_mailbox_wants_to_write(a->link.control) || a->digesting);
		gw_agent_watch(&items[P_URGENT], gw_mailbox_fd(a->link.urgent), true,
		               !gw_sender_idle(&a->urgent) || a->urgent_taken < a->urgent_count);
		gw_agent_watch(&items[P_BULK], a->link.bulk, !a->bulk_ended, bulk_waits);
	}
	state_may = a->state_fd >= 0 && !a->state_ended && a->link.up &&
	            gw_mailbox_queued_bytes(a->link.control) < CONTROL_QUEUE_MAX;
	gw_agent_watch(&items[P_VM], a->guest ? gw_vm_fd(a->guest->vm) : -1, a->guest != NULL,
	               false);
	gw_agent_watch(&items[P_STATE], a->state_fd, state_may, false);
	gw_agent_watch(&items[P_SHADOW], a->shadow ? gw_shadow_fd(a->shadow) : -1,
	               a->shadow != NULL, false);
	gw_agent_watch(&items[P_STOP], a->options->stop_fd, a->options->stop_fd >= 0, false);
	gw_agent_watch(&items[P_ASK], a->control ? gw_control_fd(a->control) : -1,
	               a->control != NULL, false);
}

static void stop_asked(struct agent *a)
{
	char record[256]; /* a signalfd's, or a byte of a pipe */

	(void)!read(a->options->stop_fd, record, sizeof(record));
	gw_migrate_queue(a, GW_EV_ABORT, "stopped by the user");
}

static void serve_link(struct agent *a, const struct pollfd *items)
{
	unsigned link = a->links;

	if (a->link.up && items[P_URGENT].revents)
		gw_migrate_read_mailbox(a, a->link.urgent);
	if (a->links != link)
		return; /* what poll() said was about the old link */
	if (a->link.up && (items[P_URGENT].revents & POLLOUT))
		gw_migrate_flush_urgent(a);
	if (a->link.up && (items[P_CONTROL].revents & (POLLIN | POLLHUP | POLLERR)))
		gw_migrate_read_mailbox(a, a->link.control);
	if (a->links != link)
		return;
	if (a->link.up && (items[P_CONTROL].revents & POLLOUT)) {
		int err = gw_mailbox_flush(a->link.control);

		if (err)
			gw_migrate_lost(a, strerror(-err));
		else if (a->digesting && !gw_mailbox_wants_to_write(a->link.control))
			gw_migrate_send_digests(a);
	}
	if (a->link.up && (items[P_BULK].revents & (POLLHUP | POLLERR))) {
		gw_migrate_lost(a, "the bulk connection broke");
		return;
	}
	if (a->link.up && (items[P_BULK].revents & POLLIN))
		gw_migrate_listen_to_bulk(a);
	if (a->link.up && (items[P_BULK].revents & POLLOUT))
		fill_bulk(a);
}

void gw_migrate_turn(struct agent *a)
{
	struct pollfd items[P_COUNT];
	struct gw_event tick = {.kind = GW_EV_TICK};
	uint64_t deadline = gw_source_deadline(a->machine), now = gw_now_ns();
	int wait = gw_poll_ms(deadline < a->resume_at_ns ? deadline : a->resume_at_ns, now);

	prepare_poll(a, items);
	if (a->link.up && wait != 0 && (wait < 0 || wait > 100))
		wait = 100; /* progress, pacing */
	if (poll(items, P_COUNT, wait) < 0 && errno != EINTR)
		return;
	serve_link(a, items);
	if (items[P_VM].revents)
		gw_migrate_read_vm(a);
	if (a->state_fd >= 0 && items[P_STATE].revents)
		gw_migrate_read_state(a);
	if (items[P_SHADOW].revents)
		gw_migrate_read_shadow(a);
	gw_migrate_survey_if_due(a);
	if (items[P_STOP].revents)
		stop_asked(a);
	if (items[P_ASK].revents)
		gw_migrate_answer_control(a);
	if (gw_now_ns() >= a->resume_at_ns)
		gw_migrate_ask_to_run(a);
	gw_migrate_drain_queue(a);
	if (!a->finished && gw_now_ns() >= gw_source_deadline(a->machine))
		gw_migrate_step(a, &tick);
	gw_migrate_drain_queue(a);
	gw_migrate_update_pace(a);
	show_progress(a);
}
