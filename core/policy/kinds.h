/* SPDX-License-Identifier: MIT */
/* core/policy/kinds.h - the policies, for the table, and the parts they share. */
#ifndef GW_CORE_POLICY_KINDS_H
#define GW_CORE_POLICY_KINDS_H

#include "core/policy/policy.h"

extern const struct gw_policy_kind gw_policy_stop_copy;
extern const struct gw_policy_kind gw_policy_precopy;
extern const struct gw_policy_kind gw_policy_postcopy;
extern const struct gw_policy_kind gw_policy_hybrid;
extern const struct gw_policy_kind gw_policy_deferred;
extern const struct gw_policy_kind gw_policy_sdf_hybrid;
extern const struct gw_policy_kind gw_policy_split;
extern const struct gw_policy_kind gw_policy_wws_hybrid;
extern const struct gw_policy_kind gw_policy_run_ahead, gw_policy_auto;

__attribute__((format(printf, 3, 4))) void
gw_verdict_say(struct gw_verdict *verdict, enum gw_decision decision, const char *format, ...);

/* Exact and saturating: bytes that a rate carries in a time. */
uint64_t gw_rate_carries(uint64_t bytes_per_s, uint64_t ns);
/*
 * What a fault takes after the switch, of the time of all vCPUs: two latencies, the page, 70 us
 * into and out of the agents, and half a frame of 300 us that is being pushed (source/pull.c);
 * measured latencies in docs/bench.md.
 */
double gw_view_fault_ns(const struct gw_view *view, double page_ns);
/* Bytes/s: as measured, or else the user's limit, or Gigabit Ethernet's. */
uint64_t gw_view_rate(const struct gw_view *view);
/* Bytes/s at which the guest dirtied memory in the last round. */
double gw_view_dirty_rate(const struct gw_view *view);

/* The stop rules of precopy; asked after every round, from the first on. */
void gw_stop_qemu(const struct gw_view *view, struct gw_verdict *verdict);
/* After QEMU's stop: how often a round more may shorten the downtime below its limit. */
struct gw_settle {
	uint64_t rounds, done;
};
#define GW_SETTLE_ROUNDS 3
/* `halves`: a round more is likely to halve what is dirty, for instance as the last one did. */
void gw_settle(struct gw_settle *settle, bool halves, const struct gw_view *view,
               struct gw_verdict *verdict);
bool gw_halved(const struct gw_view *view);
void gw_stop_xen_legacy(const struct gw_view *view, struct gw_verdict *verdict);
void gw_stop_xen_modern(const struct gw_view *view, struct gw_verdict *verdict);
void gw_stop_clark(const struct gw_view *view, struct gw_verdict *verdict);
/* Stops after so many rounds in any case; 0: never. */
void gw_stop_after(uint64_t max_rounds, const struct gw_view *view, struct gw_verdict *verdict);
/* Clark's rate for the first round. */
uint64_t gw_clark_first_rate(void);

#endif
