/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "live/memory/tracker.h"
#include "tests/live/memory/stand_in.h"

#define PAGES 2048

struct bench {
	struct stand_in s;
	struct gw_ram ram;
	struct gw_tracker tracker;
	struct gw_set dirty;
	uint8_t *copy; /* the other side's memory */
	uint8_t buffer[GW_PAGE_BYTES];
	struct gw_error error;
};

#define OK(call)                                                                                   \
	do {                                                                                       \
		int ret_ = (call);                                                                 \
		if (ret_ < 0)                                                                      \
			fail_msg("%s: %d %s", #call, ret_, b->error.text);                         \
	} while (0)

/* Sends what is in dirty, as a sender does: holes are told, not read. */
static void send_dirty(struct bench *b)
{
	bool copies = b->tracker.wants_copies;

	for (uint64_t page = gw_set_next(&b->dirty, 0); page < b->ram.pages;
	     page = gw_set_next(&b->dirty, page + 1)) {
		uint8_t *to = b->copy + page * GW_PAGE_BYTES;

		if (gw_set_has(&b->tracker.holes, page)) {
			memset(to, 0, GW_PAGE_BYTES);
			continue;
		}
		memcpy(b->buffer, b->ram.map + page * GW_PAGE_BYTES, GW_PAGE_BYTES);
		if (copies)
			gw_tracker_sending(&b->tracker, (struct gw_run){page, 1}, b->buffer);
		memcpy(to, b->buffer, GW_PAGE_BYTES);
	}
	gw_set_clear(&b->dirty);
}

static void set_up(struct bench *b, const char *kind, int flags, bool direct_io)
{
	*b = (struct bench){0};
	stand_in_start(&b->s, PAGES, flags);
	OK(gw_ram_open(&b->ram, b->s.path, b->s.pid, &b->error));
	gw_set_init(&b->dirty, calloc(gw_set_words(PAGES), 8), PAGES);
	b->copy = calloc(PAGES, GW_PAGE_BYTES);
	OK(gw_tracker_open(&b->tracker, kind, &b->ram, direct_io, &b->error));
	OK(gw_tracker_start(&b->tracker, &b->dirty, &b->error));
}

static void tear_down(struct bench *b)
{
	gw_tracker_close(&b->tracker);
	gw_ram_close(&b->ram);
	stand_in_end(&b->s);
	free(b->dirty.words);
	free(b->copy);
}

static uint64_t pages_different(struct bench *b)
{
	static const uint8_t zeros[GW_PAGE_BYTES];
	uint64_t different = 0;

	for (uint64_t page = 0; page < PAGES; page++) {
		const uint8_t *now = b->ram.map + page * GW_PAGE_BYTES;

		if (gw_set_has(&b->tracker.holes, page))
			now = zeros;
		different += memcmp(now, b->copy + page * GW_PAGE_BYTES, GW_PAGE_BYTES) != 0;
	}
	return different;
}

static uint64_t scan(struct bench *b, bool final)
{
	gw_set_clear(&b->dirty);
	OK(gw_tracker_scan(&b->tracker, &b->dirty, final, &b->error));
	return gw_set_count(&b->dirty);
}

static void no_write_lost(const char *kind, unsigned moves, unsigned rounds)
{
	struct bench bench, *b = &bench;
	uint64_t reported = 0, before;
	unsigned fds;

	set_up(b, kind, 0, false);
	fds = count_fds(b->s.pid);
	send_dirty(b);
	for (unsigned move = 0; move < moves; move++) {
		before = b->s.control->writes;
		stand_in_write(&b->s);
		while (b->s.control->writes == before)
			; /* else all rounds may be over before the writer has a processor */
		for (unsigned round = 0; round < rounds; round++) {
			reported += scan(b, false);
			send_dirty(b);
		}
		stand_in_rest(&b->s);
		(void)scan(b, true);
		send_dirty(b);
		assert_int_equal(pages_different(b), 0);
		assert_int_equal(scan(b, true), 0); /* nothing is left, nothing is made up */
	}
	assert_true(reported > 0);
	assert_int_equal(count_fds(b->s.pid), fds);
	tear_down(b);
}

static void pagemap_loses_no_write(void **state)
{
	(void)state;
	no_write_lost("pagemap", 100, 25);
}

static void digest_loses_no_write(void **state)
{
	(void)state;
	no_write_lost("digest", 20, 10);
}

static void exact_pages(const char *kind)
{
	struct bench bench, *b = &bench;

	set_up(b, kind, 0, false);
	assert_int_equal(gw_set_count(&b->dirty), PAGES);
	send_dirty(b);
	assert_int_equal(scan(b, false), 0);
	stand_in_do(&b->s, JOB_TOUCH, 7, 3, 99);
	stand_in_do(&b->s, JOB_TOUCH, PAGES - 1, 1, 99);
	stand_in_do(&b->s, JOB_READ, 0, PAGES, 0);
	OK(gw_tracker_peek(&b->tracker, &b->dirty, &b->error));
	assert_int_equal(gw_set_count(&b->dirty), 4);
	assert_int_equal(scan(b, false), 4); /* peek forgot nothing */
	assert_int_equal(gw_set_count_run(&b->dirty, (struct gw_run){7, 3}), 3);
	assert_true(gw_set_has(&b->dirty, PAGES - 1));
	send_dirty(b);
	assert_int_equal(scan(b, true), 0);
	assert_int_equal(pages_different(b), 0);
	tear_down(b);
}

static void pagemap_reports_exactly(void **state)
{
	(void)state;
	exact_pages("pagemap");
}

static void digest_reports_exactly(void **state)
{
	(void)state;
	exact_pages("digest");
}

static void holes(const char *kind)
{
	struct bench bench, *b = &bench;
	struct gw_set data;

	set_up(b, kind, 0, false);
	send_dirty(b);
	stand_in_do(&b->s, JOB_PUNCH, 100, 50, 0);
	assert_int_equal(scan(b, false), 50);
	assert_int_equal(gw_set_count_run(&b->dirty, (struct gw_run){100, 50}), 50);
	assert_int_equal(gw_set_count(&b->tracker.holes), 50);
	send_dirty(b);
	assert_int_equal(scan(b, false), 0);
	/* Nobody read the holes on the way: they are holes still. */
	gw_set_init(&data, calloc(gw_set_words(PAGES), 8), PAGES);
	OK(gw_ram_populated(&b->ram, &data, &b->error));
	assert_int_equal(gw_set_count(&data), PAGES - 50);
	free(data.words);
	/* Filled again, some of it; as many punched as filled: the count of blocks is the same. */
	stand_in_do(&b->s, JOB_TOUCH, 110, 10, 5);
	stand_in_do(&b->s, JOB_PUNCH, 200, 10, 0);
	(void)scan(b, true);
	assert_int_equal(gw_set_count_run(&b->dirty, (struct gw_run){110, 10}), 10);
	assert_int_equal(gw_set_count_run(&b->dirty, (struct gw_run){200, 10}), 10);
	assert_int_equal(gw_set_count(&b->tracker.holes), 50);
	send_dirty(b);
	/* A hole that is read comes into being, another is punched: only a final scan must see. */
	stand_in_do(&b->s, JOB_READ, 130, 5, 0);
	stand_in_do(&b->s, JOB_PUNCH, 300, 5, 0);
	(void)scan(b, true);
	assert_int_equal(gw_set_count_run(&b->dirty, (struct gw_run){300, 5}), 5);
	send_dirty(b);
	assert_int_equal(pages_different(b), 0);
	tear_down(b);
}

static void pagemap_reports_holes(void **state)
{
	(void)state;
	holes("pagemap");
}

static void digest_reports_holes(void **state)
{
	(void)state;
	holes("digest");
}

static void sparse(const char *kind)
{
	struct bench bench, *b = &bench;

	set_up(b, kind, STAND_IN_SPARSE, false);
	assert_int_equal(gw_set_count(&b->dirty), 0);
	stand_in_do(&b->s, JOB_TOUCH, 0, 1, 1);
	stand_in_do(&b->s, JOB_TOUCH, 1000, 64, 1);
	assert_int_equal(scan(b, false), 65);
	send_dirty(b);
	assert_int_equal(scan(b, true), 0);
	assert_int_equal(pages_different(b), 0);
	tear_down(b);
}

static void pagemap_sees_first_writes(void **state)
{
	(void)state;
	sparse("pagemap");
}

static void digest_sees_first_writes(void **state)
{
	(void)state;
	sparse("digest");
}

/* A page that changes and changes back while it is sent: other bytes went out than are there. */
static void digest_is_of_what_was_sent(void **state)
{
	struct bench bench, *b = &bench;
	uint8_t *page = b->buffer;

	(void)state;
	set_up(b, "digest", 0, false);
	send_dirty(b);
	stand_in_do(&b->s, JOB_TOUCH, 5, 1, 1);
	assert_int_equal(scan(b, false), 1);
	memcpy(page, b->ram.map + 5 * GW_PAGE_BYTES, GW_PAGE_BYTES);
	stand_in_do(&b->s, JOB_TOUCH, 5, 1, 6); /* as it was at first: page + 1 */
	gw_tracker_sending(&b->tracker, (struct gw_run){5, 1}, page);
	assert_int_equal(scan(b, true), 1);
	tear_down(b);
}

/* A direct read into a pinned page: the kernel writes where no page table tells. */
static uint64_t pinned_write(bool direct_io)
{
	struct bench bench, *b = &bench;
	uint8_t data[GW_PAGE_BYTES];
	uint64_t dirty;

	set_up(b, "pagemap", 0, direct_io);
	send_dirty(b);
	stand_in_do(&b->s, JOB_PIN, 42, 1, 0);
	assert_true(scan(b, false) >= 1);
	assert_true(gw_set_has(&b->dirty, 42));
	send_dirty(b);
	memset(data, 0xa5, sizeof(data));
	assert_int_equal(write(b->s.pipe[1], data, sizeof(data)), sizeof(data));
	stand_in_do(&b->s, JOB_FIXED, 42, 1, 0);
	assert_int_equal(b->ram.map[42 * GW_PAGE_BYTES], 0xa5);
	dirty = scan(b, true);
	assert_int_equal(dirty, gw_set_has(&b->dirty, 42));
	send_dirty(b);
	assert_int_equal(pages_different(b), dirty ? 0 : 1);
	tear_down(b);
	return dirty;
}

static void direct_reads_are_found(void **state)
{
	(void)state;
	assert_int_equal(pinned_write(true), 1);
	/* Without the digests the page is missed, which shows that the write was unseen. */
	assert_int_equal(pinned_write(false), 0);
}

static void leaves_nothing_behind(void **state)
{
	struct bench bench, *b = &bench;
	struct gw_tracker second;
	unsigned fds;

	(void)state;
	set_up(b, NULL, 0, false);
	assert_string_equal(b->tracker.kind->name, "pagemap");
	assert_string_equal(b->error.text, "");
	fds = count_fds(b->s.pid);
	assert_int_equal(gw_tracker_open(&second, "pagemap", &b->ram, false, &b->error), -EBUSY);
	assert_non_null(strstr(b->error.text, "another migration"));
	OK(gw_tracker_open(&second, NULL, &b->ram, false, &b->error));
	assert_string_equal(second.kind->name, "digest");
	assert_non_null(strstr(b->error.text, "another migration"));
	gw_tracker_close(&second);
	assert_int_equal(count_fds(b->s.pid), fds);
	gw_tracker_close(&b->tracker);
	OK(gw_tracker_open(&b->tracker, "pagemap", &b->ram, false, &b->error));
	assert_int_equal(count_fds(b->s.pid), fds);
	assert_int_equal(gw_tracker_open(&second, "guess", &b->ram, false, &b->error), -EINVAL);
	tear_down(b);
}

static void death_is_no_clean_memory(void **state)
{
	struct bench bench, *b = &bench;

	(void)state;
	set_up(b, "pagemap", 0, false);
	kill(b->s.pid, SIGKILL);
	while (stand_in_alive(&b->s))
		;
	assert_int_equal(gw_tracker_scan(&b->tracker, &b->dirty, true, &b->error), -ESRCH);
	tear_down(b);
}

/* What is read is told from what is written, page by page, and no write is lost by looking. */
static void accessed_pages_are_exact(void **state)
{
	struct bench bench, *b = &bench;

	(void)state;
	set_up(b, "pagemap", 0, false);
	send_dirty(b);
	(void)scan(b, false);
	for (unsigned round = 0; round < 20; round++) {
		stand_in_do(&b->s, JOB_TOUCH, 100, 2, round);
		OK(gw_tracker_forget(&b->tracker, 1000, &b->error));
		stand_in_do(&b->s, JOB_READ, 10 + round, 5, 0);
		stand_in_do(&b->s, JOB_TOUCH, 12 + round, 1, round);
		stand_in_do(&b->s, JOB_TOUCH, 200, 1, round);
		gw_set_clear(&b->dirty);
		OK(gw_tracker_accessed(&b->tracker, &b->dirty, &b->error));
		assert_int_equal(gw_set_count(&b->dirty), 6);
		assert_int_equal(gw_set_count_run(&b->dirty, (struct gw_run){10 + round, 5}), 5);
		assert_true(gw_set_has(&b->dirty, 200));
		assert_int_equal(scan(b, false), 4);
		assert_true(gw_set_has(&b->dirty, 100) && gw_set_has(&b->dirty, 101));
		assert_true(gw_set_has(&b->dirty, 12 + round) && gw_set_has(&b->dirty, 200));
		send_dirty(b);
		assert_int_equal(pages_different(b), 0);
	}
	tear_down(b);
	set_up(b, "digest", 0, false);
	assert_int_equal(gw_tracker_forget(&b->tracker, 1000, &b->error), -ENOTSUP);
	tear_down(b);
}

int main(void)
{
	const struct CMUnitTest digest[] = {
	        cmocka_unit_test(digest_loses_no_write),
	        cmocka_unit_test(digest_reports_exactly),
	        cmocka_unit_test(digest_reports_holes),
	        cmocka_unit_test(digest_sees_first_writes),
	        cmocka_unit_test(digest_is_of_what_was_sent),
	};
	const struct CMUnitTest pagemap[] = {
	        cmocka_unit_test(pagemap_loses_no_write),
	        cmocka_unit_test(pagemap_reports_exactly),
	        cmocka_unit_test(accessed_pages_are_exact),
	        cmocka_unit_test(pagemap_reports_holes),
	        cmocka_unit_test(pagemap_sees_first_writes),
	        cmocka_unit_test(direct_reads_are_found),
	        cmocka_unit_test(leaves_nothing_behind),
	        cmocka_unit_test(death_is_no_clean_memory),
	};
	int failed = cmocka_run_group_tests(digest, NULL, NULL);

	if (failed)
		return failed;
	need("pagemap");
	return cmocka_run_group_tests(pagemap, NULL, NULL);
}
