/* SPDX-License-Identifier: MIT */
#include "live/host/fleet.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/page/set.h"
#include "live/host/clock.h"
#include "live/net/device.h"

#define INTERVAL_MS 50                   /* a link that stands idle between two moves is lost */
#define USAGE_NS    UINT64_C(250000000)  /* of the VMs and the link is measured over */
#define SEEN_NS     UINT64_C(1000000000) /* the link's use is measured over */
#define BEGIN_NS    UINT64_C(100000000)  /* of it what is not hidden behind the move before */
#define SWITCH_NS   UINT64_C(200000000)  /* device state, the last messages, the release */
/*
 * A move that was granted nothing stays alive by a trickle of the link. Not less: the kernel's
 * pacing holds back what it has taken at the old rate, 64 KiB or so, when the rate is raised.
 */
#define TRICKLE     16
#define LEAST_RATE  64000u
#define PATIENCE    3 /* times its latest expected duration, if nobody says */
#define PATIENCE_NS UINT64_C(60000000000)

static uint64_t since_beginning(const struct gw_evacuation *e)
{
	return e->began_ns ? gw_now_ns() - e->began_ns : 0;
}

/* --- planning -------------------------------------------------------------------------------- */

static uint64_t planned_link(const struct gw_evacuation *e)
{
	if (e->options.link_bytes_per_s)
		return e->options.link_bytes_per_s;
	return e->link_bytes_per_s ? e->link_bytes_per_s : GW_ASSUMED_RATE;
}

static struct gw_fleet_vm vm_of(const struct gw_evacuation *e, const struct gw_member *m)
{
	uint64_t gone = since_beginning(e);
	const char *policy = e->options.policy;

	return (struct gw_fleet_vm){
	        .memory_bytes = m->ram_bytes,
	        .send_bytes = m->data_bytes,
	        .dirty_bytes_per_s = m->dirty_bytes_per_s,
	        .hot_bytes = m->hot_bytes,
	        .limit_bytes_per_s = m->limit_bytes_per_s,
	        .deadline_ns = !m->deadline_ns         ? 0
	                       : m->deadline_ns > gone ? m->deadline_ns - gone
	                                               : 1,
	        .downtime_limit_ns = e->options.downtime_ns,
	        .priority = m->priority,
	        .group = m->group,
	        .may_pull = !policy || strcmp(policy, "precopy") != 0,
	};
}

/* What a host can still take: less what is promised to those under way. */
static uint64_t room_of(const struct gw_evacuation *e, size_t host)
{
	uint64_t room = e->hosts[host].free_bytes;

	for (size_t i = 0; i < e->count; i++) {
		const struct gw_member *m = &e->members[i];

		if (m->state == GW_MEMBER_MOVES && m->host == host)
			room = room > m->data_bytes ? room - m->data_bytes : 0;
	}
	return room;
}

/* When those under way are over, as far as one can tell. */
static uint64_t busy_ns(const struct gw_evacuation *e)
{
	uint64_t left = 0;

	for (size_t i = 0; i < e->count; i++) {
		const struct gw_member *m = &e->members[i];

		if (m->state == GW_MEMBER_MOVES && m->planned.sent_bytes > m->at.sent_bytes)
			left += m->planned.sent_bytes - m->at.sent_bytes;
	}
	return (uint64_t)((double)left * 1e9 / (double)planned_link(e));
}

struct planning {
	struct gw_fleet fleet;
	struct gw_fleet_vm *vms;
	size_t *which; /* member of each VM */
	struct gw_fleet_host *hosts;
	uint64_t link;
	void *memory;
};

static void end_planning(struct planning *p)
{
	free(p->vms);
	free(p->which);
	free(p->hosts);
	free(p->memory);
}

static bool prepare(const struct gw_evacuation *e, struct planning *p)
{
	size_t n = 0;

	*p = (struct planning){.vms = calloc(e->count + 1, sizeof(*p->vms)),
	                       .which = calloc(e->count + 1, sizeof(*p->which)),
	                       .hosts = calloc(e->host_count + 1, sizeof(*p->hosts)),
	                       .link = planned_link(e)};
	if (!p->vms || !p->which || !p->hosts)
		return false;
	for (size_t i = 0; i < e->count; i++) {
		const struct gw_member *m = &e->members[i];

		if (m->state != GW_MEMBER_WAITS)
			continue;
		p->which[n] = i;
		p->vms[n++] = vm_of(e, m);
		if (m->group > p->fleet.groups)
			p->fleet.groups = m->group;
	}
	for (size_t i = 0; i < e->host_count; i++)
		p->hosts[i] = (struct gw_fleet_host){room_of(e, i), p->link, e->hosts[i].silent};
	p->fleet.vms = p->vms;
	p->fleet.vm_count = n;
	p->fleet.links = &p->link;
	p->fleet.link_count = 1;
	p->fleet.hosts = p->hosts;
	p->fleet.host_count = e->host_count;
	p->fleet.deadline_ns = e->options.deadline_ns;
	p->fleet.begin_ns = BEGIN_NS;
	p->fleet.switch_ns = SWITCH_NS;
	p->memory = malloc(gw_schedule_bytes(&p->fleet));
	return p->memory != NULL;
}

/* A host that did not take a VM is none for it; nor is one where another of its group went. */
static bool may_go(const struct gw_evacuation *e, const struct gw_member *m, size_t host)
{
	if (host == GW_PLAN_NOWHERE || m->tried >> host & 1)
		return false;
	for (size_t i = 0; m->group && i < e->count; i++) {
		const struct gw_member *other = &e->members[i];

		if (other != m && other->group == m->group && other->host == host &&
		    (other->state == GW_MEMBER_MOVES || other->state == GW_MEMBER_MOVED))
			return false;
	}
	return true;
}

/* Another host for a VM that may not go where it was planned: the first that has the room. */
static size_t another_host(const struct gw_evacuation *e, const struct gw_member *m)
{
	for (size_t i = 0; i < e->host_count; i++)
		if (!e->hosts[i].silent && may_go(e, m, i) && room_of(e, i) >= m->ram_bytes)
			return i;
	return GW_PLAN_NOWHERE;
}

static void take_plan(struct gw_evacuation *e, const struct planning *p)
{
	uint64_t from = since_beginning(e) + busy_ns(e);

	for (size_t i = 0; i < p->fleet.vm_count; i++) {
		struct gw_plan_move *move = &e->plan.moves[i];
		struct gw_member *m;

		move->vm = p->which[move->vm];
		m = &e->members[move->vm];
		if (move->host != GW_PLAN_NOWHERE && !may_go(e, m, move->host)) {
			move->host = another_host(e, m);
			if (move->host == GW_PLAN_NOWHERE)
				move->problem = m->group ? GW_PLAN_APART : GW_PLAN_NO_ROOM;
		}
		move->begin_ns += from;
		move->end_ns += from;
		move->soonest_ns += from;
		move->latest_ns += from;
		m->planned = *move;
		m->host = move->host;
	}
	e->plan.end_ns += from;
	e->plan.soonest_ns += from;
	e->plan.latest_ns += from;
}

int gw_fleet_plan(struct gw_evacuation *e, struct gw_error *error)
{
	struct planning p;
	struct gw_plan_move *moves = reallocarray(e->plan.moves, e->count + 1, sizeof(*moves));
	int err = 0;

	if (moves)
		e->plan.moves = moves;
	if (!moves || !prepare(e, &p)) {
		err = gw_fail(error, ENOMEM, "no memory for a plan of %zu VMs", e->count);
	} else {
		if (p.fleet.deadline_ns)
			p.fleet.deadline_ns = p.fleet.deadline_ns > since_beginning(e)
			                              ? p.fleet.deadline_ns - since_beginning(e)
			                              : 1;
		gw_schedule_make(&p.fleet, p.memory, &e->plan);
		take_plan(e, &p);
	}
	if (moves)
		end_planning(&p);
	return err;
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
	        .downtime_ns = e->options.downtime_ns,
	        .deadline_ns = PATIENCE * takes + PATIENCE_NS,
	        .verify = e->options.verify,
	};
	struct gw_error error = {{0}};

	m->begin_ns = since_beginning(e);
	m->at = (struct gw_move_state){.sent_bytes = 0};
	(void)snprintf(m->policy, sizeof(m->policy), "%s", order.policy ? order.policy : "recover");
	m->state = GW_MEMBER_MOVES;
	if (!gw_move_begin(&m->move, &order, &error))
		return;
	m->state = GW_MEMBER_FAILED;
	(void)snprintf(m->why, sizeof(m->why), "%s", error.text);
}

/* The VM stayed, and that host is to blame: it is full, or gone. */
static bool another_may_take_it(struct gw_evacuation *e, struct gw_member *m)
{
	const char *outcome = json_string_value(json_object_get(m->move.result, "outcome"));
	bool stayed = !m->move.result || (outcome && !strcmp(outcome, "stayed"));

	if (!stayed || e->stopped || m->unfinished)
		return false;
	if (!strstr(m->move.said, "memory") && !strstr(m->move.said, "answer") &&
	    !strstr(m->move.said, "listens") && !strstr(m->move.said, "no way to"))
		return false;
	m->tried |= UINT64_C(1) << m->host;
	return another_host(e, m) != GW_PLAN_NOWHERE;
}

static void end(struct gw_evacuation *e, struct gw_member *m, bool completed)
{
	json_t *bytes = json_object_get(m->move.result, "bytes_on_link");

	m->end_ns = since_beginning(e);
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

/* --- sensing --------------------------------------------------------------------------------- */

static uint64_t per_second(uint64_t bytes, uint64_t ns)
{
	return ns ? (uint64_t)((double)bytes * 1e9 / (double)ns) : 0;
}

static void sense_usage(struct gw_member *m, uint64_t passed_ns)
{
	struct gw_usage_counts now = gw_usage_read(&m->usage);

	if (m->usage.network_known && now.network_bytes >= m->used.network_bytes)
		gw_traffic_add(&m->traffic,
		               per_second(now.network_bytes - m->used.network_bytes, passed_ns));
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

/* What everybody sent by the device, and the moves and the VMs of it, in the last interval. */
struct use {
	uint64_t at_ns, device_bytes, moves_bytes; /* counters when last looked at */
	uint64_t most_bytes_per_s;                 /* that moves were seen to send */
	uint64_t others_bytes_per_s;               /* Nu */
	uint64_t window_ns, window_bytes;          /* where a measurement began */
	uint64_t shown_ns;
};

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

/* A link that nobody named is what the moves were seen to get over it. */
static void learn_link(struct gw_evacuation *e, struct use *use, uint64_t now, uint64_t sent)
{
	uint64_t rate;

	if (e->options.link_bytes_per_s || now - use->window_ns < SEEN_NS)
		return;
	rate = sent > use->window_bytes ? per_second(sent - use->window_bytes, now - use->window_ns)
	                                : 0;
	use->window_ns = now;
	use->window_bytes = sent;
	if (rate <= use->most_bytes_per_s)
		return;
	use->most_bytes_per_s = rate;
	if (now - e->began_ns > 2 * SEEN_NS)
		e->link_bytes_per_s = rate;
}

static void look_at_link(struct gw_evacuation *e, struct use *use)
{
	uint64_t now = gw_now_ns(), device = 0, sent = sent_by_moves(e), passed, own;

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
	learn_link(e, use, now, sent);
}

/* --- dividing the link ----------------------------------------------------------------------- */

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
	        .deadline_ns = deadline,
	        .pulls = strcmp(m->state == GW_MEMBER_WAITS ? m->planned.policy : m->policy,
	                        "precopy") != 0,
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
	/* A link that is not known yet is learned from one move. */
	if (!e->options.link_bytes_per_s && !e->link_bytes_per_s)
		may = 1;
	for (size_t i = 0; i < e->plan.moved + e->plan.left; i++) {
		const struct gw_member *m = &e->members[e->plan.moves[i].vm];

		if (m->state == GW_MEMBER_WAITS && m->host != GW_PLAN_NOWHERE && (!may || n < may))
			d->which[n++] = e->plan.moves[i].vm;
	}
	for (size_t i = 0; i < n; i++)
		d->movers[i] = mover_of(e, &e->members[d->which[i]]);
	return n;
}

/* What the VMs send that are here and, for now, do not move: part of Nu. */
static uint64_t sent_by_the_rest(const struct gw_evacuation *e, const struct dividing *d, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < e->count; i++)
		if (e->members[i].state != GW_MEMBER_MOVED)
			sum += gw_traffic_next(&e->members[i].traffic);
	for (size_t i = 0; i < n; i++)
		sum -= gw_traffic_next(&e->members[d->which[i]].traffic);
	return sum;
}

/* 0: all of the link. One that was only seen leaves room to see more of it. */
static uint64_t told_rate(const struct gw_evacuation *e, const struct gw_grant *grant)
{
	uint64_t rate = grant->rate_bytes_per_s;

	if (!rate)
		rate = planned_link(e) / TRICKLE;
	if (rate < LEAST_RATE)
		rate = LEAST_RATE;
	if (e->options.link_bytes_per_s)
		return rate;
	return e->link_bytes_per_s ? rate + rate / 4 : 0;
}

static void divide(struct gw_evacuation *e, const struct use *use, struct dividing *d)
{
	struct gw_uplink link = {.now_ns = since_beginning(e),
	                         .total_bytes_per_s = planned_link(e),
	                         .used_bytes_per_s = use->others_bytes_per_s,
	                         .next_ns = INTERVAL_MS * 1000000};
	size_t n = gather(e, d);

	/* Both are what moves may use, or got: what others use is not in it. */
	if (e->options.link_bytes_per_s || !e->link_bytes_per_s)
		link.used_bytes_per_s = 0;
	link.used_bytes_per_s += sent_by_the_rest(e, d, n);
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

static int turn(struct gw_evacuation *e, struct use *use, struct dividing *d,
                struct gw_error *error)
{
	struct pollfd stop = {.fd = e->options.stop_fd, .events = POLLIN};
	uint64_t link = e->link_bytes_per_s, now;
	int err = 0;

	if (poll(&stop, 1, INTERVAL_MS) == 1)
		stop_all(e);
	for (size_t i = 0; i < e->count; i++)
		sense_move(e, &e->members[i]);
	now = gw_now_ns();
	if (now - use->at_ns >= USAGE_NS) {
		for (size_t i = 0; i < e->count; i++)
			sense_usage(&e->members[i], now - use->at_ns);
		look_at_link(e, use);
	}
	if (reap(e) || e->link_bytes_per_s > link + link / 10)
		err = gw_fleet_plan(e, error);
	if (!e->stopped)
		divide(e, use, d);
	e->now_ns = gw_now_ns();
	if (e->options.show && e->now_ns - use->shown_ns >= USAGE_NS) {
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
	struct use use = {0};
	int err = 0;

	if (!which || !movers || !grants)
		return gw_fail(error, ENOMEM, "no memory for %zu VMs", e->count);
	e->announced_ns = e->plan.end_ns;
	e->began_ns = use.window_ns = use.at_ns = gw_now_ns();
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
		gw_move_clear(&e->members[i].move);
	}
	free(e->members);
	free(e->plan.moves);
	e->members = NULL;
	e->plan.moves = NULL;
	e->count = 0;
}
