/* SPDX-License-Identifier: MIT */
/*
 * cli/sim.c - `godwit sim SCENARIO...`: moves in virtual time, as many as are asked for.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/values.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/sweep_run.h"
#include "cli/table.h"
#include "cli/verb.h"

#define POLICIES_MAX 64
#define SHARES       1000000 /* what the progress bar counts */

struct asked {
	struct gw_cli_list policies, set, seeds;
	const char *json, *trace;
	uint64_t jobs;
	bool resume, quiet;
};

/* --- what came of it, for a person ---------------------------------------------------------- */

enum figure { TOTAL, DOWNTIME, UNAVAILABLE, FAULTS, SENT, AGAIN, FIGURES };

/* Of one group of runs; each list has room for all its results. */
struct tally {
	size_t results, completed;
	size_t room;
	uint64_t *figures[FIGURES];
	size_t counts[FIGURES];
};

struct watch {
	const struct gw_sweep *sweep;
	struct tally *tallies; /* one a group */
	struct gw_progress bar;
	bool quiet;
};

static const char *const figure_keys[FIGURES] = {"total_time_ns", "downtime_ns", "unavailable_ns",
                                                 "faults", "bytes_on_link", "pages_resent"};

/* Without memory a figure is left out of the table; the lines have it. */
static void note_figure(struct tally *tally, enum figure figure, const json_t *value)
{
	if (!json_is_integer(value))
		return;
	if (tally->counts[figure] >= tally->room || !tally->figures[figure]) {
		size_t room = 2 * tally->counts[figure] + 16;
		uint64_t *more = reallocarray(tally->figures[figure], room, sizeof(*more));

		if (!more)
			return;
		tally->figures[figure] = more;
	}
	tally->figures[figure][tally->counts[figure]++] = (uint64_t)json_integer_value(value);
}
