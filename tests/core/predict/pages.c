/* SPDX-License-Identifier: MIT */
/* S1's two models of a page, and the plain forecasts of a series. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/predict/gilbert_elliott.h"
#include "core/predict/markov.h"
#include "core/predict/series.h"

static void is(double value, double wanted)
{
	if (fabs(value - wanted) > 1e-12)
		fail_msg("%.15f is not %.15f", value, wanted);
}

static struct gw_transitions of(const char *bits)
{
	struct gw_transitions t = {0};

	for (; *bits; bits++)
		gw_transitions_add(&t, *bits == '1');
	return t;
}

/* Figure 5: ten samples, four transitions leave 1, one of them stays. */
static void p11_is_a_quarter(void **state)
{
	struct gw_transitions t = of("1101001000");
	struct gw_markov m = gw_markov_of(&t);

	(void)state;
	assert_int_equal(t.samples, 10);
	assert_int_equal(t.count[1][0] + t.count[1][1], 4);
	is(m.p11, 0.25);
	is(gw_modification_rate(&t), 0.4);
}

static void gilbert_elliott_gives_42_per_cent(void **state)
{
	const struct gw_gilbert paper = {0.6, 0.9, GW_GILBERT_E1, GW_GILBERT_E2};

	(void)state;
	is(gw_gilbert_bad(&paper), 0.4);
	is(gw_gilbert_expected(&paper), 0.42);
}

static void what_was_never_seen_has_the_prior(void **state)
{
	struct gw_transitions t = of("");
	struct gw_gilbert g = gw_gilbert_of(&t);

	(void)state;
	is(gw_transitions_share(&t, true, true), 0.5);
	is(g.b, 0.5);
	t = of("1"); /* the last sample leaves no state */
	is(gw_transitions_share(&t, true, true), 0.5);
	t = of("0000");
	g = gw_gilbert_of(&t);
	is(g.b, 0);
	is(g.g, 0.5);
	is(gw_gilbert_expected(&g), GW_GILBERT_E1);
}

static void a_history_is_its_bits(void **state)
{
	(void)state;
	srand(9);
	for (int turn = 0; turn < 3000; turn++) {
		unsigned length = (unsigned)rand() % 65;
		uint64_t history = 0;
		struct gw_transitions one = {0}, other;

		for (unsigned i = 0; i < length; i++) {
			bool modified = rand() % 3 == 0;

			history = history << 1 | modified;
			gw_transitions_add(&one, modified);
		}
		if (length < 64)
			history |= UINT64_MAX << length; /* older bits are none of its business */
		other = gw_transitions_of(history, length);
		for (int from = 0; from < 2; from++)
			for (int to = 0; to < 2; to++)
				assert_int_equal(one.count[from][to], other.count[from][to]);
		assert_int_equal(one.samples, other.samples);
		assert_int_equal(one.ones, other.ones);
		assert_int_equal(one.last, other.last);
	}
}

/* pi P^k against the matrix multiplied out, and its limit against the stationary distribution. */
static void the_chain_runs_on(void **state)
{
	(void)state;
	srand(2);
	for (int turn = 0; turn < 500; turn++) {
		struct gw_markov m = {rand() % 1000 / 1000.0, (1 + rand() % 999) / 1000.0};
		double pi[2] = {1, 0};

		for (unsigned k = 1; k < 12; k++) {
			double clean = pi[0] * (1 - m.p01) + pi[1] * (1 - m.p11);

			pi[1] = pi[0] * m.p01 + pi[1] * m.p11;
			pi[0] = clean;
			is(gw_markov_forecast(&m, false, k), pi[1]);
			is(pi[0] + pi[1], 1);
		}
		if (fabs(m.p11 - m.p01) < 0.99)
			is(gw_markov_forecast(&m, true, 1000000), m.p01 / (m.p01 + 1 - m.p11));
	}
}

static void plain_forecasts(void **state)
{
	const double x[] = {4, 1, 7};

	(void)state;
	is(gw_series_last(x, 3), 7);
	is(gw_series_mean(x, 3), 4);
	is(gw_series_weighted_mean(x, 3), 27.0 / 6);
	is(gw_series_ewma(x, 3, 0.5), 4.75);
	is(gw_series_last(x, 0) + gw_series_mean(x, 0) + gw_series_weighted_mean(x, 0) +
	           gw_series_ewma(x, 0, 0.5),
	   0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(p11_is_a_quarter),
	        cmocka_unit_test(gilbert_elliott_gives_42_per_cent),
	        cmocka_unit_test(what_was_never_seen_has_the_prior),
	        cmocka_unit_test(a_history_is_its_bits),
	        cmocka_unit_test(the_chain_runs_on),
	        cmocka_unit_test(plain_forecasts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
