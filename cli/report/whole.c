/* SPDX-License-Identifier: MIT */
/* The page: what it is about, its parts in order, and the words it uses. */
#include <math.h>
#include <string.h>

#include "cli/report/report.h"

#define FLEETS_MAX 8
#define MOVES_MAX  24 /* that are shown whole */

/* What a bench measured has no more to it than its figures. */
static bool is_whole(const struct gw_report *report, const struct gw_report_group *group)
{
	return report->moves[group->typical].place.member < 0;
}

/* Several moves, and at least one to be shown whole. */
static bool has_moves(const struct gw_report *report)
{
	for (size_t i = 0; i < report->group_count && report->move_count > 1; i++)
		if (is_whole(report, &report->groups[i]))
			return true;
	return false;
}

static void title_of_evacuation(const json_t *evacuation, char *text, size_t bytes)
{
	size_t vms = json_array_size(json_object_get(evacuation, "vms"));
	double total = gw_report_number(evacuation, "total_time_ns");
	char shown[GW_SHOWN_BYTES];

	size_t moved = 0, i;
	json_t *vm;

	json_array_foreach(json_object_get(evacuation, "vms"), i, vm) moved +=
	        !strcmp(gw_report_string(vm, "outcome"), "moved");
	if (isnan(total))
		(void)snprintf(text, bytes, "A plan by which %zu VMs leave", vms);
	else
		(void)snprintf(text, bytes, "%zu of %zu VMs left in %s", moved, vms,
		               gw_page_show(shown, GW_UNIT_TIME, total));
}

static void title_of(const struct gw_report *report, const json_t *only, char *text, size_t bytes)
{
	char name[200];

	if (only && json_object_get(only, "vms")) {
		title_of_evacuation(only, text, bytes);
	} else if (only) {
		const char *vm = gw_report_string(json_object_get(only, "vm"), "name");
		const char *outcome = gw_report_string(only, "outcome");

		(void)snprintf(text, bytes, "%s %s",
		               gw_page_shorten(name, sizeof(name), *vm ? vm : "A VM", 60),
		               !strcmp(outcome, "completed") ? "has moved"
		               : !strcmp(outcome, "stayed")  ? "stayed where it was"
		                                             : "did not move to the end");
	} else if (report->move_count) {
		(void)snprintf(text, bytes, "%zu moves of virtual machines", report->move_count);
	} else {
		(void)snprintf(text, bytes, "%s",
		               report->fleet_count ? "Evacuations" : "An estimate");
	}
}

static void contents(struct gw_page *page, const struct gw_report *report)
{
	unsigned parts = (report->estimate_count > 0) + (report->fleet_count > 0) +
	                 (report->move_count > 1) + has_moves(report);

	if (parts < 2)
		return;
	gw_page_markup(page, "<nav aria-label=\"Contents\"><ul>");
	if (report->estimate_count)
		gw_page_markup(page, "<li><a href=\"#estimate-1\">Estimate</a></li>");
	if (report->move_count > 1)
		gw_page_markup(page, "<li><a href=\"#compare\">Side by side</a></li>");
	if (report->fleet_count)
		gw_page_markup(page, "<li><a href=\"#fleet-1\">Together</a></li>");
	if (has_moves(report))
		gw_page_markup(page, "<li><a href=\"#moves\">One by one</a></li>");
	gw_page_markup(page, "</ul></nav>\n");
}

static void estimates(struct gw_page *page, const struct gw_report *report)
{
	char id[40], heading[300], name[200];

	for (size_t i = 0; i < report->estimate_count; i++) {
		json_t *estimate = gw_report_load(report, &report->estimates[i]);

		(void)snprintf(id, sizeof(id), "estimate-%zu", i + 1);
		(void)snprintf(
		        heading, sizeof(heading), "What moving %s would cost",
		        gw_page_shorten(name, sizeof(name),
		                        gw_report_string(json_object_get(estimate, "vm"), "name"),
		                        60));
		gw_page_section(page, id, heading);
		gw_report_estimate(page, estimate);
		gw_page_section_end(page);
		json_decref(estimate);
	}
}

static void fleets(struct gw_page *page, const struct gw_report *report)
{
	char id[40], heading[200];
	size_t evacuations = 0;

	for (size_t i = 0; i < report->fleet_count; i++)
		evacuations += !report->fleets[i].moves;
	if (evacuations > 1) {
		gw_page_section(page, "evacuations", "Evacuations side by side");
		gw_report_evacuations(page, report);
		gw_page_section_end(page);
	}

	for (size_t i = 0; i < report->fleet_count && i < FLEETS_MAX; i++) {
		const struct gw_report_fleet *fleet = &report->fleets[i];

		(void)snprintf(id, sizeof(id), "fleet-%zu", i + 1);
		if (fleet->moves)
			(void)snprintf(heading, sizeof(heading), "%zu VMs of one run",
			               fleet->moves);
		else
			(void)snprintf(heading, sizeof(heading), "Who moved when%s%s",
			               report->fleet_count > 1 ? ": " : "",
			               report->fleet_count > 1
			                       ? report->files[fleet->place.file].path
			                       : "");
		gw_page_section(page, id, heading);
		gw_report_fleet(page, report, fleet);
		gw_page_section_end(page);
	}
	if (report->fleet_count > FLEETS_MAX)
		gw_page_say(page, "%zu more are not shown.", report->fleet_count - FLEETS_MAX);
}

static void one_of_them(struct gw_page *page, const struct gw_report *report,
                        const struct gw_report_group *group)
{
	json_t *result = gw_report_load(report, &report->moves[group->typical].place);
	const json_t *seed = json_object_get(result, "seed");
	char label[200];

	gw_page_markup(page, "<details><summary>");
	gw_page_text(page, gw_report_label(group, label, sizeof(label)));
	gw_page_markup(page, " <small><bdi>");
	gw_page_text(page, group->scenario);
	gw_page_markup(page, "</bdi>");
	gw_page_say(page, ", %s", group->world);
	if (json_is_integer(seed))
		gw_page_say(page, ", seed %" JSON_INTEGER_FORMAT, json_integer_value(seed));
	gw_page_markup(page, "</small></summary>\n");
	gw_report_sentence(page, result);
	gw_report_move(page, result);
	gw_page_markup(page, "</details>\n");
	json_decref(result);
}

static void one_by_one(struct gw_page *page, const struct gw_report *report)
{
	size_t shown = 0;

	gw_page_section(page, "moves", "One by one");
	gw_page_markup(page, "<p class=\"muted\">");
	gw_page_say(page, "Of each group the move with the median total time%s.",
	            report->group_count > MOVES_MAX ? ", of the first groups" : "");
	gw_page_markup(page, "</p>\n");
	for (size_t i = 0; i < report->group_count && shown < MOVES_MAX; i++) {
		if (!is_whole(report, &report->groups[i]))
			continue;
		one_of_them(page, report, &report->groups[i]);
		shown++;
	}
	gw_page_section_end(page);
}

static void glossary(struct gw_page *page)
{
	gw_page_markup(
	        page,
	        "<section id=\"words\">\n<h2>Words</h2>\n<dl class=\"words\">\n"
	        "<dt>total time</dt><dd>from when the destination had reserved its place until the "
	        "source was released</dd>\n"
	        "<dt>downtime</dt><dd>from when the source's vCPUs stopped until the "
	        "destination's ran</dd>\n"
	        "<dt>unavailable</dt><dd>downtime, and the time that vCPUs waited for pages "
	        "afterwards, divided by their number</dd>\n"
	        "<dt>faults</dt><dd>pages that the VM touched at the destination before they had "
	        "come, so that they were fetched</dd>\n"
	        "<dt>round</dt><dd>one pass over the pages that were dirty at its beginning</dd>\n"
	        "<dt>left out</dt><dd>dirty pages that the policy did not send in the round, as "
	        "they were likely to be written again</dd>\n"
	        "<dt>SDF</dt><dd>by how much the dirty pages became fewer, of each page "
	        "sent</dd>\n"
	        "<dt>sent again</dt><dd>pages sent once more, as they had been written "
	        "since</dd>\n</dl>\n</section>\n");
}

static void footer(struct gw_page *page, const struct gw_report *report, const char *version)
{
	gw_page_markup(page, "<footer>Made by godwit ");
	gw_page_text(page, version);
	gw_page_markup(page, " from ");
	for (size_t i = 0; i < report->file_count && i < 12; i++)
		gw_page_say(page, "%s%s", i ? ", " : "", report->files[i].path);
	if (report->file_count > 12)
		gw_page_say(page, " and %zu more files", report->file_count - 12);
	gw_page_markup(page, ". Point at a mark for its numbers.</footer>\n");
}

/* The only result that there is, if it has more to it than the figures of a bench. */
static json_t *load_only(const struct gw_report *report)
{
	size_t all = report->move_count + report->fleet_count + report->estimate_count;
	const struct gw_report_place *place =
	        report->move_count ? &report->moves[0].place : &report->fleets[0].place;

	return all != 1 || report->estimate_count || place->member >= 0
	               ? NULL
	               : gw_report_load(report, place);
}

void gw_report_page(struct gw_page *page, const struct gw_report *report, const char *version)
{
	json_t *only = load_only(report);
	bool one_move = only && report->move_count;
	char title[300];

	title_of(report, only, title, sizeof(title));
	gw_page_open(page, title);
	gw_page_markup(page, "<header>\n<h1><bdi>");
	gw_page_text(page, title);
	gw_page_markup(page, "</bdi></h1>\n");
	if (one_move)
		gw_report_sentence(page, only);
	contents(page, report);
	gw_page_markup(page, "</header>\n");
	if (one_move)
		gw_report_move(page, only);
	json_decref(only);
	estimates(page, report);
	if (report->move_count && !one_move) {
		gw_page_section(page, "compare", "Side by side");
		gw_report_compare(page, report);
		gw_page_section_end(page);
	}
	fleets(page, report);
	if (has_moves(report))
		one_by_one(page, report);
	glossary(page);
	footer(page, report, version);
	gw_page_close(page);
}
