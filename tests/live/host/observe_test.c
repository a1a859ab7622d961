/* SPDX-License-Identifier: MIT */
/* What is observed of a native guest is what it wrote, page for page. */
#include "tests/live/vm/native_rig.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "live/host/observe.h"

#define PAGES     2048
#define POPULATED 1500
#define FIRST     300
#define SET       200

struct looking {
	unsigned windows, until; /* 0 until: to the end */
	uint64_t done_ns, pages_per_s;
};

static struct rig_guest vm;
static struct gw_guest guest;
static struct gw_error error;

static int start(void **state)
{
	(void)state;
	vm = rig_start("pages=2048 populate=1500 pattern=sequential offset=300 set=200 "
	               "writes=20000 reads=0",
	               false);
	guest = (struct gw_guest){.vm = vm.vm, .kind = "native", .state_bytes = 77, .lock = -1};
	/* Its file has no name any more. */
	(void)snprintf(vm.vm->ram_path, sizeof(vm.vm->ram_path), "/proc/self/fd/%d", vm.ram_fd);
	return 0;
}

static int end(void **state)
{
	(void)state;
	assert_int_equal(rig_verify(&vm).different, 0);
	rig_end(&vm);
	return 0;
}

static bool look(void *arg, uint64_t done_ns, uint64_t all_ns, uint64_t pages_per_s)
{
	struct looking *l = arg;

	assert_true(done_ns > l->done_ns);
	assert_true(all_ns > 0);
	l->done_ns = done_ns;
	l->pages_per_s += pages_per_s; /* in one window it may not have had a processor */
	return ++l->windows != l->until;
}

static void all_of_it(const struct gw_observation *seen, const char *tracker)
{
	static uint64_t words[GW_SET_WORDS(PAGES)];
	struct gw_set all, expected;
	static uint64_t more[GW_SET_WORDS(PAGES)];
	uint64_t end_ns = 0, cpu_permille = 0;

	gw_set_init(&all, words, PAGES);
	gw_set_init(&expected, more, PAGES);
	gw_set_add_run(&expected, (struct gw_run){FIRST, SET});
	for (size_t i = 0; i < seen->count; i++) {
		const struct gw_window *window = &seen->windows[i];

		assert_int_equal(window->start_ns, end_ns);
		end_ns = window->start_ns + window->length_ns;
		assert_int_equal(window->read_sampled, i % 10 == 0 && tracker[0] == 'p');
		assert_true(window->cpu_permille <= 1000);
		cpu_permille += window->cpu_permille;
		for (size_t r = 0; r < window->written_count; r++)
			gw_set_add_run(&all, window->written[r]);
	}
	assert_true(cpu_permille > 0);
	assert_true(gw_set_equal(&all, &expected));
}

static void what_it_wrote(void **state)
{
	static const char *const trackers[] = {"pagemap", "digest"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct looking looking = {0};
		const struct gw_observe_options options = {.tracker = trackers[i],
		                                           .for_ns = 600000000,
		                                           .count_zeros = true,
		                                           .arg = &looking,
		                                           .goes_on = look};
		struct gw_observed seen;

		assert_int_equal(gw_observe(&guest, NULL, &options, &seen, &error), 0);
		assert_true(seen.observed_ns >= options.for_ns);
		assert_int_equal(seen.observation.count, looking.windows);
		assert_int_equal(seen.observed_ns, looking.done_ns);
		assert_true(looking.pages_per_s > 0);
		assert_true(seen.observation.cpu_known);
		assert_false(seen.observation.network_known);
		all_of_it(&seen.observation, trackers[i]);
		assert_string_equal(seen.tracker, trackers[i]);
		assert_int_equal(gw_set_count(&seen.populated), POPULATED);
		assert_int_equal(seen.ram_pages, PAGES);
		assert_int_equal(seen.state_bytes, 77);
		assert_int_equal(seen.vcpus, 1);
		gw_observed_clear(&seen);
	}
}

static void only_memory(void **state)
{
	const struct gw_observe_options options = {0};
	struct gw_observed seen;

	(void)state;
	assert_int_equal(gw_observe(&guest, NULL, &options, &seen, &error), 0);
	assert_int_equal(seen.observation.count, 0);
	assert_int_equal(gw_set_count(&seen.populated), POPULATED);
	gw_observed_clear(&seen);
}

/* Afterwards it is observed anew at once, by who holds its memory, and by nobody else. */
static void cut_short(void **state)
{
	struct looking looking = {.until = 3};
	const struct gw_observe_options options = {
	        .for_ns = 60000000000, .arg = &looking, .goes_on = look};
	struct gw_observed seen;
	struct gw_ram ram;

	(void)state;
	assert_int_equal(gw_observe(&guest, NULL, &options, &seen, &error), -ECANCELED);
	assert_int_equal(looking.windows, 3);
	assert_int_equal(gw_ram_open(&ram, vm.vm->ram_path, vm.vm->pid, &error), 0);
	assert_int_equal(gw_ram_hold(&ram, "test", &error), 0);
	looking = (struct looking){.until = 2};
	assert_int_equal(gw_observe(&guest, &ram, &options, &seen, &error), -ECANCELED);
	assert_int_equal(looking.windows, 2);
	assert_int_equal(gw_observe(&guest, NULL, &options, &seen, &error), -EBUSY);
	gw_ram_close(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(what_it_wrote, start, end),
	        cmocka_unit_test_setup_teardown(only_memory, start, end),
	        cmocka_unit_test_setup_teardown(cut_short, start, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
