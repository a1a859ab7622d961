/* SPDX-License-Identifier: MIT */
/*
 * cli/resolve.c - `godwit resolve NAME --run-here|--gone`: a person settles a recorded doubt.
 */
#include <errno.h>
#include <stdio.h>

#include "cli/options.h"
#include "cli/verb.h"
#include "live/host/resolve.h"
#include "live/vm/registry.h"

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	bool here = false, gone = false;
	const struct gw_cli_option options[] = {
	        {"run-here", 0, GW_CLI_FLAG, &here, NULL,
	         "it runs nowhere else, for certain: run it on this host"},
	        {"gone", 0, GW_CLI_FLAG, &gone, NULL,
	         "it runs elsewhere, or is to run nowhere: drop what is left of it on this host"},
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	enum gw_exit status;
	char dir[200], said[GW_SAID_BYTES];

	if (!gw_verb_options(verb, options, argc, argv, 1, 1, &operands, &status, error))
		return status;
	if (here == gone) {
		(void)gw_fail(error, EINVAL,
		              "resolve needs one of --run-here and --gone: which of them is true, "
		              "only you can know");
		return GW_EXIT_USAGE;
	}
	if (gw_name_check(operands.items[0], error))
		return GW_EXIT_USAGE;
	if (gw_registry_dir(dir, sizeof(dir), error) ||
	    gw_resolve(dir, operands.items[0], here ? GW_RUN_HERE : GW_GONE, said, error))
		return GW_EXIT_FAILED;
	(void)printf("%s\n", said);
	return GW_EXIT_DONE;
}

const struct gw_verb gw_verb_resolve = {
        .name = "resolve",
        .usage = "NAME --run-here|--gone",
        .summary = "say who runs a VM where no side can tell",
        .run = run,
};
