/* SPDX-License-Identifier: MIT */
/*
 * live/net/mailbox.c - messages over a non-blocking connection.
 *
 *     out   | sent ... | start   queued   end | room |      grows up to OUT_MAX
 *     in    | start  received  end | room |                 grows up to one message
 *
 * Memory is bounded on both sides: one message at most is held coming in, and a peer that does not
 * read while OUT_MAX bytes wait for it is lost.
 */
#include "live/net/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_MAX    ((size_t)64 << 20)
#define IN_MAX     ((size_t)GW_MESSAGE_HEADER_BYTES + GW_MESSAGE_BODY_MAX + GW_SEAL_BYTES)
#define FIRST_ROOM ((size_t)4096)
#define KEEP_ROOM  ((size_t)256 << 10) /* an idle queue above this gives its memory back */

struct buffer {
	uint8_t *bytes;
	size_t start, end, room;
};

struct gw_mailbox {
	int fd;
	int lost;   /* -errno once nothing can be sent any more */
	bool ended; /* nothing will come in any more; till then a lost peer's last words are read */
	uint64_t pages;
	uint64_t sent_bytes, received_bytes;
	uint64_t sealed, opened; /* messages */
	struct buffer in, out;
	struct gw_run *runs; /* GW_MAP_RUNS_MAX of them, from the first MAP on */
};

struct gw_mailbox *gw_mailbox_new(int fd)
{
	struct gw_mailbox *box = calloc(1, sizeof(*box));

	if (box)
		box->fd = fd;
	return box;
}

void gw_mailbox_free(struct gw_mailbox *box)
{
	if (!box)
		return;
	if (box->fd >= 0)
		close(box->fd);
	free(box->in.bytes);
	free(box->out.bytes);
	free(box->runs);
	free(box);
}

int gw_mailbox_fd(const struct gw_mailbox *box)
{
	return box->fd;
}

void gw_mailbox_set_pages(struct gw_mailbox *box, uint64_t pages)
{
	box->pages = pages;
}

bool gw_mailbox_wants_to_write(const struct gw_mailbox *box)
{
	return !box->lost && box->out.end > box->out.start;
}

size_t gw_mailbox_queued_bytes(const struct gw_mailbox *box)
{
	return box->out.end - box->out.start;
}

uint64_t gw_mailbox_sent_bytes(const struct gw_mailbox *box)
{
	return box->sent_bytes;
}

uint64_t gw_mailbox_received_bytes(const struct gw_mailbox *box)
{
	return box->received_bytes;
}

/* Makes room for `bytes` behind what the buffer holds; at most `max` bytes are held. */
static int reserve(struct buffer *buffer, size_t bytes, size_t max)
{
	size_t held = buffer->end - buffer->start;
	size_t room = buffer->room ? buffer->room : FIRST_ROOM;
	uint8_t *grown;

	if (bytes > max || held > max - bytes)
		return -ENOBUFS;
	if (buffer->room - buffer->end >= bytes)
		return 0;
	if (held)
		memmove(buffer->bytes, buffer->bytes + buffer->start, held);
	buffer->start = 0;
	buffer->end = held;
	if (buffer->room - held >= bytes)
		return 0;
	while (room - held < bytes)
		room *= 2;
	if (room > max)
		room = max;
	grown = realloc(buffer->bytes, room);
	if (!grown)
		return -ENOMEM;
	buffer->bytes = grown;
	buffer->room = room;
	return 0;
}

/* Everything in it was used. */
static void rewind_buffer(struct buffer *buffer)
{
	buffer->start = buffer->end = 0;
	if (buffer->room > KEEP_ROOM) {
		free(buffer->bytes);
		buffer->bytes = NULL;
		buffer->room = 0;
	}
}

static int lose(struct gw_mailbox *box, int result)
{
	box->lost = result;
	rewind_buffer(&box->out);
	return result;
}

int gw_mailbox_send(struct gw_mailbox *box, const struct gw_message *message)
{
	size_t bytes = gw_message_bytes(message);
	int result;

	if (box->lost)
		return box->lost;
	if (!bytes)
		return -EINVAL;
	result = reserve(&box->out, bytes + GW_SEAL_BYTES, OUT_MAX);
	if (result)
		return lose(box, result);
	(void)gw_message_encode(message, box->out.bytes + box->out.end, bytes);
	gw_seal(box->out.bytes + box->out.end, bytes, box->sealed++);
	box->out.end += bytes + GW_SEAL_BYTES;
	return gw_mailbox_flush(box);
}

int gw_mailbox_flush(struct gw_mailbox *box)
{
	struct buffer *out = &box->out;
	ssize_t put;

	if (box->lost)
		return box->lost;
	while (out->end > out->start) {
		put = send(box->fd, out->bytes + out->start, out->end - out->start,
		           MSG_DONTWAIT | MSG_NOSIGNAL);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return errno == EAGAIN ? 0 : lose(box, -errno);
		out->start += (size_t)put;
		box->sent_bytes += (uint64_t)put;
	}
	rewind_buffer(out);
	return 0;
}

/* 1: some bytes came in; 0: none now. `want`: what the message under way still lacks. */
static int receive(struct gw_mailbox *box, size_t want, struct gw_error *error)
{
	struct buffer *in = &box->in;
	ssize_t got;

	if (reserve(in, want, IN_MAX))
		return gw_fail(error, ENOMEM, "there is no memory for a message of the peer");
	do {
		got = recv(box->fd, in->bytes + in->end, in->room - in->end, MSG_DONTWAIT);
	} while (got < 0 && errno == EINTR);
	if (got > 0) {
		in->end += (size_t)got;
		box->received_bytes += (uint64_t)got;
		return 1;
	}
	if (got < 0 && errno == EAGAIN)
		return 0;
	(void)lose(box, -ECONNRESET);
	box->ended = true;
	return gw_fail(error, ECONNRESET, "the peer is gone: %s",
	               got == 0 ? "it closed the connection" : strerror(errno));
}

static bool is_map(const struct buffer *in)
{
	const uint8_t *header = in->bytes + in->start;

	return in->end - in->start >= GW_MESSAGE_HEADER_BYTES && header[4] == GW_MSG_MAP &&
	       header[5] == 0;
}

/* As gw_message_decode(); *used: bytes of message and seal, as far as they are known. */
static int decode(struct gw_mailbox *box, struct gw_message *message, size_t *used)
{
	struct buffer *in = &box->in;
	const uint8_t *bytes = in->bytes + in->start;
	int result;

	*used = GW_MESSAGE_HEADER_BYTES;
	if (in->end - in->start < GW_MESSAGE_HEADER_BYTES)
		return -EAGAIN;
	if (is_map(in) && !box->runs) {
		box->runs = calloc(GW_MAP_RUNS_MAX, sizeof(*box->runs));
		if (!box->runs)
			return -ENOMEM;
	}
	result =
	        gw_message_decode(message, bytes, in->end - in->start, box->pages, box->runs, used);
	if (result)
		return result;
	*used += GW_SEAL_BYTES;
	if (in->end - in->start < *used)
		return -EAGAIN;
	return gw_sealed(bytes, *used - GW_SEAL_BYTES, box->opened++) ? 0 : -EPROTO;
}

int gw_mailbox_next(struct gw_mailbox *box, struct gw_message *message, struct gw_error *error)
{
	struct buffer *in = &box->in;
	size_t used;
	int result;

	if (in->start == in->end)
		rewind_buffer(in);
	for (;;) {
		result = decode(box, message, &used);
		if (result == 0) {
			in->start += used;
			return 1;
		}
		if (result == -ENOMEM)
			return gw_fail(error, ENOMEM, "there is no memory for a map of the peer");
		if (result != -EAGAIN || used <= in->end - in->start || used > IN_MAX)
			break;
		if (box->ended)
			return gw_fail(error, ECONNRESET, "the peer is gone");
		result = receive(box, used - (in->end - in->start), error);
		if (result <= 0)
			return result;
	}
	(void)lose(box, -EPROTO);
	in->start = in->end = 0;
	box->ended = true;
	return gw_fail(error, EPROTO, "the peer sent what is no message of the protocol");
}
