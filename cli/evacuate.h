/* SPDX-License-Identifier: MIT */
/* cli/evacuate.h - how an evacuation is shown: its plan, its course, its end. */
#ifndef GW_CLI_EVACUATE_H
#define GW_CLI_EVACUATE_H

#include <jansson.h>
#include <stdio.h>

#include "live/host/fleet.h"

/* A bar a VM and one for the whole on a terminal, lines elsewhere. All zeros at first. */
struct gw_evacuation_view {
	FILE *out; /* borrowed; NULL: nothing is shown */
	bool terminal;
	unsigned lines;             /* that stand there */
	uint64_t told_ns;           /* when a plain line was last written */
	enum gw_member_state *told; /* owned: of each member, as it was last told */
};

/* As struct gw_fleet_options has it: what the simulator makes of what was seen. */
size_t gw_evacuation_estimate(const struct gw_evacuation *evacuation, const struct gw_guest *guest,
                              const struct gw_observed *seen, uint64_t rate_bytes_per_s, int keep,
                              struct gw_fleet_way *ways);
int gw_evacuation_plan(const struct gw_evacuation *evacuation, FILE *out);
/* `done` is the last word: the bars stay. */
void gw_evacuation_show(struct gw_evacuation_view *view, const struct gw_evacuation *evacuation,
                        bool done);
/* Before other text comes. */
void gw_evacuation_clear_lines(struct gw_evacuation_view *view);
int gw_evacuation_summary(const struct gw_evacuation *evacuation, FILE *out);
json_t *gw_evacuation_json(const struct gw_evacuation *evacuation);

#endif
