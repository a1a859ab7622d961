/* SPDX-License-Identifier: MIT */
/* idle: timers, logging, a housekeeping thread or two. Few touches, and always the same pages. */
#include "sim/workload/kinds.h"

static void next(struct sim_workload *w, unsigned vcpu, struct sim_touch *touch)
{
	struct sim_vcpu *v = sim_vcpu(w, vcpu);

	sim_pace(w, v, w->think, touch);
	touch->page = w->config.offset_pages + sim_skewed(w, v, w->config.set_pages);
}

const struct sim_workload_kind sim_workload_idle = {
        .name = "idle",
        .summary = "a few touches of the same pages",
        .keys = "working_set offset skew",
        .defaults = {.kind = &sim_workload_idle,
                     .write_pages_per_s = 50,
                     .read_pages_per_s = 100,
                     .cpu_share = 0.01,
                     SIM_SHAPE_DEFAULTS},
        .set_pages_max = 4096, /* 16 MiB */
        .next = next,
};
