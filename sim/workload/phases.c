/* SPDX-License-Identifier: MIT */
/*
 * phases: working sets take turns, at equal distances in memory, each for one phase: a program
 * that comes back to the same steps. Within a phase it is as `locality` without drift.
 */
#include "sim/workload/kinds.h"

struct turn {
	uint64_t base;    /* of the set whose turn it is */
	uint64_t left_ns; /* of the phase */
	unsigned phase;
};

static uint64_t base_of(const struct sim_workload *w, unsigned phase)
{
	uint64_t distance = w->ram_pages / w->config.phases;

	return sim_around(w, w->config.offset_pages, distance * phase);
}

static void start(struct sim_workload *w, unsigned vcpu)
{
	struct turn *turn = sim_vcpu_own(sim_vcpu(w, vcpu));

	turn->base = base_of(w, 0);
	turn->left_ns = w->config.phase_ns;
}

static void pass(const struct sim_workload *w, struct turn *turn, uint64_t ns)
{
	uint64_t length = w->config.phase_ns;

	if (ns < turn->left_ns) {
		turn->left_ns -= ns;
		return;
	}
	ns -= turn->left_ns;
	turn->phase = (unsigned)((turn->phase + 1 + ns / length) % w->config.phases);
	turn->left_ns = length - ns % length;
	turn->base = base_of(w, turn->phase);
}

static void next(struct sim_workload *w, unsigned vcpu, struct sim_touch *touch)
{
	struct sim_vcpu *v = sim_vcpu(w, vcpu);
	struct turn *turn = sim_vcpu_own(v);

	sim_pace(w, v, w->think, touch);
	pass(w, turn, touch->think_ns);
	touch->page = sim_around(w, turn->base, sim_skewed(w, v, w->config.set_pages));
}

const struct sim_workload_kind sim_workload_phases = {
        .name = "phases",
        .summary = "several working sets that take turns",
        .keys = "working_set offset skew phase phases",
        .defaults = {.kind = &sim_workload_phases,
                     .write_pages_per_s = 10000,
                     .read_pages_per_s = 20000,
                     .cpu_share = 0.5,
                     SIM_SHAPE_DEFAULTS},
        .set_divisor = 16,
        .vcpu_bytes = sizeof(struct turn),
        .start = start,
        .next = next,
};
