/* SPDX-License-Identifier: MIT */
/*
 * sim/scenario/scenario.h - what is to be simulated: VMs, the links they share, what everything
 * costs.
 *
 * Read from JSON (docs/simulator.md lists every key with its default and where that comes from).
 * Unknown keys, impossible values and damaged traces are refused with the key, the value, the line.
 * A file of more than SIM_SCENARIO_BYTES_MAX is refused: "count" repeats a VM.
 */
#ifndef GW_SIM_SCENARIO_H
#define GW_SIM_SCENARIO_H

#include "base/error.h"
#include "core/bandwidth/bandwidth.h"
#include "core/order/order.h"
#include "core/policy/policy.h"
#include "sim/network/network.h"
#include "sim/workload/workload.h"

/* What the world takes for its work. Defaults: sim_costs_default, each with its source. */
struct sim_costs {
	uint64_t protect_ns_per_gib;     /* tracking begins */
	uint64_t scan_ns_per_gib;        /* a clean scan */
	uint64_t scan_ns_per_dirty_page; /* get and protect */
	uint64_t first_write_ns;         /* a guest's write to a protected page */
	uint64_t survey_ns_per_gib;      /* SEEK_DATA over populated memory */
	uint64_t copy_bytes_per_s;       /* one agent's send or receive path, one core */
	uint64_t place_ns_per_page;      /* after the switch */
	uint64_t punch_ns_per_page;
	uint64_t fault_ns;         /* from the access to the agent, and back to the vCPU */
	uint64_t stop_ns, cont_ns; /* QMP stop with its drain; cont */
	uint64_t save_ns, load_ns; /* device state, apart from its bytes on the link */
	uint64_t reserve_ns;       /* start of a hypervisor at the destination */
	uint64_t journal_ns;       /* one durable record */
	uint64_t shadow_start_ns;  /* a second hypervisor at the source, while the VM runs */
	uint64_t shadow_load_ns;   /* from the saved state until it runs */
	uint64_t shadow_look_ns;   /* between two looks at what it touched */
};

extern const struct sim_costs sim_costs_default;
/* Where the hypervisor is of that kind ("qemu", "native") and no scenario says otherwise. */
struct sim_costs sim_costs_of(const char *hypervisor);

#define SIM_SETTINGS_MAX 16
#define SIM_PATH_MAX     4
#define SIM_NAME_BYTES   64

struct sim_setting {
	char key[32], value[64];
};

#define SIM_SCENARIO_BYTES_MAX (16u << 20)

#define SIM_AS_POLICY UINT64_MAX

/* How a VM is to be moved. */
struct sim_move {
	char policy[32], order[32]; /* no order: the one that goes with the policy */
	struct sim_setting settings[SIM_SETTINGS_MAX];
	unsigned setting_count;
	uint64_t limit_bytes_per_s; /* 0: none */
	uint64_t downtime_limit_ns;
	uint64_t deadline_ns; /* 0: none */
	uint64_t observe_ns;  /* before it; SIM_AS_POLICY: as the policy wants */
	bool verify;
};

/* What sim_move_init() could not use, if it is none of the settings by its number. */
#define SIM_BAD_POLICY SIM_SETTINGS_MAX
#define SIM_BAD_ORDER  (SIM_SETTINGS_MAX + 1)

/* The push order's name: the move's, or the one that goes with its policy. */
const char *sim_move_order(const struct sim_move *move);
/*
 * The policy and the order with their settings; a setting belongs to the policy if it knows the
 * key, else to the order. -ENOENT (no such name) or -EINVAL (no such value), and *bad says what.
 * A scenario's moves have been through this. bad may be NULL.
 */
int sim_move_init(const struct sim_move *move, struct gw_policy *policy, struct gw_order *order,
                  unsigned *bad);

/* The copy that runs ahead at the source, where the push order takes one (S4). */
struct sim_shadow {
	double divergence;     /* share of its touches that go to any other page */
	double speed;          /* of its vCPUs, beside the VM's */
	uint64_t memory_pages; /* that it may write before it is ended; 0: no limit */
	uint64_t life_ns;      /* after which it dies; 0: it does not */
	bool fails;            /* it cannot be started */
};

extern const struct sim_shadow sim_shadow_default;

struct sim_vm {
	char name[SIM_NAME_BYTES];
	uint64_t ram_pages;
	unsigned vcpus;
	double populated_share, zero_share; /* of memory; of what is populated */
	uint64_t state_bytes;
	struct sim_workload_config workload;
	struct sim_move move;
	struct sim_shadow shadow;
	unsigned path[SIM_PATH_MAX]; /* link numbers, from source to destination */
	unsigned path_count;
	struct sim_class class; /* of its migration's bulk flow; urgent goes before all bulk */
	uint64_t start_ns;      /* when its move begins; with sharing, not before that */
	uint64_t by_ns;         /* when it should be over; 0: no matter */
	unsigned priority;      /* who begins before whom, where the sharing goes by it */
	/* Seen earlier, borrowed; if there is any, the VM is not observed anew. */
	struct gw_observation observation;
	uint64_t trace_from_ns; /* where in its recording playing begins */
	bool paused;
	size_t entry; /* in the scenario's "vms": those of one "count" share it */
};

/* A bandwidth policy that divides each link among the VMs whose path begins with it. */
struct sim_sharing {
	struct gw_bandwidth policy; /* no kind: none; links share by themselves */
	unsigned at_once;     /* so many moves of each link at a time; 0: as the policy says */
	uint64_t interval_ns; /* from one answer to the next, if nothing happens */
};

struct sim_scenario {
	char name[SIM_NAME_BYTES]; /* the file's, without folder and ending */
	char look[256];            /* one sentence: what to look at */
	uint64_t digest;           /* XXH64 of its text */
	uint64_t seed;
	struct sim_link_config *links; /* owned, with names */
	size_t link_count;
	struct sim_vm *vms; /* owned */
	size_t vm_count;
	unsigned at_once; /* so many moves at a time; 0: as start_ns says */
	struct sim_sharing sharing;
	bool versions; /* contents are versions: lost, stale and doubled pages are found */
	struct sim_costs costs;
	struct sim_trace **traces; /* owned; workloads borrow them */
	size_t trace_count;
};

/* 0, or -EINVAL, -ENOENT, -ENOMEM with one sentence. */
int sim_scenario_load(struct sim_scenario *scenario, const char *path, struct gw_error *error);
int sim_scenario_parse(struct sim_scenario *scenario, const char *text, size_t size,
                       const char *name, const char *folder, struct gw_error *error);
/* One VM with what its recording knows, over one link; the trace is borrowed. -ENOMEM. */
int sim_scenario_of_trace(struct sim_scenario *scenario, const struct sim_trace *trace,
                          struct gw_error *error);
void sim_scenario_free(struct sim_scenario *scenario);

#endif
