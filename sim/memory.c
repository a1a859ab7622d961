/* SPDX-License-Identifier: MIT */
/*
 * sim/memory.c - guest memory on both hosts: sets of pages and, where they are kept, versions.
 *
 *   populated   no hole                  full      and not all zero
 *   written     since it was protected   present   at the destination
 *
 * Version 0 is a page of zeros, or a hole.
 */
#include "sim/inside.h"

#include <string.h>

#define LARGE_PAGES 65536u /* from here on memory is populated in stretches ... */
#define STRETCH     512u   /* ... of 2 MiB, as huge pages and large buffers do */

static void new_set(struct migration *m, struct gw_set *set)
{
	uint64_t pages = m->spec.ram_pages;

	gw_set_init(set, sim_take(m->world, gw_set_words(pages) * sizeof(uint64_t)), pages);
}

static uint32_t *new_versions(struct migration *m)
{
	size_t bytes = m->spec.ram_pages * sizeof(uint32_t);
	uint32_t *versions;

	if (!m->world->versions)
		return NULL;
	versions = sim_take(m->world, bytes);
	memset(versions, 0, bytes);
	return versions;
}

/* A share of 1 as 2^32: compared with the high half of a number drawn. */
static uint64_t threshold(double share)
{
	return share >= 1 ? (uint64_t)1 << 32 : (uint64_t)(share * 4294967296.0);
}

static bool falls_below(struct migration *m, uint64_t limit)
{
	return (sim_chance_next(&m->chance) >> 32) < limit;
}

static void give_versions(struct migration *m, struct gw_run run)
{
	for (; m->source.content && run.count; run.first++, run.count--)
		m->source.content[run.first] = (uint32_t)++m->version;
}

static void populate(struct migration *m)
{
	uint64_t pages = m->spec.ram_pages, step = pages < LARGE_PAGES ? 1 : STRETCH;
	uint64_t populated = threshold(m->spec.populated_share);
	uint64_t zero = threshold(m->spec.zero_share);
	struct gw_run run = {0, step};

	for (; run.first < pages; run.first += step) {
		if (pages - run.first < step)
			run.count = pages - run.first;
		if (!falls_below(m, populated))
			continue;
		gw_set_add_run(&m->source.populated, run);
		if (falls_below(m, zero))
			continue;
		gw_set_add_run(&m->source.full, run);
		give_versions(m, run);
	}
}

/* What the device state points at: a few pages, which live names to the source. */
static void name_hot_pages(struct migration *m)
{
	uint64_t pages = m->spec.ram_pages;
	uint32_t i;

	m->hot_count = m->config.pages ? m->config.hot : SIM_HOT_MAX;
	for (i = 0; i < m->hot_count; i++)
		m->hot[i] = (struct gw_run){pages * i / m->hot_count, 1};
}

void sim_memory_init(struct migration *m)
{
	new_set(m, &m->source.populated);
	new_set(m, &m->source.full);
	new_set(m, &m->source.written);
	new_set(m, &m->source.scanned);
	new_set(m, &m->dest.present);
	m->source.content = new_versions(m);
	m->dest.content = new_versions(m);
	m->dest.noted = new_versions(m);
	m->expected = new_versions(m);
	populate(m);
	name_hot_pages(m);
}

void sim_memory_free(struct migration *m)
{
	struct sim_world *w = m->world;

	sim_give(w, m->source.populated.words);
	sim_give(w, m->source.full.words);
	sim_give(w, m->source.written.words);
	sim_give(w, m->source.scanned.words);
	sim_give(w, m->dest.present.words);
	sim_give(w, m->source.content);
	sim_give(w, m->dest.content);
	sim_give(w, m->dest.noted);
	sim_give(w, m->expected);
}
