/* SPDX-License-Identifier: MIT */
/*
 * bubble: adaptive pre-paging (core/order/bubbles.h). When no bubble is left the rest is pushed
 * linearly from the last pivot on.
 */
#include "core/order/bubbles.h"
#include "core/order/kinds.h"

struct bubble {
	struct gw_bubbles bubbles;
	uint64_t cursor;
};

_Static_assert(sizeof(struct bubble) <= GW_ORDER_MEMORY, "fits");

static void init(struct gw_order *order)
{
	((struct bubble *)order->memory)->bubbles.pivots = 1;
}

static int set(struct gw_order *order, const char *key, const char *value)
{
	return gw_bubbles_set(&((struct bubble *)order->memory)->bubbles, key, value);
}

static void start(struct gw_order *order, uint64_t now_ns)
{
	struct bubble *b = (struct bubble *)order->memory;

	(void)now_ns;
	gw_bubbles_start(&b->bubbles);
	b->cursor = 0;
}

static void fault(struct gw_order *order, const struct gw_set *left, uint64_t page, uint64_t now_ns)
{
	struct bubble *b = (struct bubble *)order->memory;

	(void)left;
	(void)now_ns;
	if (gw_bubbles_fault(&b->bubbles, page))
		b->cursor = page;
}

static size_t next(struct gw_order *order, const struct gw_set *left, uint64_t now_ns,
                   struct gw_run *runs, size_t max_runs, uint64_t max_pages)
{
	struct bubble *b = (struct bubble *)order->memory;
	size_t n = gw_bubbles_next(&b->bubbles, left, runs, max_runs, max_pages);

	(void)now_ns;
	return n ? n : gw_order_scan(&b->cursor, left, runs, max_runs, max_pages);
}

const struct gw_order_kind gw_order_bubble = {
        .name = "bubble",
        .summary = "outwards from the pages that faulted (Hines and Gopalan 2009)",
        .settings = "pivots=1 (to 64) direction=both (both|forward)",
        .init = init,
        .set = set,
        .start = start,
        .fault = fault,
        .next = next,
};
