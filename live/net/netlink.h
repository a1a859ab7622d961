/* SPDX-License-Identifier: MIT */
/* live/net/netlink.h - what libnl gave is given back at the end of the block. */
#ifndef GW_LIVE_NET_NETLINK_H
#define GW_LIVE_NET_NETLINK_H

#include <netlink/netlink.h>
#include <netlink/route/link.h>

static inline void gw_cleanup_nl(struct nl_sock **nl)
{
	if (*nl)
		nl_socket_free(*nl);
}

static inline void gw_cleanup_msg(struct nl_msg **msg)
{
	if (*msg)
		nlmsg_free(*msg);
}

static inline void gw_cleanup_link(struct rtnl_link **link)
{
	if (*link)
		rtnl_link_put(*link);
}

#define _cleanup_nl_   __attribute__((cleanup(gw_cleanup_nl)))
#define _cleanup_msg_  __attribute__((cleanup(gw_cleanup_msg)))
#define _cleanup_link_ __attribute__((cleanup(gw_cleanup_link)))

#endif
