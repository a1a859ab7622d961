/* SPDX-License-Identifier: MIT */
#include "guest/native/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint64_t gw_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static uint64_t unmix(uint64_t x)
{
	x = (x ^ (x >> 31) ^ (x >> 62)) * UINT64_C(0x319642b2d24d8ec3);
	x = (x ^ (x >> 27) ^ (x >> 54)) * UINT64_C(0x96de1b173f119089);
	return x ^ (x >> 30) ^ (x >> 60);
}

uint64_t gw_random(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return gw_mix(*state);
}

void gw_contents_init(struct gw_contents *contents, uint64_t seed, uint64_t fill_percent)
{
	uint64_t state = gw_mix(seed ^ UINT64_C(0x676f64776974));

	for (size_t i = 0; i < GW_PAGE_WORDS; i++)
		contents->pattern[i] = gw_random(&state);
	contents->words = (GW_PAGE_WORDS * fill_percent / 100 + 7) / 8 * 8;
}

static uint64_t key_of(uint64_t page, uint32_t stamp)
{
	return gw_mix(page << 32 | stamp);
}

/* Words that the stamp wants, and the key they are made with. */
static size_t wanted(const struct gw_contents *contents, uint32_t stamp)
{
	return stamp & GW_STAMP_ZERO ? 0 : contents->words;
}

void gw_contents_write(const struct gw_contents *contents, uint64_t page, uint32_t stamp,
                       uint64_t *words)
{
	const uint64_t key = key_of(page, stamp);
	const size_t count = wanted(contents, stamp);

	for (size_t i = 0; i < count; i += 8)
		for (size_t j = 0; j < 8; j++)
			words[i + j] = contents->pattern[i + j] ^ key;
	memset(words + count, 0, (GW_PAGE_WORDS - count) * sizeof(*words));
}

bool gw_contents_equal(const struct gw_contents *contents, uint64_t page, uint32_t stamp,
                       const uint64_t *words)
{
	const uint64_t key = key_of(page, stamp);
	const size_t count = wanted(contents, stamp);
	uint64_t different[8] = {0};

	for (size_t i = 0; i < count; i += 8)
		for (size_t j = 0; j < 8; j++)
			different[j] |= words[i + j] ^ contents->pattern[i + j] ^ key;
	for (size_t i = count; i < GW_PAGE_WORDS; i += 8)
		for (size_t j = 0; j < 8; j++)
			different[j] |= words[i + j];
	for (size_t j = 1; j < 8; j++)
		different[0] |= different[j];
	return !different[0];
}

static void name_stamp(uint32_t stamp, char text[48])
{
	if (stamp == GW_STAMP_UNTOUCHED)
		(void)snprintf(text, 48, "zeros, never written");
	else
		(void)snprintf(text, 48, "version %" PRIu32 "%s", stamp >> 1,
		               stamp & GW_STAMP_ZERO ? " (zeros)" : "");
}

void gw_contents_explain(const struct gw_contents *contents, uint64_t page, uint32_t stamp,
                         const uint64_t *words, char *text, size_t size)
{
	const uint64_t seen = unmix(words[0] ^ contents->pattern[0]);
	const uint32_t seen_stamp = (uint32_t)seen;
	const uint64_t seen_page = seen >> 32;
	char expected[48];

	name_stamp(stamp, expected);
	if (gw_contents_equal(contents, 0, GW_STAMP_ZERO, words))
		(void)snprintf(text, size, "page %" PRIu64 ": expected %s, saw all zeros", page,
		               expected);
	else if (seen_stamp & GW_STAMP_ZERO ||
	         !gw_contents_equal(contents, seen_page, seen_stamp, words))
		(void)snprintf(text, size,
		               "page %" PRIu64 ": expected %s, saw a mixture or foreign bytes "
		               "(first word %016" PRIx64 ")",
		               page, expected, words[0]);
	else if (seen_page != page)
		(void)snprintf(text, size,
		               "page %" PRIu64 ": expected %s, saw page %" PRIu64
		               " in version %" PRIu32,
		               page, expected, seen_page, seen_stamp >> 1);
	else
		(void)snprintf(text, size, "page %" PRIu64 ": expected %s, saw version %" PRIu32,
		               page, expected, seen_stamp >> 1);
}
