/* SPDX-License-Identifier: MIT */
/* Figures of many moves side by side: a row each, a column for each figure. */
#include <math.h>

#include "cli/report/chart.h"
#include "cli/report/report.h"

#define LABELS   196.0
#define COLUMN   ((GW_CHART_WIDTH - LABELS) / 3)
#define GAP      42.0
#define ROW      21.0
#define HEAD     22.0
#define A_ROW    3  /* columns beside each other */
#define LABEL_AT 24 /* letters of a label */

static bool scale_of(struct gw_scale *x, const struct gw_panel_row *rows, size_t count,
                     unsigned figure)
{
	double low = INFINITY, high = -1;

	for (size_t i = 0; i < count; i++) {
		const struct gw_spread *s = &rows[i].spreads[figure];

		if (!s->count)
			continue;
		if (s->low > 0)
			low = fmin(low, s->low);
		high = fmax(high, s->high);
	}
	x->low = low;
	x->high = high;
	x->unit = gw_report_figures[figure].unit;
	if (high < 0)
		return false;
	gw_scale_fit(x, low < INFINITY);
	return true;
}

static void draw_spread(struct gw_page *page, const struct gw_scale *x, double y,
                        const struct gw_panel_row *row, unsigned figure)
{
	const struct gw_spread *s = &row->spreads[figure];
	char told[200], low[GW_SHOWN_BYTES], median[GW_SHOWN_BYTES], high[GW_SHOWN_BYTES];
	enum gw_unit unit = gw_report_figures[figure].unit;
	const char *world = row->live ? "live" : "sim";
	char style[24];

	if (!s->count)
		return;
	(void)snprintf(told, sizeof(told), "%s, %s to %s", gw_page_show(median, unit, s->median),
	               gw_page_show(low, unit, s->low), gw_page_show(high, unit, s->high));
	(void)snprintf(style, sizeof(style), "s-%s thin", world);
	gw_chart_line(page, gw_scale_at(x, s->low), y, gw_scale_at(x, s->high), y, style);
	(void)snprintf(style, sizeof(style), "s-%s wide", world);
	gw_chart_line(page, gw_scale_at(x, s->quarter), y, gw_scale_at(x, s->three_quarters), y,
	              style);
	(void)snprintf(style, sizeof(style), "f-%s", world);
	gw_chart_dot(page, gw_scale_at(x, s->median), y, 4.2, style, told);
}

static void draw_column(struct gw_page *page, struct gw_scale *x, const struct gw_panel_row *rows,
                        size_t count, unsigned figure)
{
	double bottom = HEAD + ROW * (double)count;

	gw_chart_words(page, x->from, 13, GW_ANCHOR_START, "strong",
	               gw_report_figures[figure].name);
	gw_chart_axis_x(page, x, HEAD, bottom);
	for (size_t i = 0; i < count; i++)
		draw_spread(page, x, HEAD + ROW * ((double)i + 0.5), &rows[i], figure);
}

static void draw_labels(struct gw_page *page, const struct gw_panel_row *rows, size_t count)
{
	char text[160];

	for (size_t i = 0; i < count; i++) {
		double y = HEAD + ROW * ((double)i + 0.5);

		gw_chart_line(page, LABELS, y, GW_CHART_WIDTH, y, "grid");
		gw_chart_words(page, LABELS - 12, y + 4, GW_ANCHOR_END,
		               rows[i].marked ? "strong" : "",
		               gw_page_shorten(text, sizeof(text), rows[i].label, LABEL_AT));
	}
}

void gw_report_panels(struct gw_page *page, const char *title, const struct gw_panel_row *rows,
                      size_t count)
{
	unsigned drawn = 0;

	for (unsigned f = 0; f < GW_REPORT_FIGURES; f++) {
		double left = LABELS + COLUMN * (drawn % A_ROW);
		struct gw_scale x = {.from = left, .to = left + COLUMN - GAP};

		if (!scale_of(&x, rows, count, f))
			continue;
		if (drawn % A_ROW == 0) {
			if (drawn)
				gw_chart_close(page);
			gw_chart_open(page, HEAD + ROW * (double)count + 24, title,
			              "A row each: the dot is the median, the thick bar holds the "
			              "middle half, the thin line reaches from the least to the "
			              "greatest. The table below has the numbers.");
			draw_labels(page, rows, count);
		}
		draw_column(page, &x, rows, count, f);
		drawn++;
	}
	if (drawn)
		gw_chart_close(page);
}

void gw_report_spread_cell(struct gw_page *page, enum gw_unit unit, const struct gw_spread *s)
{
	gw_page_markup(page, "<td class=\"n\">");
	gw_page_data(page, unit, s->median);
	if (s->low < s->high) {
		gw_page_markup(page, "<br/><small class=\"muted\">");
		gw_page_data(page, unit, s->low);
		gw_page_markup(page, " – ");
		gw_page_data(page, unit, s->high);
		gw_page_markup(page, "</small>");
	}
	gw_page_markup(page, "</td>");
}
