/* SPDX-License-Identifier: MIT */
/* S5's closed forms: the figures worked by hand, and what must hold for any input. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/model/hybrid.h"

static const struct gw_model_input worked = {.volume = 11264,
                                             .bandwidth = 12.5,
                                             .write_rate = 3,
                                             .read_rate = 3,
                                             .stop_limit = 1000,
                                             .background_share = 0.3};

static struct gw_model_times of(enum gw_model_kind kind, struct gw_model_input input)
{
	struct gw_model_times times;
	const char *why;

	assert_int_equal(gw_model(kind, &input, &times, &why), 0);
	return times;
}

static void is_about(double value, double wanted, double within)
{
	if (fabs(value - wanted) > within)
		fail_msg("%.4f is not %.4f", value, wanted);
}

static void gives_the_figures_worked_by_hand(void **state)
{
	struct gw_model_times t = of(GW_MODEL_HYBRID, worked);

	(void)state;
	assert_int_equal(t.rounds, 2);
	is_about(t.iterative_s, 584.65, 0.005);
	is_about(t.stopped_s, 80, 0.005);
	is_about(t.pull_s, 962.74, 0.005);
	is_about(t.total_s, 1627.38, 0.006);
	is_about(t.unavailable_s, 311.06, 0.005);
}

/* At 5 MB/s each, the three totals that contradict the paper's main claim. */
static void hybrid_is_not_always_the_best(void **state)
{
	struct gw_model_input input = worked;

	(void)state;
	input.write_rate = input.read_rate = 5;
	is_about(of(GW_MODEL_PRECOPY, input).total_s, 1543, 1);
	is_about(of(GW_MODEL_POSTCOPY, input).total_s, 1554, 1);
	is_about(of(GW_MODEL_HYBRID, input).total_s, 1560, 1);
}

/* The same sum, term by term. */
static void agrees_with_the_rounds_one_by_one(void **state)
{
	struct gw_model_input input = worked;

	(void)state;
	srand(3);
	for (int turn = 0; turn < 2000; turn++) {
		struct gw_model_times t;
		double v, sum = 0;
		uint64_t n = 0;

		input.volume = 1 + rand() % 100000;
		input.bandwidth = 1 + rand() % 1000;
		input.write_rate = input.bandwidth * (rand() % 990 + 1) / 1000.0;
		input.stop_limit = 1 + rand() % 2000;
		for (v = input.volume; v > input.stop_limit;
		     v *= input.write_rate / input.bandwidth) {
			sum += v / input.bandwidth;
			n++;
		}
		sum += v / input.bandwidth;
		t = of(GW_MODEL_PRECOPY, input);
		assert_true(t.rounds == n || t.rounds + 1 == n || t.rounds == n + 1);
		if (t.rounds == n)
			is_about(t.iterative_s, sum, sum * 1e-9);
		is_about(t.unavailable_s, t.stopped_s, 1e-9);
	}
}

static void says_that_it_diverges(void **state)
{
	struct gw_model_input input = worked;

	(void)state;
	input.write_rate = input.bandwidth;
	assert_true(isinf(of(GW_MODEL_PRECOPY, input).total_s));
	assert_true(isinf(of(GW_MODEL_HYBRID, input).total_s));
	assert_true(isfinite(of(GW_MODEL_HYBRID, input).unavailable_s));
	assert_true(isfinite(of(GW_MODEL_POSTCOPY, input).total_s));
	input.write_rate = nextafter(input.bandwidth, 0); /* ends at once, whatever the ratio */
	assert_true(of(GW_MODEL_PRECOPY, input).total_s > 1e12);
}

static void a_guest_that_writes_or_reads_nothing(void **state)
{
	struct gw_model_input input = worked;
	struct gw_model_times t;

	(void)state;
	input.write_rate = 0;
	t = of(GW_MODEL_PRECOPY, input);
	assert_int_equal(t.rounds, 0);
	is_about(t.iterative_s, input.volume / input.bandwidth, 1e-9);
	input.read_rate = 0;
	t = of(GW_MODEL_HYBRID, input);
	is_about(t.iterative_s, 0, 1e-9);
	is_about(t.pull_s, input.volume / (0.3 * input.bandwidth), 1e-9);
	is_about(t.unavailable_s, t.stopped_s, 1e-9);
	input.read_rate = 2 * input.bandwidth; /* all on demand */
	t = of(GW_MODEL_POSTCOPY, input);
	is_about(t.pull_s, input.volume / input.bandwidth, 1e-9);
	is_about(t.unavailable_s, t.pull_s, 1e-9);
	input.state = 25;
	is_about(of(GW_MODEL_POSTCOPY, input).stopped_s, 2, 1e-9);
}

static void refuses_the_impossible(void **state)
{
	const struct gw_model_input bad[] = {
	        {0, 1, 1, 1, 1, 1, 0},   {1, 0, 1, 1, 1, 1, 0},   {1, 1, -1, 1, 1, 1, 0},
	        {1, 1, 1, -1, 1, 1, 0},  {1, 1, 1, 1, 0, 1, 0},   {1, 1, 1, 1, 1, 0, 0},
	        {1, 1, 1, 1, 1, 1.1, 0}, {NAN, 1, 1, 1, 1, 1, 0}, {1, INFINITY, 1, 1, 1, 1, 0},
	};
	struct gw_model_times times;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(gw_model(GW_MODEL_HYBRID, &bad[i], &times, &why), -EINVAL);
		assert_non_null(why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(gives_the_figures_worked_by_hand),
	        cmocka_unit_test(hybrid_is_not_always_the_best),
	        cmocka_unit_test(agrees_with_the_rounds_one_by_one),
	        cmocka_unit_test(says_that_it_diverges),
	        cmocka_unit_test(a_guest_that_writes_or_reads_nothing),
	        cmocka_unit_test(refuses_the_impossible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
