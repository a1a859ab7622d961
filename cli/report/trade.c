/* SPDX-License-Identifier: MIT */
/* What one pays in unavailable time for total time: nearer to the corner is better. */
#include <math.h>

#include "cli/report/chart.h"
#include "cli/report/report.h"

#define POINTS_MAX 200
#define LABELS_MAX 24
#define LETTER     7.5 /* its width, about */
#define LINE       13.0
#define TOP        26.0
#define BOTTOM     270.0

struct point {
	double x, y; /* ns */
	const struct gw_report_group *group;
};

struct box {
	double left, right, y;
};

static size_t points_of(const struct gw_report_group *const *groups, size_t count,
                        struct point *points)
{
	size_t used = 0;

	for (size_t i = 0; i < count && used < POINTS_MAX; i++) {
		struct point p = {groups[i]->spreads[GW_REPORT_TOTAL].median,
		                  groups[i]->spreads[GW_REPORT_UNAVAILABLE].median, groups[i]};

		if (p.x > 0 && p.y > 0)
			points[used++] = p;
	}
	return used;
}

/* Total times are often close to each other: then the scale need not begin at 0. */
static void fit(struct gw_scale *x, struct gw_scale *y, const struct point *points, size_t count)
{
	double room;

	for (size_t i = 0; i < count; i++) {
		x->low = fmin(x->low, points[i].x);
		x->high = fmax(x->high, points[i].x);
		y->low = fmin(y->low, points[i].y);
		y->high = fmax(y->high, points[i].y);
	}
	gw_scale_fit(y, true);
	if (x->low > 0.4 * x->high) {
		room = fmax((x->high - x->low) * 0.08, x->high * 0.01);
		x->low -= room;
		x->high += room;
	} else {
		gw_scale_fit(x, true);
	}
}

static bool is_free(const struct box *boxes, size_t count, const struct box *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (fabs(boxes[i].y - wanted->y) < LINE && boxes[i].left < wanted->right &&
		    wanted->left < boxes[i].right)
			return false;
	return true;
}

/* Beside its point, where no other label is; nowhere if there is no room. */
static void label(struct gw_page *page, double x, double y, const char *text, size_t letters,
                  struct box *boxes, size_t *count)
{
	static const double down[] = {4, -8, 16, -19, 27};
	double width = LETTER * (double)letters;

	for (unsigned i = 0; i < 2 * sizeof(down) / sizeof(down[0]); i++) {
		bool before = i % 2;
		double left = before ? x - 9 - width : x + 9;
		struct box box = {left, left + width, y + down[i / 2]};

		if (left < 70 || box.right > GW_CHART_WIDTH || box.y > BOTTOM - 2 ||
		    !is_free(boxes, *count, &box))
			continue;
		boxes[(*count)++] = box;
		gw_chart_words(page, left, box.y, GW_ANCHOR_START, "tick", text);
		return;
	}
}

static void draw(struct gw_page *page, const struct gw_scale *x, const struct gw_scale *y,
                 const struct point *points, size_t count)
{
	struct box boxes[2 * LABELS_MAX];
	size_t taken = 0;
	char whole[200], text[120];

	for (size_t i = 0; i < count && count <= LABELS_MAX; i++) {
		double at = gw_scale_at(x, points[i].x);

		boxes[taken++] = (struct box){at - 5, at + 5, gw_scale_at(y, points[i].y) + 4};
	}
	for (size_t i = 0; i < count; i++) {
		double left = gw_scale_at(x, points[i].x), top = gw_scale_at(y, points[i].y);
		size_t letters = 0;

		(void)gw_report_label(points[i].group, whole, sizeof(whole));
		gw_chart_dot(page, left, top, 4.5,
		             points[i].group->world[0] == 'l' ? "f-live" : "f-sim", whole);
		if (count > LABELS_MAX)
			continue;
		(void)gw_page_shorten(text, sizeof(text), whole, 28);
		for (const char *c = text; *c; c++)
			letters += ((unsigned char)*c & 0xc0) != 0x80;
		label(page, left, top, text, letters, boxes, &taken);
	}
}

void gw_report_trade(struct gw_page *page, const struct gw_report_group *const *groups,
                     size_t count)
{
	struct gw_scale x = {INFINITY, 0, 70, GW_CHART_WIDTH - 60, GW_UNIT_TIME, false};
	struct gw_scale y = {INFINITY, 0, BOTTOM, TOP, GW_UNIT_TIME, false};
	struct point points[POINTS_MAX];
	size_t drawn = points_of(groups, count, points);

	if (drawn < 3)
		return;
	fit(&x, &y, points, drawn);
	gw_page_markup(page, "<h3>Total time against unavailable time</h3>\n");
	gw_chart_open(page, BOTTOM + 40, "Total time against unavailable time",
	              "A point for each group at its medians; nearer to the lower left corner is "
	              "better.");
	gw_chart_axis_y(page, &y, 4, x.from, x.to);
	gw_chart_axis_x(page, &x, y.to, BOTTOM);
	gw_chart_words(page, x.to, BOTTOM + 34, GW_ANCHOR_END, "soft", "total time →");
	gw_chart_words(page, 4, 12, GW_ANCHOR_START, "soft", "↑ unavailable");
	draw(page, &x, &y, points, drawn);
	gw_chart_close(page);
}
