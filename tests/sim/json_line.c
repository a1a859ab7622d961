/* SPDX-License-Identifier: MIT */
/* The line of a value, found by its path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "sim/scenario/json_line.h"

#define KEY(k)                                                                                     \
	{                                                                                          \
		k, 0                                                                               \
	}
#define NUMBER(n)                                                                                  \
	{                                                                                          \
		NULL, n                                                                            \
	}

static void expect(const char *text, struct sim_json_step a, struct sim_json_step b,
                   struct sim_json_step c, size_t steps, unsigned long line)
{
	const struct sim_json_step path[] = {a, b, c};

	assert_int_equal(sim_json_line(text, strlen(text), path, steps), line);
}

#define EXPECT(text, a, b, c, steps, line)                                                         \
	expect(text, (struct sim_json_step)a, (struct sim_json_step)b, (struct sim_json_step)c,    \
	       steps, line)
#define NONE NUMBER(0)

static const char text[] = "\n{ \"a\": 1,\n"                                      /* 2 */
                           "  \"b\": [1, {},\n"                                   /* 3 */
                           "    {\"c\": \"x]}\\\"\", \"d\":\n"                    /* 4 */
                           "    [[],\n"                                           /* 5 */
                           "     7]}],\n"                                         /* 6 */
                           "  \"\\u0065f\"\n"                                     /* 7 */
                           "   : {\"k\\\"\\\\\": 1,\n"                            /* 8 */
                           "     \"a\": -1.5e3, \"last\": true}, \"z\": null\n}"; /* 9 */

static void keys_and_elements(void **state)
{
	(void)state;
	EXPECT(text, KEY("a"), NONE, NONE, 0, 2);
	EXPECT(text, KEY("a"), NONE, NONE, 1, 2);
	EXPECT(text, KEY("b"), NONE, NONE, 1, 3);
	EXPECT(text, KEY("b"), NUMBER(1), NONE, 2, 3);
	EXPECT(text, KEY("b"), NUMBER(2), NONE, 2, 4);
	EXPECT(text, KEY("b"), NUMBER(2), KEY("c"), 3, 4);
	EXPECT(text, KEY("b"), NUMBER(2), KEY("d"), 3, 4);
	EXPECT(text, KEY("z"), NONE, NONE, 1, 9);
}

static void keys_with_escapes(void **state)
{
	(void)state;
	EXPECT(text, KEY("ef"), NONE, NONE, 1, 7);
	EXPECT(text, KEY("ef"), KEY("k\"\\"), NONE, 2, 8);
	EXPECT(text, KEY("ef"), KEY("a"), NONE, 2, 9);
	EXPECT(text, KEY("ef"), KEY("last"), NONE, 2, 9);
}

/* What is missing is where it should be: in the last thing that is there. */
static void what_is_not_there(void **state)
{
	(void)state;
	EXPECT(text, KEY("q"), NONE, NONE, 1, 2);
	EXPECT(text, KEY("b"), NUMBER(3), NONE, 2, 3);
	EXPECT(text, KEY("b"), NUMBER(2), KEY("q"), 3, 4);
	EXPECT(text, KEY("b"), KEY("q"), NONE, 2, 3);
	EXPECT(text, KEY("a"), KEY("q"), NONE, 2, 2);
	EXPECT(text, KEY("b"), NUMBER(1), KEY("q"), 3, 3);
	EXPECT("", KEY("a"), NONE, NONE, 1, 1);
	EXPECT("[]", NUMBER(0), NUMBER(0), NONE, 2, 1);
}

/* It is given JSON only, but must not run away with less. */
static void cut_text_ends(void **state)
{
	const struct sim_json_step path[] = {KEY("b"), NUMBER(2), KEY("q")};

	(void)state;
	for (size_t size = 0; size < sizeof(text); size++)
		assert_true(sim_json_line(text, size, path, 3) <= 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(keys_and_elements),
	        cmocka_unit_test(keys_with_escapes),
	        cmocka_unit_test(what_is_not_there),
	        cmocka_unit_test(cut_text_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
