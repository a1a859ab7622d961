/* SPDX-License-Identifier: MIT */
/* A native guest handed over: it goes on exactly, and finds whatever page went wrong. */
#include "tests/live/vm/native_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest/native/page.h"

#define PAGE GW_NATIVE_PAGE_BYTES

static const char busy[] = "pages=600 vcpus=3 pattern=locality writes=max reads=max set=100 "
                           "offset=50 drift=5 zero=10 fill=60 populate=400";

static void goes_on_without_an_error(void **state)
{
	struct rig_guest source = rig_start(busy, false), twin = rig_twin(&source);
	struct gw_native_status before, after;

	(void)state;
	rig_run_on(&source, 5000, 5000);
	rig_stop(&source);
	before = rig_status(&source);
	rig_copy_ram(&source, &twin);
	rig_hand_over(&source, &twin);
	assert_int_equal(rig_status(&twin).writes, before.writes);
	assert_int_equal(rig_verify(&twin).different, 0);
	rig_cont(&twin);
	rig_run_on(&twin, 5000, 5000);
	assert_int_equal(rig_verify(&twin).different, 0);
	rig_stop(&twin);
	after = rig_status(&twin);
	assert_true(after.writes > before.writes && after.reads > before.reads);
	assert_int_equal(after.errors, 0);
	assert_int_equal(rig_verify(&twin).different, 0);
	/* The source stood still all the while, and may take its state back. */
	assert_int_equal(rig_status(&source).writes, before.writes);
	rig_cont(&source);
	rig_run_on(&source, 1000, 1000);
	assert_int_equal(rig_verify(&source).different, 0);
	rig_end(&source);
	rig_end(&twin);
}

/* A sweep over all pages by one vCPU: the number of writes says the version of every page. */
static void repeats_and_skips_nothing(void **state)
{
	enum { PAGES = 97 };
	char config[] = "pages=97 pattern=sequential writes=max reads=0 seed=5";
	struct rig_guest source = rig_start(config, false), twin = rig_twin(&source);
	struct gw_contents contents;
	uint64_t writes;

	(void)state;
	rig_run_on(&source, 1000, 0);
	rig_stop(&source);
	rig_copy_ram(&source, &twin);
	rig_hand_over(&source, &twin);
	rig_cont(&twin);
	rig_run_on(&twin, 1000, 0);
	rig_stop(&twin);
	writes = rig_status(&twin).writes;
	gw_contents_init(&contents, 5, 100);
	for (uint64_t page = 0; page < PAGES; page++) {
		uint32_t version = (uint32_t)(writes / PAGES + (page < writes % PAGES));

		assert_true(gw_contents_equal(
		        &contents, page, version << 1,
		        (const uint64_t *)(const void *)(twin.ram + page * PAGE)));
	}
	rig_end(&source);
	rig_end(&twin);
}

/* The first page from `page` on whose contents differ between the two. */
static uint64_t changed_page(const uint8_t *one, const uint8_t *other, uint64_t page)
{
	while (!memcmp(one + page * PAGE, other + page * PAGE, PAGE))
		page++;
	return page;
}

enum plant { STALE, ZEROED, SWAPPED, FLIPPED };

static void plant(enum plant what, uint8_t *ram, const uint8_t *old, uint64_t page)
{
	uint8_t kept[PAGE];

	switch (what) {
	case STALE: memcpy(ram + page * PAGE, old + page * PAGE, PAGE); break;
	case ZEROED: memset(ram + page * PAGE, 0, PAGE); break;
	case FLIPPED: ram[page * PAGE + PAGE - 1] ^= 0x10; break;
	case SWAPPED:
		memcpy(kept, ram + page * PAGE, PAGE);
		memcpy(ram + page * PAGE, ram + (page + 1) * PAGE, PAGE);
		memcpy(ram + (page + 1) * PAGE, kept, PAGE);
		break;
	}
}

static void finds_a_wrong_page(enum plant what, uint64_t pages, const char *saw)
{
	struct rig_guest source = rig_start("pages=64 writes=max reads=0 populate=64", false);
	struct rig_guest twin = rig_twin(&source);
	struct gw_native_verdict verdict;
	uint8_t *old = malloc(64 * PAGE);
	uint64_t page;
	char named[32];

	assert_non_null(old);
	rig_stop(&source);
	memcpy(old, source.ram, 64 * PAGE);
	rig_cont(&source);
	rig_run_on(&source, 1000, 0);
	rig_stop(&source);
	rig_copy_ram(&source, &twin);
	page = changed_page(source.ram, old, 7);
	plant(what, twin.ram, old, page);
	rig_hand_over(&source, &twin);
	verdict = rig_verify(&twin);
	assert_int_equal(verdict.different, pages);
	(void)snprintf(named, sizeof(named), "page %u:", (unsigned)page);
	assert_ptr_equal(strstr(verdict.first, named), verdict.first);
	assert_non_null(strstr(verdict.first, saw));
	assert_int_equal(rig_verify(&source).different, 0);
	free(old);
	rig_end(&source);
	rig_end(&twin);
}

static void finds_a_stale_page(void **state)
{
	(void)state;
	finds_a_wrong_page(STALE, 1, "saw version");
}

static void finds_a_zeroed_page(void **state)
{
	(void)state;
	finds_a_wrong_page(ZEROED, 1, "saw all zeros");
}

static void finds_swapped_pages(void **state)
{
	(void)state;
	finds_a_wrong_page(SWAPPED, 2, "saw page");
}

static void finds_a_flipped_bit(void **state)
{
	(void)state;
	finds_a_wrong_page(FLIPPED, 1, "saw a mixture");
}

/* A page that must be zero and is not: what was there before it was zeroed. */
static void finds_a_page_that_should_be_zero(void **state)
{
	struct rig_guest guest = rig_start("pages=64 pattern=idle populate=32", false);

	(void)state;
	assert_int_equal(rig_verify(&guest).different, 0);
	guest.ram[40 * PAGE + 9] = 1;
	assert_int_equal(rig_verify(&guest).different, 1);
	assert_non_null(strstr(rig_verify(&guest).first, "page 40: expected zeros, never written"));
	rig_end(&guest);
}

/* Without a full compare too: the guest's own reads meet it. */
static void reads_find_a_wrong_page(void **state)
{
	struct rig_guest guest = rig_start(
	        "pages=16 pattern=sequential writes=0 reads=max populate=16 vcpus=2", false);
	struct gw_native_status status;

	(void)state;
	rig_run_on(&guest, 0, 1000);
	assert_int_equal(rig_status(&guest).errors, 0);
	guest.ram[3 * PAGE] ^= 1;
	rig_run_on(&guest, 0, 100000);
	status = rig_status(&guest);
	assert_true(status.errors > 0 && status.errors < status.reads);
	rig_end(&guest);
}

static void stop_really_stops(void **state)
{
	struct rig_guest guest = rig_start("pages=256 vcpus=4 writes=max reads=0", false);
	const struct timespec pause = {.tv_nsec = 2000000};
	uint8_t *seen = malloc(256 * PAGE);

	(void)state;
	assert_non_null(seen);
	for (int i = 0; i < 20; i++) {
		uint64_t writes;

		rig_run_on(&guest, 100, 0);
		rig_stop(&guest);
		memcpy(seen, guest.ram, 256 * PAGE);
		writes = rig_status(&guest).writes;
		(void)nanosleep(&pause, NULL);
		assert_memory_equal(seen, guest.ram, 256 * PAGE);
		assert_int_equal(rig_status(&guest).writes, writes);
		rig_cont(&guest);
	}
	rig_run_on(&guest, 1000, 0);
	assert_true(memcmp(seen, guest.ram, 256 * PAGE) != 0);
	free(seen);
	rig_end(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(goes_on_without_an_error),
	        cmocka_unit_test(repeats_and_skips_nothing),
	        cmocka_unit_test(finds_a_stale_page),
	        cmocka_unit_test(finds_a_zeroed_page),
	        cmocka_unit_test(finds_swapped_pages),
	        cmocka_unit_test(finds_a_flipped_bit),
	        cmocka_unit_test(finds_a_page_that_should_be_zero),
	        cmocka_unit_test(reads_find_a_wrong_page),
	        cmocka_unit_test(stop_really_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
