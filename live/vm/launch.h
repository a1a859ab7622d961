/* SPDX-License-Identifier: MIT */
/*
 * live/vm/launch.h - starts a program that outlives us: a session of its own, stdin from /dev/null,
 * stdout and stderr into a log file, no descriptor of ours; not our child, so nobody has to reap
 * it.
 */
#ifndef GW_LIVE_VM_LAUNCH_H
#define GW_LIVE_VM_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* argv[0] is looked up in PATH. *pidfd is the caller's. */
int gw_launch(char *const *argv, const char *log_path, pid_t *pid, int *pidfd,
              struct gw_error *error);
/* True if the process behind the pidfd is gone; waits for that up to timeout_ms. */
bool gw_process_gone(int pidfd, int timeout_ms);
/* SIGTERM, a while later SIGKILL; waits. */
int gw_process_end(int pidfd, struct gw_error *error);
/* The last line of a log that says something, cut to `room`; "" if there is none. */
void gw_log_tail(const char *log_path, char *text, size_t room);

#endif
