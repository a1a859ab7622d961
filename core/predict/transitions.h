/* SPDX-License-Identifier: MIT */
/*
 * core/predict/transitions.h - how a page went from round to round: clean (0) or modified (1).
 *
 *     bits   1 1 0 1 0 0 1 0 0 0      oldest first
 *     1->1 once, 1->0 three times     four transitions leave 1, so P11 = 25 % (S1, figure 5)
 *
 * What S1's two models are estimated from. The last sample has no successor and leaves no state.
 */
#ifndef GW_CORE_PREDICT_TRANSITIONS_H
#define GW_CORE_PREDICT_TRANSITIONS_H

#include <stdbool.h>
#include <stdint.h>

struct gw_transitions {
	uint64_t count[2][2]; /* [from][to] */
	uint64_t samples;
	uint64_t ones; /* samples in which it was modified */
	bool last;
};

void gw_transitions_add(struct gw_transitions *transitions, bool modified);
/* Of the last `length` (at most 64) rounds; the newest is bit 0. */
struct gw_transitions gw_transitions_of(uint64_t history, unsigned length);

/*
 * The share of the transitions out of `from` that go to `to`: raw counts. Nothing has left `from`
 * yet: Jeffreys' prior alone, one half.
 */
double gw_transitions_share(const struct gw_transitions *transitions, bool from, bool to);
/* The share of all samples in which it was modified; 0 without samples. S1's modification rate. */
double gw_modification_rate(const struct gw_transitions *transitions);

#endif
