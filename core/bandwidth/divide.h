/* SPDX-License-Identifier: MIT */
/* core/bandwidth/divide.h - the policies, for the table, and the parts they share. */
#ifndef GW_CORE_BANDWIDTH_DIVIDE_H
#define GW_CORE_BANDWIDTH_DIVIDE_H

#include "core/bandwidth/bandwidth.h"

extern const struct gw_bandwidth_kind gw_bandwidth_fair, gw_bandwidth_nrac, gw_bandwidth_nrac_wc,
        gw_bandwidth_deadline;

/* Nt - Nu: never negative. */
uint64_t gw_uplink_free(const struct gw_uplink *link);
/* The rate, its limit or what its way carries, whichever is least; a limit of 0 is none. */
uint64_t gw_limited(const struct gw_mover *mover, uint64_t rate_bytes_per_s);
/*
 * Raises the rates of those who want more, all alike, none beyond its want and its limit, by at
 * most `free` in all; returns what nobody wanted (max-min fairness: Bertsekas & Gallager, Data
 * Networks, 6.5.2). Whoever wants nothing more has want_bytes_per_s 0.
 */
uint64_t gw_fill(const struct gw_mover *movers, struct gw_grant *grants, size_t count,
                 uint64_t free);
/*
 * Of use until the next question: who has little left to send leaves the rest to another. An eighth
 * of the time must do for it, or short rounds would become as long as the interval, and never end.
 */
uint64_t gw_usable(const struct gw_uplink *link, const struct gw_mover *mover);
/* Those that stand or pull, from all that is free; returns what is left. Clears every want. */
uint64_t gw_serve_switching(const struct gw_mover *movers, struct gw_grant *grants, size_t count,
                            uint64_t free);
/* Reserves for network-intensive VMs what they are going to send; returns what is left. */
uint64_t gw_reserve(const struct gw_bandwidth *policy, const struct gw_mover *movers,
                    struct gw_grant *grants, size_t count, uint64_t free);
void gw_wait(struct gw_grant *grant, const char *reason);

#endif
