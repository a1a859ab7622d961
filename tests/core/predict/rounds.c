/* SPDX-License-Identifier: MIT */
/* How many pages a round leaves dirty: each predictor on what is known, on little, on nonsense. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/predict/predictor.h"

#define PAGES 4096

static struct gw_rounds rounds;
static struct gw_next_round next;
static uint64_t words[GW_SET_WORDS(PAGES)];

static void watch(const struct gw_observation *observation)
{
	struct gw_set scratch;

	gw_set_init(&scratch, words, PAGES);
	gw_rounds_start(&rounds, observation, &scratch);
	assert_true(gw_set_empty(&scratch));
	next = (struct gw_next_round){.seconds = 1, .most_pages = PAGES};
}

static void begin(void)
{
	watch(&(struct gw_observation){0});
}

static void add(double pages, double seconds)
{
	gw_rounds_add(&rounds, &(struct gw_seen){.dirty_pages = (float)pages,
	                                         .written_pages = (float)pages,
	                                         .seconds = (float)seconds,
	                                         .cpu = -1,
	                                         .memory = -1,
	                                         .network = -1,
	                                         .link = -1});
}

static struct gw_round_forecast by(const char *name)
{
	const struct gw_count_predictor *predictor = gw_count_predictor(name);

	assert_non_null(predictor);
	return gw_rounds_forecast(&rounds, predictor, &next);
}

static void gives(const char *name, double wanted)
{
	double pages = by(name).pages;

	if (fabs(pages - wanted) > 1e-3 * (1 + wanted))
		fail_msg("%s: %f, not %f", name, pages, wanted);
}

static void nothing_is_known_of_nothing(void **state)
{
	(void)state;
	begin();
	for (size_t i = 0; gw_count_predictors[i]; i++)
		assert_true(by(gw_count_predictors[i]->name).pages < 0);
	assert_null(gw_count_predictor("none"));
	assert_null(gw_page_predictor("grey"));
}

static void plain_ones(void **state)
{
	(void)state;
	begin();
	add(400, 4);
	add(100, 2);
	add(700, 1);
	gives("last", 700);
	gives("mean", 400);
	gives("weighted-mean", 450);
	gives("ewma", 475);
}

static void one_round(void **state)
{
	(void)state;
	begin();
	add(300, 2);
	next.seconds = 2;
	for (size_t i = 0; gw_count_predictors[i]; i++)
		gives(gw_count_predictors[i]->name, 300);
	assert_string_equal(by("grey").fallback, "there is one round");
	next.seconds = -1; /* how long the next one takes is not known */
	assert_true(by("footprint").pages < 0);
}

static void too_few_and_constant(void **state)
{
	(void)state;
	begin();
	add(300, 2);
	add(200, 1);
	assert_string_equal(by("grey").fallback, "there are too few rounds");
	begin();
	for (int i = 0; i < 12; i++)
		add(250, 1);
	assert_string_equal(by("grey-whitening").fallback, "the series is constant");
	for (size_t i = 0; gw_count_predictors[i]; i++)
		gives(gw_count_predictors[i]->name, 250);
}

static void what_is_possible(void **state)
{
	(void)state;
	begin();
	add(3000, 1);
	next = (struct gw_next_round){.seconds = 100, .left_out_pages = 9, .most_pages = 1000};
	gives("last", 1000);
	gives("footprint", 1000);
	begin();
	add(0, 1);
	next.left_out_pages = 90;
	gives("last", 90); /* they stay dirty, whoever forecasts what */
	gives("ewma", 90);
	next.seconds = 0; /* a round that sends nothing */
	gives("footprint", 90);
}

/* d(T) = T / (0.001 + 0.0005 T), at whatever T: two points suffice. */
static void footprints_lie_on_a_curve(void **state)
{
	const double lengths[] = {0.1, 0.5, 2, 8, 40};

	(void)state;
	begin();
	add(4 / (0.001 + 0.0005 * 4), 4);
	add(1 / (0.001 + 0.0005 * 1), 1);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		next.seconds = lengths[i];
		gives("footprint", lengths[i] / (0.001 + 0.0005 * lengths[i]));
	}
}

/* The guest writes twice as much as before: the curve stays, at twice its height. */
static void the_last_round_says_at_which_level(void **state)
{
	(void)state;
	begin();
	add(200, 2);
	add(100, 1);
	add(200, 1);
	next.seconds = 1;
	gives("footprint", 200);
}

/* Ten windows of 50 ms: each has a page of its own, and two that are in all of them. */
static void windows_stand_for_rounds(void **state)
{
	struct gw_run runs[10][2];
	struct gw_window windows[10] = {0};
	const struct gw_stretch *s;
	unsigned count;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		runs[i][0] = (struct gw_run){0, 2};
		runs[i][1] = (struct gw_run){10 + 2 * i, 1};
		windows[i] = (struct gw_window){.length_ns = 50000000,
		                                .written = runs[i],
		                                .written_count = 2,
		                                .cpu_permille = 100 * i};
	}
	watch(&(struct gw_observation){.windows = windows, .count = 10, .cpu_known = true});
	s = gw_rounds_stretches(&rounds, &count); /* no round yet: the longest */
	assert_int_equal(count, 2);
	add(7, 0.23);
	assert_ptr_equal(gw_rounds_stretches(&rounds, &count), s);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(fabsf(s[i].pages - 6) < 1e-6f && fabsf(s[i].seconds - 0.2f) < 1e-6f);
		assert_true(fabsf(s[i].cpu - (400 * (float)i + 350)) < 1e-3f);
		assert_true(s[i].network < 0);
	}
	add(3, 1e-9);
	s = gw_rounds_stretches(&rounds, &count);
	assert_int_equal(count, 7);
	assert_true(fabsf(s[6].pages - 3) < 1e-6f);
	watch(&(struct gw_observation){.windows = windows, .count = 1});
	assert_true(by("footprint").pages > 0); /* one window */
	assert_true(by("last").pages < 0);
	gives("grey", 3);
}

/* x1(k) from a, b and the driver of the round before, as grey.h has it: no fallback, and exact. */
static void grey_recovers_a_move(void **state)
{
	const double a = 0.6, b[] = {150, 0.4};
	double sum = 0, driven[2] = {0}, wanted = 0, cpu = 0, seconds = 0;

	(void)state;
	srand(12);
	begin();
	for (int k = 0; k <= 15; k++) {
		double u;

		if (k > 0) {
			driven[0] += seconds;
			driven[1] += cpu;
		}
		u = b[0] * driven[0] + b[1] * driven[1];
		wanted = k > 1 ? (u - a * sum) / (1 + a / 2) : k ? u : 100;
		if (k == 15)
			break;
		sum += k ? wanted : 0;
		seconds = 1 + rand() % 8 / 8.0;
		cpu = 200 + rand() % 512;
		gw_rounds_add(&rounds, &(struct gw_seen){.dirty_pages = (float)wanted,
		                                         .seconds = (float)seconds,
		                                         .cpu = (float)cpu,
		                                         .memory = -1,
		                                         .network = -1,
		                                         .link = -1});
	}
	assert_null(by("grey").fallback);
	assert_true(wanted > 0 && wanted < PAGES);
	gives("grey-plain", wanted);
}

static double any(void)
{
	switch (rand() % 5) {
	case 0: return 0;
	case 1: return rand() % PAGES;
	case 2: return 1e-6 * rand();
	case 3: return 1e9;
	default: return rand() % 10;
	}
}

static void never_absurd(void **state)
{
	(void)state;
	srand(3);
	for (int turn = 0; turn < 3000; turn++) {
		int count = rand() % (2 * GW_ROUNDS_KEPT);

		begin();
		for (int i = 0; i < count; i++)
			gw_rounds_add(&rounds, &(struct gw_seen){
			                               .dirty_pages = (float)any(),
			                               .written_pages = (float)any(),
			                               .left_out_pages = (float)any(),
			                               .seconds = (float)any(),
			                               .cpu = (float)(rand() % 7 ? any() : -1),
			                               .memory = (float)any(),
			                               .network = (float)any(),
			                               .link = (float)any(),
			                       });
		next.seconds = any();
		next.left_out_pages = rand() % PAGES;
		for (size_t i = 0; gw_count_predictors[i]; i++) {
			double pages = by(gw_count_predictors[i]->name).pages;

			if (pages < 0 && !count)
				continue;
			if (!(pages >= next.left_out_pages && pages <= PAGES))
				fail_msg("%s: %f", gw_count_predictors[i]->name, pages);
		}
	}
}

/* Every predictor of single pages, whatever the history. */
static void probabilities_are_such(void **state)
{
	(void)state;
	srand(6);
	for (size_t i = 0; gw_page_predictors[i]; i++) {
		const struct gw_page_predictor *p = gw_page_predictors[i];

		for (int turn = 0; p->probability && turn < 5000; turn++) {
			uint64_t bits = (uint64_t)rand() << 33 ^ (uint64_t)rand() << 10;
			double value = p->probability(turn % 3 ? bits : bits & bits << 7,
			                              (unsigned)turn % 65);

			assert_true(value >= 0 && value <= 1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nothing_is_known_of_nothing),
	        cmocka_unit_test(plain_ones),
	        cmocka_unit_test(one_round),
	        cmocka_unit_test(too_few_and_constant),
	        cmocka_unit_test(what_is_possible),
	        cmocka_unit_test(footprints_lie_on_a_curve),
	        cmocka_unit_test(the_last_round_says_at_which_level),
	        cmocka_unit_test(windows_stand_for_rounds),
	        cmocka_unit_test(grey_recovers_a_move),
	        cmocka_unit_test(never_absurd),
	        cmocka_unit_test(probabilities_are_such),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
