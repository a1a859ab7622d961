/* SPDX-License-Identifier: MIT */
/*
 * live/host/session/pages.c - the destination's agent: pages come in and are placed, faults are
 * heard and served, digests compared.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "live/host/session/parts.h"
#include "live/memory/digest.h"

#define FRAMES_A_TURN 8

static int punch(struct session *s, const struct gw_set *stale, struct gw_error *error)
{
	struct gw_run run;
	uint64_t at = 0;
	int err = 0;

	while (!err && gw_set_next_run(stale, at, stale->pages, &run)) {
		err = gw_ram_punch(&s->ram, run, error);
		at = run.first + run.count;
	}
	return err;
}

void gw_session_act_punch(struct session *s, const struct gw_set *stale)
{
	struct gw_error error;

	if (punch(s, stale, &error))
		gw_session_queue(s, GW_EV_FAILED, error.text);
}

/* Once faults are caught, nothing but us fills a hole: not the kernel's making of huge pages. */
void gw_session_act_arm(struct session *s, const struct gw_set *missing)
{
	struct gw_error error;
	int err = gw_journal_note_pulls(&s->journal, true, &error);

	if (!err)
		err = gw_faults_arm(&s->faults, &error);
	if (!err)
		err = gw_ram_clear(&s->ram, missing, &error);
	if (err) {
		gw_session_queue(s, GW_EV_FAILED, error.text);
		return;
	}
	s->bulk.staged = s->urgent.staged = true;
	gw_session_queue(s, GW_EV_ARMED, NULL);
}

void gw_session_act_disarm(struct session *s)
{
	struct gw_error error;

	/* First: with every page in, faults that are gone are no doubt to the next agent. */
	(void)gw_journal_note_pulls(&s->journal, false, &error);
	if (gw_faults_finish(&s->faults, &error) && s->options->trace)
		(void)fprintf(s->options->trace, "%s\n", error.text);
	s->has_faults = false;
	gw_session_queue(s, GW_EV_DISARMED, NULL);
}

void gw_session_act_zero(struct session *s, uint64_t page)
{
	struct gw_error error;

	(void)gw_faults_zero(&s->faults, (struct gw_run){page, 1}, &error);
}

static void note_digests(struct session *s, const struct gw_frame *frame, const uint8_t *contents)
{
	uint64_t page;
	uint32_t i;

	for (i = 0; s->digests && i < frame->run_count; i++) {
		for (page = frame->runs[i].first;
		     page < frame->runs[i].first + frame->runs[i].count; page++) {
			const uint8_t *at = contents ? contents : s->ram.map + page * GW_PAGE_BYTES;

			s->digests[page] =
			        frame->kind == GW_FRAME_ZEROS ? 0 : gw_page_digest_or_zero(at);
			if (contents)
				contents += GW_PAGE_BYTES;
		}
	}
}

/* Contents lie in guest memory already, unless they are zeros or staged. */
static int place(struct session *s, const struct gw_receiver *from, struct gw_error *error)
{
	const struct gw_frame *frame = &from->frame;
	const uint8_t *contents = from->staging;
	uint32_t i;
	int err = 0;

	for (i = 0; !err && i < frame->run_count; i++) {
		struct gw_run run = frame->runs[i];

		if (!from->staged) {
			if (frame->kind == GW_FRAME_ZEROS)
				err = gw_ram_punch(&s->ram, run, error);
		} else if (frame->kind == GW_FRAME_ZEROS) {
			err = gw_faults_zero(&s->faults, run, error);
		} else {
			err = gw_faults_place(&s->faults, run, contents, error);
			contents += run.count * GW_PAGE_BYTES;
		}
	}
	return err;
}

static void frame_in(struct session *s, const struct gw_receiver *from)
{
	struct gw_event event = {.kind = GW_EV_PLACED};
	struct gw_error error;
	int err;

	if (from->frame.kind != GW_FRAME_PAGES && from->frame.kind != GW_FRAME_ZEROS) {
		event.kind = GW_EV_MARK;
		event.mark.kind = from->frame.kind;
		event.mark.number = from->frame.number;
		gw_session_step(s, &event);
		return;
	}
	if (from->staged && !s->has_faults)
		return; /* a page that was sent twice, and the guest may have written it since */
	if (from->staged && from->frame.kind == GW_FRAME_PAGES)
		note_digests(s, &from->frame, from->staging);
	err = place(s, from, &error);
	if (err == -ESRCH)
		return; /* its end is an event of its own */
	if (err) {
		/* After the switch a new link brings it again, once there is room. */
		if (from->staged)
			gw_session_lost(s, error.text);
		else
			gw_session_queue(s, GW_EV_FAILED, error.text);
		return;
	}
	if (!from->staged || from->frame.kind == GW_FRAME_ZEROS)
		note_digests(s, &from->frame, NULL);
	event.placed.runs = from->frame.runs;
	event.placed.count = from->frame.run_count;
	gw_session_step(s, &event);
}

void gw_session_stop_receiving(struct session *s)
{
	if (s->receiving) {
		gw_receiver_free(&s->bulk);
		gw_receiver_free(&s->urgent);
	}
	s->receiving = false;
}

int gw_session_start_receiving(struct session *s)
{
	bool switched = gw_destination_state(s->machine) >= GW_STATE_STOP_AND_COPY;
	int err = gw_receiver_init(&s->bulk, s->link.bulk, s->ram.map, s->ram.pages);

	if (!err)
		err = gw_receiver_init(&s->urgent, gw_mailbox_fd(s->link.urgent), s->ram.map,
		                       s->ram.pages);
	if (err)
		return err;
	s->bulk.staged = s->urgent.staged = switched;
	s->receiving = true;
	gw_mailbox_set_pages(s->link.control, s->ram.pages);
	gw_mailbox_set_pages(s->link.urgent, s->ram.pages);
	return 0;
}

/*
 * When every page is in, the source closes all three connections behind its last word. Which end is
 * seen first is chance; the last word comes over control, so control alone counts then.
 */
static void pages_ended(struct session *s, const char *why)
{
	if (s->journal.record == GW_REC_WHOLE)
		gw_session_stop_receiving(s);
	else
		gw_session_lost(s, why);
}

void gw_session_receive(struct session *s, struct gw_receiver *from)
{
	struct gw_error error;
	int frames, got;

	for (frames = 0; frames < FRAMES_A_TURN && s->link.up && !s->finished; frames++) {
		got = gw_receiver_next(from, &error);
		if (got == -ENOSPC)
			gw_session_queue(s, GW_EV_FAILED, error.text);
		else if (got < 0)
			pages_ended(s, error.text);
		if (got <= 0)
			return;
		s->more = frames + 1 == FRAMES_A_TURN;
		s->link.frame_bytes = s->bulk.received_bytes + s->urgent.received_bytes;
		frame_in(s, from);
		gw_session_drain_queue(s);
	}
}

void gw_session_read_faults(struct session *s)
{
	struct gw_error error;
	struct gw_fault fault;
	unsigned i;

	while (s->has_faults && gw_faults_next(&s->faults, &fault, &error) == 1) {
		struct gw_event event = {.kind = GW_EV_FAULT};

		event.fault.page = fault.page;
		event.fault.thread = fault.thread;
		for (i = 0; s->has_guest && i < s->guest.vm->vcpus; i++)
			event.fault.vcpu |= s->guest.vm->vcpu_threads &&
			                    s->guest.vm->vcpu_threads[i] == fault.thread;
		gw_session_step(s, &event);
	}
}

void gw_session_compare(struct session *s, const struct gw_message *m)
{
	struct gw_event event = {.kind = GW_EV_COMPARED};
	uint64_t theirs, page;
	uint32_t i;

	memset(&event.compared, 0, sizeof(event.compared));
	for (i = 0; s->digests && i < m->digests.count; i++) {
		page = m->digests.first + i;
		memcpy(&theirs, m->digests.digests + 8 * (size_t)i, sizeof(theirs));
		event.compared.compared++;
		if (theirs == s->digests[page])
			continue;
		if (!event.compared.different++)
			event.compared.first_different = page;
	}
	event.compared.last = m->digests.last;
	s->compared = event;
	gw_session_queue(s, GW_EV_COMPARED, NULL);
}
