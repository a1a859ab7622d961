/* SPDX-License-Identifier: MIT */
#include "core/predict/markov.h"

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
