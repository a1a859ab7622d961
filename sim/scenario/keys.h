/* SPDX-License-Identifier: MIT */
/*
 * sim/scenario/keys.h - the scenario's keys as tables, and how their values are read.
 *
 * Text is refused with where it stands:  web.json:12: vm.workload.skew: 7 is not at least 0.2 ...
 */
#ifndef GW_SIM_SCENARIO_KEYS_H
#define GW_SIM_SCENARIO_KEYS_H

#include <jansson.h>

#include "sim/scenario/json_line.h"
#include "sim/scenario/scenario.h"

/* Bounds that keep every sum of the world within 64 bits. */
#define SIM_RAM_PAGES_MAX   (UINT64_C(1) << 32) /* 16 TiB */
#define SIM_VCPUS_MAX       1024
#define SIM_DURATION_MAX_NS UINT64_C(100000000000000000) /* three years */
#define SIM_RATE_MAX        (UINT64_C(1) << 46)          /* 64 TiB/s */
#define SIM_STATE_MAX_BYTES (UINT64_C(1) << 40)
#define SIM_LINKS_MAX       4096
#define SIM_VMS_MAX         100000
#define SIM_VM_NAME_MAX     (SIM_NAME_BYTES - 8) /* room for "-100000" */

enum sim_key_type {
	SIM_KEY_TEXT,     /* char[bytes] */
	SIM_KEY_WHOLE,    /* unsigned or uint64_t */
	SIM_KEY_SIZE,     /* uint64_t, bytes: 4096 or "4G" */
	SIM_KEY_PAGES,    /* uint64_t: a size in whole pages */
	SIM_KEY_RATE,     /* uint64_t, bytes a second: 12500000 or "100mbit" */
	SIM_KEY_DURATION, /* uint64_t, nanoseconds: 300000000 or "300ms" */
	SIM_KEY_REAL,     /* double; its user checks the range */
	SIM_KEY_SHARE,    /* double, 0 to 1 */
	SIM_KEY_FLAG,     /* bool */
	SIM_KEY_OTHER,    /* read by hand */
};

struct sim_key {
	const char *name;
	enum sim_key_type type;
	size_t offset, bytes; /* in the struct that is filled */
	uint64_t least, most; /* in the unit above */
};

/* Ended by a NULL name. */
extern const struct sim_key sim_top_keys[], sim_link_keys[], sim_vm_keys[], sim_move_keys[],
        sim_class_keys[], sim_shadow_keys[], sim_workload_keys[], sim_cost_keys[],
        sim_sharing_keys[];

static inline void sim_cleanup_json(json_t **json)
{
	json_decref(*json);
}

#define _cleanup_json_ __attribute__((cleanup(sim_cleanup_json)))

#define SIM_PATH_DEPTH 8

struct sim_reader {
	const char *text; /* borrowed, all of it */
	size_t size;
	const char *name; /* of the file */
	const char *folder;
	struct sim_json_step path[SIM_PATH_DEPTH]; /* to what is read now */
	size_t depth;
	struct gw_error *error;
};

void sim_enter(struct sim_reader *reader, const char *key);
void sim_enter_number(struct sim_reader *reader, size_t number);
void sim_leave(struct sim_reader *reader);

/* -EINVAL. About `key` where the reader is now, or (NULL) about the place itself; value may be
 * NULL: there is none. */
int sim_refuse(struct sim_reader *reader, const char *key, const json_t *value, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

/* The object's keys are all in one of the tables; second may be NULL. -EINVAL for others. */
int sim_known_keys(struct sim_reader *reader, const json_t *object, const struct sim_key *first,
                   const struct sim_key *second);
/* Fills in what the object says; what it does not say stays. */
int sim_read_keys(struct sim_reader *reader, const json_t *object, const struct sim_key *keys,
                  void *into);

#endif
