/* SPDX-License-Identifier: MIT */
/*
 * guest/native/machine.h - RAM, vCPU threads and the workload.
 *
 * A vCPU touches its own pages only, so neither pages nor stamps need a lock. Once an operation it
 * looks at `attention`; when that is set it goes to attend(), where under the lock it parks, runs a
 * full compare, or ends. What may be handed over (stamps, generators) is still while all are
 * parked. When the last vCPU has parked, or a compare is done, `notify` (an eventfd) becomes
 * readable.
 */
#ifndef GW_GUEST_NATIVE_MACHINE_H
#define GW_GUEST_NATIVE_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "guest/native/config.h"
#include "guest/native/page.h"

/* Errors that are told with their page; beyond them, only counted. */
#define GW_MAX_FINDINGS 16u

/* What of a vCPU is handed over, beside its stamps. Read by others while it runs, so atomic. */
struct gw_vcpu_state {
	_Atomic uint64_t random;
	_Atomic uint64_t write_cursor, read_cursor;
	_Atomic uint64_t writes, reads; /* done */
	_Atomic uint64_t errors;        /* pages found wrong by reads */
	_Atomic uint64_t ran_ns;        /* time it ran; turns the phases */
	_Atomic uint64_t last_ns;       /* CLOCK_MONOTONIC of its last operation; 0: none yet */
	_Atomic uint64_t longest_gap_ns;
};

struct gw_pace {
	uint64_t due_ns, interval_ps, rest_ps; /* interval 0: always due; UINT64_MAX: never */
};

struct gw_machine;

struct gw_vcpu {
	struct gw_machine *machine;
	uint64_t index;
	pthread_t thread;
	_Atomic pid_t tid;
	uint64_t own;       /* its pages: k -> page k * vcpus + index */
	uint64_t low, high; /* of k: the working set */
	uint32_t *stamps;   /* own of them */
	struct gw_vcpu_state state;
	struct gw_pace write, read;
	uint64_t verified; /* the last full compare that it took part in */
} __attribute__((aligned(128)));

struct gw_machine {
	struct gw_native_config config;
	struct gw_contents contents;
	int ram_fd;
	bool private_ram; /* writes stay with us: the file is somebody else's */
	uint8_t *ram;
	int notify;
	struct gw_vcpu *vcpus;

	_Atomic uint32_t attention; /* a futex: an idle vCPU sleeps on it */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under the lock. */
	bool populate, run, end, panicked;
	unsigned parked;
	uint64_t verify_wanted;
	unsigned verify_left;
	uint64_t verify_compared, verify_different;
	char verify_first[200];
	unsigned findings, findings_told;
	char finding[GW_MAX_FINDINGS][200];
};

/* Makes or takes the RAM file, maps it, starts the threads, which park (after populating). */
int gw_machine_start(struct gw_machine *machine, const char *ram_path, bool incoming,
                     struct gw_error *error);
/* From main: */
void gw_machine_run(struct gw_machine *machine, bool run);
bool gw_machine_all_parked(struct gw_machine *machine);
void gw_machine_panic(struct gw_machine *machine);
/* Only while all are parked: the generators start again, memory stays as the guest left it. */
void gw_machine_reset(struct gw_machine *machine);
/* Begins a full compare of all pages, running or not. -EBUSY: one is under way. */
int gw_machine_verify(struct gw_machine *machine);
bool gw_machine_verify_done(struct gw_machine *machine);
/* 1: copied the next finding that was not told yet. */
int gw_machine_finding(struct gw_machine *machine, char text[200]);
void gw_machine_clear(struct gw_machine *machine);

#endif
