/* SPDX-License-Identifier: MIT */
/* sim/guest.c - what the guest does to its memory, here and there. */
#include "sim/inside.h"

#include <string.h>

/* Order `demand` pushes what nobody asked for after a second; latencies are below 17 ms. */
#define WAIT_MAX_NS 700000000u

static void guest_writes(struct sim_world *w)
{
	uint64_t page =
	        sim_dice_below(w, sim_dice_below(w, 2) ? w->config.pages : w->config.pages / 8 + 1);

	w->source.content[page] = sim_dice_below(w, 16) ? ++w->version : 0;
	w->source.populated[page] = true;
	w->source.written[page] = true;
}

static void tell_fault(struct sim_world *w, unsigned thread)
{
	struct thread *t = &w->dest.thread[thread];
	struct gw_event event = {.kind = GW_EV_FAULT};

	event.fault.page = t->page;
	event.fault.thread = (int32_t)thread + 1;
	event.fault.vcpu = thread < 8;
	if (w->agent[SIM_DESTINATION].alive)
		sim_answer(w, SIM_DESTINATION, event, 1000);
}

/* After the switch: what is not there faults, or reads as zeros when nothing faults any more. */
void sim_touch(struct sim_world *w, unsigned thread, uint64_t page, bool writes)
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
	if (!w->config.paused && seen != w->expected[page])
		sim_violated(w, "the guest sees version %llu of page %llu, not %llu",
		             (unsigned long long)seen, (unsigned long long)page,
		             (unsigned long long)w->expected[page]);
	if (!writes)
		return;
	w->dest.present[page] = true;
	w->dest.content[page] = w->expected[page] = ++w->version;
}

/* While the link stands a fault is served at once, also one from before it stood. */
static void check_wait(struct sim_world *w, const struct thread *t)
{
	uint64_t since = t->since > w->news_ns ? t->since : w->news_ns;

	if (!w->slow_ns && w->now - since > WAIT_MAX_NS)
		sim_violated(w, "a thread has waited too long for page %llu",
		             (unsigned long long)t->page);
}

void sim_wake(struct sim_world *w, uint64_t page)
{
	unsigned i;

	for (i = 0; i <= 8; i++) {
		if (!w->dest.thread[i].waits || w->dest.thread[i].page != page)
			continue;
		check_wait(w, &w->dest.thread[i]);
		sim_touch(w, i, page, w->dest.thread[i].writes);
	}
	sim_go_on_loading(w);
}

/* A new agent has the faults woken, so that they come again. */
void sim_fault_again(struct sim_world *w)
{
	unsigned i;

	for (i = 0; i <= 8; i++)
		if (w->dest.thread[i].waits)
			tell_fault(w, i);
}

static void lives_at_source(struct sim_world *w)
{
	if (!sim_runs(&w->source.vm) || !w->writes_left)
		return;
	w->writes_left--;
	guest_writes(w);
	sim_will(w, GUEST, SIM_SOURCE,
	         w->now + w->config.write_ns / 2 + sim_dice_below(w, w->config.write_ns));
}

static void lives_at_destination(struct sim_world *w)
{
	bool waits = false, goes_on = false;
	unsigned i;

	for (i = 0; sim_runs(&w->dest.vm) && i < w->config.vcpus; i++) {
		struct thread *t = &w->dest.thread[i];

		if (!t->waits && t->wakes) {
			t->wakes--;
			sim_touch(w, i, sim_dice_below(w, w->config.pages), sim_dice_below(w, 2));
		}
		waits |= t->waits;
		goes_on |= !t->waits && t->wakes;
	}
	if (waits || goes_on)
		sim_will(w, GUEST, SIM_DESTINATION,
		         w->now + (goes_on ? w->config.touch_ns / 2 : 50000000) +
		                 sim_dice_below(w, w->config.touch_ns));
}

void sim_guest_lives(struct sim_world *w, struct happening *h)
{
	if (h->side == SIM_SOURCE)
		lives_at_source(w);
	else
		lives_at_destination(w);
}
