/* SPDX-License-Identifier: MIT */
/* The rounds of one migration: what each sent and left, and why it went on or not. */
#include <math.h>

#include "cli/report/chart.h"
#include "cli/report/report.h"

#define LEFT     70.0
#define RIGHT    (GW_CHART_WIDTH - 14)
#define TOP      10.0
#define BOTTOM   220.0
#define ROWS_MAX 400

struct series {
	const char *key, *name, *line, *style;
	double radius;
};

/* What is drawn later and would hide the earlier is smaller. */
static const struct series series[] = {
        {"predicted_dirty_pages", "dirty, as forecast", NULL, "f-forecast", 5.4},
        {"dirty_pages", "dirty at its end", "s-dirty", "f-dirty", 3.8},
        {"sent_pages", "sent", "s-sent", "f-sent", 3},
        {"deferred_pages", "left out of it", "s-deferred", "f-deferred", 2.2},
};
#define SERIES (sizeof(series) / sizeof(series[0]))

/* Of all rounds: the least above 0 and the greatest; false if there is none above 0. */
static bool range(const json_t *rounds, const char *key, double *low, double *high)
{
	bool any = false;
	size_t i;
	json_t *round;

	json_array_foreach(rounds, i, round)
	{
		double value = gw_report_number(round, key);

		if (!(value > 0))
			continue;
		*low = fmin(*low, value);
		*high = fmax(*high, value);
		any = true;
	}
	return any;
}

static void draw_line(struct gw_page *page, const json_t *rounds, const struct series *s,
                      const struct gw_scale *x, const struct gw_scale *y)
{
	size_t i;
	json_t *round;
	bool begun = false;

	if (!s->line)
		return;
	gw_page_markup(page, "<path class=\"%s\" d=\"", s->line);
	json_array_foreach(rounds, i, round)
	{
		double value = gw_report_number(round, s->key);

		if (isnan(value))
			continue;
		gw_page_markup(page, "%c%.1f %.1f", begun ? 'L' : 'M',
		               gw_scale_at(x, (double)i + 1), gw_scale_at(y, value));
		begun = true;
	}
	gw_page_markup(page, begun ? "\"/>\n" : "M0 0\"/>\n");
}

static void draw_dots(struct gw_page *page, const json_t *rounds, const struct series *s,
                      const struct gw_scale *x, const struct gw_scale *y)
{
	char told[120], shown[GW_SHOWN_BYTES];
	size_t i;
	json_t *round;

	json_array_foreach(rounds, i, round)
	{
		double value = gw_report_number(round, s->key);

		if (isnan(value))
			continue;
		(void)snprintf(told, sizeof(told), "round %zu, %s: %s pages", i + 1, s->name,
		               gw_page_show(shown, GW_UNIT_COUNT, value));
		gw_chart_dot(page, gw_scale_at(x, (double)i + 1), gw_scale_at(y, value), s->radius,
		             s->style, told);
	}
}

static void picture(struct gw_page *page, const json_t *rounds)
{
	double count = (double)json_array_size(rounds), low = INFINITY, high = 0;
	struct gw_scale x = {0.5, count + 0.5, LEFT, RIGHT, GW_UNIT_COUNT, false};
	struct gw_scale y = {.from = BOTTOM, .to = TOP, .unit = GW_UNIT_COUNT};
	size_t stride = (size_t)(count / 24) + 1;
	bool shown[SERIES];
	char text[24];

	for (size_t i = 0; i < SERIES; i++)
		shown[i] = range(rounds, series[i].key, &low, &high);
	y.low = low;
	y.high = high;
	gw_scale_fit(&y, true);
	gw_chart_open(page, BOTTOM + 36, "Pages of each round",
	              "One line each for the pages that a round sent, that were dirty at its end, "
	              "and that it left out; rings are what was forecast at its beginning.");
	gw_chart_axis_y(page, &y, 4, LEFT, RIGHT);
	for (size_t i = 0; i < (size_t)count; i += stride) {
		(void)snprintf(text, sizeof(text), "%zu", i + 1);
		gw_chart_words(page, gw_scale_at(&x, (double)i + 1), BOTTOM + 16, GW_ANCHOR_MIDDLE,
		               "tick", text);
	}
	gw_chart_words(page, RIGHT, BOTTOM + 32, GW_ANCHOR_END, "soft", "round");
	for (size_t i = 0; i < SERIES; i++)
		if (shown[i])
			draw_line(page, rounds, &series[i], &x, &y);
	for (size_t i = 0; i < SERIES; i++)
		if (shown[i])
			draw_dots(page, rounds, &series[i], &x, &y);
	gw_chart_close(page);
	gw_page_legend(page);
	for (size_t i = 0; i < SERIES; i++)
		if (shown[i])
			gw_page_legend_item(page, series[i].style, series[i].name);
	if (y.log)
		gw_page_legend_item(page, "f-plan", "the scale is logarithmic");
	gw_page_legend_end(page);
}

/* --- the table ------------------------------------------------------------------------------- */

struct column {
	const char *key, *heading;
	enum gw_unit unit;
};

static const struct column columns[] = {
        {"duration_ns", ">lasts", GW_UNIT_TIME},
        {"sent_pages", ">sent", GW_UNIT_COUNT},
        {"dirty_pages", ">dirty", GW_UNIT_COUNT},
        {"predicted_dirty_pages", ">forecast", GW_UNIT_COUNT},
        {"deferred_pages", ">left out", GW_UNIT_COUNT},
        {"sdf", ">SDF", GW_UNIT_PLAIN},
        {"bandwidth_bytes_per_s", ">rate", GW_UNIT_RATE},
        {"cpu_permille", ">CPU", GW_UNIT_PERMILLE},
        {"network_bytes_per_s", ">VM's network", GW_UNIT_RATE},
        {"memory_pages", ">with data", GW_UNIT_COUNT},
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static void table_row(struct gw_page *page, size_t number, const json_t *round, const bool *shown)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%zu", number);
	gw_page_row(page);
	gw_page_markup(page, "<th scope=\"row\" class=\"n\">%s</th>", text);
	for (size_t i = 0; i < COLUMNS; i++)
		if (shown[i])
			gw_page_data_cell(page, columns[i].unit,
			                  gw_report_number(round, columns[i].key));
	gw_page_text_cell(page, gw_report_string(round, "decision"));
	gw_page_markup(page, "<td class=\"why\">");
	gw_page_text(page, gw_report_string(round, "reason"));
	gw_page_markup(page, "</td>");
	gw_page_row_end(page);
}

static void table(struct gw_page *page, const json_t *rounds)
{
	const char *headings[COLUMNS + 4] = {">round"};
	bool shown[COLUMNS];
	size_t used = 1, i;
	json_t *round;

	for (i = 0; i < COLUMNS; i++) {
		double low = INFINITY, high = 0;

		shown[i] = range(rounds, columns[i].key, &low, &high);
		if (shown[i])
			headings[used++] = columns[i].heading;
	}
	headings[used++] = "decision";
	headings[used++] = "because";
	headings[used] = NULL;
	gw_page_table(page, "Pages; what was dirty, was so at the end of the round.", headings);
	json_array_foreach(rounds, i, round)
	{
		if (i == ROWS_MAX)
			break;
		table_row(page, i + 1, round, shown);
	}
	gw_page_table_end(page);
	if (json_array_size(rounds) > ROWS_MAX)
		gw_page_say(page, "The first %d of %zu rounds.", ROWS_MAX, json_array_size(rounds));
}

void gw_report_rounds(struct gw_page *page, const json_t *result)
{
	const json_t *rounds = json_object_get(result, "rounds");

	if (!json_array_size(rounds))
		return;
	gw_page_markup(page, "<h3>Round by round</h3>\n");
	if (json_array_size(rounds) > 1)
		picture(page, rounds);
	table(page, rounds);
}
