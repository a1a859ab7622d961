/* SPDX-License-Identifier: MIT */
/*
 * core/migration/destination/failure.c - the destination, when something goes wrong: what may be
 * ended here, what must stand as it is, and what is left to a person.
 */
#include <errno.h>
#include <stdio.h>

#include "core/migration/destination/parts.h"

void gw_destination_enter(struct gw_destination *d, const struct gw_event *ev,
                          struct gw_actions *out, enum gw_state state, const char *why)
{
	gw_trace(out, ev->now_ns, WHO, "%s -> %s: %s", gw_state_name(d->state),
	         gw_state_name(state), why);
	d->state = state;
}

void gw_destination_keep_reason(struct gw_destination *d, const char *text)
{
	if (!d->reason[0])
		(void)snprintf(d->reason, sizeof(d->reason), "%s", text);
}

void gw_destination_finish(struct gw_destination *d, struct gw_actions *out,
                           enum gw_outcome outcome)
{
	if (d->finished)
		return;
	d->finished = true;
	gw_act_finish(out, outcome, d->reason);
}

/*
 * Ends everything here; only while it is certain that nothing ran. `say` is what the source hears:
 * REFUSE before the reservation, ABORTED (a promise) after it.
 */
void gw_destination_destroy(struct gw_destination *d, const struct gw_event *ev,
                            struct gw_actions *out, enum gw_message_kind say, const char *why)
{
	if (d->state == GW_STATE_CANCELLED || d->finished)
		return;
	gw_destination_keep_reason(d, why);
	gw_destination_enter(d, ev, out, GW_STATE_CANCELLED, why);
	d->armed = false;
	d->destroying = true;
	/*
	 * A crash between the two must leave nothing behind; but where the record is `mine` the
	 * new one comes first, for another agent would run the VM that the source gets back.
	 */
	if (!d->committed)
		gw_act(out, GW_ACT_DESTROY);
	gw_act_journal(out, GW_REC_NEVER, true);
	if (d->committed)
		gw_act(out, GW_ACT_DESTROY);
	if (d->link)
		gw_act_send(out, gw_message_reason(say, d->reason));
}

int gw_destination_aborted(struct gw_destination *d, const struct gw_event *ev,
                           struct gw_actions *out)
{
	char text[GW_TRACE_BYTES];

	if (d->state == GW_STATE_CANCELLED) {
		gw_act_send(out, gw_message_reason(GW_MSG_ABORTED, d->reason));
		return 0;
	}
	if (d->committed)
		return -EPROTO;
	gw_destination_destroy(d, ev, out, GW_MSG_ABORTED,
	                       gw_message_text(ev->message, text, sizeof(text)));
	return 0;
}

void gw_destination_vm_gone(struct gw_destination *d, const struct gw_event *ev,
                            struct gw_actions *out)
{
	char why[GW_TRACE_BYTES];

	(void)snprintf(why, sizeof(why), "the VM ended at the destination: %.150s", ev->text);
	/* In Doubt it may have run: its end promises nothing. */
	if (d->state == GW_STATE_CANCELLED || d->state == GW_STATE_DOUBT)
		return;
	if (!d->committed) {
		gw_destination_destroy(d, ev, out, GW_MSG_ABORTED, why);
		return;
	}
	gw_destination_keep_reason(d, why);
	gw_trace(out, ev->now_ns, WHO, "%s", why);
	if (d->whole)
		return; /* its own life: the move itself is over */
	gw_act_journal(out, GW_REC_DOUBT, true);
	if (d->link)
		gw_act_send(out, gw_message_reason(GW_MSG_ABORT, d->reason));
	gw_destination_finish(d, out, GW_LOST);
}

/*
 * An agent before this one had written `mine`: the VM may have run, and may run still. A source
 * that was told that it runs would push pages for ever.
 */
static void may_have_run(struct gw_destination *d, const struct gw_event *ev,
                         struct gw_actions *out)
{
	bool waits = d->resume_asked || d->told_running;

	gw_destination_keep_reason(d, ev->text);
	gw_destination_enter(d, ev, out, GW_STATE_DOUBT, ev->text);
	gw_act_journal(out, GW_REC_DOUBT, true);
	d->told_running = false;
	if (waits && d->link)
		gw_destination_answer_resume(d, out);
}

void gw_destination_failed(struct gw_destination *d, const struct gw_event *ev,
                           struct gw_actions *out)
{
	d->surveys = 0; /* perhaps it was one that failed: none is to be waited for in vain */
	switch (d->state) {
	case GW_STATE_PRE_MIGRATION:
	case GW_STATE_RESERVATION:
		gw_destination_destroy(d, ev, out, GW_MSG_REFUSE, ev->text);
		break;
	case GW_STATE_ITERATIVE_PRE_COPY:
	case GW_STATE_STOP_AND_COPY:
		gw_destination_destroy(d, ev, out, GW_MSG_ABORTED, ev->text);
		break;
	case GW_STATE_ACTIVATION:
		/* Where the record could not be written `cont` was not asked for. */
		if (!d->run_asked)
			gw_destination_destroy(d, ev, out, GW_MSG_ABORTED, ev->text);
		else
			gw_trace(out, ev->now_ns, WHO, "%.200s", ev->text);
		break;
	default: gw_trace(out, ev->now_ns, WHO, "%.200s", ev->text); break;
	}
}

/*
 * What a person decided is taken back, and may be decided again; the source that would get the VM
 * back may be no more.
 */
void gw_destination_unwritten(struct gw_destination *d, const struct gw_event *ev,
                              struct gw_actions *out)
{
	if (d->state != GW_STATE_ACTIVATION || d->run_asked || !d->resolved) {
		gw_destination_failed(d, ev, out);
		return;
	}
	d->committed = d->resolved = false;
	gw_destination_enter(d, ev, out, GW_STATE_COMMITMENT, ev->text);
}

/* It never ran here, so the source may have it back; unless an earlier agent had run it. */
void gw_destination_run_refused(struct gw_destination *d, const struct gw_event *ev,
                                struct gw_actions *out)
{
	if (d->state != GW_STATE_ACTIVATION || d->running)
		return;
	if ((!d->taken_up && !d->told_running) || GW_PLANT == 5)
		gw_destination_destroy(d, ev, out, GW_MSG_ABORTED, ev->text);
	else
		may_have_run(d, ev, out);
}

/* A person has looked at both hosts. Only what is whole can be run without the source. */
void gw_destination_resolved(struct gw_destination *d, const struct gw_event *ev,
                             struct gw_actions *out)
{
	if (d->state != GW_STATE_COMMITMENT && d->state != GW_STATE_DOUBT)
		return;
	if (ev->kind == GW_EV_RESOLVED_GONE) {
		gw_destination_destroy(d, ev, out, GW_MSG_ABORTED,
		                       "a person said that the VM is not to run here");
		return;
	}
	if (d->pulls || d->state == GW_STATE_DOUBT) {
		gw_trace(out, ev->now_ns, WHO, "it cannot run here without the source's pages");
		return;
	}
	d->committed = d->resolved = true;
	d->committed_ns = ev->now_ns;
	gw_destination_enter(d, ev, out, GW_STATE_ACTIVATION,
	                     "a person said that the VM is to run here");
	gw_act_journal(out, GW_REC_MINE, true);
}
