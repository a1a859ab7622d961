/* SPDX-License-Identifier: MIT */
/*
 * core/model/estimate.h - what a move would cost under each policy, and which one to take.
 *
 * A forecast is made of samples: the same move, played several times with what is not known varied
 * (sim/estimate.h). Its middle is their median; its interval reaches as far as they do, and further
 * by what estimates were found to miss (docs/estimate.md), so that nine in ten moves lie in it.
 */
#ifndef GW_CORE_MODEL_ESTIMATE_H
#define GW_CORE_MODEL_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/model/course.h"

enum gw_figure {
	GW_FIGURE_TOTAL_TIME,  /* ns */
	GW_FIGURE_DOWNTIME,    /* ns */
	GW_FIGURE_UNAVAILABLE, /* ns: downtime and stall */
	GW_FIGURE_FAULTS,
	GW_FIGURE_BYTES, /* on the link */
	GW_FIGURES
};

/* As in a result file. */
const char *gw_figure_name(enum gw_figure figure);

/* low <= middle <= high; nine in ten lie between low and high. */
struct gw_interval {
	uint64_t low, middle, high;
};

/*
 * Sorts the values; `count` is at least 1. `slowness`: how many times as long work takes for want
 * of processors, 1 or more. Not of the unavailable time.
 */
struct gw_interval gw_interval_of(enum gw_figure figure, double slowness, uint64_t *values,
                                  size_t count);
/* Its downtime, and what vCPUs wait for pages after it: no end is below the downtime's. As above.
 */
struct gw_interval gw_unavailable_of(const struct gw_interval *downtime, double slowness,
                                     uint64_t *stalls, size_t count);

struct gw_forecast {
	char policy[32];
	char settings[96];   /* "alpha=0.3 order=bubble"; "": as they are */
	bool pulls;          /* memory is at both hosts for a while: no abort from the switch on */
	uint64_t copy_bytes; /* that a copy of the VM beside it may take of the source's memory */
	unsigned samples;    /* how often it was played ... */
	unsigned completed;  /* ... and how often it ended at the destination */
	char obstacle[192];  /* of the first that did not; "" */
	struct gw_interval figures[GW_FIGURES]; /* of those that did */
	struct gw_course course;                /* of the one of middle total time */
};

/* What the user allows, 0: anything; and what the source's host can spare for a VM's copy. */
struct gw_limits {
	uint64_t downtime_ns, deadline_ns;
	uint64_t spare_bytes;
};

struct gw_choice {
	size_t taken;     /* a forecast's number, or GW_CHOICE_NONE */
	char reason[400]; /* why, or why none */
};

#define GW_CHOICE_NONE SIZE_MAX

/*
 * In this order: a move that completed in every sample and keeps the limits with the upper end of
 * its intervals; the least unavailable time; the least total time; one that can be aborted to its
 * end. What is nearly equal (GW_NEARLY) is left to the next. A copy of the VM takes memory and
 * processors of others: it has to fit into what can be spared, and counts with the upper end of its
 * unavailable time.
 */
#define GW_NEARLY_UNAVAILABLE_NS 10000000u /* or a tenth: a person notices neither */
#define GW_NEARLY_TOTAL_SHARE    20u       /* a twentieth */

void gw_choose(struct gw_choice *choice, const struct gw_forecast *forecasts, size_t count,
               const struct gw_limits *limits);

#endif
