/* SPDX-License-Identifier: MIT */
/*
 * live/net/socket.c - TCP's own knobs and figures.
 *
 * The kernel's linux/tcp.h, because the C library's struct tcp_info ends before what is read here.
 */
#include "live/net/socket.h"

#include "live/net/channel.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

/*
 * Unsent bytes that bulk may leave in the kernel: what is queued there can no longer be overtaken
 * by a newer content of the page or by the switch.
 */
#define BULK_UNSENT_BYTES (256 * 1024)
#define PULL_UNSENT_BYTES (8 * 1024) /* 0.2 ms at 400 Mbit/s */

/* Ethernet 14, IPv4 20 or IPv6 40, TCP 20 and its time stamps 12. */
#define HEADERS_IPV4 66
#define HEADERS_IPV6 86

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

void gw_socket_prepare(int fd, enum gw_channel channel)
{
	/* On bulk too: frames are whole writes, and the one that ends a round must not wait. */
	(void)set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (channel == GW_BULK)
		(void)set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, BULK_UNSENT_BYTES);
}

int gw_net_keep_queue_short(int fd, struct gw_error *error)
{
	int result = set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, PULL_UNSENT_BYTES);

	return result ? gw_fail(error, -result, "cannot shorten the bulk connection's queue") : 0;
}

int gw_net_watch(int fd, int timeout_ms, struct gw_error *error)
{
	int third_s = timeout_ms / 3000 > 0 ? timeout_ms / 3000 : 1;
	int result = set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);

	if (!result)
		result = set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, third_s);
	if (!result)
		result = set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, third_s);
	if (!result)
		result = set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 2);
	if (!result)
		result = set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, timeout_ms);
	if (result)
		return gw_fail(error, -result, "the connection cannot be watched: %s",
		               strerror(-result));
	return 0;
}

int gw_net_pace(int fd, uint64_t bytes_per_s, struct gw_error *error)
{
	uint64_t rate = bytes_per_s ? bytes_per_s : UINT64_MAX;

	if (setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate)))
		return gw_fail(error, errno, "the connection cannot be paced: %s", strerror(errno));
	return 0;
}

/* How much of it the kernel knows, in bytes; the rest is zero. */
static size_t read_info(int fd, struct tcp_info *info)
{
	socklen_t have = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &have) ? 0 : have;
}

struct gw_net_flow gw_net_look(int fd)
{
	struct tcp_info info;
	size_t have = read_info(fd, &info);

	return (struct gw_net_flow){
	        /* The kernel counts the SYN as a byte, on the side that connected. */
	        .acked_bytes = info.tcpi_bytes_acked ? info.tcpi_bytes_acked - 1 : 0,
	        .unread_ns = info.tcpi_rwnd_limited * 1000,
	        .empty = have > offsetof(struct tcp_info, tcpi_min_rtt) && !info.tcpi_notsent_bytes,
	};
}

uint64_t gw_net_rtt_ns(int fd)
{
	struct tcp_info info;

	(void)read_info(fd, &info);
	return (uint64_t)info.tcpi_rtt * 1000;
}

uint64_t gw_net_with_headers(int fd, uint64_t payload_bytes_per_s)
{
	struct tcp_info info;
	int family = AF_INET;
	socklen_t have = sizeof(family);
	uint64_t headers;

	(void)read_info(fd, &info);
	if (!info.tcpi_snd_mss)
		return payload_bytes_per_s;
	(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &have);
	headers = family == AF_INET6 ? HEADERS_IPV6 : HEADERS_IPV4;
	return payload_bytes_per_s + payload_bytes_per_s * headers / info.tcpi_snd_mss;
}
