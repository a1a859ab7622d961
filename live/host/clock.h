/* SPDX-License-Identifier: MIT */
#ifndef GW_LIVE_HOST_CLOCK_H
#define GW_LIVE_HOST_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t gw_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Until a deadline, for poll(): rounded up, -1 for never, at most a minute. */
static inline int gw_poll_ms(uint64_t deadline_ns, uint64_t now_ns)
{
	uint64_t left;

	if (deadline_ns == UINT64_MAX)
		return -1;
	if (deadline_ns <= now_ns)
		return 0;
	left = (deadline_ns - now_ns + 999999) / 1000000;
	return left > 60000 ? 60000 : (int)left;
}

#endif
