/* SPDX-License-Identifier: MIT */
/*
 * core/migration/destination/link.c - the destination, after a lost link or a crash: it says where
 * it stands and what is here. And the clock: silence, deadlines.
 */
#include <stdio.h>

#include "core/migration/destination/parts.h"

#define RELEASE_NS (30 * SECOND) /* how long RELEASED is waited for when all is here */

/* What is here, for the source to know the rest. */
static void survey(struct gw_destination *d, struct gw_actions *out)
{
	d->surveys++;
	d->map_owed = true;
	gw_act(out, GW_ACT_SURVEY);
}

/* Only the last one asked for answers over this link: the others were for one that is gone. */
void gw_destination_surveyed(struct gw_destination *d, const struct gw_event *ev,
                             struct gw_actions *out)
{
	if (d->surveys)
		d->surveys--;
	if (d->surveys || !d->map_owed || !d->link || (!d->running && !d->told_running))
		return;
	d->map_owed = false;
	gw_act(out, GW_ACT_MAP)->set = ev->set;
}

void gw_destination_answer_resume(struct gw_destination *d, struct gw_actions *out)
{
	struct gw_message message = {.kind = GW_MSG_STANDING, .standing.host = d->config.host};

	d->resume_asked = false;
	if (d->whole)
		message.standing.standing = GW_STANDS_COMPLETE;
	else if (d->running || d->told_running)
		message.standing.standing = GW_STANDS_RUNNING;
	else if (d->state == GW_STATE_COMMITMENT)
		message.standing.standing = GW_STANDS_PREPARED;
	else if (d->state == GW_STATE_DOUBT)
		message.standing.standing = GW_STANDS_DOUBT;
	else
		message.standing.standing = GW_STANDS_UNKNOWN;
	gw_act_send(out, message);
	if (d->whole)
		gw_destination_say_done(d, out);
	else if (d->running || d->told_running)
		survey(d, out);
}

/* `cont` may wait for a page, which comes only if the source hears that it is owed. */
void gw_destination_resume_asked(struct gw_destination *d, struct gw_actions *out)
{
	if (d->state == GW_STATE_ACTIVATION && d->pulls && d->run_asked)
		d->told_running = true;
	if (d->state == GW_STATE_ACTIVATION && !d->running && !d->told_running)
		d->resume_asked = true;
	else
		gw_destination_answer_resume(d, out);
}

void gw_destination_link_up(struct gw_destination *d, const struct gw_event *ev)
{
	d->link = true;
	d->heard_ns = ev->now_ns;
	if (!d->prepared)
		return;
	/* What the old link's END and map said holds no longer; `placed` counts from here. */
	d->map_awaited = d->pulls;
	d->end_marked = false;
	if (GW_PLANT != 11) /* 11: what was placed, and punched since, counts as there */
		gw_set_clear(&d->placed);
}

void gw_destination_link_lost(struct gw_destination *d, const struct gw_event *ev,
                              struct gw_actions *out)
{
	char why[GW_TRACE_BYTES];

	if (!d->link || d->finished)
		return;
	d->link = d->map_owed = false;
	gw_act(out, GW_ACT_HANG_UP);
	(void)snprintf(why, sizeof(why), "the link to the source was lost: %.150s", ev->text);
	if (d->state == GW_STATE_CANCELLED && d->destroying)
		return;
	if (d->state == GW_STATE_PRE_MIGRATION || d->state == GW_STATE_CANCELLED) {
		gw_destination_keep_reason(d, why);
		gw_destination_finish(d, out, GW_STAYED);
	} else if (d->state == GW_STATE_DOUBT) {
		gw_destination_keep_reason(
		        d, "a person must say who runs the VM: `resolve --run-here|--gone`");
		gw_destination_finish(d, out, GW_DOUBTED);
	} else if (!d->prepared) {
		gw_destination_destroy(d, ev, out, GW_MSG_ABORTED, why);
	} else {
		gw_trace(out, ev->now_ns, WHO, "%s; %s", why,
		         d->committed
		                 ? "the VM runs here, what is missing waits"
		                 : "the VM stands paused until the source says who may run it");
	}
}

void gw_destination_recover(struct gw_destination *d, const struct gw_event *ev,
                            struct gw_actions *out)
{
	d->link = false;
	d->heard_ns = ev->now_ns;
	gw_trace(out, ev->now_ns, WHO, "taking up a migration that was left as `%s`",
	         gw_journal_record_name(ev->recover.record));
	switch (ev->recover.record) {
	case GW_REC_NONE:
	case GW_REC_RESERVED:
	case GW_REC_NEVER: /* the crash may have come before all was gone */
		gw_destination_destroy(d, ev, out, GW_MSG_ABORTED,
		                       "the agent was restarted during the move");
		break;
	case GW_REC_PREPARED:
		d->prepared = true;
		d->pulls = d->armed = ev->recover.faults;
		d->map_known = !d->pulls;
		d->state = GW_STATE_COMMITMENT;
		break;
	case GW_REC_MINE:
		d->prepared = d->committed = d->taken_up = d->run_asked = true;
		d->pulls = d->armed = ev->recover.faults;
		d->map_known = !d->pulls;
		d->state = GW_STATE_ACTIVATION;
		gw_act(out, GW_ACT_RUN);
		break;
	case GW_REC_WHOLE:
		d->prepared = d->committed = d->running = d->whole = true;
		d->compared = true;
		d->whole_ns = ev->now_ns;
		d->state = GW_STATE_ACTIVATION;
		break;
	case GW_REC_DOUBT:
		d->prepared = true;
		d->state = GW_STATE_DOUBT;
		break;
	default:
		gw_destination_keep_reason(d, "there is nothing to recover");
		gw_destination_finish(d, out, GW_STAYED);
		break;
	}
}

void gw_destination_tick(struct gw_destination *d, const struct gw_event *ev,
                         struct gw_actions *out)
{
	struct gw_event lost = *ev;

	if (d->unserved)
		gw_destination_ask_again(d, ev, out);
	if (d->whole && ev->now_ns - d->whole_ns >= RELEASE_NS && !d->link) {
		gw_destination_keep_reason(d, "the VM runs here; the source was not heard again");
		gw_destination_finish(d, out, GW_COMPLETED);
		return;
	}
	if (d->link && ev->now_ns - d->heard_ns >= d->config.link_timeout_ns) {
		lost.text = "the source has been silent for too long";
		gw_destination_link_lost(d, &lost, out);
	}
}

uint64_t gw_destination_deadline(const struct gw_destination *d)
{
	if (d->finished)
		return UINT64_MAX;
	if (d->unserved)
		return 0;
	if (d->link && d->heard_ns)
		return d->heard_ns + d->config.link_timeout_ns;
	if (d->whole && !d->link)
		return d->whole_ns + RELEASE_NS;
	return UINT64_MAX;
}
