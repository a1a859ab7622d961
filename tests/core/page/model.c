/* SPDX-License-Identifier: MIT */
/*
 * tests/core/page/model.c - random programs on page sets, against a plain array of bools.
 *
 * In the manner of SQLite's test of its bitvec: each step is done twice, on a gw_set and on an
 * array so simple that it is right by inspection, and then everything that can be asked of the one
 * is compared with the other. Built a second time over a set.c with a planted fault, the program
 * succeeds only if the comparison finds it: a test of the test.
 */
#include "core/page/set.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY_PAGES 5000 /* from here on fewer steps */
#define MOST_PAGES (3 * GW_CHUNK_PAGES + 65)
#define MOST_WORDS GW_SET_WORDS(MOST_PAGES)
#define CANARY     UINT64_C(0xdeadbeefcafef00d)
#define PROGRAMS   4
#define STEPS      500
#define FEW_STEPS  60

/* Two of each, so that there is something to unite with. */
struct pair {
	struct gw_set set[2];
	uint64_t words[2][MOST_WORDS + 1]; /* and one that nobody may touch */
	bool model[2][MOST_PAGES];
	uint64_t pages;
};

struct random {
	uint64_t state;
};

static uint64_t draw(struct random *random) /* splitmix64 */
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/*
 * A number around `pages`, more often than not near a boundary of words or chunks, now and then far
 * beyond.
 */
static uint64_t draw_page(struct random *random, uint64_t pages)
{
	switch (draw(random) % 16) {
	case 0: return UINT64_MAX - draw(random) % 3;
	case 1: return pages + draw(random) % 130;
	case 2:
	case 3:
	case 4:
	case 5: return draw(random) % (pages + 1);
	default: {
		uint64_t unit = pages > MANY_PAGES && draw(random) % 2 ? GW_CHUNK_PAGES : 64;
		uint64_t page = draw(random) % (pages / unit + 2) * unit + draw(random) % 5;
		return page < 2 ? page : page - 2;
	}
	}
}

static struct gw_run draw_run(struct random *random, uint64_t pages)
{
	struct gw_run run = {draw_page(random, pages), draw_page(random, pages)};

	/* Half of them end near a word boundary, not just have such a length. */
	if (draw(random) % 2 && run.count > run.first)
		run.count -= run.first;
	return run;
}

static bool in_run(struct gw_run run, uint64_t page)
{
	return page >= run.first && page - run.first < run.count;
}

/* One step on set and model 0; its name. */
static const char *step(struct pair *p, struct random *random)
{
	struct gw_set *set = &p->set[0], *other = &p->set[1];
	bool *model = p->model[0], *second = p->model[1];
	struct gw_run run = draw_run(random, p->pages);
	uint64_t page = draw_page(random, p->pages);

#define EACH(expression)                                                                           \
	for (uint64_t i = 0; i < p->pages; i++)                                                    \
	model[i] = (expression)
	switch (draw(random) % 34) {
	case 32:
		gw_set_differ(set, other);
		EACH(model[i] != second[i]);
		return "differ";
	case 33:
		gw_set_invert(set);
		EACH(!model[i]);
		return "invert";
	case 0:
		gw_set_clear(set);
		EACH(false);
		return "clear";
	case 1:
		gw_set_fill(set);
		EACH(true);
		return "fill";
	case 2:
		gw_set_copy(set, other);
		EACH(second[i]);
		return "copy";
	case 3:
		gw_set_union(set, other);
		EACH(model[i] || second[i]);
		return "union";
	case 4:
		gw_set_subtract(set, other);
		EACH(model[i] && !second[i]);
		return "subtract";
	case 5:
		gw_set_intersect(set, other);
		EACH(model[i] && second[i]);
		return "intersect";
	case 6:
	case 7:
	case 8:
	case 9:
		gw_set_add(set, page);
		EACH(model[i] || i == page);
		return "add";
	case 10:
	case 11:
	case 12:
	case 13:
		gw_set_remove(set, page);
		EACH(model[i] && i != page);
		return "remove";
	case 14:
	case 15:
	case 16:
	case 17:
	case 18:
	case 19:
	case 20:
	case 21:
	case 22:
		gw_set_add_run(set, run);
		EACH(model[i] || in_run(run, i));
		return "add_run";
	case 23:
	case 24: { /* the other one takes over: both are written to in turn */
		struct gw_set swap = *set;
		static bool keep[MOST_PAGES];
		*set = *other;
		*other = swap;
		memcpy(keep, model, sizeof keep);
		memcpy(model, second, sizeof keep);
		memcpy(second, keep, sizeof keep);
		return "swap";
	}
	default:
		gw_set_remove_run(set, run);
		EACH(model[i] && !in_run(run, i));
		return "remove_run";
	}
#undef EACH
}

static uint64_t model_count(const struct pair *p, struct gw_run run)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < p->pages; i++)
		count += p->model[0][i] && in_run(run, i);
	return count;
}

static uint64_t model_next(const struct pair *p, uint64_t from, uint64_t limit, bool member)
{
	if (limit > p->pages)
		limit = p->pages;
	for (uint64_t i = from; i < limit; i++)
		if (p->model[0][i] == member)
			return i;
	return limit;
}

static uint64_t model_previous(const struct pair *p, uint64_t from)
{
	for (uint64_t i = p->pages; i-- > 0;)
		if (i <= from && p->model[0][i])
			return i;
	return UINT64_MAX;
}

static bool next_run_agrees(const struct pair *p, uint64_t from, uint64_t max_pages)
{
	struct gw_run run = {0, 0};
	uint64_t first = model_next(p, from, p->pages, true), count = 0;

	while (first + count < p->pages && p->model[0][first + count] && count < max_pages)
		count++;
	bool found = gw_set_next_run(&p->set[0], from, max_pages, &run);
	return found == (count > 0) && (!found || (run.first == first && run.count == count));
}

/* What is asked of the whole set; NULL, or the name of what differs. */
static const char *compare_whole(const struct pair *p)
{
	const struct gw_set *set = &p->set[0];
	uint64_t count = 0, common = 0;
	bool equal = true;

	for (uint64_t i = 0; i < p->pages; i++) {
		if (gw_set_has(set, i) != p->model[0][i])
			return "has";
		count += p->model[0][i];
		common += p->model[0][i] && p->model[1][i];
		equal = equal && p->model[0][i] == p->model[1][i];
	}
	if (gw_set_count(set) != count)
		return "count";
	if (gw_set_empty(set) != (count == 0))
		return "empty";
	if (gw_set_count_common(set, &p->set[1]) != common)
		return "count_common";
	if (gw_set_equal(set, &p->set[1]) != equal)
		return "equal";
	for (int i = 0; i < 2; i++)
		if (p->words[i][gw_set_words(p->pages)] != CANARY)
			return "a word beyond the set";
	return NULL;
}

/* What is asked of one place in it. */
static const char *compare_at(const struct pair *p, uint64_t at, struct gw_run run, uint64_t most)
{
	const struct gw_set *set = &p->set[0];

	if (at >= p->pages && gw_set_has(set, at))
		return "has, outside";
	if (gw_set_next(set, at) != model_next(p, at, p->pages, true))
		return "next";
	if (gw_set_next_gap(set, at) != model_next(p, at, p->pages, false))
		return "next_gap";
	if (gw_set_next_before(set, at, run.first) != model_next(p, at, run.first, true))
		return "next_before";
	if (gw_set_next_gap_before(set, at, run.first) != model_next(p, at, run.first, false))
		return "next_gap_before";
	if (gw_set_previous(set, at) != model_previous(p, at))
		return "previous";
	if (gw_set_count_run(set, run) != model_count(p, run))
		return "count_run";
	if (!next_run_agrees(p, at, most))
		return "next_run";
	return NULL;
}

/* True if set and model agreed to the end. */
static bool agree(uint64_t pages, uint64_t seed)
{
	static struct pair p;
	struct random random = {seed};

	memset(&p, 0, sizeof p);
	p.pages = pages;
	for (int i = 0; i < 2; i++) {
		memset(p.words[i], 0xa5, sizeof p.words[i]);
		p.words[i][gw_set_words(pages)] = CANARY;
		gw_set_init(&p.set[i], p.words[i], pages);
	}
	for (int i = 0, n = pages < MANY_PAGES ? STEPS : FEW_STEPS; i < n; i++) {
		const char *did = step(&p, &random), *differs = compare_whole(&p);
		for (int j = 0; j < 4 && !differs; j++) {
			uint64_t at = draw_page(&random, pages);
			uint64_t most = 1 + draw(&random) % (draw(&random) % 2 ? 200 : MOST_PAGES);
			differs = compare_at(&p, at, draw_run(&random, pages), most);
		}
		if (differs) {
			printf("%" PRIu64 " pages, seed %" PRIu64 ", step %d, after %s: %s\n",
			       pages, seed, i, did, differs);
			return false;
		}
	}
	return true;
}

int main(void)
{
	static const uint64_t sizes[] = {0,
	                                 1,
	                                 2,
	                                 31,
	                                 32,
	                                 33,
	                                 62,
	                                 63,
	                                 64,
	                                 65,
	                                 66,
	                                 126,
	                                 127,
	                                 128,
	                                 129,
	                                 130,
	                                 190,
	                                 191,
	                                 192,
	                                 193,
	                                 255,
	                                 256,
	                                 257,
	                                 1000,
	                                 1023,
	                                 1024,
	                                 1025,
	                                 4095,
	                                 4096,
	                                 4161,
	                                 GW_CHUNK_PAGES - 1,
	                                 GW_CHUNK_PAGES,
	                                 GW_CHUNK_PAGES + 1,
	                                 2 * GW_CHUNK_PAGES - 63,
	                                 2 * GW_CHUNK_PAGES,
	                                 3 * GW_CHUNK_PAGES + 1,
	                                 MOST_PAGES};
	size_t programs = 0, differed = 0;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (uint64_t seed = 1; seed <= PROGRAMS; seed++, programs++)
			differed += !agree(sizes[i], seed);
	printf("%zu programs of %d steps, %zu differed\n", programs, STEPS, differed);
#ifdef GW_PLANT_FAULT
	return differed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
#else
	return differed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
#endif
}
