/* SPDX-License-Identifier: MIT */
/*
 * live/net/sender.c - page frames going out: header, table and contents in one gathered write.
 */
#include "live/net/channel.h"

#include <errno.h>
#include <sys/socket.h>

void gw_sender_init(struct gw_sender *sender, int fd, const uint8_t *memory)
{
	sender->fd = fd;
	sender->memory = memory;
	sender->sent_bytes = sender->sealed = 0;
	sender->iov_at = sender->iov_count = 0;
}

bool gw_sender_idle(const struct gw_sender *sender)
{
	return sender->iov_at == sender->iov_count;
}

/* Runs that touch become one piece: the fewer the pieces, the cheaper the gather. */
static void add_contents(struct gw_sender *sender, const struct gw_run *run)
{
	struct iovec *last = &sender->iov[sender->iov_count - 1];
	uint8_t *from = (uint8_t *)sender->memory + run->first * GW_PAGE_BYTES;
	size_t bytes = (size_t)run->count * GW_PAGE_BYTES;

	if (sender->iov_count > 1 && (uint8_t *)last->iov_base + last->iov_len == from)
		last->iov_len += bytes;
	else
		sender->iov[sender->iov_count++] =
		        (struct iovec){.iov_base = from, .iov_len = bytes};
}

int gw_sender_put(struct gw_sender *sender, const struct gw_frame *frame)
{
	size_t head_bytes = gw_frame_encode(frame, sender->head);

	if (!head_bytes)
		return -EINVAL;
	gw_seal(sender->head, head_bytes, sender->sealed++);
	sender->iov[0].iov_base = sender->head;
	sender->iov[0].iov_len = head_bytes + GW_SEAL_BYTES;
	sender->iov_at = 0;
	sender->iov_count = 1;
	if (frame->kind == GW_FRAME_PAGES)
		for (uint32_t i = 0; i < frame->run_count; i++)
			add_contents(sender, &frame->runs[i]);
	return 0;
}

int gw_sender_put_contents(struct gw_sender *sender, const struct gw_frame *frame,
                           const uint8_t *contents)
{
	int err = gw_sender_put(sender, frame);

	if (err || !contents)
		return err;
	sender->iov[1] = (struct iovec){.iov_base = (uint8_t *)contents,
	                                .iov_len = (size_t)frame->pages * GW_PAGE_BYTES};
	sender->iov_count = 2;
	return 0;
}

static void advance(struct gw_sender *sender, size_t bytes)
{
	struct iovec *piece = &sender->iov[sender->iov_at];

	sender->sent_bytes += bytes;
	while (!gw_sender_idle(sender) && bytes >= piece->iov_len) {
		bytes -= piece->iov_len;
		sender->iov_at++;
		piece++;
	}
	if (bytes) {
		piece->iov_base = (uint8_t *)piece->iov_base + bytes;
		piece->iov_len -= bytes;
	}
}

int gw_sender_flush(struct gw_sender *sender)
{
	struct msghdr message = {0};
	ssize_t put;

	while (!gw_sender_idle(sender)) {
		message.msg_iov = sender->iov + sender->iov_at;
		message.msg_iovlen = sender->iov_count - sender->iov_at;
		put = sendmsg(sender->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return errno == EAGAIN ? 0 : -errno;
		advance(sender, (size_t)put);
	}
	return 0;
}
