/* SPDX-License-Identifier: MIT */
/* Plans for few VMs, worked out by hand, and what holds of any plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/fleet/plan.h"

#define SECOND UINT64_C(1000000000)
#define MB     UINT64_C(1000000)
#define MOST   64

static struct gw_fleet_vm vms[MOST];
static struct gw_fleet_host hosts[4];
static uint64_t links[4];
static struct gw_plan_move moves[MOST];
static struct gw_fleet fleet;
static struct gw_schedule plan;

/* `count` VMs of 100 MB, a link and a host of 10 MB/s: ten seconds each. */
static void set_up(size_t count)
{
	memset(vms, 0, sizeof(vms));
	memset(hosts, 0, sizeof(hosts));
	for (size_t i = 0; i < count; i++)
		vms[i] = (struct gw_fleet_vm){.memory_bytes = 200 * MB,
		                              .send_bytes = 100 * MB,
		                              .downtime_limit_ns = SECOND / 10};
	hosts[0] = (struct gw_fleet_host){.free_bytes = 100000 * MB, .link_bytes_per_s = 10 * MB};
	links[0] = links[1] = 10 * MB;
	fleet = (struct gw_fleet){.vms = vms,
	                          .vm_count = count,
	                          .links = links,
	                          .link_count = 1,
	                          .hosts = hosts,
	                          .host_count = 1};
}

static void make(void)
{
	void *memory = malloc(gw_schedule_bytes(&fleet));

	plan = (struct gw_schedule){.moves = moves};
	gw_schedule_make(&fleet, memory, &plan);
	free(memory);
}

static const struct gw_plan_move *move_of(size_t vm)
{
	for (size_t i = 0; i < fleet.vm_count; i++)
		if (moves[i].vm == vm)
			return &moves[i];
	fail();
	return NULL;
}

static void expects(void **state)
{
	struct gw_fleet_vm vm = {.memory_bytes = 200 * MB,
	                         .send_bytes = 100 * MB,
	                         .dirty_bytes_per_s = 5 * MB,
	                         .downtime_limit_ns = 2 * SECOND};
	struct gw_expected e = gw_expect(&vm, false, 10 * MB);

	(void)state;
	/* 100, 50 and 25 MB while it runs; 12.5 fit into two seconds. */
	assert_int_equal(e.copy_ns, 175 * SECOND / 10);
	assert_int_equal(e.after_ns, 125 * SECOND / 100);
	assert_int_equal(e.sent_bytes, 1875 * MB / 10);
	assert_false(e.endless);
	e = gw_expect(&vm, true, 10 * MB); /* one round, and 50 MB are pulled */
	assert_int_equal(e.copy_ns, 10 * SECOND);
	assert_int_equal(e.after_ns, 5 * SECOND);
	vm.dirty_bytes_per_s = 10 * MB;
	assert_true(gw_expect(&vm, false, 10 * MB).endless);
	vm.hot_bytes = 20 * MB; /* that fits */
	e = gw_expect(&vm, false, 10 * MB);
	assert_false(e.endless);
	assert_int_equal(e.after_ns, 2 * SECOND);
	vm.memory_bytes = vm.send_bytes = UINT64_C(1) << 44; /* a byte a second: it has no end */
	e = gw_expect(&vm, false, 1);
	assert_int_equal(e.copy_ns, UINT64_C(10000000000000000));
}

static void one_after_the_other(void **state)
{
	(void)state;
	set_up(3);
	vms[1].send_bytes = 300 * MB;
	vms[2].priority = 1;
	fleet.switch_ns = SECOND;
	make();
	assert_int_equal(moves[0].vm, 1); /* the largest; the third's priority is low */
	assert_int_equal(moves[1].vm, 0);
	assert_int_equal(moves[2].vm, 2);
	assert_int_equal(moves[0].end_ns, 31 * SECOND);
	assert_int_equal(moves[1].begin_ns, 30 * SECOND); /* while the first switches */
	assert_int_equal(plan.end_ns, 51 * SECOND);
	assert_true(plan.soonest_ns < plan.end_ns && plan.end_ns < plan.latest_ns);
	assert_int_equal(plan.moved, 3);
	assert_int_equal(plan.late + plan.left, 0);
}

/* 90 MB at 10 MB/s take nine seconds, at nine ten; costs count once, twice, or not at all. */
static void an_interval(void **state)
{
	(void)state;
	set_up(1);
	vms[0].send_bytes = 90 * MB;
	fleet.begin_ns = fleet.switch_ns = SECOND;
	make();
	assert_int_equal(moves[0].end_ns, 11 * SECOND);
	assert_int_equal(moves[0].latest_ns, 14 * SECOND);
	assert_true(moves[0].soonest_ns < 9 * SECOND && moves[0].soonest_ns > 8 * SECOND);
}

/* Large ones first, all but one would be late; small ones first, one is. */
static void fewer_are_late(void **state)
{
	(void)state;
	set_up(3);
	vms[0].send_bytes = 400 * MB;
	fleet.deadline_ns = 25 * SECOND;
	make();
	assert_int_equal(plan.late, 1);
	assert_int_equal(move_of(0)->problem, GW_PLAN_LATE);
	assert_int_equal(moves[0].problem, GW_PLAN_FINE);
	assert_int_equal(moves[1].problem, GW_PLAN_FINE);
	fleet.deadline_ns = 21 * SECOND; /* expected after 20, after 22 if the link is slower */
	make();
	assert_int_equal(moves[1].problem, GW_PLAN_RISKY);
	vms[2].deadline_ns = 10 * SECOND; /* its own is earlier: it goes first */
	make();
	assert_int_equal(moves[0].vm, 2);
}

static void where_there_is_room(void **state)
{
	(void)state;
	set_up(4);
	fleet.host_count = 3;
	hosts[0].free_bytes = 250 * MB;
	hosts[1] = (struct gw_fleet_host){.free_bytes = 300 * MB, .link_bytes_per_s = 10 * MB};
	hosts[2] = (struct gw_fleet_host){.free_bytes = 900 * MB, .silent = true};
	vms[3].stays = true;
	make();
	assert_int_equal(move_of(0)->host, 1); /* more room */
	assert_int_equal(move_of(1)->host, 0);
	assert_int_equal(move_of(2)->host, GW_PLAN_NOWHERE);
	assert_int_equal(move_of(2)->problem, GW_PLAN_NO_ROOM);
	assert_int_equal(move_of(3)->problem, GW_PLAN_STAYS);
	assert_int_equal(plan.left, 2);
}

static void kept_apart(void **state)
{
	(void)state;
	set_up(3);
	fleet.host_count = 2;
	hosts[1] = (struct gw_fleet_host){.free_bytes = 900 * MB, .link_bytes_per_s = 10 * MB};
	fleet.groups = 2;
	vms[0].group = vms[1].group = vms[2].group = 2;
	make();
	assert_int_not_equal(move_of(0)->host, move_of(1)->host);
	assert_int_equal(move_of(2)->problem, GW_PLAN_APART);
	vms[2].group = 1;
	make();
	assert_int_equal(move_of(2)->problem, GW_PLAN_FINE);
}

/* Two sources to a host that is twice as fast go at the same time; they share a slower one. */
static void lanes(void **state)
{
	(void)state;
	set_up(2);
	fleet.link_count = 2;
	vms[1].source = 1;
	hosts[0].link_bytes_per_s = 20 * MB;
	make();
	assert_int_equal(plan.end_ns, 10 * SECOND);
	hosts[0].link_bytes_per_s = 16 * MB;
	make();
	assert_int_equal(moves[1].rate_bytes_per_s, 8 * MB);
	assert_int_equal(plan.end_ns, 125 * SECOND / 10);
	hosts[0].link_bytes_per_s =
	        10 * MB; /* one after the other: all the same, and sooner dirty */
	make();
	assert_int_equal(moves[0].rate_bytes_per_s, 10 * MB);
	assert_int_equal(plan.end_ns, 20 * SECOND);
	fleet.link_count = 1; /* nobody else comes: one that is alone gets all of its own link */
	vms[1].source = 0;
	hosts[0].link_bytes_per_s = 25 * MB;
	make();
	assert_int_equal(moves[0].rate_bytes_per_s, 10 * MB);
}

/* A link of 10 MB/s that one agent fills with 6, or whose hosts' links carry 5: two at a time. */
static void streams(void **state)
{
	(void)state;
	set_up(4);
	fleet.stream_bytes_per_s = 6 * MB;
	make();
	assert_int_equal(moves[1].begin_ns, 0);
	assert_int_equal(moves[1].rate_bytes_per_s, 5 * MB);
	assert_int_equal(plan.end_ns, 40 * SECOND);
	fleet.stream_bytes_per_s = 0;
	fleet.host_count = 2;
	hosts[0].link_bytes_per_s = 5 * MB;
	hosts[1] = hosts[0];
	make();
	assert_int_not_equal(moves[0].host, moves[1].host);
	assert_int_equal(moves[1].begin_ns, 0);
	assert_int_equal(plan.end_ns, 40 * SECOND);
	hosts[0].link_bytes_per_s -= 1; /* no third one for what is left by rounding */
	hosts[1] = hosts[0];
	make();
	assert_int_equal(moves[1].rate_bytes_per_s, 5 * MB - 1);
	fleet.at_once = 1;
	make();
	assert_int_equal(moves[1].begin_ns, moves[0].end_ns);
	fleet.at_once = 0;
	fleet.stream_bytes_per_s = 2 * MB; /* and one at a time leaves the rest unused */
	vms[0].limit_bytes_per_s = MB;
	make();
	assert_int_equal(move_of(0)->rate_bytes_per_s, MB);
}

/* Setting up is hidden behind the copying of the one before; the gap is not. */
static void set_up_behind(void **state)
{
	(void)state;
	set_up(2);
	fleet.begin_ns = 3 * SECOND;
	fleet.gap_ns = SECOND;
	fleet.switch_ns = 2 * SECOND;
	make();
	assert_int_equal(moves[0].end_ns, 15 * SECOND);
	assert_int_equal(moves[1].begin_ns, 13 * SECOND);
	assert_int_equal(moves[1].end_ns, 26 * SECOND);
}

/* Two sources and two hosts: each has a host of its own, and of two for one source both are. */
static void homes(void **state)
{
	(void)state;
	set_up(8);
	fleet.link_count = fleet.host_count = 2;
	hosts[0] = (struct gw_fleet_host){.free_bytes = 300000 * MB, .link_bytes_per_s = 30 * MB};
	hosts[1] = (struct gw_fleet_host){.free_bytes = 200000 * MB, .link_bytes_per_s = 10 * MB};
	links[1] = 30 * MB;
	fleet.stream_bytes_per_s = 10 * MB;
	for (size_t i = 0; i < 8; i++)
		vms[i].source = i % 2;
	make();
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(moves[i].host, !vms[moves[i].vm].source);
	fleet.link_count = 1;
	for (size_t i = 0; i < 8; i++)
		vms[i].source = 0;
	hosts[1].free_bytes = 300300 * MB; /* by memory: there, and then in turns */
	make();
	assert_int_equal(moves[0].host, 1);
	assert_int_equal(moves[1].host, 1);
	assert_int_equal(moves[2].host, 0);
	assert_int_equal(moves[3].host, 1);
}

static const struct gw_fleet_way ways[] = {
        {.policy = "slow",
         .rate_bytes_per_s = 10 * MB,
         .total_time = {15 * SECOND, 18 * SECOND, 20 * SECOND},
         .unavailable = {SECOND / 10, SECOND / 5, SECOND / 2},
         .bytes = {150 * MB, 180 * MB, 200 * MB}},
        {.policy = "quick",
         .pulls = true,
         .rate_bytes_per_s = 10 * MB,
         .total_time = {10 * SECOND, 11 * SECOND, 14 * SECOND},
         .unavailable = {SECOND, 2 * SECOND, 3 * SECOND},
         .bytes = {100 * MB, 110 * MB, 120 * MB}},
};

/* 18 + 2 x 0.2 against 11 + 2 x 2. */
static void as_estimated(void **state)
{
	struct gw_fleet_way two[2];

	(void)state;
	set_up(1);
	vms[0].ways = ways;
	vms[0].way_count = 2;
	make();
	assert_string_equal(moves[0].policy, "slow"); /* it must not be pulled */
	assert_int_equal(moves[0].end_ns, 18 * SECOND);
	vms[0].may_pull = true;
	make();
	assert_string_equal(moves[0].policy, "quick");
	assert_int_equal(moves[0].end_ns, 11 * SECOND);
	assert_int_equal(moves[0].soonest_ns, 10 * SECOND);
	assert_int_equal(moves[0].latest_ns, 14 * SECOND);
	assert_int_equal(moves[0].sent_bytes, 110 * MB);
	assert_int_equal(plan.unavailable.low, SECOND);
	assert_int_equal(plan.unavailable.middle, 2 * SECOND);
	assert_int_equal(plan.unavailable.high, 3 * SECOND);
	memcpy(two, ways, sizeof(two));
	two[1].total_time.middle = 13 * SECOND; /* 17 against 18.4: less than a tenth */
	vms[0].ways = two;
	make();
	assert_string_equal(moves[0].policy, "slow");
	vms[0].ways = ways;
	links[0] = 5 * MB; /* half of the rate */
	make();
	assert_int_equal(moves[0].end_ns, 22 * SECOND);
	assert_int_equal(moves[0].unavailable.middle, 4 * SECOND);
	vms[0].way_count = 0;
	make();
	assert_string_equal(moves[0].policy, "precopy");
}

static void hot_ones_are_pulled(void **state)
{
	(void)state;
	set_up(1);
	vms[0].dirty_bytes_per_s = 9 * MB;
	make();
	assert_int_equal(plan.late, 1);
	assert_int_equal(moves[0].problem, GW_PLAN_ENDLESS);
	vms[0].may_pull = true;
	make();
	assert_string_equal(moves[0].policy, "hybrid");
	assert_int_equal(moves[0].problem, GW_PLAN_FINE);
	vms[0].dirty_bytes_per_s = MB / 10;
	make();
	assert_string_equal(moves[0].policy, "precopy");
	vms[0].limit_bytes_per_s = 5 * MB;
	make();
	assert_int_equal(moves[0].rate_bytes_per_s, 5 * MB);
	assert_true(plan.end_ns > 20 * SECOND);
}

/* --- what holds of any plan ------------------------------------------------------------------ */

static uint64_t seed = 1;

static uint64_t below(uint64_t limit)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (seed >> 20) % limit;
}

static void draw(void)
{
	set_up(below(MOST) + 1);
	fleet.link_count = below(2) + 1;
	fleet.host_count = below(4) + 1;
	for (size_t i = 0; i < fleet.link_count; i++)
		links[i] = (below(30) + 1) * MB;
	fleet.groups = 3;
	fleet.deadline_ns = below(3) ? below(1000) * SECOND : 0;
	fleet.begin_ns = below(SECOND);
	fleet.gap_ns = below(SECOND);
	fleet.stream_bytes_per_s = below(2) * (below(20) + 1) * MB;
	fleet.switch_ns = below(SECOND);
	for (size_t i = 0; i < fleet.host_count; i++)
		hosts[i] = (struct gw_fleet_host){.free_bytes = below(20000) * MB,
		                                  .link_bytes_per_s = (below(50) + 1) * MB,
		                                  .silent = !below(5)};
	for (size_t i = 0; i < fleet.vm_count; i++) {
		vms[i].memory_bytes = (below(1000) + 1) * MB;
		vms[i].send_bytes = below(vms[i].memory_bytes);
		vms[i].dirty_bytes_per_s = below(12) * MB;
		vms[i].hot_bytes = below(2) * below(100) * MB;
		vms[i].limit_bytes_per_s = below(2) * (below(20) + 1) * MB;
		vms[i].priority = (unsigned)below(3);
		vms[i].group = (unsigned)below(4);
		vms[i].source = (unsigned)below(fleet.link_count);
		vms[i].stays = !below(10);
		vms[i].may_pull = below(2);
	}
}

static bool at_work(const struct gw_plan_move *m, uint64_t at_ns)
{
	return m->host != GW_PLAN_NOWHERE && m->begin_ns <= at_ns &&
	       at_ns < m->end_ns - fleet.switch_ns;
}

/* No link carries more than it can, whenever a move begins. */
static void check_links(uint64_t at_ns)
{
	uint64_t out[4] = {0}, in[4] = {0};

	for (size_t i = 0; i < fleet.vm_count; i++) {
		if (!at_work(&moves[i], at_ns))
			continue;
		out[vms[moves[i].vm].source] += moves[i].rate_bytes_per_s;
		in[moves[i].host] += moves[i].rate_bytes_per_s;
	}
	for (size_t i = 0; i < fleet.link_count; i++)
		assert_true(out[i] <= links[i]);
	for (size_t i = 0; i < fleet.host_count; i++)
		assert_true(in[i] <= hosts[i].link_bytes_per_s);
}

static void check(void)
{
	uint64_t used[4] = {0};
	unsigned seen[MOST] = {0}, groups[4][4] = {{0}};

	for (size_t i = 0; i < fleet.vm_count; i++) {
		const struct gw_plan_move *m = &moves[i];
		const struct gw_fleet_vm *vm = &vms[m->vm];

		assert_int_equal(seen[m->vm]++, 0);
		if (m->host == GW_PLAN_NOWHERE) {
			assert_true(m->problem >= GW_PLAN_APART);
			continue;
		}
		assert_false(vm->stays || hosts[m->host].silent);
		used[m->host] += vm->memory_bytes;
		if (vm->group)
			assert_int_equal(groups[m->host][vm->group]++, 0);
		assert_true(m->soonest_ns <= m->end_ns && m->end_ns <= m->latest_ns);
	}
	for (size_t i = 0; i < fleet.vm_count; i++)
		check_links(moves[i].begin_ns);
	for (size_t i = 0; i < fleet.host_count; i++)
		assert_true(used[i] <= hosts[i].free_bytes);
	assert_int_equal(plan.moved + plan.left, fleet.vm_count);
}

static void properties(void **state)
{
	(void)state;
	for (unsigned run = 0; run < 3000; run++) {
		draw();
		make();
		check();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(expects),
	        cmocka_unit_test(one_after_the_other),
	        cmocka_unit_test(fewer_are_late),
	        cmocka_unit_test(an_interval),
	        cmocka_unit_test(where_there_is_room),
	        cmocka_unit_test(kept_apart),
	        cmocka_unit_test(lanes),
	        cmocka_unit_test(streams),
	        cmocka_unit_test(set_up_behind),
	        cmocka_unit_test(homes),
	        cmocka_unit_test(as_estimated),
	        cmocka_unit_test(hot_ones_are_pulled),
	        cmocka_unit_test(properties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
