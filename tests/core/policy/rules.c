/* SPDX-License-Identifier: MIT */
/* Every policy at its boundaries; the figures are worked out by hand. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/policy/policy.h"

static struct gw_policy policy;
static struct gw_verdict verdict;

static void with(const char *name, const char *key, const char *value)
{
	assert_int_equal(gw_policy_init(&policy, name), 0);
	if (key)
		assert_int_equal(gw_policy_set(&policy, key, value), 0);
}

static enum gw_decision ask(const struct gw_view *view)
{
	gw_policy_decide(&policy, view, &verdict);
	assert_true(verdict.reason[0]);
	return verdict.decision;
}

static void simple(void **state)
{
	struct gw_view v = {.populated_pages = 1000, .dirty_pages = 1000};

	(void)state;
	with("stop-copy", NULL, NULL);
	assert_int_equal(ask(&v), GW_STOP_AND_COPY);
	with("postcopy", NULL, NULL);
	assert_int_equal(ask(&v), GW_POST_COPY);
	with("hybrid", "rounds", "2");
	for (v.round = 0; v.round < 2; v.round++)
		assert_int_equal(ask(&v), GW_CONTINUE);
	assert_int_equal(ask(&v), GW_POST_COPY);
	assert_int_equal(gw_policy_init(&policy, "none"), -ENOENT);
	with("precopy", NULL, NULL);
	assert_int_equal(gw_policy_set(&policy, "alpha", "1"), -ENOENT);
	assert_int_equal(gw_policy_set(&policy, "stop", "kvm"), -EINVAL);
	assert_int_equal(gw_policy_set(&policy, "max_rounds", "3x"), -EINVAL);
}

/* 40.96 MB/s * 300 ms = 12.288 MB = 3000 pages: 2990 pages and ten of device state fit. */
static void qemu(void **state)
{
	struct gw_view v = {.round = 1,
	                    .dirty_pages = 2990,
	                    .previous_dirty_pages = 5000,
	                    .state_bytes = 40960,
	                    .bandwidth_bytes_per_s = 40960000,
	                    .downtime_limit_ns = 300000000,
	                    .round_ns = 100000000};

	(void)state;
	with("precopy", "settle", "0");
	assert_int_equal(ask(&v), GW_STOP_AND_COPY);
	v.state_bytes++;
	assert_int_equal(ask(&v), GW_CONTINUE);
	assert_null(strstr(verdict.reason, "converge"));
	v.previous_dirty_pages = 2990;
	assert_int_equal(ask(&v), GW_CONTINUE);
	assert_non_null(strstr(verdict.reason, "does not converge"));
	v.deadline_ns = 30000000000;
	v.now_ns = v.deadline_ns - 1;
	assert_int_equal(ask(&v), GW_CONTINUE);
	v.now_ns++;
	assert_int_equal(ask(&v), GW_GIVE_UP);
	/* 2990 * 4096 B in 0.1 s: 122 MB/s */
	assert_string_equal(verdict.reason,
	                    "the guest dirties 122 MB/s, the link carries 41 MB/s: the downtime "
	                    "limit of 300 ms cannot be kept within 30 s; use policy hybrid or "
	                    "postcopy, or raise --downtime");
	/* A set that shrinks, but not enough by the deadline, keeps the limits no better. */
	v.previous_dirty_pages++;
	assert_int_equal(ask(&v), GW_GIVE_UP);
	v.now_ns--;
	assert_int_equal(ask(&v), GW_CONTINUE);
	assert_int_equal(gw_policy_set(&policy, "max_rounds", "1"), 0);
	assert_int_equal(ask(&v), GW_STOP_AND_COPY);
}

/* 50 pages are what 40.96 MB/s carry in 5 ms: not worth a round more. */
static void settle(void **state)
{
	struct gw_view v = {.round = 1,
	                    .dirty_pages = 1000,
	                    .previous_dirty_pages = 2000,
	                    .bandwidth_bytes_per_s = 40960000,
	                    .downtime_limit_ns = 300000000};

	(void)state;
	with("precopy", "settle", "2");
	assert_int_equal(ask(&v), GW_CONTINUE);
	v.previous_dirty_pages = 1999; /* not halved */
	assert_int_equal(ask(&v), GW_STOP_AND_COPY);
	v.previous_dirty_pages = 2000;
	v.dirty_pages = 50;
	assert_int_equal(ask(&v), GW_STOP_AND_COPY);
	v.dirty_pages = 51;
	assert_int_equal(ask(&v), GW_CONTINUE);
	assert_int_equal(ask(&v), GW_STOP_AND_COPY); /* two rounds more were allowed */
	with("precopy", "settle", "2");
	v.deadline_ns = v.now_ns = 1;
	assert_int_equal(ask(&v), GW_STOP_AND_COPY);
}

static void xen(void **state)
{
	struct gw_view v = {.round = 28,
	                    .ram_pages = 1000,
	                    .dirty_pages = 100,
	                    .sent_pages = 30,
	                    .skipped_pages = 20,
	                    .sent_total_pages = 3000};

	(void)state;
	with("precopy", "stop", "xen");
	assert_true(gw_policy_peeks(&policy));
	assert_int_equal(ask(&v), GW_CONTINUE);
	v.skipped_pages = 19;
	assert_int_equal(ask(&v), GW_STOP_AND_COPY);
	v.skipped_pages = 20;
	v.sent_total_pages = 3001;
	assert_int_equal(ask(&v), GW_STOP_AND_COPY);
	v.sent_total_pages = 3000;
	v.round = 29;
	assert_int_equal(ask(&v), GW_STOP_AND_COPY);
	assert_int_equal(gw_policy_set(&policy, "xen", "modern"), 0);
	assert_false(gw_policy_peeks(&policy));
	v.round = 4;
	v.dirty_pages = 50;
	assert_int_equal(ask(&v), GW_CONTINUE);
	v.dirty_pages = 49;
	assert_int_equal(ask(&v), GW_STOP_AND_COPY);
	v.dirty_pages = 50;
	v.round = 5;
	assert_int_equal(ask(&v), GW_STOP_AND_COPY);
}

/* 15625 pages in s seconds are 64 MB / s: 1.024 s give 500 Mbit/s. */
static void clark(void **state)
{
	struct gw_view v = {.ram_pages = 100000, .dirty_pages = 15625, .sent_pages = 15625};

	(void)state;
	with("precopy", "stop", "clark");
	assert_int_equal(ask(&v), GW_CONTINUE);
	assert_int_equal(verdict.rate_bytes_per_s, 12500000);
	v.round = 1;
	v.round_ns = 5120000000; /* 100 + 50 Mbit/s */
	assert_int_equal(ask(&v), GW_CONTINUE);
	assert_int_equal(verdict.rate_bytes_per_s, 18750000);
	v.round_ns = 51200000000; /* 10 + 50: the least is 100 */
	assert_int_equal(ask(&v), GW_CONTINUE);
	assert_int_equal(verdict.rate_bytes_per_s, 12500000);
	v.round_ns = 1137800000; /* 449.99 + 50 */
	assert_int_equal(ask(&v), GW_CONTINUE);
	v.round_ns = 1137700000; /* 450.03 + 50 */
	assert_int_equal(ask(&v), GW_STOP_AND_COPY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(simple), cmocka_unit_test(qemu),
	                                   cmocka_unit_test(settle), cmocka_unit_test(xen),
	                                   cmocka_unit_test(clark)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
