/* SPDX-License-Identifier: MIT */
/* sim/world/source_host.c - what the source asks of its host: tracker, frames, hypervisor. */
#include "sim/world/inside.h"

#include <string.h>

#define DIGEST_CHUNK 4096u /* pages, as in live/host/migrate/parts.h */

/* --- frames -------------------------------------------------------------------------------- */

static void append(struct gw_frame *frame, uint64_t first, uint64_t count)
{
	struct gw_run *last = frame->run_count ? &frame->runs[frame->run_count - 1] : NULL;

	if (last && last->first + last->count == first)
		last->count += count;
	else
		frame->runs[frame->run_count++] = (struct gw_run){first, count};
	frame->pages += (uint32_t)count;
}

static void begin_frame(struct gw_frame *frame, enum gw_frame_kind kind, uint32_t number)
{
	frame->kind = kind;
	frame->number = number;
	frame->pages = frame->run_count = 0;
}

/* A sender recognises pages that are all zero. */
static void sort_run(struct migration *m, struct gw_run run)
{
	const struct gw_set *full = &m->source.full;
	uint64_t page = run.first, end = run.first + run.count, next;

	while (page < end) {
		bool zero = !gw_set_has(full, page);

		next = zero ? gw_set_next_before(full, page, end)
		            : gw_set_next_gap_before(full, page, end);
		append(zero ? &m->world->zeros : &m->world->frame, page, next - page);
		page = next;
	}
}

static uint8_t *put_versions(const struct migration *m, const struct gw_frame *frame, uint8_t *to)
{
	uint32_t i;

	for (i = 0; i < frame->run_count; i++) {
		size_t bytes = frame->runs[i].count * sizeof(uint32_t);

		memcpy(to, m->source.content + frame->runs[i].first, bytes);
		to += bytes;
	}
	return to;
}

static void send_frame(struct migration *m, enum gw_channel channel, const struct gw_frame *frame)
{
	bool contents = frame->kind == GW_FRAME_PAGES;
	size_t head = GW_FRAME_HEADER_BYTES + frame->run_count * GW_FRAME_RUN_BYTES;
	size_t versions = contents && m->source.content ? frame->pages * sizeof(uint32_t) : 0;
	uint8_t *to;
	struct parcel *parcel = sim_parcel_for(m, channel, head + GW_SEAL_BYTES + versions, &to);

	if (!gw_frame_encode(frame, to))
		sim_violated(m, "a frame cannot be encoded");
	gw_seal(to, head, m->wire.stream[SIM_SOURCE][channel].sent++);
	head += GW_SEAL_BYTES;
	if (versions)
		(void)put_versions(m, frame, to + head);
	parcel->pages += frame->pages;
	sim_put_frame(m, parcel, head + (contents ? (uint64_t)frame->pages * GW_PAGE_BYTES : 0));
}

/* The sender looks at every page, and copies what is not zero. */
static void send_pages(struct migration *m, const struct gw_action *action)
{
	struct gw_frame *full = &m->world->frame, *zeros = &m->world->zeros;
	uint64_t bytes = (uint64_t)action->pages.pages * GW_PAGE_BYTES;
	uint32_t i;

	sim_guest_lives(m);
	begin_frame(full, GW_FRAME_PAGES, 0);
	begin_frame(zeros, GW_FRAME_ZEROS, 0);
	for (i = 0; i < action->pages.count; i++)
		sort_run(m, action->pages.runs[i]);
	if (full->pages)
		send_frame(m, action->pages.channel, full);
	if (zeros->pages)
		send_frame(m, action->pages.channel, zeros);
	m->zero_pages += zeros->pages;
	if (action->pages.channel == GW_BULK)
		m->wire.sender_free_ns += sim_takes(bytes, m->world->costs.copy_bytes_per_s);
}

static const char *frame_name(enum gw_frame_kind kind)
{
	return kind == GW_FRAME_ROUND ? "ROUND" : kind == GW_FRAME_SWITCH ? "SWITCH" : "END";
}

static void send_mark(struct migration *m, const struct gw_action *action)
{
	struct gw_frame *frame = &m->world->frame;

	sim_line(m, SIM_SOURCE, "marks %s %u on bulk", frame_name(action->mark.kind),
	         action->mark.number);
	begin_frame(frame, action->mark.kind, action->mark.number);
	send_frame(m, GW_BULK, frame);
}

static void tell_pages(struct migration *m, const struct gw_action *action)
{
	uint32_t i;

	sim_line(m, SIM_SOURCE, "sends %u pages on %s", action->pages.pages,
	         action->pages.channel == GW_BULK ? "bulk" : "urgent");
	for (i = 0; i < action->pages.count; i++)
		if (action->pages.runs[i].first + action->pages.runs[i].count > m->spec.ram_pages)
			sim_violated(m, "a run lies outside of memory");
}

/* --- the tracker --------------------------------------------------------------------------- */

/* What is written from now on is of the next scan. */
void sim_take_written(struct migration *m)
{
	struct gw_set scanned = m->source.scanned;

	m->source.scanned = m->source.written;
	m->source.written = scanned;
	gw_set_clear(&m->source.written);
}

static void scan(struct migration *m, enum gw_event_kind kind)
{
	uint64_t takes = sim_per_gib(m, m->world->costs.scan_ns_per_gib);
	struct gw_event event = {.kind = kind};

	if (m->fail_next[SIM_SOURCE]) {
		m->fail_next[SIM_SOURCE] = false;
		sim_answer_text(m, SIM_SOURCE, GW_EV_FAILED, "the tracker failed");
		return;
	}
	if (!m->source.tracking)
		sim_violated(m, "a scan without tracking");
	sim_guest_lives(m);
	if (kind == GW_EV_SCANNED) {
		sim_take_written(m);
		takes += gw_set_count(&m->source.scanned) * m->world->costs.scan_ns_per_dirty_page;
		event.activity = sim_activity(m);
	} else {
		gw_set_copy(&m->source.scanned, &m->source.written);
	}
	sim_answer(m, SIM_SOURCE, event, takes);
}

/* An agent that must know of all I/O has the VM stand for an instant. */
static void track(struct migration *m)
{
	if (!m->config.drains || !sim_runs(&m->source.vm)) {
		sim_start_tracking(m);
		return;
	}
	sim_guest_stops(m);
	m->source.vm.state = VM_STOPPED;
	sim_line(m, SIM_SOURCE, "hypervisor: the VM stands for an instant");
	if (m->agent[SIM_SOURCE].alive)
		sim_command(m, SIM_SOURCE, DO_TRACK, 500000);
}

/* --- digests ------------------------------------------------------------------------------- */

static void next_digests(struct migration *m)
{
	uint64_t bytes = (uint64_t)DIGEST_CHUNK * GW_PAGE_BYTES;

	(void)sim_will(m, DIGEST, SIM_SOURCE,
	               sim_now(m) + sim_takes(bytes, m->world->costs.copy_bytes_per_s));
}

void sim_digest_turn(struct migration *m)
{
	static const uint64_t nothing[DIGEST_CHUNK];
	uint64_t digests[DIGEST_CHUNK], left = m->spec.ram_pages - m->digest_at, i;
	struct gw_message message = {.kind = GW_MSG_DIGESTS};

	message.digests.first = m->digest_at;
	message.digests.count = (uint32_t)(left < DIGEST_CHUNK ? left : DIGEST_CHUNK);
	message.digests.digests = (const uint8_t *)(m->source.content ? digests : nothing);
	message.digests.last = left <= DIGEST_CHUNK;
	for (i = 0; m->source.content && i < message.digests.count; i++)
		digests[i] = m->source.content[m->digest_at + i];
	m->digest_at += message.digests.count;
	sim_say(m, SIM_SOURCE, &message);
	if (!message.digests.last)
		next_digests(m);
}

/* --- surveys ------------------------------------------------------------------------------- */

/* Walking over data costs; a second look goes to the holes only, which the kernel skips. */
static void survey(struct migration *m)
{
	uint64_t takes =
	        m->source.surveyed ? 1000 : sim_per_gib(m, m->world->costs.survey_ns_per_gib);

	m->source.surveyed = true;
	sim_answer_plain(m, SIM_SOURCE, GW_EV_SURVEYED, takes);
}

/* --- actions ------------------------------------------------------------------------------- */

static void release(struct migration *m)
{
	sim_line(m, SIM_SOURCE, "hypervisor: ended, its memory is removed");
	m->source.released = true;
	m->source.tracking = false;
	m->source.vm.state = VM_DEAD;
	if (m->dest.vm.state == VM_DEAD && !m->killed)
		sim_violated(m, "the source is released and the VM is nowhere");
}

void sim_source_acts(struct migration *m, const struct gw_action *action)
{
	const struct sim_costs *costs = &m->world->costs;
	bool alive = m->agent[SIM_SOURCE].alive;

	switch (action->kind) {
	case GW_ACT_SURVEY: survey(m); break;
	case GW_ACT_TRACK: track(m); break;
	case GW_ACT_SCAN:
		if (action->final && sim_runs(&m->source.vm))
			sim_violated(m, "the final scan comes before the VM is stopped");
		scan(m, GW_EV_SCANNED);
		break;
	case GW_ACT_PEEK: scan(m, GW_EV_PEEKED); break;
	case GW_ACT_PAGES:
		if (m->config.frames)
			tell_pages(m, action);
		if (alive)
			send_pages(m, action);
		break;
	case GW_ACT_MARK: send_mark(m, action); break;
	case GW_ACT_RATE: sim_set_rate(m, action->rate_bytes_per_s); break;
	case GW_ACT_STOP: sim_command(m, SIM_SOURCE, DO_STOP, costs->stop_ns); break;
	case GW_ACT_SAVE: sim_save(m); break;
	case GW_ACT_LOOK: sim_look(m); break;
	case GW_ACT_PEER: m->source.peer = action->host; break;
	case GW_ACT_RESUME: sim_command(m, SIM_SOURCE, DO_RESUME, costs->cont_ns); break;
	case GW_ACT_LET_GO: m->source.tracking = false; break;
	case GW_ACT_DIGESTS:
		m->digest_at = 0;
		next_digests(m);
		break;
	case GW_ACT_SHADOW_PREPARE: sim_shadow_prepare(m); break;
	case GW_ACT_SHADOW_RUN: sim_shadow_run(m); break;
	case GW_ACT_SHADOW_HOLD: sim_shadow_hold(m, true); break;
	case GW_ACT_SHADOW_GO: sim_shadow_hold(m, false); break;
	case GW_ACT_SHADOW_END: sim_shadow_end(m); break;
	case GW_ACT_ROUND: sim_take_round(m, action->round); break;
	case GW_ACT_RELEASE: release(m); break;
	default: break;
	}
}
