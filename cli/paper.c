/* SPDX-License-Identifier: MIT */
/*
 * cli/paper.c - `godwit paper`: the papers' tables and figures, made anew by paper/main.py.
 */
#include <errno.h>
#include <string.h>

#include "cli/options.h"
#include "cli/script.h"
#include "cli/verb.h"

/* By meson: the papers that there are, and where paper/ lies before and after `meson install`. */
static const char *const papers[] = {GW_PAPERS, NULL};

struct asked {
	const char *output, *json;
	bool sim_only, live_only, quick, quiet;
};

static bool known(const char *name)
{
	for (size_t i = 0; papers[i]; i++)
		if (!strcmp(papers[i], name))
			return true;
	return false;
}

static int check(const struct asked *asked, const char *paper, struct gw_error *error)
{
	char list[128] = "";

	for (size_t i = 0; papers[i]; i++)
		(void)snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s, ", papers[i]);
	if (strcmp(paper, "all") != 0 && !known(paper))
		return gw_fail(error, EINVAL, "there is no paper '%s'; there are %sall", paper,
		               list);
	if (!asked->output)
		return gw_fail(error, EINVAL, "paper needs -o DIR, where tables and figures go");
	if (asked->sim_only && asked->live_only)
		return gw_fail(error, EINVAL, "give either --sim-only or --live-only");
	return 0;
}

/* Only returns if python3 could not be started. */
static int start(const struct asked *asked, const char *paper, struct gw_error *error)
{
	const char *words[16 + sizeof(papers) / sizeof(papers[0])];
	const bool all = !strcmp(paper, "all");
	struct gw_script script;
	size_t n = 0;
	int err = gw_script_find(&script, "main.py", GW_PAPER_SOURCE, GW_PAPER_INSTALLED, error);

	if (err)
		return err;
	words[n++] = "python3";
	words[n++] = script.path;
	words[n++] = "--godwit";
	words[n++] = script.godwit;
	words[n++] = "--output";
	words[n++] = asked->output;
	if (asked->sim_only || asked->live_only)
		words[n++] = asked->sim_only ? "--sim-only" : "--live-only";
	if (asked->quick)
		words[n++] = "--quick";
	if (asked->quiet)
		words[n++] = "--quiet";
	if (asked->json) {
		words[n++] = "--json";
		words[n++] = asked->json;
	}
	words[n++] = "--";
	for (size_t i = 0; papers[i]; i++)
		if (all || !strcmp(papers[i], paper))
			words[n++] = papers[i];
	words[n] = NULL;
	return gw_script_start(words, error);
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	struct asked asked = {0};
	const struct gw_cli_option options[] = {
	        {"output", 'o', GW_CLI_STRING, &asked.output, "DIR",
	         "data, pictures and index.html; what a part of an earlier run left is kept"},
	        {"sim-only", 0, GW_CLI_FLAG, &asked.sim_only, NULL,
	         "closed forms and simulations alone"},
	        {"live-only", 0, GW_CLI_FLAG, &asked.live_only, NULL,
	         "moves of running guests alone"},
	        {"quick", 0, GW_CLI_FLAG, &asked.quick, NULL, "fewer seeds and points"},
	        {"json", 0, GW_CLI_STRING, &asked.json, "FILE",
	         "one paper a line as JSON; - is standard output"},
	        {"quiet", 'q', GW_CLI_FLAG, &asked.quiet, NULL, "no progress"},
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	enum gw_exit status;

	if (!gw_verb_options(verb, options, argc, argv, 1, 1, &operands, &status, error))
		return status;
	if (check(&asked, operands.items[0], error))
		return GW_EXIT_USAGE;
	(void)start(&asked, operands.items[0], error);
	return GW_EXIT_FAILED;
}

const struct gw_verb gw_verb_paper = {
        .name = "paper",
        .usage = GW_PAPERS_USAGE "|all -o DIR [OPTION...]",
        .summary = "the papers' tables and figures, made anew beside what they published",
        .run = run,
};
