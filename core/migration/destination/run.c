/* SPDX-License-Identifier: MIT */
/*
 * core/migration/destination/run.c - the destination, from Commitment to the end: the VM runs here,
 * every page comes in, the source lets go.
 */
#include <errno.h>

#include "core/migration/destination/parts.h"

int gw_destination_commit(struct gw_destination *d, const struct gw_event *ev,
                          struct gw_actions *out)
{
	if (d->state == GW_STATE_CANCELLED) {
		/* We had ended it, durably, before COMMIT came: it is the source's again. */
		gw_act_send(out, gw_message_reason(GW_MSG_ABORTED, d->reason));
		return 0;
	}
	if (d->state != GW_STATE_COMMITMENT)
		return -EPROTO;
	d->committed = true;
	d->committed_ns = ev->now_ns;
	gw_destination_enter(d, ev, out, GW_STATE_ACTIVATION, "the source has committed");
	gw_act_journal(out, GW_REC_MINE, false);
	return 0;
}

void gw_destination_running(struct gw_destination *d, const struct gw_event *ev,
                            struct gw_actions *out)
{
	struct gw_message message = {.kind = GW_MSG_ACTIVATED};

	if (d->state != GW_STATE_ACTIVATION || d->running)
		return;
	d->running = true;
	gw_trace(out, ev->now_ns, WHO, "the VM runs here");
	message.activated.after_ns = ev->now_ns - d->committed_ns;
	if (d->link && !d->resume_asked && !d->taken_up && !d->told_running)
		gw_act_send(out, message);
	if (d->pulls)
		gw_destination_enter(d, ev, out, GW_STATE_PULL, "pages are pulled");
	else
		gw_destination_became_whole(d, ev, out);
	if (d->resume_asked)
		gw_destination_answer_resume(d, out);
	gw_destination_maybe_pulled(d, out);
}

/* Pages are asked for: it runs, or cannot before it has some of them. */
bool gw_destination_pulling(const struct gw_destination *d)
{
	return d->state == GW_STATE_PULL || d->told_running;
}

void gw_destination_maybe_pulled(struct gw_destination *d, struct gw_actions *out)
{
	if (d->state == GW_STATE_PULL && d->armed && d->map_known && !d->map_awaited &&
	    d->end_marked && gw_set_empty(&d->missing)) {
		d->armed = false;
		gw_act(out, GW_ACT_DISARM);
	}
}

void gw_destination_say_done(struct gw_destination *d, struct gw_actions *out)
{
	struct gw_message message = {.kind = GW_MSG_DONE};

	message.done.faults = d->faults;
	message.done.stall_ns = d->stall_ns;
	message.done.fault_p50_ns = gw_latencies_quantile(&d->latencies, 500);
	message.done.fault_p99_ns = gw_latencies_quantile(&d->latencies, 990);
	message.done.fault_max_ns = d->latencies.max_ns;
	message.done.placed_pages = d->placed_pages;
	if (d->link)
		gw_act_send(out, message);
}

void gw_destination_became_whole(struct gw_destination *d, const struct gw_event *ev,
                                 struct gw_actions *out)
{
	d->whole = true;
	d->armed = false;
	d->whole_ns = ev->now_ns;
	gw_trace(out, ev->now_ns, WHO, "every page is in");
	gw_act_journal(out, GW_REC_WHOLE, true);
	if (d->resume_asked || (d->taken_up && !d->pulls))
		return; /* the answer to RESUME says it all */
	if (!gw_destination_verifies(d) || d->compared) {
		gw_destination_say_done(d, out);
		return;
	}
	/* An END of an older link comes again: the source knows of none that was acknowledged. */
	if (d->pulls && d->link && d->end_marked)
		gw_destination_ack(d, d->end_number, out);
}

void gw_destination_compared(struct gw_destination *d, const struct gw_event *ev,
                             struct gw_actions *out)
{
	struct gw_message message = {.kind = GW_MSG_VERDICT};

	if (ev->compared.different && !d->different_pages)
		d->first_different = ev->compared.first_different;
	d->compared_pages += ev->compared.compared;
	d->different_pages += ev->compared.different;
	d->comparing--;
	d->digests_ended |= ev->compared.last;
	if (!d->digests_ended || d->comparing)
		return;
	d->compared = true;
	message.verdict.compared = d->compared_pages;
	message.verdict.different = d->different_pages;
	message.verdict.first_different = d->first_different;
	if (d->link)
		gw_act_send(out, message);
	gw_destination_say_done(d, out);
}

int gw_destination_released(struct gw_destination *d, const struct gw_event *ev,
                            struct gw_actions *out)
{
	if (!d->whole)
		return -EPROTO;
	gw_destination_enter(d, ev, out, GW_STATE_RELEASED, "the source has let go");
	gw_destination_keep_reason(d, "the VM runs here");
	gw_destination_finish(d, out, GW_COMPLETED);
	return 0;
}
