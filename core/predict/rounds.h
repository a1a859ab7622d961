/* SPDX-License-Identifier: MIT */
/*
 * core/predict/rounds.h - how the rounds of a move went, and how many pages the next one leaves
 * dirty.
 *
 * Moves have few rounds, so windows observed before one stand in for rounds: the newest stretches
 * of 1, 4, 16 and 64 windows, of each length the last seven (S2's N = 6 series need seven samples).
 * A stretch has as dirty pages those that were written in it.
 *
 *     windows          |__|__|__|__|__|__|__|__|__|__|__|__|__|__|__|  move
 *     stretches of 1                          |  |  |  |  |  |  |  |
 *     stretches of 4            |           |           |           |
 *
 * Who takes them takes those of one length, that which is nearest to the last round's.
 */
#ifndef GW_CORE_PREDICT_ROUNDS_H
#define GW_CORE_PREDICT_ROUNDS_H

#include "core/predict/observation.h"

#define GW_ROUNDS_KEPT       24
#define GW_STRETCHES         7
#define GW_STRETCH_LENGTHS   4 /* of 1, 4, 16 and 64 windows: 3.2 s of 50 ms each */
#define GW_SERIES_OBSERVE_NS UINT64_C(8000000000) /* S3, 3.1: 160 windows of 50 ms */

/* One round, or a stretch that stands for one. What is not known is below 0. */
struct gw_seen {
	float dirty_pages;   /* at its end */
	float written_pages; /* in it */
	float left_out_pages;
	float seconds;
	float cpu, memory, network, link; /* S2's X3, X2, X4, X6 */
};

struct gw_stretch {
	float pages, seconds, cpu, network;
};

/* About 1.2 KiB, of fixed size. */
struct gw_rounds {
	struct gw_seen seen[GW_ROUNDS_KEPT]; /* the newest last */
	unsigned count;
	/* By length, the newest last. */
	struct gw_stretch stretch[GW_STRETCH_LENGTHS][GW_STRETCHES];
	unsigned stretches[GW_STRETCH_LENGTHS];
};

/* What is known of the round that is to be forecast. */
struct gw_next_round {
	double left_out_pages; /* dirty pages that are not sent in it */
	double seconds;        /* that it is likely to take; below 0: not known */
	double most_pages;     /* of the VM */
};

struct gw_round_forecast {
	double pages;         /* that will be dirty after it; below 0: nothing to go by */
	const char *fallback; /* why an EWMA stands in; NULL: it does not */
};

/* Adding a predictor: one function, one row in predictor.c's table, a row in bench/grey.py. */
struct gw_count_predictor {
	const char *name;
	const char *summary;  /* one line for --help */
	uint64_t observes_ns; /* for which it wants the VM watched before the move */
	/* Of the rounds' dirty pages, oldest first, at least one. NULL: it takes more than that. */
	double (*of_series)(const double *dirty_pages, size_t count);
	void (*next)(const struct gw_rounds *rounds, const struct gw_next_round *next,
	             struct gw_round_forecast *forecast);
};

/* `scratch` is for as many pages as the VM has; it is left empty. */
void gw_rounds_start(struct gw_rounds *rounds, const struct gw_observation *observation,
                     struct gw_set *scratch);
void gw_rounds_add(struct gw_rounds *rounds, const struct gw_seen *seen);
/* The stretches nearest in length to the last round, or the longest; NULL: there are none. */
const struct gw_stretch *gw_rounds_stretches(const struct gw_rounds *rounds, unsigned *count);
/* The predictor's answer, within what is possible: left out pages stay dirty, no more than all. */
struct gw_round_forecast gw_rounds_forecast(const struct gw_rounds *rounds,
                                            const struct gw_count_predictor *predictor,
                                            const struct gw_next_round *next);

#endif
