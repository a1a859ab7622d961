/* SPDX-License-Identifier: MIT */
/*
 * cli/estimate.h - what a move would cost, for a person or as JSON ("godwit.estimate/1").
 */
#ifndef GW_CLI_ESTIMATE_H
#define GW_CLI_ESTIMATE_H

#include <jansson.h>
#include <stdio.h>

#include "sim/estimate.h"

/* What it is about; borrowed. */
struct gw_estimate_about {
	const struct sim_scenario *scenario; /* of one VM, whose move has the limits */
	uint64_t observation_ns;
};

/* {"low": ..., "middle": ..., "high": ...} */
json_t *gw_interval_json(const struct gw_interval *interval);
/* Of the move, with its order where it is not the policy's own. */
json_t *gw_move_settings_json(const struct sim_move *move);
json_t *gw_estimate_json(const struct sim_plan *plan, const struct gw_estimate_about *about);
int gw_estimate_print(const struct sim_plan *plan, const struct gw_estimate_about *about,
                      FILE *out);

#endif
