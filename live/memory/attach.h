/* SPDX-License-Identifier: MIT */
/*
 * live/memory/attach.h - a system call run inside an unmodified hypervisor.
 *
 * The main thread's own poll is hijacked and nothing else: at its entry the number is replaced, at
 * its exit the instruction pointer is set back so that the poll is made again. If we die at any
 * instant the hypervisor goes on. What is specific to an architecture is in
 * live/memory/attach_ARCH.c.
 */
#ifndef GW_LIVE_MEMORY_ATTACH_H
#define GW_LIVE_MEMORY_ATTACH_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/*
 * Runs one system call of `count` arguments in the process's main thread (the other registers stay
 * as they are: the thread sees a change if we die half-way). Its result goes to *result (negative
 * errno on the call's own failure). Returns -errno when it could not be run at all. Waits at most
 * timeout_ms for the thread to come to its poll (a kick by our own means is made if it sits in
 * one). Meanwhile nobody else in this process may wait for stops of that one.
 */
int gw_attach_call(pid_t pid, long number, const unsigned long *args, unsigned count,
                   int timeout_ms, long *result, struct gw_error *error);

/*
 * Takes a range of shared memory out of the process's page tables (MADV_DONTNEED). Nothing is lost:
 * who touches a page next has it back by a minor fault. -EINVAL: the range is locked in memory.
 */
int gw_attach_unmap_pages(pid_t pid, uint64_t address, uint64_t bytes, int timeout_ms,
                          struct gw_error *error);

/* A userfaultfd of the process's address space; *remote is its number in there. Returns ours. */
int gw_attach_userfaultfd(pid_t pid, int *remote, struct gw_error *error);
/* The same of a process without rights that has /dev/userfaultfd open as `device`. */
int gw_attach_device_userfaultfd(pid_t pid, int device, int *remote, struct gw_error *error);
/* Takes a duplicate of a descriptor of the process. */
int gw_attach_take_fd(pid_t pid, int remote, struct gw_error *error);
/* Closes a descriptor inside the process. */
int gw_attach_close_fd(pid_t pid, int remote, struct gw_error *error);
/*
 * The lowest descriptor of the process, from `from` on, that is a userfaultfd for which these
 * features, and no others, were agreed on; 0: none yet. -ENOENT: there is none.
 */
int gw_attach_find_userfaultfd(pid_t pid, unsigned features, int from);
/*
 * After an agent's crash: closes the userfaultfds in the process that it made and had no time to
 * use. They do nothing, but nothing is to be left in there.
 */
void gw_attach_tidy(pid_t pid);

#endif
