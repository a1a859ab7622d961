/* SPDX-License-Identifier: MIT */
/*
 * demand: demand paging only. Nothing is pushed while the guest faults; so that the source can be
 * released at all, the rest is pushed once no fault came for `idle`, or after `limit`.
 */
#include <errno.h>
#include <string.h>

#include "core/order/kinds.h"
#include "core/setting.h"

struct demand {
	uint64_t idle_ns;
	uint64_t limit_ns;
	uint64_t start_ns;
	uint64_t fault_ns; /* the last fault, or the start */
	uint64_t cursor;
};

_Static_assert(sizeof(struct demand) <= GW_ORDER_MEMORY, "fits");

static void init(struct gw_order *order)
{
	struct demand *d = (struct demand *)order->memory;

	d->idle_ns = 1000000000u;
	d->limit_ns = 30000000000u;
}

static int set(struct gw_order *order, const char *key, const char *value)
{
	struct demand *d = (struct demand *)order->memory;

	if (!strcmp(key, "idle"))
		return gw_setting_duration(value, &d->idle_ns);
	if (!strcmp(key, "limit"))
		return gw_setting_duration(value, &d->limit_ns);
	return -ENOENT;
}

static void start(struct gw_order *order, uint64_t now_ns)
{
	struct demand *d = (struct demand *)order->memory;

	d->start_ns = d->fault_ns = now_ns;
	d->cursor = 0;
}

static void fault(struct gw_order *order, const struct gw_set *left, uint64_t page, uint64_t now_ns)
{
	(void)left;
	(void)page;
	((struct demand *)order->memory)->fault_ns = now_ns;
}

static uint64_t later(uint64_t from, uint64_t by)
{
	return from > UINT64_MAX - by ? UINT64_MAX : from + by;
}

static uint64_t deadline(const struct gw_order *order)
{
	const struct demand *d = (const struct demand *)order->memory;
	uint64_t idle = later(d->fault_ns, d->idle_ns), limit = later(d->start_ns, d->limit_ns);

	return idle < limit ? idle : limit;
}

static size_t next(struct gw_order *order, const struct gw_set *left, uint64_t now_ns,
                   struct gw_run *runs, size_t max_runs, uint64_t max_pages)
{
	struct demand *d = (struct demand *)order->memory;

	if (now_ns < deadline(order))
		return 0;
	return gw_order_scan(&d->cursor, left, runs, max_runs, max_pages);
}

const struct gw_order_kind gw_order_demand = {
        .name = "demand",
        .summary = "nothing while the guest faults, the rest when it is quiet",
        .settings = "idle=1s limit=30s",
        .init = init,
        .set = set,
        .start = start,
        .fault = fault,
        .next = next,
        .deadline = deadline,
};
