/* SPDX-License-Identifier: MIT */
/*
 * live/host/session/act.c - the destination's agent: carries out what the machine says.
 */
#include <stdio.h>

#include "live/host/session/parts.h"

static void write_journal(struct session *s, const struct gw_action *action)
{
	struct gw_error error;

	if (s->journal.fd < 0) {
		gw_session_queue(s, GW_EV_JOURNALED,
		                 NULL); /* nothing was reserved: nothing to remember */
		return;
	}
	if (gw_journal_write(&s->journal, action->journal.record, action->journal.durable, &error))
		gw_session_queue(s, GW_EV_UNWRITTEN, error.text);
	else
		gw_session_queue(s, GW_EV_JOURNALED, NULL);
}

static void act_survey(struct session *s)
{
	struct gw_error error;
	int err;

	gw_set_clear(&s->pages);
	err = gw_ram_populated(&s->ram, &s->pages, &error);
	gw_answers_put_result(&s->answers, GW_EV_SURVEYED, err, &error);
}

static void act(struct session *s, const struct gw_action *action)
{
	switch (action->kind) {
	case GW_ACT_TRACE:
		if (s->options->trace)
			(void)fprintf(s->options->trace, "%s\n", action->text);
		break;
	case GW_ACT_SEND: gw_agent_send(&s->link, &action->message, &s->answers); break;
	case GW_ACT_MAP: gw_agent_send_map(&s->link, action->set, &s->answers); break;
	case GW_ACT_JOURNAL: write_journal(s, action); break;
	case GW_ACT_SURVEY: act_survey(s); break;
	case GW_ACT_HANG_UP: gw_session_hang_up(s); break;
	case GW_ACT_FINISH: s->finished = true; break;
	case GW_ACT_RESERVE: gw_session_act_reserve(s, action); break;
	case GW_ACT_PUNCH: gw_session_act_punch(s, action->set); break;
	case GW_ACT_ARM: gw_session_act_arm(s, action->set); break;
	case GW_ACT_LOAD: gw_session_act_load(s); break;
	case GW_ACT_RUN: gw_session_act_run(s); break;
	case GW_ACT_ZERO: gw_session_act_zero(s, action->page); break;
	case GW_ACT_DISARM: gw_session_act_disarm(s); break;
	case GW_ACT_DESTROY: gw_session_act_destroy(s); break;
	case GW_ACT_COMPARE: gw_session_compare(s, &action->message); break;
	default: break;
	}
}

void gw_session_carry_out(struct session *s)
{
	size_t i;

	for (i = 0; i < s->actions.count; i++)
		act(s, &s->actions.at[i]);
}
