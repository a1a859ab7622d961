/* SPDX-License-Identifier: MIT */
/*
 * live/host/fleet_sense.c - how the moves stand, what the VMs and others send, and what that shows
 * of the link.
 */
#include "live/host/clock.h"
#include "live/host/fleet.h"
#include "live/net/device.h"

#define USAGE_NS UINT64_C(250000000)  /* of the VMs and the link is measured over */
#define SEEN_NS  UINT64_C(1000000000) /* the link's use is measured over */
#define NOTICED  7                    /* so many parts of what was seen count as more */

static uint64_t per_second(uint64_t bytes, uint64_t ns)
{
	return ns ? (uint64_t)((double)bytes * 1e9 / (double)ns) : 0;
}

static void sense_usage(struct gw_member *m, uint64_t passed_ns)
{
	struct gw_usage_counts now = gw_usage_read(&m->usage);

	if (m->usage.network_known && now.sent_bytes >= m->used.sent_bytes)
		gw_traffic_add(&m->traffic,
		               per_second(now.sent_bytes - m->used.sent_bytes, passed_ns));
	if (m->usage.cpu_known && m->usage.vcpus && now.cpu_ns >= m->used.cpu_ns)
		m->cpu_permille = (uint32_t)((now.cpu_ns - m->used.cpu_ns) * 1000 /
		                             (passed_ns * m->usage.vcpus));
	m->used = now;
}

static void sense_move(const struct gw_evacuation *e, struct gw_member *m)
{
	if (m->state != GW_MEMBER_MOVES || !gw_move_ask(&m->move, e->options.dir, m->name, &m->at))
		return;
	if (m->at.round_ns && m->at.state < GW_STATE_STOP_AND_COPY)
		m->dirty_bytes_per_s =
		        per_second(m->at.dirty_pages * GW_PAGE_BYTES, m->at.round_ns);
}

static uint64_t sent_by_moves(const struct gw_evacuation *e)
{
	uint64_t sum = e->sent_bytes;

	for (size_t i = 0; i < e->count; i++)
		if (e->members[i].state == GW_MEMBER_MOVES)
			sum += e->members[i].at.sent_bytes;
	return sum;
}

static uint64_t own_traffic(const struct gw_evacuation *e)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < e->count; i++)
		if (e->members[i].state == GW_MEMBER_WAITS ||
		    e->members[i].state == GW_MEMBER_MOVES)
			sum += gw_traffic_mean(&e->members[i].traffic);
	return sum;
}

/* --- what a link carries, and one stream ------------------------------------------------------ */

/* As many as may be are under way: others wait for them. */
static bool others_wait(const struct gw_evacuation *e)
{
	for (size_t i = 0; i < e->count; i++)
		if (e->members[i].state == GW_MEMBER_WAITS && e->members[i].host != GW_PLAN_NOWHERE)
			return true;
	return false;
}

static unsigned under_way(const struct gw_evacuation *e)
{
	unsigned count = 0;

	for (size_t i = 0; i < e->count; i++)
		count += e->members[i].state == GW_MEMBER_MOVES;
	return count;
}

/* What all moves together sent, so many of them; 0: nothing is to be told yet. */
static uint64_t measure(const struct gw_evacuation *e, struct gw_fleet_use *use, uint64_t now,
                        uint64_t sent)
{
	unsigned count = under_way(e);
	uint64_t rate;

	if (!use->window_ns || use->window_count != count || !sent || !others_wait(e)) {
		use->window_ns = now;
		use->window_bytes = sent;
		use->window_count = count;
		return 0;
	}
	if (now - use->window_ns < SEEN_NS)
		return 0;
	rate = per_second(sent - use->window_bytes, now - use->window_ns);
	use->window_ns = 0;
	return rate;
}

/*
 * A link that nobody named carries what the moves were seen to get over it: of one at a time, then
 * of two, and so on as long as another one makes it noticeably more.
 */
static bool learn_link(struct gw_evacuation *e, struct gw_fleet_use *use, uint64_t rate)
{
	if (!rate || use->window_count < e->streams)
		return false;
	if (rate > use->most_bytes_per_s + use->most_bytes_per_s / NOTICED) {
		use->most_bytes_per_s = rate;
		e->stream_bytes_per_s = rate / e->streams;
		e->link_bytes_per_s = rate;
		e->streams += !use->filled;
		return true;
	}
	if (!use->filled && e->streams > 1)
		e->streams--;
	use->filled = true;
	return false;
}

/* What the moves may send: less than the link where something is reserved. */
static uint64_t granted(const struct gw_evacuation *e)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < e->count; i++)
		if (e->members[i].state == GW_MEMBER_MOVES)
			sum += e->members[i].rate_bytes_per_s;
	return sum;
}

/*
 * One that was named and is not used shows what one move gets, of its agent's path or of a way that
 * nobody named. Where more at once made it no more, it was something else: a host whose processors
 * are short, say.
 */
static bool learn_stream(struct gw_evacuation *e, struct gw_fleet_use *use, uint64_t rate)
{
	if (!rate || use->filled)
		return false;
	if (use->window_count > use->most_count && use->most_bytes_per_s &&
	    rate <= use->most_bytes_per_s + use->most_bytes_per_s / NOTICED) {
		use->filled = true;
		e->stream_bytes_per_s = 0;
		return true;
	}
	if (rate + rate / 3 >= e->options.link_bytes_per_s || rate + rate / 3 >= granted(e) ||
	    (use->most_count && use->window_count <= use->most_count))
		return false;
	use->most_bytes_per_s = rate;
	use->most_count = use->window_count;
	e->stream_bytes_per_s = rate / use->window_count;
	return true;
}

static bool look_at_link(struct gw_evacuation *e, struct gw_fleet_use *use)
{
	uint64_t now = gw_now_ns(), device = 0, sent = sent_by_moves(e), passed, own, rate;

	passed = now - use->at_ns;
	own = own_traffic(e);
	if (e->ifindex && gw_device_sent(e->ifindex, &device) && use->device_bytes &&
	    device > use->device_bytes) {
		uint64_t all = per_second(device - use->device_bytes, passed);
		/* The moves' headers, about a twentieth, are theirs. */
		uint64_t moves = per_second(sent - use->moves_bytes, passed) / 20 * 21;

		use->others_bytes_per_s = all > moves + own ? all - moves - own : 0;
	}
	use->at_ns = now;
	use->device_bytes = device;
	use->moves_bytes = sent;
	rate = measure(e, use, now, sent);
	return e->options.link_bytes_per_s ? learn_stream(e, use, rate) : learn_link(e, use, rate);
}

bool gw_fleet_sense(struct gw_evacuation *e, struct gw_fleet_use *use)
{
	uint64_t now;

	for (size_t i = 0; i < e->count; i++)
		sense_move(e, &e->members[i]);
	now = gw_now_ns();
	if (now - use->at_ns < USAGE_NS)
		return false;
	for (size_t i = 0; i < e->count; i++)
		sense_usage(&e->members[i], now - use->at_ns);
	return look_at_link(e, use);
}
