/* SPDX-License-Identifier: MIT */
/*
 * live/host/room.h - how much memory a host has free for VMs that come.
 */
#ifndef GW_LIVE_HOST_ROOM_H
#define GW_LIVE_HOST_ROOM_H

#include <stdint.h>

#include "base/error.h"

struct gw_room {
	uint64_t free_bytes; /* for guests' memory */
	int ifindex;         /* of this host's device by which that host is reached; 0: not known */
};

/* What this host could give out without swapping; UINT64_MAX: the kernel does not say. */
uint64_t gw_room_memory(void);
/* This host's agent says it to whoever asked, over a connection that has been greeted. */
void gw_room_tell(int fd);
/* Asks the agent of another host. The error says why there is no answer. */
int gw_room_ask(const char *host, int timeout_ms, struct gw_room *room, struct gw_error *error);

#endif
