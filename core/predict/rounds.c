/* SPDX-License-Identifier: MIT */
#include "core/predict/rounds.h"

#include <string.h>

/* Windows first ... last - 1 as one. */
static struct gw_stretch join(const struct gw_observation *o, size_t first, size_t last,
                              struct gw_set *scratch)
{
	double ns = 0, cpu = 0, bytes = 0;

	gw_set_clear(scratch);
	for (size_t i = first; i < last; i++) {
		const struct gw_window *w = &o->windows[i];

		for (size_t r = 0; r < w->written_count; r++)
			gw_set_add_run(scratch, w->written[r]);
		ns += (double)w->length_ns;
		cpu += (double)w->cpu_permille * (double)w->length_ns;
		bytes += (double)w->network_bytes;
	}
	if (!(ns > 0))
		ns = 1;
	return (struct gw_stretch){
	        .pages = (float)gw_set_count(scratch),
	        .seconds = (float)(ns / 1e9),
	        .cpu = o->cpu_known ? (float)(cpu / ns) : -1,
	        .network = o->network_known ? (float)(bytes * 1e9 / ns) : -1,
	};
}

void gw_rounds_start(struct gw_rounds *rounds, const struct gw_observation *observation,
                     struct gw_set *scratch)
{
	memset(rounds, 0, sizeof(*rounds));
	for (unsigned l = 0; l < GW_STRETCH_LENGTHS; l++) {
		size_t windows = (size_t)1 << 2 * l, fit = observation->count / windows;
		unsigned count = fit < GW_STRETCHES ? (unsigned)fit : GW_STRETCHES;

		rounds->stretches[l] = count;
		for (unsigned i = 0; i < count; i++) {
			size_t last = observation->count - (count - 1 - i) * windows;

			rounds->stretch[l][i] = join(observation, last - windows, last, scratch);
		}
	}
	gw_set_clear(scratch);
}

void gw_rounds_add(struct gw_rounds *rounds, const struct gw_seen *seen)
{
	if (rounds->count == GW_ROUNDS_KEPT) {
		rounds->count--;
		memmove(rounds->seen, rounds->seen + 1, rounds->count * sizeof(*seen));
	}
	rounds->seen[rounds->count++] = *seen;
}

/* By their ratio; both are more than 0. */
static bool is_nearer(float a, float than, float to)
{
	float one = a > to ? a / to : to / a, other = than > to ? than / to : to / than;

	return one < other;
}

const struct gw_stretch *gw_rounds_stretches(const struct gw_rounds *rounds, unsigned *count)
{
	const struct gw_stretch *nearest = NULL;
	float wanted = rounds->count ? rounds->seen[rounds->count - 1].seconds : 1e9f;

	*count = 0;
	for (unsigned l = 0; l < GW_STRETCH_LENGTHS; l++) {
		const struct gw_stretch *s = rounds->stretch[l];

		if (!rounds->stretches[l] || !(s->seconds > 0) || !(wanted > 0))
			continue;
		if (nearest && !is_nearer(s->seconds, nearest->seconds, wanted))
			continue;
		nearest = s;
		*count = rounds->stretches[l];
	}
	return nearest;
}

static double of_series(const struct gw_rounds *rounds, const struct gw_count_predictor *predictor)
{
	double dirty_pages[GW_ROUNDS_KEPT];

	for (unsigned i = 0; i < rounds->count; i++)
		dirty_pages[i] = (double)rounds->seen[i].dirty_pages;
	return rounds->count ? predictor->of_series(dirty_pages, rounds->count) : -1;
}

struct gw_round_forecast gw_rounds_forecast(const struct gw_rounds *rounds,
                                            const struct gw_count_predictor *predictor,
                                            const struct gw_next_round *next)
{
	struct gw_round_forecast f = {.pages = -1};

	if (predictor->of_series)
		f.pages = of_series(rounds, predictor);
	else
		predictor->next(rounds, next, &f);
	if (f.pages > next->most_pages)
		f.pages = next->most_pages;
	if (f.pages >= 0 && f.pages < next->left_out_pages)
		f.pages = next->left_out_pages;
	return f;
}
