/* SPDX-License-Identifier: MIT */
/*
 * guest/native/config.h - what a native guest is: its size and its workload, as checked numbers.
 *
 * The same table reads the guest's command line, writes its answer to "config", and makes the
 * description from which another host starts the twin. All of it is numbers within limits and one
 * name from a list, so a hostile description can ask for nothing but another workload.
 */
#ifndef GW_GUEST_NATIVE_CONFIG_H
#define GW_GUEST_NATIVE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define GW_NATIVE_PAGE_BYTES 4096u
#define GW_NATIVE_MAX_VCPUS  64u
#define GW_NATIVE_RATE_MAX   UINT64_MAX /* as fast as it goes; written "max" */

enum gw_native_pattern {
	GW_NATIVE_IDLE,     /* touches no memory */
	GW_NATIVE_RANDOM,   /* uniform over the working set */
	GW_NATIVE_LOCALITY, /* `skew` percent in the working set, which drifts; the rest anywhere */
	GW_NATIVE_SEQUENTIAL, /* sweeps the working set, over and over */
	GW_NATIVE_PHASES,     /* `phase_ms` random over the working set, `phase_ms` quiet, ... */
	GW_NATIVE_PATTERNS
};

/* Page p belongs to vCPU p % vcpus: only that one touches it. Rates are of the whole guest. */
struct gw_native_config {
	uint64_t pages;
	uint64_t vcpus;
	uint64_t pattern;  /* enum gw_native_pattern */
	uint64_t writes;   /* pages/s; 0: none */
	uint64_t reads;    /* pages/s, each compared whole; 0: none */
	uint64_t set;      /* pages in the working set; 0: all from `offset` on */
	uint64_t offset;   /* first page of the working set */
	uint64_t skew;     /* percent */
	uint64_t drift;    /* locality: pages of its own a vCPU moves on in 1000 operations */
	uint64_t phase_ms; /* length of a phase */
	uint64_t zero;     /* percent of the written pages that are all zeros */
	uint64_t fill;     /* percent of a page's bytes that do not compress; the rest zeros */
	uint64_t populate; /* pages written before the guest starts, from page 0 on */
	uint64_t seed;
};

enum gw_native_value { GW_NATIVE_NUMBER, GW_NATIVE_RATE, GW_NATIVE_PATTERN };

struct gw_native_key {
	const char *name;
	size_t offset;
	enum gw_native_value value;
	uint64_t standard, min, max;
};

#define GW_NATIVE_KEYS 14
extern const struct gw_native_key gw_native_keys[GW_NATIVE_KEYS];

/* NULL where there is no such key. */
const struct gw_native_key *gw_native_key(const char *name, size_t length);
uint64_t gw_native_get(const struct gw_native_config *config, const struct gw_native_key *key);

void gw_native_config_init(struct gw_native_config *config);
/* One value from text or, where it is a number already, from that; checked against its limits. */
int gw_native_set_text(struct gw_native_config *config, const struct gw_native_key *key,
                       const char *text, struct gw_error *error);
int gw_native_set_number(struct gw_native_config *config, const struct gw_native_key *key,
                         uint64_t number, struct gw_error *error);
/* The value as text: "max", a pattern's name, digits. */
void gw_native_text(const struct gw_native_config *config, const struct gw_native_key *key,
                    char text[32]);
/* What only the values together can tell. */
int gw_native_config_check(const struct gw_native_config *config, struct gw_error *error);
/* A guest's name: letters, digits, ". _ -", at most 63, not starting with a dot. */
bool gw_native_name_ok(const char *name);

#endif
