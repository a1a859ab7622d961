/* SPDX-License-Identifier: MIT */
/* sim/world/judge.c - what must be true, at every instant and at the end. */
#include "sim/world/inside.h"

/*
 * At most one side's journal says that it may run the VM, at any instant; unless what was recorded
 * at the destination could not be taken back: then nothing of the VM is left there.
 */
void sim_check_journals(struct migration *m)
{
	enum gw_journal_record s = m->agent[SIM_SOURCE].record,
	                       d = m->agent[SIM_DESTINATION].record;
	bool mine = s == GW_REC_LEAVING || s == GW_REC_HANDING_OVER || s == GW_REC_STAYED;
	bool theirs =
	        m->agent[SIM_DESTINATION].has_journal && (d == GW_REC_MINE || d == GW_REC_WHOLE);

	if (mine && theirs && (!m->never_unwritten || m->dest.vm.state != VM_NONE))
		sim_violated(m,
		             "both may run the VM: the source's journal says `%s`, the "
		             "destination's `%s`",
		             gw_journal_record_name(s), gw_journal_record_name(d));
}

/* Without versions: what held data at the switch is there. */
static void judge_presence(struct migration *m)
{
	gw_set_subtract(&m->source.full, &m->dest.present);
	if (!gw_set_empty(&m->source.full))
		sim_violated(m, "at the end page %llu is missing",
		             (unsigned long long)gw_set_next(&m->source.full, 0));
}

static void judge_pages(struct migration *m)
{
	uint64_t page;

	if (m->hurt_pages && !m->told_same)
		return; /* said to be different, or no digests were compared */
	if (!m->dest.content) {
		judge_presence(m);
		return;
	}
	for (page = 0; page < m->spec.ram_pages; page++) {
		bool present = gw_set_has(&m->dest.present, page);
		uint32_t there = present ? m->dest.content[page] : 0;

		if (there != m->expected[page])
			sim_violated(m, "at the end page %llu is version %u, not %u",
			             (unsigned long long)page, there, m->expected[page]);
	}
}

static void judge_completed(struct migration *m)
{
	if (m->dest.vm.state == VM_DEAD)
		return;
	if (m->dest.vm.state != (m->spec.paused ? VM_LOADED : VM_RUNS))
		sim_violated(m, "the source was released, but the VM is not at the destination");
	if (m->dest.armed || m->dest.uffd)
		sim_violated(m, "something is left in the destination's hypervisor");
	judge_pages(m);
}

static void judge_stayed(struct migration *m)
{
	enum vm_state here = m->source.vm.state;

	if (here != VM_DEAD && !m->source.resume_refused &&
	    here != (m->spec.paused ? VM_STOPPED : VM_RUNS))
		sim_violated(m, "the VM stayed at the source, but does not run there");
	if (!m->config.person)
		return;
	/* After a refused `cont` the record comes before the end: a crash between leaves it. */
	if (m->dest.vm.state != VM_NONE && !m->refused && !m->forgotten)
		sim_violated(m, "something is left at the destination");
	if (m->agent[SIM_DESTINATION].alive)
		sim_violated(m, "the destination's agent never ends: %s",
		             gw_state_name(gw_destination_state(m->agent[SIM_DESTINATION].memory)));
	if (m->agent[SIM_DESTINATION].has_journal &&
	    !sim_journal_settled(m->agent[SIM_DESTINATION].record))
		sim_violated(m, "the destination's journal ends with `%s`",
		             gw_journal_record_name(m->agent[SIM_DESTINATION].record));
}

void sim_judge(struct migration *m)
{
	enum gw_journal_record s = m->agent[SIM_SOURCE].record,
	                       d = m->agent[SIM_DESTINATION].record;

	if (m->world->violation[0])
		return;
	if (m->source.tracking)
		sim_violated(m, "tracking is left in the source's hypervisor");
	if (s == GW_REC_RELEASED) {
		judge_completed(m);
	} else if (s == GW_REC_STAYED) {
		judge_stayed(m);
	} else if (m->config.person && !m->killed && !m->refused && !m->forgotten) {
		sim_violated(m,
		             "it ends with `%s` at the source and `%s` at the destination, and no "
		             "VM had died",
		             gw_journal_record_name(s), gw_journal_record_name(d));
	} else if (m->config.person && s != GW_REC_DOUBT &&
	           !(s == GW_REC_GONE &&
	             (d == GW_REC_DOUBT || (d == GW_REC_NEVER && m->said_gone) || m->forgotten))) {
		sim_violated(m, "the source's journal ends with `%s`", gw_journal_record_name(s));
	}
}
