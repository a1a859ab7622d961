/* SPDX-License-Identifier: MIT */
/*
 * cli/status.c - `godwit status [NAME]`: migrations that are under way here, or unfinished.
 */
#include <errno.h>
#include <stdio.h>

#include "base/values.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "live/host/resolve.h"
#include "live/vm/registry.h"

static const char *side_of(const struct gw_question *q)
{
	return q->journal.side == GW_SIDE_SOURCE ? "source" : "destination";
}

static const char *state_of(const struct gw_question *q)
{
	return q->agent ? q->state : "no agent";
}

static void show_progress(const struct gw_question *q, char text[80])
{
	char done[32], all[32];

	text[0] = '\0';
	if (q->all_bytes)
		(void)snprintf(text, 80, "%s of %s",
		               gw_show_size(done, sizeof(done), q->done_bytes),
		               gw_show_size(all, sizeof(all), q->all_bytes));
}

static int add_row(const struct gw_question *q, void *arg)
{
	char progress[80];
	const char *row[] = {q->journal.name, side_of(q),           state_of(q),          progress,
	                     q->journal.peer, gw_question_owner(q), gw_question_advice(q)};
	size_t i;

	show_progress(q, progress);
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		if (!row[i][0])
			row[i] = NULL;
	return gw_table_add(arg, row);
}

static int add_json(const struct gw_question *q, void *arg)
{
	json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:I}", "name", q->journal.name,
	                        "side", side_of(q), "state", state_of(q), "record",
	                        gw_journal_record_name(q->journal.record), "agent", q->agent,
	                        "owner", gw_question_owner(q), "pid", (json_int_t)q->journal.pid);

	if (row && q->all_bytes) {
		(void)json_object_set_new(row, "done_bytes",
		                          json_integer((json_int_t)q->done_bytes));
		(void)json_object_set_new(row, "all_bytes", json_integer((json_int_t)q->all_bytes));
	}
	if (row && q->journal.peer[0])
		(void)json_object_set_new(row, "peer", json_string(q->journal.peer));
	if (row && gw_question_advice(q)[0])
		(void)json_object_set_new(row, "advice", json_string(gw_question_advice(q)));
	return json_array_append_new(arg, row) ? -ENOMEM : 0;
}

static int as_text(const char *dir, const char *name, struct gw_error *error)
{
	static const char *const headings[] = {"NAME", "SIDE",  "STATE", ">PROGRESS",
	                                       "PEER", "OWNER", "NEXT",  NULL};
	struct gw_table table;
	int r = gw_table_init(&table, headings);

	if (!r)
		r = gw_questions_each(dir, name, add_row, &table);
	if (r)
		(void)gw_fail(error, -r, "no memory for the table");
	else if (table.rows > 1)
		gw_table_print(&table, stdout);
	else
		(void)printf("no migration%s%s is under way or unfinished here\n",
		             name ? " of " : "", name ? name : "");
	gw_table_free(&table);
	return r;
}

static int as_json(const char *dir, const char *name, const char *path, struct gw_error *error)
{
	json_t *rows = json_array();
	int r = gw_questions_each(dir, name, add_json, rows);

	if (r) {
		json_decref(rows);
		return gw_fail(error, -r, "no memory for the results");
	}
	return gw_output_json(
	        json_pack("{s:s, s:o}", "schema", "godwit.status/1", "migrations", rows), path,
	        error);
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	const char *json = NULL, *name;
	const struct gw_cli_option options[] = {
	        {"json", 0, GW_CLI_STRING, &json, "FILE", "results as JSON; - is standard output"},
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	enum gw_exit status;
	char dir[200];

	if (!gw_verb_options(verb, options, argc, argv, 0, 1, &operands, &status, error))
		return status;
	name = operands.count ? operands.items[0] : NULL;
	if (name && gw_name_check(name, error))
		return GW_EXIT_USAGE;
	if (gw_registry_dir(dir, sizeof(dir), error))
		return GW_EXIT_FAILED;
	if (name && !gw_name_is_known(dir, name)) {
		(void)gw_fail(error, ENOENT,
		              "no VM is named %s here: `godwit list` shows which there are", name);
		return GW_EXIT_FAILED;
	}
	return (json ? as_json(dir, name, json, error) : as_text(dir, name, error)) ? GW_EXIT_FAILED
	                                                                            : GW_EXIT_DONE;
}

const struct gw_verb gw_verb_status = {
        .name = "status",
        .usage = "[NAME] [--json FILE]",
        .summary = "migrations that are under way here, or unfinished, and who has the VM",
        .run = run,
};
