/* SPDX-License-Identifier: MIT */
/*
 * core/migration/source/rounds.c - the source, Iterative Pre-Copy: what a round found, what the
 * policy says to it, and how the next one begins.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/migration/source/parts.h"

static void view_of(const struct gw_source *s, const struct gw_event *ev, struct gw_view *view)
{
	uint64_t deferred = s->round_deferred;

	*view = (struct gw_view){
	        .round = s->round,
	        .now_ns = ev->now_ns - s->begun_ns,
	        .ram_pages = s->config.ram_pages,
	        .populated_pages = s->populated_pages,
	        .dirty_pages = gw_set_count(&s->owed),
	        .previous_dirty_pages = s->previous_dirty,
	        .sent_pages = s->round_sent,
	        .skipped_pages = s->round_skipped - deferred,
	        .sent_total_pages = s->metrics.pages_sent,
	        .round_ns = s->round ? ev->now_ns - s->round_start_ns : 0,
	        .bandwidth_bytes_per_s = s->bandwidth,
	        .limit_bytes_per_s = s->config.limit_bytes_per_s,
	        .latency_ns = s->config.latency_ns,
	        .vcpus = s->config.vcpus,
	        .state_bytes = s->config.state_bytes,
	        .downtime_limit_ns = s->config.downtime_limit_ns,
	        .deadline_ns = s->config.deadline_ns,
	        .dirty = &s->owed,
	        .written = s->round ? ev->set : NULL,
	        .activity = s->round ? ev->activity : (struct gw_activity){0},
	};
}

static void report_round(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                         const struct gw_view *view, const struct gw_verdict *verdict)
{
	struct gw_round *round;

	if (!s->round) {
		gw_trace(out, ev->now_ns, WHO, "%llu of %llu pages hold data: %s (%s)",
		         (unsigned long long)view->populated_pages,
		         (unsigned long long)view->ram_pages, gw_decision_name(verdict->decision),
		         verdict->reason);
		return;
	}
	gw_trace(out, ev->now_ns, WHO,
	         "round %u: sent %llu pages in %llu.%03llu s, %llu dirty: %s (%s)", s->round,
	         (unsigned long long)view->sent_pages,
	         (unsigned long long)(view->round_ns / SECOND),
	         (unsigned long long)(view->round_ns % SECOND / 1000000u),
	         (unsigned long long)view->dirty_pages, gw_decision_name(verdict->decision),
	         verdict->reason);
	round = &out->round;
	gw_act(out, GW_ACT_ROUND)->round = round;
	*round = (struct gw_round){
	        .round = s->round,
	        .sent_pages = view->sent_pages,
	        .skipped_pages = view->skipped_pages,
	        .deferred_pages = s->round_deferred,
	        .dirty_pages = view->dirty_pages,
	        .predicted_dirty_pages = s->predicted_dirty,
	        .sdf = gw_view_sdf(view),
	        .duration_ns = view->round_ns,
	        .bandwidth_bytes_per_s = view->bandwidth_bytes_per_s,
	        .activity = view->activity,
	        .decision = verdict->decision,
	};
	memcpy(round->reason, verdict->reason, sizeof(round->reason));
}

static float known(bool is_known, uint64_t value)
{
	return is_known ? (float)value : -1;
}

static void remember_round(struct gw_source *s, const struct gw_view *view)
{
	const struct gw_activity *a = &view->activity;
	const struct gw_seen seen = {
	        .dirty_pages = (float)view->dirty_pages,
	        .written_pages = (float)gw_set_count(view->written),
	        .left_out_pages = (float)s->round_deferred,
	        .seconds = (float)view->round_ns / (float)SECOND,
	        .cpu = known(a->cpu_known, a->cpu_permille),
	        .memory = known(a->memory_pages, a->memory_pages),
	        .network = known(a->network_known, a->network_bytes_per_s),
	        .link = known(a->link_known, a->link_bytes_per_s),
	};

	gw_rounds_add(&s->rounds, &seen);
}

/* At the rate of the rounds so far; what a round takes besides is as in the last one. */
static double next_round_s(const struct gw_source *s, const struct gw_view *view, uint64_t rate,
                           double pages)
{
	double bytes_per_s = (double)(rate ? rate : view->bandwidth_bytes_per_s);
	double besides;

	if (!view->round)
		bytes_per_s = (double)(rate ? rate : s->config.limit_bytes_per_s);
	if (!(bytes_per_s > 0))
		return -1;
	besides = (double)view->round_ns / (double)SECOND -
	          (double)view->sent_pages * GW_PAGE_BYTES / bytes_per_s;
	return (besides > 0 ? besides : 0) + pages * GW_PAGE_BYTES / bytes_per_s;
}

static struct gw_round_forecast forecast_round(const struct gw_source *s,
                                               const struct gw_view *view, uint64_t rate)
{
	uint64_t sent = view->dirty_pages - s->round_deferred;
	const struct gw_next_round next = {
	        .left_out_pages = (double)s->round_deferred,
	        .seconds = next_round_s(s, view, rate, (double)sent),
	        .most_pages = (double)view->ram_pages,
	};

	return gw_rounds_forecast(&s->rounds, s->config.policy.forecast, &next);
}

static void tell_plan(const struct gw_source *s, const struct gw_event *ev,
                      const struct gw_view *view, const char *who, struct gw_actions *out)
{
	unsigned long long left_out = s->round_deferred, dirty = view->dirty_pages;
	char plan[64] = "", expects[128] = "";

	if (left_out)
		(void)snprintf(plan, sizeof(plan), "leaves out %llu of %llu pages", left_out,
		               dirty);
	else
		(void)snprintf(plan, sizeof(plan), "is to send %llu pages", dirty);
	if (s->predicted_dirty != GW_NO_FORECAST)
		(void)snprintf(expects, sizeof(expects), ", expects %llu dirty after it (%s)",
		               (unsigned long long)s->predicted_dirty, who);
	if (left_out || *expects)
		gw_trace(out, ev->now_ns, WHO, "round %u %s%s", s->round, plan, expects);
}

static void leave_out(struct gw_source *s, const struct gw_event *ev, const struct gw_view *view,
                      uint64_t rate, struct gw_actions *out)
{
	const struct gw_policy *policy = &s->config.policy;
	struct gw_round_forecast forecast;
	char who[96];

	s->predicted_dirty = gw_policy_choose(&s->config.policy, view, &s->skip);
	s->round_deferred = gw_set_count(&s->skip);
	(void)snprintf(who, sizeof(who), "%s", policy->kind->name);
	if (s->predicted_dirty == GW_NO_FORECAST) {
		forecast = forecast_round(s, view, rate);
		if (forecast.pages >= 0)
			s->predicted_dirty = (uint64_t)(forecast.pages + 0.5);
		(void)snprintf(who, sizeof(who), "%s%s",
		               forecast.fallback ? "ewma: " : policy->forecast->name,
		               forecast.fallback ? forecast.fallback : "");
	}
	tell_plan(s, ev, view, who, out);
}

static void begin_round(struct gw_source *s, const struct gw_event *ev, uint64_t rate,
                        struct gw_actions *out)
{
	s->round++;
	gw_act(out, GW_ACT_RATE)->rate_bytes_per_s = rate;
	gw_source_begin_sending(s, ev);
}

void gw_source_decide(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_view view;
	struct gw_verdict verdict = {0};
	uint64_t dirty;

	view_of(s, ev, &view);
	if (view.round)
		remember_round(s, &view);
	gw_policy_decide(&s->config.policy, &view, &verdict);
	report_round(s, ev, out, &view, &verdict);
	dirty = view.dirty_pages;
	s->previous_dirty = dirty;
	switch (verdict.decision) {
	case GW_CONTINUE:
		if (s->tracking) {
			begin_round(s, ev, verdict.rate_bytes_per_s, out);
			leave_out(s, ev, &view, verdict.rate_bytes_per_s, out);
		} else {
			s->first_rate = verdict.rate_bytes_per_s;
			s->track_asked = true;
			gw_act(out, GW_ACT_TRACK);
		}
		break;
	case GW_STOP_AND_COPY: gw_source_begin_switch(s, ev, out, false, verdict.reason); break;
	case GW_POST_COPY:
		s->push_rate = verdict.rate_bytes_per_s;
		gw_source_begin_switch(s, ev, out, true, verdict.reason);
		break;
	case GW_GIVE_UP: gw_source_cancel(s, ev, out, verdict.reason, true); break;
	}
}

void gw_source_tracking(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_view view;

	if (s->state != GW_STATE_ITERATIVE_PRE_COPY) {
		gw_act(out, GW_ACT_LET_GO);
		return;
	}
	s->tracking = true;
	s->track_asked = false;
	gw_set_copy(&s->owed, ev->set);
	s->populated_pages = gw_set_count(&s->owed);
	s->previous_dirty = s->populated_pages;
	view_of(s, ev, &view);
	begin_round(s, ev, s->first_rate, out);
	leave_out(s, ev, &view, s->first_rate, out);
}

void gw_source_scanned(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state != GW_STATE_ITERATIVE_PRE_COPY && s->state != GW_STATE_STOP_AND_COPY)
		return;
	if (GW_PLANT != 9 || s->state != GW_STATE_STOP_AND_COPY) /* 9: the last scan is ignored */
		gw_set_union(&s->owed, ev->set);
	if (s->state == GW_STATE_STOP_AND_COPY)
		gw_source_switch_known(s, ev, out);
	else
		gw_source_decide(s, ev, out);
}

int gw_source_round_acked(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->asked && !s->answered)
		return 0; /* said before RESUME was heard, to which the answer says it all */
	if (s->state == GW_STATE_PULL && s->marked) {
		gw_source_begin_digests(s, out); /* every page is in place there */
		return 0;
	}
	if (s->state == GW_STATE_STOP_AND_COPY && s->punching) {
		s->punching = false;
		gw_source_maybe_stop(s, out);
		return 0;
	}
	if (s->state != GW_STATE_ITERATIVE_PRE_COPY)
		return s->state == GW_STATE_CANCELLED ? 0 : -EPROTO;
	if (!s->marked || ev->message->round_ack.round != s->round)
		return -EPROTO;
	s->marked = false; /* a second one would scan twice, and be taken for the last scan */
	gw_source_measure(s, ev);
	gw_act(out, GW_ACT_SCAN)->final = false;
	return 0;
}
