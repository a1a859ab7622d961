/* SPDX-License-Identifier: MIT */
#include "core/predict/gilbert_elliott.h"

#include "core/predict/kinds.h"

struct gw_gilbert gw_gilbert_of(const struct gw_transitions *t)
{
	return (struct gw_gilbert){.b = gw_transitions_share(t, false, true),
	                           .g = gw_transitions_share(t, true, false),
	                           .e1 = GW_GILBERT_E1,
	                           .e2 = GW_GILBERT_E2};
}

double gw_gilbert_bad(const struct gw_gilbert *m)
{
	return m->b + m->g > 0 ? m->b / (m->b + m->g) : 0.5;
}

double gw_gilbert_expected(const struct gw_gilbert *m)
{
	double bad = gw_gilbert_bad(m);

	return (1 - bad) * m->e1 + bad * m->e2;
}

static double stationary_mean(uint64_t bits, unsigned rounds)
{
	struct gw_transitions t = gw_transitions_of(bits, rounds);
	struct gw_gilbert m = gw_gilbert_of(&t);

	return gw_gilbert_expected(&m);
}

const struct gw_page_predictor gw_predict_gilbert_elliott = {
        .name = "gilbert-elliott",
        .summary = "the stationary mean of two states (S1, 3.2)",
        .probability = stationary_mean,
};
