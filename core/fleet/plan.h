/* SPDX-License-Identifier: MIT */
/*
 * core/fleet/plan.h - many VMs, few links, one deadline: who goes where, when, how, and whether in
 * time.
 *
 *     source link   |-- vm 3 --|---- vm 1 ----|- vm 2 -|        one copies at a time: two that copy
 *                             |switch|       |switch|           at once both send again what is
 *                                                               dirtied meanwhile
 *
 * A destination whose link is n times as fast takes n sources at once. Whoever has an own limit
 * below the link's rate leaves the rest unused here; the bandwidth policy that carries the plan
 * out (core/bandwidth/deadline.c) is not so wasteful.
 *
 * Expected times are those of rounds at the links' rate, each as long as what was dirtied in the
 * one before, never more than the writable working set. The interval is from a guest that writes
 * nothing on a link with 5 % more to one that writes twice as much (operators see dirty rates
 * double during a move) on a link with 10 % less and costs twice as high, added up.
 */
#ifndef GW_CORE_FLEET_PLAN_H
#define GW_CORE_FLEET_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gw_fleet_vm {
	uint64_t memory_bytes; /* that the destination must have free */
	uint64_t send_bytes;   /* that hold data */
	uint64_t dirty_bytes_per_s;
	uint64_t hot_bytes;         /* writable working set; 0: not known, all of it */
	uint64_t limit_bytes_per_s; /* 0: none */
	uint64_t deadline_ns;       /* of its own; 0: none */
	uint64_t downtime_limit_ns;
	unsigned priority; /* 0 goes first */
	unsigned group;    /* no two of one group to one host; 0: none */
	unsigned source;   /* by which link it leaves */
	bool stays;        /* it cannot be moved at all */
	bool may_pull;     /* it may be moved by a policy that pulls */
};

struct gw_fleet_host {
	uint64_t free_bytes, link_bytes_per_s;
	bool silent; /* it does not answer */
};

struct gw_fleet {
	const struct gw_fleet_vm *vms; /* borrowed, all three */
	size_t vm_count;
	const uint64_t *links; /* bytes a second, of the sources */
	size_t link_count;
	const struct gw_fleet_host *hosts;
	size_t host_count;
	unsigned groups;              /* the highest number of one */
	uint64_t deadline_ns;         /* of all of it, from now; 0: none */
	uint64_t begin_ns, switch_ns; /* what a move takes besides: before it copies, after it */
};

enum gw_plan_problem {
	GW_PLAN_FINE,
	GW_PLAN_RISKY,   /* it may be late */
	GW_PLAN_LATE,    /* it is expected to be late */
	GW_PLAN_ENDLESS, /* it dirties more than its rate, and must not be pulled */
	GW_PLAN_APART,   /* every host with room has another of its group */
	GW_PLAN_NO_ROOM, /* no host that answers has the memory */
	GW_PLAN_STAYS,
};

const char *gw_plan_problem_name(enum gw_plan_problem problem);

#define GW_PLAN_NOWHERE SIZE_MAX

struct gw_plan_move {
	size_t vm;
	size_t host;        /* GW_PLAN_NOWHERE: it is not moved */
	const char *policy; /* "precopy" or "hybrid"; constant */
	uint64_t rate_bytes_per_s;
	uint64_t begin_ns, end_ns;      /* expected, from now */
	uint64_t soonest_ns, latest_ns; /* its end */
	uint64_t sent_bytes;            /* expected */
	enum gw_plan_problem problem;
};

struct gw_schedule {
	struct gw_plan_move *moves; /* the caller's: one a VM, in the order in which they begin */
	uint64_t end_ns, soonest_ns, latest_ns;
	uint64_t sent_bytes;
	size_t moved, late, left; /* moved: also those that are late; left: moved nowhere */
};

/* Of caller's memory, aligned as words, that gw_schedule_make() needs for the time of the call. */
size_t gw_schedule_bytes(const struct gw_fleet *fleet);
/*
 * Order: priority, then the earlier deadline, then the larger VM, so that the last ones fill up
 * what is left; where somebody is late that way, the smaller VM, so that fewer are late.
 * Destination: where it is sent first; of several the one with the most memory free.
 */
void gw_schedule_make(const struct gw_fleet *fleet, void *memory, struct gw_schedule *plan);

/* What one move is expected to take at this rate: rounds, switch, and pulling. */
struct gw_expected {
	uint64_t copy_ns, after_ns; /* while the link is busy; after it */
	uint64_t sent_bytes;
	bool endless;
};

struct gw_expected gw_expect(const struct gw_fleet_vm *vm, bool pulls, uint64_t rate_bytes_per_s);

#endif
