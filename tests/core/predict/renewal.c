/* SPDX-License-Identifier: MIT */
/* Our own forecast: figures worked out by hand, what it must never do, and what it is for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/predict/exponential.h"
#include "core/predict/renewal.h"

#define PAGES     64
#define WINDOW_NS 50000000u

static struct gw_renewal *make(uint32_t pages)
{
	size_t bytes = gw_renewal_bytes(pages);
	void *memory = malloc(bytes);

	assert_non_null(memory);
	memset(memory, 0xa5, bytes);
	return gw_renewal_init(memory, pages);
}

/* Window after window: `pages` pages from first(window) on. */
static void watch(struct gw_renewal *renewal, unsigned windows, uint64_t pages,
                  uint64_t (*first)(unsigned window))
{
	struct gw_run *runs = calloc(windows, sizeof(*runs));
	struct gw_window *all = calloc(windows, sizeof(*all));

	assert_true(runs && all);
	for (unsigned i = 0; i < windows; i++) {
		runs[i] = (struct gw_run){first(i), pages};
		all[i] = (struct gw_window){
		        .length_ns = WINDOW_NS, .written = &runs[i], .written_count = 1};
	}
	gw_renewal_observe(renewal, &(struct gw_observation){.windows = all, .count = windows});
	free(all);
	free(runs);
}

static uint64_t same(unsigned window)
{
	(void)window;
	return 1;
}

/* 40 pages, four a window: each comes again after ten. */
static uint64_t sweep(unsigned window)
{
	return window % 10 * 4;
}

static uint64_t once(unsigned window)
{
	return window;
}

/* False if nothing is known of it. */
static bool is_known(const struct gw_renewal *renewal, uint64_t number,
                     struct gw_renewal_page *page)
{
	uint64_t cursor = 0;

	while (gw_renewal_next(renewal, &cursor, page))
		if (page->page == number)
			return true;
	return false;
}

static double chance(const struct gw_renewal *renewal, uint64_t number, double windows)
{
	struct gw_renewal_outlook outlook;
	struct gw_renewal_page page;

	gw_renewal_look_ahead(renewal, (uint64_t)(windows * WINDOW_NS), &outlook);
	assert_true(is_known(renewal, number, &page));
	return gw_renewal_written(&outlook, &page);
}

static void numbers(void **state)
{
	(void)state;
	for (int i = 0; i < 117; i++) {
		double x = -40 + 0.37 * i;

		assert_true(fabs(gw_exponential(x) / exp(x) - 1) < 1e-12);
	}
	for (int i = 0; i < 149; i++) {
		double x = pow(0.83, i);

		assert_true(fabs(gw_logarithm(x) - log(x)) < 1e-12 * (1 - log(x)));
	}
}

/*
 * A page in both of two windows: one page of class 0 had age 1, and was written then. With four
 * windows at the mean hazard added (0 before the first bucket) the mean at age 1 is 1 / 5. The
 * page, now of class 1, of which nothing is counted, has just that.
 */
static void by_hand(void **state)
{
	struct gw_renewal *r = make(4);
	struct gw_renewal_page page;

	(void)state;
	assert_false(gw_renewal_ready(r));
	watch(r, 2, 1, same);
	assert_true(gw_renewal_ready(r));
	assert_true(is_known(r, 1, &page));
	assert_int_equal(page.class, 1);
	assert_int_equal(page.age, 0);
	assert_true(fabs(chance(r, 1, 1) - 0.2) < 1e-6);
	/* At ages 2 and 3-4 four windows of the mean before it, and nothing else. */
	assert_true(fabs(chance(r, 1, 3) - (1 - 0.8 * 0.8 * 0.8)) < 1e-6);
	assert_true(fabs(chance(r, 1, 0.5) - (1 - sqrt(0.8))) < 1e-6);
	assert_false(is_known(r, 2, &page));
	free(r);
}

static void hot(void **state)
{
	struct gw_renewal *r = make(4);

	(void)state;
	watch(r, 160, 1, same);
	assert_true(chance(r, 1, 1) > 0.95);
	assert_true(chance(r, 1, 0.1) < chance(r, 1, 0.2));
	free(r);
}

/* What was just passed is safe until the sweep returns; what it is about to reach is not. */
static void swept(void **state)
{
	struct gw_renewal *r = make(PAGES);

	(void)state;
	watch(r, 160, 4, sweep);
	assert_true(chance(r, 36, 4) < 0.1); /* of the last window */
	assert_true(chance(r, 0, 4) > 0.5);  /* of the first of the last ten */
	assert_true(chance(r, 36, 20) > 0.9);
	free(r);
}

/* What is never written again comes to be known as that. */
static void left_behind(void **state)
{
	struct gw_renewal *r = make(256);

	(void)state;
	watch(r, 160, 1, once);
	for (uint64_t page = 0; page < 160; page++)
		assert_true(chance(r, page, 100) < 0.25);
	free(r);
}

/* A long round says who was written, and takes the others' age on. */
static void rounds(void **state)
{
	static uint64_t words[GW_SET_WORDS(PAGES)];
	struct gw_renewal *r = make(PAGES);
	struct gw_renewal_page page;
	struct gw_set written;

	(void)state;
	gw_set_init(&written, words, PAGES);
	gw_set_add(&written, 1);
	gw_set_add(&written, 50);
	gw_renewal_round(r, &written, WINDOW_NS); /* without an observation there is no scale */
	assert_false(gw_renewal_ready(r));
	watch(r, 160, 4, sweep);
	gw_renewal_round(r, &written, 32ull * WINDOW_NS);
	assert_true(is_known(r, 36, &page));
	assert_int_equal(page.age, 10); /* 32 windows */
	assert_true(is_known(r, 1, &page));
	assert_in_range(page.age, 1, 8);
	assert_true(is_known(r, 50, &page));
	free(r);
}

/* Random work, and tables that are too small: chances stay chances, and grow with time. */
static void never(void **state)
{
	static uint64_t words[GW_SET_WORDS(PAGES)];
	struct gw_set written;

	(void)state;
	gw_set_init(&written, words, PAGES);
	srand(1);
	for (int run = 0; run < 50; run++) {
		struct gw_renewal *r = make(1 + (uint32_t)rand() % PAGES);
		struct gw_renewal_page page;
		uint64_t cursor = 0, known = 0;

		watch(r, 1 + (unsigned)rand() % 200, 1 + (uint64_t)rand() % 9, once);
		for (int i = rand() % 4; i; i--) {
			gw_set_clear(&written);
			for (int n = rand() % 20; n; n--)
				gw_set_add(&written, (uint64_t)rand() % PAGES);
			gw_renewal_round(r, &written, (uint64_t)rand() % 100 * WINDOW_NS / 3);
		}
		while (gw_renewal_next(r, &cursor, &page)) {
			double last = 0, windows = 0;

			known++;
			for (int i = 0; i < 14; i++, windows = 2 * windows + 0.2) {
				double now = chance(r, page.page, windows);

				assert_true(now >= last && now <= 1);
				last = now;
			}
		}
		assert_in_range(known, 1, PAGES);
		free(r);
	}
}

/* One page read in both of two sampled windows, another in one of them. */
static void reads(void **state)
{
	const struct gw_run twice[] = {{3, 1}, {5, 1}};
	const struct gw_window windows[] = {
	        {.length_ns = WINDOW_NS, .read = twice, .read_count = 2, .read_sampled = true},
	        {.length_ns = WINDOW_NS},
	        {.length_ns = WINDOW_NS, .read = twice, .read_count = 1, .read_sampled = true}};
	struct gw_renewal *r = make(8);
	struct gw_renewal_outlook outlook;
	struct gw_renewal_page page;

	(void)state;
	gw_renewal_observe(r, &(struct gw_observation){.windows = windows, .count = 3});
	gw_renewal_look_ahead(r, 2ull * WINDOW_NS, &outlook);
	assert_true(is_known(r, 5, &page));
	assert_int_equal(page.class, GW_RENEWAL_CLASSES);
	assert_true(gw_renewal_written(&outlook, &page) == 0);
	assert_true(fabs(gw_renewal_touched(&outlook, &page) - 0.75) < 1e-3);
	assert_true(is_known(r, 3, &page));
	assert_true(gw_renewal_touched(&outlook, &page) > 0.99);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(numbers),     cmocka_unit_test(by_hand),
	                                   cmocka_unit_test(hot),         cmocka_unit_test(swept),
	                                   cmocka_unit_test(reads),       cmocka_unit_test(rounds),
	                                   cmocka_unit_test(left_behind), cmocka_unit_test(never)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
