/* SPDX-License-Identifier: MIT */
/* Who shares a processor with somebody who never gives it up is seen to be slow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live/host/clock.h"
#include "live/host/slowness.h"

static void bind_here(void)
{
	cpu_set_t all, one;
	int cpu = 0;

	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

/* Bound as we are. */
static pid_t start_spinning(void)
{
	pid_t parent = getpid(), pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent)
		;
	_exit(0);
}

static void end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void spin_until(uint64_t ns)
{
	while (gw_now_ns() < ns)
		;
}

static void two_on_one_processor_wait(void **state)
{
	struct gw_slowness_meter meter;
	struct gw_slowness seen = {0};
	uint64_t begun = gw_now_ns();
	pid_t other;

	(void)state;
	bind_here();
	other = start_spinning();
	gw_slowness_open(&meter, other, begun);
	for (unsigned i = 1; i <= 3; i++) {
		spin_until(begun + i * (GW_SLOWNESS_EVERY_NS / 2 + 1000000));
		gw_slowness_look(&meter, gw_now_ns(), &seen);
	}
	gw_slowness_close(&meter);
	end(other);
	assert_int_equal(gw_slowness_count(&seen), 1); /* a second has passed once */
	assert_true(seen.permille[0] > 1200);
}

static void of_the_dead_nothing_is_known(void **state)
{
	struct gw_slowness_meter meter;
	struct gw_slowness seen = {0};
	pid_t other = start_spinning();

	(void)state;
	end(other);
	gw_slowness_open(&meter, other, 0);
	spin_until(gw_now_ns() + 10000000);
	gw_slowness_look(&meter, GW_SLOWNESS_EVERY_NS, &seen);
	gw_slowness_close(&meter);
	assert_int_equal(gw_slowness_count(&seen), 1); /* of ourselves */
	assert_true(seen.permille[0] >= 1000);
}

static void the_newest_are_kept(void **state)
{
	struct gw_slowness_meter meter;
	struct gw_slowness seen = {0};

	(void)state;
	gw_slowness_open(&meter, getpid(), 0);
	for (unsigned i = 1; i <= GW_SLOWNESS_KEPT + 3; i++) {
		spin_until(gw_now_ns() + 2000000);
		gw_slowness_look(&meter, (uint64_t)i * GW_SLOWNESS_EVERY_NS, &seen);
	}
	gw_slowness_close(&meter);
	assert_in_range(seen.count, GW_SLOWNESS_KEPT / 2, GW_SLOWNESS_KEPT + 3);
	assert_true(gw_slowness_count(&seen) <= GW_SLOWNESS_KEPT);
	for (size_t i = 0; i < gw_slowness_count(&seen); i++)
		assert_true(seen.permille[i] >= 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(of_the_dead_nothing_is_known),
	        cmocka_unit_test(the_newest_are_kept),
	        cmocka_unit_test(two_on_one_processor_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
