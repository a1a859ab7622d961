/* SPDX-License-Identifier: MIT */
/*
 * cli/report/chart.h - pictures in a page: SVG with a scale or two, and words for those who do not
 * see it. Lengths are in the picture's own units, of which it is GW_CHART_WIDTH wide.
 */
#ifndef GW_CLI_REPORT_CHART_H
#define GW_CLI_REPORT_CHART_H

#include "cli/report/page.h"

#define GW_CHART_WIDTH 800.0
#define GW_CHART_TICKS 12

struct gw_scale {
	double low, high; /* what is shown; low < high */
	double from, to;  /* where that lies */
	enum gw_unit unit;
	bool log;
};

struct gw_ticks {
	unsigned count;
	double at[GW_CHART_TICKS];
};

double gw_scale_at(const struct gw_scale *scale, double value);
/*
 * Widens low and high to round numbers: from 0 on, or, with `may_log`, over powers of ten where
 * the greatest is more than fifty times the least value, which has to be positive.
 */
void gw_scale_fit(struct gw_scale *scale, bool may_log);
/* Round numbers on it, `wanted` or a few more. */
void gw_scale_ticks(const struct gw_scale *scale, unsigned wanted, struct gw_ticks *ticks);

/* title and description are escaped. */
void gw_chart_open(struct gw_page *page, double height, const char *title, const char *description);
void gw_chart_close(struct gw_page *page);

enum gw_anchor { GW_ANCHOR_START, GW_ANCHOR_MIDDLE, GW_ANCHOR_END };

void gw_chart_words(struct gw_page *page, double x, double y, enum gw_anchor anchor,
                    const char *style, const char *text);
void gw_chart_line(struct gw_page *page, double x1, double y1, double x2, double y2,
                   const char *style);
/* With what is told when it is pointed at; NULL: nothing. A width below `least` is drawn so wide.
 */
void gw_chart_box(struct gw_page *page, double x, double y, double width, double height,
                  double least, const char *style, const char *told);
void gw_chart_dot(struct gw_page *page, double x, double y, double radius, const char *style,
                  const char *told);
/* Lines across at the ticks, and their numbers: under `bottom`, or left of the left end. */
void gw_chart_axis_x(struct gw_page *page, const struct gw_scale *scale, double top, double bottom);
void gw_chart_axis_y(struct gw_page *page, const struct gw_scale *scale, unsigned wanted,
                     double left, double right);

#endif
