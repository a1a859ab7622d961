/* SPDX-License-Identifier: MIT */
#include "cli/evacuate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/values.h"
#include "cli/estimate.h"
#include "cli/table.h"

#define BAR_COLUMNS 24
#define PLAIN_NS    UINT64_C(5000000000)
#define SECOND_NS   UINT64_C(1000000000)

/* --- words ----------------------------------------------------------------------------------- */

static const char *host_of(const struct gw_evacuation *e, const struct gw_member *m)
{
	return m->host == GW_PLAN_NOWHERE ? NULL : e->hosts[m->host].name;
}

static const char *state_name(enum gw_member_state state)
{
	switch (state) {
	case GW_MEMBER_WAITS: return "waits";
	case GW_MEMBER_MOVES: return "moves";
	case GW_MEMBER_MOVED: return "moved";
	case GW_MEMBER_FAILED: return "failed";
	case GW_MEMBER_STAYS: return "stays";
	}
	return "";
}

static const char *seconds(char *text, size_t room, uint64_t ns)
{
	(void)snprintf(text, room, "%.1f s", (double)ns / 1e9);
	return text;
}

/* What can be done about it. */
static const char *advice(const struct gw_evacuation *e, const struct gw_plan_move *p, char *text,
                          size_t room)
{
	text[0] = '\0';
	switch (p->problem) {
	case GW_PLAN_LATE:
	case GW_PLAN_RISKY:
		(void)snprintf(text, room,
		               "%s: a deadline of %.0f s, a faster link or a lower "
		               "--priority number help",
		               gw_plan_problem_name(p->problem), (double)p->latest_ns / 1e9 + 1);
		break;
	case GW_PLAN_ENDLESS:
		(void)snprintf(text, room, "%s: leave out --policy, so that it is pulled",
		               gw_plan_problem_name(p->problem));
		break;
	case GW_PLAN_NO_ROOM:
		(void)snprintf(text, room, "%s: it needs %" PRIu64 " MiB; name another --to",
		               gw_plan_problem_name(p->problem), e->members[p->vm].ram_bytes >> 20);
		break;
	case GW_PLAN_APART:
		(void)snprintf(text, room, "%s: name another --to",
		               gw_plan_problem_name(p->problem));
		break;
	default: break;
	}
	return text;
}

/* --- the plan -------------------------------------------------------------------------------- */

static int add_row(const struct gw_evacuation *e, const struct gw_plan_move *p,
                   struct gw_table *table)
{
	const struct gw_member *m = &e->members[p->vm];
	bool goes = p->host != GW_PLAN_NOWHERE;
	char begin[24], end[24], span[48], size[32], dirty[32], rate[32], what[240];
	const char *const row[] = {
	        m->name,
	        goes ? e->hosts[p->host].name : NULL,
	        !goes               ? NULL
	        : m->unfinished     ? "recover"
	        : e->options.policy ? e->options.policy
	                            : p->policy,
	        gw_show_size(size, sizeof(size), m->data_bytes),
	        gw_show_rate(dirty, sizeof(dirty), (double)m->dirty_bytes_per_s),
	        goes ? gw_show_rate(rate, sizeof(rate), (double)p->rate_bytes_per_s) : NULL,
	        goes ? seconds(begin, sizeof(begin), p->begin_ns) : NULL,
	        goes ? seconds(end, sizeof(end), p->end_ns) : NULL,
	        goes ? span : NULL,
	        advice(e, p, what, sizeof(what)),
	};

	(void)snprintf(span, sizeof(span), "%.0f to %.0f s", (double)p->soonest_ns / 1e9,
	               (double)p->latest_ns / 1e9);
	return gw_table_add(table, row);
}

static void tell_hosts(const struct gw_evacuation *e, FILE *out)
{
	char size[32];

	for (size_t i = 0; i < e->host_count; i++)
		if (e->hosts[i].silent)
			(void)fprintf(out, "host %s does not answer: %s\n", e->hosts[i].name,
			              e->hosts[i].why);
		else
			(void)fprintf(out, "host %s has %s free\n", e->hosts[i].name,
			              gw_show_size(size, sizeof(size), e->hosts[i].free_bytes));
}

static void tell_unavailable(const struct gw_schedule *p, FILE *out)
{
	char middle[32], low[32], high[32];

	(void)fprintf(out, "unavailable for %s in all (%s to %s)\n",
	              gw_show_duration(middle, sizeof(middle), p->unavailable.middle),
	              gw_show_duration(low, sizeof(low), p->unavailable.low),
	              gw_show_duration(high, sizeof(high), p->unavailable.high));
}

static void tell_whole(const struct gw_evacuation *e, FILE *out)
{
	const struct gw_schedule *p = &e->plan;
	char rate[32];

	for (size_t i = 0; i < e->count; i++)
		if (e->members[i].state == GW_MEMBER_STAYS)
			(void)fprintf(out, "%s stays: %s\n", e->members[i].name, e->members[i].why);
	(void)gw_show_rate(rate, sizeof(rate),
	                   (double)(e->options.link_bytes_per_s ? e->options.link_bytes_per_s
	                                                        : GW_ASSUMED_RATE));
	if (p->moved)
		(void)fprintf(
		        out, "%zu VMs are gone after %.1f s (%.0f to %.0f s), over %s%s\n",
		        p->moved, (double)p->end_ns / 1e9, (double)p->soonest_ns / 1e9,
		        (double)p->latest_ns / 1e9, rate,
		        e->options.link_bytes_per_s
		                ? ""
		                : ", which is assumed: --bandwidth says what the link carries");
	if (p->moved)
		tell_unavailable(p, out);
	if (p->late)
		(void)fprintf(out, "%zu of them not by the deadline\n", p->late);
}

/* Reservations are kept by the moves alone. */
static void tell_reservations(const struct gw_evacuation *e, FILE *out)
{
	for (size_t i = 0; i < e->count; i++) {
		const struct gw_member *m = &e->members[i];
		uint64_t own = gw_traffic_mean(&m->traffic);
		char rate[32];

		if (m->state != GW_MEMBER_WAITS ||
		    own <= e->options.sharing.thresholds.network_bytes_per_s)
			continue;
		(void)fprintf(out,
		              "%s sends and receives %s itself: the moves' rates leave room for "
		              "it, but nothing enforces that it gets it\n",
		              m->name, gw_show_rate(rate, sizeof(rate), (double)own));
	}
}

int gw_evacuation_plan(const struct gw_evacuation *e, FILE *out)
{
	static const char *const headings[] = {"NAME",      "TO",    "POLICY",  ">DATA",
	                                       ">DIRTIES",  ">RATE", ">BEGINS", ">ENDS",
	                                       ">INTERVAL", "",      NULL};
	struct gw_table table;
	int err = gw_table_init(&table, headings);

	tell_hosts(e, out);
	for (size_t i = 0; !err && i < e->plan.moved + e->plan.left; i++)
		err = add_row(e, &e->plan.moves[i], &table);
	if (!err && table.rows > 1)
		gw_table_print(&table, out);
	gw_table_free(&table);
	tell_reservations(e, out);
	tell_whole(e, out);
	return err;
}

/* --- its course ------------------------------------------------------------------------------ */

static void draw(char bar[BAR_COLUMNS + 1], uint64_t done, uint64_t all)
{
	size_t full = all ? (size_t)((double)done / (double)all * BAR_COLUMNS) : 0;

	memset(bar, '.', BAR_COLUMNS);
	memset(bar, '#', full < BAR_COLUMNS ? full : BAR_COLUMNS);
	bar[BAR_COLUMNS] = '\0';
}

static void draw_member(FILE *out, const struct gw_evacuation *e, const struct gw_member *m)
{
	uint64_t done = m->state == GW_MEMBER_MOVED ? 1 : m->at.done_pages;
	uint64_t all = m->state == GW_MEMBER_MOVED ? 1 : m->at.all_pages;
	char bar[BAR_COLUMNS + 1], rate[32];

	draw(bar, done, all);
	(void)fprintf(out, "%-20.20s [%s] ", m->name, bar);
	if (m->state == GW_MEMBER_MOVES)
		(void)fprintf(out, "%s, %s, to %s\033[K\n", gw_state_name(m->at.state),
		              gw_show_rate(rate, sizeof(rate), (double)m->grant.rate_bytes_per_s),
		              host_of(e, m));
	else
		(void)fprintf(out, "%s\033[K\n", state_name(m->state));
}

static void draw_whole(FILE *out, const struct gw_evacuation *e)
{
	uint64_t done, all, gone = e->now_ns - e->began_ns;
	char bar[BAR_COLUMNS + 1], passed[24], left[24];

	gw_fleet_progress(e, &done, &all);
	draw(bar, done, all);
	(void)gw_show_clock(passed, sizeof(passed), gone / SECOND_NS);
	(void)gw_show_clock(left, sizeof(left),
	                    e->plan.end_ns > gone ? (e->plan.end_ns - gone) / SECOND_NS : 0);
	(void)fprintf(out, "%-20s [%s] %s, about %s left\033[K\n", "all", bar, passed, left);
}

void gw_evacuation_clear_lines(struct gw_evacuation_view *view)
{
	if (view->lines)
		(void)fprintf(view->out, "\033[%uA\033[J", view->lines);
	view->lines = 0;
}

static void show_bars(struct gw_evacuation_view *view, const struct gw_evacuation *e)
{
	gw_evacuation_clear_lines(view);
	for (size_t i = 0; i < e->count; i++) {
		if (e->members[i].state == GW_MEMBER_STAYS)
			continue;
		draw_member(view->out, e, &e->members[i]);
		view->lines++;
	}
	draw_whole(view->out, e);
	view->lines++;
	(void)fflush(view->out);
}

static void show_lines(struct gw_evacuation_view *view, const struct gw_evacuation *e)
{
	uint64_t done, all;

	for (size_t i = 0; i < e->count; i++) {
		const struct gw_member *m = &e->members[i];

		if (view->told[i] == m->state)
			continue;
		view->told[i] = m->state;
		(void)fprintf(view->out, "%7.1f s  %s %s%s%s\n",
		              (double)(e->now_ns - e->began_ns) / 1e9, m->name,
		              state_name(m->state), host_of(e, m) ? " to " : "",
		              host_of(e, m) ? host_of(e, m) : "");
	}
	if (e->now_ns - view->told_ns < PLAIN_NS)
		return;
	view->told_ns = e->now_ns;
	gw_fleet_progress(e, &done, &all);
	(void)fprintf(view->out, "%7.1f s  %.0f %% of all is moved\n",
	              (double)(e->now_ns - e->began_ns) / 1e9,
	              all ? 100.0 * (double)done / (double)all : 100.0);
}

void gw_evacuation_show(struct gw_evacuation_view *view, const struct gw_evacuation *e, bool done)
{
	if (!view->out)
		return;
	if (!view->told)
		view->told = calloc(e->count + 1, sizeof(*view->told));
	if (view->terminal)
		show_bars(view, e);
	else if (view->told)
		show_lines(view, e);
	if (done)
		view->lines = 0;
}

/* --- its end --------------------------------------------------------------------------------- */

static uint64_t figure(const struct gw_member *m, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(m->move.result, name));
}

/* Of all VMs together. */
static uint64_t unavailable_ns(const struct gw_evacuation *e)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < e->count; i++)
		sum += figure(&e->members[i], "unavailable_ns");
	return sum;
}

int gw_evacuation_summary(const struct gw_evacuation *e, FILE *out)
{
	static const char *const headings[] = {"NAME",         "OUTCOME",  "AT", ">BEGAN", ">ENDED",
	                                       ">UNAVAILABLE", ">ON LINK", "",   NULL};
	char stood[32], foretold[32];
	struct gw_table table;
	int err = gw_table_init(&table, headings);

	for (size_t i = 0; !err && i < e->count; i++) {
		const struct gw_member *m = &e->members[i];
		bool moved = m->state == GW_MEMBER_MOVED;
		char begin[24], end[24], away[32], size[32];
		const char *const row[] = {
		        m->name,
		        state_name(m->state),
		        moved ? host_of(e, m) : "here",
		        m->end_ns ? seconds(begin, sizeof(begin), m->begin_ns) : NULL,
		        m->end_ns ? seconds(end, sizeof(end), m->end_ns) : NULL,
		        moved ? gw_show_duration(away, sizeof(away), figure(m, "unavailable_ns"))
		              : NULL,
		        moved ? gw_show_size(size, sizeof(size), figure(m, "bytes_on_link")) : NULL,
		        moved ? "" : m->why,
		};

		err = gw_table_add(&table, row);
	}
	if (!err)
		gw_table_print(&table, out);
	gw_table_free(&table);
	(void)fprintf(
	        out,
	        "%.1f s, announced were %.1f s; unavailable for %s in all, announced were %s\n",
	        (double)(e->ended_ns - e->began_ns) / 1e9, (double)e->announced.end_ns / 1e9,
	        gw_show_duration(stood, sizeof(stood), unavailable_ns(e)),
	        gw_show_duration(foretold, sizeof(foretold), e->announced.unavailable.middle));
	return err;
}

static json_t *planned_json(const struct gw_member *m)
{
	const struct gw_plan_move *p = &m->planned;
	json_t *json = json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:b}", "policy", p->policy,
	                         "begin_ns", (json_int_t)p->begin_ns, "end_ns",
	                         (json_int_t)p->end_ns, "soonest_ns", (json_int_t)p->soonest_ns,
	                         "latest_ns", (json_int_t)p->latest_ns, "problem",
	                         gw_plan_problem_name(p->problem), "estimated", m->way_count > 0);

	(void)json_object_set_new(json, "unavailable_ns", gw_interval_json(&p->unavailable));
	return json;
}

static json_t *member_json(const struct gw_evacuation *e, const struct gw_member *m)
{
	json_t *json = json_pack("{s:s, s:s, s:I, s:I, s:I}", "name", m->name, "outcome",
	                         state_name(m->state), "ram_bytes", (json_int_t)m->ram_bytes,
	                         "data_bytes", (json_int_t)m->data_bytes, "dirty_bytes_per_s",
	                         (json_int_t)m->dirty_bytes_per_s);

	if (host_of(e, m))
		(void)json_object_set_new(json, "host", json_string(host_of(e, m)));
	if (m->why[0])
		(void)json_object_set_new(json, "reason", json_string(m->why));
	if (m->planned.end_ns)
		(void)json_object_set_new(json, "planned", planned_json(m));
	if (m->end_ns)
		(void)json_object_update_new(json, json_pack("{s:I, s:I}", "begin_ns",
		                                             (json_int_t)m->begin_ns, "end_ns",
		                                             (json_int_t)m->end_ns));
	if (m->move.result)
		(void)json_object_set(json, "result", m->move.result);
	return json;
}

static json_t *plan_json(const struct gw_schedule *p)
{
	json_t *json =
	        json_pack("{s:I, s:I, s:I, s:I, s:I}", "end_ns", (json_int_t)p->end_ns, "late",
	                  (json_int_t)p->late, "left", (json_int_t)p->left, "soonest_ns",
	                  (json_int_t)p->soonest_ns, "latest_ns", (json_int_t)p->latest_ns);

	(void)json_object_set_new(json, "unavailable_ns", gw_interval_json(&p->unavailable));
	return json;
}

json_t *gw_evacuation_json(const struct gw_evacuation *e)
{
	json_t *members = json_array(), *json;

	for (size_t i = 0; i < e->count; i++)
		(void)json_array_append_new(members, member_json(e, &e->members[i]));
	json = json_pack("{s:s, s:s, s:o, s:o}", "schema", "godwit.evacuation/1", "sharing",
	                 e->options.sharing.kind->name, "vms", members, "plan",
	                 plan_json(e->began_ns ? &e->announced : &e->plan));
	if (json && e->options.link_bytes_per_s)
		(void)json_object_set_new(json, "link_bytes_per_s",
		                          json_integer((json_int_t)e->options.link_bytes_per_s));
	if (json && e->options.deadline_ns)
		(void)json_object_set_new(json, "deadline_ns",
		                          json_integer((json_int_t)e->options.deadline_ns));
	if (json && e->ended_ns)
		(void)json_object_update_new(
		        json, json_pack("{s:I, s:I, s:I, s:I, s:b, s:s}", "began_at_ns",
		                        (json_int_t)e->began_ns, "total_time_ns",
		                        (json_int_t)(e->ended_ns - e->began_ns), "unavailable_ns",
		                        (json_int_t)unavailable_ns(e), "bytes_on_link",
		                        (json_int_t)e->sent_bytes, "stopped", e->stopped,
		                        "traffic_control", e->enforced));
	return json;
}
