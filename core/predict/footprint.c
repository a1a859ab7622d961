/* SPDX-License-Identifier: MIT */
/*
 * footprint: how many pages are written in so many seconds, and how many seconds the round takes.
 *
 *     pages |          ._____x___         d(T) = T / (c0 + c1 T)
 *           |     .--x'                   1/c0: pages a second at first
 *           |  .x'                        1/c1: all that is ever written
 *           |.'__________________ seconds
 *
 * Through what rounds and stretches have shown, by least squares of T/d on T (Hanes' line of a
 * hyperbola), each with its relative error. The last round says at which level the VM writes now;
 * pages that are left out stay dirty, less the share of them that is written anyway.
 */
#include "core/predict/kinds.h"

/* A round alone tells no curve: it has then gone this far beyond half of what is ever written. */
#define ALONE 1.0

struct line {
	double c0, c1;
};

struct sums {
	double w, x, y, xx, xy;
};

static void add_point(struct sums *s, double seconds, double pages)
{
	double y, w;

	if (!(seconds > 0) || !(pages > 0))
		return;
	y = seconds / pages;
	w = 1 / (y * y);
	s->w += w;
	s->x += w * seconds;
	s->y += w * y;
	s->xx += w * seconds * seconds;
	s->xy += w * seconds * y;
}

/* Neither is below 0: more time never means fewer pages, nor a steeper curve. */
static struct line fit(const struct sums *s)
{
	double spread = s->w * s->xx - s->x * s->x;
	struct line line;

	if (!(spread > 1e-6 * s->w * s->xx)) /* all as long as each other */
		return (struct line){.c0 = s->y / s->w / (1 + ALONE),
		                     .c1 = s->y / s->x * ALONE / (1 + ALONE)};
	line.c1 = (s->w * s->xy - s->x * s->y) / spread;
	line.c0 = (s->y - line.c1 * s->x) / s->w;
	if (line.c1 < 0)
		line = (struct line){.c0 = s->y / s->w};
	else if (line.c0 < 0)
		line = (struct line){.c1 = s->xy / s->xx};
	return line;
}

static double on(const struct line *line, double seconds)
{
	return seconds > 0 ? seconds / (line->c0 + line->c1 * seconds) : 0;
}

/* Of the pages left out, which share was written anyway. */
static double written_anyway(const struct gw_rounds *rounds)
{
	double both = 1, all = 2; /* a half, until it is known */

	for (unsigned i = 0; i < rounds->count; i++) {
		const struct gw_seen *s = &rounds->seen[i];
		double twice = (double)s->written_pages + (double)s->left_out_pages -
		               (double)s->dirty_pages;

		if (s->left_out_pages > 0 && twice >= 0) {
			both += twice;
			all += (double)s->left_out_pages;
		}
	}
	return both < all ? both / all : 1;
}

static void next(const struct gw_rounds *rounds, const struct gw_next_round *next_round,
                 struct gw_round_forecast *to)
{
	const struct gw_seen *last = rounds->count ? &rounds->seen[rounds->count - 1] : NULL;
	struct sums sums = {0};
	double written = 0;
	struct line line;

	for (unsigned l = 0; l < GW_STRETCH_LENGTHS; l++)
		for (unsigned i = 0; i < rounds->stretches[l]; i++)
			add_point(&sums, (double)rounds->stretch[l][i].seconds,
			          (double)rounds->stretch[l][i].pages);
	for (unsigned i = 0; i < rounds->count; i++)
		add_point(&sums, (double)rounds->seen[i].seconds,
		          (double)rounds->seen[i].written_pages);
	if (next_round->seconds < 0)
		return;
	if (sums.w > 0) {
		line = fit(&sums);
		written = on(&line, next_round->seconds);
		if (last && last->seconds > 0)
			written *= (double)last->written_pages / on(&line, (double)last->seconds);
	} else if (!last) {
		return;
	}
	to->pages = written + next_round->left_out_pages * (1 - written_anyway(rounds));
}

const struct gw_count_predictor gw_predict_footprint = {
        .name = "footprint",
        .summary = "pages written in as long as the round is going to take",
        .next = next,
};
