/* SPDX-License-Identifier: MIT */
#include "base/windows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t runs_in(const struct gw_set *set)
{
	struct gw_run run = {0, 0};
	size_t runs = 0;

	while (gw_set_next_run(set, run.first + run.count, set->pages, &run))
		runs++;
	return runs;
}

static size_t runs_of(const struct gw_window *window)
{
	return window->written_count + window->read_count;
}

static bool fits(const struct gw_windows *w, size_t runs)
{
	return (w->count + 1) * sizeof(*w->window) + (w->run_count + runs) * sizeof(*w->run) <=
	       w->bytes_max;
}

static void forget(struct gw_windows *w, size_t windows)
{
	size_t runs = 0;

	for (size_t i = 0; i < windows; i++)
		runs += runs_of(&w->window[i]);
	w->count -= windows;
	w->run_count -= runs;
	w->gone += windows;
	memmove(w->window, w->window + windows, w->count * sizeof(*w->window));
	memmove(w->run, w->run + runs, w->run_count * sizeof(*w->run));
}

/* Never NULL but for want of memory. */
static void *grow(void *array, size_t *room, size_t needed, size_t bytes)
{
	size_t more = *room + *room / 2 + 64;
	void *larger;

	if (array && needed <= *room)
		return array;
	if (more < needed)
		more = needed;
	larger = reallocarray(array, more, bytes);
	if (larger)
		*room = more;
	return larger;
}

static int make_room(struct gw_windows *w, size_t runs)
{
	void *larger;

	while (!fits(w, runs) && w->count)
		forget(w, (w->count + 1) / 2);
	if (!fits(w, runs))
		return -ENOMEM;
	larger = grow(w->window, &w->room, w->count + 1, sizeof(*w->window));
	if (!larger)
		return -ENOMEM;
	w->window = larger;
	larger = grow(w->run, &w->run_room, w->run_count + runs, sizeof(*w->run));
	if (!larger)
		return -ENOMEM;
	w->run = larger;
	return 0;
}

static size_t add_runs(struct gw_windows *w, const struct gw_set *set)
{
	struct gw_run run = {0, 0};
	size_t before = w->run_count;

	while (gw_set_next_run(set, run.first + run.count, set->pages, &run))
		w->run[w->run_count++] = run;
	return w->run_count - before;
}

int gw_windows_add(struct gw_windows *windows, const struct gw_window *like,
                   const struct gw_set *written, const struct gw_set *read)
{
	size_t runs = runs_in(written) + (like->read_sampled ? runs_in(read) : 0);
	struct gw_window *window;

	if (make_room(windows, runs)) {
		windows->gone += windows->count + 1;
		windows->count = windows->run_count = 0;
		return -ENOMEM;
	}
	window = &windows->window[windows->count++];
	*window = *like;
	window->written_count = add_runs(windows, written);
	window->read_count = like->read_sampled ? add_runs(windows, read) : 0;
	return 0;
}

const struct gw_window *gw_windows_all(struct gw_windows *windows)
{
	const struct gw_run *run = windows->run;

	for (size_t i = 0; i < windows->count; i++) {
		struct gw_window *window = &windows->window[i];

		window->written = run;
		window->read = run + window->written_count;
		run += runs_of(window);
	}
	return windows->window;
}

void gw_windows_clear(struct gw_windows *windows)
{
	free(windows->window);
	free(windows->run);
	*windows = (struct gw_windows){.bytes_max = windows->bytes_max};
}
