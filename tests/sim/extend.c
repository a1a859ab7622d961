/* SPDX-License-Identifier: MIT */
/* Played on, an observation goes to as many new pages as it says there are, and to no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sim/chance.h"
#include "sim/trace/extend.h"

#define PAGES     4096u
#define WINDOWS   40u
#define WINDOW_NS UINT64_C(50000000)

static struct gw_run runs[WINDOWS][256];
static struct gw_window windows[WINDOWS];
static uint64_t populated_words[PAGES / 64 + 64];

/* Each window writes `each` pages: by chance of the first `set`, or one after the other. */
static struct sim_trace *seen(unsigned each, uint64_t set, bool by_chance)
{
	const struct sim_trace_head head = {.vm = "vm",
	                                    .ram_pages = PAGES,
	                                    .page_bytes = 4096,
	                                    .vcpus = 1,
	                                    .window_ns = WINDOW_NS};
	struct sim_chance chance = sim_chance_of(7, 0);
	struct gw_set populated;
	uint64_t next = 0;

	gw_set_init(&populated, populated_words, PAGES);
	gw_set_add_run(&populated, (struct gw_run){0, PAGES});
	for (unsigned i = 0; i < WINDOWS; i++) {
		uint64_t words[PAGES / 64 + 64] = {0}, from = 0;
		struct gw_set written;
		struct gw_run run;
		size_t count = 0;

		gw_set_init(&written, words, PAGES);
		for (unsigned k = 0; k < each; k++)
			gw_set_add(&written,
			           by_chance ? sim_chance_below(&chance, set) : next++ % set);
		for (; gw_set_next_run(&written, from, PAGES, &run); from = run.first + run.count)
			runs[i][count++] = run;
		windows[i] = (struct gw_window){.start_ns = i * WINDOW_NS,
		                                .length_ns = WINDOW_NS,
		                                .written = runs[i],
		                                .written_count = count};
	}
	return sim_trace_of(&head, &populated, windows, WINDOWS);
}

/* Different pages in the windows [from, to). */
static uint64_t different(const struct sim_trace *trace, size_t from, size_t to)
{
	uint64_t words[PAGES / 64 + 64] = {0};
	struct gw_set all;

	gw_set_init(&all, words, PAGES);
	for (size_t i = from; i < to; i++)
		for (size_t k = 0; k < sim_trace_window(trace, i)->written_count; k++)
			gw_set_add_run(&all, sim_trace_window(trace, i)->written[k]);
	return gw_set_count(&all);
}

static struct sim_extended extended(const struct sim_trace *trace, unsigned times,
                                    uint32_t unseen_permille)
{
	struct sim_extended e;

	assert_int_equal(
	        sim_trace_extend(&e, trace, 0, times * WINDOWS * WINDOW_NS, unseen_permille, 1), 0);
	return e;
}

static struct sim_extended extended_by(const struct sim_trace *trace, unsigned times)
{
	return extended(trace, times, 1000);
}

static void what_came_round_comes_round_again(void **state)
{
	struct sim_trace *trace = seen(50, 500, false); /* four times round */
	struct sim_extended e = extended_by(trace, 6);

	(void)state;
	assert_true(sim_trace_windows(e.trace) >= 6 * WINDOWS);
	assert_int_equal(different(e.trace, 0, sim_trace_windows(e.trace)), 500);
	for (size_t i = 0; i < sim_trace_windows(e.trace); i++) {
		const struct gw_window *w = sim_trace_window(e.trace, i);

		assert_int_equal(w->start_ns, i * WINDOW_NS);
		assert_int_equal(w->written_count, windows[i % WINDOWS].written_count);
		assert_memory_equal(w->written, windows[i % WINDOWS].written,
		                    w->written_count * sizeof(*w->written));
	}
	sim_extended_clear(&e);
	sim_trace_free(trace);
}

/* A set is larger than what was seen of it; how large it is, is found within a fifth. */
static void a_set_is_filled_and_no_more(void **state)
{
	struct sim_trace *trace = seen(50, 2000, true);
	struct sim_extended e = extended_by(trace, 12);
	uint64_t was = different(trace, 0, WINDOWS), is;

	(void)state;
	is = different(e.trace, 0, sim_trace_windows(e.trace));
	assert_true(was < 1400);
	assert_in_range(is, 1600, 2400);
	assert_int_equal(different(e.trace, 0, WINDOWS), was);
	assert_int_equal(different(e.trace, WINDOWS, 2 * WINDOWS), was);
	sim_extended_clear(&e);
	sim_trace_free(trace);
}

/* What only ever goes on goes on, as far as there is memory. */
static void a_sweep_goes_on(void **state)
{
	struct sim_trace *trace = seen(50, PAGES, false);
	struct sim_extended e = extended_by(trace, 10);

	(void)state;
	assert_int_equal(different(trace, 0, WINDOWS), 2000);
	assert_true(different(e.trace, 0, sim_trace_windows(e.trace)) > 3700);
	sim_extended_clear(&e);
	sim_trace_free(trace);
}

static void there_may_be_more_than_the_bound(void **state)
{
	struct sim_trace *trace = seen(50, 2000, true);
	struct sim_extended few = extended(trace, 12, 0), some = extended(trace, 12, 1000);
	struct sim_extended many = extended(trace, 12, 2000);
	uint64_t seen_there = different(trace, 0, WINDOWS);
	uint64_t bound = different(some.trace, 0, sim_trace_windows(some.trace)) - seen_there;

	(void)state;
	assert_int_equal(different(few.trace, 0, sim_trace_windows(few.trace)), seen_there);
	assert_in_range(different(many.trace, 0, sim_trace_windows(many.trace)) - seen_there,
	                2 * bound - bound / 5, 2 * bound + bound / 5);
	sim_extended_clear(&few);
	sim_extended_clear(&some);
	sim_extended_clear(&many);
	sim_trace_free(trace);
}

static bool played_in_window(const struct sim_trace *trace, uint64_t page, size_t window)
{
	const struct gw_window *w = sim_trace_window(trace, window);
	bool is = false;

	for (size_t k = 0; k < w->written_count; k++)
		is |= page - w->written[k].first < w->written[k].count;
	return is;
}

/* In how many of the first `rounds` times that the observation is played again. */
static unsigned played_in(const struct sim_trace *trace, uint64_t page, unsigned rounds)
{
	unsigned found = 0;

	for (unsigned r = 1; r <= rounds; r++) {
		bool is = false;

		for (size_t i = r * WINDOWS; i < (r + 1) * WINDOWS; i++)
			is |= played_in_window(trace, page, i);
		found += is;
	}
	return found;
}

/* Of 2000 pages alike, those seen twice were so by chance: others are in their place later. */
static void what_was_seen_twice_by_chance_goes(void **state)
{
	struct sim_trace *trace = seen(50, 2000, true);
	struct sim_extended e = extended_by(trace, 12);
	unsigned seen_twice = 0, always = 0;

	(void)state;
	for (uint64_t page = 0; page < 2000; page++) {
		unsigned times = 0;

		for (size_t i = 0; i < WINDOWS; i++)
			times += played_in_window(trace, page, i);
		if (times != 2)
			continue;
		seen_twice++;
		always += played_in(e.trace, page, 10) == 10;
	}
	assert_true(seen_twice > 300);
	assert_true(always < seen_twice / 2);
	sim_extended_clear(&e);
	sim_trace_free(trace);
}

static void a_seed_draws_the_same(void **state)
{
	struct sim_trace *trace = seen(50, 2000, true);
	struct sim_extended a = extended_by(trace, 4), b = extended_by(trace, 4);

	(void)state;
	assert_int_equal(sim_trace_windows(a.trace), sim_trace_windows(b.trace));
	for (size_t i = 0; i < sim_trace_windows(a.trace); i++) {
		const struct gw_window *x = sim_trace_window(a.trace, i);
		const struct gw_window *y = sim_trace_window(b.trace, i);

		assert_int_equal(x->written_count, y->written_count);
		assert_memory_equal(x->written, y->written, x->written_count * sizeof(*x->written));
	}
	sim_extended_clear(&a);
	sim_extended_clear(&b);
	sim_trace_free(trace);
}

static void nothing_seen_is_nothing_drawn(void **state)
{
	struct sim_trace *trace = seen(0, 1, false);
	struct sim_extended e = extended_by(trace, 3);

	(void)state;
	assert_int_equal(different(e.trace, 0, sim_trace_windows(e.trace)), 0);
	sim_extended_clear(&e);
	assert_int_equal(sim_trace_extend(&e, trace, 0, UINT64_MAX, 1000, 1), 0);
	assert_in_range(sim_trace_windows(e.trace), 2 * WINDOWS, SIM_EXTENDED_WINDOWS_MAX);
	sim_extended_clear(&e);
	sim_trace_free(trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_came_round_comes_round_again),
	        cmocka_unit_test(a_set_is_filled_and_no_more),
	        cmocka_unit_test(a_sweep_goes_on),
	        cmocka_unit_test(there_may_be_more_than_the_bound),
	        cmocka_unit_test(what_was_seen_twice_by_chance_goes),
	        cmocka_unit_test(a_seed_draws_the_same),
	        cmocka_unit_test(nothing_seen_is_nothing_drawn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
