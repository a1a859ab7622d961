/* SPDX-License-Identifier: MIT */
/*
 * core/page/set.c - sets of pages: chunks that are one run as such, mixed ones a word at a time.
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

/*
 * What is known of a chunk: how many members it has and, if they are one run, where in the chunk
 * that begins. Without members it is 0.
 */
#define MIXED       (UINT64_C(1) << 63)
#define FIRST_SHIFT 16
#define COUNT_MASK  UINT64_C(0xffff)

struct chunk {
	uint64_t *bitmap; /* of the set; good only where the chunk is mixed */
	uint64_t first, pages;
	uint64_t *known;
};

static inline uint64_t *sum_of(const struct gw_set *set)
{
	return set->words + gw_set_words(set->pages) - 1;
}

static inline size_t chunks_of(const struct gw_set *set)
{
	return (size_t)((set->pages + GW_CHUNK_PAGES - 1) / GW_CHUNK_PAGES);
}

static inline uint64_t *known_of(const struct gw_set *set)
{
	return set->words + (set->pages + WORD_BITS - 1) / WORD_BITS;
}

static inline struct chunk chunk_of(const struct gw_set *set, size_t i)
{
	uint64_t first = i * (uint64_t)GW_CHUNK_PAGES, left = set->pages - first;

	return (struct chunk){
	        .bitmap = set->words,
	        .first = first,
	        .pages = left < GW_CHUNK_PAGES ? left : GW_CHUNK_PAGES,
	        .known = known_of(set) + i,
	};
}

static inline uint64_t *words_of(struct chunk chunk)
{
	return chunk.bitmap + word_of(chunk.first);
}

static inline size_t size_of(struct chunk chunk)
{
	return (size_t)((chunk.pages + WORD_BITS - 1) / WORD_BITS);
}

static inline uint64_t count_of(struct chunk chunk)
{
	return *chunk.known & COUNT_MASK;
}

static inline bool mixed(struct chunk chunk)
{
	return *chunk.known & MIXED;
}

static inline bool none(struct chunk chunk)
{
	return *chunk.known == 0;
}

static inline bool all(struct chunk chunk)
{
	return count_of(chunk) == chunk.pages;
}

/* The run's first page, and the one behind its last, of a chunk that has members and is not mixed.
 */
static inline uint64_t low_of(struct chunk chunk)
{
	return chunk.first + (*chunk.known >> FIRST_SHIFT);
}

static inline uint64_t high_of(struct chunk chunk)
{
	return low_of(chunk) + count_of(chunk);
}

static inline void know_run(struct chunk chunk, uint64_t low, uint64_t high)
{
	*chunk.known = low < high ? (low - chunk.first) << FIRST_SHIFT | (high - low) : 0;
}

/* Of a chunk that was mixed. */
static inline void know_count(struct chunk chunk, uint64_t count)
{
	*chunk.known = count && count < chunk.pages ? MIXED | count : count;
}

static inline uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
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

static void flip_in_chunk(uint64_t *words, uint64_t first, uint64_t last)
{
	size_t i = word_of(first), end = word_of(last);

	if (i == end) {
		words[i] ^= mask_from(first) & mask_through(last);
		return;
	}
	words[i] ^= mask_from(first);
	while (++i < end)
		words[i] ^= ALL_ONES;
	words[end] ^= mask_through(last);
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

/* The chunk is about to be written in word by word: makes its words good. */
static void mix(struct chunk chunk)
{
	uint64_t low, high;

	if (mixed(chunk))
		return;
	low = low_of(chunk);
	high = high_of(chunk);
	memset(words_of(chunk), 0, size_of(chunk) * sizeof(uint64_t));
	if (low < high)
		(void)add_in_chunk(chunk.bitmap, low, high - 1);
	*chunk.known = MIXED | (high - low);
}

static void copy_chunk(struct chunk to, struct chunk from)
{
	*to.known = *from.known;
	if (mixed(from))
		memmove(words_of(to), words_of(from), size_of(to) * sizeof(uint64_t));
}

/* Of pages first..last, all of this chunk; how many were not members. */
static inline uint64_t add_part(struct chunk chunk, uint64_t first, uint64_t last)
{
	uint64_t count = count_of(chunk), added;

	if (!mixed(chunk)) {
		uint64_t low = low_of(chunk), high = high_of(chunk);

		if (none(chunk)) {
			know_run(chunk, first, last + 1);
			return last + 1 - first;
		}
		if (first <= high && last + 1 >= low) {
			know_run(chunk, least(first, low), last < high ? high : last + 1);
			return count_of(chunk) - count;
		}
		mix(chunk);
	}
	added = add_in_chunk(chunk.bitmap, first, last);
	know_count(chunk, count + added);
	return added;
}

/* Likewise; how many were members. */
static inline uint64_t remove_part(struct chunk chunk, uint64_t first, uint64_t last)
{
	uint64_t count = count_of(chunk), removed;

	if (!mixed(chunk)) {
		uint64_t low = low_of(chunk), high = high_of(chunk);

		if (first >= high || last < low)
			return 0;
		if (first <= low || last + 1 >= high) {
			if (first > low)
				know_run(chunk, low, first);
			else
				know_run(chunk, last + 1, high);
			return count - count_of(chunk);
		}
		mix(chunk);
	}
	removed = remove_in_chunk(chunk.bitmap, first, last);
	know_count(chunk, count - removed);
	return removed;
}

/* How many are members. */
static inline uint64_t count_part(struct chunk chunk, uint64_t first, uint64_t last)
{
	if (mixed(chunk))
		return count_in_chunk(chunk.bitmap, first, last);
	uint64_t low = low_of(chunk), high = least(high_of(chunk), last + 1);
	if (first > low)
		low = first;
	return low < high ? high - low : 0;
}

static void flip_chunk(struct chunk chunk)
{
	uint64_t *words = words_of(chunk), low = low_of(chunk), high = high_of(chunk);
	uint64_t end = chunk.first + chunk.pages, count = count_of(chunk);

	if (!mixed(chunk) && (none(chunk) || low == chunk.first)) {
		know_run(chunk, chunk.first + count, end);
	} else if (!mixed(chunk) && high == end) {
		know_run(chunk, chunk.first, low);
	} else {
		mix(chunk);
		for (size_t k = 0; k < size_of(chunk); k++)
			words[k] = ~words[k];
		words[size_of(chunk) - 1] &= mask_through(chunk.pages - 1);
		know_count(chunk, chunk.pages - count);
	}
}

static void add_up(struct gw_set *set)
{
	uint64_t sum = 0;

	for (size_t i = 0, n = chunks_of(set); i < n; i++)
		sum += known_of(set)[i] & COUNT_MASK;
	*sum_of(set) = sum;
}

/* The part of a run that lies in the universe, as first and last page; false if there is none. */
static inline bool clip(const struct gw_set *set, struct gw_run run, uint64_t *first,
                        uint64_t *last)
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
		known_of(set)[i] = 0;
	*sum_of(set) = 0;
}

void gw_set_fill(struct gw_set *set)
{
	for (size_t i = 0, n = chunks_of(set); i < n; i++)
		*chunk_of(set, i).known = chunk_of(set, i).pages;
	*sum_of(set) = set->pages;
}

void gw_set_copy(struct gw_set *to, const struct gw_set *from)
{
	for (size_t i = 0, n = chunks_of(to); i < n; i++)
		copy_chunk(chunk_of(to, i), chunk_of(from, i));
	*sum_of(to) = *sum_of(from);
}

static void unite(struct chunk a, struct chunk b)
{
	const uint64_t *others;
	uint64_t *words, count = 0;

	if (none(b) || all(a))
		return;
	if (none(a) || all(b)) {
		copy_chunk(a, b);
		return;
	}
	if (!mixed(b)) {
		(void)add_part(a, low_of(b), high_of(b) - 1);
		return;
	}
	mix(a);
	words = words_of(a);
	others = words_of(b);
	for (size_t k = 0; k < size_of(a); k++)
		count += count_bits(words[k] |= others[k]);
	know_count(a, count);
}

static void take_away(struct chunk a, struct chunk b)
{
	const uint64_t *others;
	uint64_t *words, count = 0;

	if (none(a) || none(b))
		return;
	if (!mixed(b)) {
		(void)remove_part(a, low_of(b), high_of(b) - 1);
		return;
	}
	mix(a);
	words = words_of(a);
	others = words_of(b);
	for (size_t k = 0; k < size_of(a); k++)
		count += count_bits(words[k] &= ~others[k]);
	know_count(a, count);
}

static void keep_common(struct chunk a, struct chunk b)
{
	const uint64_t *others;
	uint64_t *words, count = 0, end = a.first + a.pages;

	if (none(a) || all(b))
		return;
	if (none(b) || all(a)) {
		copy_chunk(a, b);
		return;
	}
	if (!mixed(b)) {
		if (low_of(b) > a.first)
			(void)remove_part(a, a.first, low_of(b) - 1);
		if (high_of(b) < end)
			(void)remove_part(a, high_of(b), end - 1);
		return;
	}
	mix(a);
	words = words_of(a);
	others = words_of(b);
	for (size_t k = 0; k < size_of(a); k++)
		count += count_bits(words[k] &= others[k]);
	know_count(a, count);
}

static void keep_different(struct chunk a, struct chunk b)
{
	uint64_t *words, common;

	if (none(b))
		return;
	if (none(a)) {
		copy_chunk(a, b);
		return;
	}
	if (all(b)) {
		flip_chunk(a);
		return;
	}
	mix(a);
	words = words_of(a);
	if (mixed(b)) {
		uint64_t count = 0;

		for (size_t k = 0; k < size_of(a); k++)
			count += count_bits(words[k] ^= words_of(b)[k]);
		know_count(a, count);
		return;
	}
	common = count_part(a, low_of(b), high_of(b) - 1);
	flip_in_chunk(a.bitmap, low_of(b), high_of(b) - 1);
	know_count(a, count_of(a) + count_of(b) - 2 * common);
}

void gw_set_union(struct gw_set *into, const struct gw_set *other)
{
	for (size_t i = 0, n = chunks_of(into); i < n; i++)
		unite(chunk_of(into, i), chunk_of(other, i));
	add_up(into);
}

void gw_set_subtract(struct gw_set *from, const struct gw_set *other)
{
	for (size_t i = 0, n = chunks_of(from); i < n; i++)
		take_away(chunk_of(from, i), chunk_of(other, i));
	add_up(from);
}

void gw_set_intersect(struct gw_set *into, const struct gw_set *other)
{
	for (size_t i = 0, n = chunks_of(into); i < n; i++)
		keep_common(chunk_of(into, i), chunk_of(other, i));
	add_up(into);
}

void gw_set_differ(struct gw_set *into, const struct gw_set *other)
{
	for (size_t i = 0, n = chunks_of(into); i < n; i++)
		keep_different(chunk_of(into, i), chunk_of(other, i));
	add_up(into);
}

void gw_set_invert(struct gw_set *set)
{
	for (size_t i = 0, n = chunks_of(set); i < n; i++)
		flip_chunk(chunk_of(set, i));
	*sum_of(set) = set->pages - *sum_of(set);
}

static bool chunks_equal(struct chunk a, struct chunk b)
{
	if (count_of(a) != count_of(b))
		return false;
	if (none(a))
		return true;
	if (!mixed(a))
		return count_part(b, low_of(a), high_of(a) - 1) == count_of(a);
	if (!mixed(b))
		return count_part(a, low_of(b), high_of(b) - 1) == count_of(b);
	return !memcmp(words_of(a), words_of(b), size_of(a) * sizeof(uint64_t));
}

bool gw_set_equal(const struct gw_set *a, const struct gw_set *b)
{
	if (a->pages != b->pages || *sum_of(a) != *sum_of(b))
		return false;
	for (size_t i = 0, n = chunks_of(a); i < n; i++)
		if (!chunks_equal(chunk_of(a, i), chunk_of(b, i)))
			return false;
	return true;
}

void gw_set_add(struct gw_set *set, uint64_t page)
{
	if (page >= set->pages)
		return;
	struct chunk chunk = chunk_of(set, page / GW_CHUNK_PAGES);
	if (!mixed(chunk)) {
		*sum_of(set) += add_part(chunk, page, page);
	} else {
		uint64_t added = !(set->words[word_of(page)] & bit_of(page));

		set->words[word_of(page)] |= bit_of(page);
		know_count(chunk, count_of(chunk) + added);
		*sum_of(set) += added;
	}
}

void gw_set_remove(struct gw_set *set, uint64_t page)
{
	if (page >= set->pages)
		return;
	struct chunk chunk = chunk_of(set, page / GW_CHUNK_PAGES);
	if (!mixed(chunk)) {
		*sum_of(set) -= remove_part(chunk, page, page);
	} else {
		uint64_t removed = !!(set->words[word_of(page)] & bit_of(page));

		set->words[word_of(page)] &= ~bit_of(page);
		know_count(chunk, count_of(chunk) - removed);
		*sum_of(set) -= removed;
	}
}

void gw_set_add_run(struct gw_set *set, struct gw_run run)
{
	uint64_t first, last, end, added = 0;

	if (!clip(set, run, &first, &last))
		return;
	do {
		end = end_in_chunk(first, last);
		added += add_part(chunk_of(set, first / GW_CHUNK_PAGES), first, end);
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
		removed += remove_part(chunk_of(set, first / GW_CHUNK_PAGES), first, end);
		first = end + 1;
	} while (end < last);
	*sum_of(set) -= removed;
}

static inline bool has(const struct gw_set *set, uint64_t page)
{
	if (page >= set->pages)
		return false;
	struct chunk chunk = chunk_of(set, page / GW_CHUNK_PAGES);
	if (mixed(chunk))
		return set->words[word_of(page)] & bit_of(page);
	return page - low_of(chunk) < count_of(chunk);
}

bool gw_set_has(const struct gw_set *set, uint64_t page)
{
	return has(set, page);
}

#define AHEAD 16 /* pages, while one is looked up */

void gw_set_has_each(const struct gw_set *set, const uint32_t *pages, size_t count, bool *in)
{
	for (size_t i = 0; i < count; i++) {
		if (i + AHEAD < count && pages[i + AHEAD] < set->pages)
			__builtin_prefetch(&set->words[word_of(pages[i + AHEAD])]);
		in[i] = has(set, pages[i]);
	}
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
		end = end_in_chunk(first, last);
		count += count_part(chunk_of(set, first / GW_CHUNK_PAGES), first, end);
		first = end + 1;
	} while (end < last);
	return count;
}

static uint64_t count_both(struct chunk a, struct chunk b)
{
	uint64_t count = 0;

	if (none(a) || none(b))
		return 0;
	if (!mixed(b))
		return count_part(a, low_of(b), high_of(b) - 1);
	if (!mixed(a))
		return count_part(b, low_of(a), high_of(a) - 1);
	for (size_t k = 0; k < size_of(a); k++)
		count += count_bits(words_of(a)[k] & words_of(b)[k]);
	return count;
}

uint64_t gw_set_count_common(const struct gw_set *a, const struct gw_set *b)
{
	uint64_t count = 0;

	for (size_t i = 0, n = chunks_of(a); i < n; i++)
		count += count_both(chunk_of(a, i), chunk_of(b, i));
	return count;
}

/* In one mixed chunk: the first page of from..end-1 that is sought, or end; as find. */
static inline uint64_t find_in_chunk(const uint64_t *words, uint64_t from, uint64_t end,
                                     uint64_t flip)
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

/* In one that is not: likewise, but `end` or beyond if there is none. */
static inline uint64_t find_around_run(struct chunk chunk, uint64_t from, uint64_t end, bool gap)
{
	uint64_t low = low_of(chunk), high = high_of(chunk);

	if (gap)
		return from < low || from >= high ? from : high;
	if (from >= high)
		return end;
	return from < low ? low : from;
}

/*
 * The first member at or after `from`, or with a `flip` of all ones the first that is none;
 * `limit`, at most the universe, if there is none before it.
 */
static inline uint64_t find(const struct gw_set *set, uint64_t from, uint64_t limit, uint64_t flip)
{
	for (uint64_t end; from < limit; from = end) {
		struct chunk chunk = chunk_of(set, from / GW_CHUNK_PAGES);

		end = end_in_chunk(from, limit - 1) + 1;
		uint64_t page = mixed(chunk) ? find_in_chunk(set->words, from, end, flip)
		                             : find_around_run(chunk, from, end, flip);
		if (page < end)
			return page;
	}
	return limit;
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
		uint64_t page = UINT64_MAX;

		if (mixed(chunk))
			page = previous_in_chunk(set->words, chunk.first, from);
		else if (!none(chunk) && from >= low_of(chunk))
			page = least(from, high_of(chunk) - 1);
		if (page != UINT64_MAX || !chunk.first)
			return page;
		from = chunk.first - 1;
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
