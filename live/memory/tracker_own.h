/* SPDX-License-Identifier: MIT */
/*
 * live/memory/tracker_own.h - shared by the kinds of trackers; of no interest to their users.
 */
#ifndef GW_LIVE_MEMORY_TRACKER_OWN_H
#define GW_LIVE_MEMORY_TRACKER_OWN_H

#include "live/memory/digest.h"
#include "live/memory/tracker.h"

extern const struct gw_tracker_kind gw_tracker_pagemap;
extern const struct gw_tracker_kind gw_tracker_digest;

/* A set that owns its words; free(set.words). */
int gw_own_set(struct gw_set *set, uint64_t pages, struct gw_error *error);

/* Adds to dirty what became a hole or ceased to be one since the last look; takes the new holes. */
int gw_holes_compare(struct gw_tracker *tracker, struct gw_set *scratch, struct gw_set *dirty,
                     struct gw_error *error);

#endif
