/* SPDX-License-Identifier: MIT */
/* sim/source_host.c - what the source asks of its host: tracker, frames, hypervisor. */
#include "sim/inside.h"

#include <stdlib.h>
#include <string.h>

void sim_ask_for_room(struct sim_world *w)
{
	struct agent *a = &w->agent[SIM_SOURCE];

	if (w->room_asked || !a->alive || !gw_source_wants_room(a->memory))
		return;
	w->room_asked = true;
	sim_will(w, ROOM, SIM_SOURCE, w->bulk_free > w->now ? w->bulk_free : w->now + 1000);
}

/* A frame's pages are read when it is taken up, which may be later. */
static void queue_frame(struct sim_world *w, enum gw_channel channel, enum gw_frame_kind kind,
                        uint32_t number, const struct gw_run *first, uint32_t count)
{
	uint64_t *free_at = channel == GW_BULK ? &w->bulk_free : &w->urgent_free;
	struct gw_frame *frame = sim_need(sizeof(*frame));
	struct happening *h;
	uint32_t i;

	if (*free_at < w->now)
		*free_at = w->now;
	h = sim_will(w, TAKE_UP, SIM_SOURCE, *free_at);
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
static void send_frame(struct sim_world *w, enum gw_channel channel, const struct gw_frame *frame,
                       uint64_t leaves)
{
	uint8_t *bytes = sim_need(GW_FRAME_BYTES_MAX + GW_FRAME_PAGES_MAX * 8);
	size_t size = gw_frame_encode(frame, bytes);
	uint64_t page;
	uint32_t i;

	if (!size)
		sim_violated(w, "a frame cannot be encoded");
	for (i = 0; frame->kind == GW_FRAME_PAGES && i < frame->run_count; i++) {
		for (page = frame->runs[i].first;
		     page < frame->runs[i].first + frame->runs[i].count; page++) {
			memcpy(bytes + size, &w->source.content[page], 8);
			size += 8;
			w->wire_bytes += GW_PAGE_BYTES - 8;
		}
	}
	sim_put_on_wire(w, SIM_SOURCE, channel, bytes, size, leaves);
	free(bytes);
}

void sim_take_up(struct sim_world *w, struct happening *h)
{
	struct gw_frame *frame = h->data, *zeros, *full;
	uint64_t page, leaves = w->now + 1000;
	uint32_t i;

	if (frame->kind != GW_FRAME_PAGES) {
		send_frame(w, (enum gw_channel)h->channel, frame, leaves);
		return;
	}
	full = sim_need(2 * sizeof(*full));
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

static void scan(struct sim_world *w, enum gw_event_kind kind, bool protect)
{
	if (w->fail_next[SIM_SOURCE]) {
		w->fail_next[SIM_SOURCE] = false;
		sim_answer_text(w, SIM_SOURCE, GW_EV_FAILED, "the tracker failed");
		return;
	}
	if (!w->source.tracking)
		sim_violated(w, "a scan without tracking");
	sim_answer_set(w, SIM_SOURCE, kind, w->source.written);
	if (protect)
		memset(w->source.written, 0, w->config.pages);
}

static void say_digests(struct sim_world *w)
{
	struct gw_message message = {.kind = GW_MSG_DIGESTS};
	uint64_t *digests = sim_need(w->config.pages * 8), half = w->config.pages / 2, page;

	for (page = 0; page < w->config.pages; page++)
		digests[page] = w->source.content[page];
	message.digests.count = (uint32_t)half;
	message.digests.digests = (const uint8_t *)digests;
	sim_say(w, SIM_SOURCE, &message);
	message.digests.first = half;
	message.digests.count = (uint32_t)(w->config.pages - half);
	message.digests.digests = (const uint8_t *)(digests + half);
	message.digests.last = true;
	sim_say(w, SIM_SOURCE, &message);
	free(digests);
}

static void round_line(struct sim_world *w, const struct gw_action *action)
{
	uint32_t i;

	if (!w->config.frames)
		return;
	sim_line(w, SIM_SOURCE, "sends %u pages on %s", action->pages.pages,
	         action->pages.channel == GW_BULK ? "bulk" : "urgent");
	for (i = 0; i < action->pages.count; i++)
		if (action->pages.runs[i].first + action->pages.runs[i].count > w->config.pages)
			sim_violated(w, "a run lies outside of memory");
}

static const char *frame_name(enum gw_frame_kind kind)
{
	return kind == GW_FRAME_ROUND ? "ROUND" : kind == GW_FRAME_SWITCH ? "SWITCH" : "END";
}

void sim_source_acts(struct sim_world *w, const struct gw_action *action)
{
	switch (action->kind) {
	case GW_ACT_SURVEY:
		sim_answer_set(w, SIM_SOURCE, GW_EV_SURVEYED, w->source.populated);
		break;
	case GW_ACT_TRACK:
		if (!w->config.drains || !sim_runs(&w->source.vm)) {
			sim_start_tracking(w);
			break;
		}
		w->source.vm.state = VM_STOPPED;
		sim_line(w, SIM_SOURCE, "hypervisor: the VM stands for an instant");
		if (w->agent[SIM_SOURCE].alive)
			sim_command(w, SIM_SOURCE, DO_TRACK, 500000);
		break;
	case GW_ACT_SCAN:
		if (action->final && sim_runs(&w->source.vm))
			sim_violated(w, "the final scan comes before the VM is stopped");
		scan(w, GW_EV_SCANNED, true);
		break;
	case GW_ACT_PEEK: scan(w, GW_EV_PEEKED, false); break;
	case GW_ACT_PAGES:
		round_line(w, action);
		if (w->agent[SIM_SOURCE].alive)
			queue_frame(w, action->pages.channel, GW_FRAME_PAGES, 0, action->pages.runs,
			            action->pages.count);
		break;
	case GW_ACT_MARK:
		sim_line(w, SIM_SOURCE, "marks %s %u on bulk", frame_name(action->mark.kind),
		         action->mark.number);
		if (w->agent[SIM_SOURCE].alive)
			queue_frame(w, GW_BULK, action->mark.kind, action->mark.number, NULL, 0);
		break;
	case GW_ACT_STOP: sim_command(w, SIM_SOURCE, DO_STOP, 2000000); break;
	case GW_ACT_SAVE: sim_command(w, SIM_SOURCE, DO_SAVE, 3000000); break;
	case GW_ACT_RESUME: sim_command(w, SIM_SOURCE, DO_RESUME, 1000000); break;
	case GW_ACT_LET_GO: w->source.tracking = false; break;
	case GW_ACT_DIGESTS: say_digests(w); break;
	case GW_ACT_RELEASE:
		sim_line(w, SIM_SOURCE, "hypervisor: ended, its memory is removed");
		w->source.released = true;
		w->source.tracking = false;
		w->source.vm.state = VM_DEAD;
		if (w->dest.vm.state == VM_DEAD && !w->killed)
			sim_violated(w, "the source is released and the VM is nowhere");
		break;
	default: break;
	}
}
