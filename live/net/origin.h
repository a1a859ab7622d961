/* SPDX-License-Identifier: MIT */
/*
 * live/net/origin.h - packets that know by which tap they came in, for as long as they are on this
 * host: through bridges, routing and address translation.
 *
 * A BPF program at the tap writes a number into the packet's tc_index; another one, a filter of the
 * tree on the device that they leave by, reads it. The first is attached as a link (Linux 6.6),
 * which is gone with the process that holds it, however that ends, and lets what others attached
 * to the tap go on as before. A filter of an ingress qdisc at the tap comes later and writes
 * tc_index, too: such a tap is refused.
 */
#ifndef GW_LIVE_NET_ORIGIN_H
#define GW_LIVE_NET_ORIGIN_H

#include <stdint.h>

#include "base/error.h"

/*
 * Writes the number into all that comes in by the tap, until the descriptor returned is closed.
 * -ENODEV: it is not on this host; -EPERM; -EOPNOTSUPP: the kernel is older, or an ingress qdisc is
 * there.
 */
int gw_origin_write(const char *tap, uint16_t number, struct gw_error *error);
/* A filter's program: a packet with a number belongs to the class `handle` | number. Errors as
 * above; the descriptor returned is the caller's. */
int gw_origin_read(uint32_t handle, struct gw_error *error);

#endif
