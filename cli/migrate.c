/* SPDX-License-Identifier: MIT */
/*
 * cli/migrate.c - `godwit migrate NAME --to HOST` and `godwit recover NAME`.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/values.h"
#include "cli/choices.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/plan.h"
#include "cli/progress.h"
#include "cli/result.h"
#include "cli/verb.h"
#include "cli/which.h"
#include "live/host/clock.h"
#include "live/host/migrate.h"
#include "live/net/address.h"
#include "live/vm/registry.h"
#include "sim/trace/trace.h"

#define DOWNTIME_NS 300000000ull /* QEMU's downtime-limit */

struct asked {
	struct gw_which which;
	const char *to, *policy, *order, *json, *trace, *observed;
	struct gw_cli_list set;
	uint64_t bandwidth, granted, class, downtime, deadline, reconnect;
	uint64_t link;    /* what it carries; 0: as its device says */
	uint64_t observe; /* AS_POLICY: for as long as the policy wants */
	bool verify, quiet;
	bool recovers; /* an earlier migration is gone on with */
};

#define AS_POLICY UINT64_MAX

enum { MIGRATES = 1, RECOVERS = 2 };

/* --- while it goes on ----------------------------------------------------------------------- */

struct telling {
	const struct asked *asked;
	FILE *trace;
	int stop_fd;
	struct gw_progress bar;
	struct gw_plan plan;
	unsigned rounds; /* that have ended */
	struct gw_course_round last;
	bool pulls_or_stops; /* no round follows */
};

/* By the forecast, where there is one, and by what the rounds showed since. */
static uint64_t beyond(const struct telling *t)
{
	if (!t->plan.known || t->pulls_or_stops)
		return 0;
	return gw_course_beyond(&t->plan.forecast->course, t->rounds, t->rounds ? &t->last : NULL);
}

static void round_ended(void *arg, const struct gw_round *round)
{
	struct telling *t = arg;

	t->rounds++;
	t->last = (struct gw_course_round){.dirty_pages = round->dirty_pages,
	                                   .bytes_per_s = round->bandwidth_bytes_per_s};
	t->pulls_or_stops = round->decision != GW_CONTINUE;
}

static void progress(void *arg, const char *label, uint64_t done, uint64_t all, uint64_t now)
{
	struct telling *t = arg;

	t->bar.beyond_ns = beyond(t);
	gw_progress_update(&t->bar, label, done, all, now);
}

static void observing(void *arg, uint64_t done, uint64_t all, uint64_t pages_per_s)
{
	struct telling *t = arg;
	char more[48];

	(void)snprintf(more, sizeof(more), "%llu pages/s written", (unsigned long long)pages_per_s);
	gw_progress_time(&t->bar, "observing", done, all, more, gw_now_ns());
}

static void note(void *arg, const char *sentence)
{
	struct telling *t = arg;

	gw_progress_end(&t->bar);
	(void)fprintf(stderr, "note: %s\n", sentence);
}

static bool estimating(void *arg, size_t done, size_t all)
{
	struct telling *t = arg;
	struct pollfd stop = {.fd = t->stop_fd, .events = POLLIN};

	if (!t->asked->quiet)
		gw_progress_share(&t->bar, "estimating", done, all, gw_now_ns());
	return poll(&stop, 1, 0) <= 0;
}

/* The choice and what was announced, before anything is begun. */
static void announce(struct telling *t)
{
	char text[700];

	if (!t->plan.known)
		return;
	gw_plan_sentence(&t->plan.plan, text, sizeof(text));
	if (t->trace)
		(void)fprintf(t->trace, "%s\n", text);
	if (t->asked->quiet)
		return;
	gw_progress_end(&t->bar);
	(void)fprintf(stderr, "%s\n", text);
}

static int plan(void *arg, const struct gw_outlook *outlook, struct gw_policy *policy,
                struct gw_order *order, struct gw_error *error)
{
	struct telling *t = arg;
	int err = gw_plan_make(&t->plan, outlook, policy, order, error);

	gw_progress_end(&t->bar);
	if (!err)
		announce(t);
	return err;
}

/* --- settings ------------------------------------------------------------------------------- */

static int unknown_setting(const struct asked *asked, const struct gw_migrate_options *o,
                           const char *key, struct gw_error *error)
{
	return gw_fail(error, EINVAL,
	               "--set %s: policy %s has the settings \"%s\", order %s has \"%s\"", key,
	               asked->policy, o->policy.kind->settings, asked->order,
	               o->order.kind->settings);
}

static int apply(const struct asked *asked, struct gw_migrate_options *o, const char *text,
                 json_t *settings, struct gw_error *error)
{
	char key[64];
	const char *value = strchr(text, '=');
	int err;

	if (!value || value == text || (size_t)(value - text) >= sizeof(key))
		return gw_fail(error, EINVAL, "--set %s: write it as key=value", text);
	(void)snprintf(key, sizeof(key), "%.*s", (int)(value - text), text);
	value++;
	if (!strcmp(key, "order"))
		return gw_fail(error, EINVAL, "--set order=%s: write it as --order %s", value,
		               value);
	err = gw_policy_set(&o->policy, key, value);
	if (err == -ENOENT)
		err = gw_order_set(&o->order, key, value);
	if (err == -ENOENT)
		return unknown_setting(asked, o, key, error);
	if (err)
		return gw_fail(error, EINVAL, "--set %s: %s is no value for %s", text, value, key);
	(void)json_object_set_new(settings, key, gw_result_setting(value));
	return 0;
}

static int choose(struct asked *asked, struct gw_migrate_options *o, json_t *settings,
                  struct gw_error *error)
{
	char names[256] = "";
	size_t i, used = 0;
	int err;

	if (!asked->policy)
		asked->policy = "precopy";
	if (gw_policy_init(&o->policy, asked->policy)) {
		for (i = 0; gw_policies[i]; i++)
			used += (size_t)snprintf(names + used, sizeof(names) - used, " %s",
			                         gw_policies[i]->name);
		return gw_fail(error, EINVAL, "--policy %s: there are%s", asked->policy, names);
	}
	/* --set order=ORDER is how the papers' settings are written; both ways are one. */
	for (i = 0; i < asked->set.count; i++)
		if (!strncmp(asked->set.items[i], "order=", 6))
			asked->order = asked->set.items[i] + 6;
	if (asked->order && o->policy.kind->chooses)
		return gw_fail(error, EINVAL,
		               "--policy %s chooses the order too: leave out --order",
		               asked->policy);
	if (!asked->order)
		asked->order = gw_policy_order(&o->policy);
	if (gw_order_init(&o->order, asked->order)) {
		for (i = 0; gw_orders[i]; i++)
			used += (size_t)snprintf(names + used, sizeof(names) - used, " %s",
			                         gw_orders[i]->name);
		return gw_fail(error, EINVAL, "--order %s: there are%s", asked->order, names);
	}
	for (i = 0; i < asked->set.count; i++) {
		if (!strncmp(asked->set.items[i], "order=", 6))
			continue;
		err = apply(asked, o, asked->set.items[i], settings, error);
		if (err)
			return err;
	}
	return gw_which_check(&asked->which, error);
}

/* --- telling -------------------------------------------------------------------------------- */

static struct gw_result result_of(const struct gw_migrate_result *r)
{
	return (struct gw_result){
	        .world = "live",
	        .name = r->name,
	        .policy = r->policy,
	        .order = r->order,
	        .tracker = r->tracker,
	        .shaping = r->shaping,
	        .reason = r->reason,
	        .outcome = r->outcome,
	        .ram_bytes = r->ram_bytes,
	        .vcpus = r->vcpus,
	        .bandwidth_bytes_per_s = r->bandwidth_bytes_per_s,
	        .latency_ns = r->latency_ns,
	        .zero_pages = r->zero_pages,
	        .state_bytes = r->state_bytes,
	        .observation_ns = r->observation_ns,
	        .metrics = &r->metrics,
	        .rounds = r->rounds,
	        .round_count = r->round_count,
	};
}

static json_t *json_of(const struct gw_result *told, json_t *settings, const struct gw_plan *plan)
{
	json_t *json = gw_result_json(told, settings);

	if (json && plan->known)
		gw_plan_tell(&plan->plan, json);
	if (json && plan->known)
		(void)json_object_set_new(json, "policy", json_string(plan->asked.policy));
	return json;
}

static int tell(const struct gw_migrate_result *result, const struct asked *asked, json_t *settings,
                const struct gw_plan *plan, struct gw_error *error)
{
	const struct gw_result told = result_of(result);
	int err = 0;

	if (asked->recovers && result->outcome == GW_STAYED) {
		(void)printf("%s is at this host, as it was: %s\n", result->name, result->reason);
		return 0;
	}
	if (asked->json)
		err = gw_output_json(json_of(&told, settings, plan), asked->json, error);
	if (err)
		return err;
	if (!asked->json || strcmp(asked->json, "-"))
		gw_result_print(&told, stdout);
	if ((!asked->json || strcmp(asked->json, "-")) && plan->known &&
	    result->outcome == GW_COMPLETED)
		gw_plan_print(&plan->plan, &result->metrics, stdout);
	if (result->outcome != GW_COMPLETED)
		return gw_fail(error, EIO, "%s", result->reason);
	if (result->metrics.mixed)
		return gw_fail(error, EBADMSG, "%s", result->reason);
	if (result->metrics.pages_different)
		return gw_fail(error, EBADMSG,
		               "%llu pages differ from the source's, the first is page %llu",
		               (unsigned long long)result->metrics.pages_different,
		               (unsigned long long)result->metrics.first_different);
	return 0;
}

/* Of a move that was not begun; what cannot be written is not worth another sentence. */
static void tell_why_not(const char *name, int err, const struct gw_error *why,
                         const struct asked *asked)
{
	enum gw_obstacle obstacle = gw_link_failed(err) ? GW_AT_LINK : GW_AT_SOURCE;
	struct gw_error ignored;

	if (asked->json)
		(void)gw_output_json(json_pack("{s:s, s:s, s:{s:s?}, s:s, s:s, s:s}", "schema",
		                               "godwit.result/1", "world", "live", "vm", "name",
		                               name, "outcome", "not begun", "reason", why->text,
		                               "obstacle", gw_obstacle_name(obstacle)),
		                     asked->json, &ignored);
}

static int open_trace(const char *path, FILE **file, struct gw_error *error)
{
	*file = NULL;
	if (!path)
		return 0;
	*file = strcmp(path, "-") ? fopen(path, "we") : stderr;
	if (!*file)
		return gw_fail(error, errno, "--trace %s: %s", path, strerror(errno));
	(void)setvbuf(*file, NULL, _IOLBF, 0);
	return 0;
}

static void close_trace(FILE *file)
{
	if (file && file != stderr)
		(void)fclose(file);
}

static void options_of(const struct asked *asked, struct gw_migrate_options *o)
{
	o->to = asked->to;
	o->tracker = asked->which.tracker;
	o->bandwidth_bytes_per_s = asked->bandwidth;
	o->granted_bytes_per_s = asked->granted;
	o->traffic_class = (uint32_t)asked->class;
	o->downtime_ns = asked->downtime;
	o->deadline_ns = asked->deadline;
	o->reconnect_ns = asked->reconnect;
	o->verify = asked->verify;
	o->observe_ns = asked->observe;
	if (asked->observe == AS_POLICY)
		o->observe_ns = gw_policy_observes_ns(&o->policy);
}

/* What is wrong as it is written, whatever is there. */
static int bad_words(const char *name, const char *to, struct gw_error *error)
{
	struct gw_address address;
	int err = name ? gw_name_check(name, error) : 0;

	return !err && to ? gw_address_parse(&address, to, error) : err;
}

/* --- observed earlier ----------------------------------------------------------------------- */

static int check_trace(const char *path, const struct sim_trace *trace, const struct gw_vm *vm,
                       struct gw_error *error)
{
	const struct sim_trace_head *head = sim_trace_head(trace);

	if (head->page_bytes != GW_PAGE_BYTES || head->ram_pages != vm->ram_bytes / GW_PAGE_BYTES)
		return gw_fail(error, EINVAL,
		               "--observed %s: the trace is of a VM with %llu pages of memory, "
		               "%s has %llu",
		               path, (unsigned long long)head->ram_pages, vm->name,
		               (unsigned long long)(vm->ram_bytes / GW_PAGE_BYTES));
	if (head->vcpus != vm->vcpus)
		return gw_fail(error, EINVAL,
		               "--observed %s: the trace is of a VM with %u vCPUs, %s has %u", path,
		               head->vcpus, vm->name, vm->vcpus);
	return 0;
}

/* Its last windows, as many as the policy would have seen; all of them if that is none. */
static struct gw_observation last_windows(const struct sim_trace *trace, uint64_t for_ns)
{
	const struct sim_trace_head *head = sim_trace_head(trace);
	size_t all = sim_trace_windows(trace), first = all;
	uint64_t ns = 0;

	while (first && (!for_ns || ns < for_ns))
		ns += sim_trace_window(trace, --first)->length_ns;
	return (struct gw_observation){.windows = all ? sim_trace_window(trace, first) : NULL,
	                               .count = all - first,
	                               .cpu_known = head->cpu_known,
	                               .network_known = head->network_known};
}

/* The trace is the caller's; the options borrow from it. */
static int take_earlier(const struct asked *asked, const struct gw_guest *guest,
                        struct gw_migrate_options *o, struct sim_trace **trace,
                        struct gw_error *error)
{
	int err;

	if (!asked->observed)
		return 0;
	err = sim_trace_open(trace, asked->observed, error);
	if (!err)
		err = check_trace(asked->observed, *trace, guest->vm, error);
	if (err)
		return err;
	o->observation = last_windows(*trace, o->observe_ns);
	o->observe_ns = 0;
	return 0;
}

/* --- moving --------------------------------------------------------------------------------- */

/* As the estimate plays it; settings that it has no room for were refused. */
static void move_of(const struct asked *asked, const struct gw_migrate_options *o,
                    struct sim_move *move)
{
	*move = (struct sim_move){.limit_bytes_per_s = asked->bandwidth,
	                          .downtime_limit_ns = asked->downtime,
	                          .deadline_ns = asked->deadline,
	                          .observe_ns = SIM_AS_POLICY};
	(void)snprintf(move->policy, sizeof(move->policy), "%s", o->policy.kind->name);
	(void)snprintf(move->order, sizeof(move->order), "%s", o->order.kind->name);
	for (size_t i = 0; i < asked->set.count && move->setting_count < SIM_SETTINGS_MAX; i++) {
		struct sim_setting *setting = &move->settings[move->setting_count];
		const char *text = asked->set.items[i], *value = strchr(text, '=');

		if (!strncmp(text, "order=", 6) || !value ||
		    (size_t)(value - text) >= sizeof(setting->key) ||
		    strlen(value + 1) >= sizeof(setting->value))
			continue;
		(void)snprintf(setting->key, sizeof(setting->key), "%.*s", (int)(value - text),
		               text);
		(void)snprintf(setting->value, sizeof(setting->value), "%s", value + 1);
		move->setting_count++;
	}
}

static void prepare_plan(const struct asked *asked, const struct gw_migrate_options *o,
                         struct telling *t)
{
	t->plan = (struct gw_plan){
	        .link = {.bytes_per_s = asked->link}, .progress = estimating, .arg = t};
	move_of(asked, o, &t->plan.asked);
}

static int move(const char *name, const struct asked *asked, struct gw_migrate_options *o,
                struct gw_migrate_result *result, struct gw_error *error)
{
	struct telling *t = o->arg;
	struct sim_trace *trace = NULL;
	struct gw_guest guest;
	int err = gw_which_open(&asked->which, o->dir, name, &guest, error);

	if (err)
		return err;
	err = take_earlier(asked, &guest, o, &trace, error);
	prepare_plan(asked, o, t);
	t->plan.name = guest.vm->name;
	t->plan.hypervisor = guest.kind;
	t->plan.trace = trace;
	/* Who divides a link among moves has estimated them already. */
	if (o->policy.kind->chooses || (!asked->granted && (o->observe_ns || trace)))
		o->plan = plan;
	if (!err)
		err = gw_migrate(&guest, o, result, error);
	sim_trace_free(trace);
	gw_guest_close(&guest);
	return err;
}

/* An earlier migration of this host's VM is gone on with. */
static int follow(const char *name, const struct asked *asked, struct gw_migrate_options *o,
                  struct gw_migrate_result *result, struct gw_error *error)
{
	struct gw_journal journal;
	int err = gw_journal_find(&journal, o->dir, name, error);

	if (err)
		return err;
	if (journal.side == GW_SIDE_DESTINATION) {
		gw_journal_close(&journal);
		return gw_fail(error, EINVAL,
		               "%s was coming to this host: its agent (`godwit serve`) takes it "
		               "up by itself; `recover` belongs to the source",
		               name);
	}
	if (asked->to)
		(void)snprintf(journal.peer, sizeof(journal.peer), "%s", asked->to);
	return gw_migrate_recover(&journal, o, result, error);
}

static int act(const char *name, const struct asked *asked, const struct gw_migrate_options *chosen,
               json_t *settings, struct gw_error *error)
{
	struct gw_migrate_options o = *chosen;
	struct gw_migrate_result result = {0};
	struct telling telling = {.asked = asked};
	char dir[200];
	_cleanup_close_ int stop = gw_verb_stop_signals();
	int err;

	err = gw_registry_dir(dir, sizeof(dir), error);
	if (!err)
		err = open_trace(asked->trace, &o.trace, error);
	if (err)
		return err;
	options_of(asked, &o);
	o.dir = dir;
	o.stop_fd = stop;
	gw_progress_init(&telling.bar, stderr);
	telling.trace = o.trace;
	telling.stop_fd = stop;
	o.arg = &telling;
	o.progress = asked->quiet ? NULL : progress;
	o.round = round_ended;
	o.observing = asked->quiet ? NULL : observing;
	o.note = asked->quiet ? NULL : note;
	err = (asked->recovers ? follow : move)(name, asked, &o, &result, error);
	gw_progress_end(&telling.bar);
	if (!err)
		err = tell(&result, asked, settings, &telling.plan, error);
	else
		tell_why_not(name, err, error, asked);
	gw_migrate_result_clear(&result);
	sim_plan_clear(&telling.plan.plan);
	close_trace(o.trace);
	return err;
}

/* --- the verbs ------------------------------------------------------------------------------ */

/* The rows of a verb, and what ends them. */
static void rows_of(struct asked *a, unsigned verb, struct gw_cli_option *options)
{
	const struct {
		unsigned verbs;
		struct gw_cli_option option;
	} rows[] = {
	        {MIGRATES,
	         {"to", 't', GW_CLI_STRING, &a->to, "HOST[:PORT]", "where its agent listens"}},
	        {RECOVERS,
	         {"to", 't', GW_CLI_STRING, &a->to, "HOST[:PORT]",
	          "where its agent listens now (default: as before)"}},
	        {MIGRATES, GW_WHICH_PID(&a->which)},
	        {MIGRATES, GW_WHICH_QMP(&a->which)},
	        {MIGRATES,
	         {"policy", 'p', GW_CLI_STRING, &a->policy, "NAME",
	          "how it moves; below (default precopy)"}},
	        {MIGRATES,
	         {"order", 'o', GW_CLI_STRING, &a->order, "NAME",
	          "of pages pushed after the switch; below (default: the policy's)"}},
	        {RECOVERS,
	         {"order", 'o', GW_CLI_STRING, &a->order, "NAME",
	          "of pages that are still to be pushed"}},
	        {MIGRATES,
	         {"set", 's', GW_CLI_LIST, &a->set, "KEY=VALUE", "a setting of policy or order"}},
	        {MIGRATES, GW_WHICH_TRACKER(&a->which)},
	        {MIGRATES | RECOVERS,
	         {"bandwidth", 'b', GW_CLI_RATE, &a->bandwidth, "RATE", "send no faster"}},
	        {MIGRATES | RECOVERS,
	         {"granted", 0, GW_CLI_RATE, &a->granted, "RATE",
	          "so fast to begin with, where evacuate divides a link"}},
	        {MIGRATES | RECOVERS,
	         {"class", 0, GW_CLI_NUMBER, &a->class, "N",
	          "of traffic, for its connections, where evacuate has made some"}},
	        {MIGRATES,
	         {"downtime", 'd', GW_CLI_DURATION, &a->downtime, "TIME",
	          "that the VM may stand (default 300ms)"}},
	        {MIGRATES,
	         {"deadline", 0, GW_CLI_DURATION, &a->deadline, "TIME",
	          "give up where pre-copy has not converged by then"}},
	        {MIGRATES,
	         {"reconnect", 0, GW_CLI_DURATION, &a->reconnect, "TIME",
	          "how long a lost link is tried again (default 30s)"}},
	        {RECOVERS,
	         {"reconnect", 0, GW_CLI_DURATION, &a->reconnect, "TIME",
	          "how long the destination is tried (default 30s)"}},
	        {MIGRATES,
	         {"link", 0, GW_CLI_RATE, &a->link, "RATE",
	          "what the link carries, for the estimate (default: as its device says)"}},
	        {MIGRATES,
	         {"observe", 0, GW_CLI_DURATION, &a->observe, "TIME",
	          "watch the VM for so long before (default: as the policy wants)"}},
	        {MIGRATES,
	         {"observed", 0, GW_CLI_STRING, &a->observed, "TRACE",
	          "what `godwit record` saw of it, instead of watching it"}},
	        {MIGRATES,
	         {"verify", 0, GW_CLI_FLAG, &a->verify, NULL,
	          "compare digests of all pages of the moment of the switch"}},
	        {MIGRATES | RECOVERS,
	         {"json", 0, GW_CLI_STRING, &a->json, "FILE",
	          "result as JSON; - is standard output"}},
	        {MIGRATES | RECOVERS,
	         {"trace", 0, GW_CLI_STRING, &a->trace, "FILE",
	          "one event a line; - is standard error"}},
	        {MIGRATES | RECOVERS, {"quiet", 'q', GW_CLI_FLAG, &a->quiet, NULL, "no progress"}},
	        {MIGRATES | RECOVERS, GW_CLI_END},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].verbs & verb)
			*options++ = rows[i].option;
}

/* Both verbs from their words on: the settings, and what they are about. */
static enum gw_exit choose_and_act(const char *name, struct asked *asked, struct gw_error *error)
{
	struct gw_migrate_options o = {0};
	json_t *settings;
	enum gw_exit status;
	int err;

	if (bad_words(name, asked->to, error))
		return GW_EXIT_USAGE;
	if (asked->class > UINT16_MAX) {
		(void)gw_fail(error, EINVAL, "--class %llu: there is no such class",
		              (unsigned long long)asked->class);
		return GW_EXIT_USAGE;
	}
	settings = json_object();
	err = choose(asked, &o, settings, error);
	status = err ? GW_EXIT_USAGE : GW_EXIT_FAILED;
	if (!err)
		err = act(name, asked, &o, settings, error);
	json_decref(settings);
	return err ? status : GW_EXIT_DONE;
}

static enum gw_exit run_migrate(const struct gw_verb *verb, int argc, char **argv,
                                struct gw_error *error)
{
	struct asked a = {.downtime = DOWNTIME_NS, .observe = AS_POLICY};
	struct gw_cli_option options[GW_CLI_OPTIONS_MAX];
	struct gw_cli_operands operands;
	enum gw_exit status;

	rows_of(&a, MIGRATES, options);
	if (!gw_verb_options(verb, options, argc, argv, 0, 1, &operands, &status, error))
		return status;
	if (!a.to || (!operands.count && !a.which.pid)) {
		(void)gw_fail(error, EINVAL,
		              "migrate needs a NAME or --pid N, and --to HOST; see "
		              "godwit migrate --help");
		return GW_EXIT_USAGE;
	}
	return choose_and_act(operands.count ? operands.items[0] : NULL, &a, error);
}

static enum gw_exit run_recover(const struct gw_verb *verb, int argc, char **argv,
                                struct gw_error *error)
{
	/* What may be left to do is to pull. */
	struct asked a = {.downtime = DOWNTIME_NS, .policy = "postcopy", .recovers = true};
	struct gw_cli_option options[GW_CLI_OPTIONS_MAX];
	struct gw_cli_operands operands;
	enum gw_exit status;

	rows_of(&a, RECOVERS, options);
	if (!gw_verb_options(verb, options, argc, argv, 1, 1, &operands, &status, error))
		return status;
	return choose_and_act(operands.items[0], &a, error);
}

static void help(FILE *out)
{
	gw_choices_print(out);
	(void)fprintf(out,
	              "\npolicy auto takes the best of them within --downtime and --deadline, by "
	              "what was\nobserved\n");
}

const struct gw_verb gw_verb_migrate = {
        .name = "migrate",
        .usage = "NAME|--pid N --to HOST[:PORT] [OPTION...]",
        .summary = "move a running VM to another host",
        .run = run_migrate,
        .help = help,
};

const struct gw_verb gw_verb_recover = {
        .name = "recover",
        .usage = "NAME [OPTION...]",
        .summary = "go on with a migration that a crash or a lost link interrupted",
        .run = run_recover,
};
