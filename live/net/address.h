/* SPDX-License-Identifier: MIT */
/*
 * live/net/address.h - HOST[:PORT] as people write it, and sockets' addresses as people read them.
 *
 *     host   host:port   192.0.2.1:port   [2001:db8::1]:port   2001:db8::1   :port (any address)
 */
#ifndef GW_LIVE_NET_ADDRESS_H
#define GW_LIVE_NET_ADDRESS_H

#include "base/error.h"

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct gw_address {
	char host[256]; /* empty: any address */
	uint16_t port;
};

/* -EINVAL and a sentence if the text is no address. Without a port: GW_DEFAULT_PORT. */
int gw_address_parse(struct gw_address *address, const char *text, struct gw_error *error);

/*
 * Looks the host up; `passive`: to listen there. The caller frees *found with freeaddrinfo().
 * Looking up a name may wait for the resolver; a numeric address never waits.
 */
int gw_address_resolve(const struct gw_address *address, bool passive, struct addrinfo **found,
                       struct gw_error *error);

/* "192.0.2.1:4909" or "[2001:db8::1]:4909"; an IPv4 address that IPv6 carries reads as IPv4. */
void gw_address_print(const struct sockaddr_storage *from, char *text, size_t bytes);

bool gw_address_is_loopback(const struct sockaddr_storage *address);

#endif
