/* SPDX-License-Identifier: MIT */
/* sim/world/destination_host.c - what the destination asks of its host: places, holes, faults. */
#include "sim/world/inside.h"

#include <string.h>

#ifndef GW_PLANT
#define GW_PLANT 0 /* a bug that torture must find; see tests/sim */
#endif

/* --- pages --------------------------------------------------------------------------------- */

/* After the switch placement is atomic: what is there stays. NULL contents: zeros. */
static void place_versions(struct migration *m, struct gw_run run, const uint8_t *contents)
{
	uint64_t i;

	for (i = 0; m->dest.content && i < run.count; i++) {
		uint64_t page = run.first + i;
		uint32_t version = 0;

		if (m->dest.staged && gw_set_has(&m->dest.present, page) && GW_PLANT != 8)
			continue;
		if (contents)
			memcpy(&version, contents + i * sizeof(version), sizeof(version));
		m->dest.content[page] = m->dest.noted[page] = version;
	}
}

static void place(struct migration *m, struct gw_run run, const uint8_t *contents)
{
	place_versions(m, run, contents);
	gw_set_add_run(&m->dest.present, run);
	if (m->waiters)
		sim_wake(m, run);
}

static void place_frame(struct migration *m, const struct gw_frame *frame, const uint8_t *contents)
{
	uint32_t i;

	if (frame->kind != GW_FRAME_PAGES || !m->dest.content)
		contents = NULL;
	for (i = 0; i < frame->run_count; i++) {
		place(m, frame->runs[i], contents);
		if (contents)
			contents += frame->runs[i].count * sizeof(uint32_t);
	}
}

/* What is left of it behind the head and its seal. */
static size_t content_bytes(const struct migration *m, const struct gw_frame *frame)
{
	return frame->kind == GW_FRAME_PAGES && m->dest.content ? frame->pages * sizeof(uint32_t)
	                                                        : 0;
}

static void take_in(struct migration *m, const struct gw_frame *frame, const uint8_t *contents)
{
	struct gw_event event = {.kind = GW_EV_PLACED};

	if (frame->kind != GW_FRAME_PAGES && frame->kind != GW_FRAME_ZEROS) {
		event.kind = GW_EV_MARK;
		event.mark.kind = frame->kind;
		event.mark.number = frame->number;
	} else {
		event.placed.runs = frame->runs;
		event.placed.count = frame->run_count;
		if (m->dest.vm.state != VM_NONE)
			place_frame(m, frame, contents);
	}
	sim_step(m, SIM_DESTINATION, &event);
}

int sim_frame_came(struct migration *m, struct stream *stream, const uint8_t *bytes, size_t size,
                   size_t *used)
{
	struct gw_frame *frame = &m->world->frame;
	size_t head = size < GW_FRAME_HEADER_BYTES ? 0 : gw_frame_head_bytes(bytes);

	if (!head)
		return size < GW_FRAME_HEADER_BYTES ? -EAGAIN : -EPROTO;
	if (size < head + GW_SEAL_BYTES)
		return -EAGAIN;
	if (gw_frame_decode(frame, bytes, m->spec.ram_pages) ||
	    !gw_sealed(bytes, head, stream->received))
		return -EPROTO;
	head += GW_SEAL_BYTES;
	*used = head + content_bytes(m, frame);
	if (size < *used)
		return -EAGAIN;
	stream->received++;
	take_in(m, frame, bytes + head);
	return 0;
}

/* What it takes: a hole in a hole costs nothing. */
static uint64_t punch(struct migration *m, const struct gw_set *stale)
{
	uint64_t there = gw_set_count_common(&m->dest.present, stale);
	struct gw_run run = {0, 0};

	while (m->dest.content && gw_set_next_run(stale, run.first + run.count, stale->pages, &run))
		memset(m->dest.content + run.first, 0, run.count * sizeof(uint32_t));
	gw_set_subtract(&m->dest.present, stale);
	return there * m->world->costs.punch_ns_per_page;
}

/* --- the hypervisor ------------------------------------------------------------------------ */

static void reserve(struct migration *m, const struct gw_action *action)
{
	struct agent *a = &m->agent[SIM_DESTINATION];

	if (m->dest.refuse_reservation) {
		m->dest.refuse_reservation = false;
		sim_answer_text(m, SIM_DESTINATION, GW_EV_FAILED,
		                "there is too little memory here");
		return;
	}
	a->has_journal = a->journal_open = true;
	m->dest.uffd = action->message.offer.flags & GW_OFFER_PULLS;
	sim_command(m, SIM_DESTINATION, DO_RESERVE, m->world->costs.reserve_ns);
}

static void arm(struct migration *m, const struct gw_set *missing)
{
	uint64_t takes = punch(m, missing);

	m->dest.armed = m->dest.staged = true;
	sim_answer_plain(m, SIM_DESTINATION, GW_EV_ARMED, 200000 + takes);
}

static void destroy(struct migration *m)
{
	struct destination_host *d = &m->dest;

	sim_line(m, SIM_DESTINATION, "hypervisor: destroyed");
	if (!m->agent[SIM_DESTINATION].alive)
		return;
	if (!m->agent[SIM_DESTINATION].journal_open) {
		sim_answer_plain(m, SIM_DESTINATION, GW_EV_DESTROYED, 1000);
		return;
	}
	if (m->ran_there && sim_runs(&d->vm))
		sim_violated(m, "a VM that runs is destroyed");
	d->vm.state = VM_NONE;
	d->vm.life++;
	d->armed = d->uffd = d->staged = d->loading = d->load_asked = false;
	gw_set_clear(&d->present);
	sim_guest_ends(m);
	sim_answer_plain(m, SIM_DESTINATION, GW_EV_DESTROYED, 1000000);
}

static void disarm(struct migration *m)
{
	m->dest.armed = m->dest.uffd = false;
	sim_wake_all(m);
	sim_answer_plain(m, SIM_DESTINATION, GW_EV_DISARMED, 100000);
}

static void compare(struct migration *m, const struct gw_message *message)
{
	struct gw_event event = {.kind = GW_EV_COMPARED};
	uint64_t theirs;
	uint32_t i;

	memset(&event.compared, 0, sizeof(event.compared));
	for (i = 0; m->dest.digests_kept && i < message->digests.count; i++) {
		memcpy(&theirs, message->digests.digests + 8 * (size_t)i, 8);
		event.compared.compared++;
		if (m->dest.noted && theirs != m->dest.noted[message->digests.first + i])
			event.compared.different++;
	}
	event.compared.last = message->digests.last;
	sim_answer(m, SIM_DESTINATION, event, 100000);
}

static void give_zero(struct migration *m, uint64_t page)
{
	if (!gw_set_has(&m->dest.present, page))
		place(m, (struct gw_run){page, 1}, NULL);
}

void sim_destination_acts(struct migration *m, const struct gw_action *action)
{
	const struct sim_costs *costs = &m->world->costs;

	switch (action->kind) {
	case GW_ACT_RESERVE: reserve(m, action); break;
	case GW_ACT_PUNCH: m->wire.answerer_free_ns = sim_now(m) + punch(m, action->set); break;
	case GW_ACT_ARM: arm(m, action->set); break;
	case GW_ACT_LOAD: sim_load(m); break;
	case GW_ACT_RUN: sim_command(m, SIM_DESTINATION, DO_RUN, costs->cont_ns); break;
	case GW_ACT_SURVEY:
		sim_answer_plain(m, SIM_DESTINATION, GW_EV_SURVEYED,
		                 sim_per_gib(m, costs->survey_ns_per_gib));
		break;
	case GW_ACT_ZERO: give_zero(m, action->page); break;
	case GW_ACT_DISARM: disarm(m); break;
	case GW_ACT_DESTROY: destroy(m); break;
	case GW_ACT_COMPARE: compare(m, &action->message); break;
	default: break;
	}
}
