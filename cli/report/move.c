/* SPDX-License-Identifier: MIT */
/* One migration: the sentence, its phases over time, what it had announced, its faults. */
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/report/chart.h"
#include "cli/report/report.h"

#define LEFT      138.0
#define RIGHT     (GW_CHART_WIDTH - 14)
#define STRIP     34.0
#define LANE      44.0
#define LANE_GAP  14.0
#define MAGNIFIED 0.06 /* a downtime of a lesser share of the whole is shown enlarged, too */

void gw_report_course(const json_t *result, struct gw_course *c)
{
	double stopped_after = gw_report_number(result, "stopped_after_ns");
	double downtime = gw_report_number(result, "downtime_ns");
	size_t i;
	json_t *round;

	*c = (struct gw_course){.total = gw_report_number(result, "total_time_ns"),
	                        .rounds = json_object_get(result, "rounds"),
	                        .switched = !isnan(downtime),
	                        .pulls = *gw_report_string(result, "order") != '\0'};
	json_array_foreach(c->rounds, i, round)
	{
		c->rounds_ns += fmax(0, gw_report_number(round, "duration_ns"));
		c->rounds_pages += fmax(0, gw_report_number(round, "sent_pages"));
	}
	c->total = fmax(c->total, 1);
	c->first_round = isnan(stopped_after) ? 0 : fmax(0, stopped_after - c->rounds_ns);
	c->stop = c->first_round + c->rounds_ns;
	c->resume = c->stop + (c->switched ? downtime : 0);
	c->total = fmax(c->total, c->resume);
}

/* --- in words -------------------------------------------------------------------------------- */

static void say_vm(struct gw_page *page, const json_t *result)
{
	const json_t *vm = json_object_get(result, "vm");
	double ram = gw_report_number(vm, "ram_bytes"), vcpus = gw_report_number(vm, "vcpus");
	char text[GW_SHOWN_BYTES];

	gw_page_markup(page, "<bdi><strong>");
	gw_page_text(page, gw_report_string(vm, "name"));
	gw_page_markup(page, "</strong></bdi>");
	if (!isnan(ram))
		gw_page_say(page, " (%s", gw_page_show(text, GW_UNIT_MEMORY, ram));
	if (!isnan(ram) && !isnan(vcpus))
		gw_page_say(page, ", %.0f vCPU%s", vcpus, vcpus == 1 ? "" : "s");
	if (!isnan(ram))
		gw_page_say(page, ")");
}

static void say_policy(struct gw_page *page, const json_t *result)
{
	_cleanup_free_ char *settings = gw_report_settings(result);
	const char *chosen = gw_report_string(json_object_get(result, "chosen"), "policy");

	gw_page_say(page, "%s", gw_report_string(result, "policy"));
	if (*chosen && strcmp(chosen, gw_report_string(result, "policy")) != 0)
		gw_page_say(page, ", which took %s,", chosen);
	if (settings && *settings)
		gw_page_say(page, " (%s)", settings);
}

static void say_cost(struct gw_page *page, const json_t *result)
{
	double downtime = gw_report_number(result, "downtime_ns");
	double stall = gw_report_number(result, "stall_ns");
	double bytes = gw_report_number(result, "bytes_on_link");
	double ram = gw_report_number(json_object_get(result, "vm"), "ram_bytes");
	char text[GW_SHOWN_BYTES];

	if (!isnan(downtime))
		gw_page_say(page, " It stood for %s", gw_page_show(text, GW_UNIT_TIME, downtime));
	if (!isnan(downtime) && stall > 0)
		gw_page_say(page, ", and waited %s more for pages",
		            gw_page_show(text, GW_UNIT_TIME, stall));
	if (!isnan(downtime))
		gw_page_say(page, ".");
	if (!isnan(bytes))
		gw_page_say(page, " %s crossed the link", gw_page_show(text, GW_UNIT_BYTES, bytes));
	if (ram > 0 && bytes > 0.01 * ram)
		gw_page_say(page, ", %.2f times its memory", bytes / ram);
	if (!isnan(bytes))
		gw_page_say(page, ".");
}

void gw_report_sentence(struct gw_page *page, const json_t *result)
{
	const char *outcome = gw_report_string(result, "outcome");
	bool completed = !strcmp(outcome, "completed"), stayed = !strcmp(outcome, "stayed");
	char text[GW_SHOWN_BYTES];

	gw_page_markup(page, "<p class=\"lead\">");
	say_vm(page, result);
	gw_page_say(page, completed ? " has moved under "
	                  : stayed  ? " stayed where it was under "
	                            : " was moved under ");
	say_policy(page, result);
	gw_page_say(page, completed ? " in %s%s." : ", after %s%s.",
	            gw_page_show(text, GW_UNIT_TIME, gw_report_number(result, "total_time_ns")),
	            !strcmp(gw_report_string(result, "world"), "sim") ? " of simulated time" : "");
	say_cost(page, result);
	gw_page_markup(page, "</p>\n");
	if (*gw_report_string(json_object_get(result, "chosen"), "reason")) {
		gw_page_markup(page, "<p>Chosen before: ");
		gw_page_text(page, gw_report_string(json_object_get(result, "chosen"), "reason"));
		gw_page_markup(page, ".</p>\n");
	}
	if (!completed) {
		gw_page_markup(page, "<p class=\"warn\">");
		gw_page_say(page, "%s: %s", outcome, gw_report_string(result, "reason"));
		gw_page_markup(page, "</p>\n");
	}
}

/* --- figures --------------------------------------------------------------------------------- */

static void tiles(struct gw_page *page, const json_t *result)
{
	const json_t *verified = json_object_get(result, "verified");
	double again = gw_report_number(result, "pages_resent");
	double sent = gw_report_number(result, "pages_sent");
	char text[80], shown[GW_SHOWN_BYTES];

	gw_page_tiles(page);
	gw_page_tile(page, "total time", GW_UNIT_TIME, gw_report_number(result, "total_time_ns"),
	             isnan(gw_report_number(result, "downtime_ns"))
	                     ? "until it was given up"
	                     : "until the source was released");
	gw_page_tile(page, "downtime", GW_UNIT_TIME, gw_report_number(result, "downtime_ns"),
	             "no vCPU ran");
	gw_page_tile(page, "unavailable", GW_UNIT_TIME, gw_report_number(result, "unavailable_ns"),
	             "downtime and waiting for pages");
	(void)snprintf(text, sizeof(text), "%s pages", gw_page_show(shown, GW_UNIT_COUNT, sent));
	gw_page_tile(page, "on the link", GW_UNIT_BYTES, gw_report_number(result, "bytes_on_link"),
	             text);
	(void)snprintf(text, sizeof(text), "pages, %.1f %% of all sent",
	               sent > 0 ? 100 * again / sent : 0);
	gw_page_tile(page, "sent again", GW_UNIT_COUNT, again, text);
	gw_page_tile(page, "network faults", GW_UNIT_COUNT, gw_report_number(result, "faults"),
	             "pages that the VM waited for");
	(void)snprintf(
	        text, sizeof(text), "of %s pages compared",
	        gw_page_show(shown, GW_UNIT_COUNT, gw_report_number(verified, "pages_compared")));
	gw_page_tile(page, "different", GW_UNIT_COUNT,
	             gw_report_number(verified, "pages_different"), text);
	gw_page_tiles_end(page);
}

static void word(struct gw_page *page, const char *name, const char *text)
{
	if (!*text)
		return;
	gw_page_markup(page, "<dt>%s</dt><dd>", name);
	gw_page_text(page, text);
	gw_page_markup(page, "</dd>\n");
}

static void link_words(struct gw_page *page, const json_t *link)
{
	double rate = gw_report_number(link, "bandwidth_bytes_per_s");
	double latency = gw_report_number(link, "latency_ns");
	char text[2 * GW_SHOWN_BYTES] = "", shown[GW_SHOWN_BYTES];

	if (!isnan(rate))
		(void)snprintf(text, sizeof(text), "%s", gw_page_show(shown, GW_UNIT_RATE, rate));
	if (!isnan(latency))
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s one way",
		               *text ? ", " : "", gw_page_show(shown, GW_UNIT_TIME, latency));
	word(page, "link", text);
}

static void verified_words(struct gw_page *page, const json_t *verified)
{
	char compared[GW_SHOWN_BYTES], different[GW_SHOWN_BYTES], text[160];

	if (!json_is_object(verified))
		return;
	(void)snprintf(
	        text, sizeof(text), "%s pages compared, %s different",
	        gw_page_show(compared, GW_UNIT_COUNT, gw_report_number(verified, "pages_compared")),
	        gw_page_show(different, GW_UNIT_COUNT,
	                     gw_report_number(verified, "pages_different")));
	word(page, "verified", text);
}

static void words(struct gw_page *page, const json_t *result)
{
	double observed = gw_report_number(result, "observation_ns");
	const json_t *seed = json_object_get(result, "seed");
	char shown[GW_SHOWN_BYTES];

	gw_page_markup(page, "<dl class=\"words\">\n");
	word(page, "world", gw_report_string(result, "world"));
	word(page, "scenario", gw_report_string(result, "scenario"));
	if (json_is_integer(seed)) {
		(void)snprintf(shown, sizeof(shown), "%" JSON_INTEGER_FORMAT,
		               json_integer_value(seed));
		word(page, "seed", shown);
	}
	link_words(page, json_object_get(result, "link"));
	word(page, "tracker", gw_report_string(result, "tracker"));
	word(page, "push order", gw_report_string(result, "order"));
	word(page, "urgent pages", gw_report_string(result, "urgent_pages"));
	if (observed > 0)
		word(page, "observed for", gw_page_show(shown, GW_UNIT_TIME, observed));
	verified_words(page, json_object_get(result, "verified"));
	word(page, "outcome", gw_report_string(result, "reason"));
	gw_page_markup(page, "</dl>\n");
}

/* --- what happened when ---------------------------------------------------------------------- */

static void strip_box(struct gw_page *page, const struct gw_scale *x, double y, double from,
                      double to, const char *style, double least, const char *what)
{
	double left = gw_scale_at(x, fmax(from, x->low)), right = gw_scale_at(x, fmin(to, x->high));
	char told[120], shown[GW_SHOWN_BYTES];

	if (to <= x->low || from >= x->high || !(to > from))
		return;
	(void)snprintf(told, sizeof(told), "%s: %s", what,
	               gw_page_show(shown, GW_UNIT_TIME, to - from));
	gw_chart_box(page, left, y, right - left, STRIP, least, style, told);
}

static const char *after_name(const struct gw_course *c)
{
	if (!c->switched)
		return "until it was given up";
	return c->pulls ? "pull" : "release";
}

/* All phases that lie within the scale. */
static void strip(struct gw_page *page, const struct gw_scale *x, double y,
                  const struct gw_course *c)
{
	double at = c->first_round, middle;
	char text[64];
	size_t i;
	json_t *round;

	strip_box(page, x, y, 0, at, "f-setup", 0, "set-up and scans");
	json_array_foreach(c->rounds, i, round)
	{
		double end = at + fmax(0, gw_report_number(round, "duration_ns"));

		(void)snprintf(text, sizeof(text), "round %zu", i + 1);
		strip_box(page, x, y, at, end, i % 2 ? "f-round2" : "f-round", 0, text);
		middle = gw_scale_at(x, (at + end) / 2);
		if (at >= x->low && end <= x->high &&
		    gw_scale_at(x, end) - gw_scale_at(x, at) > 18) {
			(void)snprintf(text, sizeof(text), "%zu", i + 1);
			gw_chart_words(page, middle, y + STRIP / 2 + 4, GW_ANCHOR_MIDDLE, "on",
			               text);
		}
		at = end;
	}
	strip_box(page, x, y, c->resume, c->total, c->pulls && c->switched ? "f-pull" : "f-setup",
	          0, after_name(c));
	if (c->switched)
		strip_box(page, x, y, c->stop, c->resume, "f-stop", 2, "downtime");
}

/* The surroundings of a short downtime; returns how high that is. */
static double magnified(struct gw_page *page, const struct gw_scale *whole, double y,
                        const struct gw_course *c)
{
	double downtime = c->resume - c->stop, bottom = y + 30 + STRIP;
	struct gw_scale x = {.low = fmax(0, c->stop - 4 * downtime),
	                     .high = fmin(c->total, c->resume + 5 * downtime),
	                     .from = LEFT,
	                     .to = RIGHT,
	                     .unit = GW_UNIT_TIME};
	char text[GW_SHOWN_BYTES], shown[GW_SHOWN_BYTES];

	gw_chart_line(page, gw_scale_at(whole, x.low), y, LEFT, y + 30, "guide");
	gw_chart_line(page, gw_scale_at(whole, x.high), y, RIGHT, y + 30, "guide");
	gw_chart_words(page, LEFT - 10, y + 30 + STRIP / 2, GW_ANCHOR_END, "soft", "the switch,");
	(void)snprintf(text, sizeof(text), "%.0f times as wide", c->total / (x.high - x.low));
	gw_chart_words(page, LEFT - 10, y + 30 + STRIP / 2 + 14, GW_ANCHOR_END, "soft", text);
	strip(page, &x, y + 30, c);
	(void)snprintf(text, sizeof(text), "%s", gw_page_show(shown, GW_UNIT_TIME, downtime));
	gw_chart_words(page, gw_scale_at(&x, (c->stop + c->resume) / 2), y + 30 + STRIP / 2 + 4,
	               GW_ANCHOR_MIDDLE, "on strong", text);
	return bottom - y + 10;
}

static bool is_short(const struct gw_course *c)
{
	return c->switched && c->resume > c->stop && c->resume - c->stop < MAGNIFIED * c->total;
}

struct lane {
	const char *key, *name, *style;
	enum gw_unit unit;
	const char *behind; /* another field on the same scale, drawn behind it */
};

static const struct lane lanes[] = {
        {"bandwidth_bytes_per_s", "sent by the move", "f-sent", GW_UNIT_RATE, "link_bytes_per_s"},
        {"cpu_permille", "the VM's processors", "f-dirty", GW_UNIT_PERMILLE, NULL},
        {"network_bytes_per_s", "the VM's network", "f-pull", GW_UNIT_RATE, NULL},
        {"memory_pages", "pages with data", "f-deferred", GW_UNIT_COUNT, NULL},
};
#define LANES (sizeof(lanes) / sizeof(lanes[0]))

static double greatest(const json_t *rounds, const char *key)
{
	double most = NAN;
	size_t i;
	json_t *round;

	json_array_foreach(rounds, i, round) most = fmax(most, gw_report_number(round, key));
	return most;
}

/* A count that never changes is told by the table alone. */
static bool is_drawn(const struct lane *lane, const json_t *rounds)
{
	double most = greatest(rounds, lane->key);
	size_t i;
	json_t *round;

	if (!(most > 0) || lane->unit != GW_UNIT_COUNT)
		return most > 0;
	json_array_foreach(rounds, i,
	                   round) if (gw_report_number(round, lane->key) < most) return true;
	return false;
}

static void bars_of(struct gw_page *page, const struct gw_scale *x, const struct gw_scale *y,
                    const struct gw_course *c, const char *key, const char *style, bool told)
{
	double at = c->first_round;
	char text[120], shown[GW_SHOWN_BYTES];
	size_t i;
	json_t *round;

	json_array_foreach(c->rounds, i, round)
	{
		double end = at + fmax(0, gw_report_number(round, "duration_ns"));
		double value = gw_report_number(round, key), top;

		if (!isnan(value)) {
			top = gw_scale_at(y, value);
			(void)snprintf(text, sizeof(text), "round %zu: %s", i + 1,
			               gw_page_show(shown, y->unit, value));
			gw_chart_box(page, gw_scale_at(x, at), top,
			             gw_scale_at(x, end) - gw_scale_at(x, at), y->from - top, 0.4,
			             style, told ? text : NULL);
		}
		at = end;
	}
}

static void draw_lane(struct gw_page *page, const struct gw_scale *x, double top,
                      const struct gw_course *c, const struct lane *lane)
{
	double most = greatest(c->rounds, lane->key);
	struct gw_scale y = {.from = top + LANE, .to = top, .unit = lane->unit};
	char shown[GW_SHOWN_BYTES];

	if (lane->behind)
		most = fmax(most, greatest(c->rounds, lane->behind));
	y.high = most > 0 ? most : 1;
	if (lane->unit == GW_UNIT_PERMILLE && y.high < 1000)
		y.high = 1000;
	gw_chart_words(page, LEFT - 10, top + LANE / 2, GW_ANCHOR_END, "soft", lane->name);
	gw_chart_words(page, LEFT - 10, top + LANE / 2 + 14, GW_ANCHOR_END, "tick",
	               gw_page_show(shown, lane->unit, y.high));
	gw_chart_line(page, LEFT, top, RIGHT, top, "grid");
	if (lane->behind)
		bars_of(page, x, &y, c, lane->behind, "f-faint", false);
	bars_of(page, x, &y, c, lane->key, lane->style, true);
	gw_chart_line(page, LEFT, top + LANE, RIGHT, top + LANE, "rule");
}

static void timeline_legend(struct gw_page *page, const struct gw_course *c)
{
	size_t count = json_array_size(c->rounds);
	char text[100], shown[GW_SHOWN_BYTES];

	gw_page_legend(page);
	if (c->first_round > 0)
		gw_page_legend_item(page, "f-setup", "set-up and scans");
	if (count) {
		(void)snprintf(text, sizeof(text), "%zu round%s: %s", count, count == 1 ? "" : "s",
		               gw_page_show(shown, GW_UNIT_TIME, c->rounds_ns));
		gw_page_legend_item(page, "f-round", text);
	}
	if (c->switched) {
		(void)snprintf(text, sizeof(text), "downtime: %s",
		               gw_page_show(shown, GW_UNIT_TIME, c->resume - c->stop));
		gw_page_legend_item(page, "f-stop", text);
	}
	(void)snprintf(text, sizeof(text), "%s: %s", after_name(c),
	               gw_page_show(shown, GW_UNIT_TIME, c->total - c->resume));
	gw_page_legend_item(page, c->pulls && c->switched ? "f-pull" : "f-setup", text);
	if (count && greatest(c->rounds, "link_bytes_per_s") > 0)
		gw_page_legend_item(page, "f-faint", "all that the link carried");
	gw_page_legend_end(page);
}

static void timeline(struct gw_page *page, const struct gw_course *c)
{
	struct gw_scale x = {0, c->total, LEFT, RIGHT, GW_UNIT_TIME, false};
	double strip_end = 6 + STRIP, wide = is_short(c) ? 74 : 0, y = strip_end + wide + 8;
	unsigned shown = 0;
	double bottom;

	for (size_t i = 0; i < LANES; i++)
		shown += is_drawn(&lanes[i], c->rounds);
	bottom = y + shown * (LANE + LANE_GAP);
	gw_chart_open(page, bottom + 24, "What happened when",
	              "A bar from left to right, to scale: rounds, downtime, and what came after; "
	              "below it, for each round, what the link carried and what the VM did.");
	gw_chart_axis_x(page, &x, shown ? y : strip_end, bottom);
	gw_chart_words(page, LEFT - 10, 6 + STRIP / 2 + 4, GW_ANCHOR_END, "soft", "phases");
	strip(page, &x, 6, c);
	if (wide > 0)
		(void)magnified(page, &x, strip_end, c);
	y += LANE_GAP;
	for (size_t i = 0; i < LANES; i++) {
		if (!is_drawn(&lanes[i], c->rounds))
			continue;
		draw_lane(page, &x, y, c, &lanes[i]);
		y += LANE + LANE_GAP;
	}
	gw_chart_close(page);
	timeline_legend(page, c);
}

static void phase_row(struct gw_page *page, const char *name, double begin, double end,
                      double pages)
{
	if (!(end > begin))
		return;
	gw_page_row(page);
	gw_page_head_cell(page, name);
	gw_page_data_cell(page, GW_UNIT_TIME, begin);
	gw_page_data_cell(page, GW_UNIT_TIME, end - begin);
	gw_page_data_cell(page, GW_UNIT_COUNT, pages);
	gw_page_row_end(page);
}

static void phase_table(struct gw_page *page, const json_t *result, const struct gw_course *c)
{
	static const char *const headings[] = {"phase", ">begins after", ">lasts", ">pages sent",
	                                       NULL};
	double later = gw_report_number(result, "pages_sent") - c->rounds_pages;
	bool pulls = c->pulls && c->switched;

	gw_page_markup(page, "<details class=\"data\"><summary>The phases as a "
	                     "table</summary>\n");
	gw_page_table(page, "Pages of the switch itself are counted where most of them go.",
	              headings);
	phase_row(page, "set-up and scans", 0, c->first_round, (double)NAN);
	phase_row(page, "rounds", c->first_round, c->stop, c->rounds_pages);
	if (c->switched)
		phase_row(page, "downtime", c->stop, c->resume, pulls ? (double)NAN : later);
	phase_row(page, after_name(c), c->resume, c->total, pulls ? later : (double)NAN);
	gw_page_table_end(page);
	gw_page_markup(page, "</details>\n");
}

/* --- faults ---------------------------------------------------------------------------------- */

static void faults(struct gw_page *page, const json_t *result)
{
	const json_t *latency = json_object_get(result, "fault_latency_ns");
	static const char *const keys[] = {"p50", "p99", "max"};
	static const char *const names[] = {"half", "99 in 100", "longest"};
	struct gw_scale x = {.from = LEFT, .to = RIGHT - 60, .unit = GW_UNIT_TIME, .log = true};
	char shown[GW_SHOWN_BYTES];

	if (!(gw_report_number(latency, "p50") > 0) || !(gw_report_number(latency, "max") > 0))
		return;
	x.low = pow(10, floor(log10(gw_report_number(latency, "p50"))));
	x.high = fmax(pow(10, ceil(log10(gw_report_number(latency, "max")))), 10 * x.low);
	gw_page_markup(page, "<h3>How long a fault took</h3>\n<p>Of ");
	gw_page_data(page, GW_UNIT_COUNT, gw_report_number(result, "faults"));
	gw_page_markup(page, " faults half took no longer than ");
	gw_page_data(page, GW_UNIT_TIME, gw_report_number(latency, "p50"));
	gw_page_markup(page, ", 99 in 100 no longer than ");
	gw_page_data(page, GW_UNIT_TIME, gw_report_number(latency, "p99"));
	gw_page_markup(page, ", and the longest took ");
	gw_page_data(page, GW_UNIT_TIME, gw_report_number(latency, "max"));
	gw_page_markup(page, ".</p>\n");
	gw_chart_open(page, 104, "How long a fault took",
	              "Median, 99th percentile and maximum on a logarithmic scale.");
	gw_chart_axis_x(page, &x, 6, 84);
	for (unsigned i = 0; i < 3; i++) {
		double value = gw_report_number(latency, keys[i]), y = 18 + 26 * i;

		gw_chart_words(page, LEFT - 10, y + 4, GW_ANCHOR_END, "soft", names[i]);
		gw_chart_line(page, LEFT, y, gw_scale_at(&x, value), y, "s-muted thin");
		gw_chart_dot(page, gw_scale_at(&x, value), y, 5, i ? "f-dirty" : "f-sent", NULL);
		gw_chart_words(page, gw_scale_at(&x, value) + 10, y + 4, GW_ANCHOR_START, "tick",
		               gw_page_show(shown, GW_UNIT_TIME, value));
	}
	gw_chart_close(page);
}

/* --- announced ------------------------------------------------------------------------------- */

static void announced_row(struct gw_page *page, double y, const struct gw_figure_kind *kind,
                          const json_t *interval, double came)
{
	double low = gw_report_number(interval, "low"), high = gw_report_number(interval, "high");
	double middle = gw_report_number(interval, "middle");
	struct gw_scale x = {.high = fmax(high, came) * 1.08, .from = LEFT, .to = RIGHT - 90};
	char shown[GW_SHOWN_BYTES], told[2 * GW_SHOWN_BYTES + 32], more[GW_SHOWN_BYTES];
	bool within = came >= low && came <= high;

	x.high = x.high > 0 ? x.high : 1;
	(void)snprintf(told, sizeof(told), "announced: %s to %s",
	               gw_page_show(shown, kind->unit, low), gw_page_show(more, kind->unit, high));
	gw_chart_words(page, LEFT - 10, y + 4, GW_ANCHOR_END, "soft", kind->name);
	gw_chart_line(page, x.from, y, x.to, y, "grid");
	gw_chart_box(page, gw_scale_at(&x, low), y - 6,
	             gw_scale_at(&x, high) - gw_scale_at(&x, low), 12, 2, "f-faint", told);
	gw_chart_line(page, gw_scale_at(&x, middle), y - 6, gw_scale_at(&x, middle), y + 6, "rule");
	if (isnan(came))
		return;
	gw_chart_dot(page, gw_scale_at(&x, came), y, 5, within ? "f-pull" : "f-stop",
	             within ? "came: within" : "came: outside");
	gw_chart_words(page, RIGHT, y + 4, GW_ANCHOR_END, "tick",
	               gw_page_show(shown, kind->unit, came));
}

static void announced_table(struct gw_page *page, const json_t *result, const json_t *announced)
{
	static const char *const headings[] = {"",         ">at least", ">announced",
	                                       ">at most", ">came",     NULL};

	gw_page_table(page, "Nine in ten moves were to lie between the outer two.", headings);
	for (unsigned i = 0; i < GW_REPORT_FIGURES; i++) {
		const struct gw_figure_kind *kind = &gw_report_figures[i];
		const json_t *interval = json_object_get(announced, kind->key);

		if (!json_is_object(interval))
			continue;
		gw_page_row(page);
		gw_page_head_cell(page, kind->name);
		gw_page_data_cell(page, kind->unit, gw_report_number(interval, "low"));
		gw_page_data_cell(page, kind->unit, gw_report_number(interval, "middle"));
		gw_page_data_cell(page, kind->unit, gw_report_number(interval, "high"));
		gw_page_data_cell(page, kind->unit, gw_report_number(result, kind->key));
		gw_page_row_end(page);
	}
	gw_page_table_end(page);
}

void gw_report_announced(struct gw_page *page, const json_t *result)
{
	const json_t *announced = json_object_get(result, "announced");
	double y = 16;

	if (!json_object_size(announced))
		return;
	gw_page_markup(page, "<h3>Announced, and what came</h3>\n");
	gw_chart_open(page, 12 + 26.0 * (double)json_object_size(announced),
	              "Announced, and what came",
	              "For each figure a bar over the announced interval and a dot for what came, "
	              "each on a scale of its own from 0.");
	for (unsigned i = 0; i < GW_REPORT_FIGURES; i++) {
		const struct gw_figure_kind *kind = &gw_report_figures[i];
		const json_t *interval = json_object_get(announced, kind->key);

		if (!json_is_object(interval))
			continue;
		announced_row(page, y, kind, interval, gw_report_number(result, kind->key));
		y += 26;
	}
	gw_chart_close(page);
	gw_page_legend(page);
	gw_page_legend_item(page, "f-faint", "announced");
	gw_page_legend_item(page, "f-pull", "came, within");
	gw_page_legend_item(page, "f-stop", "came, outside");
	gw_page_legend_end(page);
	announced_table(page, result, announced);
}

void gw_report_move(struct gw_page *page, const json_t *result)
{
	struct gw_course course;

	gw_report_course(result, &course);
	tiles(page, result);
	gw_page_markup(page, "<h3>What happened when</h3>\n");
	timeline(page, &course);
	phase_table(page, result, &course);
	gw_report_announced(page, result);
	gw_report_rounds(page, result);
	faults(page, result);
	gw_page_markup(page, "<h3>Particulars</h3>\n");
	words(page, result);
}
