/* SPDX-License-Identifier: MIT */
/*
 * The pacer on links made of arithmetic, in virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "live/net/pacing.h"

#define STEP_NS    UINT64_C(5000000)
#define STEPS_S    200u
#define UNPACED    4000000u /* bytes that TCP keeps in flight when nothing paces it */
#define MEGABYTE_S UINT64_C(1000000)

struct link {
	struct gw_pacer pacer;
	uint64_t rate; /* bytes/s */
	uint64_t now_ns, queue, acked;
	uint64_t steps, queued_steps; /* those that ended with more than a step's bytes queued */
	uint64_t highest;             /* rate that the pacer gave; 0 counts as none */
	bool unpaced_once;
};

static uint64_t look(struct gw_pacer *pacer, uint64_t now_ns, uint64_t acked_bytes, bool busy)
{
	struct gw_pacer_look look = {.acked_bytes = acked_bytes, .busy = busy};

	return gw_pacer_update(pacer, now_ns, &look);
}

/* Offers for so many steps what the pacer allows. */
static void run_steps(struct link *link, uint64_t steps, bool busy)
{
	uint64_t carries, allowed, rate;

	link->steps = link->queued_steps = link->highest = 0;
	link->unpaced_once = false;
	for (uint64_t i = 0; i < steps; i++) {
		rate = look(&link->pacer, link->now_ns, link->acked, busy);
		link->unpaced_once |= !rate;
		link->highest = rate > link->highest ? rate : link->highest;
		carries = link->rate * STEP_NS / 1000000000;
		allowed = rate ? rate * STEP_NS / 1000000000 : UNPACED;
		if (allowed > UNPACED + carries - link->queue)
			allowed = UNPACED + carries - link->queue;
		link->queue += busy ? allowed : allowed / 10; /* a trickle is no measure */
		carries = carries < link->queue ? carries : link->queue;
		link->queue -= carries;
		link->acked += carries;
		link->now_ns += STEP_NS;
		link->steps++;
		link->queued_steps += link->queue > link->rate * STEP_NS / 1000000000;
	}
}

static void run(struct link *link, uint64_t seconds, bool busy)
{
	run_steps(link, seconds * STEPS_S, busy);
}

static struct link make(uint64_t rate, uint64_t limit)
{
	struct link link = {.rate = rate, .now_ns = 12345};

	gw_pacer_init(&link.pacer, limit, 100000);
	return link;
}

static void stays_just_below(struct link *link)
{
	uint64_t before = link->acked;

	run(link, 10, true);
	assert_false(link->unpaced_once);
	/* Most of the link is used, and hardly ever does a queue stand. */
	assert_true(link->acked - before >= link->rate * 10 / 100 * 90);
	assert_true(link->queued_steps * 10 <= link->steps);
	assert_true(link->highest <= link->rate / 100 * 112);
}

static void test_settles(void **state)
{
	static const uint64_t rates[] = {2 * MEGABYTE_S, 10 * MEGABYTE_S, 50 * MEGABYTE_S,
	                                 1200 * MEGABYTE_S};

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct link link = make(rates[i], 0);
		assert_int_equal(look(&link.pacer, 0, 0, true), 0);
		run(&link, 25, true);
		stays_just_below(&link);
	}
}

static void test_link_becomes_faster(void **state)
{
	struct link link = make(10 * MEGABYTE_S, 0);

	(void)state;
	run(&link, 10, true);
	link.rate = 100 * MEGABYTE_S;
	run(&link, 15, true);
	stays_just_below(&link);
}

static void test_link_becomes_slower(void **state)
{
	struct link link = make(100 * MEGABYTE_S, 0);

	(void)state;
	run(&link, 10, true);
	link.rate = 20 * MEGABYTE_S;
	run(&link, 5, true);
	stays_just_below(&link);
}

static void test_idle_says_nothing(void **state)
{
	struct link link = make(50 * MEGABYTE_S, 0);
	uint64_t before;

	(void)state;
	run(&link, 10, true);
	before = link.pacer.link_bytes_per_s;
	run(&link, 30, false);
	assert_int_equal(link.pacer.link_bytes_per_s, before);
	stays_just_below(&link);
}

static void test_limit(void **state)
{
	struct link link = make(50 * MEGABYTE_S, 8 * MEGABYTE_S);
	uint64_t before;

	(void)state;
	assert_int_equal(look(&link.pacer, 0, 0, true), 8 * MEGABYTE_S);
	for (int i = 0; i < 5; i++) {
		before = link.acked;
		run(&link, 20, true);
		assert_int_equal(link.highest, 8 * MEGABYTE_S);
		assert_false(link.unpaced_once);
		/* Nor does the limit wear itself down. */
		assert_true(link.acked - before >= 20 * 8 * MEGABYTE_S / 100 * (i ? 99 : 95));
	}
	gw_pacer_limit(&link.pacer, 0);
	run(&link, 15, true);
	stays_just_below(&link);
	gw_pacer_limit(&link.pacer, 3 * MEGABYTE_S);
	run(&link, 5, true);
	assert_int_equal(link.highest, 3 * MEGABYTE_S);
}

static void test_limit_just_below_the_link(void **state)
{
	struct link link = make(50 * MEGABYTE_S, 0);
	uint64_t before;

	(void)state;
	run(&link, 10, true);
	gw_pacer_limit(&link.pacer, 45 * MEGABYTE_S);
	run(&link, 30, true);
	before = link.acked;
	run(&link, 30, true);
	assert_int_equal(link.highest, 45 * MEGABYTE_S);
	assert_true(link.acked - before >= 30 * 45 * MEGABYTE_S / 100 * 99);
}

/* What is not known is looked for in windows so short that hardly a queue can grow. */
static void test_starts_soon(void **state)
{
	struct link link = make(50 * MEGABYTE_S, 0);
	uint64_t steps = 0;

	(void)state;
	while (!link.pacer.link_bytes_per_s && steps++ < 20)
		run_steps(&link, 1, true);
	assert_true(steps <= 12); /* 60 ms */
	assert_in_range(link.pacer.link_bytes_per_s, 49 * MEGABYTE_S, 51 * MEGABYTE_S);
}

/* With a round trip of 25 ms the same windows would see nothing but TCP's bursts. */
static void test_long_round_trip(void **state)
{
	struct gw_pacer pacer;
	uint64_t now_ns = 0, acked = 0;

	(void)state;
	gw_pacer_init(&pacer, 0, 25000000);
	for (int trip = 0; !pacer.link_bytes_per_s && trip < 40; trip++) {
		for (int part = 0; part < 25; part++, now_ns += 1000000)
			(void)look(&pacer, now_ns, acked, true);
		acked += trip < 6 ? 20000ull << trip : 1250000; /* slow start */
	}
	assert_in_range(pacer.link_bytes_per_s, 49 * MEGABYTE_S, 51 * MEGABYTE_S);
}

/* The first window shows a full token bucket besides, the third one a sender without processor. */
static void test_disturbed_start(void **state)
{
	static const uint64_t percents[] = {130, 100, 40, 101, 99, 100};
	struct gw_pacer pacer;
	uint64_t now_ns = 0, acked = 0;

	(void)state;
	gw_pacer_init(&pacer, 0, 100000);
	(void)look(&pacer, now_ns, acked, true);
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		assert_int_equal(pacer.link_bytes_per_s, 0);
		now_ns += 10000000;
		acked += 500000 / 100 * percents[i];
		(void)look(&pacer, now_ns, acked, true);
	}
	assert_int_equal(pacer.link_bytes_per_s, 50 * MEGABYTE_S);
}

/* Where no three are alike, the best is nearer to the link than any other. */
static void test_uneven_start(void **state)
{
	struct gw_pacer pacer;
	uint64_t now_ns = 0, acked = 0;
	int windows = 0;

	(void)state;
	gw_pacer_init(&pacer, 0, 100000);
	(void)look(&pacer, now_ns, acked, true);
	for (; !pacer.link_bytes_per_s && windows < 100; windows++) {
		now_ns += 10000000;
		acked += windows % 2 ? 500000 : 100000;
		(void)look(&pacer, now_ns, acked, true);
	}
	assert_in_range(windows, 10, 30);
	assert_int_equal(pacer.link_bytes_per_s, 50 * MEGABYTE_S);
}

static void test_start_without_link(void **state)
{
	struct link link = make(0, 0);

	(void)state;
	run(&link, 2, true);
	assert_int_equal(link.pacer.link_bytes_per_s, 0);
	link.rate = 50 * MEGABYTE_S;
	run(&link, 2, true);
	stays_just_below(&link);
}

static void test_shaped_uses_all(void **state)
{
	struct link link = make(50 * MEGABYTE_S, 0);
	uint64_t before;

	(void)state;
	run(&link, 5, true);
	gw_pacer_shaped(&link.pacer);
	run(&link, 5, true);
	before = link.acked;
	run(&link, 10, true);
	assert_true(link.acked - before >= link.rate * 10 / 1000 * 985);
	assert_true(link.queued_steps * 10 <= link.steps);
}

/* Each offer that is refused makes the next one come later, down to a limit. */
static void test_offers_become_seldom(void **state)
{
	struct link link = make(50 * MEGABYTE_S, 0);
	unsigned offers = 0;
	bool offered = false;

	(void)state;
	run(&link, 10, true);
	for (unsigned i = 0; i < 20 * STEPS_S; i++) {
		run_steps(&link, 1, true);
		offers += !offered && link.pacer.gain > link.pacer.share;
		offered = link.pacer.gain > link.pacer.share;
	}
	assert_in_range(offers, 3, 5);
}

/* Bulk that pauses inside a window, and only there, sends less than the link would carry. */
static void test_breaks_inside_windows(void **state)
{
	struct link link = make(50 * MEGABYTE_S, 0);
	uint64_t before;

	(void)state;
	run(&link, 10, true);
	before = link.pacer.link_bytes_per_s;
	for (int i = 0; i < 200; i++) {
		(void)look(&link.pacer, link.now_ns, link.acked, i % 2 == 0);
		link.now_ns += GW_PACER_WINDOW_NS / 2;
		link.acked += MEGABYTE_S / 10;
	}
	assert_int_equal(link.pacer.link_bytes_per_s, before);
}

/* Half of what is offered is sent because half of the time nobody has a processor to send it. */
static void test_sender_without_processor(void **state)
{
	struct link link = make(50 * MEGABYTE_S, 0);
	uint64_t before;

	(void)state;
	run(&link, 10, true);
	before = link.pacer.link_bytes_per_s;
	for (int i = 0; i < 400; i++) {
		struct gw_pacer_look seen = {.acked_bytes = link.acked, .busy = true, .dry = i % 2};

		(void)gw_pacer_update(&link.pacer, link.now_ns, &seen);
		link.now_ns += GW_PACER_WINDOW_NS / 4;
		link.acked += 25 * MEGABYTE_S / 40;
	}
	assert_int_equal(link.pacer.link_bytes_per_s, before);
	run(&link, 5, true);
	stays_just_below(&link);
}

/* A first measure can be too high: a token bucket starts full. */
static void test_too_high_a_belief(void **state)
{
	struct link link = make(50 * MEGABYTE_S, 0);

	(void)state;
	run(&link, 10, true);
	link.pacer.link_bytes_per_s = 52 * MEGABYTE_S;
	run(&link, 15, true);
	assert_true(link.pacer.link_bytes_per_s <= 50500000);
	stays_just_below(&link);
}

static void test_link_that_stalls(void **state)
{
	struct link link = make(50 * MEGABYTE_S, 0);

	(void)state;
	run(&link, 10, true);
	link.rate = 0;
	run(&link, 5, true);
	assert_true(link.pacer.rate_bytes_per_s > 0); /* 0 would mean unpaced */
	link.rate = 50 * MEGABYTE_S;
	run(&link, 15, true);
	stays_just_below(&link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_settles),
	        cmocka_unit_test(test_link_becomes_faster),
	        cmocka_unit_test(test_link_becomes_slower),
	        cmocka_unit_test(test_idle_says_nothing),
	        cmocka_unit_test(test_limit),
	        cmocka_unit_test(test_link_that_stalls),
	        cmocka_unit_test(test_limit_just_below_the_link),
	        cmocka_unit_test(test_too_high_a_belief),
	        cmocka_unit_test(test_sender_without_processor),
	        cmocka_unit_test(test_breaks_inside_windows),
	        cmocka_unit_test(test_starts_soon),
	        cmocka_unit_test(test_long_round_trip),
	        cmocka_unit_test(test_disturbed_start),
	        cmocka_unit_test(test_uneven_start),
	        cmocka_unit_test(test_start_without_link),
	        cmocka_unit_test(test_shaped_uses_all),
	        cmocka_unit_test(test_offers_become_seldom),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
