/* SPDX-License-Identifier: MIT */
/*
 * live/host/activity.h - what a VM and the link did since it was last asked: struct gw_activity.
 */
#ifndef GW_LIVE_HOST_ACTIVITY_H
#define GW_LIVE_HOST_ACTIVITY_H

#include "core/predict/observation.h"
#include "live/memory/ram.h"
#include "live/vm/usage.h"

/* All zeros: not open. */
struct gw_activity_meter {
	const struct gw_ram *ram; /* borrowed */
	struct gw_usage usage;    /* owned */
	struct gw_usage_counts used;
	int ifindex; /* of the device that the link leaves by; 0: not known */
	uint64_t link_bytes, since_ns;
	struct gw_activity last; /* as told */
};

/* From now on. `link`: a connected socket. */
void gw_activity_open(struct gw_activity_meter *meter, const struct gw_vm *vm,
                      const struct gw_ram *ram, int link);
/*
 * Since it was opened or last asked. Where that is too short to be measured it is what was told
 * last, and this while counts with the next one.
 */
struct gw_activity gw_activity_read(struct gw_activity_meter *meter);
void gw_activity_close(struct gw_activity_meter *meter);

#endif
