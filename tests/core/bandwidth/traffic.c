/* SPDX-License-Identifier: MIT */
/* Means and forecasts of a VM's own traffic, worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/bandwidth/traffic.h"

static void means(void **state)
{
	struct gw_traffic t = {0};

	(void)state;
	assert_int_equal(gw_traffic_mean(&t), 0);
	assert_int_equal(gw_traffic_next(&t), 0);
	gw_traffic_add(&t, 100);
	gw_traffic_add(&t, 200);
	assert_int_equal(gw_traffic_mean(&t), 150);
	for (unsigned i = 0; i < GW_TRAFFIC_SAMPLES; i++)
		gw_traffic_add(&t, 1000);
	assert_int_equal(gw_traffic_mean(&t), 1000);
	gw_traffic_add(&t, 1800); /* the oldest of eight is gone */
	assert_int_equal(gw_traffic_mean(&t), 1100);
}

static void forecasts(void **state)
{
	struct gw_traffic t = {0};

	(void)state;
	gw_traffic_add(&t, 1000);
	assert_int_equal(gw_traffic_next(&t), 1000);
	gw_traffic_add(&t, 1000);
	assert_int_equal(gw_traffic_next(&t), 1000);
	gw_traffic_add(&t, 2000); /* level 1500, trend 0.2 * 500 = 100, damped 80 */
	assert_int_equal(gw_traffic_next(&t), 1580);
	for (unsigned i = 0; i < 40; i++)
		gw_traffic_add(&t, 0);
	assert_int_equal(gw_traffic_next(&t), 0);
}

/* A steep fall: level and trend would lead below zero. */
static void never_negative(void **state)
{
	struct gw_traffic t = {0};

	(void)state;
	gw_traffic_add(&t, UINT64_C(1) << 46);
	for (unsigned i = 0; i < 100; i++) {
		gw_traffic_add(&t, 0);
		assert_true(gw_traffic_next(&t) <= UINT64_C(1) << 46);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(means), cmocka_unit_test(forecasts),
	                                   cmocka_unit_test(never_negative)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
