/* SPDX-License-Identifier: MIT */
/*
 * tests/live/vm/native_rig.h - native guests for a test.
 *
 * A guest's files lose their names as soon as it is mapped and connected, and it dies with the
 * test's process, so nothing is left whatever happens.
 */
#ifndef GW_TESTS_NATIVE_RIG_H
#define GW_TESTS_NATIVE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "live/vm/native.h"

struct rig_guest {
	struct gw_vm *vm;
	uint8_t *ram;
	int ram_fd;
};

/* "pages=64 writes=max ..." over the standard values. */
struct gw_native_config rig_config(const char *text);
struct rig_guest rig_start(const char *config_text, bool incoming);
/* The twin, as the destination starts it: from the source's description. */
struct rig_guest rig_twin(struct rig_guest *source);
void rig_end(struct rig_guest *guest);

/* Waits for the next event and expects it to be this one. */
struct gw_vm_event rig_expect(struct rig_guest *guest, enum gw_vm_event_kind kind);
struct gw_native_status rig_status(struct rig_guest *guest);
/* Waits until the guest has done this many more writes and reads. */
void rig_run_on(struct rig_guest *guest, uint64_t writes, uint64_t reads);
void rig_stop(struct rig_guest *guest);
void rig_cont(struct rig_guest *guest);
struct gw_native_verdict rig_verify(struct rig_guest *guest);
void rig_copy_ram(const struct rig_guest *from, struct rig_guest *to);
/* Save there, load here, over one socket. */
void rig_hand_over(struct rig_guest *from, struct rig_guest *to);

#endif
