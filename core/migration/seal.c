/* SPDX-License-Identifier: MIT */
/*
 * core/migration/seal.c - a word at a time, each step a bijection: no single changed word is lost
 * in 64 bits, of which half are sent. Constants: splitmix64, MurmurHash3's finalizer.
 */
#include "core/migration/seal.h"

#include <string.h>

#include "core/migration/wire.h"

#ifndef GW_PLANT
#define GW_PLANT 0 /* a bug that torture must find; see tests/sim */
#endif

static uint32_t seal_of(const uint8_t *bytes, size_t count, uint64_t number)
{
	uint64_t hash = (number + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ count;
	uint8_t rest[8] = {0};

	for (; count >= 8; bytes += 8, count -= 8) {
		hash = (hash ^ gw_wire_get(bytes, 8)) * UINT64_C(0xff51afd7ed558ccd);
		hash ^= hash >> 32;
	}
	memcpy(rest, bytes, count);
	hash = (hash ^ gw_wire_get(rest, 8)) * UINT64_C(0xc4ceb9fe1a85ec53);
	return (uint32_t)(hash ^ hash >> 32);
}

void gw_seal(uint8_t *bytes, size_t count, uint64_t number)
{
	gw_wire_put(bytes + count, seal_of(bytes, count, number), GW_SEAL_BYTES);
}

bool gw_sealed(const uint8_t *bytes, size_t count, uint64_t number)
{
	return GW_PLANT == 10 ||
	       gw_wire_get(bytes + count, GW_SEAL_BYTES) == seal_of(bytes, count, number);
}
