/* SPDX-License-Identifier: MIT */
/* random: every page of the working set is as likely as any other. */
#include "sim/workload/kinds.h"

static void next(struct sim_workload *w, unsigned vcpu, struct sim_touch *touch)
{
	struct sim_vcpu *v = sim_vcpu(w, vcpu);

	sim_pace(w, v, w->think, touch);
	touch->page = w->config.offset_pages + sim_chance_below(&v->chance, w->config.set_pages);
}

const struct sim_workload_kind sim_workload_random = {
        .name = "random",
        .summary = "all pages of the working set alike",
        .keys = "working_set offset",
        .defaults = {.kind = &sim_workload_random,
                     .write_pages_per_s = 10000,
                     .read_pages_per_s = 20000,
                     .cpu_share = 0.5,
                     SIM_SHAPE_DEFAULTS},
        .set_divisor = 1,
        .next = next,
};
