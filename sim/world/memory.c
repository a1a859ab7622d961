/* SPDX-License-Identifier: MIT */
/*
 * sim/world/memory.c - guest memory on both hosts: sets of pages and, where they are kept,
 * versions.
 *
 *   populated   no hole                  full      and not all zero
 *   written     since it was protected   present   at the destination
 *
 * Version 0 is a page of zeros, or a hole.
 */
#include "sim/world/inside.h"

#include <string.h>

#include "sim/trace/trace.h"

#define LARGE_PAGES (UINT64_C(1) << 16) /* memory is populated in stretches of ... */
#define STRETCH     512u                /* ... 2 MiB, as huge pages and large buffers do ... */
#define GIANT_PAGES (UINT64_C(1) << 20) /* ... and from here on in whole chunks of a page set */

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

/* Spreads a share evenly over stretches, to the page. */
struct spread {
	uint64_t share; /* as threshold() */
	uint64_t due;   /* pages, 2^32 of them each */
};

/* Is this stretch one of them? */
static bool falls_to(struct spread *spread, uint64_t pages)
{
	spread->due += pages * spread->share;
	if (spread->due < pages << 32)
		return false;
	spread->due -= pages << 32;
	return true;
}

static void fill(struct migration *m, struct gw_run run)
{
	gw_set_add_run(&m->source.full, run);
	give_versions(m, run);
}

static void clear_first(struct migration *m, uint64_t pages)
{
	struct gw_run run;

	while (pages && gw_set_next_run(&m->source.full, 0, pages, &run)) {
		gw_set_remove_run(&m->source.full, run);
		if (m->source.content)
			memset(m->source.content + run.first, 0, run.count * sizeof(uint32_t));
		pages -= run.count;
	}
}

/* All that is populated but the zero share: what fell to no whole stretch of it comes first. */
static void fill_evenly(struct migration *m, struct spread zero, uint64_t step)
{
	struct gw_run run = {0, 0};

	while (gw_set_next_run(&m->source.populated, run.first + run.count, step, &run))
		if (!falls_to(&zero, run.count))
			fill(m, run);
	clear_first(m, zero.due >> 32);
}

static void populate_evenly(struct migration *m, uint64_t step)
{
	uint64_t pages = m->spec.ram_pages;
	struct spread populated = {threshold(m->spec.populated_share), 0};
	struct gw_run run = {0, step}, part = {0, 0};

	for (; run.first < pages; run.first += step) {
		if (pages - run.first < step)
			run.count = pages - run.first;
		if (falls_to(&populated, run.count))
			gw_set_add_run(&m->source.populated, run);
		else if (!part.count)
			part = run;
	}
	part.count = populated.due >> 32 < part.count ? populated.due >> 32 : part.count;
	gw_set_add_run(&m->source.populated, part);
	fill_evenly(m, (struct spread){threshold(m->spec.zero_share), 0}, step);
}

static void populate_by_chance(struct migration *m)
{
	uint64_t populated = threshold(m->spec.populated_share);
	uint64_t zero = threshold(m->spec.zero_share);
	struct gw_run run = {0, 1};

	for (; run.first < m->spec.ram_pages; run.first++) {
		if (!falls_below(m, populated))
			continue;
		gw_set_add(&m->source.populated, run.first);
		if (!falls_below(m, zero))
			fill(m, run);
	}
}

static void fill_known(struct migration *m, const struct gw_set *filled)
{
	struct gw_run run = {0, 0};

	while (filled && gw_set_next_run(filled, run.first + run.count, filled->pages, &run))
		fill(m, run);
}

/* Playing may begin within the recording. */
static void fill_written_before(struct migration *m, const struct sim_trace *trace)
{
	for (size_t i = 0; i < sim_trace_windows(trace); i++) {
		const struct gw_window *window = sim_trace_window(trace, i);

		if (window->start_ns + window->length_ns > m->spec.workload.from_ns)
			return;
		for (size_t k = 0; k < window->written_count; k++) {
			gw_set_add_run(&m->source.populated, window->written[k]);
			fill(m, window->written[k]);
		}
	}
}

/* A trace knows which pages held data; of those that were zero it knows how many. */
static void populate_as_recorded(struct migration *m)
{
	const struct sim_trace *trace = m->spec.workload.trace;
	const struct sim_trace_head *head = sim_trace_head(trace);
	double zero = head->populated_pages
	                      ? (double)head->zero_pages / (double)head->populated_pages
	                      : 0;

	gw_set_copy(&m->source.populated, sim_trace_populated(trace));
	fill_evenly(m, (struct spread){threshold(zero), 0}, 1);
	fill_known(m, sim_trace_filled(trace));
	fill_written_before(m, trace);
}

static void populate(struct migration *m)
{
	uint64_t pages = m->spec.ram_pages;

	if (m->spec.workload.trace)
		populate_as_recorded(m);
	else if (pages < LARGE_PAGES)
		populate_by_chance(m);
	else
		populate_evenly(m, pages < GIANT_PAGES ? STRETCH : GW_CHUNK_PAGES);
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
	new_set(m, &m->dest.untouched);
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
	sim_give(w, m->dest.untouched.words);
	sim_give(w, m->source.content);
	sim_give(w, m->dest.content);
	sim_give(w, m->dest.noted);
	sim_give(w, m->expected);
}
