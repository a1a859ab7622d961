/* SPDX-License-Identifier: MIT */
/*
 * live/host/fleet.h - the VMs of this host leave it together: what they are, who goes where and
 * when, and how it is carried out.
 *
 *     look    each VM is checked, and observed for a while; each host says what it has free
 *     plan    core/fleet/plan.h
 *     run     a move a process (live/host/move.h); the link is divided among them by a bandwidth
 *             policy (core/bandwidth/), four times a second; the plan is made anew whenever a move
 *             has ended, or the link carries other than what was planned with
 *
 * A move that fails leaves its VM where it was; if the host had no room or did not answer, another
 * host is tried. Stopped, and asked again, an evacuation goes on with what is still here, and first
 * with migrations that were interrupted.
 *
 * Rates are the engine's own limits, and where the user wants them classes of traffic on the device
 * besides (live/net/classes.h): then a VM's own traffic gets what is reserved for it
 * before others. Else it is left room, but nothing enforces that it gets it.
 */
#ifndef GW_LIVE_HOST_FLEET_H
#define GW_LIVE_HOST_FLEET_H

#include "core/bandwidth/bandwidth.h"
#include "core/bandwidth/traffic.h"
#include "core/fleet/plan.h"
#include "live/host/move.h"
#include "live/net/classes.h"
#include "live/vm/usage.h"

#define GW_HOSTS_MAX    64
#define GW_ASSUMED_RATE 125000000u /* of a link that nobody named and that was not yet seen */

enum gw_member_state {
	GW_MEMBER_WAITS,
	GW_MEMBER_MOVES,
	GW_MEMBER_MOVED,
	GW_MEMBER_FAILED,
	GW_MEMBER_STAYS, /* it cannot be moved, or nowhere */
};

struct gw_member {
	char name[64];
	/* As the user says. */
	uint64_t limit_bytes_per_s, deadline_ns;
	unsigned priority, group;
	/* As it was found. */
	pid_t pid;
	bool unfinished; /* an earlier migration of it is to be gone on with */
	uint64_t ram_bytes, data_bytes;
	uint64_t dirty_bytes_per_s, hot_bytes;
	uint32_t cpu_permille;
	struct gw_usage usage; /* owned, while it is here */
	struct gw_usage_counts used;
	struct gw_traffic traffic;
	/* Its move. */
	enum gw_member_state state;
	char why[400];  /* it failed, or stays */
	uint64_t tried; /* a bit for each host that turned out not to take it */
	size_t host;    /* as planned, or where it is; GW_PLAN_NOWHERE */
	char policy[32];
	struct gw_move move;       /* owned */
	struct gw_move_state at;   /* as last heard */
	uint64_t copied_bytes;     /* of the phase it is in */
	uint64_t begin_ns, end_ns; /* since the evacuation began */
	struct gw_plan_move planned;
	struct gw_grant grant;
	uint64_t rate_bytes_per_s; /* as it is told for that; 0: all of the link */
};

struct gw_fleet_to {
	const char *name; /* HOST[:PORT], borrowed */
	uint64_t free_bytes;
	bool silent;
	char why[300]; /* it does not answer */
};

struct gw_fleet_options {
	const char *dir;           /* GODWIT_DIR */
	const char *program;       /* godwit itself */
	uint64_t link_bytes_per_s; /* what all moves together may use; 0: what the link carries */
	bool shape;                /* the user wants classes of traffic on the device */
	uint64_t carries_bytes_per_s; /* the device; 0: as it says */
	uint64_t deadline_ns;         /* 0: none */
	uint64_t downtime_ns, observe_ns;
	unsigned at_once;   /* 0: as many as the bandwidth policy lets */
	const char *policy; /* of every move; NULL: as planned */
	bool verify;
	struct gw_bandwidth sharing;
	int stop_fd;
	/* Four times a second while it runs. May be NULL. */
	void (*show)(void *arg);
	/* One sentence the user should know. May be NULL. */
	void (*note)(void *arg, const char *sentence);
	void *arg;
};

struct gw_evacuation {
	struct gw_fleet_options options;
	struct gw_member *members; /* owned */
	size_t count;
	struct gw_fleet_to hosts[GW_HOSTS_MAX];
	size_t host_count;
	int ifindex; /* of the device that the moves leave by, or that was named; 0: not known */
	struct gw_classes classes; /* of traffic on that device; owned while it runs */
	char enforced[300];        /* by what the rates are: one sentence; "": not tried yet */
	uint64_t link_bytes_per_s; /* that the moves were seen to get; 0: not yet */
	struct gw_schedule plan;   /* owned moves */
	uint64_t announced_ns; /* when the first plan said that it would be over; 0: no plan yet */
	uint64_t began_ns, now_ns, ended_ns; /* CLOCK_MONOTONIC; 0: not yet */
	uint64_t sent_bytes;                 /* by moves that have ended */
	bool stopped;
};

/* Fills in the members: all VMs that this host knows, or the named ones. Takes observe_ns, for all
 * of them together. -ENOENT: there is none of that name. */
int gw_fleet_look(struct gw_evacuation *evacuation, char *const *names, size_t count,
                  struct gw_error *error);
/* Asks each host what it has free. */
void gw_fleet_ask_hosts(struct gw_evacuation *evacuation);
/* A plan for those that wait, beginning now. */
int gw_fleet_plan(struct gw_evacuation *evacuation, struct gw_error *error);
/* 0 if it came to its end, or was stopped: see the members. */
int gw_fleet_run(struct gw_evacuation *evacuation, struct gw_error *error);
void gw_fleet_clear(struct gw_evacuation *evacuation);

/* Classes of traffic for all members; where they cannot be had, `enforced` says why not. */
void gw_fleet_shape(struct gw_evacuation *evacuation);
/* As the members' grants are now. */
void gw_fleet_share(struct gw_evacuation *evacuation);
/* Of its move; 0: none. */
uint32_t gw_fleet_class(const struct gw_evacuation *evacuation, const struct gw_member *member);
void gw_fleet_unshape(struct gw_evacuation *evacuation);

/* Of the data that has to be moved; of all members that are to be moved. */
void gw_fleet_progress(const struct gw_evacuation *evacuation, uint64_t *done_bytes,
                       uint64_t *all_bytes);

#endif
