/* SPDX-License-Identifier: MIT */
/*
 * core/bandwidth/bandwidth.h - who gets how much of a link that several VMs leave by.
 *
 *     link   |<---- others ---->|<-- reservations -->|<----- migrations ----->|
 *            0                  Nu                                            Nt
 *
 * A bandwidth policy is asked now and then (each round, or each interval). It sees the link, and of
 * each VM that leaves by it the migration and the VM's own traffic; it answers how fast each
 * migration may go, what is kept for the VM's own traffic, and who has to wait. It knows no clock
 * (time is in the link's view), allocates nothing and keeps no memory between two questions.
 *
 * For every policy: rates and reservations together are at most Nt - Nu; no rate exceeds its VM's
 * limit; a migration that waits has rate 0; a VM that stands or is pulled is served before all
 * others, for that is when its users wait.
 *
 * Adding a policy: one file, one row in bandwidth.c's table, one test.
 */
#ifndef GW_CORE_BANDWIDTH_BANDWIDTH_H
#define GW_CORE_BANDWIDTH_BANDWIDTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/migration/state.h"

/* S2's four kinds of VM. */
enum gw_application { GW_APP_IDLE, GW_APP_CPU, GW_APP_MEMORY, GW_APP_NETWORK };

enum gw_mover_state {
	GW_MOVER_WAITS,    /* its migration has not begun */
	GW_MOVER_BEGINS,   /* the destination reserves, memory is looked at: nothing is sent yet */
	GW_MOVER_COPIES,   /* it runs at the source, rounds are sent */
	GW_MOVER_SWITCHES, /* it stands and is sent, or runs at the destination and pulls */
	GW_MOVER_SETTLES,  /* all is sent: a few messages follow, and it needs no more */
};

/* Of a migration that has begun, as its source says. */
enum gw_mover_state gw_mover_state_of(enum gw_state state);

/* One VM and its migration, in the coming round. */
struct gw_mover {
	enum gw_mover_state state;
	uint64_t dirty_bytes_per_s;        /* De: forecast dirty pages * page / T */
	uint64_t traffic_bytes_per_s;      /* the VM's own: mean of the last k samples */
	uint64_t traffic_next_bytes_per_s; /* Napp: its forecast */
	uint32_t cpu_permille;             /* of all its vCPUs */
	uint64_t left_bytes;               /* still to be sent, as far as is known */
	uint64_t limit_bytes_per_s;        /* the user's; 0: none */
	uint64_t stream_bytes_per_s; /* what one move is thought to get at most; 0: not known */
	unsigned way;                /* movers of one number share a link behind this one */
	uint64_t way_bytes_per_s;    /* what that carries; 0: no less than this one */
	uint64_t deadline_ns;        /* by when it must be over; 0: no matter */
	bool pulls;        /* its policy switches early: what it dirties is not sent again */
	bool first_pass;   /* little of it was sent: hardly anything is sent again yet */
	unsigned priority; /* 0 first */
};

struct gw_uplink {
	uint64_t now_ns;            /* the clock of the deadlines */
	uint64_t total_bytes_per_s; /* Nt */
	/* Nu, without the migration streams and without what the movers themselves send:
	 * else a reservation would be subtracted twice. */
	uint64_t used_bytes_per_s;
	uint64_t next_ns; /* from now to the next question, if nothing happens; 0: not known */
};

struct gw_grant {
	uint64_t rate_bytes_per_s;     /* of the migration; 0: nothing now */
	uint64_t reserved_bytes_per_s; /* kept for the VM's own traffic */
	bool waits;                    /* it is not to begin yet */
	const char *reason;            /* a few words; constant */
	/* The policy's own while it divides. */
	uint64_t want_bytes_per_s;
	uint32_t turn;
};

/* From where on a VM belongs to a class; the first that fits, from network down. */
struct gw_thresholds {
	uint64_t network_bytes_per_s; /* Th_r: its own traffic is above */
	uint64_t dirty_bytes_per_s;   /* it dirties more */
	uint64_t cpu_permille;        /* its vCPUs run for more */
};

enum gw_application gw_application_of(const struct gw_thresholds *thresholds,
                                      const struct gw_mover *mover);

#define GW_BANDWIDTH_MEMORY 64

/* A policy and its settings: plain bytes, copied with the struct. */
struct gw_bandwidth {
	const struct gw_bandwidth_kind *kind;
	struct gw_thresholds thresholds;
	_Alignas(16) unsigned char memory[GW_BANDWIDTH_MEMORY];
};

struct gw_bandwidth_kind {
	const char *name;
	const char *summary;  /* one line for --help */
	const char *settings; /* "key=default ..." beside the thresholds; "" if none */
	void (*init)(struct gw_bandwidth *policy); /* NULL: memory is all zeros */
	/* 0, -ENOENT for an unknown key, -EINVAL for a bad value. NULL: no settings. */
	int (*set)(struct gw_bandwidth *policy, const char *key, const char *value);
	void (*divide)(const struct gw_bandwidth *policy, const struct gw_uplink *link,
	               const struct gw_mover *movers, struct gw_grant *grants, size_t count);
};

/* The table, ended by NULL. */
extern const struct gw_bandwidth_kind *const gw_bandwidths[];

/* 0, or -ENOENT: no such policy. */
int gw_bandwidth_init(struct gw_bandwidth *policy, const char *name);
/*
 * 0, -ENOENT, -EINVAL. Known to every policy: network_above=10mbit (Th_r), memory_above=8MB/s,
 * cpu_above=0.3. The paper names no figure for Th_r.
 */
int gw_bandwidth_set(struct gw_bandwidth *policy, const char *key, const char *value);
/* Fills in all grants. Those who come first in the array come first where nothing else decides. */
void gw_bandwidth_divide(const struct gw_bandwidth *policy, const struct gw_uplink *link,
                         const struct gw_mover *movers, struct gw_grant *grants, size_t count);

/*
 * How long a pre-copy takes that sends at this rate: what is dirtied meanwhile is sent again, in
 * ever shorter rounds, V / (rate - De). UINT64_MAX: it does not converge.
 */
uint64_t gw_precopy_ns(uint64_t left_bytes, uint64_t dirty_bytes_per_s, uint64_t rate_bytes_per_s);

#endif
