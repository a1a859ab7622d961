/* SPDX-License-Identifier: MIT */
/*
 * While a tree is installed its owner holds an abstract socket named after the device: names are
 * per network namespace and vanish with the process, so a tree without a holder is a leftover of a
 * crash, and a tree with one is another migration's.
 */
#include "live/net/htb.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/fifo.h>
#include <netlink/route/qdisc/htb.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "live/net/netlink.h"
#include "live/net/origin.h"

#define ROOT_HANDLE 0x474d0000u /* "GM" */

/* A class may send so long ahead of its rate: below one scheduler tick the rate is not reached. */
#define BURST_US         1000
#define BURST_BYTES_MIN  4096
#define QUANTUM_BYTES    3028 /* two full Ethernet frames */
#define RATE_BYTES_S_MIN 1000

static void cleanup_cache(struct nl_cache **cache)
{
	if (*cache)
		nl_cache_free(*cache);
}

static void cleanup_qdisc(struct rtnl_qdisc **qdisc)
{
	if (*qdisc)
		rtnl_qdisc_put(*qdisc);
}

#define _cleanup_cache_ __attribute__((cleanup(cleanup_cache)))
#define _cleanup_qdisc_ __attribute__((cleanup(cleanup_qdisc)))

static int fail_nl(struct gw_error *error, int result, const char *what)
{
	int err = EIO;

	if (result == -NLE_PERM)
		return gw_fail(error, EPERM,
		               "no right to shape traffic: run as root (CAP_NET_ADMIN)");
	if (result == -NLE_EXIST || result == -NLE_BUSY)
		err = EBUSY;
	else if (result == -NLE_NOMEM)
		err = ENOMEM;
	else if (result == -NLE_NODEV)
		err = ENODEV;
	else if (result == -NLE_OBJ_NOTFOUND || result == -NLE_OPNOTSUPP)
		err = EOPNOTSUPP;
	return gw_fail(error, err, "cannot shape traffic: %s: %s", what, nl_geterror(result));
}

static int open_nl(struct nl_sock **nl, struct gw_error *error)
{
	int result;

	*nl = nl_socket_alloc();
	if (!*nl)
		return gw_fail(error, ENOMEM, "there is no memory for a netlink socket");
	result = nl_connect(*nl, NETLINK_ROUTE);
	return result ? fail_nl(error, result, "netlink") : 0;
}

/* nl_send_sync frees the message, also where it fails. */
static int send_and_wait(struct nl_sock *nl, struct nl_msg **msg)
{
	struct nl_msg *sent = *msg;

	*msg = NULL;
	return nl_send_sync(nl, sent);
}

static int check_device(struct nl_sock *nl, int ifindex, struct gw_error *error)
{
	_cleanup_link_ struct rtnl_link *link = NULL;

	if (rtnl_link_get_kernel(nl, ifindex, NULL, &link) || !link)
		return gw_fail(error, ENODEV, "the device to the peer cannot be found");
	if (rtnl_link_get_flags(link) & IFF_LOOPBACK)
		return gw_fail(error, ENODEV, "loopback is not shaped");
	return 0;
}

/* What is there now. */

static bool is_ours(struct rtnl_qdisc *root)
{
	const char *kind = rtnl_tc_get_kind(TC_CAST(root));

	return rtnl_tc_get_parent(TC_CAST(root)) == TC_H_ROOT &&
	       rtnl_tc_get_handle(TC_CAST(root)) == ROOT_HANDLE && kind && !strcmp(kind, "htb");
}

/* 0 where the root is the kernel's own default, which has no handle; else -EBUSY. */
static int check_root(struct nl_sock *nl, int ifindex, struct gw_error *error)
{
	_cleanup_cache_ struct nl_cache *qdiscs = NULL;
	_cleanup_qdisc_ struct rtnl_qdisc *root = NULL;
	char name[IF_NAMESIZE] = "?";
	int result = rtnl_qdisc_alloc_cache(nl, &qdiscs);

	if (result)
		return fail_nl(error, result, "list of qdiscs");
	root = rtnl_qdisc_get_by_parent(qdiscs, ifindex, TC_H_ROOT);
	if (!root || !rtnl_tc_get_handle(TC_CAST(root)))
		return 0;
	(void)if_indextoname((unsigned int)ifindex, name);
	return gw_fail(error, EBUSY,
	               "the device %s has a traffic control of its own (%s), which is left alone",
	               name, rtnl_tc_get_kind(TC_CAST(root)));
}

/* The kernel compares kind and handle: whatever is there by now, nothing else is removed. */
static void remove_root(struct nl_sock *nl, int ifindex)
{
	_cleanup_qdisc_ struct rtnl_qdisc *root = rtnl_qdisc_alloc();

	if (!root)
		return;
	rtnl_tc_set_ifindex(TC_CAST(root), ifindex);
	rtnl_tc_set_parent(TC_CAST(root), TC_H_ROOT);
	rtnl_tc_set_handle(TC_CAST(root), ROOT_HANDLE);
	if (!rtnl_tc_set_kind(TC_CAST(root), "htb"))
		(void)rtnl_qdisc_delete(nl, root);
}

/* Holding the device against other migrations. */

static int hold_device(int ifindex, struct gw_error *error)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int bytes = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "godwit-shaping-%d",
	                     ifindex);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return gw_fail(error, errno, "cannot hold the device: %s", strerror(errno));
	if (bind(fd, (struct sockaddr *)&name,
	         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)bytes)) == 0)
		return fd;
	err = errno == EADDRINUSE ? EBUSY : errno;
	close(fd);
	return gw_fail(error, err,
	               err == EBUSY ? "another migration shapes this device"
	                            : "the device cannot be held for shaping");
}

/* Building the tree. */

static uint64_t within_range(uint64_t rate)
{
	if (rate < RATE_BYTES_S_MIN)
		return RATE_BYTES_S_MIN;
	return rate < GW_HTB_RATE_MAX ? rate : GW_HTB_RATE_MAX;
}

/* The kernel takes a burst as the time that it takes at the rate. */
static uint32_t burst_ticks(uint64_t rate)
{
	uint64_t us = UINT64_C(1000000) * BURST_BYTES_MIN / rate;

	return nl_us2ticks(us > BURST_US ? (uint32_t)us : BURST_US);
}

/* With the link layer named the kernel wants no table of rates; the rate itself follows as 64 bit.
 */
static struct tc_ratespec rate_spec(uint64_t rate)
{
	return (struct tc_ratespec){.linklayer = TC_LINKLAYER_ETHERNET,
	                            .rate = rate < UINT32_MAX ? (uint32_t)rate : UINT32_MAX};
}

static int put_options(struct nl_msg *msg, const struct gw_htb_class *c)
{
	uint64_t rate = within_range(c->rate_bytes_per_s);
	uint64_t ceiling = within_range(c->ceiling_bytes_per_s);
	const struct tc_htb_opt options = {
	        .rate = rate_spec(rate),
	        .ceil = rate_spec(ceiling),
	        .buffer = burst_ticks(rate),
	        .cbuffer = burst_ticks(ceiling),
	        .quantum = QUANTUM_BYTES,
	        .prio = c->priority,
	};
	struct nlattr *nest = nla_nest_start(msg, TCA_OPTIONS);

	if (!nest || nla_put(msg, TCA_HTB_PARMS, sizeof(options), &options) ||
	    nla_put_u64(msg, TCA_HTB_RATE64, rate) || nla_put_u64(msg, TCA_HTB_CEIL64, ceiling))
		return -NLE_NOMEM;
	nla_nest_end(msg, nest);
	return 0;
}

/* Libnl reckons bursts in 32 bits, which end at 17 Gbit/s; so the message is written here. */
static int put_class(struct nl_sock *nl, int ifindex, const struct gw_htb_class *c, bool add)
{
	_cleanup_msg_ struct nl_msg *msg =
	        nlmsg_alloc_simple(RTM_NEWTCLASS, add ? NLM_F_CREATE | NLM_F_EXCL : 0);
	struct tcmsg class = {.tcm_ifindex = ifindex,
	                      .tcm_parent = ROOT_HANDLE | c->parent,
	                      .tcm_handle = ROOT_HANDLE | c->minor};

	if (!msg || nlmsg_append(msg, &class, sizeof(class), NLMSG_ALIGNTO) ||
	    nla_put_string(msg, TCA_KIND, "htb") || put_options(msg, c))
		return -NLE_NOMEM;
	return send_and_wait(nl, &msg);
}

static int put_queue(struct nl_sock *nl, int ifindex, const struct gw_htb_class *c)
{
	_cleanup_qdisc_ struct rtnl_qdisc *queue = rtnl_qdisc_alloc();
	int result;

	if (!queue)
		return -NLE_NOMEM;
	rtnl_tc_set_ifindex(TC_CAST(queue), ifindex);
	rtnl_tc_set_parent(TC_CAST(queue), ROOT_HANDLE | c->minor);
	result = rtnl_tc_set_kind(TC_CAST(queue), "pfifo");
	if (!result)
		result = rtnl_qdisc_fifo_set_limit(queue, (int)c->queue_packets);
	return result ? result : rtnl_qdisc_add(nl, queue, NLM_F_CREATE | NLM_F_EXCL);
}

static int put_root(struct nl_sock *nl, int ifindex, uint32_t default_minor)
{
	_cleanup_qdisc_ struct rtnl_qdisc *root = rtnl_qdisc_alloc();
	int result;

	if (!root)
		return -NLE_NOMEM;
	rtnl_tc_set_ifindex(TC_CAST(root), ifindex);
	rtnl_tc_set_parent(TC_CAST(root), TC_H_ROOT);
	rtnl_tc_set_handle(TC_CAST(root), ROOT_HANDLE);
	result = rtnl_tc_set_kind(TC_CAST(root), "htb");
	if (!result)
		result = rtnl_htb_set_defcls(root, default_minor);
	return result ? result : rtnl_qdisc_add(nl, root, NLM_F_CREATE | NLM_F_EXCL);
}

/* A filter at the root, of which only the options are still to come. NULL: no memory. */
static struct nl_msg *begin_filter(int ifindex, const char *kind, struct nlattr **options)
{
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL);
	struct tcmsg filter = {.tcm_ifindex = ifindex,
	                       .tcm_parent = ROOT_HANDLE,
	                       .tcm_info = TC_H_MAKE(0, htons(ETH_P_ALL))};

	if (!msg || nlmsg_append(msg, &filter, sizeof(filter), NLMSG_ALIGNTO) ||
	    nla_put_string(msg, TCA_KIND, kind) || !(*options = nla_nest_start(msg, TCA_OPTIONS))) {
		gw_cleanup_msg(&msg);
		return NULL;
	}
	return msg;
}

/* A u32 filter that looks at nothing but where a packet came in: libnl has no name for that. */
static int put_filter(struct nl_sock *nl, int ifindex, const char *from, uint32_t minor)
{
	struct nlattr *options = NULL;
	_cleanup_msg_ struct nl_msg *msg = begin_filter(ifindex, "u32", &options);
	/* One key that any packet has: no bits of it are looked at. */
	_Alignas(struct tc_u32_sel)
	        uint8_t any[sizeof(struct tc_u32_sel) + sizeof(struct tc_u32_key)] = {0};
	struct tc_u32_sel *sel = (struct tc_u32_sel *)any;

	sel->flags = TC_U32_TERMINAL;
	sel->nkeys = 1;
	if (!msg || nla_put_u32(msg, TCA_U32_CLASSID, ROOT_HANDLE | minor) ||
	    nla_put(msg, TCA_U32_SEL, sizeof(any), any) || nla_put_string(msg, TCA_U32_INDEV, from))
		return -NLE_NOMEM;
	nla_nest_end(msg, options);
	return send_and_wait(nl, &msg);
}

static int put_program(struct nl_sock *nl, int ifindex, int program)
{
	struct nlattr *options = NULL;
	_cleanup_msg_ struct nl_msg *msg = begin_filter(ifindex, "bpf", &options);

	if (!msg || nla_put_u32(msg, TCA_BPF_FD, (uint32_t)program) ||
	    nla_put_string(msg, TCA_BPF_NAME, "godwit_origin"))
		return -NLE_NOMEM;
	nla_nest_end(msg, options);
	return send_and_wait(nl, &msg);
}

/* A root of ours that nobody holds. */
static void remove_leftover(struct nl_object *object, void *arg)
{
	struct rtnl_qdisc *qdisc = (struct rtnl_qdisc *)object;
	_cleanup_close_ int hold = -1;
	int ifindex = rtnl_tc_get_ifindex(TC_CAST(qdisc));

	if (!is_ours(qdisc))
		return;
	hold = hold_device(ifindex, NULL);
	if (hold >= 0)
		remove_root(arg, ifindex);
}

void gw_htb_sweep(void)
{
	_cleanup_nl_ struct nl_sock *nl = NULL;
	_cleanup_cache_ struct nl_cache *qdiscs = NULL;

	if (!open_nl(&nl, NULL) && !rtnl_qdisc_alloc_cache(nl, &qdiscs))
		nl_cache_foreach(qdiscs, remove_leftover, nl);
}

int gw_htb_check_rate(uint64_t bytes_per_s, struct gw_error *error)
{
	if (bytes_per_s < RATE_BYTES_S_MIN || bytes_per_s > GW_HTB_RATE_MAX)
		return gw_fail(error, ERANGE,
		               "a link of %llu bytes/s is not shaped: the rate must be between "
		               "8 kbit/s and 8 Tbit/s",
		               (unsigned long long)bytes_per_s);
	return 0;
}

int gw_htb_install(struct gw_htb *htb, int ifindex, uint32_t default_minor, struct gw_error *error)
{
	_cleanup_nl_ struct nl_sock *nl = NULL;
	_cleanup_close_ int hold = -1;
	int result;

	*htb = (struct gw_htb){.hold = -1};
	result = open_nl(&nl, error);
	if (!result)
		result = check_device(nl, ifindex, error);
	if (result)
		return result;
	gw_htb_sweep();
	hold = hold_device(ifindex, error);
	if (hold < 0)
		return hold;
	result = check_root(nl, ifindex, error);
	if (result)
		return result;
	result = put_root(nl, ifindex, default_minor);
	if (result)
		return fail_nl(error, result, "HTB");
	*htb = (struct gw_htb){ifindex, hold};
	hold = -1;
	return 0;
}

int gw_htb_put(const struct gw_htb *htb, const struct gw_htb_class *classes, size_t count, bool add,
               struct gw_error *error)
{
	_cleanup_nl_ struct nl_sock *nl = NULL;
	int result = open_nl(&nl, error);

	if (result)
		return result;
	for (size_t i = 0; !result && i < count; i++) {
		result = put_class(nl, htb->ifindex, &classes[i], add);
		if (!result && add && classes[i].queue_packets)
			result = put_queue(nl, htb->ifindex, &classes[i]);
	}
	return result ? fail_nl(error, result, "HTB's classes") : 0;
}

int gw_htb_match(const struct gw_htb *htb, const char *from, uint32_t minor, struct gw_error *error)
{
	_cleanup_nl_ struct nl_sock *nl = NULL;
	int result;

	if (!if_nametoindex(from))
		return gw_fail(error, ENODEV, "there is no device %s on this host", from);
	result = open_nl(&nl, error);
	if (result)
		return result;
	result = put_filter(nl, htb->ifindex, from, minor);
	return result ? fail_nl(error, result, "a filter for what comes from a VM") : 0;
}

int gw_htb_follow(const struct gw_htb *htb, struct gw_error *error)
{
	_cleanup_nl_ struct nl_sock *nl = NULL;
	_cleanup_close_ int program = gw_origin_read(ROOT_HANDLE, error);
	int result = program < 0 ? program : open_nl(&nl, error);

	if (result)
		return result;
	result = put_program(nl, htb->ifindex, program);
	return result ? fail_nl(error, result, "a filter for what came in by a tap") : 0;
}

int gw_htb_mark(int socket, uint32_t minor, struct gw_error *error)
{
	uint32_t priority = ROOT_HANDLE | minor;

	if (setsockopt(socket, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)))
		return gw_fail(error, errno, "the connection cannot be put into a class: %s",
		               strerror(errno));
	return 0;
}

void gw_htb_remove(struct gw_htb *htb)
{
	_cleanup_nl_ struct nl_sock *nl = NULL;

	if (!htb->ifindex)
		return;
	if (open_nl(&nl, NULL) == 0)
		remove_root(nl, htb->ifindex);
	close(htb->hold);
	*htb = (struct gw_htb){.hold = -1};
}
