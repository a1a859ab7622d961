/* SPDX-License-Identifier: MIT */
/*
 * live/host/fleet.h - the VMs of this host leave it together: what they are, who goes where and
 * when, and how it is carried out.
 *
 *     look    each VM is checked; each host says what it has free
 *     observe each VM for a while, and estimate what every policy would take of it
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
#include "live/host/observe.h"
#include "live/net/classes.h"
#include "live/vm/usage.h"

#define GW_HOSTS_MAX    64
#define GW_WAYS_MAX     8
#define GW_ASSUMED_RATE 125000000u /* of a link that nobody named and that was not yet seen */
/* Of one move's path, likewise: that of a bare agent, one core (docs/bench.md). */
#define GW_ASSUMED_STREAM 900000000u

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
	struct gw_fleet_way ways[GW_WAYS_MAX]; /* estimated, of those that end within the limits */
	size_t way_count;
	int observed_fd; /* owned: what was seen of it, a file in memory; -1: none */
	uint32_t cpu_permille;
	struct gw_usage usage; /* owned, while it is here */
	struct gw_usage_counts used;
	struct gw_traffic traffic; /* what it sends: only that leaves by the moves' link */
	/* Its move. */
	enum gw_member_state state;
	char why[400];  /* it failed, or stays */
	uint64_t tried; /* a bit for each host that turned out not to take it */
	size_t host;    /* as planned, or where it is; GW_PLAN_NOWHERE */
	char policy[32];
	struct gw_move move;       /* owned */
	struct gw_move_state at;   /* as last heard */
	uint64_t begin_ns, end_ns; /* since the evacuation began */
	struct gw_plan_move planned;
	struct gw_grant grant;
	uint64_t rate_bytes_per_s; /* as it is told for that; 0: all of the link */
};

struct gw_fleet_to {
	const char *name;          /* HOST[:PORT], borrowed */
	uint64_t link_bytes_per_s; /* what the way to it carries; 0: no less than the link here */
	uint64_t free_bytes;
	int ifindex; /* of the device by which it is reached; 0: not known */
	bool silent;
	char why[300]; /* it does not answer */
};

struct gw_evacuation;

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
	/*
	 * In a process of the VM's own, once it was observed: writes at most GW_WAYS_MAX ways and
	 * returns how many; moved alone, at `rate`. What was seen goes into the file `keep` for its
	 * move. NULL: plans are made by their closed form.
	 */
	size_t (*estimate)(const struct gw_evacuation *evacuation, const struct gw_guest *guest,
	                   const struct gw_observed *seen, uint64_t rate_bytes_per_s, int keep,
	                   struct gw_fleet_way *ways);
	/* While VMs are observed, then estimated: `done` of them are. May be NULL. */
	void (*observing)(void *arg, uint64_t passed_ns, size_t done, size_t all);
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
	struct gw_classes classes;   /* of traffic on that device; owned while it runs */
	char enforced[300];          /* by what the rates are: one sentence; "": not tried yet */
	uint64_t link_bytes_per_s;   /* that the moves were seen to get; 0: not yet */
	uint64_t stream_bytes_per_s; /* that one gets of a link which carries more; 0: not seen */
	unsigned streams; /* where nobody named the link: so many at a time show what it carries */
	struct gw_schedule plan;      /* owned moves */
	struct gw_schedule announced; /* the first plan's figures; its moves are not its own */
	uint64_t began_ns, now_ns, ended_ns; /* CLOCK_MONOTONIC; 0: not yet */
	uint64_t sent_bytes;                 /* by moves that have ended */
	bool stopped;
};

/* Fills in the members: all VMs that this host knows, or the named ones. -ENOENT: there is none of
 * that name. */
int gw_fleet_look(struct gw_evacuation *evacuation, char *const *names, size_t count,
                  struct gw_error *error);
/* Asks each host what it has free. */
void gw_fleet_ask_hosts(struct gw_evacuation *evacuation);
/* Each member that can be moved, for observe_ns and what its estimate takes, all at the same time.
 * -EINTR: the user wants to stop. */
int gw_fleet_observe(struct gw_evacuation *evacuation, struct gw_error *error);
/* A plan for those that wait, beginning now. */
int gw_fleet_plan(struct gw_evacuation *evacuation, struct gw_error *error);
/* 0 if it came to its end, or was stopped: see the members. */
int gw_fleet_run(struct gw_evacuation *evacuation, struct gw_error *error);
void gw_fleet_clear(struct gw_evacuation *evacuation);

/* What everybody sent by the device, and the moves and the VMs of it, in the last interval. */
struct gw_fleet_use {
	uint64_t at_ns, device_bytes, moves_bytes; /* counters when last looked at */
	uint64_t most_bytes_per_s;                 /* that moves were seen to send ... */
	unsigned most_count;                       /* ... so many at once */
	uint64_t others_bytes_per_s;               /* Nu */
	uint64_t window_ns, window_bytes;          /* where a measurement began; 0: none has */
	unsigned window_count;                     /* moves under way since then */
	uint64_t shown_ns;
	bool filled; /* another stream would not make it more */
};

/* Asks every move how it stands. True: the link is found to be another than was planned with. */
bool gw_fleet_sense(struct gw_evacuation *evacuation, struct gw_fleet_use *use);
/* Since it began; 0: it has not. */
uint64_t gw_fleet_passed(const struct gw_evacuation *evacuation);
/* What all moves together may use, or are thought to get; of that those to one host; what one
 * agent's path gets at most; and one VM's move if it were alone. */
uint64_t gw_fleet_link(const struct gw_evacuation *evacuation);
uint64_t gw_fleet_way(const struct gw_evacuation *evacuation, size_t host);
uint64_t gw_fleet_stream(const struct gw_evacuation *evacuation);
uint64_t gw_fleet_alone(const struct gw_evacuation *evacuation, const struct gw_member *member);
/* For a VM that may not go where it was planned: the first host that has the room, or
 * GW_PLAN_NOWHERE. */
size_t gw_fleet_another(const struct gw_evacuation *evacuation, const struct gw_member *member);

/* Classes of traffic for all members; where they cannot be had, `enforced` says why not. */
void gw_fleet_shape(struct gw_evacuation *evacuation);
/* What the VMs send that are here, but for those members: a part of Nu. */
uint64_t gw_fleet_sent_by_others(const struct gw_evacuation *evacuation, const size_t *members,
                                 size_t count);
/* As the members' grants are now. */
void gw_fleet_share(struct gw_evacuation *evacuation);
/* Of its move; 0: none. */
uint32_t gw_fleet_class(const struct gw_evacuation *evacuation, const struct gw_member *member);
void gw_fleet_unshape(struct gw_evacuation *evacuation);

/* Of the data that has to be moved; of all members that are to be moved. */
void gw_fleet_progress(const struct gw_evacuation *evacuation, uint64_t *done_bytes,
                       uint64_t *all_bytes);

#endif
