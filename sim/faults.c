/* SPDX-License-Identifier: MIT */
/* sim/faults.c - what is planned to go wrong, and the person who looks after it. */
#include "sim/inside.h"

#include <string.h>

static const char *const fault_names[SIM_FAULTS] = {
        [SIM_FAULT_NONE] = "nothing",
        [SIM_FAULT_CUT] = "the link is cut",
        [SIM_FAULT_CRASH_SOURCE] = "the source's agent crashes",
        [SIM_FAULT_CRASH_DESTINATION] = "the destination's agent crashes",
        [SIM_FAULT_KILL_SOURCE_VM] = "the source's hypervisor dies",
        [SIM_FAULT_KILL_DESTINATION_VM] = "the destination's hypervisor dies",
        [SIM_FAULT_POWER_OFF] = "the guest powers itself off",
        [SIM_FAULT_ABORT] = "the source's user aborts",
        [SIM_FAULT_ABORT_DESTINATION] = "the destination's user aborts",
        [SIM_FAULT_REFUSE_RUN] = "the destination's next `cont` will be refused",
        [SIM_FAULT_REFUSE_RESERVATION] = "the destination's next reservation will be refused",
        [SIM_FAULT_FAIL_SOURCE] = "the source's next request will fail",
        [SIM_FAULT_FAIL_DESTINATION] = "the destination's next request will fail",
        [SIM_FAULT_SLOW] = "answers become slow",
        [SIM_FAULT_RESUME_SOURCE] = "somebody resumes the VM at the source",
        [SIM_FAULT_FORGET_DESTINATION] = "the destination's journal and identity are lost",
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
	m->struck++;
	if (m->config.trace)
		(void)fprintf(m->config.trace, "                * %s\n",
		              sim_fault_name(plan->fault));
	switch (plan->fault) {
	case SIM_FAULT_CUT: sim_cut(m, plan); break;
	case SIM_FAULT_CRASH_SOURCE: sim_crash(m, SIM_SOURCE, plan->for_ns); break;
	case SIM_FAULT_CRASH_DESTINATION: sim_crash(m, SIM_DESTINATION, plan->for_ns); break;
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
	case SIM_FAULT_SLOW: m->slow_ns = plan->for_ns; break;
	case SIM_FAULT_RESUME_SOURCE: sim_resume_behind(m); break;
	case SIM_FAULT_FORGET_DESTINATION: forget_destination(m, plan->for_ns); break;
	case SIM_FAULT_NONE:
	case SIM_FAULTS: break;
	}
}

void sim_strike_at(struct migration *m, const char *text)
{
	struct sim_planned *plan;

	for (plan = m->config.planned; plan < m->config.planned + SIM_PLANNED_MAX; plan++) {
		if (plan->fault == SIM_FAULT_NONE || plan->spent)
			continue;
		if (plan->words ? !strstr(text, plan->words) : plan->line != m->lines)
			continue;
		plan->spent = !plan->once_more;
		strike(m, plan);
	}
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
