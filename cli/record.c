/* SPDX-License-Identifier: MIT */
/*
 * cli/record.c - `godwit record NAME -o TRACE`: what a running VM writes and reads, into a file.
 *
 * Here the world that watches (live/host/watch.h) meets the one that plays back
 * (sim/trace/trace.h).
 */
#include "cli/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/verb.h"
#include "cli/which.h"
#include "live/host/clock.h"
#include "live/host/observe.h"
#include "live/vm/registry.h"
#include "sim/trace/trace.h"

#define WINDOW_NS_MIN 1000000ull

struct asked {
	struct gw_which which;
	const char *output, *show;
	struct gw_record_show how;
	uint64_t window, duration, reads;
	bool quiet;
};

struct recording {
	const struct asked *asked;
	const struct gw_guest *guest;
	struct sim_trace_writer *writer; /* NULL: it has not begun */
	struct gw_progress bar;
	char label[80];
	struct gw_run *runs; /* owned: of the window that is being written */
	size_t room;
};

/* --- what the watching tells ---------------------------------------------------------------- */

static void note(void *arg, const char *sentence)
{
	struct recording *r = arg;

	if (r->asked->quiet)
		return;
	gw_progress_end(&r->bar);
	(void)fprintf(stderr, "note: %s\n", sentence);
}

static int begin(void *arg, const struct gw_watch_facts *facts, struct gw_error *error)
{
	struct recording *r = arg;
	struct sim_trace_head head = {.ram_pages = facts->ram_pages,
	                              .page_bytes = GW_PAGE_BYTES,
	                              .vcpus = r->guest->vm->vcpus,
	                              .window_ns = r->asked->window,
	                              .state_bytes = facts->state_bytes,
	                              .zero_pages = facts->zero_pages,
	                              .read_every = facts->read_every,
	                              .cpu_known = facts->cpu_known,
	                              .network_known = facts->network_known};

	(void)snprintf(head.vm, sizeof(head.vm), "%s", r->guest->vm->name);
	(void)snprintf(head.tracker, sizeof(head.tracker), "%s", facts->tracker);
	return sim_trace_create(&r->writer, r->asked->output, &head, facts->populated, error);
}

/* The runs of the set, behind the `used` that are there. */
static int add_runs(struct recording *r, size_t *used, const struct gw_set *set,
                    struct gw_error *error)
{
	struct gw_run run;
	uint64_t from = 0;

	for (; gw_set_next_run(set, from, set->pages, &run); from = run.first + run.count) {
		if (*used == r->room) {
			size_t room = r->room ? 2 * r->room : 1024;
			struct gw_run *more = realloc(r->runs, room * sizeof(*more));

			if (!more)
				return gw_fail(error, ENOMEM, "no memory for the runs of a window");
			r->runs = more;
			r->room = room;
		}
		r->runs[(*used)++] = run;
	}
	return 0;
}

static void show(struct recording *r, const struct gw_watch_window *window)
{
	char more[64];

	if (r->asked->quiet)
		return;
	(void)snprintf(more, sizeof(more), "%.0f pages/s written",
	               (double)gw_set_count(window->written) * 1e9 / (double)window->length_ns);
	gw_progress_time(&r->bar, r->label, window->start_ns + window->length_ns,
	                 r->asked->duration, more, gw_now_ns());
}

static int add_window(void *arg, const struct gw_watch_window *window, struct gw_error *error)
{
	struct recording *r = arg;
	size_t written = 0, all;
	struct gw_window w = {.start_ns = window->start_ns,
	                      .length_ns = window->length_ns,
	                      .read_sampled = window->read_sampled,
	                      .cpu_permille = window->cpu_permille,
	                      .network_bytes = window->network_bytes};
	int err = add_runs(r, &written, window->written, error);

	all = written;
	if (!err && window->read_sampled)
		err = add_runs(r, &all, window->read, error);
	if (err)
		return err;
	w.written_count = written;
	w.read_count = all - written;
	w.written = r->runs;
	w.read = r->runs ? r->runs + written : NULL;
	show(r, window);
	return sim_trace_add(r->writer, &w, error);
}

/* --- recording ------------------------------------------------------------------------------ */

/* Whatever ended the watching: what was seen until then is made a whole file. */
static int record(struct recording *r, const struct gw_watch_options *o, struct gw_error *error)
{
	int err = gw_watch(r->guest, o, error), closed;

	gw_progress_end(&r->bar);
	free(r->runs);
	if (!r->writer)
		return err;
	closed = sim_trace_close(r->writer, err ? NULL : error);
	return err ? err : closed;
}

static int open_and_record(const char *name, const struct asked *asked, struct gw_error *error)
{
	char dir[200];
	_cleanup_close_ int stop = gw_verb_stop_signals();
	struct gw_guest guest;
	struct recording r = {.asked = asked, .guest = &guest};
	const struct gw_watch_options o = {.tracker = asked->which.tracker,
	                                   .window_ns = asked->window,
	                                   .duration_ns = asked->duration,
	                                   .read_every = (uint32_t)asked->reads,
	                                   .count_zeros = true,
	                                   .stop_fd = stop,
	                                   .arg = &r,
	                                   .begin = begin,
	                                   .window = add_window,
	                                   .note = note};
	int err = gw_registry_dir(dir, sizeof(dir), error);

	if (!err)
		err = gw_which_open(&asked->which, dir, name, &guest, error);
	if (err)
		return err;
	gw_progress_init(&r.bar, stderr);
	(void)snprintf(r.label, sizeof(r.label), "recording %s", guest.vm->name);
	err = record(&r, &o, error);
	gw_guest_close(&guest);
	return err;
}

static int bad_values(const char *name, const struct asked *a, struct gw_error *error)
{
	if (a->show && (name || a->which.pid || a->output))
		return gw_fail(error, EINVAL,
		               "--show tells what a trace holds, and records nothing: give no VM");
	if (a->show)
		return 0;
	if ((!name && !a->which.pid) || !a->output)
		return gw_fail(error, EINVAL,
		               "record needs a NAME or --pid N, and -o TRACE; see "
		               "godwit record --help");
	if (a->window < WINDOW_NS_MIN)
		return gw_fail(error, EINVAL, "--window: less than 1ms is too short");
	if (a->reads > UINT32_MAX)
		return gw_fail(error, EINVAL, "--reads: %llu is too many windows",
		               (unsigned long long)a->reads);
	if (gw_which_check(&a->which, error))
		return -EINVAL;
	return name ? gw_name_check(name, error) : 0;
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	struct asked a = {.window = GW_OBSERVE_WINDOW_NS, .reads = GW_OBSERVE_READ_EVERY};
	const struct gw_cli_option options[] = {
	        {"output", 'o', GW_CLI_STRING, &a.output, "TRACE", "the file that is made"},
	        {"for", 'f', GW_CLI_DURATION, &a.duration, "TIME",
	         "how long (default: until Ctrl-C, or the VM ends)"},
	        {"window", 'w', GW_CLI_DURATION, &a.window, "TIME",
	         "how often it is looked at (default 50ms)"},
	        {"reads", 'r', GW_CLI_NUMBER, &a.reads, "N",
	         "look at reads in every N-th window (default 10; 0: never)"},
	        GW_WHICH_PID(&a.which),
	        GW_WHICH_QMP(&a.which),
	        GW_WHICH_TRACKER(&a.which),
	        {"show", 0, GW_CLI_STRING, &a.show, "TRACE", "tell what a trace holds"},
	        {"json", 0, GW_CLI_STRING, &a.how.json, "FILE",
	         "what the trace holds as JSON; - is standard output"},
	        {"windows", 0, GW_CLI_STRING, &a.how.windows, "FILE",
	         "a line of page numbers for each window: what was written"},
	        {"read-windows", 0, GW_CLI_STRING, &a.how.read_windows, "FILE",
	         "likewise, for each window that looked at reads"},
	        {"quiet", 'q', GW_CLI_FLAG, &a.quiet, NULL, "no progress, no notes"},
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	enum gw_exit status;
	const char *name;

	if (!gw_verb_options(verb, options, argc, argv, 0, 1, &operands, &status, error))
		return status;
	name = operands.count ? operands.items[0] : NULL;
	if (bad_values(name, &a, error))
		return GW_EXIT_USAGE;
	if (!a.show && open_and_record(name, &a, error))
		return GW_EXIT_FAILED;
	/* Also after recording the file is read: what is told is what is in it. */
	if (gw_record_show(a.show ? a.show : a.output, &a.how, error))
		return GW_EXIT_FAILED;
	return GW_EXIT_DONE;
}

const struct gw_verb gw_verb_record = {
        .name = "record",
        .usage = "NAME|--pid N -o TRACE [OPTION...] | --show TRACE",
        .summary = "record which pages a running VM writes and reads",
        .run = run,
};
