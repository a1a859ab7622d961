/* SPDX-License-Identifier: MIT */
#include "core/predict/history.h"

#include <string.h>

struct entry {
	uint64_t number; /* page + 1; 0: free */
	uint64_t bits;
};

struct gw_history {
	uint32_t limit, pages, buckets;
	unsigned rounds;
	struct entry entry[];
};

static uint32_t buckets_for(uint32_t pages)
{
	uint32_t buckets = 16;

	while (buckets < 2 * (uint64_t)pages && buckets < (uint32_t)1 << 31)
		buckets *= 2;
	return buckets;
}

size_t gw_history_bytes(uint32_t pages)
{
	return sizeof(struct gw_history) + buckets_for(pages) * sizeof(struct entry);
}

struct gw_history *gw_history_init(void *memory, uint32_t pages)
{
	struct gw_history *h = memory;

	memset(h, 0, gw_history_bytes(pages));
	h->limit = pages;
	h->buckets = buckets_for(pages);
	return h;
}

/* Where the page is, or would be. */
static uint32_t place_of(const struct gw_history *h, uint64_t page)
{
	uint32_t i = (uint32_t)((page * 0x9e3779b97f4a7c15u) >> 32) & (h->buckets - 1);

	while (h->entry[i].number && h->entry[i].number != page + 1)
		i = (i + 1) & (h->buckets - 1);
	return i;
}

static void mark(struct gw_history *h, uint64_t page)
{
	struct entry *e = &h->entry[place_of(h, page)];

	if (!e->number && h->pages == h->limit)
		return;
	h->pages += !e->number;
	e->number = page + 1;
	e->bits |= 1;
}

void gw_history_add(struct gw_history *h, const struct gw_set *written)
{
	uint64_t page;

	for (uint32_t i = 0; i < h->buckets; i++)
		h->entry[i].bits <<= 1;
	for (page = gw_set_next(written, 0); page < written->pages;
	     page = gw_set_next(written, page + 1))
		mark(h, page);
	if (h->rounds < GW_HISTORY_ROUNDS)
		h->rounds++;
}

unsigned gw_history_rounds(const struct gw_history *h)
{
	return h->rounds;
}

bool gw_history_next(const struct gw_history *h, uint32_t *cursor, uint64_t *page, uint64_t *bits)
{
	while (*cursor < h->buckets) {
		const struct entry *e = &h->entry[(*cursor)++];

		if (!e->number)
			continue;
		*page = e->number - 1;
		*bits = e->bits;
		return true;
	}
	return false;
}
