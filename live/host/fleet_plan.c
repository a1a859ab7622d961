/* SPDX-License-Identifier: MIT */
/*
 * live/host/fleet_plan.c - the plan for those that wait, from what is known of VMs, hosts and
 * links.
 */
#include "live/host/fleet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/policy.h"

/* As bench/evacuate.py found them: until the first page goes, what the link stands idle between two
 * moves, and from the last page to the release. */
#define BEGIN_NS  UINT64_C(200000000)
#define GAP_NS    UINT64_C(30000000)
#define SWITCH_NS UINT64_C(100000000)

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t gw_fleet_link(const struct gw_evacuation *e)
{
	if (e->options.link_bytes_per_s)
		return e->options.link_bytes_per_s;
	if (!e->link_bytes_per_s)
		return GW_ASSUMED_RATE;
	/* With room for one more than it was seen with, if that is being tried. */
	return larger(e->link_bytes_per_s, e->stream_bytes_per_s * e->streams);
}

uint64_t gw_fleet_way(const struct gw_evacuation *e, size_t host)
{
	uint64_t link = gw_fleet_link(e), way = e->hosts[host].link_bytes_per_s;

	return way && way < link ? way : link;
}

uint64_t gw_fleet_stream(const struct gw_evacuation *e)
{
	return e->stream_bytes_per_s ? e->stream_bytes_per_s : GW_ASSUMED_STREAM;
}

uint64_t gw_fleet_alone(const struct gw_evacuation *e, const struct gw_member *m)
{
	uint64_t rate = 0;

	for (size_t i = 0; i < e->host_count; i++)
		if (!e->hosts[i].silent && gw_fleet_way(e, i) > rate)
			rate = gw_fleet_way(e, i);
	if (!rate)
		rate = gw_fleet_link(e);
	if (gw_fleet_stream(e) < rate)
		rate = gw_fleet_stream(e);
	return m->limit_bytes_per_s && m->limit_bytes_per_s < rate ? m->limit_bytes_per_s : rate;
}

static bool may_pull(const char *name)
{
	struct gw_policy policy;

	return !name || (!gw_policy_init(&policy, name) && policy.kind->pulls);
}

static struct gw_fleet_vm vm_of(const struct gw_evacuation *e, const struct gw_member *m)
{
	uint64_t gone = gw_fleet_passed(e);

	return (struct gw_fleet_vm){
	        .memory_bytes = m->ram_bytes,
	        .send_bytes = m->data_bytes,
	        .dirty_bytes_per_s = m->dirty_bytes_per_s,
	        .hot_bytes = m->hot_bytes,
	        .limit_bytes_per_s = m->limit_bytes_per_s,
	        .deadline_ns = !m->deadline_ns         ? 0
	                       : m->deadline_ns > gone ? m->deadline_ns - gone
	                                               : 1,
	        .downtime_limit_ns = e->options.downtime_ns,
	        .priority = m->priority,
	        .group = m->group,
	        .may_pull = may_pull(e->options.policy),
	        .ways = m->ways,
	        .way_count = m->way_count,
	};
}

/* What a host can still take: less what is promised to those under way. */
static uint64_t room_of(const struct gw_evacuation *e, size_t host)
{
	uint64_t room = e->hosts[host].free_bytes;

	for (size_t i = 0; i < e->count; i++) {
		const struct gw_member *m = &e->members[i];

		if (m->state == GW_MEMBER_MOVES && m->host == host)
			room = room > m->data_bytes ? room - m->data_bytes : 0;
	}
	return room;
}

/* When those under way are over, as far as one can tell. */
static uint64_t busy_ns(const struct gw_evacuation *e)
{
	uint64_t left = 0;

	for (size_t i = 0; i < e->count; i++) {
		const struct gw_member *m = &e->members[i];

		if (m->state == GW_MEMBER_MOVES && m->planned.sent_bytes > m->at.sent_bytes)
			left += m->planned.sent_bytes - m->at.sent_bytes;
	}
	return (uint64_t)((double)left * 1e9 / (double)gw_fleet_link(e));
}

struct planning {
	struct gw_fleet fleet;
	struct gw_fleet_vm *vms;
	size_t *which; /* member of each VM */
	struct gw_fleet_host *hosts;
	uint64_t link;
	void *memory;
};

static void end_planning(struct planning *p)
{
	free(p->vms);
	free(p->which);
	free(p->hosts);
	free(p->memory);
}

static bool prepare(const struct gw_evacuation *e, struct planning *p)
{
	size_t n = 0;

	*p = (struct planning){.vms = calloc(e->count + 1, sizeof(*p->vms)),
	                       .which = calloc(e->count + 1, sizeof(*p->which)),
	                       .hosts = calloc(e->host_count + 1, sizeof(*p->hosts)),
	                       .link = gw_fleet_link(e)};
	if (!p->vms || !p->which || !p->hosts)
		return false;
	for (size_t i = 0; i < e->count; i++) {
		const struct gw_member *m = &e->members[i];

		if (m->state != GW_MEMBER_WAITS)
			continue;
		p->which[n] = i;
		p->vms[n++] = vm_of(e, m);
		if (m->group > p->fleet.groups)
			p->fleet.groups = m->group;
	}
	for (size_t i = 0; i < e->host_count; i++)
		p->hosts[i] = (struct gw_fleet_host){room_of(e, i), gw_fleet_way(e, i),
		                                     e->hosts[i].silent};
	p->fleet.vms = p->vms;
	p->fleet.vm_count = n;
	p->fleet.links = &p->link;
	p->fleet.link_count = 1;
	p->fleet.hosts = p->hosts;
	p->fleet.host_count = e->host_count;
	p->fleet.deadline_ns = e->options.deadline_ns;
	p->fleet.stream_bytes_per_s = gw_fleet_stream(e);
	p->fleet.at_once = e->options.at_once;
	p->fleet.begin_ns = BEGIN_NS;
	p->fleet.gap_ns = GAP_NS;
	p->fleet.switch_ns = SWITCH_NS;
	p->memory = malloc(gw_schedule_bytes(&p->fleet));
	return p->memory != NULL;
}

/* A host that did not take a VM is none for it; nor is one where another of its group went. */
static bool may_go(const struct gw_evacuation *e, const struct gw_member *m, size_t host)
{
	if (host == GW_PLAN_NOWHERE || m->tried >> host & 1)
		return false;
	for (size_t i = 0; m->group && i < e->count; i++) {
		const struct gw_member *other = &e->members[i];

		if (other != m && other->group == m->group && other->host == host &&
		    (other->state == GW_MEMBER_MOVES || other->state == GW_MEMBER_MOVED))
			return false;
	}
	return true;
}

size_t gw_fleet_another(const struct gw_evacuation *e, const struct gw_member *m)
{
	for (size_t i = 0; i < e->host_count; i++)
		if (!e->hosts[i].silent && may_go(e, m, i) && room_of(e, i) >= m->ram_bytes)
			return i;
	return GW_PLAN_NOWHERE;
}

static void take_plan(struct gw_evacuation *e, const struct planning *p)
{
	uint64_t from = gw_fleet_passed(e) + busy_ns(e);

	for (size_t i = 0; i < p->fleet.vm_count; i++) {
		struct gw_plan_move *move = &e->plan.moves[i];
		struct gw_member *m;

		move->vm = p->which[move->vm];
		m = &e->members[move->vm];
		if (move->host != GW_PLAN_NOWHERE && !may_go(e, m, move->host)) {
			move->host = gw_fleet_another(e, m);
			if (move->host == GW_PLAN_NOWHERE)
				move->problem = m->group ? GW_PLAN_APART : GW_PLAN_NO_ROOM;
		}
		move->begin_ns += from;
		move->end_ns += from;
		move->soonest_ns += from;
		move->latest_ns += from;
		m->planned = *move;
		m->host = move->host;
	}
	e->plan.end_ns += from;
	e->plan.soonest_ns += from;
	e->plan.latest_ns += from;
}

int gw_fleet_plan(struct gw_evacuation *e, struct gw_error *error)
{
	struct planning p;
	struct gw_plan_move *moves = reallocarray(e->plan.moves, e->count + 1, sizeof(*moves));
	int err = 0;

	if (moves)
		e->plan.moves = moves;
	if (!moves || !prepare(e, &p)) {
		err = gw_fail(error, ENOMEM, "no memory for a plan of %zu VMs", e->count);
	} else {
		if (p.fleet.deadline_ns)
			p.fleet.deadline_ns = p.fleet.deadline_ns > gw_fleet_passed(e)
			                              ? p.fleet.deadline_ns - gw_fleet_passed(e)
			                              : 1;
		gw_schedule_make(&p.fleet, p.memory, &e->plan);
		take_plan(e, &p);
	}
	if (moves)
		end_planning(&p);
	return err;
}
