/* SPDX-License-Identifier: MIT */
/*
 * live/net/shaping.h - Linux traffic control for one migration: an HTB class of highest priority
 * for urgent pages, one below it for bulk.
 *
 * Installed on the device that the connection leaves by, and only if that device has no root qdisc
 * of an operator's; taken away at the end. A leftover of a crash is known by its handle and is
 * removed by the next start.
 */
#ifndef GW_LIVE_NET_SHAPING_H
#define GW_LIVE_NET_SHAPING_H

#include "live/net/htb.h"

struct gw_shaping {
	struct gw_htb htb;
};

/*
 * Installs the classes on the device by which `socket` reaches its peer. The rate is the
 * migration's, of both classes together; everything else on the device goes as fast as before.
 * -EPERM: no right; -EBUSY: the operator has a qdisc there; -ENODEV: loopback.
 */
int gw_shaping_install(struct gw_shaping *shaping, int socket, uint64_t rate_bytes_per_s,
                       struct gw_error *error);
int gw_shaping_set_rate(struct gw_shaping *shaping, uint64_t rate_bytes_per_s,
                        struct gw_error *error);
/* Puts a socket's packets into the urgent or the bulk class (SO_PRIORITY). */
int gw_shaping_mark_urgent(const struct gw_shaping *shaping, int socket, struct gw_error *error);
int gw_shaping_mark_bulk(const struct gw_shaping *shaping, int socket, struct gw_error *error);
void gw_shaping_remove(struct gw_shaping *shaping);

#endif
