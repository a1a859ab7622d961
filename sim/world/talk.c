/* SPDX-License-Identifier: MIT */
/* sim/world/talk.c - messages: encoded, and decoded again on the other side. */
#include "sim/world/inside.h"

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

static void tell(struct migration *m, int side, const struct gw_message *message)
{
	char more[GW_REASON_MAX + 8] = "";

	if (sim_listens(m))
		describe(message, more, sizeof(more));
	m->moment = SIM_MOMENT_SAYS + message->kind;
	sim_line(m, side, "says %s%s", gw_message_name(message->kind), more);
}

static void heard_verdict(struct migration *m, const struct gw_message *message)
{
	m->told_same |= message->verdict.compared && !message->verdict.different;
	if (message->verdict.different && !m->hurt_pages)
		sim_violated(m, "a page differs from the source's");
}

void sim_say_long(struct migration *m, int side, const struct gw_message *message, uint64_t more)
{
	enum gw_channel channel = message->kind == GW_MSG_FAULT ? GW_URGENT : GW_CONTROL;
	size_t size = gw_message_bytes(message);
	struct parcel *parcel;

	if (!size) {
		sim_violated(m, "%s cannot be encoded", gw_message_name(message->kind));
		return;
	}
	tell(m, side, message);
	if (!m->agent[side].alive || !m->agent[side].epoch)
		return;
	if (message->kind == GW_MSG_VERDICT)
		heard_verdict(m, message);
	parcel = sim_parcel_new(m, channel, size + GW_SEAL_BYTES);
	(void)gw_message_encode(message, parcel->bytes, size);
	gw_seal(parcel->bytes, size, m->wire.stream[side][channel].sent++);
	sim_put_on_wire(m, side, parcel, parcel->size + more);
}

void sim_say(struct migration *m, int side, const struct gw_message *message)
{
	sim_say_long(m, side, message, 0);
}

void sim_say_map(struct migration *m, int side, const struct gw_set *set)
{
	struct gw_message message;
	uint64_t cursor = 0;

	while (gw_map_message(set, &cursor, m->world->runs_out, &message))
		sim_say(m, side, &message);
}

int sim_message_came(struct migration *m, int side, struct stream *stream, const uint8_t *bytes,
                     size_t size, size_t *used)
{
	struct gw_message message;
	struct gw_event event = {.kind = GW_EV_MESSAGE, .message = &message};
	struct agent *a = &m->agent[side];
	int err = gw_message_decode(&message, bytes, size, a->pages, m->world->runs_in, used);

	if (err)
		return err;
	if (size < *used + GW_SEAL_BYTES)
		return -EAGAIN;
	if (!gw_sealed(bytes, *used, stream->received++))
		return -EPROTO;
	*used += GW_SEAL_BYTES;
	if (message.kind == GW_MSG_STATE || message.kind == GW_MSG_STATE_END) {
		sim_state_came(m, message.kind == GW_MSG_STATE_END);
		return 0;
	}
	if (message.kind == GW_MSG_OFFER)
		a->pages = m->spec.ram_pages;
	if (message.kind == GW_MSG_MAP)
		m->wire.news_ns = sim_now(m);
	m->dest.released_said |= message.kind == GW_MSG_RELEASED;
	sim_step(m, side, &event);
	return 0;
}
