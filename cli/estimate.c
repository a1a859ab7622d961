/* SPDX-License-Identifier: MIT */
/*
 * cli/estimate.c - `godwit estimate NAME|TRACE|SCENARIO`: what each policy would cost.
 */
#include "cli/estimate.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/plan.h"
#include "cli/progress.h"
#include "cli/sweep_run.h"
#include "cli/verb.h"
#include "cli/which.h"
#include "live/host/clock.h"
#include "live/vm/registry.h"
#include "sim/run.h"
#include "sim/trace/bytes.h"
#include "sim/trace/trace.h"

#define CONNECT_MS 3000

struct asked {
	struct gw_which which;
	const char *json, *vm, *to;
	uint64_t link, bandwidth, latency, downtime, deadline, from, length, seed, samples, jobs;
	bool quiet;
};

struct watch {
	const struct asked *asked;
	struct gw_progress bar;
	int stop_fd;
};

static bool goes_on(const struct watch *w)
{
	struct pollfd stop = {.fd = w->stop_fd, .events = POLLIN};

	return poll(&stop, 1, 0) <= 0;
}

static void note(void *arg, const char *sentence)
{
	struct watch *w = arg;

	if (w->asked->quiet)
		return;
	gw_progress_end(&w->bar);
	(void)fprintf(stderr, "note: %s\n", sentence);
}

/* --- what is estimated ----------------------------------------------------------------------- */

struct subject {
	struct sim_scenario scenario; /* of one VM */
	struct sim_trace *trace;      /* owned, as is what was observed; NULL: of a scenario */
	struct sim_trace *observed;
	struct gw_observed seen; /* of a VM that runs: `observed` borrows from it */
};

static void close_subject(struct subject *s)
{
	sim_trace_free(s->observed);
	gw_observed_clear(&s->seen);
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

/* That VM alone is left. */
static int take_vm(struct sim_scenario *scenario, const char *path, const char *name,
                   struct gw_error *error)
{
	size_t number = 0;

	if (!name && scenario->vm_count > 1)
		return gw_fail(error, EINVAL, "%s has %zu VMs: say which one by --vm NAME", path,
		               scenario->vm_count);
	while (name && number < scenario->vm_count && strcmp(scenario->vms[number].name, name) != 0)
		number++;
	if (number == scenario->vm_count)
		return gw_fail(error, EINVAL, "--vm %s: %s has no VM of that name", name, path);
	scenario->vms[0] = scenario->vms[number];
	scenario->vm_count = 1;
	return 0;
}

static int open_scenario(struct subject *s, const char *path, const struct asked *asked,
                         struct gw_error *error)
{
	int err = sim_scenario_load(&s->scenario, path, error);
	struct sim_vm *vm;

	if (!err)
		err = take_vm(&s->scenario, path, asked->vm, error);
	if (err)
		return err;
	vm = &s->scenario.vms[0];
	vm->move.observe_ns = asked->length ? asked->length : SIM_AS_POLICY;
	if (asked->from)
		vm->workload.from_ns = asked->from;
	return 0;
}

/* --- a VM that runs ------------------------------------------------------------------------- */

static bool observing(void *arg, uint64_t done_ns, uint64_t all_ns, uint64_t pages_per_s)
{
	struct watch *w = arg;
	char more[48];

	(void)snprintf(more, sizeof(more), "%llu pages/s written", (unsigned long long)pages_per_s);
	if (!w->asked->quiet)
		gw_progress_time(&w->bar, "observing", done_ns, all_ns, more, gw_now_ns());
	return goes_on(w);
}

/* What the user did not say of the link is asked of the host itself. */
static int ask_link(struct asked *asked, struct gw_error *error)
{
	struct gw_link_facts facts;
	int err;

	if (!asked->to)
		return 0;
	err = gw_link_look(asked->to, &facts, CONNECT_MS, error);
	if (!err && !asked->link)
		asked->link = facts.device_bytes_per_s;
	if (!err && !asked->latency)
		asked->latency = facts.latency_ns;
	return err;
}

static int observe_guest(struct subject *s, const struct gw_guest *guest, struct watch *watch,
                         struct gw_error *error)
{
	const struct asked *asked = watch->asked;
	const struct gw_observe_options options = {.tracker = asked->which.tracker,
	                                           .for_ns = asked->length ? asked->length
	                                                                   : GW_OBSERVES_NS,
	                                           .count_zeros = true,
	                                           .arg = watch,
	                                           .goes_on = observing,
	                                           .note = note};
	int err = gw_observe(guest, NULL, &options, &s->seen, error);

	gw_progress_end(&watch->bar);
	if (err)
		return err;
	if (!s->seen.windows.count)
		return gw_fail(error, ENODATA,
		               "%s is paused: it writes nothing, and stop-copy costs it nothing",
		               guest->vm->name);
	s->observed = gw_observed_trace(&s->seen, guest->vm->name);
	if (!s->observed)
		return gw_fail(error, ENOMEM, "no memory for what was observed");
	err = sim_scenario_of_trace(&s->scenario, s->observed, error);
	if (!err)
		gw_plan_here(&s->scenario, guest->kind);
	return err;
}

static int open_guest(struct subject *s, const char *name, struct watch *watch,
                      struct gw_error *error)
{
	const struct asked *asked = watch->asked;
	char dir[200];
	struct gw_guest guest;
	int err = gw_registry_dir(dir, sizeof(dir), error);

	if (!err)
		err = gw_which_open(&asked->which, dir, name, &guest, error);
	if (err)
		return err;
	err = observe_guest(s, &guest, watch, error);
	gw_guest_close(&guest);
	return err;
}

/* Of every policy; what the user says of link and limits goes before what the scenario says. */
static void apply(struct subject *s, const struct asked *asked)
{
	struct sim_vm *vm = &s->scenario.vms[0];

	(void)snprintf(vm->move.policy, sizeof(vm->move.policy), "auto");
	vm->move.order[0] = '\0';
	vm->move.setting_count = 0;
	for (unsigned i = 0; i < vm->path_count; i++) {
		struct sim_link_config *link = &s->scenario.links[vm->path[i]];

		if (asked->link)
			link->bytes_per_s = asked->link;
		if (asked->latency)
			link->latency_ns = asked->latency / vm->path_count;
	}
	if (asked->bandwidth)
		vm->move.limit_bytes_per_s = asked->bandwidth;
	if (asked->downtime)
		vm->move.downtime_limit_ns = asked->downtime;
	if (asked->deadline)
		vm->move.deadline_ns = asked->deadline;
}

/* --- estimating ----------------------------------------------------------------------------- */

static bool progress(void *arg, size_t done, size_t all)
{
	struct watch *w = arg;

	if (!w->asked->quiet)
		gw_progress_share(&w->bar, "estimating", done, all, gw_now_ns());
	return goes_on(w);
}

static uint64_t length_of(const struct sim_trace *trace)
{
	size_t windows = sim_trace_windows(trace);
	const struct gw_window *last = sim_trace_window(trace, windows - 1);

	return last->start_ns + last->length_ns - sim_trace_window(trace, 0)->start_ns;
}

/* The scenario's guest is observed where it is played, and its move with it. */
static int plan_there(struct subject *s, const struct sim_estimate_options *options,
                      struct sim_plan *plan, uint64_t *observation_ns, struct gw_error *error)
{
	const struct sim_run_options run = {.estimate = options};
	struct sim_outcome outcome;
	struct sim_vm_outcome *vm;
	int err = sim_run(&s->scenario, &run, &outcome, error);

	vm = outcome.vms;
	if (!err && !vm->plan)
		err = gw_fail(error, ENODATA, "%s", vm->reason);
	if (!err) {
		*plan = *vm->plan;
		*observation_ns = vm->observation_ns;
		free(vm->plan);
		vm->plan = NULL;
	}
	sim_outcome_clear(&outcome);
	return err;
}

static int tell(const struct sim_plan *plan, const struct gw_estimate_about *about,
                const struct asked *asked, struct gw_error *error)
{
	int err = 0;

	if (asked->json)
		err = gw_output_json(gw_estimate_json(plan, about), asked->json, error);
	if (!err && (!asked->json || strcmp(asked->json, "-")) &&
	    gw_estimate_print(plan, about, stdout))
		err = gw_fail(error, ENOMEM, "no memory for the table");
	return err;
}

static int estimate(struct subject *s, struct watch *watch, struct gw_error *error)
{
	const struct asked *asked = watch->asked;
	const struct sim_estimate_options options = {.seed = asked->seed,
	                                             .samples = (unsigned)asked->samples,
	                                             .jobs = (unsigned)asked->jobs,
	                                             .slowness = s->seen.slowness.permille,
	                                             .slowness_count =
	                                                     gw_slowness_count(&s->seen.slowness),
	                                             .progress = progress,
	                                             .arg = watch};
	struct gw_estimate_about about = {.scenario = &s->scenario};
	struct sim_plan plan;
	int err;

	if (s->observed) {
		about.observation_ns = length_of(s->observed);
		err = sim_plan_make(&plan, &s->scenario, 0, &options, error);
	} else {
		err = plan_there(s, &options, &plan, &about.observation_ns, error);
	}
	gw_progress_end(&watch->bar);
	if (err)
		return err;
	err = tell(&plan, &about, asked, error);
	sim_plan_clear(&plan);
	return err;
}

/* --- the verb ------------------------------------------------------------------------------- */

static int bad_values(const char *what, const struct asked *a, struct gw_error *error)
{
	if (!what == !a->which.pid)
		return gw_fail(error, EINVAL,
		               "estimate needs one of a VM's NAME, --pid N, a TRACE or a SCENARIO; "
		               "see godwit estimate --help");
	if (gw_which_check(&a->which, error))
		return -EINVAL;
	if (!a->samples || a->samples > SIM_ESTIMATE_SAMPLES_MAX)
		return gw_fail(error, EINVAL, "--samples: 1 to %u", SIM_ESTIMATE_SAMPLES_MAX);
	if (!a->jobs || a->jobs > GW_SWEEP_JOBS_MAX)
		return gw_fail(error, EINVAL, "--jobs: 1 to %d", GW_SWEEP_JOBS_MAX);
	return 0;
}

/* A name has neither a slash nor the ending of a file. */
static bool is_file(const char *what)
{
	const char *end = strrchr(what, '.');

	return strchr(what, '/') || (end && (!strcmp(end, ".json") || !strcmp(end, ".trace"))) ||
	       !access(what, F_OK);
}

static int open_subject(struct subject *s, const char *what, struct asked *asked,
                        struct watch *watch, struct gw_error *error)
{
	int err;

	if (what && is_file(what))
		return is_trace(what) ? open_trace(s, what, asked, error)
		                      : open_scenario(s, what, asked, error);
	err = what ? gw_name_check(what, error) : 0;
	if (!err)
		err = ask_link(asked, error);
	return err ? err : open_guest(s, what, watch, error);
}

static int open_and_estimate(const char *what, struct asked *asked, struct gw_error *error)
{
	_cleanup_close_ int stop = gw_verb_stop_signals();
	struct watch watch = {.asked = asked, .stop_fd = stop};
	struct subject subject = {0};
	int err;

	gw_progress_init(&watch.bar, stderr);
	err = open_subject(&subject, what, asked, &watch, error);
	if (!err) {
		apply(&subject, asked);
		err = estimate(&subject, &watch, error);
	}
	close_subject(&subject);
	return err;
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct asked a = {.seed = 1,
	                  .samples = SIM_ESTIMATE_SAMPLES,
	                  .jobs = cores > 0 ? (uint64_t)cores : 1};
	const struct gw_cli_option options[] = {
	        GW_WHICH_PID(&a.which),
	        GW_WHICH_QMP(&a.which),
	        GW_WHICH_TRACKER(&a.which),
	        {"to", 't', GW_CLI_STRING, &a.to, "HOST[:PORT]",
	         "its agent is asked how far it is, its device what the link carries"},
	        {"link", 0, GW_CLI_RATE, &a.link, "RATE",
	         "what the link carries (default 1gbit, or as the scenario says)"},
	        {"latency", 'l', GW_CLI_DURATION, &a.latency, "TIME",
	         "of the link, one way (default 100us, or as the scenario says)"},
	        {"bandwidth", 'b', GW_CLI_RATE, &a.bandwidth, "RATE", "send no faster"},
	        {"downtime", 'd', GW_CLI_DURATION, &a.downtime, "TIME",
	         "that the VM may stand (default 300ms, or as the scenario says)"},
	        {"deadline", 0, GW_CLI_DURATION, &a.deadline, "TIME", "that the move may take"},
	        {"from", 0, GW_CLI_DURATION, &a.from, "TIME",
	         "into the recording, where the observation begins"},
	        {"for", 'f', GW_CLI_DURATION, &a.length, "TIME",
	         "how long it is (default 8s; of a recording: all of it)"},
	        {"vm", 0, GW_CLI_STRING, &a.vm, "NAME", "which one of a scenario with many"},
	        {"samples", 0, GW_CLI_NUMBER, &a.samples, "N",
	         "how often each policy is played (default 7)"},
	        {"seed", 0, GW_CLI_NUMBER, &a.seed, "N", "of what is varied between them"},
	        {"jobs", 'j', GW_CLI_NUMBER, &a.jobs, "N", "threads; default one a core"},
	        {"json", 0, GW_CLI_STRING, &a.json, "FILE", "as JSON; - is standard output"},
	        {"quiet", 'q', GW_CLI_FLAG, &a.quiet, NULL, "no progress, no notes"},
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	enum gw_exit status;
	const char *what;

	if (!gw_verb_options(verb, options, argc, argv, 0, 1, &operands, &status, error))
		return status;
	what = operands.count ? operands.items[0] : NULL;
	if (bad_values(what, &a, error))
		return GW_EXIT_USAGE;
	return open_and_estimate(what, &a, error) ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

const struct gw_verb gw_verb_estimate = {
        .name = "estimate",
        .usage = "NAME|TRACE|SCENARIO [OPTION...]",
        .summary = "what moving a VM would cost under each policy, and which one to take",
        .run = run,
};
