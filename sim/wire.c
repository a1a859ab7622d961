/* SPDX-License-Identifier: MIT */
/* sim/wire.c - the three connections: bytes on their way, cuts, new connections. */
#include "sim/inside.h"

#include <stdlib.h>
#include <string.h>

static bool stands(const struct sim_world *w, int side)
{
	return w->agent[side].epoch > w->cut_epoch;
}

/* Bytes on their way: they are lost if the link is cut before they come. */
void sim_put_on_wire(struct sim_world *w, int from, enum gw_channel channel, const uint8_t *bytes,
                     size_t size, uint64_t leaves)
{
	int to = !from;
	uint64_t *last = &w->last[from][channel], at = leaves + w->config.latency_ns;
	struct happening *h;

	w->wire_bytes += size;
	if (!stands(w, from))
		return;
	at += sim_dice_below(w, w->config.jitter ? w->config.latency_ns : 1);
	if (at <= *last)
		at = *last + 1;
	*last = at;
	h = sim_will(w, PARCEL, to, at);
	h->epoch = w->agent[from].epoch;
	h->channel = channel;
	h->size = size;
	h->data = sim_need(size);
	memcpy(h->data, bytes, size);
}

void sim_notice_loss(struct sim_world *w, int side, uint64_t after, const char *why)
{
	struct happening *h = sim_will(w, LOSS, side, w->now + after);

	h->data = sim_need(strlen(why) + 1);
	memcpy(h->data, why, strlen(why) + 1);
}

/* What was said before comes; then the end of the stream. */
void sim_hang_up(struct sim_world *w, int side)
{
	struct agent *a = &w->agent[side], *other = &w->agent[!side];
	uint64_t at = w->now + w->config.latency_ns;
	struct happening *h;
	int channel;

	if (a->epoch && other->epoch == a->epoch && stands(w, side)) {
		for (channel = 0; channel < 4; channel++)
			if (w->last[side][channel] >= at)
				at = w->last[side][channel] + 1;
		h = sim_will(w, LOSS, !side, at);
		h->data = sim_need(32);
		(void)snprintf(h->data, 32, "the peer hung up");
	}
	a->epoch = 0;
}

void sim_attach(struct sim_world *w)
{
	int side, channel;

	w->epochs++;
	for (side = 0; side < SIM_SIDES; side++) {
		w->agent[side].epoch = w->epochs;
		for (channel = 0; channel < 4; channel++)
			w->last[side][channel] = w->now;
	}
	w->bulk_free = w->urgent_free = w->news_ns = w->now;
}

/* The destination's router: hands the connections to whom they belong. */
static bool route(struct sim_world *w)
{
	struct agent *d = &w->agent[SIM_DESTINATION];
	bool known;

	if (w->now < w->down_until || (!d->alive && w->restarting[SIM_DESTINATION]))
		return false;
	if (d->alive) {
		if (d->epoch)
			sim_step(w, SIM_DESTINATION,
			         &(struct gw_event){.kind = GW_EV_LINK_LOST,
			                            .text = "the source connected anew"});
		if (!d->alive)
			return false;
	}
	known = d->alive || (d->has_journal && !sim_journal_settled(d->record));
	if (!d->alive)
		sim_start_destination(w, sim_journal_settled(d->record) || !d->has_journal);
	if (!d->alive)
		return false;
	sim_attach(w);
	if (known)
		sim_will(w, ANSWER, SIM_DESTINATION, w->now + 1000)->event.kind = GW_EV_LINK_UP;
	return true;
}

void sim_connect_again(struct sim_world *w)
{
	if (route(w))
		sim_will(w, ANSWER, SIM_SOURCE, w->now + 1)->event.kind = GW_EV_LINK_UP;
	else
		sim_answer_text(w, SIM_SOURCE, GW_EV_LINK_LOST, "no connection could be made");
}

static void describe(const struct gw_message *m, char *to, size_t room)
{
	static const char *const standings[] = {"?",       "unknown",  "prepared",
	                                        "running", "complete", "doubt"};

	switch (m->kind) {
	case GW_MSG_REFUSE:
	case GW_MSG_ABORT:
	case GW_MSG_ABORTED:
		(void)snprintf(to, room, " (%.*s)", (int)m->reason.bytes, m->reason.text);
		break;
	case GW_MSG_ROUND_ACK:
		(void)snprintf(to, room, " %llu", (unsigned long long)m->round_ack.round);
		break;
	case GW_MSG_SWITCH:
		(void)snprintf(to, room, m->switched.pulls ? ", %llu pages missing" : ", all sent",
		               (unsigned long long)m->switched.missing_pages);
		break;
	case GW_MSG_FAULT:
		(void)snprintf(to, room, " on page %llu", (unsigned long long)m->fault.page);
		break;
	case GW_MSG_MAP: (void)snprintf(to, room, " of %u runs", m->map.count); break;
	case GW_MSG_STANDING:
		(void)snprintf(to, room, ": %s", standings[m->standing.standing]);
		break;
	case GW_MSG_DONE:
		(void)snprintf(to, room, " after %llu faults", (unsigned long long)m->done.faults);
		break;
	case GW_MSG_VERDICT:
		(void)snprintf(to, room, ": %llu compared, %llu different",
		               (unsigned long long)m->verdict.compared,
		               (unsigned long long)m->verdict.different);
		break;
	default: to[0] = '\0'; break;
	}
}

void sim_say(struct sim_world *w, int side, const struct gw_message *m)
{
	enum gw_channel channel = m->kind == GW_MSG_FAULT ? GW_URGENT : GW_CONTROL;
	size_t size = gw_message_bytes(m);
	uint8_t *bytes;
	char more[GW_REASON_MAX + 8];

	if (!size) {
		sim_violated(w, "%s cannot be encoded", gw_message_name(m->kind));
		return;
	}
	describe(m, more, sizeof(more));
	sim_line(w, side, "says %s%s", gw_message_name(m->kind), more);
	if (!w->agent[side].alive || !stands(w, side))
		return;
	if (m->kind == GW_MSG_VERDICT && m->verdict.different)
		sim_violated(w, "a page differs from the source's");
	bytes = sim_need(size);
	(void)gw_message_encode(m, bytes, size);
	sim_put_on_wire(w, side, channel, bytes, size, w->now);
	free(bytes);
}

void sim_say_map(struct sim_world *w, int side, const struct gw_set *set)
{
	struct gw_run *runs = sim_need(GW_MAP_RUNS_MAX * sizeof(*runs));
	struct gw_message message;
	uint64_t cursor = 0;

	while (gw_map_message(set, &cursor, runs, &message))
		sim_say(w, side, &message);
	free(runs);
}

static void message_came(struct sim_world *w, struct happening *h)
{
	struct gw_run *runs = sim_need(GW_MAP_RUNS_MAX * sizeof(*runs));
	struct gw_message message;
	struct gw_event event = {.kind = GW_EV_MESSAGE, .message = &message};
	struct agent *a = &w->agent[h->side];
	size_t used;

	if (gw_message_decode(&message, h->data, h->size, a->pages, runs, &used) ||
	    used != h->size) {
		sim_violated(w, "%s cannot decode a message", sim_side_names[h->side]);
	} else if (message.kind == GW_MSG_STATE || message.kind == GW_MSG_STATE_END) {
		sim_state_came(w, message.kind == GW_MSG_STATE_END);
	} else {
		if (message.kind == GW_MSG_OFFER)
			a->pages = w->config.pages;
		if (message.kind == GW_MSG_MAP)
			w->news_ns = w->now;
		w->dest.released_said |= message.kind == GW_MSG_RELEASED;
		sim_step(w, h->side, &event);
	}
	free(runs);
}

void sim_parcel_came(struct sim_world *w, struct happening *h)
{
	struct agent *a = &w->agent[h->side];

	if (!a->alive || a->epoch != h->epoch || h->epoch <= w->cut_epoch)
		return;
	if (h->side == SIM_DESTINATION && h->channel != GW_CONTROL)
		sim_frame_came(w, h);
	else
		message_came(w, h);
}
