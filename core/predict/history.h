/* SPDX-License-Identifier: MIT */
/*
 * core/predict/history.h - in which of the last 64 rounds each page was written.
 *
 *     page 17    0 0 1 1 0 1     a bit a round, the newest is bit 0 (as gw_transitions_of)
 *
 * Only pages that were ever written have one, in a hash table over caller's memory: it costs what
 * the writable working set takes, not what the guest has. Pages that no longer fit stay without.
 */
#ifndef GW_CORE_PREDICT_HISTORY_H
#define GW_CORE_PREDICT_HISTORY_H

#include "core/page/set.h"

#define GW_HISTORY_ROUNDS 64

struct gw_history;

/* For at most `pages` (at least 1) different pages; 32 to 64 bytes each. */
size_t gw_history_bytes(uint32_t pages);
struct gw_history *gw_history_init(void *memory, uint32_t pages);

/* A round has ended, in which these pages were written. */
void gw_history_add(struct gw_history *history, const struct gw_set *written);
/* How many bits of a history mean something; at most 64. */
unsigned gw_history_rounds(const struct gw_history *history);
/* The pages that have one, in no order, from *cursor = 0 on; false when there are no more. */
bool gw_history_next(const struct gw_history *history, uint32_t *cursor, uint64_t *page,
                     uint64_t *bits);

#endif
