/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "cli/options.h"

bool gw_verb_options(const struct gw_verb *verb, const struct gw_cli_option *options, int argc,
                     char **argv, int min, int max, struct gw_cli_operands *operands,
                     enum gw_exit *status, struct gw_error *error)
{
	int r = gw_cli_parse(options, argc, argv, min, max, operands, error);

	if (r == GW_CLI_HELP) {
		size_t column = (size_t)printf("usage: godwit %s ", verb->name);

		gw_cli_words(stdout, verb->usage, column, column);
		(void)printf("\n%s\n\n", verb->summary);
		gw_cli_print(stdout, options);
		if (verb->help)
			verb->help(stdout);
		*status = GW_EXIT_DONE;
		return false;
	}
	*status = GW_EXIT_USAGE;
	if (r && operands->items && operands->count < min)
		(void)gw_fail(error, EINVAL, "%s needs more: godwit %s %s", verb->name, verb->name,
		              verb->usage);
	return r == 0;
}

int gw_verb_stop_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}
