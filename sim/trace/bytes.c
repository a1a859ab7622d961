/* SPDX-License-Identifier: MIT */
#include "sim/trace/bytes.h"

#include <xxhash.h>

uint64_t trace_checksum(uint64_t before, const uint8_t *header, const uint8_t *stored, size_t size)
{
	uint64_t head = XXH3_64bits_withSeed(header, TRACE_SUMMED_BYTES, before);

	return XXH3_64bits_withSeed(stored, size, head);
}
