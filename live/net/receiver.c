/* SPDX-License-Identifier: MIT */
/*
 * live/net/receiver.c - page frames coming in, scattered to where they belong.
 *
 *     | header | table, seal | contents ... | header | table, seal | ...
 *       read 1   read 2        read 3 .............'   read 4
 *
 * A frame's contents are read only when its whole table was checked. The read that ends the
 * contents takes the next header along: every frame has one, so nothing is ever read too far.
 */
#include "live/net/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int gw_receiver_init(struct gw_receiver *receiver, int fd, uint8_t *memory, uint64_t pages)
{
	memset(receiver, 0, sizeof(*receiver));
	receiver->staging = malloc((size_t)GW_FRAME_PAGES_MAX * GW_PAGE_BYTES);
	if (!receiver->staging)
		return -ENOMEM;
	receiver->fd = fd;
	receiver->memory = memory;
	receiver->pages = pages;
	return 0;
}

void gw_receiver_free(struct gw_receiver *receiver)
{
	free(receiver->staging);
	receiver->staging = NULL;
}

static size_t content_bytes(const struct gw_frame *frame)
{
	return frame->kind == GW_FRAME_PAGES ? (size_t)frame->pages * GW_PAGE_BYTES : 0;
}

/* The pieces of memory that still lack contents; returns how many. */
static size_t scatter(const struct gw_receiver *receiver, struct iovec *iov)
{
	const struct gw_frame *frame = &receiver->frame;
	size_t skip = receiver->body_have, count = 0, bytes;
	uint8_t *to;

	if (receiver->staged) {
		iov[0].iov_base = receiver->staging + skip;
		iov[0].iov_len = content_bytes(frame) - skip;
		return 1;
	}
	for (uint32_t i = 0; i < frame->run_count; i++) {
		to = receiver->memory + frame->runs[i].first * GW_PAGE_BYTES;
		bytes = (size_t)frame->runs[i].count * GW_PAGE_BYTES;
		if (skip >= bytes) {
			skip -= bytes;
			continue;
		}
		to += skip;
		bytes -= skip;
		skip = 0;
		if (count && (uint8_t *)iov[count - 1].iov_base + iov[count - 1].iov_len == to)
			iov[count - 1].iov_len += bytes;
		else
			iov[count++] = (struct iovec){.iov_base = to, .iov_len = bytes};
	}
	return count;
}

/* Bytes read (> 0); 0: none now; -ECONNRESET. */
static ssize_t receive(struct gw_receiver *receiver, struct iovec *iov, size_t count,
                       struct gw_error *error)
{
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
	ssize_t got;

	do {
		got = recvmsg(receiver->fd, &message, MSG_DONTWAIT);
	} while (got < 0 && errno == EINTR);
	if (got > 0) {
		receiver->received_bytes += (uint64_t)got;
		return got;
	}
	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got < 0 && errno == EFAULT) /* what a full tmpfs makes of a write to its mapping */
		return gw_fail(error, ENOSPC,
		               "there is no room left for the VM's memory at the destination");
	return gw_fail(error, ECONNRESET, "the peer is gone: %s",
	               got == 0 ? "it closed the connection" : strerror(errno));
}

/* Disjoint, whatever their order; a push in ascending order is known to be so at a glance. */
static bool is_disjoint(const struct gw_frame *frame)
{
	const struct gw_run *runs = frame->runs;
	uint32_t i, k;

	for (i = 1; i < frame->run_count; i++)
		if (runs[i].first < runs[i - 1].first + runs[i - 1].count)
			break;
	if (i >= frame->run_count)
		return true;
	for (i = 1; i < frame->run_count; i++)
		for (k = 0; k < i; k++)
			if (runs[i].first < runs[k].first + runs[k].count &&
			    runs[k].first < runs[i].first + runs[i].count)
				return false;
	return true;
}

static int refuse(struct gw_error *error)
{
	return gw_fail(error, EPROTO, "the peer sent what is no frame of pages of this VM");
}

/* 1: header and table are in and good. */
static int read_head(struct gw_receiver *receiver, struct gw_error *error)
{
	size_t need = GW_FRAME_HEADER_BYTES;
	struct iovec iov;
	ssize_t got;

	for (;;) {
		if (receiver->head_have >= GW_FRAME_HEADER_BYTES) {
			need = gw_frame_head_bytes(receiver->head);
			if (need < GW_FRAME_HEADER_BYTES ||
			    need > sizeof(receiver->head) - GW_SEAL_BYTES)
				return refuse(error);
			need += GW_SEAL_BYTES;
		}
		if (receiver->head_have >= need && receiver->head_have >= GW_FRAME_HEADER_BYTES)
			break;
		iov.iov_base = receiver->head + receiver->head_have;
		iov.iov_len = need - receiver->head_have;
		got = receive(receiver, &iov, 1, error);
		if (got <= 0)
			return (int)got;
		receiver->head_have += (size_t)got;
	}
	if (gw_frame_decode(&receiver->frame, receiver->head, receiver->pages) ||
	    !gw_sealed(receiver->head, need - GW_SEAL_BYTES, receiver->opened++) ||
	    content_bytes(&receiver->frame) > (size_t)GW_FRAME_PAGES_MAX * GW_PAGE_BYTES ||
	    !is_disjoint(&receiver->frame))
		return refuse(error);
	receiver->head_have = 0;
	receiver->body_have = 0;
	receiver->have_frame = true;
	return 1;
}

/* 1: the contents are in, and perhaps the next header with them. */
static int read_body(struct gw_receiver *receiver, struct gw_error *error)
{
	size_t all = content_bytes(&receiver->frame), count;
	struct iovec iov[GW_FRAME_RUNS_MAX + 1];
	ssize_t got;

	while (receiver->body_have < all) {
		count = scatter(receiver, iov);
		iov[count].iov_base = receiver->head;
		iov[count].iov_len = GW_FRAME_HEADER_BYTES;
		got = receive(receiver, iov, count + 1, error);
		if (got <= 0)
			return (int)got;
		receiver->body_have += (size_t)got;
	}
	receiver->head_have = receiver->body_have - all;
	return 1;
}

int gw_receiver_next(struct gw_receiver *receiver, struct gw_error *error)
{
	int result;

	if (!receiver->have_frame) {
		result = read_head(receiver, error);
		if (result <= 0)
			return result;
	}
	result = read_body(receiver, error);
	if (result > 0)
		receiver->have_frame = false;
	return result;
}
