/* SPDX-License-Identifier: MIT */
#include "core/predict/ranking.h"

#include <string.h>

#define DIGIT_BITS 8
#define DIGITS     (1u << DIGIT_BITS)

/* A float that is not negative is ordered as its bits are; here the largest comes first. */
static unsigned digit_of(const struct gw_ranked *page, unsigned shift)
{
	uint32_t bits;

	memcpy(&bits, &page->score, sizeof(bits));
	return DIGITS - 1 - (bits >> shift & (DIGITS - 1));
}

static void sort_by_digit(const struct gw_ranked *from, struct gw_ranked *to, size_t count,
                          unsigned shift)
{
	size_t place[DIGITS] = {0}, before = 0;

	for (size_t i = 0; i < count; i++)
		place[digit_of(&from[i], shift)]++;
	for (unsigned d = 0; d < DIGITS; d++) {
		size_t here = place[d];

		place[d] = before;
		before += here;
	}
	for (size_t i = 0; i < count; i++)
		to[place[digit_of(&from[i], shift)]++] = from[i];
}

void gw_rank(struct gw_ranked *pages, struct gw_ranked *spare, size_t count)
{
	for (unsigned shift = 0; shift < 32; shift += 2 * DIGIT_BITS) {
		sort_by_digit(pages, spare, count, shift);
		sort_by_digit(spare, pages, count, shift + DIGIT_BITS);
	}
}
