/* SPDX-License-Identifier: MIT */
/* What an evacuation concludes from what its moves have sent. No move runs: the test counts for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "live/host/clock.h"
#include "live/host/fleet.h"

#define LINK UINT64_C(100000000)

/* One of two moves; it was granted `rate`, and has sent half of what the link carries. */
static uint64_t stream_seen(uint64_t rate)
{
	struct gw_member members[2] = {{.state = GW_MEMBER_MOVES, .rate_bytes_per_s = rate},
	                               {.state = GW_MEMBER_WAITS}};
	struct gw_evacuation e = {
	        .options.link_bytes_per_s = LINK, .members = members, .count = 2, .streams = 1};
	struct gw_fleet_use use = {0};
	uint64_t passed_ns;

	members[0].at.sent_bytes = 1;
	assert_false(gw_fleet_sense(&e, &use));
	use.at_ns -= UINT64_C(2000000000);
	use.window_ns -= UINT64_C(2000000000);
	passed_ns = gw_now_ns() - use.window_ns;
	members[0].at.sent_bytes += (uint64_t)((double)passed_ns * LINK / 2 / 1e9);
	(void)gw_fleet_sense(&e, &use);
	return e.stream_bytes_per_s;
}

static void test_a_stream_that_does_not_fill_the_link(void **state)
{
	uint64_t stream = stream_seen(LINK);

	(void)state;
	assert_true(stream > LINK / 4 && stream <= LINK / 2);
}

/* The rest is reserved for a VM's own traffic: that says nothing about streams. */
static void test_a_stream_that_was_granted_no_more(void **state)
{
	(void)state;
	assert_int_equal(stream_seen(LINK / 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_a_stream_that_does_not_fill_the_link),
	        cmocka_unit_test(test_a_stream_that_was_granted_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
