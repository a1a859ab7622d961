/* SPDX-License-Identifier: MIT */
/* sim/destination_host.c - what the destination asks of its host: places, holes, faults. */
#include "sim/inside.h"

#include <stdlib.h>
#include <string.h>

static void place(struct sim_world *w, uint64_t page, uint64_t content)
{
	if (w->dest.staged && w->dest.present[page])
		return; /* atomic: what is there stays */
	w->dest.content[page] = content;
	w->dest.present[page] = true;
	w->dest.noted[page] = content;
	sim_wake(w, page);
}

void sim_frame_came(struct sim_world *w, struct happening *h)
{
	struct gw_frame *frame = sim_need(sizeof(*frame));
	struct gw_event event = {.kind = GW_EV_PLACED};
	const uint8_t *contents;
	uint64_t page, content;
	uint32_t i;

	if (gw_frame_decode(frame, h->data, w->config.pages))
		sim_violated(w, "a frame cannot be decoded");
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
	sim_step(w, SIM_DESTINATION, &event);
	free(frame);
}

static void reserve(struct sim_world *w, const struct gw_action *action)
{
	if (w->dest.refuse_reservation) {
		w->dest.refuse_reservation = false;
		sim_answer_text(w, SIM_DESTINATION, GW_EV_FAILED,
		                "there is too little memory here");
		return;
	}
	w->agent[SIM_DESTINATION].has_journal = w->agent[SIM_DESTINATION].journal_open = true;
	w->dest.uffd = action->message.offer.flags & GW_OFFER_PULLS;
	sim_command(w, SIM_DESTINATION, DO_RESERVE, 5000000);
}

static void punch(struct sim_world *w, const struct gw_set *stale)
{
	uint64_t page;

	for (page = 0; page < w->config.pages; page++) {
		if (!gw_set_has(stale, page))
			continue;
		w->dest.present[page] = false;
		w->dest.content[page] = 0;
	}
}

static void arm(struct sim_world *w, const struct gw_set *stale)
{
	punch(w, stale);
	w->dest.armed = w->dest.staged = true;
	sim_answer(w, SIM_DESTINATION, (struct gw_event){.kind = GW_EV_ARMED}, 200000);
}

static void destroy(struct sim_world *w)
{
	struct destination_host *d = &w->dest;

	sim_line(w, SIM_DESTINATION, "hypervisor: destroyed");
	if (!w->agent[SIM_DESTINATION].alive)
		return;
	if (!w->agent[SIM_DESTINATION].journal_open) {
		sim_answer(w, SIM_DESTINATION, (struct gw_event){.kind = GW_EV_DESTROYED}, 1000);
		return;
	}
	if (w->ran_there && d->vm.state == VM_RUNS)
		sim_violated(w, "a VM that runs is destroyed");
	d->vm.state = VM_NONE;
	d->vm.life++;
	d->armed = d->uffd = d->staged = d->loading = false;
	memset(d->present, 0, w->config.pages);
	memset(d->thread, 0, sizeof(d->thread));
	sim_answer(w, SIM_DESTINATION, (struct gw_event){.kind = GW_EV_DESTROYED}, 1000000);
}

static void disarm(struct sim_world *w)
{
	unsigned i;

	w->dest.armed = w->dest.uffd = false;
	for (i = 0; i <= 8; i++)
		if (w->dest.thread[i].waits)
			sim_wake(w, w->dest.thread[i].page);
	sim_answer(w, SIM_DESTINATION, (struct gw_event){.kind = GW_EV_DISARMED}, 100000);
}

static void compare(struct sim_world *w, const struct gw_message *m)
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
	sim_answer(w, SIM_DESTINATION, event, 100000);
}

void sim_destination_acts(struct sim_world *w, const struct gw_action *action)
{
	switch (action->kind) {
	case GW_ACT_RESERVE: reserve(w, action); break;
	case GW_ACT_PUNCH: punch(w, action->set); break;
	case GW_ACT_ARM: arm(w, action->set); break;
	case GW_ACT_LOAD: sim_command(w, SIM_DESTINATION, DO_LOAD, 1000000); break;
	case GW_ACT_RUN: sim_command(w, SIM_DESTINATION, DO_RUN, 1000000); break;
	case GW_ACT_SURVEY:
		sim_answer_set(w, SIM_DESTINATION, GW_EV_SURVEYED, w->dest.present);
		break;
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
