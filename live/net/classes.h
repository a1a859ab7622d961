/* SPDX-License-Identifier: MIT */
/*
 * live/net/classes.h - Linux traffic control for several migrations and the VMs' own traffic that
 * share one device: each has a guaranteed rate, and a migration a ceiling too. What is nobody's
 * keeps a class of its own.
 *
 * A migration and its VM have the same slot. Which packets are a VM's own is told by the tap that
 * they came in by (live/net/origin.h). Without BPF only the last device that they came in by is
 * known: then a tap must be a port of no bridge, or of the one that the device is a port of.
 */
#ifndef GW_LIVE_NET_CLASSES_H
#define GW_LIVE_NET_CLASSES_H

#include "live/net/htb.h"

#define GW_CLASSES_MAX 8192 /* slots */

/* Bytes a second on the device, headers and all. */
struct gw_class_share {
	uint64_t rate;     /* guaranteed to the migration */
	uint64_t ceiling;  /* it gets no more; 0: it has no class yet */
	uint64_t reserved; /* guaranteed to the VM's own traffic */
};

struct gw_classes {
	struct gw_htb htb;
	uint64_t link_bytes_per_s;
	size_t count;
	struct gw_class_share *shares; /* owned: as they are in the kernel */
	uint64_t others;               /* as well */
	bool *matched;                 /* owned: the VM has a class */
	bool follows;                  /* the tree knows by which tap a packet came in */
	int *taps;                     /* owned: what tells it, of tap_count taps */
	size_t tap_count;
};

/* Errors as of gw_htb_install(); -ERANGE: the link's rate, or too many slots; -ENOMEM. */
int gw_classes_install(struct gw_classes *classes, int ifindex, uint64_t link_bytes_per_s,
                       size_t count, struct gw_error *error);
/*
 * What comes in by the tap is the VM's. -ENODEV: it is not on this host; -EOPNOTSUPP: its packets
 * are not told from others'.
 */
int gw_classes_match(struct gw_classes *classes, size_t slot, const char *tap,
                     struct gw_error *error);
/*
 * One share a slot. Guarantees that together exceed the link are lowered, the moves' before the
 * reservations, so that a twentieth of it is left to what is nobody's. Only what has changed goes
 * to the kernel.
 */
int gw_classes_divide(struct gw_classes *classes, const struct gw_class_share *shares,
                      struct gw_error *error);
/* The class of a migration, as another process marks its connections with; never 0. */
uint32_t gw_classes_of(size_t slot);
int gw_classes_mark_urgent(uint32_t class, int socket, struct gw_error *error);
int gw_classes_mark_bulk(uint32_t class, int socket, struct gw_error *error);
/* Removes the whole tree; may be called again. */
void gw_classes_remove(struct gw_classes *classes);

#endif
