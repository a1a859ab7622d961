/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. One window, where reads are sampled:
 *
 *   forget      the hypervisor's page tables are emptied
 *   ...         the VM runs for the length of a window
 *   accessed    pages that are in the page tables again
 *   scan        pages written since the last scan, which are protected again
 *
 * What was accessed and not written was read. The scan comes last, so a page that is written
 * between the two is not taken for one that was only read.
 */
#include "live/host/watch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "live/host/clock.h"
#include "live/memory/tracker.h"
#include "live/vm/usage.h"

#define FORGET_MS 100 /* for the hypervisor to come to its poll */

struct watch {
	const struct gw_guest *guest;
	const struct gw_watch_options *options;
	struct gw_error *error;
	const struct gw_ram *ram;
	struct gw_tracker tracker;
	struct gw_usage usage;
	struct gw_usage_counts used; /* when the last window ended */
	struct gw_set written, read;
	uint64_t *words; /* owned: of both */
	uint64_t begun_ns, last_ns, windows;
	uint32_t read_every;
	bool forget_failed; /* and that was told */
	bool over;
};

static void note(const struct watch *w, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

static void note(const struct watch *w, const char *format, ...)
{
	char text[700];
	va_list args;

	if (!w->options->note)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	w->options->note(w->options->arg, text);
}

/* --- beginning ------------------------------------------------------------------------------ */

static int take_memory(struct watch *w)
{
	size_t words = gw_set_words(w->ram->pages);

	w->words = calloc(2 * words, sizeof(*w->words));
	if (!w->words)
		return gw_fail(w->error, ENOMEM, "no memory to watch %llu pages",
		               (unsigned long long)w->ram->pages);
	gw_set_init(&w->written, w->words, w->ram->pages);
	gw_set_init(&w->read, w->words + words, w->ram->pages);
	return 0;
}

static int open_tracker(struct watch *w)
{
	struct gw_error why;
	int err = gw_tracker_open(&w->tracker, w->options->tracker, w->ram, false, &why);

	if (err)
		return gw_fail(w->error, -err, "%s", why.text);
	w->tracker.may_punch = w->guest->balloon;
	if (!w->options->tracker && why.text[0])
		note(w, "the tracker %s is used because %s", w->tracker.kind->name, why.text);
	if (w->guest->direct_io)
		note(w, "the VM's disks use direct I/O, and what they write to pages that stay "
		        "pinned is not seen");
	return 0;
}

/* Of a tracker that compares contents: what was reported is what later looks compare with. */
static void acknowledge(struct watch *w, const struct gw_set *pages)
{
	struct gw_run run;
	uint64_t from = 0;

	if (!w->tracker.wants_copies)
		return;
	for (; gw_set_next_run(pages, from, 1, &run); from = run.first + 1)
		if (!gw_set_has(&w->tracker.holes, run.first))
			gw_tracker_sending(&w->tracker, run,
			                   w->ram->map + run.first * GW_PAGE_BYTES);
}

static void announce_cost(struct watch *w, const struct gw_set *populated)
{
	uint64_t pass_ns;

	if (!w->tracker.kind->pass_ns)
		return;
	pass_ns = w->tracker.kind->pass_ns(&w->tracker, populated);
	note(w, "the tracker %s reads all of the VM's %.0f MB in every window, about %.0f ms%s",
	     w->tracker.kind->name, (double)gw_set_count(populated) * GW_PAGE_BYTES / 1e6,
	     (double)pass_ns / 1e6,
	     pass_ns > w->options->window_ns ? ", so windows are longer than was asked for" : "");
}

/* Whether reads can be seen here is tried, not guessed. */
static void try_reads(struct watch *w)
{
	struct gw_error why;

	w->read_every = w->options->read_every;
	if (!w->read_every || !gw_tracker_forget(&w->tracker, FORGET_MS, &why))
		return;
	w->read_every = 0;
	note(w, "reads are not recorded: %s", why.text);
}

static uint64_t count_zero(const struct watch *w, const struct gw_set *populated)
{
	uint64_t zero = 0;

	for (uint64_t page = gw_set_next(populated, 0); page < populated->pages;
	     page = gw_set_next(populated, page + 1))
		zero += gw_page_is_zero(w->ram->map + page * GW_PAGE_BYTES);
	return zero;
}

static int begin(struct watch *w)
{
	struct gw_set *populated = &w->read; /* before any window needs it */
	struct gw_watch_facts facts = {.tracker = w->tracker.kind->name,
	                               .ram_pages = w->ram->pages,
	                               .state_bytes = w->guest->state_bytes,
	                               .populated = populated};
	int err = gw_tracker_start(&w->tracker, populated, w->error);

	if (err)
		return err;
	announce_cost(w, populated);
	try_reads(w);
	gw_usage_open(&w->usage, w->guest->vm);
	if (w->options->count_zeros)
		facts.zero_pages = count_zero(w, populated);
	/* Written while that was done: that is before the first window. */
	err = gw_tracker_scan(&w->tracker, &w->written, false, w->error);
	if (err)
		return err;
	acknowledge(w, &w->written);
	gw_set_subtract(&w->written, &w->tracker.holes);
	gw_set_union(populated, &w->written);
	facts.read_every = w->read_every;
	facts.cpu_known = w->usage.cpu_known;
	facts.network_known = w->usage.network_known;
	w->used = gw_usage_read(&w->usage);
	w->begun_ns = w->last_ns = gw_now_ns();
	return w->options->begin(w->options->arg, &facts, w->error);
}

/* --- a window ------------------------------------------------------------------------------- */

static void end_with_vm(struct watch *w)
{
	if (!w->over)
		note(w, "the VM ended");
	w->over = true;
}

/* A broken control connection is the end, too: whether the VM runs on cannot be told any more. */
static void listen_to_vm(struct watch *w)
{
	struct gw_vm_event event;
	bool ended = false;
	int n;

	while ((n = gw_vm_next(w->guest->vm, &event)) == 1)
		ended |= event.kind == GW_VM_SHUTDOWN || event.kind == GW_VM_DIED;
	if (ended || n < 0)
		end_with_vm(w);
}

/* On a grid, so that what a look takes does not make windows longer on average. */
static uint64_t end_of_window(const struct watch *w)
{
	uint64_t window_ns = w->options->window_ns, into = (w->last_ns - w->begun_ns) % window_ns;

	return w->last_ns - into + window_ns + (into > window_ns / 2 ? window_ns : 0);
}

/* Until the window is over, or all is. */
static void wait_for_end(struct watch *w)
{
	const struct gw_watch_options *o = w->options;
	uint64_t end = end_of_window(w), now;
	struct pollfd items[] = {{.fd = o->stop_fd, .events = POLLIN},
	                         {.fd = gw_vm_fd(w->guest->vm), .events = POLLIN}};

	if (o->duration_ns && w->begun_ns + o->duration_ns <= end) {
		end = w->begun_ns + o->duration_ns;
		w->over = true;
	}
	while ((now = gw_now_ns()) < end) {
		struct timespec left = {.tv_sec = (time_t)((end - now) / 1000000000),
		                        .tv_nsec = (long)((end - now) % 1000000000)};

		if (ppoll(items, 2, &left, NULL) <= 0)
			continue;
		if (items[0].revents)
			w->over = true;
		if (items[1].revents)
			listen_to_vm(w);
		if (w->over)
			return;
	}
}

static bool forget(struct watch *w)
{
	struct gw_error why;

	if (!w->read_every || w->windows % w->read_every)
		return false;
	if (!gw_tracker_forget(&w->tracker, FORGET_MS, &why))
		return true;
	listen_to_vm(w);
	if (!w->forget_failed && !w->over)
		note(w, "some windows are without their reads: %s", why.text);
	w->forget_failed = true;
	return false;
}

static int look(struct watch *w, bool sampled)
{
	int err = 0;

	gw_set_clear(&w->written);
	gw_set_clear(&w->read);
	if (sampled)
		err = gw_tracker_accessed(&w->tracker, &w->read, w->error);
	if (!err)
		err = gw_tracker_scan(&w->tracker, &w->written, false, w->error);
	if (err)
		return err;
	acknowledge(w, &w->written);
	gw_set_subtract(&w->read, &w->written);
	return 0;
}

static int tell(struct watch *w, bool sampled)
{
	uint64_t now = gw_now_ns();
	struct gw_usage_counts used = gw_usage_read(&w->usage);
	struct gw_watch_window window = {.start_ns = w->last_ns - w->begun_ns,
	                                 .length_ns = now - w->last_ns,
	                                 .written = &w->written,
	                                 .read = &w->read,
	                                 .read_sampled = sampled};

	if (w->usage.cpu_known)
		window.cpu_permille = gw_usage_permille(&w->usage, used.cpu_ns - w->used.cpu_ns,
		                                        window.length_ns);
	if (w->usage.network_known && used.network_bytes > w->used.network_bytes)
		window.network_bytes = used.network_bytes - w->used.network_bytes;
	w->used = used;
	w->last_ns = now;
	w->windows++;
	return w->options->window(w->options->arg, &window, w->error);
}

static int one_window(struct watch *w)
{
	bool sampled = forget(w);
	int err;

	if (w->over)
		return 0;
	wait_for_end(w);
	err = look(w, sampled);
	if (err != -ESRCH)
		return err ? err : tell(w, sampled);
	/* The process is gone, and what it wrote last is not known. */
	end_with_vm(w);
	return 0;
}

static int watch(struct watch *w)
{
	int err = take_memory(w);

	if (!err)
		err = open_tracker(w);
	if (!err)
		err = begin(w);
	while (!err && !w->over) {
		err = one_window(w);
		listen_to_vm(w);
	}
	gw_tracker_close(&w->tracker);
	gw_usage_close(&w->usage);
	free(w->words);
	return err;
}

int gw_watch(const struct gw_guest *guest, const struct gw_watch_options *options,
             struct gw_error *error)
{
	struct watch w = {.guest = guest, .options = options, .error = error, .ram = options->ram};
	struct gw_ram own;
	int err;

	if (options->ram)
		return watch(&w);
	err = gw_ram_open(&own, guest->vm->ram_path, guest->vm->pid, error);
	if (err)
		return err;
	w.ram = &own;
	err = gw_ram_hold(&own, guest->vm->name, error);
	if (!err)
		err = watch(&w);
	gw_ram_close(&own);
	return err;
}
