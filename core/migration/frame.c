/* SPDX-License-Identifier: MIT */
/*
 * core/migration/frame.c - headers and run tables of page frames to bytes and back.
 */
#include "core/migration/frame.h"

#include "core/migration/wire.h"

#include <errno.h>

/* A page a run at least: so PAGES needs no limit of runs beside its limit of pages. */
_Static_assert(GW_FRAME_PAGES_MAX <= GW_FRAME_RUNS_MAX, "runs of PAGES fit into the table");

enum { AT_MAGIC = 0, AT_KIND = 4, AT_RUNS = 6, AT_PAGES = 8, AT_NUMBER = 12 };

/* The rules that kind, run count and page count obey among themselves. */
static bool head_is_sound(uint64_t kind, uint64_t runs, uint64_t pages)
{
	switch (kind) {
	case GW_FRAME_PAGES: return runs >= 1 && pages >= runs && pages <= GW_FRAME_PAGES_MAX;
	case GW_FRAME_ZEROS: return runs >= 1 && runs <= GW_FRAME_RUNS_MAX && pages >= runs;
	case GW_FRAME_ROUND:
	case GW_FRAME_SWITCH:
	case GW_FRAME_END: return runs == 0 && pages == 0;
	default: return false;
	}
}

static bool runs_add_up(const struct gw_frame *frame)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < frame->run_count; i++) {
		struct gw_run run = frame->runs[i];
		if (!run.count || run.count > UINT32_MAX || run.first > UINT64_MAX - run.count)
			return false;
		sum += run.count;
	}
	return sum == frame->pages;
}

size_t gw_frame_encode(const struct gw_frame *frame, uint8_t *to)
{
	if (!head_is_sound((uint64_t)frame->kind, frame->run_count, frame->pages) ||
	    !runs_add_up(frame))
		return 0;
	gw_wire_put(to + AT_MAGIC, GW_FRAME_MAGIC, 4);
	gw_wire_put(to + AT_KIND, (uint64_t)frame->kind, 2);
	gw_wire_put(to + AT_RUNS, frame->run_count, 2);
	gw_wire_put(to + AT_PAGES, frame->pages, 4);
	gw_wire_put(to + AT_NUMBER, frame->number, 4);

	uint8_t *row = to + GW_FRAME_HEADER_BYTES;
	for (uint32_t i = 0; i < frame->run_count; i++, row += GW_FRAME_RUN_BYTES) {
		gw_wire_put(row, frame->runs[i].first, 8);
		gw_wire_put(row + 8, frame->runs[i].count, 4);
	}
	return (size_t)(row - to);
}

size_t gw_frame_head_bytes(const uint8_t *header)
{
	uint64_t runs = gw_wire_get(header + AT_RUNS, 2);

	if (gw_wire_get(header + AT_MAGIC, 4) != GW_FRAME_MAGIC ||
	    !head_is_sound(gw_wire_get(header + AT_KIND, 2), runs,
	                   gw_wire_get(header + AT_PAGES, 4)))
		return 0;
	return GW_FRAME_HEADER_BYTES + (size_t)runs * GW_FRAME_RUN_BYTES;
}

int gw_frame_decode(struct gw_frame *frame, const uint8_t *from, uint64_t pages)
{
	if (!gw_frame_head_bytes(from))
		return -EPROTO;
	frame->kind = (enum gw_frame_kind)gw_wire_get(from + AT_KIND, 2);
	frame->run_count = (uint32_t)gw_wire_get(from + AT_RUNS, 2);
	frame->pages = (uint32_t)gw_wire_get(from + AT_PAGES, 4);
	frame->number = (uint32_t)gw_wire_get(from + AT_NUMBER, 4);

	const uint8_t *row = from + GW_FRAME_HEADER_BYTES;
	for (uint32_t i = 0; i < frame->run_count; i++, row += GW_FRAME_RUN_BYTES) {
		struct gw_run run = {gw_wire_get(row, 8), gw_wire_get(row + 8, 4)};
		if (run.first >= pages || run.count > pages - run.first)
			return -EPROTO;
		frame->runs[i] = run;
	}
	return runs_add_up(frame) ? 0 : -EPROTO;
}
