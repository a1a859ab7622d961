/* SPDX-License-Identifier: MIT */
/* A host that is short of processors makes for later ends and wider intervals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "sim/chance.h"
#include "sim/estimate.h"
#include "sim/trace/trace.h"

#define PAGES     2048u
#define WINDOWS   20u
#define EACH      20u
#define WINDOW_NS UINT64_C(50000000)

static struct gw_run runs[WINDOWS][EACH];
static struct gw_window windows[WINDOWS];
static struct sim_trace *trace;
static struct sim_scenario scenario;
static struct gw_error error;

static int observe(void **state)
{
	static uint64_t words[GW_SET_WORDS(PAGES)];
	const struct sim_trace_head head = {.vm = "vm",
	                                    .ram_pages = PAGES,
	                                    .page_bytes = 4096,
	                                    .vcpus = 1,
	                                    .window_ns = WINDOW_NS};
	struct sim_chance chance = sim_chance_of(3, 0);
	struct gw_set populated;

	(void)state;
	gw_set_init(&populated, words, PAGES);
	gw_set_add_run(&populated, (struct gw_run){0, PAGES});
	for (unsigned i = 0; i < WINDOWS; i++) {
		for (unsigned k = 0; k < EACH; k++)
			runs[i][k] = (struct gw_run){
			        k * (PAGES / EACH) + sim_chance_below(&chance, PAGES / EACH), 1};
		windows[i] = (struct gw_window){.start_ns = i * WINDOW_NS,
		                                .length_ns = WINDOW_NS,
		                                .written = runs[i],
		                                .written_count = EACH};
	}
	trace = sim_trace_of(&head, &populated, windows, WINDOWS);
	return !trace || sim_scenario_of_trace(&scenario, trace, &error);
}

static int forget(void **state)
{
	(void)state;
	sim_scenario_free(&scenario);
	sim_trace_free(trace);
	return 0;
}

/* Of post-copy, where each of eight seconds was as slow. */
static struct gw_forecast post_copy(uint32_t slowness_permille)
{
	uint32_t slowness[8];
	const struct sim_estimate_options options = {.seed = 1,
	                                             .samples = 15,
	                                             .slowness = slowness,
	                                             .slowness_count = slowness_permille ? 8 : 0};
	struct gw_forecast forecast;
	struct sim_plan plan;

	for (unsigned i = 0; i < 8; i++)
		slowness[i] = slowness_permille;
	(void)snprintf(scenario.vms[0].move.policy, sizeof(scenario.vms[0].move.policy),
	               "postcopy");
	assert_int_equal(sim_plan_make(&plan, &scenario, 0, &options, &error), 0);
	assert_int_equal(plan.estimate.count, 1);
	forecast = plan.estimate.forecasts[0];
	assert_int_equal(forecast.completed, 15);
	sim_plan_clear(&plan);
	return forecast;
}

static uint64_t width(const struct gw_forecast *f, enum gw_figure figure)
{
	return f->figures[figure].high - f->figures[figure].low;
}

static void who_waits_for_processors_ends_later(void **state)
{
	struct gw_forecast idle = post_copy(1000), busy = post_copy(4000);

	(void)state;
	for (unsigned i = 0; i <= GW_FIGURE_UNAVAILABLE; i++) {
		assert_true(busy.figures[i].middle > idle.figures[i].middle);
		assert_true(width(&busy, i) > 2 * width(&idle, i));
	}
}

static void of_an_unknown_host_it_is_as_of_an_idle_one(void **state)
{
	struct gw_forecast idle = post_copy(1000), unknown = post_copy(0);

	(void)state;
	for (unsigned i = 0; i <= GW_FIGURE_UNAVAILABLE; i++) {
		assert_true(unknown.figures[i].middle < idle.figures[i].high);
		assert_true(unknown.figures[i].middle > idle.figures[i].low);
		assert_true(width(&unknown, i) < 2 * width(&idle, i));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(who_waits_for_processors_ends_later),
	        cmocka_unit_test(of_an_unknown_host_it_is_as_of_an_idle_one),
	};

	return cmocka_run_group_tests(tests, observe, forget);
}
