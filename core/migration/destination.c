/* SPDX-License-Identifier: MIT */
/*
 * core/migration/destination.c - the side that the VM comes to.
 *
 * Theory of operation
 *
 * Before the switch pages are placed as they come; nothing is known of them but that they came
 * (`placed`). At the switch three things must have arrived, over two connections: the SWITCH
 * message, the whole MAP if pages are missing, and the SWITCH mark behind the last page sent before
 * it. Then stale pages are punched out, holes are made to fault, and the device state is loaded.
 *
 *   missing   to be pulled: a fault on it is asked for over the network
 *   neither   a hole at the source: a fault on it gets a zero page at once
 *
 * Ownership: nothing runs here before the record `mine` is written, which follows COMMIT. From the
 * record `prepared` until COMMIT or ABORT only the source knows who may run the VM, so a lost link
 * leaves everything as it stands. Before `prepared` a lost link destroys what was reserved.
 */
#include "core/migration/destination.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SECOND 1000000000ull

#define LINK_TIMEOUT_NS (30 * SECOND) /* the source says PING every 2 s */
#define RELEASE_NS      (30 * SECOND) /* how long RELEASED is waited for when all is here */
#define MORE_WAITERS    64            /* threads of the hypervisor that are not vCPUs */

#define WHO "destination"

#ifndef GW_PLANT
#define GW_PLANT 0 /* a bug that torture must find; see tests/sim */
#endif

struct waiter {
	int32_t thread; /* 0: free */
	bool vcpu;
	uint64_t page;
	uint64_t since_ns;
};

struct gw_destination {
	struct gw_destination_config config;
	enum gw_state state;
	struct gw_set placed;
	struct gw_set missing;
	struct gw_set punch; /* before the switch: stale; after it: asked for */
	struct waiter *waiters;
	size_t waiter_count, waiting;

	uint32_t flags; /* of the OFFER */
	bool link;
	bool switch_said, switch_marked, pulls;
	bool map_known, map_begun;
	bool map_awaited; /* the link is a new one, the map is from the old one */
	bool armed;       /* holes fault */
	bool loading;
	bool prepared;  /* the record is (being) written */
	bool committed; /* COMMIT came, or was taken up from the journal */
	bool resolved;  /* a person said instead that it is to run here */
	bool running;
	bool run_asked;
	bool taken_up;     /* from the journal, as `mine` */
	bool told_running; /* RESUME was answered so while `cont` was on its way */
	bool resume_asked; /* by the source, answered when it runs */
	bool end_marked;
	bool whole; /* runs, and every page is in */
	bool compared;
	bool digests_ended;
	bool destroying;
	bool unserved; /* waiters are left that the last step had no room for */
	bool finished;
	uint32_t end_number;
	uint32_t comparing; /* DIGESTS messages */
	uint32_t surveys;   /* under way */
	bool map_owed;      /* to RESUME, over this link */
	uint64_t heard_ns, committed_ns, whole_ns;
	uint64_t faults, stall_ns, placed_pages;
	uint64_t compared_pages, different_pages, first_different;
	struct gw_latencies latencies;
	char reason[GW_TRACE_BYTES];
};

size_t gw_destination_bytes(uint64_t ram_pages, uint32_t vcpus)
{
	return sizeof(struct gw_destination) + 3 * gw_set_words(ram_pages) * sizeof(uint64_t) +
	       ((size_t)vcpus + MORE_WAITERS) * sizeof(struct waiter);
}

struct gw_destination *gw_destination_init(void *memory, const struct gw_destination_config *config)
{
	struct gw_destination *d = memory;
	uint64_t *words = (uint64_t *)(void *)(d + 1);
	size_t n = gw_set_words(config->ram_pages);

	memset(d, 0, sizeof(*d));
	d->config = *config;
	if (!d->config.link_timeout_ns)
		d->config.link_timeout_ns = LINK_TIMEOUT_NS;
	gw_set_init(&d->placed, words, config->ram_pages);
	gw_set_init(&d->missing, words + n, config->ram_pages);
	gw_set_init(&d->punch, words + 2 * n, config->ram_pages);
	d->waiters = (struct waiter *)(void *)(words + 3 * n);
	d->waiter_count = (size_t)config->vcpus + MORE_WAITERS;
	memset(d->waiters, 0, d->waiter_count * sizeof(*d->waiters));
	d->state = GW_STATE_PRE_MIGRATION;
	d->link = true;
	return d;
}

enum gw_state gw_destination_state(const struct gw_destination *destination)
{
	return destination->state;
}

bool gw_destination_verifies(const struct gw_destination *destination)
{
	return destination->flags & GW_OFFER_VERIFIES;
}

/* --- small words --------------------------------------------------------------------------- */

static void enter(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out,
                  enum gw_state state, const char *why)
{
	gw_trace(out, ev->now_ns, WHO, "%s -> %s: %s", gw_state_name(d->state),
	         gw_state_name(state), why);
	d->state = state;
}

static void send(struct gw_actions *out, struct gw_message message)
{
	gw_act(out, GW_ACT_SEND)->message = message;
}

static void send_plain(struct gw_actions *out, enum gw_message_kind kind)
{
	send(out, (struct gw_message){.kind = kind});
}

static void journal(struct gw_actions *out, enum gw_journal_record record, bool durable)
{
	struct gw_action *action = gw_act(out, GW_ACT_JOURNAL);

	action->journal.record = record;
	action->journal.durable = durable;
}

static void finish(struct gw_destination *d, struct gw_actions *out, enum gw_outcome outcome)
{
	struct gw_action *action;

	if (d->finished)
		return;
	d->finished = true;
	gw_act(out, GW_ACT_HANG_UP);
	action = gw_act(out, GW_ACT_FINISH);
	action->finish.outcome = outcome;
	action->finish.text = d->reason;
}

static void keep_reason(struct gw_destination *d, const char *text)
{
	if (!d->reason[0])
		(void)snprintf(d->reason, sizeof(d->reason), "%s", text);
}

/*
 * Ends everything here; only while it is certain that nothing ran. `say` is what the source hears:
 * REFUSE before the reservation, ABORTED (a promise) after it.
 */
static void destroy(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out,
                    enum gw_message_kind say, const char *why)
{
	if (d->state == GW_STATE_CANCELLED || d->finished)
		return;
	keep_reason(d, why);
	enter(d, ev, out, GW_STATE_CANCELLED, why);
	d->armed = false;
	d->destroying = true;
	/*
	 * A crash between the two must leave nothing behind; but where the record is `mine` the
	 * new one comes first, for another agent would run the VM that the source gets back.
	 */
	if (!d->committed)
		gw_act(out, GW_ACT_DESTROY);
	journal(out, GW_REC_NEVER, true);
	if (d->committed)
		gw_act(out, GW_ACT_DESTROY);
	if (d->link)
		send(out, gw_message_reason(say, d->reason));
}

/* --- faults -------------------------------------------------------------------------------- */

static void ask_for(struct gw_destination *d, struct gw_actions *out, uint64_t page)
{
	if (gw_set_has(&d->punch, page) || !d->link)
		return;
	gw_set_add(&d->punch, page);
	d->faults++;
	send(out, (struct gw_message){.kind = GW_MSG_FAULT, .fault.page = page});
}

static void settle_waiter(struct gw_destination *d, const struct gw_event *ev, struct waiter *w,
                          bool network)
{
	uint64_t waited = ev->now_ns - w->since_ns;

	if (network)
		gw_latencies_add(&d->latencies, waited);
	if (w->vcpu && d->running)
		d->stall_ns += waited;
	w->thread = 0;
	d->waiting--;
}

static struct waiter *waiter_for(struct gw_destination *d, int32_t thread)
{
	struct waiter *free_one = NULL;
	size_t i;

	for (i = 0; i < d->waiter_count; i++) {
		if (d->waiters[i].thread == thread)
			return &d->waiters[i];
		if (!d->waiters[i].thread && !free_one)
			free_one = &d->waiters[i];
	}
	return free_one;
}

static void give_zero(struct gw_actions *out, uint64_t page)
{
	gw_act(out, GW_ACT_ZERO)->page = page;
}

static void fault(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	uint64_t page = ev->fault.page;
	struct waiter *w;

	if (page >= d->missing.pages || !d->armed)
		return;
	if (d->map_known && !gw_set_has(&d->missing, page)) {
		give_zero(out, page);
		return;
	}
	w = waiter_for(d, ev->fault.thread);
	if (w && (GW_PLANT != 4 || d->link)) { /* 4: forgets who waits while there is no link */
		d->waiting += !w->thread;
		*w = (struct waiter){ev->fault.thread, ev->fault.vcpu, page, ev->now_ns};
	}
	if (d->map_known)
		ask_for(d, out, page);
}

/* A new map came after a lost link: whoever still waits is served by it. */
static void ask_again(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	size_t i;

	d->unserved = false;
	for (i = 0; i < d->waiter_count; i++) {
		struct waiter *w = &d->waiters[i];

		if (!w->thread)
			continue;
		if (out->count + 8 > GW_ACTIONS_MAX) {
			d->unserved = true;
			return;
		}
		if (gw_set_has(&d->missing, w->page)) {
			ask_for(d, out, w->page);
		} else {
			give_zero(out, w->page);
			settle_waiter(d, ev, w, false);
		}
	}
}

/* --- arriving at the switch ---------------------------------------------------------------- */

static void load(struct gw_destination *d, struct gw_actions *out)
{
	d->loading = true;
	gw_act(out, GW_ACT_LOAD);
}

static void maybe_switch(struct gw_destination *d, const struct gw_event *ev,
                         struct gw_actions *out)
{
	char why[96];

	if (d->state != GW_STATE_ITERATIVE_PRE_COPY || !d->switch_said || !d->switch_marked ||
	    !d->map_known)
		return;
	(void)snprintf(why, sizeof(why), "the source has stopped the VM; %llu pages are missing",
	               (unsigned long long)gw_set_count(&d->missing));
	enter(d, ev, out, GW_STATE_STOP_AND_COPY, why);
	if (!d->pulls) {
		load(d, out);
		return;
	}
	gw_set_copy(&d->punch, &d->missing);
	gw_set_intersect(&d->punch, &d->placed);
	if (GW_PLANT == 3) /* stale pages stay */
		gw_set_clear(&d->punch);
	gw_act(out, GW_ACT_ARM)->set = &d->punch;
}

/* Pages are asked for: it runs, or cannot before it has some of them. */
static bool pulling(const struct gw_destination *d)
{
	return d->state == GW_STATE_PULL || d->told_running;
}

/* What the source said and sent before it heard our last word means nothing any more. */
static bool said_last_word(const struct gw_destination *d)
{
	return d->state == GW_STATE_CANCELLED || d->state == GW_STATE_DOUBT;
}

static int switch_said(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	const struct gw_message *m = ev->message;

	if (said_last_word(d))
		return 0;
	if (pulling(d)) { /* taken up again: a new map follows */
		if (!m->switched.pulls)
			return -EPROTO;
		d->map_begun = false;
		return 0;
	}
	if (d->state != GW_STATE_ITERATIVE_PRE_COPY || d->switch_said)
		return -EPROTO;
	if (m->switched.pulls && !(d->flags & GW_OFFER_PULLS))
		return -EPROTO;
	d->switch_said = true;
	d->pulls = m->switched.pulls;
	d->map_known = !d->pulls;
	maybe_switch(d, ev, out);
	return 0;
}

static void maybe_pulled(struct gw_destination *d, struct gw_actions *out)
{
	if (d->state == GW_STATE_PULL && d->armed && d->map_known && !d->map_awaited &&
	    d->end_marked && gw_set_empty(&d->missing)) {
		d->armed = false;
		gw_act(out, GW_ACT_DISARM);
	}
}

/*
 * Before the switch a MAP names pages that were written since they came: the source will send them
 * again in any case, and punching them out now is not done while the VM stands.
 */
static int stale_said(struct gw_destination *d, const struct gw_message *m, struct gw_actions *out)
{
	struct gw_message ack = {.kind = GW_MSG_ROUND_ACK};
	uint32_t i;

	if (!(d->flags & GW_OFFER_PULLS))
		return -EPROTO;
	for (i = 0; i < m->map.count; i++)
		gw_set_add_run(&d->punch, m->map.runs[i]);
	if (!m->map.last)
		return 0;
	gw_set_intersect(&d->punch, &d->placed);
	gw_set_subtract(&d->placed, &d->punch);
	gw_act(out, GW_ACT_PUNCH)->set = &d->punch;
	ack.round_ack.placed_pages = d->placed_pages;
	send(out, ack);
	return 0;
}

static int map_said(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	const struct gw_message *m = ev->message;
	uint32_t i;

	if (said_last_word(d))
		return 0;
	if (d->state == GW_STATE_ITERATIVE_PRE_COPY && !d->switch_said)
		return stale_said(d, m, out);
	if (!d->pulls || (d->state != GW_STATE_ITERATIVE_PRE_COPY && !pulling(d)))
		return -EPROTO;
	if (!d->map_begun)
		gw_set_clear(&d->missing);
	d->map_begun = true;
	for (i = 0; i < m->map.count; i++)
		gw_set_add_run(&d->missing, m->map.runs[i]);
	if (!m->map.last)
		return 0;
	d->map_known = true;
	if (pulling(d)) {
		/* What was sent after the map may have overtaken it on another connection. */
		gw_set_subtract(&d->missing, &d->placed);
		gw_set_clear(&d->punch);
		d->map_awaited = false;
		ask_again(d, ev, out);
		maybe_pulled(d, out);
	} else {
		maybe_switch(d, ev, out);
	}
	return 0;
}

static void armed(struct gw_destination *d, struct gw_actions *out)
{
	if (d->state != GW_STATE_STOP_AND_COPY)
		return;
	d->armed = true;
	gw_set_clear(&d->punch);
	load(d, out);
}

static void loaded(struct gw_destination *d, struct gw_actions *out)
{
	if (d->state != GW_STATE_STOP_AND_COPY || !d->loading)
		return;
	d->loading = false;
	d->prepared = true;
	journal(out, GW_REC_PREPARED, false);
}

/* --- running here -------------------------------------------------------------------------- */

static void say_done(struct gw_destination *d, struct gw_actions *out)
{
	struct gw_message message = {.kind = GW_MSG_DONE};

	message.done.faults = d->faults;
	message.done.stall_ns = d->stall_ns;
	message.done.fault_p50_ns = gw_latencies_quantile(&d->latencies, 500);
	message.done.fault_p99_ns = gw_latencies_quantile(&d->latencies, 990);
	message.done.fault_max_ns = d->latencies.max_ns;
	message.done.placed_pages = d->placed_pages;
	if (d->link)
		send(out, message);
}

static void became_whole(struct gw_destination *d, const struct gw_event *ev,
                         struct gw_actions *out)
{
	struct gw_message ack = {.kind = GW_MSG_ROUND_ACK};

	d->whole = true;
	d->armed = false;
	d->whole_ns = ev->now_ns;
	gw_trace(out, ev->now_ns, WHO, "every page is in");
	journal(out, GW_REC_WHOLE, true);
	if (d->resume_asked || (d->taken_up && !d->pulls))
		return; /* the answer to RESUME says it all */
	if (!gw_destination_verifies(d) || d->compared) {
		say_done(d, out);
		return;
	}
	if (!d->pulls || !d->link)
		return;
	ack.round_ack.round = d->end_number;
	ack.round_ack.placed_pages = d->placed_pages;
	send(out, ack);
}

/* What is here, for the source to know the rest. */
static void survey(struct gw_destination *d, struct gw_actions *out)
{
	d->surveys++;
	d->map_owed = true;
	gw_act(out, GW_ACT_SURVEY);
}

/* Only the last one asked for answers over this link: the others were for one that is gone. */
static void surveyed(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	if (d->surveys)
		d->surveys--;
	if (d->surveys || !d->map_owed || !d->link || (!d->running && !d->told_running))
		return;
	d->map_owed = false;
	gw_act(out, GW_ACT_MAP)->set = ev->set;
}

static void answer_resume(struct gw_destination *d, struct gw_actions *out)
{
	struct gw_message message = {.kind = GW_MSG_STANDING, .standing.host = d->config.host};

	d->resume_asked = false;
	if (d->whole)
		message.standing.standing = GW_STANDS_COMPLETE;
	else if (d->running || d->told_running)
		message.standing.standing = GW_STANDS_RUNNING;
	else if (d->state == GW_STATE_COMMITMENT)
		message.standing.standing = GW_STANDS_PREPARED;
	else if (d->state == GW_STATE_DOUBT)
		message.standing.standing = GW_STANDS_DOUBT;
	else
		message.standing.standing = GW_STANDS_UNKNOWN;
	send(out, message);
	if (d->whole)
		say_done(d, out);
	else if (d->running || d->told_running)
		survey(d, out);
}

static void running(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_message message = {.kind = GW_MSG_ACTIVATED};

	if (d->state != GW_STATE_ACTIVATION || d->running)
		return;
	d->running = true;
	gw_trace(out, ev->now_ns, WHO, "the VM runs here");
	message.activated.after_ns = ev->now_ns - d->committed_ns;
	if (d->link && !d->resume_asked && !d->taken_up && !d->told_running)
		send(out, message);
	if (d->pulls)
		enter(d, ev, out, GW_STATE_PULL, "pages are pulled");
	else
		became_whole(d, ev, out);
	if (d->resume_asked)
		answer_resume(d, out);
	maybe_pulled(d, out);
}

static int commit(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	if (d->state == GW_STATE_CANCELLED) {
		/* We had ended it, durably, before COMMIT came: it is the source's again. */
		send(out, gw_message_reason(GW_MSG_ABORTED, d->reason));
		return 0;
	}
	if (d->state != GW_STATE_COMMITMENT)
		return -EPROTO;
	d->committed = true;
	d->committed_ns = ev->now_ns;
	enter(d, ev, out, GW_STATE_ACTIVATION, "the source has committed");
	journal(out, GW_REC_MINE, false);
	return 0;
}

/* --- events -------------------------------------------------------------------------------- */

static int offered(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	const struct gw_message *m = ev->message;

	if (d->state == GW_STATE_CANCELLED)
		return 0; /* our word is on its way */
	if (d->state != GW_STATE_PRE_MIGRATION)
		return -EPROTO;
	d->flags = m->offer.flags;
	if ((d->flags & GW_OFFER_PULLS) && !d->config.serves_faults) {
		keep_reason(d, d->config.why_no_faults);
		enter(d, ev, out, GW_STATE_CANCELLED, "page faults cannot be served here");
		send(out, gw_message_reason(GW_MSG_REFUSE, d->reason));
		finish(d, out, GW_STAYED);
		return 0;
	}
	enter(d, ev, out, GW_STATE_RESERVATION, "a VM is offered");
	gw_act(out, GW_ACT_RESERVE)->message = *m;
	return 0;
}

static void journaled(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	switch (d->state) {
	case GW_STATE_RESERVATION:
		enter(d, ev, out, GW_STATE_ITERATIVE_PRE_COPY, "its place is reserved");
		send(out,
		     (struct gw_message){.kind = GW_MSG_ACCEPT, .accept.host = d->config.host});
		break;
	case GW_STATE_STOP_AND_COPY:
		if (d->prepared) {
			if (GW_PLANT == 13) /* runs without COMMIT */
				gw_act(out, GW_ACT_RUN);
			enter(d, ev, out, GW_STATE_COMMITMENT, "the device state is loaded");
			send_plain(out, GW_MSG_PREPARED);
		}
		break;
	case GW_STATE_ACTIVATION:
		if (!d->running && d->committed) {
			d->run_asked = true;
			gw_act(out, GW_ACT_RUN);
		}
		break;
	default: break;
	}
}

static void placed(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	size_t i, j;

	for (i = 0; i < ev->placed.count; i++) {
		gw_set_add_run(&d->placed, ev->placed.runs[i]);
		gw_set_remove_run(&d->missing, ev->placed.runs[i]);
		d->placed_pages += ev->placed.runs[i].count;
	}
	if (!d->armed)
		return;
	for (j = 0; d->waiting && j < d->waiter_count; j++)
		if (d->waiters[j].thread && !gw_set_has(&d->missing, d->waiters[j].page))
			settle_waiter(d, ev, &d->waiters[j], true);
	maybe_pulled(d, out);
}

static int marked(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_message ack = {.kind = GW_MSG_ROUND_ACK};

	d->heard_ns = ev->now_ns;
	if (said_last_word(d))
		return 0;
	switch (ev->mark.kind) {
	case GW_FRAME_ROUND:
		if (d->state != GW_STATE_ITERATIVE_PRE_COPY)
			return -EPROTO;
		ack.round_ack.round = ev->mark.number;
		ack.round_ack.placed_pages = d->placed_pages;
		send(out, ack);
		return 0;
	case GW_FRAME_SWITCH:
		if (d->state != GW_STATE_ITERATIVE_PRE_COPY || d->switch_marked)
			return -EPROTO;
		d->switch_marked = true;
		maybe_switch(d, ev, out);
		return 0;
	case GW_FRAME_END:
		if (!pulling(d))
			return -EPROTO;
		d->end_marked = true;
		d->end_number = ev->mark.number;
		maybe_pulled(d, out);
		return 0;
	default: return -EPROTO;
	}
}

static int aborted(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	char text[GW_TRACE_BYTES];
	size_t n = ev->message->reason.bytes;

	if (d->state == GW_STATE_CANCELLED) {
		send(out, gw_message_reason(GW_MSG_ABORTED, d->reason));
		return 0;
	}
	if (d->committed)
		return -EPROTO;
	if (n > sizeof(text) - 1)
		n = sizeof(text) - 1;
	memcpy(text, ev->message->reason.text, n);
	text[n] = '\0';
	destroy(d, ev, out, GW_MSG_ABORTED, text);
	return 0;
}

static int message(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	const struct gw_message *m = ev->message;

	d->heard_ns = ev->now_ns;
	switch (m->kind) {
	case GW_MSG_OFFER: return offered(d, ev, out);
	case GW_MSG_SWITCH: return switch_said(d, ev, out);
	case GW_MSG_MAP: return map_said(d, ev, out);
	case GW_MSG_COMMIT: return commit(d, ev, out);
	case GW_MSG_ABORT: return aborted(d, ev, out);
	case GW_MSG_DIGESTS:
		if (!gw_destination_verifies(d) || !d->whole)
			return d->state == GW_STATE_CANCELLED ? 0 : -EPROTO;
		d->comparing++;
		gw_act(out, GW_ACT_COMPARE)->message = *m;
		return 0;
	case GW_MSG_RESUME:
		/* `cont` may wait for a page, which comes only if the source hears that it is owed.
		 */
		if (d->state == GW_STATE_ACTIVATION && d->pulls && d->run_asked)
			d->told_running = true;
		if (d->state == GW_STATE_ACTIVATION && !d->running && !d->told_running)
			d->resume_asked = true;
		else
			answer_resume(d, out);
		return 0;
	case GW_MSG_RELEASED:
		if (!d->whole)
			return -EPROTO;
		enter(d, ev, out, GW_STATE_RELEASED, "the source has let go");
		keep_reason(d, "the VM runs here");
		finish(d, out, GW_COMPLETED);
		return 0;
	case GW_MSG_PING:
		send(out, (struct gw_message){.kind = GW_MSG_PONG, .ping = m->ping});
		return 0;
	case GW_MSG_PONG: return 0;
	default: return -EPROTO;
	}
}

static void compared(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_message message = {.kind = GW_MSG_VERDICT};

	if (ev->compared.different && !d->different_pages)
		d->first_different = ev->compared.first_different;
	d->compared_pages += ev->compared.compared;
	d->different_pages += ev->compared.different;
	d->comparing--;
	d->digests_ended |= ev->compared.last;
	if (!d->digests_ended || d->comparing)
		return;
	d->compared = true;
	message.verdict.compared = d->compared_pages;
	message.verdict.different = d->different_pages;
	message.verdict.first_different = d->first_different;
	if (d->link)
		send(out, message);
	say_done(d, out);
}

static void link_up(struct gw_destination *d, const struct gw_event *ev)
{
	d->link = true;
	d->heard_ns = ev->now_ns;
	if (!d->prepared)
		return;
	/* What the old link's END and map said holds no longer; `placed` counts from here. */
	d->map_awaited = d->pulls;
	d->end_marked = false;
	if (GW_PLANT != 11) /* 11: what was placed, and punched since, counts as there */
		gw_set_clear(&d->placed);
}

static void link_lost(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	char why[GW_TRACE_BYTES];

	if (!d->link || d->finished)
		return;
	d->link = d->map_owed = false;
	gw_act(out, GW_ACT_HANG_UP);
	(void)snprintf(why, sizeof(why), "the link to the source was lost: %.150s", ev->text);
	if (d->state == GW_STATE_CANCELLED && d->destroying)
		return;
	if (d->state == GW_STATE_PRE_MIGRATION || d->state == GW_STATE_CANCELLED) {
		keep_reason(d, why);
		finish(d, out, GW_STAYED);
	} else if (d->state == GW_STATE_DOUBT) {
		keep_reason(d, "a person must say who runs the VM: `resolve --run-here|--gone`");
		finish(d, out, GW_DOUBTED);
	} else if (!d->prepared) {
		destroy(d, ev, out, GW_MSG_ABORTED, why);
	} else {
		gw_trace(out, ev->now_ns, WHO, "%s; %s", why,
		         d->committed
		                 ? "the VM runs here, what is missing waits"
		                 : "the VM stands paused until the source says who may run it");
	}
}

static void vm_gone(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	char why[GW_TRACE_BYTES];

	(void)snprintf(why, sizeof(why), "the VM ended at the destination: %.150s", ev->text);
	/* In Doubt it may have run: its end promises nothing. */
	if (d->state == GW_STATE_CANCELLED || d->state == GW_STATE_DOUBT)
		return;
	if (!d->committed) {
		destroy(d, ev, out, GW_MSG_ABORTED, why);
		return;
	}
	keep_reason(d, why);
	gw_trace(out, ev->now_ns, WHO, "%s", why);
	if (d->whole)
		return; /* its own life: the move itself is over */
	journal(out, GW_REC_DOUBT, true);
	if (d->link)
		send(out, gw_message_reason(GW_MSG_ABORT, d->reason));
	finish(d, out, GW_LOST);
}

/*
 * An agent before this one had written `mine`: the VM may have run, and may run still. A source
 * that was told that it runs would push pages for ever.
 */
static void may_have_run(struct gw_destination *d, const struct gw_event *ev,
                         struct gw_actions *out)
{
	bool waits = d->resume_asked || d->told_running;

	keep_reason(d, ev->text);
	enter(d, ev, out, GW_STATE_DOUBT, ev->text);
	journal(out, GW_REC_DOUBT, true);
	d->told_running = false;
	if (waits && d->link)
		answer_resume(d, out);
}

static void failed(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	d->surveys = 0; /* perhaps it was one that failed: none is to be waited for in vain */
	switch (d->state) {
	case GW_STATE_PRE_MIGRATION:
	case GW_STATE_RESERVATION: destroy(d, ev, out, GW_MSG_REFUSE, ev->text); break;
	case GW_STATE_ITERATIVE_PRE_COPY:
	case GW_STATE_STOP_AND_COPY: destroy(d, ev, out, GW_MSG_ABORTED, ev->text); break;
	case GW_STATE_ACTIVATION:
		/* Where the record could not be written `cont` was not asked for. */
		if (!d->run_asked)
			destroy(d, ev, out, GW_MSG_ABORTED, ev->text);
		else
			gw_trace(out, ev->now_ns, WHO, "%.200s", ev->text);
		break;
	default: gw_trace(out, ev->now_ns, WHO, "%.200s", ev->text); break;
	}
}

/*
 * What a person decided is taken back, and may be decided again; the source that would get the VM
 * back may be no more.
 */
static void unwritten(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	if (d->state != GW_STATE_ACTIVATION || d->run_asked || !d->resolved) {
		failed(d, ev, out);
		return;
	}
	d->committed = d->resolved = false;
	enter(d, ev, out, GW_STATE_COMMITMENT, ev->text);
}

/* It never ran here, so the source may have it back; unless an earlier agent had run it. */
static void run_refused(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	if (d->state != GW_STATE_ACTIVATION || d->running)
		return;
	if ((!d->taken_up && !d->told_running) || GW_PLANT == 5)
		destroy(d, ev, out, GW_MSG_ABORTED, ev->text);
	else
		may_have_run(d, ev, out);
}

/* A person has looked at both hosts. Only what is whole can be run without the source. */
static void resolved(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	if (d->state != GW_STATE_COMMITMENT && d->state != GW_STATE_DOUBT)
		return;
	if (ev->kind == GW_EV_RESOLVED_GONE) {
		destroy(d, ev, out, GW_MSG_ABORTED, "a person said that the VM is not to run here");
		return;
	}
	if (d->pulls || d->state == GW_STATE_DOUBT) {
		gw_trace(out, ev->now_ns, WHO, "it cannot run here without the source's pages");
		return;
	}
	d->committed = d->resolved = true;
	d->committed_ns = ev->now_ns;
	enter(d, ev, out, GW_STATE_ACTIVATION, "a person said that the VM is to run here");
	journal(out, GW_REC_MINE, true);
}

static void recover(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	d->link = false;
	d->heard_ns = ev->now_ns;
	gw_trace(out, ev->now_ns, WHO, "taking up a migration that was left as `%s`",
	         gw_journal_record_name(ev->recover.record));
	switch (ev->recover.record) {
	case GW_REC_NONE:
	case GW_REC_RESERVED:
	case GW_REC_NEVER: /* the crash may have come before all was gone */
		destroy(d, ev, out, GW_MSG_ABORTED, "the agent was restarted during the move");
		break;
	case GW_REC_PREPARED:
		d->prepared = true;
		d->pulls = d->armed = ev->recover.faults;
		d->map_known = !d->pulls;
		d->state = GW_STATE_COMMITMENT;
		break;
	case GW_REC_MINE:
		d->prepared = d->committed = d->taken_up = d->run_asked = true;
		d->pulls = d->armed = ev->recover.faults;
		d->map_known = !d->pulls;
		d->state = GW_STATE_ACTIVATION;
		gw_act(out, GW_ACT_RUN);
		break;
	case GW_REC_WHOLE:
		d->prepared = d->committed = d->running = d->whole = true;
		d->compared = true;
		d->whole_ns = ev->now_ns;
		d->state = GW_STATE_ACTIVATION;
		break;
	case GW_REC_DOUBT:
		d->prepared = true;
		d->state = GW_STATE_DOUBT;
		break;
	default:
		keep_reason(d, "there is nothing to recover");
		finish(d, out, GW_STAYED);
		break;
	}
}

static void tick(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_event lost = *ev;

	if (d->unserved)
		ask_again(d, ev, out);
	if (d->whole && ev->now_ns - d->whole_ns >= RELEASE_NS && !d->link) {
		keep_reason(d, "the VM runs here; the source was not heard again");
		finish(d, out, GW_COMPLETED);
		return;
	}
	if (d->link && ev->now_ns - d->heard_ns >= d->config.link_timeout_ns) {
		lost.text = "the source has been silent for too long";
		link_lost(d, &lost, out);
	}
}

uint64_t gw_destination_deadline(const struct gw_destination *d)
{
	if (d->finished)
		return UINT64_MAX;
	if (d->unserved)
		return 0;
	if (d->link && d->heard_ns)
		return d->heard_ns + d->config.link_timeout_ns;
	if (d->whole && !d->link)
		return d->whole_ns + RELEASE_NS;
	return UINT64_MAX;
}

int gw_destination_step(struct gw_destination *d, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_event lost = *ev;
	int err = 0;

	gw_actions_begin(out);
	if (d->finished)
		return 0;
	switch (ev->kind) {
	case GW_EV_MESSAGE: err = message(d, ev, out); break;
	case GW_EV_RECOVER: recover(d, ev, out); break;
	case GW_EV_RESERVED:
		if (d->state == GW_STATE_RESERVATION)
			journal(out, GW_REC_RESERVED, true);
		break;
	case GW_EV_JOURNALED: journaled(d, ev, out); break;
	case GW_EV_PLACED:
		d->heard_ns = ev->now_ns;
		placed(d, ev, out);
		break;
	case GW_EV_MARK: err = marked(d, ev, out); break;
	case GW_EV_FAULT: fault(d, ev, out); break;
	case GW_EV_ARMED: armed(d, out); break;
	case GW_EV_LOADED: loaded(d, out); break;
	case GW_EV_RUNNING: running(d, ev, out); break;
	case GW_EV_DISARMED:
		if (d->state == GW_STATE_PULL)
			became_whole(d, ev, out);
		break;
	case GW_EV_DESTROYED:
		if (d->state == GW_STATE_CANCELLED)
			finish(d, out, GW_STAYED);
		break;
	case GW_EV_SURVEYED: surveyed(d, ev, out); break;
	case GW_EV_COMPARED: compared(d, ev, out); break;
	case GW_EV_LINK_UP: link_up(d, ev); break;
	case GW_EV_LINK_LOST: link_lost(d, ev, out); break;
	case GW_EV_VM_GONE: vm_gone(d, ev, out); break;
	case GW_EV_UNWRITTEN: unwritten(d, ev, out); break;
	case GW_EV_FAILED: failed(d, ev, out); break;
	case GW_EV_ABORT:
		if (!d->prepared)
			destroy(d, ev, out, GW_MSG_ABORTED, ev->text);
		break;
	case GW_EV_RUN_REFUSED: run_refused(d, ev, out); break;
	case GW_EV_RESOLVED_HERE:
	case GW_EV_RESOLVED_GONE: resolved(d, ev, out); break;
	case GW_EV_TICK: tick(d, ev, out); break;
	default: break;
	}
	if (err == -EPROTO) {
		lost.text = "the source broke the protocol";
		link_lost(d, &lost, out);
	}
	return err;
}
