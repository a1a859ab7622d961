/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/world.c - the clock, the connections, the agents and what befalls them.
 */
#include "tests/core/migration/hosts.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const fault_names[FAULTS] = {
        [FAULT_NONE] = "nothing",
        [FAULT_CUT] = "the link is cut",
        [FAULT_CRASH_SOURCE] = "the source's agent crashes",
        [FAULT_CRASH_DESTINATION] = "the destination's agent crashes",
        [FAULT_KILL_SOURCE_VM] = "the source's hypervisor dies",
        [FAULT_KILL_DESTINATION_VM] = "the destination's hypervisor dies",
        [FAULT_POWER_OFF] = "the guest powers itself off",
        [FAULT_ABORT] = "the source's user aborts",
        [FAULT_ABORT_DESTINATION] = "the destination's user aborts",
        [FAULT_REFUSE_RUN] = "the destination's next `cont` will be refused",
        [FAULT_REFUSE_RESERVATION] = "the destination's next reservation will be refused",
        [FAULT_FAIL_SOURCE] = "the source's next request will fail",
        [FAULT_FAIL_DESTINATION] = "the destination's next request will fail",
        [FAULT_SLOW] = "answers become slow",
        [FAULT_RESUME_SOURCE] = "somebody resumes the VM at the source",
        [FAULT_FORGET_DESTINATION] = "the destination's journal and identity are lost",
};

const char *fault_name(enum fault fault)
{
	return fault_names[fault];
}

const char *const side_names[SIDES] = {"source", "destination"};

/* --- chance, memory, lines ----------------------------------------------------------------- */

/* splitmix64 */
uint64_t dice(struct world *w)
{
	uint64_t z = w->chance += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t dice_below(struct world *w, uint64_t limit)
{
	return limit ? dice(w) % limit : 0;
}

void *need(size_t bytes)
{
	void *memory = calloc(1, bytes ? bytes : 1);

	if (!memory)
		abort();
	return memory;
}

void violated(struct world *w, const char *format, ...)
{
	va_list args;

	if (w->violation[0])
		return;
	va_start(args, format);
	(void)vsnprintf(w->violation, sizeof(w->violation), format, args);
	va_end(args);
	if (w->config.trace)
		(void)fprintf(w->config.trace, "VIOLATION %s\n", w->violation);
}

static void strike(struct world *w, struct planned *plan);

static bool listens(const struct world *w)
{
	int i;

	for (i = 0; i < PLANNED_MAX; i++)
		if (w->config.planned[i].words && !w->config.planned[i].spent)
			return true;
	return w->config.trace != NULL;
}

static void strike_at(struct world *w, const char *text)
{
	struct planned *plan;

	for (plan = w->config.planned; plan < w->config.planned + PLANNED_MAX; plan++) {
		if (plan->fault == FAULT_NONE || plan->spent)
			continue;
		if (plan->words ? !strstr(text, plan->words) : plan->line != w->lines)
			continue;
		plan->spent = !plan->once_more;
		strike(w, plan);
	}
}

void line(struct world *w, int side, const char *format, ...)
{
	char text[1024] = "";
	va_list args;
	int used;

	w->lines++;
	if (listens(w)) {
		used = snprintf(text, sizeof(text), "%llu.%06llu %-11s ",
		                (unsigned long long)(w->now / 1000000000u),
		                (unsigned long long)(w->now % 1000000000u / 1000u),
		                side == SIDES ? "world" : side_names[side]);
		va_start(args, format);
		(void)vsnprintf(text + used, sizeof(text) - (size_t)used, format, args);
		va_end(args);
		if (w->config.trace)
			(void)fprintf(w->config.trace, "%s\n", text);
	}
	strike_at(w, text);
}

/* --- what will happen ---------------------------------------------------------------------- */

static bool earlier(const struct happening *a, const struct happening *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

struct happening *will(struct world *w, enum what what, int side, uint64_t at)
{
	struct happening *h = need(sizeof(*h));

	h->what = what;
	h->side = side;
	h->at = at;
	h->order = w->order++;
	h->incarnation = w->agent[side].incarnation;
	h->epoch = w->agent[side].epoch;
	h->next = NULL;
	if (w->heap_count == w->heap_room) {
		w->heap_room = w->heap_room ? 2 * w->heap_room : 64;
		w->heap = realloc(w->heap, w->heap_room * sizeof(struct happening *));
		if (!w->heap)
			abort();
	}
	size_t i = w->heap_count++;

	while (i && earlier(h, w->heap[(i - 1) / 2])) {
		w->heap[i] = w->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->heap[i] = h;
	w->waiting += what != GUEST;
	return h;
}

static struct happening *take_next(struct world *w)
{
	struct happening *top = w->heap[0], *last = w->heap[--w->heap_count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < w->heap_count) {
		if (child + 1 < w->heap_count && earlier(w->heap[child + 1], w->heap[child]))
			child++;
		if (!earlier(w->heap[child], last))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	if (w->heap_count)
		w->heap[i] = last;
	w->waiting -= top->what != GUEST;
	return top;
}

static void forget(struct happening *h)
{
	free(h->data);
	free(h);
}

/* An answer to the agent; set and text are copied. */
void answer(struct world *w, int side, struct gw_event event, uint64_t delay)
{
	struct happening *h;

	delay += w->slow_ns;
	h = will(w, ANSWER, side, w->now + delay + dice_below(w, delay * w->config.jitter + 1));
	h->event = event;
}

void answer_text(struct world *w, int side, enum gw_event_kind kind, const char *text)
{
	struct happening *h = will(w, ANSWER, side, w->now + 10000 + w->slow_ns);

	h->event.kind = kind;
	h->data = need(strlen(text) + 1);
	memcpy(h->data, text, strlen(text) + 1);
}

void answer_set(struct world *w, int side, enum gw_event_kind kind, const bool *members)
{
	struct happening *h =
	        will(w, ANSWER, side,
	             w->now + 100000 + w->slow_ns + dice_below(w, w->config.jitter * 100000 + 1));
	struct gw_set set;
	uint64_t page;

	h->data = need(gw_set_words(w->config.pages) * sizeof(uint64_t));
	gw_set_init(&set, h->data, w->config.pages);
	for (page = 0; page < w->config.pages; page++)
		if (members[page])
			gw_set_add(&set, page);
	h->event.kind = kind;
}

/* --- the connections ----------------------------------------------------------------------- */

static bool stands(const struct world *w, int side)
{
	return w->agent[side].epoch > w->cut_epoch;
}

/* Bytes on their way: they are lost if the link is cut before they come. */
void put_on_wire(struct world *w, int from, enum gw_channel channel, const uint8_t *bytes,
                 size_t size, uint64_t leaves)
{
	int to = !from;
	uint64_t *last = &w->last[from][channel], at = leaves + w->config.latency_ns;
	struct happening *h;

	w->wire_bytes += size;
	if (!stands(w, from))
		return;
	at += dice_below(w, w->config.jitter ? w->config.latency_ns : 1);
	if (at <= *last)
		at = *last + 1;
	*last = at;
	h = will(w, PARCEL, to, at);
	h->epoch = w->agent[from].epoch;
	h->channel = channel;
	h->size = size;
	h->data = need(size);
	memcpy(h->data, bytes, size);
}

static void notice_loss(struct world *w, int side, uint64_t after, const char *why)
{
	struct happening *h = will(w, LOSS, side, w->now + after);

	h->data = need(strlen(why) + 1);
	memcpy(h->data, why, strlen(why) + 1);
}

static void cut(struct world *w, const struct planned *plan)
{
	int side;

	w->cut_epoch = w->epochs;
	w->down_until = w->now + plan->for_ns;
	for (side = 0; side < SIDES; side++)
		if (w->agent[side].epoch && !(plan->silent && side == plan->deaf))
			notice_loss(w, side, w->config.jitter ? dice_below(w, 400000) : 1000,
			            "the connection was reset");
}

/* What was said before comes; then the end of the stream. */
static void hang_up(struct world *w, int side)
{
	struct agent *a = &w->agent[side], *other = &w->agent[!side];
	uint64_t at = w->now + w->config.latency_ns;
	struct happening *h;
	int channel;

	if (a->epoch && other->epoch == a->epoch && stands(w, side)) {
		for (channel = 0; channel < 4; channel++)
			if (w->last[side][channel] >= at)
				at = w->last[side][channel] + 1;
		h = will(w, LOSS, !side, at);
		h->data = need(32);
		(void)snprintf(h->data, 32, "the peer hung up");
	}
	a->epoch = 0;
}

static void attach(struct world *w)
{
	int side, channel;

	w->epochs++;
	for (side = 0; side < SIDES; side++) {
		w->agent[side].epoch = w->epochs;
		for (channel = 0; channel < 4; channel++)
			w->last[side][channel] = w->now;
	}
	w->bulk_free = w->urgent_free = w->news_ns = w->now;
}

static void start_destination(struct world *w, bool fresh);

/* The destination's router: hands the connections to whom they belong. */
static bool route(struct world *w)
{
	struct agent *d = &w->agent[DESTINATION];
	bool known;

	if (w->now < w->down_until || (!d->alive && w->restarting[DESTINATION]))
		return false;
	if (d->alive) {
		if (d->epoch)
			step(w, DESTINATION,
			     &(struct gw_event){.kind = GW_EV_LINK_LOST,
			                        .text = "the source connected anew"});
		if (!d->alive)
			return false;
	}
	known = d->alive || (d->has_journal && !journal_settled(d->record));
	if (!d->alive)
		start_destination(w, journal_settled(d->record) || !d->has_journal);
	if (!d->alive)
		return false;
	attach(w);
	if (known)
		will(w, ANSWER, DESTINATION, w->now + 1000)->event.kind = GW_EV_LINK_UP;
	return true;
}

static void connect_again(struct world *w)
{
	if (route(w))
		will(w, ANSWER, SOURCE, w->now + 1)->event.kind = GW_EV_LINK_UP;
	else
		answer_text(w, SOURCE, GW_EV_LINK_LOST, "no connection could be made");
}

/* --- agents -------------------------------------------------------------------------------- */

bool journal_settled(enum gw_journal_record record)
{
	return record == GW_REC_RELEASED || record == GW_REC_STAYED || record == GW_REC_NEVER;
}

static void crash(struct world *w, int side, uint64_t for_ns)
{
	struct agent *a = &w->agent[side];

	if (!a->alive)
		return;
	a->alive = false;
	hang_up(w, side); /* what was sent is on its way */
	a->incarnation++;
	if (side == SOURCE)
		w->source.tracking = false;
	drop_commands(w, side);
	w->restarting[side] = true;
	will(w, RESTART, side, w->now + for_ns);
}

/* As if another host answered at its address from now on; its hypervisor goes on. */
static void forget_destination(struct world *w, uint64_t for_ns)
{
	struct agent *d = &w->agent[DESTINATION];

	crash(w, DESTINATION, for_ns);
	d->has_journal = d->journal_open = false;
	d->record = GW_REC_NONE;
	w->dest.identity++;
	w->forgotten = true;
}

static void give_memory(struct world *w, int side, size_t bytes)
{
	free(w->agent[side].memory);
	w->agent[side].memory = need(bytes);
}

static void start_source(struct world *w)
{
	const struct world_config *c = &w->config;
	struct gw_source_config config = {
	        .name = "small",
	        .hot = w->hot,
	        .hot_count = c->hot,
	        .vcpus = c->vcpus,
	        .ram_pages = c->pages,
	        .state_bytes = 4096,
	        .link_timeout_ns = c->link_timeout_ns,
	        .reconnect_ns = c->reconnect_ns,
	        .downtime_limit_ns = 10000000,
	        .deadline_ns = c->deadline_ns,
	        .verify = c->verify,
	        .paused = c->paused,
	        .destination = w->source.peer,
	};
	struct agent *a = &w->agent[SOURCE];
	int i;

	if (gw_policy_init(&config.policy, c->policy) ||
	    gw_order_init(&config.order, c->order ? c->order : "linear"))
		abort();
	for (i = 0; i < 2 && c->settings[i][0]; i++)
		if (gw_policy_set(&config.policy, c->settings[i][0], c->settings[i][1]))
			abort();
	for (i = 0; i < (int)c->hot; i++)
		w->hot[i] = (struct gw_run){c->pages * (uint64_t)i / c->hot, 1};
	give_memory(w, SOURCE, gw_source_bytes(c->pages));
	(void)gw_source_init(a->memory, &config);
	a->alive = true;
	a->incarnation++;
}

/* A fresh one has heard of nothing; else it takes up what its journal says. */
static void start_destination(struct world *w, bool fresh)
{
	struct agent *a = &w->agent[DESTINATION];
	struct gw_destination_config config = {
	        .host.bytes = {1, w->dest.identity},
	        .ram_pages = fresh && w->epochs ? 0 : w->config.pages,
	        .vcpus = w->config.vcpus,
	        .serves_faults = !w->config.no_faults,
	        .why_no_faults = "this host has no userfaultfd",
	        .link_timeout_ns = w->config.link_timeout_ns,
	};

	give_memory(w, DESTINATION, gw_destination_bytes(config.ram_pages, config.vcpus));
	(void)gw_destination_init(a->memory, &config);
	a->alive = true;
	a->incarnation++;
	a->pages = config.ram_pages;
	a->journal_open = !fresh;
	w->dest.digests_kept = fresh;
	if (!fresh) {
		struct gw_event event = {.kind = GW_EV_RECOVER};

		event.recover.record = a->record;
		event.recover.faults = w->dest.uffd && w->dest.vm.state != VM_DEAD;
		line(w, DESTINATION, "a new agent takes over");
		step(w, DESTINATION, &event);
		fault_again(w);
	}
}

static void restart(struct world *w, int side)
{
	struct agent *a = &w->agent[side];
	struct gw_event event = {.kind = GW_EV_RECOVER};

	w->restarting[side] = false;
	if (a->alive || !a->has_journal || journal_settled(a->record))
		return;
	if (side == DESTINATION) {
		start_destination(w, false);
		return;
	}
	start_source(w);
	event.recover.record = a->record;
	line(w, SOURCE, "a new agent takes over");
	step(w, SOURCE, &event);
}

static void strike(struct world *w, struct planned *plan)
{
	w->struck++;
	if (w->config.trace)
		(void)fprintf(w->config.trace, "                * %s\n", fault_name(plan->fault));
	switch (plan->fault) {
	case FAULT_CUT: cut(w, plan); break;
	case FAULT_CRASH_SOURCE: crash(w, SOURCE, plan->for_ns); break;
	case FAULT_CRASH_DESTINATION: crash(w, DESTINATION, plan->for_ns); break;
	case FAULT_KILL_SOURCE_VM: kill_vm(w, SOURCE, "the hypervisor was killed"); break;
	case FAULT_KILL_DESTINATION_VM: kill_vm(w, DESTINATION, "the hypervisor was killed"); break;
	case FAULT_POWER_OFF:
		if (w->source.vm.state == VM_RUNS)
			kill_vm(w, SOURCE, "the guest powered itself off");
		if (w->dest.vm.state == VM_RUNS)
			kill_vm(w, DESTINATION, "the guest powered itself off");
		break;
	case FAULT_ABORT: answer_text(w, SOURCE, GW_EV_ABORT, "stopped by the user"); break;
	case FAULT_ABORT_DESTINATION:
		answer_text(w, DESTINATION, GW_EV_ABORT, "stopped by the destination's user");
		break;
	case FAULT_REFUSE_RUN: w->dest.refuse_run = true; break;
	case FAULT_REFUSE_RESERVATION: w->dest.refuse_reservation = true; break;
	case FAULT_FAIL_SOURCE: w->fail_next[SOURCE] = true; break;
	case FAULT_FAIL_DESTINATION: w->fail_next[DESTINATION] = true; break;
	case FAULT_SLOW: w->slow_ns = plan->for_ns; break;
	case FAULT_RESUME_SOURCE: resume_behind(w); break;
	case FAULT_FORGET_DESTINATION: forget_destination(w, plan->for_ns); break;
	case FAULT_NONE:
	case FAULTS: break;
	}
}

/* --- actions of both ----------------------------------------------------------------------- */

/* At most one side's journal says that it may run the VM, at any instant. */
static void check_journals(struct world *w)
{
	enum gw_journal_record s = w->agent[SOURCE].record, d = w->agent[DESTINATION].record;
	bool mine = s == GW_REC_LEAVING || s == GW_REC_HANDING_OVER || s == GW_REC_STAYED;
	bool theirs = w->agent[DESTINATION].has_journal && (d == GW_REC_MINE || d == GW_REC_WHOLE);

	if (mine && theirs)
		violated(w,
		         "both may run the VM: the source's journal says `%s`, the "
		         "destination's `%s`",
		         gw_journal_record_name(s), gw_journal_record_name(d));
}

static void write_journal(struct world *w, int side, enum gw_journal_record record)
{
	struct agent *a = &w->agent[side];

	line(w, side, "journal: %s", gw_journal_record_name(record));
	if (!a->alive)
		return;
	if (a->journal_open)
		a->record = record; /* else nothing was reserved: nothing to remember */
	check_journals(w);
	answer(w, side, (struct gw_event){.kind = GW_EV_JOURNALED}, 50000);
}

static void describe(const struct gw_message *m, char *to, size_t room)
{
	static const char *const standings[] = {"?",       "unknown",  "prepared",
	                                        "running", "complete", "doubt"};

	switch (m->kind) {
	case GW_MSG_REFUSE:
	case GW_MSG_ABORT:
	case GW_MSG_ABORTED:
		(void)snprintf(to, room, " (%.*s)", (int)m->reason.bytes, m->reason.text);
		break;
	case GW_MSG_ROUND_ACK:
		(void)snprintf(to, room, " %llu", (unsigned long long)m->round_ack.round);
		break;
	case GW_MSG_SWITCH:
		(void)snprintf(to, room, m->switched.pulls ? ", %llu pages missing" : ", all sent",
		               (unsigned long long)m->switched.missing_pages);
		break;
	case GW_MSG_FAULT:
		(void)snprintf(to, room, " on page %llu", (unsigned long long)m->fault.page);
		break;
	case GW_MSG_MAP: (void)snprintf(to, room, " of %u runs", m->map.count); break;
	case GW_MSG_STANDING:
		(void)snprintf(to, room, ": %s", standings[m->standing.standing]);
		break;
	case GW_MSG_DONE:
		(void)snprintf(to, room, " after %llu faults", (unsigned long long)m->done.faults);
		break;
	case GW_MSG_VERDICT:
		(void)snprintf(to, room, ": %llu compared, %llu different",
		               (unsigned long long)m->verdict.compared,
		               (unsigned long long)m->verdict.different);
		break;
	default: to[0] = '\0'; break;
	}
}

void say(struct world *w, int side, const struct gw_message *m)
{
	enum gw_channel channel = m->kind == GW_MSG_FAULT ? GW_URGENT : GW_CONTROL;
	size_t size = gw_message_bytes(m);
	uint8_t *bytes;
	char more[GW_REASON_MAX + 8];

	if (!size) {
		violated(w, "%s cannot be encoded", gw_message_name(m->kind));
		return;
	}
	describe(m, more, sizeof(more));
	line(w, side, "says %s%s", gw_message_name(m->kind), more);
	if (!w->agent[side].alive || !stands(w, side))
		return;
	if (m->kind == GW_MSG_VERDICT && m->verdict.different)
		violated(w, "a page differs from the source's");
	bytes = need(size);
	(void)gw_message_encode(m, bytes, size);
	put_on_wire(w, side, channel, bytes, size, w->now);
	free(bytes);
}

static void say_map(struct world *w, int side, const struct gw_set *set)
{
	struct gw_run *runs = need(GW_MAP_RUNS_MAX * sizeof(*runs));
	struct gw_message message;
	uint64_t cursor = 0;

	while (gw_map_message(set, &cursor, runs, &message))
		say(w, side, &message);
	free(runs);
}

static void ended(struct world *w, int side, const struct gw_action *action)
{
	struct agent *a = &w->agent[side];

	line(w, side, "ends: %s (%s)", gw_outcome_name(action->finish.outcome),
	     action->finish.text);
	if (!a->alive)
		return;
	a->alive = false;
	if (side == SOURCE)
		w->source.tracking = false; /* closed with the agent */
	a->outcome = action->finish.outcome;
	(void)snprintf(a->end, sizeof(a->end), "%s: %s", gw_outcome_name(action->finish.outcome),
	               action->finish.text);
	if (side == DESTINATION && a->record == GW_REC_WHOLE && w->dest.released_said)
		a->record = GW_REC_RELEASED;
}

static void act(struct world *w, int side, const struct gw_action *action)
{
	switch (action->kind) {
	case GW_ACT_TRACE:
		line(w, side, "%s", action->text + strcspn(action->text, " ") + 13);
		break;
	case GW_ACT_SEND: say(w, side, &action->message); break;
	case GW_ACT_MAP: say_map(w, side, action->set); break;
	case GW_ACT_JOURNAL: write_journal(w, side, action->journal.record); break;
	case GW_ACT_HANG_UP: hang_up(w, side); break;
	case GW_ACT_FINISH: ended(w, side, action); break;
	case GW_ACT_CONNECT:
		line(w, side, "connects");
		if (w->agent[side].alive)
			will(w, CONNECT, side, w->now + 2 * w->config.latency_ns);
		break;
	default:
		if (side == SOURCE)
			source_acts(w, action);
		else
			destination_acts(w, action);
	}
}

void step(struct world *w, int side, struct gw_event *event)
{
	struct agent *a = &w->agent[side];
	unsigned incarnation = a->incarnation;
	struct gw_actions *out;
	size_t i;
	int err;

	if (!a->alive)
		return;
	w->steps++;
	event->now_ns = w->now;
	event->link_bytes = w->wire_bytes;
	out = &w->out[side];
	err = side == SOURCE ? gw_source_step(a->memory, event, out)
	                     : gw_destination_step(a->memory, event, out);
	if (err == -EPROTO)
		violated(w, "%s takes %s for a breach of the protocol", side_names[side],
		         event->kind == GW_EV_MESSAGE ? gw_message_name(event->message->kind)
		                                      : "a frame");
	if (out->count + 1 >= GW_ACTIONS_MAX)
		violated(w, "%s: too many actions in one step", side_names[side]);
	for (i = 0; i < out->count && a->alive && a->incarnation == incarnation; i++)
		act(w, side, &out->at[i]);
	if (side == SOURCE)
		ask_for_room(w);
}

/* --- parcels ------------------------------------------------------------------------------- */

static void message_came(struct world *w, struct happening *h)
{
	struct gw_run *runs = need(GW_MAP_RUNS_MAX * sizeof(*runs));
	struct gw_message message;
	struct gw_event event = {.kind = GW_EV_MESSAGE, .message = &message};
	struct agent *a = &w->agent[h->side];
	size_t used;

	if (gw_message_decode(&message, h->data, h->size, a->pages, runs, &used) ||
	    used != h->size) {
		violated(w, "%s cannot decode a message", side_names[h->side]);
	} else if (message.kind == GW_MSG_STATE || message.kind == GW_MSG_STATE_END) {
		state_came(w, message.kind == GW_MSG_STATE_END);
	} else {
		if (message.kind == GW_MSG_OFFER)
			a->pages = w->config.pages;
		if (message.kind == GW_MSG_MAP)
			w->news_ns = w->now;
		w->dest.released_said |= message.kind == GW_MSG_RELEASED;
		step(w, h->side, &event);
	}
	free(runs);
}

static void parcel_came(struct world *w, struct happening *h)
{
	struct agent *a = &w->agent[h->side];

	if (!a->alive || a->epoch != h->epoch || h->epoch <= w->cut_epoch)
		return;
	if (h->side == DESTINATION && h->channel != GW_CONTROL)
		frame_came(w, h);
	else
		message_came(w, h);
}

/* --- the loop ------------------------------------------------------------------------------ */

static uint64_t deadline(const struct world *w, int side)
{
	const struct agent *a = &w->agent[side];

	if (!a->alive)
		return UINT64_MAX;
	return side == SOURCE ? gw_source_deadline(a->memory) : gw_destination_deadline(a->memory);
}

static void give_answer(struct world *w, struct happening *h)
{
	struct gw_set set;

	if (h->event.kind == GW_EV_SURVEYED || h->event.kind == GW_EV_TRACKING ||
	    h->event.kind == GW_EV_SCANNED || h->event.kind == GW_EV_PEEKED) {
		set = (struct gw_set){h->data, w->config.pages};
		h->event.set = &set;
	} else if (h->data) {
		h->event.text = h->data;
	}
	step(w, h->side, &h->event);
}

static void lose(struct world *w, struct happening *h)
{
	struct agent *a = &w->agent[h->side];

	if (!a->epoch || a->epoch != h->epoch)
		return;
	a->epoch = 0;
	step(w, h->side, &(struct gw_event){.kind = GW_EV_LINK_LOST, .text = h->data});
}

static void happen(struct world *w, struct happening *h)
{
	bool current = w->agent[h->side].alive && w->agent[h->side].incarnation == h->incarnation;

	switch (h->what) {
	case ANSWER:
		if (current && h->event.kind == GW_EV_LINK_UP &&
		    w->agent[h->side].epoch != h->epoch)
			h->event = (struct gw_event){.kind = GW_EV_LINK_LOST,
			                             .text = "it broke at once"};
		if (current)
			give_answer(w, h);
		break;
	case LOSS:
		if (current)
			lose(w, h);
		break;
	case CONNECT:
		if (current)
			connect_again(w);
		break;
	case PARCEL: parcel_came(w, h); break;
	case RESTART: restart(w, h->side); break;
	case ROOM:
		w->room_asked = false;
		if (current && gw_source_wants_room(w->agent[SOURCE].memory))
			step(w, SOURCE, &(struct gw_event){.kind = GW_EV_ROOM});
		else
			ask_for_room(w);
		break;
	case TAKE_UP:
		if (current && h->epoch == w->agent[SOURCE].epoch)
			take_up(w, h);
		break;
	case COMMAND: command_done(w, h); break;
	case GUEST: guest_lives(w, h); break;
	}
}

static void tick(struct world *w, int side, uint64_t at)
{
	if (w->now == at || at < w->now) {
		if (++w->ticks > 64)
			violated(w, "%s: the deadline spins in %s", side_names[side],
			         gw_state_name(
			                 side == SOURCE
			                         ? gw_source_state(w->agent[side].memory)
			                         : gw_destination_state(w->agent[side].memory)));
	} else {
		w->ticks = 0;
	}
	if (at > w->now)
		w->now = at;
	step(w, side, &(struct gw_event){.kind = GW_EV_TICK});
}

/* Nothing will come of itself: a person looks after it. False if there is nothing to be done. */
static bool person(struct world *w)
{
	struct agent *s = &w->agent[SOURCE], *d = &w->agent[DESTINATION];

	if (!w->config.person || w->helped >= 6)
		return false;
	w->helped++;
	if (!s->alive && !journal_settled(s->record)) {
		line(w, SIDES, "a person says `recover` at the source");
		restart(w, SOURCE);
		return true;
	}
	if (!d->alive && d->has_journal && !journal_settled(d->record) &&
	    d->record != GW_REC_WHOLE && s->record == GW_REC_STAYED)
		restart(w, DESTINATION);
	if (d->alive && gw_destination_state(d->memory) == GW_STATE_PRE_MIGRATION) {
		answer_text(w, DESTINATION, GW_EV_LINK_LOST, "the peer offers nothing");
		return true;
	}
	if (d->alive && s->record == GW_REC_STAYED) {
		line(w, SIDES, "a person says `resolve --gone` at the destination");
		will(w, ANSWER, DESTINATION, w->now + 1)->event.kind = GW_EV_RESOLVED_GONE;
		return true;
	}
	return false;
}

static bool settled(const struct world *w)
{
	return !w->agent[SOURCE].alive && !w->agent[DESTINATION].alive && !w->waiting;
}

void world_run(struct world *w)
{
	while (!w->violation[0]) {
		uint64_t s = deadline(w, SOURCE), d = deadline(w, DESTINATION);
		uint64_t first = w->heap_count ? w->heap[0]->at : UINT64_MAX;

		if (settled(w) || (!w->waiting && s == UINT64_MAX && d == UINT64_MAX)) {
			if (person(w))
				continue;
			break;
		}
		if (w->now > 7200ull * 1000000000u || w->steps > 30000) {
			violated(w, "it never ends: source in %s, destination in %s",
			         w->agent[SOURCE].alive
			                 ? gw_state_name(gw_source_state(w->agent[SOURCE].memory))
			                 : "none",
			         w->agent[DESTINATION].alive
			                 ? gw_state_name(gw_destination_state(
			                           w->agent[DESTINATION].memory))
			                 : "none");
			break;
		}
		if (first <= s && first <= d) {
			struct happening *h = take_next(w);

			if (h->at > w->now) {
				w->now = h->at;
				w->ticks = 0;
			}
			happen(w, h);
			forget(h);
		} else {
			tick(w, s <= d ? SOURCE : DESTINATION, s <= d ? s : d);
		}
	}
	judge(w);
}

struct world *world_new(const struct world_config *config)
{
	struct world *w = need(sizeof(*w));
	struct agent *s = &w->agent[SOURCE];

	w->config = *config;
	w->chance = config->seed;
	w->now = 1000000;
	make_hosts(w);
	start_destination(w, true);
	start_source(w);
	s->has_journal = s->journal_open = true;
	s->record = GW_REC_LEAVING;
	s->pages = config->pages;
	attach(w);
	will(w, ANSWER, SOURCE, w->now)->event.kind = GW_EV_START;
	return w;
}

void world_free(struct world *w)
{
	while (w->heap_count)
		forget(take_next(w));
	free(w->heap);
	free(w->agent[SOURCE].memory);
	free(w->agent[DESTINATION].memory);
	free_hosts(w);
	free(w);
}

const char *world_violation(const struct world *w)
{
	return w->violation[0] ? w->violation : NULL;
}

uint64_t world_lines(const struct world *w)
{
	return w->lines;
}

uint64_t world_now_ns(const struct world *w)
{
	return w->now;
}

unsigned world_faults_struck(const struct world *w)
{
	return w->struck;
}

enum gw_journal_record world_record(const struct world *w, int side)
{
	return w->agent[side].record;
}

const char *world_end(const struct world *w, int side)
{
	return w->agent[side].end;
}
