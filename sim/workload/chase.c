/* SPDX-License-Identifier: MIT */
/*
 * chase: pointers are followed from page to page, through a ring that holds the working set once:
 * no page is near the one before it, and each comes back after all the others. As `sequential` each
 * vCPU has its part of the set; the next page is known only to who has read this one.
 */
#include "sim/workload/kinds.h"

struct chase {
	uint64_t first, pages; /* its part of the set */
	uint64_t at, factor;   /* at' = at * factor + 1, modulo the power of two above `pages` */
	uint64_t mask;
};

static void start(struct sim_workload *w, unsigned vcpu)
{
	struct sim_vcpu *v = sim_vcpu(w, vcpu);
	struct chase *c = sim_vcpu_own(v);
	uint64_t set = w->config.set_pages;

	c->first = (uint64_t)((unsigned __int128)set * vcpu / w->vcpus);
	c->pages = (uint64_t)((unsigned __int128)set * (vcpu + 1) / w->vcpus) - c->first;
	if (!c->pages) /* more vCPUs than pages: some share one */
		c->pages = 1;
	c->first += w->config.offset_pages;
	c->mask = 1;
	while (c->mask < c->pages)
		c->mask *= 2;
	c->mask--;
	/* Of full period: Hull and Dobell, Random Number Generators (SIAM Review 1962). */
	c->factor = (sim_chance_next(&v->chance) & c->mask & ~(uint64_t)7) + 5;
	c->at = sim_chance_below(&v->chance, c->pages);
}

static void follow(struct chase *c)
{
	do
		c->at = (c->at * c->factor + 1) & c->mask;
	while (c->at >= c->pages);
}

static void next(struct sim_workload *w, unsigned vcpu, struct sim_touch *touch)
{
	struct sim_vcpu *v = sim_vcpu(w, vcpu);
	struct chase *c = sim_vcpu_own(v);

	sim_pace(w, v, w->think, touch);
	touch->page = c->first + c->at;
	follow(c);
}

const struct sim_workload_kind sim_workload_chase = {
        .name = "chase",
        .summary = "follows pointers from page to page, none near the one before",
        .keys = "working_set offset",
        .defaults = {.kind = &sim_workload_chase,
                     .write_pages_per_s = 2000,
                     .read_pages_per_s = 20000,
                     .cpu_share = 0.5,
                     SIM_SHAPE_DEFAULTS},
        .set_divisor = 4,
        .vcpu_bytes = sizeof(struct chase),
        .start = start,
        .next = next,
};
