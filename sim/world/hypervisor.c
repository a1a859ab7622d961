/* SPDX-License-Identifier: MIT */
/* sim/world/hypervisor.c - the modelled hypervisors: commands in their order, each after a delay.
 */
#include "sim/world/inside.h"

#define LOAD_READS        3            /* pages that loading a small VM looks at */
#define STATE_PIECE       (256u << 10) /* of the stream, as live sends it */
#define STATE_BYTES_PIECE 64u          /* of these travel */

/* Commands are carried out in their order. */
void sim_command(struct migration *m, int side, enum command what, uint64_t takes)
{
	struct vm *vm = sim_vm_at(m, side);
	bool runs = what == DO_RUN || what == DO_RESUME;
	enum gw_event_kind no = runs ? GW_EV_RUN_REFUSED : GW_EV_FAILED;
	struct happening *h;

	if (m->fail_next[side]) {
		m->fail_next[side] = false;
		m->source.resume_refused |= what == DO_RESUME;
		m->refused += what == DO_RUN;
		sim_answer_text(m, side, no, "the hypervisor refused");
		return;
	}
	if (vm->state == VM_DEAD || (what == DO_RUN && vm->state == VM_NONE)) {
		m->refused += what == DO_RUN;
		sim_answer_text(m, side, no, "the hypervisor is gone");
		return;
	}
	if (vm->busy_until < sim_now(m))
		vm->busy_until = sim_now(m);
	vm->busy_until += takes + m->slow_ns;
	if (m->config.jitter)
		vm->busy_until += sim_dice_below(m, takes * m->config.jitter + 1);
	h = sim_will(m, COMMAND, side, vm->busy_until);
	h->detail = (int)what;
	h->life = vm->life;
}

/* The agent died: commands that the hypervisor has not read yet are gone with it. */
void sim_drop_commands(struct migration *m, int side)
{
	if (sim_dice_below(m, 2))
		sim_vm_at(m, side)->life++;
}

static void keep_image(struct migration *m)
{
	uint64_t page;

	for (page = 0; m->expected && page < m->spec.ram_pages; page++)
		m->expected[page] = m->source.content[page];
}

static void has_stopped(struct migration *m)
{
	sim_guest_stops(m);
	if (sim_runs(&m->source.vm) || m->source.vm.state == VM_STOPPED)
		m->source.vm.state = VM_STOPPED;
	keep_image(m);
	sim_shadow_takes_over(m);
	sim_line(m, SIM_SOURCE, "hypervisor: the VM is stopped");
}

static void has_resumed(struct migration *m)
{
	if (m->ran_there)
		sim_violated(m, "the VM is resumed at the source after it ran at the destination");
	if (sim_runs(&m->dest.vm))
		sim_violated(m, "the VM runs in two places");
	if (m->source.released)
		sim_violated(m, "a released VM is resumed");
	m->source.vm.state = m->spec.paused ? VM_STOPPED : VM_RUNS;
	if (!m->spec.paused)
		sim_guest_goes_on(m);
	sim_line(m, SIM_SOURCE, "hypervisor: the VM %s", m->spec.paused ? "stands paused" : "runs");
}

static bool may_run(struct migration *m)
{
	if (m->dest.vm.state != VM_LOADED && !sim_runs(&m->dest.vm))
		sim_violated(m, "a VM is run that is not loaded");
	if (sim_runs(&m->source.vm))
		sim_violated(m, "the VM runs in two places");
	if (m->source.resumed_behind)
		sim_violated(m,
		             "the VM is run from the moment of the switch, and had run on since");
	if (m->source.vm.state == VM_STOPPED)
		sim_violated(m, "the source still holds the VM's disks");
	if (!m->dest.refuse_run)
		return true;
	m->dest.refuse_run = false;
	m->refused++;
	sim_answer_text(m, SIM_DESTINATION, GW_EV_RUN_REFUSED,
	                "`cont` was refused: the image is locked");
	return false;
}

static void runs_there(struct migration *m)
{
	if (!may_run(m))
		return;
	if (!sim_runs(&m->dest.vm)) {
		m->ran_there = true;
		m->dest.vm.state = m->spec.paused ? VM_LOADED : VM_RUNS;
		sim_line(m, SIM_DESTINATION, "hypervisor: the VM %s",
		         m->spec.paused ? "stands paused" : "runs");
		if (!m->spec.paused && sim_runs(&m->dest.vm))
			sim_guest_runs_there(m);
	}
	sim_answer_plain(m, SIM_DESTINATION, GW_EV_RUNNING, 1000);
}

/* --- device state -------------------------------------------------------------------------- */

void sim_go_on_loading(struct migration *m)
{
	const struct thread *loader = &m->threads[sim_loader(m)];

	while (m->dest.loading && !loader->waits && m->dest.reads_left) {
		m->dest.reads_left--;
		sim_read(m, m->config.pages ? sim_dice_below(m, m->spec.ram_pages)
		                            : m->hot[m->dest.reads_left].first);
	}
	if (!m->dest.loading || loader->waits)
		return;
	m->dest.loading = false;
	m->dest.vm.state = VM_LOADED;
	sim_answer_plain(m, SIM_DESTINATION, GW_EV_LOADED, 1000);
}

/* What comes late is what takes time: it is loaded when all of it is there. */
static void load(struct migration *m)
{
	if (!m->dest.load_asked || !m->dest.state_ended)
		return;
	m->dest.load_asked = false;
	sim_command(m, SIM_DESTINATION, DO_LOAD, m->world->costs.load_ns);
}

void sim_load(struct migration *m)
{
	m->dest.load_asked = true;
	load(m);
}

void sim_state_came(struct migration *m, bool last)
{
	m->dest.state_ended |= last;
	load(m);
}

static void say_state(struct migration *m)
{
	static const uint8_t bytes[STATE_BYTES_PIECE];
	struct gw_message piece = {.kind = GW_MSG_STATE};
	uint64_t left = m->spec.state_bytes;

	piece.state.bytes = bytes;
	while (left) {
		uint64_t now = left < STATE_PIECE ? left : STATE_PIECE;

		piece.state.count = (uint32_t)(now < sizeof(bytes) ? now : sizeof(bytes));
		sim_say_long(m, SIM_SOURCE, &piece, now - piece.state.count);
		left -= now;
	}
}

/* The state is on its way while it is saved. */
void sim_save(struct migration *m)
{
	if (!m->fail_next[SIM_SOURCE] && m->source.vm.state == VM_STOPPED)
		say_state(m);
	sim_command(m, SIM_SOURCE, DO_SAVE, m->world->costs.save_ns);
}

static void saved(struct migration *m)
{
	m->source.vm.state = VM_SAVED;
	sim_say(m, SIM_SOURCE, &(struct gw_message){.kind = GW_MSG_STATE_END});
	sim_answer_plain(m, SIM_SOURCE, GW_EV_SAVED, 1000);
}

/* --- commands ------------------------------------------------------------------------------ */

void sim_start_tracking(struct migration *m)
{
	const struct sim_costs *costs = &m->world->costs;

	sim_guest_lives(m);
	m->source.tracking = true;
	gw_set_clear(&m->source.written);
	sim_activity_begins(m);
	sim_answer_plain(m, SIM_SOURCE, GW_EV_TRACKING,
	                 sim_per_gib(m, costs->survey_ns_per_gib + costs->protect_ns_per_gib));
}

static void at_source(struct migration *m, enum command what, bool heard)
{
	switch (what) {
	case DO_STOP:
		has_stopped(m);
		if (heard)
			sim_answer_plain(m, SIM_SOURCE, GW_EV_STOPPED, 1000);
		break;
	case DO_SAVE:
		if (heard && m->source.vm.state == VM_STOPPED)
			saved(m);
		break;
	case DO_RESUME:
		if (sim_shadow_lives(m))
			sim_violated(m, "the VM is resumed beside its shadow");
		has_resumed(m);
		if (heard)
			sim_answer_plain(m, SIM_SOURCE, GW_EV_RUNNING, 1000);
		break;
	case DO_TRACK:
		if (!heard)
			break;
		m->source.vm.state = VM_RUNS;
		sim_start_tracking(m);
		sim_guest_goes_on(m);
		break;
	default: break;
	}
}

static void at_destination(struct migration *m, enum command what, bool heard)
{
	switch (what) {
	case DO_RESERVE:
		m->dest.vm.state = VM_INCOMING;
		if (heard)
			sim_answer_plain(m, SIM_DESTINATION, GW_EV_RESERVED, 1000);
		break;
	case DO_LOAD:
		m->dest.loading = true;
		m->dest.reads_left = m->config.pages ? LOAD_READS : m->hot_count;
		sim_go_on_loading(m);
		break;
	case DO_RUN: runs_there(m); break;
	default: break;
	}
}

void sim_command_done(struct migration *m, struct happening *h)
{
	const struct agent *a = &m->agent[h->side];
	const struct vm *vm = sim_vm_at(m, h->side);
	bool heard = a->incarnation == h->incarnation && a->alive;
	enum command what = (enum command)h->detail;

	if (vm->state == VM_DEAD || vm->life != h->life ||
	    (vm->state == VM_NONE && what != DO_RESERVE))
		return;
	if (h->side == SIM_SOURCE)
		at_source(m, what, heard);
	else
		at_destination(m, what, heard);
}

/* By somebody else, at the source. The agent hears of it, but not at once. */
void sim_resume_behind(struct migration *m)
{
	if (m->source.vm.state != VM_SAVED || m->source.looked_at || m->spec.paused)
		return;
	has_resumed(m);
	m->source.resumed_behind = true;
	sim_answer_plain(m, SIM_SOURCE, GW_EV_RUNNING, sim_dice_below(m, 5000000));
}

void sim_look(struct migration *m)
{
	bool ran = m->source.resumed_behind;

	m->source.looked_at = !ran;
	sim_answer_plain(m, SIM_SOURCE, ran ? GW_EV_RUNNING : GW_EV_STOPPED, 1000);
}

void sim_kill_vm(struct migration *m, int side, const char *why)
{
	struct vm *vm = sim_vm_at(m, side);

	if (vm->state == VM_NONE || vm->state == VM_DEAD)
		return;
	if (side == SIM_SOURCE)
		sim_guest_stops(m);
	vm->state = VM_DEAD;
	m->killed++;
	if (side == SIM_DESTINATION) {
		m->dest.loading = false;
		sim_guest_ends(m);
	}
	if (m->agent[side].alive)
		sim_answer_text(m, side, GW_EV_VM_GONE, why);
}
