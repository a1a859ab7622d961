/* SPDX-License-Identifier: MIT */
/*
 * live/net/htb.h - an HTB tree of ours on a network device: root, classes, who goes into which.
 *
 * Installed only if the device has no root qdisc of an operator's; nothing else on the host is
 * touched. A leftover of a crash is known by its handle, and that nobody holds its device.
 */
#ifndef GW_LIVE_NET_HTB_H
#define GW_LIVE_NET_HTB_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bulk's own queue: TCP keeps little there, other senders' bursts may not either. */
#define GW_BULK_QUEUE_PACKETS 64
#define GW_HTB_RATE_MAX       UINT64_C(1000000000000) /* bytes a second; faster than any device */

struct gw_htb {
	int ifindex; /* 0: not installed */
	int hold;    /* holds the device against other owners of a tree; owned while installed */
};

struct gw_htb_class {
	uint32_t minor, parent;    /* parent 0: the root */
	uint32_t priority;         /* of a leaf that borrows: 0 first */
	uint64_t rate_bytes_per_s; /* guaranteed; raised to a least rate */
	uint64_t ceiling_bytes_per_s;
	unsigned queue_packets; /* of a leaf with a queue of its own; 0: the device's default */
};

/* Removes what crashes have left behind, on whichever device of this network namespace. */
void gw_htb_sweep(void);
/*
 * Sweeps, and puts the root there; what belongs to no class goes to the one of default_minor.
 * -EPERM: no right; -EBUSY: the operator has a qdisc there, or another migration; -ENODEV:
 * loopback, or no device; -EOPNOTSUPP: the kernel has no HTB.
 */
int gw_htb_install(struct gw_htb *htb, int ifindex, uint32_t default_minor, struct gw_error *error);
/* -ERANGE: no tree is built for such a link. */
int gw_htb_check_rate(uint64_t bytes_per_s, struct gw_error *error);
/* Parents first. With `add` they are new, else they are changed, and keep their queues. */
int gw_htb_put(const struct gw_htb *htb, const struct gw_htb_class *classes, size_t count, bool add,
               struct gw_error *error);
/*
 * What has a number by gw_origin_write() leaves in the class of that minor, until the tree is
 * removed. -EPERM, -EOPNOTSUPP: see there.
 */
int gw_htb_follow(const struct gw_htb *htb, struct gw_error *error);
/*
 * What came in by the device `from`, and no other since, leaves in this class. -ENODEV: it is not
 * on this host.
 */
int gw_htb_match(const struct gw_htb *htb, const char *from, uint32_t minor,
                 struct gw_error *error);
/* Puts a socket's packets into a class of the tree on whatever device they leave by. */
int gw_htb_mark(int socket, uint32_t minor, struct gw_error *error);
void gw_htb_remove(struct gw_htb *htb);

#endif
