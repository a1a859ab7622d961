/* SPDX-License-Identifier: MIT */
/*
 * core/migration/message.c - messages to bytes and back.
 *
 * One byte string for one message: what decodes encodes to the same bytes again. So a field that
 * is free to vary but means nothing (a flag that is neither 0 nor 1, a padded varint) is an error.
 */
#include "core/migration/message.h"

#include "core/migration/wire.h"

#include <errno.h>
#include <string.h>

#define VARINT_MAX  10 /* bytes of a 64-bit number, 7 bits each */
#define OFFER_FIXED 24
#define OFFER_FLAGS ((uint32_t)(GW_OFFER_PULLS | GW_OFFER_VERIFIES | GW_OFFER_PAUSED))
#define MAP_MAX     (1 + GW_MAP_RUNS_MAX * 2 * VARINT_MAX)
#define DIGESTS_MAX (9 + GW_DIGESTS_MAX * 8)

_Static_assert(MAP_MAX <= GW_MESSAGE_BODY_MAX, "a full MAP fits");
_Static_assert(DIGESTS_MAX <= GW_MESSAGE_BODY_MAX, "a full DIGESTS fits");

static const struct {
	const char *name;
	uint32_t least, most; /* bytes of the body */
} shapes[GW_MSG_KINDS] = {
        [GW_MSG_HELLO] = {"HELLO", 32, 32},
        [GW_MSG_OFFER] = {"OFFER", OFFER_FIXED + 1, GW_MESSAGE_BODY_MAX},
        [GW_MSG_ACCEPT] = {"ACCEPT", 4 + GW_ID_BYTES, 4 + GW_ID_BYTES},
        [GW_MSG_REFUSE] = {"REFUSE", 0, GW_REASON_MAX},
        [GW_MSG_ROUND_ACK] = {"ROUND_ACK", 16, 16},
        [GW_MSG_SWITCH] = {"SWITCH", 9, 9},
        [GW_MSG_MAP] = {"MAP", 1, MAP_MAX},
        [GW_MSG_STATE] = {"STATE", 1, GW_MESSAGE_BODY_MAX},
        [GW_MSG_STATE_END] = {"STATE_END", 0, 0},
        [GW_MSG_PREPARED] = {"PREPARED", 0, 0},
        [GW_MSG_COMMIT] = {"COMMIT", 0, 0},
        [GW_MSG_ACTIVATED] = {"ACTIVATED", 8, 8},
        [GW_MSG_DONE] = {"DONE", 48, 48},
        [GW_MSG_RELEASED] = {"RELEASED", 0, 0},
        [GW_MSG_ABORT] = {"ABORT", 0, GW_REASON_MAX},
        [GW_MSG_ABORTED] = {"ABORTED", 0, GW_REASON_MAX},
        [GW_MSG_FAULT] = {"FAULT", 8, 8},
        [GW_MSG_RESUME] = {"RESUME", 0, 0},
        [GW_MSG_STANDING] = {"STANDING", 1 + GW_ID_BYTES, 1 + GW_ID_BYTES},
        [GW_MSG_DIGESTS] = {"DIGESTS", 9, DIGESTS_MAX},
        [GW_MSG_VERDICT] = {"VERDICT", 24, 24},
        [GW_MSG_PING] = {"PING", 8, 8},
        [GW_MSG_PONG] = {"PONG", 8, 8},
};

const char *gw_message_name(enum gw_message_kind kind)
{
	unsigned k = (unsigned)kind;

	return k >= GW_MSG_HELLO && k < GW_MSG_KINDS ? shapes[k].name : "unknown";
}

bool gw_id_same(const struct gw_id *a, const struct gw_id *b)
{
	return !memcmp(a->bytes, b->bytes, GW_ID_BYTES);
}

/* Rules that hold on both ways. */

/* All zeros stand for "not known": no host is called that. */
static bool host_is_named(const struct gw_id *host)
{
	static const struct gw_id nobody;

	return !gw_id_same(host, &nobody);
}

static bool channel_is_known(uint64_t channel)
{
	return channel >= GW_CONTROL && channel <= GW_ROOM;
}

static bool standing_is_known(uint64_t standing)
{
	return standing >= GW_STANDS_UNKNOWN && standing <= GW_STANDS_DOUBT;
}

/* A name becomes part of paths at the other side. */
static bool name_is_plain(const char *name, uint32_t bytes)
{
	if (bytes < 1 || bytes > GW_NAME_MAX || name[0] == '.')
		return false;
	for (uint32_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)name[i];
		if (c < 0x20 || c == 0x7f || c == '/')
			return false;
	}
	return true;
}

static bool offer_is_sound(const struct gw_message *m)
{
	return !(m->offer.flags & ~OFFER_FLAGS) && m->offer.vcpus && m->offer.ram_bytes &&
	       m->offer.ram_bytes % GW_PAGE_BYTES == 0 &&
	       name_is_plain(m->offer.name, m->offer.name_bytes);
}

/* Encoding. Counts on when the room is used up, so one pass also tells the size. */

struct out {
	uint8_t *to;
	size_t room;
	size_t bytes;
};

static void put_bytes(struct out *out, const void *from, size_t bytes)
{
	if (bytes && out->bytes <= out->room && bytes <= out->room - out->bytes)
		memcpy(out->to + out->bytes, from, bytes);
	out->bytes += bytes;
}

static void put(struct out *out, uint64_t value, unsigned bytes)
{
	uint8_t number[8];

	gw_wire_put(number, value, bytes);
	put_bytes(out, number, bytes);
}

static void put_varint(struct out *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		put(out, value | 0x80, 1);
	put(out, value, 1);
}

static bool put_offer(struct out *out, const struct gw_message *m)
{
	if (!offer_is_sound(m))
		return false;
	put(out, m->offer.flags, 4);
	put(out, m->offer.vcpus, 4);
	put(out, m->offer.ram_bytes, 8);
	put(out, m->offer.name_bytes, 4);
	put(out, m->offer.spec_bytes, 4);
	put_bytes(out, m->offer.name, m->offer.name_bytes);
	put_bytes(out, m->offer.spec, m->offer.spec_bytes);
	return true;
}

static bool put_map(struct out *out, const struct gw_message *m)
{
	uint64_t end = 0; /* of the run before */

	if (m->map.count > GW_MAP_RUNS_MAX)
		return false;
	put(out, m->map.last, 1);
	for (uint32_t i = 0; i < m->map.count; i++) {
		struct gw_run run = m->map.runs[i];
		if (run.first < end || !run.count || run.count > UINT64_MAX - run.first)
			return false;
		put_varint(out, run.first - end);
		put_varint(out, run.count - 1);
		end = run.first + run.count;
	}
	return true;
}

static bool put_digests(struct out *out, const struct gw_message *m)
{
	if (m->digests.count > UINT64_MAX - m->digests.first)
		return false;
	put(out, m->digests.last, 1);
	put(out, m->digests.first, 8);
	put_bytes(out, m->digests.digests, (size_t)m->digests.count * 8);
	return true;
}

static bool put_hello(struct out *out, const struct gw_message *m)
{
	if (!channel_is_known((uint64_t)m->hello.channel))
		return false;
	put_bytes(out, GW_WIRE_MAGIC, 8);
	put(out, m->hello.version, 4);
	put(out, (uint64_t)m->hello.channel, 4);
	put_bytes(out, m->hello.id.bytes, GW_ID_BYTES);
	return true;
}

static bool put_accept(struct out *out, const struct gw_message *m)
{
	put(out, m->accept.flags, 4);
	put_bytes(out, m->accept.host.bytes, GW_ID_BYTES);
	return !(m->accept.flags & ~OFFER_FLAGS) && host_is_named(&m->accept.host);
}

static bool put_standing(struct out *out, const struct gw_message *m)
{
	put(out, (uint64_t)m->standing.standing, 1);
	put_bytes(out, m->standing.host.bytes, GW_ID_BYTES);
	return standing_is_known((uint64_t)m->standing.standing) &&
	       host_is_named(&m->standing.host);
}

static void put_done(struct out *out, const struct gw_message *m)
{
	put(out, m->done.faults, 8);
	put(out, m->done.stall_ns, 8);
	put(out, m->done.fault_p50_ns, 8);
	put(out, m->done.fault_p99_ns, 8);
	put(out, m->done.fault_max_ns, 8);
	put(out, m->done.placed_pages, 8);
}

static bool put_switch(struct out *out, const struct gw_message *m)
{
	put(out, m->switched.pulls, 1);
	put(out, m->switched.missing_pages, 8);
	return m->switched.pulls || !m->switched.missing_pages;
}

static bool put_verdict(struct out *out, const struct gw_message *m)
{
	put(out, m->verdict.compared, 8);
	put(out, m->verdict.different, 8);
	put(out, m->verdict.different ? m->verdict.first_different : 0, 8);
	return m->verdict.different <= m->verdict.compared;
}

static bool put_body(struct out *out, const struct gw_message *m)
{
	switch (m->kind) {
	case GW_MSG_HELLO: return put_hello(out, m);
	case GW_MSG_OFFER: return put_offer(out, m);
	case GW_MSG_ACCEPT: return put_accept(out, m);
	case GW_MSG_REFUSE:
	case GW_MSG_ABORT:
	case GW_MSG_ABORTED: put_bytes(out, m->reason.text, m->reason.bytes); return true;
	case GW_MSG_ROUND_ACK:
		put(out, m->round_ack.round, 8);
		put(out, m->round_ack.placed_pages, 8);
		return true;
	case GW_MSG_SWITCH: return put_switch(out, m);
	case GW_MSG_MAP: return put_map(out, m);
	case GW_MSG_STATE: put_bytes(out, m->state.bytes, m->state.count); return true;
	case GW_MSG_ACTIVATED: put(out, m->activated.after_ns, 8); return true;
	case GW_MSG_DONE: put_done(out, m); return true;
	case GW_MSG_FAULT: put(out, m->fault.page, 8); return true;
	case GW_MSG_STANDING: return put_standing(out, m);
	case GW_MSG_DIGESTS: return put_digests(out, m);
	case GW_MSG_VERDICT: return put_verdict(out, m);
	case GW_MSG_PING:
	case GW_MSG_PONG: put(out, m->ping.token, 8); return true;
	default: return true; /* the shape allows no body */
	}
}

/* Bytes of the message, 0 if it is out of range; written only as far as there is room. */
static size_t encode(const struct gw_message *m, uint8_t *to, size_t room)
{
	unsigned kind = (unsigned)m->kind;

	if (kind < GW_MSG_HELLO || kind >= GW_MSG_KINDS)
		return 0;
	/* Nothing beyond what the kind allows is copied: a count that is wrong is not followed. */
	size_t limit = GW_MESSAGE_HEADER_BYTES + shapes[kind].most;
	struct out out = {to, room < limit ? room : limit, GW_MESSAGE_HEADER_BYTES};
	if (!put_body(&out, m))
		return 0;
	size_t body = out.bytes - GW_MESSAGE_HEADER_BYTES;
	if (body < shapes[kind].least || body > shapes[kind].most)
		return 0;
	struct out head = {to, room, 0};
	put(&head, body, 4);
	put(&head, kind, 2);
	put(&head, 0, 2);
	return out.bytes;
}

size_t gw_message_bytes(const struct gw_message *message)
{
	return encode(message, NULL, 0);
}

size_t gw_message_encode(const struct gw_message *message, uint8_t *to, size_t room)
{
	size_t bytes = encode(message, to, room);

	return bytes <= room ? bytes : 0;
}

/* Decoding. What runs short marks the reader and reads as zeros: one check at the end. */

struct in {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static const uint8_t *take_bytes(struct in *in, size_t bytes)
{
	const uint8_t *at = in->at;

	if (bytes > in->left) {
		in->bad = true;
		return NULL;
	}
	in->at += bytes;
	in->left -= bytes;
	return at;
}

static uint64_t take(struct in *in, unsigned bytes)
{
	const uint8_t *at = take_bytes(in, bytes);

	return at ? gw_wire_get(at, bytes) : 0;
}

static bool take_bool(struct in *in)
{
	uint64_t value = take(in, 1);

	in->bad |= value > 1;
	return value == 1;
}

static uint64_t take_varint(struct in *in)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 7 * VARINT_MAX; shift += 7) {
		uint64_t byte = take(in, 1);
		if (shift == 63 && byte > 1) /* beyond 64 bits */
			break;
		value |= (byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if (shift && !byte) /* padded */
			break;
		return value;
	}
	in->bad = true;
	return 0;
}

static bool take_id(struct in *in, struct gw_id *id)
{
	const uint8_t *bytes = take_bytes(in, GW_ID_BYTES);

	if (bytes)
		memcpy(id->bytes, bytes, GW_ID_BYTES);
	return bytes != NULL;
}

static bool take_hello(struct in *in, struct gw_message *m)
{
	const uint8_t *magic = take_bytes(in, 8);

	if (!magic || memcmp(magic, GW_WIRE_MAGIC, 8))
		return false;
	m->hello.version = (uint32_t)take(in, 4);
	uint64_t channel = take(in, 4);
	m->hello.channel = (enum gw_channel)channel;
	return take_id(in, &m->hello.id) && channel_is_known(channel);
}

static bool take_accept(struct in *in, struct gw_message *m)
{
	m->accept.flags = (uint32_t)take(in, 4);
	return !(m->accept.flags & ~OFFER_FLAGS) && take_id(in, &m->accept.host) &&
	       host_is_named(&m->accept.host);
}

static bool take_offer(struct in *in, struct gw_message *m)
{
	m->offer.flags = (uint32_t)take(in, 4);
	m->offer.vcpus = (uint32_t)take(in, 4);
	m->offer.ram_bytes = take(in, 8);
	m->offer.name_bytes = (uint32_t)take(in, 4);
	m->offer.spec_bytes = (uint32_t)take(in, 4);
	m->offer.name = (const char *)take_bytes(in, m->offer.name_bytes);
	m->offer.spec = take_bytes(in, m->offer.spec_bytes);
	return !in->bad && offer_is_sound(m);
}

static bool take_map(struct in *in, struct gw_message *m, uint64_t pages, struct gw_run *runs)
{
	uint64_t end = 0; /* of the run before; never beyond pages */

	if (!pages || !runs)
		return false;
	m->map.runs = runs;
	m->map.last = take_bool(in);
	for (; in->left; m->map.count++) {
		uint64_t gap = take_varint(in), more = take_varint(in);
		if (in->bad || m->map.count == GW_MAP_RUNS_MAX || gap >= pages - end ||
		    more >= pages - end - gap)
			return false;
		runs[m->map.count] = (struct gw_run){end + gap, more + 1};
		end += gap + more + 1;
	}
	return true;
}

static bool take_digests(struct in *in, struct gw_message *m, uint64_t pages)
{
	m->digests.last = take_bool(in);
	m->digests.first = take(in, 8);
	if (in->left % 8) /* how many there may be is in the shape */
		return false;
	m->digests.count = (uint32_t)(in->left / 8);
	m->digests.digests = take_bytes(in, in->left);
	return pages && m->digests.first <= pages && m->digests.count <= pages - m->digests.first;
}

static bool take_verdict(struct in *in, struct gw_message *m, uint64_t pages)
{
	m->verdict.compared = take(in, 8);
	m->verdict.different = take(in, 8);
	m->verdict.first_different = take(in, 8);
	if (!m->verdict.different)
		return !m->verdict.first_different;
	return m->verdict.different <= m->verdict.compared && m->verdict.first_different < pages;
}

static bool take_switch(struct in *in, struct gw_message *m, uint64_t pages)
{
	m->switched.pulls = take_bool(in);
	m->switched.missing_pages = take(in, 8);
	return m->switched.missing_pages <= (m->switched.pulls ? pages : 0);
}

static bool take_done(struct in *in, struct gw_message *m)
{
	m->done.faults = take(in, 8);
	m->done.stall_ns = take(in, 8);
	m->done.fault_p50_ns = take(in, 8);
	m->done.fault_p99_ns = take(in, 8);
	m->done.fault_max_ns = take(in, 8);
	m->done.placed_pages = take(in, 8);
	return true;
}

static bool take_standing(struct in *in, struct gw_message *m)
{
	uint64_t standing = take(in, 1);

	m->standing.standing = (enum gw_standing)standing;
	return standing_is_known(standing) && take_id(in, &m->standing.host) &&
	       host_is_named(&m->standing.host);
}

static bool take_body(struct in *in, struct gw_message *m, uint64_t pages, struct gw_run *runs)
{
	switch (m->kind) {
	case GW_MSG_HELLO: return take_hello(in, m);
	case GW_MSG_OFFER: return take_offer(in, m);
	case GW_MSG_ACCEPT: return take_accept(in, m);
	case GW_MSG_REFUSE:
	case GW_MSG_ABORT:
	case GW_MSG_ABORTED:
		m->reason.bytes = (uint32_t)in->left;
		m->reason.text = (const char *)take_bytes(in, in->left);
		return true;
	case GW_MSG_ROUND_ACK:
		m->round_ack.round = take(in, 8);
		m->round_ack.placed_pages = take(in, 8);
		return true;
	case GW_MSG_SWITCH: return take_switch(in, m, pages);
	case GW_MSG_MAP: return take_map(in, m, pages, runs);
	case GW_MSG_STATE:
		m->state.count = (uint32_t)in->left;
		m->state.bytes = take_bytes(in, in->left);
		return true;
	case GW_MSG_ACTIVATED: m->activated.after_ns = take(in, 8); return true;
	case GW_MSG_DONE: return take_done(in, m);
	case GW_MSG_FAULT: m->fault.page = take(in, 8); return m->fault.page < pages;
	case GW_MSG_STANDING: return take_standing(in, m);
	case GW_MSG_DIGESTS: return take_digests(in, m, pages);
	case GW_MSG_VERDICT: return take_verdict(in, m, pages);
	case GW_MSG_PING:
	case GW_MSG_PONG: m->ping.token = take(in, 8); return true;
	default: return true;
	}
}

int gw_message_decode(struct gw_message *message, const uint8_t *from, size_t bytes, uint64_t pages,
                      struct gw_run *runs, size_t *used)
{
	*used = GW_MESSAGE_HEADER_BYTES;
	if (bytes < GW_MESSAGE_HEADER_BYTES)
		return -EAGAIN;

	/* Refused by its header alone: nobody waits, or makes room, for a lying length. */
	uint64_t body = gw_wire_get(from, 4), kind = gw_wire_get(from + 4, 2);
	if (kind < GW_MSG_HELLO || kind >= GW_MSG_KINDS || gw_wire_get(from + 6, 2) ||
	    body < shapes[kind].least || body > shapes[kind].most)
		return -EPROTO;
	*used += (size_t)body;
	if (bytes < *used)
		return -EAGAIN;

	struct in in = {from + GW_MESSAGE_HEADER_BYTES, (size_t)body, false};
	memset(message, 0, sizeof *message);
	message->kind = (enum gw_message_kind)kind;
	return take_body(&in, message, pages, runs) && !in.bad && !in.left ? 0 : -EPROTO;
}

struct gw_message gw_message_reason(enum gw_message_kind kind, const char *text)
{
	struct gw_message message = {.kind = kind};
	size_t bytes;

	if (!text)
		text = "";
	bytes = strlen(text);
	if (bytes > GW_REASON_MAX) { /* never through the middle of a UTF-8 character */
		bytes = GW_REASON_MAX;
		while (bytes && ((unsigned char)text[bytes] & 0xc0) == 0x80)
			bytes--;
	}
	message.reason.text = text;
	message.reason.bytes = (uint32_t)bytes;
	return message;
}

const char *gw_message_text(const struct gw_message *message, char *to, size_t room)
{
	size_t n = message->reason.bytes < room - 1 ? message->reason.bytes : room - 1;

	memcpy(to, message->reason.text, n);
	to[n] = '\0';
	return to;
}
