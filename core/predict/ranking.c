/* SPDX-License-Identifier: MIT */
#include "core/predict/ranking.h"

#include <string.h>

#define DIGIT_BITS 11u
#define DIGITS     (1u << DIGIT_BITS)

/* What is sorted by: by how much the bits of a score lie below those of the largest. */
struct key {
	uint32_t most;
	unsigned shift; /* bits that say nothing, of 2 * DIGIT_BITS + shift */
};

/* A float that is not negative is ordered as its bits are. */
static uint32_t bits_of(const struct gw_ranked *page)
{
	uint32_t bits;

	memcpy(&bits, &page->score, sizeof(bits));
	return bits;
}

static struct key key_for(const struct gw_ranked *pages, size_t count)
{
	uint32_t least = UINT32_MAX;
	struct key key = {0};

	for (size_t i = 0; i < count; i++) {
		uint32_t bits = bits_of(&pages[i]);

		key.most = bits > key.most ? bits : key.most;
		least = bits < least ? bits : least;
	}
	while (count && (key.most - least) >> (2 * DIGIT_BITS + key.shift))
		key.shift++;
	return key;
}

static unsigned low_digit(const struct key *key, const struct gw_ranked *page)
{
	return (key->most - bits_of(page)) >> key->shift & (DIGITS - 1);
}

static unsigned high_digit(const struct key *key, const struct gw_ranked *page)
{
	return (key->most - bits_of(page)) >> (key->shift + DIGIT_BITS) & (DIGITS - 1);
}

static void add_up(size_t place[DIGITS])
{
	size_t before = 0;

	for (unsigned digit = 0; digit < DIGITS; digit++) {
		size_t here = place[digit];

		place[digit] = before;
		before += here;
	}
}

void gw_rank(struct gw_ranked *pages, struct gw_ranked *spare, size_t count)
{
	size_t low[DIGITS] = {0}, high[DIGITS] = {0};
	const struct key key = key_for(pages, count);

	for (size_t i = 0; i < count; i++) {
		low[low_digit(&key, &pages[i])]++;
		high[high_digit(&key, &pages[i])]++;
	}
	add_up(low);
	add_up(high);
	for (size_t i = 0; i < count; i++)
		spare[low[low_digit(&key, &pages[i])]++] = pages[i];
	for (size_t i = 0; i < count; i++)
		pages[high[high_digit(&key, &spare[i])]++] = spare[i];
}
