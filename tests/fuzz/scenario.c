/* SPDX-License-Identifier: MIT */
/*
 * tests/fuzz/scenario.c - any bytes into the reader of scenarios.
 *
 * An input that begins like JSON is taken as it is. Others choose, byte by byte, keys from the
 * reader's own tables and values that are at the edge: else few inputs would come past the
 * syntax. What is accepted must be possible, and what is refused must say on which line.
 */
#include "sim/scenario/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/target.h"

static struct {
	unsigned long accepted, chosen;
} seen;

bool target_report(unsigned long inputs)
{
	fprintf(stderr, "scenario: %lu of %lu inputs read, %lu of them of chosen keys\n",
	        seen.accepted, inputs, seen.chosen);
	return seen.chosen && seen.accepted > seen.chosen; /* both kinds of input were read */
}

static void check_vm(const struct sim_scenario *s, const struct sim_vm *vm)
{
	const struct sim_workload_config *w = &vm->workload;
	struct sim_workload *workload;
	struct gw_policy policy;
	struct gw_order order;
	struct sim_touch touch;

	require(vm->ram_pages && vm->ram_pages <= SIM_RAM_PAGES_MAX, "there is memory");
	require(vm->vcpus && vm->vcpus <= SIM_VCPUS_MAX, "and who uses it");
	require(vm->populated_share >= 0 && vm->populated_share <= 1, "shares are shares");
	require(w->offset_pages < vm->ram_pages, "the working set begins within");
	require(w->set_pages && w->set_pages <= vm->ram_pages - w->offset_pages, "and ends there");
	require(vm->path_count && vm->path_count <= SIM_PATH_MAX, "there is a way");
	for (unsigned i = 0; i < vm->path_count; i++)
		require(vm->path[i] < s->link_count, "over links that there are");
	require(!sim_move_init(&vm->move, &policy, &order, NULL), "the policy can be made");
	workload = sim_workload_new(w, vm->ram_pages, vm->vcpus, s->seed);
	for (unsigned i = 0; workload && i < 20; i++) {
		sim_workload_next(workload, i % vm->vcpus, &touch);
		require(touch.page < vm->ram_pages, "touches are within memory");
	}
	sim_workload_free(workload);
}

static void check(const char *text, size_t size, bool chosen)
{
	struct sim_scenario scenario;
	struct gw_error error = {""};
	int err = sim_scenario_parse(&scenario, text, size, "fuzz", "/nowhere", &error);
	unsigned long line = 0;

	target_count();
	if (err) {
		require(err == -EINVAL, "what is impossible is -EINVAL");
		require(sscanf(error.text, "fuzz:%lu:", &line) == 1 && line, "with its line");
		return;
	}
	seen.accepted++;
	seen.chosen += chosen;
	require(scenario.link_count && scenario.vm_count, "there is something to simulate");
	for (size_t i = 0; i < scenario.link_count; i++)
		require(scenario.links[i].bytes_per_s && scenario.links[i].name, "links carry");
	for (size_t i = 0; i < scenario.vm_count; i += 1 + scenario.vm_count / 8)
		check_vm(&scenario, &scenario.vms[i]);
	sim_scenario_free(&scenario);
}

/* --- texts of chosen keys ------------------------------------------------------------------- */

struct writer {
	const uint8_t *data;
	size_t size;
	char text[4096];
	size_t used;
};

static unsigned draw(struct writer *w, unsigned limit)
{
	unsigned byte = w->size ? *w->data : 0;

	if (w->size) {
		w->data++;
		w->size--;
	}
	return byte % limit;
}

static void put(struct writer *w, const char *text)
{
	int n = snprintf(w->text + w->used, sizeof(w->text) - w->used, "%s", text);

	if (w->used + (size_t)n < sizeof(w->text))
		w->used += (size_t)n;
}

static void put_value(struct writer *w)
{
	static const char *const values[] = {"1",
	                                     "2",
	                                     "0.5",
	                                     "4096",
	                                     "\"64M\"",
	                                     "\"1ms\"",
	                                     "\"1gbit\"",
	                                     "true",
	                                     "\"idle\"",
	                                     "\"server\"",
	                                     "\"compile\"",
	                                     "\"link\"",
	                                     "\"phases\"",
	                                     "\"sequential\"",
	                                     "\"locality\"",
	                                     "\"random\"",
	                                     "\"postcopy\"",
	                                     "\"bubble\"",
	                                     "0",
	                                     "-1",
	                                     "1e300",
	                                     "\"\"",
	                                     "null",
	                                     "[]",
	                                     "{}",
	                                     "[\"link\"]",
	                                     "9223372036854775807",
	                                     "\"999999999999h\"",
	                                     "\"17179869183K\"",
	                                     "\"a\"",
	                                     "1e-300",
	                                     "{\"rounds\": 2}",
	                                     "\"hybrid\""};

	put(w, values[draw(w, sizeof(values) / sizeof(values[0]))]);
}

static void put_keys(struct writer *w, const struct sim_key *keys)
{
	unsigned count = 0;

	while (keys[count].name)
		count++;
	for (unsigned n = draw(w, 4); n; n--) {
		put(w, ", \"");
		put(w, keys[draw(w, count)].name);
		put(w, "\": ");
		put_value(w);
	}
}

static void write_text(struct writer *w)
{
	put(w, "{\"vm\": {\"ram\": \"1M\"");
	put_keys(w, sim_vm_keys);
	put_keys(w, sim_move_keys);
	put(w, ", \"class\": {\"weight\": 1");
	put_keys(w, sim_class_keys);
	put(w, "}, \"shadow\": {\"life\": 0");
	put_keys(w, sim_shadow_keys);
	put(w, "}},\n\"workload\": {\"kind\": \"");
	put(w, sim_workloads[draw(w, 9)]->name);
	put(w, "\"");
	put_keys(w, sim_workload_keys);
	put(w, "},\n\"link\": {\"name\": \"link\"");
	put_keys(w, sim_link_keys);
	put(w, "},\n\"costs\": {\"fault\": 1");
	put_keys(w, sim_cost_keys);
	put(w, "}");
	put_keys(w, sim_top_keys);
	put_keys(w, sim_move_keys);
	put(w, "}");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct writer writer;

	if (size && (*data == '{' || *data == '[')) {
		check((const char *)data, size, false);
		return 0;
	}
	writer = (struct writer){.data = data, .size = size};
	write_text(&writer);
	check(writer.text, writer.used, true);
	return 0;
}
