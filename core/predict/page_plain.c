/* SPDX-License-Identifier: MIT */
/* The plain forecasts of a page, which S1's are measured against. */
#include "core/predict/kinds.h"
#include "core/predict/series.h"
#include "core/predict/transitions.h"

static double rate(uint64_t bits, unsigned rounds)
{
	struct gw_transitions t = gw_transitions_of(bits, rounds);

	return gw_modification_rate(&t);
}

static double last(uint64_t bits, unsigned rounds)
{
	return rounds && bits & 1;
}

static double ewma(uint64_t bits, unsigned rounds)
{
	double mean = rounds ? (double)(bits >> (rounds - 1) & 1) : 0;

	for (unsigned i = rounds; i-- > 1;)
		mean += GW_EWMA_WEIGHT * ((double)(bits >> (i - 1) & 1) - mean);
	return mean;
}

const struct gw_page_predictor gw_predict_rate = {
        .name = "rate",
        .summary = "the share of the rounds in which it was written",
        .probability = rate,
};

const struct gw_page_predictor gw_predict_page_last = {
        .name = "last",
        .summary = "as in the last round",
        .probability = last,
};

const struct gw_page_predictor gw_predict_page_ewma = {
        .name = "ewma",
        .summary = "exponentially weighted mean of its rounds",
        .probability = ewma,
};
