/* SPDX-License-Identifier: MIT */
/*
 * core/fleet/plan.h - many VMs, few links, one deadline: who goes where, when, how, and whether in
 * time.
 *
 *     source link   |-- vm 3 --|---- vm 1 ----|- vm 2 -|        as few copy at a time as fill the
 *                         |begin|switch|     |switch|           link: those that copy at once all
 *                                                               send again what is dirtied
 * meanwhile
 *
 * A link is divided into equal lanes. Of a source's there are as many as it takes to fill it, where
 * one move is held back by its agent's path (stream_bytes_per_s) or by every host's link; of a
 * host's as many as such streams fill it. A move takes one lane at each end. Whoever has an own
 * limit below the lane's rate leaves the rest unused here; the bandwidth policy that carries the
 * plan out (core/bandwidth/deadline.c) is not so wasteful.
 *
 * What a move takes comes from estimates where there are any (struct gw_fleet_way), scaled where
 * its rate is another one. Else it is that of rounds at the lane's rate, each as long as what was
 * dirtied in the one before, never more than the writable working set; the interval is from a guest
 * that writes nothing on a link with 5 % more to one that writes twice as much (operators see dirty
 * rates double during a move) on a link with 10 % less. The plan's soonest end has no costs
 * besides, its latest twice as high ones, added up.
 */
#ifndef GW_CORE_FLEET_PLAN_H
#define GW_CORE_FLEET_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/model/estimate.h"

/* A policy that a VM may be moved by, and what that was estimated to take, alone at this rate. */
struct gw_fleet_way {
	char policy[32];
	bool pulls;
	uint64_t rate_bytes_per_s;
	struct gw_interval total_time, unavailable, bytes; /* as the forecast's figures */
};

struct gw_fleet_vm {
	uint64_t memory_bytes; /* that the destination must have free */
	uint64_t send_bytes;   /* that hold data */
	uint64_t dirty_bytes_per_s;
	uint64_t hot_bytes;         /* writable working set; 0: not known, all of it */
	uint64_t limit_bytes_per_s; /* 0: none */
	uint64_t deadline_ns;       /* of its own; 0: none */
	uint64_t downtime_limit_ns;
	unsigned priority;               /* 0 goes first */
	unsigned group;                  /* no two of one group to one host; 0: none */
	unsigned source;                 /* by which link it leaves */
	bool stays;                      /* it cannot be moved at all */
	bool may_pull;                   /* it may be moved by a policy that pulls */
	const struct gw_fleet_way *ways; /* borrowed: all that end within the limits; else none */
	size_t way_count;
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
	unsigned groups;             /* the highest number of one */
	uint64_t deadline_ns;        /* of all of it, from now; 0: none */
	uint64_t stream_bytes_per_s; /* one move sends no faster: its agent's path; 0: no such limit
	                              */
	unsigned at_once;            /* so many of a source at most; 0: as many as pay */
	/* What a move takes besides: before it copies, of which only gap_ns is not hidden behind
	 * the copying of the one before it; and after it. */
	uint64_t begin_ns, gap_ns, switch_ns;
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
	const char *policy; /* borrowed of its way, else "precopy" or "hybrid" */
	uint64_t rate_bytes_per_s;
	uint64_t begin_ns, end_ns;      /* expected, from now */
	uint64_t soonest_ns, latest_ns; /* its end */
	uint64_t sent_bytes;            /* expected */
	struct gw_interval unavailable; /* ns: downtime and stall */
	enum gw_plan_problem problem;
};

struct gw_schedule {
	struct gw_plan_move *moves; /* the caller's: one a VM, in the order in which they begin */
	uint64_t end_ns, soonest_ns, latest_ns;
	uint64_t sent_bytes;
	struct gw_interval unavailable; /* of all moves together */
	size_t moved, late, left;       /* moved: also those that are late; left: moved nowhere */
};

/* Of caller's memory, aligned as words, that gw_schedule_make() needs for the time of the call. */
size_t gw_schedule_bytes(const struct gw_fleet *fleet);
/*
 * Order: priority, then the earlier deadline, then the larger VM, so that the last ones fill up
 * what is left; where somebody is late that way, the smaller VM, so that fewer are late.
 * Destination: where it is sent first. Of several, one that is a home of its source, so that
 * sources do not meet where they need not: each host is the home of that source for whose link the
 * others do not do yet. Then the one with the most memory free.
 *
 * Policy: of its ways the one that costs least, where a second in which a VM is unavailable counts
 * as GW_UNAVAILABLE_COUNTS seconds of the link, and one that pulls, from whose switch there is no
 * way back, must spare a tenth. Where there are none, pre-copy, and hybrid where that takes more
 * than half as long again.
 */
#define GW_UNAVAILABLE_COUNTS 2
void gw_schedule_make(const struct gw_fleet *fleet, void *memory, struct gw_schedule *plan);

/*
 * What one move is expected to take at this rate: rounds, switch, and pulling. It is unavailable
 * while the last round is sent; for half of the time where that is pulled, for then it waits for
 * some pages and has others.
 */
struct gw_expected {
	uint64_t copy_ns, after_ns; /* until the VM stops; after it, the link still busy */
	uint64_t sent_bytes, unavailable_ns;
	bool endless;
};

struct gw_expected gw_expect(const struct gw_fleet_vm *vm, bool pulls, uint64_t rate_bytes_per_s);

#endif
