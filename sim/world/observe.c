/* SPDX-License-Identifier: MIT */
/*
 * sim/world/observe.c - what is seen of the guest: in windows before its move, as live/host/watch.c
 * sees it, and in each round.
 *
 *     begins |<- 50 ms ->|<- 50 ms ->| ... | the move
 *
 * A look takes no time of the guest's; its first write to a page in a window costs it what a
 * protected page costs in a round.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/trace/trace.h"
#include "sim/world/inside.h"

#define WINDOW_NS  50000000u
#define READ_EVERY 10
#define BYTES_MAX  ((size_t)64 << 20) /* for the windows of one VM */

struct sim_observer {
	struct sim_happening looks; /* when a window ends */
	struct migration *m;
	uint64_t begun_ns, until_ns;
	size_t windows;
	struct sim_counts last;
	bool sampling;
	struct gw_set read; /* in a window that is sampled */
	struct gw_windows kept;
};

/* --- counts --------------------------------------------------------------------------------- */

static struct sim_counts count(const struct migration *m)
{
	uint64_t now = m->traffic ? sim_flow_sent_bytes(m->traffic) : 0;

	return (struct sim_counts){
	        .at_ns = sim_now(m),
	        .network_bytes = m->traffic_bytes + now,
	        .link_bytes = sim_network_carried(m->world->network, m->spec.path[0]),
	};
}

static uint32_t cpu_permille(const struct migration *m, const struct sim_counts *from,
                             const struct sim_counts *to)
{
	return sim_workload_cpu_permille(&m->spec.workload, from->at_ns - m->lives_since_ns,
	                                 to->at_ns - m->lives_since_ns);
}

/* A recording may not say. */
static bool cpu_known(const struct migration *m)
{
	const struct sim_trace *trace = m->spec.workload.trace;

	return !trace || sim_trace_head(trace)->cpu_known;
}

static bool network_known(const struct migration *m)
{
	const struct sim_trace *trace = m->spec.workload.trace;

	return !trace || sim_trace_head(trace)->network_known;
}

static uint64_t per_s(uint64_t bytes, uint64_t ns)
{
	return ns ? (uint64_t)((unsigned __int128)bytes * SIM_BILLION / ns) : 0;
}

void sim_activity_begins(struct migration *m)
{
	m->counted = count(m);
}

struct gw_activity sim_activity(struct migration *m)
{
	const struct sim_counts last = m->counted, now = count(m);
	uint64_t ns = now.at_ns - last.at_ns;

	m->counted = now;
	return (struct gw_activity){
	        .cpu_known = cpu_known(m),
	        .network_known = network_known(m),
	        .link_known = true,
	        .cpu_permille = cpu_permille(m, &last, &now),
	        .memory_pages = gw_set_count(&m->source.populated),
	        .network_bytes_per_s = per_s(now.network_bytes - last.network_bytes, ns),
	        .link_bytes_per_s = per_s(now.link_bytes - last.link_bytes, ns),
	};
}

/* --- windows -------------------------------------------------------------------------------- */

uint64_t sim_observes_ns(const struct migration *m)
{
	const struct sim_move *move = &m->spec.move;
	struct gw_policy policy;
	struct gw_order order;

	if (m->spec.paused || m->spec.observation.count)
		return 0;
	if (move->observe_ns != SIM_AS_POLICY)
		return move->observe_ns;
	if (sim_move_init(move, &policy, &order, NULL))
		abort(); /* the scenario was checked */
	return gw_policy_observes_ns(&policy);
}

static void begin_window(struct sim_observer *o)
{
	uint64_t end = sim_now(o->m) + WINDOW_NS;

	o->sampling = o->windows % READ_EVERY == 0;
	if (o->sampling)
		gw_set_clear(&o->read);
	sim_clock_at(&o->m->world->clock, &o->looks, end < o->until_ns ? end : o->until_ns);
}

static void end_window(struct sim_observer *o)
{
	struct migration *m = o->m;
	const struct sim_counts last = o->last, now = count(m);
	const struct gw_window like = {
	        .start_ns = last.at_ns - o->begun_ns,
	        .length_ns = now.at_ns - last.at_ns,
	        .read_sampled = o->sampling,
	        .cpu_permille = cpu_permille(m, &last, &now),
	        .network_bytes = now.network_bytes - last.network_bytes,
	};

	sim_guest_lives(m);
	sim_take_written(m);
	if (o->sampling)
		gw_set_subtract(&o->read, &m->source.scanned);
	(void)gw_windows_add(&o->kept, &like, &m->source.scanned, &o->read);
	o->last = now;
	o->windows++;
}

static void looks(struct sim_happening *self)
{
	struct sim_observer *o = SIM_OWNER(self, struct sim_observer, looks);
	struct migration *m = o->m;

	end_window(o);
	if (sim_now(m) < o->until_ns) {
		begin_window(o);
		return;
	}
	sim_give(m->world, o->read.words);
	o->read.words = NULL;
	o->sampling = m->source.tracking = false;
	sim_clock_at(&m->world->clock, &m->begins, sim_now(m));
}

void sim_observe(struct migration *m, uint64_t for_ns)
{
	struct sim_observer *o = sim_take(m->world, sizeof(*o));
	uint64_t pages = m->spec.ram_pages;

	*o = (struct sim_observer){.looks.happens = looks,
	                           .m = m,
	                           .begun_ns = sim_now(m),
	                           .until_ns = sim_now(m) + for_ns,
	                           .last = count(m),
	                           .kept.bytes_max = BYTES_MAX};
	gw_set_init(&o->read, sim_take(m->world, gw_set_words(pages) * sizeof(uint64_t)), pages);
	m->observer = o;
	m->source.tracking = true;
	begin_window(o);
}

void sim_sees_read(struct migration *m, uint64_t page)
{
	if (m->observer->sampling)
		gw_set_add(&m->observer->read, page);
}

uint64_t sim_observed_ns(struct migration *m)
{
	const struct gw_observation observation = sim_observed(m);
	uint64_t ns = 0;

	for (size_t i = 0; i < observation.count; i++)
		ns += observation.windows[i].length_ns;
	return ns;
}

struct gw_observation sim_observed(struct migration *m)
{
	struct sim_observer *o = m->observer;

	if (!o)
		return m->spec.observation;
	return (struct gw_observation){.windows = gw_windows_all(&o->kept),
	                               .count = o->kept.count,
	                               .cpu_known = cpu_known(m),
	                               .network_known = network_known(m)};
}

void sim_observer_free(struct migration *m)
{
	struct sim_observer *o = m->observer;

	if (!o)
		return;
	sim_clock_cancel(&m->world->clock, &o->looks);
	gw_windows_clear(&o->kept);
	sim_give(m->world, o->read.words);
	sim_give(m->world, o);
	m->observer = NULL;
}
