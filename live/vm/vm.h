/* SPDX-License-Identifier: MIT */
/*
 * live/vm/vm.h - a running virtual machine, whatever runs it.
 *
 * Two kinds stand behind this: QEMU (live/vm/qemu.c, over QMP) and the native guest
 * (live/vm/native.c), a process of ours that dirties and checks its memory at native speed.
 *
 * Nothing here waits: a request is sent, its answer comes as an event. The agent polls gw_vm_fd()
 * for input and then calls gw_vm_next() until it returns 0. While a page fault of the hypervisor's
 * own thread is open, a VM does not answer: whoever waits for an event goes on serving faults.
 */
#ifndef GW_LIVE_VM_VM_H
#define GW_LIVE_VM_VM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum gw_vm_event_kind {
	GW_VM_STOPPED,	/* stop: no vCPU runs, I/O is drained */
	GW_VM_RUNNING,	/* cont: vCPUs run (or: stays paused, as asked) */
	GW_VM_SAVED,	/* save: the device state stream was written to its end */
	GW_VM_LOADED,	/* load: the device state was loaded without an error */
	GW_VM_REFUSED,	/* the last request failed; `text` says why; the VM is as it was */
	GW_VM_SHUTDOWN, /* the guest powered itself off, or someone quit the hypervisor */
	GW_VM_RESET,	/* the guest rebooted; it runs on */
	GW_VM_PANICKED, /* the guest panicked and stands */
	GW_VM_DIED,	/* the hypervisor process is gone */
};

struct gw_vm_event {
	enum gw_vm_event_kind kind;
	char text[256];
};

struct gw_vm;

struct gw_vm_kind {
	const char *name; /* "qemu", "native" */
	int (*fd)(struct gw_vm *vm);
	int (*next)(struct gw_vm *vm, struct gw_vm_event *event);
	int (*prepare_save)(struct gw_vm *vm, struct gw_error *error);
	int (*stop)(struct gw_vm *vm, struct gw_error *error);
	int (*save)(struct gw_vm *vm, int fd, struct gw_error *error);
	int (*load)(struct gw_vm *vm, int fd, struct gw_error *error);
	int (*cont)(struct gw_vm *vm, struct gw_error *error);
	int (*quit)(struct gw_vm *vm, struct gw_error *error);
	void (*close)(struct gw_vm *vm);
};

/* Common head of every kind's own struct. */
struct gw_vm {
	const struct gw_vm_kind *kind;
	pid_t pid;
	char name[64];
	char ram_path[256]; /* the named shared file that is the guest's memory */
	uint64_t ram_bytes;
	unsigned vcpus;
	bool paused;	    /* was not running when it was opened */
	pid_t *vcpu_threads; /* vcpus of them, owned; zeros where not known */
};

/* Polled for input; stays the same until gw_vm_close(). */
int gw_vm_fd(struct gw_vm *vm);
/* 1: an event was written; 0: none now; -errno: the control connection is broken. */
int gw_vm_next(struct gw_vm *vm, struct gw_vm_event *event);

/* Source, before the first round: everything that may be set up while the VM runs. Waits. */
int gw_vm_prepare_save(struct gw_vm *vm, struct gw_error *error);
/* -> GW_VM_STOPPED. */
int gw_vm_stop(struct gw_vm *vm, struct gw_error *error);
/* -> GW_VM_SAVED. Device state only. fd: one end of a stream socket, taken over. */
int gw_vm_save(struct gw_vm *vm, int fd, struct gw_error *error);
/* -> GW_VM_LOADED. May be called before any byte is there; fd as above. */
int gw_vm_load(struct gw_vm *vm, int fd, struct gw_error *error);
/* -> GW_VM_RUNNING. At the source after a save too: takes back what the save gave away. */
int gw_vm_cont(struct gw_vm *vm, struct gw_error *error);
/* Ends the hypervisor process, by the polite way and then by its pid; waits; removes nothing. */
int gw_vm_quit(struct gw_vm *vm, struct gw_error *error);
/* Lets go of the VM, which goes on as it is. */
void gw_vm_close(struct gw_vm *vm);

#endif
