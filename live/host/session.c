/* SPDX-License-Identifier: MIT */
/*
 * live/host/session.c - the destination's agent.
 *
 * Theory of operation
 *
 * One thread, one poll, as at the source. Before the switch page contents are received straight
 * into guest memory; once faults are armed they go through a staging buffer and are placed
 * atomically, page by page, with whoever waits for them woken.
 *
 * Nothing here ever waits for the hypervisor: while one of its threads waits for a page it does not
 * answer, and the page comes through this very loop.
 */
#include "live/host/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>

#include "base/cleanup.h"
#include "core/migration/destination.h"
#include "live/host/agent.h"
#include "live/host/clock.h"
#include "live/host/control.h"
#include "live/host/link.h"
#include "live/memory/digest.h"
#include "live/memory/faults.h"
#include "live/memory/ram.h"

#define STATE_CHUNK    65536
#define FIRST_LINK_MS  10000
#define FRAMES_A_TURN  8
#define VCPUS_MAX      4096u
#define STATE_HELD_MAX (256u << 20) /* bytes of device state that may wait for the last pages */

struct bytes {
	uint8_t *at;
	size_t count, taken, room;
};

struct session {
	const struct gw_session_options *options;
	struct gw_journal journal;
	struct gw_guest guest;
	bool has_guest;
	bool vm_cut; /* its control connection broke */
	struct gw_ram ram;
	bool has_ram;
	struct gw_faults faults;
	bool has_faults;
	uint64_t *digests; /* one a page; NULL: not asked for */
	struct gw_event compared;
	struct gw_set pages;

	struct gw_destination *machine;
	uint64_t machine_pages; /* that it has room for */
	struct gw_actions actions;
	struct gw_answers answers;
	bool finished;

	struct gw_link link;
	struct gw_receiver bulk, urgent;
	bool receiving; /* the receivers are set up */
	bool orphan;    /* the server is gone: no other link will come */
	bool more;      /* frames may lie read in a receiver, unseen by poll() */

	int state_fd;
	bool run_asked;
	bool may_load; /* the stream may flow into the hypervisor */
	bool state_ended;
	struct bytes state;
	uint8_t *buffer; /* STATE_CHUNK */

	struct gw_control *control;
};

/* --- events -------------------------------------------------------------------------------- */

static void queue(struct session *s, enum gw_event_kind kind, const char *text)
{
	gw_answers_put(&s->answers, kind, text);
}

static void lost(struct session *s, const char *why)
{
	gw_answers_put_lost(&s->answers, why);
}

static void carry_out(struct session *s);

static void step(struct session *s, struct gw_event *event)
{
	event->now_ns = gw_now_ns();
	event->link_bytes = gw_link_bytes(&s->link);
	(void)gw_destination_step(s->machine, event, &s->actions);
	carry_out(s);
}

static void drain_queue(struct session *s)
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
		step(s, &event);
	}
}

/* --- the VM and its memory ------------------------------------------------------------------ */

static int take_memory(struct session *s, struct gw_error *error)
{
	uint64_t *words = calloc(gw_set_words(s->ram.pages), sizeof(*words));

	if (!words)
		return gw_fail(error, ENOMEM, "no memory for %llu pages",
		               (unsigned long long)s->ram.pages);
	gw_set_init(&s->pages, words, s->ram.pages);
	return 0;
}

static int write_reserved(struct session *s, struct gw_error *error)
{
	struct gw_journal *j = &s->journal;

	j->id = s->options->id;
	j->side = GW_SIDE_DESTINATION;
	gw_agent_note_guest(j, &s->guest);
	return gw_journal_create(j, s->options->host.dir, error);
}

static int open_state(struct session *s, struct gw_error *error)
{
	int the_vms, err = gw_agent_open_state(&s->state_fd, &the_vms, error);

	return err ? err : gw_vm_load(s->guest.vm, the_vms, error);
}

static int reserve(struct session *s, const struct gw_message *m, struct gw_error *error)
{
	char name[GW_NAME_MAX + 1];
	int err;

	if (m->offer.ram_bytes / GW_PAGE_BYTES != s->machine_pages)
		return gw_fail(error, EPROTO, "an offer must be the first message");
	memcpy(name, m->offer.name, m->offer.name_bytes);
	name[m->offer.name_bytes] = '\0';
	err = gw_guest_start(&s->guest, &s->options->host, name, (const char *)m->offer.spec,
	                     m->offer.spec_bytes, m->offer.ram_bytes, m->offer.vcpus,
	                     m->offer.flags & GW_OFFER_PAUSED, error);
	if (err)
		return err;
	s->has_guest = true;
	err = gw_ram_open(&s->ram, s->guest.vm->ram_path, s->guest.vm->pid, error);
	if (err)
		return err;
	s->has_ram = true;
	if (s->ram.pages != s->machine_pages)
		return gw_fail(error, EPROTO, "the VM's memory file has not the announced size");
	err = take_memory(s, error);
	if (!err && (m->offer.flags & GW_OFFER_PULLS)) {
		err = gw_faults_open(&s->faults, &s->ram, error);
		s->has_faults = !err;
	}
	if (!err && (m->offer.flags & GW_OFFER_VERIFIES)) {
		s->digests = calloc(s->ram.pages, sizeof(*s->digests));
		if (!s->digests)
			err = gw_fail(error, ENOMEM, "no memory to verify on this host");
	}
	if (!err)
		err = write_reserved(s, error);
	if (!err)
		s->control = gw_control_open(s->journal.path, NULL);
	return err ? err : open_state(s, error);
}

static int start_receiving(struct session *s);

static void act_reserve(struct session *s, const struct gw_action *action)
{
	struct gw_error error = {{0}};

	if (reserve(s, &action->message, &error) || start_receiving(s))
		queue(s, GW_EV_FAILED, error.text[0] ? error.text : "no memory to receive");
	else
		queue(s, GW_EV_RESERVED, NULL);
}

static void act_destroy(struct session *s)
{
	gw_cleanup_close(&s->state_fd);
	if (s->has_faults)
		gw_faults_close(&s->faults);
	s->has_faults = false;
	if (s->has_guest)
		gw_guest_remove(&s->guest);
	s->has_guest = false;
	queue(s, GW_EV_DESTROYED, NULL);
}

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

static void act_punch(struct session *s, const struct gw_set *stale)
{
	struct gw_error error;

	if (punch(s, stale, &error))
		queue(s, GW_EV_FAILED, error.text);
}

static void act_arm(struct session *s, const struct gw_set *stale)
{
	struct gw_error error;
	int err = punch(s, stale, &error);

	if (!err)
		err = gw_journal_note_pulls(&s->journal, true, &error);
	if (!err)
		err = gw_faults_arm(&s->faults, &error);
	if (err) {
		queue(s, GW_EV_FAILED, error.text);
		return;
	}
	s->bulk.staged = s->urgent.staged = true;
	queue(s, GW_EV_ARMED, NULL);
}

static void act_run(struct session *s)
{
	struct gw_error error;

	s->bulk.staged = s->urgent.staged = true;
	if (!s->has_guest)
		queue(s, GW_EV_RUN_REFUSED, "the hypervisor is gone");
	else if (gw_vm_cont(s->guest.vm, &error))
		queue(s, GW_EV_RUN_REFUSED, error.text);
	else
		s->run_asked = true;
}

static void act_disarm(struct session *s)
{
	struct gw_error error;

	/* First: with every page in, faults that are gone are no doubt to the next agent. */
	(void)gw_journal_note_pulls(&s->journal, false, &error);
	if (gw_faults_finish(&s->faults, &error) && s->options->trace)
		(void)fprintf(s->options->trace, "%s\n", error.text);
	s->has_faults = false;
	queue(s, GW_EV_DISARMED, NULL);
}

static void act_survey(struct session *s)
{
	struct gw_error error;
	int err;

	gw_set_clear(&s->pages);
	err = gw_ram_populated(&s->ram, &s->pages, &error);
	gw_answers_put_result(&s->answers, GW_EV_SURVEYED, err, &error);
}

static void act_zero(struct session *s, uint64_t page)
{
	struct gw_error error;

	(void)gw_faults_zero(&s->faults, (struct gw_run){page, 1}, &error);
}

static void vm_event(struct session *s, const struct gw_vm_event *event)
{
	switch (event->kind) {
	case GW_VM_LOADED: queue(s, GW_EV_LOADED, NULL); break;
	case GW_VM_RUNNING: queue(s, GW_EV_RUNNING, NULL); break;
	case GW_VM_REFUSED:
		queue(s, s->run_asked ? GW_EV_RUN_REFUSED : GW_EV_FAILED, event->text);
		break;
	case GW_VM_SHUTDOWN: queue(s, GW_EV_VM_GONE, "the guest powered itself off"); break;
	case GW_VM_DIED: queue(s, GW_EV_VM_GONE, event->text); break;
	case GW_VM_STOPPED:
	case GW_VM_SAVED:
	case GW_VM_RESET:
	case GW_VM_PANICKED: break;
	}
}

static void read_vm(struct session *s)
{
	struct gw_vm_event event = {0};
	int got;

	while (s->has_guest && (got = gw_vm_next(s->guest.vm, &event)) != 0) {
		if (got < 0) {
			/* The process may be there still: it is kept, to be ended if need be. */
			queue(s, GW_EV_VM_GONE, "its control connection broke");
			s->vm_cut = true;
			return;
		}
		vm_event(s, &event);
		if (event.kind == GW_VM_DIED)
			return;
	}
}

/* --- the device state ----------------------------------------------------------------------- */

static void flush_state(struct session *s)
{
	while (s->may_load && s->state_fd >= 0 && s->state.taken < s->state.count) {
		ssize_t n = send(s->state_fd, s->state.at + s->state.taken,
		                 s->state.count - s->state.taken, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n <= 0)
			return; /* poll says when there is room; a dead reader shows as its VM */
		s->state.taken += (size_t)n;
	}
	if (s->state.taken == s->state.count)
		s->state.taken = s->state.count = 0;
	/* One that is cut short is refused by who loads it, not waited for. */
	if (s->may_load && s->state_ended && !s->state.count && s->state_fd >= 0)
		(void)shutdown(s->state_fd, SHUT_WR);
}

static void keep_state(struct session *s, const uint8_t *from, size_t count)
{
	struct bytes *b = &s->state;

	if (b->count + count > b->room) {
		size_t room = 2 * (b->count + count);
		uint8_t *larger = room > STATE_HELD_MAX ? NULL : realloc(b->at, room);

		if (!larger) {
			queue(s, GW_EV_FAILED, "the device state is too large to be held here");
			return;
		}
		b->at = larger;
		b->room = room;
	}
	memcpy(b->at + b->count, from, count);
	b->count += count;
	flush_state(s);
}

/* What the loading hypervisor says back goes to the one that saves. */
static void read_state(struct session *s)
{
	ssize_t n = recv(s->state_fd, s->buffer, STATE_CHUNK, MSG_DONTWAIT);
	struct gw_message message = {.kind = GW_MSG_STATE};

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		gw_cleanup_close(&s->state_fd);
		return;
	}
	message.state.bytes = s->buffer;
	message.state.count = (uint32_t)n;
	if (s->link.up)
		(void)gw_mailbox_send(s->link.control, &message);
}

/* --- pages ---------------------------------------------------------------------------------- */

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
		step(s, &event);
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
			lost(s, error.text);
		else
			queue(s, GW_EV_FAILED, error.text);
		return;
	}
	if (!from->staged || from->frame.kind == GW_FRAME_ZEROS)
		note_digests(s, &from->frame, NULL);
	event.placed.runs = from->frame.runs;
	event.placed.count = from->frame.run_count;
	step(s, &event);
}

static void stop_receiving(struct session *s)
{
	if (s->receiving) {
		gw_receiver_free(&s->bulk);
		gw_receiver_free(&s->urgent);
	}
	s->receiving = false;
}

/*
 * When every page is in, the source closes all three connections behind its last word. Which end is
 * seen first is chance; the last word comes over control, so control alone counts then.
 */
static void pages_ended(struct session *s, const char *why)
{
	if (s->journal.record == GW_REC_WHOLE)
		stop_receiving(s);
	else
		lost(s, why);
}

static void receive(struct session *s, struct gw_receiver *from)
{
	struct gw_error error;
	int frames, got;

	for (frames = 0; frames < FRAMES_A_TURN && s->link.up && !s->finished; frames++) {
		got = gw_receiver_next(from, &error);
		if (got == -ENOSPC)
			queue(s, GW_EV_FAILED, error.text);
		else if (got < 0)
			pages_ended(s, error.text);
		if (got <= 0)
			return;
		s->more = frames + 1 == FRAMES_A_TURN;
		s->link.frame_bytes = s->bulk.received_bytes + s->urgent.received_bytes;
		frame_in(s, from);
		drain_queue(s);
	}
}

static void read_faults(struct session *s)
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
		step(s, &event);
	}
}

static void compare(struct session *s, const struct gw_message *m)
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
	queue(s, GW_EV_COMPARED, NULL);
}

/* --- the link ------------------------------------------------------------------------------- */

static int start_receiving(struct session *s)
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

static void hang_up(struct session *s)
{
	stop_receiving(s);
	gw_link_close(&s->link, gw_actions_end(&s->actions));
}

int gw_session_send_link(int router, const int fds[3])
{
	char byte = 1;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	union {
		char bytes[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr align;
	} space = {{0}};
	struct msghdr message = {.msg_iov = &iov,
	                         .msg_iovlen = 1,
	                         .msg_control = space.bytes,
	                         .msg_controllen = sizeof(space.bytes)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(3 * sizeof(int));
	memcpy(CMSG_DATA(head), fds, 3 * sizeof(int));
	/* A session that is stuck must not make the server wait. */
	return sendmsg(router, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -errno;
}

/* 1: a new triple; 0: none; -1: the router is gone. */
static int receive_link(int router, int fds[3])
{
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	union {
		char bytes[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr align;
	} space;
	struct msghdr message = {.msg_iov = &iov,
	                         .msg_iovlen = 1,
	                         .msg_control = space.bytes,
	                         .msg_controllen = sizeof(space.bytes)};
	ssize_t n = recvmsg(router, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	if (!head || head->cmsg_len != CMSG_LEN(3 * sizeof(int)))
		return n == 0 ? -1 : 0;
	memcpy(fds, CMSG_DATA(head), 3 * sizeof(int));
	return 1;
}

static void take_link(struct session *s)
{
	struct gw_event gone = {.kind = GW_EV_LINK_LOST, .text = "the source connected anew"};
	int fds[3];
	int got = receive_link(s->options->router, fds);

	if (got < 0)
		s->orphan = true;
	if (got <= 0)
		return;
	if (s->link.up)
		step(s, &gone);
	hang_up(s);
	if (gw_link_set(&s->link, fds[0], fds[1], fds[2], s->has_ram ? s->ram.pages : 0))
		return;
	if (s->has_ram && start_receiving(s)) {
		lost(s, "no memory to receive");
		return;
	}
	queue(s, GW_EV_LINK_UP, NULL);
}

static void read_control(struct session *s)
{
	struct gw_error error;
	struct gw_message message;
	int got = 0;

	while (s->link.up && (got = gw_mailbox_next(s->link.control, &message, &error)) == 1) {
		struct gw_event event = {.kind = GW_EV_MESSAGE, .message = &message};

		if (message.kind == GW_MSG_STATE) {
			keep_state(s, message.state.bytes, message.state.count);
		} else if (message.kind == GW_MSG_STATE_END) {
			s->state_ended = true;
			flush_state(s);
		} else {
			step(s, &event);
		}
		drain_queue(s);
		if (s->finished || !s->link.up)
			return;
	}
	if (got < 0)
		lost(s, error.text);
}

/* --- actions -------------------------------------------------------------------------------- */

static void write_journal(struct session *s, const struct gw_action *action)
{
	struct gw_error error;

	if (s->journal.fd < 0) {
		queue(s, GW_EV_JOURNALED, NULL); /* nothing was reserved: nothing to remember */
		return;
	}
	if (gw_journal_write(&s->journal, action->journal.record, action->journal.durable, &error))
		queue(s, GW_EV_UNWRITTEN, error.text);
	else
		queue(s, GW_EV_JOURNALED, NULL);
}

static void act(struct session *s, const struct gw_action *action)
{
	switch (action->kind) {
	case GW_ACT_TRACE:
		if (s->options->trace)
			(void)fprintf(s->options->trace, "%s\n", action->text);
		break;
	case GW_ACT_SEND: gw_agent_send(&s->link, &action->message, &s->answers); break;
	case GW_ACT_MAP: gw_agent_send_map(&s->link, action->set, &s->answers); break;
	case GW_ACT_JOURNAL: write_journal(s, action); break;
	case GW_ACT_SURVEY: act_survey(s); break;
	case GW_ACT_HANG_UP: hang_up(s); break;
	case GW_ACT_FINISH: s->finished = true; break;
	case GW_ACT_RESERVE: act_reserve(s, action); break;
	case GW_ACT_PUNCH: act_punch(s, action->set); break;
	case GW_ACT_ARM: act_arm(s, action->set); break;
	case GW_ACT_LOAD:
		s->may_load = true;
		flush_state(s);
		break;
	case GW_ACT_RUN: act_run(s); break;
	case GW_ACT_ZERO: act_zero(s, action->page); break;
	case GW_ACT_DISARM: act_disarm(s); break;
	case GW_ACT_DESTROY: act_destroy(s); break;
	case GW_ACT_COMPARE: compare(s, &action->message); break;
	default: break;
	}
}

static void carry_out(struct session *s)
{
	size_t i;

	for (i = 0; i < s->actions.count; i++)
		act(s, &s->actions.at[i]);
}

/* --- the loop ------------------------------------------------------------------------------- */

enum { P_ROUTER, P_CONTROL, P_URGENT, P_BULK, P_FAULTS, P_VM, P_STATE, P_ASK, P_COUNT };

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

static void answer_control(struct session *s)
{
	char command[64];

	if (!gw_control_next(s->control, command, sizeof(command)))
		return;
	if (!strcmp(command, "abort")) {
		bool late = gw_destination_state(s->machine) >= GW_STATE_COMMITMENT;

		queue(s, GW_EV_ABORT, "stopped by the destination's user");
		gw_control_answer(s->control, late ? "refused: the source decides now\n" : "ok\n");
		return;
	}
	if (!strcmp(command, "run-here") || !strcmp(command, "gone")) {
		enum gw_state state = gw_destination_state(s->machine);

		if (state != GW_STATE_COMMITMENT && state != GW_STATE_DOUBT) {
			gw_control_answer(s->control, "refused: there is no doubt to resolve\n");
			return;
		}
		queue(s, command[0] == 'r' ? GW_EV_RESOLVED_HERE : GW_EV_RESOLVED_GONE, NULL);
		drain_queue(s);
		if (gw_destination_state(s->machine) == state)
			gw_control_answer(s->control, "refused: it lacks pages that only the "
			                              "source has, or its journal cannot be "
			                              "written; it does not run here\n");
		else
			gw_control_answer(s->control, "ok\n");
		return;
	}
	gw_control_answer(s->control, "%s 0 0\n", gw_state_name(gw_destination_state(s->machine)));
}

static void turn(struct session *s)
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
		read_faults(s);
	if (items[P_VM].revents) {
		read_vm(s); /* before COMMIT is heard: a VM that is dead takes no commitment */
		drain_queue(s);
	}
	if (s->receiving && (items[P_URGENT].revents & POLLOUT))
		(void)gw_mailbox_flush(s->link.urgent);
	more = s->more;
	s->more = false;
	if (s->receiving && (more || (items[P_URGENT].revents & (POLLIN | POLLHUP | POLLERR))))
		receive(s, &s->urgent);
	if (s->link.up && (items[P_CONTROL].revents & POLLOUT) &&
	    gw_mailbox_flush(s->link.control) < 0)
		lost(s, "the control connection broke");
	if (s->link.up && (items[P_CONTROL].revents & (POLLIN | POLLHUP | POLLERR)))
		read_control(s);
	if (s->receiving && (more || items[P_BULK].revents))
		receive(s, &s->bulk);
	if (s->state_fd >= 0 && (items[P_STATE].revents & POLLOUT))
		flush_state(s);
	if (s->state_fd >= 0 && (items[P_STATE].revents & (POLLIN | POLLHUP)))
		read_state(s);
	if (items[P_ASK].revents)
		answer_control(s);
	drain_queue(s);
	if (items[P_ROUTER].revents)
		take_link(s);
	drain_queue(s);
	if (!s->finished && gw_now_ns() >= gw_destination_deadline(s->machine))
		step(s, &tick);
	drain_queue(s);
	if (s->options->trace)
		(void)fflush(s->options->trace);
}

/* --- setting up ----------------------------------------------------------------------------- */

static int begin(struct session *s, const struct gw_session_options *options,
                 struct gw_error *error)
{
	memset(s, 0, sizeof(*s));
	s->options = options;
	s->journal.fd = -1;
	s->state_fd = -1;
	s->link.bulk = -1;
	s->buffer = malloc(STATE_CHUNK);
	return s->buffer ? 0 : gw_fail(error, ENOMEM, "no memory for a session");
}

static int make_machine(struct session *s, uint64_t pages, uint32_t vcpus, struct gw_error *error)
{
	const char *why = gw_probe_lacks(s->options->probe, "faults");
	struct gw_destination_config config = {
	        .id = s->options->id,
	        .host = s->options->identity,
	        .ram_pages = pages,
	        .vcpus = vcpus,
	        .serves_faults = why == NULL,
	        .why_no_faults = why ? why : "",
	};
	void *memory = malloc(gw_destination_bytes(pages, vcpus));

	if (!memory)
		return gw_fail(error, ENOMEM, "no memory to receive %llu pages",
		               (unsigned long long)pages);
	s->machine = gw_destination_init(memory, &config);
	s->machine_pages = pages;
	return 0;
}

static void give_back(struct session *s)
{
	hang_up(s);
	gw_cleanup_close(&s->state_fd);
	if (s->has_faults)
		gw_faults_close(&s->faults);
	if (s->has_guest)
		gw_guest_close(&s->guest);
	gw_control_close(s->control);
	if (s->journal.record == GW_REC_WHOLE && s->finished &&
	    gw_destination_state(s->machine) == GW_STATE_RELEASED)
		s->journal.record = GW_REC_RELEASED;
	gw_journal_close(&s->journal);
	if (s->has_ram)
		gw_ram_close(&s->ram);
	free(s->pages.words);
	free(s->digests);
	free(s->machine);
	free(s->state.at);
	free(s->buffer);
}

/* What is set up by the peer's word alone must not eat up this host. */
static bool is_plausible(const struct gw_message *m, struct gw_error *why)
{
	struct sysinfo host;
	uint64_t most = UINT64_MAX;

	if (!sysinfo(&host))
		most = ((uint64_t)host.totalram + host.totalswap) * host.mem_unit;
	if (m->offer.ram_bytes > most) {
		(void)gw_fail(why, E2BIG,
		              "the VM has %llu MiB of memory, the destination %llu MiB in all",
		              (unsigned long long)m->offer.ram_bytes >> 20,
		              (unsigned long long)most >> 20);
		return false;
	}
	if (m->offer.vcpus <= VCPUS_MAX)
		return true;
	(void)gw_fail(why, E2BIG, "the VM has %u vCPUs: at most %u are received", m->offer.vcpus,
	              VCPUS_MAX);
	return false;
}

/* Waits for the first message, which says how large the VM is. */
static int first_message(struct session *s, struct gw_error *error)
{
	struct pollfd item = {.fd = s->options->router, .events = POLLIN};
	struct gw_message message;
	struct gw_event event = {.kind = GW_EV_MESSAGE, .message = &message};
	uint64_t deadline = gw_now_ns() + FIRST_LINK_MS * 1000000ull;
	struct gw_error why;
	int fds[3], got = 0, err;

	if (poll(&item, 1, FIRST_LINK_MS) != 1 || receive_link(s->options->router, fds) != 1)
		return gw_fail(error, ETIMEDOUT, "no connection came");
	if (gw_link_set(&s->link, fds[0], fds[1], fds[2], 0))
		return gw_fail(error, ENOMEM, "no memory for the connections");
	item.fd = gw_mailbox_fd(s->link.control);
	while (!(got = gw_mailbox_next(s->link.control, &message, error))) {
		if (gw_now_ns() >= deadline)
			return gw_fail(error, ETIMEDOUT, "the peer offers nothing");
		(void)poll(&item, 1, gw_poll_ms(deadline, gw_now_ns()));
	}
	if (got < 0)
		return got;
	if (message.kind == GW_MSG_OFFER && !is_plausible(&message, &why)) {
		message = gw_message_reason(GW_MSG_REFUSE, why.text);
		(void)gw_mailbox_send(s->link.control, &message);
		return gw_fail(error, E2BIG, "%s", why.text);
	}
	if (message.kind == GW_MSG_OFFER)
		err = make_machine(s, message.offer.ram_bytes / GW_PAGE_BYTES, message.offer.vcpus,
		                   error);
	else
		err = make_machine(s, 0, 0, error);
	if (!err)
		step(s, &event);
	return err;
}

int gw_session_run(const struct gw_session_options *options, struct gw_error *error)
{
	struct session s;
	int err = begin(&s, options, error);

	if (!err)
		err = first_message(&s, error);
	if (!err) {
		drain_queue(&s);
		read_control(&s); /* what came with the first message, poll() does not tell */
	}
	while (!err && !s.finished)
		turn(&s);
	give_back(&s);
	return err;
}

/* What of the VM is still there is taken up again: its process, its memory, its faults. */
static void take_up(struct session *s, bool *faults)
{
	const struct gw_journal *j = &s->journal;
	struct gw_error error;

	*faults = false;
	if (gw_guest_reopen(&s->guest, j->kind, j->name, j->control, j->pid, j->ram, j->paused,
	                    &error))
		return;
	s->has_guest = true;
	if (gw_ram_open(&s->ram, j->ram, j->pid, &error))
		return;
	s->has_ram = true;
	if (s->ram.bytes != j->ram_bytes) { /* not the file of this migration */
		gw_ram_close(&s->ram);
		s->has_ram = false;
		return;
	}
	if (take_memory(s, &error))
		return;
	*faults = !gw_faults_reopen(&s->faults, &s->ram, &error);
	s->has_faults = *faults;
}

/*
 * Pages are missing and nothing makes their readers wait any more. What never ran is given back; of
 * what runs, the source must not drop its copy.
 */
static enum gw_journal_record without_faults(enum gw_journal_record record)
{
	switch (record) {
	case GW_REC_PREPARED: return GW_REC_RESERVED;
	case GW_REC_MINE: return GW_REC_DOUBT;
	default: return record;
	}
}

int gw_session_recover(const struct gw_session_options *options, struct gw_journal *journal,
                       struct gw_error *error)
{
	struct gw_event first = {.kind = GW_EV_RECOVER};
	struct session s;
	int err = begin(&s, options, error);

	if (err)
		return err;
	s.journal = *journal;
	first.recover.record = journal->record;
	if (!gw_journal_settled(journal->record) && journal->record != GW_REC_WHOLE)
		take_up(&s, &first.recover.faults);
	if (journal->pulls && !first.recover.faults)
		first.recover.record = without_faults(journal->record);
	err = make_machine(&s, journal->ram_bytes / GW_PAGE_BYTES, journal->vcpus, error);
	if (!err) {
		s.control = gw_control_open(s.journal.path, NULL);
		step(&s, &first);
		drain_queue(&s);
	}
	while (!err && !s.finished)
		turn(&s);
	give_back(&s);
	return err;
}
