/* SPDX-License-Identifier: MIT */
/*
 * core/order/bubbles.h - adaptive pre-paging (Hines and Gopalan 2009), for the orders that do it.
 *
 * Around every pivot a bubble of sent pages grows outwards; bubbles are served in turn, one step k
 * (pivot-k, pivot+k) each.
 *
 *     left      #####.....####..#######      an edge that meets a sent page, or another bubble,
 *     bubbles       [ p ]    [p]             ends; a bubble with no edge left goes
 */
#ifndef GW_CORE_ORDER_BUBBLES_H
#define GW_CORE_ORDER_BUBBLES_H

#include "core/order/order.h"

#define GW_PIVOTS_MAX 64

struct gw_bubble {
	uint64_t low, high; /* both sent */
	uint32_t used;      /* stamp of the last fault that belonged to it */
	bool back, forward; /* the edge still moves */
};

struct gw_bubbles {
	struct gw_bubble all[GW_PIVOTS_MAX];
	uint64_t pivots; /* setting: how many at a time, 1 to GW_PIVOTS_MAX */
	uint32_t stamp;
	unsigned count;
	unsigned turn;      /* whose step it is */
	unsigned halves;    /* of that step that are done */
	unsigned direction; /* setting */
};

/* `pivots` and `direction`: 0, -ENOENT for another key, -EINVAL for a bad value. */
int gw_bubbles_set(struct gw_bubbles *bubbles, const char *key, const char *value);
void gw_bubbles_start(struct gw_bubbles *bubbles);
/* True if the page is a new pivot: it was neither inside nor at the edge of a bubble. */
bool gw_bubbles_fault(struct gw_bubbles *bubbles, uint64_t page);
/* As next() of an order; 0 when no bubble grows. */
size_t gw_bubbles_next(struct gw_bubbles *bubbles, const struct gw_set *left, struct gw_run *runs,
                       size_t max_runs, uint64_t max_pages);

#endif
