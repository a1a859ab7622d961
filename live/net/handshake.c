/* SPDX-License-Identifier: MIT */
/*
 * live/net/handshake.c - connect, and HELLO in both directions.
 *
 * Theory of operation: one deadline for all of it is taken at the start, so that a peer which is
 * silent, or sends a byte now and then, costs the time limit and no more. Exactly the bytes of the
 * peer's HELLO are read: what follows belongs to the channel. A peer of another version is
 * answered before it is left, so that it can name both versions to its user.
 */
#include "live/net/address.h"
#include "live/net/channel.h"
#include "live/net/socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HELLO_BYTES_MAX 128 /* far more than a HELLO has: no message but garbage exceeds it */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* 0: ready; -ETIMEDOUT: not until the deadline. */
static int wait_for(int fd, short events, int64_t deadline_ms)
{
	struct pollfd item = {.fd = fd, .events = events};
	int64_t left;
	int ready;

	do {
		left = deadline_ms - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		ready = poll(&item, 1, left > INT32_MAX ? INT32_MAX : (int)left);
	} while (ready == 0 || (ready < 0 && errno == EINTR));
	return ready > 0 ? 0 : -errno;
}

static int receive_exactly(int fd, uint8_t *to, size_t bytes, int64_t deadline_ms)
{
	ssize_t got;
	int result;

	while (bytes) {
		result = wait_for(fd, POLLIN, deadline_ms);
		if (result)
			return result;
		got = recv(fd, to, bytes, MSG_DONTWAIT);
		if (got == 0)
			return -ECONNRESET;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (got > 0) {
			to += got;
			bytes -= (size_t)got;
		}
	}
	return 0;
}

static int send_all(int fd, const uint8_t *from, size_t bytes, int64_t deadline_ms)
{
	ssize_t put;
	int result;

	while (bytes) {
		result = wait_for(fd, POLLOUT, deadline_ms);
		if (result)
			return result;
		put = send(fd, from, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (put < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (put > 0) {
			from += put;
			bytes -= (size_t)put;
		}
	}
	return 0;
}

static int send_hello(int fd, enum gw_channel channel, const struct gw_id *id, int64_t deadline_ms)
{
	uint8_t bytes[HELLO_BYTES_MAX];
	struct gw_message hello = {.kind = GW_MSG_HELLO};
	size_t count;

	hello.hello.version = GW_WIRE_VERSION;
	hello.hello.channel = channel;
	hello.hello.id = *id;
	count = gw_message_encode(&hello, bytes, sizeof(bytes));
	return count ? send_all(fd, bytes, count, deadline_ms) : -EINVAL;
}

static bool is_hello(const uint8_t *header)
{
	return header[4] == GW_MSG_HELLO && header[5] == 0;
}

/* 0, -EPROTO: no HELLO; -ETIMEDOUT, -ECONNRESET ... */
static int receive_hello(int fd, struct gw_message *hello, int64_t deadline_ms)
{
	uint8_t bytes[HELLO_BYTES_MAX];
	size_t have = 0, need = GW_MESSAGE_HEADER_BYTES;
	int result;

	do {
		result = receive_exactly(fd, bytes + have, need - have, deadline_ms);
		if (result)
			return result;
		have = need;
		if (!is_hello(bytes))
			return -EPROTO;
		result = gw_message_decode(hello, bytes, have, 0, NULL, &need);
	} while (result == -EAGAIN && need > have && need <= sizeof(bytes));
	return result ? -EPROTO : 0;
}

static int explain(int result, const char *peer, struct gw_error *error)
{
	if (result == -EPROTO)
		return gw_fail(error, EPROTO,
		               "%s is not a godwit: something else answers there; check the port",
		               peer);
	if (result == -ETIMEDOUT)
		return gw_fail(error, ETIMEDOUT,
		               "%s accepted the connection but did not say hello in time: check "
		               "that a godwit listens there and is not stopped",
		               peer);
	if (result == -ECONNRESET || result == -EPIPE)
		return gw_fail(error, ECONNRESET,
		               "%s closed the connection before it said hello: its log says why",
		               peer);
	return gw_fail(error, -result, "the connection to %s failed: %s", peer, strerror(-result));
}

static int refuse_version(uint32_t version, const char *peer, struct gw_error *error)
{
	return gw_fail(error, EPROTONOSUPPORT,
	               "%s speaks version %u of the protocol and this godwit version %u: install "
	               "the same release on both hosts",
	               peer, version, GW_WIRE_VERSION);
}

static int say_hello(int fd, enum gw_channel channel, const struct gw_id *id, int64_t deadline_ms,
                     const char *peer, struct gw_error *error)
{
	struct gw_message hello;
	int result = send_hello(fd, channel, id, deadline_ms);

	if (!result)
		result = receive_hello(fd, &hello, deadline_ms);
	if (result)
		return explain(result, peer, error);
	if (hello.hello.version != GW_WIRE_VERSION)
		return refuse_version(hello.hello.version, peer, error);
	if (hello.hello.channel != channel || memcmp(&hello.hello.id, id, sizeof(*id)) != 0)
		return gw_fail(error, EPROTO,
		               "%s answered for another migration: start the migration again",
		               peer);
	return 0;
}

/* A connected socket, or -errno. */
static int connect_to(const struct addrinfo *at, int64_t deadline_ms)
{
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int result = 0, err = 0;
	socklen_t bytes = sizeof(err);

	if (fd < 0)
		return -errno;
	if (connect(fd, at->ai_addr, at->ai_addrlen)) {
		result = errno == EINPROGRESS ? wait_for(fd, POLLOUT, deadline_ms) : -errno;
		if (!result && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &bytes) == 0)
			result = -err;
	}
	if (!result)
		return fd;
	close(fd);
	return result;
}

/* Tries each address in turn; one that never answers does not eat the time of the others. */
static int connect_to_any(const struct addrinfo *found, int64_t deadline_ms)
{
	int result = -EHOSTUNREACH, left = 0;
	int64_t now;

	for (const struct addrinfo *at = found; at; at = at->ai_next)
		left++;
	for (; found; found = found->ai_next, left--) {
		now = now_ms();
		result = connect_to(found, now + (deadline_ms - now) / left);
		if (result >= 0)
			return result;
	}
	return result;
}

static int explain_connect(int result, const char *host, const struct gw_address *address,
                           int timeout_ms, struct gw_error *error)
{
	if (result == -ECONNREFUSED)
		return gw_fail(error, ECONNREFUSED,
		               "nobody listens at '%s' (port %u): start `godwit serve` there", host,
		               address->port);
	if (result == -ETIMEDOUT)
		return gw_fail(error, ETIMEDOUT,
		               "'%s' (port %u) did not answer within %d ms: check that the host is "
		               "up and no firewall drops the port",
		               host, address->port, timeout_ms);
	if (result == -EHOSTUNREACH || result == -ENETUNREACH)
		return gw_fail(error, -result, "there is no way to '%s' (%s): check the route",
		               host, strerror(-result));
	return gw_fail(error, -result, "cannot connect to '%s' (port %u): %s", host, address->port,
	               strerror(-result));
}

int gw_net_connect(const char *host, enum gw_channel channel, const struct gw_id *id,
                   int timeout_ms, struct gw_error *error)
{
	int64_t deadline_ms = now_ms() + timeout_ms;
	struct gw_address address;
	struct addrinfo *found;
	int fd, result;

	result = gw_address_parse(&address, host, error);
	if (result)
		return result;
	if (!address.host[0] || !address.port)
		return gw_fail(error, EINVAL, "'%s' names no host and port to connect to", host);
	result = gw_address_resolve(&address, false, &found, error);
	if (result)
		return result;
	fd = connect_to_any(found, deadline_ms);
	freeaddrinfo(found);
	if (fd < 0)
		return explain_connect(fd, host, &address, timeout_ms, error);
	gw_socket_prepare(fd, channel);
	result = say_hello(fd, channel, id, deadline_ms, host, error);
	if (!result)
		return fd;
	close(fd);
	return result;
}

static void print_peer(int fd, char *text, size_t bytes)
{
	struct sockaddr_storage peer = {0};
	socklen_t peer_bytes = sizeof(peer);

	(void)getpeername(fd, (struct sockaddr *)&peer, &peer_bytes);
	gw_address_print(&peer, text, bytes);
}

int gw_net_greet(int fd, enum gw_channel *channel, struct gw_id *id, int timeout_ms,
                 struct gw_error *error)
{
	int64_t deadline_ms = now_ms() + timeout_ms;
	struct gw_message hello;
	char peer[80];
	int result;

	print_peer(fd, peer, sizeof(peer));
	result = receive_hello(fd, &hello, deadline_ms);
	if (result)
		return explain(result, peer, error);
	gw_socket_prepare(fd, hello.hello.channel);
	result = send_hello(fd, hello.hello.channel, &hello.hello.id, deadline_ms);
	if (hello.hello.version != GW_WIRE_VERSION)
		return refuse_version(hello.hello.version, peer, error);
	if (result)
		return explain(result, peer, error);
	*channel = hello.hello.channel;
	*id = hello.hello.id;
	return 0;
}
