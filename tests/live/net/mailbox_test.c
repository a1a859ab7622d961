/* SPDX-License-Identifier: MIT */
/*
 * Messages over a real connection: cut anywhere, large, too many, and from peers that vanish.
 */
#include "pair.h"

#define PAGES      UINT64_C(1000000)
#define STREAM_MAX 8192
#define KINDS      5

static struct gw_run few_runs[] = {{1, 2}, {6, 3}, {300, 70000}};

static struct gw_message sample(int which)
{
	struct gw_message message = {.kind = GW_MSG_PING};
	static const uint8_t bytes[300] = {7, 6, 5};

	switch (which) {
	case 0: message.ping.token = UINT64_C(0x0123456789abcdef); break;
	case 1:
		message.kind = GW_MSG_MAP;
		message.map.runs = few_runs;
		message.map.count = 3;
		break;
	case 2: return gw_message_reason(GW_MSG_REFUSE, "there is no memory for it here");
	case 3: message.kind = GW_MSG_PREPARED; break;
	default:
		message.kind = GW_MSG_STATE;
		message.state.bytes = bytes;
		message.state.count = sizeof(bytes);
	}
	return message;
}

static bool same(const struct gw_message *a, const struct gw_message *b)
{
	static uint8_t left[STREAM_MAX], right[STREAM_MAX];
	size_t bytes = gw_message_encode(a, left, sizeof(left));

	return bytes && gw_message_encode(b, right, sizeof(right)) == bytes &&
	       memcmp(left, right, bytes) == 0;
}

static int next_patiently(struct gw_mailbox *box, struct gw_message *message,
                          struct gw_error *error)
{
	int result;

	while ((result = gw_mailbox_next(box, message, error)) == 0)
		assert_true(wait_for(gw_mailbox_fd(box), POLLIN));
	return result;
}

/* A message with its seal, as the number-th; returns the bytes of both. */
static size_t put_sealed(const struct gw_message *message, uint64_t number, uint8_t *to,
                         size_t room)
{
	size_t bytes = gw_message_encode(message, to, room - GW_SEAL_BYTES);

	assert_int_not_equal(bytes, 0);
	gw_seal(to, bytes, number);
	return bytes + GW_SEAL_BYTES;
}

static struct gw_mailbox *open_box(int *peer)
{
	struct gw_mailbox *box;
	int ends[2];

	open_pair(ends);
	*peer = ends[0];
	box = gw_mailbox_new(ends[1]);
	assert_non_null(box);
	gw_mailbox_set_pages(box, PAGES);
	return box;
}

static size_t put_samples(uint64_t number, uint8_t *stream, size_t ends[KINDS])
{
	struct gw_message message;
	size_t bytes = 0;

	for (int i = 0; i < KINDS; i++) {
		message = sample(i);
		bytes += put_sealed(&message, number++, stream + bytes, STREAM_MAX - bytes);
		ends[i] = bytes;
	}
	return bytes;
}

static void test_cut_at_every_byte(void **state)
{
	uint8_t stream[STREAM_MAX];
	size_t ends[KINDS], bytes = put_samples(0, stream, ends);
	struct gw_message message, expected;
	struct gw_error error;
	struct gw_mailbox *box;
	int peer, seen;

	(void)state;
	box = open_box(&peer);
	for (size_t cut = 0; cut <= bytes; cut++) {
		seen = 0;
		(void)put_samples(KINDS * cut, stream, ends);
		for (int part = 0; part < 2; part++) {
			if (part ? bytes - cut : cut)
				write_all(peer, part ? stream + cut : stream,
				          part ? bytes - cut : cut);
			while (seen < KINDS && (part ? next_patiently(box, &message, &error)
			                             : gw_mailbox_next(box, &message, &error))) {
				expected = sample(seen);
				assert_true(same(&message, &expected));
				assert_true(part || ends[seen] <= cut);
				seen++;
			}
		}
		assert_int_equal(gw_mailbox_next(box, &message, &error), 0);
	}
	assert_int_equal(gw_mailbox_received_bytes(box), bytes * (bytes + 1));
	gw_mailbox_free(box);
	close(peer);
}

/* Two mailboxes, both in this thread. */
static void open_boxes(struct gw_mailbox *boxes[2])
{
	int ends[2];

	open_pair(ends);
	for (int i = 0; i < 2; i++) {
		boxes[i] = gw_mailbox_new(ends[i]);
		assert_non_null(boxes[i]);
		gw_mailbox_set_pages(boxes[i], PAGES);
	}
}

static void test_large_maps(void **state)
{
	static struct gw_run runs[GW_MAP_RUNS_MAX];
	struct gw_message map = {.kind = GW_MSG_MAP}, got;
	struct gw_mailbox *boxes[2];
	struct gw_error error;

	(void)state;
	for (uint32_t i = 0; i < GW_MAP_RUNS_MAX; i++)
		runs[i] = (struct gw_run){(uint64_t)i * 61, 1 + i % 60};
	map.map.runs = runs;
	map.map.count = GW_MAP_RUNS_MAX;
	open_boxes(boxes);
	for (int i = 0; i < 200; i++) {
		map.map.last = i == 199;
		assert_int_equal(gw_mailbox_send(boxes[0], &map), 0);
	}
	assert_true(gw_mailbox_wants_to_write(boxes[0]));
	for (int i = 0; i < 200; i++) {
		int result;
		while ((result = gw_mailbox_next(boxes[1], &got, &error)) == 0) {
			assert_int_equal(gw_mailbox_flush(boxes[0]), 0);
			assert_true(wait_for(gw_mailbox_fd(boxes[1]), POLLIN));
		}
		assert_int_equal(result, 1);
		assert_int_equal(got.kind, GW_MSG_MAP);
		assert_int_equal(got.map.count, GW_MAP_RUNS_MAX);
		assert_int_equal(got.map.last, i == 199);
		assert_memory_equal(got.map.runs, runs, sizeof(runs));
	}
	assert_false(gw_mailbox_wants_to_write(boxes[0]));
	assert_int_equal(gw_mailbox_queued_bytes(boxes[0]), 0);
	assert_int_equal(gw_mailbox_sent_bytes(boxes[0]), gw_mailbox_received_bytes(boxes[1]));
	gw_mailbox_free(boxes[0]);
	gw_mailbox_free(boxes[1]);
}

static void test_a_peer_that_never_reads(void **state)
{
	static uint8_t bytes[GW_MESSAGE_BODY_MAX];
	struct gw_message message = {.kind = GW_MSG_STATE};
	struct gw_mailbox *box;
	int peer, result = 0, sent = 0;

	(void)state;
	message.state.bytes = bytes;
	message.state.count = sizeof(bytes);
	box = open_box(&peer);
	while (sent < 1000 && (result = gw_mailbox_send(box, &message)) == 0) {
		assert_true(gw_mailbox_queued_bytes(box) <= (size_t)64 << 20);
		sent++;
	}
	assert_int_equal(result, -ENOBUFS);
	assert_true(sent >= 63);
	assert_int_equal(gw_mailbox_send(box, &message), -ENOBUFS);
	assert_int_equal(gw_mailbox_flush(box), -ENOBUFS);
	assert_int_equal(gw_mailbox_queued_bytes(box), 0);
	assert_false(gw_mailbox_wants_to_write(box));
	gw_mailbox_free(box);
	close(peer);
}

static void test_a_peer_that_closes(void **state)
{
	struct gw_message message, expected = sample(4);
	uint8_t bytes[STREAM_MAX];
	size_t count = put_sealed(&expected, 0, bytes, sizeof(bytes));
	struct gw_error error;
	struct gw_mailbox *box;
	int peer;

	(void)state;
	for (size_t cut = 0; cut < count; cut += 11) {
		box = open_box(&peer);
		write_all(peer, bytes, count);
		if (cut)
			write_all(peer, bytes, cut);
		close(peer);
		assert_int_equal(next_patiently(box, &message, &error), 1);
		assert_true(same(&message, &expected));
		for (int i = 0; i < 2; i++)
			assert_int_equal(next_patiently(box, &message, &error), -ECONNRESET);
		assert_non_null(strstr(error.text, "gone"));
		gw_mailbox_free(box);
	}
}

/* What a peer said before it went is heard even after sending to it has failed. */
static void test_last_words(void **state)
{
	struct gw_message message, ping = sample(0), words;
	struct gw_error error;
	uint8_t bytes[STREAM_MAX];
	struct gw_mailbox *box;
	int peer, result = 0;

	(void)state;
	words = gw_message_reason(GW_MSG_ABORT, "the hypervisor died");
	box = open_box(&peer);
	write_all(peer, bytes, put_sealed(&words, 0, bytes, sizeof(bytes)));
	close(peer);
	for (int i = 0; i < 10000 && !result; i++)
		result = gw_mailbox_send(box, &ping);
	assert_true(result == -EPIPE || result == -ECONNRESET);
	assert_int_equal(next_patiently(box, &message, &error), 1);
	assert_true(same(&message, &words));
	assert_int_equal(next_patiently(box, &message, &error), -ECONNRESET);
	gw_mailbox_free(box);
}

static void refuses(const uint8_t *bytes, size_t count)
{
	struct gw_message message;
	struct gw_error error;
	struct gw_mailbox *box;
	int peer;

	box = open_box(&peer);
	write_all(peer, bytes, count);
	assert_int_equal(next_patiently(box, &message, &error), -EPROTO);
	assert_non_null(strstr(error.text, "no message"));
	/* Nothing that follows garbage is listened to. */
	assert_int_equal(gw_mailbox_next(box, &message, &error), -ECONNRESET);
	gw_mailbox_free(box);
	close(peer);
}

static void test_garbage(void **state)
{
	static const uint8_t lying[] = {0xff, 0xff, 0xff, 0xff, GW_MSG_STATE, 0, 0, 0};
	static const uint8_t unknown[] = {0, 0, 0, 0, 0xee, 0, 0, 0};
	static struct gw_run outside[] = {{PAGES - 1, 2}};
	struct gw_message map = {.kind = GW_MSG_MAP}, message = {.kind = GW_MSG_STATE};
	uint8_t bytes[64];
	struct gw_mailbox *box;
	int peer;

	(void)state;
	refuses(lying, sizeof(lying));
	refuses(unknown, sizeof(unknown));
	refuses((const uint8_t *)"GET / HTTP/1.1\r\n", 16);
	map.map.runs = outside;
	map.map.count = 1;
	refuses(bytes, put_sealed(&map, 0, bytes, sizeof(bytes)));
	/* Our own mistakes are found before they are sent. */
	box = open_box(&peer);
	message.state.count = GW_MESSAGE_BODY_MAX + 1;
	assert_int_equal(gw_mailbox_send(box, &message), -EINVAL);
	assert_int_equal(gw_mailbox_sent_bytes(box), 0);
	assert_int_equal(gw_mailbox_flush(box), 0);
	gw_mailbox_free(box);
	close(peer);
}

/* What TCP would not do, but a broken box on the way, or a defect of the sender. */
static void test_the_seal(void **state)
{
	uint8_t bytes[2 * STREAM_MAX];
	struct gw_message ping = sample(0), message;
	size_t count = put_sealed(&ping, 0, bytes, STREAM_MAX);
	struct gw_error error;
	struct gw_mailbox *box;
	int peer;

	(void)state;
	for (size_t bit = 8 * GW_MESSAGE_HEADER_BYTES; bit < 8 * count; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		refuses(bytes, count);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	/* The second message, but the first was lost. */
	(void)put_sealed(&ping, 1, bytes, STREAM_MAX);
	refuses(bytes, count);
	/* The first, twice. */
	(void)put_sealed(&ping, 0, bytes, STREAM_MAX);
	box = open_box(&peer);
	write_all(peer, bytes, count);
	write_all(peer, bytes, count);
	assert_int_equal(next_patiently(box, &message, &error), 1);
	assert_int_equal(next_patiently(box, &message, &error), -EPROTO);
	gw_mailbox_free(box);
	close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_cut_at_every_byte),
	        cmocka_unit_test(test_large_maps),
	        cmocka_unit_test(test_a_peer_that_never_reads),
	        cmocka_unit_test(test_a_peer_that_closes),
	        cmocka_unit_test(test_last_words),
	        cmocka_unit_test(test_garbage),
	        cmocka_unit_test(test_the_seal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
