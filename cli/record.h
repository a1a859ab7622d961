/* SPDX-License-Identifier: MIT */
/*
 * cli/record.h - what a trace holds, for a person or as JSON ("godwit.trace/1").
 */
#ifndef GW_CLI_RECORD_H
#define GW_CLI_RECORD_H

#include "base/error.h"

struct gw_record_show {
	const char *json;    /* as JSON; "-": standard output; NULL: as text there */
	const char *windows; /* a line of written pages for each window, as `predict` takes them */
	const char *read_windows; /* likewise of read pages, for each window that looked at them */
};

/* Reads the whole trace, so a damaged one is refused. */
int gw_record_show(const char *path, const struct gw_record_show *how, struct gw_error *error);

#endif
