/* SPDX-License-Identifier: MIT */
#include "cli/result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct gw_metrics metrics = {.total_time_ns = 5, .downtime_ns = 2, .stall_ns = 1};

static json_t *json_of(const char *world, const char *order)
{
	const struct gw_result result = {.world = world,
	                                 .name = "web",
	                                 .policy = "precopy",
	                                 .order = order,
	                                 .tracker = "",
	                                 .shaping = "",
	                                 .reason = "why",
	                                 .outcome = GW_COMPLETED,
	                                 .ram_bytes = 4096,
	                                 .vcpus = 1,
	                                 .metrics = &metrics};
	json_t *settings = json_object(), *json = gw_result_json(&result, settings);

	json_decref(settings);
	assert_non_null(json);
	return json;
}

static void test_both_worlds_have_the_same_fields(void **state)
{
	json_t *live = json_of("live", "linear"), *sim = json_of("sim", "linear");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(sim, "world")), "sim");
	(void)json_object_set_new(sim, "world", json_string("live"));
	assert_true(json_equal(live, sim));
	json_decref(live);
	json_decref(sim);
}

static void test_what_does_not_apply_is_left_out(void **state)
{
	json_t *json = json_of("sim", "");

	(void)state;
	metrics.downtime_known = true;
	assert_null(json_object_get(json, "tracker"));
	assert_null(json_object_get(json, "link"));
	assert_null(json_object_get(json, "faults"));
	assert_null(json_object_get(json, "downtime_ns"));
	assert_null(json_object_get(json, "verified"));
	json_decref(json);
	json = json_of("sim", "linear");
	assert_int_equal(json_integer_value(json_object_get(json, "unavailable_ns")), 3);
	assert_non_null(json_object_get(json, "faults"));
	json_decref(json);
}

static void expect_setting(const char *text, json_t *expected)
{
	json_t *value = gw_result_setting(text);

	assert_true(json_equal(value, expected));
	json_decref(value);
	json_decref(expected);
}

static void test_settings_are_numbers_if_they_can_be(void **state)
{
	(void)state;
	expect_setting("3", json_integer(3));
	expect_setting("0.3", json_real(0.3));
	expect_setting("1e3", json_real(1000));
	expect_setting("qemu", json_string("qemu"));
	expect_setting("30ms", json_string("30ms"));
	expect_setting("inf", json_string("inf"));
	expect_setting("1e999", json_string("1e999"));
	expect_setting("true", json_string("true"));
	expect_setting("nan", json_string("nan"));
	expect_setting("0x1f", json_string("0x1f"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_both_worlds_have_the_same_fields),
	        cmocka_unit_test(test_what_does_not_apply_is_left_out),
	        cmocka_unit_test(test_settings_are_numbers_if_they_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
