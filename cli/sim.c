/* SPDX-License-Identifier: MIT */
/*
 * cli/sim.c - `godwit sim SCENARIO...`: moves in virtual time, as many as are asked for.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/values.h"
#include "cli/choices.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/sweep_run.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "core/migration/metrics.h"
#include "sim/trace/bytes.h"

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

static const char *const figure_keys[FIGURES] = {"total_time_ns", "downtime_ns",   "unavailable_ns",
                                                 "faults",        "bytes_on_link", "pages_resent"};

struct figures {
	uint64_t *values; /* owned */
	size_t count, room;
};

/* Of one group of runs. */
struct tally {
	size_t results, completed;
	char policy[32];
	char reason[256]; /* of the first that did not complete */
	struct figures figures[FIGURES];
};

struct watch {
	const struct gw_sweep *sweep;
	struct tally *tallies; /* one a group */
	struct gw_progress bar;
	char label[48];
	bool quiet;
};

/* Without memory the table has fewer of them; the lines have all. */
static void note_figure(struct figures *figures, const json_t *value)
{
	if (!json_is_integer(value))
		return;
	if (figures->count == figures->room) {
		size_t room = 2 * figures->room + 16;
		uint64_t *values = reallocarray(figures->values, room, sizeof(*values));

		if (!values)
			return;
		figures->values = values;
		figures->room = room;
	}
	figures->values[figures->count++] = (uint64_t)json_integer_value(value);
}

static void note_result(void *arg, size_t run, const json_t *result)
{
	struct watch *watch = arg;
	struct tally *tally = &watch->tallies[run / watch->sweep->seeds_each];
	const char *outcome = json_string_value(json_object_get(result, "outcome"));
	const char *policy = json_string_value(json_object_get(result, "policy"));
	const char *reason = json_string_value(json_object_get(result, "reason"));

	tally->results++;
	if (policy && (!tally->policy[0] || !strcmp(tally->policy, policy)))
		(void)snprintf(tally->policy, sizeof(tally->policy), "%s", policy);
	else
		(void)snprintf(tally->policy, sizeof(tally->policy), "(several)");
	if (!outcome || strcmp(outcome, gw_outcome_name(GW_COMPLETED)) != 0) {
		if (!tally->reason[0])
			(void)snprintf(tally->reason, sizeof(tally->reason), "%s: %s",
			               outcome ? outcome : "?", reason ? reason : "?");
		return;
	}
	tally->completed++;
	for (unsigned i = 0; i < FIGURES; i++)
		note_figure(&tally->figures[i], json_object_get(result, figure_keys[i]));
}

static int ascending(const void *a, const void *b)
{
	const uint64_t *one = a, *other = b;

	return *one < *other ? -1 : *one > *other;
}

static const char *median_text(struct figures *figures, enum figure figure, char *text,
                               unsigned long bytes)
{
	uint64_t median;

	if (!figures->count)
		return NULL;
	qsort(figures->values, figures->count, sizeof(*figures->values), ascending);
	median = figures->values[(figures->count - 1) / 2];
	if (figure <= UNAVAILABLE)
		return gw_show_duration(text, bytes, median);
	if (figure == SENT)
		return gw_show_size(text, bytes, median);
	(void)snprintf(text, bytes, "%" PRIu64, median);
	return text;
}

static void settings_text(const struct gw_sweep_group *group, char *text, size_t bytes)
{
	size_t used = 0;

	(void)snprintf(text, bytes, "-");
	for (unsigned i = 0; i < group->setting_count && used < bytes; i++)
		used += (size_t)snprintf(text + used, bytes - used, "%s%s=%s", i ? " " : "",
		                         group->settings[i].key, group->settings[i].value);
}

static int add_row(struct gw_table *table, const char *scenario, const struct gw_sweep_group *group,
                   struct tally *tally)
{
	char settings[200], moves[48], figures[FIGURES][40];
	const char *texts[4 + FIGURES] = {scenario, tally->policy, settings, moves};

	settings_text(group, settings, sizeof(settings));
	(void)snprintf(moves, sizeof(moves), "%zu of %zu", tally->completed, tally->results);
	for (unsigned i = 0; i < FIGURES; i++)
		texts[4 + i] = median_text(&tally->figures[i], i, figures[i], sizeof(figures[i]));
	return gw_table_add(table, texts);
}

static int print_table(const struct watch *watch)
{
	static const char *const headings[] = {
	        "SCENARIO",     "POLICY",  "SETTINGS", ">MOVED", ">TOTAL", ">DOWNTIME",
	        ">UNAVAILABLE", ">FAULTS", ">ON LINK", ">AGAIN", NULL};
	const struct gw_sweep_group *groups = watch->sweep->groups;
	struct gw_table table;
	int err = gw_table_init(&table, headings);
	bool several = false;

	for (size_t i = 1; i < watch->sweep->group_count; i++)
		several |= groups[i].scenario != groups[0].scenario;
	for (size_t i = 0; !err && i < watch->sweep->group_count; i++)
		if (watch->tallies[i].results)
			err = add_row(&table, several ? groups[i].scenario->name : NULL, &groups[i],
			              &watch->tallies[i]);
	if (!err && table.rows > 1)
		gw_table_print(&table, stdout);
	gw_table_free(&table);
	return err;
}

/* What each scenario is to show, the table of medians, and why moves did not complete. */
static int print_summary(const struct watch *watch, struct gw_error *error)
{
	const struct gw_sweep *sweep = watch->sweep;

	for (size_t i = 0; i < sweep->scenario_count; i++)
		if (sweep->scenarios[i].look[0])
			(void)printf("%s: %s\n", sweep->scenarios[i].name,
			             sweep->scenarios[i].look);
	if (print_table(watch))
		return gw_fail(error, ENOMEM, "no memory for the table");
	for (size_t i = 0; i < sweep->group_count; i++)
		if (watch->tallies[i].reason[0])
			(void)printf("%s, %s: %s\n", sweep->groups[i].scenario->name,
			             watch->tallies[i].policy, watch->tallies[i].reason);
	return 0;
}

static void show_progress(void *arg, size_t done, double share)
{
	struct watch *watch = arg;
	struct timespec now;

	(void)done;
	if (watch->quiet)
		return;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	gw_progress_update(&watch->bar, watch->label, (uint64_t)(share * SHARES), SHARES,
	                   (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
}

static int watch_init(struct watch *watch, const struct gw_sweep *sweep, bool quiet,
                      struct gw_error *error)
{
	*watch = (struct watch){.sweep = sweep, .quiet = quiet};
	gw_progress_init(&watch->bar, stderr);
	watch->bar.bare = true;
	(void)snprintf(watch->label, sizeof(watch->label), "simulating %zu run%s", sweep->run_count,
	               sweep->run_count == 1 ? "" : "s");
	watch->tallies = calloc(sweep->group_count, sizeof(*watch->tallies));
	return watch->tallies ? 0 : gw_fail(error, ENOMEM, "no memory for the summary");
}

static void watch_clear(struct watch *watch)
{
	for (size_t i = 0; watch->tallies && i < watch->sweep->group_count; i++)
		for (unsigned k = 0; k < FIGURES; k++)
			free(watch->tallies[i].figures[k].values);
	free(watch->tallies);
}

/* --- where the lines go --------------------------------------------------------------------- */

/*
 * What an earlier call left is read first, and stays as it is until all that is to be kept has been
 * written again beside it.
 */
static int open_resumed(const struct asked *asked, struct gw_sweep_runner *runner, char *part,
                        size_t bytes, struct gw_error *error)
{
	_cleanup_fclose_ FILE *old = fopen(asked->json, "re");
	size_t kept = 0;
	int err = 0;

	if (!old && errno != ENOENT)
		return gw_fail(error, errno, "%s: %s", asked->json, strerror(errno));
	if (old)
		err = gw_sweep_resume(runner, old, asked->json, &kept, error);
	if (err)
		return err;
	if (kept && !asked->quiet)
		(void)fprintf(stderr, "%s has %zu of %zu runs\n", asked->json, kept,
		              runner->sweep->run_count);
	if ((size_t)snprintf(part, bytes, "%s.part", asked->json) >= bytes)
		return gw_fail(error, ENAMETOOLONG, "%s: the name is too long", asked->json);
	runner->out = fopen(part, "we");
	return runner->out ? 0 : gw_fail(error, errno, "%s: %s", part, strerror(errno));
}

static int open_out(const struct asked *asked, struct gw_sweep_runner *runner, char *part,
                    size_t bytes, struct gw_error *error)
{
	*part = '\0';
	if (!asked->json)
		return 0;
	if (asked->resume)
		return open_resumed(asked, runner, part, bytes, error);
	runner->out = strcmp(asked->json, "-") ? fopen(asked->json, "we") : stdout;
	return runner->out ? 0
	                   : gw_fail(error, errno, "cannot write results to %s: %s", asked->json,
	                             strerror(errno));
}

/* `err` is how the runs ended: only what has all that was kept takes the old file's place. */
static int close_out(const struct asked *asked, FILE *out, const char *part, int err,
                     struct gw_error *error)
{
	if (!out || out == stdout)
		return err;
	if (fclose(out) && (!err || err == -EINTR))
		err = gw_fail(error, errno, "cannot write results to %s: %s", asked->json,
		              strerror(errno));
	if (!*part)
		return err;
	if (err && err != -EINTR)
		(void)remove(part);
	else if (rename(part, asked->json))
		err = gw_fail(error, errno, "cannot write results to %s: %s", asked->json,
		              strerror(errno));
	return err;
}

static int open_trace(const struct asked *asked, const struct gw_sweep *sweep, FILE **file,
                      struct gw_error *error)
{
	char begin[sizeof(TRACE_MAGIC)] = "";
	FILE *old;

	*file = NULL;
	if (!asked->trace)
		return 0;
	if (sweep->run_count > 1)
		return gw_fail(error, EINVAL,
		               "--trace %s: a trace is of one run, and these are %zu", asked->trace,
		               sweep->run_count);
	old = fopen(asked->trace, "re");
	if (old) {
		(void)!fread(begin, 1, sizeof(begin) - 1, old);
		(void)fclose(old);
	}
	if (!memcmp(begin, TRACE_MAGIC, sizeof(begin) - 1))
		return gw_fail(error, EINVAL,
		               "--trace %s: would be overwritten, and is a recorded trace; a "
		               "scenario plays it by \"trace\": FILE",
		               asked->trace);
	*file = strcmp(asked->trace, "-") ? fopen(asked->trace, "we") : stderr;
	return *file ? 0 : gw_fail(error, errno, "--trace %s: %s", asked->trace, strerror(errno));
}

/* --- the verb ------------------------------------------------------------------------------- */

static int run_all(const struct asked *asked, const struct gw_sweep *sweep, struct watch *watch,
                   FILE *trace, struct gw_error *error)
{
	_cleanup_close_ int stop = gw_verb_stop_signals();
	struct gw_sweep_runner runner;
	char part[4096];
	int err = gw_sweep_runner_init(&runner, sweep, error);

	if (err)
		return err;
	runner.jobs = (unsigned)asked->jobs;
	runner.trace = trace;
	runner.stop_fd = stop;
	runner.result = note_result;
	runner.progress = show_progress;
	runner.arg = watch;
	err = open_out(asked, &runner, part, sizeof(part), error);
	if (!err) {
		err = gw_sweep_run(&runner, error);
		gw_progress_end(&watch->bar);
		err = close_out(asked, runner.out, part, err, error);
	}
	gw_sweep_runner_clear(&runner);
	return err;
}

static int simulate(const struct asked *asked, const struct gw_sweep *sweep, FILE *trace,
                    struct gw_error *error)
{
	struct gw_error no_error;
	struct watch watch;
	int err = watch_init(&watch, sweep, asked->quiet, error);

	if (err)
		return err;
	err = run_all(asked, sweep, &watch, trace, error);
	if ((!err || err == -EINTR) && (!asked->json || strcmp(asked->json, "-")))
		(void)print_summary(&watch, err ? &no_error : error);
	watch_clear(&watch);
	return err;
}

/* Names separated by commas, in any number of options; *copy holds them. */
static size_t split(const struct gw_cli_list *list, const char **names, char **copy)
{
	size_t bytes = 1, count = 0;
	char *rest, *end, *name;

	for (size_t i = 0; i < list->count; i++)
		bytes += strlen(list->items[i]) + 1;
	rest = end = *copy = calloc(1, bytes);
	for (size_t i = 0; rest && i < list->count; i++) {
		end = stpcpy(end, list->items[i]);
		*end++ = ',';
	}
	while (rest && *rest && (name = strsep(&rest, ",")) && count < POLICIES_MAX)
		names[count++] = name;
	return count;
}

static int read_sweep(const struct asked *asked, struct gw_sweep *sweep, struct gw_error *error)
{
	int err = 0;

	for (size_t i = 0; !err && i < asked->set.count; i++)
		err = gw_sweep_set(sweep, asked->set.items[i], error);
	for (size_t i = 0; !err && i < asked->seeds.count; i++)
		err = gw_sweep_seeds(sweep, asked->seeds.items[i], error);
	if (err)
		return err;
	if (!asked->jobs || asked->jobs > GW_SWEEP_JOBS_MAX)
		return gw_fail(error, EINVAL, "--jobs: 1 to %d", GW_SWEEP_JOBS_MAX);
	if (asked->resume && (!asked->json || !strcmp(asked->json, "-")))
		return gw_fail(error, EINVAL, "--resume needs --json FILE, to go on with");
	return 0;
}

static enum gw_exit sweep_and_run(const struct asked *asked, struct gw_sweep *sweep,
                                  struct gw_error *error)
{
	FILE *trace;
	int err = gw_sweep_plan(sweep, error);

	if (!err)
		err = open_trace(asked, sweep, &trace, error);
	if (err)
		return err == -EINVAL ? GW_EXIT_USAGE : GW_EXIT_FAILED;
	err = simulate(asked, sweep, trace, error);
	if (trace && trace != stderr && fclose(trace) && !err)
		err = gw_fail(error, errno, "--trace %s: %s", asked->trace, strerror(errno));
	return err ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

static enum gw_exit with_scenarios(const struct asked *asked, struct gw_sweep *sweep,
                                   const struct gw_cli_operands *files, struct gw_error *error)
{
	struct sim_scenario *scenarios = calloc((size_t)files->count, sizeof(*scenarios));
	enum gw_exit status = GW_EXIT_FAILED;
	int err = scenarios ? 0 : gw_fail(error, ENOMEM, "no memory for the scenarios");

	for (int i = 0; !err && i < files->count; i++) {
		err = sim_scenario_load(&scenarios[i], files->items[i], error);
		sweep->scenario_count += !err;
	}
	sweep->scenarios = scenarios;
	if (!err)
		status = sweep_and_run(asked, sweep, error);
	for (size_t i = 0; i < sweep->scenario_count; i++)
		sim_scenario_free(&scenarios[i]);
	free(scenarios);
	return status;
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct asked a = {.jobs = cores > 0 ? (uint64_t)cores : 1};
	const struct gw_cli_option options[] = {
	        {"policy", 'p', GW_CLI_LIST, &a.policies, "NAME,...",
	         "instead of the scenario's; each of several in turn"},
	        {"set", 's', GW_CLI_LIST, &a.set, "KEY=VALUE,...",
	         "a setting of policy or order; each of several values in turn"},
	        {"seed", 0, GW_CLI_LIST, &a.seeds, "LIST",
	         "instead of the scenario's: 7 or 1-100 or 1,5,10-12"},
	        {"json", 0, GW_CLI_STRING, &a.json, "FILE",
	         "one result a line as JSON; - is standard output"},
	        {"resume", 0, GW_CLI_FLAG, &a.resume, NULL,
	         "what the --json FILE has already is not played again"},
	        {"trace", 0, GW_CLI_STRING, &a.trace, "FILE",
	         "one event a line, of one run; - is standard error"},
	        {"jobs", 'j', GW_CLI_NUMBER, &a.jobs, "N", "threads; default one a core"},
	        {"quiet", 'q', GW_CLI_FLAG, &a.quiet, NULL, "no progress"},
	        GW_CLI_END,
	};
	_cleanup_free_ struct gw_sweep *sweep = calloc(1, sizeof(*sweep));
	_cleanup_free_ char *names = NULL;
	const char *policies[POLICIES_MAX];
	struct gw_cli_operands operands;
	enum gw_exit status;

	if (!gw_verb_options(verb, options, argc, argv, 1, INT_MAX, &operands, &status, error))
		return status;
	if (!sweep) {
		(void)gw_fail(error, ENOMEM, "no memory for the sweep");
		return GW_EXIT_FAILED;
	}
	sweep->policies = policies;
	sweep->policy_count = split(&a.policies, policies, &names);
	if (read_sweep(&a, sweep, error))
		return GW_EXIT_USAGE;
	status = with_scenarios(&a, sweep, &operands, error);
	gw_sweep_clear(sweep);
	return status;
}

const struct gw_verb gw_verb_sim = {
        .name = "sim",
        .usage = "SCENARIO... [OPTION...]",
        .summary = "simulate moves, with many policies, settings and seeds at once",
        .run = run,
        .help = gw_choices_print,
};
