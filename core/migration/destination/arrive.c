/* SPDX-License-Identifier: MIT */
/*
 * core/migration/destination/arrive.c - the destination, from Reservation to Stop-and-Copy: a place
 * is made, pages arrive, and at the switch what must be here before the VM can be loaded.
 */
#include <errno.h>
#include <stdio.h>

#include "core/migration/destination/parts.h"

int gw_destination_offered(struct gw_destination *d, const struct gw_event *ev,
                           struct gw_actions *out)
{
	const struct gw_message *m = ev->message;

	if (d->state == GW_STATE_CANCELLED)
		return 0; /* our word is on its way */
	if (d->state != GW_STATE_PRE_MIGRATION)
		return -EPROTO;
	d->flags = m->offer.flags;
	if ((d->flags & GW_OFFER_PULLS) && !d->config.serves_faults) {
		gw_destination_keep_reason(d, d->config.why_no_faults);
		gw_destination_enter(d, ev, out, GW_STATE_CANCELLED,
		                     "page faults cannot be served here");
		gw_act_send(out, gw_message_reason(GW_MSG_REFUSE, d->reason));
		gw_destination_finish(d, out, GW_STAYED);
		return 0;
	}
	gw_destination_enter(d, ev, out, GW_STATE_RESERVATION, "a VM is offered");
	gw_act(out, GW_ACT_RESERVE)->message = *m;
	return 0;
}

/* All that was sent before it is in place. */
void gw_destination_ack(const struct gw_destination *d, uint64_t round, struct gw_actions *out)
{
	struct gw_message message = {.kind = GW_MSG_ROUND_ACK};

	message.round_ack.round = round;
	message.round_ack.placed_pages = d->placed_pages;
	gw_act_send(out, message);
}

void gw_destination_placed(struct gw_destination *d, const struct gw_event *ev,
                           struct gw_actions *out)
{
	size_t i;

	for (i = 0; i < ev->placed.count; i++) {
		gw_set_add_run(&d->placed, ev->placed.runs[i]);
		gw_set_remove_run(&d->missing, ev->placed.runs[i]);
		d->placed_pages += ev->placed.runs[i].count;
	}
	if (!d->armed)
		return;
	if (d->waiting)
		gw_destination_serve_waiters(d, ev);
	gw_destination_maybe_pulled(d, out);
}

/* What the source said and sent before it heard our last word means nothing any more. */
static bool said_last_word(const struct gw_destination *d)
{
	return d->state == GW_STATE_CANCELLED || d->state == GW_STATE_DOUBT;
}

static void load(struct gw_destination *d, struct gw_actions *out)
{
	d->loading = true;
	gw_act(out, GW_ACT_LOAD);
}

static void maybe_switch(struct gw_destination *d, const struct gw_event *ev,
                         struct gw_actions *out)
{
	char why[96];

	if (d->state != GW_STATE_ITERATIVE_PRE_COPY || !d->switch_said || !d->switch_marked ||
	    !d->map_known)
		return;
	(void)snprintf(why, sizeof(why), "the source has stopped the VM; %llu pages are missing",
	               (unsigned long long)gw_set_count(&d->missing));
	gw_destination_enter(d, ev, out, GW_STATE_STOP_AND_COPY, why);
	if (!d->pulls) {
		load(d, out);
		return;
	}
	gw_set_copy(&d->punch, &d->missing);
	if (GW_PLANT == 3) /* stale pages stay */
		gw_set_clear(&d->punch);
	gw_act(out, GW_ACT_ARM)->set = &d->punch;
}

int gw_destination_marked(struct gw_destination *d, const struct gw_event *ev,
                          struct gw_actions *out)
{
	d->heard_ns = ev->now_ns;
	if (said_last_word(d))
		return 0;
	switch (ev->mark.kind) {
	case GW_FRAME_ROUND:
		if (d->state != GW_STATE_ITERATIVE_PRE_COPY)
			return -EPROTO;
		gw_destination_ack(d, ev->mark.number, out);
		return 0;
	case GW_FRAME_SWITCH:
		if (d->state != GW_STATE_ITERATIVE_PRE_COPY || d->switch_marked)
			return -EPROTO;
		d->switch_marked = true;
		maybe_switch(d, ev, out);
		return 0;
	case GW_FRAME_END:
		if (!gw_destination_pulling(d))
			return -EPROTO;
		d->end_marked = true;
		d->end_number = ev->mark.number;
		if (d->whole && gw_destination_verifies(d) && !d->compared)
			gw_destination_ack(d, d->end_number, out);
		gw_destination_maybe_pulled(d, out);
		return 0;
	default: return -EPROTO;
	}
}

int gw_destination_switch_said(struct gw_destination *d, const struct gw_event *ev,
                               struct gw_actions *out)
{
	const struct gw_message *m = ev->message;

	if (said_last_word(d))
		return 0;
	if (gw_destination_pulling(d)) { /* taken up again: a new map follows */
		if (!m->switched.pulls)
			return -EPROTO;
		d->map_begun = false;
		return 0;
	}
	if (d->state != GW_STATE_ITERATIVE_PRE_COPY || d->switch_said)
		return -EPROTO;
	if (m->switched.pulls && !(d->flags & GW_OFFER_PULLS))
		return -EPROTO;
	d->switch_said = true;
	d->pulls = m->switched.pulls;
	d->map_known = !d->pulls;
	maybe_switch(d, ev, out);
	return 0;
}

/*
 * Before the switch a MAP names pages that were written since they came: the source will send them
 * again in any case, and punching them out now is not done while the VM stands.
 */
static int stale_said(struct gw_destination *d, const struct gw_message *m, struct gw_actions *out)
{
	uint32_t i;

	if (!(d->flags & GW_OFFER_PULLS))
		return -EPROTO;
	for (i = 0; i < m->map.count; i++)
		gw_set_add_run(&d->punch, m->map.runs[i]);
	if (!m->map.last)
		return 0;
	gw_set_intersect(&d->punch, &d->placed);
	gw_set_subtract(&d->placed, &d->punch);
	gw_act(out, GW_ACT_PUNCH)->set = &d->punch;
	gw_destination_ack(d, 0, out);
	return 0;
}

int gw_destination_map_said(struct gw_destination *d, const struct gw_event *ev,
                            struct gw_actions *out)
{
	const struct gw_message *m = ev->message;
	uint32_t i;

	if (said_last_word(d))
		return 0;
	if (d->state == GW_STATE_ITERATIVE_PRE_COPY && !d->switch_said)
		return stale_said(d, m, out);
	if (!d->pulls || (d->state != GW_STATE_ITERATIVE_PRE_COPY && !gw_destination_pulling(d)))
		return -EPROTO;
	if (!d->map_begun)
		gw_set_clear(&d->missing);
	d->map_begun = true;
	for (i = 0; i < m->map.count; i++)
		gw_set_add_run(&d->missing, m->map.runs[i]);
	if (!m->map.last)
		return 0;
	d->map_known = true;
	if (gw_destination_pulling(d)) {
		/* What was sent after the map may have overtaken it on another connection. */
		gw_set_subtract(&d->missing, &d->placed);
		gw_set_clear(&d->punch);
		d->map_awaited = false;
		gw_destination_ask_again(d, ev, out);
		gw_destination_maybe_pulled(d, out);
	} else {
		maybe_switch(d, ev, out);
	}
	return 0;
}

void gw_destination_armed(struct gw_destination *d, struct gw_actions *out)
{
	if (d->state != GW_STATE_STOP_AND_COPY)
		return;
	d->armed = true;
	gw_set_clear(&d->punch);
	load(d, out);
}

void gw_destination_loaded(struct gw_destination *d, struct gw_actions *out)
{
	if (d->state != GW_STATE_STOP_AND_COPY || !d->loading)
		return;
	d->loading = false;
	d->prepared = true;
	gw_act_journal(out, GW_REC_PREPARED, false);
}
