/* SPDX-License-Identifier: MIT */
/*
 * cli/torture.c - `godwit torture`: migrations in virtual time, with faults, each judged.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/values.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "sim/torture.h"

#define RUNS     1000000
#define JOBS_MAX 1024

struct options {
	uint64_t runs, seed, jobs;
	bool systematic;
	const char *json, *trace;
};

static uint64_t read_ns(clockid_t which)
{
	struct timespec t;

	(void)clock_gettime(which, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

/* --- progress ------------------------------------------------------------------------------ */

struct clock {
	uint64_t begun_ns, shown_ns;
	bool terminal;
};

static void show(void *arg, uint64_t done, uint64_t all)
{
	struct clock *clock = arg;
	uint64_t now = now_ns(), spent = now - clock->begun_ns;
	char left[32];

	if (now - clock->shown_ns < (clock->terminal ? 200000000u : 10000000000u) || !done)
		return;
	clock->shown_ns = now;
	(void)fprintf(stderr, "%s%" PRIu64 " of %" PRIu64 " runs, %.0f a second, %s left%s",
	              clock->terminal ? "\r" : "", done, all, (double)done * 1e9 / (double)spent,
	              gw_show_clock(left, sizeof(left),
	                            (uint64_t)((double)spent * (double)(all - done) / (double)done /
	                                       1e9)),
	              clock->terminal ? "\033[K" : "\n");
}

/* By the time of the cores: other work on the machine does not count. */
static void print_speed(const struct clock *clock, uint64_t runs)
{
	double cpu_s = (double)read_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9;

	(void)fprintf(stderr, "%s%.1f s, %.1f s of a core: %.0f runs a second and core%s\n",
	              clock->terminal ? "\r" : "", (double)(now_ns() - clock->begun_ns) / 1e9,
	              cpu_s, (double)runs / cpu_s, clock->terminal ? "\033[K" : "");
}

/* --- the result ---------------------------------------------------------------------------- */

static const char *state_name(int state)
{
	return state < GW_STATES ? gw_state_name((enum gw_state)state) : "no agent";
}

static uint64_t all_faults(const struct sim_tally *tally)
{
	uint64_t sum = 0;
	int fault;

	for (fault = 0; fault < SIM_FAULTS; fault++)
		sum += tally->faults[fault];
	return sum;
}

/* Pairs of a fault and a state in which it struck, of those whose state was reached. */
static unsigned pairs(const struct sim_tally *tally, int side, unsigned *of)
{
	unsigned met = 0;
	int state, fault;

	*of = 0;
	for (state = 0; state <= GW_STATES; state++) {
		for (fault = 1; fault < SIM_FAULTS; fault++) {
			*of += tally->reached[side][state] != 0;
			met += tally->met[side][state][fault] != 0;
		}
	}
	return met;
}

static int print_faults(const struct sim_tally *tally)
{
	static const char *const headings[] = {"what befell them", ">times", ">source's states",
	                                       ">destination's states", NULL};
	struct gw_table table;
	int err = gw_table_init(&table, headings), fault, state, side;

	for (fault = 1; fault < SIM_FAULTS && !err; fault++) {
		unsigned met[SIM_SIDES] = {0};
		char texts[3][24];

		for (side = 0; side < SIM_SIDES; side++)
			for (state = 0; state <= GW_STATES; state++)
				met[side] += tally->met[side][state][fault] != 0;
		(void)snprintf(texts[0], sizeof(texts[0]), "%" PRIu64, tally->faults[fault]);
		(void)snprintf(texts[1], sizeof(texts[1]), "%u", met[SIM_SOURCE]);
		(void)snprintf(texts[2], sizeof(texts[2]), "%u", met[SIM_DESTINATION]);
		err = gw_table_add(&table,
		                   (const char *const[]){sim_fault_name((enum sim_fault)fault),
		                                         texts[0], texts[1], texts[2]});
	}
	if (!err)
		gw_table_print(&table, stdout);
	gw_table_free(&table);
	return err;
}

static void print_ends(const struct sim_tally *tally)
{
	int record;
	const char *comma = "";

	(void)printf("the source's last record:");
	for (record = 0; record < GW_RECORDS; record++) {
		if (!tally->ended[record])
			continue;
		(void)printf("%s %s %" PRIu64, comma,
		             gw_journal_record_name((enum gw_journal_record)record),
		             tally->ended[record]);
		comma = ",";
	}
	(void)printf("\n");
}

static void print_failures(const struct options *o, const struct sim_tally *tally)
{
	size_t i;

	for (i = 0; i < tally->failures; i++)
		(void)printf("run %" PRIu64 ": %s\n"
		             "  needs: %s\n"
		             "  again: godwit torture%s --seed %" PRIu64 " --runs 1 --trace -\n",
		             tally->failure[i].number, tally->failure[i].why,
		             tally->failure[i].needs, o->systematic ? " --systematic" : "",
		             tally->failure[i].number);
}

static int print(const struct options *o, const struct sim_tally *tally)
{
	unsigned of[SIM_SIDES], met[SIM_SIDES];
	int side, err;

	for (side = 0; side < SIM_SIDES; side++)
		met[side] = pairs(tally, side, &of[side]);
	(void)printf("%" PRIu64 " runs, %" PRIu64 " of them with faults, %" PRIu64
	             " faults, %" PRIu64 " lines\n\n",
	             tally->runs, tally->faulted, all_faults(tally), tally->lines);
	err = print_faults(tally);
	(void)printf("\n");
	print_ends(tally);
	(void)printf("state and fault met: %u of %u at the source, %u of %u at the destination\n",
	             met[SIM_SOURCE], of[SIM_SOURCE], met[SIM_DESTINATION], of[SIM_DESTINATION]);
	(void)printf("violations: %" PRIu64 "\n", tally->violations);
	print_failures(o, tally);
	return err;
}

/* --- the result as JSON -------------------------------------------------------------------- */

static json_t *json_states(const struct sim_tally *tally, int side)
{
	json_t *states = json_object();
	int state, fault;

	for (state = 0; state <= GW_STATES; state++) {
		json_t *met = json_object();

		if (!tally->reached[side][state]) {
			json_decref(met);
			continue;
		}
		for (fault = 1; fault < SIM_FAULTS; fault++)
			(void)json_object_set_new(
			        met, sim_fault_name((enum sim_fault)fault),
			        json_integer((json_int_t)tally->met[side][state][fault]));
		(void)json_object_set_new(states, state_name(state),
		                          json_pack("{s:I,s:o}", "runs",
		                                    (json_int_t)tally->reached[side][state],
		                                    "faults", met));
	}
	return states;
}

static json_t *json_failures(const struct sim_tally *tally)
{
	json_t *failures = json_array();
	size_t i;

	for (i = 0; i < tally->failures; i++)
		(void)json_array_append_new(failures,
		                            json_pack("{s:I,s:s}", "seed",
		                                      (json_int_t)tally->failure[i].number,
		                                      "violation", tally->failure[i].why));
	return failures;
}

static json_t *json_result(const struct options *o, const struct sim_tally *tally)
{
	json_t *faults = json_object(), *ended = json_object();
	int i;

	for (i = 1; i < SIM_FAULTS; i++)
		(void)json_object_set_new(faults, sim_fault_name((enum sim_fault)i),
		                          json_integer((json_int_t)tally->faults[i]));
	for (i = 0; i < GW_RECORDS; i++)
		if (tally->ended[i])
			(void)json_object_set_new(ended,
			                          gw_journal_record_name((enum gw_journal_record)i),
			                          json_integer((json_int_t)tally->ended[i]));
	return json_pack("{s:b,s:I,s:I,s:I,s:I,s:o,s:o,s:{s:o,s:o},s:I,s:o}", "systematic",
	                 o->systematic, "seed", (json_int_t)o->seed, "runs",
	                 (json_int_t)tally->runs, "faulted", (json_int_t)tally->faulted, "lines",
	                 (json_int_t)tally->lines, "faults", faults, "ended", ended, "states",
	                 "source", json_states(tally, SIM_SOURCE), "destination",
	                 json_states(tally, SIM_DESTINATION), "violations",
	                 (json_int_t)tally->violations, "failures", json_failures(tally));
}

/* --- the verb ------------------------------------------------------------------------------ */

static enum gw_exit trace_one(const struct options *o, struct gw_error *error)
{
	_cleanup_fclose_ FILE *file = strcmp(o->trace, "-") ? fopen(o->trace, "we") : NULL;
	struct sim_failure failure;

	if (!file && strcmp(o->trace, "-")) {
		(void)gw_fail(error, errno, "--trace %s: %s", o->trace, strerror(errno));
		return GW_EXIT_FAILED;
	}
	if (sim_torture_one(o->systematic, o->seed, file ? file : stdout, &failure))
		return GW_EXIT_DONE;
	(void)gw_fail(error, EIO, "run %" PRIu64 ": %s", o->seed, failure.why);
	return GW_EXIT_FAILED;
}

static int check(struct options *o, struct gw_error *error)
{
	uint64_t cases;

	if (!o->jobs || o->jobs > JOBS_MAX)
		return gw_fail(error, EINVAL, "--jobs: 1 to %d", JOBS_MAX);
	if (o->systematic) {
		cases = sim_torture_cases();
		if (!o->seed || o->seed > cases)
			return gw_fail(error, EINVAL, "--seed: systematic runs are 1 to %" PRIu64,
			               cases);
		if (!o->runs || o->runs > cases + 1 - o->seed)
			o->runs = cases + 1 - o->seed;
	} else if (!o->runs) {
		o->runs = RUNS;
	}
	if (o->trace && o->runs != 1)
		return gw_fail(error, EINVAL, "--trace is of one run: --runs 1");
	return 0;
}

static enum gw_exit torture(const struct options *o, struct gw_error *error)
{
	struct clock clock = {.begun_ns = now_ns(), .terminal = isatty(STDERR_FILENO)};
	struct sim_torture t = {.systematic = o->systematic,
	                        .first = o->seed,
	                        .runs = o->runs,
	                        .jobs = (unsigned)o->jobs,
	                        .progress = show,
	                        .arg = &clock};
	static struct sim_tally tally;
	int err = sim_torture(&t, &tally);

	if (err) {
		(void)gw_fail(error, -err, "torture: %s", strerror(-err));
		return GW_EXIT_FAILED;
	}
	print_speed(&clock, tally.runs);
	if (o->json && gw_output_json(json_result(o, &tally), o->json, error))
		return GW_EXIT_FAILED;
	if ((!o->json || strcmp(o->json, "-")) && print(o, &tally)) {
		(void)gw_fail(error, ENOMEM, "no memory");
		return GW_EXIT_FAILED;
	}
	if (!tally.violations)
		return GW_EXIT_DONE;
	(void)gw_fail(error, EIO, "%" PRIu64 " of %" PRIu64 " runs violate what must hold",
	              tally.violations, tally.runs);
	return GW_EXIT_FAILED;
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct options o = {.seed = 1, .jobs = cores > 0 ? (uint64_t)cores : 1};
	const struct gw_cli_option options[] = {
	        {"runs", 'n', GW_CLI_NUMBER, &o.runs, "N",
	         "so many; default a million, or all systematic ones"},
	        {"seed", 's', GW_CLI_NUMBER, &o.seed, "N", "of the first run; default 1"},
	        {"jobs", 'j', GW_CLI_NUMBER, &o.jobs, "N", "threads; default one a core"},
	        {"systematic", 0, GW_CLI_FLAG, &o.systematic, NULL,
	         "every fault at every line in turn, not at random"},
	        {"trace", 0, GW_CLI_STRING, &o.trace, "FILE",
	         "of one run, one event a line; - is standard output"},
	        {"json", 0, GW_CLI_STRING, &o.json, "FILE",
	         "the result as JSON; - is standard output"},
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	enum gw_exit status;

	if (!gw_verb_options(verb, options, argc, argv, 0, 0, &operands, &status, error))
		return status;
	if (check(&o, error))
		return GW_EXIT_USAGE;
	return o.trace ? trace_one(&o, error) : torture(&o, error);
}

const struct gw_verb gw_verb_torture = {
        .name = "torture",
        .usage = "[OPTION...]",
        .summary = "try the handover in virtual time, with every fault everywhere",
        .run = run,
};
