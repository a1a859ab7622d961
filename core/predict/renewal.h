/* SPDX-License-Identifier: MIT */
/*
 * core/predict/renewal.h - our own forecast: when each page will be written again, by how often and
 * how long ago it was.
 *
 * The writes of a page are taken for a renewal process: the chance that it is written in the next
 * window, its hazard, depends on the windows since it was last written (its age) and on how often
 * it is written (its class), and on nothing else. Hazards are counted over all pages of the VM
 * itself, so that few windows suffice, and the shape of its work comes out of them: a hot page's
 * is high at once, that of a page which a sweep has just passed is low until the sweep returns,
 * that of a page left behind by a drift falls with age.
 *
 *     window      1  2  3  4  5  6  7  8  9        hazard at age a = writes at age a /
 *     page 17     #  .  #  .  .  #  .  .  .          windows in which a page of that class
 *     age            1  2  1  2  3  1  2  3          had age a: here 0/3 at 1, 1/3 at 2, 1/2 at 3
 *
 * A class holds pages whose number of writes, each counted less by half for every 64 windows that
 * have passed since, lies between two powers of two. Ages are kept in buckets that double.
 *
 * Memory is the caller's: some 70 bytes for each page that is remembered, whatever the guest has.
 * Pages that no longer fit stay unknown, and count as pages that are never written.
 */
#ifndef GW_CORE_PREDICT_RENEWAL_H
#define GW_CORE_PREDICT_RENEWAL_H

#include "core/predict/observation.h"

struct gw_renewal;

/* For at most `pages` (at least 1) different pages. */
size_t gw_renewal_bytes(uint32_t pages);
struct gw_renewal *gw_renewal_init(void *memory, uint32_t pages);

/* The windows before the move, in their order. */
void gw_renewal_observe(struct gw_renewal *renewal, const struct gw_observation *observation);
/*
 * A round of so long in which these pages were written. One that is longer than two windows says
 * that they were, but not when and how often: it moves ages, and teaches no hazards.
 */
void gw_renewal_round(struct gw_renewal *renewal, const struct gw_set *written, uint64_t ns);
/* False until hazards could be counted: there is no forecast. */
bool gw_renewal_ready(const struct gw_renewal *renewal);

/*
 * The chances that known pages are written, or touched at all, within so long from now on. The
 * table is made once and asked for each page.
 */
#define GW_RENEWAL_CLASSES 8
#define GW_RENEWAL_AGES    17
#define GW_RENEWAL_READS   32 /* steps in which shares of reads are told apart */
struct gw_renewal_outlook {
	float written[GW_RENEWAL_CLASSES][GW_RENEWAL_AGES];
	float unread[GW_RENEWAL_READS + 1]; /* by the share of windows in which it was read */
	double windows;                     /* that it looks ahead */
	double newcomers;                   /* pages written in it for the first time */
};

void gw_renewal_look_ahead(const struct gw_renewal *renewal, uint64_t ns,
                           struct gw_renewal_outlook *outlook);

/* The known pages by place, from *cursor = 0 on, in no order; false when there are no more. */
struct gw_renewal_page {
	uint64_t page;
	unsigned class,
	        age;      /* age: windows since it was last written, at most GW_RENEWAL_AGES - 1 */
	float read_share; /* of the windows in which reads were sampled: those in which it was */
};

bool gw_renewal_next(const struct gw_renewal *renewal, uint64_t *cursor,
                     struct gw_renewal_page *page);
/* 0 to 1. */
double gw_renewal_written(const struct gw_renewal_outlook *outlook,
                          const struct gw_renewal_page *page);
double gw_renewal_touched(const struct gw_renewal_outlook *outlook,
                          const struct gw_renewal_page *page);

#endif
