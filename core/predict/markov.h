/* SPDX-License-Identifier: MIT */
/*
 * core/predict/markov.h - S1's Markov model of a page: modified or clean, round by round.
 */
#ifndef GW_CORE_PREDICT_MARKOV_H
#define GW_CORE_PREDICT_MARKOV_H

#include "core/predict/transitions.h"

struct gw_markov {
	double p11, p01; /* that it is modified after a round in which it was (not) */
};

struct gw_markov gw_markov_of(const struct gw_transitions *transitions);
/* pi(k) = pi(0) P^k: that it is modified `steps` (at least 1) rounds after the last sample. */
double gw_markov_forecast(const struct gw_markov *markov, bool last, uint64_t steps);

#endif
