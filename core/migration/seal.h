/* SPDX-License-Identifier: MIT */
/*
 * core/migration/seal.h - a check behind every message, and behind every frame's header and table.
 *
 *     | message | seal | message | seal ...       | header and table | seal | contents ...
 *
 * It covers the bytes and their place in the stream: the how-manyth of its connection and direction
 * since HELLO, from 0. So bytes that were changed, lost, or said twice are no message, and the link
 * counts as lost. It is no proof against who means harm, and contents of pages are not under it:
 * for those there is --verify.
 */
#ifndef GW_CORE_MIGRATION_SEAL_H
#define GW_CORE_MIGRATION_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_SEAL_BYTES 4

/* Writes the seal behind `count` bytes. */
void gw_seal(uint8_t *bytes, size_t count, uint64_t number);
/* True if the seal behind them is theirs. */
bool gw_sealed(const uint8_t *bytes, size_t count, uint64_t number);

#endif
