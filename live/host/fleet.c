/* SPDX-License-Identifier: MIT */
#include "live/host/fleet.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/migration/metrics.h"
#include "core/page/set.h"
#include "core/policy/policy.h"
#include "live/host/clock.h"
#include "live/net/device.h"

#define INTERVAL_MS 50 /* a link that stands idle between two moves is lost */
#define SHOW_NS     UINT64_C(250000000)
/*
 * A move that was granted nothing stays alive by a trickle of the link. Not less: the kernel's
 * pacing holds back what it has taken at the old rate, 64 KiB or so, when the rate is raised.
 */
#define TRICKLE     16
#define LEAST_RATE  64000u
#define PATIENCE    3 /* times its latest expected duration, if nobody says */
#define PATIENCE_NS UINT64_C(60000000000)

uint64_t gw_fleet_passed(const struct gw_evacuation *e)
{
	return e->began_ns ? gw_now_ns() - e->began_ns : 0;
}

/* --- moves begin and end --------------------------------------------------------------------- */

static void begin(struct gw_evacuation *e, struct gw_member *m)
{
	const struct gw_plan_move *p = &m->planned;
	uint64_t takes = p->latest_ns > p->begin_ns ? p->latest_ns - p->begin_ns : 0;
	struct gw_move_order order = {
	        .program = e->options.program,
	        .name = m->name,
	        .to = e->hosts[m->host].name,
	        .policy = m->unfinished       ? NULL
	                  : e->options.policy ? e->options.policy
	                                      : p->policy,
	        .limit_bytes_per_s = m->limit_bytes_per_s,
	        .granted_bytes_per_s = m->rate_bytes_per_s,
	        .traffic_class = gw_fleet_class(e, m),
	        .observed_fd = m->observed_fd,
	        .downtime_ns = e->options.downtime_ns,
	        .deadline_ns = PATIENCE * takes + PATIENCE_NS,
	        .verify = e->options.verify,
	};
	struct gw_error error = {{0}};

	m->begin_ns = gw_fleet_passed(e);
	m->at = (struct gw_move_state){.sent_bytes = 0};
	(void)snprintf(m->policy, sizeof(m->policy), "%s", order.policy ? order.policy : "recover");
	m->state = GW_MEMBER_MOVES;
	if (!gw_move_begin(&m->move, &order, &error))
		return;
	m->state = GW_MEMBER_FAILED;
	(void)snprintf(m->why, sizeof(m->why), "%s", error.text);
}

/* The VM stayed, and not because of this host: that one is full, say, or gone. */
static bool another_may_take_it(struct gw_evacuation *e, struct gw_member *m)
{
	const char *obstacle = json_string_value(json_object_get(m->move.result, "obstacle"));

	if (!obstacle || !strcmp(obstacle, gw_obstacle_name(GW_AT_SOURCE)))
		return false;
	if (e->stopped || m->unfinished)
		return false;
	m->tried |= UINT64_C(1) << m->host;
	return gw_fleet_another(e, m) != GW_PLAN_NOWHERE;
}

static void end(struct gw_evacuation *e, struct gw_member *m, bool completed)
{
	json_t *bytes = json_object_get(m->move.result, "bytes_on_link");

	m->end_ns = gw_fleet_passed(e);
	e->sent_bytes += bytes ? (uint64_t)json_integer_value(bytes) : m->at.sent_bytes;
	m->at.sent_bytes = 0;
	if (completed) {
		m->state = GW_MEMBER_MOVED;
		gw_usage_close(&m->usage);
		return;
	}
	(void)snprintf(m->why, sizeof(m->why), "%s", m->move.said);
	gw_fleet_ask_hosts(e);
	m->state = another_may_take_it(e, m) ? GW_MEMBER_WAITS : GW_MEMBER_FAILED;
	if (e->options.note) {
		char text[600];

		(void)snprintf(text, sizeof(text), "%s: %s%s", m->name, m->why,
		               m->state == GW_MEMBER_WAITS ? "; another host is tried" : "");
		e->options.note(e->options.arg, text);
	}
}

/* Whether any has ended. */
static bool reap(struct gw_evacuation *e)
{
	bool any = false, completed;

	for (size_t i = 0; i < e->count; i++) {
		struct gw_member *m = &e->members[i];

		if (m->state != GW_MEMBER_MOVES || !gw_move_ended(&m->move, &completed))
			continue;
		end(e, m, completed);
		any = true;
	}
	return any;
}

/* --- dividing the link ----------------------------------------------------------------------- */

static bool pulls(const char *name)
{
	struct gw_policy policy;

	return name && !gw_policy_init(&policy, name) && policy.kind->pulls;
}

/* 0: it carries no less than the link here. */
static uint64_t way_of(const struct gw_evacuation *e, size_t host)
{
	uint64_t way = gw_fleet_way(e, host);

	return way < gw_fleet_link(e) ? way : 0;
}

static struct gw_mover mover_of(const struct gw_evacuation *e, const struct gw_member *m)
{
	uint64_t deadline = e->options.deadline_ns, left = m->data_bytes, done, all;

	if (m->deadline_ns && (!deadline || m->deadline_ns < deadline))
		deadline = m->deadline_ns;
	done = m->at.done_pages * GW_PAGE_BYTES;
	all = m->at.all_pages * GW_PAGE_BYTES;
	if (m->state == GW_MEMBER_MOVES && m->at.state >= GW_STATE_ITERATIVE_PRE_COPY && all)
		left = all > done ? all - done : 0;
	/* What was dirtied since the round began is for the next one. */
	if (m->state == GW_MEMBER_MOVES && m->grant.rate_bytes_per_s &&
	    m->at.state == GW_STATE_ITERATIVE_PRE_COPY)
		left += (uint64_t)((double)m->dirty_bytes_per_s * (double)done /
		                   (double)m->grant.rate_bytes_per_s);
	return (struct gw_mover){
	        .state = m->state == GW_MEMBER_WAITS ? GW_MOVER_WAITS
	                                             : gw_mover_state_of(m->at.state),
	        .dirty_bytes_per_s = m->dirty_bytes_per_s,
	        .traffic_bytes_per_s = gw_traffic_mean(&m->traffic),
	        .traffic_next_bytes_per_s = gw_traffic_next(&m->traffic),
	        .cpu_permille = m->cpu_permille,
	        .left_bytes = left,
	        .limit_bytes_per_s = m->limit_bytes_per_s,
	        .stream_bytes_per_s = gw_fleet_stream(e) / 8 * 9, /* or no more is ever seen */
	        .way = (unsigned)m->host + 1,
	        .way_bytes_per_s = m->host == GW_PLAN_NOWHERE ? 0 : way_of(e, m->host),
	        .deadline_ns = deadline,
	        .pulls = pulls(m->state == GW_MEMBER_WAITS ? m->planned.policy : m->policy),
	        .first_pass = !m->at.rounds,
	        .priority = m->priority,
	};
}

struct dividing {
	size_t *which; /* member of each mover */
	struct gw_mover *movers;
	struct gw_grant *grants;
};

/* Those under way, then those that may begin, in the plan's order; how many. */
static size_t gather(const struct gw_evacuation *e, struct dividing *d)
{
	size_t n = 0, may = e->options.at_once;

	for (size_t i = 0; i < e->count; i++)
		if (e->members[i].state == GW_MEMBER_MOVES)
			d->which[n++] = i;
	/* What is not known of a link is learned from few moves. */
	if (!e->options.link_bytes_per_s && (!may || may > e->streams))
		may = e->streams;
	for (size_t i = 0; i < e->plan.moved + e->plan.left; i++) {
		const struct gw_member *m = &e->members[e->plan.moves[i].vm];

		if (m->state == GW_MEMBER_WAITS && m->host != GW_PLAN_NOWHERE && (!may || n < may))
			d->which[n++] = e->plan.moves[i].vm;
	}
	for (size_t i = 0; i < n; i++)
		d->movers[i] = mover_of(e, &e->members[d->which[i]]);
	return n;
}

/* 0: all of the link. One that was only seen leaves room to see more of it. */
static uint64_t told_rate(const struct gw_evacuation *e, const struct gw_grant *grant)
{
	uint64_t rate = grant->rate_bytes_per_s;

	if (!rate)
		rate = gw_fleet_link(e) / TRICKLE;
	if (rate < LEAST_RATE)
		rate = LEAST_RATE;
	if (e->options.link_bytes_per_s)
		return rate;
	return e->link_bytes_per_s ? rate + rate / 4 : 0;
}

static void divide(struct gw_evacuation *e, const struct gw_fleet_use *use, struct dividing *d)
{
	struct gw_uplink link = {.now_ns = gw_fleet_passed(e),
	                         .total_bytes_per_s = gw_fleet_link(e),
	                         .used_bytes_per_s = use->others_bytes_per_s,
	                         .next_ns = INTERVAL_MS * 1000000};
	size_t n = gather(e, d);

	/* Both are what moves may use, or got: what others use is not in it. */
	if (e->options.link_bytes_per_s || !e->link_bytes_per_s)
		link.used_bytes_per_s = 0;
	link.used_bytes_per_s += gw_fleet_sent_by_others(e, d->which, n);
	gw_bandwidth_divide(&e->options.sharing, &link, d->movers, d->grants, n);
	for (size_t i = 0; i < n; i++) {
		struct gw_member *m = &e->members[d->which[i]];

		m->grant = d->grants[i];
		m->rate_bytes_per_s = told_rate(e, &d->grants[i]);
	}
	gw_fleet_share(e);
	for (size_t i = 0; i < n; i++) {
		struct gw_member *m = &e->members[d->which[i]];

		if (m->state == GW_MEMBER_WAITS && !m->grant.waits)
			begin(e, m);
		if (d->movers[i].state != GW_MOVER_SETTLES)
			gw_move_grant(&m->move, m->rate_bytes_per_s);
	}
}

/* --- the whole ------------------------------------------------------------------------------- */

static bool is_over(const struct gw_evacuation *e)
{
	for (size_t i = 0; i < e->count; i++) {
		const struct gw_member *m = &e->members[i];

		if (m->state == GW_MEMBER_MOVES)
			return false;
		if (m->state == GW_MEMBER_WAITS && m->host != GW_PLAN_NOWHERE && !e->stopped)
			return false;
	}
	return true;
}

static void stop_all(struct gw_evacuation *e)
{
	char record[256]; /* a signalfd's */

	(void)!read(e->options.stop_fd, record, sizeof(record));
	e->stopped = true;
	for (size_t i = 0; i < e->count; i++)
		gw_move_stop(&e->members[i].move);
}

static void name_what_is_left(struct gw_evacuation *e)
{
	for (size_t i = 0; i < e->count; i++) {
		struct gw_member *m = &e->members[i];

		if (m->state != GW_MEMBER_WAITS || e->stopped)
			continue;
		m->state = GW_MEMBER_STAYS;
		if (!m->why[0])
			(void)snprintf(m->why, sizeof(m->why), "%s",
			               gw_plan_problem_name(m->planned.problem));
	}
}

static int turn(struct gw_evacuation *e, struct gw_fleet_use *use, struct dividing *d,
                struct gw_error *error)
{
	struct pollfd stop = {.fd = e->options.stop_fd, .events = POLLIN};
	bool learned;
	int err = 0;

	if (poll(&stop, 1, INTERVAL_MS) == 1)
		stop_all(e);
	learned = gw_fleet_sense(e, use);
	if (reap(e) || learned)
		err = gw_fleet_plan(e, error);
	if (!e->stopped)
		divide(e, use, d);
	e->now_ns = gw_now_ns();
	if (e->options.show && e->now_ns - use->shown_ns >= SHOW_NS) {
		use->shown_ns = e->now_ns;
		e->options.show(e->options.arg);
	}
	return err;
}

int gw_fleet_run(struct gw_evacuation *e, struct gw_error *error)
{
	_cleanup_free_ size_t *which = calloc(e->count + 1, sizeof(*which));
	_cleanup_free_ struct gw_mover *movers = calloc(e->count + 1, sizeof(*movers));
	_cleanup_free_ struct gw_grant *grants = calloc(e->count + 1, sizeof(*grants));
	struct dividing d = {which, movers, grants};
	struct gw_fleet_use use = {0};
	int err = 0;

	if (!which || !movers || !grants)
		return gw_fail(error, ENOMEM, "no memory for %zu VMs", e->count);
	e->announced = e->plan;
	e->streams = 1;
	e->began_ns = use.at_ns = gw_now_ns();
	gw_fleet_shape(e);
	divide(e, &use, &d);
	while (!err && !is_over(e))
		err = turn(e, &use, &d, error);
	gw_fleet_unshape(e);
	e->ended_ns = gw_now_ns();
	name_what_is_left(e);
	return err;
}

void gw_fleet_progress(const struct gw_evacuation *e, uint64_t *done_bytes, uint64_t *all_bytes)
{
	*done_bytes = *all_bytes = 0;
	for (size_t i = 0; i < e->count; i++) {
		const struct gw_member *m = &e->members[i];
		uint64_t done = m->at.sent_bytes < m->data_bytes ? m->at.sent_bytes : m->data_bytes;

		if (m->state == GW_MEMBER_STAYS || m->state == GW_MEMBER_FAILED)
			continue;
		*all_bytes += m->data_bytes;
		*done_bytes += m->state == GW_MEMBER_MOVED   ? m->data_bytes
		               : m->state == GW_MEMBER_MOVES ? done
		                                             : 0;
	}
}

void gw_fleet_clear(struct gw_evacuation *e)
{
	for (size_t i = 0; i < e->count; i++) {
		gw_usage_close(&e->members[i].usage);
		gw_cleanup_close(&e->members[i].observed_fd);
		gw_move_clear(&e->members[i].move);
	}
	free(e->members);
	free(e->plan.moves);
	e->members = NULL;
	e->plan.moves = NULL;
	e->count = 0;
}
