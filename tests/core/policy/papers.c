/* SPDX-License-Identifier: MIT */
/* The policies of the papers; the figures are worked out by hand. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/policy/policy.h"

#define PAGES 64

static struct gw_policy policy;
static struct gw_verdict verdict;
static struct gw_view view;
static uint64_t words[3][GW_SET_WORDS(PAGES)];
static struct gw_set dirty, written, defer;
static void *memory;
static struct gw_observation observed;

static void with(const char *name)
{
	assert_int_equal(gw_policy_init(&policy, name), 0);
	gw_set_init(&dirty, words[0], PAGES);
	gw_set_init(&written, words[1], PAGES);
	gw_set_init(&defer, words[2], PAGES);
	view = (struct gw_view){.ram_pages = PAGES, .dirty = &dirty, .written = &written};
}

static void let(const char *key, const char *value)
{
	assert_int_equal(gw_policy_set(&policy, key, value), 0);
}

/* The memory is exactly what was asked for, and not clean. */
static void begin(void)
{
	size_t bytes = gw_policy_bytes(&policy, PAGES);

	free(memory);
	memory = malloc(bytes);
	assert_non_null(memory);
	memset(memory, 0xa5, bytes);
	gw_policy_start(&policy, memory, PAGES, &observed);
}

static enum gw_decision ask(void)
{
	gw_policy_decide(&policy, &view, &verdict);
	assert_true(verdict.reason[0]);
	return verdict.decision;
}

static void fill(struct gw_set *set, const char *pages)
{
	gw_set_clear(set);
	while (*pages) {
		char *end;

		gw_set_add(set, strtoul(pages, &end, 10));
		pages = end;
	}
}

/* A round ends in which these pages were written; those are dirty then. */
static void round_of(const char *wrote, const char *dirties)
{
	view.round++;
	fill(&written, wrote);
	fill(&dirty, dirties);
	view.previous_dirty_pages = view.dirty_pages;
	view.dirty_pages = gw_set_count(&dirty);
	(void)ask();
}

static void leaves_out(const char *pages)
{
	static uint64_t more[GW_SET_WORDS(PAGES)];
	struct gw_set wanted;

	gw_set_init(&wanted, more, PAGES);
	fill(&wanted, pages);
	gw_set_fill(&defer); /* what was in it does not matter */
	(void)gw_policy_choose(&policy, &view, &defer);
	assert_true(gw_set_equal(&defer, &wanted));
}

static void shares(void **state)
{
	static const char *const bad[] = {"",       ".",   ".5",  "0.",   "1.001", "2", "-1",
	                                  "0.1234", "0.x", "1e0", "0.5 ", "Auto",  NULL};
	size_t i;

	(void)state;
	with("sdf-hybrid");
	for (i = 0; bad[i]; i++)
		assert_int_equal(gw_policy_set(&policy, "alpha", bad[i]), -EINVAL);
	let("alpha", "0");
	let("alpha", "1");
	let("alpha", "1.000");
	let("alpha", "0.007");
	assert_int_equal(gw_policy_set(&policy, "pt", "0.5"), -ENOENT);
	with("deferred");
	assert_int_equal(gw_policy_set(&policy, "pt", "1.1"), -EINVAL);
	assert_int_equal(gw_policy_set(&policy, "rt", "-0.1"), -EINVAL);
	assert_int_equal(gw_policy_set(&policy, "predictor", "none"), -EINVAL);
	assert_int_equal(gw_policy_set(&policy, "threshold", "0.5"), -EINVAL);
	assert_int_equal(gw_policy_set(&policy, "alpha", "0.5"), -ENOENT);
}

static enum gw_decision after(uint64_t before, uint64_t now, uint64_t sent)
{
	view.round = 1;
	view.previous_dirty_pages = before;
	view.dirty_pages = now;
	view.sent_pages = sent;
	return ask();
}

/* SDF = (1000 - now) / 800 against 0.3: 240 pages fewer are just not enough. */
static void sdf(void **state)
{
	(void)state;
	with("sdf-hybrid");
	let("alpha", "0.3");
	begin();
	assert_int_equal(ask(), GW_CONTINUE);
	assert_int_equal(after(1000, 759, 800), GW_CONTINUE);
	assert_int_equal(after(1000, 760, 800), GW_POST_COPY);
	assert_non_null(strstr(verdict.reason, "SDF 0.300, not more than alpha 0.300"));
	assert_int_equal(after(1000, 1100, 800), GW_POST_COPY);
	assert_non_null(strstr(verdict.reason, "SDF -0.125"));
	assert_int_equal(after(1000, 1000, 0), GW_POST_COPY);
	view.deadline_ns = view.now_ns = 1;
	assert_int_equal(after(1000, 759, 800), GW_POST_COPY);
	view.now_ns = 0;
	assert_int_equal(after(1000, 759, 800), GW_CONTINUE);
	assert_int_equal(after(1000, 51, 1000), GW_CONTINUE);
	assert_int_equal(after(1000, 50, 1000), GW_POST_COPY);
	let("dirty_threshold", "0");
	let("alpha", "1"); /* exactly one pass */
	assert_int_equal(after(1000, 1, 999), GW_POST_COPY);
	assert_int_equal(after(1000, 0, 1000), GW_POST_COPY);
	let("alpha", "0"); /* as long as it shrinks */
	assert_int_equal(after(1000, 999, 1000), GW_CONTINUE);
	assert_int_equal(after(1000, 1000, 1000), GW_POST_COPY);
}

/*
 * S3's windows {1,2} {2,3,4} {1,4,5}, 40 pages up. N1 = 4, N2 = 4 + 5, N3 = 5; for D = {1,2,3} and
 * page 7 s1 = 1/9 + 1/9 + 1/5, s2 = 1/4 + (1/4 + 1/9) + 1/5, s3 = (1/4 + 1/9) + 1/9, none for 7.
 */
static void least_likely_half(void **state)
{
	struct gw_ranking likely;

	(void)state;
	with("sdf-hybrid");
	begin();
	round_of("41 42", "7 8 41 42 43");
	leaves_out("42 43"); /* one window forecasts nothing: the end of memory */
	round_of("42 43 44", "7 41 42 43");
	round_of("41 44 45", "7 41 42 43");
	leaves_out("42 43");
	gw_policy_rank(&policy, &dirty, &likely);
	assert_int_equal(likely.count, 3);
	assert_int_equal(likely.pages[0].page, 42);
	assert_int_equal(likely.pages[1].page, 43);
	assert_int_equal(likely.pages[2].page, 41);
	fill(&dirty, "1 2 3 4 5 6 41 42 43");
	view.dirty_pages = 9;
	leaves_out("6 41 42 43"); /* the three that have a score, and one of those that have none */
	fill(&dirty, "2");
	view.dirty_pages = 1;
	leaves_out("");
}

/* The same windows from before the move: the first round's dirty pages have a forecast. */
static void observed_before(void **state)
{
	static const struct gw_run runs[] = {{41, 2}, {42, 3}, {41, 1}, {44, 2}};
	static const struct gw_window windows[] = {
	        {.written = runs, .written_count = 1},
	        {.written = runs + 1, .written_count = 1},
	        {.written = runs + 2, .written_count = 2},
	};
	struct gw_ranking likely;

	(void)state;
	with("sdf-hybrid");
	assert_int_equal(gw_policy_observes_ns(&policy), 8000000000);
	let("observe", "300ms");
	assert_int_equal(gw_policy_observes_ns(&policy), 300000000);
	assert_int_equal(gw_policy_set(&policy, "observe", "long"), -EINVAL);
	observed = (struct gw_observation){.windows = windows, .count = 3};
	begin();
	observed.count = 0;
	fill(&dirty, "7 41 42 43");
	gw_policy_rank(&policy, &dirty, &likely);
	assert_int_equal(likely.count, 3);
	assert_int_equal(likely.pages[0].page, 42);
	assert_int_equal(likely.pages[1].page, 43);
	assert_int_equal(likely.pages[2].page, 41);
}

/* All of them are kept, and the rounds that follow: that 9 was written after 1 is in the oldest. */
static void eight_seconds(void **state)
{
	static const struct gw_run runs[] = {{1, 1}, {9, 1}, {5, 1}};
	struct gw_window windows[160];
	struct gw_ranking likely;

	(void)state;
	for (size_t i = 0; i < 160; i++)
		windows[i] =
		        (struct gw_window){.written = &runs[i < 2 ? i : 2], .written_count = 1};
	with("sdf-hybrid");
	observed = (struct gw_observation){.windows = windows, .count = 160};
	begin();
	observed.count = 0;
	for (int i = 0; i < 40; i++)
		round_of("5", "1 9");
	gw_policy_rank(&policy, &dirty, &likely);
	assert_int_equal(likely.count, 1);
	assert_int_equal(likely.pages[0].page, 9);
}

/* Windows that hold all of memory push each other out only when there are too many. */
static void whole_windows(void **state)
{
	struct gw_ranking likely;

	(void)state;
	with("sdf-hybrid");
	begin();
	for (int i = 0; i < 10; i++) {
		view.round++;
		gw_set_fill(&written);
		gw_set_fill(&dirty);
		view.dirty_pages = PAGES;
		(void)ask();
		gw_policy_rank(&policy, &dirty, &likely);
		assert_int_equal(likely.count, i ? PAGES : 0);
	}
}

/* 1 was written in both rounds, 2 in the second, 3 in the first: 3 is clean. 9 was never sent. */
static void two_rounds(const char *predictor)
{
	with("deferred");
	let("predictor", predictor);
	begin();
	assert_int_equal(ask(), GW_CONTINUE);
	round_of("1 3", "1 3 9");
	leaves_out(""); /* one round says nothing about the next */
	round_of("1 2", "1 2 9");
}

/* P(1) = 1 at rate 1; P(2) = 1/2 at rate 1/2, as nothing has left 1 yet; P(3) = 1/2. */
static void markov(void **state)
{
	(void)state;
	two_rounds("markov");
	leaves_out("1");
	assert_int_equal(gw_policy_choose(&policy, &view, &defer), 2);
	let("pt", "0.499");
	leaves_out("1");
	let("rt", "0.499");
	leaves_out("1 2");
	let("pt", "0.5");
	leaves_out("1");
	let("pt", "1");
	leaves_out("");
	let("pt", "0");
	let("rt", "0");
	leaves_out("1 2"); /* 3 is clean, 9 has no history */
	fill(&dirty, "1 2");
	view.dirty_pages = 2;
	leaves_out(""); /* a round that sends nothing is none */
	assert_int_equal(gw_policy_choose(&policy, &view, &defer), 2);
}

/* P(1): b = 1/2, g = 0: 0.9. P(2): b = 1, g = 1/2: (0.1 + 2 * 0.9) / 3 = 0.6333. */
static void gilbert_elliott(void **state)
{
	(void)state;
	two_rounds("gilbert-elliott");
	let("rt", "0");
	leaves_out("1 2");
	let("pt", "0.633");
	leaves_out("1 2");
	let("pt", "0.634");
	leaves_out("1");
	let("pt", "0.9");
	leaves_out("");
	let("pt", "0.899");
	let("rt", "0.5");
	leaves_out("1");
}

/* Rounds 11101: P11 = 2/3; 20 was written in all five, 9 in none. lambda is 5 pages a second. */
static void thresholds(void **state)
{
	(void)state;
	with("deferred");
	let("threshold", "auto");
	begin();
	for (int i = 0; i < 5; i++)
		round_of(i == 3 ? "20" : "1 2 3 4 20", "1 2 3 4 9 20");
	view.round_ns = 1000000000;
	view.bandwidth_bytes_per_s = 20 * GW_PAGE_BYTES;
	leaves_out("20"); /* PT = 3/4 */
	view.bandwidth_bytes_per_s = 10 * GW_PAGE_BYTES;
	leaves_out("1 2 3 4 20"); /* PT = 1/2 */
	view.bandwidth_bytes_per_s = 5 * GW_PAGE_BYTES;
	leaves_out("1 2 3 4 20");
	fill(&dirty, "1 2 3 4 20");
	view.dirty_pages = 5;
	leaves_out("20"); /* nothing is worth its time, but a round that sends nothing is none */
}

/* The limit can be kept; the link carries four times what the guest writes: all of it once more. */
static void settles_by_rates(void **state)
{
	(void)state;
	with("deferred");
	let("threshold", "auto");
	begin();
	view.downtime_limit_ns = 1000000000;
	view.round_ns = 1000000000;
	view.bandwidth_bytes_per_s = 20 * GW_PAGE_BYTES;
	round_of("1 2 3 4 20", "1 2 3 4 9 20");
	assert_int_equal(verdict.decision, GW_CONTINUE);
	leaves_out("");
	view.bandwidth_bytes_per_s = 10 * GW_PAGE_BYTES;
	round_of("1 2 3 4 20", "1 2 3 4 9 20");
	assert_int_equal(verdict.decision, GW_STOP_AND_COPY);
}

/* What even a page that is written in every round does not exceed. */
static void thresholds_that_no_page_meets(void **state)
{
	static const char *const none[][3] = {{"markov", "pt", "1"},
	                                      {"markov", "rt", "1"},
	                                      {"gilbert-elliott", "pt", "0.9"},
	                                      {"ewma", "pt", "1"}};

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		with("deferred");
		let("predictor", none[i][0]);
		let(none[i][1], none[i][2]);
		begin();
		assert_int_equal(ask(), GW_CONTINUE);
		assert_non_null(strstr(verdict.reason, "none will be left out"));
		for (int round = 0; round < 8; round++)
			round_of("1", "1 2 3");
		leaves_out("");
	}
	with("deferred");
	let("pt", "0.999");
	begin();
	(void)ask();
	assert_null(strstr(verdict.reason, "none will be left out"));
}

/* What was left out is dirty, and counts in the stop. */
static void stops(void **state)
{
	(void)state;
	with("deferred");
	let("max_rounds", "3");
	let("settle", "0");
	begin();
	view.bandwidth_bytes_per_s = 10 * GW_PAGE_BYTES;
	view.downtime_limit_ns = 300000000;
	round_of("1", "1 2 3 4");
	assert_int_equal(verdict.decision, GW_CONTINUE);
	round_of("", "1 2 3");
	assert_int_equal(verdict.decision, GW_STOP_AND_COPY);
	view.state_bytes = 1;
	round_of("", "1 2 3");
	assert_int_equal(verdict.decision, GW_STOP_AND_COPY);
	assert_non_null(strstr(verdict.reason, "max_rounds"));
	let("max_rounds", "0");
	round_of("", "1 2 3");
	assert_int_equal(verdict.decision, GW_CONTINUE);
}

/*
 * 40.96 MB/s: t = 0.1 ms. f = 2 x 0.04 + 0.1 + 0.22 = 0.4 ms, for two vCPUs 0.2 ms. 500 pages in
 * 100 ms: q = 500 x 0.1 / 200 = 0.25. alpha = 0.1 / (0.1 + 0.25 x 0.2) = 0.667, and by how much
 * the first round did worse than an SDF of 1.
 */
static void alpha_auto(void **state)
{
	(void)state;
	with("sdf-hybrid");
	let("alpha", "auto");
	begin();
	view.bandwidth_bytes_per_s = 40960000;
	view.latency_ns = 40000;
	view.vcpus = 2;
	view.round_ns = 100000000;
	gw_set_init(&written, words[1], PAGES);
	gw_set_add_run(&written, (struct gw_run){0, 50});
	view.round_ns = 10000000; /* 50 in 10 ms are as many */
	assert_int_equal(after(1000, 166, 1000), GW_CONTINUE);
	assert_non_null(strstr(verdict.reason, "SDF 0.834, more than alpha 0.83"));
	assert_int_equal(after(1000, 167, 1000), GW_POST_COPY);
	gw_set_clear(&written); /* nothing is touched: no fault, no round pays */
	assert_int_equal(after(1000, 100, 1000), GW_POST_COPY);
	assert_non_null(strstr(verdict.reason, "alpha 1.000"));
	gw_set_fill(&written); /* q is at most 1: alpha at least 1/3 */
	view.round_ns = 1;
	assert_int_equal(after(1000, 300, 1000), GW_CONTINUE);
	assert_non_null(strstr(verdict.reason, "alpha 0.633"));
	view.bandwidth_bytes_per_s = 0;
	assert_int_equal(after(1000, 60, 1000), GW_POST_COPY);
	let("alpha", "0.5");
	assert_int_equal(after(1000, 60, 1000), GW_CONTINUE);
}

/* A policy that leaves out nothing; what the others cost for a VM of 1 TiB. */
static void the_others(void **state)
{
	(void)state;
	with("precopy");
	assert_int_equal(gw_policy_bytes(&policy, PAGES), 0);
	view.round = 1;
	leaves_out("");
	assert_true(gw_policy_choose(&policy, &view, &defer) == GW_NO_FORECAST);
	assert_string_equal(gw_policy_order(&policy), "linear");
	with("deferred");
	assert_true(gw_policy_bytes(&policy, (uint64_t)1 << 28) < 64 << 20);
	with("sdf-hybrid");
	assert_true(gw_policy_bytes(&policy, (uint64_t)1 << 28) < 256 << 20);
	assert_string_equal(gw_policy_order(&policy), "forecast");
	with("split");
	assert_true(gw_policy_bytes(&policy, (uint64_t)1 << 28) < 256 << 20);
	with("wws-hybrid");
	assert_true(gw_policy_bytes(&policy, (uint64_t)1 << 28) < 128 << 20);
}

static int end(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(shares),
	        cmocka_unit_test(sdf),
	        cmocka_unit_test(markov),
	        cmocka_unit_test(least_likely_half),
	        cmocka_unit_test(thresholds),
	        cmocka_unit_test(settles_by_rates),
	        cmocka_unit_test(thresholds_that_no_page_meets),
	        cmocka_unit_test(gilbert_elliott),
	        cmocka_unit_test(stops),
	        cmocka_unit_test(whole_windows),
	        cmocka_unit_test(alpha_auto),
	        cmocka_unit_test(the_others),
	        cmocka_unit_test(observed_before),
	        cmocka_unit_test(eight_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
