/* SPDX-License-Identifier: MIT */
/*
 * live/vm/shadow_command.h - the command line of a VM's shadow, from the VM's description.
 *
 * It is the destination's command line (live/vm/spec.h), which has lost whatever touches the host,
 * with this put in its place:
 *
 *   memory   the VM's own file, share=off: a private view
 *   control  a connected socket that it inherits
 *   disks    each that can be written gets an overlay (live/vm/overlay.h) in a file that it
 *            inherits; the images below are read-only, shared with everybody and never locked
 *   taps     descriptors that it inherits
 */
#ifndef GW_LIVE_VM_SHADOW_COMMAND_H
#define GW_LIVE_VM_SHADOW_COMMAND_H

#include <jansson.h>

#include "live/vm/vm.h"

#define GW_SHADOW_DISKS 24
#define GW_SHADOW_TAPS  16

struct gw_shadow_disk {
	char name[64];  /* of the drive or the block node, as devices call it */
	uint64_t bytes; /* as the guest sees it */
};

struct gw_shadow_command {
	json_t *argv; /* owned */
	bool kvm;
	struct gw_shadow_disk disks[GW_SHADOW_DISKS]; /* those that need an overlay, in order */
	unsigned disk_count;
	unsigned taps[GW_SHADOW_TAPS]; /* queues of each */
	unsigned tap_count;
};

/*
 * block: the source's answer to query-block, borrowed. Descriptors are numbered from `first_fd`:
 * the control socket, the overlays, the queues of the taps. -ENOTSUP: this VM can have no shadow.
 */
int gw_shadow_command_make(struct gw_shadow_command *command, const json_t *spec,
                           const json_t *block, const char *ram_path, int first_fd,
                           struct gw_error *error);
void gw_shadow_command_clear(struct gw_shadow_command *command);

#endif
