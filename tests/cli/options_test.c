/* SPDX-License-Identifier: MIT */
#include "cli/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct {
	bool verify;
	const char *to;
	uint64_t rate, size, wait, pid;
	struct gw_cli_list set;
} got;

static const struct gw_cli_option options[] = {
        {"verify", 'v', GW_CLI_FLAG, &got.verify, NULL, "compare every page"},
        {"to", 't', GW_CLI_STRING, &got.to, "HOST", "where to"},
        {"bandwidth", 0, GW_CLI_RATE, &got.rate, "RATE", "limit"},
        {"buffer", 0, GW_CLI_SIZE, &got.size, "SIZE", "memory"},
        {"downtime", 0, GW_CLI_DURATION, &got.wait, "TIME", "limit"},
        {"pid", 0, GW_CLI_NUMBER, &got.pid, "N", "process"},
        {"set", 0, GW_CLI_LIST, &got.set, "KEY=VALUE", "a setting"},
        GW_CLI_END,
};

static struct gw_cli_operands operands;
static struct gw_error error;
static char *words[128];

/* Splits at blanks; '' stands for the empty word. */
static int parse_between(int min, int max, const char *line)
{
	static char copy[512];
	char *word, *rest = copy;
	int argc = 0;

	memset(&got, 0, sizeof(got));
	error.text[0] = '\0';
	(void)snprintf(copy, sizeof(copy), "%s", line);
	while ((word = strsep(&rest, " ")))
		words[argc++] = strcmp(word, "''") ? word : word + 2;
	words[argc] = NULL;
	return gw_cli_parse(options, argc, words, min, max, &operands, &error);
}

static int parse(const char *line)
{
	return parse_between(0, 2, line);
}

static void refuses(const char *line, const char *sentence)
{
	if (parse(line) != -EINVAL)
		fail_msg("'%s' was taken", line);
	assert_string_equal(error.text, sentence);
}

static void test_every_type(void **state)
{
	(void)state;
	assert_int_equal(parse("m web -v --to=b --bandwidth 8mbit --buffer 4K --downtime 3ms "
	                       "--pid 7 --set a=1 --set b=2 extra"),
	                 0);
	assert_true(got.verify);
	assert_string_equal(got.to, "b");
	assert_int_equal(got.rate, 1000000);
	assert_int_equal(got.size, 4096);
	assert_int_equal(got.wait, 3000000);
	assert_int_equal(got.pid, 7);
	assert_int_equal(got.set.count, 2);
	assert_string_equal(got.set.items[1], "b=2");
	assert_int_equal(operands.count, 2);
	assert_string_equal(operands.items[0], "web");
	assert_string_equal(operands.items[1], "extra");
	assert_false(operands.has_rest);
}

static void test_rest(void **state)
{
	(void)state;
	assert_int_equal(parse("run web -v -- -m 512 --to x --"), 0);
	assert_true(got.verify);
	assert_null(got.to);
	assert_int_equal(operands.count, 1);
	assert_true(operands.has_rest);
	assert_int_equal(operands.rest_count, 5);
	assert_string_equal(operands.rest[0], "-m");
	assert_null(operands.rest[5]);
	assert_int_equal(parse("run web --"), 0);
	assert_true(operands.has_rest);
	assert_int_equal(operands.rest_count, 0);
}

static void test_help(void **state)
{
	(void)state;
	assert_int_equal(parse("m --help"), GW_CLI_HELP);
	assert_int_equal(parse("m -h"), GW_CLI_HELP);
	/* Behind "--" it is somebody else's. */
	assert_int_equal(parse("m -- --help"), 0);
}

static void test_sentences(void **state)
{
	(void)state;
	refuses("m --bandwidth 30", "--bandwidth: '30' has no unit; write a rate like 30mbit, "
	                            "1gbit or 12.5MB/s");
	refuses("m --bandwidth=-3mbit", "--bandwidth: '-3mbit' is negative");
	refuses("m --downtime nan", "--downtime: 'nan' does not begin with a number");
	refuses("m --buffer 99999999999T", "--buffer: '99999999999T' is too large");
	refuses("m --pid 1.5", "--pid: '1.5' is not a whole number");
	refuses("m --to ''", "--to: '' is empty");
	refuses("m --to", "--to needs a value: HOST");
	refuses("m -t", "--to needs a value: HOST");
	refuses("m --to -- x", "--to needs a value: HOST");
	refuses("m --verify=yes", "--verify takes no value");
	refuses("m --frobnicate", "--frobnicate is no option of m; see godwit m --help");
	refuses("m --b 3", "--b is short for more than one option of m; see godwit m --help");
	refuses("m -x", "-x is no option of m; see godwit m --help");
	refuses("m a b c", "'c' is too much for m; see godwit m --help");
}

static void test_operand_bounds(void **state)
{
	(void)state;
	assert_int_equal(parse_between(1, 1, "m"), -EINVAL);
	assert_string_equal(error.text, "m needs more; see godwit m --help");
	assert_int_equal(parse_between(1, 1, "m a"), 0);
}

static void test_list_is_bounded(void **state)
{
	char *argv[] = {(char[]){"m"}, (char[]){"--set"}, (char[]){"y"}, NULL};

	(void)state;
	memset(&got, 0, sizeof(got));
	got.set.count = GW_CLI_LIST_MAX - 1;
	assert_int_equal(gw_cli_parse(options, 3, argv, 0, 0, &operands, &error), 0);
	assert_int_equal(got.set.count, GW_CLI_LIST_MAX);
	assert_int_equal(gw_cli_parse(options, 3, argv, 0, 0, &operands, &error), -EINVAL);
	assert_string_equal(error.text, "--set: 'y' is one too many; 64 is the most");
}

static void test_print(void **state)
{
	char text[2048] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");
	int i;

	(void)state;
	assert_non_null(out);
	gw_cli_print(out, options);
	assert_int_equal(fclose(out), 0);
	for (i = 0; options[i].name; i++)
		assert_non_null(strstr(text, options[i].name));
	assert_non_null(strstr(text, "  -t, --to HOST                where to\n"));
	assert_non_null(strstr(text, "  -h, --help"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_every_type),     cmocka_unit_test(test_rest),
	        cmocka_unit_test(test_help),           cmocka_unit_test(test_sentences),
	        cmocka_unit_test(test_operand_bounds), cmocka_unit_test(test_list_is_bounded),
	        cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
