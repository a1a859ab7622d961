/* SPDX-License-Identifier: MIT */
/*
 * live/memory/faults.h - filling the memory of a VM that already runs.
 *
 * A userfaultfd in MISSING mode, made inside the hypervisor (live/memory/attach.h) and kept open
 * there until the last page is in: if its last descriptor closed with pages missing, they would
 * read as zeros. With it open, a dead agent only makes the guest wait, and the next agent takes the
 * same descriptor up again.
 */
#ifndef GW_LIVE_MEMORY_FAULTS_H
#define GW_LIVE_MEMORY_FAULTS_H

#include "live/memory/ram.h"

struct gw_faults {
	int fd;        /* ours, non-blocking; poll for input */
	int remote_fd; /* its number inside the hypervisor */
	const struct gw_ram *ram;
};

struct gw_fault {
	uint64_t page;
	pid_t thread; /* that waits */
};

/* Creates the descriptor in the hypervisor; nothing is registered yet, the guest notices nothing.
 */
int gw_faults_open(struct gw_faults *faults, const struct gw_ram *ram, struct gw_error *error);
/* After an agent's crash: takes up the descriptor that is open in the hypervisor, and wakes all. */
int gw_faults_reopen(struct gw_faults *faults, const struct gw_ram *ram, struct gw_error *error);
/* From now on a page that is a hole in the file faults to us. */
int gw_faults_arm(struct gw_faults *faults, struct gw_error *error);
/* 1: a fault was read; 0: none now; -errno. */
int gw_faults_next(struct gw_faults *faults, struct gw_fault *fault, struct gw_error *error);
/*
 * Places a run of pages from our memory, atomically page by page, and wakes who waits for them.
 * Pages that are there already are left alone. -ESRCH: the hypervisor is gone.
 */
int gw_faults_place(struct gw_faults *faults, struct gw_run run, const void *contents,
                    struct gw_error *error);
int gw_faults_zero(struct gw_faults *faults, struct gw_run run, struct gw_error *error);
/* All pages are in: ends it, closes the descriptor inside the hypervisor too. */
int gw_faults_finish(struct gw_faults *faults, struct gw_error *error);
/* Lets go of our descriptor; the hypervisor's stays open, its faults wait. */
void gw_faults_close(struct gw_faults *faults);

#endif
