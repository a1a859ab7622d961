/* SPDX-License-Identifier: MIT */
#include "sim/workload/workload.h"

#include <stdlib.h>
#include <string.h>

#include "sim/clock.h"
#include "sim/workload/kinds.h"

const struct sim_workload_kind *const sim_workloads[] = {
        &sim_workload_idle,     &sim_workload_random,
        &sim_workload_locality, &sim_workload_sequential,
        &sim_workload_chase,    &sim_workload_phases,
        &sim_workload_compile,  &sim_workload_server,
        &sim_workload_trace,    NULL,
};

const struct sim_workload_kind *sim_workload_find(const char *name)
{
	for (size_t i = 0; sim_workloads[i]; i++)
		if (!strcmp(sim_workloads[i]->name, name))
			return sim_workloads[i];
	return NULL;
}

static uint64_t default_set(const struct sim_workload_config *c, uint64_t ram_pages)
{
	const struct sim_workload_kind *kind = c->kind;
	uint64_t room = ram_pages - c->offset_pages;
	uint64_t set = kind->set_divisor ? ram_pages / kind->set_divisor : kind->set_pages_max;

	if (set > room)
		set = room;
	return set ? set : 1;
}

/* Comparisons are written so that NaN fails them. */
static const char *check_rates(const struct sim_workload_config *c, const char **key)
{
	*key = "write_rate";
	if (!(c->write_pages_per_s >= 0))
		return "is negative";
	*key = "read_rate";
	if (!(c->read_pages_per_s >= 0))
		return "is negative";
	if (!(c->write_pages_per_s + c->read_pages_per_s <= SIM_TOUCHES_PER_S_MAX))
		return "makes, with write_rate, more than a thousand million touches a second";
	*key = "cpu";
	if (!(c->cpu_share >= 0 && c->cpu_share <= 1))
		return "is no share between 0 and 1";
	return NULL;
}

static const char *check_set(struct sim_workload_config *c, uint64_t ram_pages, const char **key)
{
	*key = "offset";
	if (c->offset_pages >= ram_pages)
		return "lies beyond the VM's memory";
	if (!c->set_pages)
		c->set_pages = default_set(c, ram_pages);
	*key = "working_set";
	if (c->set_pages > ram_pages)
		return "is larger than the VM's memory";
	if (c->set_pages > ram_pages - c->offset_pages)
		return "reaches, from its offset, beyond the VM's memory";
	return NULL;
}

static const char *check_shape(const struct sim_workload_config *c, const char **key)
{
	*key = "skew";
	if (!(c->skew >= SIM_SKEW_NONE && c->skew < 1))
		return "is not at least 0.2 (none) and less than 1";
	*key = "drift";
	if (!(c->drift_pages_per_s >= 0 && c->drift_pages_per_s <= SIM_TOUCHES_PER_S_MAX))
		return "is not between 0 and a thousand million pages a second";
	*key = "stride";
	if (!c->stride_pages || c->stride_pages > c->set_pages)
		return "is not between one page and the working set";
	*key = "phases";
	if (!c->phases || c->phases > SIM_PHASES_MAX)
		return "is not between 1 and 1024";
	*key = "phase";
	if (!c->phase_ns)
		return "is zero";
	*key = "burst";
	if (!c->burst_ns)
		return "is zero";
	return NULL;
}

const char *sim_workload_check(struct sim_workload_config *config, uint64_t ram_pages,
                               unsigned vcpus, const char **key)
{
	const char *problem = check_rates(config, key);

	if (!problem)
		problem = check_set(config, ram_pages, key);
	if (!problem)
		problem = check_shape(config, key);
	*key = problem ? *key : "kind";
	if (!problem && config->kind->check)
		problem = config->kind->check(config, ram_pages, vcpus);
	return problem;
}

uint32_t sim_workload_cpu_permille(const struct sim_workload_config *config, uint64_t from_ns,
                                   uint64_t to_ns)
{
	if (config->kind->cpu_permille && to_ns > from_ns)
		return config->kind->cpu_permille(config, from_ns, to_ns);
	return (uint32_t)(config->cpu_share * 1000 + 0.5);
}

/* Its mean may be 19 hours at most, lest a sum overflows: as good as never. */
static uint64_t mean_think(double touches_per_s, unsigned vcpus)
{
	double think = 1e9 * vcpus / touches_per_s * (1u << SIM_THINK_SHIFT);
	uint64_t most = UINT64_C(1) << 62;

	if (touches_per_s <= 0)
		return 0;
	return think < (double)most ? (uint64_t)think : most;
}

static uint64_t share(double of_one)
{
	return (uint64_t)(of_one * (double)(UINT64_C(1) << SIM_WHOLE_SHIFT));
}

/* Each level of the skew is a fifth of the one before, and as hot within it. */
static void heat(struct sim_workload *w)
{
	uint64_t hot = share(w->config.skew), below = hot, fifth = UINT64_MAX;

	for (unsigned k = 0; k < SIM_LEVELS; k++) {
		fifth /= 5;
		w->hot_fifth[k] = fifth + 1;
		w->hot_below[k] = (uint32_t)below;
		below = (below * hot) >> SIM_WHOLE_SHIFT;
	}
}

struct sim_workload *sim_workload_new(const struct sim_workload_config *config, uint64_t ram_pages,
                                      unsigned vcpus, uint64_t seed)
{
	double touches = config->write_pages_per_s + config->read_pages_per_s;
	size_t stride = (sizeof(struct sim_vcpu) + config->kind->vcpu_bytes + 15) / 16 * 16;
	struct sim_workload *w = calloc(1, sizeof(*w) + vcpus * stride);

	if (!w)
		return NULL;
	w->config = *config;
	w->ram_pages = ram_pages;
	w->vcpus = vcpus;
	w->vcpu_stride = stride;
	w->think = mean_think(touches, vcpus);
	w->write_below = w->think ? share(config->write_pages_per_s / touches) : 0;
	heat(w);
	for (unsigned i = 0; i < vcpus; i++) {
		sim_vcpu(w, i)->chance = sim_chance_of(seed, i);
		if (config->kind->start)
			config->kind->start(w, i);
	}
	return w;
}

struct sim_workload *sim_workload_copy(const struct sim_workload *workload)
{
	size_t bytes = sizeof(*workload) + workload->vcpus * workload->vcpu_stride;
	struct sim_workload *copy = malloc(bytes);

	return copy ? memcpy(copy, workload, bytes) : NULL;
}

void sim_workload_free(struct sim_workload *workload)
{
	free(workload);
}

void sim_workload_next(struct sim_workload *workload, unsigned vcpu, struct sim_touch *touch)
{
	if (workload->think || workload->config.trace)
		workload->config.kind->next(workload, vcpu, touch);
	else
		*touch = (struct sim_touch){SIM_NEVER, 0, false};
}
