/* SPDX-License-Identifier: MIT */
#include "core/predict/ranking.h"

#include <string.h>

/* Three digits of a float's bits; the sign is none of them. */
#define DIGIT_BITS 11u
#define DIGITS     (1u << DIGIT_BITS)
#define PASSES     3u

/* A float that is not negative is ordered as its bits are; here the largest comes first. */
static unsigned digit_of(const struct gw_ranked *page, unsigned pass)
{
	uint32_t bits;

	memcpy(&bits, &page->score, sizeof(bits));
	return DIGITS - 1 - (bits >> pass * DIGIT_BITS & (DIGITS - 1));
}

static void count_digits(const struct gw_ranked *pages, size_t count, size_t place[PASSES][DIGITS])
{
	for (size_t i = 0; i < count; i++)
		for (unsigned pass = 0; pass < PASSES; pass++)
			place[pass][digit_of(&pages[i], pass)]++;
	for (unsigned pass = 0; pass < PASSES; pass++) {
		size_t before = 0;

		for (unsigned d = 0; d < DIGITS; d++) {
			size_t here = place[pass][d];

			place[pass][d] = before;
			before += here;
		}
	}
}

void gw_rank(struct gw_ranked *pages, struct gw_ranked *spare, size_t count)
{
	size_t place[PASSES][DIGITS] = {0};
	struct gw_ranked *from = pages, *to = spare;

	count_digits(pages, count, place);
	for (unsigned pass = 0; pass < PASSES; pass++) {
		struct gw_ranked *sorted = to;

		for (size_t i = 0; i < count; i++)
			to[place[pass][digit_of(&from[i], pass)]++] = from[i];
		to = from;
		from = sorted;
	}
	memcpy(pages, spare, count * sizeof(*pages));
}
