/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "live/memory/faults.h"
#include "tests/live/memory/stand_in.h"

#define PAGES 512

struct bench {
	struct stand_in s;
	struct gw_ram ram;
	struct gw_faults faults;
	struct gw_error error;
	uint64_t words[PAGES][GW_PAGE_BYTES / 8]; /* the source's memory */
};

#define OK(call)                                                                                   \
	do {                                                                                       \
		int ret_ = (call);                                                                 \
		if (ret_ < 0)                                                                      \
			fail_msg("%s: %d %s", #call, ret_, b->error.text);                         \
	} while (0)

static struct bench bench;

static uint64_t word_of(uint64_t page)
{
	return page % 8 ? page * 1000003 : 0; /* every eighth page is zero */
}

static uint64_t sum_of(uint64_t first, uint64_t count)
{
	uint64_t sum = 0;

	for (uint64_t page = first; page < first + count; page++)
		sum += word_of(page);
	return sum;
}

static void set_up(struct bench *b, int flags)
{
	memset(b, 0, sizeof(*b));
	for (uint64_t page = 0; page < PAGES; page++)
		b->words[page][0] = word_of(page);
	stand_in_start(&b->s, PAGES, flags);
	OK(gw_ram_open(&b->ram, b->s.path, b->s.pid, &b->error));
}

static void tear_down(struct bench *b)
{
	stand_in_end(&b->s);
	gw_ram_close(&b->ram);
}

static void place_one(struct bench *b, uint64_t page)
{
	struct gw_run run = {page, 1};

	if (word_of(page))
		OK(gw_faults_place(&b->faults, run, b->words[page], &b->error));
	else
		OK(gw_faults_zero(&b->faults, run, &b->error));
}

/* Answers faults until the process's job is done; returns their number. */
static uint64_t serve(struct bench *b)
{
	struct gw_fault fault;
	uint64_t served = 0;
	unsigned idle = 0;

	while (b->s.control->answered != b->s.control->asked) {
		struct pollfd pfd = {.fd = b->faults.fd, .events = POLLIN};
		int got;

		(void)poll(&pfd, 1, 1);
		got = gw_faults_next(&b->faults, &fault, &b->error);
		OK(got);
		if (!got) {
			if (++idle > 10000)
				fail_msg("a thread waits for a fault that is never reported");
			continue;
		}
		assert_true(fault.page < PAGES);
		assert_true(fault.thread > 0 && fault.thread != b->s.pid);
		place_one(b, fault.page);
		served++;
	}
	return served;
}

static void faults_are_served(void **state)
{
	struct bench *b = &bench;
	unsigned fds;

	(void)state;
	set_up(b, STAND_IN_SPARSE);
	fds = count_fds(b->s.pid);
	OK(gw_faults_open(&b->faults, &b->ram, &b->error));
	assert_int_equal(count_fds(b->s.pid), fds + 1);
	OK(gw_faults_arm(&b->faults, &b->error));
	stand_in_begin(&b->s, JOB_SUM, 0, PAGES, 0);
	assert_int_equal(serve(b), PAGES);
	assert_int_equal(b->s.control->value, sum_of(0, PAGES));
	OK(gw_faults_finish(&b->faults, &b->error));
	assert_int_equal(count_fds(b->s.pid), fds);
	tear_down(b);
}

/* Pages that went stale are punched, and then they fault; the others are left alone. */
static void stale_pages_fault(void **state)
{
	struct bench *b = &bench;

	(void)state;
	set_up(b, 0); /* every page is filled, with page + 1 */
	OK(gw_faults_open(&b->faults, &b->ram, &b->error));
	OK(gw_ram_punch(&b->ram, (struct gw_run){100, 40}, &b->error));
	OK(gw_faults_arm(&b->faults, &b->error));
	stand_in_begin(&b->s, JOB_SUM, 90, 60, 0);
	assert_int_equal(serve(b), 40);
	assert_int_equal(b->s.control->value,
	                 sum_of(100, 40) + (91 + 100) * 10 / 2 + (141 + 150) * 10 / 2);
	OK(gw_faults_finish(&b->faults, &b->error));
	tear_down(b);
}

static void runs_skip_what_is_there(void **state)
{
	struct bench *b = &bench;

	(void)state;
	set_up(b, STAND_IN_SPARSE);
	stand_in_do(&b->s, JOB_TOUCH, 10, 1, 77);
	stand_in_do(&b->s, JOB_TOUCH, 20, 3, 77);
	stand_in_do(&b->s, JOB_TOUCH, PAGES - 1, 1, 77);
	OK(gw_faults_open(&b->faults, &b->ram, &b->error));
	OK(gw_faults_arm(&b->faults, &b->error));
	OK(gw_faults_place(&b->faults, (struct gw_run){0, 256}, b->words, &b->error));
	OK(gw_faults_zero(&b->faults, (struct gw_run){256, PAGES - 256}, &b->error));
	OK(gw_faults_place(&b->faults, (struct gw_run){0, 256}, b->words, &b->error));
	for (uint64_t page = 0; page < PAGES; page++) {
		uint64_t expected = page < 256 ? word_of(page) : 0;

		if (page == 10 || (page >= 20 && page < 23) || page == PAGES - 1)
			expected = 77;
		assert_int_equal(*(uint64_t *)(void *)(b->ram.map + page * GW_PAGE_BYTES),
		                 expected);
	}
	OK(gw_faults_finish(&b->faults, &b->error));
	tear_down(b);
}

/* The agent: serves `count` faults, has read one more, and dies with it. */
static void agent_that_dies(struct bench *b, unsigned count)
{
	struct gw_fault fault;

	if (gw_faults_open(&b->faults, &b->ram, &b->error) < 0 ||
	    gw_faults_arm(&b->faults, &b->error) < 0)
		_exit(1);
	stand_in_begin(&b->s, JOB_SUM, 0, PAGES, 0);
	for (;;) {
		if (gw_faults_next(&b->faults, &fault, &b->error) != 1)
			continue;
		if (!count--)
			kill(getpid(), SIGKILL);
		place_one(b, fault.page);
	}
}

static void memory_is_right_after_a_crash(void **state)
{
	struct bench *b = &bench;
	unsigned fds;
	pid_t agent;
	int status;

	(void)state;
	for (unsigned count = 0; count < 40; count += 13) {
		set_up(b, STAND_IN_SPARSE);
		fds = count_fds(b->s.pid);
		agent = fork();
		if (agent == 0)
			agent_that_dies(b, count);
		waitpid(agent, &status, 0);
		assert_true(WIFSIGNALED(status));
		sleep_ms(20); /* time to go on with zeros, if it could */
		assert_true(b->s.control->answered != b->s.control->asked);
		OK(gw_faults_reopen(&b->faults, &b->ram, &b->error));
		assert_int_equal(serve(b), PAGES - count);
		assert_int_equal(b->s.control->value, sum_of(0, PAGES));
		OK(gw_faults_finish(&b->faults, &b->error));
		assert_int_equal(count_fds(b->s.pid), fds);
		assert_int_equal(gw_faults_reopen(&b->faults, &b->ram, &b->error), -ENOENT);
		tear_down(b);
	}
}

static void a_dead_process_is_named(void **state)
{
	struct bench *b = &bench;

	(void)state;
	set_up(b, STAND_IN_SPARSE);
	OK(gw_faults_open(&b->faults, &b->ram, &b->error));
	OK(gw_faults_arm(&b->faults, &b->error));
	kill(b->s.pid, SIGKILL);
	while (stand_in_alive(&b->s))
		;
	assert_int_equal(gw_faults_place(&b->faults, (struct gw_run){0, 4}, b->words, &b->error),
	                 -ESRCH);
	assert_non_null(strstr(b->error.text, "is gone"));
	gw_faults_close(&b->faults);
	tear_down(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(faults_are_served),
	        cmocka_unit_test(stale_pages_fault),
	        cmocka_unit_test(runs_skip_what_is_there),
	        cmocka_unit_test(memory_is_right_after_a_crash),
	        cmocka_unit_test(a_dead_process_is_named),
	};

	need("faults");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
