/* SPDX-License-Identifier: MIT */
/*
 * core/migration/wire.h - numbers to and from little-endian bytes, for the codecs of this folder.
 */
#ifndef GW_CORE_MIGRATION_WIRE_H
#define GW_CORE_MIGRATION_WIRE_H

#include <stdint.h>

/* The low `bytes` bytes of value. */
static inline void gw_wire_put(uint8_t *to, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t gw_wire_get(const uint8_t *from, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)from[i] << (8 * i);
	return value;
}

#endif
