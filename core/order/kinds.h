/* SPDX-License-Identifier: MIT */
/* core/order/kinds.h - the push orders, for the table, and the parts they share. */
#ifndef GW_CORE_ORDER_KINDS_H
#define GW_CORE_ORDER_KINDS_H

#include "core/order/order.h"

extern const struct gw_order_kind gw_order_demand, gw_order_linear, gw_order_bubble,
        gw_order_forecast, gw_order_queue;

/*
 * One linear scan from *cursor to the end and on from 0 to *cursor; moves the cursor behind the
 * last page handed out. As next() of an order.
 */
size_t gw_order_scan(uint64_t *cursor, const struct gw_set *left, struct gw_run *runs,
                     size_t max_runs, uint64_t max_pages);

/* The pages of a ranking from the *rank-th on, likewise. */
size_t gw_order_ranked(size_t *rank, const struct gw_ranking *likely, const struct gw_set *left,
                       struct gw_run *runs, size_t max_runs, uint64_t max_pages);

/* Appends a page to *count runs, which have room for one more. */
void gw_order_append(struct gw_run *runs, size_t *count, uint64_t page);

#endif
