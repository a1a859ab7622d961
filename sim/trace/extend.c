/* SPDX-License-Identifier: MIT */
#include "sim/trace/extend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/chance.h"

#define TIMES 4

struct extending {
	const struct sim_trace *seen;
	size_t windows;             /* of it */
	uint64_t pages;             /* of memory */
	struct gw_set often[TIMES]; /* written in 1, 2, 3, 4 windows, at least */
	struct gw_set window;       /* that is being made */
	uint64_t *casual;           /* pages that were seen by chance, ascending */
	size_t casual_count;
	uint64_t *pool; /* those and the unseen; the first casual_count stand for `casual` */
	size_t pool_count;
	uint32_t unseen_permille;
	size_t first; /* window with which it goes on */
	struct gw_window *all;
	size_t all_count;
	struct gw_run *runs;
	size_t run_count, run_room;
	struct sim_chance chance;
};

/* --- how often pages were seen -------------------------------------------------------------- */

static int new_sets(struct extending *e)
{
	size_t words = gw_set_words(e->pages);
	uint64_t *memory = calloc((TIMES + 1) * words, sizeof(*memory));

	if (!memory)
		return -ENOMEM;
	for (size_t i = 0; i < TIMES; i++)
		gw_set_init(&e->often[i], memory + i * words, e->pages);
	gw_set_init(&e->window, memory + TIMES * words, e->pages);
	return 0;
}

static void see(struct extending *e, uint64_t page)
{
	size_t times = 0;

	while (times + 1 < TIMES && gw_set_has(&e->often[times], page))
		times++;
	gw_set_add(&e->often[times], page);
}

static void count(struct extending *e)
{
	for (size_t i = 0; i < e->windows; i++) {
		const struct gw_window *w = sim_trace_window(e->seen, i);

		for (size_t k = 0; k < w->written_count; k++)
			for (uint64_t p = 0; p < w->written[k].count; p++)
				see(e, w->written[k].first + p);
	}
}

/* f(r): pages that were seen in so many windows. */
static uint64_t pages_seen(const struct extending *e, unsigned times)
{
	return gw_set_count(&e->often[times - 1]) - gw_set_count(&e->often[times]);
}

/* As far as there are pages: those that hold data, and were not written. */
static uint64_t unseen(const struct extending *e, uint64_t there)
{
	double f1 = (double)pages_seen(e, 1), f2 = (double)pages_seen(e, 2);
	double bound = f1 > 0 ? f1 * (f1 - 1) / (2.0 * (f2 + 1)) : 0;

	bound *= e->unseen_permille / 1000.0;
	return bound < (double)there ? (uint64_t)bound : there;
}

/* Of those that were seen twice. */
static uint64_t twice_by_chance(const struct extending *e)
{
	double f2 = (double)pages_seen(e, 2), f3 = (double)pages_seen(e, 3);

	return 2 * f2 > 3 * f3 ? (uint64_t)(f2 - 1.5 * f3) : 0;
}

/* Evenly so many of as many as are left to ask about. */
static bool is_drawn(struct extending *e, uint64_t *left, uint64_t *there)
{
	bool drawn = *left && sim_chance_below(&e->chance, *there) < *left;

	--*there;
	*left -= drawn;
	return drawn;
}

static void add_casual(struct extending *e)
{
	uint64_t there = pages_seen(e, 2), left = twice_by_chance(e), page;
	const struct gw_set *seen = &e->often[0];

	for (page = gw_set_next(seen, 0); page < e->pages; page = gw_set_next(seen, page + 1)) {
		bool twice = gw_set_has(&e->often[1], page);

		if (gw_set_has(&e->often[2], page) || (twice && !is_drawn(e, &left, &there)))
			continue;
		e->pool[e->pool_count++] = e->casual[e->casual_count++] = page;
	}
}

static void add_unseen(struct extending *e, uint64_t left, uint64_t there)
{
	const struct gw_set *populated = sim_trace_populated(e->seen);

	for (uint64_t page = gw_set_next(populated, 0); page < e->pages && left;
	     page = gw_set_next(populated, page + 1))
		if (!gw_set_has(&e->often[0], page) && is_drawn(e, &left, &there))
			e->pool[e->pool_count++] = page;
}

static int make_pool(struct extending *e)
{
	const struct gw_set *populated = sim_trace_populated(e->seen);
	size_t casual = pages_seen(e, 1) + pages_seen(e, 2);
	uint64_t there = gw_set_count(populated) - gw_set_count_common(populated, &e->often[0]);
	uint64_t left = unseen(e, there);

	e->pool = calloc(casual + left + 1, sizeof(*e->pool));
	e->casual = calloc(casual + 1, sizeof(*e->casual));
	if (!e->pool || !e->casual)
		return -ENOMEM;
	add_casual(e);
	add_unseen(e, left, there);
	return 0;
}

/* --- windows -------------------------------------------------------------------------------- */

/* Each time around the casual ones stand for as many different pages: what is written within the
 * length of the observation is as much as it was. */
static void draw(struct extending *e)
{
	for (size_t i = 0; i < e->casual_count; i++) {
		size_t other = i + sim_chance_below(&e->chance, e->pool_count - i);
		uint64_t page = e->pool[i];

		e->pool[i] = e->pool[other];
		e->pool[other] = page;
	}
}

static uint64_t stands_for(const struct extending *e, uint64_t page)
{
	size_t low = 0, high = e->casual_count;

	if (gw_set_has(&e->often[2], page))
		return page;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (e->casual[middle] < page)
			low = middle + 1;
		else
			high = middle;
	}
	return low < e->casual_count && e->casual[low] == page ? e->pool[low] : page;
}

static void draw_window(struct extending *e, const struct gw_window *w)
{
	gw_set_clear(&e->window);
	for (size_t k = 0; k < w->written_count; k++)
		for (uint64_t p = 0; p < w->written[k].count; p++)
			gw_set_add(&e->window, stands_for(e, w->written[k].first + p));
}

/* Runs are numbered until all are there, for they move as their room grows. */
static int keep_window(struct extending *e, const struct gw_window *like)
{
	struct gw_window *w = &e->all[e->all_count];
	uint64_t from = 0;
	struct gw_run run;

	*w = *like;
	w->written = NULL;
	w->written_count = 0;
	for (; gw_set_next_run(&e->window, from, e->pages, &run); from = run.first + run.count) {
		if (e->run_count == e->run_room) {
			size_t room = 2 * e->run_room + 4096;
			struct gw_run *more = reallocarray(e->runs, room, sizeof(*more));

			if (!more)
				return -ENOMEM;
			e->runs = more;
			e->run_room = room;
		}
		e->runs[e->run_count++] = run;
		w->written_count++;
	}
	e->all_count++;
	return 0;
}

static const struct gw_window *next_of(const struct extending *e, size_t number)
{
	return sim_trace_window(e->seen, (e->first + number) % e->windows);
}

static int draw_all(struct extending *e, size_t times)
{
	int err = 0;

	for (size_t i = e->windows; i < times * e->windows && !err; i++) {
		if (i % e->windows == 0 && e->run_count > SIM_EXTENDED_RUNS_MAX)
			return 0;
		if (i % e->windows == 0)
			draw(e);
		draw_window(e, next_of(e, i));
		err = keep_window(e, next_of(e, i));
	}
	return err;
}

/* One after the other in time; those that were drawn find their runs. */
static void settle(struct extending *e)
{
	size_t at = 0;
	uint64_t end_ns = 0;

	for (size_t i = 0; i < e->all_count; i++) {
		struct gw_window *w = &e->all[i];

		w->start_ns = end_ns;
		end_ns += w->length_ns;
		if (i < e->windows)
			continue;
		w->written = e->runs + at;
		at += w->written_count;
	}
}

static uint64_t length_of(const struct sim_trace *trace)
{
	uint64_t ns = 0;

	for (size_t i = 0; i < sim_trace_windows(trace); i++)
		ns += sim_trace_window(trace, i)->length_ns;
	return ns;
}

static int extend(struct extending *e, uint64_t length_ns)
{
	uint64_t times = length_ns / (length_of(e->seen) + 1) + 1;
	int err = new_sets(e);

	if (times > SIM_EXTENDED_WINDOWS_MAX / e->windows)
		times = SIM_EXTENDED_WINDOWS_MAX / e->windows;
	times = times < 2 ? 2 : times;
	e->all = calloc(times * e->windows, sizeof(*e->all));
	if (err || !e->all)
		return -ENOMEM;
	for (; e->all_count < e->windows; e->all_count++)
		e->all[e->all_count] = *sim_trace_window(e->seen, e->all_count);
	count(e);
	err = make_pool(e);
	if (!err)
		err = draw_all(e, times);
	settle(e);
	return err;
}

int sim_trace_extend(struct sim_extended *extended, const struct sim_trace *seen, size_t first,
                     uint64_t length_ns, uint32_t unseen_permille, uint64_t seed)
{
	struct extending e = {.seen = seen,
	                      .first = first,
	                      .windows = sim_trace_windows(seen),
	                      .pages = sim_trace_head(seen)->ram_pages,
	                      .unseen_permille = unseen_permille,
	                      .chance = sim_chance_of(seed, 0)};
	int err = extend(&e, length_ns);

	*extended = (struct sim_extended){.runs = e.runs};
	if (!err)
		extended->trace = sim_trace_with(seen, e.all, e.all_count);
	free(e.often[0].words);
	free(e.pool);
	free(e.casual);
	free(e.all);
	if (extended->trace)
		return 0;
	sim_extended_clear(extended);
	return -ENOMEM;
}

void sim_extended_clear(struct sim_extended *extended)
{
	sim_trace_free(extended->trace);
	free(extended->runs);
	*extended = (struct sim_extended){0};
}
