/* SPDX-License-Identifier: MIT */
/*
 * live/net/listen.c - the accepting side's socket.
 */
#include "live/net/address.h"
#include "live/net/channel.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

static int listen_at(const struct addrinfo *at)
{
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, off = 0, err;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (at->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	err = errno;
	close(fd);
	return -err;
}

static int listen_at_family(const struct addrinfo *found, int family)
{
	int result = -EADDRNOTAVAIL;

	for (; found; found = found->ai_next) {
		if (family != AF_UNSPEC && found->ai_family != family)
			continue;
		result = listen_at(found);
		if (result >= 0)
			return result;
	}
	return result;
}

int gw_net_listen(const char *text, struct gw_error *error)
{
	struct gw_address address;
	struct addrinfo *found;
	int result;

	result = gw_address_parse(&address, text, error);
	if (result)
		return result;
	result = gw_address_resolve(&address, true, &found, error);
	if (result)
		return result;
	/* Any address: one IPv6 socket takes both families, where the host has IPv6. */
	result = address.host[0] ? -EADDRNOTAVAIL : listen_at_family(found, AF_INET6);
	if (result < 0)
		result = listen_at_family(found, AF_UNSPEC);
	freeaddrinfo(found);
	if (result >= 0)
		return result;
	if (result == -EADDRINUSE)
		return gw_fail(error, EADDRINUSE,
		               "port %u at '%s' is taken: another agent may run there; stop it or "
		               "listen on another port",
		               address.port, text);
	if (result == -EADDRNOTAVAIL)
		return gw_fail(
		        error, EADDRNOTAVAIL,
		        "'%s' is no address of this host: listen on one that `ip address` shows",
		        text);
	return gw_fail(error, -result, "cannot listen on '%s': %s", text, strerror(-result));
}

bool gw_net_is_loopback(int fd)
{
	struct sockaddr_storage own;
	socklen_t bytes = sizeof(own);

	return getsockname(fd, (struct sockaddr *)&own, &bytes) == 0 &&
	       gw_address_is_loopback(&own);
}

void gw_net_local_address(int fd, char *text, size_t room)
{
	struct sockaddr_storage own = {0};
	socklen_t bytes = sizeof(own);

	(void)getsockname(fd, (struct sockaddr *)&own, &bytes);
	gw_address_print(&own, text, room);
}

/* Errors of the connection that was about to be accepted, not of the listener: see accept(2). */
static bool is_of_the_connection(int err)
{
	return err == ECONNABORTED || err == EINTR || err == EPROTO || err == ENETDOWN ||
	       err == ENETUNREACH || err == EHOSTDOWN || err == EHOSTUNREACH || err == ENOPROTOOPT;
}

int gw_net_accept(int listener, char *peer, size_t peer_bytes, struct gw_error *error)
{
	struct sockaddr_storage from;
	socklen_t bytes = sizeof(from);
	int fd;

	fd = accept4(listener, (struct sockaddr *)&from, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && (errno == EAGAIN || is_of_the_connection(errno)))
		return gw_fail(error, EAGAIN, "nobody is waiting to be accepted");
	if (fd < 0)
		return gw_fail(error, errno, "cannot accept a connection: %s", strerror(errno));
	if (peer)
		gw_address_print(&from, peer, peer_bytes);
	return fd;
}
