/* SPDX-License-Identifier: MIT */
/* Windows of an observation, kept and let go. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/windows.h"

#define PAGES 4096

static uint64_t words[2][GW_SET_WORDS(PAGES)];
static struct gw_set written, read;

static int setup(void **state)
{
	(void)state;
	gw_set_init(&written, words[0], PAGES);
	gw_set_init(&read, words[1], PAGES);
	return 0;
}

/* Every second page from `first` on is written, the page before the last is read. */
static int add(struct gw_windows *windows, uint64_t number, uint64_t first, bool sampled)
{
	struct gw_window like = {.start_ns = number * 50, .length_ns = 50, .read_sampled = sampled};

	gw_set_clear(&written);
	gw_set_clear(&read);
	gw_set_add(&read, PAGES - 2);
	for (uint64_t page = first; page < PAGES; page += 2)
		gw_set_add(&written, page);
	return gw_windows_add(windows, &like, &written, &read);
}

static void in_their_order(void **state)
{
	struct gw_windows windows = {.bytes_max = GW_WINDOWS_BYTES_MAX};
	const struct gw_window *all;

	(void)state;
	for (uint64_t i = 0; i < 500; i++)
		assert_int_equal(add(&windows, i, PAGES - 1 - i, i % 10 == 0), 0);
	all = gw_windows_all(&windows);
	assert_int_equal(windows.count, 500);
	assert_int_equal(windows.gone, 0);
	for (uint64_t i = 0; i < 500; i++) {
		assert_int_equal(all[i].start_ns, 50 * i);
		assert_int_equal(all[i].written_count, i / 2 + 1);
		assert_int_equal(all[i].written[0].first, PAGES - 1 - i);
		assert_int_equal(all[i].written[i / 2].count, 1);
		assert_int_equal(all[i].read_count, i % 10 == 0);
		if (all[i].read_count)
			assert_int_equal(all[i].read[0].first, PAGES - 2);
	}
	gw_windows_clear(&windows);
	assert_int_equal(windows.count, 0);
	gw_windows_clear(&windows);
}

static void nothing_was_written(void **state)
{
	struct gw_windows windows = {.bytes_max = GW_WINDOWS_BYTES_MAX};

	(void)state;
	assert_int_equal(gw_windows_add(&windows, &(struct gw_window){0}, &written, &read), 0);
	assert_int_equal(gw_windows_all(&windows)[0].written_count, 0);
	gw_windows_clear(&windows);
}

/* The newest are there, without a gap between them, within the bound. */
static void oldest_go(void **state)
{
	struct gw_windows windows = {.bytes_max = 4000};
	const struct gw_window *all;

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		assert_int_equal(add(&windows, i, PAGES - 1 - 2 * (i % 7), false), 0);
		all = gw_windows_all(&windows);
		assert_int_equal(windows.count + windows.gone, i + 1);
		assert_true(windows.count * sizeof(*all) +
		                    windows.run_count * sizeof(struct gw_run) <=
		            windows.bytes_max);
		for (size_t k = 0; k < windows.count; k++) {
			uint64_t number = windows.gone + k;

			assert_int_equal(all[k].start_ns, 50 * number);
			assert_int_equal(all[k].written_count, number % 7 + 1);
			assert_int_equal(all[k].written[0].first, PAGES - 1 - 2 * (number % 7));
		}
	}
	assert_true(windows.count > 3);
	gw_windows_clear(&windows);
}

static void too_large(void **state)
{
	struct gw_windows windows = {.bytes_max = 4000};

	(void)state;
	assert_int_equal(add(&windows, 0, PAGES - 1, false), 0);
	assert_int_equal(add(&windows, 1, 0, false), -ENOMEM);
	assert_int_equal(windows.count, 0);
	assert_int_equal(windows.gone, 2);
	assert_int_equal(add(&windows, 2, PAGES - 3, false), 0);
	assert_int_equal(gw_windows_all(&windows)[0].start_ns, 100);
	assert_int_equal(windows.window[0].written[1].first, PAGES - 1);
	gw_windows_clear(&windows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(in_their_order, setup),
	        cmocka_unit_test_setup(nothing_was_written, setup),
	        cmocka_unit_test_setup(oldest_go, setup),
	        cmocka_unit_test_setup(too_large, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
