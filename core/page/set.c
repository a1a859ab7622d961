/* SPDX-License-Identifier: MIT */
/*
 * core/page/set.c - sets of pages as flat words; everything goes a word at a time.
 */
#include "core/page/set.h"

#include <string.h>

#define WORD_BITS 64u
#define ALL_ONES  (~UINT64_C(0))

static inline size_t word_of(uint64_t page)
{
	return (size_t)(page / WORD_BITS);
}

static inline uint64_t bit_of(uint64_t page)
{
	return UINT64_C(1) << (page % WORD_BITS);
}

/* The bits of page's word at and above page. */
static inline uint64_t mask_from(uint64_t page)
{
	return ALL_ONES << (page % WORD_BITS);
}

/* The bits of page's word up to page, page included. */
static inline uint64_t mask_through(uint64_t page)
{
	return ALL_ONES >> (WORD_BITS - 1 - page % WORD_BITS);
}

/*
 * The mask of the last word of a run that is added. The model test is built a second time with a
 * fault planted here, a run that stops short at a word boundary, and must find it.
 */
#ifdef GW_PLANT_FAULT
#define MASK_RUN_END(last) (mask_through(last) >> ((last) % WORD_BITS == WORD_BITS - 1))
#else
#define MASK_RUN_END(last) mask_through(last)
#endif

/* Not __builtin_popcountll: without a -march that has it, gcc calls into its run-time library. */
static inline uint64_t count_bits(uint64_t word)
{
	word -= (word >> 1) & UINT64_C(0x5555555555555555);
	word = (word & UINT64_C(0x3333333333333333)) + ((word >> 2) & UINT64_C(0x3333333333333333));
	word = (word + (word >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return word * UINT64_C(0x0101010101010101) >> 56;
}

static inline uint64_t lowest(uint64_t word)
{
	return (uint64_t)__builtin_ctzll(word);
}

/* The part of a run that lies in the universe, as first and last page; false if there is none. */
static bool clip(const struct gw_set *set, struct gw_run run, uint64_t *first, uint64_t *last)
{
	if (run.count == 0 || run.first >= set->pages)
		return false;
	uint64_t room = set->pages - run.first;
	*first = run.first;
	*last = run.first + (run.count < room ? run.count : room) - 1;
	return true;
}

void gw_set_init(struct gw_set *set, uint64_t *words, uint64_t pages)
{
	set->words = words;
	set->pages = pages;
	gw_set_clear(set);
}

void gw_set_clear(struct gw_set *set)
{
	if (set->pages)
		memset(set->words, 0, gw_set_words(set->pages) * sizeof *set->words);
}

void gw_set_fill(struct gw_set *set)
{
	if (!set->pages)
		return;
	memset(set->words, 0xff, gw_set_words(set->pages) * sizeof *set->words);
	set->words[word_of(set->pages - 1)] = mask_through(set->pages - 1);
}

void gw_set_copy(struct gw_set *to, const struct gw_set *from)
{
	if (to->pages)
		memmove(to->words, from->words, gw_set_words(to->pages) * sizeof *to->words);
}

void gw_set_union(struct gw_set *into, const struct gw_set *other)
{
	for (size_t i = 0, n = gw_set_words(into->pages); i < n; i++)
		into->words[i] |= other->words[i];
}

void gw_set_subtract(struct gw_set *from, const struct gw_set *other)
{
	for (size_t i = 0, n = gw_set_words(from->pages); i < n; i++)
		from->words[i] &= ~other->words[i];
}

void gw_set_intersect(struct gw_set *into, const struct gw_set *other)
{
	for (size_t i = 0, n = gw_set_words(into->pages); i < n; i++)
		into->words[i] &= other->words[i];
}

bool gw_set_equal(const struct gw_set *a, const struct gw_set *b)
{
	if (a->pages != b->pages)
		return false;
	return !a->pages || !memcmp(a->words, b->words, gw_set_words(a->pages) * sizeof *a->words);
}

void gw_set_add(struct gw_set *set, uint64_t page)
{
	if (page < set->pages)
		set->words[word_of(page)] |= bit_of(page);
}

void gw_set_remove(struct gw_set *set, uint64_t page)
{
	if (page < set->pages)
		set->words[word_of(page)] &= ~bit_of(page);
}

void gw_set_add_run(struct gw_set *set, struct gw_run run)
{
	uint64_t first, last;

	if (!clip(set, run, &first, &last))
		return;
	size_t i = word_of(first), end = word_of(last);
	if (i == end) {
		set->words[i] |= mask_from(first) & MASK_RUN_END(last);
		return;
	}
	set->words[i] |= mask_from(first);
	while (++i < end)
		set->words[i] = ALL_ONES;
	set->words[end] |= MASK_RUN_END(last);
}

void gw_set_remove_run(struct gw_set *set, struct gw_run run)
{
	uint64_t first, last;

	if (!clip(set, run, &first, &last))
		return;
	size_t i = word_of(first), end = word_of(last);
	if (i == end) {
		set->words[i] &= ~(mask_from(first) & mask_through(last));
		return;
	}
	set->words[i] &= ~mask_from(first);
	while (++i < end)
		set->words[i] = 0;
	set->words[end] &= ~mask_through(last);
}

bool gw_set_has(const struct gw_set *set, uint64_t page)
{
	return page < set->pages && (set->words[word_of(page)] & bit_of(page));
}

bool gw_set_empty(const struct gw_set *set)
{
	for (size_t i = 0, n = gw_set_words(set->pages); i < n; i++)
		if (set->words[i])
			return false;
	return true;
}

uint64_t gw_set_count(const struct gw_set *set)
{
	uint64_t count = 0;

	for (size_t i = 0, n = gw_set_words(set->pages); i < n; i++)
		count += count_bits(set->words[i]);
	return count;
}

uint64_t gw_set_count_run(const struct gw_set *set, struct gw_run run)
{
	uint64_t first, last;

	if (!clip(set, run, &first, &last))
		return 0;
	size_t i = word_of(first), end = word_of(last);
	if (i == end)
		return count_bits(set->words[i] & mask_from(first) & mask_through(last));
	uint64_t count = count_bits(set->words[i] & mask_from(first));
	while (++i < end)
		count += count_bits(set->words[i]);
	return count + count_bits(set->words[end] & mask_through(last));
}

uint64_t gw_set_count_common(const struct gw_set *a, const struct gw_set *b)
{
	uint64_t count = 0;

	for (size_t i = 0, n = gw_set_words(a->pages); i < n; i++)
		count += count_bits(a->words[i] & b->words[i]);
	return count;
}

/*
 * The first bit at or after `from` that is set once its word is xor-ed with `flip`; `limit`, at
 * most the universe, if there is none before it.
 */
static uint64_t find(const struct gw_set *set, uint64_t from, uint64_t limit, uint64_t flip)
{
	if (from >= limit)
		return limit;
	size_t i = word_of(from), end = word_of(limit - 1);
	uint64_t word = (set->words[i] ^ flip) & mask_from(from);
	while (!word && i < end)
		word = set->words[++i] ^ flip;
	if (!word)
		return limit;
	uint64_t page = i * (uint64_t)WORD_BITS + lowest(word);
	return page < limit ? page : limit;
}

uint64_t gw_set_next(const struct gw_set *set, uint64_t from)
{
	return find(set, from, set->pages, 0);
}

uint64_t gw_set_next_gap(const struct gw_set *set, uint64_t from)
{
	return find(set, from, set->pages, ALL_ONES);
}

uint64_t gw_set_previous(const struct gw_set *set, uint64_t from)
{
	if (!set->pages)
		return UINT64_MAX;
	if (from >= set->pages)
		from = set->pages - 1;
	size_t i = word_of(from);
	uint64_t word = set->words[i] & mask_through(from);
	while (!word && i)
		word = set->words[--i];
	if (!word)
		return UINT64_MAX;
	return i * (uint64_t)WORD_BITS + (WORD_BITS - 1 - (uint64_t)__builtin_clzll(word));
}

bool gw_set_next_run(const struct gw_set *set, uint64_t from, uint64_t max_pages,
                     struct gw_run *run)
{
	uint64_t first = gw_set_next(set, from);

	if (first >= set->pages || !max_pages)
		return false;
	/* Looking no further than max_pages keeps cutting up a long run linear. */
	uint64_t room = set->pages - first;
	uint64_t limit = first + (max_pages < room ? max_pages : room);
	run->first = first;
	run->count = find(set, first, limit, ALL_ONES) - first;
	return true;
}
