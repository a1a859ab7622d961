/* SPDX-License-Identifier: MIT */
/* The queue: what a shadow touched goes first, each page once, and only as long as it shows well.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/order/order.h"

static struct gw_order order;
static struct gw_set left;
static void *memory; /* of the order */

static void with(const char *key, const char *value, uint64_t pages)
{
	size_t bytes;

	assert_int_equal(gw_order_init(&order, "queue"), 0);
	if (key)
		assert_int_equal(gw_order_set(&order, key, value), 0);
	bytes = gw_order_bytes(&order, pages);
	free(memory);
	free(left.words);
	memory = malloc(bytes); /* the sanitizers watch over its end */
	left.words = malloc(gw_set_words(pages) * sizeof(*left.words));
	assert_true(memory && left.words);
	memset(memory, 0xa5, bytes);
	gw_order_attach(&order, memory, pages);
	gw_set_init(&left, left.words, pages);
	gw_set_fill(&left);
	order.kind->start(&order, 0);
}

static void touch(uint64_t first, uint64_t count)
{
	order.kind->touched(&order, &left, &(struct gw_run){first, count}, 1);
}

static void fault(uint64_t page)
{
	gw_set_remove(&left, page);
	order.kind->fault(&order, &left, page, 0);
}

/* Takes the runs out of the set; a page that is not in it was handed out twice. */
static uint64_t take(size_t max_runs, uint64_t max_pages, uint64_t *pages)
{
	struct gw_run runs[8];
	size_t n = order.kind->next(&order, &left, 0, runs, max_runs, max_pages);
	uint64_t count = 0;

	assert_true(n <= max_runs);
	for (size_t i = 0; i < n; i++) {
		for (uint64_t k = 0; k < runs[i].count; k++, count++) {
			assert_true(gw_set_has(&left, runs[i].first + k));
			gw_set_remove(&left, runs[i].first + k);
			if (pages && count < max_pages)
				pages[count] = runs[i].first + k;
		}
	}
	assert_true(count <= max_pages);
	return count;
}

static void expect(const uint64_t *pages, size_t n)
{
	uint64_t got;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(take(1, 1, &got), 1);
		assert_int_equal(got, pages[i]);
	}
}

#define EXPECT(...)                                                                                \
	expect((const uint64_t[]){__VA_ARGS__},                                                    \
	       sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void four_priorities(void **state)
{
	static const struct gw_ranked likely[] = {{15, 3}, {11, 2}, {18, 2}};

	(void)state;
	with("pivots", "1", 20);
	order.likely = (struct gw_ranking){likely, 3};
	touch(9, 1);
	touch(2, 2);
	touch(9, 1); /* again */
	fault(12);
	touch(1, 3); /* 2 and 3 are known */
	assert_int_equal(order.foresight.touched_pages, 4);
	EXPECT(9, 2, 3, 1);
	assert_int_equal(order.foresight.waiting_pages, 0);
	EXPECT(11, 13); /* around the fault */
	touch(19, 1);   /* goes before what was begun */
	touch(30, 5);   /* does not exist */
	touch(0, UINT64_MAX);
	EXPECT(19, 10, 14, 15, 16, 17, 18); /* its bubble ends at 9 and at 19 */
	EXPECT(0, 4, 5, 6, 7, 8);
	assert_true(gw_set_empty(&left));
	assert_int_equal(take(8, 8, NULL), 0);
}

static void the_ranking_comes_before_the_rest(void **state)
{
	static const struct gw_ranked likely[] = {{5, 3}, {1, 2}, {2, 2}};

	(void)state;
	with(NULL, NULL, 6);
	order.likely = (struct gw_ranking){likely, 3};
	touch(1, 1);
	EXPECT(1, 5, 2, 0, 3, 4);
	/* Without a shadow, and nothing forecast: as linear. */
	with(NULL, NULL, 4);
	EXPECT(0, 1, 2, 3);
}

/* Several pages at a time: a run of what was touched one after the other. */
static void frames(void **state)
{
	uint64_t pages[8];

	(void)state;
	with(NULL, NULL, 20);
	touch(7, 3);
	touch(3, 1);
	touch(10, 2);
	assert_int_equal(take(2, 8, pages), 4); /* 7 8 9, 3; a third run would be needed */
	assert_int_equal(pages[3], 3);
	assert_int_equal(take(8, 1, pages), 1);
	assert_int_equal(pages[0], 10);
	assert_int_equal(order.foresight.waiting_pages, 1);
}

/* What it leaves out here and there goes with the rest; what it always leaves out does not. */
static void gaps(void **state)
{
	uint64_t pages[8];

	(void)state;
	with(NULL, NULL, 200);
	touch(5, 2);
	touch(8, 1);
	touch(11, 1);
	touch(15, 1); /* three are left out: it went elsewhere */
	touch(0, 1);
	touch(2, 1);
	EXPECT(5, 6);
	assert_int_equal(take(2, 8, pages), 6);
	assert_memory_equal(pages, ((uint64_t[]){7, 8, 9, 10, 11, 15}), 6 * sizeof(*pages));
	assert_true(gw_order_comes_next(&order, 10));
	EXPECT(0, 2); /* there is no room for 1 beside 2 */
	touch(50, 2);
	touch(53, 1);
	assert_int_equal(take(8, 3, NULL), 2); /* the next frame has room for 52 and 53 */
	assert_int_equal(take(8, 3, NULL), 2);
	/* A stride of two: after a window of it nothing is filled in. */
	with(NULL, NULL, 200);
	for (uint64_t page = 0; page < 160; page += 2)
		touch(page, 1);
	assert_int_equal(take(8, 63, NULL), 63);
	while (take(8, 20, pages) && order.foresight.waiting_pages)
		assert_true(pages[0] % 2 == 0);
	assert_in_range(gw_set_count(&left), 200 - 160, 200 - 80);
}

/* What a lost link swallowed comes first again, in the same order. */
static void a_new_link(void **state)
{
	(void)state;
	with(NULL, NULL, 10);
	touch(8, 1);
	touch(4, 1);
	touch(6, 1);
	EXPECT(8, 4);
	gw_set_add(&left, 8);
	gw_set_add(&left, 4);
	gw_set_remove(&left, 6); /* it is there all the same */
	order.kind->start(&order, 0);
	touch(2, 1);
	assert_int_equal(order.foresight.waiting_pages, 3);
	EXPECT(8, 4, 2, 0);
}

/* A page that was sent by another way is not handed out, and does not wait. */
static void sent_otherwise(void **state)
{
	(void)state;
	with(NULL, NULL, 10);
	touch(3, 3);
	fault(4);
	assert_int_equal(order.foresight.waiting_pages, 2);
	gw_set_remove(&left, 3); /* nobody told the order */
	EXPECT(5);
	assert_int_equal(order.foresight.waiting_pages, 0);
	/* What was touched after it was sent counts as touched. */
	touch(4, 1);
	assert_int_equal(order.foresight.touched_pages, 3);
	assert_int_equal(order.foresight.waiting_pages, 0);
}

static void leads_astray(void **state)
{
	(void)state;
	with("window", "8", 1000);
	touch(900, 50);
	fault(100);
	for (uint64_t page = 200; page < 800; page += 100)
		fault(page);
	assert_false(order.foresight.astray);
	fault(850);
	assert_true(order.foresight.astray);
	assert_int_equal(order.foresight.judged, 8);
	assert_int_equal(order.foresight.right, 0);
	EXPECT(99, 101); /* neighbours go first */
	gw_set_fill(&left);
	assert_int_equal(order.foresight.waiting_pages, 50);
	/* 75 % is right, and some of that by chance: not enough. */
	for (uint64_t page = 910; page < 916; page++)
		fault(page);
	fault(500);
	fault(600);
	assert_true(order.foresight.astray);
	for (uint64_t page = 920; page < 927; page++)
		fault(page);
	assert_true(order.foresight.astray);
	fault(700);
	assert_false(order.foresight.astray);
	assert_int_equal(order.foresight.right, 7);
	EXPECT(900);
	assert_int_equal(order.foresight.faults, 24);
	assert_int_equal(order.foresight.foretold, 13);
	/* It was won back: now it takes four times as many. */
	for (uint64_t page = 10; page < 41; page++)
		fault(page);
	assert_false(order.foresight.astray);
	fault(41);
	assert_true(order.foresight.astray);
}

/* Where nearly all that is left was touched, chance foretells nearly all. */
static void chance_is_no_skill(void **state)
{
	(void)state;
	with("window", "4", 100);
	touch(20, 80);
	fault(30);
	fault(40);
	fault(50);
	fault(1);
	assert_true(order.foresight.astray); /* 75 % right, of 80 % waiting */
	with("window", "4", 100);
	touch(0, 100);
	for (uint64_t page = 0; page < 8; page++)
		fault(page);
	assert_false(order.foresight.astray); /* there is no other page */
	with("astray", "0", 1000);
	touch(0, 1);
	for (uint64_t page = 100; page < 900; page++)
		fault(page);
	assert_false(order.foresight.astray); /* never, by its setting */
}

/* The first faults come before the shadow is ahead. */
static void late_is_not_astray(void **state)
{
	(void)state;
	with("window", "4", 1000);
	touch(500, 1);
	for (uint64_t page = 10; page < 50; page++) {
		fault(page);
		touch(page - 1, 1);
	}
	assert_false(order.foresight.astray);
	assert_int_equal(order.foresight.foretold, 0);
	fault(100);
	fault(200);
	fault(100); /* asked for again, and missed once */
	touch(100, 1);
	touch(48, 1); /* of an earlier judgement */
	fault(300);
	assert_true(order.foresight.astray);
	assert_int_equal(order.foresight.right, 1);
}

/* What went out in the order of the queue needs no second way; what went otherwise may. */
static void comes_next(void **state)
{
	(void)state;
	with("pivots", "1", 100);
	touch(50, 3);
	EXPECT(50, 51);
	assert_true(gw_order_comes_next(&order, 51));
	assert_false(gw_order_comes_next(&order, 52));
	fault(10);
	EXPECT(52, 9);
	assert_false(gw_order_comes_next(&order, 10));
	assert_false(gw_order_comes_next(&order, 9)); /* a neighbour */
	order.kind->start(&order, 0);                 /* a new link: it may have been lost */
	assert_false(gw_order_comes_next(&order, 51));
	assert_int_equal(gw_order_init(&order, "linear"), 0);
	assert_false(gw_order_comes_next(&order, 51));
}

/* Nothing was touched yet: nothing is judged. */
static void before_the_first_touch(void **state)
{
	(void)state;
	with("window", "1", 100);
	fault(1);
	fault(2);
	assert_int_equal(order.foresight.faults, 0);
	assert_false(order.foresight.astray);
}

/* A giant's queue holds a million pages; what does not fit is pushed with the rest. */
static void memory_is_bounded(void **state)
{
	const uint64_t room = (uint64_t)1 << 20, pages = 3 * room;
	uint64_t page, taken = 0, n;

	(void)state;
	with(NULL, NULL, pages);
	touch(room, 2 * room - 5);
	assert_int_equal(order.foresight.touched_pages, room);
	assert_int_equal(order.foresight.waiting_pages, room);
	EXPECT(room, room + 1);
	touch(7, 1); /* there is room again */
	touch(9, 2); /* for one of them */
	assert_int_equal(order.foresight.touched_pages, room + 2);
	assert_int_equal(take(1, 1, &page), 1);
	assert_int_equal(page, room + 2);
	while ((n = take(8, 1000000, NULL)))
		taken += n;
	assert_int_equal(taken, pages - 3);
}

static void settings(void **state)
{
	(void)state;
	with("ahead", "1s", 8);
	assert_int_equal(order.foresight.ahead_ns, 1000000000);
	assert_int_equal(gw_order_set(&order, "ahead", "soon"), -EINVAL);
	assert_int_equal(gw_order_set(&order, "window", "0"), -EINVAL);
	assert_int_equal(gw_order_set(&order, "astray", "2"), -EINVAL);
	assert_int_equal(gw_order_set(&order, "trusted", "-1"), -EINVAL);
	assert_int_equal(gw_order_set(&order, "pivots", "65"), -EINVAL);
	assert_int_equal(gw_order_set(&order, "direction", "forward"), 0);
	assert_int_equal(gw_order_set(&order, "speed", "1"), -ENOENT);
	assert_true(gw_order_wants_shadow(&order));
	assert_int_equal(gw_order_init(&order, "linear"), 0);
	assert_false(gw_order_wants_shadow(&order));
	assert_int_equal(gw_order_bytes(&order, 1000), 0);
}

/* --- any program, beside a plain model ------------------------------------------------------- */

#define PAGES_MAX 200

/* The pages that the shadow touched, in their order, and nothing cleverer. */
static uint64_t touched[PAGES_MAX];
static size_t touched_count;

static uint64_t roll(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

static bool was_touched(uint64_t page)
{
	for (size_t i = 0; i < touched_count; i++)
		if (touched[i] == page)
			return true;
	return false;
}

static void touch_any(uint64_t pages, uint64_t *seed)
{
	struct gw_run runs[4];
	size_t count = roll(seed) % 4;

	for (size_t i = 0; i < count; i++) {
		runs[i].first = roll(seed) % pages;
		runs[i].count = 1 + roll(seed) % 5;
		if (runs[i].count > pages - runs[i].first)
			runs[i].count = pages - runs[i].first;
		for (uint64_t k = 0; k < runs[i].count; k++)
			if (!was_touched(runs[i].first + k))
				touched[touched_count++] = runs[i].first + k;
	}
	order.kind->touched(&order, &left, runs, count);
}

static uint64_t waiting(uint64_t *first)
{
	uint64_t count = 0;

	for (size_t i = 0; i < touched_count; i++)
		if (gw_set_has(&left, touched[i]) && !count++)
			*first = touched[i];
	return count;
}

/* The link was lost with what was on its way. */
static void lose_any(uint64_t pages, uint64_t *seed)
{
	for (uint64_t i = roll(seed) % 20; i; i--)
		gw_set_add(&left, roll(seed) % pages);
	order.kind->start(&order, 0);
}

static void take_any(uint64_t *seed)
{
	uint64_t first = 0, waits = waiting(&first), got[20];
	bool astray = order.foresight.astray;
	uint64_t n = take(1 + roll(seed) % 8, 1 + roll(seed) % 20, got);

	assert_true(n > 0);
	if (!waits || astray)
		return;
	assert_in_range(first - got[0], 0, 2); /* what it left out goes with it */
	assert_true(first - got[0] < n);
}

static void any_program(void **state)
{
	static const char *const windows[] = {"1", "3", "32"};

	(void)state;
	for (uint64_t seed = 1, run = 0; run < 4000; run++) {
		uint64_t pages = 1 + roll(&seed) % PAGES_MAX, nobody;

		with("window", windows[run % 3], pages);
		touched_count = 0;
		for (unsigned calls = 0; !gw_set_empty(&left); calls++) {
			assert_true(calls < 2000);
			if (calls < 500 && roll(&seed) % 3 == 0)
				touch_any(pages, &seed);
			if (calls < 500 && roll(&seed) % 3 == 0)
				fault(roll(&seed) % pages);
			if (calls < 500 && roll(&seed) % 50 == 0)
				lose_any(pages, &seed);
			if (!gw_set_empty(&left))
				take_any(&seed);
			assert_int_equal(order.foresight.touched_pages, touched_count);
			assert_int_equal(order.foresight.waiting_pages, waiting(&nobody));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(four_priorities),
	        cmocka_unit_test(the_ranking_comes_before_the_rest),
	        cmocka_unit_test(frames),
	        cmocka_unit_test(gaps),
	        cmocka_unit_test(a_new_link),
	        cmocka_unit_test(sent_otherwise),
	        cmocka_unit_test(leads_astray),
	        cmocka_unit_test(chance_is_no_skill),
	        cmocka_unit_test(late_is_not_astray),
	        cmocka_unit_test(comes_next),
	        cmocka_unit_test(before_the_first_touch),
	        cmocka_unit_test(memory_is_bounded),
	        cmocka_unit_test(settings),
	        cmocka_unit_test(any_program),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(memory);
	free(left.words);
	return failed;
}
