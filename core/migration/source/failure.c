/* SPDX-License-Identifier: MIT */
/*
 * core/migration/source/failure.c - the source, when something goes wrong: whose the VM is, how it
 * stays here, and what is left to a person.
 */
#include <errno.h>
#include <stdio.h>

#include "core/migration/source/parts.h"

void gw_source_enter(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                     enum gw_state state, const char *why)
{
	gw_trace(out, ev->now_ns, WHO, "%s -> %s: %s", gw_state_name(s->state),
	         gw_state_name(state), why);
	s->state = state;
	s->waiting_since_ns = ev->now_ns;
}

void gw_source_keep_reason(struct gw_source *s, const char *text)
{
	if (!s->reason[0])
		(void)snprintf(s->reason, sizeof(s->reason), "%s", text);
}

void gw_source_finish(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                      enum gw_outcome outcome)
{
	if (s->finished)
		return;
	s->finished = true;
	s->sending = false;
	gw_source_end_shadow(s, out);
	if (s->begun_ns)
		s->metrics.total_time_ns = ev->now_ns - s->begun_ns;
	s->metrics.bytes_on_link = ev->link_bytes;
	gw_act_finish(out, outcome, s->reason);
}

/* COMMIT was not said, or is known to be lost: the VM is ours, whatever else is on its way. */
bool gw_source_is_ours(const struct gw_source *s)
{
	return s->state < GW_STATE_COMMITMENT || (s->state == GW_STATE_COMMITMENT && !s->committed);
}

void gw_source_settle(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->runs_here && s->settled)
		gw_source_finish(s, ev, out, s->outcome);
}

void gw_source_came_back(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	s->runs_here = true;
	s->resuming = false;
	gw_act_journal(out, GW_REC_STAYED, true);
	gw_source_settle(s, ev, out);
}

/*
 * Only ever reached while the VM is ours. The VM comes first: it is resumed before the destination
 * is told. If the destination may have prepared itself it is told even over a new connection, so
 * that nothing is left there. What was recorded as given away is taken back before it is used.
 */
void gw_source_cancel(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                      const char *why, bool tell)
{
	bool given_away = s->state == GW_STATE_COMMITMENT;

	if (s->state == GW_STATE_CANCELLED || s->finished)
		return;
	if (s->vm_ended)
		(void)snprintf(s->reason, sizeof(s->reason),
		               "%.200s, and the VM had ended at the source", why);
	gw_source_keep_reason(s, why);
	s->outcome = s->vm_ended ? GW_LOST : GW_STAYED;
	s->sending = false;
	gw_source_enter(s, ev, out, GW_STATE_CANCELLED, why);
	if (given_away)
		gw_act_journal(out, GW_REC_HANDING_OVER, false);
	if (GW_PLANT != 14) /* 14: it runs on beside the VM */
		gw_source_end_shadow(s, out);
	gw_act(out, GW_ACT_LET_GO);
	s->tracking = false;
	s->settled = !tell && !s->may_be_prepared;
	if (tell && s->link)
		gw_act_send(out, gw_message_reason(GW_MSG_ABORT, s->reason));
	else if (tell && !s->may_be_prepared)
		s->settled = true;
	s->lost_ns = ev->now_ns;
	if ((s->stop_asked || s->track_asked) && !s->vm_ended) {
		s->resuming = true;
		gw_act(out, GW_ACT_RESUME);
	} else {
		gw_source_came_back(s, ev, out);
	}
}

void gw_source_cancel_for(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                          enum gw_obstacle obstacle, const char *why, bool tell)
{
	if (s->state != GW_STATE_CANCELLED && !s->finished)
		s->metrics.obstacle = obstacle;
	gw_source_cancel(s, ev, out, why, tell);
}

void gw_source_never_ran_there(struct gw_source *s, const struct gw_event *ev,
                               struct gw_actions *out, const char *why)
{
	s->stop_asked = true;
	s->may_be_prepared = false;
	gw_source_cancel_for(s, ev, out, GW_AT_DESTINATION, why, false);
}

/* It ran there, if only for an instant: our copy is kept, but only a person may run it. */
static void ended_there(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                        const char *why)
{
	(void)snprintf(s->reason, sizeof(s->reason),
	               "%.100s; the copy of the moment of the switch is kept here: `resolve "
	               "--run-here` runs it, `resolve --gone` drops it",
	               why);
	gw_source_enter(s, ev, out, GW_STATE_DOUBT, why);
	gw_act_journal(out, GW_REC_DOUBT, true);
	gw_source_finish(s, ev, out, GW_LOST);
}

void gw_source_give_up_waiting(struct gw_source *s, const struct gw_event *ev,
                               struct gw_actions *out)
{
	if (s->state == GW_STATE_ACTIVATION || s->state == GW_STATE_PULL) {
		gw_source_keep_reason(
		        s, "the link is gone and the VM, which runs at the destination, waits "
		           "for pages: `recover` goes on where this stopped");
		gw_source_finish(s, ev, out, GW_UNFINISHED);
		return;
	}
	if (GW_PLANT == 2) { /* resumes after COMMIT because nobody answers */
		s->stop_asked = true;
		gw_source_cancel(s, ev, out, "the destination is silent", false);
		return;
	}
	gw_source_enter(s, ev, out, GW_STATE_DOUBT, "the destination cannot be asked");
	gw_source_keep_reason(
	        s, "the destination was lost in the moment of the handover and may run the VM: "
	           "`recover` asks again, `resolve --run-here|--gone` lets you say");
	gw_act_journal(out, GW_REC_DOUBT, true);
	gw_source_finish(s, ev, out, GW_DOUBTED);
}

int gw_source_aborted(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_event lost = *ev;
	char text[GW_TRACE_BYTES];

	gw_message_text(ev->message, text, sizeof(text));
	if (s->state <= GW_STATE_PULL && s->asked && !s->answered &&
	    ev->message->kind == GW_MSG_ABORTED) {
		lost.text = "who says ABORTED has not said who it is";
		gw_source_link_lost(s, &lost, out); /* and asks again */
		return 0;
	}
	switch (s->state) {
	case GW_STATE_CANCELLED:
		s->settled = true;
		gw_source_settle(s, ev, out);
		return 0;
	case GW_STATE_RESERVATION:
	case GW_STATE_ITERATIVE_PRE_COPY:
	case GW_STATE_STOP_AND_COPY:
		s->may_be_prepared = false;
		gw_source_cancel_for(s, ev, out, GW_AT_DESTINATION, text,
		                     ev->message->kind == GW_MSG_ABORT);
		return 0;
	case GW_STATE_COMMITMENT:
		if (ev->message->kind == GW_MSG_ABORTED)
			gw_source_never_ran_there(s, ev, out, text);
		else
			ended_there(s, ev, out, text);
		return 0;
	case GW_STATE_ACTIVATION:
	case GW_STATE_PULL:
		if (ev->message->kind == GW_MSG_ABORTED)
			return -EPROTO;
		ended_there(s, ev, out, text);
		return 0;
	default: return -EPROTO;
	}
}

void gw_source_vm_gone(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	char why[GW_TRACE_BYTES];

	(void)snprintf(why, sizeof(why), "the VM ended at the source: %.160s", ev->text);
	/*
	 * After the switch the image alone is needed, and it is a file of its own. Whether the
	 * device state was whole the destination finds out: only a whole one can be loaded.
	 */
	if ((s->state == GW_STATE_STOP_AND_COPY && s->may_be_prepared) ||
	    (s->state >= GW_STATE_COMMITMENT && s->state <= GW_STATE_RELEASED)) {
		s->vm_ended = true;
		gw_trace(out, ev->now_ns, WHO, "%.200s", why);
		return;
	}
	if (s->state == GW_STATE_CANCELLED) {
		s->outcome = GW_LOST;
		if (!s->runs_here)
			gw_source_came_back(s, ev,
			                    out); /* as far as it can: no question stays open */
		return;
	}
	s->stop_asked = s->track_asked = false;
	gw_source_cancel(s, ev, out, why, true);
	s->outcome = GW_LOST;
}

/*
 * `cont` by somebody else. What was handed over is stopped again: it may run there, and its image
 * is needed as it was.
 */
void gw_source_runs_again(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state < GW_STATE_STOP_AND_COPY || s->state > GW_STATE_PULL ||
	    (s->state == GW_STATE_STOP_AND_COPY && !s->stopped_ns))
		return;
	if (gw_source_is_ours(s)) {
		gw_source_cancel(s, ev, out, SOMEBODY_RESUMED, true);
		return;
	}
	s->ran_on |= s->state != GW_STATE_PULL || !s->marked || s->asked; /* else all is sent */
	gw_trace(out, ev->now_ns, WHO,
	         "somebody else resumed the VM, which was handed over: it is stopped again");
	gw_act(out, GW_ACT_STOP);
}

void gw_source_user_abort(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (gw_source_is_ours(s))
		gw_source_cancel(s, ev, out, ev->text, true);
	else if (s->state != GW_STATE_CANCELLED)
		gw_trace(out, ev->now_ns, WHO,
		         "abort is refused in %s: the VM has been handed over",
		         gw_state_name(s->state));
}

void gw_source_failed(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (gw_source_is_ours(s)) {
		gw_source_cancel(s, ev, out, ev->text, true);
		return;
	}
	gw_trace(out, ev->now_ns, WHO, "%.200s", ev->text);
}

/* The VM stands here, stopped: it is ours, but a person must look. */
void gw_source_run_refused(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	gw_trace(out, ev->now_ns, WHO, "%.200s", ev->text);
	if (s->state != GW_STATE_CANCELLED || !s->resuming)
		return;
	(void)snprintf(s->reason, sizeof(s->reason),
	               "the VM is at the source but could not be resumed: %.140s", ev->text);
	gw_source_came_back(s, ev, out);
}

/*
 * Neither a VM that is taken back is kept waiting for that, nor one that runs there: instead of
 * `gone` the record `committed` stands, by which another agent asks the destination.
 */
void gw_source_unwritten(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state == GW_STATE_CANCELLED)
		gw_trace(out, ev->now_ns, WHO, "%.200s", ev->text);
	else
		gw_source_failed(s, ev, out);
	if (s->state == GW_STATE_ACTIVATION && !s->asked)
		gw_source_after_activation(s, ev, out);
}
