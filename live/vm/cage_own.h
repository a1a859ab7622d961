/* SPDX-License-Identifier: MIT */
/* live/vm/cage_own.h - between the two halves of a cage: the parent's, and the child's up to exec.
 */
#ifndef GW_LIVE_VM_CAGE_OWN_H
#define GW_LIVE_VM_CAGE_OWN_H

#include "live/vm/cage.h"

/* From the child: with `step` NULL the listener comes along, else this is what failed. */
struct gw_cage_word {
	const char *step; /* a literal: the child is a copy of us */
	int err;
};

/* Between clone and exec: async-signal-safe calls only. Does not return. */
__attribute__((noreturn)) void gw_cage_enter(const struct gw_cage_start *start, int tell);

#endif
