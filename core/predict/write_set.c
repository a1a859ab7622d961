/* SPDX-License-Identifier: MIT */
#include "core/predict/write_set.h"

#include <errno.h>
#include <string.h>

#include "core/predict/kinds.h"

/*
 * Windows stand one after the other in `entry`, each as numbers of slots; a slot is a page that
 * occurs in one of them. When anything is full, the older half of the windows goes and the slots
 * are numbered anew: rare, and then linear.
 *
 *     start   0    2      5      8
 *     entry   a b  b c d  a d e
 */
struct slot {
	uint64_t page;
	double followers; /* N_i */
	double score;
	bool dirty;
};

struct gw_write_set {
	struct gw_write_set_limits limits;
	uint32_t windows, slots, buckets;
	uint32_t *start; /* windows + 1 */
	uint32_t *entry;
	uint32_t *bucket; /* slot + 1, by the page's hash; 0: free */
	struct slot *slot;
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
	return sizeof(struct gw_write_set) + limits->pages * sizeof(struct slot) +
	       (limits->windows + 1 + (size_t)limits->entries + buckets_for(limits->pages)) *
	               sizeof(uint32_t);
}

struct gw_write_set *gw_write_set_init(void *memory, const struct gw_write_set_limits *limits)
{
	struct gw_write_set *set = memory;

	memset(set, 0, sizeof(*set));
	set->limits = *limits;
	set->buckets = buckets_for(limits->pages);
	set->slot = (struct slot *)(void *)(set + 1);
	set->start = (uint32_t *)(void *)(set->slot + limits->pages);
	set->entry = set->start + limits->windows + 1;
	set->bucket = set->entry + limits->entries;
	memset(set->bucket, 0, set->buckets * sizeof(*set->bucket));
	set->start[0] = 0;
	return set;
}

static uint32_t *bucket_of(const struct gw_write_set *set, uint64_t page)
{
	uint32_t i = (uint32_t)((page * 0x9e3779b97f4a7c15u) >> 32) & (set->buckets - 1);

	while (set->bucket[i] && set->slot[set->bucket[i] - 1].page != page)
		i = (i + 1) & (set->buckets - 1);
	return &set->bucket[i];
}

static uint32_t slot_for(struct gw_write_set *set, uint64_t page)
{
	uint32_t *bucket = bucket_of(set, page);

	if (!*bucket) {
		set->slot[set->slots] = (struct slot){.page = page};
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

	for (uint32_t i = set->start[t]; i < set->start[t + 1]; i++)
		set->slot[set->entry[i]].followers += followers;
}

/* Keeps the last windows, and the slots that occur in them, in their order. */
static void forget(struct gw_write_set *set, uint32_t keep)
{
	uint32_t first = set->windows - keep, shift = set->start[first], used = 0;

	for (uint32_t s = 0; s < set->slots; s++)
		set->slot[s].dirty = false;
	for (uint32_t i = shift; i < set->start[set->windows]; i++)
		set->slot[set->entry[i]].dirty = true;
	/* Slots that stay move down in their order; `followers` holds where to, until it is
	 * counted. */
	for (uint32_t s = 0; s < set->slots; s++)
		if (set->slot[s].dirty)
			set->slot[s].followers = used++;
	for (uint32_t i = shift; i < set->start[set->windows]; i++)
		set->entry[i - shift] = (uint32_t)set->slot[set->entry[i]].followers;
	for (uint32_t s = 0; s < set->slots; s++)
		if (set->slot[s].dirty)
			set->slot[(uint32_t)set->slot[s].followers] =
			        (struct slot){.page = set->slot[s].page};
	for (uint32_t w = 0; w <= keep; w++)
		set->start[w] = set->start[first + w] - shift;
	set->windows = keep;
	set->slots = used;
	memset(set->bucket, 0, set->buckets * sizeof(*set->bucket));
	for (uint32_t s = 0; s < used; s++)
		*bucket_of(set, set->slot[s].page) = s + 1;
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

static void end_window(struct gw_write_set *set)
{
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

/* w_t; a page with followers has at least one. */
static double weight(const struct gw_write_set *set, uint32_t t)
{
	double sum = 0;

	for (uint32_t i = set->start[t]; i < set->start[t + 1]; i++) {
		const struct slot *slot = &set->slot[set->entry[i]];

		if (slot->dirty && slot->followers > 0)
			sum += 1 / slot->followers;
	}
	return sum;
}

static void add_window(struct gw_write_set *set, uint32_t t, double add, bool but_itself)
{
	for (uint32_t i = set->start[t]; i < set->start[t + 1]; i++) {
		struct slot *slot = &set->slot[set->entry[i]];

		slot->score += add;
		if (but_itself && slot->dirty && slot->followers > 0)
			slot->score -= 1 / slot->followers;
	}
}

void gw_write_set_score(struct gw_write_set *set, const struct gw_set *dirty)
{
	for (uint32_t s = 0; s < set->slots; s++) {
		set->slot[s].score = 0;
		set->slot[s].dirty =
		        set->slot[s].page < dirty->pages && gw_set_has(dirty, set->slot[s].page);
	}
	for (uint32_t t = 0; t + 1 < set->windows; t++) {
		double w = weight(set, t);

		if (w <= 0)
			continue;
		add_window(set, t + 1, w, false);
		if (!set->limits.plain)
			add_window(set, t, w, true);
	}
}

double gw_write_set_score_of(const struct gw_write_set *set, uint64_t page)
{
	uint32_t number = *bucket_of(set, page);

	return number ? set->slot[number - 1].score : 0;
}

bool gw_write_set_known(const struct gw_write_set *set, uint32_t number, uint64_t *page,
                        double *score)
{
	if (number >= set->slots)
		return false;
	*page = set->slot[number].page;
	*score = set->slot[number].score;
	return true;
}

const struct gw_page_predictor gw_predict_write_set = {
        .name = "write-set",
        .summary = "which pages followed those that are dirty now (S3, 3.1)",
};
