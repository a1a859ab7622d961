/* SPDX-License-Identifier: MIT */
/*
 * core/page/set.c - sets of pages: whole chunks by their counts, mixed ones a word at a time.
 */
#include "core/page/set.h"

#include <string.h>

#define WORD_BITS   64u
#define ALL_ONES    (~UINT64_C(0))
#define CHUNK_WORDS (GW_CHUNK_PAGES / WORD_BITS)

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

/* A chunk of a set; none, all or some of its pages are members. */
struct chunk {
	uint64_t *words; /* of the bitmap; good only if the chunk is mixed */
	size_t size;     /* in words */
	uint64_t pages;
	uint64_t *count;
};

static inline uint64_t *sum_of(const struct gw_set *set)
{
	return set->words + gw_set_words(set->pages) - 1;
}

static inline size_t chunks_of(const struct gw_set *set)
{
	return (size_t)((set->pages + GW_CHUNK_PAGES - 1) / GW_CHUNK_PAGES);
}

static inline uint64_t *counts_of(const struct gw_set *set)
{
	return set->words + (set->pages + WORD_BITS - 1) / WORD_BITS;
}

static inline uint64_t pages_in(const struct gw_set *set, size_t i)
{
	uint64_t left = set->pages - i * (uint64_t)GW_CHUNK_PAGES;

	return left < GW_CHUNK_PAGES ? left : GW_CHUNK_PAGES;
}

static inline struct chunk chunk_of(const struct gw_set *set, size_t i)
{
	uint64_t pages = pages_in(set, i);

	return (struct chunk){
	        .words = set->words + i * CHUNK_WORDS,
	        .size = (size_t)((pages + WORD_BITS - 1) / WORD_BITS),
	        .pages = pages,
	        .count = counts_of(set) + i,
	};
}

static inline bool none(struct chunk chunk)
{
	return *chunk.count == 0;
}

static inline bool all(struct chunk chunk)
{
	return *chunk.count == chunk.pages;
}

/* The chunk is about to be written in: makes its words good. */
static inline void open_chunk(struct chunk chunk)
{
	if (none(chunk)) {
		memset(chunk.words, 0, chunk.size * sizeof *chunk.words);
	} else if (all(chunk)) {
		memset(chunk.words, 0xff, chunk.size * sizeof *chunk.words);
		chunk.words[chunk.size - 1] = mask_through(chunk.pages - 1);
	}
}

static void add_up(struct gw_set *set)
{
	uint64_t sum = 0;

	for (size_t i = 0, n = chunks_of(set); i < n; i++)
		sum += counts_of(set)[i];
	*sum_of(set) = sum;
}

static void copy_chunk(struct chunk to, struct chunk from)
{
	*to.count = *from.count;
	if (!none(from) && !all(from))
		memmove(to.words, from.words, to.size * sizeof *to.words);
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

/* The last page of the chunk that `page` is in, but no later than `last`. */
static inline uint64_t end_in_chunk(uint64_t page, uint64_t last)
{
	uint64_t end = page | (GW_CHUNK_PAGES - 1);

	return end < last ? end : last;
}

void gw_set_init(struct gw_set *set, uint64_t *words, uint64_t pages)
{
	set->words = words;
	set->pages = pages;
	gw_set_clear(set);
}

void gw_set_clear(struct gw_set *set)
{
	for (size_t i = 0, n = chunks_of(set); i < n; i++)
		counts_of(set)[i] = 0;
	*sum_of(set) = 0;
}

void gw_set_fill(struct gw_set *set)
{
	for (size_t i = 0, n = chunks_of(set); i < n; i++)
		counts_of(set)[i] = pages_in(set, i);
	*sum_of(set) = set->pages;
}

void gw_set_copy(struct gw_set *to, const struct gw_set *from)
{
	for (size_t i = 0, n = chunks_of(to); i < n; i++)
		copy_chunk(chunk_of(to, i), chunk_of(from, i));
	*sum_of(to) = *sum_of(from);
}

void gw_set_union(struct gw_set *into, const struct gw_set *other)
{
	for (size_t i = 0, n = chunks_of(into); i < n; i++) {
		struct chunk a = chunk_of(into, i), b = chunk_of(other, i);

		if (none(b) || all(a))
			continue;
		if (none(a) || all(b)) {
			copy_chunk(a, b);
			continue;
		}
		uint64_t count = 0;
		for (size_t k = 0; k < a.size; k++)
			count += count_bits(a.words[k] |= b.words[k]);
		*a.count = count;
	}
	add_up(into);
}

void gw_set_subtract(struct gw_set *from, const struct gw_set *other)
{
	for (size_t i = 0, n = chunks_of(from); i < n; i++) {
		struct chunk a = chunk_of(from, i), b = chunk_of(other, i);

		if (none(b) || none(a))
			continue;
		if (all(b)) {
			*a.count = 0;
			continue;
		}
		open_chunk(a);
		uint64_t count = 0;
		for (size_t k = 0; k < a.size; k++)
			count += count_bits(a.words[k] &= ~b.words[k]);
		*a.count = count;
	}
	add_up(from);
}

void gw_set_intersect(struct gw_set *into, const struct gw_set *other)
{
	for (size_t i = 0, n = chunks_of(into); i < n; i++) {
		struct chunk a = chunk_of(into, i), b = chunk_of(other, i);

		if (all(b) || none(a))
			continue;
		if (none(b) || all(a)) {
			copy_chunk(a, b);
			continue;
		}
		uint64_t count = 0;
		for (size_t k = 0; k < a.size; k++)
			count += count_bits(a.words[k] &= b.words[k]);
		*a.count = count;
	}
	add_up(into);
}

static void invert_chunk(struct chunk chunk)
{
	if (!none(chunk) && !all(chunk)) {
		for (size_t k = 0; k < chunk.size; k++)
			chunk.words[k] = ~chunk.words[k];
		chunk.words[chunk.size - 1] &= mask_through(chunk.pages - 1);
	}
	*chunk.count = chunk.pages - *chunk.count;
}

void gw_set_differ(struct gw_set *into, const struct gw_set *other)
{
	for (size_t i = 0, n = chunks_of(into); i < n; i++) {
		struct chunk a = chunk_of(into, i), b = chunk_of(other, i);

		if (none(b))
			continue;
		if (none(a)) {
			copy_chunk(a, b);
			continue;
		}
		if (all(b)) {
			invert_chunk(a);
			continue;
		}
		open_chunk(a);
		uint64_t count = 0;
		for (size_t k = 0; k < a.size; k++)
			count += count_bits(a.words[k] ^= b.words[k]);
		*a.count = count;
	}
	add_up(into);
}

void gw_set_invert(struct gw_set *set)
{
	for (size_t i = 0, n = chunks_of(set); i < n; i++)
		invert_chunk(chunk_of(set, i));
	*sum_of(set) = set->pages - *sum_of(set);
}

bool gw_set_equal(const struct gw_set *a, const struct gw_set *b)
{
	if (a->pages != b->pages || *sum_of(a) != *sum_of(b))
		return false;
	for (size_t i = 0, n = chunks_of(a); i < n; i++) {
		struct chunk x = chunk_of(a, i), y = chunk_of(b, i);

		if (*x.count != *y.count)
			return false;
		if (!none(x) && !all(x) && memcmp(x.words, y.words, x.size * sizeof *x.words))
			return false;
	}
	return true;
}

void gw_set_add(struct gw_set *set, uint64_t page)
{
	if (page >= set->pages)
		return;
	struct chunk chunk = chunk_of(set, page / GW_CHUNK_PAGES);
	if (all(chunk))
		return;
	if (none(chunk))
		open_chunk(chunk);
	bool added = !(set->words[word_of(page)] & bit_of(page));
	*chunk.count += added;
	*sum_of(set) += added;
	set->words[word_of(page)] |= bit_of(page);
}

void gw_set_remove(struct gw_set *set, uint64_t page)
{
	if (page >= set->pages)
		return;
	struct chunk chunk = chunk_of(set, page / GW_CHUNK_PAGES);
	if (none(chunk))
		return;
	if (all(chunk))
		open_chunk(chunk);
	bool removed = set->words[word_of(page)] & bit_of(page);
	*chunk.count -= removed;
	*sum_of(set) -= removed;
	set->words[word_of(page)] &= ~bit_of(page);
}

/* Sets the bits that are in the mask; how many of them were not set. */
static inline uint64_t set_bits(uint64_t *word, uint64_t mask)
{
	uint64_t added = count_bits(mask & ~*word);

	*word |= mask;
	return added;
}

static inline uint64_t clear_bits(uint64_t *word, uint64_t mask)
{
	uint64_t removed = count_bits(mask & *word);

	*word &= ~mask;
	return removed;
}

/* Of pages first..last of one mixed chunk; how many were not members. */
static uint64_t add_in_chunk(uint64_t *words, uint64_t first, uint64_t last)
{
	size_t i = word_of(first), end = word_of(last);

	if (i == end)
		return set_bits(&words[i], mask_from(first) & MASK_RUN_END(last));
	uint64_t added = set_bits(&words[i], mask_from(first));
	while (++i < end)
		added += set_bits(&words[i], ALL_ONES);
	return added + set_bits(&words[end], MASK_RUN_END(last));
}

static uint64_t remove_in_chunk(uint64_t *words, uint64_t first, uint64_t last)
{
	size_t i = word_of(first), end = word_of(last);

	if (i == end)
		return clear_bits(&words[i], mask_from(first) & mask_through(last));
	uint64_t removed = clear_bits(&words[i], mask_from(first));
	while (++i < end)
		removed += clear_bits(&words[i], ALL_ONES);
	return removed + clear_bits(&words[end], mask_through(last));
}

static uint64_t count_in_chunk(const uint64_t *words, uint64_t first, uint64_t last)
{
	size_t i = word_of(first), end = word_of(last);

	if (i == end)
		return count_bits(words[i] & mask_from(first) & mask_through(last));
	uint64_t count = count_bits(words[i] & mask_from(first));
	while (++i < end)
		count += count_bits(words[i]);
	return count + count_bits(words[end] & mask_through(last));
}

/* Of pages first..last, all of one chunk; how many were not members. */
static uint64_t add_part(struct gw_set *set, uint64_t first, uint64_t last)
{
	struct chunk chunk = chunk_of(set, first / GW_CHUNK_PAGES);
	uint64_t added;

	if (all(chunk))
		return 0;
	if (last - first + 1 == chunk.pages) {
		added = chunk.pages - *chunk.count;
	} else {
		if (none(chunk))
			open_chunk(chunk);
		added = add_in_chunk(set->words, first, last);
	}
	*chunk.count += added;
	return added;
}

static uint64_t remove_part(struct gw_set *set, uint64_t first, uint64_t last)
{
	struct chunk chunk = chunk_of(set, first / GW_CHUNK_PAGES);
	uint64_t removed;

	if (none(chunk))
		return 0;
	if (last - first + 1 == chunk.pages) {
		removed = *chunk.count;
	} else {
		if (all(chunk))
			open_chunk(chunk);
		removed = remove_in_chunk(set->words, first, last);
	}
	*chunk.count -= removed;
	return removed;
}

void gw_set_add_run(struct gw_set *set, struct gw_run run)
{
	uint64_t first, last, end, added = 0;

	if (!clip(set, run, &first, &last))
		return;
	do {
		end = end_in_chunk(first, last);
		added += add_part(set, first, end);
		first = end + 1;
	} while (end < last);
	*sum_of(set) += added;
}

void gw_set_remove_run(struct gw_set *set, struct gw_run run)
{
	uint64_t first, last, end, removed = 0;

	if (!clip(set, run, &first, &last))
		return;
	do {
		end = end_in_chunk(first, last);
		removed += remove_part(set, first, end);
		first = end + 1;
	} while (end < last);
	*sum_of(set) -= removed;
}

bool gw_set_has(const struct gw_set *set, uint64_t page)
{
	if (page >= set->pages)
		return false;
	struct chunk chunk = chunk_of(set, page / GW_CHUNK_PAGES);
	return !none(chunk) && (all(chunk) || (set->words[word_of(page)] & bit_of(page)));
}

bool gw_set_empty(const struct gw_set *set)
{
	return gw_set_count(set) == 0;
}

uint64_t gw_set_count(const struct gw_set *set)
{
	return *sum_of(set);
}

uint64_t gw_set_count_run(const struct gw_set *set, struct gw_run run)
{
	uint64_t first, last, end, count = 0;

	if (!clip(set, run, &first, &last))
		return 0;
	do {
		struct chunk chunk = chunk_of(set, first / GW_CHUNK_PAGES);

		end = end_in_chunk(first, last);
		if (all(chunk))
			count += end - first + 1;
		else if (!none(chunk))
			count += count_in_chunk(set->words, first, end);
		first = end + 1;
	} while (end < last);
	return count;
}

uint64_t gw_set_count_common(const struct gw_set *a, const struct gw_set *b)
{
	uint64_t count = 0;

	for (size_t i = 0, n = chunks_of(a); i < n; i++) {
		struct chunk x = chunk_of(a, i), y = chunk_of(b, i);

		if (none(x) || all(y))
			count += *x.count;
		else if (none(y) || all(x))
			count += *y.count;
		else
			for (size_t k = 0; k < x.size; k++)
				count += count_bits(x.words[k] & y.words[k]);
	}
	return count;
}

/* In one mixed chunk: the first page of from..end-1 that is sought, or end; as find. */
static uint64_t find_in_chunk(const uint64_t *words, uint64_t from, uint64_t end, uint64_t flip)
{
	size_t i = word_of(from), last = word_of(end - 1);
	uint64_t word = (words[i] ^ flip) & mask_from(from);

	while (!word && i < last)
		word = words[++i] ^ flip;
	if (!word)
		return end;
	uint64_t page = i * (uint64_t)WORD_BITS + lowest(word);
	return page < end ? page : end;
}

/*
 * The first member at or after `from`, or with a `flip` of all ones the first that is none;
 * `limit`, at most the universe, if there is none before it.
 */
static uint64_t find(const struct gw_set *set, uint64_t from, uint64_t limit, uint64_t flip)
{
	for (uint64_t end; from < limit; from = end) {
		struct chunk chunk = chunk_of(set, from / GW_CHUNK_PAGES);

		end = end_in_chunk(from, limit - 1) + 1;
		if (flip ? all(chunk) : none(chunk))
			continue;
		if (flip ? none(chunk) : all(chunk))
			return from;
		uint64_t page = find_in_chunk(set->words, from, end, flip);
		if (page < end)
			return page;
	}
	return limit;
}

static inline uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t gw_set_next(const struct gw_set *set, uint64_t from)
{
	return find(set, from, set->pages, 0);
}

uint64_t gw_set_next_gap(const struct gw_set *set, uint64_t from)
{
	return find(set, from, set->pages, ALL_ONES);
}

uint64_t gw_set_next_before(const struct gw_set *set, uint64_t from, uint64_t limit)
{
	return find(set, from, least(limit, set->pages), 0);
}

uint64_t gw_set_next_gap_before(const struct gw_set *set, uint64_t from, uint64_t limit)
{
	return find(set, from, least(limit, set->pages), ALL_ONES);
}

/* In one mixed chunk: the last member of first..from; UINT64_MAX if there is none. */
static uint64_t previous_in_chunk(const uint64_t *words, uint64_t first, uint64_t from)
{
	size_t i = word_of(from), last = word_of(first);
	uint64_t word = words[i] & mask_through(from);

	while (!word && i > last)
		word = words[--i];
	if (!word)
		return UINT64_MAX;
	return i * (uint64_t)WORD_BITS + (WORD_BITS - 1 - (uint64_t)__builtin_clzll(word));
}

uint64_t gw_set_previous(const struct gw_set *set, uint64_t from)
{
	if (!set->pages)
		return UINT64_MAX;
	if (from >= set->pages)
		from = set->pages - 1;
	for (;;) {
		struct chunk chunk = chunk_of(set, from / GW_CHUNK_PAGES);
		uint64_t first = from & ~(uint64_t)(GW_CHUNK_PAGES - 1), page = UINT64_MAX;

		if (all(chunk))
			return from;
		if (!none(chunk))
			page = previous_in_chunk(set->words, first, from);
		if (page != UINT64_MAX || !first)
			return page;
		from = first - 1;
	}
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
