/* SPDX-License-Identifier: MIT */
/* Scenarios: what is read, and that what is impossible is refused with key, value and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/scenario/scenario.h"
#include "sim/trace/trace.h"

static struct sim_scenario s;
static struct gw_error error;

static void read_it(const char *text)
{
	if (sim_scenario_parse(&s, text, strlen(text), "folder/test.json", NULL, &error))
		fail_msg("%s", error.text);
}

/* The sentence begins with the file and line, and then has all of these. */
static void refused(const char *text, const char *begins, const char *has)
{
	int err = sim_scenario_parse(&s, text, strlen(text), "t", NULL, &error);

	if (err != -22)
		fail_msg("%d, not -EINVAL, for %s", err, text);
	if (strncmp(error.text, begins, strlen(begins)) != 0 || !strstr(error.text, has))
		fail_msg("\"%s\" is not \"%s ... %s\"", error.text, begins, has);
	assert_null(s.vms);
	assert_null(s.links);
}

#define IDLE "\"workload\": {\"kind\": \"idle\"}"

static void a_small_one_has_defaults(void **state)
{
	(void)state;
	read_it("{\"vm\": {\"ram\": \"1G\"}, " IDLE "}");
	assert_string_equal(s.name, "test");
	assert_int_equal(s.seed, 1);
	assert_true(s.versions);
	assert_int_equal(s.vm_count, 1);
	assert_string_equal(s.vms[0].name, "vm");
	assert_int_equal(s.vms[0].ram_pages, 262144);
	assert_int_equal(s.vms[0].vcpus, 1);
	assert_int_equal(s.vms[0].workload.set_pages, 4096);
	assert_string_equal(s.vms[0].move.policy, "precopy");
	assert_string_equal(s.vms[0].move.order, "");
	assert_int_equal(s.vms[0].move.downtime_limit_ns, 300000000);
	assert_int_equal(s.vms[0].path_count, 1);
	assert_int_equal(s.link_count, 1);
	assert_int_equal(s.links[0].bytes_per_s, 125000000);
	assert_memory_equal(&s.costs, &sim_costs_default, sizeof(s.costs));
	sim_scenario_free(&s);
}

static void every_value_arrives(void **state)
{
	(void)state;
	read_it("{\"look\": \"at it\", \"seed\": 7, \"versions\": false, \"at_once\": 3,\n"
	        "\"vm\": {\"name\": \"db\", \"ram\": 8192000, \"vcpus\": 4, \"populated\": 0.5,\n"
	        " \"zero\": 0.25, \"state\": \"1M\", \"start\": \"2s\", \"paused\": true,\n"
	        " \"class\": {\"guaranteed\": 1000, \"ceiling\": \"8mbit\", \"priority\": 2,\n"
	        "  \"weight\": 5}},\n"
	        "\"workload\": {\"kind\": \"locality\", \"write_rate\": 10, \"read_rate\": 2.5,\n"
	        " \"cpu\": 0.75, \"network\": 0, \"working_set\": \"1M\", \"offset\": 4096,\n"
	        " \"skew\": 0.5, \"drift\": 3},\n"
	        "\"link\": {\"bandwidth\": \"400mbit\", \"latency\": \"1ms\"},\n"
	        "\"policy\": \"hybrid\", \"settings\": {\"rounds\": 3, \"order\": \"bubble\",\n"
	        " \"direction\": \"forward\"}, \"bandwidth\": 1e6, \"downtime\": 5000,\n"
	        "\"deadline\": \"30s\", \"verify\": true,\n"
	        "\"costs\": {\"fault\": \"5us\", \"copy\": \"2GB/s\"}}");
	const struct sim_vm *vm = &s.vms[0];
	assert_string_equal(s.look, "at it");
	assert_int_equal(s.seed, 7);
	assert_false(s.versions);
	assert_int_equal(s.at_once, 3);
	assert_string_equal(vm->name, "db");
	assert_int_equal(vm->ram_pages, 2000);
	assert_int_equal(vm->vcpus, 4);
	assert_true(vm->populated_share == 0.5 && vm->zero_share == 0.25);
	assert_int_equal(vm->state_bytes, 1048576);
	assert_int_equal(vm->start_ns, 2000000000);
	assert_true(vm->paused);
	assert_int_equal(vm->class.guaranteed_bytes_per_s, 1000);
	assert_int_equal(vm->class.ceiling_bytes_per_s, 1000000);
	assert_int_equal(vm->class.priority, 2);
	assert_int_equal(vm->class.weight, 5);
	assert_true(vm->workload.write_pages_per_s == 10 && vm->workload.read_pages_per_s == 2.5);
	assert_true(vm->workload.cpu_share == 0.75 && vm->workload.skew == 0.5);
	assert_int_equal(vm->workload.network_bytes_per_s, 0);
	assert_int_equal(vm->workload.set_pages, 256);
	assert_int_equal(vm->workload.offset_pages, 1);
	assert_true(vm->workload.drift_pages_per_s == 3);
	assert_int_equal(s.links[0].bytes_per_s, 50000000);
	assert_int_equal(s.links[0].latency_ns, 1000000);
	assert_string_equal(vm->move.policy, "hybrid");
	assert_string_equal(vm->move.order, "bubble");
	assert_int_equal(vm->move.setting_count, 2);
	assert_string_equal(vm->move.settings[0].key, "rounds");
	assert_string_equal(vm->move.settings[0].value, "3");
	assert_string_equal(vm->move.settings[1].value, "forward");
	assert_int_equal(vm->move.limit_bytes_per_s, 1000000);
	assert_int_equal(vm->move.downtime_limit_ns, 5000);
	assert_int_equal(vm->move.deadline_ns, 30000000000);
	assert_true(vm->move.verify);
	assert_int_equal(s.costs.fault_ns, 5000);
	assert_int_equal(s.costs.copy_bytes_per_s, 2000000000);
	assert_int_equal(s.costs.save_ns, sim_costs_default.save_ns);
	sim_scenario_free(&s);
}

static void many_vms_share_links(void **state)
{
	(void)state;
	read_it("{\"links\": [{\"name\": \"up\"}, {\"name\": \"down\", \"bandwidth\": 5}],\n"
	        "\"policy\": \"hybrid\", \"settings\": {\"rounds\": 2}, " IDLE ",\n"
	        "\"vms\": [{\"ram\": 4096, \"over\": \"down\"},\n"
	        "{\"name\": \"web\", \"count\": 3, \"ram\": 8192, \"over\": [\"up\", \"down\"],\n"
	        " \"policy\": \"postcopy\", \"workload\": {\"kind\": \"random\"}}]}");
	assert_int_equal(s.link_count, 2);
	assert_int_equal(s.vm_count, 4);
	assert_string_equal(s.vms[0].name, "vm1");
	assert_int_equal(s.vms[0].path_count, 1);
	assert_int_equal(s.vms[0].path[0], 1);
	assert_string_equal(s.vms[0].move.policy, "hybrid");
	assert_int_equal(s.vms[0].move.setting_count, 1);
	assert_string_equal(s.vms[0].workload.kind->name, "idle");
	for (int i = 1; i < 4; i++) {
		char name[] = {'w', 'e', 'b', '-', (char)('0' + i), 0};

		assert_string_equal(s.vms[i].name, name);
		assert_int_equal(s.vms[i].entry, 1);
		assert_int_equal(s.vms[i].path_count, 2);
		assert_string_equal(s.vms[i].move.policy, "postcopy");
		assert_int_equal(s.vms[i].move.setting_count, 0);
		assert_string_equal(s.vms[i].workload.kind->name, "random");
	}
	sim_scenario_free(&s);
}

static void settings_stay_as_they_were_written(void **state)
{
	(void)state;
	refused("{\"settings\": {\"alpha\": 0.3}}", "t:1: settings.alpha: '0.3'", "policy precopy");
	refused("{\"settings\": {\"settle\": 0.1}}", "t:1: settings.settle: '0.1' is no value", "");
	refused("{\"settings\": {\"settle\":\n 9007199254740993}}",
	        "t:1: settings.settle: "
	        "'9007199254740993'",
	        "");
}

/* --- what is refused ------------------------------------------------------------------------ */

#define HEAD "{\n\"vm\": {\"ram\": \"64M\"},\n" IDLE ",\n"

static void not_json(void **state)
{
	(void)state;
	refused("", "t:1: ", "expected");
	refused("{\n\n\"seed\": 1,,}", "t:3: ", "','");
	refused("{\"seed\": 1,\n\"seed\": 2}", "t:2: duplicate object key", "\"seed\"");
	refused("{\"seed\": NaN}", "t:1: ", "NaN");
	refused("{\n\"seed\": 1e999}", "t:2: ", "1e999");
	refused("{\n\"seed\": 99999999999999999999}", "t:2: ", "too big");
	refused("[]", "t:1: the scenario", "no object");
	refused("{}", "t:1: the scenario", "\"vm\"");
}

static void unknown_keys(void **state)
{
	(void)state;
	refused(HEAD "\"sede\": 1}", "t:4: sede: 1 ", "not known");
	refused("{\"vm\": {\"ram\": 4096, \"shadow\": {\n\"speed\": 0}, " IDLE "}}",
	        "t:2: vm.shadow.speed: 0 is not between", "");
	refused("{\"vm\": {\"ram\": 4096, \"shadow\": {\"divergence\": 2}, " IDLE "}}",
	        "t:1: vm.shadow.divergence: 2 is no share", "");
	refused("{\"vm\": {\n\"rum\": 1}}", "t:2: vm.rum: 1 ", "not known");
	refused("{\"vms\": [{\"ram\": 4096, " IDLE "},\n{\"ram\": 4096,\n\"x\": [1, 2]}]}",
	        "t:3: vms[1].x: [1,2] ", "not known");
	refused(HEAD "\"link\": {\"speed\": 1}}", "t:4: link.speed: 1 ", "not known");
	refused(HEAD "\"costs\": {\"time\": 1}}", "t:4: costs.time: 1 ", "not known");
	refused("{\"vm\": {\"ram\": 4096}, \"workload\": {\"kind\": \"idle\",\n\"wet\": 1}}",
	        "t:2: workload.wet: 1 ", "not known");
	refused("{\"vm\": {\"ram\": 4096}, \"workload\": {\"kind\": \"random\",\n\"drift\": 1}}",
	        "t:2: workload.drift: 1 ", "not for random");
	refused("{\"vm\": {\"ram\": 4096, \"class\": {\n\"prio\": 1}}, " IDLE "}",
	        "t:2: vm.class.prio: 1 ", "not known");
}

static void wrong_types(void **state)
{
	(void)state;
	refused(HEAD "\"seed\": \"1\"}", "t:4: seed: \"1\" is no number", "");
	refused(HEAD "\"seed\": -1}", "t:4: seed: -1 is negative", "");
	refused(HEAD "\"seed\": 0.5}", "t:4: seed: 0.5 is not a whole number", "");
	refused(HEAD "\"versions\": 1}", "t:4: versions: 1 is neither", "");
	refused(HEAD "\"look\": 1}", "t:4: look: 1 is no text", "");
	refused(HEAD "\"look\": \"\\u0007\"}", "t:4: look: ", "control");
	refused(HEAD "\"policy\": []}", "t:4: policy: [] is no text", "");
	refused(HEAD "\"settings\": []}", "t:4: settings: [] is no object", "");
	refused(HEAD "\"settings\": {\"settle\": null}}", "t:4: settings.settle: null is neither",
	        "");
	refused(HEAD "\"links\": {}}", "t:4: links: {} is no list", "");
	refused(HEAD "\"links\": [1]}", "t:4: links[0]: 1 is no object", "");
	refused(HEAD "\"link\": 1}", "t:4: link: 1 is no object", "");
	refused(HEAD "\"costs\": 1}", "t:4: costs: 1 is no object", "");
	refused("{\"vm\": 1}", "t:1: vm: 1 is no object", "");
	refused("{\"vms\": []}", "t:1: vms: [] is no list", "");
	refused("{\"vms\": {}}", "t:1: vms: {} is no list", "");
	refused("{\"vm\": {\"ram\": 4096}, \"workload\": \"idle\"}",
	        "t:1: workload: \"idle\" is no "
	        "object",
	        "");
	refused("{\"vm\": {\"ram\": [4096]}}", "t:1: vm.ram: [4096] is no number", "");
	refused("{\"vm\": {\"ram\": 4096, \"populated\": true}}", "t:1: vm.populated: true is no ",
	        "number");
}

static void impossible_values(void **state)
{
	(void)state;
	refused(HEAD "\"link\": {\"bandwidth\": 0}}", "t:4: link.bandwidth: 0 is zero", "");
	refused(HEAD "\"link\": {\"bandwidth\": \"0mbit\"}}",
	        "t:4: link.bandwidth: \"0mbit\" is less", "");
	refused(HEAD "\"link\": {\n\"bandwidth\": \"fast\"}}", "t:5: link.bandwidth: \"fast\" does",
	        "");
	refused(HEAD "\"link\": {\"latency\": -1}}", "t:4: link.latency: -1 is negative", "");
	refused(HEAD "\"link\": {\"latency\": \"1000h\", \"bandwidth\": 1e15}}", "t:4: link.",
	        "more");
	refused(HEAD "\"downtime\": 0}", "t:4: downtime: 0 is zero", "");
	refused(HEAD "\"downtime\": \"300\"}", "t:4: downtime: \"300\" has no unit", "");
	refused("{\"vm\": {\"ram\": 0}}", "t:1: vm.ram: 0 is zero", "");
	refused("{\"vm\": {\"ram\": 5000}}", "t:1: vm.ram: 5000 is not a multiple", "");
	refused("{\"vm\": {\"ram\": \"32T\"}}", "t:1: vm.ram: \"32T\" is more", "");
	refused("{\"vm\": {\"ram\": 4096, \"vcpus\": 0}}", "t:1: vm.vcpus: 0 is zero", "");
	refused("{\"vm\": {\"ram\": 4096, \"vcpus\": 4096}}", "t:1: vm.vcpus: 4096 is more", "");
	refused("{\"vm\": {\"ram\": 4096, \"zero\": 1.5}}", "t:1: vm.zero: 1.5 is no share", "");
	refused("{\"vm\": {\"ram\": 4096, \"count\": 0}}", "t:1: vm: has neither", "");
	refused("{\"vm\": {\"ram\": 4096, \"count\": 0}, " IDLE "}", "t:1: vm.count: 0 is no", "");
	refused("{\"vm\": {\"ram\": 4096, \"count\": 100001}, " IDLE "}", "t:1: vm.count: 100001 ",
	        "100000");
	refused("{\"vm\": {\"ram\": 4096, \"name\": \"a b\"}, " IDLE "}",
	        "t:1: vm.name: \"a b\" is", "");
	refused("{\"vm\": {\"vcpus\": 2},\n" IDLE "}", "t:1: vm: needs \"ram\"", "");
	refused("{\n\"vm\": {\"ram\": 4096}}", "t:2: vm: has neither \"workload\"", "");
	refused("{\"vm\": {\"ram\": 4096},\n\"workload\": {}}", "t:2: workload: needs a \"kind\"",
	        "locality");
	refused("{\"vm\": {\"ram\": 4096},\n\"workload\": {\n\"kind\": \"busy\"}}",
	        "t:3: workload.kind: \"busy\" is no kind", "locality");
	refused("{\"vm\": {\"ram\": 4096},\n\"workload\": {\n\"kind\": \"trace\"}}",
	        "t:3: workload.kind: \"trace\" ", "FILE");
	refused("{\"vm\": {\"ram\": 4096},\n\"workload\": {\"kind\": \"random\",\n"
	        "\"working_set\": \"8K\"}}",
	        "t:3: workload.working_set: \"8K\" is larger", "");
	refused("{\"vm\": {\"ram\": 4096},\n\"workload\": {\"kind\": \"random\",\n"
	        "\"write_rate\": -1}}",
	        "t:3: workload.write_rate: -1 is negative", "");
	refused("{\"vm\": {\"ram\": 4096},\n\"workload\": {\"kind\": \"idle\",\n\"skew\": 1}}",
	        "t:3: workload.skew: 1 is not", "");
	refused("{\"vms\": [{\"ram\": 4096,\n\"workload\": {\"kind\": \"idle\",\n\"offset\": "
	        "4096}}]}",
	        "t:3: vms[0].workload.offset: 4096 lies beyond", "");
	refused("{\"vm\": {\"ram\": 8192, \"vcpus\": 4},\n\"workload\": {\"kind\": \"compile\"}}",
	        "t:2: workload.kind: \"compile\" needs", "four pages");
}

static void contradictions(void **state)
{
	(void)state;
	refused(HEAD "\"vms\": [{}]}", "t:4: vms: [{}] cannot stand", "");
	refused(HEAD "\"trace\": \"x\"}", "t:4: trace: \"x\" cannot stand", "");
	refused(HEAD "\"link\": {},\n\"links\": []}", "t:5: links: [] cannot stand", "");
	refused(HEAD "\"links\": []}", "t:4: links: [] is no list", "");
	refused(HEAD "\"links\": [{\"name\": \"a\"},\n{\"name\": \"a\"}]}",
	        "t:5: links[1].name: \"a\" is the name of two", "");
	refused(HEAD "\"links\": [{\"name\": \"a\"},\n{}]}", "t:5: links[1]: needs a \"name\"", "");
	refused(HEAD "\"links\": [{\"name\": \"a\"}, {\"name\": \"b\"}]}",
	        "t:2: vm: needs \"over\"", "");
	refused("{\"vm\": {\"ram\": 4096,\n\"over\": \"a\"}, " IDLE "}",
	        "t:2: vm.over: \"a\" is the "
	        "name of no link",
	        "");
	refused("{\"vm\": {\"ram\": 4096,\n\"over\": [\"link\",\n\"link\"]}, " IDLE "}",
	        "t:3: vm.over[1]: \"link\" is on the way twice", "");
	refused("{\"vm\": {\"ram\": 4096,\n\"over\": []}, " IDLE "}", "t:2: vm.over: [] names no",
	        "");
	refused("{\"vm\": {\"ram\": 4096, \"class\": {\"guaranteed\": 2,\n\"ceiling\": 1}}, " IDLE
	        "}",
	        "t:1: vm.class.guaranteed: 2 is above its ceiling", "");
	refused("{\"link\": {\"bandwidth\": 10}, \"vm\": {\"ram\": 4096, \"class\": {\n"
	        "\"guaranteed\": 11}}, " IDLE "}",
	        "t:2: vm.class.guaranteed: 11 is more than the link", "");
	refused("{" IDLE ", \"vms\": [{\"ram\": 4096, \"name\": \"a\"},\n{\"ram\": 4096},\n"
	        "{\"ram\": 4096, \"name\": \"a\"}]}",
	        "t:3: vms[2].name: \"a\" is the name of two", "");
	refused("{" IDLE ", \"vms\": [{\"ram\": 4096, \"name\": \"a\", \"count\": 2},\n"
	        "{\"ram\": 4096, \"name\": \"a-2\"}]}",
	        "t:2: vms[1].name: \"a-2\" is the name of two", "");
}

static void policies_and_settings(void **state)
{
	(void)state;
	refused(HEAD "\"policy\": \"fast\"}", "t:4: policy: 'fast': there are stop-copy", "hybrid");
	refused(HEAD "\"order\": \"fast\"}", "t:4: order: 'fast': there are", "bubble");
	refused(HEAD "\"settings\": {\n\"order\": \"\"}}",
	        "t:5: settings.order: ", "no push order");
	refused(HEAD "\"settings\": {\n\"order\": \"fast\"}}",
	        "t:5: settings.order: 'fast': there are", "bubble");
	refused(HEAD "\"settings\": {\"settle\": 1,\n\"stop\": \"soon\"}}",
	        "t:5: settings.stop: 'soon' is no value", "");
	refused(HEAD "\"settings\": {\"settle\": 1,\n\"pivots\": 2}}", "t:5: settings.pivots: '2'",
	        "order linear has");
	refused("{\"vm\": {\"ram\": 4096,\n\"policy\": \"fast\"}, " IDLE "}",
	        "t:2: vm.policy: 'fast'", "");
}

/* --- traces --------------------------------------------------------------------------------- */

static char folder[] = "/tmp/godwit-scenario-XXXXXX";

static int make_trace(void **state)
{
	struct sim_trace_head head = {.vm = "db",
	                              .ram_pages = 64,
	                              .page_bytes = GW_PAGE_BYTES,
	                              .vcpus = 2,
	                              .window_ns = 50000000,
	                              .state_bytes = 1234,
	                              .zero_pages = 8,
	                              .tracker = "pagemap"};
	const struct gw_run written[] = {{3, 5}};
	struct gw_window window = {
	        .length_ns = 50000000, .written = written, .written_count = 1};
	struct sim_trace_writer *writer;
	struct gw_set populated;
	uint64_t words[GW_SET_WORDS(64)];
	char path[64];

	(void)state;
	gw_set_init(&populated, words, 64);
	gw_set_add_run(&populated, (struct gw_run){0, 32});
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/db.trace", folder);
	if (sim_trace_create(&writer, path, &head, &populated, &error) ||
	    sim_trace_add(writer, &window, &error) || sim_trace_close(writer, &error))
		return -1;
	return 0;
}

static int remove_trace(void **state)
{
	char path[64];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/db.trace", folder);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/test.json", folder);
	(void)unlink(path);
	return rmdir(folder);
}

static int parse_there(const char *text)
{
	return sim_scenario_parse(&s, text, strlen(text), "t", folder, &error);
}

static void a_trace_says_what_its_vm_was(void **state)
{
	(void)state;
	assert_int_equal(parse_there("{\"trace\": \"db.trace\", \"vms\": [{}, {\"zero\": 0},\n"
	                             "{\"ram\": 4096, " IDLE "}]}"),
	                 0);
	assert_int_equal(s.trace_count, 1);
	assert_int_equal(s.vms[0].ram_pages, 64);
	assert_int_equal(s.vms[0].vcpus, 2);
	assert_int_equal(s.vms[0].state_bytes, 1234);
	assert_true(s.vms[0].populated_share == 0.5 && s.vms[0].zero_share == 0.25);
	assert_true(s.vms[1].zero_share == 0);
	assert_ptr_equal(s.vms[0].workload.trace, s.traces[0]);
	assert_ptr_equal(s.vms[1].workload.trace, s.traces[0]);
	assert_null(s.vms[2].workload.trace);
	sim_scenario_free(&s);
}

/* An estimate's scenario is made of the trace alone. */
static void one_of_a_trace_is_as_one_that_names_it(void **state)
{
	struct sim_scenario own;

	(void)state;
	assert_int_equal(parse_there("{\"vm\": {}, \"trace\": \"db.trace\"}"), 0);
	assert_int_equal(sim_scenario_of_trace(&own, s.traces[0], &error), 0);
	assert_int_equal(own.vms[0].ram_pages, s.vms[0].ram_pages);
	assert_int_equal(own.vms[0].vcpus, s.vms[0].vcpus);
	assert_memory_equal(&own.vms[0].shadow, &s.vms[0].shadow, sizeof(s.vms[0].shadow));
	assert_int_equal(own.links[0].bytes_per_s, s.links[0].bytes_per_s);
	assert_int_equal(own.links[0].latency_ns, s.links[0].latency_ns);
	assert_memory_equal(&own.costs, &s.costs, sizeof(s.costs));
	sim_scenario_free(&own);
	sim_scenario_free(&s);
}

static void refused_there(const char *text, const char *begins, const char *has)
{
	assert_int_equal(parse_there(text), -22);
	if (strncmp(error.text, begins, strlen(begins)) != 0 || !strstr(error.text, has))
		fail_msg("\"%s\" is not \"%s ... %s\"", error.text, begins, has);
}

static void traces_of_others_are_refused(void **state)
{
	(void)state;
	refused_there("{\"vm\": {\"ram\": \"8M\"},\n\"trace\": \"db.trace\"}",
	              "t:2: trace: \"db.trace\" needs", "as much memory");
	refused_there("{\"vm\": {\"vcpus\": 1},\n\"trace\": \"db.trace\"}",
	              "t:2: trace: \"db.trace\" needs", "as many vCPUs");
	refused_there("{\"vm\": {},\n\"trace\": \"no.trace\"}", "t:2: trace: ", "no.trace");
	refused_there("{\"vm\": {},\n\"trace\": 7}", "t:2: trace: 7 is no file", "");
}

static void files_are_found(void **state)
{
	char path[64];
	FILE *file;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/test.json", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs("{\"vm\": {}, \"trace\": \"db.trace\"}", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(sim_scenario_load(&s, path, &error), 0);
	assert_string_equal(s.name, "test");
	assert_int_equal(s.trace_count, 1);
	sim_scenario_free(&s);
	assert_int_equal(sim_scenario_load(&s, "/nowhere/x.json", &error), -2);
	assert_int_equal(sim_scenario_load(&s, folder, &error), -21);
}

/* --- size ----------------------------------------------------------------------------------- */

static void a_million_lines(void **state)
{
	static char text[SIM_SCENARIO_BYTES_MAX + 4096];
	const size_t room = sizeof(text);
	size_t size = 0;

	(void)state;
	size += (size_t)sprintf(text, "{%s, \"vm\": {\"ram\":\n", IDLE);
	memset(text + size, '\n', 1000000);
	size += 1000000;
	size += (size_t)sprintf(text + size, "0}}");
	assert_int_equal(sim_scenario_parse(&s, text, size, "t", NULL, &error), -22);
	assert_non_null(strstr(error.text, "vm.ram: 0 is zero"));

	size = (size_t)sprintf(text, "{%s, \"vms\": [\n", IDLE);
	while (size < SIM_SCENARIO_BYTES_MAX - 100)
		size += (size_t)sprintf(text + size, "{\"ram\": 4096},\n");
	size += (size_t)sprintf(text + size, "{\"ram\": 4096}]}");
	assert_int_equal(sim_scenario_parse(&s, text, size, "t", NULL, &error), -22);
	assert_non_null(strstr(error.text, "t:100002: vms[100000]: is more than 100000 VMs"));

	memset(text, ' ', room);
	assert_int_equal(sim_scenario_parse(&s, text, room, "t", NULL, &error), -22);
	assert_non_null(strstr(error.text, "16 MiB"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_small_one_has_defaults),
	        cmocka_unit_test(every_value_arrives),
	        cmocka_unit_test(many_vms_share_links),
	        cmocka_unit_test(settings_stay_as_they_were_written),
	        cmocka_unit_test(not_json),
	        cmocka_unit_test(unknown_keys),
	        cmocka_unit_test(wrong_types),
	        cmocka_unit_test(impossible_values),
	        cmocka_unit_test(contradictions),
	        cmocka_unit_test(policies_and_settings),
	        cmocka_unit_test(a_trace_says_what_its_vm_was),
	        cmocka_unit_test(one_of_a_trace_is_as_one_that_names_it),
	        cmocka_unit_test(traces_of_others_are_refused),
	        cmocka_unit_test(files_are_found),
	        cmocka_unit_test(a_million_lines),
	};

	return cmocka_run_group_tests(tests, make_trace, remove_trace);
}
