/* SPDX-License-Identifier: MIT */
#include "core/policy/known_pages.h"

#define PAGES_MAX ((uint64_t)1 << 20)

static uint32_t pages_for(uint64_t ram_pages)
{
	return (uint32_t)(ram_pages < PAGES_MAX ? ram_pages : PAGES_MAX);
}

size_t gw_known_pages_bytes(uint64_t ram_pages)
{
	uint32_t pages = pages_for(ram_pages);

	return gw_renewal_bytes(pages) + 2 * (size_t)pages * sizeof(struct gw_ranked);
}

void *gw_known_pages_start(struct gw_known_pages *known, void *memory, uint64_t ram_pages,
                           const struct gw_observation *observation)
{
	uint32_t pages = pages_for(ram_pages);

	known->renewal = gw_renewal_init(memory, pages);
	known->ranked = (struct gw_ranked *)(void *)((char *)memory + gw_renewal_bytes(pages));
	known->spare = known->ranked + pages;
	known->ram_pages = ram_pages;
	gw_renewal_observe(known->renewal, observation);
	return known->spare + pages;
}

struct gw_ranking gw_known_pages_rank(struct gw_known_pages *known, uint64_t ns,
                                      const struct gw_set *of)
{
	struct gw_renewal_outlook soon;
	struct gw_renewal_page page;
	uint64_t cursor = 0;
	size_t count = 0;

	gw_renewal_look_ahead(known->renewal, ns, &soon);
	while (gw_renewal_next(known->renewal, &cursor, &page)) {
		double touched = gw_renewal_touched(&soon, &page);

		if (touched > 0 && page.page < known->ram_pages &&
		    (!of || gw_set_has(of, page.page)))
			known->ranked[count++] =
			        (struct gw_ranked){(uint32_t)page.page, (float)touched};
	}
	gw_rank(known->ranked, known->spare, count);
	return (struct gw_ranking){known->ranked, count};
}
