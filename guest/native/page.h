/* SPDX-License-Identifier: MIT */
/*
 * guest/native/page.h - the contents of a page, as a function of (page, stamp).
 *
 *     word[i] = pattern[i] ^ mix(page << 32 | stamp)        for the first `words` words; then zeros
 *
 * The pattern is random, so the page does not compress. mix() is a bijection, so any page tells
 * whose it is and how old, by its first word alone: a stale, foreign or zeroed page is named.
 * A stamp is a page's version, shifted, with a low bit that says "all zeros".
 */
#ifndef GW_GUEST_NATIVE_PAGE_H
#define GW_GUEST_NATIVE_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_PAGE_WORDS 512u

#define GW_STAMP_ZERO      1u
#define GW_STAMP_UNTOUCHED GW_STAMP_ZERO /* version 0: never written */

struct gw_contents {
	size_t words; /* that are not zero; a multiple of 8 */
	uint64_t pattern[GW_PAGE_WORDS];
};

/* The step and the finisher of splitmix64. */
uint64_t gw_mix(uint64_t x);
uint64_t gw_random(uint64_t *state);

void gw_contents_init(struct gw_contents *contents, uint64_t seed, uint64_t fill_percent);
/* The stamp of the page's next version. */
static inline uint32_t gw_stamp_next(uint32_t stamp, bool zero)
{
	return ((stamp >> 1) + 1) << 1 | (zero ? GW_STAMP_ZERO : 0);
}
void gw_contents_write(const struct gw_contents *contents, uint64_t page, uint32_t stamp,
                       uint64_t *words);
bool gw_contents_equal(const struct gw_contents *contents, uint64_t page, uint32_t stamp,
                       const uint64_t *words);
/* Says what stands there instead, in one sentence. Reads the page again. */
void gw_contents_explain(const struct gw_contents *contents, uint64_t page, uint32_t stamp,
                         const uint64_t *words, char *text, size_t size);

#endif
