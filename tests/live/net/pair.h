/* SPDX-License-Identifier: MIT */
/*
 * tests/live/net/pair.h - two ends of a real TCP connection over loopback, and reading with
 * patience.
 */
#ifndef GW_TESTS_LIVE_NET_PAIR_H
#define GW_TESTS_LIVE_NET_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "live/net/channel.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 20000

static inline uint16_t port_of(int fd)
{
	struct sockaddr_in6 at = {0}; /* an IPv4 address has its port in the same place */
	socklen_t bytes = sizeof(at);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
	return ntohs(at.sin6_port);
}

/* False: nothing happened within patience. */
static inline bool wait_for(int fd, short events)
{
	struct pollfd item = {.fd = fd, .events = events};

	return poll(&item, 1, PATIENCE_MS) == 1;
}

static inline int connect_plainly(uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
	                         .sin_port = htons(port),
	                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* ends[0]: blocking, for the test to play the peer; ends[1]: non-blocking, for the code. */
static inline void open_pair(int ends[2])
{
	struct gw_error error;
	int listener = gw_net_listen("127.0.0.1:0", &error);

	assert_true(listener >= 0);
	ends[0] = connect_plainly(port_of(listener));
	assert_true(wait_for(listener, POLLIN));
	ends[1] = gw_net_accept(listener, NULL, 0, &error);
	assert_true(ends[1] >= 0);
	close(listener);
}

static inline void write_all(int fd, const void *from, size_t bytes)
{
	assert_int_equal(send(fd, from, bytes, MSG_NOSIGNAL), bytes);
}

#endif
