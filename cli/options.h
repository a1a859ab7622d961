/* SPDX-License-Identifier: MIT */
/*
 * cli/options.h - a verb's options as a table, read with getopt_long.
 *
 *     struct gw_cli_option options[] = {
 *             { "bandwidth", 'b', GW_CLI_RATE, &limit, "RATE", "never send faster" },
 *             { "json", 0, GW_CLI_STRING, &json, "FILE", "results; - is standard output" },
 *             GW_CLI_END,
 *     };
 */
#ifndef GW_CLI_OPTIONS_H
#define GW_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum gw_cli_option_type {
	GW_CLI_FLAG,     /* bool: set to true */
	GW_CLI_STRING,   /* const char *: borrows argv */
	GW_CLI_NUMBER,   /* uint64_t */
	GW_CLI_RATE,     /* uint64_t, bytes per second, more than 0 */
	GW_CLI_SIZE,     /* uint64_t, bytes */
	GW_CLI_DURATION, /* uint64_t, nanoseconds */
	GW_CLI_LIST,     /* struct gw_cli_list: once for each time it is given */
};

#define GW_CLI_LIST_MAX    64
#define GW_CLI_OPTIONS_MAX 32
#define GW_CLI_HELP        1
#define GW_CLI_END                                                                                 \
	{                                                                                          \
		NULL, 0, GW_CLI_FLAG, NULL, NULL, NULL                                             \
	}

struct gw_cli_list {
	size_t count;
	const char *items[GW_CLI_LIST_MAX]; /* borrow argv */
};

struct gw_cli_option {
	const char *name;
	char letter; /* 0: none */
	enum gw_cli_option_type type;
	void *into;
	const char *value; /* its name in the help; NULL for a flag */
	const char *help;
};

/* What is left after the options; both borrow argv. */
struct gw_cli_operands {
	int count;
	char **items;
	bool has_rest; /* a "--" was there */
	int rest_count;
	char **rest; /* all that stood behind it, ended by NULL */
};

/*
 * argv[0] is the verb. 0; GW_CLI_HELP if --help was asked for; -EINVAL with a sentence that
 * names the option and the value. min and max bound the number of operands.
 */
int gw_cli_parse(const struct gw_cli_option *options, int argc, char **argv, int min, int max,
                 struct gw_cli_operands *operands, struct gw_error *error);

/* Words from `column` on, in lines of 80 columns, the later ones behind an indent. */
void gw_cli_words(FILE *out, const char *text, size_t indent, size_t column);

/* The lines of a verb's help that list its options. */
void gw_cli_print(FILE *out, const struct gw_cli_option *options);

#endif
