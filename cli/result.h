/* SPDX-License-Identifier: MIT */
/*
 * cli/result.h - what a migration cost: as the result file (godwit.result/1), and for a person.
 * The same for both worlds.
 */
#ifndef GW_CLI_RESULT_H
#define GW_CLI_RESULT_H

#include <jansson.h>
#include <stdio.h>

#include "core/migration/metrics.h"

/* All borrowed. Text that does not apply is "". */
struct gw_result {
	const char *world; /* "live" or "sim" */
	const char *name, *policy, *order, *tracker;
	const char *shaping; /* how urgent pages were put first, or why not */
	const char *reason;
	enum gw_outcome outcome;
	uint64_t ram_bytes;
	uint32_t vcpus;
	uint64_t bandwidth_bytes_per_s, latency_ns; /* of the link; 0: not known */
	uint64_t zero_pages, state_bytes;
	uint64_t observation_ns; /* of the VM, before total_time */
	const struct gw_metrics *metrics;
	const struct gw_round *rounds;
	size_t round_count;
};

/* `settings`: an object, borrowed. Fields that do not apply are left out. NULL: no memory. */
json_t *gw_result_json(const struct gw_result *result, json_t *settings);
/* A setting's value as it is in `settings`: a number if it is written as one, else text. */
json_t *gw_result_setting(const char *text);
void gw_result_print(const struct gw_result *result, FILE *out);

#endif
