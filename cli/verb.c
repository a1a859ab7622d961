/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "cli/options.h"

bool gw_verb_options(const struct gw_verb *verb, const struct gw_cli_option *options, int argc,
                     char **argv, int min, int max, struct gw_cli_operands *operands,
                     enum gw_exit *status, struct gw_error *error)
{
	int r = gw_cli_parse(options, argc, argv, min, max, operands, error);

	if (r == GW_CLI_HELP) {
		(void)printf("usage: godwit %s%s%s\n\n%s\n\n", verb->name, *verb->usage ? " " : "",
		             verb->usage, verb->summary);
		gw_cli_print(stdout, options);
		*status = GW_EXIT_DONE;
		return false;
	}
	*status = GW_EXIT_USAGE;
	return r == 0;
}
