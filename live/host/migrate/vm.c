/* SPDX-License-Identifier: MIT */
/*
 * live/host/migrate/vm.c - the source's agent: the hypervisor, what it is asked for and what it
 * answers; and the device state that it saves.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/host/clock.h"
#include "live/host/migrate/parts.h"
#include "live/vm/registry.h"

#define RESUME_NS       10000000000ull /* that a refused `cont` is asked for again */
#define RESUME_AGAIN_NS 100000000ull

void gw_migrate_save(struct agent *a)
{
	struct gw_error error;
	int the_vms;

	gw_cleanup_close(&a->state_fd);
	if (!a->guest) {
		gw_migrate_queue(a, GW_EV_FAILED, "the hypervisor is gone");
		return;
	}
	a->state_ended = false;
	if (gw_agent_open_state(&a->state_fd, &the_vms, &error) ||
	    gw_vm_save(a->guest->vm, the_vms, &error))
		gw_migrate_queue(a, GW_EV_FAILED, error.text);
}

void gw_migrate_stop(struct agent *a)
{
	struct gw_error error;

	a->stopping = a->guest && !gw_vm_stop(a->guest->vm, &error);
	if (!a->stopping)
		gw_migrate_queue(a, GW_EV_FAILED, a->guest ? error.text : "the hypervisor is gone");
}

/*
 * What refuses `cont` now may take it soon: a request of somebody else that is under way, a disk
 * that the destination has not let go of yet. Only after that is a VM left standing.
 */
static void resume_refused(struct agent *a, const char *why)
{
	uint64_t now = gw_now_ns();

	if (a->guest && now < a->resume_until_ns) {
		a->resume_at_ns = now + RESUME_AGAIN_NS;
		return;
	}
	a->resuming = false;
	gw_migrate_queue(a, GW_EV_RUN_REFUSED, why);
}

void gw_migrate_ask_to_run(struct agent *a)
{
	struct gw_error error;

	a->resume_at_ns = UINT64_MAX;
	if (!a->guest)
		resume_refused(a, "the hypervisor is gone");
	else if (gw_vm_cont(a->guest->vm, &error))
		resume_refused(a, error.text);
}

/* While `stop` is on its way, `cont` follows its answer; or it is on its way itself. */
void gw_migrate_resume(struct agent *a)
{
	gw_cleanup_close(&a->state_fd);
	a->resuming = true;
	a->resume_until_ns = gw_now_ns() + RESUME_NS;
	if (!a->stopping && !a->draining)
		gw_migrate_ask_to_run(a);
}

static void has_stopped(struct agent *a)
{
	a->stopping = a->runs = false;
	if (a->resuming)
		gw_migrate_ask_to_run(a);
	else if (a->draining)
		gw_migrate_drained(a);
	else
		gw_migrate_queue(a, GW_EV_STOPPED, NULL);
}

static void runs(struct agent *a)
{
	if (a->draining && !a->resuming) {
		if (a->tracking)
			gw_migrate_queue(a, GW_EV_TRACKING, NULL);
	} else {
		gw_migrate_queue(a, GW_EV_RUNNING, NULL);
	}
	a->runs = true;
	a->draining = a->resuming = false;
	a->resume_at_ns = UINT64_MAX;
}

static void has_refused(struct agent *a, const char *why)
{
	a->stopping = a->draining = false;
	if (a->resuming)
		resume_refused(a, why);
	else
		gw_migrate_queue(a, GW_EV_FAILED, why);
}

static void vm_event(struct agent *a, const struct gw_vm_event *event)
{
	switch (event->kind) {
	case GW_VM_STOPPED: has_stopped(a); break;
	case GW_VM_RUNNING: runs(a); break;
	case GW_VM_SAVED: gw_migrate_queue(a, GW_EV_SAVED, NULL); break;
	case GW_VM_REFUSED: has_refused(a, event->text); break;
	case GW_VM_SHUTDOWN:
		gw_migrate_queue(a, GW_EV_VM_GONE, "the guest powered itself off");
		break;
	case GW_VM_DIED: gw_migrate_queue(a, GW_EV_VM_GONE, event->text); break;
	case GW_VM_LOADED:
	case GW_VM_RESET:
	case GW_VM_PANICKED: break;
	}
}

/* Nothing of what it was asked for will be answered. */
static void forget_guest(struct agent *a)
{
	gw_guest_close(a->guest);
	a->guest = NULL;
	a->stopping = a->draining = a->resuming = false;
	a->resume_at_ns = UINT64_MAX;
}

void gw_migrate_read_vm(struct agent *a)
{
	struct gw_vm_event event = {0};
	int got;

	while (a->guest && (got = gw_vm_next(a->guest->vm, &event)) != 0) {
		if (got < 0)
			gw_migrate_queue(a, GW_EV_VM_GONE, "its control connection broke");
		else
			vm_event(a, &event);
		if (got < 0 || event.kind == GW_VM_DIED)
			forget_guest(a);
	}
}

/* What the VM has said already is heard first. One that was resumed and then died did run on. */
void gw_migrate_look(struct agent *a)
{
	gw_migrate_read_vm(a);
	gw_migrate_queue(a, a->runs ? GW_EV_RUNNING : GW_EV_STOPPED, NULL);
}

void gw_migrate_read_state(struct agent *a)
{
	ssize_t n = recv(a->state_fd, a->buffer, STATE_CHUNK, MSG_DONTWAIT);
	struct gw_message message = {.kind = GW_MSG_STATE};

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		a->state_ended = true;
		message.kind = GW_MSG_STATE_END;
		gw_agent_send(&a->link, &message, &a->answers);
		gw_migrate_feed_shadow(a, 0);
		return;
	}
	a->result->state_bytes += (uint64_t)n;
	gw_migrate_feed_shadow(a, (size_t)n);
	message.state.bytes = a->buffer;
	message.state.count = (uint32_t)n;
	gw_agent_send(&a->link, &message, &a->answers);
}

/* What the loading hypervisor says back; never waited for: a peer may send what nobody reads. */
void gw_migrate_take_return_path(struct agent *a, const struct gw_message *message)
{
	ssize_t n;

	if (a->state_fd < 0)
		return;
	n = send(a->state_fd, message->state.bytes, message->state.count,
	         MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 ? errno == EAGAIN : (size_t)n < message->state.count) /* half of it is none */
		gw_migrate_lost(a, "the destination sends more than a hypervisor says");
}

/* The hypervisor is gone already. */
void gw_migrate_remove_what_is_left(const struct gw_journal *j)
{
	(void)unlink(j->ram);
	if (!strcmp(j->kind, "native"))
		(void)unlink(j->control);
	gw_registry_remove(j->name);
}
