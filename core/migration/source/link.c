/* SPDX-License-Identifier: MIT */
/*
 * core/migration/source/link.c - the source, after a lost link or a crash: the destination is
 * asked where it stands, and its answer says how it goes on.
 */
#include <errno.h>
#include <stdio.h>

#include "core/migration/source/parts.h"

void gw_source_reconnect(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->connecting || !gw_source_needs_link(s))
		return;
	s->connecting = true;
	s->retry_ns = ev->now_ns;
	gw_act(out, GW_ACT_CONNECT);
}

void gw_source_link_lost(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	bool was_up = s->link;
	char why[GW_TRACE_BYTES];

	if (s->finished)
		return;
	s->link = false;
	s->connecting = false;
	s->have_whole = s->answered = false;
	if (was_up) {
		gw_act(out, GW_ACT_HANG_UP);
		s->lost_ns = ev->now_ns;
		s->sending = false;
		gw_trace(out, ev->now_ns, WHO, "the link is lost in %s: %.120s",
		         gw_state_name(s->state), ev->text);
	}
	if (gw_source_is_ours(s)) {
		(void)snprintf(why, sizeof(why), "the link to the destination was lost: %.150s",
		               ev->text);
		gw_source_cancel_for(s, ev, out, GW_AT_LINK, why, true);
	} else if (s->state == GW_STATE_CANCELLED && !s->may_be_prepared) {
		s->settled = true;
		gw_source_settle(s, ev, out);
	}
	s->retry_ns = ev->now_ns;
	if (was_up)
		gw_source_reconnect(s, ev, out);
}

void gw_source_link_up(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	s->link = true;
	s->connecting = false;
	s->heard_ns = ev->now_ns;
	if (s->finished)
		return;
	gw_trace(out, ev->now_ns, WHO, "the link stands again");
	if (s->state == GW_STATE_CANCELLED) {
		gw_act_send(out, gw_message_reason(GW_MSG_ABORT, s->reason));
	} else {
		s->asked = true;
		s->stands = false;
		gw_act_say(out, GW_MSG_RESUME);
	}
}

/* The destination says so only of what it never ran; a stranger says so of everything. */
static int unknown_there(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	bool same = gw_id_same(&ev->message->standing.host, &s->config.destination);

	if (GW_PLANT == 6) /* believes whoever answers */
		same |= s->state == GW_STATE_COMMITMENT;
	if (!same) {
		gw_source_keep_reason(
		        s, "another host answers than the one to which the VM was handed over, "
		           "or it has lost its journals: that it knows nothing of the VM proves "
		           "nothing; `recover --to` names the right one, `resolve "
		           "--run-here|--gone` lets you say");
		gw_source_give_up_waiting(s, ev, out);
		return 0;
	}
	if (s->state == GW_STATE_ACTIVATION || s->state == GW_STATE_PULL) {
		gw_source_keep_reason(
		        s, "the destination, to which the VM has gone, knows nothing of it any "
		           "more: somebody said there that it is gone; `resolve "
		           "--run-here|--gone` lets you say what becomes of it here");
		gw_source_give_up_waiting(s, ev, out);
		return 0;
	}
	if (s->state != GW_STATE_COMMITMENT)
		return -EPROTO;
	gw_source_never_ran_there(s, ev, out, "the destination never ran the VM");
	return 0;
}

/*
 * On a new link it waits for COMMIT: one that was said on an old link never comes. What has run on
 * since is not what is loaded there.
 */
static int prepared_there(struct gw_source *s, const struct gw_event *ev, bool asked_for,
                          struct gw_actions *out)
{
	if (s->state != GW_STATE_COMMITMENT || !asked_for)
		return -EPROTO;
	s->committed = false;
	if (s->ran_on)
		gw_source_cancel(s, ev, out, SOMEBODY_RESUMED, true);
	else
		gw_source_look(s, out);
	return 0;
}

int gw_source_standing(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	enum gw_standing where = ev->message->standing.standing;
	bool asked_for = s->asked && !s->answered;

	if (gw_source_is_ours(s) && !s->asked)
		return -EPROTO;
	s->answered = true;
	if (s->state == GW_STATE_CANCELLED)
		return where == GW_STANDS_RUNNING || where == GW_STANDS_COMPLETE ? -EPROTO : 0;
	switch (where) {
	case GW_STANDS_UNKNOWN: return unknown_there(s, ev, out);
	case GW_STANDS_PREPARED: return prepared_there(s, ev, asked_for, out);
	case GW_STANDS_RUNNING:
		s->pulls = s->stands = true;
		if (s->state == GW_STATE_COMMITMENT)
			gw_source_activated(s, ev, out, 0);
		gw_set_clear(&s->skip); /* the MAP of what is there follows */
		return 0;
	case GW_STANDS_COMPLETE:
		/* All pages are in; what it says next is DONE. */
		s->pulls = false;
		s->marked = s->stands = true;
		if (s->state == GW_STATE_COMMITMENT)
			gw_source_activated(s, ev, out, 0);
		return 0;
	case GW_STANDS_DOUBT:
		if (s->state != GW_STATE_COMMITMENT)
			gw_source_keep_reason(
			        s, "the destination, to which the VM has gone, does not know "
			           "whether it may run: `resolve` there");
		gw_source_give_up_waiting(s, ev, out);
		return 0;
	}
	return -EPROTO;
}

void gw_source_recover(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	s->lost_ns = ev->now_ns;
	s->begun_ns = ev->now_ns;
	gw_trace(out, ev->now_ns, WHO, "taking up a migration that was left as `%s`",
	         gw_journal_record_name(ev->recover.record));
	switch (ev->recover.record) {
	case GW_REC_LEAVING:
		s->track_asked = true; /* it may have been standing when the agent died */
		gw_source_cancel(s, ev, out, "the agent was restarted during the move", false);
		break;
	case GW_REC_HANDING_OVER:
		/* COMMIT was never sent: the record `committed` would stand in its place. */
		s->stop_asked = true;
		s->may_be_prepared = true;
		gw_source_cancel(s, ev, out, "the agent was restarted during the move", true);
		gw_source_reconnect(s, ev, out);
		break;
	case GW_REC_COMMITTED:
	case GW_REC_DOUBT:
		s->committed = true; /* perhaps: what fails now gives nothing back */
		s->stop_asked = s->may_be_prepared = true;
		s->state = GW_STATE_COMMITMENT;
		gw_source_reconnect(s, ev, out);
		break;
	case GW_REC_GONE:
		s->state = GW_STATE_PULL;
		s->pulls = true;
		gw_source_reconnect(s, ev, out);
		break;
	default:
		gw_source_keep_reason(s, "there is nothing to recover");
		gw_source_finish(s, ev, out, GW_STAYED);
		break;
	}
}

void gw_source_peer_broke_protocol(struct gw_source *s, const struct gw_event *ev,
                                   struct gw_actions *out)
{
	struct gw_event lost = *ev;
	char text[GW_TRACE_BYTES];

	(void)snprintf(text, sizeof(text), "the destination broke the protocol: %s in %s",
	               gw_message_name(ev->message->kind), gw_state_name(s->state));
	lost.text = text;
	gw_source_link_lost(s, &lost, out);
}
