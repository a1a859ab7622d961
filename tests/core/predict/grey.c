/* SPDX-License-Identifier: MIT */
/* GM(1,N): it recovers a system that it generated, and never says anything absurd. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/predict/grey.h"

#define ROWS   40
#define SERIES 4
#define PAGES  1e6

static struct gw_grey_work *work;
static double fitted[GW_GREY_ROWS_MAX];
static struct gw_grey_fit fit = {.fitted = fitted};

static double any(double most)
{
	return most * (rand() % 100000) / 100000.0;
}

/* x1 by the difference equation itself, from a, b and drivers; returns the next x1. */
static double generate(double *x, size_t rows, double *drivers, double a, const double *b)
{
	double sum[SERIES] = {0};

	for (size_t k = 0; k <= rows; k++) {
		double *row = k < rows ? x + k * SERIES : NULL, u = 0, x1;

		for (unsigned i = 1; i < SERIES; i++) {
			double value = 20 + any(80);

			if (row)
				row[i] = value;
			else
				drivers[i - 1] = value;
			sum[i] += value;
			u += b[i - 1] * sum[i];
		}
		x1 = k ? (u - a * sum[0]) / (1 + a / 2) : u;
		if (!row)
			return x1;
		row[0] = x1;
		sum[0] += x1;
	}
	return 0;
}

static void recovers_what_it_generated(void **state)
{
	(void)state;
	srand(4);
	for (int turn = 0; turn < 200; turn++) {
		double x[ROWS * SERIES], drivers[SERIES - 1];
		const double a = 0.2 + any(1), b[] = {0.5 + any(2), 0.5 + any(2), 0.5 + any(2)};
		double next = generate(x, ROWS, drivers, a, b);
		const struct gw_grey_input in = {x,    drivers, ROWS, SERIES, GW_GREY_DIFFERENCE,
		                                 true, PAGES};

		assert_int_equal(gw_grey(&in, work, &fit), 0);
		assert_false(fit.fallback);
		assert_true(fabs(fit.a - a) < 1e-6);
		for (unsigned i = 0; i + 1 < SERIES; i++)
			assert_true(fabs(fit.b[i] - b[i]) < 1e-6);
		for (size_t k = 1; k < ROWS; k++)
			assert_true(fabs(fit.fitted[k] - x[k * SERIES]) < 1e-3);
		assert_true(fabs(fit.forecast - next) < 1e-3);
		assert_true(fit.fitted[0] >= x[0] && fit.fitted[0] <= x[0]);
	}
}

/* GM(1,2) with a constant driver is GM(1,1): the whitening form fits an exponential closely. */
static void whitening_follows_an_exponential(void **state)
{
	double x[12 * 2], drivers[] = {1};
	const struct gw_grey_input in = {x, drivers, 12, 2, GW_GREY_WHITENING, false, PAGES};

	(void)state;
	for (size_t k = 0; k < 12; k++) {
		x[2 * k] = 100 * exp(0.1 * (double)k);
		x[2 * k + 1] = k ? 0 : 1; /* its sum is 1 throughout */
	}
	drivers[0] = 0;
	assert_int_equal(gw_grey(&in, work, &fit), 0);
	assert_false(fit.fallback);
	assert_true(fabs(fit.forecast - 100 * exp(1.2)) < 0.01 * 100 * exp(1.2));
	assert_true(fabs(fit.a + 0.1) < 0.01);
}

/* A straight line, which an exponential overtakes: what it is too high by at the end is made up
 * for. */
static void residuals_of_one_sign_are_corrected(void **state)
{
	double x[40 * 2], drivers[] = {0}, plain;
	struct gw_grey_input in = {x, drivers, 40, 2, GW_GREY_WHITENING, false, PAGES};

	(void)state;
	for (size_t k = 0; k < 40; k++) {
		x[2 * k] = 100 * sqrt((double)k + 1);
		x[2 * k + 1] = k ? 0 : 1;
	}
	assert_int_equal(gw_grey(&in, work, &fit), 0);
	plain = fit.forecast;
	assert_int_equal(fit.residual_from, 0);
	in.residual = true;
	assert_int_equal(gw_grey(&in, work, &fit), 0);
	assert_in_range(fit.residual_from, 2, 36);
	assert_true(fabs(fit.forecast - 100 * sqrt(41)) < fabs(plain - 100 * sqrt(41)) / 2);
}

static void falls_back_where_it_must(void **state)
{
	double x[20 * 3] = {0}, drivers[] = {1, 1};
	struct gw_grey_input in = {x, drivers, 20, 3, GW_GREY_DIFFERENCE, true, PAGES};

	(void)state;
	assert_int_equal(gw_grey(&in, work, &fit), 0); /* all zero */
	assert_true(fit.fallback);
	assert_true(fit.forecast >= 0 && fit.forecast <= 0);
	for (size_t i = 0; i < 60; i++)
		x[i] = 7; /* constant */
	assert_int_equal(gw_grey(&in, work, &fit), 0);
	assert_true(fit.fallback && fabs(fit.forecast - 7) < 1e-12);
	for (size_t i = 0; i < 60; i++)
		x[i] = any(100);
	in.rows = 3; /* fewer than N + 1 */
	assert_int_equal(gw_grey(&in, work, &fit), 0);
	assert_true(fit.fallback);
	in.rows = 0;
	assert_int_equal(gw_grey(&in, work, &fit), 0);
	assert_true(fit.fallback && fabs(fit.forecast) < 1e-12);
}

static void never_absurd(void **state)
{
	double x[ROWS * GW_GREY_SERIES_MAX], drivers[GW_GREY_SERIES_MAX];

	(void)state;
	srand(8);
	for (int turn = 0; turn < 4000; turn++) {
		struct gw_grey_input in = {.x = x,
		                           .drivers = drivers,
		                           .rows = (size_t)rand() % ROWS,
		                           .series = 2 + (unsigned)rand() % 7,
		                           .form = (enum gw_grey_form)(rand() % 2),
		                           .residual = rand() % 2,
		                           .limit = 5000};
		double scale = pow(10, rand() % 12 - 3);

		for (size_t i = 0; i < ROWS * GW_GREY_SERIES_MAX; i++)
			x[i] = rand() % 5 ? any(scale) : 0;
		for (size_t i = 0; i < GW_GREY_SERIES_MAX; i++)
			drivers[i] = any(scale);
		assert_int_equal(gw_grey(&in, work, &fit), 0);
		assert_true(fit.forecast >= 0 && fit.forecast <= in.limit);
		for (size_t k = 0; k < in.rows; k++)
			assert_true(fit.fitted[k] >= 0 && fit.fitted[k] <= in.limit);
	}
}

static void refuses_what_is_no_number(void **state)
{
	double x[] = {1, 2, 3, NAN}, drivers[] = {1};
	struct gw_grey_input in = {x, drivers, 2, 2, GW_GREY_DIFFERENCE, true, PAGES};

	(void)state;
	assert_int_equal(gw_grey(&in, work, &fit), -EINVAL);
	x[3] = 1;
	drivers[0] = INFINITY;
	assert_int_equal(gw_grey(&in, work, &fit), -EINVAL);
	drivers[0] = 1;
	in.series = 1;
	assert_int_equal(gw_grey(&in, work, &fit), -EINVAL);
}

static void grades_tell_who_goes_along(void **state)
{
	double x[20 * 3], drivers[] = {1, 1};
	const struct gw_grey_input in = {x, drivers, 20, 3, GW_GREY_DIFFERENCE, true, PAGES};

	(void)state;
	for (size_t k = 0; k < 20; k++) {
		x[3 * k] = 10 + (double)k;
		x[3 * k + 1] = 5 * x[3 * k]; /* the same course */
		x[3 * k + 2] = k % 2 ? 9 : 1;
	}
	assert_true(fabs(gw_grey_grade(&in, 1) - 1) < 1e-12);
	assert_true(gw_grey_grade(&in, 2) > 0 && gw_grey_grade(&in, 2) < 0.9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(recovers_what_it_generated),
	        cmocka_unit_test(whitening_follows_an_exponential),
	        cmocka_unit_test(residuals_of_one_sign_are_corrected),
	        cmocka_unit_test(falls_back_where_it_must),
	        cmocka_unit_test(never_absurd),
	        cmocka_unit_test(refuses_what_is_no_number),
	        cmocka_unit_test(grades_tell_who_goes_along),
	};
	int failed;

	work = malloc(GW_GREY_WORK_BYTES(GW_GREY_ROWS_MAX));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(work);
	return failed;
}
