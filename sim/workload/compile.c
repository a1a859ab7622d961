/* SPDX-License-Identifier: MIT */
/*
 * compile: each vCPU runs one short job after the other, as make does.
 *
 *     working set    | files, a fifth | arena | arena | arena | ...      twice as many as vCPUs
 *
 * A job takes an arena, which an earlier job left, and fills it from its beginning: three of four
 * writes go to the next fresh page, the fourth to one written before. Half of its reads go to the
 * files, which are never written (sources and headers, hot ones first), half to its own arena.
 */
#include "sim/workload/kinds.h"

#define FILES_DIVISOR   5
#define ARENAS_PER_VCPU 2

struct job {
	uint64_t arena; /* its first page */
	uint64_t grown; /* pages it has filled */
	uint64_t fresh; /* the next to fill, from the arena's first; a full one is filled again */
	uint64_t left_ns;
};

static uint64_t files(const struct sim_workload *w)
{
	return w->config.set_pages / FILES_DIVISOR;
}

static uint64_t arena_pages(const struct sim_workload *w)
{
	return (w->config.set_pages - files(w)) / ((uint64_t)ARENAS_PER_VCPU * w->vcpus);
}

static const char *check(struct sim_workload_config *config, uint64_t ram_pages, unsigned vcpus)
{
	(void)ram_pages;
	if (config->set_pages < (uint64_t)2 * ARENAS_PER_VCPU * vcpus)
		return "needs a working set of at least four pages for each vCPU";
	return NULL;
}

static void begin(struct sim_workload *w, struct sim_vcpu *v, struct job *job)
{
	uint64_t arena = sim_chance_below(&v->chance, (uint64_t)ARENAS_PER_VCPU * w->vcpus);
	uint64_t length = w->config.phase_ns;

	job->arena = w->config.offset_pages + files(w) + arena * arena_pages(w);
	job->grown = job->fresh = 0;
	job->left_ns = length / 2 + sim_chance_below(&v->chance, length) + 1;
}

static void start(struct sim_workload *w, unsigned vcpu)
{
	struct sim_vcpu *v = sim_vcpu(w, vcpu);

	begin(w, v, sim_vcpu_own(v));
}

static uint64_t fill(const struct sim_workload *w, struct job *job)
{
	uint64_t at = job->fresh, room = arena_pages(w);

	job->fresh = at + 1 < room ? at + 1 : 0;
	if (job->grown < room)
		job->grown++;
	return job->arena + at;
}

/* The newest are the hottest. */
static uint64_t filled(const struct sim_workload *w, struct sim_vcpu *v, const struct job *job)
{
	uint64_t back = job->grown ? 1 + sim_skewed(w, v, job->grown) : 0;

	return job->arena + job->fresh + (back > job->fresh ? arena_pages(w) : 0) - back;
}

static void next(struct sim_workload *w, unsigned vcpu, struct sim_touch *touch)
{
	struct sim_vcpu *v = sim_vcpu(w, vcpu);
	struct job *job = sim_vcpu_own(v);
	uint64_t turn;

	sim_pace(w, v, w->think, touch);
	if (touch->think_ns < job->left_ns)
		job->left_ns -= touch->think_ns;
	else
		begin(w, v, job);
	turn = sim_chance_below(&v->chance, 4);
	if (touch->writes)
		touch->page = turn ? fill(w, job) : filled(w, v, job);
	else if (turn & 1 && files(w))
		touch->page = w->config.offset_pages + sim_skewed(w, v, files(w));
	else
		touch->page = filled(w, v, job);
}

const struct sim_workload_kind sim_workload_compile = {
        .name = "compile",
        .summary = "short jobs that fill fresh memory and read shared files",
        .keys = "working_set offset skew phase",
        .defaults = {.kind = &sim_workload_compile,
                     .write_pages_per_s = 20000,
                     .read_pages_per_s = 40000,
                     .cpu_share = 0.9,
                     SIM_SHAPE_DEFAULTS},
        .set_divisor = 2,
        .check = check,
        .vcpu_bytes = sizeof(struct job),
        .start = start,
        .next = next,
};
