/* SPDX-License-Identifier: MIT */
#include "core/fleet/plan.h"

#include <string.h>

#define ROUNDS_MAX      30 /* Xen's: then it does not converge */
#define LANES_MAX       16
#define SECOND          1e9
#define PULL_MUST_SPARE 0.1  /* of the costs, for there is no way back from a switch */
#define LONGEST_NS      1e16 /* of a move, four months: sums of a thousand fit 64 bits */

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
	e.unavailable_ns = pulls ? e.after_ns / 2 : e.after_ns;
	return e;
}

/* The three of which an interval is made. */
enum view { EXPECTED, SOONEST, LATEST, VIEWS };

/* How often what a move takes besides is counted. */
static const uint64_t costs[VIEWS] = {[EXPECTED] = 1, [SOONEST] = 0, [LATEST] = 2};

static uint64_t seen_as(const struct gw_interval *interval, enum view view)
{
	return view == SOONEST ? interval->low : view == LATEST ? interval->high : interval->middle;
}

/* At another rate than the estimate's it takes so much longer; what is dirtied more meanwhile is
 * within the interval or it is another estimate. */
static struct gw_expected estimated(const struct gw_fleet_way *way, uint64_t rate, enum view view)
{
	double slower = (double)way->rate_bytes_per_s / (double)(rate ? rate : 1);
	double all = (double)seen_as(&way->total_time, view) / SECOND * slower;
	double away = (double)seen_as(&way->unavailable, view) / SECOND * slower;

	return (struct gw_expected){
	        .copy_ns = ns_of(all > away ? all - away : 0),
	        .after_ns = ns_of(all > away ? away : all),
	        .sent_bytes = seen_as(&way->bytes, view),
	        .unavailable_ns = ns_of(away),
	};
}

/* A move as it is planned: by a way that was estimated, or by the closed form. */
struct how {
	const struct gw_fleet_way *way; /* NULL: the closed form */
	bool pulls;
};

static struct gw_expected expect_as(const struct gw_fleet_vm *vm, struct how how, uint64_t rate,
                                    enum view view)
{
	struct gw_fleet_vm other = *vm;

	if (how.way)
		return estimated(how.way, rate, view);
	if (view == SOONEST) {
		other.dirty_bytes_per_s = 0;
		rate += rate / 20;
	} else if (view == LATEST) {
		other.dirty_bytes_per_s *= 2;
		rate -= rate / 10;
	}
	return gw_expect(&other, how.pulls, rate);
}

static double cost(const struct gw_fleet_way *way, uint64_t rate)
{
	struct gw_expected e = estimated(way, rate, EXPECTED);
	double ns = (double)e.copy_ns + (double)e.after_ns +
	            GW_UNAVAILABLE_COUNTS * (double)e.unavailable_ns;

	return way->pulls ? ns / (1 - PULL_MUST_SPARE) : ns;
}

static bool should_pull(const struct gw_fleet_vm *vm, uint64_t rate)
{
	struct gw_expected copied = gw_expect(vm, false, rate), pulled = gw_expect(vm, true, rate);

	if (!vm->may_pull)
		return false;
	return copied.endless ||
	       copied.copy_ns + copied.after_ns > (pulled.copy_ns + pulled.after_ns) / 2 * 3;
}

static struct how choose(const struct gw_fleet_vm *vm, uint64_t rate)
{
	struct how how = {0};

	for (size_t i = 0; i < vm->way_count; i++)
		if ((vm->may_pull || !vm->ways[i].pulls) &&
		    (!how.way || cost(&vm->ways[i], rate) < cost(how.way, rate)))
			how.way = &vm->ways[i];
	how.pulls = how.way ? how.way->pulls : should_pull(vm, rate);
	return how;
}

/* --- the order of the VMs -------------------------------------------------------------------- */

struct making {
	const struct gw_fleet *fleet;
	struct gw_schedule *plan;
	bool small_first;
	uint32_t *order;        /* of VMs */
	uint64_t (*out)[VIEWS]; /* when each of the sources' lanes is free, LANES_MAX a link */
	uint64_t (*in)[VIEWS];  /* likewise of the hosts' */
	uint64_t *lanes;        /* how many each source link has */
	uint64_t *home;         /* the source of each host */
	uint64_t *room;         /* of each host */
	uint64_t *apart;        /* a bit for each group and host */
	size_t out_lanes;       /* of all sources */
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

/* --- lanes ----------------------------------------------------------------------------------- */

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* So many streams of that rate fill the link; not another one for a sixteenth of a stream. */
static size_t lanes_of(uint64_t link_bytes_per_s, uint64_t stream_bytes_per_s)
{
	uint64_t most = stream_bytes_per_s - stream_bytes_per_s / 16;
	uint64_t n = stream_bytes_per_s ? (link_bytes_per_s + most - 1) / stream_bytes_per_s : 1;

	return n < 1 ? 1 : n > LANES_MAX ? LANES_MAX : (size_t)n;
}

/* One move gets no more, whatever its source's link carries. */
static uint64_t fastest_stream(const struct gw_fleet *f)
{
	uint64_t most = 0;

	for (size_t i = 0; i < f->host_count; i++)
		if (!f->hosts[i].silent)
			most = larger(most, f->hosts[i].link_bytes_per_s);
	return f->stream_bytes_per_s ? lower(most, f->stream_bytes_per_s) : most;
}

static uint64_t lane_rate(const struct making *m, unsigned source)
{
	uint64_t rate = m->fleet->links[source] / m->lanes[source];
	uint64_t stream = m->fleet->stream_bytes_per_s;

	return stream ? lower(rate, stream) : rate;
}

/* For streams from its home; no more than there are lanes that could lead to it. */
static size_t host_lanes(const struct making *m, size_t host)
{
	uint64_t rate = lane_rate(m, (unsigned)m->home[host]);
	size_t n = lanes_of(m->fleet->hosts[host].link_bytes_per_s, rate);

	return n < m->out_lanes ? n : m->out_lanes;
}

static size_t first_free(uint64_t (*lanes)[VIEWS], size_t first, size_t count)
{
	size_t best = first;

	for (size_t i = first + 1; i < first + count; i++)
		if (lanes[i][EXPECTED] < lanes[best][EXPECTED])
			best = i;
	return best;
}

/* --- homes ----------------------------------------------------------------------------------- */

/* The fastest host that has no home yet; GW_PLAN_NOWHERE: all have. */
static size_t homeless(const struct making *m)
{
	size_t best = GW_PLAN_NOWHERE;

	for (size_t i = 0; i < m->fleet->host_count; i++)
		if (m->home[i] == UINT64_MAX &&
		    (best == GW_PLAN_NOWHERE ||
		     m->fleet->hosts[i].link_bytes_per_s > m->fleet->hosts[best].link_bytes_per_s))
			best = i;
	return best;
}

/* What the hosts at home there have not covered of each source's link is in `lanes` meanwhile. */
static void find_homes(struct making *m)
{
	const struct gw_fleet *f = m->fleet;
	uint64_t *lacks = m->lanes;
	size_t host;

	memset(m->home, 0xff, f->host_count * sizeof(*m->home));
	for (size_t i = 0; i < f->link_count; i++)
		lacks[i] = f->links[i];
	while (f->link_count && (host = homeless(m)) != GW_PLAN_NOWHERE) {
		size_t needs = 0;

		for (size_t i = 1; i < f->link_count; i++)
			if (lacks[i] > lacks[needs])
				needs = i;
		m->home[host] = needs;
		lacks[needs] -= lower(lacks[needs], f->hosts[host].link_bytes_per_s);
	}
}

static void count_lanes(struct making *m)
{
	uint64_t stream = fastest_stream(m->fleet);

	m->out_lanes = 0;
	for (size_t i = 0; i < m->fleet->link_count; i++) {
		m->lanes[i] = lanes_of(m->fleet->links[i], stream);
		if (m->fleet->at_once)
			m->lanes[i] = lower(m->lanes[i], m->fleet->at_once);
		m->out_lanes += m->lanes[i];
	}
}

/* --- where to -------------------------------------------------------------------------------- */

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

/* One lane at each end, from when both are free. */
struct place {
	size_t host, out, in;
	uint64_t rate_bytes_per_s;
	uint64_t sent_ns; /* when all of the VM would have been sent once */
};

static struct place place_at(const struct making *m, const struct gw_fleet_vm *vm, size_t host,
                             size_t out)
{
	uint64_t rate = lane_rate(m, vm->source), its = m->fleet->hosts[host].link_bytes_per_s;
	size_t lanes = host_lanes(m, host);
	struct place p = {.host = host, .out = out};
	uint64_t begin;

	p.in = first_free(m->in, host * LANES_MAX, lanes);
	p.rate_bytes_per_s = lower(rate, its / lanes);
	if (vm->limit_bytes_per_s)
		p.rate_bytes_per_s = lower(p.rate_bytes_per_s, vm->limit_bytes_per_s);
	begin = larger(m->out[out][EXPECTED], m->in[p.in][EXPECTED]);
	p.sent_ns = begin + ns_of((double)vm->send_bytes /
	                          (double)(p.rate_bytes_per_s ? p.rate_bytes_per_s : 1));
	return p;
}

static bool is_better(const struct making *m, unsigned source, const struct place *a,
                      const struct place *b)
{
	bool own = m->home[a->host] == source, other = m->home[b->host] == source;

	if (a->sent_ns != b->sent_ns)
		return a->sent_ns < b->sent_ns;
	if (own != other)
		return own;
	return m->room[a->host] > m->room[b->host];
}

/* False: nowhere, and *problem says why. */
static bool find_place(const struct making *m, const struct gw_fleet_vm *vm, struct place *best,
                       enum gw_plan_problem *problem)
{
	size_t out = first_free(m->out, vm->source * LANES_MAX, m->lanes[vm->source]);
	bool found = false;

	*problem = GW_PLAN_NO_ROOM;
	for (size_t i = 0; i < m->fleet->host_count; i++) {
		struct place here;

		if (m->fleet->hosts[i].silent || m->room[i] < vm->memory_bytes)
			continue;
		if (!is_apart(m, vm->group, i)) {
			*problem = GW_PLAN_APART;
			continue;
		}
		here = place_at(m, vm, i, out);
		if (found && !is_better(m, vm->source, &here, best))
			continue;
		*best = here;
		found = true;
	}
	return found;
}

/* --- one VM after the other ------------------------------------------------------------------ */

/* Set up behind the copying of the one before it in the lanes, except for the first. */
static uint64_t begins_at(const struct making *m, const struct place *p, enum view view)
{
	uint64_t free = larger(m->out[p->out][view], m->in[p->in][view]);

	return larger(costs[view] * m->fleet->begin_ns,
	              free ? free + costs[view] * m->fleet->gap_ns : 0);
}

/* Takes both lanes up in one of the views; returns when the move is over. */
static uint64_t take_up(const struct making *m, const struct place *p, const struct gw_expected *e,
                        enum view view)
{
	uint64_t end = begins_at(m, p, view) + e->copy_ns + e->after_ns;

	m->out[p->out][view] = m->in[p->in][view] = end;
	return end + costs[view] * m->fleet->switch_ns;
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

static void expect(const struct making *m, struct gw_plan_move *move, const struct place *p,
                   struct how how)
{
	const struct gw_fleet_vm *vm = &m->fleet->vms[move->vm];
	struct gw_expected e[VIEWS];

	for (enum view view = EXPECTED; view < VIEWS; view++)
		e[view] = expect_as(vm, how, p->rate_bytes_per_s, view);
	move->begin_ns = larger(m->out[p->out][EXPECTED], m->in[p->in][EXPECTED]);
	move->end_ns = take_up(m, p, &e[EXPECTED], EXPECTED);
	move->soonest_ns = lower(take_up(m, p, &e[SOONEST], SOONEST), move->end_ns);
	move->latest_ns = larger(take_up(m, p, &e[LATEST], LATEST), move->end_ns);
	move->sent_bytes = e[EXPECTED].sent_bytes;
	move->unavailable = (struct gw_interval){
	        e[SOONEST].unavailable_ns, e[EXPECTED].unavailable_ns, e[LATEST].unavailable_ns};
	judge(m->fleet, move, e[EXPECTED].endless);
}

static void add_up(struct gw_schedule *plan, const struct gw_plan_move *move)
{
	plan->moved++;
	plan->late += move->problem == GW_PLAN_LATE || move->problem == GW_PLAN_ENDLESS;
	plan->sent_bytes += move->sent_bytes;
	plan->end_ns = larger(plan->end_ns, move->end_ns);
	plan->soonest_ns = larger(plan->soonest_ns, move->soonest_ns);
	plan->latest_ns = larger(plan->latest_ns, move->latest_ns);
	plan->unavailable.low += move->unavailable.low;
	plan->unavailable.middle += move->unavailable.middle;
	plan->unavailable.high += move->unavailable.high;
}

static void lay_out(const struct making *m, struct gw_plan_move *move)
{
	const struct gw_fleet_vm *vm = &m->fleet->vms[move->vm];
	struct place place;
	struct how how;

	if (vm->stays)
		move->problem = GW_PLAN_STAYS;
	if (vm->stays || !find_place(m, vm, &place, &move->problem)) {
		m->plan->left++;
		return;
	}
	move->problem = GW_PLAN_FINE;
	move->host = place.host;
	move->rate_bytes_per_s = place.rate_bytes_per_s;
	m->room[move->host] -= vm->memory_bytes;
	set_apart(m, vm->group, move->host);
	how = choose(vm, move->rate_bytes_per_s);
	move->policy = how.way ? how.way->policy : how.pulls ? "hybrid" : "precopy";
	expect(m, move, &place, how);
	add_up(m->plan, move);
}

static void lay_all_out(struct making *m)
{
	const struct gw_fleet *f = m->fleet;
	struct gw_plan_move *moves = m->plan->moves;

	*m->plan = (struct gw_schedule){.moves = moves};
	memset(m->out, 0, f->link_count * LANES_MAX * sizeof(*m->out));
	memset(m->in, 0, f->host_count * LANES_MAX * sizeof(*m->in));
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
	size_t hosts = fleet->host_count, links = fleet->link_count;

	return (fleet->vm_count + 1) / 2 * sizeof(uint64_t) +
	       (links + hosts) * LANES_MAX * VIEWS * sizeof(uint64_t) +
	       (links + 2 * hosts + (fleet->groups + 1) * hosts / 64 + 1) * sizeof(uint64_t);
}

void gw_schedule_make(const struct gw_fleet *fleet, void *memory, struct gw_schedule *plan)
{
	struct making m = {.fleet = fleet, .plan = plan, .out = memory};

	m.in = m.out + fleet->link_count * LANES_MAX;
	m.lanes = (uint64_t *)(m.in + fleet->host_count * LANES_MAX);
	m.home = m.lanes + fleet->link_count;
	m.room = m.home + fleet->host_count;
	m.apart = m.room + fleet->host_count;
	m.order = (uint32_t *)(m.apart + (fleet->groups + 1) * fleet->host_count / 64 + 1);
	find_homes(&m);
	count_lanes(&m);
	lay_all_out(&m);
	if (!plan->late)
		return;
	m.small_first = true;
	lay_all_out(&m);
}
