/* SPDX-License-Identifier: MIT */
/*
 * live/host/migrate/track.c - the source's agent: which pages hold data, and which were written.
 */
#include <stdio.h>

#include "live/host/clock.h"
#include "live/host/migrate/parts.h"

#define SHADOW_READY_NS 1000000000ull /* that a move waits for its shadow, while the VM runs */

static void announce_tracker(struct agent *a, const char *why_not_better)
{
	char text[GW_TRACE_BYTES];
	uint64_t pass_ns, bytes = gw_set_count(&a->pages) * GW_PAGE_BYTES;

	if (!a->tracker.kind->pass_ns || !a->options->note)
		return;
	pass_ns = a->tracker.kind->pass_ns(&a->tracker, &a->pages);
	(void)snprintf(
	        text, sizeof(text),
	        "the tracker %s reads all of the VM's %.0f MB in every round, about %.0f ms, "
	        "and once more while the VM stands%s%s",
	        a->tracker.kind->name, (double)bytes / 1e6, (double)pass_ns / 1e6,
	        why_not_better[0] ? "; it is used because " : "", why_not_better);
	a->options->note(a->options->arg, text);
}

static void start_tracking(struct agent *a)
{
	struct gw_error error = {{0}};
	char why[sizeof(error.text)] = "";
	int err;

	a->surveyed = false;
	gw_set_clear(&a->pages);
	err = gw_tracker_open(&a->tracker, a->options->tracker, &a->ram, a->guest->direct_io,
	                      &error);
	if (!err) {
		a->tracking = true;
		a->tracker.may_punch = a->guest->balloon;
		(void)snprintf(a->result->tracker, sizeof(a->result->tracker), "%s",
		               a->tracker.kind->name);
		if (!a->options->tracker)
			(void)snprintf(why, sizeof(why), "%s", error.text);
		err = gw_tracker_start(&a->tracker, &a->pages, &error);
	}
	if (err) {
		gw_migrate_queue(a, GW_EV_FAILED, error.text);
		return;
	}
	announce_tracker(a, why);
	gw_activity_open(&a->meter, a->guest->vm, &a->ram, a->link.bulk);
	if (!a->draining) /* else once the VM runs again */
		gw_migrate_queue(a, GW_EV_TRACKING, NULL);
}

void gw_migrate_stop_tracking(struct agent *a)
{
	if (a->tracking)
		gw_tracker_close(&a->tracker);
	gw_activity_close(&a->meter);
	a->tracking = false;
}

/* With direct I/O in flight tracking must begin while none is: the VM stands for an instant. */
void gw_migrate_track(struct agent *a)
{
	struct gw_error error;

	if (!a->guest) {
		gw_migrate_queue(a, GW_EV_FAILED, "the hypervisor is gone");
		return;
	}
	if (!a->guest->direct_io || a->guest->vm->paused) {
		start_tracking(a);
		return;
	}
	a->draining = true;
	if (gw_vm_stop(a->guest->vm, &error)) {
		a->draining = false;
		gw_migrate_queue(a, GW_EV_FAILED, error.text);
	}
}

void gw_migrate_drained(struct agent *a)
{
	struct gw_error error;

	start_tracking(a);
	if (!gw_vm_cont(a->guest->vm, &error))
		return;
	a->draining = false;
	gw_migrate_queue(a, GW_EV_FAILED, error.text);
}

void gw_migrate_scan(struct agent *a, bool final)
{
	struct gw_error error;
	int err;

	a->surveyed = false;
	gw_set_clear(&a->pages);
	err = gw_tracker_scan(&a->tracker, &a->pages, final, &error);
	if (!final) /* while the VM stands nobody asks, and it would stand for longer */
		a->activity = gw_activity_read(&a->meter);
	gw_answers_put_result(&a->answers, GW_EV_SCANNED, err, &error);
}

void gw_migrate_peek(struct agent *a)
{
	gw_set_clear(&a->peeked);
	(void)gw_tracker_peek(&a->tracker, &a->peeked, NULL);
	gw_migrate_queue(a, GW_EV_PEEKED, NULL);
}

static void survey_now(struct agent *a)
{
	struct gw_error error;
	int err;

	if (!a->surveyed)
		gw_set_clear(&a->pages);
	a->surveyed = true;
	err = gw_ram_populated(&a->ram, &a->pages, &error);
	gw_answers_put_result(&a->answers, GW_EV_SURVEYED, err, &error);
}

/*
 * The switch may follow at once. A shadow that is still starting would run too late to be of use,
 * so the move waits for it here, where the VM runs and nothing is lost but a moment.
 */
void gw_migrate_survey(struct agent *a)
{
	if (a->shadow && !a->shadow_ready)
		a->survey_at_ns = gw_now_ns() + SHADOW_READY_NS;
	else
		survey_now(a);
}

void gw_migrate_survey_if_due(struct agent *a)
{
	if (a->survey_at_ns == UINT64_MAX)
		return;
	if (a->shadow && !a->shadow_ready && gw_now_ns() < a->survey_at_ns)
		return;
	a->survey_at_ns = UINT64_MAX;
	survey_now(a);
}
