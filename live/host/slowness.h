/* SPDX-License-Identifier: MIT */
/*
 * live/host/slowness.h - by how much work takes longer here because processors are short.
 *
 * The kernel counts of each thread how long it ran, and how long it could have and had to wait for
 * a processor (/proc/PID/task/TID/schedstat). So the threads of a VM and the one that watches it
 * tell, without any work done for it, how long a millisecond of work takes:
 *
 *     run   ##   #    ###        ##
 *     wait    ..  ...    ..   .         1 + wait / run
 */
#ifndef GW_LIVE_HOST_SLOWNESS_H
#define GW_LIVE_HOST_SLOWNESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GW_SLOWNESS_EVERY_NS 1000000000u
#define GW_SLOWNESS_KEPT     64u
#define GW_SLOWNESS_THREADS  64u

/* Of each of the last so many seconds, of the VM's threads or the agent's: whose is longer. */
struct gw_slowness {
	uint32_t permille[GW_SLOWNESS_KEPT]; /* 1000: nobody waited */
	uint32_t count; /* that were told; the newest at (count - 1) % GW_SLOWNESS_KEPT */
};

static inline size_t gw_slowness_count(const struct gw_slowness *slowness)
{
	return slowness->count < GW_SLOWNESS_KEPT ? slowness->count : GW_SLOWNESS_KEPT;
}

struct gw_slowness_part {
	uint64_t run_ns, wait_ns;
};

struct gw_slowness_meter {
	int threads[GW_SLOWNESS_THREADS]; /* the first is the agent's */
	unsigned count;
	uint64_t since_ns;
	struct gw_slowness_part agent, vm; /* up to then */
};

/* Of all threads of that process, and of the one that asks. */
void gw_slowness_open(struct gw_slowness_meter *meter, pid_t pid, uint64_t now_ns);
/* Adds a second that has passed, where one has and it is known. */
void gw_slowness_look(struct gw_slowness_meter *meter, uint64_t now_ns, struct gw_slowness *to);
void gw_slowness_close(struct gw_slowness_meter *meter);

#endif
