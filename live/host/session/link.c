/* SPDX-License-Identifier: MIT */
/*
 * live/host/session/link.c - the destination's agent: the three connections, as the server hands
 * them over, heard and dropped.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "live/host/session/parts.h"

void gw_session_hang_up(struct session *s)
{
	gw_session_stop_receiving(s);
	gw_link_close(&s->link, gw_actions_end(&s->actions));
}

int gw_session_send_link(int router, const int fds[3])
{
	char byte = 1;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	union {
		char bytes[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr align;
	} space = {{0}};
	struct msghdr message = {.msg_iov = &iov,
	                         .msg_iovlen = 1,
	                         .msg_control = space.bytes,
	                         .msg_controllen = sizeof(space.bytes)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(3 * sizeof(int));
	memcpy(CMSG_DATA(head), fds, 3 * sizeof(int));
	/* A session that is stuck must not make the server wait. */
	return sendmsg(router, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -errno;
}

/* 1: a new triple; 0: none; -1: the router is gone. */
int gw_session_receive_link(int router, int fds[3])
{
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	union {
		char bytes[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr align;
	} space;
	struct msghdr message = {.msg_iov = &iov,
	                         .msg_iovlen = 1,
	                         .msg_control = space.bytes,
	                         .msg_controllen = sizeof(space.bytes)};
	ssize_t n = recvmsg(router, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	size_t came = head ? (head->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

	if (came)
		memcpy(fds, CMSG_DATA(head), came * sizeof(int));
	if (came == 3)
		return 1;
	/* Fewer come where this process may open no more. */
	while (came)
		close(fds[--came]);
	return n == 0 ? -1 : 0;
}

void gw_session_take_link(struct session *s)
{
	struct gw_event gone = {.kind = GW_EV_LINK_LOST, .text = "the source connected anew"};
	int fds[3];
	int got = gw_session_receive_link(s->options->router, fds);

	if (got < 0)
		s->orphan = true;
	if (got <= 0)
		return;
	if (s->link.up)
		gw_session_step(s, &gone);
	gw_session_hang_up(s);
	if (gw_link_set(&s->link, fds[0], fds[1], fds[2], s->has_ram ? s->ram.pages : 0))
		return;
	if (s->has_ram && gw_session_start_receiving(s)) {
		gw_session_lost(s, "no memory to receive");
		return;
	}
	gw_session_queue(s, GW_EV_LINK_UP, NULL);
}

void gw_session_read_control(struct session *s)
{
	struct gw_error error;
	struct gw_message message;
	int got = 0;

	while (s->link.up && (got = gw_mailbox_next(s->link.control, &message, &error)) == 1) {
		struct gw_event event = {.kind = GW_EV_MESSAGE, .message = &message};

		if (message.kind == GW_MSG_STATE) {
			gw_session_keep_state(s, message.state.bytes, message.state.count);
		} else if (message.kind == GW_MSG_STATE_END) {
			gw_session_end_state(s);
		} else {
			gw_session_step(s, &event);
		}
		gw_session_drain_queue(s);
		if (s->finished || !s->link.up)
			return;
	}
	if (got < 0)
		gw_session_lost(s, error.text);
}
