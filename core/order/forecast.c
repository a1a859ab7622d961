/* SPDX-License-Identifier: MIT */
/*
 * forecast: the pages that the policy expects to be touched first (S3, section 3.2), then the rest
 * as linear has it. With a policy that forecasts nothing it is linear.
 */
#include <errno.h>

#include "core/order/kinds.h"

struct forecast {
	size_t rank; /* the next one to look at */
	uint64_t cursor;
};

_Static_assert(sizeof(struct forecast) <= GW_ORDER_MEMORY, "fits");

static int set(struct gw_order *order, const char *key, const char *value)
{
	(void)order;
	(void)key;
	(void)value;
	return -ENOENT;
}

static void start(struct gw_order *order, uint64_t now_ns)
{
	(void)now_ns;
	*(struct forecast *)order->memory = (struct forecast){0};
}

/* Where the guest is now says nothing about the ranking, only about the rest. */
static void fault(struct gw_order *order, const struct gw_set *left, uint64_t page, uint64_t now_ns)
{
	(void)left;
	(void)now_ns;
	((struct forecast *)order->memory)->cursor = page;
}

static size_t next(struct gw_order *order, const struct gw_set *left, uint64_t now_ns,
                   struct gw_run *runs, size_t max_runs, uint64_t max_pages)
{
	struct forecast *f = (struct forecast *)order->memory;
	size_t n = gw_order_ranked(&f->rank, &order->likely, left, runs, max_runs, max_pages);

	(void)now_ns;
	return n ? n : gw_order_scan(&f->cursor, left, runs, max_runs, max_pages);
}

const struct gw_order_kind gw_order_forecast = {
        .name = "forecast",
        .summary = "likeliest to be needed first, as the policy forecasts (S3)",
        .settings = "",
        .set = set,
        .start = start,
        .fault = fault,
        .next = next,
};
