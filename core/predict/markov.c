/* SPDX-License-Identifier: MIT */
#include "core/predict/markov.h"

#include "core/predict/kinds.h"

struct gw_markov gw_markov_of(const struct gw_transitions *t)
{
	return (struct gw_markov){.p11 = gw_transitions_share(t, true, true),
	                          .p01 = gw_transitions_share(t, false, true)};
}

double gw_markov_forecast(const struct gw_markov *m, bool last, uint64_t steps)
{
	double one = last;

	for (; steps; steps--) {
		double next = one * m->p11 + (1 - one) * m->p01;

		if (next == one)
			break; /* the stationary distribution: further steps change nothing */
		one = next;
	}
	return one;
}

static double full_chain(uint64_t bits, unsigned rounds)
{
	struct gw_transitions t = gw_transitions_of(bits, rounds);
	struct gw_markov m = gw_markov_of(&t);

	return gw_markov_forecast(&m, t.last, 1);
}

static double dirty_only(uint64_t bits, unsigned rounds)
{
	struct gw_transitions t = gw_transitions_of(bits, rounds);

	return gw_markov_of(&t).p11;
}

const struct gw_page_predictor gw_predict_markov = {
        .name = "markov",
        .summary = "the chain's next state, pi P (S1, 3.1)",
        .probability = full_chain,
};

const struct gw_page_predictor gw_predict_dirty_only = {
        .name = "dirty-only",
        .summary = "P11 whatever the last state (S1, 4.1)",
        .probability = dirty_only,
};
