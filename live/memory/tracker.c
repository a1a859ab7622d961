/* SPDX-License-Identifier: MIT */
#include "live/memory/tracker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "live/memory/tracker_own.h"

/* Best first. */
static const struct gw_tracker_kind *const kinds[] = {&gw_tracker_pagemap, &gw_tracker_digest};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

int gw_own_set(struct gw_set *set, uint64_t pages, struct gw_error *error)
{
	uint64_t *words = calloc(gw_set_words(pages), sizeof(*words));

	if (!words)
		return gw_fail(error, ENOMEM, "out of memory for a set of %llu pages",
		               (unsigned long long)pages);
	gw_set_init(set, words, pages);
	return 0;
}

int gw_holes_compare(struct gw_tracker *tracker, struct gw_set *scratch, struct gw_set *dirty,
                     struct gw_error *error)
{
	struct gw_set *holes = &tracker->holes;
	int ret;

	gw_set_clear(scratch);
	ret = gw_ram_populated(tracker->ram, scratch, error);
	if (ret < 0)
		return ret;
	gw_set_invert(scratch); /* what is a hole now */
	gw_set_differ(holes, scratch);
	gw_set_union(dirty, holes);
	gw_set_copy(holes, scratch);
	return 0;
}

static int open_kind(struct gw_tracker *tracker, const struct gw_tracker_kind *kind,
                     struct gw_error *error)
{
	tracker->kind = kind;
	if (kind->needs_pid && !tracker->ram->pid)
		return gw_fail(error, ESRCH,
		               "the tracker %s needs the hypervisor's process, which is not known",
		               kind->name);
	return kind->open(tracker, error);
}

int gw_tracker_open(struct gw_tracker *tracker, const char *name, const struct gw_ram *ram,
                    bool direct_io, struct gw_error *error)
{
	int ret;

	*tracker = (struct gw_tracker){.ram = ram, .direct_io = direct_io, .may_punch = true};
	if (error)
		error->text[0] = '\0';
	ret = gw_own_set(&tracker->holes, ram->pages, error);
	if (ret < 0)
		return ret;
	ret = -EINVAL;
	for (size_t i = 0; i < KINDS && ret < 0; i++) {
		if (!name)
			/* The last one's failure is not to hide what the best one lacked. */
			ret = open_kind(tracker, kinds[i], i ? NULL : error);
		else if (strcmp(name, kinds[i]->name) == 0)
			ret = open_kind(tracker, kinds[i], error);
		else if (i + 1 == KINDS && !tracker->kind)
			gw_fail(error, EINVAL, "there is no tracker \"%s\": take pagemap or digest",
			        name);
	}
	if (ret < 0) {
		free(tracker->holes.words);
		*tracker = (struct gw_tracker){0};
	}
	return ret;
}

int gw_tracker_start(struct gw_tracker *tracker, struct gw_set *populated, struct gw_error *error)
{
	int ret = tracker->kind->start(tracker, populated, error);

	if (ret < 0)
		return ret;
	gw_set_fill(&tracker->holes);
	gw_set_subtract(&tracker->holes, populated);
	return 0;
}

int gw_tracker_scan(struct gw_tracker *tracker, struct gw_set *dirty, bool final,
                    struct gw_error *error)
{
	return tracker->kind->scan(tracker, dirty, final, error);
}

int gw_tracker_peek(struct gw_tracker *tracker, struct gw_set *dirty, struct gw_error *error)
{
	return tracker->kind->peek(tracker, dirty, error);
}

void gw_tracker_sending(struct gw_tracker *tracker, struct gw_run run, const void *contents)
{
	if (tracker->wants_copies)
		tracker->kind->sending(tracker, run, contents);
}

int gw_tracker_forget(struct gw_tracker *tracker, int timeout_ms, struct gw_error *error)
{
	if (!tracker->kind->forget)
		return gw_fail(error, ENOTSUP, "the tracker %s sees writes only",
		               tracker->kind->name);
	return tracker->kind->forget(tracker, timeout_ms, error);
}

int gw_tracker_accessed(struct gw_tracker *tracker, struct gw_set *pages, struct gw_error *error)
{
	return tracker->kind->accessed(tracker, pages, error);
}

void gw_tracker_close(struct gw_tracker *tracker)
{
	if (!tracker->kind)
		return;
	tracker->kind->stop(tracker);
	free(tracker->holes.words);
	*tracker = (struct gw_tracker){0};
}
