/* SPDX-License-Identifier: MIT */
/* sequential: each vCPU sweeps its slice of the working set, over and over. */
#include "sim/workload/kinds.h"

struct sweep {
	uint64_t first, pages; /* the slice */
	uint64_t at;
};

static void start(struct sim_workload *w, unsigned vcpu)
{
	struct sweep *sweep = sim_vcpu_own(sim_vcpu(w, vcpu));
	uint64_t set = w->config.set_pages;

	sweep->first = (uint64_t)((unsigned __int128)set * vcpu / w->vcpus);
	sweep->pages = (uint64_t)((unsigned __int128)set * (vcpu + 1) / w->vcpus) - sweep->first;
	/* More vCPUs than pages: some share one. */
	if (!sweep->pages)
		sweep->pages = 1;
	sweep->first += w->config.offset_pages;
}

static void next(struct sim_workload *w, unsigned vcpu, struct sim_touch *touch)
{
	struct sim_vcpu *v = sim_vcpu(w, vcpu);
	struct sweep *sweep = sim_vcpu_own(v);

	sim_pace(w, v, w->think, touch);
	touch->page = sweep->first + sweep->at;
	sweep->at += w->config.stride_pages;
	if (sweep->at >= sweep->pages)
		sweep->at = 0;
}

const struct sim_workload_kind sim_workload_sequential = {
        .name = "sequential",
        .summary = "sweeps over the working set, one page after the other",
        .keys = "working_set offset stride",
        .defaults = {.kind = &sim_workload_sequential,
                     .write_pages_per_s = 20000,
                     .read_pages_per_s = 0,
                     .cpu_share = 0.5,
                     SIM_SHAPE_DEFAULTS},
        .set_divisor = 1,
        .vcpu_bytes = sizeof(struct sweep),
        .start = start,
        .next = next,
};
