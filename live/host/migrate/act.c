/* SPDX-License-Identifier: MIT */
/*
 * live/host/migrate/act.c - the source's agent: carries out what the machine says.
 */
#include <stdlib.h>

#include "live/host/migrate/parts.h"

static void write_journal(struct agent *a, const struct gw_action *action)
{
	struct gw_error error;

	if (gw_journal_write(&a->journal, action->journal.record, action->journal.durable, &error))
		gw_migrate_queue(a, GW_EV_UNWRITTEN, error.text);
	else
		gw_migrate_queue(a, GW_EV_JOURNALED, NULL);
}

static void keep_peer(struct agent *a, const struct gw_id *host)
{
	struct gw_error error;

	if (gw_journal_note_host(&a->journal, host, &error))
		gw_migrate_queue(a, GW_EV_FAILED, error.text);
}

static void keep_round(struct agent *a, const struct gw_round *round)
{
	struct gw_migrate_result *r = a->result;

	if (!(r->round_count & (r->round_count - 1))) { /* powers of two */
		size_t room = r->round_count ? 2 * r->round_count : 1;
		struct gw_round *larger = realloc(r->rounds, room * sizeof(*larger));

		if (!larger)
			return;
		r->rounds = larger;
	}
	r->rounds[r->round_count++] = *round;
	if (round->bandwidth_bytes_per_s)
		r->bandwidth_bytes_per_s = round->bandwidth_bytes_per_s;
}

static void round_ended(struct agent *a, const struct gw_round *round)
{
	keep_round(a, round);
	if (a->options->round)
		a->options->round(a->options->arg, round);
}

static void end(struct agent *a, const struct gw_action *action)
{
	a->finished = true;
	a->result->outcome = action->finish.outcome;
	(void)snprintf(a->result->reason, sizeof(a->result->reason), "%s", action->finish.text);
}

static void release(struct agent *a)
{
	gw_migrate_end_shadow(a); /* before the memory that it looks at */
	gw_migrate_stop_tracking(a);
	if (a->guest)
		gw_guest_remove(a->guest);
	else
		gw_migrate_remove_what_is_left(&a->journal);
	a->guest = NULL;
}

static void act(struct agent *a, const struct gw_action *action)
{
	switch (action->kind) {
	case GW_ACT_TRACE:
		if (a->options->trace)
			(void)fprintf(a->options->trace, "%s\n", action->text);
		break;
	case GW_ACT_SEND: gw_agent_send(&a->link, &action->message, &a->answers); break;
	case GW_ACT_MAP: gw_agent_send_map(&a->link, action->set, &a->answers); break;
	case GW_ACT_JOURNAL: write_journal(a, action); break;
	case GW_ACT_SURVEY: gw_migrate_survey(a); break;
	case GW_ACT_HANG_UP: gw_migrate_hang_up(a); break;
	case GW_ACT_FINISH: end(a, action); break;
	case GW_ACT_TRACK: gw_migrate_track(a); break;
	case GW_ACT_SCAN: gw_migrate_scan(a, action->final); break;
	case GW_ACT_PEEK: gw_migrate_peek(a); break;
	case GW_ACT_PAGES:
		if (action->pages.channel == GW_URGENT)
			gw_migrate_send_urgent_page(a, action->pages.runs[0]);
		else
			gw_migrate_send_bulk_pages(a, action->pages.runs, action->pages.count);
		break;
	case GW_ACT_MARK: gw_migrate_send_mark(a, action->mark.kind, action->mark.number); break;
	case GW_ACT_RATE:
		a->policy_rate = action->rate_bytes_per_s;
		gw_migrate_update_pace(a);
		break;
	case GW_ACT_STOP: gw_migrate_stop(a); break;
	case GW_ACT_LOOK: gw_migrate_look(a); break;
	case GW_ACT_PEER: keep_peer(a, &action->host); break;
	case GW_ACT_SAVE: gw_migrate_save(a); break;
	case GW_ACT_RESUME: gw_migrate_resume(a); break;
	case GW_ACT_LET_GO: gw_migrate_stop_tracking(a); break;
	case GW_ACT_DIGESTS: gw_migrate_begin_digests(a); break;
	case GW_ACT_ROUND: round_ended(a, action->round); break;
	case GW_ACT_SHADOW_PREPARE: gw_migrate_prepare_shadow(a); break;
	case GW_ACT_SHADOW_RUN:
	case GW_ACT_SHADOW_HOLD:
	case GW_ACT_SHADOW_GO:
	case GW_ACT_SHADOW_END: gw_migrate_tell_shadow(a, action->kind); break;
	case GW_ACT_CONNECT: gw_migrate_connect_again(a); break;
	case GW_ACT_RELEASE: release(a); break;
	default: break;
	}
}

void gw_migrate_carry_out(struct agent *a)
{
	size_t i;

	for (i = 0; i < a->actions.count; i++)
		act(a, &a->actions.at[i]);
}
