/* SPDX-License-Identifier: MIT */
#include "base/values.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct row {
	const char *text;
	int result;
	uint64_t value;      /* if 0 */
	const char *problem; /* if not */
};

typedef int parser(const char *text, uint64_t *value, const char **problem);

static void check(parser *parse, const struct row *rows)
{
	for (; rows->text; rows++) {
		const char *problem = "";
		uint64_t value = 4242;
		int r = parse(rows->text, &value, &problem);

		if (r != rows->result)
			fail_msg("'%s': %d, not %d", rows->text, r, rows->result);
		if (!r && value != rows->value)
			fail_msg("'%s': %llu", rows->text, (unsigned long long)value);
		if (!r)
			continue;
		assert_int_equal(value, 4242);
		if (!rows->problem || strcmp(problem, rows->problem) != 0)
			fail_msg("'%s': %s", rows->text, problem);
	}
}

#define NO_UNIT(like) "has no unit; write a " like
#define UNKNOWN(like) "has an unknown unit; write a " like
#define RATE          "rate like 30mbit, 1gbit or 12.5MB/s"
#define DURATION      "duration like 300ms or 30s"
#define SIZE          "size like 512M or 4G"

static void test_rate(void **state)
{
	static const struct row rows[] = {
	        {"30mbit", 0, 3750000, NULL},
	        {"30Mbit", 0, 3750000, NULL},
	        {"1gbit", 0, 125000000, NULL},
	        {"12.5MB/s", 0, 12500000, NULL},
	        {"12.5MiB/s", 0, 13107200, NULL},
	        {"8bit", 0, 1, NULL},
	        {"0.000008mbit", 0, 1, NULL},
	        {"18446744073709551615B/s", 0, UINT64_MAX, NULL},
	        {"18446744073709551616B/s", -ERANGE, 0, "is too large"},
	        {"18446744073709551615kB/s", -ERANGE, 0, "is too large"},
	        {"18446744073709551615tbit", -ERANGE, 0, "is too large"},
	        {"99999999999999999999999gbit", -ERANGE, 0, "is too large"},
	        {"1.00000000000000000000000mbit", -ERANGE, 0, "has too many digits"},
	        {"30", -EINVAL, 0, NO_UNIT(RATE)},
	        {"30mb/s", -EINVAL, 0, UNKNOWN(RATE)},
	        {"30 mbit", -EINVAL, 0, UNKNOWN(RATE)},
	        {"1e3mbit", -EINVAL, 0, UNKNOWN(RATE)},
	        {"0x10mbit", -EINVAL, 0, UNKNOWN(RATE)},
	        {"1.mbit", -EINVAL, 0, UNKNOWN(RATE)},
	        {"1.2.3mbit", -EINVAL, 0, UNKNOWN(RATE)},
	        {"", -EINVAL, 0, "is empty"},
	        {"-1mbit", -EINVAL, 0, "is negative"},
	        {"+1mbit", -EINVAL, 0, "does not begin with a number"},
	        {"nan", -EINVAL, 0, "does not begin with a number"},
	        {"inf", -EINVAL, 0, "does not begin with a number"},
	        {"mbit", -EINVAL, 0, "does not begin with a number"},
	        {" 1mbit", -EINVAL, 0, "does not begin with a number"},
	        {".5mbit", -EINVAL, 0, "does not begin with a number"},
	        {"0mbit", -EINVAL, 0, "is less than one byte per second"},
	        {"7bit", -EINVAL, 0, "is less than one byte per second"},
	        {NULL, 0, 0, NULL},
	};

	(void)state;
	check(gw_parse_rate, rows);
}

static void test_size(void **state)
{
	static const struct row rows[] = {
	        {"0", 0, 0, NULL},
	        {"4096", 0, 4096, NULL},
	        {"512M", 0, UINT64_C(512) << 20, NULL},
	        {"4g", 0, UINT64_C(4) << 30, NULL},
	        {"1.5G", 0, UINT64_C(1536) << 20, NULL},
	        {"1KiB", 0, 1024, NULL},
	        {"16777215T", 0, UINT64_C(16777215) << 40, NULL},
	        {"16777216T", -ERANGE, 0, "is too large"},
	        {"4GB", -EINVAL, 0, UNKNOWN(SIZE)},
	        {"4X", -EINVAL, 0, UNKNOWN(SIZE)},
	        {"-4G", -EINVAL, 0, "is negative"},
	        {"", -EINVAL, 0, "is empty"},
	        {"G", -EINVAL, 0, "does not begin with a number"},
	        {NULL, 0, 0, NULL},
	};

	(void)state;
	check(gw_parse_size, rows);
}

static void test_duration(void **state)
{
	static const struct row rows[] = {
	        {"300ms", 0, 300000000, NULL},
	        {"30s", 0, UINT64_C(30000000000), NULL},
	        {"0.5us", 0, 500, NULL},
	        {"2min", 0, UINT64_C(120000000000), NULL},
	        {"1h", 0, UINT64_C(3600000000000), NULL},
	        {"0s", 0, 0, NULL},
	        {"0", 0, 0, NULL},
	        {"18446744073s", 0, UINT64_C(18446744073000000000), NULL},
	        {"18446744074s", -ERANGE, 0, "is too large"},
	        {"300", -EINVAL, 0, NO_UNIT(DURATION)},
	        {"10m", 0, UINT64_C(600000000000), NULL},
	        {"300x", -EINVAL, 0, UNKNOWN(DURATION)},
	        {"-1s", -EINVAL, 0, "is negative"},
	        {"nan", -EINVAL, 0, "does not begin with a number"},
	        {NULL, 0, 0, NULL},
	};

	(void)state;
	check(gw_parse_duration, rows);
}

static void test_number(void **state)
{
	static const struct row rows[] = {
	        {"0", 0, 0, NULL},
	        {"18446744073709551615", 0, UINT64_MAX, NULL},
	        {"18446744073709551616", -ERANGE, 0, "is too large"},
	        {"1.5", -EINVAL, 0, "is not a whole number"},
	        {"12x", -EINVAL, 0, "is not a whole number"},
	        {"-1", -EINVAL, 0, "is negative"},
	        {"", -EINVAL, 0, "is empty"},
	        {NULL, 0, 0, NULL},
	};

	(void)state;
	check(gw_parse_number, rows);
}

static void test_show(void **state)
{
	char text[32];

	(void)state;
	assert_string_equal(gw_show_rate(text, sizeof(text), 999), "999 B/s");
	assert_string_equal(gw_show_rate(text, sizeof(text), 12.5e6), "12.5 MB/s");
	assert_string_equal(gw_show_size(text, sizeof(text), UINT64_C(512) << 20), "512.0 MiB");
	assert_string_equal(gw_show_size(text, sizeof(text), UINT64_MAX), "16777216.0 TiB");
	assert_string_equal(gw_show_clock(text, sizeof(text), 7), "0:07");
	assert_string_equal(gw_show_clock(text, sizeof(text), 3661), "1:01:01");
	assert_string_equal(gw_show_duration(text, sizeof(text), 1400000), "1.4 ms");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_rate),     cmocka_unit_test(test_size),
	        cmocka_unit_test(test_duration), cmocka_unit_test(test_number),
	        cmocka_unit_test(test_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
