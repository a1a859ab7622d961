/* SPDX-License-Identifier: MIT */
/*
 * live/host/session/vm.c - the destination's agent: the hypervisor that takes the VM in, from its
 * start to `cont`, and the device state that it loads.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "live/host/session/parts.h"

#define STATE_HELD_MAX (256u << 20) /* bytes of device state that may wait for the last pages */

int gw_session_take_memory(struct session *s, struct gw_error *error)
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
	err = gw_session_take_memory(s, error);
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

void gw_session_act_reserve(struct session *s, const struct gw_action *action)
{
	struct gw_error error = {{0}};

	if (reserve(s, &action->message, &error) || gw_session_start_receiving(s))
		gw_session_queue(s, GW_EV_FAILED,
		                 error.text[0] ? error.text : "no memory to receive");
	else
		gw_session_queue(s, GW_EV_RESERVED, NULL);
}

void gw_session_act_destroy(struct session *s)
{
	gw_cleanup_close(&s->state_fd);
	if (s->has_faults)
		gw_faults_close(&s->faults);
	s->has_faults = false;
	if (s->has_guest)
		gw_guest_remove(&s->guest);
	s->has_guest = false;
	gw_session_queue(s, GW_EV_DESTROYED, NULL);
}

void gw_session_act_run(struct session *s)
{
	struct gw_error error;

	s->bulk.staged = s->urgent.staged = true;
	if (!s->has_guest)
		gw_session_queue(s, GW_EV_RUN_REFUSED, "the hypervisor is gone");
	else if (gw_vm_cont(s->guest.vm, &error))
		gw_session_queue(s, GW_EV_RUN_REFUSED, error.text);
	else
		s->run_asked = true;
}

static void vm_event(struct session *s, const struct gw_vm_event *event)
{
	switch (event->kind) {
	case GW_VM_LOADED: gw_session_queue(s, GW_EV_LOADED, NULL); break;
	case GW_VM_RUNNING: gw_session_queue(s, GW_EV_RUNNING, NULL); break;
	case GW_VM_REFUSED:
		gw_session_queue(s, s->run_asked ? GW_EV_RUN_REFUSED : GW_EV_FAILED, event->text);
		break;
	case GW_VM_SHUTDOWN:
		gw_session_queue(s, GW_EV_VM_GONE, "the guest powered itself off");
		break;
	case GW_VM_DIED: gw_session_queue(s, GW_EV_VM_GONE, event->text); break;
	case GW_VM_STOPPED:
	case GW_VM_SAVED:
	case GW_VM_RESET:
	case GW_VM_PANICKED: break;
	}
}

void gw_session_read_vm(struct session *s)
{
	struct gw_vm_event event = {0};
	int got;

	while (s->has_guest && (got = gw_vm_next(s->guest.vm, &event)) != 0) {
		if (got < 0) {
			/* The process may be there still: it is kept, to be ended if need be. */
			gw_session_queue(s, GW_EV_VM_GONE, "its control connection broke");
			s->vm_cut = true;
			return;
		}
		vm_event(s, &event);
		if (event.kind == GW_VM_DIED)
			return;
	}
}

void gw_session_flush_state(struct session *s)
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

void gw_session_keep_state(struct session *s, const uint8_t *from, size_t count)
{
	struct bytes *b = &s->state;

	if (b->taken && b->count + count > b->room) {
		b->count -= b->taken;
		memmove(b->at, b->at + b->taken, b->count);
		b->taken = 0;
	}
	if (b->count + count > b->room) {
		size_t room = 2 * (b->count + count);
		uint8_t *larger = room > STATE_HELD_MAX ? NULL : realloc(b->at, room);

		if (!larger) {
			gw_session_queue(s, GW_EV_FAILED,
			                 "the device state is too large to be held here");
			return;
		}
		b->at = larger;
		b->room = room;
	}
	memcpy(b->at + b->count, from, count);
	b->count += count;
	gw_session_flush_state(s);
}

void gw_session_act_load(struct session *s)
{
	s->may_load = true;
	gw_session_flush_state(s);
}

void gw_session_end_state(struct session *s)
{
	s->state_ended = true;
	gw_session_flush_state(s);
}

/* What the loading hypervisor says back goes to the one that saves. */
void gw_session_read_state(struct session *s)
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
