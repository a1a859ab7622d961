/* SPDX-License-Identifier: MIT */
/* sim/world/faults.c - what is planned to go wrong, and the person who looks after it. */
#include "sim/world/inside.h"

#include <string.h>

static const char *const fault_names[SIM_FAULTS] = {
        [SIM_FAULT_NONE] = "nothing",
        [SIM_FAULT_CUT] = "the link is cut",
        [SIM_FAULT_CRASH_SOURCE] = "the source's agent crashes",
        [SIM_FAULT_CRASH_DESTINATION] = "the destination's agent crashes",
        [SIM_FAULT_TEAR_SOURCE] = "the source's agent crashes over its next record",
        [SIM_FAULT_TEAR_DESTINATION] = "the destination's agent crashes over its next record",
        [SIM_FAULT_RESTART_SOURCE] = "the source's host goes down",
        [SIM_FAULT_RESTART_DESTINATION] = "the destination's host goes down",
        [SIM_FAULT_KILL_SOURCE_VM] = "the source's hypervisor dies",
        [SIM_FAULT_KILL_DESTINATION_VM] = "the destination's hypervisor dies",
        [SIM_FAULT_POWER_OFF] = "the guest powers itself off",
        [SIM_FAULT_ABORT] = "the source's user aborts",
        [SIM_FAULT_ABORT_DESTINATION] = "the destination's user aborts",
        [SIM_FAULT_RECOVER] = "somebody says `recover` at both hosts",
        [SIM_FAULT_RESOLVE] = "somebody says `resolve --gone` at the destination",
        [SIM_FAULT_REFUSE_RUN] = "the destination's next `cont` will be refused",
        [SIM_FAULT_REFUSE_RESERVATION] = "the destination's next reservation will be refused",
        [SIM_FAULT_FAIL_SOURCE] = "the source's next request will fail",
        [SIM_FAULT_FAIL_DESTINATION] = "the destination's next request will fail",
        [SIM_FAULT_SLOW] = "answers become slow",
        [SIM_FAULT_DELAY] = "bytes come late",
        [SIM_FAULT_REORDER] = "one connection falls behind",
        [SIM_FAULT_DUPLICATE] = "bytes come twice",
        [SIM_FAULT_TRUNCATE] = "bytes get lost",
        [SIM_FAULT_CORRUPT] = "a bit is wrong",
        [SIM_FAULT_RESUME_SOURCE] = "somebody resumes the VM at the source",
        [SIM_FAULT_FORGET_DESTINATION] = "the destination's journal and identity are lost",
        [SIM_FAULT_FULL_SOURCE] = "the source's next record will not be written",
        [SIM_FAULT_FULL_DESTINATION] = "the destination's next record will not be written",
        [SIM_FAULT_KILL_SHADOW] = "the shadow is killed",
        [SIM_FAULT_FAIL_SHADOW] = "the next request to the shadow will fail",
        [SIM_FAULT_HANG_SHADOW] = "the shadow hangs",
};

const char *sim_fault_name(enum sim_fault fault)
{
	return fault_names[fault];
}

bool sim_listens(const struct migration *m)
{
	int i;

	for (i = 0; i < SIM_PLANNED_MAX; i++)
		if (m->config.planned[i].words && !m->config.planned[i].spent)
			return true;
	return m->config.trace != NULL;
}

static void tear(struct migration *m, int side, uint64_t for_ns)
{
	m->agent[side].tears = m->agent[side].alive;
	m->agent[side].tears_ns = for_ns;
}

/* Memory is gone; a record under another boot_id is a doubt (live/host/journal.c). */
static void restart_host(struct migration *m, int side, uint64_t for_ns)
{
	struct agent *a = &m->agent[side];

	sim_kill_vm(m, side, "the host went down");
	m->killed++; /* a VM's memory, also where it was but an image */
	m->image_lost |= side == SIM_SOURCE;
	sim_crash(m, side, for_ns);
	if (a->has_journal && !sim_journal_settled(a->record) && a->record != GW_REC_LEAVING &&
	    a->record != GW_REC_WHOLE)
		a->record = GW_REC_DOUBT;
}

/* Where an agent works on it the journal is locked, and the second one is refused. */
static void recover(struct migration *m)
{
	int side;

	for (side = 0; side < SIM_SIDES; side++)
		(void)sim_will(m, RESTART, side, sim_now(m) + 1);
}

/* Only who has seen that it never ran there may say so. */
static void resolve(struct migration *m)
{
	if (!m->agent[SIM_DESTINATION].alive || m->ran_there)
		return;
	m->said_gone = true;
	sim_will(m, ANSWER, SIM_DESTINATION, sim_now(m) + 1)->event.kind = GW_EV_RESOLVED_GONE;
}

static void delay(struct migration *m, int side, uint64_t for_ns)
{
	int channel;

	m->late = true;
	for (channel = 0; channel < 4; channel++)
		m->wire.stream[side][channel].late_ns = for_ns;
}

/* Contents of pages are told from others by digests alone: only a run that has them is hurt so. */
static bool may_be_hurt(const struct migration *m, const struct parcel *parcel, bool *contents)
{
	*contents = parcel->channel != GW_CONTROL && parcel->to == SIM_DESTINATION &&
	            parcel->pages &&
	            gw_frame_head_bytes(parcel->bytes) + GW_SEAL_BYTES < parcel->size;
	return !*contents || m->config.verify;
}

static void flip(struct parcel *parcel, uint64_t bit)
{
	parcel->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

enum sim_fault sim_hurt(struct migration *m, int from, struct parcel *parcel)
{
	enum sim_fault fault = m->hurts[from];
	bool contents;

	parcel->to = !from;
	if (fault == SIM_FAULT_REORDER) {
		m->wire.stream[from][parcel->channel].late_ns = m->hurts_ns[from];
		m->late = true;
	} else if (!may_be_hurt(m, parcel, &contents)) {
		return SIM_FAULT_NONE;
	} else {
		m->hurt = true;
		m->hurt_pages |= contents && fault != SIM_FAULT_DUPLICATE;
	}
	m->hurts[from] = SIM_FAULT_NONE;
	if (fault == SIM_FAULT_TRUNCATE)
		parcel->size = sim_dice_below(m, parcel->size);
	else if (fault == SIM_FAULT_CORRUPT)
		flip(parcel, sim_dice_below(m, 8 * parcel->size));
	return fault;
}

static void remember(struct migration *m, enum sim_fault fault)
{
	struct sim_strike *strike = &m->strikes[m->struck];
	int side;

	if (m->struck == SIM_STRIKES_MAX)
		return;
	m->struck++;
	strike->fault = fault;
	for (side = 0; side < SIM_SIDES; side++)
		strike->state[side] = m->agent[side].state;
}

/* As if another host answered at its address from now on; its hypervisor goes on. */
static void forget_destination(struct migration *m, uint64_t for_ns)
{
	struct agent *d = &m->agent[SIM_DESTINATION];

	sim_crash(m, SIM_DESTINATION, for_ns);
	d->has_journal = d->journal_open = false;
	d->record = GW_REC_NONE;
	m->dest.identity++;
	m->forgotten = true;
}

static void strike(struct migration *m, struct sim_planned *plan)
{
	remember(m, plan->fault);
	if (m->config.trace)
		(void)fprintf(m->config.trace, "                * %s\n",
		              sim_fault_name(plan->fault));
	switch (plan->fault) {
	case SIM_FAULT_CUT: sim_cut(m, plan); break;
	case SIM_FAULT_CRASH_SOURCE: sim_crash(m, SIM_SOURCE, plan->for_ns); break;
	case SIM_FAULT_CRASH_DESTINATION: sim_crash(m, SIM_DESTINATION, plan->for_ns); break;
	case SIM_FAULT_TEAR_SOURCE: tear(m, SIM_SOURCE, plan->for_ns); break;
	case SIM_FAULT_TEAR_DESTINATION: tear(m, SIM_DESTINATION, plan->for_ns); break;
	case SIM_FAULT_RESTART_SOURCE: restart_host(m, SIM_SOURCE, plan->for_ns); break;
	case SIM_FAULT_RESTART_DESTINATION: restart_host(m, SIM_DESTINATION, plan->for_ns); break;
	case SIM_FAULT_KILL_SOURCE_VM:
		sim_kill_vm(m, SIM_SOURCE, "the hypervisor was killed");
		break;
	case SIM_FAULT_KILL_DESTINATION_VM:
		sim_kill_vm(m, SIM_DESTINATION, "the hypervisor was killed");
		break;
	case SIM_FAULT_POWER_OFF:
		if (m->source.vm.state == VM_RUNS)
			sim_kill_vm(m, SIM_SOURCE, "the guest powered itself off");
		if (m->dest.vm.state == VM_RUNS)
			sim_kill_vm(m, SIM_DESTINATION, "the guest powered itself off");
		break;
	case SIM_FAULT_ABORT:
		sim_answer_text(m, SIM_SOURCE, GW_EV_ABORT, "stopped by the user");
		break;
	case SIM_FAULT_ABORT_DESTINATION:
		sim_answer_text(m, SIM_DESTINATION, GW_EV_ABORT,
		                "stopped by the destination's user");
		break;
	case SIM_FAULT_REFUSE_RUN: m->dest.refuse_run = true; break;
	case SIM_FAULT_REFUSE_RESERVATION: m->dest.refuse_reservation = true; break;
	case SIM_FAULT_FAIL_SOURCE: m->fail_next[SIM_SOURCE] = true; break;
	case SIM_FAULT_FAIL_DESTINATION: m->fail_next[SIM_DESTINATION] = true; break;
	case SIM_FAULT_FULL_SOURCE: m->full[SIM_SOURCE] = true; break;
	case SIM_FAULT_FULL_DESTINATION: m->full[SIM_DESTINATION] = true; break;
	case SIM_FAULT_KILL_SHADOW: sim_shadow_killed(m); break;
	case SIM_FAULT_FAIL_SHADOW: m->shadow.fails = true; break;
	case SIM_FAULT_HANG_SHADOW: m->shadow.hangs = true; break;
	case SIM_FAULT_RECOVER: recover(m); break;
	case SIM_FAULT_RESOLVE: resolve(m); break;
	case SIM_FAULT_SLOW: m->slow_ns = plan->for_ns; break;
	case SIM_FAULT_DELAY: delay(m, plan->side, plan->for_ns); break;
	case SIM_FAULT_REORDER:
	case SIM_FAULT_DUPLICATE:
	case SIM_FAULT_TRUNCATE:
	case SIM_FAULT_CORRUPT:
		m->hurts[plan->side] = plan->fault;
		m->hurts_ns[plan->side] = plan->for_ns;
		break;
	case SIM_FAULT_RESUME_SOURCE: sim_resume_behind(m); break;
	case SIM_FAULT_FORGET_DESTINATION: forget_destination(m, plan->for_ns); break;
	case SIM_FAULT_NONE:
	case SIM_FAULTS: break;
	}
}

static bool is_time(const struct migration *m, const struct sim_planned *plan, const char *text)
{
	if (plan->words)
		return strstr(text, plan->words);
	return plan->moment ? plan->moment == m->moment : plan->line == m->lines;
}

void sim_strike_at(struct migration *m, const char *text)
{
	struct sim_planned *plan;

	for (plan = m->config.planned; plan < m->config.planned + SIM_PLANNED_MAX; plan++) {
		if (plan->fault == SIM_FAULT_NONE || plan->spent)
			continue;
		if (!is_time(m, plan, text))
			continue;
		plan->spent = !plan->once_more;
		strike(m, plan);
	}
}

#define PATIENCE_NS (600 * 1000000000ull)

/*
 * Where the end of a stream was lost both may wait for ever. Somebody stops it while it can be
 * stopped, and else ends the source's agent, so that another one asks how things stand.
 */
void sim_lose_patience(struct migration *m)
{
	struct agent *s = &m->agent[SIM_SOURCE];

	if (!m->config.person || !m->hurt || sim_now(m) < (m->losses + 1) * PATIENCE_NS ||
	    m->losses > 2)
		return;
	m->losses++;
	sim_line(m, SIM_SIDES, "a person loses patience");
	if (s->alive && gw_source_state(s->memory) < GW_STATE_COMMITMENT)
		sim_answer_text(m, SIM_SOURCE, GW_EV_ABORT, "stopped by the user");
	else
		sim_crash(m, SIM_SOURCE, 1000000);
}

/* Nothing will come of itself: a person looks after it. False if there is nothing to be done. */
bool sim_person(struct migration *m)
{
	struct agent *s = &m->agent[SIM_SOURCE], *d = &m->agent[SIM_DESTINATION];

	if (!m->config.person || m->helped >= 6)
		return false;
	m->helped++;
	if (!s->alive && !sim_journal_settled(s->record)) {
		sim_line(m, SIM_SIDES, "a person says `recover` at the source");
		sim_restart(m, SIM_SOURCE);
		return true;
	}
	if (!d->alive && d->has_journal && !sim_journal_settled(d->record) &&
	    d->record != GW_REC_WHOLE && s->record == GW_REC_STAYED)
		sim_restart(m, SIM_DESTINATION);
	if (d->alive && gw_destination_state(d->memory) == GW_STATE_PRE_MIGRATION) {
		sim_answer_text(m, SIM_DESTINATION, GW_EV_LINK_LOST, "the peer offers nothing");
		return true;
	}
	if (d->alive && s->record == GW_REC_STAYED) {
		sim_line(m, SIM_SIDES, "a person says `resolve --gone` at the destination");
		sim_will(m, ANSWER, SIM_DESTINATION, sim_now(m) + 1)->event.kind =
		        GW_EV_RESOLVED_GONE;
		return true;
	}
	return false;
}
