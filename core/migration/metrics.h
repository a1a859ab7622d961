/* SPDX-License-Identifier: MIT */
/*
 * core/migration/metrics.h - what a migration cost, with the same names in both worlds.
 *
 *   total_time   Reservation accepted -> source released
 *   downtime     source vCPUs stopped -> destination vCPUs running
 *   stall        time vCPU threads waited for pages after the switch, divided by vCPUs
 *   unavailable  downtime + stall (S5's Td)
 */
#ifndef GW_CORE_MIGRATION_METRICS_H
#define GW_CORE_MIGRATION_METRICS_H

#include "core/page/set.h"
#include "core/policy/policy.h"

enum gw_outcome {
	GW_COMPLETED,  /* the VM is at the destination, the source is released */
	GW_STAYED,     /* the VM is at the source as it was */
	GW_UNFINISHED, /* the VM runs at the destination, pages are still at the source */
	GW_DOUBTED,    /* who may run the VM is recorded as a doubt */
	GW_LOST,       /* the VM itself ended (guest powered off, hypervisor died) */
};

const char *gw_outcome_name(enum gw_outcome outcome);

/* Where it was decided that a VM stays. */
enum gw_obstacle {
	GW_AT_SOURCE,      /* by its user, its policy, its VM: another host would change nothing */
	GW_AT_DESTINATION, /* it refused, or gave up: another host may take the VM */
	GW_AT_LINK,        /* the destination was not reached, or no more: likewise */
};

const char *gw_obstacle_name(enum gw_obstacle obstacle);

struct gw_round {
	unsigned round;
	uint64_t sent_pages;
	uint64_t skipped_pages;
	uint64_t deferred_pages;        /* left out of it by the policy */
	uint64_t dirty_pages;           /* at its end */
	uint64_t predicted_dirty_pages; /* as forecast at its beginning, or GW_NO_FORECAST */
	double sdf;                     /* gw_view_sdf() */
	uint64_t duration_ns;
	uint64_t bandwidth_bytes_per_s;
	struct gw_activity activity;
	enum gw_decision decision;
	char reason[GW_REASON_BYTES];
};

struct gw_metrics {
	uint64_t total_time_ns;
	uint64_t stopped_after_ns; /* of total_time: when the downtime began */
	uint64_t downtime_ns;
	uint64_t stall_ns;
	uint64_t pages_sent;
	uint64_t pages_resent;
	uint64_t bytes_on_link;
	uint64_t faults;
	uint64_t fault_p50_ns, fault_p99_ns, fault_max_ns;
	uint64_t shadow_pages; /* that the copy which runs ahead touched, each once */
	/* Faults since its first touch, and those on pages that it had touched before. */
	uint64_t faults_watched, faults_foretold;
	uint64_t pages_compared, pages_different, first_different;
	enum gw_obstacle obstacle; /* of a VM that stayed */
	bool verified;
	bool mixed; /* pages that were pulled may be of later than the switch: the reason says why */
	bool shadow_ran;
	bool downtime_known; /* false if the switch was finished by a later agent */
};

/* Latencies in buckets of 1/16 of a power of two: quantiles within 6.25 %. */
#define GW_LATENCY_BUCKETS (64 * 16)

struct gw_latencies {
	uint64_t count;
	uint64_t max_ns;
	uint32_t bucket[GW_LATENCY_BUCKETS];
};

void gw_latencies_add(struct gw_latencies *latencies, uint64_t ns);
/* The value below which `per_mille` of them lie; 0 if there are none. */
uint64_t gw_latencies_quantile(const struct gw_latencies *latencies, unsigned per_mille);

#endif
