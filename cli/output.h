/* SPDX-License-Identifier: MIT */
/*
 * cli/output.h - results as JSON, where --json says.
 */
#ifndef GW_CLI_OUTPUT_H
#define GW_CLI_OUTPUT_H

#include <jansson.h>

#include "base/error.h"

/* Takes the reference to `result`. path "-" is standard output. NULL result: no memory. */
int gw_output_json(json_t *result, const char *path, struct gw_error *error);

#endif
