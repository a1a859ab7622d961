/* SPDX-License-Identifier: MIT */
/*
 * grey: S2's GM(1,N) at work on a move's rounds, with the stretches before it.
 *
 *     row k    x1: dirty pages of k | of k-1: memory, CPU, VM's network, duration, link's use
 *
 * A driver that is not known of every round is left out. Memory and the link's use are not observed
 * before the move: stretches have what the first round had.
 */
#include "core/predict/grey.h"
#include "core/predict/kinds.h"

#define ROWS_MAX (GW_STRETCHES + GW_ROUNDS_KEPT)
#define DRIVERS  5

struct table {
	struct gw_seen seen[ROWS_MAX]; /* stretches, then rounds */
	unsigned count;
	double x[ROWS_MAX * (1 + DRIVERS)];
	unsigned used[DRIVERS], series;
};

static float driver_of(const struct gw_seen *seen, unsigned driver)
{
	const float drivers[DRIVERS] = {seen->memory, seen->cpu, seen->network, seen->seconds,
	                                seen->link};

	return drivers[driver];
}

static void gather(const struct gw_rounds *rounds, struct table *t)
{
	const struct gw_seen unknown = {.memory = -1, .link = -1};
	const struct gw_seen *first = rounds->count ? &rounds->seen[0] : &unknown;
	unsigned stretches;
	const struct gw_stretch *s = gw_rounds_stretches(rounds, &stretches);

	t->count = 0;
	for (unsigned i = 0; i < stretches; i++)
		t->seen[t->count++] = (struct gw_seen){.dirty_pages = s[i].pages,
		                                       .seconds = s[i].seconds,
		                                       .cpu = s[i].cpu,
		                                       .network = s[i].network,
		                                       .memory = first->memory,
		                                       .link = first->link};
	for (unsigned i = 0; i < rounds->count; i++)
		t->seen[t->count++] = rounds->seen[i];
}

static void choose_drivers(struct table *t)
{
	t->series = 1;
	for (unsigned d = 0; d < DRIVERS; d++) {
		bool known = true;

		for (unsigned i = 0; i < t->count; i++)
			known = known && driver_of(&t->seen[i], d) >= 0;
		if (known)
			t->used[t->series++ - 1] = d;
	}
}

/* The first row of all has no round before it, and so no drivers: it is not one of the model's. */
static void lag(struct table *t)
{
	for (unsigned k = 1; k < t->count; k++) {
		double *row = t->x + (k - 1) * t->series;

		row[0] = (double)t->seen[k].dirty_pages;
		for (unsigned i = 1; i < t->series; i++)
			row[i] = (double)driver_of(&t->seen[k - 1], t->used[i - 1]);
	}
}

static void forecast(const struct gw_rounds *rounds, const struct gw_next_round *next,
                     enum gw_grey_form form, bool residual, struct gw_round_forecast *to)
{
	_Alignas(max_align_t) unsigned char work[GW_GREY_WORK_BYTES(ROWS_MAX)];
	double fitted[ROWS_MAX], drivers[DRIVERS];
	struct gw_grey_fit fit = {.fitted = fitted};
	struct table t;

	gather(rounds, &t);
	if (!t.count)
		return;
	choose_drivers(&t);
	lag(&t);
	for (unsigned i = 1; i < t.series; i++)
		drivers[i - 1] = (double)driver_of(&t.seen[t.count - 1], t.used[i - 1]);
	const struct gw_grey_input in = {.x = t.x,
	                                 .drivers = drivers,
	                                 .rows = t.count - 1,
	                                 .series = t.series,
	                                 .form = form,
	                                 .residual = residual,
	                                 .limit = next->most_pages};
	if (t.count == 1) {
		to->pages = (double)t.seen[0].dirty_pages;
		to->fallback = "there is one round";
	} else if (!gw_grey(&in, (struct gw_grey_work *)(void *)work, &fit)) {
		to->pages = fit.forecast;
		to->fallback = fit.fallback;
	}
}

static void grey(const struct gw_rounds *rounds, const struct gw_next_round *next,
                 struct gw_round_forecast *to)
{
	forecast(rounds, next, GW_GREY_DIFFERENCE, true, to);
}

static void grey_plain(const struct gw_rounds *rounds, const struct gw_next_round *next,
                       struct gw_round_forecast *to)
{
	forecast(rounds, next, GW_GREY_DIFFERENCE, false, to);
}

static void whitening(const struct gw_rounds *rounds, const struct gw_next_round *next,
                      struct gw_round_forecast *to)
{
	forecast(rounds, next, GW_GREY_WHITENING, true, to);
}

static void whitening_plain(const struct gw_rounds *rounds, const struct gw_next_round *next,
                            struct gw_round_forecast *to)
{
	forecast(rounds, next, GW_GREY_WHITENING, false, to);
}

const struct gw_count_predictor gw_predict_grey = {
        .name = "grey",
        .summary = "GM(1,N), difference form, residuals corrected (S2)",
        .observes_ns = GW_SERIES_OBSERVE_NS,
        .next = grey,
};

const struct gw_count_predictor gw_predict_grey_plain = {
        .name = "grey-plain",
        .summary = "the same without the correction",
        .observes_ns = GW_SERIES_OBSERVE_NS,
        .next = grey_plain,
};

const struct gw_count_predictor gw_predict_grey_whitening = {
        .name = "grey-whitening",
        .summary = "GM(1,N), whitening form, residuals corrected (S2)",
        .observes_ns = GW_SERIES_OBSERVE_NS,
        .next = whitening,
};

const struct gw_count_predictor gw_predict_grey_whitening_plain = {
        .name = "grey-whitening-plain",
        .summary = "the same without the correction",
        .observes_ns = GW_SERIES_OBSERVE_NS,
        .next = whitening_plain,
};
