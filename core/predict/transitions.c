/* SPDX-License-Identifier: MIT */
#include "core/predict/transitions.h"

void gw_transitions_add(struct gw_transitions *t, bool modified)
{
	if (t->samples)
		t->count[t->last][modified]++;
	t->samples++;
	t->ones += modified;
	t->last = modified;
}

/* Not __builtin_popcountll: without a -march that has it, gcc calls into its run-time library. */
static uint64_t ones(uint64_t bits)
{
	uint64_t count = 0;

	for (; bits; bits &= bits - 1)
		count++;
	return count;
}

struct gw_transitions gw_transitions_of(uint64_t history, unsigned length)
{
	uint64_t all = length >= 64 ? UINT64_MAX : ((uint64_t)1 << length) - 1;
	uint64_t earlier, later, pairs;
	struct gw_transitions t = {.samples = length, .last = history & 1};

	if (!length)
		return (struct gw_transitions){0};
	history &= all;
	t.ones = ones(history);
	/* Bit i of both: a sample, and the one that came after it. */
	earlier = history >> 1;
	pairs = all >> 1;
	later = history & pairs;
	t.count[1][1] = ones(earlier & later);
	t.count[1][0] = ones(earlier & ~later);
	t.count[0][1] = ones(~earlier & later & pairs);
	t.count[0][0] = ones(~earlier & ~later & pairs);
	return t;
}

double gw_transitions_share(const struct gw_transitions *t, bool from, bool to)
{
	uint64_t leaving = t->count[from][0] + t->count[from][1];

	return leaving ? (double)t->count[from][to] / (double)leaving : 0.5;
}

double gw_modification_rate(const struct gw_transitions *t)
{
	return t->samples ? (double)t->ones / (double)t->samples : 0;
}
