/* SPDX-License-Identifier: MIT */
/*
 * docs/simulator.md lists every key of the parser's tables and no other; a key that is given its
 * documented default changes nothing; and the kinds of workload are what their table says.
 *     documented docs/simulator.md
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/scenario/keys.h"

static char page[65536];

#define WORKLOAD "\"workload\": {\"kind\": \"%s\""
#define WORK     WORKLOAD "}"

/* A scenario into which ", key: value" fits at the second %s; the first is a kind of workload. */
static const struct section {
	const char *heading;
	const struct sim_key *keys;
	const char *scenario;
	bool alone; /* nothing stands before it, so that it needs no comma */
} sections[] = {
        {"### Keys at the top\n", sim_top_keys, "{\"vm\": {\"ram\": \"64M\"}, " WORK "%s}", false},
        {"### Keys of a link\n", sim_link_keys,
         "{\"vm\": {\"ram\": \"64M\"}, " WORK ", \"link\": {%s}}", true},
        {"### Keys of a VM\n", sim_vm_keys, "{" WORK ", \"vm\": {\"ram\": \"64M\"%s}}", false},
        {"### Keys of a move\n", sim_move_keys, "{\"vm\": {\"ram\": \"64M\"}, " WORK "%s}", false},
        {"### Keys of a class\n", sim_class_keys,
         "{" WORK ", \"vm\": {\"ram\": \"64M\", \"class\": {\"ceiling\": 5%s}}}", false},
        {"### Keys of a shadow\n", sim_shadow_keys,
         "{" WORK ", \"vm\": {\"ram\": \"64M\", \"shadow\": {%s}}}", true},
        {"### Keys of a workload\n", sim_workload_keys,
         "{\"vm\": {\"ram\": \"64M\"}, " WORKLOAD "%s}}", false},
        {"### Keys of a sharing\n", sim_sharing_keys,
         "{\"vm\": {\"ram\": \"64M\"}, " WORK ", \"sharing\": {\"policy\": \"fair\"%s}}", false},
        {"### Keys of the costs\n", sim_cost_keys,
         "{\"vm\": {\"ram\": \"64M\"}, " WORK ", \"costs\": {%s}}", true},
};

/* The rows of the table below the heading begin here. */
static const char *rows_of(const char *heading)
{
	const char *at = strstr(page, heading);

	if (!at) {
		fail_msg("there is no %s", heading);
		return NULL;
	}
	at = strstr(at, "\n|---");
	assert_non_null(at);
	return strchr(at + 1, '\n') + 1;
}

static const char *next_row(const char *row)
{
	return strchr(row, '\n') + 1;
}

/* The n-th cell's text, without spaces around it. */
static void cell(const char *row, unsigned n, char *text, size_t bytes)
{
	size_t length;

	for (row++; n; n--)
		row += strcspn(row, "|\n") + 1;
	row += strspn(row, " ");
	length = strcspn(row, "|\n");
	while (length && row[length - 1] == ' ')
		length--;
	assert_true(length < bytes);
	memcpy(text, row, length);
	text[length] = '\0';
}

/* Takes `code` out of a cell, from *at on; false if there is no more. */
static bool code(const char **at, char *text, size_t bytes)
{
	const char *from = strchr(*at, '`'), *end = from ? strchr(from + 1, '`') : NULL;

	if (!end)
		return false;
	(void)snprintf(text, bytes, "%.*s", (int)(end - from - 1), from + 1);
	*at = end + 1;
	return true;
}

static bool has_key(const struct sim_key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (!strcmp(keys->name, name))
			return true;
	return false;
}

static void all_keys_and_no_others(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		const struct section *s = &sections[i];
		size_t listed = 0, known = 0;

		for (const char *row = rows_of(s->heading); *row == '|'; row = next_row(row)) {
			char names[200], name[64];
			const char *at = names;

			cell(row, 0, names, sizeof(names));
			for (; code(&at, name, sizeof(name)); listed++)
				if (!has_key(s->keys, name))
					fail_msg("%sthere is no key %s", s->heading, name);
		}
		while (s->keys[known].name)
			known++;
		if (listed != known)
			fail_msg("%s%zu keys, not %zu", s->heading, listed, known);
	}
}

static bool parsed(struct sim_scenario *scenario, const struct section *s, const char *kind,
                   const char *more)
{
	char text[1024];
	struct gw_error error;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(text, sizeof(text), s->scenario, kind, more);
#pragma GCC diagnostic pop
	return !sim_scenario_parse(scenario, text, strlen(text), "t", NULL, &error);
}

/* False if the kind of workload does not take the key. */
static bool changes_nothing(const struct section *s, const char *kind, const char *more)
{
	struct sim_scenario with, without;
	const struct sim_link_config *a, *b;

	if (!parsed(&with, s, kind, more))
		return false;
	assert_true(parsed(&without, s, kind, ""));
	a = with.links;
	b = without.links;
	if (with.seed != without.seed || with.at_once != without.at_once ||
	    with.versions != without.versions || with.vm_count != without.vm_count ||
	    strcmp(a->name, b->name) != 0 || a->bytes_per_s != b->bytes_per_s ||
	    a->latency_ns != b->latency_ns ||
	    memcmp(&with.costs, &without.costs, sizeof(with.costs)) != 0 ||
	    /* Both began as zeros. NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
	    memcmp(with.vms, without.vms, sizeof(*with.vms)) != 0)
		fail_msg("%s%s is not the default", s->heading, more);
	sim_scenario_free(&with);
	sim_scenario_free(&without);
	return true;
}

static void try_default(const struct section *s, const char *name, const char *value)
{
	char more[128];
	bool taken = false;

	(void)snprintf(more, sizeof(more), "%s\"%s\": %s", s->alone ? "" : ", ", name, value);
	for (size_t k = 0; sim_workloads[k]; k++)
		taken |= changes_nothing(s, sim_workloads[k]->name, more);
	if (!taken)
		fail_msg("%s%s is refused", s->heading, more);
}

static void defaults_are_defaults(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		const struct section *s = &sections[i];

		for (const char *row = rows_of(s->heading); *row == '|'; row = next_row(row)) {
			char names[200], values[64], name[64], value[64];
			const char *at = names, *from = values;

			cell(row, 0, names, sizeof(names));
			cell(row, 1, values, sizeof(values));
			if (code(&from, value, sizeof(value)) && code(&at, name, sizeof(name)))
				try_default(s, name, value);
		}
	}
}

static double number(const char *row, unsigned n)
{
	char text[64], *end;
	double value;

	cell(row, n, text, sizeof(text));
	value = strtod(text, &end);
	assert_true(end != text && !*end);
	return value;
}

static void same(double one, double other)
{
	assert_false(one < other || one > other);
}

static uint64_t working_set(const char *row, uint64_t ram)
{
	char text[64];

	cell(row, 5, text, sizeof(text));
	if (!strcmp(text, "all"))
		return ram;
	return text[1] == '/' ? ram / strtoul(text + 2, NULL, 10)
	                      : strtoul(text, NULL, 10) * (1048576 / GW_PAGE_BYTES);
}

static void own_keys(const char *row, const char *keys)
{
	char text[200], name[64], all[200] = "";
	const char *at = text;

	cell(row, 6, text, sizeof(text));
	while (code(&at, name, sizeof(name)))
		(void)snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s",
		               *all ? " " : "", name);
	assert_string_equal(all, keys);
}

static void kinds_are_as_they_say(void **state)
{
	const uint64_t ram = 1048576;
	size_t k = 0;

	(void)state;
	for (const char *row = rows_of("### Kinds of workload\n"); *row == '|';
	     row = next_row(row), k++) {
		struct sim_workload_config config = sim_workloads[k]->defaults;
		char name[64], cells[64];
		const char *at = cells, *key;

		cell(row, 0, cells, sizeof(cells));
		assert_true(code(&at, name, sizeof(name)));
		assert_string_equal(name, sim_workloads[k]->name);
		assert_null(sim_workload_check(&config, ram, 1, &key));
		same(number(row, 1), config.write_pages_per_s);
		same(number(row, 2), config.read_pages_per_s);
		same(number(row, 3), config.cpu_share);
		same(number(row, 4), (double)config.network_bytes_per_s);
		assert_int_equal(working_set(row, ram), config.set_pages);
		own_keys(row, config.kind->keys);
	}
	assert_string_equal(sim_workloads[k]->name, "trace");
	assert_null(sim_workloads[k + 1]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(all_keys_and_no_others),
	        cmocka_unit_test(defaults_are_defaults),
	        cmocka_unit_test(kinds_are_as_they_say),
	};
	FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;

	if (!file || !fread(page, 1, sizeof(page) - 1, file) || fclose(file)) {
		(void)fprintf(stderr, "usage: documented docs/simulator.md\n");
		return 2;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
