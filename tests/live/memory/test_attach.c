/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "live/memory/attach.h"
#include "live/memory/attach_arch.h"
#include "live/memory/probe.h"
#include "tests/live/memory/stand_in.h"

static int die_at = -1; /* in the child that attaches and is to die */

void gw_attach_reached(enum gw_attach_stage stage)
{
	if ((int)stage == die_at)
		kill(getpid(), SIGKILL);
}

static void calls_run_in_the_process(int flags)
{
	struct gw_error error;
	struct stand_in s;
	long result;
	uint64_t polls;

	stand_in_start(&s, 16, flags);
	polls = s.control->polls;
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(gw_attach_call(s.pid, SYS_getpid, NULL, 0, 1000, &result, &error),
		                 0);
		assert_int_equal(result, s.pid);
	}
	/* The process never saw its poll come back. */
	assert_int_equal(s.control->polls, polls);
	stand_in_do(&s, JOB_TOUCH, 0, 16, 1);
	stand_in_end(&s);
}

static void calls_run_under_ppoll(void **state)
{
	(void)state;
	calls_run_in_the_process(0);
}

static void calls_run_under_poll(void **state)
{
	(void)state;
	calls_run_in_the_process(STAND_IN_POLL);
}

static void descriptors_are_taken_and_closed(void **state)
{
	struct gw_error error;
	struct stand_in s;
	unsigned fds;
	int remote, fd;

	(void)state;
	stand_in_start(&s, 16, 0);
	fds = count_fds(s.pid);
	for (unsigned i = 0; i < 50; i++) {
		fd = gw_attach_userfaultfd(s.pid, &remote, &error);
		assert_true(fd >= 0);
		assert_int_equal(count_fds(s.pid), fds + 1);
		assert_int_equal(gw_attach_close_fd(s.pid, remote, &error), 0);
		assert_int_equal(count_fds(s.pid), fds);
		assert_int_equal(gw_attach_close_fd(s.pid, remote, &error), -EBADF);
		close(fd);
	}
	stand_in_end(&s);
}

static void map_ram(struct stand_in *s, struct gw_ram *ram)
{
	struct gw_error error;

	if (gw_ram_open(ram, s->path, s->pid, &error))
		fail_msg("%s", error.text);
}

static void unmapped_pages_are_as_before(void **state)
{
	struct gw_error error;
	struct stand_in s;
	struct gw_ram ram;
	uint64_t sum;

	(void)state;
	stand_in_start(&s, 256, 0);
	map_ram(&s, &ram);
	stand_in_do(&s, JOB_SUM, 0, 256, 0);
	sum = s.control->value;
	assert_true(sum != 0);
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(gw_attach_unmap_pages(s.pid, ram.address, ram.bytes, 1000, &error),
		                 0);
		stand_in_do(&s, JOB_SUM, 0, 256, 0);
		assert_int_equal(s.control->value, sum);
	}
	assert_int_equal(gw_attach_unmap_pages(s.pid, ram.address + 1, ram.bytes, 1000, &error),
	                 -EINVAL);
	gw_ram_close(&ram);
	stand_in_end(&s);
}

/* Returns whether the tracer died as planned. */
static bool die_while_attaching(const struct stand_in *s, const struct gw_ram *ram, int stage)
{
	pid_t tracer = fork();
	int status, remote;

	if (tracer == 0) {
		die_at = stage;
		if (ram)
			(void)gw_attach_unmap_pages(s->pid, ram->address, ram->bytes, 1000, NULL);
		else
			(void)gw_attach_userfaultfd(s->pid, &remote, NULL);
		_exit(0);
	}
	waitpid(tracer, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void process_outlives_a_dead_tracer(void **state)
{
	struct gw_error error;
	struct stand_in s;
	struct gw_ram ram;
	long result;

	(void)state;
	stand_in_start(&s, 256, 0);
	map_ram(&s, &ram);
	for (unsigned i = 0; i < 40 * GW_ATTACH_STAGES; i++) {
		assert_true(die_while_attaching(&s, i < 20 * GW_ATTACH_STAGES ? &ram : NULL,
		                                (int)(i % GW_ATTACH_STAGES)));
		assert_true(stand_in_alive(&s));
		/* Its threads work, nothing holds it, and it can be attached to again. */
		stand_in_do(&s, JOB_TOUCH, 0, 256, i);
		assert_int_equal(gw_attach_call(s.pid, SYS_getpid, NULL, 0, 1000, &result, &error),
		                 0);
		assert_int_equal(result, s.pid);
	}
	gw_ram_close(&ram);
	stand_in_end(&s);
}

/* What was made and not used is closed; what works for somebody stays. */
static void leftovers_are_tidied(void **state)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_MISSING_SHMEM};
	struct gw_error error;
	struct stand_in s;
	unsigned fds;
	int remote, used, fd;

	(void)state;
	stand_in_start(&s, 16, 0);
	fds = count_fds(s.pid);
	fd = gw_attach_userfaultfd(s.pid, &used, &error);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, UFFDIO_API, &api), 0);
	close(fd);
	for (unsigned i = 0; i < 2; i++)
		close(gw_attach_userfaultfd(s.pid, &remote, &error));
	assert_int_equal(count_fds(s.pid), fds + 3);
	gw_attach_tidy(s.pid);
	assert_int_equal(count_fds(s.pid), fds + 1);
	assert_int_equal(gw_attach_find_userfaultfd(s.pid, UFFD_FEATURE_MISSING_SHMEM, 0), used);
	assert_int_equal(gw_attach_find_userfaultfd(s.pid, UFFD_FEATURE_MISSING_SHMEM, used + 1),
	                 -ENOENT);
	stand_in_end(&s);
}

static void refusals_say_why(void **state)
{
	struct gw_error error;
	struct stand_in s;
	long result;
	pid_t sleeper;

	(void)state;
	assert_int_equal(gw_attach_call(0x3fffff, SYS_getpid, NULL, 0, 100, &result, &error),
	                 -ESRCH);
	assert_non_null(strstr(error.text, "no process"));

	sleeper = fork(); /* it never polls */
	if (sleeper == 0)
		for (;;)
			pause();
	assert_int_equal(gw_attach_call(sleeper, SYS_getpid, NULL, 0, 50, &result, &error),
	                 -ETIMEDOUT);
	/* Nothing holds it: it is as before, and a second try fails the same way. */
	assert_int_equal(gw_attach_call(sleeper, SYS_getpid, NULL, 0, 50, &result, &error),
	                 -ETIMEDOUT);
	kill(sleeper, SIGKILL);
	waitpid(sleeper, NULL, 0);

	stand_in_start(&s, 16, 0);
	kill(s.pid, SIGSTOP);
	waitpid(s.pid, NULL, WUNTRACED);
	assert_int_equal(gw_attach_call(s.pid, SYS_getpid, NULL, 0, 500, &result, &error), -EBUSY);
	assert_non_null(strstr(error.text, "SIGCONT"));
	kill(s.pid, SIGCONT);
	assert_int_equal(gw_attach_call(s.pid, SYS_getpid, NULL, 0, 1000, &result, &error), 0);
	assert_int_equal(result, s.pid);
	stand_in_end(&s);
}

static void probe_agrees(void **state)
{
	struct gw_probe probe;
	unsigned fds = count_fds(getpid());

	(void)state;
	gw_probe_host(&probe);
	assert_true(probe.ptrace && probe.pidfd_getfd && probe.userfaultfd);
	assert_int_equal(probe.wp_async, gw_probe_lacks(&probe, "pagemap") == NULL);
	assert_int_equal(probe.missing_shmem, gw_probe_lacks(&probe, "faults") == NULL);
	assert_null(gw_probe_lacks(&probe, "digest"));
	assert_true(strlen(probe.kernel) > 0);
	assert_int_equal(count_fds(getpid()), fds);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
	(void)printf("Linux %s; missing: %s\n", probe.kernel, probe.missing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(calls_run_under_ppoll),
	        cmocka_unit_test(calls_run_under_poll),
	        cmocka_unit_test(descriptors_are_taken_and_closed),
	        cmocka_unit_test(unmapped_pages_are_as_before),
	        cmocka_unit_test(process_outlives_a_dead_tracer),
	        cmocka_unit_test(leftovers_are_tidied),
	        cmocka_unit_test(refusals_say_why),
	        cmocka_unit_test(probe_agrees),
	};

	need("faults");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
