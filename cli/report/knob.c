/* SPDX-License-Identifier: MIT */
/* What one setting does: figures over its values, where groups differ in nothing else. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/report/chart.h"
#include "cli/report/report.h"

#define GROUPS_MAX 1000
#define VALUES_MIN 3
#define KNOBS_MAX  12
#define COLUMN     (GW_CHART_WIDTH / 3)
#define TOP        26.0
#define BOTTOM     170.0

/* A group whose setting `key` is a number, and what its other settings are. */
struct knob {
	const struct gw_report_group *group;
	char key[40], rest[160];
	double value;
	bool drawn;
};

/* Of the settings "a=1 b=x" the one at `at`; false if it is no number. */
static bool take_apart(struct knob *k, const struct gw_report_group *group, const char *at)
{
	const char *equals = strchr(at, '='), *end = at + strcspn(at, " ");
	char *stop;
	int length;

	if (!equals || equals > end)
		return false;
	k->group = group;
	k->value = strtod(equals + 1, &stop);
	length = snprintf(k->key, sizeof(k->key), "%.*s", (int)(equals - at), at);
	if (stop != end || stop == equals + 1 || !(fabs(k->value) < 1e15) ||
	    (size_t)length >= sizeof(k->key))
		return false;
	length = snprintf(k->rest, sizeof(k->rest), "%s %s %.*s%s", group->policy, group->order,
	                  (int)(at - group->settings), group->settings, end);
	k->drawn = false;
	return (size_t)length < sizeof(k->rest);
}

static size_t take_all(struct knob *knobs, size_t room, const struct gw_report_group *const *groups,
                       size_t count)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		const char *at = groups[i]->settings;

		for (; *at && used < room; at += strspn(at, " ")) {
			used += groups[i]->completed && take_apart(&knobs[used], groups[i], at);
			at += strcspn(at, " ");
		}
	}
	return used;
}

static int by_value(const void *a, const void *b)
{
	const struct knob *const *one = a, *const *other = b;

	return (*one)->value < (*other)->value ? -1 : (*one)->value > (*other)->value;
}

/* All that differ from it in the value alone, in its order. */
static size_t alike(struct knob *knobs, size_t count, const struct knob *of, struct knob **found)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++)
		if (!strcmp(knobs[i].key, of->key) && !strcmp(knobs[i].rest, of->rest) &&
		    !strcmp(knobs[i].group->world, of->group->world))
			found[used++] = &knobs[i];
	qsort(found, used, sizeof(*found), by_value);
	return used;
}

static void curve(struct gw_page *page, struct knob *const *knobs, size_t count,
                  const struct gw_scale *x, enum gw_report_figure figure)
{
	bool live = !strcmp(knobs[0]->group->world, "live");
	const struct gw_figure_kind *kind = &gw_report_figures[figure];
	struct gw_scale y = {INFINITY, 0, BOTTOM, TOP, kind->unit, false};
	char told[160], value[GW_SHOWN_BYTES], shown[GW_SHOWN_BYTES];

	for (size_t i = 0; i < count; i++) {
		const struct gw_spread *s = &knobs[i]->group->spreads[figure];

		y.low = fmin(y.low, s->low);
		y.high = fmax(y.high, s->high);
	}
	gw_scale_fit(&y, true);
	gw_chart_words(page, x->from, 13, GW_ANCHOR_START, "strong", kind->name);
	gw_chart_axis_y(page, &y, 3, x->from, x->to);
	gw_chart_axis_x(page, x, TOP, BOTTOM);
	gw_page_markup(page, "<path class=\"s-%s\" d=\"", live ? "live" : "sim");
	for (size_t i = 0; i < count; i++)
		gw_page_markup(page, "%c%.1f %.1f", i ? 'L' : 'M', gw_scale_at(x, knobs[i]->value),
		               gw_scale_at(&y, knobs[i]->group->spreads[figure].median));
	gw_page_markup(page, "\"/>\n");
	for (size_t i = 0; i < count; i++) {
		const struct gw_spread *s = &knobs[i]->group->spreads[figure];
		double at = gw_scale_at(x, knobs[i]->value);

		(void)snprintf(told, sizeof(told), "%s: %s",
		               gw_page_show(value, GW_UNIT_PLAIN, knobs[i]->value),
		               gw_page_show(shown, kind->unit, s->median));
		gw_chart_line(page, at, gw_scale_at(&y, s->low), at, gw_scale_at(&y, s->high),
		              live ? "s-live thin" : "s-sim thin");
		gw_chart_dot(page, at, gw_scale_at(&y, s->median), 3.4, live ? "f-live" : "f-sim",
		             told);
	}
}

static void draw(struct gw_page *page, struct knob *const *knobs, size_t count)
{
	static const enum gw_report_figure figures[] = {GW_REPORT_TOTAL, GW_REPORT_UNAVAILABLE,
	                                                GW_REPORT_BYTES};
	double low = knobs[0]->value, high = knobs[count - 1]->value, room = (high - low) * 0.04;

	gw_page_markup(page, "<h3>");
	gw_page_say(page, "What %s does under %s", knobs[0]->key, knobs[0]->group->policy);
	gw_page_markup(page, "</h3>\n");
	gw_chart_open(
	        page, BOTTOM + 22, "Figures over the values of one setting",
	        "Three curves: total time, unavailable time and bytes on the link; each point "
	        "is a median, its line reaches from the least to the greatest.");
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		double left = COLUMN * (double)i + 66;
		struct gw_scale x = {low - room,         high + room,   left,
		                     left + COLUMN - 84, GW_UNIT_PLAIN, false};
		bool told = true;

		for (size_t j = 0; j < count; j++)
			told &= knobs[j]->group->spreads[figures[i]].count > 0;
		if (told)
			curve(page, knobs, count, &x, figures[i]);
	}
	gw_chart_close(page);
}

void gw_report_knobs(struct gw_page *page, const struct gw_report_group *const *groups,
                     size_t count)
{
	_cleanup_free_ struct knob *knobs = calloc(GROUPS_MAX, sizeof(*knobs));
	_cleanup_free_ struct knob **found = calloc(GROUPS_MAX, sizeof(*found));
	size_t used, drawn = 0;

	if (!knobs || !found)
		return;
	used = take_all(knobs, GROUPS_MAX, groups, count);
	for (size_t i = 0; i < used && drawn < KNOBS_MAX; i++) {
		size_t many = knobs[i].drawn ? 0 : alike(knobs, used, &knobs[i], found);

		for (size_t j = 0; j < many; j++)
			found[j]->drawn = true;
		if (many < VALUES_MIN || !(found[many - 1]->value > found[0]->value))
			continue;
		draw(page, found, many);
		drawn++;
	}
}
