/* SPDX-License-Identifier: MIT */
/*
 * core/migration/source/deadlines.c - the source, as time goes by: what is waited for, and for how
 * long.
 */
#include "core/migration/source/parts.h"

#define FAREWELL_NS (5 * SECOND) /* how long the last word is waited for */
#define PING_NS     (2 * SECOND)
#define PROGRESS    65536        /* bytes: far more than PING and PONG are */
#define RETRY_NS    (SECOND / 4) /* between two attempts to connect */

static void silence(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_event lost = *ev;

	if (ev->now_ns - s->heard_ns >= s->config.link_timeout_ns) {
		lost.text = "the destination has been silent for too long";
		gw_source_link_lost(s, &lost, out);
	} else if (ev->now_ns - s->heard_ns >= PING_NS && ev->now_ns - s->pinged_ns >= PING_NS) {
		s->pinged_ns = ev->now_ns;
		gw_act_send(out,
		            (struct gw_message){.kind = GW_MSG_PING, .ping.token = ev->now_ns});
	}
}

/* The VM stands. A slow link may take long for a large state: what it carries counts. */
static bool is_stuck(struct gw_source *s, const struct gw_event *ev)
{
	if (ev->link_bytes - s->waiting_bytes >= PROGRESS) {
		s->waiting_bytes = ev->link_bytes;
		s->waiting_since_ns = ev->now_ns;
	}
	return ev->now_ns - s->waiting_since_ns >= s->config.switch_timeout_ns;
}

static bool watches_silence(const struct gw_source *s)
{
	return s->link && s->state >= GW_STATE_ITERATIVE_PRE_COPY && s->state <= GW_STATE_PULL;
}

void gw_source_tick(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state == GW_STATE_RESERVATION &&
	    ev->now_ns - s->waiting_since_ns >= s->config.accept_timeout_ns) {
		gw_source_cancel_for(s, ev, out, GW_AT_LINK,
		                     "the destination did not answer the offer in time", true);
		return;
	}
	if (s->state == GW_STATE_STOP_AND_COPY && s->marked && is_stuck(s, ev)) {
		gw_source_cancel_for(s, ev, out, GW_AT_DESTINATION,
		                     "the destination did not load the device state in time", true);
		return;
	}
	if (s->state == GW_STATE_CANCELLED && !s->settled) {
		uint64_t limit = s->link ? FAREWELL_NS : s->config.reconnect_ns;

		if (ev->now_ns - s->lost_ns >= limit) {
			s->settled = true;
			gw_source_settle(s, ev, out);
			return;
		}
	}
	if (gw_source_needs_link(s)) {
		if (ev->now_ns - s->lost_ns >= s->config.reconnect_ns)
			gw_source_give_up_waiting(s, ev, out);
		else if (ev->now_ns - s->retry_ns >= RETRY_NS)
			gw_source_reconnect(s, ev, out);
		return;
	}
	if (gw_source_pushes(s))
		s->sending = true; /* the order said when to ask again */
	if (watches_silence(s))
		silence(s, ev, out);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t gw_source_deadline(const struct gw_source *s)
{
	uint64_t when = UINT64_MAX;

	if (s->finished)
		return when;
	if (s->state == GW_STATE_RESERVATION)
		when = earlier(when, s->waiting_since_ns + s->config.accept_timeout_ns);
	if (s->state == GW_STATE_STOP_AND_COPY && s->marked)
		when = earlier(when, s->waiting_since_ns + s->config.switch_timeout_ns);
	if (s->state == GW_STATE_CANCELLED && !s->settled)
		when = earlier(when, s->lost_ns + (s->link ? FAREWELL_NS : s->config.reconnect_ns));
	if (gw_source_needs_link(s)) {
		when = earlier(when, s->lost_ns + s->config.reconnect_ns);
		if (!s->connecting)
			when = earlier(when, s->retry_ns + RETRY_NS);
	}
	if (gw_source_pushes(s) && !s->sending)
		when = earlier(when, gw_order_deadline(&s->config.order));
	if (watches_silence(s)) {
		uint64_t last = s->heard_ns > s->pinged_ns ? s->heard_ns : s->pinged_ns;

		when = earlier(when, last + PING_NS);
		when = earlier(when, s->heard_ns + s->config.link_timeout_ns);
	}
	return when;
}
