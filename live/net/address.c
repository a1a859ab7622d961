/* SPDX-License-Identifier: MIT */
#include "live/net/address.h"

#include "live/net/channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static int parse_port(uint16_t *port, const char *text)
{
	unsigned int value = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (unsigned int)(*text - '0');
		if (value > UINT16_MAX)
			return -EINVAL;
	}
	*port = (uint16_t)value;
	return 0;
}

/* Splits the text; *port is NULL where none is given. */
static int split(const char *text, const char **host, size_t *host_bytes, const char **port)
{
	const char *colon = strchr(text, ':');
	const char *end;

	*host = text;
	*port = NULL;
	if (*text == '[') {
		end = strchr(text, ']');
		if (!end || end == text + 1 || (end[1] && end[1] != ':'))
			return -EINVAL;
		*host = text + 1;
		*host_bytes = (size_t)(end - *host);
		*port = end[1] ? end + 2 : NULL;
	} else if (colon && !strchr(colon + 1, ':')) {
		*host_bytes = (size_t)(colon - text);
		*port = colon + 1;
	} else {
		*host_bytes = strlen(text); /* a name, or IPv6 without brackets */
	}
	return 0;
}

int gw_address_parse(struct gw_address *address, const char *text, struct gw_error *error)
{
	const char *host, *port;
	size_t bytes;

	if (!*text || split(text, &host, &bytes, &port) || bytes >= sizeof(address->host))
		return gw_fail(error, EINVAL,
		               "'%s' is no address: write HOST, HOST:PORT or [IPV6]:PORT", text);
	memcpy(address->host, host, bytes);
	address->host[bytes] = 0;
	address->port = GW_DEFAULT_PORT;
	if (port && parse_port(&address->port, port))
		return gw_fail(error, EINVAL,
		               "'%s' is no port in '%s': write a number from 0 to 65535", port,
		               text);
	return 0;
}

int gw_address_resolve(const struct gw_address *address, bool passive, struct addrinfo **found,
                       struct gw_error *error)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	char port[8];
	int result;

	hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
	(void)snprintf(port, sizeof(port), "%u", address->port);
	result = getaddrinfo(address->host[0] ? address->host : NULL, port, &hints, found);
	if (result == 0)
		return 0;
	*found = NULL;
	return gw_fail(error, EHOSTUNREACH,
	               "the host '%s' cannot be found (%s): check the name, or use its address",
	               address->host, gai_strerror(result));
}

void gw_address_print(const struct sockaddr_storage *from, char *text, size_t bytes)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
	char host[INET6_ADDRSTRLEN];

	if (!bytes)
		return;
	if (from->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, host, sizeof(host));
		(void)snprintf(text, bytes, "%s:%u", host, ntohs(v6->sin6_port));
	} else if (from->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		(void)snprintf(text, bytes, "[%s]:%u", host, ntohs(v6->sin6_port));
	} else if (from->ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		(void)snprintf(text, bytes, "%s:%u", host, ntohs(v4->sin_port));
	} else {
		(void)snprintf(text, bytes, "(unknown)");
	}
}

bool gw_address_is_loopback(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

	if (address->ss_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	if (address->ss_family != AF_INET6)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		return v6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}
