/* SPDX-License-Identifier: MIT */
/*
 * live/vm/overlay.h - an empty qcow2 layer in a file of no name: what a shadow writes to its disk
 * goes there, and with it away.
 */
#ifndef GW_LIVE_VM_OVERLAY_H
#define GW_LIVE_VM_OVERLAY_H

#include <stdint.h>

#include "base/error.h"

/* The file's descriptor, or -errno. bytes: of the disk. */
int gw_overlay_make(uint64_t bytes, struct gw_error *error);

#endif
