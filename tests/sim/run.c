/* SPDX-License-Identifier: MIT */
/* tests/sim/run.c - whole scenarios: what is shared, what is waited for, what is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/run.h"
#include "sim/trace/trace.h"

#define MS             1000000ull
#define SECOND         1000000000ull
#define GIBIBYTE_PAGES (UINT64_C(1) << 18)

struct world {
	struct sim_link_config link;
	struct sim_vm vms[3];
	struct sim_scenario scenario;
};

/* One VM of 256 MiB, whole and without zeros, over 1 Gbit/s. */
static void set_up(struct world *w, const char *policy)
{
	memset(w, 0, sizeof(*w));
	w->link = (struct sim_link_config){
	        .name = "link", .bytes_per_s = 125000000, .latency_ns = 100000};
	w->scenario = (struct sim_scenario){
	        .seed = 1,
	        .links = &w->link,
	        .link_count = 1,
	        .vms = w->vms,
	        .vm_count = 1,
	        .versions = true,
	        .costs = sim_costs_default,
	};
	for (int i = 0; i < 3; i++) {
		struct sim_vm *vm = &w->vms[i];

		(void)snprintf(vm->name, sizeof(vm->name), "vm%d", i);
		vm->ram_pages = GIBIBYTE_PAGES / 4;
		vm->vcpus = 2;
		vm->populated_share = 1;
		vm->state_bytes = 300000;
		vm->path_count = 1;
		vm->move.downtime_limit_ns = 300 * MS;
		vm->workload = sim_workload_find("random")->defaults;
		vm->workload.write_pages_per_s = 1000;
		vm->workload.read_pages_per_s = 1000;
		vm->workload.set_pages = 4096;
		(void)snprintf(vm->move.policy, sizeof(vm->move.policy), "%s", policy);
		(void)snprintf(vm->move.order, sizeof(vm->move.order), "linear");
	}
}

static void run(struct world *w, struct sim_outcome *outcome, FILE *trace)
{
	struct sim_run_options options = {.trace = trace};
	struct gw_error error = {{0}};

	assert_int_equal(sim_run(&w->scenario, &options, outcome, &error), 0);
	assert_string_equal(outcome->violation, "");
	assert_int_equal(outcome->unfinished, 0);
	for (size_t i = 0; i < outcome->vm_count; i++)
		assert_int_equal(outcome->vms[i].outcome, GW_COMPLETED);
}

static uint64_t total_time(struct world *w)
{
	struct sim_outcome outcome;
	uint64_t total;

	run(w, &outcome, NULL);
	total = outcome.vms[0].metrics.total_time_ns;
	sim_outcome_clear(&outcome);
	return total;
}

static char *trace_of(struct world *w, size_t *size)
{
	struct sim_outcome outcome;
	char *text = NULL;
	FILE *file = open_memstream(&text, size);

	assert_non_null(file);
	run(w, &outcome, file);
	(void)fclose(file);
	sim_outcome_clear(&outcome);
	return text;
}

static enum gw_outcome cut(struct world *w, const char *policy, uint64_t at_ns, uint64_t for_ns,
                           struct sim_outcome *outcome)
{
	struct gw_error error = {{0}};

	set_up(w, policy);
	w->vms[0].workload.set_pages = w->vms[0].ram_pages;
	w->link.cut_ns = at_ns;
	w->link.cut_for_ns = for_ns;
	assert_int_equal(sim_run(&w->scenario, NULL, outcome, &error), 0);
	assert_string_equal(outcome->violation, "");
	return outcome->vms[0].outcome;
}

/* A guest that jumps about in 64 MiB, over a link that its first touches fill. */
static struct sim_vm_outcome runs_ahead(struct world *w, const char *order)
{
	struct sim_outcome outcome;
	struct sim_vm_outcome vm;

	(void)snprintf(w->vms[0].move.order, sizeof(w->vms[0].move.order), "%s", order);
	run(w, &outcome, NULL);
	vm = outcome.vms[0];
	sim_outcome_clear(&outcome);
	return vm;
}

static void set_up_ahead(struct world *w, double divergence)
{
	set_up(w, "run-ahead");
	w->vms[0].workload = sim_workload_find("chase")->defaults;
	w->vms[0].workload.set_pages = 16384;
	w->vms[0].shadow = sim_shadow_default;
	w->vms[0].shadow.divergence = divergence;
	w->link.latency_ns = MS;
}

/* It shows the guest's way, as well as it does the same. */
static void a_shadow_shows_the_way(void **state)
{
	struct sim_vm_outcome linear, queue, astray;
	struct world w;

	(void)state;
	set_up_ahead(&w, 0);
	linear = runs_ahead(&w, "linear");
	assert_false(linear.metrics.shadow_ran);
	queue = runs_ahead(&w, "queue");
	assert_true(queue.metrics.shadow_ran);
	assert_true(queue.metrics.shadow_pages >= 16384 && queue.metrics.shadow_pages < 16500);
	assert_true(queue.metrics.pages_resent < 20);
	assert_true(queue.guest_stall_ns < linear.guest_stall_ns * 2 / 3);
	assert_true(queue.early_stall_ns <= queue.guest_stall_ns);
	assert_true(queue.metrics.faults_foretold > queue.metrics.faults_watched * 9 / 10);
	assert_in_range(queue.metrics.downtime_ns, linear.metrics.downtime_ns - MS,
	                linear.metrics.downtime_ns + MS);
	set_up_ahead(&w, 1);
	astray = runs_ahead(&w, "queue");
	assert_true(astray.metrics.faults_foretold < astray.metrics.faults_watched / 2);
	assert_true(astray.guest_stall_ns < linear.guest_stall_ns * 3 / 2);
}

/* Every page of the 64 MiB is touched in the end; of them, those that came before they were. */
static void pages_that_came_in_time_are_counted(void **state)
{
	struct sim_vm_outcome demand, queue;
	struct world w;

	(void)state;
	set_up_ahead(&w, 0);
	demand = runs_ahead(&w, "demand");
	assert_in_range(demand.touched_pages, 16380, 16384);
	assert_true(demand.arrived_pages < 10);
	queue = runs_ahead(&w, "queue");
	assert_true(queue.touched_pages <= 16384);
	assert_true(queue.arrived_pages <= queue.touched_pages);
	assert_true(queue.touched_pages - queue.arrived_pages <= queue.guest_faults);
	assert_true(queue.arrived_pages > queue.touched_pages / 2);
}

/* Whatever becomes of the shadow, the move is as without one, or better. */
static void a_shadow_may_fail(void **state)
{
	struct sim_vm_outcome none, now;
	struct world w;

	(void)state;
	set_up_ahead(&w, 0);
	w.vms[0].shadow.fails = true;
	none = runs_ahead(&w, "queue");
	assert_false(none.metrics.shadow_ran);
	assert_int_equal(none.metrics.shadow_pages, 0);
	set_up_ahead(&w, 0);
	w.vms[0].shadow.life_ns = 20 * MS;
	now = runs_ahead(&w, "queue");
	assert_true(now.metrics.shadow_ran);
	assert_true(now.metrics.shadow_pages < 1000);
	assert_true(now.guest_stall_ns < none.guest_stall_ns * 11 / 10);
	set_up_ahead(&w, 0);
	w.vms[0].shadow.memory_pages = 100; /* of ten touches one is a write */
	now = runs_ahead(&w, "queue");
	assert_in_range(now.metrics.shadow_pages, 800, 2500);
	set_up_ahead(&w, 0);
	w.vms[0].shadow.speed = 0.01; /* it never is ahead */
	now = runs_ahead(&w, "queue");
	assert_true(now.metrics.shadow_pages < 2000);
	set_up_ahead(&w, 0);
	w.vms[0].paused = true; /* nothing runs, here or there */
	assert_false(runs_ahead(&w, "queue").metrics.shadow_ran);
}

/* Before the switch the VM stays; in Pull its vCPUs wait, and the move goes on where it stopped. */
static void a_lost_link_is_survived(void **state)
{
	struct sim_outcome outcome;
	struct world w;

	(void)state;
	assert_int_equal(cut(&w, "precopy", 500 * MS, 200 * MS, &outcome), GW_STAYED);
	assert_non_null(strstr(outcome.vms[0].reason, "link"));
	sim_outcome_clear(&outcome);
	assert_int_equal(cut(&w, "postcopy", 1000 * MS, 700 * MS, &outcome), GW_COMPLETED);
	assert_true(outcome.vms[0].guest_longest_ns >= 600 * MS);
	sim_outcome_clear(&outcome);
	assert_int_equal(cut(&w, "precopy", 0, 5000 * MS, &outcome), GW_COMPLETED);
	assert_true(outcome.vms[0].end_ns > 5000 * MS); /* it did not begin before */
	sim_outcome_clear(&outcome);
}

static void a_seed_gives_the_same_bytes(void **state)
{
	static const char *const policies[] = {"stop-copy", "precopy", "postcopy", "hybrid"};
	size_t a_size, b_size;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct world w;
		char *a, *b;

		set_up(&w, policies[i]);
		w.scenario.vm_count = 3;
		a = trace_of(&w, &a_size);
		b = trace_of(&w, &b_size);
		assert_int_equal(a_size, b_size);
		assert_memory_equal(a, b, a_size);
		free(b);
		w.scenario.seed = 2;
		b = trace_of(&w, &b_size);
		assert_true(strcmp(policies[i], "stop-copy") == 0 || strcmp(a, b) != 0);
		free(a);
		free(b);
	}
}

static void a_trace_of_many_says_which(void **state)
{
	struct world w;
	size_t size;
	char *text;

	(void)state;
	set_up(&w, "precopy");
	text = trace_of(&w, &size);
	assert_null(strstr(text, "vm0"));
	assert_non_null(strstr(text, " source      Pre-Migration -> Reservation"));
	free(text);
	w.scenario.vm_count = 2;
	text = trace_of(&w, &size);
	assert_non_null(strstr(text, " source      vm0: Pre-Migration -> Reservation"));
	assert_non_null(strstr(text, " destination vm1: every page is in"));
	free(text);
}

/* With versions and without: the same story, as nothing but the check differs. */
static void versions_only_check(void **state)
{
	size_t a_size, b_size;
	struct world w;
	char *a, *b;

	(void)state;
	set_up(&w, "hybrid");
	a = trace_of(&w, &a_size);
	w.scenario.versions = false;
	b = trace_of(&w, &b_size);
	assert_string_equal(a, b);
	free(a);
	free(b);
}

/* What was counted went over the link, with headers, but for what came back and the greetings. */
static void bytes_counted_are_bytes_carried(void **state)
{
	static const char *const policies[] = {"stop-copy", "precopy", "postcopy", "hybrid"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct sim_outcome outcome;
		struct world w;
		uint64_t counted, pages;

		set_up(&w, policies[i]);
		run(&w, &outcome, NULL);
		counted = outcome.vms[0].metrics.bytes_on_link;
		pages = outcome.vms[0].metrics.pages_sent - outcome.vms[0].zero_pages;
		assert_true(outcome.carried_bytes > pages * GW_PAGE_BYTES + w.vms[0].state_bytes);
		assert_true(outcome.carried_bytes < pages * GW_PAGE_BYTES * 106 / 100);
		/* The link's headers: 66 bytes for 1,448, or for what is left of them. */
		assert_true(outcome.carried_bytes < counted / 1448 * 1514 + 66 * (pages + 100));
		assert_true(outcome.carried_bytes + 4096 + 16 * outcome.vms[0].metrics.faults >
		            counted / 1448 * 1514);
		sim_outcome_clear(&outcome);
	}
}

static void two_vms_share_a_link(void **state)
{
	struct sim_outcome outcome;
	struct world w;
	uint64_t alone;

	(void)state;
	set_up(&w, "stop-copy");
	alone = total_time(&w);
	w.scenario.vm_count = 2;
	run(&w, &outcome, NULL);
	for (int i = 0; i < 2; i++) {
		assert_true(outcome.vms[i].metrics.total_time_ns > alone * 18 / 10);
		assert_true(outcome.vms[i].metrics.total_time_ns < alone * 21 / 10);
	}
	sim_outcome_clear(&outcome);
}

static void one_at_a_time_has_the_link_alone(void **state)
{
	struct sim_outcome outcome;
	struct world w;
	uint64_t alone;

	(void)state;
	set_up(&w, "stop-copy");
	alone = total_time(&w);
	w.scenario.vm_count = 3;
	w.scenario.at_once = 1;
	run(&w, &outcome, NULL);
	for (int i = 0; i < 3; i++)
		assert_in_range(outcome.vms[i].metrics.total_time_ns, alone * 99 / 100,
		                alone * 101 / 100);
	assert_true(outcome.end_ns > 3 * alone);
	sim_outcome_clear(&outcome);
}

static void a_guests_own_traffic_takes_its_share(void **state)
{
	struct world w;
	uint64_t alone;

	(void)state;
	set_up(&w, "precopy");
	alone = total_time(&w);
	w.vms[0].workload.network_bytes_per_s = 50000000;
	assert_true(total_time(&w) > alone * 15 / 10);
}

/* A fault is a round trip, and the vCPU stands as long. */
static void a_fault_stalls_the_vcpu(void **state)
{
	struct sim_outcome outcome;
	struct world w;

	(void)state;
	set_up(&w, "postcopy");
	w.link.latency_ns = 2 * MS;
	w.vms[0].workload.set_pages = w.vms[0].ram_pages;
	run(&w, &outcome, NULL);
	assert_true(outcome.vms[0].metrics.faults > 100);
	assert_true(outcome.vms[0].metrics.fault_p50_ns >= 4 * MS);
	assert_true(outcome.vms[0].guest_stall_ns >=
	            outcome.vms[0].metrics.faults * 4 * MS * 9 / 10 / w.vms[0].vcpus);
	assert_in_range(outcome.vms[0].guest_stall_ns, outcome.vms[0].metrics.stall_ns,
	                outcome.vms[0].metrics.stall_ns * 12 / 10);
	sim_outcome_clear(&outcome);
}

/* Each vCPU that writes pays: it comes to fewer pages in the same time. */
static void a_first_write_slows_the_guest(void **state)
{
	struct sim_outcome outcome;
	struct world w;
	uint64_t cheap;

	(void)state;
	set_up(&w, "precopy");
	w.vms[0].workload.write_pages_per_s = 20000;
	w.vms[0].workload.set_pages = w.vms[0].ram_pages;
	w.scenario.costs.first_write_ns = 0;
	run(&w, &outcome, NULL);
	cheap = outcome.vms[0].rounds[0].dirty_pages;
	sim_outcome_clear(&outcome);
	w.scenario.costs.first_write_ns = MS;
	run(&w, &outcome, NULL);
	assert_true(outcome.vms[0].rounds[0].dirty_pages < cheap / 2);
	sim_outcome_clear(&outcome);
}

static void what_the_guest_writes_is_sent_again(void **state)
{
	struct sim_outcome outcome;
	struct world w;

	(void)state;
	set_up(&w, "precopy");
	run(&w, &outcome, NULL);
	assert_true(outcome.vms[0].round_count > 0);
	assert_true(outcome.vms[0].metrics.pages_resent > 500);
	assert_true(outcome.vms[0].metrics.pages_resent <= 2 * 4096);
	assert_true(outcome.vms[0].metrics.downtime_ns < 300 * MS);
	assert_true(outcome.vms[0].guest_longest_ns >= outcome.vms[0].metrics.downtime_ns);
	sim_outcome_clear(&outcome);
}

static void a_vm_that_is_zero_sends_no_contents(void **state)
{
	struct sim_outcome outcome;
	struct world w;

	(void)state;
	set_up(&w, "stop-copy");
	w.vms[0].zero_share = 1;
	w.vms[0].workload.write_pages_per_s = 0;
	run(&w, &outcome, NULL);
	assert_int_equal(outcome.vms[0].zero_pages, w.vms[0].ram_pages);
	assert_true(outcome.carried_bytes < 400000);
	sim_outcome_clear(&outcome);
}

/* To the page, whatever the stretches are. */
static void shares_of_memory_are_kept(void **state)
{
	static const uint64_t sizes[] = {GIBIBYTE_PAGES / 4, GIBIBYTE_PAGES, 9 * GIBIBYTE_PAGES};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct sim_outcome outcome;
		struct world w;
		uint64_t populated = sizes[i] * 3 / 5;

		set_up(&w, "stop-copy");
		w.vms[0].ram_pages = sizes[i];
		w.vms[0].populated_share = 0.6;
		w.vms[0].zero_share = 0.3;
		w.vms[0].workload.write_pages_per_s = 0;
		w.scenario.versions = i < 2;
		run(&w, &outcome, NULL);
		assert_in_range(outcome.vms[0].metrics.pages_sent, populated - 1, populated + 1);
		assert_in_range(outcome.vms[0].zero_pages, populated * 3 / 10 - 2,
		                populated * 3 / 10 + 2);
		sim_outcome_clear(&outcome);
	}
}

/* 64 MiB of which half held data and 1,000 pages were zero; ten windows that write 200 pages. */
static struct sim_trace *record(char *path)
{
	static uint64_t words[(1 << 14) / 64 + 2];
	struct sim_trace_head head = {.vm = "recorded",
	                              .ram_pages = 1 << 14,
	                              .page_bytes = GW_PAGE_BYTES,
	                              .vcpus = 2,
	                              .window_ns = 50 * MS,
	                              .populated_pages = 1 << 13,
	                              .zero_pages = 1000,
	                              .tracker = "pagemap"};
	struct sim_trace_writer *writer;
	struct sim_trace *trace;
	struct gw_error error;
	struct gw_set populated;

	assert_true(gw_set_words(head.ram_pages) <= sizeof(words) / sizeof(words[0]));
	gw_set_init(&populated, words, head.ram_pages);
	gw_set_add_run(&populated, (struct gw_run){0, head.populated_pages});
	assert_int_equal(sim_trace_create(&writer, path, &head, &populated, &error), 0);
	for (uint64_t i = 0; i < 10; i++) {
		struct gw_run written = {4000 + 10 * i, 200};
		struct gw_window window = {.start_ns = i * 50 * MS,
		                           .length_ns = 50 * MS,
		                           .written = &written,
		                           .written_count = 1};

		assert_int_equal(sim_trace_add(writer, &window, &error), 0);
	}
	assert_int_equal(sim_trace_close(writer, &error), 0);
	assert_int_equal(sim_trace_open(&trace, path, &error), 0);
	return trace;
}

static void a_recorded_guest_is_played(void **state)
{
	char path[] = "/tmp/godwit-run-XXXXXX";
	struct sim_outcome outcome;
	struct sim_trace *trace;
	struct world w;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	trace = record(path);
	(void)unlink(path);
	set_up(&w, "precopy");
	w.vms[0].ram_pages = 1 << 14;
	w.vms[0].workload = sim_workload_find("trace")->defaults;
	w.vms[0].workload.trace = trace;
	run(&w, &outcome, NULL);
	assert_int_equal(outcome.vms[0].rounds[0].sent_pages, 1 << 13);
	assert_in_range(outcome.vms[0].zero_pages, 1000 - 290, 1000 + 290);
	assert_in_range(outcome.vms[0].rounds[0].dirty_pages, 200, 290);
	sim_outcome_clear(&outcome);
	sim_trace_free(trace);
}

static void verification_compares_every_page(void **state)
{
	struct sim_outcome outcome;
	struct world w;

	(void)state;
	set_up(&w, "hybrid");
	w.vms[0].move.verify = true;
	run(&w, &outcome, NULL);
	assert_true(outcome.vms[0].metrics.verified);
	assert_int_equal(outcome.vms[0].metrics.pages_compared, w.vms[0].ram_pages);
	assert_int_equal(outcome.vms[0].metrics.pages_different, 0);
	sim_outcome_clear(&outcome);
}

/* A guest that writes faster than the link carries: pre-copy alone never stops it. */
static void an_endless_move_is_told(void **state)
{
	struct sim_outcome outcome;
	struct gw_error error = {{0}};
	struct sim_run_options options = {.limit_ns = 60 * SECOND};
	struct world w;

	(void)state;
	set_up(&w, "precopy");
	w.vms[0].workload.write_pages_per_s = 100000;
	w.vms[0].workload.set_pages = w.vms[0].ram_pages;
	assert_int_equal(sim_run(&w.scenario, &options, &outcome, &error), 0);
	assert_string_equal(outcome.violation, "");
	assert_int_equal(outcome.unfinished, 1);
	assert_int_equal(outcome.vms[0].outcome, GW_UNFINISHED);
	assert_true(outcome.end_ns <= 60 * SECOND);
	assert_true(outcome.vms[0].round_count > 10);
	assert_non_null(strstr(outcome.vms[0].reason, "virtual time"));
	sim_outcome_clear(&outcome);
}

static bool stop_at_once(void *arg, const struct sim_progress *progress)
{
	unsigned *asked = arg;

	assert_int_equal(progress->all, 1);
	(*asked)++;
	return false;
}

static void a_user_can_stop_it(void **state)
{
	struct sim_outcome outcome;
	struct gw_error error = {{0}};
	unsigned asked = 0;
	struct sim_run_options options = {.progress = stop_at_once, .arg = &asked};
	struct world w;

	(void)state;
	set_up(&w, "postcopy");
	w.vms[0].ram_pages = GIBIBYTE_PAGES * 4;
	w.scenario.versions = false;
	assert_int_equal(sim_run(&w.scenario, &options, &outcome, &error), -EINTR);
	assert_int_equal(asked, 1);
	sim_outcome_clear(&outcome);
}

/* --- a bandwidth policy divides the link ------------------------------------------------------ */

static void share_by(struct world *w, const char *policy)
{
	assert_int_equal(gw_bandwidth_init(&w->scenario.sharing.policy, policy), 0);
	w->scenario.sharing.interval_ns = 100 * MS;
	w->scenario.vm_count = 3;
}

static bool overlap(const struct sim_vm_outcome *a, const struct sim_vm_outcome *b)
{
	return a->start_ns < b->end_ns && b->start_ns < a->end_ns;
}

static void fair_sharing_is_what_the_link_does_by_itself(void **state)
{
	struct sim_outcome alone, shared;
	struct world w;

	(void)state;
	set_up(&w, "precopy");
	w.scenario.vm_count = 3;
	run(&w, &alone, NULL);
	share_by(&w, "fair");
	run(&w, &shared, NULL);
	assert_true(overlap(&shared.vms[0], &shared.vms[2]));
	assert_true(shared.end_ns < alone.end_ns + alone.end_ns / 50);
	assert_true(alone.end_ns < shared.end_ns + shared.end_ns / 50);
	sim_outcome_clear(&alone);
	sim_outcome_clear(&shared);
}

/* They dirty 16 MB/s each while they share 125 MB/s: one after the other less is sent again. */
static void the_deadline_policy_lets_one_follow_the_other(void **state)
{
	struct sim_outcome all, ordered;
	uint64_t sent_all = 0, sent_ordered = 0;
	struct world w;

	(void)state;
	set_up(&w, "precopy");
	for (int i = 0; i < 3; i++)
		w.vms[i].workload.write_pages_per_s = 4000, w.vms[i].workload.set_pages = 32768;
	share_by(&w, "fair");
	run(&w, &all, NULL);
	share_by(&w, "deadline");
	w.vms[2].priority = 0;
	w.vms[0].priority = w.vms[1].priority = 1;
	run(&w, &ordered, NULL);
	for (int i = 0; i < 3; i++) {
		sent_all += all.vms[i].metrics.pages_sent;
		sent_ordered += ordered.vms[i].metrics.pages_sent;
	}
	assert_true(sent_ordered < sent_all);
	assert_true(ordered.end_ns < all.end_ns);
	assert_true(ordered.vms[2].end_ns < ordered.vms[0].end_ns);
	assert_true(ordered.vms[2].start_ns < ordered.vms[0].start_ns);
	assert_false(overlap(&ordered.vms[2], &ordered.vms[1]) &&
	             overlap(&ordered.vms[2], &ordered.vms[0]));
	sim_outcome_clear(&all);
	sim_outcome_clear(&ordered);
}

/* Of a link of 100 Mbit/s the third wants 40 for itself; three migrations want all. */
static double own_share(const char *policy)
{
	struct sim_outcome outcome;
	struct world w;
	double share;

	set_up(&w, "precopy");
	w.link.bytes_per_s = 12500000;
	for (int i = 0; i < 3; i++)
		w.vms[i].workload.write_pages_per_s = 50;
	w.vms[2].workload.network_bytes_per_s = 5000000;
	share_by(&w, policy);
	run(&w, &outcome, NULL);
	assert_int_equal(outcome.vms[0].traffic_wanted_bytes, 0);
	share = (double)outcome.vms[2].traffic_bytes / (double)outcome.vms[2].traffic_wanted_bytes;
	sim_outcome_clear(&outcome);
	return share;
}

static void a_reservation_holds(void **state)
{
	(void)state;
	assert_true(own_share("fair") < 0.8);
	assert_true(own_share("nrac-wc") > 0.99);
	assert_true(own_share("deadline") > 0.99);
}

static void at_once_bounds_a_policy_too(void **state)
{
	struct sim_outcome outcome;
	struct world w;

	(void)state;
	set_up(&w, "precopy");
	share_by(&w, "fair");
	w.scenario.at_once = 1;
	w.vms[0].start_ns = 2 * SECOND;
	run(&w, &outcome, NULL);
	assert_false(overlap(&outcome.vms[0], &outcome.vms[1]));
	assert_false(overlap(&outcome.vms[1], &outcome.vms[2]));
	assert_false(overlap(&outcome.vms[0], &outcome.vms[2]));
	assert_true(outcome.vms[0].start_ns >= 2 * SECOND);
	sim_outcome_clear(&outcome);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(fair_sharing_is_what_the_link_does_by_itself),
	        cmocka_unit_test(the_deadline_policy_lets_one_follow_the_other),
	        cmocka_unit_test(a_reservation_holds),
	        cmocka_unit_test(at_once_bounds_a_policy_too),
	        cmocka_unit_test(a_seed_gives_the_same_bytes),
	        cmocka_unit_test(a_lost_link_is_survived),
	        cmocka_unit_test(a_trace_of_many_says_which),
	        cmocka_unit_test(versions_only_check),
	        cmocka_unit_test(bytes_counted_are_bytes_carried),
	        cmocka_unit_test(two_vms_share_a_link),
	        cmocka_unit_test(one_at_a_time_has_the_link_alone),
	        cmocka_unit_test(a_guests_own_traffic_takes_its_share),
	        cmocka_unit_test(a_fault_stalls_the_vcpu),
	        cmocka_unit_test(a_first_write_slows_the_guest),
	        cmocka_unit_test(what_the_guest_writes_is_sent_again),
	        cmocka_unit_test(a_vm_that_is_zero_sends_no_contents),
	        cmocka_unit_test(shares_of_memory_are_kept),
	        cmocka_unit_test(a_recorded_guest_is_played),
	        cmocka_unit_test(a_shadow_shows_the_way),
	        cmocka_unit_test(pages_that_came_in_time_are_counted),
	        cmocka_unit_test(a_shadow_may_fail),
	        cmocka_unit_test(verification_compares_every_page),
	        cmocka_unit_test(an_endless_move_is_told),
	        cmocka_unit_test(a_user_can_stop_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
