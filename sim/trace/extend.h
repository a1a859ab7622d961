/* SPDX-License-Identifier: MIT */
/*
 * sim/trace/extend.h - what a VM may do after it was observed, for longer than it was.
 *
 * Played again and again an observation writes no page that it has not seen, but a VM goes on to
 * new ones. Which share of its writes does is what Good and Turing estimate (Good, Biometrika
 * 1953): that to pages which were seen once. How many pages there are that were not seen is Chao's
 * lower bound (Scand. J. Statist. 1984): f1 (f1 - 1) / 2 (f2 + 1), where f1 pages were seen in one
 * window and f2 in two. So wherever the observation is played again, a page that it saw once stands
 * for one drawn from those and the unseen, for a different one each time around.
 *
 * So do some of those seen twice. A page seen r times is to be expected (r + 1) f(r+1) / f(r) times
 * in as long again (Good, likewise): where that is less than 2 for r = 2, as many of them were seen
 * twice by chance.
 */
#ifndef GW_SIM_TRACE_EXTEND_H
#define GW_SIM_TRACE_EXTEND_H

#include "sim/trace/trace.h"

struct sim_extended {
	struct sim_trace *trace; /* owned, as are the runs that it borrows beside `seen`'s */
	struct gw_run *runs;
};

/*
 * The windows of `seen`, then once more from number `first` on and around to it, with pages drawn,
 * and so again as often as it takes for `length_ns` in all, or as the limits here allow: a long
 * move of an idle VM would take any number of windows. A policy that learned from the first part
 * does not meet it again. There are `unseen_permille` thousandths of Chao's bound of unseen pages.
 * `seen` is borrowed. -ENOMEM.
 */
#define SIM_EXTENDED_RUNS_MAX    (UINT64_C(1) << 20)
#define SIM_EXTENDED_WINDOWS_MAX (UINT64_C(1) << 16) /* 54 minutes */
int sim_trace_extend(struct sim_extended *extended, const struct sim_trace *seen, size_t first,
                     uint64_t length_ns, uint32_t unseen_permille, uint64_t seed);
void sim_extended_clear(struct sim_extended *extended);

#endif
