/* SPDX-License-Identifier: MIT */
/*
 * core/predict/write_set.h - S3's forecast: which pages will be written, by which were written just
 * before.
 *
 * A VM is observed in windows W1 ... WT, each the set of the pages written in it. Every page of a
 * window is followed by every page of the next one, and (in the paper's printed figures) by the
 * other pages of its own window, if that has a next one. P(i->j) is the share of i's followers
 * that are j.
 *
 *     W1 = {1, 2}   W2 = {2, 3, 4}   W3 = {1, 4, 5}      1 -> 2 50 %, 3 25 %, 4 25 %  (S3, 3.1)
 *
 * The matrix is never built. With N_i followers of i and dirty pages D,
 *
 *     s_j = sum over i in D of P(i->j) = sum over t of w_t [j in W(t+1)],  w_t = sum over i in D
 * and Wt of 1/N_i
 *
 * and the same-window term adds w_t [j in Wt], less j's own 1/N_j: exact, and linear in the
 * windows' sizes: of 8 million pages in all it takes some 30 ms (bench/forecast.c).
 *
 * Memory is the caller's: 33 to 41 bytes a page, 4 an entry. What does not fit makes the oldest
 * windows go.
 */
#ifndef GW_CORE_PREDICT_WRITE_SET_H
#define GW_CORE_PREDICT_WRITE_SET_H

#include "core/page/set.h"
#include "core/predict/ranking.h"

struct gw_write_set_limits {
	uint32_t windows; /* kept, at least 2 */
	uint32_t entries; /* pages of all windows together */
	uint32_t pages;   /* different pages: the writable working set */
	bool plain;       /* count followers in the next window only */
};

struct gw_write_set;

size_t gw_write_set_bytes(const struct gw_write_set_limits *limits);
struct gw_write_set *gw_write_set_init(void *memory, const struct gw_write_set_limits *limits);

/*
 * The pages written in the next window, as ascending runs. -E2BIG: it holds more than the limits
 * allow by itself; it is left out, and what follows begins anew.
 */
int gw_write_set_observe(struct gw_write_set *set, const struct gw_run *runs, size_t count);
int gw_write_set_observe_set(struct gw_write_set *set, const struct gw_set *written);
uint32_t gw_write_set_windows(const struct gw_write_set *set);

/* Scores every known page for these dirty pages, until a window is observed; then ask for each. */
void gw_write_set_score(struct gw_write_set *set, const struct gw_set *dirty);
/* Of the pages that were dirty then those with a score above 0, in no order; returns how many. */
size_t gw_write_set_dirty(const struct gw_write_set *set, struct gw_ranked *to);
/* All known pages by number, from 0, in no order; false beyond the last. */
bool gw_write_set_known(const struct gw_write_set *set, uint32_t number, uint64_t *page,
                        double *score);

#endif
