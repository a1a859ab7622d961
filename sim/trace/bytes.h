/* SPDX-License-Identifier: MIT */
/*
 * sim/trace/bytes.h - the layout of a trace file (docs/trace.md), shared by its reader and writer.
 *
 *   magic version 0 | HEAD | POPU... | WIND... | END
 *
 * Each block is a header of 24 bytes and its contents:
 *
 *    0  4  kind
 *    4  4  stored bytes: what follows the header
 *    8  4  raw bytes: the same, decompressed
 *   12  4  windows in it
 *   16  8  checksum, of all the file up to here (chained) and of the stored bytes
 */
#ifndef GW_SIM_TRACE_BYTES_H
#define GW_SIM_TRACE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_MAGIC        "GWTRACE\x1a"
#define TRACE_VERSION      1u
#define TRACE_START_BYTES  16u
#define TRACE_BLOCK_BYTES  24u
#define TRACE_SUMMED_BYTES 16u         /* of the block's header, before the checksum */
#define TRACE_RAW_MAX      (64u << 20) /* of one block, decompressed */
#define TRACE_HEAD_BYTES   200u
#define TRACE_END_BYTES    16u
#define TRACE_NUMBER_BYTES 10u                       /* the longest */
#define TRACE_WINDOW_BYTES (7u * TRACE_NUMBER_BYTES) /* the longest, without its runs */
#define TRACE_FLAG_CPU     1u
#define TRACE_FLAG_NETWORK 2u
#define TRACE_FLAG_SAMPLED 1u

enum trace_kind {
	TRACE_HEAD = 0x44414548,      /* "HEAD" */
	TRACE_POPULATED = 0x55504f50, /* "POPU" */
	TRACE_WINDOWS = 0x444e4957,   /* "WIND" */
	TRACE_END = 0x20444e45,       /* "END " */
};

/* Of the file's place in the chain before this block; 0 at the first. */
uint64_t trace_checksum(uint64_t before, const uint8_t *header, const uint8_t *stored, size_t size);

static inline void trace_put(uint8_t *to, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t trace_get(const uint8_t *from, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)from[i] << (8 * i);
	return value;
}

/* LEB128: seven bits a byte, low ones first. Returns the bytes taken. */
static inline size_t trace_put_number(uint8_t *to, uint64_t value)
{
	size_t used = 0;

	for (; value >= 0x80; value >>= 7)
		to[used++] = (uint8_t)(value | 0x80);
	to[used++] = (uint8_t)value;
	return used;
}

/* 0: no number stands there (cut off, more than 64 bits, or not written in its shortest form). */
static inline size_t trace_get_number(const uint8_t *from, size_t size, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < size && i < TRACE_NUMBER_BYTES; i++) {
		uint64_t bits = from[i] & 0x7f;

		if (i == TRACE_NUMBER_BYTES - 1 && bits > 1)
			return 0;
		*value |= bits << (7 * i);
		if (!(from[i] & 0x80))
			return i && !bits ? 0 : i + 1;
	}
	return 0;
}

#endif
