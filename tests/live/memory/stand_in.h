/* SPDX-License-Identifier: MIT */
/*
 * tests/live/memory/stand_in.h - a process that stands in for a hypervisor.
 *
 * It has a shared file of RAM mapped, sits in ppoll (or poll) in its main thread, and writes to
 * its RAM in other threads. It dies with the test, and its file is a memfd: nothing stays behind.
 */
#ifndef GW_TESTS_STAND_IN_H
#define GW_TESTS_STAND_IN_H

#include <stdatomic.h>

#include "live/memory/ram.h"

enum job {
	JOB_REST,
	JOB_WRITE, /* random pages, as fast as possible */
	JOB_TOUCH, /* write `value` to each of pages [first, first + count) */
	JOB_READ,  /* read them */
	JOB_SUM,   /* read them and put the sum of their first words into `value` */
	JOB_PUNCH, /* MADV_REMOVE them */
	JOB_FIXED, /* a pinned buffer at page `first`: register it, read `value` from the pipe */
	JOB_PIN,
};

struct control {
	_Atomic int job;
	_Atomic uint64_t asked;    /* counts requests; written last */
	_Atomic uint64_t answered; /* the last request that is done */
	_Atomic uint64_t first, count, value;
	_Atomic uint64_t writes;
	_Atomic uint64_t polls; /* how often the main thread's poll was left */
	_Atomic int ready;
	_Atomic int failed; /* errno of a job that could not be done */
};

struct stand_in {
	pid_t pid;
	struct control *control;
	char path[64]; /* of its RAM */
	int fd;
	int pipe[2]; /* [1]: what JOB_FIXED reads */
};

#define STAND_IN_POLL   1 /* use poll with a time limit, not ppoll */
#define STAND_IN_SPARSE 2 /* leave the RAM empty; else all pages are filled */

void stand_in_start(struct stand_in *s, uint64_t pages, int flags);
void stand_in_end(struct stand_in *s);
/* Does a job and waits until it is done. */
void stand_in_do(struct stand_in *s, enum job job, uint64_t first, uint64_t count, uint64_t value);
/* Begins a job without waiting for its end, and waits for it. */
void stand_in_begin(struct stand_in *s, enum job job, uint64_t first, uint64_t count,
                    uint64_t value);
void stand_in_wait(struct stand_in *s);
/* Begins to write, and stops writing: on return no write is under way. */
void stand_in_write(struct stand_in *s);
void stand_in_rest(struct stand_in *s);
bool stand_in_alive(const struct stand_in *s);

unsigned count_fds(pid_t pid);
void sleep_ms(unsigned ms);
/* Ends the test with 77 and the reason if this machine cannot do `what`. */
void need(const char *what);

#endif
