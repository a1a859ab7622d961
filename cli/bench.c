/* SPDX-License-Identifier: MIT */
/*
 * cli/bench.c - `godwit bench`: side by side with QEMU's own migration, by bench/bench.py.
 */
#include <errno.h>
#include <string.h>

#include "cli/options.h"
#include "cli/script.h"
#include "cli/verb.h"

/* Handed on as they are. */
static const struct {
	const char *name;
	bool flag;
	const char *value, *help;
} rows[] = {
        {"rounds", false, "N", "how often each is measured; default 5, half an hour"},
        {"rate", false, "RATE", "of the link; default 400mbit"},
        {"memory", false, "SIZE", "of the VM; default 512M"},
        {"cpus", false, "N", "of the VM; default 1"},
        {"working-set", false, "SIZE", "that the guest rewrites; default 64M"},
        {"workloads", false, "NAME,...", "calm, busy; default both"},
        {"calm", false, "N", "pages a second that it rewrites then; default 500"},
        {"busy", false, "N", "likewise; default 20000"},
        {"only", false, "TEXT,...", "moves that contain one of these, as 'qemu hybrid'"},
        {"bandwidth", false, "RATE", "what both are told to send at most; default none"},
        {"downtime", false, "MS", "the limit of both; default 300"},
        {"limit", false, "S", "after which a pre-copy is given up; default 30"},
        {"guest", false, "KIND", "linux, or bare: without a system, under any KVM; default linux"},
        {"shared-ram", true, NULL, "QEMU's own migration, too, with memory in a shared file"},
        {"engine", true, NULL, "godwit's engine alone instead: bulk, fault, tracking"},
        {"parts", false, "NAME,...", "of the engine; default all three"},
        {"bulk-mib", false, "N", "the guest of the engine's bulk rate; default 1024"},
        {"show", false, "FILE", "the tables of an earlier run's JSON; measures nothing"},
        {"output", false, "DIR", "where every result is kept; default build/bench"},
        {"json", false, "FILE", "all results as JSON, in the end; - is standard output"},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	struct gw_cli_option options[ROWS + 1] = {0};
	const char *values[ROWS] = {NULL}, *words[3 + 2 * ROWS] = {"python3"};
	char names[ROWS][24];
	bool flags[ROWS] = {false};
	struct gw_script script;
	struct gw_cli_operands operands;
	enum gw_exit status;
	size_t n = 2;

	for (size_t i = 0; i < ROWS; i++)
		options[i] = (struct gw_cli_option){
		        .name = rows[i].name,
		        .type = rows[i].flag ? GW_CLI_FLAG : GW_CLI_STRING,
		        .into = rows[i].flag ? (void *)&flags[i] : (void *)&values[i],
		        .value = rows[i].value,
		        .help = rows[i].help};
	if (!gw_verb_options(verb, options, argc, argv, 0, 0, &operands, &status, error))
		return status;
	for (size_t i = 0; i < ROWS; i++) {
		if (!flags[i] && !values[i])
			continue;
		(void)snprintf(names[i], sizeof(names[i]), "--%s", rows[i].name);
		words[n++] = names[i];
		if (values[i])
			words[n++] = values[i];
	}
	if (gw_script_find(&script, "bench.py", GW_BENCH_SOURCE, NULL, error))
		return GW_EXIT_FAILED;
	words[1] = script.path;
	(void)gw_script_start(words, error);
	return GW_EXIT_FAILED;
}

static void help(FILE *out)
{
	(void)fprintf(out,
	              "\nThe same VM moves by QEMU's own migration and by godwit, turn and turn "
	              "about.\nIt needs root, network namespaces, QEMU and godwit's source tree.\n"
	              "`godwit report` makes a page of what --json wrote.\n");
}

const struct gw_verb gw_verb_bench = {
        .name = "bench",
        .usage = "[OPTION...]",
        .summary = "godwit beside QEMU's own migration, same VM, same link, in one run",
        .run = run,
        .help = help,
};
