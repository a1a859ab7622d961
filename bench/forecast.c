/* SPDX-License-Identifier: MIT */
/*
 * bench/forecast.c - what one forecast costs: forecast [PAGES [WINDOWS [ENTRIES [TIMES]]]]
 *
 * S3's write set of a working set of a million pages, seen in 160 windows that hold eight million
 * pages in all (or as given), all of the working set being dirty: scored, and ranked likeliest
 * first. Twice: pages scattered over 1 TiB, and in stretches. Processor milliseconds of one core,
 * median and least of so many times.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/predict/ranking.h"
#include "core/predict/write_set.h"

#define TIB_PAGES (UINT64_C(1) << 28)
#define STRETCH   64

struct bench {
	uint32_t pages, windows, entries, times;
	uint64_t *page; /* the working set, ascending */
	struct gw_run *runs;
	struct gw_set dirty;
	struct gw_write_set *set;
	struct gw_ranked *ranked, *spare;
};

static uint64_t next(uint64_t *random)
{
	*random = *random * 6364136223846793005u + 1442695040888963407u;
	return *random >> 33;
}

static double cpu_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void *take(size_t bytes)
{
	void *memory = calloc(1, bytes);

	if (!memory)
		exit(EXIT_FAILURE);
	return memory;
}

/* One page in each of as many equal parts of memory, or stretches of pages. */
static void lay_out(struct bench *b, uint32_t stretch, uint64_t *random)
{
	uint64_t part = TIB_PAGES / (b->pages / stretch + 1);

	for (uint32_t i = 0; i < b->pages; i++)
		b->page[i] = i % stretch ? b->page[i - 1] + 1
		                         : i / stretch * part + next(random) % (part - stretch);
}

/* Each page, or stretch, is in each window with the same chance. */
static void observe(struct bench *b, uint32_t stretch, uint64_t *random)
{
	uint64_t wanted = b->entries / b->windows;

	for (uint32_t t = 0; t < b->windows; t++) {
		size_t count = 0;

		for (uint32_t i = 0; i + stretch <= b->pages; i += stretch)
			if (next(random) % b->pages < wanted)
				b->runs[count++] = (struct gw_run){b->page[i], stretch};
		if (gw_write_set_observe(b->set, b->runs, count))
			exit(EXIT_FAILURE);
	}
}

static size_t forecast(struct bench *b)
{
	size_t count;

	gw_write_set_score(b->set, &b->dirty);
	count = gw_write_set_dirty(b->set, b->ranked);
	gw_rank(b->ranked, b->spare, count);
	return count;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run(struct bench *b, uint32_t stretch)
{
	const struct gw_write_set_limits limits = {
	        .windows = b->windows + 1, .entries = 2 * b->entries, .pages = 2 * b->pages};
	void *memory = malloc(gw_write_set_bytes(&limits));
	double *took = take(b->times * sizeof(*took)), begun;
	uint64_t random = 1;
	size_t count = 0;

	if (!memory)
		exit(EXIT_FAILURE);
	b->set = gw_write_set_init(memory, &limits);
	lay_out(b, stretch, &random);
	begun = cpu_ms();
	observe(b, stretch, &random);
	begun = cpu_ms() - begun;
	gw_set_clear(&b->dirty);
	for (uint32_t i = 0; i < b->pages; i++)
		gw_set_add(&b->dirty, b->page[i]);
	for (uint32_t i = 0; i < b->times; i++) {
		double before = cpu_ms();

		count = forecast(b);
		took[i] = cpu_ms() - before;
	}
	qsort(took, b->times, sizeof(*took), compare);
	printf("%s: %zu pages scored and ranked, %.1f ms (least %.1f); %u windows observed in "
	       "%.0f ms, %.0f MiB\n",
	       stretch > 1 ? "in stretches" : "scattered", count, took[b->times / 2], took[0],
	       gw_write_set_windows(b->set), begun, (double)gw_write_set_bytes(&limits) / 1048576);
	free(took);
	free(memory);
}

int main(int argc, char **argv)
{
	uint32_t wanted[] = {1000000, 160, 8000000, 15};
	struct bench b;

	for (int i = 1; i < argc && i <= 4; i++)
		wanted[i - 1] = (uint32_t)strtoul(argv[i], NULL, 10);
	b = (struct bench){wanted[0], wanted[1], wanted[2], wanted[3], NULL,
	                   NULL,      {0},       NULL,      NULL,      NULL};
	if (b.pages < STRETCH || b.pages > 100000000 || !b.windows || !b.times) {
		(void)fprintf(stderr, "usage: forecast [PAGES [WINDOWS [ENTRIES [TIMES]]]]\n");
		return 2;
	}
	b.page = take(b.pages * sizeof(*b.page));
	b.runs = take(b.pages * sizeof(*b.runs));
	b.ranked = take(2 * (size_t)b.pages * sizeof(*b.ranked));
	b.spare = take(2 * (size_t)b.pages * sizeof(*b.spare));
	gw_set_init(&b.dirty, take(gw_set_words(TIB_PAGES) * sizeof(uint64_t)), TIB_PAGES);
	run(&b, 1);
	run(&b, STRETCH);
	return EXIT_SUCCESS;
}
