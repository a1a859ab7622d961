/* SPDX-License-Identifier: MIT */
#include "core/fleet/plan.h"

#include <string.h>

#define ROUNDS_MAX 30 /* Xen's: then it does not converge */
#define LANES_MAX  16
#define SECOND     1e9
#define LONGEST_NS 1e16 /* of a move, four months: sums of a thousand fit 64 bits */

const char *gw_plan_problem_name(enum gw_plan_problem problem)
{
	switch (problem) {
	case GW_PLAN_FINE: return "";
	case GW_PLAN_RISKY: return "may be late";
	case GW_PLAN_LATE: return "late";
	case GW_PLAN_ENDLESS: return "dirties more than is sent";
	case GW_PLAN_APART: return "no host without another of its group";
	case GW_PLAN_NO_ROOM: return "no host has the memory";
	case GW_PLAN_STAYS: return "cannot be moved";
	}
	return "";
}

/* --- one move -------------------------------------------------------------------------------- */

static double dirtied(const struct gw_fleet_vm *vm, double seconds)
{
	double hot = vm->hot_bytes ? (double)vm->hot_bytes : (double)vm->memory_bytes;
	double bytes = (double)vm->dirty_bytes_per_s * seconds;

	return bytes < hot ? bytes : hot;
}

static uint64_t ns_of(double seconds)
{
	double ns = seconds * SECOND;

	return (uint64_t)(ns < LONGEST_NS ? ns : LONGEST_NS);
}

struct gw_expected gw_expect(const struct gw_fleet_vm *vm, bool pulls, uint64_t rate_bytes_per_s)
{
	double rate = rate_bytes_per_s ? (double)rate_bytes_per_s : 1;
	double fits = rate * (double)vm->downtime_limit_ns / SECOND;
	double left = (double)vm->send_bytes, sent = left, copy = left / rate, next;
	struct gw_expected e = {0};
	unsigned round = 1;

	left = dirtied(vm, copy);
	while (!pulls && left > fits && !e.endless) {
		next = dirtied(vm, left / rate);
		e.endless = ++round > ROUNDS_MAX;
		copy += left / rate;
		sent += left;
		left = next;
	}
	e.copy_ns = ns_of(copy);
	e.after_ns = ns_of(left / rate);
	e.sent_bytes = (uint64_t)(sent + left);
	return e;
}

/* The three of which an interval is made. */
enum view { EXPECTED, SOONEST, LATEST, VIEWS };

static struct gw_expected expect_as(const struct gw_fleet_vm *vm, bool pulls, uint64_t rate,
                                    enum view view)
{
	struct gw_fleet_vm other = *vm;

	if (view == SOONEST) {
		other.dirty_bytes_per_s = 0;
		rate += rate / 20;
	} else if (view == LATEST) {
		other.dirty_bytes_per_s *= 2;
		rate -= rate / 10;
	}
	return gw_expect(&other, pulls, rate);
}

/* --- the order of the VMs -------------------------------------------------------------------- */

struct making {
	const struct gw_fleet *fleet;
	struct gw_schedule *plan;
	bool small_first;
	uint32_t *order;          /* of VMs */
	uint64_t (*link)[VIEWS];  /* when each source link is free */
	uint64_t (*lanes)[VIEWS]; /* likewise of each host's LANES_MAX */
	uint64_t *room;           /* of each host */
	uint64_t *apart;          /* a bit for each group and host */
};

static uint64_t deadline_of(const struct gw_fleet *fleet, const struct gw_fleet_vm *vm)
{
	uint64_t all = fleet->deadline_ns, own = vm->deadline_ns;

	if (!all || !own)
		return all || own ? all + own : UINT64_MAX;
	return all < own ? all : own;
}

static bool is_before(const struct making *m, uint32_t a, uint32_t b)
{
	const struct gw_fleet_vm *x = &m->fleet->vms[a], *y = &m->fleet->vms[b];
	uint64_t one = deadline_of(m->fleet, x), other = deadline_of(m->fleet, y);

	if (x->priority != y->priority)
		return x->priority < y->priority;
	if (one != other)
		return one < other;
	if (x->send_bytes != y->send_bytes)
		return (x->send_bytes < y->send_bytes) == m->small_first;
	return a < b;
}

static void sift(const struct making *m, size_t root, size_t count)
{
	for (size_t child = 2 * root + 1; child < count; root = child, child = 2 * root + 1) {
		uint32_t moved = m->order[root];

		if (child + 1 < count && is_before(m, m->order[child], m->order[child + 1]))
			child++;
		if (!is_before(m, moved, m->order[child]))
			return;
		m->order[root] = m->order[child];
		m->order[child] = moved;
	}
}

static void sort(const struct making *m)
{
	size_t count = m->fleet->vm_count;

	for (size_t i = 0; i < count; i++)
		m->order[i] = (uint32_t)i;
	for (size_t i = count / 2; i-- > 0;)
		sift(m, i, count);
	for (size_t i = count; i-- > 1;) {
		uint32_t last = m->order[0];

		m->order[0] = m->order[i];
		m->order[i] = last;
		sift(m, 0, i);
	}
}

/* --- where to -------------------------------------------------------------------------------- */

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool is_apart(const struct making *m, unsigned group, size_t host)
{
	size_t bit = (size_t)group * m->fleet->host_count + host;

	return !group || !(m->apart[bit / 64] >> bit % 64 & 1);
}

static void set_apart(const struct making *m, unsigned group, size_t host)
{
	size_t bit = (size_t)group * m->fleet->host_count + host;

	if (group)
		m->apart[bit / 64] |= UINT64_C(1) << bit % 64;
}

/* So many sources a host takes at their full rate. */
static size_t lanes_of(const struct making *m, size_t host, uint64_t source_rate)
{
	uint64_t n = source_rate ? m->fleet->hosts[host].link_bytes_per_s / source_rate : 1;

	return n < 1 ? 1 : n > LANES_MAX ? LANES_MAX : (size_t)n;
}

/* Of the host's lanes the one that is free first. */
static size_t first_lane(const struct making *m, size_t host, uint64_t source_rate)
{
	size_t first = host * LANES_MAX, end = first + lanes_of(m, host, source_rate);

	for (size_t i = first + 1; i < end; i++)
		if (m->lanes[i][EXPECTED] < m->lanes[first][EXPECTED])
			first = i;
	return first;
}

/* When it would have been sent there: begun as soon as both ends are free, at the slower's rate. */
static uint64_t sent_by(const struct making *m, const struct gw_fleet_vm *vm, size_t host,
                        size_t *lane)
{
	uint64_t own = m->fleet->links[vm->source], its = m->fleet->hosts[host].link_bytes_per_s;
	uint64_t rate = lower(own, its), begin;

	*lane = first_lane(m, host, own);
	begin = larger(m->lanes[*lane][EXPECTED], m->link[vm->source][EXPECTED]);
	return begin + ns_of((double)vm->send_bytes / (double)(rate ? rate : 1));
}

/* Its host and lane; *problem where there is none. */
static size_t find_host(const struct making *m, const struct gw_fleet_vm *vm, size_t *lane,
                        enum gw_plan_problem *problem)
{
	uint64_t best = UINT64_MAX;
	size_t host = GW_PLAN_NOWHERE;

	*problem = GW_PLAN_NO_ROOM;
	for (size_t i = 0; i < m->fleet->host_count; i++) {
		uint64_t end;
		size_t free;

		if (m->fleet->hosts[i].silent || m->room[i] < vm->memory_bytes)
			continue;
		if (!is_apart(m, vm->group, i)) {
			*problem = GW_PLAN_APART;
			continue;
		}
		end = sent_by(m, vm, i, &free);
		if (end > best || (end == best && m->room[i] <= m->room[host]))
			continue;
		best = end;
		host = i;
		*lane = free;
	}
	return host;
}

/* --- one VM after the other ------------------------------------------------------------------ */

static bool should_pull(const struct gw_fleet_vm *vm, uint64_t rate)
{
	struct gw_expected copied = gw_expect(vm, false, rate), pulled = gw_expect(vm, true, rate);

	if (!vm->may_pull)
		return false;
	return copied.endless ||
	       copied.copy_ns + copied.after_ns > (pulled.copy_ns + pulled.after_ns) / 2 * 3;
}

/* Takes link and lane up in one of the views; returns when the move is over. */
static uint64_t take_up(const struct making *m, const struct gw_plan_move *move, size_t lane,
                        enum view view, struct gw_expected *e)
{
	const struct gw_fleet *f = m->fleet;
	const struct gw_fleet_vm *vm = &f->vms[move->vm];
	uint64_t cost = view == LATEST ? 2 : 1, *link = &m->link[vm->source][view];
	uint64_t begin = larger(m->lanes[lane][view], *link);

	*e = expect_as(vm, !strcmp(move->policy, "hybrid"), move->rate_bytes_per_s, view);
	*link = m->lanes[lane][view] = begin + cost * f->begin_ns + e->copy_ns + e->after_ns;
	return *link + cost * f->switch_ns;
}

static void judge(const struct gw_fleet *f, struct gw_plan_move *move, bool endless)
{
	uint64_t deadline = deadline_of(f, &f->vms[move->vm]);

	if (endless)
		move->problem = GW_PLAN_ENDLESS;
	else if (move->end_ns > deadline)
		move->problem = GW_PLAN_LATE;
	else if (move->latest_ns > deadline)
		move->problem = GW_PLAN_RISKY;
}

static void lay_out(const struct making *m, struct gw_plan_move *move)
{
	const struct gw_fleet_vm *vm = &m->fleet->vms[move->vm];
	struct gw_schedule *plan = m->plan;
	struct gw_expected e;
	size_t lane = 0;

	if (vm->stays)
		move->problem = GW_PLAN_STAYS;
	else
		move->host = find_host(m, vm, &lane, &move->problem);
	if (move->host == GW_PLAN_NOWHERE) {
		plan->left++;
		return;
	}
	m->room[move->host] -= vm->memory_bytes;
	set_apart(m, vm->group, move->host);
	move->problem = GW_PLAN_FINE;
	move->rate_bytes_per_s =
	        lower(m->fleet->links[vm->source], m->fleet->hosts[move->host].link_bytes_per_s);
	if (vm->limit_bytes_per_s)
		move->rate_bytes_per_s = lower(move->rate_bytes_per_s, vm->limit_bytes_per_s);
	move->policy = should_pull(vm, move->rate_bytes_per_s) ? "hybrid" : "precopy";
	move->begin_ns = larger(m->lanes[lane][EXPECTED], m->link[vm->source][EXPECTED]);
	move->soonest_ns = take_up(m, move, lane, SOONEST, &e);
	move->latest_ns = take_up(m, move, lane, LATEST, &e);
	move->end_ns = take_up(m, move, lane, EXPECTED, &e);
	move->sent_bytes = e.sent_bytes;
	judge(m->fleet, move, e.endless);
	plan->moved++;
	plan->late += move->problem == GW_PLAN_LATE || move->problem == GW_PLAN_ENDLESS;
	plan->sent_bytes += e.sent_bytes;
	plan->end_ns = larger(plan->end_ns, move->end_ns);
	plan->soonest_ns = larger(plan->soonest_ns, move->soonest_ns);
	plan->latest_ns = larger(plan->latest_ns, move->latest_ns);
}

static void lay_all_out(struct making *m)
{
	const struct gw_fleet *f = m->fleet;
	struct gw_plan_move *moves = m->plan->moves;

	*m->plan = (struct gw_schedule){.moves = moves};
	memset(m->link, 0, f->link_count * sizeof(*m->link));
	memset(m->lanes, 0, f->host_count * LANES_MAX * sizeof(*m->lanes));
	memset(m->apart, 0, ((f->groups + 1) * f->host_count / 64 + 1) * sizeof(*m->apart));
	for (size_t i = 0; i < f->host_count; i++)
		m->room[i] = f->hosts[i].free_bytes;
	sort(m);
	for (size_t i = 0; i < f->vm_count; i++) {
		moves[i] = (struct gw_plan_move){
		        .vm = m->order[i], .host = GW_PLAN_NOWHERE, .policy = "precopy"};
		lay_out(m, &moves[i]);
	}
}

size_t gw_schedule_bytes(const struct gw_fleet *fleet)
{
	size_t hosts = fleet->host_count;

	return (fleet->vm_count + 1) / 2 * sizeof(uint64_t) +
	       (fleet->link_count + hosts * LANES_MAX) * VIEWS * sizeof(uint64_t) +
	       (hosts + (fleet->groups + 1) * hosts / 64 + 1) * sizeof(uint64_t);
}

void gw_schedule_make(const struct gw_fleet *fleet, void *memory, struct gw_schedule *plan)
{
	struct making m = {.fleet = fleet, .plan = plan, .link = memory};

	m.lanes = m.link + fleet->link_count;
	m.room = (uint64_t *)(m.lanes + fleet->host_count * LANES_MAX);
	m.apart = m.room + fleet->host_count;
	m.order = (uint32_t *)(m.apart + (fleet->groups + 1) * fleet->host_count / 64 + 1);
	lay_all_out(&m);
	if (!plan->late)
		return;
	m.small_first = true;
	lay_all_out(&m);
}
