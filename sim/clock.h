/* SPDX-License-Identifier: MIT */
/*
 * sim/clock.h - virtual time: what will happen, in its order.
 *
 * A happening is embedded in what it happens to; the clock borrows it while it is queued. Two at
 * the same instant happen in the order in which they were queued, so that a run is the same every
 * time.
 */
#ifndef GW_SIM_CLOCK_H
#define GW_SIM_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_NEVER UINT64_MAX

struct sim_happening {
	uint64_t at_ns, order; /* the clock's */
	size_t place;          /* in the clock's heap, from 1; 0: not queued */
	void (*happens)(struct sim_happening *self);
};

struct sim_clock {
	uint64_t now_ns;
	uint64_t order;
	size_t count, room;
	struct sim_happening **heap; /* owned */
};

/* The clock stands at 0. */
void sim_clock_init(struct sim_clock *clock);
/* Forgets what is queued; keeps its memory, for a next run. */
void sim_clock_reset(struct sim_clock *clock);
void sim_clock_free(struct sim_clock *clock);

/* Queues it, or moves it if it is queued; an instant that has passed counts as now. SIM_NEVER
 * cancels. */
void sim_clock_at(struct sim_clock *clock, struct sim_happening *happening, uint64_t at_ns);
void sim_clock_cancel(struct sim_clock *clock, struct sim_happening *happening);

/* When the next one happens; SIM_NEVER if nothing will. */
uint64_t sim_clock_next(const struct sim_clock *clock);
/* Lets the next one happen; false if there is none. */
bool sim_clock_step(struct sim_clock *clock);

static inline bool sim_queued(const struct sim_happening *happening)
{
	return happening->place != 0;
}

#endif
