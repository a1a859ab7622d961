/* SPDX-License-Identifier: MIT */
/*
 * tests/fuzz/frame.c - any bytes into the decoder of page frames.
 *
 * The first byte of an input chooses the size of memory and whether the bytes are taken as they
 * are, or get magic, run count and page count that fit the rest: else few would come past the
 * header. What decodes must encode to the same bytes again.
 */
#include "core/migration/frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/target.h"

static struct {
	unsigned long accepted, kinds[GW_FRAME_END + 1];
} seen;

bool target_report(unsigned long inputs)
{
	unsigned kinds = 0;

	for (unsigned kind = 0; kind <= GW_FRAME_END; kind++)
		kinds += seen.kinds[kind] != 0;
	fprintf(stderr, "frame: %lu of %lu inputs decoded, %u of %d kinds\n", seen.accepted,
	        inputs, kinds, GW_FRAME_END);
	return kinds == GW_FRAME_END;
}

/* As a receiver does: the header, as much as it tells, then the table. */
static void check(const uint8_t *from, size_t bytes, uint64_t pages)
{
	static struct gw_frame frame;
	static uint8_t again[GW_FRAME_BYTES_MAX];
	size_t head;

	target_count();
	if (bytes < GW_FRAME_HEADER_BYTES)
		return;
	head = gw_frame_head_bytes(from);
	require(head == 0 || (head >= GW_FRAME_HEADER_BYTES && head <= GW_FRAME_BYTES_MAX),
	        "the size of a header and table is in its range");
	if (!head || bytes < head)
		return;
	int error = gw_frame_decode(&frame, from, pages);
	if (error) {
		require(error == -EPROTO, "what is no frame is -EPROTO");
		return;
	}
	seen.accepted++;
	seen.kinds[frame.kind]++;
	uint64_t sum = 0;
	for (uint32_t i = 0; i < frame.run_count; i++) {
		struct gw_run run = frame.runs[i];
		require(run.count && run.first < pages && run.count <= pages - run.first,
		        "runs lie within the memory and are not empty");
		sum += run.count;
	}
	require(sum == frame.pages, "the counts agree");
	require(frame.kind != GW_FRAME_PAGES || sum <= GW_FRAME_PAGES_MAX, "contents are limited");
	require(gw_frame_encode(&frame, again) == head, "it encodes");
	require(!memcmp(again, from, head), "to the same bytes");
}

static void put(uint8_t *to, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

/* A kind and a table, under a header that fits; counts are made small, often small enough. */
static void check_repaired(uint8_t kind, const uint8_t *table, size_t bytes, uint64_t pages)
{
	size_t runs = bytes / GW_FRAME_RUN_BYTES;
	size_t all = GW_FRAME_HEADER_BYTES + runs * GW_FRAME_RUN_BYTES;
	uint8_t *frame = calloc(1, all), *row;
	uint64_t sum = 0;

	if (!frame)
		return;
	row = frame + GW_FRAME_HEADER_BYTES;
	if (runs)
		memcpy(row, table, runs * GW_FRAME_RUN_BYTES);
	for (size_t i = 0; i < runs; i++, row += GW_FRAME_RUN_BYTES) {
		if (kind < 0x80) {
			put(row + 2, 0, 6); /* a first page below 65536 */
			put(row + 9, 0, 3); /* and at most 255 pages */
		}
		for (unsigned j = 0; j < 4; j++)
			sum += (uint64_t)row[8 + j] << (8 * j);
	}
	put(frame, GW_FRAME_MAGIC, 4);
	put(frame + 4, kind & 0x7f, 2);
	put(frame + 6, runs, 2);
	put(frame + 8, sum, 4);
	check(frame, all, pages);
	free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	uint64_t pages = target_pages(data[0]);
	if (data[0] & 0x80)
		check(data + 1, size - 1, pages);
	else
		check_repaired(data[1], data + 2, size - 2, pages);
	return 0;
}
