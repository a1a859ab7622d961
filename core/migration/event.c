/* SPDX-License-Identifier: MIT */
#include "core/migration/event.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const record_names[GW_RECORDS] = {
        [GW_REC_NONE] = "none",
        [GW_REC_LEAVING] = "leaving",
        [GW_REC_HANDING_OVER] = "handing-over",
        [GW_REC_COMMITTED] = "committed",
        [GW_REC_GONE] = "gone",
        [GW_REC_RELEASED] = "released",
        [GW_REC_STAYED] = "stayed",
        [GW_REC_RESERVED] = "reserved",
        [GW_REC_PREPARED] = "prepared",
        [GW_REC_MINE] = "mine",
        [GW_REC_WHOLE] = "whole",
        [GW_REC_NEVER] = "never",
        [GW_REC_DOUBT] = "doubt",
};

const char *gw_journal_record_name(enum gw_journal_record record)
{
	return record < GW_RECORDS ? record_names[record] : "?";
}

const char *gw_outcome_name(enum gw_outcome outcome)
{
	switch (outcome) {
	case GW_COMPLETED: return "completed";
	case GW_STAYED: return "stayed";
	case GW_UNFINISHED: return "unfinished";
	case GW_DOUBTED: return "doubt";
	case GW_LOST: return "ended";
	}
	return "?";
}

const char *gw_obstacle_name(enum gw_obstacle obstacle)
{
	switch (obstacle) {
	case GW_AT_SOURCE: return "source";
	case GW_AT_DESTINATION: return "destination";
	case GW_AT_LINK: return "link";
	}
	return "?";
}

bool gw_map_message(const struct gw_set *set, uint64_t *cursor, struct gw_run *runs,
                    struct gw_message *message)
{
	uint32_t count = 0;

	if (*cursor > set->pages)
		return false;
	while (count < GW_MAP_RUNS_MAX && gw_set_next_run(set, *cursor, set->pages, &runs[count])) {
		*cursor = runs[count].first + runs[count].count;
		count++;
	}
	*message = (struct gw_message){
	        .kind = GW_MSG_MAP,
	        .map = {.runs = runs,
	                .count = count,
	                .last = gw_set_next(set, *cursor) >= set->pages},
	};
	if (message->map.last)
		*cursor = set->pages + 1;
	return true;
}

void gw_actions_begin(struct gw_actions *actions)
{
	actions->count = 0;
	actions->text_bytes = 0;
}

struct gw_action *gw_act(struct gw_actions *actions, enum gw_action_kind kind)
{
	/* A step appends a bounded number; the last place is overwritten rather than overrun. */
	struct gw_action *action = &actions->at[actions->count];

	if (actions->count + 1 < GW_ACTIONS_MAX)
		actions->count++;
	memset(action, 0, sizeof(*action));
	action->kind = kind;
	return action;
}

void gw_act_send(struct gw_actions *actions, struct gw_message message)
{
	gw_act(actions, GW_ACT_SEND)->message = message;
}

void gw_act_say(struct gw_actions *actions, enum gw_message_kind kind)
{
	gw_act_send(actions, (struct gw_message){.kind = kind});
}

void gw_act_journal(struct gw_actions *actions, enum gw_journal_record record, bool durable)
{
	struct gw_action *action = gw_act(actions, GW_ACT_JOURNAL);

	action->journal.record = record;
	action->journal.durable = durable;
}

void gw_act_finish(struct gw_actions *actions, enum gw_outcome outcome, const char *text)
{
	struct gw_action *action;

	gw_act(actions, GW_ACT_HANG_UP);
	action = gw_act(actions, GW_ACT_FINISH);
	action->finish.outcome = outcome;
	action->finish.text = text;
}

void gw_trace(struct gw_actions *actions, uint64_t now_ns, const char *who, const char *format, ...)
{
	struct gw_action *action = gw_act(actions, GW_ACT_TRACE);
	size_t room = sizeof(actions->texts) - actions->text_bytes, used;
	char *text = actions->texts + actions->text_bytes;
	va_list args;

	action->text = "";
	if (actions->quiet || room < GW_TRACE_BYTES)
		return;
	action->text = text;
	used = (size_t)snprintf(text, GW_TRACE_BYTES, "%llu.%06llu %-11s ",
	                        (unsigned long long)(now_ns / 1000000000u),
	                        (unsigned long long)(now_ns % 1000000000u / 1000u), who);
	va_start(args, format);
	(void)vsnprintf(text + used, GW_TRACE_BYTES - used, format, args);
	va_end(args);
	actions->text_bytes += strlen(text) + 1;
}

static unsigned bucket_of(uint64_t ns)
{
	unsigned power, sixteenth;

	if (ns < 16)
		return (unsigned)ns;
	power = 63u - (unsigned)__builtin_clzll(ns);
	sixteenth = (unsigned)(ns >> (power - 4)) & 15u;
	return power * 16 + sixteenth;
}

void gw_latencies_add(struct gw_latencies *latencies, uint64_t ns)
{
	latencies->count++;
	if (ns > latencies->max_ns)
		latencies->max_ns = ns;
	latencies->bucket[bucket_of(ns)]++;
}

uint64_t gw_latencies_quantile(const struct gw_latencies *latencies, unsigned per_mille)
{
	uint64_t rank = (latencies->count * per_mille + 999) / 1000, seen = 0, upper;
	unsigned i;

	if (!latencies->count)
		return 0;
	for (i = 0; i < GW_LATENCY_BUCKETS; i++) {
		seen += latencies->bucket[i];
		if (latencies->bucket[i] && seen >= rank)
			break;
	}
	upper = i < 16 ? i : ((uint64_t)(16 + i % 16 + 1) << (i / 16 - 4)) - 1;
	return upper < latencies->max_ns ? upper : latencies->max_ns;
}
