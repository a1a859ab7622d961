/* SPDX-License-Identifier: MIT */
/*
 * live/vm/usage.h - what a running VM has used so far: time of its vCPU threads, and bytes of its
 * taps. Read from /proc from outside; where it cannot be read it is not known.
 */
#ifndef GW_LIVE_VM_USAGE_H
#define GW_LIVE_VM_USAGE_H

#include "live/vm/vm.h"

#define GW_USAGE_TAPS 16

struct gw_usage {
	pid_t pid;
	unsigned vcpus;
	int *threads; /* owned: /proc/PID/task/TID/schedstat of each vCPU */
	unsigned tap_count;
	char taps[GW_USAGE_TAPS][16];
	char untapped[32]; /* the kind of a network that is by no tap; "": there is none */
	bool cpu_known, network_known;
};

/* Growing for as long as the VM runs here; zeros where not known. */
struct gw_usage_counts {
	uint64_t cpu_ns;        /* of all vCPUs together */
	uint64_t network_bytes; /* in and out, of all taps together */
	uint64_t sent_bytes;    /* of that, by the VM */
};

void gw_usage_open(struct gw_usage *usage, const struct gw_vm *vm);
/* What cannot be read any more is not known from then on. */
struct gw_usage_counts gw_usage_read(struct gw_usage *usage);
/* The share of all vCPUs' time, 0 to 1000, that cpu_ns is of so long. */
uint32_t gw_usage_permille(const struct gw_usage *usage, uint64_t cpu_ns, uint64_t length_ns);
void gw_usage_close(struct gw_usage *usage);

#endif
