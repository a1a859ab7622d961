/* SPDX-License-Identifier: MIT */
/* sim/world.c - what happens, in its order, and the lines that tell it. */
#include "sim/inside.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *const sim_side_names[SIM_SIDES] = {"source", "destination"};

/* splitmix64 */
static uint64_t dice(struct sim_world *w)
{
	uint64_t z = w->chance += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t sim_dice_below(struct sim_world *w, uint64_t limit)
{
	return limit ? dice(w) % limit : 0;
}

void *sim_need(size_t bytes)
{
	void *memory = calloc(1, bytes ? bytes : 1);

	if (!memory)
		abort();
	return memory;
}

void sim_violated(struct sim_world *w, const char *format, ...)
{
	va_list args;

	if (w->violation[0])
		return;
	va_start(args, format);
	(void)vsnprintf(w->violation, sizeof(w->violation), format, args);
	va_end(args);
	if (w->config.trace)
		(void)fprintf(w->config.trace, "VIOLATION %s\n", w->violation);
}

void sim_line(struct sim_world *w, int side, const char *format, ...)
{
	char text[1024] = "";
	va_list args;
	int used;

	w->lines++;
	if (sim_listens(w)) {
		used = snprintf(text, sizeof(text), "%llu.%06llu %-11s ",
		                (unsigned long long)(w->now / 1000000000u),
		                (unsigned long long)(w->now % 1000000000u / 1000u),
		                side == SIM_SIDES ? "world" : sim_side_names[side]);
		va_start(args, format);
		(void)vsnprintf(text + used, sizeof(text) - (size_t)used, format, args);
		va_end(args);
		if (w->config.trace)
			(void)fprintf(w->config.trace, "%s\n", text);
	}
	sim_strike_at(w, text);
}

static bool earlier(const struct happening *a, const struct happening *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

struct happening *sim_will(struct sim_world *w, enum what what, int side, uint64_t at)
{
	struct happening *h = sim_need(sizeof(*h));

	h->what = what;
	h->side = side;
	h->at = at;
	h->order = w->order++;
	h->incarnation = w->agent[side].incarnation;
	h->epoch = w->agent[side].epoch;
	h->next = NULL;
	if (w->heap_count == w->heap_room) {
		w->heap_room = w->heap_room ? 2 * w->heap_room : 64;
		w->heap = realloc(w->heap, w->heap_room * sizeof(struct happening *));
		if (!w->heap)
			abort();
	}
	size_t i = w->heap_count++;

	while (i && earlier(h, w->heap[(i - 1) / 2])) {
		w->heap[i] = w->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->heap[i] = h;
	w->waiting += what != GUEST;
	return h;
}

static struct happening *take_next(struct sim_world *w)
{
	struct happening *top = w->heap[0], *last = w->heap[--w->heap_count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < w->heap_count) {
		if (child + 1 < w->heap_count && earlier(w->heap[child + 1], w->heap[child]))
			child++;
		if (!earlier(w->heap[child], last))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	if (w->heap_count)
		w->heap[i] = last;
	w->waiting -= top->what != GUEST;
	return top;
}

static void forget(struct happening *h)
{
	free(h->data);
	free(h);
}

static void happen(struct sim_world *w, struct happening *h)
{
	bool current = w->agent[h->side].alive && w->agent[h->side].incarnation == h->incarnation;

	switch (h->what) {
	case ANSWER:
		if (current && h->event.kind == GW_EV_LINK_UP &&
		    w->agent[h->side].epoch != h->epoch)
			h->event = (struct gw_event){.kind = GW_EV_LINK_LOST,
			                             .text = "it broke at once"};
		if (current)
			sim_give_answer(w, h);
		break;
	case LOSS:
		if (current)
			sim_lose(w, h);
		break;
	case CONNECT:
		if (current)
			sim_connect_again(w);
		break;
	case PARCEL: sim_parcel_came(w, h); break;
	case RESTART: sim_restart(w, h->side); break;
	case ROOM:
		w->room_asked = false;
		if (current && gw_source_wants_room(w->agent[SIM_SOURCE].memory))
			sim_step(w, SIM_SOURCE, &(struct gw_event){.kind = GW_EV_ROOM});
		else
			sim_ask_for_room(w);
		break;
	case TAKE_UP:
		if (current && h->epoch == w->agent[SIM_SOURCE].epoch)
			sim_take_up(w, h);
		break;
	case COMMAND: sim_command_done(w, h); break;
	case GUEST: sim_guest_lives(w, h); break;
	}
}

static void tick(struct sim_world *w, int side, uint64_t at)
{
	if (w->now == at || at < w->now) {
		if (++w->ticks > 64)
			sim_violated(w, "%s: the deadline spins in %s", sim_side_names[side],
			             gw_state_name(side == SIM_SOURCE
			                                   ? gw_source_state(w->agent[side].memory)
			                                   : gw_destination_state(
			                                             w->agent[side].memory)));
	} else {
		w->ticks = 0;
	}
	if (at > w->now)
		w->now = at;
	sim_step(w, side, &(struct gw_event){.kind = GW_EV_TICK});
}

static bool settled(const struct sim_world *w)
{
	return !w->agent[SIM_SOURCE].alive && !w->agent[SIM_DESTINATION].alive && !w->waiting;
}

void sim_world_run(struct sim_world *w)
{
	while (!w->violation[0]) {
		uint64_t s = sim_deadline(w, SIM_SOURCE), d = sim_deadline(w, SIM_DESTINATION);
		uint64_t first = w->heap_count ? w->heap[0]->at : UINT64_MAX;

		if (settled(w) || (!w->waiting && s == UINT64_MAX && d == UINT64_MAX)) {
			if (sim_person(w))
				continue;
			break;
		}
		if (w->now > 7200ull * 1000000000u || w->steps > 30000) {
			sim_violated(w, "it never ends: source in %s, destination in %s",
			             w->agent[SIM_SOURCE].alive
			                     ? gw_state_name(
			                               gw_source_state(w->agent[SIM_SOURCE].memory))
			                     : "none",
			             w->agent[SIM_DESTINATION].alive
			                     ? gw_state_name(gw_destination_state(
			                               w->agent[SIM_DESTINATION].memory))
			                     : "none");
			break;
		}
		if (first <= s && first <= d) {
			struct happening *h = take_next(w);

			if (h->at > w->now) {
				w->now = h->at;
				w->ticks = 0;
			}
			happen(w, h);
			forget(h);
		} else {
			tick(w, s <= d ? SIM_SOURCE : SIM_DESTINATION, s <= d ? s : d);
		}
	}
	sim_judge(w);
}

struct sim_world *sim_world_new(const struct sim_world_config *config)
{
	struct sim_world *w = sim_need(sizeof(*w));
	struct agent *s = &w->agent[SIM_SOURCE];

	w->config = *config;
	w->chance = config->seed;
	w->now = 1000000;
	sim_make_hosts(w);
	sim_start_destination(w, true);
	sim_start_source(w);
	s->has_journal = s->journal_open = true;
	s->record = GW_REC_LEAVING;
	s->pages = config->pages;
	sim_attach(w);
	sim_will(w, ANSWER, SIM_SOURCE, w->now)->event.kind = GW_EV_START;
	return w;
}

void sim_world_free(struct sim_world *w)
{
	while (w->heap_count)
		forget(take_next(w));
	free(w->heap);
	free(w->agent[SIM_SOURCE].memory);
	free(w->agent[SIM_DESTINATION].memory);
	sim_free_hosts(w);
	free(w);
}

const char *sim_world_violation(const struct sim_world *w)
{
	return w->violation[0] ? w->violation : NULL;
}

uint64_t sim_world_lines(const struct sim_world *w)
{
	return w->lines;
}

uint64_t sim_world_now_ns(const struct sim_world *w)
{
	return w->now;
}

unsigned sim_world_faults_struck(const struct sim_world *w)
{
	return w->struck;
}

enum gw_journal_record sim_world_record(const struct sim_world *w, int side)
{
	return w->agent[side].record;
}

const char *sim_world_end(const struct sim_world *w, int side)
{
	return w->agent[side].end;
}
