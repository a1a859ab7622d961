/* SPDX-License-Identifier: MIT */
/*
 * live/host/control.h - a small socket by which `status`, `abort` and `resolve` reach a running
 * agent: one line of text each way. It lies beside the migration's journal.
 */
#ifndef GW_LIVE_HOST_CONTROL_H
#define GW_LIVE_HOST_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct gw_control;

/* `journal_path` + ".sock". NULL: it could not be made; the agent works without it. */
struct gw_control *gw_control_open(const char *journal_path, struct gw_error *error);
/* Removes the socket; NULL is allowed. */
void gw_control_close(struct gw_control *control);
int gw_control_fd(const struct gw_control *control);
/* Takes one command up; false if there is none. It must be answered before the next. */
bool gw_control_next(struct gw_control *control, char *command, size_t room);
void gw_control_answer(struct gw_control *control, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* The other end: asks a running agent. -ECONNREFUSED or -ENOENT: none runs. */
int gw_control_ask(const char *journal_path, const char *command, char *answer, size_t room,
                   struct gw_error *error);

#endif
