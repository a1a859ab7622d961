/* SPDX-License-Identifier: MIT */
/* tests/sim/observe.c - what is seen of a guest before its move, and in each round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/run.h"
#include "sim/trace/trace.h"
#include "sim/world/inside.h"

#define MS    1000000ull
#define PAGES 4096
#define COUNT 12 /* windows of the recording */

struct world {
	struct sim_link_config link;
	struct sim_vm vm;
	struct sim_scenario scenario;
};

static void set_up(struct world *w, const char *policy)
{
	struct sim_vm *vm = &w->vm;

	memset(w, 0, sizeof(*w));
	w->link = (struct sim_link_config){
	        .name = "link", .bytes_per_s = 125000000, .latency_ns = 100000};
	w->scenario = (struct sim_scenario){.seed = 1,
	                                    .links = &w->link,
	                                    .link_count = 1,
	                                    .vms = vm,
	                                    .vm_count = 1,
	                                    .versions = true,
	                                    .costs = sim_costs_default};
	*vm = (struct sim_vm){.name = "vm",
	                      .ram_pages = PAGES,
	                      .vcpus = 2,
	                      .populated_share = 1,
	                      .state_bytes = 300000,
	                      .path_count = 1,
	                      .move.downtime_limit_ns = 1,
	                      .move.observe_ns = SIM_AS_POLICY};
	(void)snprintf(vm->move.policy, sizeof(vm->move.policy), "%s", policy);
	vm->workload = sim_workload_find("sequential")->defaults;
	vm->workload.write_pages_per_s = 2000;
	vm->workload.read_pages_per_s = 2000;
	vm->workload.offset_pages = 100;
	vm->workload.set_pages = 50;
	vm->workload.cpu_share = 0.25;
	vm->workload.network_bytes_per_s = 1000000;
}

static void set(struct sim_move *move, const char *key, const char *value)
{
	struct sim_setting *setting = &move->settings[move->setting_count++];

	(void)snprintf(setting->key, sizeof(setting->key), "%s", key);
	(void)snprintf(setting->value, sizeof(setting->value), "%s", value);
}

static void run(struct world *w, struct sim_outcome *outcome, FILE *trace)
{
	const struct sim_run_options options = {.trace = trace};
	struct gw_error error = {{0}};

	assert_int_equal(sim_run(&w->scenario, &options, outcome, &error), 0);
	assert_string_equal(outcome->violation, "");
	assert_int_equal(outcome->vms[0].outcome, GW_COMPLETED);
}

/* --- the windows themselves ----------------------------------------------------------------- */

/* A world that stands at the end of the observing. */
static struct sim_world *observe(const struct world *w, struct gw_observation *seen)
{
	struct sim_world *world = sim_world_empty(1);
	struct migration *m;

	(void)sim_network_add_link(world->network, &w->link);
	world->costs = w->scenario.costs;
	m = sim_world_add(world, w->scenario.seed);
	m->spec = w->vm;
	sim_world_begin(world);
	while (sim_now(m) < w->vm.start_ns + w->vm.move.observe_ns)
		assert_true(sim_world_turn(world));
	assert_int_equal(m->phase, PHASE_OBSERVES);
	*seen = sim_observed(m);
	return world;
}

static void equal_runs(const struct gw_run *one, size_t one_count, const struct gw_run *other,
                       size_t other_count)
{
	assert_int_equal(one_count, other_count);
	for (size_t i = 0; i < one_count; i++) {
		assert_int_equal(one[i].first, other[i].first);
		assert_int_equal(one[i].count, other[i].count);
	}
}

/* Window i: pages from 10 i on are written, in three runs; the 5 behind them are read. */
static struct sim_trace *record(void)
{
	static struct gw_run runs[COUNT][4];
	static uint64_t words[GW_SET_WORDS(PAGES)];
	struct gw_window windows[COUNT];
	struct gw_set populated;
	struct sim_trace_head head = {.ram_pages = PAGES,
	                              .page_bytes = GW_PAGE_BYTES,
	                              .vcpus = 2,
	                              .window_ns = 50 * MS,
	                              .cpu_known = true};

	gw_set_init(&populated, words, PAGES);
	gw_set_fill(&populated);
	for (unsigned i = 0; i < COUNT; i++) {
		struct gw_run *run = runs[i];

		run[0] = (struct gw_run){10 * i, 3};
		run[1] = (struct gw_run){10 * i + 4, 1};
		run[2] = (struct gw_run){1000 + i, 1 + i};
		run[3] = (struct gw_run){2000 + 10 * i, 5};
		windows[i] = (struct gw_window){.start_ns = 50 * MS * i,
		                                .length_ns = 50 * MS,
		                                .written = run,
		                                .written_count = 3,
		                                .read = run + 3,
		                                .read_count = 1,
		                                .read_sampled = true,
		                                .cpu_permille = 50 * i};
	}
	return sim_trace_of(&head, &populated, windows, COUNT);
}

static void what_was_recorded(void **state)
{
	struct sim_trace *trace = record();
	struct gw_observation seen;
	struct sim_world *world;
	struct world w;

	(void)state;
	set_up(&w, "precopy");
	w.vm.workload = sim_workload_find("trace")->defaults;
	w.vm.workload.trace = trace;
	w.vm.start_ns = 7;
	w.vm.move.observe_ns = COUNT * 50 * MS;
	world = observe(&w, &seen);
	assert_int_equal(seen.count, COUNT);
	assert_true(seen.cpu_known);
	assert_false(seen.network_known);
	for (size_t i = 0; i < COUNT; i++) {
		const struct gw_window *window = &seen.windows[i],
		                       *recorded = sim_trace_window(trace, i);

		assert_int_equal(window->start_ns, 50 * MS * i);
		assert_int_equal(window->length_ns, 50 * MS);
		assert_int_equal(window->cpu_permille, recorded->cpu_permille);
		assert_int_equal(window->network_bytes, 0);
		equal_runs(window->written, window->written_count, recorded->written,
		           recorded->written_count);
		assert_int_equal(window->read_sampled, i % 10 == 0);
		if (window->read_sampled)
			equal_runs(window->read, window->read_count, recorded->read,
			           recorded->read_count);
		else
			assert_int_equal(window->read_count, 0);
	}
	sim_world_free(world);
	sim_trace_free(trace);
}

/* 100 touches a window, through 50 pages: each page is written or read. */
static void what_is_modelled(void **state)
{
	struct gw_observation seen;
	struct sim_world *world;
	struct world w;

	(void)state;
	set_up(&w, "precopy");
	w.vm.move.observe_ns = 170 * MS;
	world = observe(&w, &seen);
	assert_int_equal(seen.count, 4);
	assert_int_equal(seen.windows[3].length_ns, 20 * MS);
	for (size_t i = 0; i < 4; i++) {
		const struct gw_window *window = &seen.windows[i];
		uint64_t pages = 0;

		for (size_t r = 0; r < window->written_count; r++) {
			assert_true(window->written[r].first >= 100);
			assert_true(window->written[r].first + window->written[r].count <= 150);
			pages += window->written[r].count;
		}
		assert_true(pages > 0 && pages <= 50);
		assert_int_equal(window->cpu_permille, 250);
		assert_int_equal(window->network_bytes, 1000000 * window->length_ns / 1000000000);
		for (size_t r = 0; r < window->read_count; r++)
			for (size_t k = 0; k < window->written_count; k++)
				assert_true(window->read[r].first + window->read[r].count <=
				                    window->written[k].first ||
				            window->written[k].first + window->written[k].count <=
				                    window->read[r].first);
	}
	assert_true(seen.windows[0].read_count > 0);
	sim_world_free(world);
}

/* --- for how long --------------------------------------------------------------------------- */

static uint64_t observed_ns(struct world *w)
{
	struct sim_outcome outcome;
	uint64_t ns;

	run(w, &outcome, NULL);
	ns = outcome.vms[0].observation_ns;
	assert_true(outcome.end_ns >= ns + outcome.vms[0].metrics.total_time_ns);
	sim_outcome_clear(&outcome);
	return ns;
}

static void as_the_policy_wants(void **state)
{
	struct world w;

	(void)state;
	set_up(&w, "precopy");
	assert_int_equal(observed_ns(&w), 0);
	w.vm.move.observe_ns = 90 * MS;
	assert_int_equal(observed_ns(&w), 90 * MS);
	set_up(&w, "sdf-hybrid");
	assert_int_equal(observed_ns(&w), 8000 * MS);
	w.vm.move.observe_ns = 0;
	assert_int_equal(observed_ns(&w), 0);
	set_up(&w, "sdf-hybrid");
	set(&w.vm.move, "observe", "300ms");
	assert_int_equal(observed_ns(&w), 300 * MS);
	w.vm.paused = true;
	assert_int_equal(observed_ns(&w), 0);
}

/* Nothing is watched anew. */
static void seen_earlier(void **state)
{
	static const struct gw_run run = {100, 50};
	const struct gw_window window = {.length_ns = 30 * MS, .written = &run, .written_count = 1};
	struct world w;

	(void)state;
	set_up(&w, "sdf-hybrid");
	w.vm.observation = (struct gw_observation){.windows = &window, .count = 1};
	assert_int_equal(observed_ns(&w), 30 * MS);
}

static char *trace_of(struct world *w)
{
	struct sim_outcome outcome;
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	run(w, &outcome, file);
	(void)fclose(file);
	sim_outcome_clear(&outcome);
	return text;
}

static void told(void **state)
{
	char *text, *again, *without;
	struct world w;

	(void)state;
	set_up(&w, "sdf-hybrid");
	set(&w.vm.move, "observe", "300ms");
	text = trace_of(&w);
	again = trace_of(&w);
	assert_string_equal(text, again);
	assert_non_null(strstr(text, "observed for 300 ms in 6 windows: 50 different pages were"));
	w.vm.move.observe_ns = 0;
	without = trace_of(&w);
	assert_null(strstr(without, "observed for"));
	free(text);
	free(again);
	free(without);
}

/* --- rounds --------------------------------------------------------------------------------- */

static void each_round(void **state)
{
	struct sim_outcome outcome;
	struct world w;

	(void)state;
	set_up(&w, "precopy");
	set(&w.vm.move, "max_rounds", "4");
	run(&w, &outcome, NULL);
	assert_true(outcome.vms[0].round_count >= 2);
	for (size_t i = 0; i < outcome.vms[0].round_count; i++) {
		const struct gw_round *round = &outcome.vms[0].rounds[i];
		const struct gw_activity *a = &round->activity;
		double sent = (double)round->sent_pages * GW_PAGE_BYTES * 1e9 /
		              (double)round->duration_ns;

		assert_true(a->cpu_known && a->network_known && a->link_known);
		assert_int_equal(a->cpu_permille, 250);
		assert_int_equal(a->memory_pages, PAGES);
		assert_in_range(a->network_bytes_per_s, 999000, 1001000);
		/* Pages with what comes on top of them, and the guest's own traffic. */
		assert_true((double)a->link_bytes_per_s > 1.0 * sent + 1000000);
		assert_true((double)a->link_bytes_per_s < 1.1 * sent + 1000000);
	}
	sim_outcome_clear(&outcome);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_was_recorded),
	        cmocka_unit_test(what_is_modelled),
	        cmocka_unit_test(as_the_policy_wants),
	        cmocka_unit_test(seen_earlier),
	        cmocka_unit_test(told),
	        cmocka_unit_test(each_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
