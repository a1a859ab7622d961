/* SPDX-License-Identifier: MIT */
/*
 * core/migration/source/switch.c - the source, from Stop-and-Copy to Commitment: the VM is stopped,
 * what is left is sent or named, the VM is given away.
 */
#include <errno.h>

#include "core/migration/source/parts.h"

/* While the VM still runs here: afterwards somebody waits for every page. */
static void rank(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_ranking *likely = &s->config.order.likely;

	gw_policy_rank(&s->config.policy, &s->owed, likely);
	if (likely->count)
		gw_trace(out, ev->now_ns, WHO, "%zu pages have a score, page %llu has the highest",
		         likely->count, (unsigned long long)likely->pages[0].page);
}

void gw_source_begin_switch(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                            bool pulls, const char *why)
{
	s->pulls = pulls;
	s->sending = false;
	if (!pulls)
		gw_source_end_shadow(s, out);
	gw_source_enter(s, ev, out, GW_STATE_STOP_AND_COPY, why);
	if (pulls)
		rank(s, ev, out);
	/* What is stale already can be punched out there while the VM still runs here. */
	s->punching = pulls && s->round;
	if (s->punching)
		gw_act(out, GW_ACT_MAP)->set = &s->owed;
	gw_act_journal(out, GW_REC_HANDING_OVER, true);
}

/* Once the record is on disk and what was stale is out of the way there. */
void gw_source_maybe_stop(struct gw_source *s, struct gw_actions *out)
{
	if (!s->handing_over || s->punching || s->stop_asked)
		return;
	s->stop_asked = true;
	gw_act(out, GW_ACT_STOP);
}

static void stopped(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	s->stopped_ns = ev->now_ns;
	gw_trace(out, ev->now_ns, WHO, "the VM is stopped");
	if (s->tracking)
		gw_act(out, GW_ACT_SCAN)->final = true;
	else
		gw_act(out, GW_ACT_SURVEY);
}

void gw_source_announce_switch(struct gw_source *s, struct gw_actions *out,
                               const struct gw_set *missing)
{
	struct gw_message message = {.kind = GW_MSG_SWITCH};

	message.switched.pulls = s->pulls;
	message.switched.missing_pages = s->pulls ? gw_set_count(missing) : 0;
	gw_act_send(out, message);
	if (s->pulls)
		gw_act(out, GW_ACT_MAP)->set = missing;
}

/* Loading would fault on these, one after the other, while the VM stands. */
static void send_hot(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	uint32_t i, count = 0;

	for (i = 0; i < s->config.hot_count && count < GW_FRAME_PAGES_MAX; i++)
		if (gw_set_has(&s->owed, s->config.hot[i].first))
			s->runs[count++] = s->config.hot[i];
	if (!count)
		return;
	gw_trace(out, ev->now_ns, WHO, "%u pages that loading may read go first", count);
	gw_source_emit(s, out, GW_BULK, count, count);
}

/* What is needed at once may cost less time now than by a fault: the policy says. */
static void keep(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	uint64_t kept;

	gw_set_copy(&s->skip, &s->owed);
	gw_policy_keep(&s->config.policy, ev->kind == GW_EV_SCANNED ? ev->set : NULL, &s->skip);
	kept = s->image_pages - gw_set_count(&s->skip);
	s->image_pages -= kept;
	if (kept)
		gw_trace(out, ev->now_ns, WHO,
		         "%llu pages go before the handover, while the VM stands",
		         (unsigned long long)kept);
}

/* What is owed now is the last word: the VM is stopped. */
void gw_source_switch_known(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->pulls)
		send_hot(s, ev, out);
	s->image_pages = gw_set_count(&s->owed);
	gw_source_begin_sending(s, ev);
	if (s->pulls)
		keep(s, ev, out);
	gw_trace(out, ev->now_ns, WHO, "%llu pages are left at the switch, to be %s",
	         (unsigned long long)s->image_pages, s->pulls ? "pulled" : "sent");
	gw_source_announce_switch(s, out, &s->skip);
	if (s->pulls && s->image_pages == gw_set_count(&s->owed))
		gw_source_mark(s, out, GW_FRAME_SWITCH);
	gw_act(out, GW_ACT_SAVE);
	s->may_be_prepared = true;
	s->waiting_since_ns = ev->now_ns;
	s->waiting_bytes = ev->link_bytes;
}

/* Before COMMIT: nobody else may have resumed the VM. */
void gw_source_look(struct gw_source *s, struct gw_actions *out)
{
	s->looking = true;
	if (GW_PLANT == 7) /* does not look */
		gw_act_journal(out, GW_REC_COMMITTED, false);
	else
		gw_act(out, GW_ACT_LOOK);
}

int gw_source_prepared(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state == GW_STATE_CANCELLED)
		return 0; /* our ABORT is on its way */
	if (s->state != GW_STATE_STOP_AND_COPY || !s->marked)
		return -EPROTO;
	gw_source_enter(s, ev, out, GW_STATE_COMMITMENT, "the destination is prepared");
	if (GW_PLANT == 1) /* COMMIT before the record */
		gw_act_say(out, GW_MSG_COMMIT);
	gw_source_look(s, out);
	return 0;
}

/* As we asked, or as the last look before COMMIT found it. */
void gw_source_vm_stands(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state == GW_STATE_STOP_AND_COPY && s->stop_asked && !s->stopped_ns) {
		stopped(s, ev, out);
	} else if (s->state == GW_STATE_COMMITMENT && s->looking) {
		s->looking = false;
		gw_act_journal(out, GW_REC_COMMITTED, false);
	}
}

/* `committed` is written. */
void gw_source_commit(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (GW_PLANT == 1)
		return;
	s->committed = true;
	s->commit_ns = ev->now_ns;
	gw_act_say(out, GW_MSG_COMMIT);
}

void gw_source_activated(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                         uint64_t after_ns)
{
	if (s->commit_ns) {
		uint64_t trip = ev->now_ns - s->commit_ns;
		uint64_t back = trip > after_ns ? (trip - after_ns) / 2 : 0;

		s->metrics.downtime_ns = ev->now_ns - back - s->stopped_ns;
		s->metrics.stopped_after_ns = s->stopped_ns - s->begun_ns;
		s->metrics.downtime_known = s->stopped_ns != 0;
	}
	gw_source_enter(s, ev, out, GW_STATE_ACTIVATION, "the destination has the VM");
	gw_act_journal(out, GW_REC_GONE, true);
	if (s->asked &&
	    !s->stands) /* pages on their way were lost with the link: ask what is there */
		gw_act_say(out, GW_MSG_RESUME);
}
