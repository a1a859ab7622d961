/* SPDX-License-Identifier: MIT */
#include "core/predict/write_set.h"

#include <errno.h>
#include <string.h>

#include "core/predict/kinds.h"

/*
 * Windows stand one after the other in `entry`, each as ascending numbers of slots; a slot is a
 * page that occurs in one of them. When anything is full, the older half of the windows goes and
 * the slots are numbered anew: rare, and then linear.
 *
 *     start   0    2      5      8
 *     entry   a b  b c d  a d e
 *             ~~~  ~~~    ~          one tile: of every window its entries below some slot
 *
 * A score goes twice over all entries. It does so tile by tile, so that what it reads and adds at
 * random stays in the nearest cache, and the rest is read as it lies.
 */
#define TILE_SLOTS 8192u /* 64 KiB of scores */

struct gw_write_set {
	struct gw_write_set_limits limits;
	uint32_t windows, slots, buckets;
	/* By slot. */
	uint32_t *page;    /* 16 TiB have no more */
	double *followers; /* N_i */
	double *score;     /* while a score is made, at first 1/N_i of those that are dirty */
	uint32_t *counted; /* windows with a next one that hold it */
	bool *dirty;       /* when the scores were made */
	/* By window. */
	double *weight;  /* w_t, then what each of its pages gets */
	uint32_t *start; /* windows + 1 */
	uint32_t *cursor;
	uint32_t *entry;
	uint32_t *bucket; /* slot + 1, by the page's hash; 0: free */
};

static uint32_t buckets_for(uint32_t pages)
{
	uint32_t buckets = 16;

	while (buckets < 2 * (uint64_t)pages && buckets < (uint32_t)1 << 31)
		buckets *= 2;
	return buckets;
}

size_t gw_write_set_bytes(const struct gw_write_set_limits *limits)
{
	size_t pages = limits->pages, windows = limits->windows;

	return sizeof(struct gw_write_set) + (2 * pages + windows) * sizeof(double) +
	       (2 * pages + 2 * windows + 1 + limits->entries + buckets_for(limits->pages)) *
	               sizeof(uint32_t) +
	       pages;
}

struct gw_write_set *gw_write_set_init(void *memory, const struct gw_write_set_limits *limits)
{
	struct gw_write_set *set = memory;

	memset(set, 0, sizeof(*set));
	set->limits = *limits;
	set->buckets = buckets_for(limits->pages);
	set->followers = (double *)(void *)(set + 1);
	set->score = set->followers + limits->pages;
	set->weight = set->score + limits->pages;
	set->page = (uint32_t *)(void *)(set->weight + limits->windows);
	set->counted = set->page + limits->pages;
	set->start = set->counted + limits->pages;
	set->cursor = set->start + limits->windows + 1;
	set->entry = set->cursor + limits->windows;
	set->bucket = set->entry + limits->entries;
	set->dirty = (bool *)(set->bucket + set->buckets);
	memset(set->bucket, 0, set->buckets * sizeof(*set->bucket));
	set->start[0] = 0;
	return set;
}

/* Eight neighbours stay together. */
static uint32_t *bucket_of(const struct gw_write_set *set, uint64_t page)
{
	uint64_t group = ((page >> 3) * 0x9e3779b97f4a7c15u) >> 32;
	uint32_t i = (uint32_t)(group << 3 | (page & 7)) & (set->buckets - 1);

	while (set->bucket[i] && set->page[set->bucket[i] - 1] != page)
		i = (i + 1) & (set->buckets - 1);
	return &set->bucket[i];
}

static uint32_t slot_for(struct gw_write_set *set, uint64_t page)
{
	uint32_t *bucket = bucket_of(set, page);

	if (!*bucket) {
		set->page[set->slots] = (uint32_t)page;
		set->followers[set->slots] = 0;
		set->score[set->slots] = 0;
		set->counted[set->slots] = 0;
		*bucket = ++set->slots;
	}
	return *bucket - 1;
}

static uint32_t size_of(const struct gw_write_set *set, uint32_t window)
{
	return set->start[window + 1] - set->start[window];
}

/* Window t has a next one: its pages have gained followers. */
static void count_followers(struct gw_write_set *set, uint32_t t)
{
	uint32_t followers = size_of(set, t + 1) + (set->limits.plain ? 0 : size_of(set, t) - 1);

	for (uint32_t i = set->start[t]; i < set->start[t + 1]; i++) {
		set->followers[set->entry[i]] += followers;
		set->counted[set->entry[i]]++;
	}
}

/* Slots that occur get their numbers anew, in their order; `cursor` is not in use meanwhile. */
static void renumber(struct gw_write_set *set, uint32_t entries)
{
	uint32_t used = 0;

	memset(set->counted, 0, set->slots * sizeof(*set->counted));
	for (uint32_t i = 0; i < entries; i++)
		set->counted[set->entry[i]] = 1;
	for (uint32_t s = 0; s < set->slots; s++) {
		if (!set->counted[s])
			continue;
		set->page[used] = set->page[s];
		set->counted[s] = used++;
	}
	for (uint32_t i = 0; i < entries; i++)
		set->entry[i] = set->counted[set->entry[i]];
	set->slots = used;
}

/* Keeps the last windows, and the slots that occur in them. */
static void forget(struct gw_write_set *set, uint32_t keep)
{
	uint32_t first = set->windows - keep, shift = set->start[first];
	uint32_t entries = set->start[set->windows] - shift;

	memmove(set->entry, set->entry + shift, entries * sizeof(*set->entry));
	for (uint32_t w = 0; w <= keep; w++)
		set->start[w] = set->start[first + w] - shift;
	set->windows = keep;
	renumber(set, entries);
	memset(set->followers, 0, set->slots * sizeof(*set->followers));
	memset(set->score, 0, set->slots * sizeof(*set->score));
	memset(set->counted, 0, set->slots * sizeof(*set->counted));
	memset(set->bucket, 0, set->buckets * sizeof(*set->bucket));
	for (uint32_t s = 0; s < set->slots; s++)
		*bucket_of(set, set->page[s]) = s + 1;
	for (uint32_t t = 0; t + 1 < keep; t++)
		count_followers(set, t);
}

static uint64_t pages_of(const struct gw_run *runs, size_t count)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < count; i++)
		pages += runs[i].count;
	return pages;
}

static bool fits(const struct gw_write_set *set, uint64_t pages)
{
	return set->windows < set->limits.windows &&
	       set->start[set->windows] + pages <= set->limits.entries &&
	       set->slots + pages <= set->limits.pages;
}

/* A window of so many pages begins. */
static int begin_window(struct gw_write_set *set, uint64_t pages)
{
	while (!fits(set, pages) && set->windows)
		forget(set, set->windows / 2);
	if (!fits(set, pages))
		return -E2BIG;
	set->start[set->windows + 1] = set->start[set->windows];
	return 0;
}

static void add_run(struct gw_write_set *set, const struct gw_run *run)
{
	uint32_t *end = &set->start[set->windows + 1];

	for (uint64_t page = run->first; page < run->first + run->count; page++)
		set->entry[(*end)++] = slot_for(set, page);
}

#define DIGIT_BITS 11u
#define DIGITS     (1u << DIGIT_BITS)

static void sort_by_digit(const uint32_t *from, uint32_t *to, uint32_t count, unsigned shift)
{
	uint32_t place[DIGITS] = {0}, before = 0;

	for (uint32_t i = 0; i < count; i++)
		place[from[i] >> shift & (DIGITS - 1)]++;
	for (unsigned d = 0; d < DIGITS; d++) {
		uint32_t here = place[d];

		place[d] = before;
		before += here;
	}
	for (uint32_t i = 0; i < count; i++)
		to[place[from[i] >> shift & (DIGITS - 1)]++] = from[i];
}

/* `spare` is where the scores are made, which a new window puts out of date. */
static void sort_slots(const struct gw_write_set *set, uint32_t *slot, uint32_t count)
{
	uint32_t *spare = (uint32_t *)(void *)set->score, i = 1;

	while (i < count && slot[i - 1] < slot[i])
		i++;
	if (i >= count)
		return;
	for (unsigned shift = 0; shift < 32 && set->slots >> shift; shift += 2 * DIGIT_BITS) {
		sort_by_digit(slot, spare, count, shift);
		sort_by_digit(spare, slot, count, shift + DIGIT_BITS);
	}
}

static void end_window(struct gw_write_set *set)
{
	sort_slots(set, set->entry + set->start[set->windows], size_of(set, set->windows));
	set->windows++;
	if (set->windows > 1)
		count_followers(set, set->windows - 2);
}

int gw_write_set_observe(struct gw_write_set *set, const struct gw_run *runs, size_t count)
{
	int err = begin_window(set, pages_of(runs, count));

	if (err)
		return err;
	for (size_t i = 0; i < count; i++)
		add_run(set, &runs[i]);
	end_window(set);
	return 0;
}

int gw_write_set_observe_set(struct gw_write_set *set, const struct gw_set *written)
{
	struct gw_run run = {0};
	int err = begin_window(set, gw_set_count(written));

	if (err)
		return err;
	while (gw_set_next_run(written, run.first + run.count, UINT64_MAX, &run))
		add_run(set, &run);
	end_window(set);
	return 0;
}

uint32_t gw_write_set_windows(const struct gw_write_set *set)
{
	return set->windows;
}

static uint32_t end_of_tile(const struct gw_write_set *set, uint32_t tile)
{
	return set->slots - tile < TILE_SLOTS ? set->slots : tile + TILE_SLOTS;
}

/* 1/N_i of those that are dirty, the others' weigh nothing. */
static void weigh_slots(struct gw_write_set *set, const struct gw_set *dirty, uint32_t tile)
{
	const bool *is_dirty = set->dirty;
	const double *followers = set->followers;
	double *score = set->score;
	uint32_t end = end_of_tile(set, tile);

	gw_set_has_each(dirty, set->page + tile, end - tile, set->dirty + tile);
	for (uint32_t s = tile; s < end; s++)
		score[s] = is_dirty[s] && followers[s] > 0 ? 1 / followers[s] : 0;
}

/* A window's entries ascend: if the last of the next so many is in the tile, all of them are. */
#define STEP 8

static bool steps(const uint32_t *at, const uint32_t *end, uint32_t tile)
{
	return end - at >= STEP && at[STEP - 1] - tile < TILE_SLOTS;
}

/* What the tile's slots add to w_t; two sums, so that neither waits for the other. */
static double weigh_tile(struct gw_write_set *set, uint32_t tile, uint32_t t)
{
	const uint32_t *at = set->entry + set->cursor[t], *end = set->entry + set->start[t + 1];
	const double *score = set->score;
	double sum = 0, other = 0;

	for (; steps(at, end, tile); at += STEP) {
#pragma GCC unroll 8
		for (unsigned i = 0; i < STEP; i += 2) {
			sum += score[at[i]];
			other += score[at[i + 1]];
		}
	}
	for (; end - at > 1 && at[1] - tile < TILE_SLOTS; at += 2) {
		sum += score[at[0]];
		other += score[at[1]];
	}
	for (; at < end && *at - tile < TILE_SLOTS; at++)
		sum += score[*at];
	set->cursor[t] = (uint32_t)(at - set->entry);
	return sum + other;
}

/* w_t, of the windows that have a next one. */
static void weigh_windows(struct gw_write_set *set, const struct gw_set *dirty)
{
	memcpy(set->cursor, set->start, set->windows * sizeof(*set->cursor));
	memset(set->weight, 0, set->windows * sizeof(*set->weight));
	for (uint32_t tile = 0; tile < set->slots; tile = end_of_tile(set, tile)) {
		weigh_slots(set, dirty, tile);
		for (uint32_t t = 0; t + 1 < set->windows; t++)
			set->weight[t] += weigh_tile(set, tile, t);
	}
}

/* Each page of window t gets w_(t-1) and, as one of its own window, w_t. */
static void share_weights(struct gw_write_set *set)
{
	double before = 0;

	for (uint32_t t = 0; t < set->windows; t++) {
		double own = set->weight[t];

		set->weight[t] = before + (set->limits.plain ? 0 : own);
		before = own;
	}
}

/* A page does not follow itself in its own window. */
static void take_itself_off(struct gw_write_set *set, uint32_t tile)
{
	for (uint32_t s = tile, end = end_of_tile(set, tile); s < end; s++)
		set->score[s] *= set->limits.plain ? 0 : -(double)set->counted[s];
}

static void add_weight(struct gw_write_set *set, uint32_t tile, uint32_t t)
{
	const uint32_t *at = set->entry + set->cursor[t], *end = set->entry + set->start[t + 1];
	double *score = set->score, weight = set->weight[t];

	for (; steps(at, end, tile); at += STEP) {
#pragma GCC unroll 8
		for (unsigned i = 0; i < STEP; i++)
			score[at[i]] += weight;
	}
	for (; at < end && *at - tile < TILE_SLOTS; at++)
		score[*at] += weight;
	set->cursor[t] = (uint32_t)(at - set->entry);
}

#define ROUNDING 1e-12

/* Where a page had nothing but itself to take off, rounding is left. */
static void round_off(struct gw_write_set *set, uint32_t tile)
{
	for (uint32_t s = tile, end = end_of_tile(set, tile); s < end; s++)
		if (set->score[s] * (set->followers[s] + 1) < ROUNDING * set->counted[s])
			set->score[s] = 0;
}

static void add_weights(struct gw_write_set *set)
{
	memcpy(set->cursor, set->start, set->windows * sizeof(*set->cursor));
	for (uint32_t tile = 0; tile < set->slots; tile = end_of_tile(set, tile)) {
		take_itself_off(set, tile);
		for (uint32_t t = 0; t < set->windows; t++)
			add_weight(set, tile, t);
		round_off(set, tile);
	}
}

void gw_write_set_score(struct gw_write_set *set, const struct gw_set *dirty)
{
	weigh_windows(set, dirty);
	share_weights(set);
	add_weights(set);
}

size_t gw_write_set_dirty(const struct gw_write_set *set, struct gw_ranked *to)
{
	size_t count = 0;

	for (uint32_t s = 0; s < set->slots; s++)
		if (set->dirty[s] && set->score[s] > 0)
			to[count++] = (struct gw_ranked){set->page[s], (float)set->score[s]};
	return count;
}

bool gw_write_set_known(const struct gw_write_set *set, uint32_t number, uint64_t *page,
                        double *score)
{
	if (number >= set->slots)
		return false;
	*page = set->page[number];
	*score = set->score[number];
	return true;
}

const struct gw_page_predictor gw_predict_write_set = {
        .name = "write-set",
        .summary = "which pages followed those that are dirty now (S3, 3.1)",
};
