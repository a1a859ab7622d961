/* SPDX-License-Identifier: MIT */
/*
 * core/order/order.h - in which order the missing pages are pushed after the switch.
 *
 * Demand faults always go first, over a connection of their own; an order says what the bulk
 * connection pushes meanwhile. It is given the set of pages that are still to be sent, never hands
 * out a page that is not in it, and hands out every page in the end. The migration takes the
 * pages it was handed, and those that faulted, out of the set.
 *
 * Adding an order: one file, one row in order.c's table, one trace test.
 */
#ifndef GW_CORE_ORDER_ORDER_H
#define GW_CORE_ORDER_ORDER_H

#include "core/page/set.h"
#include "core/predict/ranking.h"

#define GW_ORDER_MEMORY 2048

struct gw_order {
	const struct gw_order_kind *kind;
	struct gw_ranking likely; /* what the policy forecasts, before start(); it may be empty */
	_Alignas(16) unsigned char memory[GW_ORDER_MEMORY];
};

struct gw_order_kind {
	const char *name;
	const char *summary;
	const char *settings;
	void (*init)(struct gw_order *order); /* NULL: all zeros is right */
	/* 0, -ENOENT for an unknown key, -EINVAL for a bad value. */
	int (*set)(struct gw_order *order, const char *key, const char *value);
	/* The switch happened: from now on pages are missing at the destination. */
	void (*start)(struct gw_order *order, uint64_t now_ns);
	/* The destination waits for `page` (which may no longer be in the set). */
	void (*fault)(struct gw_order *order, const struct gw_set *left, uint64_t page,
		      uint64_t now_ns);
	/*
	 * Fills at most max_runs runs holding at most max_pages pages in all, in push order;
	 * returns the number of runs; 0 if nothing is to be pushed now. Runs do not overlap.
	 */
	size_t (*next)(struct gw_order *order, const struct gw_set *left, uint64_t now_ns,
		       struct gw_run *runs, size_t max_runs, uint64_t max_pages);
	/* NULL: next() waits for nothing but a fault. */
	uint64_t (*deadline)(const struct gw_order *order);
};

extern const struct gw_order_kind *const gw_orders[];

int gw_order_init(struct gw_order *order, const char *name);
int gw_order_set(struct gw_order *order, const char *key, const char *value);
/* When to ask again after next() gave 0 with pages left; UINT64_MAX: at the next fault. */
uint64_t gw_order_deadline(const struct gw_order *order);

#endif
