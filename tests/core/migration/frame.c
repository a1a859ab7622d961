/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/frame.c - page frames there and back, and every rule that refuses one.
 */
#include "core/migration/frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define PAGES 100000u /* of guest memory */

static uint8_t wire[GW_FRAME_BYTES_MAX];
static struct gw_frame back;

static struct gw_frame two_runs(enum gw_frame_kind kind)
{
	struct gw_frame frame = {.kind = kind, .number = 7, .pages = 5, .run_count = 2};

	frame.runs[0] = (struct gw_run){PAGES - 3, 3}; /* push order: not ascending */
	frame.runs[1] = (struct gw_run){0, 2};
	return frame;
}

static void assert_round_trip(const struct gw_frame *frame, size_t bytes, uint64_t pages)
{
	memset(wire, 0xee, sizeof wire);
	assert_int_equal(gw_frame_encode(frame, wire), bytes);
	if (bytes < sizeof wire)
		assert_int_equal(wire[bytes], 0xee);
	assert_int_equal(gw_frame_head_bytes(wire), bytes);
	memset(&back, 0x55, sizeof back);
	assert_int_equal(gw_frame_decode(&back, wire, pages), 0);
	assert_int_equal(back.kind, frame->kind);
	assert_int_equal(back.number, frame->number);
	assert_int_equal(back.pages, frame->pages);
	assert_int_equal(back.run_count, frame->run_count);
	assert_memory_equal(back.runs, frame->runs, frame->run_count * sizeof *frame->runs);
}

static void every_kind_comes_back(void **state)
{
	(void)state;
	struct gw_frame frame = two_runs(GW_FRAME_PAGES);

	assert_round_trip(&frame, 16 + 2 * 12, PAGES);
	frame.kind = GW_FRAME_ZEROS;
	assert_round_trip(&frame, 16 + 2 * 12, PAGES);
	for (int kind = GW_FRAME_ROUND; kind <= GW_FRAME_END; kind++) {
		struct gw_frame bare = {.kind = (enum gw_frame_kind)kind, .number = UINT32_MAX};
		assert_round_trip(&bare, 16, PAGES);
		assert_round_trip(&bare, 16, 0);
	}
}

static void the_bytes_are_those_of_the_header(void **state)
{
	(void)state;
	static const uint8_t expected[] = {
	        'G', 'M', 'P', 'F', 1, 0, 1, 0, 2, 0, 0, 0, 9, 0, 0, 0, /* the header */
	        4,   3,   2,   1,   0, 0, 0, 0, 2, 0, 0, 0,             /* the run */
	};
	struct gw_frame frame = {.kind = GW_FRAME_PAGES, .number = 9, .pages = 2, .run_count = 1};

	frame.runs[0] = (struct gw_run){0x01020304, 2};
	assert_int_equal(gw_frame_encode(&frame, wire), 28);
	assert_memory_equal(wire, expected, sizeof expected);
}

static void the_largest_come_back(void **state)
{
	(void)state;
	static struct gw_frame frame;

	frame = (struct gw_frame){.kind = GW_FRAME_PAGES,
	                          .pages = GW_FRAME_PAGES_MAX,
	                          .run_count = GW_FRAME_RUNS_MAX};
	for (uint32_t i = 0; i < GW_FRAME_RUNS_MAX; i++)
		frame.runs[i] = (struct gw_run){2 * i, 1};
	assert_round_trip(&frame, GW_FRAME_BYTES_MAX, PAGES);

	frame = (struct gw_frame){.kind = GW_FRAME_ZEROS, .pages = UINT32_MAX, .run_count = 1};
	frame.runs[0] = (struct gw_run){UINT64_C(1) << 60, UINT32_MAX};
	assert_round_trip(&frame, 28, UINT64_MAX);
}

static void the_caller_is_told_of_defects(void **state)
{
	(void)state;
	struct gw_frame frame = two_runs(GW_FRAME_PAGES);

	frame.pages++;
	assert_int_equal(gw_frame_encode(&frame, wire), 0);
	frame = two_runs(GW_FRAME_PAGES);
	frame.runs[1].count = 0;
	frame.pages = 3;
	assert_int_equal(gw_frame_encode(&frame, wire), 0);
	frame = two_runs(GW_FRAME_PAGES);
	frame.runs[0] = (struct gw_run){UINT64_MAX, 3}; /* ends beyond all numbers */
	assert_int_equal(gw_frame_encode(&frame, wire), 0);
	frame = two_runs(GW_FRAME_ZEROS); /* in 64 bits these add up to 5 */
	frame.runs[0] = (struct gw_run){0, UINT64_C(1) << 63};
	frame.runs[1] = (struct gw_run){0, (UINT64_C(1) << 63) + 5};
	assert_int_equal(gw_frame_encode(&frame, wire), 0);
	frame = two_runs((enum gw_frame_kind)0);
	assert_int_equal(gw_frame_encode(&frame, wire), 0);
	frame = two_runs((enum gw_frame_kind)(GW_FRAME_END + 1));
	assert_int_equal(gw_frame_encode(&frame, wire), 0);
	frame = two_runs(GW_FRAME_SWITCH);
	assert_int_equal(gw_frame_encode(&frame, wire), 0);
	frame = two_runs(GW_FRAME_PAGES);
	frame.run_count = GW_FRAME_RUNS_MAX + 1;
	assert_int_equal(gw_frame_encode(&frame, wire), 0);
	frame = two_runs(GW_FRAME_PAGES);
	frame.pages = frame.run_count = 0;
	assert_int_equal(gw_frame_encode(&frame, wire), 0);
	frame = two_runs(GW_FRAME_PAGES);
	frame.runs[0].count = GW_FRAME_PAGES_MAX - 1;
	frame.pages = GW_FRAME_PAGES_MAX + 1;
	assert_int_equal(gw_frame_encode(&frame, wire), 0);
}

/* A sound frame with one number changed. */
static void with(size_t at, uint64_t value, unsigned bytes)
{
	struct gw_frame frame = two_runs(GW_FRAME_PAGES);

	assert_int_equal(gw_frame_encode(&frame, wire), 40);
	for (unsigned i = 0; i < bytes; i++)
		wire[at + i] = (uint8_t)(value >> (8 * i));
}

static void a_header_that_is_none_is_refused(void **state)
{
	(void)state;
	static const struct {
		size_t at;
		uint64_t value;
		unsigned bytes;
	} bad[] = {
	        {0, GW_FRAME_MAGIC + 1, 4},
	        {3, 'f', 1},
	        {4, 0, 2},
	        {4, GW_FRAME_END + 1, 2},
	        {4, GW_FRAME_ROUND, 2},
	        {4, GW_FRAME_SWITCH, 2},
	        {4, GW_FRAME_END, 2},
	        {4, 0x100 | GW_FRAME_PAGES, 2},
	        {6, 0, 2},
	        {6, GW_FRAME_RUNS_MAX + 1, 2},
	        {6, 0xffff, 2},
	        {6, 6, 2}, /* more runs than pages */
	        {8, 0, 4},
	        {8, 1, 4},
	        {8, GW_FRAME_PAGES_MAX + 1, 4},
	        {8, UINT32_MAX, 4},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		with(bad[i].at, bad[i].value, bad[i].bytes);
		assert_int_equal(gw_frame_head_bytes(wire), 0);
		assert_int_equal(gw_frame_decode(&back, wire, PAGES), -EPROTO);
	}
}

/* The same for kinds that need other numbers beside it. */
static void a_header_that_contradicts_itself_is_refused(void **state)
{
	(void)state;
	static const struct {
		uint8_t kind;
		uint16_t runs;
		uint32_t pages;
	} bad[] = {
	        {GW_FRAME_PAGES, 0, 0},
	        {GW_FRAME_PAGES, 0, 5},
	        {GW_FRAME_ZEROS, 0, 0},
	        {GW_FRAME_ZEROS, 0, 5},
	        {GW_FRAME_ZEROS, 6, 5},
	        {GW_FRAME_ZEROS, GW_FRAME_RUNS_MAX + 1, 1000},
	        {GW_FRAME_ZEROS, UINT16_MAX, UINT32_MAX},
	        {GW_FRAME_ROUND, 0, 1},
	        {GW_FRAME_ROUND, 1, 0},
	        {GW_FRAME_SWITCH, 0, 1},
	        {GW_FRAME_SWITCH, 1, 0},
	        {GW_FRAME_END, 0, UINT32_MAX},
	        {GW_FRAME_END, UINT16_MAX, 0},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		with(4, bad[i].kind, 2);
		wire[6] = (uint8_t)bad[i].runs;
		wire[7] = (uint8_t)(bad[i].runs >> 8);
		for (unsigned j = 0; j < 4; j++)
			wire[8 + j] = (uint8_t)(bad[i].pages >> (8 * j));
		assert_int_equal(gw_frame_head_bytes(wire), 0);
		assert_int_equal(gw_frame_decode(&back, wire, PAGES), -EPROTO);
	}
}

static void a_table_that_lies_is_refused(void **state)
{
	(void)state;
	static const struct {
		size_t at;
		uint64_t value;
		unsigned bytes;
	} bad[] = {
	        {8, 4, 4},      /* fewer pages than the runs have */
	        {8, 6, 4},      /* more */
	        {16, PAGES, 8}, /* a run that begins outside */
	        {16, PAGES + 1, 8},
	        {16, UINT64_C(1) << 63, 8},
	        {16, PAGES - 2, 8},      /* ends outside */
	        {16, UINT64_MAX, 8},     /* wraps around */
	        {16, UINT64_MAX - 2, 8}, /* likewise, to 0 exactly */
	        {24, 0, 4},              /* an empty run */
	        {24, UINT32_MAX, 4},     /* too long */
	        {24, 0xfffffffe, 4},     /* with the other one, 2^32: wraps a 32-bit sum */
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		with(bad[i].at, bad[i].value, bad[i].bytes);
		assert_int_not_equal(gw_frame_head_bytes(wire), 0);
		assert_int_equal(gw_frame_decode(&back, wire, PAGES), -EPROTO);
	}
	with(16, PAGES - 3, 8);
	assert_int_equal(gw_frame_decode(&back, wire, PAGES), 0);
	assert_int_equal(gw_frame_decode(&back, wire, PAGES - 1), -EPROTO);
	assert_int_equal(gw_frame_decode(&back, wire, 0), -EPROTO);
}

static void a_sum_of_counts_does_not_wrap(void **state)
{
	(void)state;
	/* Two runs of 2^32-1 pages: in 32 bits their sum is 2^32-2. */
	struct gw_frame frame = {.kind = GW_FRAME_ZEROS, .pages = UINT32_MAX - 1, .run_count = 2};

	frame.runs[0] = (struct gw_run){0, UINT32_MAX};
	frame.runs[1] = (struct gw_run){UINT64_C(1) << 40, UINT32_MAX};
	assert_int_equal(gw_frame_encode(&frame, wire), 0);
	frame.runs[1].count = 1;
	frame.pages = UINT32_MAX;
	frame.runs[0].count = UINT32_MAX - 1;
	assert_int_equal(gw_frame_encode(&frame, wire), 40);
	memset(wire + 24, 0xff, 4);
	memset(wire + 36, 0xff, 4);
	wire[8] = 0xfe;
	assert_int_equal(gw_frame_decode(&back, wire, UINT64_MAX), -EPROTO);
}

static void bits_may_flip(void **state)
{
	(void)state;
	struct gw_frame frame = two_runs(GW_FRAME_PAGES);
	static uint8_t again[GW_FRAME_BYTES_MAX];

	for (size_t bit = 0; bit < 40 * 8; bit++) {
		memset(wire, 0, sizeof wire); /* a run count that grew finds zeros: empty runs */
		assert_int_equal(gw_frame_encode(&frame, wire), 40);
		wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
		int error = gw_frame_decode(&back, wire, PAGES);
		assert_true(error == 0 || error == -EPROTO);
		if (error)
			continue;
		size_t bytes = gw_frame_encode(&back, again);
		assert_int_equal(bytes, gw_frame_head_bytes(wire));
		assert_memory_equal(again, wire, bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_kind_comes_back),
	        cmocka_unit_test(the_bytes_are_those_of_the_header),
	        cmocka_unit_test(the_largest_come_back),
	        cmocka_unit_test(the_caller_is_told_of_defects),
	        cmocka_unit_test(a_header_that_is_none_is_refused),
	        cmocka_unit_test(a_header_that_contradicts_itself_is_refused),
	        cmocka_unit_test(a_table_that_lies_is_refused),
	        cmocka_unit_test(a_sum_of_counts_does_not_wrap),
	        cmocka_unit_test(bits_may_flip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
