/* SPDX-License-Identifier: MIT */
/*
 * live/memory/probe.h - what this host offers for tracking and filling a VM's memory.
 */
#ifndef GW_LIVE_MEMORY_PROBE_H
#define GW_LIVE_MEMORY_PROBE_H

#include <stdbool.h>

struct gw_probe {
	char kernel[65]; /* its release: "6.18.44" */
	bool ptrace;     /* we may attach to a process of ours */
	bool pidfd_getfd;
	bool userfaultfd;   /* kernel faults included */
	bool missing_shmem; /* post-copy is possible */
	bool wp_async;      /* Linux >= 6.7: the pagemap tracker is possible */
	bool pagemap_scan;
	bool net_admin;     /* traffic control is possible */
	bool kvm;           /* /dev/kvm makes VMs */
	bool hardware;      /* the processor virtualises, so KVM is fast */
	char missing[1024]; /* one sentence: what is missing and what follows; "" if nothing */
};

/* Tries everything on a child process of our own; leaves nothing behind. */
void gw_probe_host(struct gw_probe *probe);

/* NULL if the tracker (or "faults": serving post-copy) works here, else the sentence why not. */
const char *gw_probe_lacks(const struct gw_probe *probe, const char *what);

#endif
