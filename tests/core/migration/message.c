/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/message.c - messages there and back, cut at every byte, with every bit
 * flipped, and every rule that refuses one.
 */
#include "core/migration/message.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES 100000u /* of guest memory */
#define HEAD  GW_MESSAGE_HEADER_BYTES
#define WIRE  (HEAD + GW_MESSAGE_BODY_MAX)

static uint8_t wire[WIRE + 1], again[WIRE];
static struct gw_run runs[GW_MAP_RUNS_MAX], decoded[GW_MAP_RUNS_MAX + 1];
static struct gw_message back;

/* Exactly so many bytes on the heap: a read beyond them is seen by the address sanitizer. */
static int decode_exactly(const uint8_t *from, size_t bytes, uint64_t pages, size_t *used)
{
	static uint8_t *copy; /* texts of `back` point into it until the next call */

	free(copy);
	copy = malloc(bytes ? bytes : 1);
	assert_non_null(copy);
	memcpy(copy, from, bytes);
	return gw_message_decode(&back, copy, bytes, pages, decoded, used);
}

/* One of each kind, with numbers that would show if they were mixed up. */
static struct gw_message sample(enum gw_message_kind kind)
{
	static const uint8_t bytes[24] = "123456781234567812345678";
	struct gw_message m = {.kind = kind};

	switch (kind) {
	case GW_MSG_HELLO:
		m.hello.version = GW_WIRE_VERSION;
		m.hello.channel = GW_URGENT;
		memcpy(m.hello.id.bytes, "0123456789abcdef", GW_ID_BYTES);
		break;
	case GW_MSG_OFFER:
		m.offer.flags = GW_OFFER_PULLS | GW_OFFER_PAUSED;
		m.offer.vcpus = 2;
		m.offer.ram_bytes = (uint64_t)PAGES * GW_PAGE_BYTES;
		m.offer.name = "web";
		m.offer.name_bytes = 3;
		m.offer.spec = (const uint8_t *)"{}";
		m.offer.spec_bytes = 2;
		break;
	case GW_MSG_ACCEPT:
		m.accept.flags = GW_OFFER_VERIFIES;
		memcpy(m.accept.host.bytes, "fedcba9876543210", GW_ID_BYTES);
		break;
	case GW_MSG_REFUSE:
	case GW_MSG_ABORT:
	case GW_MSG_ABORTED: return gw_message_reason(kind, "too little memory there");
	case GW_MSG_ROUND_ACK:
		m.round_ack.round = 3;
		m.round_ack.placed_pages = UINT64_C(0x0102030405060708);
		break;
	case GW_MSG_SWITCH:
		m.switched.pulls = true;
		m.switched.missing_pages = PAGES;
		break;
	case GW_MSG_MAP:
		runs[0] = (struct gw_run){1, 2};
		runs[1] = (struct gw_run){3, 200}; /* touches the one before */
		runs[2] = (struct gw_run){PAGES - 1, 1};
		m.map.runs = runs;
		m.map.count = 3;
		m.map.last = true;
		break;
	case GW_MSG_STATE:
		m.state.bytes = bytes;
		m.state.count = 17;
		break;
	case GW_MSG_ACTIVATED: m.activated.after_ns = 25000000; break;
	case GW_MSG_DONE:
		m.done.faults = 1;
		m.done.stall_ns = 2;
		m.done.fault_p50_ns = 3;
		m.done.fault_p99_ns = 4;
		m.done.fault_max_ns = 5;
		m.done.placed_pages = UINT64_MAX;
		break;
	case GW_MSG_FAULT: m.fault.page = PAGES - 1; break;
	case GW_MSG_STANDING:
		m.standing.standing = GW_STANDS_DOUBT;
		m.standing.host.bytes[GW_ID_BYTES - 1] = 1; /* zeros but for that */
		break;
	case GW_MSG_DIGESTS:
		m.digests.first = PAGES - 3;
		m.digests.count = 3;
		m.digests.digests = bytes;
		m.digests.last = true;
		break;
	case GW_MSG_VERDICT:
		m.verdict.compared = 10;
		m.verdict.different = 2;
		m.verdict.first_different = 77;
		break;
	case GW_MSG_PING:
	case GW_MSG_PONG: m.ping.token = UINT64_C(0xfedcba9876543210); break;
	default: break;
	}
	return m;
}

static void assert_same_text(const void *a, uint32_t a_bytes, const void *b, uint32_t b_bytes)
{
	assert_int_equal(a_bytes, b_bytes);
	if (a_bytes)
		assert_memory_equal(a, b, a_bytes);
}

static void assert_same(const struct gw_message *a, const struct gw_message *b)
{
	assert_int_equal(a->kind, b->kind);
	switch (a->kind) {
	case GW_MSG_OFFER:
		assert_int_equal(a->offer.flags, b->offer.flags);
		assert_int_equal(a->offer.vcpus, b->offer.vcpus);
		assert_int_equal(a->offer.ram_bytes, b->offer.ram_bytes);
		assert_same_text(a->offer.name, a->offer.name_bytes, b->offer.name,
		                 b->offer.name_bytes);
		assert_same_text(a->offer.spec, a->offer.spec_bytes, b->offer.spec,
		                 b->offer.spec_bytes);
		break;
	case GW_MSG_REFUSE:
	case GW_MSG_ABORT:
	case GW_MSG_ABORTED:
		assert_same_text(a->reason.text, a->reason.bytes, b->reason.text, b->reason.bytes);
		break;
	case GW_MSG_MAP:
		assert_int_equal(a->map.last, b->map.last);
		assert_int_equal(a->map.count, b->map.count);
		if (a->map.count)
			assert_memory_equal(a->map.runs, b->map.runs,
			                    a->map.count * sizeof *a->map.runs);
		break;
	case GW_MSG_STATE:
		assert_same_text(a->state.bytes, a->state.count, b->state.bytes, b->state.count);
		break;
	case GW_MSG_SWITCH:
		assert_int_equal(a->switched.pulls, b->switched.pulls);
		assert_int_equal(a->switched.missing_pages, b->switched.missing_pages);
		break;
	case GW_MSG_DIGESTS:
		assert_int_equal(a->digests.first, b->digests.first);
		assert_int_equal(a->digests.last, b->digests.last);
		assert_same_text(a->digests.digests, a->digests.count * 8, b->digests.digests,
		                 b->digests.count * 8);
		break;
	default: /* plain numbers; both began as zeros */ assert_memory_equal(a, b, sizeof *a);
	}
}

static size_t encode(const struct gw_message *m)
{
	size_t bytes = gw_message_bytes(m);

	assert_true(bytes >= HEAD);
	memset(wire, 0xee, bytes + 1);
	assert_int_equal(gw_message_encode(m, wire, bytes), bytes);
	assert_int_equal(wire[bytes], 0xee);
	return bytes;
}

static void assert_round_trip(const struct gw_message *m, uint64_t pages)
{
	size_t used = 0, bytes = encode(m);

	assert_int_equal(decode_exactly(wire, bytes, pages, &used), 0);
	assert_int_equal(used, bytes);
	assert_same(m, &back);
	assert_int_equal(gw_message_encode(&back, again, sizeof again), bytes);
	assert_memory_equal(again, wire, bytes);
}

/* Sets a number in a sound message of this kind; says how long the message is. */
static size_t with(enum gw_message_kind kind, size_t at, uint64_t value, unsigned width)
{
	struct gw_message m = sample(kind);
	size_t bytes = encode(&m);

	assert_true(at + width <= bytes);
	for (unsigned i = 0; i < width; i++)
		wire[at + i] = (uint8_t)(value >> (8 * i));
	return bytes;
}

static void assert_refused_at(size_t bytes, uint64_t pages)
{
	size_t used;

	assert_int_equal(decode_exactly(wire, bytes, pages, &used), -EPROTO);
}

#define EACH_KIND(kind)                                                                            \
	for (enum gw_message_kind kind = GW_MSG_HELLO; kind < GW_MSG_KINDS;                        \
	     kind = (enum gw_message_kind)(kind + 1))

static void every_kind_comes_back(void **state)
{
	(void)state;
	EACH_KIND(kind)
	{
		struct gw_message m = sample(kind);
		assert_round_trip(&m, PAGES);
	}
}

static void the_bytes_are_those_of_the_header(void **state)
{
	(void)state;
	struct gw_message m = sample(GW_MSG_MAP);

	runs[0] = (struct gw_run){1, 2};
	runs[1] = (struct gw_run){6, 3};
	runs[2] = (struct gw_run){9 + 300, 1};
	assert_int_equal(encode(&m), 16);
	assert_memory_equal(wire, "\x8\0\0\0\x7\0\0\0\1\1\1\3\2\xac\2\0", 16);
	m = sample(GW_MSG_FAULT);
	assert_int_equal(encode(&m), 16);
	assert_memory_equal(wire, "\x8\0\0\0\x11\0\0\0\x9f\x86\1\0\0\0\0\0", 16);
	m = sample(GW_MSG_HELLO);
	assert_int_equal(encode(&m), 40);
	assert_memory_equal(wire,
	                    "\x20\0\0\0\1\0\0\0godwit\r\n\2\0\0\0\3\0\0\0"
	                    "0123456789abcdef",
	                    40);
}

static void a_cut_message_asks_for_more(void **state)
{
	(void)state;
	EACH_KIND(kind)
	{
		struct gw_message m = sample(kind);
		size_t used, bytes = encode(&m);
		for (size_t cut = 0; cut < bytes; cut++) {
			assert_int_equal(decode_exactly(wire, cut, PAGES, &used), -EAGAIN);
			assert_int_equal(used, cut < HEAD ? HEAD : bytes);
		}
	}
}

static void what_follows_a_message_is_left(void **state)
{
	(void)state;
	EACH_KIND(kind)
	{
		struct gw_message m = sample(kind);
		size_t used, bytes = encode(&m);
		memset(wire + bytes, 0xff, 64);
		assert_int_equal(decode_exactly(wire, bytes + 64, PAGES, &used), 0);
		assert_int_equal(used, bytes);
	}
}

static void too_little_room_is_said(void **state)
{
	(void)state;
	EACH_KIND(kind)
	{
		struct gw_message m = sample(kind);
		size_t bytes = gw_message_bytes(&m);
		for (size_t room = 0; room < bytes; room++) {
			uint8_t *to = malloc(room ? room : 1);
			assert_non_null(to);
			assert_int_equal(gw_message_encode(&m, to, room), 0);
			free(to);
		}
	}
}

static void bits_may_flip(void **state)
{
	(void)state;
	EACH_KIND(kind)
	{
		struct gw_message m = sample(kind);
		size_t used, bytes = encode(&m);
		for (size_t bit = 0; bit < bytes * 8; bit++) {
			wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
			int error = decode_exactly(wire, bytes, PAGES, &used);
			assert_true(error == 0 || error == -EPROTO || error == -EAGAIN);
			if (!error) {
				assert_int_equal(gw_message_encode(&back, again, sizeof again),
				                 used);
				assert_memory_equal(again, wire, used);
			}
			wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
}

/* A length that is wrong for the kind is refused by the header alone, before there is a body. */
static void a_lying_length_is_refused_at_once(void **state)
{
	(void)state;
	static const uint32_t most[GW_MSG_KINDS] = {
	        [GW_MSG_HELLO] = 32,
	        [GW_MSG_OFFER] = GW_MESSAGE_BODY_MAX,
	        [GW_MSG_ACCEPT] = 20,
	        [GW_MSG_REFUSE] = GW_REASON_MAX,
	        [GW_MSG_ROUND_ACK] = 16,
	        [GW_MSG_SWITCH] = 9,
	        [GW_MSG_MAP] = 1 + GW_MAP_RUNS_MAX * 20,
	        [GW_MSG_STATE] = GW_MESSAGE_BODY_MAX,
	        [GW_MSG_ACTIVATED] = 8,
	        [GW_MSG_DONE] = 48,
	        [GW_MSG_ABORT] = GW_REASON_MAX,
	        [GW_MSG_ABORTED] = GW_REASON_MAX,
	        [GW_MSG_FAULT] = 8,
	        [GW_MSG_STANDING] = 17,
	        [GW_MSG_DIGESTS] = 9 + GW_DIGESTS_MAX * 8,
	        [GW_MSG_VERDICT] = 24,
	        [GW_MSG_PING] = 8,
	        [GW_MSG_PONG] = 8,
	};
	static const uint32_t least[GW_MSG_KINDS] = {
	        [GW_MSG_HELLO] = 32,     [GW_MSG_OFFER] = 25,    [GW_MSG_ACCEPT] = 20,
	        [GW_MSG_ROUND_ACK] = 16, [GW_MSG_SWITCH] = 9,    [GW_MSG_MAP] = 1,
	        [GW_MSG_STATE] = 1,      [GW_MSG_ACTIVATED] = 8, [GW_MSG_DONE] = 48,
	        [GW_MSG_FAULT] = 8,      [GW_MSG_STANDING] = 17, [GW_MSG_DIGESTS] = 9,
	        [GW_MSG_VERDICT] = 24,   [GW_MSG_PING] = 8,      [GW_MSG_PONG] = 8,
	};
	EACH_KIND(kind)
	{
		with(kind, 0, most[kind] + 1, 4);
		assert_refused_at(HEAD, PAGES);
		with(kind, 0, UINT32_MAX, 4);
		assert_refused_at(HEAD, PAGES);
		if (least[kind]) {
			with(kind, 0, least[kind] - 1, 4);
			assert_refused_at(HEAD, PAGES);
		}
	}
}

static void a_header_that_is_none_is_refused(void **state)
{
	(void)state;
	with(GW_MSG_PING, 4, 0, 2);
	assert_refused_at(HEAD, PAGES);
	with(GW_MSG_PREPARED, 4, 0, 2);
	assert_refused_at(HEAD, PAGES);
	with(GW_MSG_PING, 4, GW_MSG_KINDS, 2);
	assert_refused_at(HEAD, PAGES);
	with(GW_MSG_PING, 4, 0x100 | GW_MSG_PING, 2);
	assert_refused_at(HEAD, PAGES);
	with(GW_MSG_PING, 6, 1, 2);
	assert_refused_at(HEAD, PAGES);
	with(GW_MSG_PING, 6, 0x8000, 2);
	assert_refused_at(HEAD, PAGES);
	memcpy(wire, "GET / HTTP/1.1\r\n\r\n", 18);
	assert_refused_at(18, PAGES);
}

static void numbers_out_of_range_are_refused(void **state)
{
	(void)state;
	static const struct {
		enum gw_message_kind kind;
		size_t at; /* in the body */
		uint64_t value;
		unsigned width;
	} bad[] = {
	        {GW_MSG_HELLO, 0, 'G', 1},
	        {GW_MSG_HELLO, 6, '\n', 1}, /* went through a text mode */
	        {GW_MSG_HELLO, 12, 0, 4},
	        {GW_MSG_HELLO, 12, GW_ROOM + 1, 4},
	        {GW_MSG_HELLO, 12, 0x10000 | GW_BULK, 4},
	        {GW_MSG_OFFER, 0, 8, 4},
	        {GW_MSG_OFFER, 0, UINT32_MAX, 4},
	        {GW_MSG_OFFER, 4, 0, 4},    /* no vCPU */
	        {GW_MSG_OFFER, 8, 0, 8},    /* no memory */
	        {GW_MSG_OFFER, 8, 4097, 8}, /* not whole pages */
	        {GW_MSG_OFFER, 16, 0, 4},   /* no name */
	        {GW_MSG_OFFER, 16, 2, 4},   /* shorter than what is there */
	        {GW_MSG_OFFER, 16, 6, 4},   /* longer */
	        {GW_MSG_OFFER, 16, UINT32_MAX, 4},
	        {GW_MSG_OFFER, 20, 1, 4},
	        {GW_MSG_OFFER, 20, 3, 4},
	        {GW_MSG_OFFER, 20, UINT32_MAX, 4},
	        {GW_MSG_OFFER, 24, '.', 1},
	        {GW_MSG_OFFER, 25, '/', 1},
	        {GW_MSG_OFFER, 26, 0, 1},
	        {GW_MSG_OFFER, 26, '\n', 1},
	        {GW_MSG_OFFER, 26, 0x7f, 1},
	        {GW_MSG_ACCEPT, 0, 8, 4},
	        {GW_MSG_SWITCH, 0, 2, 1},
	        {GW_MSG_SWITCH, 0, 0, 1}, /* pulls nothing, but pages are missing */
	        {GW_MSG_SWITCH, 1, PAGES + 1, 8},
	        {GW_MSG_MAP, 0, 2, 1},
	        {GW_MSG_MAP, 1, 0x8001, 2}, /* a number that goes on, over the next */
	        {GW_MSG_FAULT, 0, PAGES, 8},
	        {GW_MSG_FAULT, 0, UINT64_MAX, 8},
	        {GW_MSG_STANDING, 0, 0, 1},
	        {GW_MSG_STANDING, 16, 0, 1}, /* nobody says so */
	        {GW_MSG_STANDING, 0, GW_STANDS_DOUBT + 1, 1},
	        {GW_MSG_DIGESTS, 0, 2, 1},
	        {GW_MSG_DIGESTS, 1, PAGES - 2, 8},
	        {GW_MSG_DIGESTS, 1, PAGES, 8},
	        {GW_MSG_DIGESTS, 1, UINT64_MAX, 8},
	        {GW_MSG_DIGESTS, 1, UINT64_MAX - 2, 8},
	        {GW_MSG_VERDICT, 8, 11, 8},     /* more different than compared */
	        {GW_MSG_VERDICT, 16, PAGES, 8}, /* a page outside */
	        {GW_MSG_VERDICT, 8, 0, 8},      /* none different, but a first one named */
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		size_t bytes = with(bad[i].kind, HEAD + bad[i].at, bad[i].value, bad[i].width);
		assert_refused_at(bytes, PAGES);
	}
}

/* A MAP or DIGESTS of these bytes in a memory of `pages`. */
static int body(enum gw_message_kind kind, const char *bytes, size_t count, uint64_t pages)
{
	size_t used;

	memset(wire, 0, HEAD);
	wire[0] = (uint8_t)count;
	wire[1] = (uint8_t)(count >> 8);
	wire[2] = (uint8_t)(count >> 16);
	wire[4] = (uint8_t)kind;
	if (bytes)
		memcpy(wire + HEAD, bytes, count);
	return decode_exactly(wire, HEAD + count, pages, &used);
}

static void maps_out_of_range_are_refused(void **state)
{
	(void)state;
	assert_int_equal(body(GW_MSG_MAP, "\1\0\0", 3, 1), 0);
	assert_int_equal(body(GW_MSG_MAP, "\1\1\0", 3, 1), -EPROTO);     /* begins outside */
	assert_int_equal(body(GW_MSG_MAP, "\1\2\0", 3, 1), -EPROTO);     /* and far outside */
	assert_int_equal(body(GW_MSG_MAP, "\1\0\1", 3, 1), -EPROTO);     /* ends outside */
	assert_int_equal(body(GW_MSG_MAP, "\1\0\0\0\0", 5, 1), -EPROTO); /* no page is left */
	assert_int_equal(body(GW_MSG_MAP, "\1\0\0\0\0", 5, 2), 0);
	assert_int_equal(body(GW_MSG_MAP, "\1\5\3", 3, 9), 0);
	assert_int_equal(body(GW_MSG_MAP, "\1\5\3", 3, 8), -EPROTO);
	assert_int_equal(body(GW_MSG_MAP, "\1\5", 2, 9), -EPROTO);       /* half a run */
	assert_int_equal(body(GW_MSG_MAP, "\1\5\x80", 3, 9), -EPROTO);   /* half a number */
	assert_int_equal(body(GW_MSG_MAP, "\1\x85\0\0", 4, 9), -EPROTO); /* padded */
	assert_int_equal(body(GW_MSG_MAP, "\1\0\x83\0", 4, 9), -EPROTO); /* padded */
	/* 2^64-1, the largest number, is one; ten bytes that say more, and eleven, are none. */
	assert_int_equal(body(GW_MSG_MAP, "\1\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 12, 9),
	                 -EPROTO);
	assert_int_equal(
	        body(GW_MSG_MAP, "\1\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1\0", 12, UINT64_MAX), 0);
	assert_int_equal(body(GW_MSG_MAP, "\1\x80\x80\x80\x80\x80\x80\x80\x80\x80\2\0", 12, 9),
	                 -EPROTO);
	assert_int_equal(body(GW_MSG_MAP, "\1\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\1\0", 13, 9),
	                 -EPROTO);
}

static void boundaries_of_numbers_come_back(void **state)
{
	(void)state;
	for (unsigned shift = 0; shift < 64; shift++)
		for (uint64_t off = 0; off < 3; off++) {
			struct gw_message m = {.kind = GW_MSG_MAP};
			uint64_t value = (UINT64_C(1) << shift) + off - 1;
			if (value > UINT64_MAX - 2)
				continue;
			runs[0] = (struct gw_run){value, 1};
			m.map.runs = runs;
			m.map.count = 1;
			assert_round_trip(&m, UINT64_MAX);
			runs[0] = (struct gw_run){0, value + 1};
			assert_round_trip(&m, UINT64_MAX);
		}
}

static void a_full_map_comes_back_and_one_more_run_does_not(void **state)
{
	(void)state;
	struct gw_message m = {.kind = GW_MSG_MAP};
	static char bytes[1 + 2 * (GW_MAP_RUNS_MAX + 1)];

	for (uint32_t i = 0; i < GW_MAP_RUNS_MAX; i++)
		runs[i] = (struct gw_run){UINT64_C(0x3ffffffffff) * i + 1, UINT64_C(1) << 40};
	m.map.runs = runs;
	m.map.count = GW_MAP_RUNS_MAX;
	assert_round_trip(&m, UINT64_MAX);
	m.map.count++;
	assert_int_equal(gw_message_bytes(&m), 0);

	memset(decoded + GW_MAP_RUNS_MAX, 0x77, sizeof *decoded);
	assert_int_equal(body(GW_MSG_MAP, bytes, sizeof bytes - 2, PAGES), 0);
	assert_int_equal(back.map.count, GW_MAP_RUNS_MAX);
	assert_int_equal(body(GW_MSG_MAP, bytes, sizeof bytes, PAGES), -EPROTO);
	assert_true(decoded[GW_MAP_RUNS_MAX].first == UINT64_C(0x7777777777777777));
}

static void empty_maps_and_digests_come_back(void **state)
{
	(void)state;
	struct gw_message m = {.kind = GW_MSG_MAP, .map = {.last = true}};

	assert_round_trip(&m, PAGES);
	m = (struct gw_message){.kind = GW_MSG_DIGESTS, .digests = {.first = PAGES, .last = true}};
	assert_round_trip(&m, PAGES);
}

static void the_largest_come_back(void **state)
{
	(void)state;
	static uint8_t bytes[GW_MESSAGE_BODY_MAX];
	struct gw_message m = {.kind = GW_MSG_STATE};

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 7 >> 3);
	m.state.bytes = bytes;
	m.state.count = GW_MESSAGE_BODY_MAX;
	assert_round_trip(&m, 0);
	m.state.count++;
	assert_int_equal(gw_message_bytes(&m), 0);

	m = (struct gw_message){.kind = GW_MSG_DIGESTS};
	m.digests.digests = bytes;
	m.digests.count = GW_DIGESTS_MAX;
	assert_round_trip(&m, PAGES);
	m.digests.count++;
	assert_int_equal(gw_message_bytes(&m), 0);
	assert_int_equal(body(GW_MSG_DIGESTS, (char *)bytes, 9 + 8 + 1, PAGES), -EPROTO);

	m = sample(GW_MSG_OFFER);
	m.offer.spec = bytes;
	m.offer.spec_bytes = GW_MESSAGE_BODY_MAX - 24 - 3;
	assert_round_trip(&m, 0);
	m.offer.spec_bytes++;
	assert_int_equal(gw_message_bytes(&m), 0);
	m.offer.spec_bytes = UINT32_MAX;
	assert_int_equal(gw_message_bytes(&m), 0);
}

/* Before OFFER there is no memory, and nothing that names a page of it. */
static void without_memory_no_pages_are_named(void **state)
{
	(void)state;
	EACH_KIND(kind)
	{
		struct gw_message m = sample(kind);
		size_t used, bytes = encode(&m);
		bool names = kind == GW_MSG_MAP || kind == GW_MSG_FAULT || kind == GW_MSG_DIGESTS ||
		             kind == GW_MSG_SWITCH || kind == GW_MSG_VERDICT;
		assert_int_equal(decode_exactly(wire, bytes, 0, &used), names ? -EPROTO : 0);
	}
	assert_int_equal(body(GW_MSG_MAP, "\1", 1, 0), -EPROTO);
	assert_int_equal(body(GW_MSG_DIGESTS, "\1\0\0\0\0\0\0\0\0", 9, 0), -EPROTO);
}

static void a_map_without_room_for_it_is_refused(void **state)
{
	(void)state;
	size_t used, bytes = with(GW_MSG_MAP, 0, 0, 0);

	assert_int_equal(gw_message_decode(&back, wire, bytes, PAGES, NULL, &used), -EPROTO);
}

static void another_version_can_be_named(void **state)
{
	(void)state;
	size_t used, bytes = with(GW_MSG_HELLO, HEAD + 8, 4711, 4);

	assert_int_equal(decode_exactly(wire, bytes, 0, &used), 0);
	assert_int_equal(back.hello.version, 4711);
}

#define ASSERT_DEFECT(of, change)                                                                  \
	do {                                                                                       \
		struct gw_message m = sample(of);                                                  \
		change;                                                                            \
		assert_int_equal(gw_message_bytes(&m), 0);                                         \
		assert_int_equal(gw_message_encode(&m, again, sizeof again), 0);                   \
	} while (0)

static void the_caller_is_told_of_defects(void **state)
{
	(void)state;
	ASSERT_DEFECT(GW_MSG_PING, m.kind = (enum gw_message_kind)0);
	ASSERT_DEFECT(GW_MSG_PING, m.kind = GW_MSG_KINDS);
	ASSERT_DEFECT(GW_MSG_HELLO, m.hello.channel = (enum gw_channel)0);
	ASSERT_DEFECT(GW_MSG_HELLO, m.hello.channel = (enum gw_channel)5);
	ASSERT_DEFECT(GW_MSG_OFFER, m.offer.flags = 8);
	ASSERT_DEFECT(GW_MSG_OFFER, m.offer.vcpus = 0);
	ASSERT_DEFECT(GW_MSG_OFFER, m.offer.ram_bytes = 0);
	ASSERT_DEFECT(GW_MSG_OFFER, m.offer.ram_bytes++);
	ASSERT_DEFECT(GW_MSG_OFFER, m.offer.name_bytes = 0);
	ASSERT_DEFECT(GW_MSG_OFFER, m.offer.name = "a/b");
	ASSERT_DEFECT(GW_MSG_OFFER, m.offer.name = "..."; m.offer.name_bytes = 2);
	ASSERT_DEFECT(GW_MSG_ACCEPT, m.accept.flags = 8);
	ASSERT_DEFECT(GW_MSG_ACCEPT, memset(&m.accept.host, 0, GW_ID_BYTES));
	ASSERT_DEFECT(GW_MSG_ABORT, m.reason.bytes = GW_REASON_MAX + 1);
	ASSERT_DEFECT(GW_MSG_SWITCH, m.switched.pulls = false);
	ASSERT_DEFECT(GW_MSG_MAP, runs[0].count = 3); /* overlaps the next */
	ASSERT_DEFECT(GW_MSG_MAP, runs[1].count = 0);
	ASSERT_DEFECT(GW_MSG_MAP, runs[2].count = UINT64_MAX);
	ASSERT_DEFECT(GW_MSG_STATE, m.state.count = 0);
	ASSERT_DEFECT(GW_MSG_STANDING, m.standing.standing = (enum gw_standing)0);
	ASSERT_DEFECT(GW_MSG_STANDING, m.standing.standing = (enum gw_standing)6);
	ASSERT_DEFECT(GW_MSG_STANDING, m.standing.host.bytes[GW_ID_BYTES - 1] = 0);
	ASSERT_DEFECT(GW_MSG_DIGESTS, m.digests.first = UINT64_MAX);
	ASSERT_DEFECT(GW_MSG_VERDICT, m.verdict.different = 11);
}

static void names_may_be_as_long_as_promised(void **state)
{
	(void)state;
	char name[GW_NAME_MAX + 1];
	struct gw_message m = sample(GW_MSG_OFFER);

	memset(name, 'n', sizeof name);
	m.offer.name = name;
	m.offer.name_bytes = GW_NAME_MAX;
	assert_round_trip(&m, PAGES);
	m.offer.name_bytes++;
	assert_int_equal(gw_message_bytes(&m), 0);

	m = sample(GW_MSG_OFFER); /* the same on the wire: 64 bytes of a spec become name */
	m.offer.spec = (const uint8_t *)name;
	m.offer.spec_bytes = 61;
	size_t bytes = encode(&m);
	wire[HEAD + 16] = 64;
	wire[HEAD + 20] = 0;
	assert_refused_at(bytes, PAGES);
	wire[HEAD + 16] = 63;
	wire[HEAD + 20] = 1;
	size_t used;
	assert_int_equal(decode_exactly(wire, bytes, PAGES, &used), 0);
}

static void a_sentence_is_cut_between_characters(void **state)
{
	(void)state;
	static char text[GW_REASON_MAX + 16];
	struct gw_message m = gw_message_reason(GW_MSG_REFUSE, NULL);

	assert_int_equal(m.reason.bytes, 0);
	assert_round_trip(&m, 0);
	memset(text, 'x', GW_REASON_MAX);
	m = gw_message_reason(GW_MSG_ABORT, text);
	assert_int_equal(m.reason.bytes, GW_REASON_MAX);
	assert_round_trip(&m, 0);
	text[GW_REASON_MAX] = 'x';
	m = gw_message_reason(GW_MSG_ABORTED, text);
	assert_int_equal(m.kind, GW_MSG_ABORTED);
	assert_int_equal(m.reason.bytes, GW_REASON_MAX);
	memcpy(text + GW_REASON_MAX - 2, "\xe2\x82\xac", 3); /* a euro sign, across the limit */
	m = gw_message_reason(GW_MSG_ABORT, text);
	assert_int_equal(m.reason.bytes, GW_REASON_MAX - 2);
	assert_round_trip(&m, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_kind_comes_back),
	        cmocka_unit_test(the_bytes_are_those_of_the_header),
	        cmocka_unit_test(a_cut_message_asks_for_more),
	        cmocka_unit_test(what_follows_a_message_is_left),
	        cmocka_unit_test(too_little_room_is_said),
	        cmocka_unit_test(bits_may_flip),
	        cmocka_unit_test(a_lying_length_is_refused_at_once),
	        cmocka_unit_test(a_header_that_is_none_is_refused),
	        cmocka_unit_test(numbers_out_of_range_are_refused),
	        cmocka_unit_test(maps_out_of_range_are_refused),
	        cmocka_unit_test(boundaries_of_numbers_come_back),
	        cmocka_unit_test(a_full_map_comes_back_and_one_more_run_does_not),
	        cmocka_unit_test(empty_maps_and_digests_come_back),
	        cmocka_unit_test(the_largest_come_back),
	        cmocka_unit_test(without_memory_no_pages_are_named),
	        cmocka_unit_test(a_map_without_room_for_it_is_refused),
	        cmocka_unit_test(another_version_can_be_named),
	        cmocka_unit_test(the_caller_is_told_of_defects),
	        cmocka_unit_test(names_may_be_as_long_as_promised),
	        cmocka_unit_test(a_sentence_is_cut_between_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
