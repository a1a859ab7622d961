/* SPDX-License-Identifier: MIT */
#include "cli/report/chart.h"

#include <math.h>
#include <string.h>

#define LOG_FROM   50.0
#define LABEL_ROOM 46.0 /* from one number under an axis to the next */

double gw_scale_at(const struct gw_scale *scale, double value)
{
	double share;

	if (scale->log) {
		value = value < scale->low ? scale->low : value;
		share = log10(value / scale->low) / log10(scale->high / scale->low);
	} else {
		share = (value - scale->low) / (scale->high - scale->low);
	}
	return scale->from + share * (scale->to - scale->from);
}

/* 1, 2 or 5 times a power of ten, or what is round in minutes and hours. */
static double step_of(double span, unsigned wanted, enum gw_unit unit)
{
	static const double clock[] = {60e9,   120e9,  300e9,   600e9,   1200e9,  1800e9,
	                               3600e9, 7200e9, 14400e9, 21600e9, 43200e9, 86400e9};
	double least = span / wanted, power;

	if (unit == GW_UNIT_TIME && span >= 600e9)
		for (size_t i = 0; i < sizeof(clock) / sizeof(clock[0]); i++)
			if (clock[i] >= least)
				return clock[i];
	power = pow(10, floor(log10(least)));
	if (least <= power * 1.0001)
		return power;
	if (least <= power * 2.0001)
		return 2 * power;
	return least <= power * 5.0001 ? 5 * power : 10 * power;
}

void gw_scale_fit(struct gw_scale *scale, bool may_log)
{
	double step;

	scale->log = may_log && scale->low > 0 && scale->high > LOG_FROM * scale->low;
	if (scale->log) {
		scale->low = pow(10, floor(log10(scale->low)));
		scale->high = pow(10, ceil(log10(scale->high)));
		return;
	}
	scale->low = 0;
	if (!(scale->high > 0))
		scale->high = 1;
	step = step_of(scale->high, 4, scale->unit);
	scale->high = ceil(scale->high / step - 1e-9) * step;
}

static void log_ticks(const struct gw_scale *scale, struct gw_ticks *ticks)
{
	double decades = log10(scale->high / scale->low);
	double factor = pow(10, ceil(decades / (GW_CHART_TICKS - 1) - 1e-9));

	for (double at = scale->low; at <= scale->high * 1.0001 && ticks->count < GW_CHART_TICKS;
	     at *= factor)
		ticks->at[ticks->count++] = at;
}

void gw_scale_ticks(const struct gw_scale *scale, unsigned wanted, struct gw_ticks *ticks)
{
	double step, first;

	ticks->count = 0;
	if (scale->log) {
		log_ticks(scale, ticks);
		return;
	}
	step = step_of(scale->high - scale->low, wanted, scale->unit);
	first = ceil(scale->low / step - 1e-9);
	for (unsigned i = 0; ticks->count < GW_CHART_TICKS; i++) {
		double at = (first + i) * step;

		if (at > scale->high + step / 1e6)
			break;
		ticks->at[ticks->count++] = at;
	}
}

void gw_chart_open(struct gw_page *page, double height, const char *title, const char *description)
{
	unsigned id = ++page->ids;

	gw_page_markup(page,
	               "<div class=\"scroll\"><svg class=\"chart\" viewBox=\"0 0 %.0f %.0f\" "
	               "role=\"img\" aria-labelledby=\"t%u d%u\"><title id=\"t%u\">",
	               GW_CHART_WIDTH, height, id, id, id);
	gw_page_text(page, title);
	gw_page_markup(page, "</title><desc id=\"d%u\">", id);
	gw_page_text(page, description);
	gw_page_markup(page, "</desc>\n");
}

void gw_chart_close(struct gw_page *page)
{
	gw_page_markup(page, "</svg></div>\n");
}

void gw_chart_words(struct gw_page *page, double x, double y, enum gw_anchor anchor,
                    const char *style, const char *text)
{
	static const char *const names[] = {"", " text-anchor=\"middle\"", " text-anchor=\"end\""};

	gw_page_markup(page, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\"%s>", x, y, style,
	               names[anchor]);
	gw_page_text(page, text);
	gw_page_markup(page, "</text>\n");
}

void gw_chart_line(struct gw_page *page, double x1, double y1, double x2, double y2,
                   const char *style)
{
	gw_page_markup(page, "<path d=\"M%.1f %.1fL%.1f %.1f\" class=\"%s\"/>\n", x1, y1, x2, y2,
	               style);
}

/* What is told of an element, and its end. */
static void tell(struct gw_page *page, const char *element, const char *told)
{
	if (!told) {
		gw_page_markup(page, "/>\n");
		return;
	}
	gw_page_markup(page, "><title>");
	gw_page_text(page, told);
	gw_page_markup(page, "</title></%s>\n", element);
}

void gw_chart_box(struct gw_page *page, double x, double y, double width, double height,
                  double least, const char *style, const char *told)
{
	if (width < least) {
		x -= (least - width) / 2;
		width = least;
	}
	gw_page_markup(page,
	               "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" class=\"%s\"", x,
	               y, width, height, style);
	tell(page, "rect", told);
}

void gw_chart_dot(struct gw_page *page, double x, double y, double radius, const char *style,
                  const char *told)
{
	gw_page_markup(page, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"%.1f\" class=\"%s\"", x, y,
	               radius, style);
	tell(page, "circle", told);
}

/*
 * Ticks are round, so they are told with as few digits as they need: "2 s", not "2.00 s".
 */
static const char *tick_text(char *text, const struct gw_scale *scale, double value)
{
	char shown[GW_SHOWN_BYTES], *point, *unit, *end;

	(void)gw_page_show(shown, scale->unit, value);
	point = strchr(shown, '.');
	unit = strchr(shown, ' ');
	if (scale->unit == GW_UNIT_COUNT || scale->unit == GW_UNIT_PLAIN || !point || !unit)
		return strcpy(text, value == 0 ? "0" : shown);
	end = unit;
	while (end[-1] == '0')
		end--;
	if (end[-1] == '.')
		end--;
	(void)snprintf(text, GW_SHOWN_BYTES, "%.*s%s", (int)(end - shown), shown, unit);
	return text;
}

void gw_chart_axis_x(struct gw_page *page, const struct gw_scale *scale, double top, double bottom)
{
	struct gw_ticks ticks;
	char text[GW_SHOWN_BYTES];
	unsigned wanted = (unsigned)((scale->to - scale->from) / 90) + 1;
	double free_from = scale->from - LABEL_ROOM;

	gw_scale_ticks(scale, wanted, &ticks);
	for (unsigned i = 0; i < ticks.count; i++) {
		double x = gw_scale_at(scale, ticks.at[i]);

		gw_chart_line(page, x, top, x, bottom, "grid");
		if (x < free_from)
			continue;
		free_from = x + LABEL_ROOM;
		gw_chart_words(page, x, bottom + 14, GW_ANCHOR_MIDDLE, "tick",
		               tick_text(text, scale, ticks.at[i]));
	}
}

void gw_chart_axis_y(struct gw_page *page, const struct gw_scale *scale, unsigned wanted,
                     double left, double right)
{
	struct gw_ticks ticks;
	char text[GW_SHOWN_BYTES];

	gw_scale_ticks(scale, wanted, &ticks);
	for (unsigned i = 0; i < ticks.count; i++) {
		double y = gw_scale_at(scale, ticks.at[i]);

		gw_chart_line(page, left, y, right, y, "grid");
		gw_chart_words(page, left - 6, y + 4, GW_ANCHOR_END, "tick",
		               tick_text(text, scale, ticks.at[i]));
	}
}
