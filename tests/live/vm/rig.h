/* SPDX-License-Identifier: MIT */
/*
 * tests/live/vm/rig.h - a private directory, RAM files and small QEMUs (firmware only, no guest
 * system) that are gone when the test is, also when it fails.
 */
#ifndef GW_TESTS_LIVE_VM_RIG_H
#define GW_TESTS_LIVE_VM_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "live/vm/qemu.h"

struct rig {
	char dir[64];
	char ram[2][256];
	char qmp[2][128];
	char log[2][128];
	struct gw_vm *vm[2]; /* source, destination */
	pid_t pid[2];
	struct gw_error error;
};

int rig_setup(void **state);
int rig_teardown(void **state);

/* Starts side 0 (source) or 1 (destination, incoming); `extra` is NULL or more arguments. */
void rig_start(struct rig *rig, int side, bool paused, char *const *extra);
/* Waits for this event; fails on an end of the connection or after 10 s. Others are skipped. */
struct gw_vm_event rig_await(struct rig *rig, int side, enum gw_vm_event_kind kind);
/* QEMU's run state. */
void rig_assert_status(struct rig *rig, int side, const char *status);
void rig_copy_ram(struct rig *rig);

#define assert_done(rig, call)                                                                     \
	do {                                                                                       \
		if ((call) != 0)                                                                   \
			fail_msg("%s", (rig)->error.text);                                         \
	} while (0)

#endif
