/* SPDX-License-Identifier: MIT */
/*
 * cli/which.h - the running VM that a verb is to look at or to move: by its name, or as a QEMU that
 * godwit did not start; and how its writes are tracked.
 */
#ifndef GW_CLI_WHICH_H
#define GW_CLI_WHICH_H

#include "cli/options.h"
#include "live/host/guest.h"

struct gw_which {
	const char *qmp, *tracker;
	uint64_t pid;
};

/* Rows of a verb's options. */
#define GW_WHICH_PID(which)                                                                        \
	{                                                                                          \
		"pid", 0, GW_CLI_NUMBER, &(which)->pid, "N", "a QEMU that godwit did not start"    \
	}
#define GW_WHICH_QMP(which)                                                                        \
	{                                                                                          \
		"qmp", 0, GW_CLI_STRING, &(which)->qmp, "PATH", "its control socket, with --pid"   \
	}
#define GW_WHICH_TRACKER(which)                                                                    \
	{                                                                                          \
		"tracker", 0, GW_CLI_STRING, &(which)->tracker, "NAME",                            \
		        "pagemap or digest (default: the best that works)"                         \
	}

/* 0, or -EINVAL: there is no such process number, or tracker. */
int gw_which_check(const struct gw_which *which, struct gw_error *error);
/* Opens it; dir: the registry's, name: NULL with a pid. Fails where a migration of it is open. */
int gw_which_open(const struct gw_which *which, const char *dir, const char *name,
                  struct gw_guest *guest, struct gw_error *error);

#endif
