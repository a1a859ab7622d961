/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/live/memory/stand_in.h"

#define PAGES 64

static void finds_the_mapping(void **state)
{
	struct gw_error error;
	struct stand_in s;
	struct gw_ram ram;

	(void)state;
	stand_in_start(&s, PAGES, 0);
	assert_int_equal(gw_ram_open(&ram, s.path, s.pid, &error), 0);
	assert_int_equal(ram.pages, PAGES);
	assert_true(ram.address > 0);
	stand_in_do(&s, JOB_TOUCH, 9, 1, 1234);
	assert_int_equal(*(uint64_t *)(void *)(ram.map + 9 * GW_PAGE_BYTES), 1234);
	gw_ram_close(&ram);
	/* A process that has not mapped it: this one. */
	assert_int_equal(gw_ram_open(&ram, s.path, getpid(), &error), -ENOENT);
	assert_non_null(strstr(error.text, "not mapped"));
	assert_int_equal(gw_ram_open(&ram, "/dev/null", 0, &error), -EINVAL);
	assert_int_equal(gw_ram_open(&ram, "/nowhere/ram", 0, &error), -ENOENT);
	stand_in_end(&s);
}

static void refuses_pieces_and_private_views(void **state)
{
	struct gw_error error;
	struct gw_ram ram;
	char path[64];
	int fd = memfd_create("godwit-test", MFD_CLOEXEC);
	void *room = mmap(NULL, 16 * GW_PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *at = room;

	(void)state;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(ftruncate(fd, 4 * GW_PAGE_BYTES + 1), 0);
	assert_int_equal(gw_ram_open(&ram, path, 0, &error), -EINVAL);
	assert_int_equal(ftruncate(fd, 4 * GW_PAGE_BYTES), 0);
	at = mmap(at, 2 * GW_PAGE_BYTES, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	assert_int_equal(gw_ram_open(&ram, path, getpid(), &error), -ENOTSUP);
	assert_non_null(strstr(error.text, "pieces"));
	/* Two neighbours that the kernel does not merge serve as one. */
	assert_true(mmap(at + 2 * GW_PAGE_BYTES, 2 * GW_PAGE_BYTES, PROT_READ | PROT_WRITE,
	                 MAP_SHARED | MAP_FIXED, fd, 2 * GW_PAGE_BYTES) != MAP_FAILED);
	assert_int_equal(gw_ram_open(&ram, path, getpid(), &error), 0);
	assert_true(ram.address == (uintptr_t)at);
	gw_ram_close(&ram);
	assert_true(mmap(at, 4 * GW_PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == at);
	assert_int_equal(gw_ram_open(&ram, path, getpid(), &error), -ENOTSUP);
	assert_non_null(strstr(error.text, "share=on"));
	munmap(room, 16 * GW_PAGE_BYTES);
	close(fd);
}

static void knows_data_from_holes(void **state)
{
	struct gw_error error;
	struct stand_in s;
	struct gw_ram ram;
	struct gw_set data;
	uint64_t words[GW_SET_WORDS(PAGES)];

	(void)state;
	stand_in_start(&s, PAGES, STAND_IN_SPARSE);
	assert_int_equal(gw_ram_open(&ram, s.path, s.pid, &error), 0);
	gw_set_init(&data, words, PAGES);
	assert_int_equal(gw_ram_populated(&ram, &data, &error), 0);
	assert_true(gw_set_empty(&data));
	stand_in_do(&s, JOB_TOUCH, 0, 4, 1);
	stand_in_do(&s, JOB_TOUCH, 63, 1, 1);
	assert_int_equal(gw_ram_punch(&ram, (struct gw_run){1, 2}, &error), 0);
	assert_int_equal(gw_ram_populated(&ram, &data, &error), 0);
	assert_int_equal(gw_set_count(&data), 3);
	assert_true(gw_set_has(&data, 0) && gw_set_has(&data, 3) && gw_set_has(&data, 63));
	gw_ram_close(&ram);
	stand_in_end(&s);
}

/* Sets and files at random, against a plain array. */
static void clears_what_is_there(void **state)
{
	struct gw_error error;
	struct stand_in s;
	struct gw_ram ram;
	struct gw_set set, data;
	uint64_t words[2][GW_SET_WORDS(PAGES)];

	(void)state;
	srand(7);
	stand_in_start(&s, PAGES, STAND_IN_SPARSE);
	assert_int_equal(gw_ram_open(&ram, s.path, s.pid, &error), 0);
	for (unsigned times = 0; times < 200; times++) {
		bool there[PAGES];

		gw_set_init(&set, words[0], PAGES);
		gw_set_init(&data, words[1], PAGES);
		for (uint64_t page = 0; page < PAGES; page++) {
			if (rand() % 4 == 0)
				ram.map[page * GW_PAGE_BYTES] = 1;
			if (rand() % 3 == 0)
				gw_set_add(&set, page);
		}
		assert_int_equal(gw_ram_populated(&ram, &data, &error), 0);
		for (uint64_t page = 0; page < PAGES; page++)
			there[page] = gw_set_has(&data, page) && !gw_set_has(&set, page);
		assert_int_equal(gw_ram_clear(&ram, &set, &error), 0);
		gw_set_clear(&data);
		assert_int_equal(gw_ram_populated(&ram, &data, &error), 0);
		for (uint64_t page = 0; page < PAGES; page++)
			assert_int_equal(gw_set_has(&data, page), there[page]);
	}
	gw_ram_close(&ram);
	stand_in_end(&s);
}

static void knows_zero_pages(void **state)
{
	static uint8_t page[GW_PAGE_BYTES] __attribute__((aligned(8)));

	(void)state;
	assert_true(gw_page_is_zero(page));
	for (size_t i = 0; i < sizeof(page); i++) {
		page[i] = 1;
		assert_false(gw_page_is_zero(page));
		page[i] = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(finds_the_mapping),
	        cmocka_unit_test(refuses_pieces_and_private_views),
	        cmocka_unit_test(knows_data_from_holes),
	        cmocka_unit_test(clears_what_is_there),
	        cmocka_unit_test(knows_zero_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
