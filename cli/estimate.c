/* SPDX-License-Identifier: MIT */
/*
 * cli/estimate.c - `godwit estimate TRACE|SCENARIO`: what each policy would cost.
 */
#include "cli/estimate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/sweep_run.h"
#include "cli/verb.h"
#include "sim/trace/bytes.h"
#include "sim/trace/trace.h"

struct asked {
	const char *json, *vm;
	uint64_t bandwidth, latency, downtime, deadline, from, length, seed, samples, jobs;
	bool quiet;
};

/* --- what is estimated ----------------------------------------------------------------------- */

struct subject {
	struct sim_scenario scenario;
	size_t vm;
	struct sim_trace *trace; /* owned, as is what was observed: NULL until then */
	struct sim_trace *observed;
};

static void close_subject(struct subject *s)
{
	sim_trace_free(s->observed);
	sim_trace_free(s->trace);
	sim_scenario_free(&s->scenario);
}

static bool is_trace(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char begin[sizeof(TRACE_MAGIC) - 1] = "";

	return file && fread(begin, 1, sizeof(begin), file) == sizeof(begin) &&
	       !memcmp(begin, TRACE_MAGIC, sizeof(begin));
}

/* The part of the recording that is taken for the observation. */
static int observe_trace(struct subject *s, const struct sim_trace *trace,
                         const struct asked *asked, struct gw_error *error)
{
	s->observed =
	        sim_trace_part(trace, asked->from, asked->length ? asked->length : UINT64_MAX);
	if (!s->observed)
		return gw_fail(error, ENOMEM, "no memory for the trace");
	if (sim_trace_windows(s->observed))
		return 0;
	return gw_fail(error, EINVAL,
	               "the trace has no whole window between --from and --from plus --for");
}

static int open_trace(struct subject *s, const char *path, const struct asked *asked,
                      struct gw_error *error)
{
	int err = sim_trace_open(&s->trace, path, error);

	if (!err)
		err = observe_trace(s, s->trace, asked, error);
	if (!err)
		err = sim_scenario_of_trace(&s->scenario, s->observed, error);
	return err;
}

static int find_vm(struct subject *s, const char *path, const char *name, struct gw_error *error)
{
	const struct sim_scenario *scenario = &s->scenario;

	if (!name && scenario->vm_count == 1)
		return 0;
	if (!name)
		return gw_fail(error, EINVAL, "%s has %zu VMs: say which one by --vm NAME", path,
		               scenario->vm_count);
	for (s->vm = 0; s->vm < scenario->vm_count; s->vm++)
		if (!strcmp(scenario->vms[s->vm].name, name))
			return 0;
	return gw_fail(error, EINVAL, "--vm %s: %s has no VM of that name", name, path);
}

static int open_scenario(struct subject *s, const char *path, const struct asked *asked,
                         struct gw_error *error)
{
	int err = sim_scenario_load(&s->scenario, path, error);
	struct sim_vm *vm;

	if (!err)
		err = find_vm(s, path, asked->vm, error);
	if (err)
		return err;
	vm = &s->scenario.vms[s->vm];
	if (!vm->workload.trace)
		return gw_fail(error, EINVAL, "%s: only recorded workloads are observed", path);
	err = observe_trace(s, vm->workload.trace, asked, error);
	vm->workload.trace = s->observed;
	return err;
}

/* What the user says of link and limits goes before what the scenario says. */
static void apply(struct subject *s, const struct asked *asked)
{
	struct sim_vm *vm = &s->scenario.vms[s->vm];

	for (unsigned i = 0; i < vm->path_count; i++) {
		struct sim_link_config *link = &s->scenario.links[vm->path[i]];

		if (asked->bandwidth)
			link->bytes_per_s = asked->bandwidth;
		if (asked->latency)
			link->latency_ns = asked->latency / vm->path_count;
	}
	if (asked->downtime)
		vm->move.downtime_limit_ns = asked->downtime;
	if (asked->deadline)
		vm->move.deadline_ns = asked->deadline;
}

/* --- estimating ----------------------------------------------------------------------------- */

struct watch {
	struct gw_progress bar;
	bool quiet;
};

static bool progress(void *arg, size_t done, size_t all)
{
	struct watch *watch = arg;
	struct timespec now;

	if (watch->quiet)
		return true;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	gw_progress_update(&watch->bar, "estimating", done, all,
	                   (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
	return true;
}

static uint64_t length_of(const struct sim_trace *trace)
{
	size_t windows = sim_trace_windows(trace);
	const struct gw_window *last = sim_trace_window(trace, windows - 1);

	return last->start_ns + last->length_ns - sim_trace_window(trace, 0)->start_ns;
}

static int estimate(struct subject *s, const struct asked *asked, struct gw_error *error)
{
	struct watch watch = {.quiet = asked->quiet};
	const struct sim_estimate_options options = {.seed = asked->seed,
	                                             .samples = (unsigned)asked->samples,
	                                             .jobs = (unsigned)asked->jobs,
	                                             .progress = progress,
	                                             .arg = &watch};
	const struct gw_estimate_about about = {.scenario = &s->scenario,
	                                        .vm = s->vm,
	                                        .observation_ns = length_of(s->observed),
	                                        .limits = {asked->downtime, asked->deadline}};
	struct sim_estimate result;
	struct gw_choice choice;
	int err;

	gw_progress_init(&watch.bar, stderr);
	watch.bar.bare = true;
	err = sim_estimate(&result, &s->scenario, s->vm, &options, error);
	gw_progress_end(&watch.bar);
	if (err)
		return err;
	gw_choose(&choice, result.forecasts, result.count, &about.limits);
	if (asked->json)
		err = gw_output_json(gw_estimate_json(&result, &choice, &about), asked->json,
		                     error);
	if (!err && (!asked->json || strcmp(asked->json, "-")) &&
	    gw_estimate_print(&result, &choice, &about, stdout))
		err = gw_fail(error, ENOMEM, "no memory for the table");
	sim_estimate_clear(&result);
	return err;
}

/* --- the verb ------------------------------------------------------------------------------- */

static int bad_values(const struct asked *a, struct gw_error *error)
{
	if (!a->samples || a->samples > SIM_ESTIMATE_SAMPLES_MAX)
		return gw_fail(error, EINVAL, "--samples: 1 to %u", SIM_ESTIMATE_SAMPLES_MAX);
	if (!a->jobs || a->jobs > GW_SWEEP_JOBS_MAX)
		return gw_fail(error, EINVAL, "--jobs: 1 to %d", GW_SWEEP_JOBS_MAX);
	return 0;
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct asked a = {.seed = 1,
	                  .samples = SIM_ESTIMATE_SAMPLES,
	                  .jobs = cores > 0 ? (uint64_t)cores : 1};
	const struct gw_cli_option options[] = {
	        {"bandwidth", 'b', GW_CLI_RATE, &a.bandwidth, "RATE",
	         "what the link carries (default 1gbit, or as the scenario says)"},
	        {"latency", 'l', GW_CLI_DURATION, &a.latency, "TIME",
	         "of the link, one way (default 100us, or as the scenario says)"},
	        {"downtime", 'd', GW_CLI_DURATION, &a.downtime, "TIME", "that the VM may stand"},
	        {"deadline", 0, GW_CLI_DURATION, &a.deadline, "TIME", "that the move may take"},
	        {"from", 0, GW_CLI_DURATION, &a.from, "TIME",
	         "into the recording, where the observation begins"},
	        {"for", 'f', GW_CLI_DURATION, &a.length, "TIME",
	         "how long it is (default: all of the recording)"},
	        {"vm", 0, GW_CLI_STRING, &a.vm, "NAME", "which one of a scenario with many"},
	        {"samples", 0, GW_CLI_NUMBER, &a.samples, "N",
	         "how often each policy is played (default 7)"},
	        {"seed", 0, GW_CLI_NUMBER, &a.seed, "N", "of what is varied between them"},
	        {"jobs", 'j', GW_CLI_NUMBER, &a.jobs, "N", "threads; default one a core"},
	        {"json", 0, GW_CLI_STRING, &a.json, "FILE", "as JSON; - is standard output"},
	        {"quiet", 'q', GW_CLI_FLAG, &a.quiet, NULL, "no progress"},
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	struct subject subject = {0};
	enum gw_exit status;
	const char *what;
	int err;

	if (!gw_verb_options(verb, options, argc, argv, 1, 1, &operands, &status, error))
		return status;
	if (bad_values(&a, error))
		return GW_EXIT_USAGE;
	what = operands.items[0];
	err = (is_trace(what) ? open_trace : open_scenario)(&subject, what, &a, error);
	if (!err) {
		apply(&subject, &a);
		err = estimate(&subject, &a, error);
	}
	close_subject(&subject);
	return err ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

const struct gw_verb gw_verb_estimate = {
        .name = "estimate",
        .usage = "TRACE|SCENARIO [OPTION...]",
        .summary = "what moving a VM would cost under each policy, and which one to take",
        .run = run,
};
