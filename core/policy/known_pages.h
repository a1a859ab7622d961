/* SPDX-License-Identifier: MIT */
/*
 * core/policy/known_pages.h - what a policy knows of single pages, and a ranking of them: for those
 * that ask core/predict/renewal.h.
 */
#ifndef GW_CORE_POLICY_KNOWN_PAGES_H
#define GW_CORE_POLICY_KNOWN_PAGES_H

#include "core/predict/ranking.h"
#include "core/predict/renewal.h"

struct gw_known_pages {
	struct gw_renewal *renewal;
	struct gw_ranked *ranked, *spare; /* room for all that are known */
	uint64_t ram_pages;
};

/* A multiple of a word. */
size_t gw_known_pages_bytes(uint64_t ram_pages);
/* Takes so much of `memory`; returns what lies behind it. */
void *gw_known_pages_start(struct gw_known_pages *known, void *memory, uint64_t ram_pages,
                           const struct gw_observation *observation);
/*
 * By the chance that they are touched within so long, those without one left out; `of`: only these,
 * NULL: all that are known. Lies in `ranked`.
 */
struct gw_ranking gw_known_pages_rank(struct gw_known_pages *known, uint64_t ns,
                                      const struct gw_set *of);

#endif
