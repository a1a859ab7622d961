/* SPDX-License-Identifier: MIT */
#include "live/net/device.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/pkt_sched.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/route.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "live/net/netlink.h"

#define LAYERS_MAX 8 /* of devices upon devices */

static struct nl_sock *open_nl(void)
{
	struct nl_sock *nl = nl_socket_alloc();

	if (!nl || !nl_connect(nl, NETLINK_ROUTE))
		return nl;
	nl_socket_free(nl);
	return NULL;
}

static int take_route(struct nl_msg *msg, void *to)
{
	struct rtnl_route *route = NULL;
	struct rtnl_nexthop *hop;

	if (nlmsg_hdr(msg)->nlmsg_type == RTM_NEWROUTE &&
	    rtnl_route_parse(nlmsg_hdr(msg), &route) == 0) {
		hop = rtnl_route_nexthop_n(route, 0);
		if (hop)
			*(int *)to = rtnl_route_nh_get_ifindex(hop);
		rtnl_route_put(route);
	}
	return NL_OK;
}

/* The address's bytes, IPv4 also where IPv6 carries it; their number, 0 if it is neither. */
static uint8_t raw_address(const struct sockaddr_storage *address, const void **bytes)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

	if (address->ss_family == AF_INET) {
		*bytes = &((const struct sockaddr_in *)address)->sin_addr;
		return 4;
	}
	if (address->ss_family != AF_INET6)
		return 0;
	if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		*bytes = v6->sin6_addr.s6_addr + 12;
		return 4;
	}
	*bytes = &v6->sin6_addr;
	return 16;
}

/* A link-local address is one on a device, which is part of it; 0: on any. */
static uint32_t scope_of(const struct sockaddr_storage *address)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

	return address->ss_family == AF_INET6 ? v6->sin6_scope_id : 0;
}

/* The device by which packets from `own` to `peer` leave; 0 if the kernel names none. */
static int ask_route(struct nl_sock *nl, const struct sockaddr_storage *own,
                     const struct sockaddr_storage *peer)
{
	_cleanup_msg_ struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
	const void *to = NULL, *from = NULL;
	uint8_t bytes = raw_address(peer, &to);
	struct rtmsg route = {.rtm_family = bytes == 4 ? AF_INET : AF_INET6,
	                      .rtm_dst_len = (uint8_t)(bytes * 8)};
	int ifindex = 0;

	if (!msg || !bytes || raw_address(own, &from) != bytes)
		return 0;
	route.rtm_src_len = route.rtm_dst_len;
	if (nlmsg_append(msg, &route, sizeof(route), NLMSG_ALIGNTO) ||
	    nla_put(msg, RTA_DST, bytes, to) || nla_put(msg, RTA_SRC, bytes, from))
		return 0;
	if (scope_of(peer) && nla_put_u32(msg, RTA_OIF, scope_of(peer)))
		return 0;
	nl_socket_modify_cb(nl, NL_CB_VALID, NL_CB_CUSTOM, take_route, &ifindex);
	/*
	 * One answer, a route or an error; an acknowledgement besides would be left unread. Libnl
	 * loses count of such a socket's messages, so it serves for nothing else.
	 */
	nl_socket_disable_auto_ack(nl);
	if (nl_send_auto(nl, msg) >= 0)
		(void)nl_recvmsgs_default(nl);
	return ifindex;
}

int gw_device_of(int socket, struct gw_error *error)
{
	struct sockaddr_storage own = {0}, peer = {0};
	socklen_t own_bytes = sizeof(own), peer_bytes = sizeof(peer);
	_cleanup_nl_ struct nl_sock *nl = open_nl();
	int ifindex;

	if (getsockname(socket, (struct sockaddr *)&own, &own_bytes) ||
	    getpeername(socket, (struct sockaddr *)&peer, &peer_bytes))
		return gw_fail(error, errno, "the connection is not open: %s", strerror(errno));
	ifindex = nl ? ask_route(nl, &own, &peer) : 0;
	return ifindex > 0 ? ifindex
	                   : gw_fail(error, ENODEV, "the device to the peer cannot be found");
}

bool gw_device_sent(int ifindex, uint64_t *bytes)
{
	_cleanup_link_ struct rtnl_link *link = NULL;
	_cleanup_nl_ struct nl_sock *nl = open_nl();

	if (!nl || rtnl_link_get_kernel(nl, ifindex, NULL, &link) || !link)
		return false;
	*bytes = rtnl_link_get_stat(link, RTNL_LINK_TX_BYTES);
	return true;
}

bool gw_device_is_bridge(int ifindex)
{
	_cleanup_link_ struct rtnl_link *link = NULL;
	_cleanup_nl_ struct nl_sock *nl = open_nl();
	const char *type;

	if (!nl || rtnl_link_get_kernel(nl, ifindex, NULL, &link) || !link)
		return false;
	type = rtnl_link_get_type(link);
	return type && (!strcmp(type, "bridge") || !strcmp(type, "openvswitch"));
}

int gw_device_master(int ifindex)
{
	_cleanup_link_ struct rtnl_link *link = NULL;
	_cleanup_nl_ struct nl_sock *nl = open_nl();

	if (!nl || rtnl_link_get_kernel(nl, ifindex, NULL, &link) || !link)
		return 0;
	return rtnl_link_get_master(link);
}

/* What the device `ifindex` hands its packets to, such as a VLAN's; 0: it sends them itself. */
static int lower_of(int ifindex)
{
	_cleanup_link_ struct rtnl_link *link = NULL;
	_cleanup_nl_ struct nl_sock *nl = open_nl();
	const char *type;

	if (!nl || rtnl_link_get_kernel(nl, ifindex, NULL, &link) || !link)
		return 0;
	type = rtnl_link_get_type(link);
	/* The other end of a veth pair is no part of the way out. */
	return type && strcmp(type, "veth") != 0 ? rtnl_link_get_link(link) : 0;
}

bool gw_device_leads_by(int from, int by)
{
	for (int depth = 0; from && depth < LAYERS_MAX; depth++, from = lower_of(from))
		if (from == by || gw_device_master(by) == from)
			return true;
	return false;
}

bool gw_device_has_ingress(int ifindex)
{
	_cleanup_nl_ struct nl_sock *nl = open_nl();
	struct nl_cache *qdiscs = NULL;
	struct rtnl_qdisc *ingress;

	if (!nl || rtnl_qdisc_alloc_cache(nl, &qdiscs))
		return false;
	ingress = rtnl_qdisc_get_by_parent(qdiscs, ifindex, TC_H_INGRESS);
	if (ingress)
		rtnl_qdisc_put(ingress);
	nl_cache_free(qdiscs);
	return ingress != NULL;
}

/* Not from /sys, which shows the network namespace of whoever mounted it. */
uint64_t gw_device_carries(int ifindex)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_cmd command = {.cmd = ETHTOOL_GSET};
	struct ifreq request = {.ifr_data = (char *)&command};
	uint32_t mbit;

	if (fd < 0 || !if_indextoname((unsigned)ifindex, request.ifr_name) ||
	    ioctl(fd, SIOCETHTOOL, &request))
		return 0;
	mbit = ethtool_cmd_speed(&command);
	return mbit == (uint32_t)SPEED_UNKNOWN ? 0 : (uint64_t)mbit * 125000;
}

uint64_t gw_device_speed(int socket)
{
	int ifindex = gw_device_of(socket, NULL);

	return ifindex < 0 ? 0 : gw_device_carries(ifindex);
}
