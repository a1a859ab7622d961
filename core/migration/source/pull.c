/* SPDX-License-Identifier: MIT */
/*
 * core/migration/source/pull.c - the source, Pull: the VM runs at the destination, pages are pushed
 * and asked for, until nothing here is needed any more.
 */
#include <errno.h>
#include <stdio.h>

#include "core/migration/source/parts.h"

/*
 * A faulted page that is on its way already arrives with its frame: small frames keep that short.
 * Where the link carries more in the time that is to be kept, larger ones cost less.
 */
#define PULL_FRAME_NS    300000
#define PULL_PAGES_MIN   4
#define PULL_PAGES_FIRST 8 /* while the rate is not known */
#define PULL_PAGES_MAX   64

void gw_source_begin_digests(struct gw_source *s, struct gw_actions *out)
{
	if (s->config.verify && !s->digests_sent) {
		s->digests_sent = true;
		gw_act(out, GW_ACT_DIGESTS);
	}
}

static void begin_pull(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	char why[120];

	(void)snprintf(why, sizeof(why), "%llu pages to push, order %s%s",
	               (unsigned long long)gw_set_count(&s->owed), s->config.order.kind->name,
	               gw_source_shadow_there(s));
	gw_source_enter(s, ev, out, GW_STATE_PULL, why);
	s->round_start_ns = ev->now_ns;
	s->round_start_bytes = ev->link_bytes;
	gw_act(out, GW_ACT_RATE)->rate_bytes_per_s = s->push_rate;
	s->config.order.kind->start(&s->config.order, ev->now_ns);
	s->marked = false;
	s->sending = true;
}

void gw_source_after_activation(struct gw_source *s, const struct gw_event *ev,
                                struct gw_actions *out)
{
	if (s->pulls)
		begin_pull(s, ev, out);
	else
		gw_source_begin_digests(s, out);
}

static uint32_t pull_pages(struct gw_source *s, const struct gw_event *ev)
{
	uint64_t pages;

	if (ev->now_ns - s->round_start_ns >= MEASURE_NS) {
		gw_source_measure(s, ev);
		s->round_start_ns = ev->now_ns;
		s->round_start_bytes = ev->link_bytes;
	}
	if (!s->bandwidth)
		return PULL_PAGES_FIRST;
	pages = s->bandwidth / GW_PAGE_BYTES * PULL_FRAME_NS / SECOND;
	if (pages < PULL_PAGES_MIN)
		return PULL_PAGES_MIN;
	return pages < PULL_PAGES_MAX ? (uint32_t)pages : PULL_PAGES_MAX;
}

void gw_source_push(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	uint32_t count, pages = 0, i;

	count = (uint32_t)s->config.order.kind->next(&s->config.order, &s->owed, ev->now_ns,
	                                             s->runs, GW_FRAME_RUNS_MAX, pull_pages(s, ev));
	for (i = 0; i < count; i++)
		pages += (uint32_t)s->runs[i].count;
	if (count)
		gw_source_emit(s, out, GW_BULK, count, pages);
	gw_source_pace_shadow(s, out);
	if (gw_set_empty(&s->owed)) {
		gw_source_mark(s, out, GW_FRAME_END);
		gw_source_end_shadow(s, out);
	} else if (!count) {
		s->sending = false; /* until a fault, or the order's deadline */
	}
}

int gw_source_fault(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	uint64_t page = ev->message->fault.page;

	if (s->state == GW_STATE_CANCELLED)
		return 0;
	if (s->state < GW_STATE_STOP_AND_COPY || s->state > GW_STATE_PULL)
		return -EPROTO;
	if (!s->pulls && !s->asked) /* who was asked is known to pull only by its answer */
		return -EPROTO;
	if (page >= s->owed.pages)
		return -EPROTO;
	s->waiting_since_ns = ev->now_ns;
	/* Not owed any more: it lies in bulk's queue. Sent once more it need not wait for that. */
	if (!gw_source_pushes(s) || !gw_order_comes_next(&s->config.order, page)) {
		s->runs[0] = (struct gw_run){page, 1};
		gw_source_emit(s, out, GW_URGENT, 1, 1);
	}
	if (gw_source_pushes(s)) {
		gw_source_tell_order(s, ev, page, out);
		s->sending = true;
	}
	return 0;
}

int gw_source_map_of_what_is_there(struct gw_source *s, const struct gw_event *ev,
                                   struct gw_actions *out)
{
	const struct gw_message *m = ev->message;
	uint32_t i;

	if (!s->pulls || (s->state != GW_STATE_ACTIVATION && s->state != GW_STATE_PULL))
		return -EPROTO;
	for (i = 0; i < m->map.count; i++)
		gw_set_add_run(&s->skip, m->map.runs[i]);
	s->have_whole = m->map.last;
	if (m->map.last)
		gw_act(out, GW_ACT_SURVEY);
	return 0;
}

/* The image is frozen: what it holds and the destination lacks is owed. */
void gw_source_take_up_pull(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (GW_PLANT != 12) { /* 12: what was on its way counts as there */
		gw_set_copy(&s->owed, ev->set);
		gw_set_subtract(&s->owed, &s->skip);
	}
	s->image_pages = gw_set_count(&s->owed);
	s->digests_sent = s->asked = false;
	gw_source_announce_switch(s, out, &s->owed);
	begin_pull(s, ev, out);
}

static void release(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                    const char *why)
{
	gw_source_enter(s, ev, out, GW_STATE_RELEASED, why);
	/* The record comes last: a crash before it finds out again, one after it finds nothing. */
	gw_act(out, GW_ACT_RELEASE);
	gw_act_journal(out, GW_REC_RELEASED, true);
	gw_act_say(out, GW_MSG_RELEASED);
	s->metrics.mixed = s->pulls && s->ran_on;
	if (s->metrics.mixed)
		gw_source_keep_reason(s, "the VM runs at the destination, but somebody resumed it "
		                         "here before all its pages had gone: what it wrote then "
		                         "may be among them");
	gw_source_keep_reason(s, "the VM runs at the destination");
	gw_source_finish(s, ev, out, GW_COMPLETED);
}

int gw_source_done(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	const struct gw_message *m = ev->message;

	if (s->state != GW_STATE_ACTIVATION && s->state != GW_STATE_PULL)
		return -EPROTO;
	/* On a new link it may have become whole by what came over the old one. */
	if (s->pulls && !s->stands && (s->state == GW_STATE_ACTIVATION || !s->marked))
		return -EPROTO;
	s->metrics.faults = m->done.faults;
	s->metrics.stall_ns = m->done.stall_ns / (s->config.vcpus ? s->config.vcpus : 1);
	s->metrics.fault_p50_ns = m->done.fault_p50_ns;
	s->metrics.fault_p99_ns = m->done.fault_p99_ns;
	s->metrics.fault_max_ns = m->done.fault_max_ns;
	release(s, ev, out, "the destination needs nothing more");
	return 0;
}
