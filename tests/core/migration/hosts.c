/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/hosts.c - the modelled hypervisors, guests, trackers and memories, and what
 * must be true of them.
 */
#include "tests/core/migration/hosts.h"

#include <stdlib.h>
#include <string.h>

/* Order `demand` pushes what nobody asked for after a second; latencies are below 17 ms. */
#define WAIT_MAX_NS 700000000u

static bool runs(const struct vm *vm)
{
	return vm->state == VM_RUNS;
}

void make_hosts(struct world *w)
{
	uint64_t pages = w->config.pages, page;

	w->source.content = need(pages * sizeof(uint64_t));
	w->source.populated = need(pages);
	w->source.written = need(pages);
	w->dest.content = need(pages * sizeof(uint64_t));
	w->dest.present = need(pages);
	w->dest.noted = need(pages * sizeof(uint64_t));
	w->expected = need(pages * sizeof(uint64_t));
	for (page = 0; page < pages; page++) {
		if (!dice_below(w, 4))
			continue;
		w->source.populated[page] = true;
		if (dice_below(w, 8)) /* else a page of zeros that is no hole */
			w->source.content[page] = ++w->version;
	}
	w->source.vm.state = w->config.paused ? VM_STOPPED : VM_RUNS;
	w->writes_left = 20000;
	will(w, GUEST, SOURCE, w->now);
}

void free_hosts(struct world *w)
{
	free(w->source.content);
	free(w->source.populated);
	free(w->source.written);
	free(w->dest.content);
	free(w->dest.present);
	free(w->dest.noted);
	free(w->expected);
}

/* --- hypervisors --------------------------------------------------------------------------- */

/* Commands are carried out in their order. */
static void command(struct world *w, int side, enum command what, uint64_t takes)
{
	struct vm *vm = side == SOURCE ? &w->source.vm : &w->dest.vm;
	struct happening *h;

	if (w->fail_next[side]) {
		w->fail_next[side] = false;
		w->source.resume_refused |= what == DO_RESUME;
		w->refused += what == DO_RUN;
		answer_text(w, side, what == DO_RUN ? GW_EV_RUN_REFUSED : GW_EV_FAILED,
		            "the hypervisor refused");
		return;
	}
	if (vm->state == VM_DEAD || (what == DO_RUN && vm->state == VM_NONE)) {
		answer_text(w, side, what == DO_RUN ? GW_EV_RUN_REFUSED : GW_EV_FAILED,
		            "the hypervisor is gone");
		return;
	}
	if (vm->busy_until < w->now)
		vm->busy_until = w->now;
	vm->busy_until += takes + w->slow_ns + dice_below(w, takes * w->config.jitter + 1);
	h = will(w, COMMAND, side, vm->busy_until);
	h->detail = (int)what;
	h->size = vm->life;
	vm->commands++;
}

/* The agent died: commands that the hypervisor has not read yet are gone with it. */
void drop_commands(struct world *w, int side)
{
	struct vm *vm = side == SOURCE ? &w->source.vm : &w->dest.vm;

	if (dice_below(w, 2))
		vm->life++;
}

static void has_stopped(struct world *w)
{
	uint64_t page;

	if (runs(&w->source.vm) || w->source.vm.state == VM_STOPPED)
		w->source.vm.state = VM_STOPPED;
	for (page = 0; page < w->config.pages; page++)
		w->expected[page] = w->source.content[page];
	w->switched = true;
	line(w, SOURCE, "hypervisor: the VM is stopped");
}

static void has_resumed(struct world *w)
{
	if (w->ran_there)
		violated(w, "the VM is resumed at the source after it ran at the destination");
	if (runs(&w->dest.vm))
		violated(w, "the VM runs in two places");
	if (w->source.released)
		violated(w, "a released VM is resumed");
	w->source.vm.state = w->config.paused ? VM_STOPPED : VM_RUNS;
	line(w, SOURCE, "hypervisor: the VM %s", w->config.paused ? "stands paused" : "runs");
}

static void runs_there(struct world *w)
{
	struct gw_event event = {.kind = GW_EV_RUNNING};
	unsigned i;

	if (w->dest.vm.state != VM_LOADED && !runs(&w->dest.vm))
		violated(w, "a VM is run that is not loaded");
	if (runs(&w->source.vm))
		violated(w, "the VM runs in two places");
	if (w->source.resumed_behind)
		violated(w, "the VM is run from the moment of the switch, and had run on since");
	if (w->source.vm.state == VM_STOPPED)
		violated(w, "the source still holds the VM's disks");
	if (w->dest.refuse_run) {
		w->dest.refuse_run = false;
		w->refused++;
		answer_text(w, DESTINATION, GW_EV_RUN_REFUSED,
		            "`cont` was refused: the image is locked");
		return;
	}
	if (runs(&w->dest.vm)) {
		answer(w, DESTINATION, event, 1000);
		return;
	}
	w->ran_there = true;
	w->dest.vm.state = w->config.paused ? VM_LOADED : VM_RUNS;
	line(w, DESTINATION, "hypervisor: the VM %s", w->config.paused ? "stands paused" : "runs");
	for (i = 0; i < w->config.vcpus; i++)
		w->dest.thread[i].wakes = w->config.wakes;
	will(w, GUEST, DESTINATION, w->now + 1000);
	answer(w, DESTINATION, event, 1000);
}

static void touch(struct world *w, unsigned thread, uint64_t page, bool writes);

static void go_on_loading(struct world *w)
{
	struct thread *loader = &w->dest.thread[8];

	while (w->dest.loading && !loader->waits && w->dest.reads_left) {
		w->dest.reads_left--;
		touch(w, 8, dice_below(w, w->config.pages), false);
	}
	if (!w->dest.loading || loader->waits || w->dest.reads_left || !w->dest.state_ended)
		return;
	w->dest.loading = false;
	w->dest.vm.state = VM_LOADED;
	answer(w, DESTINATION, (struct gw_event){.kind = GW_EV_LOADED}, 1000);
}

void state_came(struct world *w, bool last)
{
	w->dest.state_ended |= last;
	go_on_loading(w);
}

static void saved(struct world *w)
{
	struct gw_message piece = {.kind = GW_MSG_STATE};
	static const uint8_t bytes[64] = {1};

	w->source.vm.state = VM_SAVED;
	piece.state.bytes = bytes;
	piece.state.count = sizeof(bytes);
	say(w, SOURCE, &piece);
	say(w, SOURCE, &piece);
	say(w, SOURCE, &(struct gw_message){.kind = GW_MSG_STATE_END});
	answer(w, SOURCE, (struct gw_event){.kind = GW_EV_SAVED}, 1000);
}

static void start_tracking(struct world *w)
{
	w->source.tracking = true;
	memset(w->source.written, 0, w->config.pages);
	answer_set(w, SOURCE, GW_EV_TRACKING, w->source.populated);
}

void command_done(struct world *w, struct happening *h)
{
	struct vm *vm = h->side == SOURCE ? &w->source.vm : &w->dest.vm;
	bool heard = w->agent[h->side].incarnation == h->incarnation && w->agent[h->side].alive;

	vm->commands--;
	if (vm->state == VM_DEAD || vm->life != h->size ||
	    (vm->state == VM_NONE && h->detail != DO_RESERVE))
		return;
	switch ((enum command)h->detail) {
	case DO_STOP:
		has_stopped(w);
		if (heard)
			answer(w, SOURCE, (struct gw_event){.kind = GW_EV_STOPPED}, 1000);
		break;
	case DO_SAVE:
		if (heard && vm->state == VM_STOPPED)
			saved(w);
		break;
	case DO_RESUME:
		has_resumed(w);
		if (heard)
			answer(w, SOURCE, (struct gw_event){.kind = GW_EV_RUNNING}, 1000);
		break;
	case DO_RESERVE:
		vm->state = VM_INCOMING;
		if (heard)
			answer(w, DESTINATION, (struct gw_event){.kind = GW_EV_RESERVED}, 1000);
		break;
	case DO_LOAD:
		w->dest.loading = true;
		w->dest.reads_left = LOAD_READS;
		go_on_loading(w);
		break;
	case DO_RUN: runs_there(w); break;
	case DO_TRACK:
		if (!heard)
			break;
		vm->state = VM_RUNS;
		start_tracking(w);
		will(w, GUEST, SOURCE, w->now);
		break;
	}
}

/* By somebody else, at the source. The agent hears of it, but not at once. */
void resume_behind(struct world *w)
{
	if (w->source.vm.state != VM_SAVED || w->source.looked_at || w->config.paused)
		return;
	has_resumed(w);
	w->source.resumed_behind = true;
	will(w, GUEST, SOURCE, w->now);
	answer(w, SOURCE, (struct gw_event){.kind = GW_EV_RUNNING}, dice_below(w, 5000000));
}

static void look(struct world *w)
{
	bool ran = w->source.resumed_behind;
	struct gw_event event = {.kind = ran ? GW_EV_RUNNING : GW_EV_STOPPED};

	w->source.looked_at = !ran;
	answer(w, SOURCE, event, 1000);
}

void kill_vm(struct world *w, int side, const char *why)
{
	struct vm *vm = side == SOURCE ? &w->source.vm : &w->dest.vm;
	unsigned i;

	if (vm->state == VM_NONE || vm->state == VM_DEAD)
		return;
	vm->state = VM_DEAD;
	w->killed++;
	if (side == DESTINATION) {
		w->dest.loading = false;
		for (i = 0; i <= 8; i++)
			w->dest.thread[i].waits = false;
	}
	if (w->agent[side].alive)
		answer_text(w, side, GW_EV_VM_GONE, why);
}

/* --- guests -------------------------------------------------------------------------------- */

static void guest_writes(struct world *w)
{
	uint64_t page = dice_below(w, dice_below(w, 2) ? w->config.pages : w->config.pages / 8 + 1);

	w->source.content[page] = dice_below(w, 16) ? ++w->version : 0;
	w->source.populated[page] = true;
	w->source.written[page] = true;
}

static void tell_fault(struct world *w, unsigned thread)
{
	struct thread *t = &w->dest.thread[thread];
	struct gw_event event = {.kind = GW_EV_FAULT};

	event.fault.page = t->page;
	event.fault.thread = (int32_t)thread + 1;
	event.fault.vcpu = thread < 8;
	if (w->agent[DESTINATION].alive)
		answer(w, DESTINATION, event, 1000);
}

/* After the switch: what is not there faults, or reads as zeros when nothing faults any more. */
static void touch(struct world *w, unsigned thread, uint64_t page, bool writes)
{
	struct thread *t = &w->dest.thread[thread];
	uint64_t seen = w->dest.present[page] ? w->dest.content[page] : 0;

	if (!w->dest.present[page] && w->dest.armed) {
		t->waits = true;
		t->since = w->now;
		t->page = page;
		t->writes = writes;
		tell_fault(w, thread);
		return;
	}
	t->waits = false;
	if (!w->config.paused && !w->source.resumed_behind && seen != w->expected[page])
		violated(w, "the guest sees version %llu of page %llu, not %llu",
		         (unsigned long long)seen, (unsigned long long)page,
		         (unsigned long long)w->expected[page]);
	if (!writes)
		return;
	w->dest.present[page] = true;
	w->dest.content[page] = w->expected[page] = ++w->version;
}

/* While the link stands a fault is served at once, also one from before it stood. */
static void check_wait(struct world *w, const struct thread *t)
{
	uint64_t since = t->since > w->news_ns ? t->since : w->news_ns;

	if (!w->slow_ns && w->now - since > WAIT_MAX_NS)
		violated(w, "a thread has waited too long for page %llu",
		         (unsigned long long)t->page);
}

static void wake(struct world *w, uint64_t page)
{
	unsigned i;

	for (i = 0; i <= 8; i++) {
		if (!w->dest.thread[i].waits || w->dest.thread[i].page != page)
			continue;
		check_wait(w, &w->dest.thread[i]);
		touch(w, i, page, w->dest.thread[i].writes);
	}
	go_on_loading(w);
}

/* A new agent has the faults woken, so that they come again. */
void fault_again(struct world *w)
{
	unsigned i;

	for (i = 0; i <= 8; i++)
		if (w->dest.thread[i].waits)
			tell_fault(w, i);
}

static void lives_at_source(struct world *w)
{
	if (!runs(&w->source.vm) || !w->writes_left)
		return;
	w->writes_left--;
	guest_writes(w);
	will(w, GUEST, SOURCE, w->now + w->config.write_ns / 2 + dice_below(w, w->config.write_ns));
}

static void lives_at_destination(struct world *w)
{
	bool waits = false, goes_on = false;
	unsigned i;

	for (i = 0; runs(&w->dest.vm) && i < w->config.vcpus; i++) {
		struct thread *t = &w->dest.thread[i];

		if (!t->waits && t->wakes) {
			t->wakes--;
			touch(w, i, dice_below(w, w->config.pages), dice_below(w, 2));
		}
		waits |= t->waits;
		goes_on |= !t->waits && t->wakes;
	}
	if (waits || goes_on)
		will(w, GUEST, DESTINATION,
		     w->now + (goes_on ? w->config.touch_ns / 2 : 50000000) +
		             dice_below(w, w->config.touch_ns));
}

void guest_lives(struct world *w, struct happening *h)
{
	if (h->side == SOURCE)
		lives_at_source(w);
	else
		lives_at_destination(w);
}

/* --- the source's actions ------------------------------------------------------------------ */

void ask_for_room(struct world *w)
{
	struct agent *a = &w->agent[SOURCE];

	if (w->room_asked || !a->alive || !gw_source_wants_room(a->memory))
		return;
	w->room_asked = true;
	will(w, ROOM, SOURCE, w->bulk_free > w->now ? w->bulk_free : w->now + 1000);
}

/* A frame's pages are read when it is taken up, which may be later. */
static void queue_frame(struct world *w, enum gw_channel channel, enum gw_frame_kind kind,
                        uint32_t number, const struct gw_run *first, uint32_t count)
{
	uint64_t *free_at = channel == GW_BULK ? &w->bulk_free : &w->urgent_free;
	struct gw_frame *frame = need(sizeof(*frame));
	struct happening *h;
	uint32_t i;

	if (*free_at < w->now)
		*free_at = w->now;
	h = will(w, TAKE_UP, SOURCE, *free_at);
	h->channel = channel;
	h->data = frame;
	frame->kind = kind;
	frame->number = number;
	frame->run_count = count;
	for (i = 0; i < count; i++) {
		frame->runs[i] = first[i];
		frame->pages += (uint32_t)first[i].count;
	}
	*free_at +=
	        1000 + (uint64_t)frame->pages * GW_PAGE_BYTES * 1000000000u / w->config.bytes_per_s;
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

/* The model's contents are 8 bytes a page. */
static void send_frame(struct world *w, enum gw_channel channel, const struct gw_frame *frame,
                       uint64_t leaves)
{
	uint8_t *bytes = need(GW_FRAME_BYTES_MAX + GW_FRAME_PAGES_MAX * 8);
	size_t size = gw_frame_encode(frame, bytes);
	uint64_t page;
	uint32_t i;

	if (!size)
		violated(w, "a frame cannot be encoded");
	for (i = 0; frame->kind == GW_FRAME_PAGES && i < frame->run_count; i++) {
		for (page = frame->runs[i].first;
		     page < frame->runs[i].first + frame->runs[i].count; page++) {
			memcpy(bytes + size, &w->source.content[page], 8);
			size += 8;
			w->wire_bytes += GW_PAGE_BYTES - 8;
		}
	}
	put_on_wire(w, SOURCE, channel, bytes, size, leaves);
	free(bytes);
}

void take_up(struct world *w, struct happening *h)
{
	struct gw_frame *frame = h->data, *zeros, *full;
	uint64_t page, leaves = w->now + 1000;
	uint32_t i;

	if (frame->kind != GW_FRAME_PAGES) {
		send_frame(w, (enum gw_channel)h->channel, frame, leaves);
		return;
	}
	full = need(2 * sizeof(*full));
	zeros = full + 1;
	full->kind = GW_FRAME_PAGES;
	zeros->kind = GW_FRAME_ZEROS;
	for (i = 0; i < frame->run_count; i++)
		for (page = frame->runs[i].first;
		     page < frame->runs[i].first + frame->runs[i].count; page++)
			append(w->source.content[page] ? full : zeros, page);
	leaves += (uint64_t)full->pages * GW_PAGE_BYTES * 1000000000u / w->config.bytes_per_s;
	if (full->pages)
		send_frame(w, (enum gw_channel)h->channel, full, leaves);
	if (zeros->pages)
		send_frame(w, (enum gw_channel)h->channel, zeros, leaves);
	free(full);
}

static void scan(struct world *w, enum gw_event_kind kind, bool protect)
{
	if (w->fail_next[SOURCE]) {
		w->fail_next[SOURCE] = false;
		answer_text(w, SOURCE, GW_EV_FAILED, "the tracker failed");
		return;
	}
	if (!w->source.tracking)
		violated(w, "a scan without tracking");
	answer_set(w, SOURCE, kind, w->source.written);
	if (protect)
		memset(w->source.written, 0, w->config.pages);
}

static void say_digests(struct world *w)
{
	struct gw_message message = {.kind = GW_MSG_DIGESTS};
	uint64_t *digests = need(w->config.pages * 8), half = w->config.pages / 2, page;

	for (page = 0; page < w->config.pages; page++)
		digests[page] = w->source.content[page];
	message.digests.count = (uint32_t)half;
	message.digests.digests = (const uint8_t *)digests;
	say(w, SOURCE, &message);
	message.digests.first = half;
	message.digests.count = (uint32_t)(w->config.pages - half);
	message.digests.digests = (const uint8_t *)(digests + half);
	message.digests.last = true;
	say(w, SOURCE, &message);
	free(digests);
}

static void round_line(struct world *w, const struct gw_action *action)
{
	uint32_t i;

	if (!w->config.frames)
		return;
	line(w, SOURCE, "sends %u pages on %s", action->pages.pages,
	     action->pages.channel == GW_BULK ? "bulk" : "urgent");
	for (i = 0; i < action->pages.count; i++)
		if (action->pages.runs[i].first + action->pages.runs[i].count > w->config.pages)
			violated(w, "a run lies outside of memory");
}

static const char *frame_name(enum gw_frame_kind kind)
{
	return kind == GW_FRAME_ROUND ? "ROUND" : kind == GW_FRAME_SWITCH ? "SWITCH" : "END";
}

void source_acts(struct world *w, const struct gw_action *action)
{
	switch (action->kind) {
	case GW_ACT_SURVEY: answer_set(w, SOURCE, GW_EV_SURVEYED, w->source.populated); break;
	case GW_ACT_TRACK:
		if (!w->config.drains || !runs(&w->source.vm)) {
			start_tracking(w);
			break;
		}
		w->source.vm.state = VM_STOPPED;
		line(w, SOURCE, "hypervisor: the VM stands for an instant");
		if (w->agent[SOURCE].alive)
			command(w, SOURCE, DO_TRACK, 500000);
		break;
	case GW_ACT_SCAN:
		if (action->final && runs(&w->source.vm))
			violated(w, "the final scan comes before the VM is stopped");
		scan(w, GW_EV_SCANNED, true);
		break;
	case GW_ACT_PEEK: scan(w, GW_EV_PEEKED, false); break;
	case GW_ACT_PAGES:
		round_line(w, action);
		if (w->agent[SOURCE].alive)
			queue_frame(w, action->pages.channel, GW_FRAME_PAGES, 0, action->pages.runs,
			            action->pages.count);
		break;
	case GW_ACT_MARK:
		line(w, SOURCE, "marks %s %u on bulk", frame_name(action->mark.kind),
		     action->mark.number);
		if (w->agent[SOURCE].alive)
			queue_frame(w, GW_BULK, action->mark.kind, action->mark.number, NULL, 0);
		break;
	case GW_ACT_STOP: command(w, SOURCE, DO_STOP, 2000000); break;
	case GW_ACT_SAVE: command(w, SOURCE, DO_SAVE, 3000000); break;
	case GW_ACT_LOOK: look(w); break;
	case GW_ACT_PEER: w->source.peer = action->host; break;
	case GW_ACT_RESUME: command(w, SOURCE, DO_RESUME, 1000000); break;
	case GW_ACT_LET_GO: w->source.tracking = false; break;
	case GW_ACT_DIGESTS: say_digests(w); break;
	case GW_ACT_RELEASE:
		line(w, SOURCE, "hypervisor: ended, its memory is removed");
		w->source.released = true;
		w->source.tracking = false;
		w->source.vm.state = VM_DEAD;
		if (w->dest.vm.state == VM_DEAD && !w->killed)
			violated(w, "the source is released and the VM is nowhere");
		break;
	default: break;
	}
}

/* --- the destination's actions ------------------------------------------------------------- */

static void place(struct world *w, uint64_t page, uint64_t content)
{
	if (w->dest.staged && w->dest.present[page])
		return; /* atomic: what is there stays */
	w->dest.content[page] = content;
	w->dest.present[page] = true;
	w->dest.noted[page] = content;
	wake(w, page);
}

void frame_came(struct world *w, struct happening *h)
{
	struct gw_frame *frame = need(sizeof(*frame));
	struct gw_event event = {.kind = GW_EV_PLACED};
	const uint8_t *contents;
	uint64_t page, content;
	uint32_t i;

	if (gw_frame_decode(frame, h->data, w->config.pages))
		violated(w, "a frame cannot be decoded");
	contents = (const uint8_t *)h->data + gw_frame_head_bytes(h->data);
	if (frame->kind != GW_FRAME_PAGES && frame->kind != GW_FRAME_ZEROS) {
		event.kind = GW_EV_MARK;
		event.mark.kind = frame->kind;
		event.mark.number = frame->number;
	}
	for (i = 0; i < frame->run_count; i++) {
		for (page = frame->runs[i].first;
		     page < frame->runs[i].first + frame->runs[i].count; page++) {
			content = 0;
			if (frame->kind == GW_FRAME_PAGES) {
				memcpy(&content, contents, 8);
				contents += 8;
			}
			if (w->dest.vm.state != VM_NONE)
				place(w, page, content);
		}
	}
	if (event.kind == GW_EV_PLACED) {
		event.placed.runs = frame->runs;
		event.placed.count = frame->run_count;
	}
	step(w, DESTINATION, &event);
	free(frame);
}

static void reserve(struct world *w, const struct gw_action *action)
{
	if (w->dest.refuse_reservation) {
		w->dest.refuse_reservation = false;
		answer_text(w, DESTINATION, GW_EV_FAILED, "there is too little memory here");
		return;
	}
	w->agent[DESTINATION].has_journal = w->agent[DESTINATION].journal_open = true;
	w->dest.uffd = action->message.offer.flags & GW_OFFER_PULLS;
	command(w, DESTINATION, DO_RESERVE, 5000000);
}

static void punch(struct world *w, const struct gw_set *stale)
{
	uint64_t page;

	for (page = 0; page < w->config.pages; page++) {
		if (!gw_set_has(stale, page))
			continue;
		w->dest.present[page] = false;
		w->dest.content[page] = 0;
	}
}

static void arm(struct world *w, const struct gw_set *stale)
{
	punch(w, stale);
	w->dest.armed = w->dest.staged = true;
	answer(w, DESTINATION, (struct gw_event){.kind = GW_EV_ARMED}, 200000);
}

static void destroy(struct world *w)
{
	struct destination_host *d = &w->dest;

	line(w, DESTINATION, "hypervisor: destroyed");
	if (!w->agent[DESTINATION].alive)
		return;
	if (!w->agent[DESTINATION].journal_open) {
		answer(w, DESTINATION, (struct gw_event){.kind = GW_EV_DESTROYED}, 1000);
		return;
	}
	if (w->ran_there && d->vm.state == VM_RUNS)
		violated(w, "a VM that runs is destroyed");
	d->vm.state = VM_NONE;
	d->vm.life++;
	d->armed = d->uffd = d->staged = d->loading = false;
	memset(d->present, 0, w->config.pages);
	memset(d->thread, 0, sizeof(d->thread));
	answer(w, DESTINATION, (struct gw_event){.kind = GW_EV_DESTROYED}, 1000000);
}

static void disarm(struct world *w)
{
	unsigned i;

	w->dest.armed = w->dest.uffd = false;
	for (i = 0; i <= 8; i++)
		if (w->dest.thread[i].waits)
			wake(w, w->dest.thread[i].page);
	answer(w, DESTINATION, (struct gw_event){.kind = GW_EV_DISARMED}, 100000);
}

static void compare(struct world *w, const struct gw_message *m)
{
	struct gw_event event = {.kind = GW_EV_COMPARED};
	uint64_t theirs;
	uint32_t i;

	memset(&event.compared, 0, sizeof(event.compared));
	for (i = 0; w->dest.digests_kept && i < m->digests.count; i++) {
		memcpy(&theirs, m->digests.digests + 8 * (size_t)i, 8);
		event.compared.compared++;
		if (theirs != w->dest.noted[m->digests.first + i])
			event.compared.different++;
	}
	event.compared.last = m->digests.last;
	answer(w, DESTINATION, event, 100000);
}

void destination_acts(struct world *w, const struct gw_action *action)
{
	switch (action->kind) {
	case GW_ACT_RESERVE: reserve(w, action); break;
	case GW_ACT_PUNCH: punch(w, action->set); break;
	case GW_ACT_ARM: arm(w, action->set); break;
	case GW_ACT_LOAD: command(w, DESTINATION, DO_LOAD, 1000000); break;
	case GW_ACT_RUN: command(w, DESTINATION, DO_RUN, 1000000); break;
	case GW_ACT_SURVEY: answer_set(w, DESTINATION, GW_EV_SURVEYED, w->dest.present); break;
	case GW_ACT_ZERO:
		if (!w->dest.present[action->page])
			place(w, action->page, 0);
		break;
	case GW_ACT_DISARM: disarm(w); break;
	case GW_ACT_DESTROY: destroy(w); break;
	case GW_ACT_COMPARE: compare(w, &action->message); break;
	default: break;
	}
}

/* --- what must be true at the end ---------------------------------------------------------- */

static void judge_pages(struct world *w)
{
	uint64_t page, there;

	for (page = 0; page < w->config.pages; page++) {
		there = w->dest.present[page] ? w->dest.content[page] : 0;
		if (there != w->expected[page])
			violated(w, "at the end page %llu is version %llu, not %llu",
			         (unsigned long long)page, (unsigned long long)there,
			         (unsigned long long)w->expected[page]);
	}
}

static void judge_completed(struct world *w)
{
	if (w->dest.vm.state == VM_DEAD)
		return;
	if (w->dest.vm.state != (w->config.paused ? VM_LOADED : VM_RUNS))
		violated(w, "the source was released, but the VM is not at the destination");
	if (w->dest.armed || w->dest.uffd)
		violated(w, "something is left in the destination's hypervisor");
	judge_pages(w);
}

static void judge_stayed(struct world *w)
{
	enum vm_state here = w->source.vm.state;

	if (here != VM_DEAD && !w->source.resume_refused &&
	    here != (w->config.paused ? VM_STOPPED : VM_RUNS))
		violated(w, "the VM stayed at the source, but does not run there");
	if (!w->config.person)
		return;
	/* After a refused `cont` the record comes before the end: a crash between leaves it. */
	if (w->dest.vm.state != VM_NONE && !w->refused && !w->forgotten)
		violated(w, "something is left at the destination");
	if (w->agent[DESTINATION].alive)
		violated(w, "the destination's agent never ends: %s",
		         gw_state_name(gw_destination_state(w->agent[DESTINATION].memory)));
	if (w->agent[DESTINATION].has_journal && !journal_settled(w->agent[DESTINATION].record))
		violated(w, "the destination's journal ends with `%s`",
		         gw_journal_record_name(w->agent[DESTINATION].record));
}

void judge(struct world *w)
{
	enum gw_journal_record s = w->agent[SOURCE].record, d = w->agent[DESTINATION].record;

	if (w->violation[0])
		return;
	if (w->source.tracking)
		violated(w, "tracking is left in the source's hypervisor");
	if (s == GW_REC_RELEASED) {
		judge_completed(w);
	} else if (s == GW_REC_STAYED) {
		judge_stayed(w);
	} else if (w->config.person && !w->killed && !w->refused && !w->forgotten) {
		violated(w,
		         "it ends with `%s` at the source and `%s` at the destination, and no "
		         "VM had died",
		         gw_journal_record_name(s), gw_journal_record_name(d));
	} else if (w->config.person && s != GW_REC_DOUBT &&
	           !(s == GW_REC_GONE && (d == GW_REC_DOUBT || w->forgotten))) {
		violated(w, "the source's journal ends with `%s`", gw_journal_record_name(s));
	}
}
