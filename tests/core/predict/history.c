/* SPDX-License-Identifier: MIT */
/* Histories and rankings, against plain arrays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/predict/history.h"
#include "core/predict/ranking.h"
#include "core/predict/write_set.h"

#define PAGES 3000

static uint64_t words[GW_SET_WORDS(PAGES)];

static uint64_t next(uint64_t *random)
{
	*random = *random * 6364136223846793005u + 1442695040888963407u;
	return *random >> 33;
}

static void any_pages(struct gw_set *set, uint64_t *random)
{
	uint64_t first = next(random) % PAGES;

	gw_set_clear(set);
	gw_set_add_run(set, (struct gw_run){first, 1 + next(random) % 40});
	for (int i = 0; i < 30; i++)
		gw_set_add(set, next(random) % PAGES);
}

static void histories(void **state)
{
	static uint64_t bits[PAGES];
	static bool ever[PAGES];
	void *memory = malloc(gw_history_bytes(PAGES));
	uint64_t random = 1, page, found, known, seen;
	struct gw_history *h;
	uint32_t cursor;
	struct gw_set set;

	(void)state;
	memset(memory, 0xff, gw_history_bytes(PAGES));
	h = gw_history_init(memory, PAGES);
	gw_set_init(&set, words, PAGES);
	assert_int_equal(gw_history_rounds(h), 0);
	for (unsigned round = 1; round <= 100; round++) {
		any_pages(&set, &random);
		gw_history_add(h, &set);
		assert_int_equal(gw_history_rounds(h), round < 64 ? round : 64);
		for (page = 0; page < PAGES; page++) {
			bits[page] = bits[page] << 1 | gw_set_has(&set, page);
			ever[page] |= gw_set_has(&set, page);
		}
		for (cursor = 0, seen = 0; gw_history_next(h, &cursor, &page, &found); seen++)
			assert_true(ever[page] && found == bits[page]);
		for (page = 0, known = 0; page < PAGES; page++)
			known += ever[page];
		assert_int_equal(seen, known);
	}
	free(memory);
}

static void full(void **state)
{
	void *memory = malloc(gw_history_bytes(2));
	struct gw_history *h = gw_history_init(memory, 2);
	struct gw_set set;
	uint64_t page, bits, seen = 0;
	uint32_t cursor = 0;

	(void)state;
	gw_set_init(&set, words, PAGES);
	gw_set_add_run(&set, (struct gw_run){10, 3});
	gw_history_add(h, &set);
	gw_history_add(h, &set);
	while (gw_history_next(h, &cursor, &page, &bits)) {
		assert_in_range(page, 10, 11);
		assert_int_equal(bits, 3);
		seen |= 1u << (page - 10);
	}
	assert_int_equal(seen, 3);
	free(memory);
}

static void rankings(void **state)
{
	static struct gw_ranked pages[PAGES], spare[PAGES];
	uint64_t random = 7;

	(void)state;
	for (uint64_t i = 0; i < PAGES; i++) {
		float score = (float)(next(&random) % 100) / 7;

		/* From tiny to huge: every digit counts. */
		pages[i] = (struct gw_ranked){(uint32_t)i, i % 3 ? score : score * (i % 2 ? 1e30f : 1e-30f)};
	}
	gw_rank(pages, spare, PAGES);
	for (size_t i = 1; i < PAGES; i++) {
		assert_true(pages[i - 1].score >= pages[i].score);
		if (!(pages[i - 1].score > pages[i].score))
			assert_true(pages[i - 1].page < pages[i].page);
	}
	gw_rank(pages, spare, 0);
}

/* The same windows, as runs and as sets. */
static void windows(void **state)
{
	struct gw_write_set_limits limits = {.windows = 8, .entries = 800, .pages = 600};
	void *memory[2] = {malloc(gw_write_set_bytes(&limits)),
	                   malloc(gw_write_set_bytes(&limits))};
	struct gw_write_set *runs = gw_write_set_init(memory[0], &limits);
	struct gw_write_set *sets = gw_write_set_init(memory[1], &limits);
	uint64_t random = 3, page, other, scored = 0;
	double score[2];
	struct gw_run run[100];
	struct gw_set set;

	(void)state;
	gw_set_init(&set, words, PAGES);
	for (int window = 0; window < 30; window++) {
		size_t count = 0;
		uint64_t at = 0;

		any_pages(&set, &random);
		for (; gw_set_next_run(&set, at, PAGES, &run[count]); count++)
			at = run[count].first + run[count].count;
		assert_int_equal(gw_write_set_observe(runs, run, count), 0);
		assert_int_equal(gw_write_set_observe_set(sets, &set), 0);
		assert_int_equal(gw_write_set_windows(runs), gw_write_set_windows(sets));
		gw_write_set_score(runs, &set);
		gw_write_set_score(sets, &set);
		for (uint32_t i = 0; gw_write_set_known(runs, i, &page, &score[0]); i++) {
			assert_true(gw_write_set_known(sets, i, &other, &score[1]));
			assert_true(page == other);
			assert_memory_equal(&score[0], &score[1], sizeof(score[0]));
			scored += score[0] > 0;
		}
	}
	assert_true(scored > 1000);
	gw_set_fill(&set);
	assert_true(gw_write_set_observe_set(sets, &set) < 0);
	free(memory[0]);
	free(memory[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(histories), cmocka_unit_test(full),
	                                   cmocka_unit_test(rankings), cmocka_unit_test(windows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
