/* SPDX-License-Identifier: MIT */
#include "sim/clock.h"

#include <stdlib.h>
#include <string.h>

/* A heap with four children a node: shallower, and the children share a cache line. */
#define CHILDREN 4

void sim_clock_init(struct sim_clock *clock)
{
	memset(clock, 0, sizeof(*clock));
}

void sim_clock_reset(struct sim_clock *clock)
{
	for (size_t i = 0; i < clock->count; i++)
		clock->heap[i]->place = 0;
	clock->count = 0;
	clock->now_ns = clock->order = 0;
}

void sim_clock_free(struct sim_clock *clock)
{
	free(clock->heap);
	memset(clock, 0, sizeof(*clock));
}

static bool earlier(const struct sim_happening *a, const struct sim_happening *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void put(struct sim_clock *clock, size_t i, struct sim_happening *happening)
{
	clock->heap[i] = happening;
	happening->place = i + 1;
}

static void rise(struct sim_clock *clock, size_t i, struct sim_happening *happening)
{
	while (i && earlier(happening, clock->heap[(i - 1) / CHILDREN])) {
		put(clock, i, clock->heap[(i - 1) / CHILDREN]);
		i = (i - 1) / CHILDREN;
	}
	put(clock, i, happening);
}

static size_t first_child(const struct sim_clock *clock, size_t i)
{
	size_t first = CHILDREN * i + 1, best = first;

	for (size_t child = first + 1; child < first + CHILDREN && child < clock->count; child++)
		if (earlier(clock->heap[child], clock->heap[best]))
			best = child;
	return best;
}

static void sink(struct sim_clock *clock, size_t i, struct sim_happening *happening)
{
	while (CHILDREN * i + 1 < clock->count) {
		size_t child = first_child(clock, i);

		if (!earlier(clock->heap[child], happening))
			break;
		put(clock, i, clock->heap[child]);
		i = child;
	}
	put(clock, i, happening);
}

static void make_room(struct sim_clock *clock)
{
	if (clock->count < clock->room)
		return;
	clock->room = clock->room ? 2 * clock->room : 64;
	clock->heap = realloc(clock->heap, clock->room * sizeof(struct sim_happening *));
	if (!clock->heap)
		abort();
}

void sim_clock_cancel(struct sim_clock *clock, struct sim_happening *happening)
{
	size_t i = happening->place - 1;
	struct sim_happening *last;

	if (!happening->place)
		return;
	happening->place = 0;
	last = clock->heap[--clock->count];
	if (last == happening)
		return;
	if (i && earlier(last, clock->heap[(i - 1) / CHILDREN]))
		rise(clock, i, last);
	else
		sink(clock, i, last);
}

void sim_clock_at(struct sim_clock *clock, struct sim_happening *happening, uint64_t at_ns)
{
	sim_clock_cancel(clock, happening);
	if (at_ns == SIM_NEVER)
		return;
	make_room(clock);
	happening->at_ns = at_ns > clock->now_ns ? at_ns : clock->now_ns;
	happening->order = clock->order++;
	rise(clock, clock->count++, happening);
}

uint64_t sim_clock_next(const struct sim_clock *clock)
{
	return clock->count ? clock->heap[0]->at_ns : SIM_NEVER;
}

bool sim_clock_step(struct sim_clock *clock)
{
	struct sim_happening *first;

	if (!clock->count)
		return false;
	first = clock->heap[0];
	sim_clock_cancel(clock, first);
	clock->now_ns = first->at_ns;
	first->happens(first);
	return true;
}
