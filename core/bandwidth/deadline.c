/* SPDX-License-Identifier: MIT */
/*
 * deadline: who has to be gone by when; ours.
 *
 * One link carries one pre-copy sooner than two: what both dirty meanwhile is sent again by both.
 * So migrations follow each other, in the order of their latest beginnings (the deadline less what
 * the move takes alone), and another one begins only when it pays:
 *
 *   - the link has room that nobody under way can use, because of limits, and more than it dirties;
 *   - or those under way have so little left that the link would soon stand idle (overlap): what
 *     begins now is set up by then;
 *   - or it cannot wait for them: then, if all of them can still be in time together.
 *
 * It must pay on the link, and on the way behind it that it shares with others of its number.
 *
 * Each that is beyond its first pass gets what it dirties, so that nothing that was sent is lost
 * again; the rest goes to who is about to switch, then to who has the earlier deadline, of those
 * to who is done sooner (what is interrupted is dirtied again), and last to who does not send yet.
 * Priorities say who begins first. Who cannot be in time any more comes after those who can.
 * Network-intensive VMs keep their reservations, as in nrac-wc, unless reserve=no.
 */
#include <errno.h>
#include <string.h>

#include "core/bandwidth/divide.h"
#include "core/setting.h"

struct settings {
	uint64_t overlap_ns;     /* so much work in store keeps the link busy until others send */
	uint64_t least_permille; /* of what is free: not for reservations */
	unsigned reserve;        /* in the order of the choices: 0 yes, 1 no */
};

_Static_assert(sizeof(struct settings) <= GW_BANDWIDTH_MEMORY, "fits");

static void init(struct gw_bandwidth *policy)
{
	struct settings *s = (struct settings *)policy->memory;

	s->overlap_ns = 500000000;
	s->least_permille = 50;
}

static int set(struct gw_bandwidth *policy, const char *key, const char *value)
{
	static const char *const choices[] = {"yes", "no", NULL};
	struct settings *s = (struct settings *)policy->memory;

	if (!strcmp(key, "overlap"))
		return gw_setting_duration(value, &s->overlap_ns);
	if (!strcmp(key, "least"))
		return gw_setting_share(value, &s->least_permille);
	if (!strcmp(key, "reserve"))
		return gw_setting_choice(value, choices, &s->reserve);
	return -ENOENT;
}

/* --- in which order -------------------------------------------------------------------------- */

struct order {
	const struct gw_mover *movers;
	const struct gw_uplink *link;
	uint64_t free;
	uint64_t overlap_ns;
	bool begins; /* who is to begin is asked, not who gets what is left */
};

/* At which what is to be sent does not grow less. */
static uint64_t loses(const struct gw_mover *m)
{
	return m->pulls ? 0 : m->dirty_bytes_per_s;
}

static uint64_t takes_ns(const struct gw_mover *m, uint64_t rate_bytes_per_s)
{
	return gw_precopy_ns(m->left_bytes, loses(m), gw_limited(m, rate_bytes_per_s));
}

/* When it must begin, or have all of the link, to be in time. UINT64_MAX: no matter when. */
static uint64_t latest(const struct order *o, const struct gw_mover *m)
{
	uint64_t takes = takes_ns(m, o->free);

	if (!m->deadline_ns)
		return UINT64_MAX;
	return takes < m->deadline_ns ? m->deadline_ns - takes : 0;
}

static uint64_t due(const struct gw_mover *m)
{
	return m->deadline_ns ? m->deadline_ns : UINT64_MAX;
}

static bool sends(const struct gw_mover *m)
{
	return m->state > GW_MOVER_BEGINS;
}

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static bool is_lost(const struct order *o, const struct gw_mover *m)
{
	uint64_t now = o->link->now_ns;

	return m->deadline_ns &&
	       (m->deadline_ns <= now || takes_ns(m, o->free) > m->deadline_ns - now);
}

/* Then the link is another's. */
static bool switches_soon(const struct order *o, const struct gw_mover *m)
{
	return m->state == GW_MOVER_COPIES && takes_ns(m, o->free) <= o->overlap_ns;
}

/* Who is to begin. */
static int begins_before(const struct order *o, const struct gw_mover *x, const struct gw_mover *y)
{
	if ((x->state == GW_MOVER_WAITS) != (y->state == GW_MOVER_WAITS))
		return y->state == GW_MOVER_WAITS ? -1 : 1;
	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (is_lost(o, x) != is_lost(o, y))
		return is_lost(o, y) ? -1 : 1;
	return compare(latest(o, x), latest(o, y));
}

/* Who gets what is left. */
static int gets_before(const struct order *o, const struct gw_mover *x, const struct gw_mover *y)
{
	if (switches_soon(o, x) != switches_soon(o, y))
		return switches_soon(o, x) ? -1 : 1;
	if (is_lost(o, x) != is_lost(o, y))
		return is_lost(o, y) ? -1 : 1;
	if (due(x) != due(y))
		return compare(due(x), due(y));
	if (sends(x) != sends(y))
		return sends(x) ? -1 : 1;
	return compare(takes_ns(x, o->free), takes_ns(y, o->free));
}

/* Whether a comes before b; the array's order decides at last. */
static bool is_before(const struct order *o, uint32_t a, uint32_t b)
{
	const struct gw_mover *x = &o->movers[a], *y = &o->movers[b];
	int order = o->begins ? begins_before(o, x, y) : gets_before(o, x, y);

	return order ? order < 0 : a < b;
}

static void sift(const struct order *o, struct gw_grant *grants, size_t root, size_t count)
{
	for (size_t child = 2 * root + 1; child < count; root = child, child = 2 * root + 1) {
		uint32_t turn = grants[root].turn;

		if (child + 1 < count && is_before(o, grants[child].turn, grants[child + 1].turn))
			child++;
		if (!is_before(o, turn, grants[child].turn))
			return;
		grants[root].turn = grants[child].turn;
		grants[child].turn = turn;
	}
}

/* Heapsort of the numbers in grants[].turn: who comes k-th. */
static void sort(const struct order *o, struct gw_grant *grants, size_t count)
{
	for (size_t i = 0; i < count; i++)
		grants[i].turn = (uint32_t)i;
	for (size_t i = count / 2; i-- > 0;)
		sift(o, grants, i, count);
	for (size_t i = count; i-- > 1;) {
		uint32_t turn = grants[0].turn;

		grants[0].turn = grants[i].turn;
		grants[i].turn = turn;
		sift(o, grants, 0, i);
	}
}

/* --- who begins ------------------------------------------------------------------------------ */

/* The rate at which it is just in time. */
static double needs(const struct order *o, const struct gw_mover *m)
{
	uint64_t now = o->link->now_ns;

	if (!m->deadline_ns || m->deadline_ns <= now)
		return (double)loses(m);
	return (double)loses(m) + (double)m->left_bytes * 1e9 / (double)(m->deadline_ns - now);
}

static uint64_t thought_to_get(const struct gw_mover *m, uint64_t rate)
{
	return m->stream_bytes_per_s && m->stream_bytes_per_s < rate ? m->stream_bytes_per_s : rate;
}

/* What those under way make of a link. */
struct traffic {
	uint64_t carries;
	uint64_t room;    /* that none of them can use */
	uint64_t busy_ns; /* until all that they have left is sent */
	double needs;     /* what they must have together to be in time */
};

static void add(struct traffic *t, const struct order *o, const struct gw_mover *m, uint64_t takes)
{
	uint64_t ns = gw_precopy_ns(m->left_bytes, loses(m), t->carries);

	t->room -= takes < t->room ? takes : t->room;
	t->needs += needs(o, m);
	t->busy_ns = ns < UINT64_MAX - t->busy_ns ? t->busy_ns + ns : UINT64_MAX;
}

static bool pays_on(const struct traffic *t, const struct order *o, const struct gw_mover *m)
{
	uint64_t start = latest(o, m), now = o->link->now_ns;

	if (t->busy_ns <= o->overlap_ns)
		return true;
	if (t->room > t->carries / 10 && t->room > 2 * loses(m))
		return true;
	return start >= now && start - now < t->busy_ns &&
	       t->needs + needs(o, m) <= (double)t->carries;
}

/* Of this mover's way, made by those that were looked at before it: they want what they take. */
static struct traffic on_way(const struct order *o, const struct gw_grant *grants, size_t before,
                             const struct gw_mover *m)
{
	struct traffic t = {.carries = m->way_bytes_per_s, .room = m->way_bytes_per_s};

	for (size_t i = 0; m->way_bytes_per_s && i < before; i++) {
		const struct gw_mover *other = &o->movers[grants[i].turn];
		const struct gw_grant *grant = &grants[grants[i].turn];

		if (other->way == m->way && !grant->waits && other->state < GW_MOVER_SWITCHES)
			add(&t, o, other, grant->want_bytes_per_s);
	}
	return t;
}

/* What those on its way take of the link is its own, where it may begin behind them. */
static bool pays(const struct traffic *link, const struct traffic *way, const struct order *o,
                 const struct gw_mover *m)
{
	struct traffic beside = *link;

	beside.room += way->carries - way->room;
	return o->free && pays_on(&beside, o, m) && (!way->carries || pays_on(way, o, m));
}

static void admit(const struct order *o, struct gw_grant *grants, size_t count)
{
	struct traffic link = {.carries = o->free, .room = o->free};

	for (size_t i = 0; i < count; i++) {
		uint32_t n = grants[i].turn;
		const struct gw_mover *m = &o->movers[n];
		struct traffic way = on_way(o, grants, i, m);

		if (m->state >= GW_MOVER_SWITCHES)
			continue;
		if (m->state == GW_MOVER_WAITS && !pays(&link, &way, o, m)) {
			gw_wait(&grants[n], "its turn comes later");
			continue;
		}
		grants[n].want_bytes_per_s = thought_to_get(m, gw_limited(m, link.room));
		if (way.carries && way.room < grants[n].want_bytes_per_s)
			grants[n].want_bytes_per_s = way.room;
		add(&link, o, m, grants[n].want_bytes_per_s);
	}
}

/* --- who gets what ---------------------------------------------------------------------------- */

/* What those of its way leave of it. */
static uint64_t left_on_way(const struct order *o, const struct gw_grant *grants, size_t count,
                            const struct gw_mover *m)
{
	uint64_t left = m->way_bytes_per_s;

	if (!left)
		return UINT64_MAX;
	for (size_t i = 0; i < count; i++)
		if (o->movers[i].way == m->way)
			left -= grants[i].rate_bytes_per_s < left ? grants[i].rate_bytes_per_s
			                                          : left;
	return left;
}

/* To one after the other; returns what is left. */
static uint64_t give(const struct order *o, struct gw_grant *grants, size_t count, uint64_t free,
                     bool all)
{
	for (size_t i = 0; free && i < count; i++) {
		uint32_t n = grants[i].turn;
		const struct gw_mover *m = &o->movers[n];
		uint64_t most, more, way, *rate = &grants[n].rate_bytes_per_s;

		if (m->state >= GW_MOVER_SWITCHES || grants[n].waits)
			continue;
		most = gw_limited(m, all ? UINT64_MAX : thought_to_get(m, gw_usable(o->link, m)));
		way = left_on_way(o, grants, count, m);
		more = most > *rate ? most - *rate : 0;
		more = more < free ? more : free;
		more = more < way ? more : way;
		*rate += more;
		free -= more;
		if (more)
			grants[n].reason = "it is to be done first";
	}
	return free;
}

static void divide(const struct gw_bandwidth *policy, const struct gw_uplink *link,
                   const struct gw_mover *movers, struct gw_grant *grants, size_t count)
{
	const struct settings *s = (const struct settings *)policy->memory;
	struct order o = {.movers = movers,
	                  .link = link,
	                  .free = gw_uplink_free(link),
	                  .overlap_ns = s->overlap_ns};
	uint64_t least = s->reserve ? o.free : o.free / 1000 * s->least_permille;
	uint64_t free;

	if (!s->reserve)
		o.free = least + gw_reserve(policy, movers, grants, count, o.free - least);
	o.begins = true;
	sort(&o, grants, count);
	admit(&o, grants, count);
	o.begins = false;
	sort(&o, grants, count);
	for (size_t i = 0; i < count; i++)
		grants[i].want_bytes_per_s = 0;
	free = gw_serve_switching(movers, grants, count, o.free);
	for (size_t i = 0; i < count; i++) {
		if (movers[i].state >= GW_MOVER_SWITCHES || grants[i].waits)
			continue;
		grants[i].want_bytes_per_s = movers[i].first_pass ? 0 : loses(&movers[i]);
		grants[i].reason = "as much as it dirties";
	}
	free = gw_fill(movers, grants, count, free);
	free = give(&o, grants, count, free, false);
	(void)give(&o, grants, count, free, true);
}

const struct gw_bandwidth_kind gw_bandwidth_deadline = {
        .name = "deadline",
        .summary =
                "one after the other, the one with the least time first, more only where it pays",
        .settings = "overlap=500ms least=0.05 reserve=yes (yes|no)",
        .init = init,
        .set = set,
        .divide = divide,
};
