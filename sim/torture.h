/* SPDX-License-Identifier: MIT */
/*
 * sim/torture.h - whole migrations with faults, by the million, each judged.
 *
 * A run follows from its number alone: what is moved and how, which faults strike and where. So a
 * run that fails is run again by its number, and a tally is the same with any number of threads.
 *
 *   at random     the number is a seed: any policy, order and speed, up to four faults anywhere
 *   systematic    every fault at every line of a fault-free run of every policy and order, in turn
 *
 * What is checked in each: sim/world/judge.c, and what sim/world/guest.c and sim/world/hypervisor.c
 * see on the way.
 */
#ifndef GW_SIM_TORTURE_H
#define GW_SIM_TORTURE_H

#include "sim/world/world.h"

#define SIM_FAILURES_MAX 8

struct sim_torture {
	bool systematic;
	uint64_t first, runs; /* numbers first, first + 1, ... */
	unsigned jobs;        /* threads */
	/* Called by the calling thread now and then, and at the end; may be NULL. */
	void (*progress)(void *arg, uint64_t done, uint64_t all);
	void *arg;
};

struct sim_failure {
	uint64_t number;
	char why[256];
	char needs[512]; /* the faults that it does not fail without */
};

struct sim_tally {
	uint64_t runs, lines, violations;
	uint64_t faulted; /* runs in which a fault struck */
	uint64_t faults[SIM_FAULTS];
	uint64_t met[SIM_SIDES][GW_STATES + 1][SIM_FAULTS]; /* as in struct sim_strike */
	uint64_t reached[SIM_SIDES][GW_STATES + 1];         /* runs that came there */
	uint64_t ended[GW_RECORDS];                         /* by the source's last record */
	size_t failures;                                    /* of those with the lowest numbers */
	struct sim_failure failure[SIM_FAILURES_MAX];
};

/* 0, -ENOMEM, or what pthread_create() says. */
int sim_torture(const struct sim_torture *torture, struct sim_tally *tally);

/* How many systematic runs there are; their numbers count from 1. */
uint64_t sim_torture_cases(void);

/* One run, with its trace; true if nothing was violated. */
bool sim_torture_one(bool systematic, uint64_t number, FILE *trace, struct sim_failure *failure);

#endif
