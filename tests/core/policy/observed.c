/* SPDX-License-Identifier: MIT */
/* The policies that live on what was observed before the move: split, and our own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/policy/policy.h"

#define PAGES     1000
#define WINDOWS   160
#define WINDOW_NS 50000000u
#define RATE      40960000u /* a page takes 0.1 ms */

static struct gw_policy policy;
static struct gw_verdict verdict;
static struct gw_view view;
static struct gw_window windows[WINDOWS];
static uint64_t words[3][GW_SET_WORDS(PAGES)];
static struct gw_set dirty, written, defer;
static void *memory;
static bool drifts; /* one page more in each window, never the same */

static void with(const char *name)
{
	assert_int_equal(gw_policy_init(&policy, name), 0);
	gw_set_init(&dirty, words[0], PAGES);
	gw_set_init(&written, words[1], PAGES);
	gw_set_init(&defer, words[2], PAGES);
	gw_set_fill(&dirty);
	view = (struct gw_view){.ram_pages = PAGES,
	                        .populated_pages = PAGES,
	                        .dirty_pages = PAGES,
	                        .previous_dirty_pages = PAGES,
	                        .limit_bytes_per_s = RATE,
	                        .latency_ns = 100000,
	                        .vcpus = 1,
	                        .downtime_limit_ns = 30000000,
	                        .dirty = &dirty};
}

static void let(const char *key, const char *value)
{
	assert_int_equal(gw_policy_set(&policy, key, value), 0);
}

static void refused(const char *key, const char *value)
{
	assert_int_equal(gw_policy_set(&policy, key, value), -EINVAL);
}

static enum gw_decision ask(void)
{
	gw_policy_decide(&policy, &view, &verdict);
	assert_true(verdict.reason[0]);
	return verdict.decision;
}

static void says(const char *words_of_it)
{
	if (!strstr(verdict.reason, words_of_it))
		fail_msg("\"%s\" does not say \"%s\"", verdict.reason, words_of_it);
}

/* Each window like this; reads in every tenth, if at all. The memory is not clean. */
static void begin(size_t count, struct gw_run writes, struct gw_run reads)
{
	static struct gw_run runs[WINDOWS][2];
	size_t bytes = gw_policy_bytes(&policy, PAGES);

	free(memory);
	memory = malloc(bytes);
	assert_non_null(memory);
	memset(memory, 0xa5, bytes);
	for (size_t i = 0; i < count; i++) {
		runs[i][0] = writes;
		runs[i][1] = (struct gw_run){700 + i, 1};
		windows[i] = (struct gw_window){
		        .start_ns = i * WINDOW_NS,
		        .length_ns = WINDOW_NS,
		        .written = runs[i],
		        .written_count = drifts ? 2 : writes.count != 0,
		        .read = &reads,
		        .read_count = reads.count && i % 10 == 0,
		        .read_sampled = i % 10 == 0,
		};
	}
	gw_policy_start(&policy, memory, PAGES,
	                &(struct gw_observation){.windows = windows, .count = count});
}

static void choose(void)
{
	gw_set_fill(&defer); /* what was in it does not matter */
	(void)gw_policy_choose(&policy, &view, &defer);
}

/* A round has ended in which these were written; they are dirty, and what was left out. */
static void round_of(struct gw_run wrote, uint64_t sent)
{
	view.round++;
	view.written = &written;
	gw_set_clear(&written);
	gw_set_add_run(&written, wrote);
	gw_set_copy(&dirty, &defer);
	gw_set_add_run(&dirty, wrote);
	view.previous_dirty_pages = view.dirty_pages;
	view.dirty_pages = gw_set_count(&dirty);
	view.sent_pages = sent;
	view.sent_total_pages += sent;
	view.round_ns = sent * 100000;
	view.now_ns += view.round_ns;
}

static void count_is(const struct gw_set *set, struct gw_run run, uint64_t count)
{
	assert_int_equal(gw_set_count_run(set, run), count);
}

static const struct gw_run none = {0, 0}, hot = {100, 40}, cold = {140, 860}, all = {0, PAGES};

/* --- split ----------------------------------------------------------------------------------- */

/*
 * 40 pages are written over 8 s, 0.02 MB/s, and 60 read. V1 = 0.4 V = 400 pages: the 60 that are
 * read, 340 of those that nothing touches. l = 30 ms x 40.96 MB/s = 300 pages. lw / mu = 0.0005, so
 * one iteration more: T1 = 400 x 0.1 ms x 1.0005, T2 = 30 ms, T3 = 600 pages / (mu) = 60 ms at
 * eta = 1; Tm = 0.13 s. Td = 30 ms + lr T3 = 7.5 pages/s x 60 ms x 0.1 ms.
 */
static void split(void **state)
{
	const struct gw_run reads = {200, 60};

	(void)state;
	with("split");
	assert_true(gw_policy_observes_ns(&policy) == 8000000000);
	begin(WINDOWS, hot, reads);
	assert_int_equal(ask(), GW_CONTINUE);
	says("V1 1.6 of 4.1 MB (written 0.0, read 0.0 MB/s) in 2 rounds at 41.0 MB/s: Tm 0.13 s, "
	     "Td 0.03 s");
	choose();
	assert_int_equal(gw_set_count(&defer), 600);
	count_is(&defer, reads, 0);
	count_is(&defer, hot, 40);
	count_is(&defer, (struct gw_run){0, 100}, 0);
	/* Two pages of V1 were written, 38 of V3: the two may go while the VM stands. */
	round_of((struct gw_run){98, 40}, 400);
	assert_int_equal(ask(), GW_POST_COPY);
	says("2 pages of V1 left, 300 may go while the VM stands, 600 are of V3");
	assert_true(verdict.rate_bytes_per_s == 0);
	gw_policy_keep(&policy, NULL, &dirty);
	assert_int_equal(gw_set_count(&dirty), 600);
	count_is(&dirty, (struct gw_run){98, 2}, 0);
}

/* l of one page makes another round, of what is dirty in V1; eta is the push's share. */
static void split_settings(void **state)
{
	(void)state;
	with("split");
	refused("background_share", "0");
	refused("background_share", "1.1");
	refused("stop_limit", "-1");
	refused("stop_limit", "4k");
	assert_int_equal(gw_policy_set(&policy, "alpha", "1"), -ENOENT);
	let("background_share", "0.25");
	let("stop_limit", "4096");
	begin(WINDOWS, hot, (struct gw_run){200, 60});
	assert_int_equal(ask(), GW_CONTINUE);
	choose();
	round_of((struct gw_run){90, 20}, 400);
	assert_int_equal(ask(), GW_CONTINUE);
	choose();
	count_is(&defer, (struct gw_run){90, 10}, 0);
	assert_int_equal(gw_set_count(&defer), 600);
	round_of((struct gw_run){98, 2}, 10);
	assert_int_equal(ask(), GW_POST_COPY);
	says("2 pages of V1 left, 1 may go");
	assert_int_equal(verdict.rate_bytes_per_s, RATE / 4);
	gw_policy_keep(&policy, NULL, &dirty);
	assert_int_equal(gw_set_count(&dirty), 601);
}

static void split_fallbacks(void **state)
{
	(void)state;
	with("split"); /* nothing known */
	begin(0, none, none);
	assert_int_equal(ask(), GW_CONTINUE);
	says("not observed");
	choose();
	assert_true(gw_set_empty(&defer));
	round_of(hot, PAGES);
	assert_int_equal(ask(), GW_POST_COPY);
	gw_policy_keep(&policy, &written, &dirty);
	assert_int_equal(gw_set_count(&dirty), 40);
	with("split"); /* both rates 0 */
	begin(WINDOWS, none, none);
	assert_int_equal(ask(), GW_POST_COPY);
	says("V1 = 0");
	with("split"); /* 1000 pages in 50 ms: 82 MB/s, twice the link's */
	begin(1, all, none);
	assert_int_equal(ask(), GW_CONTINUE);
	says("written 81.9 MB/s, the link carries 41.0: iterations diverge");
	choose();
	assert_true(gw_set_empty(&defer));
	round_of(all, PAGES);
	assert_int_equal(ask(), GW_POST_COPY); /* one pass, and l while the VM stands */
	gw_policy_keep(&policy, NULL, &dirty);
	assert_int_equal(gw_set_count(&dirty), PAGES - 300);
}

/* --- wws-hybrid ------------------------------------------------------------------------------ */

static void wws(void **state)
{
	struct gw_ranking likely;

	(void)state;
	with("wws-hybrid");
	let("stop_share", "1");
	let("max_rounds", "1");
	begin(WINDOWS, hot, none);
	assert_int_equal(ask(), GW_CONTINUE);
	choose();
	count_is(&defer, hot, 40);
	count_is(&defer, cold, 0);
	assert_int_equal(gw_set_count(&defer), 40);
	round_of(hot, PAGES - 40);
	assert_int_equal(ask(), GW_POST_COPY);
	gw_policy_rank(&policy, &dirty, &likely);
	assert_int_equal(likely.count, 40);
	count_is(&dirty, (struct gw_run){likely.pages[0].page, 1}, 1);
	/* 30 ms less 20 for the switch itself carry 100 pages: all 40, for a fault takes longer. */
	gw_policy_keep(&policy, &written, &dirty);
	assert_true(gw_set_empty(&dirty));
}

/* What was left out and turned out quiet goes in a round; one page more than hybrid never. */
static void wws_rounds(void **state)
{
	(void)state;
	with("wws-hybrid");
	drifts = true;
	begin(WINDOWS, hot, none);
	drifts = false;
	(void)ask();
	choose();
	round_of(hot, PAGES - 40);
	gw_set_add_run(&written, (struct gw_run){400, 100});
	gw_set_add_run(&dirty, (struct gw_run){400, 100});
	view.dirty_pages += 100;
	assert_int_equal(ask(), GW_CONTINUE);
	says("off the switch");
	choose();
	assert_in_range(gw_set_count_run(&defer, (struct gw_run){400, 100}), 0, 75);
	view.sent_total_pages = PAGES + 100;
	assert_int_equal(ask(), GW_POST_COPY);
	view.sent_total_pages = PAGES - 40;
	view.deadline_ns = view.now_ns;
	assert_int_equal(ask(), GW_POST_COPY);
	says("deadline");
	view.deadline_ns = 0;
	let("max_rounds", "1");
	assert_int_equal(ask(), GW_POST_COPY);
	says("max_rounds");
}

static void wws_stop(uint64_t limit_ns, const char *share, uint64_t pulled)
{
	struct gw_ranking likely;

	with("wws-hybrid");
	let("stop_share", share);
	begin(WINDOWS, hot, none);
	view.downtime_limit_ns = limit_ns;
	(void)ask();
	choose();
	round_of(hot, PAGES - 40);
	(void)ask();
	gw_policy_rank(&policy, &dirty, &likely);
	gw_policy_keep(&policy, &written, &dirty);
	assert_int_equal(gw_set_count(&dirty), pulled);
}

/* The stop is the user's: 0.5 x 4 ms is 20 pages, but 20 ms of the limit are the switch's. */
static void wws_keeps_the_limit(void **state)
{
	(void)state;
	wws_stop(30000000, "0", 40);
	wws_stop(20000000, "1", 40);
	wws_stop(10000000, "1", 40);
	wws_stop(22000000, "1", 20);
	wws_stop(40000000, "0.05", 20);
	wws_stop(0, "1", 40);
}

static void wws_fallbacks(void **state)
{
	struct gw_ranking likely;

	(void)state;
	with("wws-hybrid");
	refused("stop_share", "1.5");
	refused("worth", "1001");
	refused("max_rounds", "0");
	refused("observe", "long");
	begin(0, none, none);
	assert_int_equal(ask(), GW_CONTINUE);
	says("not observed");
	choose();
	assert_true(gw_set_empty(&defer));
	round_of(hot, PAGES);
	assert_int_equal(ask(), GW_POST_COPY);
	says("as hybrid");
	gw_policy_rank(&policy, &dirty, &likely);
	assert_int_equal(likely.count, 0);
	gw_policy_keep(&policy, &written, &dirty);
	assert_int_equal(gw_set_count(&dirty), 40);
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
	        cmocka_unit_test(split),        cmocka_unit_test(split_settings),
	        cmocka_unit_test(wws),          cmocka_unit_test(split_fallbacks),
	        cmocka_unit_test(wws_rounds),   cmocka_unit_test(wws_keeps_the_limit),
	        cmocka_unit_test(wws_fallbacks)};

	return cmocka_run_group_tests(tests, NULL, end);
}
