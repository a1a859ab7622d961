/* SPDX-License-Identifier: MIT */
/*
 * cli/evacuate.c - `godwit evacuate --to HOST...`: all VMs of this host, or some, move away.
 */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/values.h"
#include "cli/evacuate.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/verb.h"
#include "core/policy/policy.h"
#include "live/host/clock.h"
#include "live/net/address.h"
#include "live/vm/registry.h"

#define DOWNTIME_NS 300000000ull /* QEMU's downtime-limit */
#define OBSERVE_NS  2000000000ull

struct asked {
	struct gw_cli_list to, set, limits, links, priorities, deadlines, apart;
	const char *sharing, *policy, *json, *deadline, *device;
	uint64_t bandwidth, carries, downtime, observe, at_once;
	bool plan, verify, quiet;
};

/* --- what the user says of single VMs -------------------------------------------------------- */

static struct gw_member *member_of(struct gw_evacuation *e, const char *name, size_t length)
{
	for (size_t i = 0; i < e->count; i++)
		if (strlen(e->members[i].name) == length &&
		    !strncmp(e->members[i].name, name, length))
			return &e->members[i];
	return NULL;
}

typedef int (*take)(struct gw_member *member, const char *value, const char **problem);

static int take_limit(struct gw_member *m, const char *value, const char **problem)
{
	return gw_parse_rate(value, &m->limit_bytes_per_s, problem);
}

static int take_priority(struct gw_member *m, const char *value, const char **problem)
{
	uint64_t number;
	int err = gw_parse_number(value, &number, problem);

	m->priority = !err && number < 1000 ? (unsigned)number : 1000;
	return err;
}

static int take_deadline(struct gw_member *m, const char *value, const char **problem)
{
	int err = gw_parse_duration(value, &m->deadline_ns, problem);

	if (!err && !m->deadline_ns)
		m->deadline_ns = 1;
	return err;
}

/* NAME=VALUE of an option that may be given again and again. */
static int take_each(struct gw_evacuation *e, const char *option, const struct gw_cli_list *list,
                     take taker, struct gw_error *error)
{
	for (size_t i = 0; i < list->count; i++) {
		const char *text = list->items[i], *value = strchr(text, '=');
		struct gw_member *m;
		const char *problem;

		if (!value)
			return gw_fail(error, EINVAL, "--%s %s: write it as NAME=VALUE", option,
			               text);
		m = member_of(e, text, (size_t)(value - text));
		if (!m)
			return gw_fail(error, EINVAL, "--%s %s: no such VM is to be moved", option,
			               text);
		if (taker(m, value + 1, &problem))
			return gw_fail(error, EINVAL, "--%s %s: '%s' %s", option, text, value + 1,
			               problem);
	}
	return 0;
}

/* Each --apart NAME,NAME... is a group. */
static int take_groups(struct gw_evacuation *e, const struct gw_cli_list *list,
                       struct gw_error *error)
{
	for (size_t i = 0; i < list->count; i++) {
		for (const char *at = list->items[i]; *at;) {
			size_t length = strcspn(at, ",");
			struct gw_member *m = member_of(e, at, length);

			if (!m)
				return gw_fail(error, EINVAL,
				               "--apart %s: no VM %.*s is to be moved",
				               list->items[i], (int)length, at);
			if (m->group)
				return gw_fail(error, EINVAL, "--apart %s: %s is in two groups",
				               list->items[i], m->name);
			m->group = (unsigned)i + 1;
			at += length + (at[length] == ',');
		}
	}
	return 0;
}

static int take_wishes(struct gw_evacuation *e, const struct asked *a, struct gw_error *error)
{
	int err = take_each(e, "limit", &a->limits, take_limit, error);

	if (!err)
		err = take_each(e, "priority", &a->priorities, take_priority, error);
	if (!err)
		err = take_each(e, "by", &a->deadlines, take_deadline, error);
	return err ? err : take_groups(e, &a->apart, error);
}

/* --- what the user says of all --------------------------------------------------------------- */

static int take_hosts(struct gw_evacuation *e, const struct gw_cli_list *to, struct gw_error *error)
{
	struct gw_address address;
	int err = 0;

	for (size_t i = 0; !err && i < to->count; i++) {
		err = gw_address_parse(&address, to->items[i], error);
		for (size_t k = 0; !err && k < i; k++)
			if (!strcmp(to->items[i], to->items[k]))
				err = gw_fail(error, EINVAL, "--to %s is there twice",
				              to->items[i]);
		e->hosts[e->host_count++] = (struct gw_fleet_to){.name = to->items[i]};
	}
	if (!err && !to->count)
		err = gw_fail(error, EINVAL,
		              "evacuate needs --to HOST; see godwit evacuate --help");
	return err;
}

/* HOST=RATE; HOST is as it was given to --to. */
static int take_links(struct gw_evacuation *e, const struct gw_cli_list *links,
                      struct gw_error *error)
{
	for (size_t i = 0; i < links->count; i++) {
		const char *text = links->items[i], *value = strrchr(text, '=');
		size_t length = value ? (size_t)(value - text) : 0, host = 0;
		const char *problem;

		if (!value)
			return gw_fail(error, EINVAL, "--link %s: write it as HOST=RATE", text);
		while (host < e->host_count && (strlen(e->hosts[host].name) != length ||
		                                strncmp(e->hosts[host].name, text, length) != 0))
			host++;
		if (host == e->host_count)
			return gw_fail(error, EINVAL, "--link %s: no --to names that host", text);
		if (gw_parse_rate(value + 1, &e->hosts[host].link_bytes_per_s, &problem))
			return gw_fail(error, EINVAL, "--link %s: '%s' %s", text, value + 1,
			               problem);
	}
	return 0;
}

static int set_sharing(struct gw_bandwidth *sharing, const struct asked *a, struct gw_error *error)
{
	char names[128] = "";
	size_t used = 0;

	if (gw_bandwidth_init(sharing, a->sharing)) {
		for (size_t i = 0; gw_bandwidths[i]; i++)
			used += (size_t)snprintf(names + used, sizeof(names) - used, " %s",
			                         gw_bandwidths[i]->name);
		return gw_fail(error, EINVAL, "--sharing %s: there are%s", a->sharing, names);
	}
	for (size_t i = 0; i < a->set.count; i++) {
		const char *text = a->set.items[i], *value = strchr(text, '=');
		char key[64];

		(void)snprintf(key, sizeof(key), "%.*s", value ? (int)(value - text) : 0, text);
		if (!value || gw_bandwidth_set(sharing, key, value + 1))
			return gw_fail(error, EINVAL,
			               "--set %s: sharing %s has the settings \"network_above="
			               "10mbit memory_above=8MB/s cpu_above=0.3 %s\"",
			               text, a->sharing, sharing->kind->settings);
	}
	return 0;
}

static int take_deadline_of_all(struct gw_evacuation *e, const char *text, struct gw_error *error)
{
	const char *problem;

	if (!text)
		return 0;
	if (gw_parse_duration(text, &e->options.deadline_ns, &problem))
		return gw_fail(error, EINVAL, "--deadline %s: '%s' %s", text, text, problem);
	if (!e->options.deadline_ns)
		return gw_fail(error, EINVAL,
		               "--deadline %s has passed already: leave it out to move the VMs all "
		               "the same",
		               text);
	return 0;
}

static int take_device(struct gw_evacuation *e, const char *name, struct gw_error *error)
{
	e->ifindex = name ? (int)if_nametoindex(name) : 0;
	if (name && !e->ifindex)
		return gw_fail(error, ENODEV, "--device %s: there is no such device on this host",
		               name);
	return 0;
}

static int understand(struct gw_evacuation *e, const struct asked *a, struct gw_error *error)
{
	struct gw_policy policy;
	int err = take_hosts(e, &a->to, error);

	if (!err)
		err = take_links(e, &a->links, error);
	if (!err)
		err = set_sharing(&e->options.sharing, a, error);
	if (!err)
		err = take_deadline_of_all(e, a->deadline, error);
	if (!err)
		err = take_device(e, a->device, error);
	if (!err && a->policy && gw_policy_init(&policy, a->policy))
		err = gw_fail(error, EINVAL, "--policy %s: there is no such policy", a->policy);
	/* What auto would choose for each of them is what the plan does. */
	e->options.policy = !err && a->policy && !policy.kind->chooses ? a->policy : NULL;
	e->options.link_bytes_per_s = a->bandwidth;
	e->options.shape = a->device || a->carries;
	e->options.carries_bytes_per_s = a->carries;
	e->options.downtime_ns = a->downtime;
	e->options.observe_ns = a->observe;
	e->options.at_once = (unsigned)a->at_once;
	e->options.verify = a->verify;
	return err;
}

/* --- carrying it out ------------------------------------------------------------------------- */

struct shown {
	struct gw_evacuation *evacuation;
	struct gw_evacuation_view view;
};

struct looked {
	struct gw_evacuation *evacuation;
	struct gw_progress bar;
};

static void show(void *arg)
{
	struct shown *s = arg;

	gw_evacuation_show(&s->view, s->evacuation, false);
}

static void note(void *arg, const char *sentence)
{
	struct shown *s = arg;

	gw_evacuation_clear_lines(&s->view);
	(void)fprintf(stderr, "note: %s\n", sentence);
}

static void observing(void *arg, uint64_t passed_ns, size_t done, size_t all)
{
	struct looked *l = arg;

	if (passed_ns < l->evacuation->options.observe_ns)
		gw_progress_time(&l->bar, "observing", passed_ns, l->evacuation->options.observe_ns,
		                 "", gw_now_ns());
	else
		gw_progress_share(&l->bar, "estimating", done, all, gw_now_ns());
}

static int observe(struct gw_evacuation *e, bool quiet, struct gw_error *error)
{
	struct looked looked = {.evacuation = e};
	int err;

	gw_progress_init(&looked.bar, stderr);
	e->options.estimate = gw_evacuation_estimate;
	e->options.observing = quiet ? NULL : observing;
	e->options.arg = &looked;
	err = gw_fleet_observe(e, error);
	gw_progress_end(&looked.bar);
	return err;
}

static int run_and_show(struct gw_evacuation *e, bool quiet, struct gw_error *error)
{
	struct shown shown = {
	        .evacuation = e,
	        .view = {.out = quiet ? NULL : stderr, .terminal = isatty(STDERR_FILENO)}};
	int err;

	e->options.show = show;
	e->options.note = note;
	e->options.arg = &shown;
	err = gw_fleet_run(e, error);
	gw_evacuation_show(&shown.view, e, true);
	free(shown.view.told);
	return err;
}

/* The sentence of an evacuation that did not do all it was to. */
static int judge(const struct gw_evacuation *e, struct gw_error *error)
{
	size_t moved = 0, late = 0;
	uint64_t deadline = e->options.deadline_ns;

	for (size_t i = 0; i < e->count; i++) {
		const struct gw_member *m = &e->members[i];

		moved += m->state == GW_MEMBER_MOVED;
		late += m->state == GW_MEMBER_MOVED &&
		        ((deadline && m->end_ns > deadline) ||
		         (m->deadline_ns && m->end_ns > m->deadline_ns));
	}
	if (e->stopped)
		return gw_fail(error, EINTR,
		               "stopped: %zu of %zu VMs are moved; the same command goes on", moved,
		               e->count);
	if (moved < e->count)
		return gw_fail(error, EIO, "%zu of %zu VMs are still here", e->count - moved,
		               e->count);
	if (late)
		return gw_fail(error, ETIME, "%zu of %zu VMs were moved after the deadline", late,
		               e->count);
	return 0;
}

/* Nothing is begun where nothing can be done. */
static int anything(const struct gw_evacuation *e, struct gw_error *error)
{
	size_t silent = 0;

	if (!e->count)
		return gw_fail(error, ENOENT, "there is no VM on this host");
	for (size_t i = 0; i < e->host_count; i++)
		silent += e->hosts[i].silent;
	if (silent == e->host_count)
		return gw_fail(error, EHOSTUNREACH, "%s", e->hosts[0].why);
	if (!e->plan.moved)
		return gw_fail(error, EIO, "no VM can be moved: the plan says why");
	return 0;
}

static int tell(struct gw_evacuation *e, const struct asked *a, struct gw_error *error)
{
	int err = a->json ? gw_output_json(gw_evacuation_json(e), a->json, error) : 0;

	if (!err && e->ended_ns && (!a->json || strcmp(a->json, "-")))
		err = gw_evacuation_summary(e, stdout);
	return err;
}

static int act(struct gw_evacuation *e, const struct asked *a, struct gw_error *error)
{
	_cleanup_close_ int stop = gw_verb_stop_signals();
	FILE *out = a->json && !strcmp(a->json, "-") ? stderr : stdout;
	int err;

	e->options.stop_fd = stop;
	gw_fleet_ask_hosts(e);
	err = observe(e, a->quiet, error);
	if (!err)
		err = gw_fleet_plan(e, error);
	if (!err && (!a->quiet || a->plan))
		err = gw_evacuation_plan(e, out);
	(void)fflush(out);
	if (!err)
		err = anything(e, error);
	if (err || a->plan) {
		struct gw_error other;

		(void)tell(e, a, err ? &other : error);
		return err;
	}
	err = run_and_show(e, a->quiet, error);
	if (!err)
		err = tell(e, a, error);
	return err ? err : judge(e, error);
}

/* A few for each VM, of which there may be hundreds; shells mostly allow 1024. */
static void allow_many_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

static enum gw_exit look_and_act(const struct gw_cli_operands *names, const struct asked *a,
                                 struct gw_error *error)
{
	struct gw_evacuation e = {.options = {.program = "/proc/self/exe"}};
	enum gw_exit status = GW_EXIT_USAGE;
	char dir[200];

	if (understand(&e, a, error))
		return GW_EXIT_USAGE;
	allow_many_files();
	e.options.dir = dir;
	if (gw_registry_dir(dir, sizeof(dir), error) ||
	    gw_fleet_look(&e, names->items, (size_t)names->count, error))
		status = GW_EXIT_FAILED;
	else if (!take_wishes(&e, a, error))
		status = act(&e, a, error) ? GW_EXIT_FAILED : GW_EXIT_DONE;
	gw_fleet_clear(&e);
	return status;
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	struct asked a = {.sharing = "deadline", .downtime = DOWNTIME_NS, .observe = OBSERVE_NS};
	const struct gw_cli_option options[] = {
	        {"to", 't', GW_CLI_LIST, &a.to, "HOST[:PORT]", "where to; may be given again"},
	        {"deadline", 0, GW_CLI_STRING, &a.deadline, "TIME", "by when all are to be gone"},
	        {"plan", 0, GW_CLI_FLAG, &a.plan, NULL, "show the plan, and move nothing"},
	        {"bandwidth", 'b', GW_CLI_RATE, &a.bandwidth, "RATE",
	         "what all moves together may use (default: what the link is seen to carry)"},
	        {"device", 0, GW_CLI_STRING, &a.device, "NAME",
	         "whose traffic is controlled (default: none; with --carries, that to the hosts)"},
	        {"link", 0, GW_CLI_LIST, &a.links, "HOST=RATE",
	         "what the way to that host carries (default: no less than the link here)"},
	        {"carries", 0, GW_CLI_RATE, &a.carries, "RATE",
	         "what that device carries, for all on it (default: what it says)"},
	        {"sharing", 0, GW_CLI_STRING, &a.sharing, "NAME",
	         "how the link is divided: deadline (default), fair, nrac, nrac-wc"},
	        {"set", 's', GW_CLI_LIST, &a.set, "KEY=VALUE", "a setting of the sharing"},
	        {"at-once", 0, GW_CLI_NUMBER, &a.at_once, "N", "so many moves at a time at most"},
	        {"policy", 'p', GW_CLI_STRING, &a.policy, "NAME",
	         "of every move (default: for each VM the one that is estimated to cost least)"},
	        {"downtime", 'd', GW_CLI_DURATION, &a.downtime, "TIME",
	         "that a VM may stand (default 300ms)"},
	        {"limit", 0, GW_CLI_LIST, &a.limits, "NAME=RATE", "that VM is sent no faster"},
	        {"priority", 0, GW_CLI_LIST, &a.priorities, "NAME=N",
	         "0 (default) goes before 1, and so on"},
	        {"by", 0, GW_CLI_LIST, &a.deadlines, "NAME=TIME", "a deadline of its own"},
	        {"apart", 0, GW_CLI_LIST, &a.apart, "NAME,NAME...", "no two of them to one host"},
	        {"observe", 0, GW_CLI_DURATION, &a.observe, "TIME",
	         "watch the VMs for so long before planning (default 2s)"},
	        {"verify", 0, GW_CLI_FLAG, &a.verify, NULL,
	         "compare digests of all pages of the moment of the switch"},
	        {"json", 0, GW_CLI_STRING, &a.json, "FILE",
	         "results as JSON; - is standard output"},
	        {"quiet", 'q', GW_CLI_FLAG, &a.quiet, NULL, "no plan, no progress"},
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	enum gw_exit status;

	if (!gw_verb_options(verb, options, argc, argv, 0, INT16_MAX, &operands, &status, error))
		return status;
	for (int i = 0; i < operands.count; i++)
		if (gw_name_check(operands.items[i], error))
			return GW_EXIT_USAGE;
	return look_and_act(&operands, &a, error);
}

const struct gw_verb gw_verb_evacuate = {
        .name = "evacuate",
        .usage = "[NAME...] --to HOST[:PORT] [--to ...] [OPTION...]",
        .summary = "move all VMs of this host, or some, to others, by a deadline",
        .run = run,
};
