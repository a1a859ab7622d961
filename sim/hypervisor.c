/* SPDX-License-Identifier: MIT */
/* sim/hypervisor.c - the modelled hypervisors: commands in their order, each after a delay. */
#include "sim/inside.h"

#include <stdlib.h>
#include <string.h>

void sim_make_hosts(struct sim_world *w)
{
	uint64_t pages = w->config.pages, page;

	w->source.content = sim_need(pages * sizeof(uint64_t));
	w->source.populated = sim_need(pages);
	w->source.written = sim_need(pages);
	w->dest.content = sim_need(pages * sizeof(uint64_t));
	w->dest.present = sim_need(pages);
	w->dest.noted = sim_need(pages * sizeof(uint64_t));
	w->expected = sim_need(pages * sizeof(uint64_t));
	for (page = 0; page < pages; page++) {
		if (!sim_dice_below(w, 4))
			continue;
		w->source.populated[page] = true;
		if (sim_dice_below(w, 8)) /* else a page of zeros that is no hole */
			w->source.content[page] = ++w->version;
	}
	w->source.vm.state = w->config.paused ? VM_STOPPED : VM_RUNS;
	w->writes_left = 20000;
	sim_will(w, GUEST, SIM_SOURCE, w->now);
}

void sim_free_hosts(struct sim_world *w)
{
	free(w->source.content);
	free(w->source.populated);
	free(w->source.written);
	free(w->dest.content);
	free(w->dest.present);
	free(w->dest.noted);
	free(w->expected);
}

/* Commands are carried out in their order. */
void sim_command(struct sim_world *w, int side, enum command what, uint64_t takes)
{
	struct vm *vm = side == SIM_SOURCE ? &w->source.vm : &w->dest.vm;
	struct happening *h;

	if (w->fail_next[side]) {
		w->fail_next[side] = false;
		w->source.resume_refused |= what == DO_RESUME;
		w->refused += what == DO_RUN;
		sim_answer_text(w, side, what == DO_RUN ? GW_EV_RUN_REFUSED : GW_EV_FAILED,
		                "the hypervisor refused");
		return;
	}
	if (vm->state == VM_DEAD || (what == DO_RUN && vm->state == VM_NONE)) {
		sim_answer_text(w, side, what == DO_RUN ? GW_EV_RUN_REFUSED : GW_EV_FAILED,
		                "the hypervisor is gone");
		return;
	}
	if (vm->busy_until < w->now)
		vm->busy_until = w->now;
	vm->busy_until += takes + w->slow_ns + sim_dice_below(w, takes * w->config.jitter + 1);
	h = sim_will(w, COMMAND, side, vm->busy_until);
	h->detail = (int)what;
	h->size = vm->life;
	vm->commands++;
}

/* The agent died: commands that the hypervisor has not read yet are gone with it. */
void sim_drop_commands(struct sim_world *w, int side)
{
	struct vm *vm = side == SIM_SOURCE ? &w->source.vm : &w->dest.vm;

	if (sim_dice_below(w, 2))
		vm->life++;
}

static void has_stopped(struct sim_world *w)
{
	uint64_t page;

	if (sim_runs(&w->source.vm) || w->source.vm.state == VM_STOPPED)
		w->source.vm.state = VM_STOPPED;
	for (page = 0; page < w->config.pages; page++)
		w->expected[page] = w->source.content[page];
	w->switched = true;
	sim_line(w, SIM_SOURCE, "hypervisor: the VM is stopped");
}

static void has_resumed(struct sim_world *w)
{
	if (w->ran_there)
		sim_violated(w, "the VM is resumed at the source after it ran at the destination");
	if (sim_runs(&w->dest.vm))
		sim_violated(w, "the VM runs in two places");
	if (w->source.released)
		sim_violated(w, "a released VM is resumed");
	w->source.vm.state = w->config.paused ? VM_STOPPED : VM_RUNS;
	sim_line(w, SIM_SOURCE, "hypervisor: the VM %s",
	         w->config.paused ? "stands paused" : "runs");
}

static void runs_there(struct sim_world *w)
{
	struct gw_event event = {.kind = GW_EV_RUNNING};
	unsigned i;

	if (w->dest.vm.state != VM_LOADED && !sim_runs(&w->dest.vm))
		sim_violated(w, "a VM is run that is not loaded");
	if (sim_runs(&w->source.vm))
		sim_violated(w, "the VM runs in two places");
	if (w->source.vm.state == VM_STOPPED)
		sim_violated(w, "the source still holds the VM's disks");
	if (w->dest.refuse_run) {
		w->dest.refuse_run = false;
		w->refused++;
		sim_answer_text(w, SIM_DESTINATION, GW_EV_RUN_REFUSED,
		                "`cont` was refused: the image is locked");
		return;
	}
	if (sim_runs(&w->dest.vm)) {
		sim_answer(w, SIM_DESTINATION, event, 1000);
		return;
	}
	w->ran_there = true;
	w->dest.vm.state = w->config.paused ? VM_LOADED : VM_RUNS;
	sim_line(w, SIM_DESTINATION, "hypervisor: the VM %s",
	         w->config.paused ? "stands paused" : "runs");
	for (i = 0; i < w->config.vcpus; i++)
		w->dest.thread[i].wakes = w->config.wakes;
	sim_will(w, GUEST, SIM_DESTINATION, w->now + 1000);
	sim_answer(w, SIM_DESTINATION, event, 1000);
}

void sim_go_on_loading(struct sim_world *w)
{
	struct thread *loader = &w->dest.thread[8];

	while (w->dest.loading && !loader->waits && w->dest.reads_left) {
		w->dest.reads_left--;
		sim_touch(w, 8, sim_dice_below(w, w->config.pages), false);
	}
	if (!w->dest.loading || loader->waits || w->dest.reads_left || !w->dest.state_ended)
		return;
	w->dest.loading = false;
	w->dest.vm.state = VM_LOADED;
	sim_answer(w, SIM_DESTINATION, (struct gw_event){.kind = GW_EV_LOADED}, 1000);
}

void sim_state_came(struct sim_world *w, bool last)
{
	w->dest.state_ended |= last;
	sim_go_on_loading(w);
}

static void saved(struct sim_world *w)
{
	struct gw_message piece = {.kind = GW_MSG_STATE};
	static const uint8_t bytes[64] = {1};

	w->source.vm.state = VM_SAVED;
	piece.state.bytes = bytes;
	piece.state.count = sizeof(bytes);
	sim_say(w, SIM_SOURCE, &piece);
	sim_say(w, SIM_SOURCE, &piece);
	sim_say(w, SIM_SOURCE, &(struct gw_message){.kind = GW_MSG_STATE_END});
	sim_answer(w, SIM_SOURCE, (struct gw_event){.kind = GW_EV_SAVED}, 1000);
}

void sim_start_tracking(struct sim_world *w)
{
	w->source.tracking = true;
	memset(w->source.written, 0, w->config.pages);
	sim_answer_set(w, SIM_SOURCE, GW_EV_TRACKING, w->source.populated);
}

void sim_command_done(struct sim_world *w, struct happening *h)
{
	struct vm *vm = h->side == SIM_SOURCE ? &w->source.vm : &w->dest.vm;
	bool heard = w->agent[h->side].incarnation == h->incarnation && w->agent[h->side].alive;

	vm->commands--;
	if (vm->state == VM_DEAD || vm->life != h->size ||
	    (vm->state == VM_NONE && h->detail != DO_RESERVE))
		return;
	switch ((enum command)h->detail) {
	case DO_STOP:
		has_stopped(w);
		if (heard)
			sim_answer(w, SIM_SOURCE, (struct gw_event){.kind = GW_EV_STOPPED}, 1000);
		break;
	case DO_SAVE:
		if (heard && vm->state == VM_STOPPED)
			saved(w);
		break;
	case DO_RESUME:
		has_resumed(w);
		if (heard)
			sim_answer(w, SIM_SOURCE, (struct gw_event){.kind = GW_EV_RUNNING}, 1000);
		break;
	case DO_RESERVE:
		vm->state = VM_INCOMING;
		if (heard)
			sim_answer(w, SIM_DESTINATION, (struct gw_event){.kind = GW_EV_RESERVED},
			           1000);
		break;
	case DO_LOAD:
		w->dest.loading = true;
		w->dest.reads_left = LOAD_READS;
		sim_go_on_loading(w);
		break;
	case DO_RUN: runs_there(w); break;
	case DO_TRACK:
		if (!heard)
			break;
		vm->state = VM_RUNS;
		sim_start_tracking(w);
		sim_will(w, GUEST, SIM_SOURCE, w->now);
		break;
	}
}

void sim_kill_vm(struct sim_world *w, int side, const char *why)
{
	struct vm *vm = side == SIM_SOURCE ? &w->source.vm : &w->dest.vm;
	unsigned i;

	if (vm->state == VM_NONE || vm->state == VM_DEAD)
		return;
	vm->state = VM_DEAD;
	w->killed++;
	if (side == SIM_DESTINATION) {
		w->dest.loading = false;
		for (i = 0; i <= 8; i++)
			w->dest.thread[i].waits = false;
	}
	if (w->agent[side].alive)
		sim_answer_text(w, side, GW_EV_VM_GONE, why);
}
