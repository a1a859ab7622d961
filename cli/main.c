/* SPDX-License-Identifier: MIT */
/*
 * cli/main.c - the program: looks the verb up in one table, runs it, prints its error once.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "cli/verb.h"

#define SUMMARY_AT 13

static const struct gw_verb *const verbs[] = {
        &gw_verb_run,
        &gw_verb_serve,
        &gw_verb_migrate,
        &gw_verb_evacuate,
        &gw_verb_status,
        &gw_verb_abort,
        &gw_verb_recover,
        &gw_verb_resolve,
        &gw_verb_list,
        &gw_verb_probe,
        &gw_verb_record,
        &gw_verb_estimate,
        &gw_verb_sim,
        &gw_verb_model,
        &gw_verb_predict,
        &gw_verb_paper,
        &gw_verb_report,
        &gw_verb_bench,
        &gw_verb_torture,
        NULL,
};

static void help(FILE *out)
{
	size_t i;

	(void)fprintf(out, "usage: godwit VERB [OPTION...]\n\n"
	                   "Moves running virtual machines between hosts, from outside the "
	                   "hypervisor.\n\n");
	for (i = 0; verbs[i]; i++) {
		(void)fprintf(out, "  %-10s ", verbs[i]->name);
		gw_cli_words(out, verbs[i]->summary, SUMMARY_AT, SUMMARY_AT);
	}
	(void)fprintf(out, "\n`godwit VERB --help` says more. "
	                   "Exit status: 0 done, 1 failed, 2 wrong usage.\n");
}

static const struct gw_verb *find(const char *name)
{
	size_t i;

	for (i = 0; verbs[i]; i++)
		if (!strcmp(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

/* One line, whatever a name or a peer put into it: no control character reaches the terminal. */
static void complain(struct gw_error *error)
{
	char *c;

	for (c = error->text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	(void)fprintf(stderr, "godwit: %s\n", error->text);
}

static enum gw_exit usage_error(const char *what, const char *word)
{
	struct gw_error error;

	(void)gw_fail(&error, EINVAL, "%s%s; see godwit --help", word, what);
	complain(&error);
	return GW_EXIT_USAGE;
}

/* What was promised must have reached its reader: a full disk under stdout is a failure. */
static enum gw_exit finish(enum gw_exit status)
{
	if (fflush(stdout) || ferror(stdout)) {
		if (status == GW_EXIT_DONE)
			(void)fprintf(stderr, "godwit: cannot write to standard output\n");
		return status == GW_EXIT_DONE ? GW_EXIT_FAILED : status;
	}
	return status;
}

int main(int argc, char **argv)
{
	struct gw_error error = {""};
	const struct gw_verb *verb;
	enum gw_exit status;

	/* A reader that goes away must not end a migration. */
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc < 2)
		return usage_error("a verb is needed", "");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return finish(GW_EXIT_DONE);
	}
	if (!strcmp(argv[1], "--version")) {
		(void)printf("godwit %s\n", GW_VERSION);
		return finish(GW_EXIT_DONE);
	}
	verb = find(argv[1]);
	if (!verb)
		return usage_error(argv[1][0] == '-' ? ": no such option" : ": no such verb",
		                   argv[1]);
	status = verb->run(verb, argc - 1, argv + 1, &error);
	if (status != GW_EXIT_DONE)
		complain(&error);
	return finish(status);
}
