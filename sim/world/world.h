/* SPDX-License-Identifier: MIT */
/*
 * sim/world/world.h - two modelled hosts around the two machines, on a virtual clock.
 *
 * A page's content is a version: a number that the guest has never written before. Everything that
 * goes over the three modelled connections is encoded and decoded by the real codecs. Whatever
 * happens is one line; a fault is put at a line, by its number or by its words, and comes before
 * what the line announces: "source says COMMIT" and a cut there lose that COMMIT.
 *
 *   agent       a machine, its journal; a crash loses all but the journal
 *   hypervisor  outlives the agent; carries its commands out in their order, each after a delay
 *   connection  ordered one way; a cut loses what is on its way
 *
 * GW_ACT_JOURNAL is on disk before the next action is carried out; the answer to it comes later.
 */
#ifndef GW_SIM_WORLD_H
#define GW_SIM_WORLD_H

#include <stdio.h>

#include "core/migration/destination.h"
#include "core/migration/source.h"

enum { SIM_SOURCE, SIM_DESTINATION, SIM_SIDES };

enum sim_fault {
	SIM_FAULT_NONE,
	SIM_FAULT_CUT,          /* every connection breaks; none can be made for `for_ns` */
	SIM_FAULT_CRASH_SOURCE, /* the agent dies; another follows after `for_ns` */
	SIM_FAULT_CRASH_DESTINATION,
	SIM_FAULT_TEAR_SOURCE, /* the agent dies while it writes its next record; as above */
	SIM_FAULT_TEAR_DESTINATION,
	SIM_FAULT_RESTART_SOURCE, /* the host goes down, and comes up after `for_ns` */
	SIM_FAULT_RESTART_DESTINATION,
	SIM_FAULT_KILL_SOURCE_VM,
	SIM_FAULT_KILL_DESTINATION_VM,
	SIM_FAULT_POWER_OFF,          /* wherever it runs */
	SIM_FAULT_ABORT,              /* by the user of the source */
	SIM_FAULT_ABORT_DESTINATION,  /* by the user of the destination */
	SIM_FAULT_RECOVER,            /* somebody says `recover` at both hosts, needed or not */
	SIM_FAULT_RESOLVE,            /* somebody says `resolve --gone` at the destination */
	SIM_FAULT_REFUSE_RUN,         /* the destination's next `cont` fails */
	SIM_FAULT_REFUSE_RESERVATION, /* likewise its next reservation */
	SIM_FAULT_FAIL_SOURCE,        /* the source's next request to its VM or tracker fails */
	SIM_FAULT_FAIL_DESTINATION,
	SIM_FAULT_SLOW,               /* answers take `for_ns` longer from now on */
	SIM_FAULT_DELAY,              /* all that `side` says from now on comes `for_ns` later */
	SIM_FAULT_REORDER,            /* likewise, on the one connection that it uses next */
	SIM_FAULT_DUPLICATE,          /* what `side` sends next comes twice */
	SIM_FAULT_TRUNCATE,           /* of what `side` sends next the end is missing */
	SIM_FAULT_CORRUPT,            /* in what `side` sends next a bit is wrong */
	SIM_FAULT_RESUME_SOURCE,      /* somebody says `cont` to the source's hypervisor */
	SIM_FAULT_FORGET_DESTINATION, /* its agent dies; journal and identity are lost */
	SIM_FAULT_FULL_SOURCE,        /* the source's next record cannot be written */
	SIM_FAULT_FULL_DESTINATION,
	SIM_FAULT_KILL_SHADOW, /* the copy that runs ahead dies */
	SIM_FAULT_FAIL_SHADOW, /* it cannot be had, or cannot be loaded */
	SIM_FAULT_HANG_SHADOW, /* nothing is heard of it any more */
	SIM_FAULTS
};

const char *sim_fault_name(enum sim_fault fault);

/* What a line announces. */
enum sim_moment {
	SIM_MOMENT_NONE,
	SIM_MOMENT_SAYS = 100,    /* + enum gw_message_kind */
	SIM_MOMENT_RECORDS = 200, /* + enum gw_journal_record */
	SIM_MOMENT_ENTERS = 300,  /* + enum gw_state */
};

struct sim_planned {
	enum sim_fault fault;
	uint64_t line;     /* when this line comes ... */
	unsigned moment;   /* ... or, unless 0, one that announces this ... */
	const char *words; /* ... or, unless NULL, one that holds these words */
	uint64_t for_ns;
	int side;       /* whose bytes are hurt; of a silent cut: who does not notice it */
	bool silent;    /* a cut that one side does not notice */
	bool once_more; /* stays planned */
	bool spent;
};

#define SIM_PLANNED_MAX 4
#define SIM_HOT_MAX     4

/* A fault that struck, and where the machines stood; GW_STATES: there was no agent. */
struct sim_strike {
	enum sim_fault fault;
	enum gw_state state[SIM_SIDES];
};

#define SIM_STRIKES_MAX 16

struct sim_world_config {
	uint64_t seed;
	const char *policy, *order;
	const char *settings[2][2];
	uint64_t pages;
	uint32_t hot; /* pages named as such to the source; at most SIM_HOT_MAX, and `pages` */
	uint32_t vcpus;
	uint64_t latency_ns, bytes_per_s;
	uint64_t write_ns;    /* between two writes of the guest */
	uint64_t touch_ns;    /* between two reads of it */
	uint64_t deadline_ns; /* for the whole move; 0: none */
	uint64_t downtime_ns; /* that the VM may stand; 0: 10 ms */
	uint64_t observe_ns;  /* before it; 0: not at all */
	uint64_t link_timeout_ns, reconnect_ns;
	uint64_t touches; /* how many accesses a vCPU makes before the switch; 0: no end */
	uint64_t wakes;   /* and after it */
	double divergence; /* of a shadow */
	unsigned jitter;  /* answers take up to so many times as long */
	bool verify, paused, no_faults;
	bool drains; /* the VM stands for an instant when tracking begins */
	bool person; /* recovers and resolves when nothing else happens */
	struct sim_planned planned[SIM_PLANNED_MAX];
	FILE *trace; /* NULL: none */
	bool frames; /* page frames are lines of the trace too */
};

struct sim_world;

/* One migration of a small VM. */
struct sim_world *sim_world_new(const struct sim_world_config *config);
/* The same world is made anew for another run; it keeps its memory. */
void sim_world_reset(struct sim_world *w, const struct sim_world_config *config);
void sim_world_free(struct sim_world *w);
/* Until nothing happens any more. */
void sim_world_run(struct sim_world *w);

/* NULL, or what is wrong. */
const char *sim_world_violation(const struct sim_world *w);
uint64_t sim_world_lines(const struct sim_world *w);
uint64_t sim_world_now_ns(const struct sim_world *w);
/* The faults that struck, in their order; *count is at most SIM_STRIKES_MAX. */
const struct sim_strike *sim_world_strikes(const struct sim_world *w, size_t *count);
/* A bit a state of that side's machine, and one (GW_STATES) if there was no agent for a while. */
unsigned sim_world_states(const struct sim_world *w, int side);
/* The last record of a journal, and how the last agent of that side ended (a text). */
enum gw_journal_record sim_world_record(const struct sim_world *w, int side);
const char *sim_world_end(const struct sim_world *w, int side);

#endif
