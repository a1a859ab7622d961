/* SPDX-License-Identifier: MIT */
/* Several moves: by scenario, what each policy with its settings cost, in each world. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/report/chart.h"
#include "cli/report/report.h"

#define SCENARIOS_MAX 24
#define ROWS_MAX      40  /* of a picture */
#define LINES_MAX     400 /* of a table */

const char *gw_report_label(const struct gw_report_group *group, char *text, size_t bytes)
{
	(void)snprintf(text, bytes, "%s%s%s%s%s", group->policy, *group->settings ? " " : "",
	               group->settings, group->orders && *group->order ? ", order " : "",
	               group->orders ? group->order : "");
	return text;
}

static bool is_live(const struct gw_report_group *group)
{
	return !strcmp(group->world, "live");
}

/* The groups of one scenario, as the report has them. */
struct part {
	const char *scenario;
	const struct gw_report_group **groups; /* owned */
	size_t count;
	bool worlds; /* both are in it */
};

static size_t collect(const struct gw_report *report, struct part *part)
{
	bool live = false, sim = false;

	part->count = 0;
	for (size_t i = 0; i < report->group_count; i++) {
		const struct gw_report_group *group = &report->groups[i];

		if (strcmp(group->scenario, part->scenario) != 0)
			continue;
		part->groups[part->count++] = group;
		live |= is_live(group);
		sim |= !is_live(group);
	}
	part->worlds = live && sim;
	return part->count;
}

/* --- in words -------------------------------------------------------------------------------- */

static const struct gw_report_group *least(const struct part *part, enum gw_report_figure figure)
{
	const struct gw_report_group *best = NULL;

	for (size_t i = 0; i < part->count; i++) {
		const struct gw_report_group *group = part->groups[i];

		if (group->completed < group->moves || isnan(group->spreads[figure].median))
			continue;
		if (!best || group->spreads[figure].median < best->spreads[figure].median)
			best = group;
	}
	return best;
}

static void say_best(struct gw_page *page, const struct part *part, enum gw_report_figure figure,
                     const char *what)
{
	const struct gw_report_group *best = least(part, figure);
	char label[200], shown[GW_SHOWN_BYTES];

	if (!best)
		return;
	gw_page_say(page, " %s ", what);
	gw_page_markup(page, "<strong>");
	gw_page_text(page, gw_report_label(best, label, sizeof(label)));
	gw_page_markup(page, "</strong>");
	gw_page_say(
	        page, "%s (%s).", part->worlds ? is_live(best) ? ", live" : ", simulated" : "",
	        gw_page_show(shown, gw_report_figures[figure].unit, best->spreads[figure].median));
}

static void say_part(struct gw_page *page, const struct part *part)
{
	size_t moves = 0, completed = 0;

	for (size_t i = 0; i < part->count; i++) {
		moves += part->groups[i]->moves;
		completed += part->groups[i]->completed;
	}
	gw_page_markup(page, "<p>");
	gw_page_say(page, "%zu move%s in %zu group%s of one policy and setting; %zu completed.",
	            moves, moves == 1 ? "" : "s", part->count, part->count == 1 ? "" : "s",
	            completed);
	if (part->count > 1) {
		say_best(page, part, GW_REPORT_UNAVAILABLE, "The VM was unavailable least under");
		say_best(page, part, GW_REPORT_TOTAL, "The shortest total time had");
		say_best(page, part, GW_REPORT_BYTES, "The fewest bytes sent");
	}
	gw_page_markup(page, "</p>\n");
}

/* --- in pictures ----------------------------------------------------------------------------- */

static int by_unavailable(const void *a, const void *b)
{
	const struct gw_report_group *const *one = a, *const *other = b;
	double x = (*one)->spreads[GW_REPORT_UNAVAILABLE].median;
	double y = (*other)->spreads[GW_REPORT_UNAVAILABLE].median;

	if (isnan(x) || isnan(y))
		return isnan(x) - isnan(y);
	return x < y ? -1 : x > y;
}

static void picture(struct gw_page *page, const struct part *part)
{
	size_t count = part->count < ROWS_MAX ? part->count : ROWS_MAX, used = 0;
	struct gw_panel_row rows[ROWS_MAX];
	char labels[ROWS_MAX][200];

	for (size_t i = 0; i < count; i++) {
		const struct gw_report_group *group = part->groups[i];

		if (!group->completed)
			continue;
		rows[used] = (struct gw_panel_row){
		        gw_report_label(group, labels[used], sizeof(labels[used])), group->spreads,
		        is_live(group), false};
		used++;
	}
	if (!used)
		return;
	gw_report_panels(page, "What moves cost under each policy", rows, used);
	gw_page_legend(page);
	for (int live = 0; live < 2; live++)
		for (size_t i = 0; i < used; i++)
			if (rows[i].live == (bool)live) {
				gw_page_legend_item(page, live ? "f-live" : "f-sim",
				                    live ? "live" : "simulated");
				break;
			}
	gw_page_markup(page, "<li>dot: median; thick: the middle half; thin: least to "
	                     "greatest</li>");
	gw_page_legend_end(page);
	if (part->count > ROWS_MAX)
		gw_page_say(page,
		            "Drawn are the %d groups under which the VM was unavailable "
		            "least.",
		            ROWS_MAX);
}

/* --- as a table ------------------------------------------------------------------------------ */

static void group_row(struct gw_page *page, const struct gw_report_group *group)
{
	char text[64], label[200];

	gw_page_row(page);
	gw_page_head_cell(page, gw_report_label(group, label, sizeof(label)));
	gw_page_text_cell(page, group->world);
	(void)snprintf(text, sizeof(text), "%zu of %zu", group->completed, group->moves);
	gw_page_markup(page, "<td class=\"n\">%s</td>", text);
	for (unsigned f = 0; f < GW_REPORT_FIGURES; f++)
		gw_report_spread_cell(page, gw_report_figures[f].unit, &group->spreads[f]);
	gw_page_row_end(page);
}

static void table(struct gw_page *page, const struct part *part)
{
	const char *headings[GW_REPORT_FIGURES + 4] = {"policy", "world", ">completed"};
	char right[GW_REPORT_FIGURES][32];

	for (unsigned f = 0; f < GW_REPORT_FIGURES; f++) {
		(void)snprintf(right[f], sizeof(right[f]), ">%s", gw_report_figures[f].name);
		headings[3 + f] = right[f];
	}
	headings[3 + GW_REPORT_FIGURES] = NULL;
	gw_page_table(page,
	              "Medians of the moves that completed; below them the least and the "
	              "greatest.",
	              headings);
	for (size_t i = 0; i < part->count && i < LINES_MAX; i++)
		group_row(page, part->groups[i]);
	gw_page_table_end(page);
	if (part->count > LINES_MAX)
		gw_page_say(page, "The first %d of %zu groups.", LINES_MAX, part->count);
}

static void obstacles(struct gw_page *page, const struct part *part)
{
	size_t told = 0;
	char label[200];

	for (size_t i = 0; i < part->count; i++)
		told += part->groups[i]->reason != NULL;
	if (!told)
		return;
	gw_page_markup(page, "<h3>What did not complete</h3>\n<ul>\n");
	for (size_t i = 0, said = 0; i < part->count && said < ROWS_MAX; i++) {
		const struct gw_report_group *group = part->groups[i];

		if (!group->reason)
			continue;
		gw_page_markup(page, "<li>");
		gw_page_say(page, "%s: %zu of %zu, such as: %s",
		            gw_report_label(group, label, sizeof(label)),
		            group->moves - group->completed, group->moves, group->reason);
		gw_page_markup(page, "</li>\n");
		said++;
	}
	gw_page_markup(page, "</ul>\n");
}

static void compare_part(struct gw_page *page, const struct part *part, bool named)
{
	if (named) {
		gw_page_markup(page, "<h3 class=\"scenario\"><bdi>");
		gw_page_text(page, *part->scenario ? part->scenario : "without a name");
		gw_page_markup(page, "</bdi></h3>\n");
	}
	say_part(page, part);
	if (part->count > ROWS_MAX)
		qsort(part->groups, part->count, sizeof(*part->groups), by_unavailable);
	picture(page, part);
	table(page, part);
	gw_report_knobs(page, part->groups, part->count);
	gw_report_trade(page, part->groups, part->count);
	obstacles(page, part);
}

void gw_report_compare(struct gw_page *page, const struct gw_report *report)
{
	_cleanup_free_ const struct gw_report_group **groups =
	        calloc(report->group_count + 1, sizeof(*groups));
	json_t *seen = json_object();

	for (size_t i = 0; groups && i < report->group_count; i++) {
		struct part part = {.scenario = report->groups[i].scenario, .groups = groups};

		if (json_object_get(seen, part.scenario) ||
		    json_object_set_new(seen, part.scenario, json_true()))
			continue;
		if (json_object_size(seen) <= SCENARIOS_MAX && collect(report, &part))
			compare_part(page, &part, part.count < report->group_count);
	}
	if (json_object_size(seen) > SCENARIOS_MAX)
		gw_page_say(page, "%zu more scenarios or VMs are left out.",
		            json_object_size(seen) - SCENARIOS_MAX);
	json_decref(seen);
}
