/* SPDX-License-Identifier: MIT */
/*
 * tests/core/page/set.c - what page sets promise, by example; model.c tries the rest.
 */
#include "core/page/set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS GW_SET_WORDS(256)
#define MANY  (3 * GW_CHUNK_PAGES + 100)

static uint64_t words[WORDS], more_words[WORDS];

static struct gw_set make(uint64_t pages)
{
	struct gw_set set;

	gw_set_init(&set, words, pages);
	return set;
}

static void the_picture_of_the_header(void **state)
{
	(void)state;
	struct gw_set set = make(10);
	struct gw_run run;

	gw_set_add_run(&set, (struct gw_run){1, 2});
	gw_set_add_run(&set, (struct gw_run){6, 3});
	for (uint64_t page = 0; page < 10; page++)
		assert_int_equal(gw_set_has(&set, page), ".##...###."[page] == '#');
	assert_true(gw_set_next_run(&set, 0, 100, &run));
	assert_int_equal(run.first, 1);
	assert_int_equal(run.count, 2);
	assert_true(gw_set_next_run(&set, 3, 100, &run));
	assert_int_equal(run.first, 6);
	assert_int_equal(run.count, 3);
	assert_false(gw_set_next_run(&set, 9, 100, &run));
}

static void an_empty_universe_has_nothing(void **state)
{
	(void)state;
	struct gw_set set, other;
	struct gw_run run;

	gw_set_init(&set, words, 0);
	gw_set_init(&other, more_words, 0);
	gw_set_fill(&set);
	gw_set_add(&set, 0);
	gw_set_add_run(&set, (struct gw_run){0, 5});
	gw_set_copy(&other, &set);
	gw_set_union(&other, &set);
	assert_true(gw_set_empty(&set));
	assert_true(gw_set_equal(&set, &other));
	assert_false(gw_set_has(&set, 0));
	assert_int_equal(gw_set_count(&set), 0);
	assert_int_equal(gw_set_next(&set, 0), 0);
	assert_int_equal(gw_set_next_gap(&set, 0), 0);
	assert_true(gw_set_previous(&set, 0) == UINT64_MAX);
	assert_false(gw_set_next_run(&set, 0, 1, &run));
}

static void init_empties_whatever_was_there(void **state)
{
	(void)state;
	for (size_t i = 0; i < WORDS; i++)
		words[i] = UINT64_MAX;
	struct gw_set set = make(130);
	assert_true(gw_set_empty(&set));
}

static void fill_leaves_the_bits_beyond_alone(void **state)
{
	(void)state;
	struct gw_set set = make(65);

	gw_set_fill(&set);
	assert_int_equal(gw_set_count(&set), 65);
	assert_int_equal(gw_set_next_gap(&set, 0), 65);
	gw_set_remove(&set, 3);
	gw_set_add(&set, 3);
	assert_int_equal(gw_set_next_gap(&set, 0), 65);
	assert_int_equal(gw_set_count_run(&set, (struct gw_run){0, 128}), 65);
}

static void runs_end_exactly_at_word_boundaries(void **state)
{
	(void)state;
	struct gw_set set = make(256);

	gw_set_add_run(&set, (struct gw_run){0, 64});
	assert_int_equal(gw_set_next_gap(&set, 0), 64);
	assert_int_equal(gw_set_count(&set), 64);
	gw_set_add_run(&set, (struct gw_run){63, 130});
	assert_int_equal(gw_set_count(&set), 193);
	assert_int_equal(gw_set_next_gap(&set, 0), 193);
	gw_set_remove_run(&set, (struct gw_run){64, 64});
	assert_true(gw_set_has(&set, 63));
	assert_false(gw_set_has(&set, 64));
	assert_false(gw_set_has(&set, 127));
	assert_true(gw_set_has(&set, 128));
	assert_int_equal(gw_set_count_run(&set, (struct gw_run){63, 66}), 2);
}

static void runs_are_clipped(void **state)
{
	(void)state;
	struct gw_set set = make(100);

	gw_set_add_run(&set, (struct gw_run){90, UINT64_MAX});
	assert_int_equal(gw_set_count(&set), 10);
	gw_set_add_run(&set, (struct gw_run){100, 1});
	gw_set_add_run(&set, (struct gw_run){UINT64_MAX, UINT64_MAX});
	gw_set_add_run(&set, (struct gw_run){5, 0});
	assert_int_equal(gw_set_count(&set), 10);
	gw_set_remove_run(&set, (struct gw_run){99, UINT64_MAX});
	assert_int_equal(gw_set_count(&set), 9);
	assert_int_equal(gw_set_next(&set, 99), 100);
}

static void pages_outside_are_not_members(void **state)
{
	(void)state;
	struct gw_set set = make(64);

	gw_set_add(&set, 64);
	gw_set_add(&set, UINT64_MAX);
	assert_true(gw_set_empty(&set));
	gw_set_fill(&set);
	assert_false(gw_set_has(&set, 64));
	assert_false(gw_set_has(&set, UINT64_MAX));
	gw_set_remove(&set, 64);
	assert_int_equal(gw_set_count(&set), 64);
}

static void algebra(void **state)
{
	(void)state;
	struct gw_set a = make(200), b;

	gw_set_init(&b, more_words, 200);
	gw_set_add_run(&a, (struct gw_run){0, 100});
	gw_set_add_run(&b, (struct gw_run){50, 100});
	assert_int_equal(gw_set_count_common(&a, &b), 50);
	gw_set_union(&a, &b);
	assert_int_equal(gw_set_count(&a), 150);
	gw_set_subtract(&a, &b);
	assert_int_equal(gw_set_count(&a), 50);
	assert_int_equal(gw_set_count_common(&a, &b), 0);
	gw_set_add(&a, 60);
	gw_set_intersect(&a, &b);
	assert_int_equal(gw_set_count(&a), 1);
	assert_false(gw_set_equal(&a, &b));
	gw_set_copy(&a, &b);
	assert_true(gw_set_equal(&a, &b));
	b.pages = 199;
	assert_false(gw_set_equal(&a, &b));
}

static void differ_and_invert(void **state)
{
	(void)state;
	struct gw_set a = make(200), b;

	gw_set_init(&b, more_words, 200);
	gw_set_add_run(&a, (struct gw_run){0, 100});
	gw_set_add_run(&b, (struct gw_run){50, 100});
	gw_set_differ(&a, &b);
	assert_int_equal(gw_set_count(&a), 100);
	assert_int_equal(gw_set_next_gap(&a, 0), 50);
	assert_int_equal(gw_set_next(&a, 50), 100);
	gw_set_invert(&a);
	assert_int_equal(gw_set_count(&a), 100);
	assert_int_equal(gw_set_next(&a, 0), 50);
	assert_int_equal(gw_set_previous(&a, 200), 199);
}

static void previous_looks_down(void **state)
{
	(void)state;
	struct gw_set set = make(200);

	assert_true(gw_set_previous(&set, 199) == UINT64_MAX);
	gw_set_add(&set, 63);
	gw_set_add(&set, 128);
	assert_true(gw_set_previous(&set, 62) == UINT64_MAX);
	assert_int_equal(gw_set_previous(&set, 63), 63);
	assert_int_equal(gw_set_previous(&set, 127), 63);
	assert_int_equal(gw_set_previous(&set, 128), 128);
	assert_int_equal(gw_set_previous(&set, UINT64_MAX), 128);
}

static void a_long_run_is_handed_out_in_pieces(void **state)
{
	(void)state;
	struct gw_set set = make(200);
	struct gw_run run;
	uint64_t from = 0, pieces = 0, pages = 0;

	gw_set_add_run(&set, (struct gw_run){10, 150});
	while (gw_set_next_run(&set, from, 40, &run)) {
		assert_true(run.count <= 40);
		from = run.first + run.count;
		pages += run.count;
		pieces++;
	}
	assert_int_equal(pieces, 4);
	assert_int_equal(pages, 150);
	assert_true(gw_set_next_run(&set, 0, UINT64_MAX, &run));
	assert_int_equal(run.count, 150);
}

/* What is in the bitmap, from that chunk on, is as it was made. */
static bool untouched(const uint64_t *bitmap, unsigned chunk)
{
	for (size_t i = chunk * GW_CHUNK_PAGES / 64; i < (MANY + 63) / 64; i++)
		if (bitmap[i] != 0xa5a5a5a5a5a5a5a5)
			return false;
	return true;
}

static void chunks_of_one_run_are_not_touched(void **state)
{
	(void)state;
	static uint64_t a_words[GW_SET_WORDS(MANY)], b_words[GW_SET_WORDS(MANY)];
	struct gw_set a, b;
	struct gw_run run;

	assert_int_equal(gw_set_words(MANY), sizeof a_words / sizeof *a_words);
	memset(a_words, 0xa5, sizeof a_words);
	memset(b_words, 0xa5, sizeof b_words);
	gw_set_init(&a, a_words, MANY);
	gw_set_init(&b, b_words, MANY);
	gw_set_fill(&a);
	assert_int_equal(gw_set_count(&a), MANY);
	gw_set_copy(&b, &a);
	assert_true(gw_set_equal(&a, &b));
	gw_set_subtract(&b, &a);
	gw_set_union(&b, &a);
	gw_set_intersect(&b, &a);
	gw_set_differ(&b, &a);
	gw_set_invert(&b);
	assert_int_equal(gw_set_count_common(&a, &b), MANY);
	gw_set_clear(&a);
	gw_set_add_run(&a, (struct gw_run){GW_CHUNK_PAGES, MANY});
	gw_set_remove_run(&b, (struct gw_run){GW_CHUNK_PAGES, MANY});
	assert_int_equal(gw_set_next(&a, 0), GW_CHUNK_PAGES);
	assert_int_equal(gw_set_next_gap(&b, 0), GW_CHUNK_PAGES);
	assert_int_equal(gw_set_previous(&b, MANY), GW_CHUNK_PAGES - 1);
	assert_true(gw_set_next_run(&a, 0, UINT64_MAX, &run));
	assert_int_equal(run.count, MANY - GW_CHUNK_PAGES);
	assert_true(untouched(a_words, 0) && untouched(b_words, 0));

	/* What grows and shrinks as one run is none either ... */
	gw_set_add_run(&a, (struct gw_run){100, 50});
	gw_set_add_run(&a, (struct gw_run){150, 10});
	gw_set_remove_run(&a, (struct gw_run){0, 105});
	gw_set_remove(&a, 159);
	gw_set_copy(&b, &a);
	gw_set_intersect(&b, &a);
	assert_int_equal(gw_set_next(&b, 0), 105);
	assert_int_equal(gw_set_next_gap(&b, 105), 159);
	assert_int_equal(gw_set_previous(&b, 1000), 158);
	assert_true(untouched(a_words, 0) && untouched(b_words, 0));

	/* ... but two runs mix one chunk, till it is whole again. */
	gw_set_add(&a, 5);
	assert_false(untouched(a_words, 0));
	assert_true(untouched(a_words, 1));
	gw_set_add_run(&a, (struct gw_run){0, 5});
	gw_set_add_run(&a, (struct gw_run){6, GW_CHUNK_PAGES - 6});
	gw_set_copy(&b, &a);
	assert_true(untouched(b_words, 0));
	assert_int_equal(gw_set_count(&b), MANY);
}

static void many_are_asked_for_at_once(void **state)
{
	enum { UNIVERSE = 3 * GW_CHUNK_PAGES + 70, ASKED = 5000 };
	static uint64_t many[GW_SET_WORDS(UNIVERSE)];
	static uint32_t pages[ASKED];
	static bool in[ASKED];
	struct gw_set set;

	(void)state;
	srand(3);
	gw_set_init(&set, many, UNIVERSE);
	gw_set_add_run(&set, (struct gw_run){100, GW_CHUNK_PAGES});
	for (int i = 0; i < 900; i++)
		gw_set_add(&set, GW_CHUNK_PAGES * 2 + (uint64_t)rand() % GW_CHUNK_PAGES);
	for (int i = 0; i < ASKED; i++)
		pages[i] = (uint32_t)rand() % (UNIVERSE + 1000); /* some beyond it */
	for (size_t count = 0; count <= ASKED; count += count < 40 ? 1 : 620) {
		memset(in, 7, sizeof(in));
		gw_set_has_each(&set, pages, count, in);
		for (size_t i = 0; i < count; i++)
			assert_int_equal(in[i], gw_set_has(&set, pages[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(many_are_asked_for_at_once),
	        cmocka_unit_test(the_picture_of_the_header),
	        cmocka_unit_test(an_empty_universe_has_nothing),
	        cmocka_unit_test(init_empties_whatever_was_there),
	        cmocka_unit_test(fill_leaves_the_bits_beyond_alone),
	        cmocka_unit_test(runs_end_exactly_at_word_boundaries),
	        cmocka_unit_test(runs_are_clipped),
	        cmocka_unit_test(pages_outside_are_not_members),
	        cmocka_unit_test(algebra),
	        cmocka_unit_test(differ_and_invert),
	        cmocka_unit_test(previous_looks_down),
	        cmocka_unit_test(a_long_run_is_handed_out_in_pieces),
	        cmocka_unit_test(chunks_of_one_run_are_not_touched),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
