/* SPDX-License-Identifier: MIT */
/*
 * cli/sweep_run.h - the runs of a sweep on all cores, and their results in the sweep's order.
 *
 * Each thread plays one run in a world of its own. A run's results, one line a VM, are told when
 * every run before it has been told, so that the bytes do not depend on the number of threads.
 */
#ifndef GW_CLI_SWEEP_RUN_H
#define GW_CLI_SWEEP_RUN_H

#include <jansson.h>
#include <stdio.h>

#include "cli/sweep.h"

#define GW_SWEEP_JOBS_MAX 1024

/* The lines of a run, each with its end; owned. NULL: it has not been played. */
struct gw_sweep_lines {
	char *text;
	size_t bytes, lines;
};

struct gw_sweep_runner {
	const struct gw_sweep *sweep; /* borrowed, and so are the files */
	unsigned jobs;                /* threads, 1 to GW_SWEEP_JOBS_MAX */
	FILE *out;                    /* NULL: nowhere */
	FILE *trace;                  /* one event a line; NULL: none. Of a sweep with one run */
	int stop_fd;                  /* readable: stop; -1: none */
	/* Of every result, in order; and now and then, share is of all runs. Both may be NULL. */
	void (*result)(void *arg, size_t run, const json_t *result);
	void (*progress)(void *arg, size_t done, double share);
	void *arg;
	struct gw_sweep_lines *runs; /* owned; what is there already is not played again */
};

/* -ENOMEM. */
int gw_sweep_runner_init(struct gw_sweep_runner *runner, const struct gw_sweep *sweep,
                         struct gw_error *error);
void gw_sweep_runner_clear(struct gw_sweep_runner *runner);

/*
 * Takes over the complete runs of an earlier output. A last line without its end is dropped;
 * -EINVAL for what is no result of a simulation. *kept counts them.
 */
int gw_sweep_resume(struct gw_sweep_runner *runner, FILE *old, const char *name, size_t *kept,
                    struct gw_error *error);

/* 0; -EINTR if it was stopped: what had been played by then is told, with gaps. */
int gw_sweep_run(struct gw_sweep_runner *runner, struct gw_error *error);

#endif
