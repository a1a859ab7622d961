/* SPDX-License-Identifier: MIT */
/*
 * core/predict/predictor.h - the predictors, by what they are asked.
 *
 *     which pages will be written next?           struct gw_page_predictor, S1 and S3
 *     how many will be dirty after the round?     struct gw_count_predictor, S2 (rounds.h)
 *
 * Adding one: a function (or a file), and a row in a table of predictor.c.
 */
#ifndef GW_CORE_PREDICT_PREDICTOR_H
#define GW_CORE_PREDICT_PREDICTOR_H

#include "core/predict/history.h"
#include "core/predict/ranking.h"
#include "core/predict/rounds.h"
#include "core/predict/write_set.h"

/*
 * Most look at one page at a time, at the rounds in which it was written (core/predict/history.h):
 * their score is a probability. Others look at all pages together.
 */
struct gw_page_predictor {
	const char *name;
	const char *summary;
	/*
	 * That a page is written in the next round, by its last `rounds` (at most 64) ones; the
	 * newest is bit 0. NULL: it is scored together with the others, by write_set.h.
	 */
	double (*probability)(uint64_t bits, unsigned rounds);
};

/* The tables, ended by NULL; the first of each is the default. */
extern const struct gw_page_predictor *const gw_page_predictors[];
extern const struct gw_count_predictor *const gw_count_predictors[];
/* NULL: there is none of that name. */
const struct gw_page_predictor *gw_page_predictor(const char *name);
const struct gw_count_predictor *gw_count_predictor(const char *name);

/* A page predictor at work, over caller's memory, aligned as words. */
struct gw_pages {
	const struct gw_page_predictor *kind;
	struct gw_history *history;
	struct gw_write_set *windows;
};

size_t gw_pages_bytes(const struct gw_page_predictor *kind,
                      const struct gw_write_set_limits *limits);
void gw_pages_start(struct gw_pages *pages, const struct gw_page_predictor *kind, void *memory,
                    const struct gw_write_set_limits *limits);
/* A round, or a window, has ended in which these were written. -E2BIG as write_set.h has it. */
int gw_pages_observe(struct gw_pages *pages, const struct gw_set *written);
/*
 * Of these dirty pages those that have a score above 0, in no order; returns how many. `to` has
 * room for limits->pages.
 */
size_t gw_pages_score(struct gw_pages *pages, const struct gw_set *dirty, struct gw_ranked *to);

#endif
