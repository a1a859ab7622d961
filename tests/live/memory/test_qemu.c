/* SPDX-License-Identifier: MIT */
/* A real, idle QEMU (its firmware runs, no guest): attached to and tracked, again and again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "live/memory/faults.h"
#include "live/memory/tracker.h"
#include "tests/live/memory/qemu_rig.h"
#include "tests/live/memory/stand_in.h"

#define TIMES 50

static int start(void **state)
{
	struct qemu *vm = calloc(1, sizeof(*vm));

	*state = vm;
	return qemu_start(vm, "tcg", NULL);
}

static int end(void **state)
{
	qemu_end(*state);
	free(*state);
	return 0;
}

static void tracked_many_times(void **state)
{
	struct qemu *vm = *state;
	struct gw_set dirty;
	unsigned fds = count_fds(vm->pid);

	gw_set_init(&dirty, calloc(gw_set_words(vm->ram.pages), 8), vm->ram.pages);
	for (unsigned i = 0; i < TIMES; i++) {
		struct gw_error error = {""};
		struct gw_tracker tracker;

		if (gw_tracker_open(&tracker, "pagemap", &vm->ram, false, &error) < 0)
			fail_msg("attempt %u: %s", i, error.text);
		gw_set_clear(&dirty);
		assert_int_equal(gw_tracker_start(&tracker, &dirty, &error), 0);
		assert_true(gw_set_count(&dirty) > 0);
		assert_int_equal(gw_tracker_scan(&tracker, &dirty, false, &error), 0);
		assert_int_equal(count_fds(vm->pid), fds);
		gw_tracker_close(&tracker);
		assert_true(qemu_ask(vm, "{'execute':'query-status'}\n", "running"));
	}
	free(dirty.words);
}

static void reset_writes_are_seen(void **state)
{
	struct qemu *vm = *state;
	struct gw_error error;
	struct gw_tracker tracker;
	struct gw_set dirty;
	unsigned tries = 0;

	gw_set_init(&dirty, calloc(gw_set_words(vm->ram.pages), 8), vm->ram.pages);
	assert_int_equal(gw_tracker_open(&tracker, "pagemap", &vm->ram, false, &error), 0);
	assert_int_equal(gw_tracker_start(&tracker, &dirty, &error), 0);
	gw_set_clear(&dirty);
	/* The firmware starts again and writes. */
	assert_true(qemu_ask(vm, "{'execute':'system_reset'}\n", "return"));
	while (gw_set_empty(&dirty) && tries++ < QEMU_WAITS * 100) {
		assert_int_equal(gw_tracker_scan(&tracker, &dirty, false, &error), 0);
		sleep_ms(10);
	}
	assert_false(gw_set_empty(&dirty));
	gw_tracker_close(&tracker);
	free(dirty.words);
}

static void faults_open_and_finish(void **state)
{
	struct qemu *vm = *state;
	struct gw_error error;
	unsigned fds = count_fds(vm->pid);

	for (unsigned i = 0; i < 10; i++) {
		struct gw_faults faults;

		assert_int_equal(gw_faults_open(&faults, &vm->ram, &error), 0);
		assert_int_equal(gw_faults_arm(&faults, &error), 0);
		gw_faults_close(&faults);
		assert_int_equal(count_fds(vm->pid), fds + 1);
		assert_int_equal(gw_faults_reopen(&faults, &vm->ram, &error), 0);
		assert_int_equal(gw_faults_finish(&faults, &error), 0);
		assert_int_equal(count_fds(vm->pid), fds);
	}
	assert_true(qemu_ask(vm, "{'execute':'query-status'}\n", "running"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(tracked_many_times),
	        cmocka_unit_test(reset_writes_are_seen),
	        cmocka_unit_test(faults_open_and_finish),
	};

	need("pagemap");
	if (access(QEMU, X_OK) != 0) {
		(void)printf("skipped: there is no " QEMU "\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, start, end);
}
