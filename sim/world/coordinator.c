/* SPDX-License-Identifier: MIT */
/*
 * sim/world/coordinator.c - who of those that leave by a link moves, and how fast.
 *
 * Each link that is the first of somebody's path is divided by the scenario's bandwidth policy: at
 * every interval, and whenever a move begins, stands or ends. Moves begin when the policy says so.
 * What it grants becomes the ceiling of the migration's class, what it reserves the guarantee of
 * the VM's own traffic.
 *
 * Of many that wait the first ones are looked at, in the order of the list: what a policy could
 * gain from the thousandth is not worth a thousandfold cost.
 */
#include "sim/run.h"
#include "sim/world/inside.h"

#include <stdlib.h>
#include <string.h>

#define WAITING_MAX 256

struct share {
	struct sim_happening divides;
	struct sim_world *world;
	unsigned link;
	uint64_t bytes_per_s;
	uint64_t used_bytes_per_s;  /* by VMs that have moved, and send over it from there */
	struct migration **members; /* owned; those whose move is not over, in their order */
	size_t count, room;
	struct gw_mover *movers; /* owned; of the members that are looked at */
	struct gw_grant *grants; /* owned */
	struct migration **seen; /* owned; likewise */
};

struct coordinator {
	struct sim_sharing sharing;
	struct share *shares; /* owned; one a link */
	size_t count;
};

/* --- what is seen of a VM -------------------------------------------------------------------- */

static void look_at_traffic(struct migration *m)
{
	uint64_t now = sim_now(m), sent, passed = now - m->seen_ns;

	if (!m->traffic || passed < m->world->coordinator->sharing.interval_ns / 2)
		return;
	sent = sim_flow_sent_bytes(m->traffic);
	gw_traffic_add(&m->seen, (uint64_t)((unsigned __int128)(sent - m->seen_bytes) *
	                                    SIM_BILLION / passed));
	m->seen_bytes = sent;
	m->seen_ns = now;
}

/* Of the last round; before there is one, what an observation in windows of a second would show. */
static uint64_t dirty_rate(const struct migration *m)
{
	const struct sim_vm_outcome *r = m->result;
	const struct sim_workload_config *c = &m->spec.workload;
	double pages = c->write_pages_per_s;

	if (r && r->round_count && r->rounds[r->round_count - 1].duration_ns) {
		const struct gw_round *last = &r->rounds[r->round_count - 1];

		return (uint64_t)((unsigned __int128)last->dirty_pages * GW_PAGE_BYTES *
		                  SIM_BILLION / last->duration_ns);
	}
	if (c->set_pages && pages > (double)c->set_pages)
		pages = (double)c->set_pages;
	return m->spec.paused ? 0 : (uint64_t)(pages * GW_PAGE_BYTES);
}

static enum gw_mover_state state_of(const struct migration *m)
{
	const struct agent *s = &m->agent[SIM_SOURCE];

	if (m->phase == PHASE_WAITS)
		return GW_MOVER_WAITS;
	if (m->phase == PHASE_OBSERVES)
		return GW_MOVER_BEGINS;
	return s->alive ? gw_mover_state_of(gw_source_state(s->memory)) : GW_MOVER_SWITCHES;
}

static uint64_t bytes_of_memory(const struct migration *m)
{
	return (uint64_t)((double)m->spec.ram_pages * m->spec.populated_share *
	                  (1 - m->spec.zero_share)) *
	       GW_PAGE_BYTES;
}

/* Of this round, and what was dirtied since it began: that is for the next one. */
static uint64_t bytes_left(const struct migration *m)
{
	const struct agent *s = &m->agent[SIM_SOURCE];
	uint64_t done, all, dirtied = 0;

	if (m->phase != PHASE_MOVES || !s->alive ||
	    gw_source_state(s->memory) < GW_STATE_ITERATIVE_PRE_COPY)
		return bytes_of_memory(m);
	gw_source_progress(s->memory, &done, &all);
	if (!all)
		return bytes_of_memory(m); /* what there is to send is not known yet */
	if (state_of(m) == GW_MOVER_COPIES && m->granted_bytes_per_s)
		dirtied = (uint64_t)((unsigned __int128)dirty_rate(m) * done * GW_PAGE_BYTES /
		                     m->granted_bytes_per_s);
	return (all > done ? (all - done) * GW_PAGE_BYTES : 0) + dirtied;
}

/* It goes no faster: the user's limit, or one agent's path. */
static uint64_t most_of(const struct migration *m)
{
	uint64_t limit = m->spec.move.limit_bytes_per_s, path = m->world->costs.copy_bytes_per_s;

	if (!limit || !path)
		return limit ? limit : path;
	return limit < path ? limit : path;
}

static void look(struct migration *m, struct gw_mover *mover)
{
	struct gw_policy policy;

	look_at_traffic(m);
	*mover = (struct gw_mover){
	        .state = state_of(m),
	        .dirty_bytes_per_s = dirty_rate(m),
	        .traffic_bytes_per_s = gw_traffic_mean(&m->seen),
	        .traffic_next_bytes_per_s = gw_traffic_next(&m->seen),
	        .cpu_permille = (uint32_t)(m->spec.workload.cpu_share * 1000),
	        .left_bytes = sim_with_headers(bytes_left(m)),
	        .limit_bytes_per_s = sim_with_headers(most_of(m)),
	        .deadline_ns = m->spec.by_ns,
	        .pulls = !gw_policy_init(&policy, m->spec.move.policy) && policy.kind->pulls,
	        .first_pass = !m->result || !m->result->round_count,
	        .priority = m->spec.priority,
	};
}

/* --- dividing -------------------------------------------------------------------------------- */

/* How many more may begin on this link. */
static size_t may_begin(const struct share *share)
{
	const struct sim_world *w = share->world;
	unsigned at_once = w->coordinator->sharing.at_once;
	size_t may = WAITING_MAX, under_way = 0;

	for (size_t i = 0; at_once && i < share->count; i++)
		under_way += share->members[i]->phase != PHASE_WAITS ||
		             sim_queued(&share->members[i]->begins);
	if (at_once)
		may = at_once > under_way ? at_once - under_way : 0;
	if (w->at_once && w->running + may > w->at_once)
		may = w->at_once > w->running ? w->at_once - w->running : 0;
	return may < WAITING_MAX ? may : WAITING_MAX;
}

/* Those under way, and the first of those that may begin; how many. */
static size_t choose(struct share *share)
{
	size_t count = 0, waiting = 0, may = may_begin(share);

	for (size_t i = 0; i < share->count; i++) {
		struct migration *m = share->members[i];

		if (m->phase == PHASE_WAITS && (sim_queued(&m->begins) || waiting == may ||
		                                m->spec.start_ns > share->world->clock.now_ns))
			continue;
		waiting += m->phase == PHASE_WAITS;
		share->seen[count] = m;
		look(m, &share->movers[count++]);
	}
	return count;
}

static void carry_out(struct migration *m, const struct gw_grant *grant)
{
	sim_guest_reserve(m, grant->reserved_bytes_per_s);
	if (m->phase == PHASE_WAITS && !grant->waits) {
		m->world->running++;
		sim_clock_at(&m->world->clock, &m->begins, sim_now(m));
	}
	if (state_of(m) != GW_MOVER_SETTLES)
		sim_grant(m, grant->rate_bytes_per_s);
}

static void divides(struct sim_happening *self)
{
	struct share *share = SIM_OWNER(self, struct share, divides);
	struct coordinator *c = share->world->coordinator;
	struct gw_uplink link = {.now_ns = share->world->clock.now_ns,
	                         .total_bytes_per_s = share->bytes_per_s,
	                         .used_bytes_per_s = share->used_bytes_per_s,
	                         .next_ns = c->sharing.interval_ns};
	size_t count = choose(share);

	gw_bandwidth_divide(&c->sharing.policy, &link, share->movers, share->grants, count);
	for (size_t i = 0; i < count; i++)
		carry_out(share->seen[i], &share->grants[i]);
	if (share->count)
		sim_clock_at(&share->world->clock, self,
		             share->world->clock.now_ns + c->sharing.interval_ns);
}

void sim_has_stepped(struct migration *m)
{
	enum gw_mover_state now = m->share ? state_of(m) : GW_MOVER_WAITS;

	if (now == m->divided_as)
		return;
	m->divided_as = now;
	sim_divide_soon(m);
}

void sim_divide_soon(struct migration *m)
{
	if (m->share)
		sim_clock_at(&m->world->clock, &m->share->divides, sim_now(m));
}

void sim_leaves_link(struct migration *m)
{
	struct share *share = m->share;
	unsigned last = m->spec.path[m->spec.path_count - 1];
	size_t i = 0;

	if (!share)
		return;
	if (m->traffic)
		m->world->coordinator->shares[last].used_bytes_per_s +=
		        m->spec.workload.network_bytes_per_s;
	while (share->members[i] != m)
		i++;
	share->count--;
	memmove(&share->members[i], &share->members[i + 1],
	        (share->count - i) * sizeof(struct migration *));
	if (share->count)
		sim_divide_soon(m);
	else
		sim_clock_cancel(&m->world->clock, &share->divides);
}

/* --- the world's ----------------------------------------------------------------------------- */

static void join(struct share *share, struct migration *m)
{
	if (share->count == share->room) {
		share->room = share->room ? 2 * share->room : 16;
		share->members =
		        reallocarray(share->members, share->room, sizeof(struct migration *));
		if (!share->members)
			abort();
	}
	share->members[share->count++] = m;
	m->share = share;
	m->seen_ns = sim_now(m);
}

static void prepare(struct share *share, struct sim_world *w)
{
	share->world = w;
	share->divides.happens = divides;
	share->movers = sim_need(share->count * sizeof(*share->movers));
	share->grants = sim_need(share->count * sizeof(*share->grants));
	share->seen = sim_need(share->count * sizeof(struct migration *));
	if (share->count)
		sim_clock_at(&w->clock, &share->divides, 0);
}

void sim_coordinate(struct sim_world *w, const struct sim_sharing *sharing,
                    const struct sim_link_config *links, size_t link_count)
{
	struct coordinator *c = sim_need(sizeof(*c));

	c->sharing = *sharing;
	c->count = link_count;
	c->shares = sim_need(link_count * sizeof(*c->shares));
	w->coordinator = c;
	for (size_t i = 0; i < w->count; i++)
		join(&c->shares[w->migrations[i].spec.path[0]], &w->migrations[i]);
	for (size_t i = 0; i < link_count; i++) {
		c->shares[i].link = (unsigned)i;
		c->shares[i].bytes_per_s = links[i].bytes_per_s;
		prepare(&c->shares[i], w);
	}
}

void sim_coordinator_free(struct sim_world *w)
{
	struct coordinator *c = w->coordinator;

	for (size_t i = 0; c && i < c->count; i++) {
		free(c->shares[i].members);
		free(c->shares[i].movers);
		free(c->shares[i].grants);
		free(c->shares[i].seen);
	}
	if (c)
		free(c->shares);
	free(c);
}
