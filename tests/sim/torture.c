/* SPDX-License-Identifier: MIT */
/*
 * tests/sim/torture.c - migrations in virtual time, with faults.
 *
 *   torture [RUNS]           no run violates anything, and every fault struck in many states
 *   torture --systematic     likewise, every fault at every line
 *   torture --find BUG       passes only if a run fails: with the machines that hold planted bugs
 *   torture --again          the same with any number of threads, and each time
 */
#include "sim/torture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "planted.h"

#define RUNS      20000
#define RUNS_FIND 200000

int planted_bug;

static unsigned cores(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count > 0 ? (unsigned)count : 1;
}

static bool run(bool systematic, uint64_t first, uint64_t runs, unsigned jobs,
                struct sim_tally *tally)
{
	const struct sim_torture torture = {
	        .systematic = systematic, .first = first, .runs = runs, .jobs = jobs};
	size_t i;

	if (sim_torture(&torture, tally))
		return false;
	for (i = 0; i < tally->failures; i++)
		(void)printf("run %" PRIu64 "%s: %s (%s)\n", tally->failure[i].number,
		             systematic ? " of the systematic ones" : "", tally->failure[i].why,
		             tally->failure[i].needs);
	return true;
}

/* A net with a hole would find nothing there. */
static bool reaches(const struct sim_tally *tally, bool systematic)
{
	int side, state, fault;
	bool fine = true;

	for (fault = 1; fault < SIM_FAULTS; fault++) {
		if (!tally->faults[fault]) {
			(void)printf("never: %s\n", sim_fault_name((enum sim_fault)fault));
			fine = false;
		}
	}
	for (side = 0; side < SIM_SIDES && !systematic; side++) {
		for (state = 0; state < GW_STATES; state++) {
			if (!tally->reached[side][state]) {
				(void)printf("side %d is never in %s\n", side,
				             gw_state_name((enum gw_state)state));
				fine = false;
			}
		}
	}
	return fine;
}

static bool same_with_any_threads(void)
{
	static struct sim_tally one, three;

	return run(false, 1, 3000, 1, &one) && run(false, 1, 3000, 3, &three) &&
	       !memcmp(&one, &three, sizeof(one));
}

static char *trace_of(uint64_t seed)
{
	struct sim_failure failure;
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		abort();
	(void)sim_torture_one(false, seed, file, &failure);
	(void)fclose(file);
	return text;
}

static bool same_again(void)
{
	bool fine = true;
	uint64_t seed;

	for (seed = 1; seed <= 200 && fine; seed++) {
		char *one = trace_of(seed), *two = trace_of(seed);

		fine = strlen(one) > 100 && !strcmp(one, two);
		if (!fine)
			(void)printf("seed %" PRIu64 " differs from itself\n", seed);
		free(one);
		free(two);
	}
	return fine;
}

static bool finds(void)
{
	static struct sim_tally tally;
	uint64_t at;

	for (at = 1; at <= RUNS_FIND; at += 1000)
		if (run(false, at, 1000, 1, &tally) && tally.violations)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	static struct sim_tally tally;
	const char *what = argc > 1 ? argv[1] : "";
	uint64_t runs = RUNS;
	bool systematic = !strcmp(what, "--systematic");

	if (argc > 2 && !strcmp(what, "--find")) {
		planted_bug = atoi(argv[2]);
		return finds() ? 0 : 1;
	}
	if (!strcmp(what, "--again"))
		return same_with_any_threads() && same_again() ? 0 : 1;
	if (systematic)
		runs = sim_torture_cases();
	else if (argc > 1)
		runs = strtoul(argv[1], NULL, 0);
	if (!run(systematic, 1, runs, cores(), &tally))
		return 1;
	(void)printf("%" PRIu64 " runs, %" PRIu64 " lines, %" PRIu64 " violations\n", tally.runs,
	             tally.lines, tally.violations);
	return !tally.violations && reaches(&tally, systematic) ? 0 : 1;
}
