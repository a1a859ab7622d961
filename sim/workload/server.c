/* SPDX-License-Identifier: MIT */
/*
 * server: requests come in bursts; between them the vCPUs rest.
 *
 *     touches   ||||||||.............................|||||||||||......................||||||
 *               |<- 1/8 of the time between bursts   |<-- burst, uniform in [0.5, 1.5] -->|
 *
 *     working set    | log and buffers, a fifth, a ring | data, hot ones first |
 *
 * Half of the writes go to the ring, page after page; all other touches to the data. The rates are
 * kept on average: a burst has as many touches as fall into the time between two of them.
 */
#include "sim/workload/kinds.h"

#define RING_DIVISOR  5
#define BUSY_DIVISOR  8
#define TOUCHES_SHIFT 16

struct line {
	uint64_t touches; /* of this burst, still to come */
	uint64_t owed;    /* of a touch, of 2^16 */
	uint64_t log;     /* where the ring is written next */
};

/* No burst has less than one touch. */
static uint64_t burst_ns(const struct sim_workload *w)
{
	uint64_t least = (w->think >> SIM_THINK_SHIFT) + 1;

	return w->config.burst_ns > least ? w->config.burst_ns : least;
}

/* Sets how many touches the burst has; returns how long the vCPU rests before it. */
static uint64_t rest(const struct sim_workload *w, struct sim_vcpu *v, struct line *line)
{
	uint64_t burst = burst_ns(w), quiet = burst - burst / BUSY_DIVISOR, ns = 0;
	uint64_t mean = (uint64_t)(((unsigned __int128)burst << (SIM_THINK_SHIFT + TOUCHES_SHIFT)) /
	                           w->think);

	while (!line->touches) {
		line->owed += mean / 2 + sim_chance_below(&v->chance, mean);
		line->touches = line->owed >> TOUCHES_SHIFT;
		line->owed &= (1u << TOUCHES_SHIFT) - 1;
		ns += quiet / 2 + sim_chance_below(&v->chance, quiet);
	}
	return ns;
}

static uint64_t choose(const struct sim_workload *w, struct sim_vcpu *v, struct line *line,
                       bool writes)
{
	uint64_t set = w->config.set_pages, ring = set / RING_DIVISOR, at = line->log;

	if (!ring || !writes || (sim_chance_next(&v->chance) & 1))
		return ring + sim_skewed(w, v, set - ring);
	line->log = at + 1 < ring ? at + 1 : 0;
	return at;
}

static void start(struct sim_workload *w, unsigned vcpu)
{
	struct line *line = sim_vcpu_own(sim_vcpu(w, vcpu));

	line->log = w->config.set_pages / RING_DIVISOR * vcpu / w->vcpus;
}

static void next(struct sim_workload *w, unsigned vcpu, struct sim_touch *touch)
{
	struct sim_vcpu *v = sim_vcpu(w, vcpu);
	struct line *line = sim_vcpu_own(v);
	uint64_t quiet = line->touches ? 0 : rest(w, v, line);

	sim_pace(w, v, w->think / BUSY_DIVISOR, touch);
	touch->think_ns += quiet;
	line->touches--;
	touch->page = w->config.offset_pages + choose(w, v, line, touch->writes);
}

const struct sim_workload_kind sim_workload_server = {
        .name = "server",
        .summary = "bursts of requests over data with hot pages, and a log",
        .keys = "working_set offset skew burst",
        .defaults = {.kind = &sim_workload_server,
                     .write_pages_per_s = 5000,
                     .read_pages_per_s = 20000,
                     .cpu_share = 0.3,
                     .network_bytes_per_s = 5000000,
                     SIM_SHAPE_DEFAULTS},
        .set_divisor = 4,
        .vcpu_bytes = sizeof(struct line),
        .start = start,
        .next = next,
};
