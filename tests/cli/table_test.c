/* SPDX-License-Identifier: MIT */
#include "cli/table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void print(const struct gw_table *table, char *text, size_t bytes)
{
	FILE *out = fmemopen(text, bytes, "w");

	assert_non_null(out);
	gw_table_print(table, out);
	assert_int_equal(fclose(out), 0);
}

static void test_alignment(void **state)
{
	static const char *const headings[] = {"NAME", ">TIME", "END", NULL};
	static const char *const rows[][3] = {
	        {"a", "1", "x"},
	        {"größer", "1000 ms", NULL},
	};
	struct gw_table table;
	char text[256] = "";

	(void)state;
	assert_int_equal(gw_table_init(&table, headings), 0);
	assert_int_equal(gw_table_add(&table, rows[0]), 0);
	assert_int_equal(gw_table_add(&table, rows[1]), 0);
	print(&table, text, sizeof(text));
	assert_string_equal(text, "NAME       TIME  END\n"
	                          "a             1  x\n"
	                          "größer  1000 ms  -\n");
	gw_table_free(&table);
}

static void test_nothing_in_a_column(void **state)
{
	static const char *const headings[] = {"A", ">B", "C", "D", NULL};
	static const char *const rows[][4] = {
	        {"a", NULL, "long", NULL},
	        {"a", NULL, "", NULL},
	};
	struct gw_table table;
	char text[256] = "";

	(void)state;
	assert_int_equal(gw_table_init(&table, headings), 0);
	print(&table, text, sizeof(text));
	assert_string_equal(text, "A  B  C  D\n");
	assert_int_equal(gw_table_add(&table, rows[0]), 0);
	assert_int_equal(gw_table_add(&table, rows[1]), 0);
	print(&table, text, sizeof(text));
	assert_string_equal(text, "A  C\n"
	                          "a  long\n"
	                          "a\n");
	gw_table_free(&table);
}

static void test_many_rows(void **state)
{
	static const char *const headings[] = {"N", NULL};
	static const char *const row[] = {"1"};
	struct gw_table table;
	char text[1024] = "";
	int i;

	(void)state;
	assert_int_equal(gw_table_init(&table, headings), 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(gw_table_add(&table, row), 0);
	print(&table, text, sizeof(text));
	assert_int_equal(strlen(text), 101 * 2);
	gw_table_free(&table);
}

static void test_too_many_columns(void **state)
{
	const char *headings[GW_TABLE_COLUMNS + 2];
	struct gw_table table;
	int i;

	(void)state;
	for (i = 0; i <= GW_TABLE_COLUMNS; i++)
		headings[i] = "H";
	headings[i] = NULL;
	assert_int_equal(gw_table_init(&table, headings), -E2BIG);
	gw_table_free(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_alignment),
	        cmocka_unit_test(test_nothing_in_a_column),
	        cmocka_unit_test(test_many_rows),
	        cmocka_unit_test(test_too_many_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
