/* SPDX-License-Identifier: MIT */
/* linear: QEMU's post-copy, a scan through memory that restarts at the page that faulted. */
#include <errno.h>
#include <string.h>

#include "core/order/kinds.h"
#include "core/setting.h"

enum { ON, OFF };

struct linear {
	uint64_t cursor;
	unsigned restart;
};

_Static_assert(sizeof(struct linear) <= GW_ORDER_MEMORY, "fits");

static int set(struct gw_order *order, const char *key, const char *value)
{
	static const char *const restarts[] = {[ON] = "on", [OFF] = "off", [OFF + 1] = NULL};
	struct linear *l = (struct linear *)order->memory;

	return strcmp(key, "restart") ? -ENOENT : gw_setting_choice(value, restarts, &l->restart);
}

static void start(struct gw_order *order, uint64_t now_ns)
{
	(void)now_ns;
	((struct linear *)order->memory)->cursor = 0;
}

static void fault(struct gw_order *order, const struct gw_set *left, uint64_t page, uint64_t now_ns)
{
	struct linear *l = (struct linear *)order->memory;

	(void)left;
	(void)now_ns;
	if (l->restart == ON)
		l->cursor = page;
}

static size_t next(struct gw_order *order, const struct gw_set *left, uint64_t now_ns,
                   struct gw_run *runs, size_t max_runs, uint64_t max_pages)
{
	struct linear *l = (struct linear *)order->memory;

	(void)now_ns;
	return gw_order_scan(&l->cursor, left, runs, max_runs, max_pages);
}

const struct gw_order_kind gw_order_linear = {
        .name = "linear",
        .summary = "through memory, restarting at the page that faulted (QEMU)",
        .settings = "restart=on (on|off)",
        .set = set,
        .start = start,
        .fault = fault,
        .next = next,
};
