/* SPDX-License-Identifier: MIT */
/*
 * sim/run.h - a scenario is played, and what came of it.
 *
 * The same scenario gives the same outcome and the same trace, byte for byte, on every machine.
 */
#ifndef GW_SIM_RUN_H
#define GW_SIM_RUN_H

#include <stdio.h>

#include "base/error.h"
#include "core/migration/event.h"
#include "sim/scenario/scenario.h"

/* The metrics are those of the source's agent, as live has them. */
struct sim_plan; /* sim/estimate.h */
struct sim_estimate_options;

struct sim_vm_outcome {
	const struct sim_vm *vm; /* borrowed from the scenario */
	uint64_t start_ns, end_ns;
	enum gw_outcome outcome;
	char reason[GW_TRACE_BYTES];
	char order[32]; /* "": nothing was pushed after the switch */
	struct gw_metrics metrics;
	uint64_t bandwidth_bytes_per_s; /* as measured in the last round; 0: none was */
	uint64_t latency_ns;            /* of its path, one way */
	uint64_t zero_pages, state_bytes;
	uint64_t observation_ns; /* of the guest, before its move */
	uint64_t rounds_end_ns;  /* when the last of its rounds was over */
	struct sim_plan *plan;   /* owned: what its policy chose from; NULL: it does not choose */
	size_t round_count, round_room;
	struct gw_round *rounds; /* owned */
	/* As the guest saw it. */
	uint64_t guest_faults;     /* that made a vCPU wait */
	uint64_t guest_stall_ns;   /* that vCPUs waited, divided by their number */
	uint64_t guest_longest_ns; /* that one vCPU waited at a stretch, or that the VM stood */
	/* Its own traffic while it ran, from the beginning of its move to the end. */
	uint64_t traffic_bytes, traffic_wanted_bytes;
	uint64_t early_stall_ns; /* of it, in the first second after the switch */
	/* Of pages missing at the switch: touched while any was, and there before they were. */
	uint64_t touched_pages, arrived_pages;
	uint64_t first_writes; /* to protected pages: each cost it costs.first_write_ns */
};

struct sim_outcome {
	struct sim_vm_outcome *vms; /* owned; as in the scenario */
	size_t vm_count;
	size_t unfinished;      /* when virtual time ran out */
	uint64_t end_ns;        /* when the last move was over */
	uint64_t carried_bytes; /* by all links, guests' own traffic included */
	char violation[256];    /* "", or what must not be: a bug of godwit */
};

struct sim_progress {
	uint64_t now_ns;
	size_t done, all;               /* moves */
	uint64_t done_pages, all_pages; /* in this phase of the first move that is not done */
};

struct sim_run_options {
	FILE *trace; /* NULL: none */
	/* How a policy that chooses estimates; NULL: as it is its wont. Borrowed. */
	const struct sim_estimate_options *estimate;
	uint64_t limit_ns;   /* virtual time after which a move counts as endless; 0: two days */
	size_t limit_rounds; /* likewise of one that has had so many; 0: no such limit */
	/* Now and then; false ends the run with -EINTR. May be NULL. */
	bool (*progress)(void *arg, const struct sim_progress *progress);
	void *arg;
};

/* 0, -EINTR or -ENOMEM. `options` may be NULL. */
int sim_run(const struct sim_scenario *scenario, const struct sim_run_options *options,
            struct sim_outcome *outcome, struct gw_error *error);
void sim_outcome_clear(struct sim_outcome *outcome);

#endif
