/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/golden.c - whole migrations of a small VM, line by line.
 *
 *   golden DIRECTORY [NAME]
 *
 * Each trace is compared with DIRECTORY/NAME.txt. With GW_GOLDEN_WRITE=1 in the environment the
 * files are written instead: read what has changed before it is committed.
 */
#include "sim/world/world.h"

#include <stdlib.h>
#include <string.h>

#define HOUR 3600000000000ull
#define MS   1000000ull

enum special {
	NONE,
	NO_FAULTS,
	VERIFY,
	HOT,
	FAST_LINK,
	SLOW_LINK,
	OBSERVED,
	STANDS, /* observed, and may stand for longer */
	OF_DESTINATION,
	BUSY,   /* the guest goes on after the switch */
	ASTRAY, /* likewise, and its shadow does something else */
	QUEUED, /* likewise, with the order that takes a shadow */
};

struct golden {
	const char *name, *policy, *key, *value;
	enum sim_fault fault;
	const char *at;
	uint64_t for_ns;
	enum special special;
};

static const struct golden goldens[] = {
        {.name = "stop-copy", .policy = "stop-copy"},
        {.name = "precopy-qemu", .policy = "precopy", .key = "stop", .value = "qemu"},
        {.name = "precopy-clark", .policy = "precopy", .key = "stop", .value = "clark"},
        {.name = "precopy-xen", .policy = "precopy", .key = "stop", .value = "xen"},
        {.name = "postcopy", .policy = "postcopy"},
        {.name = "hybrid", .policy = "hybrid"},
        {.name = "deferred", .policy = "deferred", .key = "max_rounds", .value = "8",
         .special = SLOW_LINK},
        {.name = "sdf-hybrid", .policy = "sdf-hybrid", .key = "alpha", .value = "0.3",
         .special = FAST_LINK},
        {.name = "split", .policy = "split", .special = OBSERVED},
        {.name = "split-unobserved", .policy = "split"},
        {.name = "wws-hybrid", .policy = "wws-hybrid", .special = STANDS},
        {.name = "wws-hybrid-unobserved", .policy = "wws-hybrid"},
        {.name = "postcopy-hot", .policy = "postcopy", .special = HOT},
        {.name = "hybrid-fast-link", .policy = "hybrid", .special = FAST_LINK},
        {.name = "hybrid-verified", .policy = "hybrid", .special = VERIFY},
        {.name = "refused-no-faults", .policy = "postcopy", .special = NO_FAULTS},
        {"refused-no-memory", "precopy", NULL, NULL, SIM_FAULT_REFUSE_RESERVATION, "OFFER", 0, NONE},
        {"abort-in-pre-copy", "precopy", NULL, NULL, SIM_FAULT_ABORT, "marks ROUND 1", 0, NONE},
        {"abort-while-stopping", "precopy", NULL, NULL, SIM_FAULT_ABORT, "handing-over", 0, NONE},
        {"abort-too-late", "postcopy", NULL, NULL, SIM_FAULT_ABORT, "pages to push", 0, NONE},
        {"lost-in-reservation", "precopy", NULL, NULL, SIM_FAULT_CUT, "says ACCEPT", MS, NONE},
        {"lost-in-pre-copy", "precopy", NULL, NULL, SIM_FAULT_CUT, "marks ROUND 1", MS, NONE},
        {"lost-in-stop-and-copy", "precopy", NULL, NULL, SIM_FAULT_CUT, "says SWITCH", MS, NONE},
        {"lost-prepared", "precopy", NULL, NULL, SIM_FAULT_CUT, "says PREPARED", MS, NONE},
        {"lost-commit", "precopy", NULL, NULL, SIM_FAULT_CUT, "says COMMIT", MS, NONE},
        {"lost-commit-postcopy", "postcopy", NULL, NULL, SIM_FAULT_CUT, "says COMMIT", MS, NONE},
        {"lost-activated", "precopy", NULL, NULL, SIM_FAULT_CUT, "says ACTIVATED", MS, NONE},
        {"lost-in-pull", "postcopy", NULL, NULL, SIM_FAULT_CUT, "pages to push", 300 * MS, NONE},
        {"lost-done", "postcopy", NULL, NULL, SIM_FAULT_CUT, "says DONE", MS, NONE},
        {"lost-released", "precopy", NULL, NULL, SIM_FAULT_CUT, "says RELEASED", MS, NONE},
        {"cont-refused", "precopy", NULL, NULL, SIM_FAULT_REFUSE_RUN, "says COMMIT", 0, NONE},
        {"power-off", "precopy", NULL, NULL, SIM_FAULT_POWER_OFF, "marks ROUND 1", 0, NONE},
        {"power-off-in-pull", "postcopy", NULL, NULL, SIM_FAULT_POWER_OFF, "pages to push", 0, NONE},
        {"source-crash-leaving", "precopy", NULL, NULL, SIM_FAULT_CRASH_SOURCE, "ROUND 1", MS, NONE},
        {"source-crash-handing-over", "precopy", NULL, NULL, SIM_FAULT_CRASH_SOURCE, "says STATE_END",
         MS, NONE},
        {"source-crash-committed", "precopy", NULL, NULL, SIM_FAULT_CRASH_SOURCE, "says COMMIT", MS,
         NONE},
        {"source-crash-gone", "postcopy", NULL, NULL, SIM_FAULT_CRASH_SOURCE, "pages to push", MS,
         NONE},
        {"destination-crash-reserved", "precopy", NULL, NULL, SIM_FAULT_CRASH_DESTINATION,
         "marks ROUND 1", MS, NONE},
        {"destination-crash-prepared", "postcopy", NULL, NULL, SIM_FAULT_CRASH_DESTINATION,
         "says PREPARED", MS, NONE},
        {"destination-crash-mine", "postcopy", NULL, NULL, SIM_FAULT_CRASH_DESTINATION, "pages to push",
         MS, NONE},
        {"destination-crash-whole", "precopy", NULL, NULL, SIM_FAULT_CRASH_DESTINATION, "says DONE", MS,
         NONE},
        {"source-vm-dies-saved", "precopy", NULL, NULL, SIM_FAULT_KILL_SOURCE_VM, "says STATE_END", 0,
         NONE},
        {"source-resumed-behind", "precopy", NULL, NULL, SIM_FAULT_RESUME_SOURCE, "says PREPARED", 0,
         NONE},
        {"destination-forgets", "precopy", NULL, NULL, SIM_FAULT_FORGET_DESTINATION, "says ACTIVATED",
         MS, NONE},
        {"source-gone-unwritten", "postcopy", NULL, NULL, SIM_FAULT_FULL_SOURCE, "says ACTIVATED", 0,
         NONE},
        {"destination-mine-unwritten", "precopy", NULL, NULL, SIM_FAULT_FULL_DESTINATION,
         "says COMMIT", 0, NONE},
        {"doubt", "precopy", NULL, NULL, SIM_FAULT_CUT, "says COMMIT", HOUR, NONE},
        {"unfinished", "postcopy", NULL, NULL, SIM_FAULT_CUT, "pages to push", HOUR, NONE},
        {"ack-twice", "precopy", NULL, NULL, SIM_FAULT_DUPLICATE, "ROUND_ACK", 0, OF_DESTINATION},
        {"map-damaged", "hybrid", NULL, NULL, SIM_FAULT_CORRUPT, "says MAP", 0, NONE},
        {.name = "run-ahead", .policy = "run-ahead", .special = BUSY},
        {.name = "run-ahead-astray", .policy = "run-ahead", .key = "window", .value = "4",
         .special = ASTRAY},
        {.name = "hybrid-queue", .policy = "hybrid", .special = QUEUED},
        {"shadow-cannot-start", "run-ahead", NULL, NULL, SIM_FAULT_FAIL_SHADOW, "is prepared", 0, BUSY},
        {"shadow-cannot-load", "run-ahead", NULL, NULL, SIM_FAULT_FAIL_SHADOW, "state is saved", 0, BUSY},
        {"shadow-hangs", "run-ahead", NULL, NULL, SIM_FAULT_HANG_SHADOW, "shadow: runs", 0, BUSY},
        {"shadow-dies", "run-ahead", NULL, NULL, SIM_FAULT_KILL_SHADOW, "pages to push", 0, BUSY},
        {"shadow-of-a-crash", "run-ahead", NULL, NULL, SIM_FAULT_CRASH_SOURCE, "pages to push", MS, BUSY},
        {"shadow-lost-in-pull", "run-ahead", NULL, NULL, SIM_FAULT_CUT, "pages to push", 20 * MS, BUSY},
        {"shadow-lost-prepared", "run-ahead", NULL, NULL, SIM_FAULT_CUT, "says PREPARED", MS, BUSY},
        {"commit-damaged", "precopy", NULL, NULL, SIM_FAULT_CORRUPT, "says COMMIT", 0, NONE},
};

static char *trace_of(const struct golden *g, const char **violation, size_t *size)
{
	bool busy = g->special >= BUSY;
	struct sim_world_config config = {
	        .seed = 1,
	        .policy = g->policy,
	        .order = g->special == QUEUED ? "queue" : NULL,
	        .settings = {{g->key, g->value}},
	        .pages = 120,
	        .vcpus = 1,
	        .latency_ns = 200000,
	        .bytes_per_s = g->special == FAST_LINK   ? 500000000
	                       : g->special == SLOW_LINK ? 4000000
	                                                 : 50000000,
	        .write_ns = g->special == FAST_LINK ? 10000 : 1000000,
	        .hot = g->special == HOT ? SIM_HOT_MAX : 0,
	        .touch_ns = busy ? 200000 : 1000000,
	        .reconnect_ns = 1000 * MS,
	        .wakes = busy ? 60 : 6,
	        .divergence = g->special == ASTRAY ? 1 : 0,
	        .no_faults = g->special == NO_FAULTS,
	        .verify = g->special == VERIFY,
	        .observe_ns = g->special == OBSERVED || g->special == STANDS ? 400 * MS : 0,
	        .downtime_ns = g->special == STANDS ? 25 * MS : 0,
	        .frames = true,
	        .planned = {{.fault = g->fault,
	                     .words = g->at,
	                     .for_ns = g->for_ns,
	                     .side = g->special == OF_DESTINATION ? SIM_DESTINATION : SIM_SOURCE}},
	};
	static char why[256];
	struct sim_world *w;
	char *text = NULL;

	config.trace = open_memstream(&text, size);
	if (!config.trace)
		abort();
	w = sim_world_new(&config);
	sim_world_run(w);
	*violation = NULL;
	if (sim_world_violation(w)) {
		(void)snprintf(why, sizeof(why), "%s", sim_world_violation(w));
		*violation = why;
	}
	sim_world_free(w);
	(void)fclose(config.trace);
	return text;
}

static bool same(FILE *file, const char *text, size_t size, const char *name)
{
	size_t at = 0;
	unsigned line = 1;
	int c;

	while ((c = getc(file)) != EOF && at < size && c == text[at]) {
		line += c == '\n';
		at++;
	}
	if (c == EOF && at == size)
		return true;
	(void)printf("%s differs in line %u; now it reads\n%.*s\n", name, line,
	             (int)strcspn(text + at, "\n"), text + at);
	return false;
}

static bool check(const char *directory, const struct golden *g)
{
	bool write = getenv("GW_GOLDEN_WRITE") != NULL, fine;
	const char *violation;
	char path[1024];
	size_t size;
	char *text = trace_of(g, &violation, &size);
	FILE *file;

	if (violation) {
		(void)printf("%s: %s\n", g->name, violation);
		free(text);
		return false;
	}
	(void)snprintf(path, sizeof(path), "%s/%s.txt", directory, g->name);
	file = fopen(path, write ? "w" : "r");
	if (!file) {
		(void)printf("%s cannot be opened\n", path);
		free(text);
		return false;
	}
	fine = write ? fwrite(text, 1, size, file) == size : same(file, text, size, g->name);
	(void)fclose(file);
	free(text);
	return fine;
}

int main(int argc, char **argv)
{
	bool fine = argc > 1;
	size_t i;

	for (i = 0; argc > 1 && i < sizeof(goldens) / sizeof(goldens[0]); i++)
		if (argc < 3 || !strcmp(argv[2], goldens[i].name))
			fine &= check(argv[1], &goldens[i]);
	return fine ? 0 : 1;
}
