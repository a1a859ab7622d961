/* SPDX-License-Identifier: MIT */
/*
 * live/host/migrate/ask.c - the source's agent: what a person, or another process, says to it while
 * it moves the VM.
 */
#include <stdio.h>
#include <string.h>

#include "live/host/migrate/parts.h"

static void answer_abort(struct agent *a)
{
	enum gw_state state = gw_source_state(a->machine);
	bool late = state >= GW_STATE_COMMITMENT && state != GW_STATE_CANCELLED;

	gw_migrate_queue(a, GW_EV_ABORT, "stopped by the user");
	gw_control_answer(a->control, late ? "refused: the VM has been handed over\n" : "ok\n");
}

/* "rate 12500000": the move's share of a link that several moves divide; 0: all of it. */
static void answer_rate(struct agent *a, const char *text)
{
	unsigned long long rate;
	char end;

	if (sscanf(text, "%llu%c", &rate, &end) != 1) {
		gw_control_answer(a->control, "refused: no rate\n");
		return;
	}
	gw_migrate_grant(a, rate);
	gw_control_answer(a->control, "ok\n");
}

/* live/host/move.h has what the words mean. */
static void answer_state(struct agent *a)
{
	const struct gw_migrate_result *r = a->result;
	const struct gw_round *last = r->round_count ? &r->rounds[r->round_count - 1] : NULL;
	uint64_t done, all;

	gw_source_progress(a->machine, &done, &all);
	gw_control_answer(a->control, "%u %llu %llu %llu %u %llu %llu %llu\n",
	                  gw_source_state(a->machine), (unsigned long long)done,
	                  (unsigned long long)all, (unsigned long long)gw_link_bytes(&a->link),
	                  last ? last->round : 0,
	                  (unsigned long long)(last ? last->dirty_pages : 0),
	                  (unsigned long long)(last ? last->duration_ns : 0),
	                  (unsigned long long)r->bandwidth_bytes_per_s);
}

void gw_migrate_answer_control(struct agent *a)
{
	char command[64];
	uint64_t done, all;

	if (!gw_control_next(a->control, command, sizeof(command)))
		return;
	if (!strcmp(command, "abort")) {
		answer_abort(a);
		return;
	}
	if (!strncmp(command, "rate ", 5)) {
		answer_rate(a, command + 5);
		return;
	}
	if (!strcmp(command, "state")) {
		answer_state(a);
		return;
	}
	gw_source_progress(a->machine, &done, &all);
	gw_control_answer(a->control, "%s %llu %llu\n", gw_state_name(gw_source_state(a->machine)),
	                  (unsigned long long)done, (unsigned long long)all);
}
