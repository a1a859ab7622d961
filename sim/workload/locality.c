/* SPDX-License-Identifier: MIT */
/*
 * locality: a working set with hot and cold pages, which may move through memory.
 *
 *     pages     . . . c c c c c c c c c c c c h h h H . . .      the newest are the hottest
 *                     |<------ working set ------>|  --> drift
 */
#include "sim/workload/kinds.h"

/* A page is 2^48: a set that drifts slowly is still where it should be after hours. */
#define PAGE_SHIFT 48

struct place {
	uint64_t base;  /* where the working set begins now */
	uint64_t moved; /* less than a page, of 2^48 */
	uint64_t speed; /* pages a nanosecond, of 2^48 */
};

static void start(struct sim_workload *w, unsigned vcpu)
{
	struct place *place = sim_vcpu_own(sim_vcpu(w, vcpu));

	place->base = w->config.offset_pages;
	place->speed =
	        (uint64_t)(w->config.drift_pages_per_s / 1e9 * (double)(UINT64_C(1) << PAGE_SHIFT));
}

static void move(const struct sim_workload *w, struct place *place, uint64_t ns)
{
	unsigned __int128 way = (unsigned __int128)place->speed * ns + place->moved;
	uint64_t pages = (uint64_t)(way >> PAGE_SHIFT);

	place->moved = (uint64_t)way & ((UINT64_C(1) << PAGE_SHIFT) - 1);
	if (pages)
		place->base = sim_around(w, place->base, pages % w->ram_pages);
}

static void next(struct sim_workload *w, unsigned vcpu, struct sim_touch *touch)
{
	struct sim_vcpu *v = sim_vcpu(w, vcpu);
	struct place *place = sim_vcpu_own(v);
	uint64_t set = w->config.set_pages;

	sim_pace(w, v, w->think, touch);
	move(w, place, touch->think_ns);
	touch->page = sim_around(w, place->base, set - 1 - sim_skewed(w, v, set));
}

const struct sim_workload_kind sim_workload_locality = {
        .name = "locality",
        .summary = "hot and cold pages in a working set that may drift",
        .keys = "working_set offset skew drift",
        .defaults = {.kind = &sim_workload_locality,
                     .write_pages_per_s = 10000,
                     .read_pages_per_s = 20000,
                     .cpu_share = 0.5,
                     SIM_SHAPE_DEFAULTS},
        .set_divisor = 10,
        .vcpu_bytes = sizeof(struct place),
        .start = start,
        .next = next,
};
