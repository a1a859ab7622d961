/* SPDX-License-Identifier: MIT */
#include "cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define MB     UINT64_C(1000000)

static char *text;
static size_t bytes;
static struct gw_progress progress;

static int begin(void **state)
{
	FILE *out = open_memstream(&text, &bytes);

	(void)state;
	memset(&progress, 0, sizeof(progress));
	progress.out = out;
	progress.columns = 80;
	return out ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	(void)fclose(progress.out);
	free(text);
	return 0;
}

static void expect(const char *wanted)
{
	(void)fflush(progress.out);
	assert_string_equal(text, wanted);
}

/* 10 MB a second, an update every 100 ms. */
static void move(uint64_t from_s, uint64_t to_s)
{
	uint64_t tenth;

	for (tenth = from_s * 10; tenth <= to_s * 10; tenth++)
		gw_progress_update(&progress, "round 1", tenth * MB, 200 * MB, tenth * SECOND / 10);
}

static void test_plain_lines(void **state)
{
	(void)state;
	move(0, 10);
	expect("round 1    0%\n"
	       "round 1   25%  10.0 MB/s  0:15 left\n"
	       "round 1   50%  10.0 MB/s  0:10 left\n");
}

static void test_new_label_shows_at_once(void **state)
{
	(void)state;
	gw_progress_update(&progress, "a", 5 * MB, 10 * MB, SECOND);
	gw_progress_update(&progress, "b", 0, 10 * MB, SECOND + 1);
	expect("a   50%\nb    0%\n");
}

static void test_bar(void **state)
{
	(void)state;
	progress.terminal = true;
	gw_progress_update(&progress, "web", 5 * MB, 10 * MB, SECOND);
	gw_progress_end(&progress);
	expect("\rweb  [###############...............]  50%\033[K\n");
}

static void test_narrow_terminal_has_no_bar(void **state)
{
	(void)state;
	progress.terminal = true;
	progress.columns = 12;
	gw_progress_update(&progress, "web", 5 * MB, 10 * MB, SECOND);
	gw_progress_end(&progress);
	expect("\rweb    50%\033[K\n");
}

static void test_unknown_end_and_overshoot(void **state)
{
	(void)state;
	gw_progress_update(&progress, "a", 1024, 0, SECOND);
	gw_progress_update(&progress, "b", 20, 10, SECOND);
	expect("a  1.0 KiB\nb  100%\n");
}

static void test_a_stall_promises_nothing(void **state)
{
	uint64_t tenth;

	(void)state;
	for (tenth = 0; tenth <= 50; tenth++)
		gw_progress_update(&progress, "a", 5 * MB, 10 * MB, tenth * SECOND / 10);
	expect("a   50%\na   50%\n");
}

static void test_a_share_has_the_rate_of_the_whole(void **state)
{
	uint64_t tenth;

	(void)state;
	progress.bare = true;
	/* It jumps once, and then stands still for longer than the ring remembers. */
	for (tenth = 0; tenth <= 50; tenth++)
		gw_progress_update(&progress, "a", tenth ? 5 : 0, 10, tenth * SECOND / 10);
	expect("a    0%\na   50%  0:05 left\n");
}

static void test_work_that_takes_its_time(void **state)
{
	(void)state;
	gw_progress_time(&progress, "recording", 2 * SECOND, 10 * SECOND, "5 pages/s", SECOND);
	gw_progress_time(&progress, "recording", 4 * SECOND, 10 * SECOND, "6 pages/s", 3 * SECOND);
	gw_progress_time(&progress, "recording", 11 * SECOND, 10 * SECOND, "", 7 * SECOND);
	gw_progress_time(&progress, "without end", 70 * SECOND, 0, "7 pages/s", 8 * SECOND);
	expect("recording   20%  5 pages/s  0:08 left\n"
	       "recording  100%    0:00 left\n"
	       "without end  1:10  7 pages/s\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_plain_lines, begin, end),
	        cmocka_unit_test_setup_teardown(test_new_label_shows_at_once, begin, end),
	        cmocka_unit_test_setup_teardown(test_bar, begin, end),
	        cmocka_unit_test_setup_teardown(test_narrow_terminal_has_no_bar, begin, end),
	        cmocka_unit_test_setup_teardown(test_unknown_end_and_overshoot, begin, end),
	        cmocka_unit_test_setup_teardown(test_a_stall_promises_nothing, begin, end),
	        cmocka_unit_test_setup_teardown(test_a_share_has_the_rate_of_the_whole, begin, end),
	        cmocka_unit_test_setup_teardown(test_work_that_takes_its_time, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
