/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/order/order.h"

static struct gw_order order;
static uint64_t words[GW_SET_WORDS(256)];
static struct gw_set left;

static void with(const char *name, const char *key, const char *value, uint64_t pages)
{
	assert_int_equal(gw_order_init(&order, name), 0);
	if (key)
		assert_int_equal(gw_order_set(&order, key, value), 0);
	gw_set_init(&left, words, pages);
	gw_set_fill(&left);
	order.kind->start(&order, 0);
}

static void fault(uint64_t page, uint64_t now)
{
	gw_set_remove(&left, page);
	order.kind->fault(&order, &left, page, now);
}

/* Takes the runs out of the set; a page that is not in it was handed out twice. */
static uint64_t take(uint64_t now, size_t max_runs, uint64_t max_pages, uint64_t *pages)
{
	struct gw_run runs[8];
	size_t n = order.kind->next(&order, &left, now, runs, max_runs, max_pages);
	uint64_t count = 0;

	assert_true(n <= max_runs);
	for (size_t i = 0; i < n; i++) {
		assert_true(runs[i].count > 0);
		for (uint64_t k = 0; k < runs[i].count; k++) {
			assert_true(gw_set_has(&left, runs[i].first + k));
			gw_set_remove(&left, runs[i].first + k);
			if (pages)
				pages[count] = runs[i].first + k;
			count++;
		}
	}
	assert_true(count <= max_pages);
	return count;
}

static void expect(const uint64_t *pages, size_t n)
{
	uint64_t got[256];

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(take(0, 1, 1, got), 1);
		assert_int_equal(got[0], pages[i]);
	}
}

#define EXPECT(...)                                                                                \
	expect((const uint64_t[]){__VA_ARGS__},                                                    \
	       sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void linear(void **state)
{
	(void)state;
	with("linear", NULL, NULL, 8);
	EXPECT(0, 1);
	fault(5, 0);
	EXPECT(6, 7, 2, 3, 4);
	with("linear", "restart", "off", 8);
	EXPECT(0, 1);
	fault(5, 0);
	EXPECT(2, 3, 4, 6, 7);
	/* Pages lost with a link come back: the scan ends where it began. */
	with("linear", NULL, NULL, 8);
	EXPECT(0, 1);
	gw_set_add(&left, 0);
	gw_set_add(&left, 1);
	assert_int_equal(take(0, 8, 20, NULL), 8);
}

/*
 *     0 1 2 3 4 5 6 7 8 9
 *           3 1 p 2 4          fault at 5; then fault at 9 moves the pivot:
 *                     1 p      its back edge takes 8 and ends at 7, sent; the rest linearly
 */
static void bubble_one(void **state)
{
	(void)state;
	with("bubble", NULL, NULL, 10);
	fault(5, 0);
	EXPECT(4, 6, 3, 7);
	fault(4, 0); /* inside: no new pivot */
	fault(9, 0);
	EXPECT(8, 0, 1, 2);
	assert_true(gw_set_empty(&left));
	with("bubble", "direction", "forward", 6);
	fault(2, 0);
	EXPECT(3, 4, 5, 0, 1);
}

/*
 *     0  1  2  3  4  5  6  7  8  9 10 11
 *           p           .        p          pivots 2 and 9 in turn: 1 3, 8 10, 0 4, 7 11,
 *                                           then 5, 6
 */
static void bubble_two(void **state)
{
	(void)state;
	with("bubble", "pivots", "2", 12);
	fault(2, 0);
	fault(9, 0);
	EXPECT(1, 3, 8, 10, 0, 4, 7, 11, 5, 6);
	/* At an edge: 3 joins the bubble of 2, which is then used last; 20 drives 9 out. */
	with("bubble", "pivots", "2", 40);
	fault(2, 0);
	fault(9, 0);
	fault(3, 0);
	fault(20, 0);
	EXPECT(1, 4, 19, 21, 0, 5, 18, 22);
}

static void demand(void **state)
{
	(void)state;
	with("demand", "idle", "300ms", 8);
	assert_int_equal(gw_order_set(&order, "limit", "1s"), 0);
	fault(3, 200000000);
	assert_int_equal(gw_order_deadline(&order), 500000000);
	assert_int_equal(take(499999999, 8, 8, NULL), 0);
	assert_int_equal(take(500000000, 1, 1, NULL), 1);
	fault(7, 900000000);
	assert_int_equal(gw_order_deadline(&order), 1000000000);
	assert_int_equal(take(999999999, 8, 8, NULL), 0);
	assert_int_equal(take(1000000000, 8, 8, NULL), 5);
}

static void forecast(void **state)
{
	static const struct gw_ranked likely[] = {{6, 3}, {2, 2}, {3, 2}, {0, 1}};

	(void)state;
	with("forecast", NULL, NULL, 8); /* nothing is known: linear */
	EXPECT(0, 1);
	fault(5, 0);
	EXPECT(6, 7, 2, 3, 4);
	with("forecast", NULL, NULL, 8);
	order.likely = (struct gw_ranking){likely, 4};
	EXPECT(6);
	fault(3, 0);
	EXPECT(2, 0, 4, 5, 7, 1);
	with("forecast", NULL, NULL, 8);
	order.likely = (struct gw_ranking){likely, 4};
	assert_int_equal(take(0, 3, 3, NULL), 3); /* 6, and 2 and 3 as one run */
	/* What a lost link swallowed comes first again. */
	gw_set_fill(&left);
	order.kind->start(&order, 0);
	EXPECT(6, 2, 3, 0, 1, 4, 5, 7);
	assert_int_equal(gw_order_set(&order, "restart", "on"), -ENOENT);
}

static void settings(void **state)
{
	static const char *const bad[][3] = {
	        {"linear", "restart", "yes"},
	        {"bubble", "direction", ""},
	        {"bubble", "pivots", "65"},
	        {"demand", "idle", "1h"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		with(bad[i][0], NULL, NULL, 8);
		assert_int_equal(gw_order_set(&order, bad[i][1], bad[i][2]), -EINVAL);
		assert_int_equal(gw_order_set(&order, "speed", "1"), -ENOENT);
	}
	/* The last word counts. */
	with("bubble", "direction", "forward", 8);
	assert_int_equal(gw_order_set(&order, "direction", "both"), 0);
	fault(2, 0);
	EXPECT(1, 3, 0, 4);
}

static uint64_t roll(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

/* Some of the pages, each once. */
static void rank_any(struct gw_ranked *ranked, uint64_t pages, uint64_t *seed)
{
	uint64_t step = 1 + roll(seed) % 6, count = 0;

	for (uint64_t page = roll(seed) % pages; page < pages; page += step)
		ranked[count++] = (struct gw_ranked){(uint32_t)page, 1};
	for (uint64_t i = 0; i < count; i++) {
		uint64_t other = roll(seed) % count;
		struct gw_ranked kept = ranked[i];

		ranked[i] = ranked[other];
		ranked[other] = kept;
	}
	order.likely = (struct gw_ranking){ranked, count};
}

static void every_page_once(void **state)
{
	static struct gw_ranked ranked[150];
	static const char *const pivots[] = {"1", "2", "5", "64"};

	(void)state;
	for (uint64_t seed = 1, run = 0; run < 7000; run++) {
		uint64_t pages = 1 + roll(&seed) % 150, now = 0;
		unsigned which = (unsigned)(run % 7);

		with(which == 0   ? "linear"
		     : which == 1 ? "demand"
		     : which == 2 ? "forecast"
		                  : "bubble",
		     which < 3 ? NULL : "pivots", which < 3 ? NULL : pivots[which - 3], pages);
		if (which == 2)
			rank_any(ranked, pages, &seed);
		for (uint64_t i = roll(&seed) % 2 * pages; i-- > 0;)
			if (roll(&seed) % 2)
				gw_set_remove(&left, i);
		for (unsigned calls = 0; !gw_set_empty(&left); calls++) {
			assert_true(calls < 2000);
			if (roll(&seed) % 3 == 0 && calls < 500)
				fault(roll(&seed) % pages, now);
			if (gw_set_empty(&left))
				break; /* the fault took the last */
			if (!take(now, 1 + roll(&seed) % 8, 1 + roll(&seed) % 20, NULL)) {
				assert_true(gw_order_deadline(&order) > now);
				assert_true(gw_order_deadline(&order) != UINT64_MAX);
				now += 400000000;
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(linear),          cmocka_unit_test(bubble_one),
	        cmocka_unit_test(bubble_two),      cmocka_unit_test(demand),
	        cmocka_unit_test(settings),        cmocka_unit_test(forecast),
	        cmocka_unit_test(every_page_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
