/* SPDX-License-Identifier: MIT */
/*
 * bubble: adaptive pre-paging (Hines and Gopalan 2009). Around every pivot a bubble of sent pages
 * grows outwards; bubbles are served in turn, one step k (pivot-k, pivot+k) each.
 *
 *     left      #####.....####..#######      an edge that meets a sent page, or another bubble,
 *     bubbles       [ p ]    [p]             ends; a bubble with no edge left goes
 *
 * When no bubble is left the rest is pushed linearly from the last pivot on.
 */
#include <errno.h>
#include <string.h>

#include "core/order/kinds.h"
#include "core/setting.h"

#define PIVOTS_MAX 64

enum { BOTH, FORWARD };

struct bubble {
	uint64_t low, high; /* both sent */
	uint32_t used;      /* stamp of the last fault that belonged to it */
	bool back, forward; /* the edge still moves */
};

struct bubbles {
	struct bubble all[PIVOTS_MAX];
	uint64_t cursor;
	uint64_t pivots; /* setting */
	uint32_t stamp;
	unsigned count;
	unsigned turn;   /* whose step it is */
	unsigned halves; /* of that step that are done */
	unsigned direction;
};

_Static_assert(sizeof(struct bubbles) <= GW_ORDER_MEMORY, "fits");

static void init(struct gw_order *order)
{
	((struct bubbles *)order->memory)->pivots = 1;
}

static int set(struct gw_order *order, const char *key, const char *value)
{
	static const char *const directions[] = {
	        [BOTH] = "both", [FORWARD] = "forward", [FORWARD + 1] = NULL};
	struct bubbles *b = (struct bubbles *)order->memory;

	if (!strcmp(key, "pivots"))
		return gw_setting_number(value, 1, PIVOTS_MAX, &b->pivots);
	if (!strcmp(key, "direction"))
		return gw_setting_choice(value, directions, &b->direction);
	return -ENOENT;
}

static void start(struct gw_order *order, uint64_t now_ns)
{
	struct bubbles *b = (struct bubbles *)order->memory;

	(void)now_ns;
	b->count = b->turn = b->halves = 0;
	b->cursor = 0;
}

/* Only between calls of next(): within one, an ended bubble still marks pages handed out. */
static void drop_ended(struct bubbles *b)
{
	unsigned kept = 0, turn = b->turn;

	for (unsigned i = 0; i < b->count; i++) {
		if (b->all[i].back || b->all[i].forward) {
			b->all[kept++] = b->all[i];
			continue;
		}
		if (i < b->turn)
			turn--;
		else if (i == b->turn)
			b->halves = 0;
	}
	b->count = kept;
	b->turn = turn < kept ? turn : 0;
}

/* True if the page is inside or at the edge of a bubble, which then has it. */
static bool belongs(struct bubbles *b, uint64_t page)
{
	for (unsigned i = 0; i < b->count; i++) {
		struct bubble *a = &b->all[i];

		if (page + 1 < a->low || page > a->high + 1)
			continue;
		if (page < a->low)
			a->low = page;
		if (page > a->high)
			a->high = page;
		a->used = ++b->stamp;
		return true;
	}
	return false;
}

static void fault(struct gw_order *order, const struct gw_set *left, uint64_t page, uint64_t now_ns)
{
	struct bubbles *b = (struct bubbles *)order->memory;
	unsigned at = 0;

	(void)left;
	(void)now_ns;
	drop_ended(b);
	if (belongs(b, page))
		return;
	if (b->count < b->pivots) {
		at = b->count++;
	} else {
		for (unsigned i = 1; i < b->count; i++) {
			if (b->all[i].used < b->all[at].used)
				at = i;
		}
		if (at == b->turn)
			b->halves = 0;
	}
	b->all[at] = (struct bubble){page, page, ++b->stamp, b->direction == BOTH, true};
	b->cursor = page;
}

static bool taken(const struct bubbles *b, uint64_t page)
{
	for (unsigned i = 0; i < b->count; i++) {
		if (page >= b->all[i].low && page <= b->all[i].high)
			return true;
	}
	return false;
}

static bool grow(struct bubbles *b, const struct gw_set *left, bool forward, uint64_t *page)
{
	struct bubble *a = &b->all[b->turn];
	bool *moves = forward ? &a->forward : &a->back;
	uint64_t to = forward ? a->high + 1 : a->low - 1; /* -1 wraps: outside */

	if (!*moves)
		return false;
	if (to >= left->pages || !gw_set_has(left, to) || taken(b, to)) {
		*moves = false;
		return false;
	}
	*(forward ? &a->high : &a->low) = to;
	*page = to;
	return true;
}

static bool step(struct bubbles *b, const struct gw_set *left, uint64_t *page)
{
	/* One more than there are: the first may be in the middle of its step. */
	for (unsigned tries = 0; b->count && tries <= b->count; tries++) {
		while (b->halves < 2) {
			if (grow(b, left, b->halves++ == 1, page))
				return true;
		}
		b->halves = 0;
		b->turn = (b->turn + 1) % b->count;
	}
	return false;
}

static size_t next(struct gw_order *order, const struct gw_set *left, uint64_t now_ns,
                   struct gw_run *runs, size_t max_runs, uint64_t max_pages)
{
	struct bubbles *b = (struct bubbles *)order->memory;
	uint64_t page;
	size_t n = 0;

	(void)now_ns;
	drop_ended(b);
	/* A page that follows its run needs no new one; but the last page must have room. */
	while (n < max_runs && max_pages && step(b, left, &page)) {
		if (n && runs[n - 1].first + runs[n - 1].count == page)
			runs[n - 1].count++;
		else
			runs[n++] = (struct gw_run){page, 1};
		max_pages--;
	}
	if (n)
		return n;
	return gw_order_scan(&b->cursor, left, runs, max_runs, max_pages);
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
