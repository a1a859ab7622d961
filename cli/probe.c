/* SPDX-License-Identifier: MIT */
/*
 * cli/probe.c - `godwit probe`: what this host offers, and what is missing.
 */
#include "live/memory/probe.h"

#include <stdio.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/verb.h"

struct feature {
	const char *key;
	const char *what;
	bool present;
};

/* What a user may choose, and what it needs by gw_probe_lacks(). */
static const char *const abilities[] = {"pagemap", "digest", "faults"};

static json_t *as_json(const struct gw_probe *probe, const struct feature *features, size_t count)
{
	json_t *result = json_object(), *kernel = json_object(), *able = json_object();
	size_t i;

	for (i = 0; i < count; i++)
		json_object_set_new(kernel, features[i].key, json_boolean(features[i].present));
	for (i = 0; i < sizeof(abilities) / sizeof(abilities[0]); i++) {
		const char *lacks = gw_probe_lacks(probe, abilities[i]);

		json_object_set_new(able, abilities[i], lacks ? json_string(lacks) : json_true());
	}
	json_object_set_new(result, "schema", json_string("godwit.probe/1"));
	json_object_set_new(result, "features", kernel);
	json_object_set_new(result, "usable", able);
	json_object_set_new(result, "missing", json_string(probe->missing));
	return result;
}

static int as_text(const struct gw_probe *probe, const struct feature *features, size_t count,
                   struct gw_error *error)
{
	static const char *const headings[] = {"FEATURE", "HERE", "WHAT IT IS", NULL};
	struct gw_table table;
	int r = gw_table_init(&table, headings);
	size_t i;

	for (i = 0; !r && i < count; i++) {
		const char *const row[] = {features[i].key, features[i].present ? "yes" : "no",
		                           features[i].what};

		r = gw_table_add(&table, row);
	}
	if (!r)
		gw_table_print(&table, stdout);
	gw_table_free(&table);
	if (r)
		return gw_fail(error, -r, "no memory for the table");
	(void)putchar('\n');
	for (i = 0; i < sizeof(abilities) / sizeof(abilities[0]); i++) {
		const char *lacks = gw_probe_lacks(probe, abilities[i]);

		(void)printf("%s: %s\n", abilities[i], lacks ? lacks : "works here");
	}
	if (*probe->missing)
		(void)printf("\n%s\n", probe->missing);
	return 0;
}

static int show(const char *json, struct gw_error *error)
{
	struct gw_probe probe;

	gw_probe_host(&probe);

	const struct feature features[] = {
	        {"ptrace", "attach to a hypervisor", probe.ptrace},
	        {"pidfd_getfd", "take a descriptor out of a hypervisor", probe.pidfd_getfd},
	        {"userfaultfd", "see page faults, the kernel's own too", probe.userfaultfd},
	        {"missing_shmem", "fill the memory of a VM that runs", probe.missing_shmem},
	        {"wp_async", "track writes without stopping the writer", probe.wp_async},
	        {"pagemap_scan", "read what was written", probe.pagemap_scan},
	        {"net_admin", "traffic control: urgent pages first", probe.net_admin},
	        {"kvm", "VMs under KVM", probe.kvm},
	        {"hardware", "a processor that virtualises, which makes KVM fast", probe.hardware},
	};
	size_t count = sizeof(features) / sizeof(features[0]);

	if (json)
		return gw_output_json(as_json(&probe, features, count), json, error);
	return as_text(&probe, features, count, error);
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
	return show(json, error) ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

const struct gw_verb gw_verb_probe = {
        .name = "probe",
        .usage = "[--json FILE]",
        .summary = "what this host offers for moving VMs, and what is missing",
        .run = run,
};
