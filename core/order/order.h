/* SPDX-License-Identifier: MIT */
/*
 * core/order/order.h - in which order the missing pages are pushed after the switch.
 *
 * Demand faults always go first, over a connection of their own; an order says what the bulk
 * connection pushes meanwhile. It is given the set of pages that are still to be sent, never hands
 * out a page that is not in it, and hands out every page in the end. The migration takes the
 * pages it was handed, and those that faulted, out of the set.
 *
 * An order may take the touches of a shadow, the VM's copy that runs ahead at the source (S4). It
 * is then given them as they come, and says how they fare.
 *
 * Adding an order: one file, one row in order.c's table, one trace test.
 */
#ifndef GW_CORE_ORDER_ORDER_H
#define GW_CORE_ORDER_ORDER_H

#include "core/page/set.h"
#include "core/predict/ranking.h"

#define GW_ORDER_MEMORY 2048

/* How a shadow's touches foretell where the guest waits. All zeros: nothing came of one. */
struct gw_foresight {
	uint64_t ahead_ns; /* setting: it is to be ahead by what the link carries in that time */
	uint64_t touched_pages; /* by the shadow, each once */
	uint64_t waiting_pages; /* of them, still to be sent */
	uint64_t faults;        /* since the first touch */
	uint64_t foretold;      /* of them, on pages that the shadow had touched before */
	unsigned judged, right; /* faults of the last judgement, and how many were foretold */
	bool astray;            /* its pages have no priority */
};

struct gw_order {
	const struct gw_order_kind *kind;
	struct gw_foresight foresight;
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
	/*
	 * The switch happened: from now on pages are missing at the destination. Again after a lost
	 * link: pages that had been handed out may be in the set again.
	 */
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
	/* What it remembers of single pages: caller's memory, aligned as words. NULL: nothing. */
	size_t (*bytes)(const struct gw_order *order, uint64_t ram_pages);
	void (*attach)(struct gw_order *order, void *memory, uint64_t ram_pages);
	/*
	 * The page was handed out, in the order in which the guest needs pages: it waits for this
	 * one, and then for the next. To send it once more would only keep those back. NULL: never.
	 */
	bool (*comes_next)(const struct gw_order *order, uint64_t page);
	/* A shadow touched them, in this order, before start() or after. NULL: wants no shadow. */
	void (*touched)(struct gw_order *order, const struct gw_set *left,
	                const struct gw_run *runs, size_t count);
};

extern const struct gw_order_kind *const gw_orders[];

int gw_order_init(struct gw_order *order, const char *name);
int gw_order_set(struct gw_order *order, const char *key, const char *value);
/* Once all is set and before anything else: bytes of memory, and that memory. */
size_t gw_order_bytes(const struct gw_order *order, uint64_t ram_pages);
void gw_order_attach(struct gw_order *order, void *memory, uint64_t ram_pages);
bool gw_order_wants_shadow(const struct gw_order *order);
bool gw_order_comes_next(const struct gw_order *order, uint64_t page);
/* When to ask again after next() gave 0 with pages left; UINT64_MAX: at the next fault. */
uint64_t gw_order_deadline(const struct gw_order *order);

#endif
