/* SPDX-License-Identifier: MIT */
/*
 * tests/fuzz/message.c - any bytes into the message decoder.
 *
 * The first byte of an input chooses the size of memory and whether the bytes are taken as they
 * are, or get a header that fits: else few inputs would come past the length. What decodes must
 * encode to the same bytes again.
 */
#include "core/migration/message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/target.h"

/* Kinds with long bodies are met by mutation only: now and then one is not. */
#define MISSED_AT_MOST 3

static struct {
	unsigned long accepted, kinds[GW_MSG_KINDS];
} seen;

bool target_report(unsigned long inputs)
{
	unsigned kinds = 0;

	for (unsigned kind = 0; kind < GW_MSG_KINDS; kind++)
		kinds += seen.kinds[kind] != 0;
	fprintf(stderr, "message: %lu of %lu inputs decoded, %u of %d kinds\n", seen.accepted,
	        inputs, kinds, GW_MSG_KINDS - 1);
	return kinds >= GW_MSG_KINDS - 1 - MISSED_AT_MOST;
}

static void check_again(const struct gw_message *message, const uint8_t *from, size_t used)
{
	static uint8_t again[GW_MESSAGE_HEADER_BYTES + GW_MESSAGE_BODY_MAX];

	require(gw_message_bytes(message) == used, "gw_message_bytes() tells the size");
	require(gw_message_encode(message, again, sizeof again) == used, "it encodes");
	require(!memcmp(again, from, used), "to the same bytes");
}

static void check(const uint8_t *from, size_t bytes, uint64_t pages)
{
	static struct gw_run runs[GW_MAP_RUNS_MAX];
	struct gw_message message;
	size_t used;
	int error = gw_message_decode(&message, from, bytes, pages, runs, &used);

	target_count();
	if (error == -EAGAIN) {
		require(used > bytes, "more bytes are needed than there are");
		require(used <= GW_MESSAGE_HEADER_BYTES + GW_MESSAGE_BODY_MAX, "but not too many");
		return;
	}
	if (error) {
		require(error == -EPROTO, "what is no message is -EPROTO");
		return;
	}
	seen.accepted++;
	require(used <= bytes, "a message lies within the input");
	require(message.kind >= GW_MSG_HELLO && message.kind < GW_MSG_KINDS, "its kind is known");
	seen.kinds[message.kind]++;
	uint64_t end = 0;
	for (uint32_t i = 0; message.kind == GW_MSG_MAP && i < message.map.count; i++) {
		require(runs[i].first >= end && runs[i].count, "runs ascend and are not empty");
		require(runs[i].first < pages && runs[i].count <= pages - runs[i].first,
		        "runs lie within the memory");
		end = runs[i].first + runs[i].count;
	}
	check_again(&message, from, used);
}

/* Bytes of those bodies that have but one length. */
static size_t fixed_body(unsigned kind)
{
	switch (kind) {
	case GW_MSG_HELLO: return 32;
	case GW_MSG_ACCEPT: return 20;
	case GW_MSG_ROUND_ACK: return 16;
	case GW_MSG_SWITCH: return 9;
	case GW_MSG_ACTIVATED:
	case GW_MSG_FAULT:
	case GW_MSG_PING:
	case GW_MSG_PONG: return 8;
	case GW_MSG_DONE: return 48;
	case GW_MSG_VERDICT: return 24;
	case GW_MSG_STANDING: return 17;
	default: return 0;
	}
}

/* A kind and a body, filled up with zeros, under a header that fits. */
static void check_repaired(unsigned kind, const uint8_t *from, size_t size, uint64_t pages)
{
	size_t body = fixed_body(kind) ? fixed_body(kind) : size;
	/* Exactly as long as it must be, so that the sanitizer sees a read beyond. */
	uint8_t *message = calloc(1, GW_MESSAGE_HEADER_BYTES + body);

	if (!message)
		return;
	for (unsigned i = 0; i < 4; i++)
		message[i] = (uint8_t)(body >> (8 * i));
	message[4] = (uint8_t)kind;
	if (size && body)
		memcpy(message + GW_MESSAGE_HEADER_BYTES, from, size < body ? size : body);
	check(message, GW_MESSAGE_HEADER_BYTES + body, pages);
	free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	uint64_t pages = target_pages(data[0]);
	if (data[0] & 0x80)
		check(data + 1, size - 1, pages);
	else
		check_repaired(data[1] % (GW_MSG_KINDS + 1), data + 2, size - 2, pages);
	return 0;
}
