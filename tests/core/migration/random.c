/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/random.c - migrations at random, with faults at random lines.
 *
 *   random [RUNS [FIRST-SEED]]    so many runs; the seed of the first that fails is printed
 *   random --seed N               one run, with its trace
 *   random --find [RUNS]          passes only if a run fails: for machines with a planted bug
 *
 * Every run ends with a working link and a person who recovers and resolves, so that a run that
 * leaves anything open has found something.
 */
#include "sim/world.h"

#include <stdlib.h>
#include <string.h>

#define RUNS 4000

static uint64_t next(uint64_t *chance)
{
	uint64_t z = *chance += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t below(uint64_t *chance, uint64_t limit)
{
	return next(chance) % limit;
}

/* Small numbers as likely as large ones. */
static uint64_t any_size(uint64_t *chance, unsigned bits)
{
	return below(chance, (uint64_t)1 << (1 + below(chance, bits)));
}

static const struct {
	const char *policy, *key, *value;
} policies[] = {
        {"stop-copy", NULL, NULL},  {"precopy", "stop", "qemu"}, {"precopy", "stop", "clark"},
        {"precopy", "stop", "xen"}, {"postcopy", NULL, NULL},    {"hybrid", NULL, NULL},
        {"hybrid", "rounds", "2"},
};

static const char *const orders[] = {"linear", "bubble", "demand"};

/* Lines worth a fault: around the switch every one of them is a boundary. */
static const char *const words[] = {
        "handing-over",       "the VM is stopped", "says SWITCH",       "says MAP",
        "marks SWITCH",       "says STATE_END",    "journal: prepared", "says PREPARED",
        "journal: committed", "says COMMIT",       "journal: mine",     "the VM runs",
        "says ACTIVATED",     "journal: gone",     "-> Pull",           "says FAULT",
        "marks END",          "every page is in",  "journal: whole",    "says DONE",
        "says RESUME",        "says STANDING",     "says ABORT",        "journal: never",
        "journal: stayed",    "says DIGESTS",      "says VERDICT",      "journal: released",
        "says RELEASED",      "taking up",         "hypervisor:",       "connects",
};

static struct sim_planned plan(uint64_t *chance)
{
	struct sim_planned p = {.fault = (enum sim_fault)(1 + below(chance, SIM_FAULTS - 1))};

	if (p.fault > SIM_FAULT_CRASH_DESTINATION && below(chance, 2))
		p.fault = (enum sim_fault)(SIM_FAULT_CUT +
		                           below(chance, 3)); /* these three more often */
	p.line = 1 + any_size(chance, 8);
	if (below(chance, 2))
		p.words = words[below(chance, sizeof(words) / sizeof(words[0]))];
	p.for_ns = 1000000 + any_size(chance, 36); /* up to a minute */
	p.silent = !below(chance, 4);
	p.deaf = (int)below(chance, SIM_SIDES);
	if (p.fault == SIM_FAULT_SLOW)
		p.for_ns = any_size(chance, 31);
	return p;
}

static void invent(struct sim_world_config *config, uint64_t seed)
{
	uint64_t chance = seed * 0x2545f4914f6cdd1du + 1;
	size_t kind = below(&chance, sizeof(policies) / sizeof(policies[0]));
	unsigned i, faults = (unsigned)below(&chance, SIM_PLANNED_MAX + 1);

	*config = (struct sim_world_config){
	        .seed = seed,
	        .policy = policies[kind].policy,
	        .settings = {{policies[kind].key, policies[kind].value},
	                     {strcmp(policies[kind].policy, "precopy") ? NULL : "max_rounds", "6"}},
	        .deadline_ns = below(&chance, 4) ? 0 : 50000000,
	        .order = orders[below(&chance, 3)],
	        .pages = 2 + below(&chance, 400),
	        .vcpus = 1 + (uint32_t)below(&chance, 4),
	        .latency_ns = 10000 + any_size(&chance, 24),
	        .bytes_per_s = 20000000 + any_size(&chance, 28),
	        .write_ns = 50000 + any_size(&chance, 22),
	        .touch_ns = 50000 + any_size(&chance, 20),
	        .wakes = any_size(&chance, 9),
	        .jitter = (unsigned)below(&chance, 6),
	        .verify = below(&chance, 2),
	        .paused = !below(&chance, 12),
	        .no_faults = !below(&chance, 40),
	        .drains = !below(&chance, 3),
	        .person = true,
	};
	for (i = 0; i < faults; i++)
		config->planned[i] = plan(&chance);
	config->hot =
	        (uint32_t)below(&chance, 1 + (config->pages < SIM_HOT_MAX ? config->pages : SIM_HOT_MAX));
}

struct tally {
	unsigned long runs, lines, faults, completed, stayed, doubts, others;
};

static void count(struct tally *tally, const struct sim_world *w)
{
	enum gw_journal_record record = sim_world_record(w, SIM_SOURCE);

	tally->runs++;
	tally->lines += sim_world_lines(w);
	tally->faults += sim_world_faults_struck(w);
	tally->completed += record == GW_REC_RELEASED;
	tally->stayed += record == GW_REC_STAYED;
	tally->doubts += record == GW_REC_DOUBT;
	tally->others +=
	        record != GW_REC_RELEASED && record != GW_REC_STAYED && record != GW_REC_DOUBT;
}

/* True if nothing was violated. */
static bool run(uint64_t seed, FILE *trace, struct tally *tally, char *why, size_t room)
{
	struct sim_world_config config;
	struct sim_world *w;
	bool fine;

	invent(&config, seed);
	config.trace = trace;
	config.frames = true;
	w = sim_world_new(&config);
	sim_world_run(w);
	fine = !sim_world_violation(w);
	if (!fine)
		(void)snprintf(why, room, "%s", sim_world_violation(w));
	count(tally, w);
	sim_world_free(w);
	return fine;
}

static void report(const struct tally *t)
{
	(void)printf("%lu runs, %lu lines, %lu faults: %lu completed, %lu stayed, %lu in doubt, "
	             "%lu otherwise\n",
	             t->runs, t->lines, t->faults, t->completed, t->stayed, t->doubts, t->others);
}

int main(int argc, char **argv)
{
	struct tally tally = {0};
	bool find = argc > 1 && !strcmp(argv[1], "--find");
	const char *runs_given = find ? (argc > 2 ? argv[2] : NULL) : argc > 1 ? argv[1] : NULL;
	unsigned long runs, first = !find && argc > 2 ? strtoul(argv[2], NULL, 0) : 1, i;
	char why[256] = "";

	if (argc > 2 && !strcmp(argv[1], "--seed")) {
		if (run(strtoul(argv[2], NULL, 0), stdout, &tally, why, sizeof(why)))
			return 0;
		(void)printf("%s\n", why);
		return 1;
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	runs = runs_given ? strtoul(runs_given, NULL, 0) : RUNS;
	for (i = 0; i < runs; i++) {
		if (run(first + i, NULL, &tally, why, sizeof(why)))
			continue;
		(void)printf("seed %lu: %s\nreplay: %s --seed %lu\n", first + i, why, argv[0],
		             first + i);
		if (getenv("GW_GO_ON"))
			continue;
		return find ? 0 : 1;
	}
	report(&tally);
	return find ? 1 : 0;
}
