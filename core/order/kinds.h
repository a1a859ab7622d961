/* SPDX-License-Identifier: MIT */
/* core/order/kinds.h - the push orders, for the table, and the scan they share. */
#ifndef GW_CORE_ORDER_KINDS_H
#define GW_CORE_ORDER_KINDS_H

#include "core/order/order.h"

extern const struct gw_order_kind gw_order_demand, gw_order_linear, gw_order_bubble,
        gw_order_forecast;

/*
 * One linear scan from *cursor to the end and on from 0 to *cursor; moves the cursor behind the
 * last page handed out. As next() of an order.
 */
size_t gw_order_scan(uint64_t *cursor, const struct gw_set *left, struct gw_run *runs,
                     size_t max_runs, uint64_t max_pages);

#endif
