/* SPDX-License-Identifier: MIT */
/* What moves would cost under each policy, as godwit estimate foretells it. */
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/report/report.h"

#define ROWS_MAX 64

struct forecast {
	char label[200];
	struct gw_spread spreads[GW_REPORT_FIGURES];
};

static void read_forecast(const json_t *row, struct forecast *f)
{
	_cleanup_free_ char *settings = gw_report_settings(row);
	const double none = (double)NAN;

	(void)snprintf(f->label, sizeof(f->label), "%s%s%s", gw_report_string(row, "policy"),
	               settings && *settings ? " " : "", settings ? settings : "");
	for (unsigned i = 0; i < GW_REPORT_FIGURES; i++) {
		const json_t *interval = json_object_get(row, gw_report_figures[i].key);
		double low = gw_report_number(interval, "low");
		double high = gw_report_number(interval, "high");

		f->spreads[i] = (struct gw_spread){0, none, none, none, none, none};
		if (!isnan(low) && !isnan(high))
			f->spreads[i] = (struct gw_spread){
			        1, low, low, gw_report_number(interval, "middle"), high, high};
	}
}

static bool is_taken(const json_t *row, const json_t *taken)
{
	return !strcmp(gw_report_string(row, "policy"), gw_report_string(taken, "policy")) &&
	       json_equal(json_object_get(row, "settings"), json_object_get(taken, "settings"));
}

static void say_vm(struct gw_page *page, const json_t *estimate)
{
	const json_t *vm = json_object_get(estimate, "vm");
	char ram[GW_SHOWN_BYTES], written[GW_SHOWN_BYTES], observed[GW_SHOWN_BYTES],
	        link[GW_SHOWN_BYTES];

	gw_page_markup(page, "<p><bdi><strong>");
	gw_page_text(page, gw_report_string(vm, "name"));
	gw_page_markup(page, "</strong></bdi>");
	gw_page_say(
	        page,
	        ", with %s of memory, was observed for %s; it writes %s. The link carries "
	        "%s. Nine in ten moves are to lie in the bars.",
	        gw_page_show(ram, GW_UNIT_MEMORY, gw_report_number(vm, "ram_bytes")),
	        gw_page_show(observed, GW_UNIT_TIME, gw_report_number(estimate, "observation_ns")),
	        gw_page_show(written, GW_UNIT_RATE,
	                     gw_report_number(estimate, "written_bytes_per_s")),
	        gw_page_show(link, GW_UNIT_RATE,
	                     gw_report_number(json_object_get(estimate, "link"),
	                                      "bandwidth_bytes_per_s")));
	gw_page_markup(page, "</p>\n<p class=\"lead\">");
	gw_page_text(page, gw_report_string(json_object_get(estimate, "recommendation"), "reason"));
	gw_page_markup(page, "</p>\n");
}

static void table(struct gw_page *page, const struct forecast *forecasts, size_t count)
{
	static const char *const headings[] = {
	        "policy",       ">total time", ">downtime", ">unavailable",
	        ">on the link", ">faults",     NULL};

	gw_page_table(page, "What is foretold; below it the interval.", headings);
	for (size_t i = 0; i < count; i++) {
		gw_page_row(page);
		gw_page_head_cell(page, forecasts[i].label);
		for (unsigned f = 0; f < GW_REPORT_RESENT; f++)
			gw_report_spread_cell(page, gw_report_figures[f].unit,
			                      &forecasts[i].spreads[f]);
		gw_page_row_end(page);
	}
	gw_page_table_end(page);
}

static void obstacles(struct gw_page *page, const json_t *policies, const struct forecast *f)
{
	size_t i;
	json_t *row;

	json_array_foreach(policies, i, row)
	{
		if (i == ROWS_MAX)
			break;
		if (!*gw_report_string(row, "obstacle"))
			continue;
		gw_page_markup(page, "<p class=\"muted\">");
		gw_page_say(page, "%s completed in %.0f of %.0f simulated moves: %s", f[i].label,
		            gw_report_number(row, "completed"), gw_report_number(row, "samples"),
		            gw_report_string(row, "obstacle"));
		gw_page_markup(page, "</p>\n");
	}
}

void gw_report_estimate(struct gw_page *page, const json_t *estimate)
{
	const json_t *policies = json_object_get(estimate, "policies");
	const json_t *taken = json_object_get(estimate, "recommendation");
	struct forecast forecasts[ROWS_MAX];
	struct gw_panel_row rows[ROWS_MAX];
	size_t count, drawn = 0, i;
	json_t *row;

	say_vm(page, estimate);
	json_array_foreach(policies, i, row)
	{
		if (i == ROWS_MAX)
			break;
		read_forecast(row, &forecasts[i]);
		if (forecasts[i].spreads[GW_REPORT_TOTAL].count)
			rows[drawn++] =
			        (struct gw_panel_row){forecasts[i].label, forecasts[i].spreads,
			                              false, is_taken(row, taken)};
	}
	count = i;
	if (drawn)
		gw_report_panels(page, "What a move would cost under each policy", rows, drawn);
	table(page, forecasts, count);
	obstacles(page, policies, forecasts);
}
