/* SPDX-License-Identifier: MIT */
/* The clock against a plain array: random orders, moves and cancels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/chance.h"
#include "sim/clock.h"

#define MANY   200
#define NOBODY SIZE_MAX

static struct {
	struct sim_happening happening;
	uint64_t at, order; /* at is SIM_NEVER: not queued */
} model[MANY];
static size_t happened;

static void note(struct sim_happening *self)
{
	for (size_t i = 0; i < MANY; i++)
		if (&model[i].happening == self)
			happened = i;
}

static size_t expected(void)
{
	size_t best = NOBODY;

	for (size_t i = 0; i < MANY; i++)
		if (model[i].at != SIM_NEVER &&
		    (best == NOBODY || model[i].at < model[best].at ||
		     (model[i].at == model[best].at && model[i].order < model[best].order)))
			best = i;
	return best;
}

static void expect_step(struct sim_clock *clock)
{
	size_t first = expected();

	happened = NOBODY;
	assert_int_equal(sim_clock_next(clock), first == NOBODY ? SIM_NEVER : model[first].at);
	assert_int_equal(sim_clock_step(clock), first != NOBODY);
	assert_int_equal(happened, first);
	if (first != NOBODY) {
		assert_int_equal(clock->now_ns, model[first].at);
		model[first].at = SIM_NEVER;
	}
}

static void agrees_with_a_plain_array(void **state)
{
	struct sim_chance chance = {7};
	struct sim_clock clock;
	uint64_t order = 0;

	(void)state;
	sim_clock_init(&clock);
	for (size_t i = 0; i < MANY; i++) {
		model[i].at = SIM_NEVER;
		model[i].happening.happens = note;
	}
	for (int turn = 0; turn < 100000; turn++) {
		size_t i = sim_chance_below(&chance, MANY);
		uint64_t at = clock.now_ns + sim_chance_below(&chance, 40);

		switch (sim_chance_below(&chance, 4)) {
		case 0:
		case 1:
			sim_clock_at(&clock, &model[i].happening, at);
			model[i].at = at;
			model[i].order = order++;
			break;
		case 2:
			sim_clock_cancel(&clock, &model[i].happening);
			model[i].at = SIM_NEVER;
			break;
		default: expect_step(&clock); break;
		}
		assert_int_equal(sim_queued(&model[i].happening), model[i].at != SIM_NEVER);
	}
	while (expected() != NOBODY)
		expect_step(&clock);
	expect_step(&clock);
	sim_clock_free(&clock);
}

static void what_has_passed_is_now(void **state)
{
	struct sim_happening a = {.happens = note}, b = {.happens = note};
	struct sim_clock clock;

	(void)state;
	sim_clock_init(&clock);
	sim_clock_at(&clock, &a, 100);
	assert_true(sim_clock_step(&clock));
	sim_clock_at(&clock, &a, 5);
	sim_clock_at(&clock, &b, SIM_NEVER);
	assert_false(sim_queued(&b));
	assert_true(sim_clock_step(&clock));
	assert_int_equal(clock.now_ns, 100);
	sim_clock_at(&clock, &a, 500);
	sim_clock_reset(&clock);
	assert_false(sim_queued(&a));
	assert_int_equal(sim_clock_next(&clock), SIM_NEVER);
	sim_clock_free(&clock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(agrees_with_a_plain_array),
	        cmocka_unit_test(what_has_passed_is_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
