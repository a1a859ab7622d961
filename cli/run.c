/* SPDX-License-Identifier: MIT */
/*
 * cli/run.c - `godwit run NAME -- QEMU-ARGS`: starts a VM that can be moved.
 */
#include <errno.h>
#include <stdio.h>

#include "base/values.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/verb.h"
#include "live/host/resolve.h"
#include "live/vm/registry.h"

static json_t *as_json(const struct gw_record *record)
{
	return json_pack("{s:s, s:s, s:i, s:s, s:I, s:s, s:s}", "schema", "godwit.run/1", "name",
	                 record->name, "pid", (int)record->pid, "ram_path", record->ram_path,
	                 "ram_bytes", (json_int_t)record->ram_bytes, "qmp_path", record->qmp_path,
	                 "log_path", record->log_path);
}

/* The memory of a VM of that name may still be needed: a new one would take its place. */
static int name_is_free(const char *name, struct gw_error *error)
{
	char dir[200];
	struct gw_question question;
	int r = gw_registry_dir(dir, sizeof(dir), error);

	if (r || !gw_question_find(dir, name, &question) || !gw_question_holds_name(&question))
		return r;
	return gw_fail(error, EBUSY,
	               "a migration of %s is under way or unfinished here: `godwit status %s` says "
	               "how it stands and what to do",
	               name, name);
}

static int start(const char *name, const char *qemu, char *const *args, const char *json,
                 struct gw_error *error)
{
	struct gw_record record = {0};
	char size[32];
	int r;

	r = name_is_free(name, error);
	if (!r)
		r = gw_run(name, qemu, args, &record, error);
	if (!r && json)
		r = gw_output_json(as_json(&record), json, error);
	else if (!r)
		(void)printf("%s runs: pid %d, %s of memory, control socket %s\n", record.name,
		             (int)record.pid, gw_show_size(size, sizeof(size), record.ram_bytes),
		             record.qmp_path);
	gw_record_clear(&record);
	return r;
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	const char *json = NULL, *qemu = NULL;
	const struct gw_cli_option options[] = {
	        {"qemu", 0, GW_CLI_STRING, &qemu, "PATH", "the QEMU to start"},
	        {"json", 0, GW_CLI_STRING, &json, "FILE", "results as JSON; - is standard output"},
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	enum gw_exit status;

	if (!gw_verb_options(verb, options, argc, argv, 1, 1, &operands, &status, error))
		return status;
	if (!operands.has_rest) {
		(void)gw_fail(error, EINVAL,
		              "run needs QEMU's arguments behind --; see godwit run --help");
		return GW_EXIT_USAGE;
	}
	if (gw_name_check(operands.items[0], error))
		return GW_EXIT_USAGE;
	return start(operands.items[0], qemu, operands.rest, json, error) ? GW_EXIT_FAILED
	                                                                  : GW_EXIT_DONE;
}

static void help(FILE *out)
{
	(void)fprintf(out,
	              "\nQEMU-ARGS are QEMU's own. Added are its memory as a shared file, and the "
	              "control\nsocket. The VM outlives the command. An example:\n\n"
	              "  godwit run web -- -m 512M -nic none -display none -hda web.qcow2\n");
}

const struct gw_verb gw_verb_run = {
        .name = "run",
        .usage = "NAME [--qemu PATH] [--json FILE] -- QEMU-ARGS",
        .summary = "start a VM that can be moved",
        .run = run,
        .help = help,
};
