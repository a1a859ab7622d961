/* SPDX-License-Identifier: MIT */
#include "core/model/estimate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * An interval is `widened` times as far from the middle as the samples reach and, beyond them, a
 * share of the middle and a little: the samples all come of one observation. The factors are those
 * with which nine in ten of the moves of the worst training recording lie within (split conformal
 * prediction, by group; Vovk et al. 2005): `bench/estimates.py --calibrate`, docs/estimate.md.
 */
static const struct {
	const char *name;
	double widened, share;
	uint64_t least;
} figures[GW_FIGURES] = {
        [GW_FIGURE_TOTAL_TIME] = {"total_time_ns", 0.95, 0.01, 10000000},
        [GW_FIGURE_DOWNTIME] = {"downtime_ns", 1.75, 0.05, 500000},
        [GW_FIGURE_UNAVAILABLE] = {"unavailable_ns", 3.17, 0.05, 500000},
        [GW_FIGURE_FAULTS] = {"faults", 4.27, 0.05, 3},
        [GW_FIGURE_BYTES] = {"bytes_on_link", 0.83, 0.01, 100000},
};

const char *gw_figure_name(enum gw_figure figure)
{
	return figures[figure].name;
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

static uint64_t reach(enum gw_figure figure, uint64_t middle, uint64_t distance)
{
	double far = figures[figure].widened *
	             ((double)distance + figures[figure].share * (double)middle +
	              (double)figures[figure].least);

	return far < 9e18 ? (uint64_t)far : UINT64_C(9000000000000000000);
}

struct gw_interval gw_interval_of(enum gw_figure figure, uint64_t *values, size_t count)
{
	struct gw_interval interval;
	uint64_t below, above;

	sort(values, count);
	interval.middle = values[count / 2];
	below = reach(figure, interval.middle, interval.middle - values[0]);
	above = reach(figure, interval.middle, values[count - 1] - interval.middle);
	interval.low = below < interval.middle ? interval.middle - below : 0;
	interval.high = above < UINT64_MAX - interval.middle ? interval.middle + above : UINT64_MAX;
	return interval;
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

static bool keeps(const struct gw_forecast *f, const struct gw_limits *limits)
{
	return completes(f) && !f->copies && within(f, GW_FIGURE_DOWNTIME, limits->downtime_ns) &&
	       within(f, GW_FIGURE_TOTAL_TIME, limits->deadline_ns);
}

/* Of those that complete, the one whose upper end is the least. */
static const struct gw_forecast *least_of(const struct gw_forecast *forecasts, size_t count,
                                          enum gw_figure figure)
{
	const struct gw_forecast *least = NULL;

	for (size_t i = 0; i < count; i++)
		if (completes(&forecasts[i]) && !forecasts[i].copies &&
		    (!least || forecasts[i].figures[figure].high < least->figures[figure].high))
			least = &forecasts[i];
	return least;
}

static void refuse(struct gw_choice *choice, const struct gw_forecast *forecasts, size_t count,
                   const struct gw_limits *limits)
{
	const struct gw_forecast *shortest = least_of(forecasts, count, GW_FIGURE_DOWNTIME);
	const struct gw_forecast *fastest = least_of(forecasts, count, GW_FIGURE_TOTAL_TIME);
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

/* Of those that keep the limits, the least of a figure's middle. */
static uint64_t best(const struct gw_forecast *forecasts, size_t count,
                     const struct gw_limits *limits, enum gw_figure figure, uint64_t unavailable)
{
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < count; i++)
		if (keeps(&forecasts[i], limits) &&
		    forecasts[i].figures[GW_FIGURE_UNAVAILABLE].middle <= unavailable &&
		    forecasts[i].figures[figure].middle < least)
			least = forecasts[i].figures[figure].middle;
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
	return a->figures[GW_FIGURE_TOTAL_TIME].middle < b->figures[GW_FIGURE_TOTAL_TIME].middle;
}

static size_t pick(const struct gw_forecast *forecasts, size_t count,
                   const struct gw_limits *limits)
{
	uint64_t unavailable = best(forecasts, count, limits, GW_FIGURE_UNAVAILABLE, UINT64_MAX);
	uint64_t total;
	size_t taken = GW_CHOICE_NONE;

	if (unavailable == UINT64_MAX)
		return taken;
	unavailable = nearly_unavailable(unavailable);
	total = best(forecasts, count, limits, GW_FIGURE_TOTAL_TIME, unavailable);
	total += total / GW_NEARLY_TOTAL_SHARE;
	for (size_t i = 0; i < count; i++)
		if (keeps(&forecasts[i], limits) &&
		    forecasts[i].figures[GW_FIGURE_UNAVAILABLE].middle <= unavailable &&
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
