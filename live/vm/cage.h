/* SPDX-License-Identifier: MIT */
/*
 * live/vm/cage.h - a process that can do nothing to the world, and does not outlive us.
 *
 * What the kernel holds it to, whatever its program does:
 *
 *   network    a network namespace of its own: a loopback that is down, taps that are down; no
 *              sockets but those it was given
 *   files      every mount is read-only and without devices; no file can be opened for writing,
 *              but for /dev/kvm where it is allowed. The *image*, a file that the program insists
 *              on opening for writing, is opened for reading in its place (seccomp's user
 *              notification), so it can be mapped privately and not be changed
 *   rights     no capability but CAP_DAC_READ_SEARCH, none to be won (no_new_privs)
 *   processes  a PID namespace of its own: it sees and signals nobody, and what it starts ends with
 *              it; it is killed when the thread that started it ends, however it ends
 *   share      SCHED_BATCH and nice 10: it preempts nobody, and gets a tenth of what a process
 *              beside it gets that wants the same processor (under SCHED_IDLE it would not move at
 *              all on a host that is never idle); files (memfds that it was
 *              given) do not grow beyond a limit; the first one the kernel kills for memory
 */
#ifndef GW_LIVE_VM_CAGE_H
#define GW_LIVE_VM_CAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define GW_CAGE_FIRST_FD 3
#define GW_CAGE_FDS_MAX  64

struct gw_cage_start {
	int program;       /* of the executable */
	char *const *argv; /* NULL-terminated */
	int log;           /* stdout and stderr; stdin is empty */
	const int *fds;    /* they become GW_CAGE_FIRST_FD, and on */
	unsigned fd_count;
	const unsigned *taps; /* queues of each; their descriptors follow, one a queue */
	unsigned tap_count;
	bool kvm;            /* may open /dev/kvm */
	const char *image;   /* as the program names it */
	int image_fd;        /* what it gets for it; open for reading only */
	uint64_t file_bytes; /* that a file may grow to */
	int timeout_ms;      /* until the image is opened */
	int cancel;          /* readable: it is not wanted any more; 0: nobody cancels */
};

struct gw_cage {
	pid_t pid;
	int pidfd;
};

/* Waits until the program has opened the image. On failure nothing of it is left. */
int gw_cage_start(struct gw_cage *cage, const struct gw_cage_start *start, struct gw_error *error);
/* Kills it and waits for its end; all zeros, or ended before: nothing happens. */
void gw_cage_end(struct gw_cage *cage);

#endif
