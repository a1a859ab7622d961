/* SPDX-License-Identifier: MIT */
/*
 * core/migration/source/send.c - the source, whenever bulk has room: which pages go out next, and
 * how fast the link takes them.
 */
#include "core/migration/source/parts.h"

#define PEEK_NS (SECOND / 50) /* xen peeks per batch; a peek costs 0.5 ms per GiB */

void gw_source_begin_sending(struct gw_source *s, const struct gw_event *ev)
{
	s->cursor = 0;
	s->round_sent = 0;
	s->round_skipped = s->round_deferred = 0;
	s->predicted_dirty = GW_NO_FORECAST;
	s->round_owed = gw_set_count(&s->owed);
	s->round_start_ns = ev->now_ns;
	s->round_start_bytes = ev->link_bytes;
	s->peeked_ns = ev->now_ns;
	s->marked = false;
	s->sending = true;
	gw_set_clear(&s->skip);
}

/* What went over the link since the round, or the last part of Pull, began. */
void gw_source_measure(struct gw_source *s, const struct gw_event *ev)
{
	s->measured_ns += ev->now_ns - s->round_start_ns;
	s->measured_bytes += ev->link_bytes - s->round_start_bytes;
	if (s->measured_ns && (s->measured_ns >= MEASURE_NS || !s->bandwidth))
		s->bandwidth = (uint64_t)((double)s->measured_bytes * 1e9 / (double)s->measured_ns);
	if (s->measured_ns >= MEASURE_NS)
		s->measured_ns = s->measured_bytes = 0;
}

/* The next frame of the round: ascending, runs as long as they are. */
static uint32_t gather(struct gw_source *s, uint32_t *pages)
{
	uint32_t count = 0;
	struct gw_run run;

	*pages = 0;
	while (count < GW_FRAME_RUNS_MAX && *pages < GW_FRAME_PAGES_MAX &&
	       gw_set_next_run(&s->owed, s->cursor, GW_FRAME_PAGES_MAX - *pages, &run)) {
		uint64_t end = run.first + run.count;
		uint64_t skip = gw_set_next_before(&s->skip, run.first, end);

		if (skip == run.first) {
			s->cursor = gw_set_next_gap_before(&s->skip, run.first, end);
			s->round_skipped += s->cursor - run.first;
			continue;
		}
		run.count = skip - run.first;
		s->cursor = run.first + run.count;
		s->runs[count++] = run;
		*pages += (uint32_t)run.count;
	}
	return count;
}

void gw_source_emit(struct gw_source *s, struct gw_actions *out, enum gw_channel channel,
                    uint32_t count, uint32_t pages)
{
	struct gw_action *action = gw_act(out, GW_ACT_PAGES);
	uint32_t i;

	action->pages.channel = channel;
	action->pages.runs = s->runs;
	action->pages.count = count;
	action->pages.pages = pages;
	for (i = 0; i < count; i++) {
		gw_set_remove_run(&s->owed, s->runs[i]);
		s->metrics.pages_resent += gw_set_count_run(&s->sent, s->runs[i]);
		gw_set_add_run(&s->sent, s->runs[i]);
	}
	s->round_sent += pages;
	s->metrics.pages_sent += pages;
}

void gw_source_mark(struct gw_source *s, struct gw_actions *out, enum gw_frame_kind kind)
{
	struct gw_action *action = gw_act(out, GW_ACT_MARK);

	action->mark.kind = kind;
	action->mark.number = s->round;
	s->marked = true;
	s->sending = false;
}

bool gw_source_wants_room(const struct gw_source *s)
{
	return s->sending && s->link && !s->finished &&
	       (s->state != GW_STATE_PULL || gw_source_pushes(s));
}

void gw_source_room(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	uint32_t pages, count;

	if (!gw_source_wants_room(s) || s->marked)
		return;
	if (s->state == GW_STATE_PULL) {
		gw_source_push(s, ev, out);
		return;
	}
	if (s->state == GW_STATE_ITERATIVE_PRE_COPY && gw_policy_peeks(&s->config.policy) &&
	    ev->now_ns - s->peeked_ns >= PEEK_NS) {
		s->peeked_ns = ev->now_ns;
		gw_act(out, GW_ACT_PEEK);
		return;
	}
	count = gather(s, &pages);
	if (count)
		gw_source_emit(s, out, GW_BULK, count, pages);
	else
		gw_source_mark(s, out,
		               s->state == GW_STATE_STOP_AND_COPY ? GW_FRAME_SWITCH
		                                                  : GW_FRAME_ROUND);
	if (s->marked)
		s->waiting_since_ns = ev->now_ns;
}
