/* SPDX-License-Identifier: MIT */
/*
 * bench/toucher.c - a program that works its way through memory, for the guest of run_ahead.py.
 *
 *     toucher PATTERN MIB WORK
 *
 * Touches a page (a third of them by writing), computes WORK steps, goes on, for good; it never
 * looks at a clock, so two copies of it touch the same pages in the same order.
 *
 *     sequential   one page after the other
 *     strided      every 17th, so that neighbours are touched at different times
 *     random       anywhere
 *     chase        the page says which one follows: a list through all of them
 *     phases       random within one of eight parts, and another part after so many touches
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE   4096u
#define STRIDE 17u
#define PARTS  8u

struct walk {
	const char *pattern;
	uint8_t *memory;
	uint64_t pages, at, count, random;
};

static uint64_t next_random(struct walk *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

/* A list through all pages: a shuffled order, each page holding its successor. */
static void link_pages(struct walk *w)
{
	uint64_t *order = malloc(w->pages * sizeof(*order));

	if (!order)
		exit(1);
	for (uint64_t i = 0; i < w->pages; i++)
		order[i] = i;
	for (uint64_t i = w->pages - 1; i > 0; i--) {
		uint64_t j = next_random(w) % (i + 1), kept = order[i];

		order[i] = order[j];
		order[j] = kept;
	}
	for (uint64_t i = 0; i < w->pages; i++)
		memcpy(w->memory + order[i] * PAGE, &order[(i + 1) % w->pages], sizeof(uint64_t));
	free(order);
}

static uint64_t next_page(struct walk *w)
{
	uint64_t part = w->pages / PARTS, next;

	if (!strcmp(w->pattern, "sequential"))
		return (w->at + 1) % w->pages;
	if (!strcmp(w->pattern, "strided"))
		return (w->at + STRIDE) % w->pages;
	if (!strcmp(w->pattern, "random"))
		return next_random(w) % w->pages;
	if (!strcmp(w->pattern, "phases"))
		return w->count / (2 * part) % PARTS * part + next_random(w) % part;
	memcpy(&next, w->memory + w->at * PAGE, sizeof(next));
	return next;
}

int main(int count, char **argument)
{
	struct walk w = {.random = 0x9e3779b97f4a7c15ull};
	uint64_t work, sum = 0;

	if (count != 4)
		return 2;
	w.pattern = argument[1];
	w.pages = strtoull(argument[2], NULL, 10) * 256 | 1; /* odd: a stride reaches them all */
	work = strtoull(argument[3], NULL, 10);
	w.memory = mmap(NULL, w.pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                -1, 0);
	if (w.memory == MAP_FAILED)
		return 1;
	for (uint64_t i = 0; i < w.pages * PAGE; i += 8) { /* nothing that compresses to zero */
		uint64_t word = next_random(&w);

		memcpy(w.memory + i, &word, sizeof(word));
	}
	link_pages(&w);
	(void)puts("godwit guest ready");
	(void)fflush(stdout);
	for (;; w.count++) {
		volatile uint64_t *page = (volatile uint64_t *)(w.memory + w.at * PAGE);

		if (w.count % 3 == 0)
			page[1] = w.count;
		sum += page[2];
		for (volatile uint64_t i = 0; i < work; i++)
			sum ^= i;
		w.at = next_page(&w);
	}
	return (int)sum;
}
