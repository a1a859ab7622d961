/* SPDX-License-Identifier: MIT */
#include "core/model/estimate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * On either side an interval is so many times as far from the middle as the samples reach and,
 * beyond them, a share of the middle and a little: the samples all come of one observation. The
 * factors are those with which nine in ten of the moves of the worst training recording lie within
 * (split conformal prediction, by group; Vovk et al. 2005): `bench/estimates.py --calibrate`. Where
 * work is slower they grow with that, by what live moves on a busy machine needed (conformal
 * prediction normalised by a difficulty, Papadopoulos et al. 2008); docs/estimate.md.
 */
struct side {
	double times, slower; /* times 1 + slower * (slowness - 1) */
};

struct width {
	struct side below, above;
	double share;
	uint64_t least;
};

static const struct width widths[GW_FIGURES] = {
        [GW_FIGURE_TOTAL_TIME] = {{0.65, 0.05}, {1.16, 1.0}, 0.01, 10000000},
        [GW_FIGURE_DOWNTIME] = {{0.78, 0.8}, {1.07, 1.3}, 0.05, 500000},
        [GW_FIGURE_UNAVAILABLE] = {{4.67, 0}, {2.88, 1.6}, 0.05, 500000}, /* the stall in it */
        [GW_FIGURE_FAULTS] = {{4.40, 0}, {3.33, 0.3}, 0.05, 3},
        [GW_FIGURE_BYTES] = {{0.93, 0.3}, {0.85, 0}, 0.01, 100000},
};

static const char *const names[GW_FIGURES] = {
        [GW_FIGURE_TOTAL_TIME] = "total_time_ns",   [GW_FIGURE_DOWNTIME] = "downtime_ns",
        [GW_FIGURE_UNAVAILABLE] = "unavailable_ns", [GW_FIGURE_FAULTS] = "faults",
        [GW_FIGURE_BYTES] = "bytes_on_link",
};

const char *gw_figure_name(enum gw_figure figure)
{
	return names[figure];
}

/* --- intervals ------------------------------------------------------------------------------ */

static void sort(uint64_t *values, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		uint64_t value = values[i];
		size_t at = i;

		for (; at && values[at - 1] > value; at--)
			values[at] = values[at - 1];
		values[at] = value;
	}
}

static uint64_t reach(const struct width *width, const struct side *side, double slowness,
                      uint64_t middle, uint64_t distance)
{
	double times = side->times * (1 + side->slower * (slowness - 1));
	double far =
	        times * ((double)distance + width->share * (double)middle + (double)width->least);

	return far < 9e18 ? (uint64_t)far : UINT64_C(9000000000000000000);
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a < UINT64_MAX - b ? a + b : UINT64_MAX;
}

struct gw_interval gw_interval_of(enum gw_figure figure, double slowness, uint64_t *values,
                                  size_t count)
{
	const struct width *width = &widths[figure];
	struct gw_interval x;
	uint64_t below, above;

	sort(values, count);
	x.middle = values[count / 2];
	below = reach(width, &width->below, slowness, x.middle, x.middle - values[0]);
	above = reach(width, &width->above, slowness, x.middle, values[count - 1] - x.middle);
	x.low = below < x.middle ? x.middle - below : 0;
	x.high = sum(x.middle, above);
	return x;
}

struct gw_interval gw_unavailable_of(const struct gw_interval *downtime, double slowness,
                                     uint64_t *stalls, size_t count)
{
	const struct gw_interval stall =
	        gw_interval_of(GW_FIGURE_UNAVAILABLE, slowness, stalls, count);

	return (struct gw_interval){sum(downtime->low, stall.low),
	                            sum(downtime->middle, stall.middle),
	                            sum(downtime->high, stall.high)};
}

/* --- words ---------------------------------------------------------------------------------- */

static const char *time_text(char *text, size_t bytes, uint64_t ns)
{
	if (ns < 10000000)
		(void)snprintf(text, bytes, "%.1f ms", (double)ns / 1e6);
	else if (ns < 1000000000)
		(void)snprintf(text, bytes, "%.0f ms", (double)ns / 1e6);
	else
		(void)snprintf(text, bytes, "%.1f s", (double)ns / 1e9);
	return text;
}

#define TIME(ns) time_text((char[32]){""}, 32, ns)

/* --- limits --------------------------------------------------------------------------------- */

static bool completes(const struct gw_forecast *f)
{
	return f->samples && f->completed == f->samples;
}

static bool within(const struct gw_forecast *f, enum gw_figure figure, uint64_t limit)
{
	return !limit || f->figures[figure].high <= limit;
}

/* It is there for the asking. */
static bool fits(const struct gw_forecast *f, const struct gw_limits *limits)
{
	return completes(f) && f->copy_bytes <= limits->spare_bytes;
}

static bool keeps(const struct gw_forecast *f, const struct gw_limits *limits)
{
	return fits(f, limits) && within(f, GW_FIGURE_DOWNTIME, limits->downtime_ns) &&
	       within(f, GW_FIGURE_TOTAL_TIME, limits->deadline_ns);
}

/* Of those that fit, the one whose upper end is the least. */
static const struct gw_forecast *least_of(const struct gw_forecast *forecasts, size_t count,
                                          const struct gw_limits *limits, enum gw_figure figure)
{
	const struct gw_forecast *least = NULL;

	for (size_t i = 0; i < count; i++)
		if (fits(&forecasts[i], limits) &&
		    (!least || forecasts[i].figures[figure].high < least->figures[figure].high))
			least = &forecasts[i];
	return least;
}

static void refuse(struct gw_choice *choice, const struct gw_forecast *forecasts, size_t count,
                   const struct gw_limits *limits)
{
	const struct gw_forecast *shortest = least_of(forecasts, count, limits, GW_FIGURE_DOWNTIME);
	const struct gw_forecast *fastest =
	        least_of(forecasts, count, limits, GW_FIGURE_TOTAL_TIME);
	bool stands = shortest && within(shortest, GW_FIGURE_DOWNTIME, limits->downtime_ns);
	bool ends = fastest && within(fastest, GW_FIGURE_TOTAL_TIME, limits->deadline_ns);
	size_t bytes = sizeof(choice->reason);

	choice->taken = GW_CHOICE_NONE;
	if (!shortest || !fastest)
		(void)snprintf(choice->reason, bytes, "no policy is sure to complete the move%s%s",
		               count ? ": " : "", count ? forecasts[0].obstacle : "");
	else if (!stands)
		(void)snprintf(
		        choice->reason, bytes,
		        "no policy keeps a downtime of %s: the shortest, of %s%s%s, is up to "
		        "%s",
		        TIME(limits->downtime_ns), shortest->policy,
		        shortest->settings[0] ? " " : "", shortest->settings,
		        TIME(shortest->figures[GW_FIGURE_DOWNTIME].high));
	else if (!ends)
		(void)snprintf(choice->reason, bytes,
		               "no policy ends within %s: the fastest, %s%s%s, takes up to %s",
		               TIME(limits->deadline_ns), fastest->policy,
		               fastest->settings[0] ? " " : "", fastest->settings,
		               TIME(fastest->figures[GW_FIGURE_TOTAL_TIME].high));
	else
		(void)snprintf(choice->reason, bytes,
		               "no policy keeps both a downtime of %s and an end within %s: %s has "
		               "the shortest downtime and takes up to %s, %s is the fastest and "
		               "stands up to %s",
		               TIME(limits->downtime_ns), TIME(limits->deadline_ns),
		               shortest->policy, TIME(shortest->figures[GW_FIGURE_TOTAL_TIME].high),
		               fastest->policy, TIME(fastest->figures[GW_FIGURE_DOWNTIME].high));
}

/* --- the choice ----------------------------------------------------------------------------- */

/* What it is taken for; a copy has to be worth it. */
static uint64_t unavailable_of(const struct gw_forecast *f)
{
	const struct gw_interval *x = &f->figures[GW_FIGURE_UNAVAILABLE];

	return f->copy_bytes ? x->high : x->middle;
}

/* Of those that keep the limits. */
static uint64_t least_unavailable(const struct gw_forecast *forecasts, size_t count,
                                  const struct gw_limits *limits)
{
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < count; i++)
		if (keeps(&forecasts[i], limits) && unavailable_of(&forecasts[i]) < least)
			least = unavailable_of(&forecasts[i]);
	return least;
}

/* Of those that are unavailable for no longer. */
static uint64_t least_total(const struct gw_forecast *forecasts, size_t count,
                            const struct gw_limits *limits, uint64_t unavailable)
{
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < count; i++)
		if (keeps(&forecasts[i], limits) && unavailable_of(&forecasts[i]) <= unavailable &&
		    forecasts[i].figures[GW_FIGURE_TOTAL_TIME].middle < least)
			least = forecasts[i].figures[GW_FIGURE_TOTAL_TIME].middle;
	return least;
}

static uint64_t nearly_unavailable(uint64_t best_ns)
{
	uint64_t tenth = best_ns / 10;

	return best_ns + (tenth > GW_NEARLY_UNAVAILABLE_NS ? tenth : GW_NEARLY_UNAVAILABLE_NS);
}

static bool is_better(const struct gw_forecast *a, const struct gw_forecast *b)
{
	if (a->pulls != b->pulls)
		return !a->pulls;
	if (!a->copy_bytes != !b->copy_bytes)
		return !a->copy_bytes;
	return a->figures[GW_FIGURE_TOTAL_TIME].middle < b->figures[GW_FIGURE_TOTAL_TIME].middle;
}

static size_t pick(const struct gw_forecast *forecasts, size_t count,
                   const struct gw_limits *limits)
{
	uint64_t unavailable = least_unavailable(forecasts, count, limits);
	uint64_t total;
	size_t taken = GW_CHOICE_NONE;

	if (unavailable == UINT64_MAX)
		return taken;
	unavailable = nearly_unavailable(unavailable);
	total = least_total(forecasts, count, limits, unavailable);
	total += total / GW_NEARLY_TOTAL_SHARE;
	for (size_t i = 0; i < count; i++)
		if (keeps(&forecasts[i], limits) && unavailable_of(&forecasts[i]) <= unavailable &&
		    forecasts[i].figures[GW_FIGURE_TOTAL_TIME].middle <= total &&
		    (taken == GW_CHOICE_NONE || is_better(&forecasts[i], &forecasts[taken])))
			taken = i;
	return taken;
}

/* What a person would have taken: the first that can be aborted to its end and is no stop-copy. */
static const struct gw_forecast *usual(const struct gw_forecast *forecasts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(forecasts[i].policy, "precopy"))
			return &forecasts[i];
	return NULL;
}

static void say_why_not(char *text, size_t bytes, const struct gw_forecast *f,
                        const struct gw_forecast *taken, const struct gw_limits *limits)
{
	*text = '\0';
	if (!f || !strcmp(f->policy, taken->policy))
		return;
	if (!completes(f))
		(void)snprintf(text, bytes, "; %s might not complete: %s", f->policy, f->obstacle);
	else if (!within(f, GW_FIGURE_DOWNTIME, limits->downtime_ns))
		(void)snprintf(text, bytes, "; %s might stand for %s", f->policy,
		               TIME(f->figures[GW_FIGURE_DOWNTIME].high));
	else if (!within(f, GW_FIGURE_TOTAL_TIME, limits->deadline_ns))
		(void)snprintf(text, bytes, "; %s might take %s", f->policy,
		               TIME(f->figures[GW_FIGURE_TOTAL_TIME].high));
	else
		(void)snprintf(text, bytes, "; %s would have %s and take %s", f->policy,
		               TIME(f->figures[GW_FIGURE_UNAVAILABLE].middle),
		               TIME(f->figures[GW_FIGURE_TOTAL_TIME].middle));
}

void gw_choose(struct gw_choice *choice, const struct gw_forecast *forecasts, size_t count,
               const struct gw_limits *limits)
{
	const struct gw_forecast *f;
	char why_not[256];

	choice->taken = pick(forecasts, count, limits);
	if (choice->taken == GW_CHOICE_NONE) {
		refuse(choice, forecasts, count, limits);
		return;
	}
	f = &forecasts[choice->taken];
	say_why_not(why_not, sizeof(why_not), usual(forecasts, count), f, limits);
	(void)snprintf(choice->reason, sizeof(choice->reason),
	               "take %s%s%s: the VM is unavailable for about %s, and has moved after about "
	               "%s%s%s",
	               f->policy, f->settings[0] ? " " : "", f->settings,
	               TIME(f->figures[GW_FIGURE_UNAVAILABLE].middle),
	               TIME(f->figures[GW_FIGURE_TOTAL_TIME].middle),
	               f->pulls ? "" : ", and can be kept here until it stops", why_not);
}
