/* SPDX-License-Identifier: MIT */
/* What is expected behind the present round follows what the rounds before it showed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/model/course.h"

#define RATE UINT64_C(50000000)

static const struct gw_course course = {
        .rounds = 3,
        .at = {{4000000000, 1000, RATE}, {1000000000, 400, RATE}, {20000000, 10, RATE}}};

static uint64_t beyond(unsigned done, uint64_t dirty, uint64_t rate)
{
	const struct gw_course_round last = {.dirty_pages = dirty, .bytes_per_s = rate};

	return gw_course_beyond(&course, done, done ? &last : NULL);
}

static void as_expected(void **state)
{
	(void)state;
	assert_int_equal(beyond(0, 0, 0), 4000000000);
	assert_int_equal(beyond(1, 1000, RATE), 1000000000);
	assert_int_equal(beyond(2, 400, RATE), 20000000);
	assert_int_equal(beyond(3, 10, RATE), 0);
	assert_int_equal(beyond(9, 10, RATE), 0);
}

static void more_dirty_or_a_slower_link_takes_longer(void **state)
{
	(void)state;
	assert_int_equal(beyond(1, 2500, RATE), 2500000000);
	assert_int_equal(beyond(1, 1000, RATE / 2), 2000000000);
	assert_int_equal(beyond(1, 500, RATE), 500000000);
}

static void within_bounds(void **state)
{
	const struct gw_course none = {0};

	(void)state;
	assert_int_equal(beyond(1, UINT64_MAX, 1), GW_COURSE_SCALE * UINT64_C(1000000000));
	assert_int_equal(beyond(1, 1, RATE), 1000000000 / GW_COURSE_SCALE);
	assert_int_equal(beyond(1, 0, RATE), 1000000000); /* nothing to go by */
	assert_int_equal(beyond(1, 1000, 0), 1000000000);
	assert_int_equal(gw_course_beyond(&none, 0, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(as_expected),
	        cmocka_unit_test(more_dirty_or_a_slower_link_takes_longer),
	        cmocka_unit_test(within_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
