/* SPDX-License-Identifier: MIT */
/*
 * core/migration/source/shadow.c - the source, from Reservation to Pull, where the push order wants
 * it: the copy of the VM that runs ahead (S4). It owns nothing, and nothing waits for it.
 */
#include "core/migration/source/parts.h"

/* What it is ahead by before the link's rate is known: a bulk connection's worth. */
#define AHEAD_PAGES_FIRST 1024
#define AHEAD_PAGES_MIN   16
#define AHEAD_PAGES_MAX   ((uint64_t)1 << 19)

static bool shadow_lives(const struct gw_source *s)
{
	return s->shadow != SHADOW_NONE && s->shadow != SHADOW_OVER;
}

const char *gw_source_shadow_there(const struct gw_source *s)
{
	if (!gw_order_wants_shadow(&s->config.order) || s->shadow == SHADOW_RUNS ||
	    s->shadow == SHADOW_HELD)
		return "";
	return shadow_lives(s) ? ", the shadow does not run yet" : " without a shadow";
}

void gw_source_prepare_shadow(struct gw_source *s, struct gw_actions *out)
{
	if (!gw_order_wants_shadow(&s->config.order) || !s->config.policy.kind->pulls ||
	    s->config.paused)
		return;
	s->shadow = SHADOW_PREPARED;
	gw_act(out, GW_ACT_SHADOW_PREPARE);
}

void gw_source_run_shadow(struct gw_source *s, struct gw_actions *out)
{
	if (s->shadow != SHADOW_PREPARED || !s->pulls)
		return;
	s->shadow = SHADOW_ASKED;
	gw_act(out, GW_ACT_SHADOW_RUN);
}

void gw_source_end_shadow(struct gw_source *s, struct gw_actions *out)
{
	if (!shadow_lives(s))
		return;
	s->shadow = SHADOW_OVER;
	gw_act(out, GW_ACT_SHADOW_END);
}

void gw_source_shadow_started(struct gw_source *s, const struct gw_event *ev,
                              struct gw_actions *out)
{
	if (s->shadow != SHADOW_ASKED)
		return;
	s->shadow = SHADOW_RUNS;
	s->metrics.shadow_ran = true;
	gw_trace(out, ev->now_ns, WHO, "the shadow runs, %llu us after the VM was stopped",
	         (unsigned long long)((ev->now_ns - s->stopped_ns) / 1000));
}

void gw_source_shadow_gone(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (!shadow_lives(s))
		return;
	s->shadow = SHADOW_OVER;
	gw_trace(out, ev->now_ns, WHO, "the shadow %s, neighbours of faults go first: %.200s",
	         s->metrics.shadow_ran ? "is gone" : "could not be started", ev->text);
}

/* Far ahead it would only take what the sending needs: it stands until half of that is sent. */
void gw_source_pace_shadow(struct gw_source *s, struct gw_actions *out)
{
	const struct gw_foresight *f = &s->config.order.foresight;
	double carries = (double)s->bandwidth / GW_PAGE_BYTES * (double)f->ahead_ns / SECOND;
	uint64_t limit = AHEAD_PAGES_FIRST;

	if (s->bandwidth)
		limit = carries < AHEAD_PAGES_MAX ? (uint64_t)carries : AHEAD_PAGES_MAX;
	if (limit < AHEAD_PAGES_MIN)
		limit = AHEAD_PAGES_MIN;
	if (s->shadow == SHADOW_RUNS && f->waiting_pages > limit) {
		s->shadow = SHADOW_HELD;
		gw_act(out, GW_ACT_SHADOW_HOLD);
	} else if (s->shadow == SHADOW_HELD && f->waiting_pages <= limit / 2) {
		s->shadow = SHADOW_RUNS;
		gw_act(out, GW_ACT_SHADOW_GO);
	}
}

void gw_source_touched(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_order *order = &s->config.order;

	if (s->shadow != SHADOW_RUNS && s->shadow != SHADOW_HELD)
		return;
	order->kind->touched(order, &s->owed, ev->touched.runs, ev->touched.count);
	s->metrics.shadow_pages = order->foresight.touched_pages;
	gw_source_pace_shadow(s, out);
}

/* The destination waits for the page. */
void gw_source_tell_order(struct gw_source *s, const struct gw_event *ev, uint64_t page,
                          struct gw_actions *out)
{
	struct gw_order *order = &s->config.order;
	const struct gw_foresight *f = &order->foresight;
	bool astray = f->astray;

	order->kind->fault(order, &s->owed, page, ev->now_ns);
	s->metrics.faults_watched = f->faults;
	s->metrics.faults_foretold = f->foretold;
	if (f->astray == astray)
		return;
	gw_trace(out, ev->now_ns, WHO, "%u of %u faults on pages that the shadow had touched: %s",
	         f->right, f->judged,
	         f->astray ? "it leads astray, its pages lose priority"
	                   : "it shows the way, its pages have priority again");
}
