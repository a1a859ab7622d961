/* SPDX-License-Identifier: MIT */
/*
 * core/migration/source.h - the side that the VM leaves.
 *
 * Memory is the caller's: gw_source_bytes() of it, about 3 bits a page and what the policy
 * and the order take.
 */
#ifndef GW_CORE_MIGRATION_SOURCE_H
#define GW_CORE_MIGRATION_SOURCE_H

#include "core/migration/event.h"
#include "core/order/order.h"

struct gw_source_config {
	struct gw_policy policy;
	struct gw_order order;
	struct gw_observation observation; /* before the move; borrowed for gw_source_init() */
	struct gw_id id;
	const char *name;    /* borrowed as long as the machine lives */
	const uint8_t *spec; /* borrowed likewise */
	uint32_t spec_bytes;
	/*
	 * Pages that loading is likely to read, at most GW_FRAME_RUNS_MAX runs of one page,
	 * ascending: a hint, borrowed likewise. Where the policy pulls they go before the state.
	 */
	const struct gw_run *hot;
	uint32_t hot_count;
	uint32_t vcpus;
	uint64_t ram_pages;
	uint64_t limit_bytes_per_s; /* 0: none */
	uint64_t downtime_limit_ns;
	uint64_t deadline_ns;       /* 0: none */
	uint64_t latency_ns;        /* of the link, one way; 0: not known */
	uint64_t state_bytes;       /* expected size of the device state */
	uint64_t accept_timeout_ns; /* 0 here and below: the default */
	uint64_t link_timeout_ns;   /* silence that counts as a lost link */
	uint64_t switch_timeout_ns; /* no progress while the VM is stopped */
	uint64_t reconnect_ns;      /* how long a lost link is tried again */
	bool verify;
	bool paused; /* the VM does not run and must not be started */
	/* Which host the destination is, as an earlier agent had learned; all zeros: not known. */
	struct gw_id destination;
};

struct gw_source;

size_t gw_source_bytes(const struct gw_policy *policy, const struct gw_order *order,
                       uint64_t ram_pages);
struct gw_source *gw_source_init(void *memory, const struct gw_source_config *config);
/* 0, or -EPROTO: the peer broke the protocol (the actions then hold the consequences). */
int gw_source_step(struct gw_source *source, const struct gw_event *event,
                   struct gw_actions *actions);
/* When to step with GW_EV_TICK if nothing else happens; UINT64_MAX: never. */
uint64_t gw_source_deadline(const struct gw_source *source);
/* True if GW_EV_ROOM would be answered with a frame. */
bool gw_source_wants_room(const struct gw_source *source);

enum gw_state gw_source_state(const struct gw_source *source);
const struct gw_metrics *gw_source_metrics(const struct gw_source *source);
/* For the progress bar: pages of this phase, done and in all. */
void gw_source_progress(const struct gw_source *source, uint64_t *done, uint64_t *all);

#endif
