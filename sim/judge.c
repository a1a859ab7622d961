/* SPDX-License-Identifier: MIT */
/* sim/judge.c - what must be true, at every instant and at the end. */
#include "sim/inside.h"

/* At most one side's journal says that it may run the VM, at any instant. */
void sim_check_journals(struct sim_world *w)
{
	enum gw_journal_record s = w->agent[SIM_SOURCE].record,
	                       d = w->agent[SIM_DESTINATION].record;
	bool mine = s == GW_REC_LEAVING || s == GW_REC_HANDING_OVER || s == GW_REC_STAYED;
	bool theirs =
	        w->agent[SIM_DESTINATION].has_journal && (d == GW_REC_MINE || d == GW_REC_WHOLE);

	if (mine && theirs)
		sim_violated(w,
		             "both may run the VM: the source's journal says `%s`, the "
		             "destination's `%s`",
		             gw_journal_record_name(s), gw_journal_record_name(d));
}

static void judge_pages(struct sim_world *w)
{
	uint64_t page, there;

	for (page = 0; page < w->config.pages; page++) {
		there = w->dest.present[page] ? w->dest.content[page] : 0;
		if (there != w->expected[page])
			sim_violated(w, "at the end page %llu is version %llu, not %llu",
			             (unsigned long long)page, (unsigned long long)there,
			             (unsigned long long)w->expected[page]);
	}
}

static void judge_completed(struct sim_world *w)
{
	if (w->dest.vm.state == VM_DEAD)
		return;
	if (w->dest.vm.state != (w->config.paused ? VM_LOADED : VM_RUNS))
		sim_violated(w, "the source was released, but the VM is not at the destination");
	if (w->dest.armed || w->dest.uffd)
		sim_violated(w, "something is left in the destination's hypervisor");
	judge_pages(w);
}

static void judge_stayed(struct sim_world *w)
{
	enum vm_state here = w->source.vm.state;

	if (here != VM_DEAD && !w->source.resume_refused &&
	    here != (w->config.paused ? VM_STOPPED : VM_RUNS))
		sim_violated(w, "the VM stayed at the source, but does not run there");
	if (!w->config.person)
		return;
	/* After a refused `cont` the record comes before the end: a crash between leaves it. */
	if (w->dest.vm.state != VM_NONE && !w->refused)
		sim_violated(w, "something is left at the destination");
	if (w->agent[SIM_DESTINATION].alive)
		sim_violated(w, "the destination's agent never ends: %s",
		             gw_state_name(gw_destination_state(w->agent[SIM_DESTINATION].memory)));
	if (w->agent[SIM_DESTINATION].has_journal &&
	    !sim_journal_settled(w->agent[SIM_DESTINATION].record))
		sim_violated(w, "the destination's journal ends with `%s`",
		             gw_journal_record_name(w->agent[SIM_DESTINATION].record));
}

void sim_judge(struct sim_world *w)
{
	enum gw_journal_record s = w->agent[SIM_SOURCE].record,
	                       d = w->agent[SIM_DESTINATION].record;

	if (w->violation[0])
		return;
	if (w->source.tracking)
		sim_violated(w, "tracking is left in the source's hypervisor");
	if (s == GW_REC_RELEASED) {
		judge_completed(w);
	} else if (s == GW_REC_STAYED) {
		judge_stayed(w);
	} else if (w->config.person && !w->killed && !w->refused) {
		sim_violated(w,
		             "it ends with `%s` at the source and `%s` at the destination, and no "
		             "VM had died",
		             gw_journal_record_name(s), gw_journal_record_name(d));
	} else if (w->config.person && s != GW_REC_DOUBT &&
	           !(s == GW_REC_GONE && d == GW_REC_DOUBT)) {
		sim_violated(w, "the source's journal ends with `%s`", gw_journal_record_name(s));
	}
}
