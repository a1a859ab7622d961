/* SPDX-License-Identifier: MIT */
/*
 * trace: what a running VM was seen to do, window by window, and from the beginning again.
 *
 * A window says which pages were touched, not when or by whom. So its pages are dealt out to the
 * vCPUs in turn, in ascending order, writes and reads evenly mixed, at equal distances in time.
 * Where reads were not sampled, those of the last sampled window go on.
 */
#include "sim/trace/trace.h"
#include "sim/clock.h"
#include "sim/workload/kinds.h"

/* Every vcpus-th page of some runs. */
struct hand {
	const struct gw_run *run, *end;
	uint64_t at; /* pages into the run */
	uint64_t pages, dealt;
};

struct player {
	struct hand written, read;
	const struct gw_window *window, *sampled;
	size_t number;      /* of the window that comes next */
	uint64_t passed_ns; /* of this window, up to the last touch */
};

static void skip(struct hand *hand, uint64_t pages)
{
	for (hand->at += pages; hand->run < hand->end && hand->at >= hand->run->count; hand->run++)
		hand->at -= hand->run->count;
}

static void deal(struct hand *hand, const struct gw_run *runs, size_t count, unsigned vcpu,
                 unsigned vcpus)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < count; i++)
		pages += runs[i].count;
	*hand = (struct hand){.run = runs, .end = runs + count};
	hand->pages = pages > vcpu ? (pages - 1 - vcpu) / vcpus + 1 : 0;
	skip(hand, vcpu);
}

static uint64_t take(struct hand *hand, unsigned vcpus)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a hand with pages has their runs */
	uint64_t page = hand->run->first + hand->at;

	hand->dealt++;
	skip(hand, vcpus);
	return page;
}

/* Opens the next window; returns what passes from the last touch to its beginning. */
static uint64_t open_next(const struct sim_workload *w, struct player *p, unsigned vcpu)
{
	const struct sim_trace *trace = w->config.trace;
	const struct gw_window *old = p->window;
	uint64_t ns = old ? old->length_ns - p->passed_ns : 0;

	p->window = sim_trace_window(trace, p->number);
	if (old && p->number)
		ns += p->window->start_ns - (old->start_ns + old->length_ns);
	p->number = (p->number + 1) % sim_trace_windows(trace);
	p->passed_ns = 0;
	if (p->window->read_sampled)
		p->sampled = p->window;
	deal(&p->written, p->window->written, p->window->written_count, vcpu, w->vcpus);
	deal(&p->read, p->sampled ? p->sampled->read : NULL,
	     p->sampled ? p->sampled->read_count : 0, vcpu, w->vcpus);
	return ns;
}

/* In the middle of the touch's share of the window. */
static uint64_t instant(const struct player *p)
{
	uint64_t all = p->written.pages + p->read.pages, done = p->written.dealt + p->read.dealt;

	return (uint64_t)((unsigned __int128)p->window->length_ns * (2 * done + 1) / (2 * all));
}

static bool writes_now(const struct player *p)
{
	uint64_t all = p->written.pages + p->read.pages, done = p->written.dealt + p->read.dealt;

	return (done + 1) * p->written.pages / all > p->written.dealt;
}

static void next(struct sim_workload *w, unsigned vcpu, struct sim_touch *touch)
{
	struct player *p = sim_vcpu_own(sim_vcpu(w, vcpu));
	size_t opened = 0, windows = sim_trace_windows(w->config.trace);
	uint64_t ns = 0, at;

	while (p->written.dealt + p->read.dealt == p->written.pages + p->read.pages) {
		if (opened++ > windows) {
			*touch = (struct sim_touch){SIM_NEVER, 0, false};
			return;
		}
		ns += open_next(w, p, vcpu);
	}
	at = instant(p);
	touch->think_ns = ns + at - p->passed_ns;
	touch->writes = writes_now(p);
	touch->page = take(touch->writes ? &p->written : &p->read, w->vcpus);
	p->passed_ns = at;
}

static uint64_t end_of(const struct gw_window *window)
{
	return window->start_ns + window->length_ns;
}

/* The window in which from_ns lies; behind the last comes the first. */
static size_t first_window(const struct sim_workload_config *config)
{
	const struct sim_trace *trace = config->trace;
	size_t windows = sim_trace_windows(trace), number = 0;
	uint64_t from_ns = config->from_ns % end_of(sim_trace_window(trace, windows - 1));

	while (end_of(sim_trace_window(trace, number)) <= from_ns)
		number++;
	return number;
}

static void start(struct sim_workload *w, unsigned vcpu)
{
	struct player *p = sim_vcpu_own(sim_vcpu(w, vcpu));

	p->number = first_window(&w->config);
}

/* In the first at_ns of the recording, played over and over: permille times ns. */
static double busy_until(const struct sim_trace *trace, uint64_t at_ns)
{
	size_t windows = sim_trace_windows(trace);
	const struct gw_window *first = sim_trace_window(trace, 0),
	                       *last = sim_trace_window(trace, windows - 1);
	uint64_t all_ns = end_of(last) - first->start_ns;
	double whole = 0, part = 0;

	for (size_t i = 0; i < windows; i++) {
		const struct gw_window *window = sim_trace_window(trace, i);
		uint64_t begun = window->start_ns - first->start_ns, rest = at_ns % all_ns;
		uint64_t seen = rest > begun ? rest - begun : 0;

		whole += (double)window->cpu_permille * (double)window->length_ns;
		part += (double)window->cpu_permille *
		        (double)(seen < window->length_ns ? seen : window->length_ns);
	}
	return (double)(at_ns / all_ns) * whole + part;
}

static uint32_t cpu_permille(const struct sim_workload_config *config, uint64_t from_ns,
                             uint64_t to_ns)
{
	const struct sim_trace *trace = config->trace;
	uint64_t begun = sim_trace_window(trace, first_window(config))->start_ns -
	                 sim_trace_window(trace, 0)->start_ns;
	double busy = busy_until(trace, begun + to_ns) - busy_until(trace, begun + from_ns);

	return (uint32_t)(busy / (double)(to_ns - from_ns) + 0.5);
}

/* As the recording saw them on average. */
static void average(struct sim_workload_config *config)
{
	size_t windows = sim_trace_windows(config->trace);
	uint64_t ns = 0, busy = 0, bytes = 0;

	for (size_t i = 0; i < windows; i++) {
		const struct gw_window *window = sim_trace_window(config->trace, i);

		ns += window->length_ns;
		busy += window->length_ns / 1000 * window->cpu_permille;
		bytes += window->network_bytes;
	}
	if (!ns)
		return;
	config->cpu_share = (double)busy / (double)ns;
	config->network_bytes_per_s = (uint64_t)((unsigned __int128)bytes * 1000000000 / ns);
}

static const char *check(struct sim_workload_config *config, uint64_t ram_pages, unsigned vcpus)
{
	const struct sim_trace_head *head = sim_trace_head(config->trace);

	if (head->page_bytes != GW_PAGE_BYTES)
		return "needs a trace with pages of 4096 bytes";
	if (head->ram_pages != ram_pages)
		return "needs a trace of a VM with as much memory";
	if (head->vcpus != vcpus)
		return "needs a trace of a VM with as many vCPUs";
	if (!sim_trace_windows(config->trace))
		return "needs a trace with at least one window";
	average(config);
	return NULL;
}

const struct sim_workload_kind sim_workload_trace = {
        .name = "trace",
        .summary = "plays what `godwit record` saw",
        .keys = "",
        .defaults = {.kind = &sim_workload_trace, SIM_SHAPE_DEFAULTS},
        .set_divisor = 1,
        .check = check,
        .vcpu_bytes = sizeof(struct player),
        .start = start,
        .next = next,
        .cpu_permille = cpu_permille,
};
