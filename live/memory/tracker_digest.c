/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. For each page the digest of the bytes last sent is kept; a scan compares all
 * populated pages with it. It costs one pass over the memory, and while the VM is paused it is
 * exact, whatever was missed before: so the pause grows by that pass. A page that was reported and
 * not sent yet is reported again.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "live/memory/tracker_own.h"

#define SAMPLE_PAGES 4096 /* 16 MiB */

struct digest {
	struct gw_set scratch;
	uint64_t zero;      /* of a page of zeros: what a hole stands for */
	uint64_t digests[]; /* of the bytes last sent; 0: never sent */
};

static int digest_open(struct gw_tracker *tracker, struct gw_error *error)
{
	static const uint8_t zeros[GW_PAGE_BYTES];
	uint64_t pages = tracker->ram->pages;
	struct digest *d = calloc(1, sizeof(*d) + pages * sizeof(d->digests[0]));
	int ret;

	if (!d)
		return gw_fail(error, ENOMEM, "out of memory for digests");
	ret = gw_own_set(&d->scratch, pages, error);
	if (ret < 0) {
		free(d);
		return ret;
	}
	d->zero = gw_page_digest(zeros);
	tracker->own = d;
	tracker->wants_copies = true;
	return 0;
}

/* A hole was told to the other side by being no part of `populated`, or by its report. */
static void note_holes(struct gw_tracker *tracker)
{
	struct digest *d = tracker->own;

	for (uint64_t page = gw_set_next(&tracker->holes, 0); page < tracker->holes.pages;
	     page = gw_set_next(&tracker->holes, page + 1))
		d->digests[page] = d->zero;
}

static int digest_start(struct gw_tracker *tracker, struct gw_set *populated,
                        struct gw_error *error)
{
	int ret = gw_ram_populated(tracker->ram, populated, error);

	if (ret < 0)
		return ret;
	gw_set_fill(&tracker->holes);
	gw_set_subtract(&tracker->holes, populated);
	note_holes(tracker);
	return 0;
}

/* `data`: the pages to look at. Reading them allocates nothing, as they are there. */
static void compare(struct gw_tracker *tracker, const struct gw_set *data, struct gw_set *dirty)
{
	struct digest *d = tracker->own;

	for (uint64_t page = gw_set_next(data, 0); page < data->pages;
	     page = gw_set_next(data, page + 1))
		if (gw_page_digest(tracker->ram->map + page * GW_PAGE_BYTES) != d->digests[page])
			gw_set_add(dirty, page);
}

static int digest_peek(struct gw_tracker *tracker, struct gw_set *dirty, struct gw_error *error)
{
	struct digest *d = tracker->own;
	int ret;

	gw_set_clear(&d->scratch);
	ret = gw_ram_populated(tracker->ram, &d->scratch, error);
	if (ret == 0)
		compare(tracker, &d->scratch, dirty);
	return ret;
}

static int digest_scan(struct gw_tracker *tracker, struct gw_set *dirty, bool final,
                       struct gw_error *error)
{
	struct digest *d = tracker->own;
	struct gw_set *holes = &tracker->holes;
	int ret = digest_peek(tracker, dirty, error);

	(void) final; /* each scan is as exact as the next; only the VM's being stopped matters */
	if (ret < 0)
		return ret;
	/* The data of now are in scratch: what else there is are holes, and some are new. */
	gw_set_fill(holes);
	gw_set_subtract(holes, &d->scratch);
	for (uint64_t page = gw_set_next(holes, 0); page < holes->pages;
	     page = gw_set_next(holes, page + 1)) {
		if (d->digests[page] == d->zero)
			continue;
		gw_set_add(dirty, page);
		d->digests[page] = d->zero;
	}
	return 0;
}

static void digest_sending(struct gw_tracker *tracker, struct gw_run run, const void *contents)
{
	struct digest *d = tracker->own;
	const uint8_t *bytes = contents;

	for (uint64_t i = 0; i < run.count; i++)
		d->digests[run.first + i] = gw_page_digest(bytes + i * GW_PAGE_BYTES);
}

static void digest_stop(struct gw_tracker *tracker)
{
	struct digest *d = tracker->own;

	free(d->scratch.words);
	free(d);
}

static uint64_t digest_pass_ns(struct gw_tracker *tracker, const struct gw_set *populated)
{
	uint64_t all = gw_set_count(populated), page = gw_set_next(populated, 0), ns;
	volatile uint64_t keep = 0;
	struct timespec begun, ended;
	unsigned n;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	for (n = 0; n < SAMPLE_PAGES && page < populated->pages; n++) {
		keep = keep ^ gw_page_digest(tracker->ram->map + page * GW_PAGE_BYTES);
		page = gw_set_next(populated, page + 1);
	}
	clock_gettime(CLOCK_MONOTONIC, &ended);
	ns = (uint64_t)((ended.tv_sec - begun.tv_sec) * 1000000000 + ended.tv_nsec - begun.tv_nsec);
	return n ? (uint64_t)((double)ns / n * (double)all) : 0;
}

const struct gw_tracker_kind gw_tracker_digest = {
        .name = "digest",
        .summary = "compares a digest of each page with what was last sent (needs no rights; costs "
                   "memory bandwidth and a longer pause)",
        .open = digest_open,
        .start = digest_start,
        .scan = digest_scan,
        .peek = digest_peek,
        .sending = digest_sending,
        .stop = digest_stop,
        .pass_ns = digest_pass_ns,
};
