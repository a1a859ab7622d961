/* SPDX-License-Identifier: MIT */
/* Intervals hold their samples, and the choice keeps the limits or says why none can. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/model/estimate.h"

#define MS UINT64_C(1000000)

/* --- intervals ------------------------------------------------------------------------------ */

static void an_interval_holds_its_samples(void **state)
{
	uint64_t values[] = {500 * MS, 300 * MS, 400 * MS, 900 * MS, 350 * MS};

	(void)state;
	for (unsigned figure = 0; figure < GW_FIGURES; figure++) {
		struct gw_interval x = gw_interval_of(figure, 1, values, 5);

		assert_int_equal(x.middle, 400 * MS);
		assert_true(x.low < 400 * MS && x.high > 400 * MS);
		assert_true(x.high - x.middle > x.middle - x.low);
	}
}

static void the_order_of_samples_is_nothing(void **state)
{
	uint64_t up[] = {1, 2, 3, 4, 100}, down[] = {100, 4, 3, 2, 1};
	struct gw_interval a = gw_interval_of(GW_FIGURE_FAULTS, 1, up, 5);
	struct gw_interval b = gw_interval_of(GW_FIGURE_FAULTS, 1, down, 5);

	(void)state;
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(a.low, 0);
}

static void equal_samples_are_still_in_doubt(void **state)
{
	uint64_t one[] = {2000 * MS};
	struct gw_interval x = gw_interval_of(GW_FIGURE_TOTAL_TIME, 1, one, 1);

	(void)state;
	assert_int_equal(x.middle, 2000 * MS);
	assert_true(x.low < x.middle && x.middle < x.high);
}

static void nothing_overflows(void **state)
{
	uint64_t values[] = {0, UINT64_MAX};

	(void)state;
	for (unsigned figure = 0; figure < GW_FIGURES; figure++) {
		struct gw_interval x = gw_interval_of(figure, 1, values, 2);

		assert_true(x.low <= x.middle && x.middle <= x.high);
	}
}

static void where_work_is_slower_less_is_promised(void **state)
{
	(void)state;
	for (unsigned figure = 0; figure < GW_FIGURES; figure++) {
		uint64_t values[] = {500 * MS, 300 * MS, 400 * MS};
		struct gw_interval idle = gw_interval_of(figure, 1, values, 3);
		struct gw_interval busy = gw_interval_of(figure, 3, values, 3);

		assert_int_equal(busy.middle, idle.middle);
		assert_true(busy.low <= idle.low && busy.high >= idle.high);
		assert_true(busy.high - busy.low > idle.high - idle.low);
	}
}

static void unavailable_is_downtime_and_stall(void **state)
{
	const struct gw_interval down = {5 * MS, 10 * MS, 30 * MS};
	uint64_t none[] = {0, 0, 0}, stalls[] = {200 * MS, 100 * MS, 400 * MS};
	struct gw_interval x = gw_unavailable_of(&down, 1, stalls, 3);

	(void)state;
	assert_int_equal(x.middle, 210 * MS);
	assert_true(x.low >= down.low && x.low < 105 * MS && x.high > 430 * MS);
	x = gw_unavailable_of(&down, 1, none, 3);
	assert_int_equal(x.low, down.low);
	assert_int_equal(x.middle, down.middle);
	assert_true(x.high > down.high);
	x = gw_unavailable_of(&(struct gw_interval){0, UINT64_MAX, UINT64_MAX}, 1, stalls, 3);
	assert_true(x.low <= x.middle && x.middle <= x.high);
}

/* --- the choice ----------------------------------------------------------------------------- */

static struct gw_interval about(uint64_t middle_ms)
{
	return (struct gw_interval){middle_ms * MS * 9 / 10, middle_ms * MS,
	                            middle_ms * MS * 11 / 10};
}

static struct gw_forecast forecast(const char *policy, bool pulls, uint64_t total_ms,
                                   uint64_t down_ms, uint64_t unavailable_ms)
{
	struct gw_forecast f = {.pulls = pulls, .samples = 7, .completed = 7};

	(void)strncpy(f.policy, policy, sizeof(f.policy) - 1);
	f.figures[GW_FIGURE_TOTAL_TIME] = about(total_ms);
	f.figures[GW_FIGURE_DOWNTIME] = about(down_ms);
	f.figures[GW_FIGURE_UNAVAILABLE] = about(unavailable_ms);
	return f;
}

static struct gw_choice choose_beside(const struct gw_forecast *forecasts, size_t count,
                                      uint64_t downtime_ms, uint64_t deadline_ms,
                                      uint64_t spare_bytes)
{
	const struct gw_limits limits = {downtime_ms * MS, deadline_ms * MS, spare_bytes};
	struct gw_choice choice;

	gw_choose(&choice, forecasts, count, &limits);
	return choice;
}

static struct gw_choice choose(const struct gw_forecast *forecasts, size_t count,
                               uint64_t downtime_ms, uint64_t deadline_ms)
{
	return choose_beside(forecasts, count, downtime_ms, deadline_ms, 0);
}

enum { STOP_COPY, PRECOPY, POSTCOPY, HYBRID, COUNT };

static void usual(struct gw_forecast forecasts[COUNT])
{
	forecasts[STOP_COPY] = forecast("stop-copy", false, 3000, 3000, 3000);
	forecasts[PRECOPY] = forecast("precopy", false, 9000, 50, 50);
	forecasts[POSTCOPY] = forecast("postcopy", true, 3100, 12, 900);
	forecasts[HYBRID] = forecast("hybrid", true, 4000, 12, 300);
}

static void the_least_unavailable_is_taken(void **state)
{
	struct gw_forecast f[COUNT];

	(void)state;
	usual(f);
	assert_int_equal(choose(f, COUNT, 0, 0).taken, PRECOPY);
}

static void limits_are_kept_by_the_upper_end(void **state)
{
	struct gw_forecast f[COUNT];
	struct gw_choice choice;

	(void)state;
	usual(f);
	assert_int_equal(choose(f, COUNT, 0, 9900).taken, PRECOPY); /* just */
	choice = choose(f, COUNT, 0, 9899);
	assert_int_equal(choice.taken, HYBRID);
	assert_non_null(strstr(choice.reason, "precopy might take 9.9 s"));
	choice = choose(f, COUNT, 54, 0);
	assert_int_equal(choice.taken, HYBRID);
	assert_non_null(strstr(choice.reason, "precopy might stand for 55 ms"));
	assert_int_equal(choose(f, COUNT, 54, 4000).taken, POSTCOPY);
}

static void what_may_not_complete_is_not_taken(void **state)
{
	struct gw_forecast f[COUNT];
	struct gw_choice choice;

	(void)state;
	usual(f);
	f[PRECOPY].completed = 6;
	strcpy(f[PRECOPY].obstacle, "does not converge");
	choice = choose(f, COUNT, 0, 0);
	assert_int_equal(choice.taken, HYBRID);
	assert_non_null(strstr(choice.reason, "precopy might not complete: does not converge"));
}

static void nearly_equal_is_decided_by_the_next(void **state)
{
	struct gw_forecast f[COUNT];

	(void)state;
	usual(f);
	f[PRECOPY] = forecast("precopy", false, 4100, 20, 20);
	f[HYBRID] = forecast("hybrid", true, 4000, 12, 12);
	assert_int_equal(choose(f, COUNT, 0, 0).taken, PRECOPY); /* it can be aborted */
	f[PRECOPY] = forecast("precopy", false, 4300, 20, 20);
	assert_int_equal(choose(f, COUNT, 0, 0).taken, HYBRID); /* it is sooner */
	f[PRECOPY] = forecast("precopy", false, 4100, 23, 23);
	assert_int_equal(choose(f, COUNT, 0, 0).taken, HYBRID); /* it stands less */
}

#define MIB UINT64_C(1048576)

/* Without room for it nobody's VM gets a copy beside it. */
static void what_copies_needs_room(void **state)
{
	struct gw_forecast f[COUNT];

	(void)state;
	usual(f);
	f[PRECOPY].copy_bytes = 300 * MIB;
	assert_int_equal(choose_beside(f, COUNT, 0, 0, 300 * MIB).taken, PRECOPY);
	assert_int_equal(choose_beside(f, COUNT, 0, 0, 300 * MIB - 1).taken, HYBRID);
	assert_int_equal(choose(f, COUNT, 0, 0).taken, HYBRID);
	f[HYBRID].copy_bytes = f[POSTCOPY].copy_bytes = MIB;
	assert_int_equal(choose(f, COUNT, 100, 0).taken, GW_CHOICE_NONE);
}

/* It counts with its upper end, and where that is as good as another it is not taken. */
static void what_copies_must_be_worth_it(void **state)
{
	struct gw_forecast f[COUNT];

	(void)state;
	usual(f);
	f[POSTCOPY].copy_bytes = MIB;
	f[POSTCOPY].figures[GW_FIGURE_UNAVAILABLE] = about(200);
	assert_int_equal(choose_beside(f, COUNT, 54, 0, MIB).taken, POSTCOPY);
	f[POSTCOPY].figures[GW_FIGURE_UNAVAILABLE].high = 331 * MS;
	assert_int_equal(choose_beside(f, COUNT, 54, 0, MIB).taken, HYBRID);
	f[POSTCOPY].figures[GW_FIGURE_UNAVAILABLE].high = 300 * MS;
	f[HYBRID].figures[GW_FIGURE_TOTAL_TIME] = f[POSTCOPY].figures[GW_FIGURE_TOTAL_TIME];
	assert_int_equal(choose_beside(f, COUNT, 54, 0, MIB).taken, HYBRID);
}

static void none_is_refused_with_the_reason(void **state)
{
	struct gw_forecast f[COUNT];
	struct gw_choice choice;

	(void)state;
	usual(f);
	choice = choose(f, COUNT, 5, 0);
	assert_int_equal(choice.taken, GW_CHOICE_NONE);
	assert_non_null(strstr(choice.reason, "no policy keeps a downtime of 5.0 ms"));
	assert_non_null(strstr(choice.reason, "postcopy, is up to 13 ms"));
	choice = choose(f, COUNT, 0, 2000);
	assert_int_equal(choice.taken, GW_CHOICE_NONE);
	assert_non_null(strstr(choice.reason, "no policy ends within 2.0 s"));
	assert_non_null(strstr(choice.reason, "stop-copy, takes up to 3.3 s"));
	choice = choose(f, COUNT, 54, 3300);
	assert_int_equal(choice.taken, GW_CHOICE_NONE);
	assert_non_null(strstr(choice.reason, "both"));
}

static void of_nothing_nothing_is_taken(void **state)
{
	struct gw_forecast f = forecast("precopy", false, 1, 1, 1);

	(void)state;
	assert_int_equal(choose(NULL, 0, 0, 0).taken, GW_CHOICE_NONE);
	f.completed = 0;
	assert_int_equal(choose(&f, 1, 0, 0).taken, GW_CHOICE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_interval_holds_its_samples),
	        cmocka_unit_test(the_order_of_samples_is_nothing),
	        cmocka_unit_test(equal_samples_are_still_in_doubt),
	        cmocka_unit_test(nothing_overflows),
	        cmocka_unit_test(where_work_is_slower_less_is_promised),
	        cmocka_unit_test(unavailable_is_downtime_and_stall),
	        cmocka_unit_test(the_least_unavailable_is_taken),
	        cmocka_unit_test(limits_are_kept_by_the_upper_end),
	        cmocka_unit_test(what_may_not_complete_is_not_taken),
	        cmocka_unit_test(nearly_equal_is_decided_by_the_next),
	        cmocka_unit_test(what_copies_needs_room),
	        cmocka_unit_test(what_copies_must_be_worth_it),
	        cmocka_unit_test(none_is_refused_with_the_reason),
	        cmocka_unit_test(of_nothing_nothing_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
