/* SPDX-License-Identifier: MIT */
/* A real QEMU with its memory in a file that is ours, too, and its QMP. */
#ifndef GW_TESTS_LIVE_MEMORY_QEMU_RIG_H
#define GW_TESTS_LIVE_MEMORY_QEMU_RIG_H

#include <stdbool.h>
#include <sys/types.h>

#include "live/memory/ram.h"

#define QEMU       "/usr/bin/qemu-system-x86_64"
#define QEMU_MIB   64
#define QEMU_WAITS 30 /* seconds, for whatever it is asked */

struct qemu {
	pid_t pid;
	int qmp;
	char path[64];
	struct gw_ram ram;
};

/* Waits until something was written to its memory. args: more of them, NULL-terminated, or NULL. */
int qemu_start(struct qemu *vm, const char *accel, const char *const *args);
void qemu_end(struct qemu *vm);

/* A request, a line; whether the answer, or an event before it, holds this text. */
bool qemu_ask(struct qemu *vm, const char *request, const char *answer);

#endif
