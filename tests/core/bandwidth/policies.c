/* SPDX-License-Identifier: MIT */
/*
 * S2's listing as worked cases in both readings, what each policy promises by hand, and what all
 * of them promise on ten thousand random links. Rates are in bytes a second.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/bandwidth/bandwidth.h"

#define COUNT_MAX 12
#define SECOND    UINT64_C(1000000000)

static struct gw_bandwidth policy;
static struct gw_grant grants[COUNT_MAX];
static uint64_t next_ns; /* when it is asked anew */

static void with(const char *name, const char *key, const char *value)
{
	assert_int_equal(gw_bandwidth_init(&policy, name), 0);
	if (key)
		assert_int_equal(gw_bandwidth_set(&policy, key, value), 0);
}

static void divide(uint64_t total, uint64_t used, const struct gw_mover *movers, size_t count)
{
	struct gw_uplink link = {
	        .total_bytes_per_s = total, .used_bytes_per_s = used, .next_ns = next_ns};

	gw_bandwidth_divide(&policy, &link, movers, grants, count);
}

static void granted(size_t i, uint64_t rate, uint64_t reserved)
{
	assert_false(grants[i].waits);
	assert_int_equal(grants[i].rate_bytes_per_s, rate);
	assert_int_equal(grants[i].reserved_bytes_per_s, reserved);
	assert_non_null(grants[i].reason);
}

static void settings(void **state)
{
	(void)state;
	assert_int_equal(gw_bandwidth_init(&policy, "none"), -ENOENT);
	with("nrac", NULL, NULL);
	assert_int_equal(gw_bandwidth_set(&policy, "least", "0.1"), -ENOENT);
	assert_int_equal(gw_bandwidth_set(&policy, "reading", "none"), -EINVAL);
	assert_int_equal(gw_bandwidth_set(&policy, "network_above", "8mbit"), 0);
	assert_int_equal(policy.thresholds.network_bytes_per_s, 1000000);
	assert_int_equal(gw_bandwidth_set(&policy, "network_above", "8 mbit"), -EINVAL);
	with("fair", NULL, NULL);
	assert_int_equal(gw_bandwidth_set(&policy, "reading", "text"), -ENOENT);
}

static void classes(void **state)
{
	struct gw_mover m = {
	        .traffic_bytes_per_s = 1250001, .dirty_bytes_per_s = 8000001, .cpu_permille = 301};

	(void)state;
	with("fair", NULL, NULL);
	assert_int_equal(gw_application_of(&policy.thresholds, &m), GW_APP_NETWORK);
	m.traffic_bytes_per_s--; /* the listing's <= Th_r */
	assert_int_equal(gw_application_of(&policy.thresholds, &m), GW_APP_MEMORY);
	m.dirty_bytes_per_s--;
	assert_int_equal(gw_application_of(&policy.thresholds, &m), GW_APP_CPU);
	m.cpu_permille--;
	assert_int_equal(gw_application_of(&policy.thresholds, &m), GW_APP_IDLE);
}

/* Nt 6.25 MB/s (50 Mbit/s), Nu 0.25: Nf is 6 MB/s. */
static void listing(void **state)
{
	struct gw_mover m = {.state = GW_MOVER_COPIES, .dirty_bytes_per_s = 4000000};

	(void)state;
	with("nrac", NULL, NULL);
	divide(6250000, 250000, &m, 1); /* Nf >= De: Nc = De */
	granted(0, 4000000, 0);
	m.dirty_bytes_per_s = 6000000; /* just so */
	divide(6250000, 250000, &m, 1);
	granted(0, 6000000, 0);
	m.dirty_bytes_per_s = 6000001; /* Nf < De: Nc = Nf */
	divide(6250000, 250000, &m, 1);
	granted(0, 6000000, 0);
	m.traffic_bytes_per_s = 1250001; /* network-intensive: Nf > Napp + De */
	m.traffic_next_bytes_per_s = 2000000;
	m.dirty_bytes_per_s = 3999999;
	divide(6250000, 250000, &m, 1);
	granted(0, 3999999, 2000000);
	m.dirty_bytes_per_s = 4000000; /* Nf = Napp + De: Nc = Nf */
	divide(6250000, 250000, &m, 1);
	granted(0, 6000000, 0);
	divide(250000, 6250000, &m, 1); /* others use more than there is */
	granted(0, 0, 0);
}

static void text(void **state)
{
	struct gw_mover m = {.state = GW_MOVER_COPIES, .dirty_bytes_per_s = 4000000};

	(void)state;
	with("nrac", "reading", "text");
	divide(6250000, 250000, &m, 1); /* enough: nothing is adjusted */
	granted(0, 6000000, 0);
	m.traffic_bytes_per_s = 1250001;
	m.traffic_next_bytes_per_s = 2000000;
	divide(6250000, 250000, &m, 1); /* Nf - Napp */
	granted(0, 4000000, 2000000);
	m.traffic_next_bytes_per_s = 7000000; /* more than there is: never negative */
	divide(6250000, 250000, &m, 1);
	granted(0, 0, 6000000);
}

/* What is left because a few bytes of own traffic come and go is no rate to begin with. */
static void crumbs(void **state)
{
	struct gw_mover m[2] = {
	        {.state = GW_MOVER_COPIES, .traffic_bytes_per_s = 100, .dirty_bytes_per_s = 1000},
	        {.state = GW_MOVER_WAITS, .traffic_bytes_per_s = 500, .dirty_bytes_per_s = 1000},
	};

	(void)state;
	with("nrac", "reading", "text");
	divide(6250000, 250000, m, 2);
	granted(0, 6000000 - 500, 0);
	assert_true(grants[1].waits);
	m[0].limit_bytes_per_s = 5000000;
	divide(6250000, 250000, m, 2);
	assert_false(grants[1].waits);
	granted(1, 1000000 - 100, 0);
}

/* Line 8: one that is not network-intensive has too little, so those that are wait. */
static void delayed(void **state)
{
	struct gw_mover m[3] = {
	        {.state = GW_MOVER_WAITS,
	         .traffic_bytes_per_s = 2000000,
	         .traffic_next_bytes_per_s = 2000000,
	         .dirty_bytes_per_s = 100000},
	        {.state = GW_MOVER_WAITS, .dirty_bytes_per_s = 9000000},
	        {.state = GW_MOVER_COPIES,
	         .traffic_bytes_per_s = 1500000,
	         .traffic_next_bytes_per_s = 1500000,
	         .dirty_bytes_per_s = 100000},
	};

	(void)state;
	with("nrac", NULL, NULL);
	divide(10000000, 0, m, 3);
	/* The third is under way, and is never delayed; the first's own traffic is not free. */
	granted(2, 100000, 1500000);
	granted(1, 6400000, 0);
	assert_true(grants[0].waits);
	assert_int_equal(grants[0].rate_bytes_per_s, 0);
	m[1].dirty_bytes_per_s = 6400000; /* enough: nobody waits */
	divide(10000000, 0, m, 3);
	granted(1, 6400000, 0);
	granted(0, 2000000, 0);
}

static void work_conserving(void **state)
{
	struct gw_mover m[3] = {
	        {.state = GW_MOVER_COPIES, .dirty_bytes_per_s = 1000000},
	        {.state = GW_MOVER_COPIES, .dirty_bytes_per_s = 3000000},
	        {.state = GW_MOVER_WAITS,
	         .traffic_bytes_per_s = 2000000,
	         .traffic_next_bytes_per_s = 2000000,
	         .dirty_bytes_per_s = 500000},
	};

	(void)state;
	with("nrac-wc", NULL, NULL);
	divide(10000000, 500000, m, 3); /* 9.5, of which 2 are reserved */
	granted(0, 7500000, 0);
	granted(1, 0, 0);
	assert_true(grants[2].waits);
	assert_int_equal(grants[2].reserved_bytes_per_s, 2000000);
	m[0].limit_bytes_per_s = 1500000;
	m[1].limit_bytes_per_s = 4000000;
	divide(10000000, 500000, m, 3); /* their limits leave something */
	granted(0, 1500000, 0);
	granted(1, 4000000, 0);
	granted(2, 2000000, 2000000);
	m[1].limit_bytes_per_s = 0;
	m[1].dirty_bytes_per_s = 7000000; /* more than the link leaves: the third is delayed */
	divide(10000000, 500000, m, 3);
	granted(1, 6000000, 0);
	assert_true(grants[2].waits);
	assert_non_null(strstr(grants[2].reason, "go first"));
	m[2].traffic_next_bytes_per_s = 20000000; /* all but the least */
	divide(10000000, 0, m, 3);
	assert_int_equal(grants[2].reserved_bytes_per_s, 9500000);
	assert_int_equal(grants[0].rate_bytes_per_s + grants[1].rate_bytes_per_s, 500000);
}

static void equal_shares(void **state)
{
	struct gw_mover m[4] = {{.state = GW_MOVER_COPIES},
	                        {.state = GW_MOVER_WAITS, .limit_bytes_per_s = 100},
	                        {.state = GW_MOVER_COPIES},
	                        {.state = GW_MOVER_COPIES}};

	(void)state;
	with("fair", NULL, NULL);
	divide(1200, 100, m, 4);
	granted(0, 334, 0);
	granted(1, 100, 0);
	granted(2, 333, 0);
	granted(3, 333, 0);
	m[3].state = GW_MOVER_SWITCHES;
	divide(1200, 100, m, 4);
	granted(3, 1100, 0);
	granted(0, 0, 0);
}

static void one_after_the_other(void **state)
{
	struct gw_mover m[3] = {
	        {.left_bytes = 100000000, .deadline_ns = 100 * SECOND},
	        {.left_bytes = 500000000, .deadline_ns = 100 * SECOND},
	        {.left_bytes = 10000000, .deadline_ns = 100 * SECOND},
	};

	(void)state;
	with("deadline", NULL, NULL);
	divide(10000000, 0, m, 3); /* the second must begin first */
	assert_true(grants[0].waits);
	granted(1, 10000000, 0);
	assert_true(grants[2].waits);
	m[1].state = GW_MOVER_COPIES;
	m[1].left_bytes = 5000000; /* it is about to switch: the next one fills the pause */
	divide(10000000, 0, m, 3);
	granted(1, 10000000, 0);
	granted(0, 0, 0);
	assert_true(grants[2].waits);
	next_ns = 8 * SECOND; /* in an eighth of that it can use no more than half */
	divide(10000000, 0, m, 3);
	next_ns = 0;
	granted(1, 5000000, 0);
	granted(0, 5000000, 0);
	m[1].left_bytes = 500000000;
	m[1].limit_bytes_per_s = 6000000; /* so there is room for another */
	divide(10000000, 0, m, 3);
	granted(1, 6000000, 0);
	granted(0, 4000000, 0);
	assert_true(grants[2].waits);
}

static void in_time(void **state)
{
	struct gw_mover m[3] = {
	        {.state = GW_MOVER_COPIES,
	         .left_bytes = 400000000,
	         .dirty_bytes_per_s = 1000000,
	         .deadline_ns = 100 * SECOND},
	        {.left_bytes = 100000000, .deadline_ns = 30 * SECOND},
	        {.left_bytes = 900000000, .deadline_ns = 30 * SECOND},
	};

	(void)state;
	with("deadline", NULL, NULL);
	/* The second cannot wait 44 s for the first, and both can be in time; the third cannot. */
	divide(10000000, 0, m, 3);
	granted(0, 1000000, 0);
	granted(1, 9000000, 0);
	assert_true(grants[2].waits);
	m[2].priority = m[1].priority = 1;
	m[0].state = GW_MOVER_WAITS;
	m[0].deadline_ns = 0; /* it begins before the others; the second cannot wait for it */
	divide(10000000, 0, m, 3);
	granted(0, 1000000, 0);
	granted(1, 9000000, 0);
	m[1].deadline_ns = 0; /* it can */
	divide(10000000, 0, m, 3);
	granted(0, 10000000, 0);
	assert_true(grants[1].waits);
}

/* Who cannot be in time any more does not keep others from it. */
static void the_lost_come_last(void **state)
{
	struct gw_mover m[2] = {
	        {.left_bytes = 900000000, .deadline_ns = 30 * SECOND},
	        {.left_bytes = 200000000, .deadline_ns = 30 * SECOND},
	};

	(void)state;
	with("deadline", NULL, NULL);
	divide(10000000, 0, m, 2);
	assert_true(grants[0].waits);
	granted(1, 10000000, 0);
}

/* What was sent of one that is interrupted is dirtied again; one that is set up sends nothing. */
static void what_was_begun_is_ended(void **state)
{
	struct gw_mover m[3] = {
	        {.state = GW_MOVER_BEGINS, .left_bytes = 50000000, .deadline_ns = 100 * SECOND},
	        {.state = GW_MOVER_COPIES, .left_bytes = 400000000, .deadline_ns = 100 * SECOND},
	        {.state = GW_MOVER_COPIES, .left_bytes = 100000000, .deadline_ns = 100 * SECOND},
	};

	(void)state;
	with("deadline", NULL, NULL);
	divide(10000000, 0, m, 3);
	granted(0, 0, 0);
	granted(1, 0, 0);
	granted(2, 10000000, 0);
	m[1].deadline_ns = 60 * SECOND;
	divide(10000000, 0, m, 3);
	granted(1, 10000000, 0);
	assert_int_equal(gw_mover_state_of(GW_STATE_RESERVATION), GW_MOVER_BEGINS);
	assert_int_equal(gw_mover_state_of(GW_STATE_ITERATIVE_PRE_COPY), GW_MOVER_COPIES);
}

/* Two ways of 4 and 6 MB/s behind a link of 10: one move on each, none for a second on either. */
static void ways_behind(void **state)
{
	struct gw_mover m[4] = {
	        {.state = GW_MOVER_COPIES, .left_bytes = 400000000, .way = 1},
	        {.left_bytes = 300000000, .way = 1},
	        {.left_bytes = 200000000, .way = 2},
	        {.left_bytes = 100000000, .way = 2},
	};

	(void)state;
	for (size_t i = 0; i < 4; i++)
		m[i].way_bytes_per_s = m[i].way == 1 ? 4000000 : 6000000;
	with("deadline", NULL, NULL);
	divide(10000000, 0, m, 4);
	granted(0, 4000000, 0);
	assert_true(grants[1].waits);
	granted(2, 6000000, 0);
	assert_true(grants[3].waits);
	m[0].left_bytes = 1000000; /* the next one to that host fills the pause */
	m[2].state = GW_MOVER_COPIES;
	divide(10000000, 0, m, 4);
	granted(0, 4000000, 0);
	granted(1, 0, 0);
	assert_false(grants[1].waits);
	granted(2, 6000000, 0);
	assert_true(grants[3].waits);
	m[1].state = GW_MOVER_COPIES;
	divide(20000000, 0, m, 4); /* what the link has more is of no use on their way */
	granted(0, 4000000, 0);
	granted(1, 0, 0);
	granted(2, 6000000, 0);
	with("fair", NULL, NULL); /* no other policy gives one more than its way carries, either */
	divide(100000000, 0, m, 4);
	granted(0, 4000000, 0);
}

/* One move fills no more than its agent's path of a link: as many begin as keep it busy. */
static void streams_that_fill_a_link(void **state)
{
	struct gw_mover m[5] = {{0}};
	size_t begun = 0;

	(void)state;
	for (size_t i = 0; i < 5; i++)
		m[i] = (struct gw_mover){.left_bytes = 400000000, .limit_bytes_per_s = 3000000};
	with("deadline", NULL, NULL);
	divide(10000000, 0, m, 5);
	for (size_t i = 0; i < 5; i++)
		begun += !grants[i].waits;
	assert_int_equal(begun, 3);
	for (size_t i = 0; i < 4; i++) /* little is left of each: half a second of the link's */
		m[i] = (struct gw_mover){.state = GW_MOVER_COPIES,
		                         .left_bytes = 1200000,
		                         .limit_bytes_per_s = 3000000};
	divide(10000000, 0, m, 5);
	assert_false(grants[4].waits);
	for (size_t i = 0; i < 5; i++) /* what they are thought to get is no limit */
		m[i] = (struct gw_mover){.left_bytes = 400000000, .stream_bytes_per_s = 4000000};
	divide(10000000, 0, m, 5);
	granted(0, 4000000, 0);
	granted(1, 4000000, 0);
	granted(2, 2000000, 0);
	assert_true(grants[3].waits);
	divide(10000000, 0, m, 1);
	granted(0, 10000000, 0);
}

/* Room that is less than twice what a VM dirties is none for it. */
static void room_must_pay(void **state)
{
	struct gw_mover m[2] = {
	        {.state = GW_MOVER_COPIES, .left_bytes = 600000000, .limit_bytes_per_s = 6000000},
	        {.left_bytes = 100000000, .dirty_bytes_per_s = 2000000},
	};

	(void)state;
	with("deadline", NULL, NULL);
	divide(10000000, 0, m, 2);
	assert_true(grants[1].waits);
	m[1].dirty_bytes_per_s--;
	divide(10000000, 0, m, 2);
	granted(1, 4000000, 0);
}

/* --- what holds for every policy ------------------------------------------------------------- */

static uint64_t seed = 1;

static uint64_t below(uint64_t limit)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (seed >> 20) % limit;
}

static uint64_t some_rate(void)
{
	return below(4) ? below(UINT64_C(1) << below(34)) : 0;
}

static void draw(struct gw_mover *movers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		movers[i] = (struct gw_mover){
		        .state = (enum gw_mover_state)below(5),
		        .dirty_bytes_per_s = some_rate(),
		        .traffic_bytes_per_s = some_rate(),
		        .traffic_next_bytes_per_s = some_rate(),
		        .cpu_permille = (uint32_t)below(1001),
		        .left_bytes = some_rate() * below(100),
		        .limit_bytes_per_s = some_rate(),
		        .deadline_ns = below(3) ? below(1000) * SECOND : 0,
		        .first_pass = below(2),
		        .priority = (unsigned)below(3),
		};
	}
}

struct sums {
	uint64_t rates, reserved;
	bool thirsty; /* one that moves could use more */
};

static bool is_thirsty(const struct gw_mover *mover, const struct gw_grant *grant)
{
	uint64_t limit = mover->limit_bytes_per_s;

	return !grant->waits && mover->state != GW_MOVER_SETTLES &&
	       (!limit || grant->rate_bytes_per_s < limit);
}

static struct sums check_each(const struct gw_mover *movers, size_t count)
{
	struct sums s = {0};

	for (size_t i = 0; i < count; i++) {
		const struct gw_grant *g = &grants[i];
		uint64_t limit = movers[i].limit_bytes_per_s;

		assert_non_null(g->reason);
		assert_true(!limit || g->rate_bytes_per_s <= limit);
		assert_true(g->reserved_bytes_per_s <= movers[i].traffic_next_bytes_per_s);
		if (g->waits)
			assert_int_equal(movers[i].state, GW_MOVER_WAITS);
		if (g->waits || movers[i].state == GW_MOVER_SETTLES)
			assert_int_equal(g->rate_bytes_per_s, 0);
		s.thirsty |= is_thirsty(&movers[i], g);
		s.rates += g->rate_bytes_per_s;
		s.reserved += g->reserved_bytes_per_s;
	}
	return s;
}

/* Reservations of nrac-wc and deadline: whole, as long as the least share is left. */
static void check_reserved(const struct gw_mover *movers, size_t count, uint64_t free)
{
	uint64_t wanted = 0, reserved = 0;

	for (size_t i = 0; i < count; i++) {
		if (gw_application_of(&policy.thresholds, &movers[i]) == GW_APP_NETWORK)
			wanted += movers[i].traffic_next_bytes_per_s;
		reserved += grants[i].reserved_bytes_per_s;
	}
	free -= free / 1000 * 50;
	assert_int_equal(reserved, wanted < free ? wanted : free);
}

static void properties(void **state)
{
	struct gw_mover movers[COUNT_MAX];

	(void)state;
	for (unsigned run = 0; run < 10000; run++) {
		size_t count = (size_t)below(COUNT_MAX + 1);
		uint64_t total = some_rate(), used = some_rate();
		uint64_t free = total > used ? total - used : 0;

		draw(movers, count);
		next_ns = below(2) * below(SECOND);
		for (size_t k = 0; gw_bandwidths[k]; k++) {
			const char *name = gw_bandwidths[k]->name;
			bool literal = !strcmp(name, "nrac");
			struct sums s;

			with(name, literal && run % 2 ? "reading" : NULL, "text");
			divide(total, used, movers, count);
			s = check_each(movers, count);
			assert_true(s.rates + s.reserved <= free);
			if (!literal && s.thirsty)
				assert_int_equal(s.rates + s.reserved, free);
			if (!strcmp(name, "nrac-wc") || !strcmp(name, "deadline"))
				check_reserved(movers, count, free);
		}
	}
}

/* Of many VMs that wait, one begins at least: nobody waits for nothing. */
static void somebody_begins(void **state)
{
	struct gw_mover movers[COUNT_MAX];

	(void)state;
	for (unsigned run = 0; run < 3000; run++) {
		draw(movers, COUNT_MAX);
		for (size_t i = 0; i < COUNT_MAX; i++)
			movers[i].state = GW_MOVER_WAITS;
		for (size_t k = 0; gw_bandwidths[k]; k++) {
			size_t waiting = 0;

			with(gw_bandwidths[k]->name, NULL, NULL);
			divide(UINT64_C(1) << 40, 0, movers, COUNT_MAX);
			for (size_t i = 0; i < COUNT_MAX; i++)
				waiting += grants[i].waits;
			assert_true(waiting < COUNT_MAX);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(settings),
	        cmocka_unit_test(classes),
	        cmocka_unit_test(listing),
	        cmocka_unit_test(text),
	        cmocka_unit_test(crumbs),
	        cmocka_unit_test(delayed),
	        cmocka_unit_test(work_conserving),
	        cmocka_unit_test(equal_shares),
	        cmocka_unit_test(one_after_the_other),
	        cmocka_unit_test(in_time),
	        cmocka_unit_test(the_lost_come_last),
	        cmocka_unit_test(room_must_pay),
	        cmocka_unit_test(properties),
	        cmocka_unit_test(somebody_begins),
	        cmocka_unit_test(what_was_begun_is_ended),
	        cmocka_unit_test(ways_behind),
	        cmocka_unit_test(streams_that_fill_a_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
