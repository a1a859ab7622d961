/* SPDX-License-Identifier: MIT */
/*
 * core/migration/frame.h - page frames, the bytes of the bulk and the urgent connection.
 *
 *   0       4      6      8       12       16
 *   | magic | kind | runs | pages | number | run table, 12 bytes a run | seal | contents ...
 *
 *   PAGES   contents follow, pages * 4096 bytes, in the order of the table
 *   ZEROS   the pages are all zero; no contents follow
 *   ROUND   no runs; `number` = a round that ends here; the destination answers ROUND_ACK
 *   SWITCH  no runs; everything that was sent before the switch lies before this
 *   END     no runs; nothing more will be pushed
 *
 * The seal (core/migration/seal.h) is not the codec's. A run on the wire is a 64-bit first page and a 32-bit count. Contents are never copied through
 * the codec: the header and table are encoded into one buffer, the contents are gathered from, and
 * scattered into, guest memory.
 */
#ifndef GW_CORE_MIGRATION_FRAME_H
#define GW_CORE_MIGRATION_FRAME_H

#include "core/page/set.h"

#define GW_FRAME_MAGIC	      0x46504d47u /* "GMPF" */
#define GW_FRAME_HEADER_BYTES 16
#define GW_FRAME_RUN_BYTES    12
#define GW_FRAME_RUNS_MAX     256
#define GW_FRAME_PAGES_MAX    256 /* 1 MiB of contents; ZEROS: pages up to 2^32-1 in all */
#define GW_FRAME_BYTES_MAX    (GW_FRAME_HEADER_BYTES + GW_FRAME_RUNS_MAX * GW_FRAME_RUN_BYTES)

enum gw_frame_kind {
	GW_FRAME_PAGES = 1,
	GW_FRAME_ZEROS,
	GW_FRAME_ROUND,
	GW_FRAME_SWITCH,
	GW_FRAME_END,
};

struct gw_frame {
	enum gw_frame_kind kind;
	uint32_t number;
	uint32_t pages; /* sum of the runs */
	uint32_t run_count;
	struct gw_run runs[GW_FRAME_RUNS_MAX];
};

/*
 * Writes header and table; returns their bytes (at most GW_FRAME_BYTES_MAX), or 0 if a count is out
 * of its range or does not agree (a defect of the caller).
 */
size_t gw_frame_encode(const struct gw_frame *frame, uint8_t *to);

/* Bytes of header and table, told by the first GW_FRAME_HEADER_BYTES; 0 if they are no header. */
size_t gw_frame_head_bytes(const uint8_t *header);

/*
 * Reads header and table, of which all gw_frame_head_bytes() are there. -EPROTO unless every run is
 * inside guest memory of `pages` pages, not empty, and the counts agree.
 */
int gw_frame_decode(struct gw_frame *frame, const uint8_t *from, uint64_t pages);

#endif
