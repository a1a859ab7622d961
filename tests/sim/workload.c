/* SPDX-License-Identifier: MIT */
/* Workloads do at the rates, and in the places, that their configuration says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sim/clock.h"
#include "sim/trace/trace.h"
#include "sim/workload/workload.h"

#define RAM 65536u

static struct sim_workload_config config_of(const char *kind)
{
	const struct sim_workload_kind *found = sim_workload_find(kind);

	assert_non_null(found);
	return found->defaults;
}

static struct sim_workload *made(struct sim_workload_config *config, uint64_t ram, unsigned vcpus,
                                 uint64_t seed)
{
	const char *key, *problem = sim_workload_check(config, ram, vcpus, &key);
	struct sim_workload *workload;

	if (problem)
		fail_msg("%s %s", key, problem);
	workload = sim_workload_new(config, ram, vcpus, seed);
	assert_non_null(workload);
	return workload;
}

/* What one vCPU did. */
struct seen {
	uint64_t touches, writes, ns;
	uint64_t least, most; /* pages */
};

static struct seen watch(struct sim_workload *workload, unsigned vcpu, uint64_t touches,
                         uint32_t *counts)
{
	struct seen seen = {.least = UINT64_MAX};
	struct sim_touch touch;

	for (; seen.touches < touches; seen.touches++) {
		sim_workload_next(workload, vcpu, &touch);
		assert_int_not_equal(touch.think_ns, SIM_NEVER);
		seen.ns += touch.think_ns;
		seen.writes += touch.writes;
		seen.least = touch.page < seen.least ? touch.page : seen.least;
		seen.most = touch.page > seen.most ? touch.page : seen.most;
		if (counts)
			counts[touch.page]++;
	}
	return seen;
}

static bool near(double value, double expected, double tolerance)
{
	double off = value > expected ? value - expected : expected - value;

	return off <= tolerance * expected;
}

static void rates_are_kept(void **state)
{
	(void)state;
	for (size_t k = 0; sim_workloads[k]; k++) {
		struct sim_workload_config config = sim_workloads[k]->defaults;
		double writes = 0, reads = 0;
		struct sim_workload *w;

		if (!strcmp(sim_workloads[k]->name, "trace"))
			continue;
		w = made(&config, RAM, 3, 5);
		for (unsigned vcpu = 0; vcpu < 3; vcpu++) {
			struct seen seen = watch(w, vcpu, 100000, NULL);

			writes += (double)seen.writes * 1e9 / (double)seen.ns;
			reads += (double)(seen.touches - seen.writes) * 1e9 / (double)seen.ns;
		}
		if (!near(writes, config.write_pages_per_s, 0.03) ||
		    !near(reads, config.read_pages_per_s, 0.03))
			fail_msg("%s: %.0f writes and %.0f reads a second", sim_workloads[k]->name,
			         writes, reads);
		sim_workload_free(w);
	}
}

static void fast_and_slow_rates_are_exact_too(void **state)
{
	static const double rates[] = {0.001, 7, 3e6, 47e6, 9e8};

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct sim_workload_config config = config_of("random");
		struct sim_workload *w;
		struct seen seen;

		config.write_pages_per_s = rates[i];
		config.read_pages_per_s = 0;
		w = made(&config, RAM, 2, 1);
		seen = watch(w, 1, 100000, NULL);
		assert_int_equal(seen.writes, seen.touches);
		assert_true(near(2e9 * (double)seen.touches / (double)seen.ns, rates[i], 0.01));
		sim_workload_free(w);
	}
}

static void one_that_does_nothing_never_touches(void **state)
{
	struct sim_workload_config config = config_of("locality");
	struct sim_touch touch;
	struct sim_workload *w;

	(void)state;
	config.write_pages_per_s = config.read_pages_per_s = 0;
	w = made(&config, RAM, 1, 1);
	sim_workload_next(w, 0, &touch);
	assert_int_equal(touch.think_ns, SIM_NEVER);
	sim_workload_free(w);
}

/* Any shape that check() allows: no touch beyond memory, none outside a set that stays. */
static void pages_are_within_their_set(void **state)
{
	struct sim_chance chance = {11};

	(void)state;
	for (unsigned turn = 0; turn < 4000; turn++) {
		size_t k = turn % 8;
		struct sim_workload_config config = sim_workloads[k]->defaults;
		uint64_t ram = 32 + sim_chance_below(&chance, turn % 2 ? 100 : 100000);
		unsigned vcpus = 1 + (unsigned)sim_chance_below(&chance, 8);
		const char *key;
		struct sim_workload *w;

		config.offset_pages = sim_chance_below(&chance, ram);
		config.set_pages = 1 + sim_chance_below(&chance, ram - config.offset_pages);
		config.skew = 0.2 + 0.0001 * (double)sim_chance_below(&chance, 7999);
		config.phases = 1 + (unsigned)sim_chance_below(&chance, SIM_PHASES_MAX);
		config.phase_ns = 1 + sim_chance_below(&chance, 10000000);
		config.burst_ns = 1 + sim_chance_below(&chance, 10000000);
		config.stride_pages = 1 + sim_chance_below(&chance, config.set_pages);
		if (turn % 3 == 0)
			config.drift_pages_per_s = (double)sim_chance_below(&chance, 100000000);
		if (sim_workload_check(&config, ram, vcpus, &key)) {
			assert_string_equal(sim_workloads[k]->name, "compile");
			continue;
		}
		w = made(&config, ram, vcpus, turn);
		for (unsigned vcpu = 0; vcpu < vcpus; vcpu++) {
			struct seen seen = watch(w, vcpu, 100, NULL);
			bool moves = !strcmp(sim_workloads[k]->name, "phases") ||
			             (!strcmp(sim_workloads[k]->name, "locality") &&
			              config.drift_pages_per_s > 0);

			assert_true(seen.most < ram);
			if (moves)
				continue;
			assert_true(seen.least >= config.offset_pages);
			assert_true(seen.most < config.offset_pages + config.set_pages);
		}
		sim_workload_free(w);
	}
}

static void random_touches_all_alike(void **state)
{
	struct sim_workload_config config = config_of("random");
	static uint32_t counts[RAM];
	struct sim_workload *w;

	(void)state;
	memset(counts, 0, sizeof(counts));
	config.offset_pages = 1000;
	config.set_pages = 500;
	w = made(&config, RAM, 2, 9);
	(void)watch(w, 0, 500000, counts);
	for (unsigned page = 1000; page < 1500; page++)
		assert_in_range(counts[page], 850, 1150);
	sim_workload_free(w);
}

static double share_of(const uint32_t *counts, uint64_t first, uint64_t pages, uint64_t all)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < pages; i++)
		sum += counts[first + i];
	return (double)sum / (double)all;
}

static void skew_is_self_similar(void **state)
{
	static const double skews[] = {0.2, 0.5, 0.8, 0.95};
	static uint32_t counts[RAM];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct sim_workload_config config = config_of("locality");
		struct sim_workload *w;
		double s = skews[i];

		memset(counts, 0, sizeof(counts));
		config.set_pages = 6250; /* 2 * 5^5 */
		config.skew = s;
		w = made(&config, RAM, 1, 3);
		(void)watch(w, 0, 1000000, counts);
		/* The hottest are the last. */
		assert_true(near(share_of(counts, 5000, 1250, 1000000), s, 0.02));
		assert_true(near(share_of(counts, 6000, 250, 1000000), s * s, 0.03));
		assert_true(near(share_of(counts, 6200, 50, 1000000), s * s * s, 0.05));
		assert_true(near(share_of(counts, 0, 6250, 1000000), 1, 0));
		sim_workload_free(w);
	}
}

static void a_set_drifts_around_memory(void **state)
{
	struct sim_workload_config config = config_of("locality");
	uint64_t passed = 0;
	struct sim_workload *w;

	(void)state;
	config.set_pages = 100;
	config.drift_pages_per_s = 1000;
	w = made(&config, RAM, 1, 3);
	/* A round of memory takes 65.5 s; 30,000 touches a second. */
	for (int second = 0; second < 100; second++) {
		uint64_t before = passed / 1000000, after;
		struct seen seen = watch(w, 0, 300, NULL);

		passed += seen.ns;
		after = passed / 1000000;
		if (before / RAM == (after + 100) / RAM) {
			assert_in_range(seen.least, before % RAM, before % RAM + 25);
			assert_in_range(seen.most, after % RAM + 95, after % RAM + 100);
		}
		passed += watch(w, 0, 30000, NULL).ns;
	}
	sim_workload_free(w);
}

static void sequential_is_one_after_the_other(void **state)
{
	struct sim_workload_config config = config_of("sequential");
	struct sim_touch touch;
	struct sim_workload *w;

	(void)state;
	config.offset_pages = 10;
	config.set_pages = 101;
	config.stride_pages = 2;
	w = made(&config, RAM, 2, 3);
	for (unsigned i = 0; i < 60; i++) {
		sim_workload_next(w, 0, &touch);
		assert_int_equal(touch.page, 10 + 2 * (i % 25));
		sim_workload_next(w, 1, &touch);
		assert_int_equal(touch.page, 60 + 2 * (i % 26));
	}
	sim_workload_free(w);
}

/* Each vCPU goes through its part of the set, every page once, and then the same way again. */
static void a_chase_comes_round(void **state)
{
	struct sim_workload_config config = config_of("chase");
	uint64_t first[51], near_ones = 0;
	uint32_t counts[RAM] = {0};
	struct sim_touch touch;
	struct sim_workload *w;

	(void)state;
	config.offset_pages = 10;
	config.set_pages = 101;
	w = made(&config, RAM, 2, 3);
	for (unsigned i = 0; i < 3 * 51; i++) {
		sim_workload_next(w, 1, &touch);
		if (i < 51)
			first[i] = touch.page;
		assert_int_equal(touch.page, first[i % 51]);
		near_ones += i && i < 51 && first[i] == first[i - 1] + 1;
		counts[touch.page]++;
	}
	for (unsigned page = 60; page < 111; page++)
		assert_int_equal(counts[page], 3);
	assert_true(near_ones < 5);
	sim_workload_free(w);
}

static void phases_take_turns(void **state)
{
	struct sim_workload_config config = config_of("phases");
	struct sim_touch touch;
	struct sim_workload *w;
	uint64_t now = 0;

	(void)state;
	config.set_pages = 1000;
	config.offset_pages = RAM / 2;
	config.phases = 3;
	config.phase_ns = 50000000;
	w = made(&config, RAM, 1, 3);
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t base;

		sim_workload_next(w, 0, &touch);
		now += touch.think_ns;
		base = (RAM / 2 + now / 50000000 % 3 * (RAM / 3)) % RAM;
		assert_in_range(touch.page, base, base + 999);
	}
	sim_workload_free(w);
}

static void a_compile_fills_fresh_memory(void **state)
{
	struct sim_workload_config config = config_of("compile");
	uint64_t reads = 0, of_files = 0, fresh = 0, writes = 0, newest = 0;
	struct sim_touch touch;
	struct sim_workload *w;

	(void)state;
	config.set_pages = 50000;
	config.phase_ns = 1000000000000; /* so that one job is seen */
	w = made(&config, RAM, 2, 3);
	for (unsigned i = 0; i < 30000; i++) {
		sim_workload_next(w, 1, &touch);
		if (touch.writes) {
			assert_true(touch.page >= 10000);
			assert_true(!newest || touch.page <= newest + 1);
			writes++;
			fresh += touch.page > newest;
			newest = touch.page > newest ? touch.page : newest;
		} else {
			reads++;
			of_files += touch.page < 10000;
		}
	}
	assert_true(near((double)of_files / (double)reads, 0.5, 0.02));
	assert_true(near((double)fresh / (double)writes, 0.75, 0.02));
	sim_workload_free(w);
}

static void a_compile_never_writes_its_files(void **state)
{
	struct sim_workload_config config = config_of("compile");
	bool arenas[5] = {false};
	struct sim_touch touch;
	struct sim_workload *w;

	(void)state;
	config.set_pages = 50000;
	config.phase_ns = 10000000;
	w = made(&config, RAM, 2, 3);
	for (unsigned i = 0; i < 100000; i++) {
		sim_workload_next(w, 0, &touch);
		if (touch.writes)
			arenas[touch.page / 10000] = true;
	}
	assert_false(arenas[0]);
	assert_true(arenas[1] && arenas[2] && arenas[3] && arenas[4]);
	sim_workload_free(w);
}

static void a_server_rests_between_bursts(void **state)
{
	struct sim_workload_config config = config_of("server");
	uint64_t rests = 0, resting = 0, all = 0;
	struct sim_touch touch;
	struct sim_workload *w;

	(void)state;
	config.burst_ns = 50000000;
	w = made(&config, RAM, 1, 3);
	for (unsigned i = 0; i < 250000; i++) {
		sim_workload_next(w, 0, &touch);
		all += touch.think_ns;
		if (touch.think_ns > 1000000) {
			rests++;
			resting += touch.think_ns;
		}
	}
	assert_true(near((double)all / (double)rests, 5e7, 0.1));
	assert_true(near((double)resting / (double)all, 7.0 / 8, 0.02));
	sim_workload_free(w);
}

/* The rows of today, for good: on every machine, whoever goes first. */
static void a_seed_gives_one_row(void **state)
{
	static const struct {
		const char *kind;
		uint64_t sum;
	} rows[] = {
	        {"idle", 0x0d658a2afd981421},     {"random", 0x74513b08fea0e443},
	        {"locality", 0x2be2c002fbc52b13}, {"sequential", 0xe5aa7ebdcb703460},
	        {"phases", 0x5359128878081421},   {"compile", 0x61b0173f20a0fc67},
	        {"server", 0xfcfd87fd0eb6afb8},   {"chase", 0x9cd5b9ab4bd2b800},
	};

	(void)state;
	for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
		struct sim_workload_config config = config_of(rows[k].kind);
		struct sim_workload *together = made(&config, RAM, 2, 42);
		struct sim_workload *apart = made(&config, RAM, 2, 42);
		struct sim_workload *other = made(&config, RAM, 2, 43);
		uint64_t sum = 0, alike = 0;
		struct sim_touch a, b, c;

		for (unsigned i = 0; i < 10000; i++)
			sim_workload_next(together, 0, &a);
		for (unsigned i = 0; i < 10000; i++) {
			sim_workload_next(together, 1, &a);
			sim_workload_next(apart, 1, &b);
			sim_workload_next(apart, 0, &c);
			assert_memory_equal(&a.page, &b.page, sizeof(a.page));
			assert_int_equal(a.think_ns, b.think_ns);
			assert_int_equal(a.writes, b.writes);
			sum = (sum ^ a.page ^ a.think_ns << 20 ^ (uint64_t)a.writes << 63) *
			      0xd1342543de82ef95u;
			sim_workload_next(other, 1, &c);
			alike += c.think_ns == a.think_ns;
		}
		if (sum != rows[k].sum)
			fail_msg("%s: 0x%016lx", rows[k].kind, sum);
		assert_true(alike < 1000);
		sim_workload_free(together);
		sim_workload_free(apart);
		sim_workload_free(other);
	}
}

/* --- what is impossible --------------------------------------------------------------------- */

static void refuse(struct sim_workload_config config, const char *expected)
{
	const char *key = NULL, *problem = sim_workload_check(&config, RAM, 2, &key);

	assert_non_null(problem);
	assert_string_equal(key, expected);
}

static void impossible_values_are_refused(void **state)
{
	const struct sim_workload_config good = config_of("locality");
	struct sim_workload_config bad;

	(void)state;
#define REFUSE(key, field, value) (bad = good, bad.field = (value), refuse(bad, key))
	REFUSE("write_rate", write_pages_per_s, -1);
	REFUSE("write_rate", write_pages_per_s, __builtin_nan(""));
	REFUSE("read_rate", read_pages_per_s, -0.5);
	REFUSE("read_rate", read_pages_per_s, __builtin_inf());
	REFUSE("cpu", cpu_share, 1.5);
	REFUSE("offset", offset_pages, RAM);
	REFUSE("working_set", set_pages, RAM + 1);
	REFUSE("skew", skew, 0.1);
	REFUSE("skew", skew, 1);
	REFUSE("skew", skew, __builtin_nan(""));
	REFUSE("drift", drift_pages_per_s, -1);
	REFUSE("drift", drift_pages_per_s, __builtin_inf());
	REFUSE("stride", stride_pages, 0);
	REFUSE("phases", phases, 0);
	REFUSE("phase", phase_ns, 0);
	REFUSE("burst", burst_ns, 0);
#undef REFUSE
	bad = good;
	bad.set_pages = bad.offset_pages = RAM / 2 + 1;
	refuse(bad, "working_set");
	bad = config_of("compile");
	bad.set_pages = 7;
	refuse(bad, "kind");
}

/* --- a recorded trace ----------------------------------------------------------------------- */

static struct sim_trace_head head = {
        .ram_pages = RAM, .page_bytes = GW_PAGE_BYTES, .vcpus = 2, .window_ns = 1000};
static const struct gw_run written[] = {{10, 3}, {20, 1}, {30, 2}}, read_pages[] = {{100, 2}};
static const struct gw_window windows[] = {
        {.start_ns = 0, .length_ns = 1000},
        {.start_ns = 1000,
         .length_ns = 1200,
         .written = written,
         .written_count = 3,
         .cpu_permille = 500,
         .network_bytes = 4},
        {.start_ns = 2300,
         .length_ns = 1000,
         .read = read_pages,
         .read_count = 1,
         .read_sampled = true,
         .cpu_permille = 500},
        {.start_ns = 3300, .length_ns = 1000},
};
static size_t window_count;

/* The recording, without a file. */
const struct sim_trace_head *sim_trace_head(const struct sim_trace *trace)
{
	(void)trace;
	return &head;
}

size_t sim_trace_windows(const struct sim_trace *trace)
{
	(void)trace;
	return window_count;
}

const struct gw_window *sim_trace_window(const struct sim_trace *trace, size_t number)
{
	(void)trace;
	return &windows[number];
}

static struct sim_workload_config recorded(size_t count)
{
	static char anything;
	struct sim_workload_config config = config_of("trace");

	config.trace = (const struct sim_trace *)&anything;
	window_count = count;
	return config;
}

static void expect(struct sim_workload *w, unsigned vcpu, uint64_t *now, uint64_t at, uint64_t page,
                   bool writes)
{
	struct sim_touch touch;

	sim_workload_next(w, vcpu, &touch);
	*now += touch.think_ns;
	assert_int_equal(touch.page, page);
	assert_int_equal(*now, at);
	assert_int_equal(touch.writes, writes);
}

static void a_trace_is_played_in_a_loop(void **state)
{
	struct sim_workload_config config = recorded(4);
	struct sim_workload *w = made(&config, RAM, 2, 1);
	uint64_t now[2] = {0, 0};

	(void)state;
	expect(w, 0, &now[0], 1200, 10, true);
	expect(w, 0, &now[0], 1600, 12, true);
	expect(w, 0, &now[0], 2000, 30, true);
	expect(w, 1, &now[1], 1200, 11, true);
	expect(w, 1, &now[1], 1600, 20, true);
	expect(w, 1, &now[1], 2000, 31, true);
	expect(w, 0, &now[0], 2800, 100, false);
	expect(w, 1, &now[1], 2800, 101, false);
	/* Reads were not sampled here, nor in the first two of the next round. */
	expect(w, 0, &now[0], 3800, 100, false);
	expect(w, 0, &now[0], 4300 + 500, 100, false);
	expect(w, 0, &now[0], 4300 + 1000 + 150, 100, false);
	expect(w, 0, &now[0], 4300 + 1000 + 450, 10, true);
	sim_workload_free(w);
}

static void a_trace_says_what_the_vm_did_besides(void **state)
{
	struct sim_workload_config config = recorded(4);

	(void)state;
	sim_workload_free(made(&config, RAM, 2, 1));
	assert_int_equal(config.network_bytes_per_s, 4ull * 1000000000 / 4200);
	assert_true(near(config.cpu_share, 1000.0 / 4200, 0.2));
}

static void an_empty_trace_never_touches(void **state)
{
	struct sim_workload_config config = recorded(1);
	struct sim_workload *w = made(&config, RAM, 2, 1);
	struct sim_touch touch;

	(void)state;
	sim_workload_next(w, 0, &touch);
	assert_int_equal(touch.think_ns, SIM_NEVER);
	sim_workload_free(w);
}

static void a_trace_of_another_vm_is_refused(void **state)
{
	(void)state;
	refuse(recorded(0), "kind");
	head.vcpus = 3;
	refuse(recorded(1), "kind");
	head.vcpus = 2;
	head.ram_pages = RAM + 1;
	refuse(recorded(1), "kind");
	head.ram_pages = RAM;
	head.page_bytes = 65536;
	refuse(recorded(1), "kind");
	head.page_bytes = GW_PAGE_BYTES;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(rates_are_kept),
	        cmocka_unit_test(fast_and_slow_rates_are_exact_too),
	        cmocka_unit_test(one_that_does_nothing_never_touches),
	        cmocka_unit_test(pages_are_within_their_set),
	        cmocka_unit_test(random_touches_all_alike),
	        cmocka_unit_test(skew_is_self_similar),
	        cmocka_unit_test(a_set_drifts_around_memory),
	        cmocka_unit_test(sequential_is_one_after_the_other),
	        cmocka_unit_test(a_chase_comes_round),
	        cmocka_unit_test(phases_take_turns),
	        cmocka_unit_test(a_compile_fills_fresh_memory),
	        cmocka_unit_test(a_compile_never_writes_its_files),
	        cmocka_unit_test(a_server_rests_between_bursts),
	        cmocka_unit_test(a_seed_gives_one_row),
	        cmocka_unit_test(impossible_values_are_refused),
	        cmocka_unit_test(a_trace_is_played_in_a_loop),
	        cmocka_unit_test(a_trace_says_what_the_vm_did_besides),
	        cmocka_unit_test(an_empty_trace_never_touches),
	        cmocka_unit_test(a_trace_of_another_vm_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
