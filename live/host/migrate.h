/* SPDX-License-Identifier: MIT */
/*
 * live/host/migrate.h - the source's agent: one migration, from the offer to its end.
 */
#ifndef GW_LIVE_HOST_MIGRATE_H
#define GW_LIVE_HOST_MIGRATE_H

#include <stdio.h>

#include "core/migration/metrics.h"
#include "core/migration/source.h"
#include "live/host/guest.h"
#include "live/host/journal.h"
#include "live/host/link.h"
#include "live/host/outlook.h"

struct gw_migrate_options {
	const char *dir;
	const char *to;      /* HOST[:PORT] */
	const char *tracker; /* "pagemap", "digest"; NULL: the best that works */
	struct gw_policy policy;
	struct gw_order order;
	uint64_t bandwidth_bytes_per_s; /* 0: no limit */
	/* Of a link that several moves divide, to begin with: "rate" on the control socket changes
	 * it. 0: all. */
	uint64_t granted_bytes_per_s;
	uint32_t traffic_class; /* of a tree that such moves share; 0: none */
	uint64_t downtime_ns;
	uint64_t deadline_ns;  /* 0: none */
	uint64_t reconnect_ns; /* 0: the default */
	uint64_t observe_ns;   /* for so long the VM is watched before its move; 0: not at all */
	/* What an earlier look saw, borrowed; if there is any, the VM is not watched anew. */
	struct gw_observation observation;
	bool verify;
	FILE *trace; /* NULL: none */
	int stop_fd; /* readable: the user wants to abort; -1: none */
	void (*progress)(void *arg, const char *label, uint64_t done_bytes, uint64_t all_bytes,
	                 uint64_t now_ns);
	void (*observing)(void *arg, uint64_t done_ns, uint64_t all_ns, uint64_t pages_per_s);
	/* Something the user should know before it costs: one sentence. */
	void (*note)(void *arg, const char *sentence);
	/*
	 * The VM has been observed: may take another policy and order than the options', and say
	 * why. Not 0 ends it, nothing was begun. NULL: as the options say.
	 */
	int (*plan)(void *arg, const struct gw_outlook *outlook, struct gw_policy *policy,
	            struct gw_order *order, struct gw_error *error);
	void (*round)(void *arg, const struct gw_round *round); /* has ended; may be NULL */
	void *arg;
};

struct gw_migrate_result {
	enum gw_outcome outcome;
	char reason[GW_TRACE_BYTES];
	char name[GW_NAME_MAX + 1];
	char policy[32], order[32], tracker[32];
	char shaping[160]; /* how urgent pages were put first, or why not */
	uint64_t ram_bytes;
	uint32_t vcpus;
	uint64_t bandwidth_bytes_per_s, latency_ns; /* of the link, as measured */
	uint64_t zero_pages, state_bytes;
	uint64_t observation_ns; /* what the policy was given of the time before; not in total_time
	                          */
	struct gw_metrics metrics;
	size_t round_count;
	struct gw_round *rounds; /* owned */
};

/* 0 if the machine came to an end: see result->outcome. Else nothing was begun. */
int gw_migrate(struct gw_guest *guest, const struct gw_migrate_options *options,
               struct gw_migrate_result *result, struct gw_error *error);
/* Goes on where a crashed or disconnected agent stopped. The journal is taken over. */
int gw_migrate_recover(struct gw_journal *journal, const struct gw_migrate_options *options,
                       struct gw_migrate_result *result, struct gw_error *error);
void gw_migrate_result_clear(struct gw_migrate_result *result);

#endif
