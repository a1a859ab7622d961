/* SPDX-License-Identifier: MIT */
/*
 * live/host/migrate.c - the source's agent.
 *
 * Theory of operation
 *
 * One thread, one poll. Whatever happens outside - a message, room on the bulk connection, an
 * answer of the VM - becomes an event for the core's machine; the actions it gives back are carried
 * out in their order. An action that can be done at once is answered by an event put into a short
 * queue, so that step() is never entered from within.
 *
 *     poll -> event -> gw_source_step -> actions -> socket, VM, tracker, journal
 *                 ^                                     |
 *                 '------------- queue -----------------'
 *
 * The VM's shadow, where the push order wants one, has a thread of its own (live/host/shadow.h);
 * its reports are events like all others.
 *
 * Page contents go from the mapped guest memory to the socket without a copy.
 */
#include "live/host/migrate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/host/activity.h"
#include "live/host/agent.h"
#include "live/host/clock.h"
#include "live/host/control.h"
#include "live/host/link.h"
#include "live/host/shadow.h"
#include "live/memory/attach.h"
#include "live/memory/digest.h"
#include "live/memory/tracker.h"
#include "live/net/classes.h"
#include "live/net/pacing.h"
#include "live/net/shaping.h"
#include "live/vm/registry.h"

#define CONNECT_MS        3000
#define RECONNECT_MS      1000
#define STATE_CHUNK       (256u << 10)
#define CONTROL_QUEUE_MAX (1u << 20) /* no more state is read while so much waits */
#define DIGEST_CHUNK      4096u      /* pages: 16 MiB, a few milliseconds of hashing */
#define PROGRESS_NS       200000000ull
#define RESUME_NS         10000000000ull /* that a refused `cont` is asked for again */
#define RESUME_AGAIN_NS   100000000ull
#define FRAMES_A_TURN     4 /* bulk frames before urgent pages are looked at again */
#define STATE_BYTES_GUESS (1u << 20)
#define SHADOW_READY_NS   1000000000ull /* that a move waits for its shadow, while the VM runs */

struct agent {
	const struct gw_migrate_options *options;
	struct gw_migrate_result *result;
	struct gw_guest *guest; /* NULL: the hypervisor is gone, its memory file is not */
	struct gw_journal journal;
	struct gw_ram ram;
	struct gw_tracker tracker;
	bool tracking;
	bool surveyed;       /* `pages` still holds the data of an earlier look */
	struct gw_set pages; /* the set that an event carries */
	struct gw_set peeked;
	struct gw_run hot[GW_FRAME_RUNS_MAX];
	unsigned hot_count;
	struct gw_observed observed; /* before the machine begins */
	struct gw_policy policy;     /* the options', unless the plan is another */
	struct gw_order order;
	struct gw_link_facts way; /* to the destination, as first seen */
	struct gw_activity_meter meter;
	struct gw_activity activity; /* as of the last scan */

	struct gw_source *machine;
	struct gw_actions actions;
	struct gw_answers answers;
	bool finished;

	struct gw_link link;
	unsigned links;  /* how many have stood: tells the old one from the new */
	bool bulk_ended; /* the peer closed its half */
	struct gw_sender bulk, urgent;
	struct gw_frame next[2]; /* bulk frames that wait for the one before them */
	size_t next_count;
	struct gw_run *urgent_queue;
	size_t urgent_count, urgent_taken, urgent_room;
	struct gw_shaping shaping;
	bool shaped;
	struct gw_pacer pacer;
	uint64_t unread_ns; /* of bulk, at the last look */
	bool pacing, shaping_tried;
	uint64_t policy_rate, paced_rate, shaped_rate;
	uint64_t granted_rate; /* by whoever divides the link among several moves; 0: all */

	int state_fd; /* our end of the device state stream */
	bool state_ended;
	uint8_t *buffer; /* STATE_CHUNK */
	uint8_t *copies; /* GW_FRAME_PAGES_MAX pages */
	bool draining;   /* the VM stands for an instant so that tracking sees all I/O */
	bool stopping;   /* `stop` is on its way: `cont` would be refused */
	bool resuming;   /* the VM is to run: nothing may make it wait */
	bool runs;       /* somebody resumed what we had stopped */
	uint64_t resume_at_ns, resume_until_ns; /* `cont` is asked for again; UINT64_MAX: not */

	struct gw_shadow *shadow; /* NULL: none, or none any more */
	bool shadow_ready;
	uint64_t survey_at_ns; /* waits for the shadow until then; UINT64_MAX: does not wait */

	bool digesting;
	uint64_t digest_at;
	uint64_t *digests; /* DIGEST_CHUNK */
	struct gw_set digest_pages;

	struct gw_control *control;
	uint64_t progress_ns;
};

/* --- events -------------------------------------------------------------------------------- */

static void queue(struct agent *a, enum gw_event_kind kind, const char *text)
{
	gw_answers_put(&a->answers, kind, text);
}

static void lost(struct agent *a, const char *why)
{
	gw_answers_put_lost(&a->answers, why);
}

static void carry_out(struct agent *a);

static void step(struct agent *a, struct gw_event *event)
{
	event->now_ns = gw_now_ns();
	a->link.frame_bytes = a->bulk.sent_bytes + a->urgent.sent_bytes;
	event->link_bytes = gw_link_bytes(&a->link);
	(void)gw_source_step(a->machine, event, &a->actions);
	carry_out(a);
}

static void drain_queue(struct agent *a)
{
	struct gw_answer answer;

	while (!a->finished && gw_answers_take(&a->answers, &answer)) {
		struct gw_event event = {.kind = answer.kind};

		if (answer.kind == GW_EV_FAILED && a->resuming)
			continue; /* of an earlier request: whether the VM runs is not known yet */

		if (answer.kind == GW_EV_SURVEYED || answer.kind == GW_EV_TRACKING ||
		    answer.kind == GW_EV_SCANNED)
			event.set = &a->pages;
		else if (answer.kind == GW_EV_PEEKED)
			event.set = &a->peeked;
		else
			event.text = answer.text;
		if (answer.kind == GW_EV_SCANNED)
			event.activity = a->activity;
		step(a, &event);
	}
}

/* --- sending ------------------------------------------------------------------------------- */

static bool is_zero(struct agent *a, uint64_t page)
{
	if (a->tracking && gw_set_has(&a->tracker.holes, page))
		return true; /* a hole: reading it would fill it */
	return gw_page_is_zero(a->ram.map + page * GW_PAGE_BYTES);
}

static void append(struct gw_frame *frame, uint64_t page)
{
	struct gw_run *last = frame->run_count ? &frame->runs[frame->run_count - 1] : NULL;

	if (last && last->first + last->count == page)
		last->count++;
	else
		frame->runs[frame->run_count++] = (struct gw_run){page, 1};
	frame->pages++;
}

/* Sorts the pages of an action into one frame with contents and one of zeros; either may be empty.
 */
static void sort_pages(struct agent *a, const struct gw_run *runs, uint32_t count,
                       struct gw_frame *full, struct gw_frame *zeros)
{
	uint64_t page;
	uint32_t i;

	full->kind = GW_FRAME_PAGES;
	zeros->kind = GW_FRAME_ZEROS;
	full->number = zeros->number = 0;
	full->pages = zeros->pages = full->run_count = zeros->run_count = 0;
	for (i = 0; i < count; i++) {
		for (page = runs[i].first; page < runs[i].first + runs[i].count; page++)
			append(is_zero(a, page) ? zeros : full, page);
	}
	a->result->zero_pages += zeros->pages;
}

static bool bulk_idle(const struct agent *a)
{
	return gw_sender_idle(&a->bulk) && !a->next_count;
}

static void flush_bulk(struct agent *a)
{
	int err;

	if (!a->link.up)
		return; /* its descriptor may be another file's by now */
	err = gw_sender_flush(&a->bulk);
	while (!err && gw_sender_idle(&a->bulk) && a->next_count) {
		err = gw_sender_put(&a->bulk, &a->next[0]);
		a->next[0] = a->next[1];
		a->next_count--;
		if (!err)
			err = gw_sender_flush(&a->bulk);
	}
	if (err)
		lost(a, strerror(-err));
}

/* One step of the machine makes at most three: pages, zeros, a mark. */
static void put_bulk(struct agent *a, const struct gw_frame *frame)
{
	if (!a->link.up)
		return;
	if (bulk_idle(a))
		(void)gw_sender_put(&a->bulk, frame);
	else if (a->next_count == sizeof(a->next) / sizeof(a->next[0]))
		lost(a, "more frames wait than a step may make");
	else
		a->next[a->next_count++] = *frame;
}

static void say_zeros_to_tracker(struct agent *a, struct gw_run run)
{
	static const uint8_t zeros[GW_PAGE_BYTES];

	for (; run.count; run.first++, run.count--)
		if (!gw_set_has(&a->tracker.holes, run.first))
			gw_tracker_sending(&a->tracker, (struct gw_run){run.first, 1}, zeros);
}

/*
 * A tracker that compares contents must know exactly what went out: a running VM's pages are copied
 * first, and the copy is sent. Bulk is idle when pages are put, so one buffer is enough.
 */
static const uint8_t *copy_for_tracker(struct agent *a, struct gw_frame *full,
                                       const struct gw_frame *zeros)
{
	uint8_t *to = a->copies;
	uint32_t i;

	if (!a->tracking || !a->tracker.wants_copies)
		return NULL;
	for (i = 0; i < full->run_count; i++) {
		struct gw_run run = full->runs[i];
		size_t bytes = run.count * GW_PAGE_BYTES;

		memcpy(to, a->ram.map + run.first * GW_PAGE_BYTES, bytes);
		gw_tracker_sending(&a->tracker, run, to);
		to += bytes;
	}
	for (i = 0; i < zeros->run_count; i++)
		say_zeros_to_tracker(a, zeros->runs[i]);
	return a->copies;
}

static void send_bulk_pages(struct agent *a, const struct gw_run *runs, uint32_t count)
{
	struct gw_frame full, zeros;

	sort_pages(a, runs, count, &full, &zeros);
	if (full.run_count)
		(void)gw_sender_put_contents(&a->bulk, &full, copy_for_tracker(a, &full, &zeros));
	else
		(void)copy_for_tracker(a, &full, &zeros);
	if (zeros.run_count)
		put_bulk(a, &zeros);
	flush_bulk(a);
}

static void flush_urgent(struct agent *a)
{
	struct gw_frame full, zeros;
	int err;

	if (!a->link.up)
		return;
	err = gw_sender_flush(&a->urgent);
	while (!err && gw_sender_idle(&a->urgent) && a->urgent_taken < a->urgent_count) {
		sort_pages(a, &a->urgent_queue[a->urgent_taken++], 1, &full, &zeros);
		err = gw_sender_put(&a->urgent, full.run_count ? &full : &zeros);
		if (!err)
			err = gw_sender_flush(&a->urgent);
	}
	if (a->urgent_taken == a->urgent_count)
		a->urgent_taken = a->urgent_count = 0;
	if (err)
		lost(a, strerror(-err));
}

static void send_urgent_page(struct agent *a, struct gw_run run)
{
	if (a->urgent_count == a->urgent_room) {
		size_t room = a->urgent_room ? 2 * a->urgent_room : 64;
		struct gw_run *larger = realloc(a->urgent_queue, room * sizeof(*larger));

		if (!larger) {
			lost(a, "no memory for a waiting page");
			return;
		}
		a->urgent_queue = larger;
		a->urgent_room = room;
	}
	a->urgent_queue[a->urgent_count++] = run;
	flush_urgent(a);
}

static void send_mark(struct agent *a, enum gw_frame_kind kind, uint32_t number)
{
	struct gw_frame frame = {.kind = kind, .number = number};

	put_bulk(a, &frame);
	flush_bulk(a);
}

static void send_message(struct agent *a, const struct gw_message *message)
{
	gw_agent_send(&a->link, message, &a->answers);
}

/* --- rate ---------------------------------------------------------------------------------- */

static uint64_t lower_rate(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

/* The user's limit, or what the move was granted: the lower. */
static uint64_t limit_of(const struct agent *a)
{
	return lower_rate(a->options->bandwidth_bytes_per_s, a->granted_rate);
}

static void set_pace(struct agent *a, uint64_t rate)
{
	if (!a->link.up || rate == a->paced_rate)
		return;
	a->paced_rate = rate;
	(void)gw_net_pace(a->link.bulk, rate, NULL);
}

/* Takes effect only where nobody else has shaped the device; *error says why not. */
static bool shape(struct agent *a, uint64_t rate, struct gw_error *error)
{
	if (gw_shaping_install(&a->shaping, a->link.bulk, rate, error))
		return false;
	if (!gw_shaping_mark_bulk(&a->shaping, a->link.bulk, error) &&
	    !gw_shaping_mark_urgent(&a->shaping, gw_mailbox_fd(a->link.urgent), error))
		return true;
	gw_shaping_remove(&a->shaping);
	return false;
}

/* The class leaves urgent pages their share: bulk need not. */
static void use_all(struct agent *a)
{
	gw_pacer_shaped(&a->pacer);
	gw_pacer_limit(&a->pacer, limit_of(a));
}

static void describe_shaping(struct agent *a, const struct gw_error *error)
{
	(void)snprintf(
	        a->result->shaping, sizeof(a->result->shaping), "%s%.120s",
	        a->shaped ? "an HTB class of highest priority" : "paced bulk only: ", error->text);
}

static void shape_once(struct agent *a, uint64_t rate)
{
	struct gw_error error = {{0}};

	a->shaping_tried = true;
	a->shaped = shape(a, gw_net_with_headers(a->link.bulk, rate), &error);
	a->shaped_rate = rate;
	if (a->shaped)
		use_all(a);
	describe_shaping(a, &error);
}

/* Into the class that was given to this move, or into its own, where it has made some. */
static void mark_connections(struct agent *a)
{
	int urgent = gw_mailbox_fd(a->link.urgent);
	struct gw_error error = {{0}};

	if (a->options->traffic_class) {
		a->shaped =
		        !gw_classes_mark(a->options->traffic_class, urgent, a->link.bulk, &error);
		describe_shaping(a, &error);
	} else if (a->shaped) {
		(void)gw_shaping_mark_bulk(&a->shaping, a->link.bulk, NULL);
		(void)gw_shaping_mark_urgent(&a->shaping, urgent, NULL);
	}
}

/*
 * The class is of the link, whatever bulk offers of it now: urgent pages may use all of it. Offered
 * more than that, bulk must get through to the link to see whether it carries that.
 */
static void adapt_class(struct agent *a)
{
	uint64_t rate = a->pacer.link_bytes_per_s;

	if (!rate || a->options->traffic_class)
		return;
	if (a->pacer.rate_bytes_per_s > rate)
		rate = a->pacer.rate_bytes_per_s;
	rate = lower_rate(limit_of(a), rate);
	if (!a->shaping_tried) {
		shape_once(a, rate);
	} else if (a->shaped && rate != a->shaped_rate) {
		a->shaped_rate = rate;
		(void)gw_shaping_set_rate(&a->shaping, gw_net_with_headers(a->link.bulk, rate),
		                          NULL);
	}
}

static void begin_pacing(struct agent *a)
{
	a->pacing = true;
	gw_pacer_init(&a->pacer, limit_of(a) / 100 * GW_PACER_SHARE,
	              gw_net_rtt_ns(gw_mailbox_fd(a->link.urgent)));
	if (a->shaped)
		use_all(a);
	if (a->result->bandwidth_bytes_per_s)
		gw_pacer_learned(&a->pacer, a->result->bandwidth_bytes_per_s);
	(void)gw_net_keep_queue_short(a->link.bulk, NULL);
}

/*
 * After the switch urgent pages must not queue behind bulk: where we may they have a traffic class
 * of their own, before bulk's in all that the link was seen to carry; else bulk goes just below
 * that.
 */
static void pace_pull(struct agent *a)
{
	struct gw_net_flow bulk = gw_net_look(a->link.bulk);
	struct gw_net_flow urgent = gw_net_look(gw_mailbox_fd(a->link.urgent));
	struct gw_pacer_look look = {
	        .acked_bytes = bulk.acked_bytes + urgent.acked_bytes,
	        .busy = !bulk_idle(a) || gw_source_wants_room(a->machine),
	        .dry = bulk.empty || bulk.unread_ns > a->unread_ns,
	};

	if (!a->pacing)
		begin_pacing(a);
	a->unread_ns = bulk.unread_ns;
	(void)gw_pacer_update(&a->pacer, gw_now_ns(), &look);
	adapt_class(a);
	set_pace(a, a->pacer.rate_bytes_per_s);
}

static void update_pace(struct agent *a)
{
	if (!a->link.up)
		return;
	if (gw_source_state(a->machine) == GW_STATE_PULL)
		pace_pull(a);
	else
		set_pace(a, lower_rate(limit_of(a), a->policy_rate));
}

/* --- tracking ------------------------------------------------------------------------------ */

static void announce_tracker(struct agent *a, const char *why_not_better)
{
	char text[GW_TRACE_BYTES];
	uint64_t pass_ns, bytes = gw_set_count(&a->pages) * GW_PAGE_BYTES;

	if (!a->tracker.kind->pass_ns || !a->options->note)
		return;
	pass_ns = a->tracker.kind->pass_ns(&a->tracker, &a->pages);
	(void)snprintf(
	        text, sizeof(text),
	        "the tracker %s reads all of the VM's %.0f MB in every round, about %.0f ms, "
	        "and once more while the VM stands%s%s",
	        a->tracker.kind->name, (double)bytes / 1e6, (double)pass_ns / 1e6,
	        why_not_better[0] ? "; it is used because " : "", why_not_better);
	a->options->note(a->options->arg, text);
}

static void start_tracking(struct agent *a)
{
	struct gw_error error = {{0}};
	char why[sizeof(error.text)] = "";
	int err;

	a->surveyed = false;
	gw_set_clear(&a->pages);
	err = gw_tracker_open(&a->tracker, a->options->tracker, &a->ram, a->guest->direct_io,
	                      &error);
	if (!err) {
		a->tracking = true;
		a->tracker.may_punch = a->guest->balloon;
		(void)snprintf(a->result->tracker, sizeof(a->result->tracker), "%s",
		               a->tracker.kind->name);
		if (!a->options->tracker)
			(void)snprintf(why, sizeof(why), "%s", error.text);
		err = gw_tracker_start(&a->tracker, &a->pages, &error);
	}
	if (err) {
		queue(a, GW_EV_FAILED, error.text);
		return;
	}
	announce_tracker(a, why);
	gw_activity_open(&a->meter, a->guest->vm, &a->ram, a->link.bulk);
	if (!a->draining) /* else once the VM runs again */
		queue(a, GW_EV_TRACKING, NULL);
}

static void stop_tracking(struct agent *a)
{
	if (a->tracking)
		gw_tracker_close(&a->tracker);
	gw_activity_close(&a->meter);
	a->tracking = false;
}

/* With direct I/O in flight tracking must begin while none is: the VM stands for an instant. */
static void track(struct agent *a)
{
	struct gw_error error;

	if (!a->guest) {
		queue(a, GW_EV_FAILED, "the hypervisor is gone");
		return;
	}
	if (!a->guest->direct_io || a->guest->vm->paused) {
		start_tracking(a);
		return;
	}
	a->draining = true;
	if (gw_vm_stop(a->guest->vm, &error)) {
		a->draining = false;
		queue(a, GW_EV_FAILED, error.text);
	}
}

static void scan(struct agent *a, bool final)
{
	struct gw_error error;
	int err;

	a->surveyed = false;
	gw_set_clear(&a->pages);
	err = gw_tracker_scan(&a->tracker, &a->pages, final, &error);
	if (!final) /* while the VM stands nobody asks, and it would stand for longer */
		a->activity = gw_activity_read(&a->meter);
	gw_answers_put_result(&a->answers, GW_EV_SCANNED, err, &error);
}

static void peek(struct agent *a)
{
	gw_set_clear(&a->peeked);
	(void)gw_tracker_peek(&a->tracker, &a->peeked, NULL);
	queue(a, GW_EV_PEEKED, NULL);
}

static void survey_now(struct agent *a)
{
	struct gw_error error;
	int err;

	if (!a->surveyed)
		gw_set_clear(&a->pages);
	a->surveyed = true;
	err = gw_ram_populated(&a->ram, &a->pages, &error);
	gw_answers_put_result(&a->answers, GW_EV_SURVEYED, err, &error);
}

/*
 * The switch may follow at once. A shadow that is still starting would run too late to be of use,
 * so the move waits for it here, where the VM runs and nothing is lost but a moment.
 */
static void survey(struct agent *a)
{
	if (a->shadow && !a->shadow_ready)
		a->survey_at_ns = gw_now_ns() + SHADOW_READY_NS;
	else
		survey_now(a);
}

static void survey_if_due(struct agent *a)
{
	if (a->survey_at_ns == UINT64_MAX)
		return;
	if (a->shadow && !a->shadow_ready && gw_now_ns() < a->survey_at_ns)
		return;
	a->survey_at_ns = UINT64_MAX;
	survey_now(a);
}

/* --- the VM -------------------------------------------------------------------------------- */

static void save(struct agent *a)
{
	struct gw_error error;
	int the_vms;

	gw_cleanup_close(&a->state_fd);
	if (!a->guest) {
		queue(a, GW_EV_FAILED, "the hypervisor is gone");
		return;
	}
	a->state_ended = false;
	if (gw_agent_open_state(&a->state_fd, &the_vms, &error) ||
	    gw_vm_save(a->guest->vm, the_vms, &error))
		queue(a, GW_EV_FAILED, error.text);
}

static void stop(struct agent *a)
{
	struct gw_error error;

	a->stopping = a->guest && !gw_vm_stop(a->guest->vm, &error);
	if (!a->stopping)
		queue(a, GW_EV_FAILED, a->guest ? error.text : "the hypervisor is gone");
}

/*
 * What refuses `cont` now may take it soon: a request of somebody else that is under way, a disk
 * that the destination has not let go of yet. Only after that is a VM left standing.
 */
static void resume_refused(struct agent *a, const char *why)
{
	uint64_t now = gw_now_ns();

	if (a->guest && now < a->resume_until_ns) {
		a->resume_at_ns = now + RESUME_AGAIN_NS;
		return;
	}
	a->resuming = false;
	queue(a, GW_EV_FAILED, why);
}

static void ask_to_run(struct agent *a)
{
	struct gw_error error;

	a->resume_at_ns = UINT64_MAX;
	if (!a->guest)
		resume_refused(a, "the hypervisor is gone");
	else if (gw_vm_cont(a->guest->vm, &error))
		resume_refused(a, error.text);
}

/* While `stop` is on its way, `cont` follows its answer; or it is on its way itself. */
static void resume(struct agent *a)
{
	gw_cleanup_close(&a->state_fd);
	a->resuming = true;
	a->resume_until_ns = gw_now_ns() + RESUME_NS;
	if (!a->stopping && !a->draining)
		ask_to_run(a);
}

static void drained(struct agent *a)
{
	struct gw_error error;

	start_tracking(a);
	if (!gw_vm_cont(a->guest->vm, &error))
		return;
	a->draining = false;
	queue(a, GW_EV_FAILED, error.text);
}

static void has_stopped(struct agent *a)
{
	a->stopping = a->runs = false;
	if (a->resuming)
		ask_to_run(a);
	else if (a->draining)
		drained(a);
	else
		queue(a, GW_EV_STOPPED, NULL);
}

static void runs(struct agent *a)
{
	if (a->draining && !a->resuming) {
		if (a->tracking)
			queue(a, GW_EV_TRACKING, NULL);
	} else {
		queue(a, GW_EV_RUNNING, NULL);
	}
	a->runs = true;
	a->draining = a->resuming = false;
	a->resume_at_ns = UINT64_MAX;
}

static void has_refused(struct agent *a, const char *why)
{
	a->stopping = a->draining = false;
	if (a->resuming)
		resume_refused(a, why);
	else
		queue(a, GW_EV_FAILED, why);
}

static void vm_event(struct agent *a, const struct gw_vm_event *event)
{
	switch (event->kind) {
	case GW_VM_STOPPED: has_stopped(a); break;
	case GW_VM_RUNNING: runs(a); break;
	case GW_VM_SAVED: queue(a, GW_EV_SAVED, NULL); break;
	case GW_VM_REFUSED: has_refused(a, event->text); break;
	case GW_VM_SHUTDOWN: queue(a, GW_EV_VM_GONE, "the guest powered itself off"); break;
	case GW_VM_DIED: queue(a, GW_EV_VM_GONE, event->text); break;
	case GW_VM_LOADED:
	case GW_VM_RESET:
	case GW_VM_PANICKED: break;
	}
}

/* Nothing of what it was asked for will be answered. */
static void forget_guest(struct agent *a)
{
	gw_guest_close(a->guest);
	a->guest = NULL;
	a->stopping = a->draining = a->resuming = false;
	a->resume_at_ns = UINT64_MAX;
}

static void read_vm(struct agent *a)
{
	struct gw_vm_event event = {0};
	int got;

	while (a->guest && (got = gw_vm_next(a->guest->vm, &event)) != 0) {
		if (got < 0)
			queue(a, GW_EV_VM_GONE, "its control connection broke");
		else
			vm_event(a, &event);
		if (got < 0 || event.kind == GW_VM_DIED)
			forget_guest(a);
	}
}

/* What the VM has said already is heard first. One that was resumed and then died did run on. */
static void look(struct agent *a)
{
	read_vm(a);
	queue(a, a->runs ? GW_EV_RUNNING : GW_EV_STOPPED, NULL);
}

/* --- the shadow ----------------------------------------------------------------------------- */

/* It starts while the destination starts its hypervisor. */
static void prepare_shadow(struct agent *a)
{
	struct gw_shadow_limits limits;
	struct gw_error error;

	gw_shadow_limits_init(&limits);
	if (!a->guest)
		queue(a, GW_EV_SHADOW_GONE, "the hypervisor is gone");
	else if (gw_shadow_prepare(&a->shadow, a->guest, &a->ram, &limits, &error))
		queue(a, GW_EV_SHADOW_GONE, error.text);
}

static void end_shadow(struct agent *a)
{
	gw_shadow_close(a->shadow);
	a->shadow = NULL;
}

static void tell_shadow(struct agent *a, enum gw_action_kind what)
{
	if (!a->shadow)
		return;
	if (what == GW_ACT_SHADOW_RUN)
		gw_shadow_run(a->shadow);
	else if (what == GW_ACT_SHADOW_END)
		gw_shadow_kill(a->shadow);
	else
		gw_shadow_hold(a->shadow, what == GW_ACT_SHADOW_HOLD);
}

/* Of the buffer; 0 bytes: that was all. */
static void feed_shadow(struct agent *a, size_t count)
{
	if (!a->shadow)
		return;
	if (!count)
		gw_shadow_feed_end(a->shadow);
	else if (gw_shadow_feed(a->shadow, a->buffer, count))
		gw_shadow_kill(a->shadow);
}

static void lose_shadow(struct agent *a, const char *why)
{
	queue(a, GW_EV_SHADOW_GONE, why);
	end_shadow(a);
}

static void read_shadow(struct agent *a)
{
	struct gw_shadow_report report;
	struct gw_event event;

	while (a->shadow && !a->finished && gw_shadow_next(a->shadow, &report)) {
		event = (struct gw_event){.kind = GW_EV_TOUCHED};
		switch (report.kind) {
		case GW_SHADOW_READY: a->shadow_ready = true; break;
		case GW_SHADOW_STARTED: queue(a, GW_EV_SHADOW_STARTED, NULL); break;
		case GW_SHADOW_GONE: lose_shadow(a, report.text); break;
		case GW_SHADOW_TOUCHED:
			event.touched.runs = report.runs;
			event.touched.count = report.count;
			step(a, &event);
			break;
		}
		drain_queue(a);
	}
}

static void read_state(struct agent *a)
{
	ssize_t n = recv(a->state_fd, a->buffer, STATE_CHUNK, MSG_DONTWAIT);
	struct gw_message message = {.kind = GW_MSG_STATE};

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		a->state_ended = true;
		message.kind = GW_MSG_STATE_END;
		send_message(a, &message);
		feed_shadow(a, 0);
		return;
	}
	a->result->state_bytes += (uint64_t)n;
	feed_shadow(a, (size_t)n);
	message.state.bytes = a->buffer;
	message.state.count = (uint32_t)n;
	send_message(a, &message);
}

/* --- verification --------------------------------------------------------------------------- */

static void begin_digests(struct agent *a)
{
	struct gw_error error;

	gw_set_clear(&a->digest_pages);
	a->digesting = !gw_ram_populated(&a->ram, &a->digest_pages, &error);
	a->digest_at = 0;
}

static void send_digests(struct agent *a)
{
	struct gw_message message = {.kind = GW_MSG_DIGESTS};
	uint64_t end = a->digest_at + DIGEST_CHUNK, page;

	if (end > a->ram.pages)
		end = a->ram.pages;
	for (page = a->digest_at; page < end; page++)
		a->digests[page - a->digest_at] =
		        gw_set_has(&a->digest_pages, page)
		                ? gw_page_digest_or_zero(a->ram.map + page * GW_PAGE_BYTES)
		                : 0;
	message.digests.first = a->digest_at;
	message.digests.count = (uint32_t)(end - a->digest_at);
	message.digests.digests = (const uint8_t *)a->digests;
	message.digests.last = end == a->ram.pages;
	a->digest_at = end;
	a->digesting = !message.digests.last;
	send_message(a, &message);
}

/* --- the link ------------------------------------------------------------------------------ */

static void link_stands(struct agent *a)
{
	a->links++;
	a->bulk_ended = a->digesting = false;
	gw_sender_init(&a->bulk, a->link.bulk, a->ram.map);
	gw_sender_init(&a->urgent, gw_mailbox_fd(a->link.urgent), a->ram.map);
	a->next_count = 0;
	a->urgent_count = a->urgent_taken = 0;
	a->paced_rate = 0;
	a->pacing = false;
	mark_connections(a);
	update_pace(a);
}

static void connect_again(struct agent *a)
{
	struct gw_error error;

	if (a->resuming) {
		queue(a, GW_EV_LINK_LOST, "the VM is being resumed first");
		return;
	}
	if (gw_link_connect(&a->link, a->journal.peer, &a->journal.id, a->ram.pages, RECONNECT_MS,
	                    &error)) {
		queue(a, GW_EV_LINK_LOST, error.text);
		return;
	}
	link_stands(a);
	queue(a, GW_EV_LINK_UP, NULL);
}

static void hang_up(struct agent *a)
{
	if (!a->link.up)
		return;
	a->link.frame_bytes = a->bulk.sent_bytes + a->urgent.sent_bytes;
	gw_link_close(&a->link, gw_actions_end(&a->actions));
	a->bulk.sent_bytes = a->urgent.sent_bytes = 0;
}

/* What the loading hypervisor says back; never waited for: a peer may send what nobody reads. */
static void take_return_path(struct agent *a, const struct gw_message *message)
{
	ssize_t n;

	if (a->state_fd < 0)
		return;
	n = send(a->state_fd, message->state.bytes, message->state.count,
	         MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 ? errno == EAGAIN : (size_t)n < message->state.count) /* half of it is none */
		lost(a, "the destination sends more than a hypervisor says");
}

static void read_mailbox(struct agent *a, struct gw_mailbox *box)
{
	struct gw_error error;
	struct gw_message message;
	unsigned link = a->links;
	int got = 0;

	while ((got = gw_mailbox_next(box, &message, &error)) == 1) {
		struct gw_event event = {.kind = GW_EV_MESSAGE, .message = &message};

		if (message.kind == GW_MSG_STATE &&
		    gw_source_state(a->machine) >= GW_STATE_STOP_AND_COPY) {
			take_return_path(a, &message);
			continue;
		}
		step(a, &event);
		/* The step may have hung up, and connected anew: the mailbox is gone then. */
		if (a->finished || !a->link.up || a->links != link)
			return;
	}
	if (got < 0)
		lost(a, error.text);
}

/*
 * Nothing is ever said on bulk this way. Its end alone is no loss yet: what control has to say may
 * still be on its way, and is heard first.
 */
static void listen_to_bulk(struct agent *a)
{
	uint8_t bytes[64];
	ssize_t n = recv(a->link.bulk, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n > 0)
		lost(a, "the destination sent what is no message of the protocol");
	else if (n == 0)
		a->bulk_ended = true;
	else if (errno != EAGAIN && errno != EINTR)
		lost(a, "the bulk connection broke");
}

/* --- actions ------------------------------------------------------------------------------- */

static void write_journal(struct agent *a, const struct gw_action *action)
{
	struct gw_error error;

	if (gw_journal_write(&a->journal, action->journal.record, action->journal.durable, &error))
		queue(a, GW_EV_UNWRITTEN, error.text);
	else
		queue(a, GW_EV_JOURNALED, NULL);
}

static void keep_peer(struct agent *a, const struct gw_id *host)
{
	struct gw_error error;

	if (gw_journal_note_host(&a->journal, host, &error))
		queue(a, GW_EV_FAILED, error.text);
}

static void keep_round(struct agent *a, const struct gw_round *round)
{
	struct gw_migrate_result *r = a->result;

	if (!(r->round_count & (r->round_count - 1))) { /* powers of two */
		size_t room = r->round_count ? 2 * r->round_count : 1;
		struct gw_round *larger = realloc(r->rounds, room * sizeof(*larger));

		if (!larger)
			return;
		r->rounds = larger;
	}
	r->rounds[r->round_count++] = *round;
	if (round->bandwidth_bytes_per_s)
		r->bandwidth_bytes_per_s = round->bandwidth_bytes_per_s;
}

static void round_ended(struct agent *a, const struct gw_round *round)
{
	keep_round(a, round);
	if (a->options->round)
		a->options->round(a->options->arg, round);
}

static void end(struct agent *a, const struct gw_action *action)
{
	a->finished = true;
	a->result->outcome = action->finish.outcome;
	(void)snprintf(a->result->reason, sizeof(a->result->reason), "%s", action->finish.text);
}

/* The hypervisor is gone already. */
static void remove_what_is_left(const struct gw_journal *j)
{
	(void)unlink(j->ram);
	if (!strcmp(j->kind, "native"))
		(void)unlink(j->control);
	gw_registry_remove(j->name);
}

static void release(struct agent *a)
{
	end_shadow(a); /* before the memory that it looks at */
	stop_tracking(a);
	if (a->guest)
		gw_guest_remove(a->guest);
	else
		remove_what_is_left(&a->journal);
	a->guest = NULL;
}

static void act(struct agent *a, const struct gw_action *action)
{
	switch (action->kind) {
	case GW_ACT_TRACE:
		if (a->options->trace)
			(void)fprintf(a->options->trace, "%s\n", action->text);
		break;
	case GW_ACT_SEND: send_message(a, &action->message); break;
	case GW_ACT_MAP: gw_agent_send_map(&a->link, action->set, &a->answers); break;
	case GW_ACT_JOURNAL: write_journal(a, action); break;
	case GW_ACT_SURVEY: survey(a); break;
	case GW_ACT_HANG_UP: hang_up(a); break;
	case GW_ACT_FINISH: end(a, action); break;
	case GW_ACT_TRACK: track(a); break;
	case GW_ACT_SCAN: scan(a, action->final); break;
	case GW_ACT_PEEK: peek(a); break;
	case GW_ACT_PAGES:
		if (action->pages.channel == GW_URGENT)
			send_urgent_page(a, action->pages.runs[0]);
		else
			send_bulk_pages(a, action->pages.runs, action->pages.count);
		break;
	case GW_ACT_MARK: send_mark(a, action->mark.kind, action->mark.number); break;
	case GW_ACT_RATE:
		a->policy_rate = action->rate_bytes_per_s;
		update_pace(a);
		break;
	case GW_ACT_STOP: stop(a); break;
	case GW_ACT_LOOK: look(a); break;
	case GW_ACT_PEER: keep_peer(a, &action->host); break;
	case GW_ACT_SAVE: save(a); break;
	case GW_ACT_RESUME: resume(a); break;
	case GW_ACT_LET_GO: stop_tracking(a); break;
	case GW_ACT_DIGESTS: begin_digests(a); break;
	case GW_ACT_ROUND: round_ended(a, action->round); break;
	case GW_ACT_SHADOW_PREPARE: prepare_shadow(a); break;
	case GW_ACT_SHADOW_RUN:
	case GW_ACT_SHADOW_HOLD:
	case GW_ACT_SHADOW_GO:
	case GW_ACT_SHADOW_END: tell_shadow(a, action->kind); break;
	case GW_ACT_CONNECT: connect_again(a); break;
	case GW_ACT_RELEASE: release(a); break;
	default: break;
	}
}

static void carry_out(struct agent *a)
{
	size_t i;

	for (i = 0; i < a->actions.count; i++)
		act(a, &a->actions.at[i]);
}

/* --- the loop ------------------------------------------------------------------------------ */

static void fill_bulk(struct agent *a)
{
	int frames;

	for (frames = 0; frames < FRAMES_A_TURN; frames++) {
		struct gw_event event = {.kind = GW_EV_ROOM};

		if (!a->link.up || a->finished || gw_answers_any(&a->answers))
			return;
		flush_bulk(a);
		if (!bulk_idle(a) || !gw_source_wants_room(a->machine))
			return;
		step(a, &event);
	}
}

static void show_progress(struct agent *a)
{
	uint64_t now = gw_now_ns(), done, all;

	if (!a->options->progress || now - a->progress_ns < PROGRESS_NS)
		return;
	a->progress_ns = now;
	gw_source_progress(a->machine, &done, &all);
	a->options->progress(a->options->arg, gw_state_name(gw_source_state(a->machine)),
	                     done * GW_PAGE_BYTES, all * GW_PAGE_BYTES, now);
}

enum { P_CONTROL, P_URGENT, P_BULK, P_VM, P_STATE, P_SHADOW, P_STOP, P_ASK, P_COUNT };

static void prepare_poll(struct agent *a, struct pollfd *items)
{
	bool bulk_waits, state_may;

	memset(items, 0, P_COUNT * sizeof(*items));
	gw_agent_watch(&items[P_CONTROL], -1, false, false);
	gw_agent_watch(&items[P_URGENT], -1, false, false);
	gw_agent_watch(&items[P_BULK], -1, false, false);
	if (a->link.up) {
		bulk_waits = !bulk_idle(a) || gw_source_wants_room(a->machine);
		gw_agent_watch(&items[P_CONTROL], gw_mailbox_fd(a->link.control), true,
		               gw_mailbox_wants_to_write(a->link.control) || a->digesting);
		gw_agent_watch(&items[P_URGENT], gw_mailbox_fd(a->link.urgent), true,
		               !gw_sender_idle(&a->urgent) || a->urgent_taken < a->urgent_count);
		gw_agent_watch(&items[P_BULK], a->link.bulk, !a->bulk_ended, bulk_waits);
	}
	state_may = a->state_fd >= 0 && !a->state_ended && a->link.up &&
	            gw_mailbox_queued_bytes(a->link.control) < CONTROL_QUEUE_MAX;
	gw_agent_watch(&items[P_VM], a->guest ? gw_vm_fd(a->guest->vm) : -1, a->guest != NULL,
	               false);
	gw_agent_watch(&items[P_STATE], a->state_fd, state_may, false);
	gw_agent_watch(&items[P_SHADOW], a->shadow ? gw_shadow_fd(a->shadow) : -1,
	               a->shadow != NULL, false);
	gw_agent_watch(&items[P_STOP], a->options->stop_fd, a->options->stop_fd >= 0, false);
	gw_agent_watch(&items[P_ASK], a->control ? gw_control_fd(a->control) : -1,
	               a->control != NULL, false);
}

static void stop_asked(struct agent *a)
{
	char record[256]; /* a signalfd's, or a byte of a pipe */

	(void)!read(a->options->stop_fd, record, sizeof(record));
	queue(a, GW_EV_ABORT, "stopped by the user");
}

static void answer_abort(struct agent *a)
{
	enum gw_state state = gw_source_state(a->machine);
	bool late = state >= GW_STATE_COMMITMENT && state != GW_STATE_CANCELLED;

	queue(a, GW_EV_ABORT, "stopped by the user");
	gw_control_answer(a->control, late ? "refused: the VM has been handed over\n" : "ok\n");
}

/* "rate 12500000": the move's share of a link that several moves divide; 0: all of it. */
static void answer_rate(struct agent *a, const char *text)
{
	unsigned long long rate;
	char end;

	if (sscanf(text, "%llu%c", &rate, &end) != 1) {
		gw_control_answer(a->control, "refused: no rate\n");
		return;
	}
	a->granted_rate = rate;
	if (a->pacing)
		gw_pacer_limit(&a->pacer,
		               a->shaped ? limit_of(a) : limit_of(a) / 100 * GW_PACER_SHARE);
	update_pace(a);
	gw_control_answer(a->control, "ok\n");
}

/* live/host/move.h has what the words mean. */
static void answer_state(struct agent *a)
{
	const struct gw_migrate_result *r = a->result;
	const struct gw_round *last = r->round_count ? &r->rounds[r->round_count - 1] : NULL;
	uint64_t done, all;

	gw_source_progress(a->machine, &done, &all);
	gw_control_answer(a->control, "%u %llu %llu %llu %u %llu %llu %llu\n",
	                  gw_source_state(a->machine), (unsigned long long)done,
	                  (unsigned long long)all, (unsigned long long)gw_link_bytes(&a->link),
	                  last ? last->round : 0,
	                  (unsigned long long)(last ? last->dirty_pages : 0),
	                  (unsigned long long)(last ? last->duration_ns : 0),
	                  (unsigned long long)r->bandwidth_bytes_per_s);
}

static void answer_control(struct agent *a)
{
	char command[64];
	uint64_t done, all;

	if (!gw_control_next(a->control, command, sizeof(command)))
		return;
	if (!strcmp(command, "abort")) {
		answer_abort(a);
		return;
	}
	if (!strncmp(command, "rate ", 5)) {
		answer_rate(a, command + 5);
		return;
	}
	if (!strcmp(command, "state")) {
		answer_state(a);
		return;
	}
	gw_source_progress(a->machine, &done, &all);
	gw_control_answer(a->control, "%s %llu %llu\n", gw_state_name(gw_source_state(a->machine)),
	                  (unsigned long long)done, (unsigned long long)all);
}

static void serve_link(struct agent *a, const struct pollfd *items)
{
	unsigned link = a->links;

	if (a->link.up && items[P_URGENT].revents)
		read_mailbox(a, a->link.urgent);
	if (a->links != link)
		return; /* what poll() said was about the old link */
	if (a->link.up && (items[P_URGENT].revents & POLLOUT))
		flush_urgent(a);
	if (a->link.up && (items[P_CONTROL].revents & (POLLIN | POLLHUP | POLLERR)))
		read_mailbox(a, a->link.control);
	if (a->links != link)
		return;
	if (a->link.up && (items[P_CONTROL].revents & POLLOUT)) {
		int err = gw_mailbox_flush(a->link.control);

		if (err)
			lost(a, strerror(-err));
		else if (a->digesting && !gw_mailbox_wants_to_write(a->link.control))
			send_digests(a);
	}
	if (a->link.up && (items[P_BULK].revents & (POLLHUP | POLLERR))) {
		lost(a, "the bulk connection broke");
		return;
	}
	if (a->link.up && (items[P_BULK].revents & POLLIN))
		listen_to_bulk(a);
	if (a->link.up && (items[P_BULK].revents & POLLOUT))
		fill_bulk(a);
}

static void turn(struct agent *a)
{
	struct pollfd items[P_COUNT];
	struct gw_event tick = {.kind = GW_EV_TICK};
	uint64_t deadline = gw_source_deadline(a->machine), now = gw_now_ns();
	int wait = gw_poll_ms(deadline < a->resume_at_ns ? deadline : a->resume_at_ns, now);

	prepare_poll(a, items);
	if (a->link.up && wait != 0 && (wait < 0 || wait > 100))
		wait = 100; /* progress, pacing */
	if (poll(items, P_COUNT, wait) < 0 && errno != EINTR)
		return;
	serve_link(a, items);
	if (items[P_VM].revents)
		read_vm(a);
	if (a->state_fd >= 0 && items[P_STATE].revents)
		read_state(a);
	if (items[P_SHADOW].revents)
		read_shadow(a);
	survey_if_due(a);
	if (items[P_STOP].revents)
		stop_asked(a);
	if (items[P_ASK].revents)
		answer_control(a);
	if (gw_now_ns() >= a->resume_at_ns)
		ask_to_run(a);
	drain_queue(a);
	if (!a->finished && gw_now_ns() >= gw_source_deadline(a->machine))
		step(a, &tick);
	drain_queue(a);
	update_pace(a);
	show_progress(a);
}

/* --- setting up ---------------------------------------------------------------------------- */

static int take_memory(struct agent *a, uint64_t pages, struct gw_error *error)
{
	size_t words = gw_set_words(pages);
	void *machine = malloc(gw_source_bytes(&a->policy, &a->order, pages));
	uint64_t *sets = calloc(3 * words, sizeof(*sets));

	a->machine = machine;
	a->buffer = malloc(STATE_CHUNK);
	a->copies = malloc((size_t)GW_FRAME_PAGES_MAX * GW_PAGE_BYTES);
	a->digests = malloc(DIGEST_CHUNK * sizeof(*a->digests));
	if (!machine || !sets || !a->buffer || !a->copies || !a->digests) {
		free(sets);
		return gw_fail(error, ENOMEM, "no memory to track %llu pages",
		               (unsigned long long)pages);
	}
	gw_set_init(&a->pages, sets, pages);
	gw_set_init(&a->peeked, sets + words, pages);
	gw_set_init(&a->digest_pages, sets + 2 * words, pages);
	return 0;
}

static void give_back(struct agent *a)
{
	end_shadow(a);
	stop_tracking(a);
	gw_observed_clear(&a->observed);
	hang_up(a);
	if (a->shaped)
		gw_shaping_remove(&a->shaping);
	gw_cleanup_close(&a->state_fd);
	gw_control_close(a->control);
	gw_journal_close(&a->journal);
	gw_ram_close(&a->ram);
	free(a->machine);
	free(a->pages.words);
	free(a->buffer);
	free(a->copies);
	free(a->digests);
	free(a->urgent_queue);
}

static void config_of(const struct agent *a, const struct gw_guest *guest,
                      struct gw_source_config *config)
{
	const struct gw_migrate_options *o = a->options;

	*config = (struct gw_source_config){
	        .policy = a->policy,
	        .order = a->order,
	        .observation = a->observed.observation,
	        .id = a->journal.id,
	        .name = a->journal.name,
	        .hot = a->hot,
	        .hot_count = a->hot_count,
	        .vcpus = a->journal.vcpus,
	        .ram_pages = a->ram.pages,
	        .limit_bytes_per_s = o->bandwidth_bytes_per_s,
	        .downtime_limit_ns = o->downtime_ns,
	        .deadline_ns = o->deadline_ns,
	        .reconnect_ns = o->reconnect_ns,
	        .latency_ns = a->link.up ? gw_net_rtt_ns(gw_mailbox_fd(a->link.control)) / 2 : 0,
	        .state_bytes = STATE_BYTES_GUESS,
	        .verify = a->journal.verifies,
	        .paused = a->journal.paused,
	        .destination = a->journal.host,
	};
	if (guest && guest->spec) {
		config->spec = (const uint8_t *)guest->spec;
		config->spec_bytes = (uint32_t)strlen(guest->spec);
		if (guest->state_bytes)
			config->state_bytes = guest->state_bytes;
	}
}

static void describe(struct agent *a)
{
	struct gw_migrate_result *r = a->result;

	(void)snprintf(r->name, sizeof(r->name), "%s", a->journal.name);
	(void)snprintf(r->policy, sizeof(r->policy), "%s", a->policy.kind->name);
	if (a->policy.kind->pulls)
		(void)snprintf(r->order, sizeof(r->order), "%s", a->order.kind->name);
	r->ram_bytes = a->ram.bytes;
	r->vcpus = a->journal.vcpus;
}

static void run(struct agent *a, struct gw_event *first)
{
	struct gw_source_config config;

	config_of(a, a->guest, &config);
	a->machine = gw_source_init(a->machine, &config);
	gw_observed_clear(&a->observed);
	step(a, first);
	drain_queue(a);
	while (!a->finished) {
		if (a->link.up)
			a->result->latency_ns = gw_net_rtt_ns(gw_mailbox_fd(a->link.control)) / 2;
		turn(a);
	}
	a->result->metrics = *gw_source_metrics(a->machine);
	a->result->metrics.bytes_on_link = gw_link_bytes(&a->link); /* with the last word */
}

static void begin(struct agent *a, const struct gw_migrate_options *options,
                  struct gw_migrate_result *result)
{
	memset(a, 0, sizeof(*a));
	memset(result, 0, sizeof(*result));
	a->options = options;
	a->granted_rate = options->granted_bytes_per_s;
	a->policy = options->policy;
	a->order = options->order;
	a->result = result;
	a->resume_at_ns = a->survey_at_ns = UINT64_MAX;
	a->state_fd = -1;
	a->journal.fd = -1;
	a->ram.fd = -1;
	a->link.bulk = -1;
}

static int open_journal(struct agent *a, struct gw_error *error)
{
	struct gw_journal *j = &a->journal;
	int err = gw_id_random(&j->id, error);

	if (err)
		return err;
	j->side = GW_SIDE_SOURCE;
	j->verifies = a->options->verify;
	gw_agent_note_guest(j, a->guest);
	(void)snprintf(j->peer, sizeof(j->peer), "%s", a->options->to);
	err = gw_journal_create(j, a->options->dir, error);
	return err ? err : gw_journal_write(j, GW_REC_LEAVING, false, error);
}

/* --- observing, before it begins ------------------------------------------------------------ */

/* The VM is as it was, or it has ended of itself. */
static void ends_early(struct agent *a, int err, const struct gw_error *why)
{
	struct gw_migrate_result *r = a->result;

	r->outcome = err == -ECANCELED ? GW_STAYED : GW_LOST;
	(void)snprintf(r->reason, sizeof(r->reason), "%s", why->text);
	(void)gw_journal_write(&a->journal, GW_REC_STAYED, false, NULL);
	a->finished = true;
}

static int observe(struct agent *a, struct gw_error *error)
{
	int err = 0;

	a->observed.observation = a->options->observation;
	if (!a->observed.observation.count && a->options->observe_ns)
		err = gw_outlook_watch(a->options, a->guest, &a->ram, a->control, &a->way,
		                       &a->observed, error);
	for (size_t i = 0; i < a->observed.observation.count; i++)
		a->result->observation_ns += a->observed.observation.windows[i].length_ns;
	if (err != -ECANCELED && err != -ESRCH)
		return err;
	ends_early(a, err, error);
	return 0;
}

static int plan(struct agent *a, struct gw_error *error)
{
	const struct gw_outlook outlook = {.seen = &a->observed, .way = &a->way};
	int err = 0;

	if (!a->options->plan)
		return 0;
	if (!a->way.latency_ns)
		err = gw_link_look(a->options->to, &a->way, CONNECT_MS, error);
	if (!err)
		err = a->options->plan(a->options->arg, &outlook, &a->policy, &a->order, error);
	describe(a);
	return err;
}

static int observe_and_move(struct agent *a, struct gw_error *error)
{
	struct gw_event start = {.kind = GW_EV_START};
	int err;

	a->control = gw_control_open(a->journal.path, NULL);
	describe(a);
	err = observe(a, error);
	if (!err && !a->finished)
		err = plan(a, error);
	if (!err && !a->finished)
		err = take_memory(a, a->ram.pages, error);
	if (err || a->finished)
		return err;
	if (a->policy.kind->pulls)
		a->hot_count = gw_guest_hot_pages(a->guest, a->hot, GW_FRAME_RUNS_MAX);
	err = gw_link_connect(&a->link, a->options->to, &a->journal.id, a->ram.pages, CONNECT_MS,
	                      error);
	if (err)
		return err;
	link_stands(a);
	run(a, &start);
	return 0;
}

int gw_migrate(struct gw_guest *guest, const struct gw_migrate_options *options,
               struct gw_migrate_result *result, struct gw_error *error)
{
	struct agent a;
	int err;

	begin(&a, options, result);
	a.guest = guest;
	err = gw_ram_open(&a.ram, guest->vm->ram_path, guest->vm->pid, error);
	if (!err)
		err = gw_ram_hold(&a.ram, guest->vm->name, error);
	if (!err)
		err = gw_vm_prepare_save(guest->vm, error);
	if (!err)
		err = open_journal(&a, error);
	if (!err)
		err = observe_and_move(&a, error);
	if (err && a.journal.fd >= 0)
		(void)gw_journal_write(&a.journal, GW_REC_STAYED, false, NULL);
	give_back(&a);
	return err;
}

/*
 * An agent died between its last record and the end of the VM's process here. That process is ended
 * only if it holds the very memory file of this migration: a VM of that name may have come since.
 */
static int finish_release(struct agent *a)
{
	struct gw_journal *j = &a->journal;
	struct gw_guest guest;
	struct gw_ram ram;

	if (!gw_guest_reopen(&guest, j->kind, j->name, j->control, j->pid, j->ram, j->paused,
	                     NULL)) {
		if (!gw_ram_open(&ram, j->ram, guest.vm->pid, NULL)) {
			gw_ram_close(&ram);
			gw_guest_remove(&guest);
		} else {
			gw_guest_close(&guest);
		}
	} else if (!access(j->ram, F_OK)) {
		remove_what_is_left(j);
	}
	(void)snprintf(a->result->name, sizeof(a->result->name), "%s", j->name);
	(void)snprintf(a->result->policy, sizeof(a->result->policy), "%s", a->policy.kind->name);
	(void)snprintf(a->result->reason, sizeof(a->result->reason),
	               "the VM runs at the destination; what was left here is removed");
	a->result->outcome = GW_COMPLETED;
	give_back(a);
	return 0;
}

int gw_migrate_recover(struct gw_journal *journal, const struct gw_migrate_options *options,
                       struct gw_migrate_result *result, struct gw_error *error)
{
	struct gw_event first = {.kind = GW_EV_RECOVER, .recover.record = journal->record};
	struct gw_guest guest;
	struct agent a;
	int err;

	begin(&a, options, result);
	a.journal = *journal;
	/* `gone`, and the memory too: only a release takes it away, just before its record. */
	if (journal->record == GW_REC_RELEASED ||
	    (journal->record == GW_REC_GONE && access(journal->ram, F_OK) && errno == ENOENT)) {
		a.journal.record = GW_REC_RELEASED;
		return finish_release(&a);
	}
	if (!gw_guest_reopen(&guest, journal->kind, journal->name, journal->control, journal->pid,
	                     journal->ram, journal->paused, error)) {
		a.guest = &guest;
		a.runs = guest.runs;
		gw_attach_tidy(guest.vm->pid);
	}
	err = gw_ram_open(&a.ram, journal->ram, 0, error);
	if (!err)
		err = gw_ram_hold(&a.ram, journal->name, error);
	if (!err)
		err = take_memory(&a, a.ram.pages, error);
	if (!err) {
		a.control = gw_control_open(a.journal.path, NULL);
		describe(&a);
		run(&a, &first);
	}
	if (a.guest)
		gw_guest_close(a.guest);
	give_back(&a);
	return err;
}

void gw_migrate_result_clear(struct gw_migrate_result *result)
{
	free(result->rounds);
	memset(result, 0, sizeof(*result));
}
