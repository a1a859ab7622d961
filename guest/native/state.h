/* SPDX-License-Identifier: MIT */
/*
 * guest/native/state.h - the guest's device state as bytes: everything that is not RAM.
 *
 *     "GWNATIV1" | bytes of all | boot id | configuration | panicked
 *     | for each vCPU: generator, cursors, counters, then the stamps of its pages | XXH3 of all
 * before
 *
 * Numbers are of 64 bits, in the machine's order; stamps of 32. Its length follows from the
 * configuration, so the reader knows it before the first byte and no length can lie.
 */
#ifndef GW_GUEST_NATIVE_STATE_H
#define GW_GUEST_NATIVE_STATE_H

#include "guest/native/machine.h"

/* Both only while all vCPUs are parked. Block on fd; take it over. */
int gw_state_save(struct gw_machine *machine, int fd, struct gw_error *error);
/* What it refuses leaves the machine as it was. */
int gw_state_load(struct gw_machine *machine, int fd, struct gw_error *error);

#endif
