/* SPDX-License-Identifier: MIT */
#include "core/order/bubbles.h"

#include <errno.h>
#include <string.h>

#include "core/order/kinds.h"
#include "core/setting.h"

enum { BOTH, FORWARD };

int gw_bubbles_set(struct gw_bubbles *b, const char *key, const char *value)
{
	static const char *const directions[] = {
	        [BOTH] = "both", [FORWARD] = "forward", [FORWARD + 1] = NULL};

	if (!strcmp(key, "pivots"))
		return gw_setting_number(value, 1, GW_PIVOTS_MAX, &b->pivots);
	if (!strcmp(key, "direction"))
		return gw_setting_choice(value, directions, &b->direction);
	return -ENOENT;
}

void gw_bubbles_start(struct gw_bubbles *b)
{
	b->count = b->turn = b->halves = 0;
}

/* Only between calls of next(): within one, an ended bubble still marks pages handed out. */
static void drop_ended(struct gw_bubbles *b)
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
static bool belongs(struct gw_bubbles *b, uint64_t page)
{
	for (unsigned i = 0; i < b->count; i++) {
		struct gw_bubble *a = &b->all[i];

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

bool gw_bubbles_fault(struct gw_bubbles *b, uint64_t page)
{
	unsigned at = 0;

	drop_ended(b);
	if (belongs(b, page))
		return false;
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
	b->all[at] = (struct gw_bubble){page, page, ++b->stamp, b->direction == BOTH, true};
	return true;
}

static bool taken(const struct gw_bubbles *b, uint64_t page)
{
	for (unsigned i = 0; i < b->count; i++) {
		if (page >= b->all[i].low && page <= b->all[i].high)
			return true;
	}
	return false;
}

static bool grow(struct gw_bubbles *b, const struct gw_set *left, bool forward, uint64_t *page)
{
	struct gw_bubble *a = &b->all[b->turn];
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

static bool step(struct gw_bubbles *b, const struct gw_set *left, uint64_t *page)
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

size_t gw_bubbles_next(struct gw_bubbles *b, const struct gw_set *left, struct gw_run *runs,
                       size_t max_runs, uint64_t max_pages)
{
	uint64_t page;
	size_t n = 0;

	drop_ended(b);
	/* A page that follows its run needs no new one; but the last page must have room. */
	while (n < max_runs && max_pages && step(b, left, &page)) {
		gw_order_append(runs, &n, page);
		max_pages--;
	}
	return n;
}
