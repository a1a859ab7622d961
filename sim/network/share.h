/* SPDX-License-Identifier: MIT */
/*
 * sim/network/share.h - who gets how much of links that several want to use at once.
 *
 * Progressive filling (Bertsekas & Gallager, Data Networks, 6.5.2), in stages: first everybody up
 * to its guarantee, then one priority after the other up to the limits. Within a stage all rates
 * rise together, in proportion to the weights; one stops at its limit, or when a link on its path
 * is full. Guarantees that a link cannot keep share it in the same way.
 *
 * Rates are integers of 1/65536 byte a second, always rounded down: a link is never overfull, and
 * what rounding leaves of it is less than the sum of the weights on it.
 */
#ifndef GW_SIM_SHARE_H
#define GW_SIM_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_RATE_UNIT (UINT64_C(1) << 16)
#define SIM_RATE_MAX  (UINT64_C(1) << 62) /* 64 TiB/s */

/* So many flows of one kind, on one path. */
struct sim_sharer {
	const unsigned *links; /* borrowed */
	size_t link_count;
	uint64_t flows;             /* at least 1 */
	uint64_t guaranteed, limit; /* of each flow; limit at most SIM_RATE_MAX */
	unsigned priority, weight;  /* weight at least 1 */
	uint64_t rate;              /* of each flow: the result */
	bool done;                  /* sim_share's */
};

struct sim_pipe {
	uint64_t rate;
	uint64_t left, weight; /* sim_share's */
};

void sim_share(struct sim_sharer *const *sharers, size_t count, struct sim_pipe *pipes,
               size_t pipe_count);

#endif
