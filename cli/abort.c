/* SPDX-License-Identifier: MIT */
/*
 * cli/abort.c - `godwit abort NAME`: stops a migration that is under way; the VM stays.
 */
#include <stdio.h>

#include "cli/options.h"
#include "cli/verb.h"
#include "live/host/resolve.h"
#include "live/vm/registry.h"

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	const struct gw_cli_option options[] = {
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	enum gw_exit status;
	char dir[200], said[GW_SAID_BYTES];

	if (!gw_verb_options(verb, options, argc, argv, 1, 1, &operands, &status, error))
		return status;
	if (gw_name_check(operands.items[0], error))
		return GW_EXIT_USAGE;
	if (gw_registry_dir(dir, sizeof(dir), error) ||
	    gw_abort(dir, operands.items[0], said, error))
		return GW_EXIT_FAILED;
	(void)printf("%s\n", said);
	return GW_EXIT_DONE;
}

const struct gw_verb gw_verb_abort = {
        .name = "abort",
        .usage = "NAME",
        .summary = "stop a migration that is under way: the VM stays where it was",
        .run = run,
};
