/* SPDX-License-Identifier: MIT */
/*
 * cli/verb.h - one verb a file, one row a verb in main.c's table.
 */
#ifndef GW_CLI_VERB_H
#define GW_CLI_VERB_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

/* What a verb answers, and the program's exit status. */
enum gw_exit {
	GW_EXIT_DONE = 0,
	GW_EXIT_FAILED = 1, /* the error holds the sentence */
	GW_EXIT_USAGE = 2,  /* likewise */
};

struct gw_verb {
	const char *name;
	const char *usage;   /* what follows the name */
	const char *summary; /* one line for `godwit --help` */
	/* argv[0] is the verb's name. Prints its own --help. Never prints the error. */
	enum gw_exit (*run)(const struct gw_verb *verb, int argc, char **argv,
	                    struct gw_error *error);
	/* What its --help says behind the options. NULL: nothing. */
	void (*help)(FILE *out);
};

extern const struct gw_verb gw_verb_abort;
extern const struct gw_verb gw_verb_bench;
extern const struct gw_verb gw_verb_estimate;
extern const struct gw_verb gw_verb_evacuate;
extern const struct gw_verb gw_verb_list;
extern const struct gw_verb gw_verb_migrate;
extern const struct gw_verb gw_verb_model;
extern const struct gw_verb gw_verb_paper;
extern const struct gw_verb gw_verb_predict;
extern const struct gw_verb gw_verb_probe;
extern const struct gw_verb gw_verb_record;
extern const struct gw_verb gw_verb_recover;
extern const struct gw_verb gw_verb_report;
extern const struct gw_verb gw_verb_resolve;
extern const struct gw_verb gw_verb_run;
extern const struct gw_verb gw_verb_serve;
extern const struct gw_verb gw_verb_sim;
extern const struct gw_verb gw_verb_status;
extern const struct gw_verb gw_verb_torture;

struct gw_cli_option;
struct gw_cli_operands;

/*
 * gw_cli_parse() for a verb. False: the verb is to return *status at once (help was printed,
 * or the usage was wrong).
 */
bool gw_verb_options(const struct gw_verb *verb, const struct gw_cli_option *options, int argc,
                     char **argv, int min, int max, struct gw_cli_operands *operands,
                     enum gw_exit *status, struct gw_error *error);

/* Ctrl-C, SIGTERM and SIGHUP become a descriptor: nothing is left half-way. The caller closes it.
 */
int gw_verb_stop_signals(void);

#endif
