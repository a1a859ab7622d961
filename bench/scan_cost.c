/* SPDX-License-Identifier: MIT */
/* What a scan of a GiB costs: scan_cost [TRACKER]. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "live/memory/tracker.h"
#include "tests/live/memory/stand_in.h"

#define PAGES 262144 /* a GiB */
#define TIMES 11

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double scan_ms(struct gw_tracker *tracker, struct gw_set *dirty, bool final)
{
	struct timespec from, to;
	struct gw_error error;

	gw_set_clear(dirty);
	clock_gettime(CLOCK_MONOTONIC, &from);
	if (gw_tracker_scan(tracker, dirty, final, &error) < 0) {
		(void)fprintf(stderr, "%s\n", error.text);
		exit(1);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	return (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
}

/* Writes every `step`-th of `pages` pages before each scan. */
static void measure(struct stand_in *s, struct gw_tracker *tracker, struct gw_set *dirty,
                    uint64_t pages, uint64_t step, bool final)
{
	double ms[TIMES];

	for (unsigned i = 0; i < TIMES; i++) {
		if (step == 1 && pages)
			stand_in_do(s, JOB_TOUCH, 0, pages, i);
		for (uint64_t k = 0; step > 1 && k < pages; k++)
			stand_in_do(s, JOB_TOUCH, k * step, 1, i);
		ms[i] = scan_ms(tracker, dirty, final);
	}
	qsort(ms, TIMES, sizeof(ms[0]), ascending);
	(void)printf("%s %llu dirty pages, step %llu%s: median %.3f ms, from %.3f to %.3f\n",
	             tracker->kind->name, (unsigned long long)pages, (unsigned long long)step,
	             final ? ", final" : "", ms[TIMES / 2], ms[0], ms[TIMES - 1]);
}

int main(int argc, char **argv)
{
	struct gw_tracker tracker;
	struct gw_error error;
	struct gw_set dirty;
	struct stand_in s;
	struct gw_ram ram;

	stand_in_start(&s, PAGES, 0);
	gw_set_init(&dirty, calloc(gw_set_words(PAGES), 8), PAGES);
	if (gw_ram_open(&ram, s.path, s.pid, &error) < 0 ||
	    gw_tracker_open(&tracker, argc > 1 ? argv[1] : NULL, &ram, false, &error) < 0 ||
	    gw_tracker_start(&tracker, &dirty, &error) < 0) {
		(void)fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	stand_in_do(&s, JOB_READ, 0, PAGES, 0);
	measure(&s, &tracker, &dirty, 0, 1, false);
	measure(&s, &tracker, &dirty, 0, 1, true);
	measure(&s, &tracker, &dirty, PAGES / 2, 1, false);
	measure(&s, &tracker, &dirty, 4096, 64, false);
	gw_tracker_close(&tracker);
	gw_ram_close(&ram);
	stand_in_end(&s);
	free(dirty.words);
	return 0;
}
