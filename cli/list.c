/* SPDX-License-Identifier: MIT */
/*
 * cli/list.c - `godwit list`: the VMs that this host knows, and what is open about them.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/values.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "live/host/resolve.h"
#include "live/vm/native.h"
#include "live/vm/registry.h"

/* What a row shows; native guests (of tests and benches) have no record, but a socket that answers.
 */
struct row {
	const char *name, *kind, *ram_path;
	bool alive;
	pid_t pid;
	uint64_t ram_bytes;
	const char *migration; /* NULL: none is open */
};

struct listing {
	const char *dir;
	int (*add)(const struct row *row, void *arg);
	void *arg;
};

static int add(const struct listing *listing, struct row *row)
{
	struct gw_question question;

	if (gw_question_find(listing->dir, row->name, &question))
		row->migration = gw_question_owner(&question);
	return listing->add(row, listing->arg);
}

static int add_record(const struct gw_record *record, void *context)
{
	struct row row = {.name = record->name,
	                  .kind = "qemu",
	                  .ram_path = record->ram_path,
	                  .alive = gw_record_alive(record),
	                  .pid = record->pid,
	                  .ram_bytes = record->ram_bytes};

	return add(context, &row);
}

static int add_native(const struct listing *listing, const char *name)
{
	char path[512];
	struct row row = {.name = name, .kind = "native", .alive = true};
	struct gw_vm *vm;
	int n = snprintf(path, sizeof(path), "%s/%s/" GW_NATIVE_CONTROL, listing->dir, name);

	if (n < 0 || (size_t)n >= sizeof(path) || access(path, F_OK) ||
	    gw_native_open(&vm, path, NULL))
		return 0;
	row.ram_path = vm->ram_path;
	row.pid = vm->pid;
	row.ram_bytes = vm->ram_bytes;
	n = add(listing, &row);
	gw_vm_close(vm);
	return n;
}

static int add_natives(const struct listing *listing)
{
	DIR *dir = opendir(listing->dir);
	struct dirent *entry;
	int r = 0;

	while (dir && !r && (entry = readdir(dir)))
		if (!gw_name_check(entry->d_name, NULL))
			r = add_native(listing, entry->d_name);
	if (dir)
		closedir(dir);
	return r;
}

static int list_all(int (*each)(const struct row *row, void *arg), void *arg,
                    struct gw_error *error)
{
	char dir[200];
	struct listing listing = {.dir = dir, .add = each, .arg = arg};
	int r = gw_registry_dir(dir, sizeof(dir), error);

	if (!r)
		r = gw_registry_list(add_record, &listing, error);
	return r ? r : add_natives(&listing);
}

static int add_text(const struct row *row, void *arg)
{
	char pid[16], size[32];
	const char *const texts[] = {row->name, row->alive ? "running" : "gone", pid, size,
	                             row->migration};

	(void)snprintf(pid, sizeof(pid), "%d", (int)row->pid);
	(void)gw_show_size(size, sizeof(size), row->ram_bytes);
	return gw_table_add(arg, texts);
}

static int add_json(const struct row *row, void *arg)
{
	json_t *vm =
	        json_pack("{s:s, s:s, s:s, s:i, s:I, s:s}", "name", row->name, "kind", row->kind,
	                  "process", row->alive ? "running" : "gone", "pid", (int)row->pid,
	                  "ram_bytes", (json_int_t)row->ram_bytes, "ram_path", row->ram_path);

	if (vm && row->migration)
		(void)json_object_set_new(vm, "migration", json_string(row->migration));
	return json_array_append_new(arg, vm) ? -ENOMEM : 0;
}

static int as_text(struct gw_error *error)
{
	static const char *const headings[] = {"NAME",    "PROCESS",   ">PID",
	                                       ">MEMORY", "MIGRATION", NULL};
	struct gw_table table;
	int r = gw_table_init(&table, headings);

	if (r)
		(void)gw_fail(error, -r, "no memory for the table");
	else
		r = list_all(add_text, &table, error);
	if (!r && table.rows > 1)
		gw_table_print(&table, stdout);
	else if (!r)
		(void)printf("no VM is known here: `godwit run` starts one that can be moved\n");
	gw_table_free(&table);
	return r;
}

static int as_json(const char *path, struct gw_error *error)
{
	json_t *vms = json_array();
	int r = list_all(add_json, vms, error);

	if (r) {
		json_decref(vms);
		return r;
	}
	return gw_output_json(json_pack("{s:s, s:o}", "schema", "godwit.list/1", "vms", vms), path,
	                      error);
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	const char *json = NULL;
	const struct gw_cli_option options[] = {
	        {"json", 0, GW_CLI_STRING, &json, "FILE", "results as JSON; - is standard output"},
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	enum gw_exit status;

	if (!gw_verb_options(verb, options, argc, argv, 0, 0, &operands, &status, error))
		return status;
	return (json ? as_json(json, error) : as_text(error)) ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

const struct gw_verb gw_verb_list = {
        .name = "list",
        .usage = "[--json FILE]",
        .summary = "the VMs that this host knows",
        .run = run,
};
