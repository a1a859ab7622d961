/* SPDX-License-Identifier: MIT */
/*
 * core/migration/destination/step.c - the side that the VM comes to: its memory, and where each
 * event goes.
 *
 * Theory of operation
 *
 * Before the switch pages are placed as they come; nothing is known of them but that they came
 * (`placed`). At the switch three things must have arrived, over two connections: the SWITCH
 * message, the whole MAP if pages are missing, and the SWITCH mark behind the last page sent before
 * it. Then stale pages are punched out, holes are made to fault, and the device state is loaded.
 *
 *   missing   to be pulled: a fault on it is asked for over the network
 *   neither   a hole at the source: a fault on it gets a zero page at once
 *
 * Ownership: nothing runs here before the record `mine` is written, which follows COMMIT. From the
 * record `prepared` until COMMIT or ABORT only the source knows who may run the VM, so a lost link
 * leaves everything as it stands. Before `prepared` a lost link destroys what was reserved.
 */
#include <errno.h>
#include <string.h>

#include "core/migration/destination/parts.h"

#define LINK_TIMEOUT_NS (30 * SECOND) /* the source says PING every 2 s */
#define MORE_WAITERS    64            /* threads of the hypervisor that are not vCPUs */

size_t gw_destination_bytes(uint64_t ram_pages, uint32_t vcpus)
{
	return sizeof(struct gw_destination) + 3 * gw_set_words(ram_pages) * sizeof(uint64_t) +
	       ((size_t)vcpus + MORE_WAITERS) * sizeof(struct waiter);
}

struct gw_destination *gw_destination_init(void *memory, const struct gw_destination_config *config)
{
	struct gw_destination *d = memory;
	uint64_t *words = (uint64_t *)(void *)(d + 1);
	size_t n = gw_set_words(config->ram_pages);

	memset(d, 0, sizeof(*d));
	d->config = *config;
	if (!d->config.link_timeout_ns)
		d->config.link_timeout_ns = LINK_TIMEOUT_NS;
	gw_set_init(&d->placed, words, config->ram_pages);
	gw_set_init(&d->missing, words + n, config->ram_pages);
	gw_set_init(&d->punch, words + 2 * n, config->ram_pages);
	d->waiters = (struct waiter *)(void *)(words + 3 * n);
	d->waiter_count = (size_t)config->vcpus + MORE_WAITERS;
	memset(d->waiters, 0, d->waiter_count * sizeof(*d->waiters));
	d->state = GW_STATE_PRE_MIGRATION;
	d->link = true;
	return d;
}

enum gw_state gw_destination_state(const struct gw_destination *destination)
{
	return destination->state;
}

bool gw_destination_verifies(const struct gw_destination *destination)
{
	return destination->flags & GW_OFFER_VERIFIES;
}

static void journaled(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	switch (d->state) {
	case GW_STATE_RESERVATION:
		gw_destination_enter(d, ev, out, GW_STATE_ITERATIVE_PRE_COPY,
		                     "its place is reserved");
		gw_act_send(out, (struct gw_message){.kind = GW_MSG_ACCEPT,
		                                     .accept.host = d->config.host});
		break;
	case GW_STATE_STOP_AND_COPY:
		if (d->prepared) {
			if (GW_PLANT == 13) /* runs without COMMIT */
				gw_act(out, GW_ACT_RUN);
			gw_destination_enter(d, ev, out, GW_STATE_COMMITMENT,
			                     "the device state is loaded");
			gw_act_say(out, GW_MSG_PREPARED);
		}
		break;
	case GW_STATE_ACTIVATION:
		if (!d->running && d->committed) {
			d->run_asked = true;
			gw_act(out, GW_ACT_RUN);
		}
		break;
	default: break;
	}
}

static int message(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	const struct gw_message *m = ev->message;

	d->heard_ns = ev->now_ns;
	switch (m->kind) {
	case GW_MSG_OFFER: return gw_destination_offered(d, ev, out);
	case GW_MSG_SWITCH: return gw_destination_switch_said(d, ev, out);
	case GW_MSG_MAP: return gw_destination_map_said(d, ev, out);
	case GW_MSG_COMMIT: return gw_destination_commit(d, ev, out);
	case GW_MSG_ABORT: return gw_destination_aborted(d, ev, out);
	case GW_MSG_DIGESTS:
		if (!gw_destination_verifies(d) || !d->whole)
			return d->state == GW_STATE_CANCELLED ? 0 : -EPROTO;
		d->comparing++;
		gw_act(out, GW_ACT_COMPARE)->message = *m;
		return 0;
	case GW_MSG_RESUME: gw_destination_resume_asked(d, out); return 0;
	case GW_MSG_RELEASED: return gw_destination_released(d, ev, out);
	case GW_MSG_PING:
		gw_act_send(out, (struct gw_message){.kind = GW_MSG_PONG, .ping = m->ping});
		return 0;
	case GW_MSG_PONG: return 0;
	default: return -EPROTO;
	}
}

int gw_destination_step(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_event lost = *ev;
	int err = 0;

	gw_actions_begin(out);
	if (d->finished)
		return 0;
	switch (ev->kind) {
	case GW_EV_MESSAGE: err = message(d, ev, out); break;
	case GW_EV_RECOVER: gw_destination_recover(d, ev, out); break;
	case GW_EV_RESERVED:
		if (d->state == GW_STATE_RESERVATION)
			gw_act_journal(out, GW_REC_RESERVED, true);
		break;
	case GW_EV_JOURNALED: journaled(d, ev, out); break;
	case GW_EV_PLACED:
		d->heard_ns = ev->now_ns;
		gw_destination_placed(d, ev, out);
		break;
	case GW_EV_MARK: err = gw_destination_marked(d, ev, out); break;
	case GW_EV_FAULT: gw_destination_fault(d, ev, out); break;
	case GW_EV_ARMED: gw_destination_armed(d, out); break;
	case GW_EV_LOADED: gw_destination_loaded(d, out); break;
	case GW_EV_RUNNING: gw_destination_running(d, ev, out); break;
	case GW_EV_DISARMED:
		if (d->state == GW_STATE_PULL)
			gw_destination_became_whole(d, ev, out);
		break;
	case GW_EV_DESTROYED:
		if (d->state == GW_STATE_CANCELLED)
			gw_destination_finish(d, out, GW_STAYED);
		break;
	case GW_EV_SURVEYED: gw_destination_surveyed(d, ev, out); break;
	case GW_EV_COMPARED: gw_destination_compared(d, ev, out); break;
	case GW_EV_LINK_UP: gw_destination_link_up(d, ev); break;
	case GW_EV_LINK_LOST: gw_destination_link_lost(d, ev, out); break;
	case GW_EV_VM_GONE: gw_destination_vm_gone(d, ev, out); break;
	case GW_EV_UNWRITTEN: gw_destination_unwritten(d, ev, out); break;
	case GW_EV_FAILED: gw_destination_failed(d, ev, out); break;
	case GW_EV_ABORT:
		if (!d->prepared)
			gw_destination_destroy(d, ev, out, GW_MSG_ABORTED, ev->text);
		break;
	case GW_EV_RUN_REFUSED: gw_destination_run_refused(d, ev, out); break;
	case GW_EV_RESOLVED_HERE:
	case GW_EV_RESOLVED_GONE: gw_destination_resolved(d, ev, out); break;
	case GW_EV_TICK: gw_destination_tick(d, ev, out); break;
	default: break;
	}
	if (err == -EPROTO) {
		lost.text = "the source broke the protocol";
		gw_destination_link_lost(d, &lost, out);
	}
	return err;
}
