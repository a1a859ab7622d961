/* SPDX-License-Identifier: MIT */
/*
 * cli/record.h - what a trace holds, for a person or as JSON ("godwit.trace/1").
 */
#ifndef GW_CLI_RECORD_H
#define GW_CLI_RECORD_H

#include "base/error.h"

/* Reads the whole trace, so a damaged one is refused. json NULL: as text; "-": standard output. */
int gw_record_show(const char *path, const char *json, struct gw_error *error);

#endif
