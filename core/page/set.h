/* SPDX-License-Identifier: MIT */
/*
 * core/page/set.h - sets of guest pages, which cost only what they hold, and runs of pages.
 *
 *     pages   0123456789...
 *     set     .##...###.      runs  {1,2} {6,3}
 *
 * A set borrows its memory: the caller provides gw_set_words(pages) words. Page numbers count from
 * 0 in units of the guest page (4 KiB).
 *
 * Theory of operation. The words are a bitmap and behind it, for each chunk of GW_CHUNK_PAGES
 * pages, what is known of it:
 *
 *     | chunk 0: 512 words | chunk 1 | ... | last chunk | known 0 | known 1 | ... | members in all
 * |
 *
 * A chunk whose members are one run, or that has none, is known by that run; its part of the bitmap
 * then means nothing, and is neither read nor written. It is made good when the chunk becomes
 * mixed. So in memory that the kernel provides at the first touch (calloc, mmap) the set of a giant
 * costs 8 bytes for each 128 MiB of the guest, and a page for each chunk that is or was mixed; and
 * whatever goes through a set passes over other chunks in a step. Bits beyond `pages` in a mixed
 * chunk are zero.
 */
#ifndef GW_CORE_PAGE_SET_H
#define GW_CORE_PAGE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_PAGE_BYTES 4096u
#define GW_PAGE_SHIFT 12

#define GW_CHUNK_PAGES 32768u /* a page of memory in the bitmap */

struct gw_run {
	uint64_t first; /* page number */
	uint64_t count; /* pages; at least 1 in any run that is handed out */
};

struct gw_set {
	uint64_t *words; /* borrowed; of no interest to others than set.c, but that they free it */
	uint64_t pages;  /* size of the universe */
};

/* How many words a set needs; the first where a constant is wanted. */
#define GW_SET_WORDS(pages)                                                                        \
	(((pages) + 63) / 64 + ((pages) + GW_CHUNK_PAGES - 1) / GW_CHUNK_PAGES + 1)

static inline size_t gw_set_words(uint64_t pages)
{
	return (size_t)GW_SET_WORDS(pages);
}

/* Makes an empty set over caller's memory of gw_set_words(pages) words, whatever is in them. */
void gw_set_init(struct gw_set *set, uint64_t *words, uint64_t pages);

void gw_set_clear(struct gw_set *set);
void gw_set_fill(struct gw_set *set);
/* Both sets have the same universe in all of the following. */
void gw_set_copy(struct gw_set *to, const struct gw_set *from);
void gw_set_union(struct gw_set *into, const struct gw_set *other);
void gw_set_subtract(struct gw_set *from, const struct gw_set *other);
void gw_set_intersect(struct gw_set *into, const struct gw_set *other);
/* Keeps, or adds, what is in just one of the two. */
void gw_set_differ(struct gw_set *into, const struct gw_set *other);
void gw_set_invert(struct gw_set *set);
bool gw_set_equal(const struct gw_set *a, const struct gw_set *b);

void gw_set_add(struct gw_set *set, uint64_t page);
void gw_set_remove(struct gw_set *set, uint64_t page);
/* Runs are clipped to the universe. */
void gw_set_add_run(struct gw_set *set, struct gw_run run);
void gw_set_remove_run(struct gw_set *set, struct gw_run run);

bool gw_set_has(const struct gw_set *set, uint64_t page);
/* Of each of many pages, in any order: none of them waits for the one before. */
void gw_set_has_each(const struct gw_set *set, const uint32_t *pages, size_t count, bool *in);
bool gw_set_empty(const struct gw_set *set);
uint64_t gw_set_count(const struct gw_set *set);
uint64_t gw_set_count_run(const struct gw_set *set, struct gw_run run);
uint64_t gw_set_count_common(const struct gw_set *a, const struct gw_set *b);

/* First member (or non-member) at or after `from`; set->pages if there is none. */
uint64_t gw_set_next(const struct gw_set *set, uint64_t from);
uint64_t gw_set_next_gap(const struct gw_set *set, uint64_t from);
/* The same, but looks no further than `limit`, which is returned if there is none before it. */
uint64_t gw_set_next_before(const struct gw_set *set, uint64_t from, uint64_t limit);
uint64_t gw_set_next_gap_before(const struct gw_set *set, uint64_t from, uint64_t limit);
/* Last member at or before `from`; UINT64_MAX if there is none. */
uint64_t gw_set_previous(const struct gw_set *set, uint64_t from);

/*
 * The next run of members at or after `from`, of at most max_pages (> 0) pages.
 * False if there is none.
 */
bool gw_set_next_run(const struct gw_set *set, uint64_t from, uint64_t max_pages,
                     struct gw_run *run);

#endif
