/* SPDX-License-Identifier: MIT */
/*
 * live/net/shaping.c - an HTB tree on the device that a migration leaves by.
 *
 *     474d:    root, recognised by its handle ("GM")
 *       474d:1     the rate
 *         474d:10    urgent           priority 0
 *         474d:30    everything else  priority 3
 *         474d:20    bulk             priority 7
 *
 * Theory of operation: every class may borrow up to the whole rate, and what is left over goes to
 * the lowest priority number that asks. But a class inside its own guaranteed rate is served
 * before any class that borrows, whatever their priorities; so bulk's guarantee is next to nothing
 * and that of urgent is more than urgent ever needs.
 *
 * While the tree is installed its owner holds an abstract socket named after the device: names are
 * per network namespace and vanish with the process, so a tree without a holder is a leftover of a
 * crash, and a tree with one is another migration's.
 */
#include "live/net/shaping.h"

#include "base/cleanup.h"
#include "live/net/device.h"

#include <errno.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/class.h>
#include <netlink/route/link.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/fifo.h>
#include <netlink/route/qdisc/htb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define ROOT_HANDLE 0x474d0000u

enum { MINOR_RATE = 0x1, MINOR_URGENT = 0x10, MINOR_BULK = 0x20, MINOR_OTHERS = 0x30 };

/* Bulk's own queue, in packets: TCP keeps little there, other senders' bursts may not either. */
#define BULK_QUEUE_PACKETS 64
/* A class may send so long ahead of its rate: below one scheduler tick the rate is not reached. */
#define BURST_US         1000
#define BURST_BYTES_MIN  4096
#define QUANTUM_BYTES    3028 /* two full Ethernet frames */
#define RATE_BYTES_S_MIN 1000
#define RATE_BYTES_S_MAX INT32_MAX /* the limit of libnl's arithmetic: 17 Gbit/s */

struct class_plan {
	uint32_t minor, parent_minor, priority;
	uint64_t share; /* of the rate that is guaranteed: 1 / share */
};

static const struct class_plan plans[] = {
        {MINOR_RATE, 0, 0, 1},
        {MINOR_URGENT, MINOR_RATE, 0, 4},
        {MINOR_OTHERS, MINOR_RATE, 3, 8},
        {MINOR_BULK, MINOR_RATE, 7, 100},
};

static void cleanup_nl(struct nl_sock **nl)
{
	if (*nl)
		nl_socket_free(*nl);
}

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

static void cleanup_class(struct rtnl_class **class)
{
	if (*class)
		rtnl_class_put(*class);
}

static void cleanup_link(struct rtnl_link **link)
{
	if (*link)
		rtnl_link_put(*link);
}

#define _cleanup_nl_    __attribute__((cleanup(cleanup_nl)))
#define _cleanup_cache_ __attribute__((cleanup(cleanup_cache)))
#define _cleanup_qdisc_ __attribute__((cleanup(cleanup_qdisc)))
#define _cleanup_class_ __attribute__((cleanup(cleanup_class)))
#define _cleanup_link_  __attribute__((cleanup(cleanup_link)))

static int fail_nl(struct gw_error *error, int result, const char *what)
{
	int err = EIO;

	if (result == -NLE_PERM)
		return gw_fail(
		        error, EPERM,
		        "no right to shape traffic: run as root (CAP_NET_ADMIN), or let bulk "
		        "be paced instead");
	if (result == -NLE_EXIST || result == -NLE_BUSY)
		err = EBUSY;
	else if (result == -NLE_NOMEM)
		err = ENOMEM;
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

/* The device's index, or -errno. */
static int find_device(struct nl_sock *nl, int socket, struct gw_error *error)
{
	_cleanup_link_ struct rtnl_link *link = NULL;
	int ifindex = gw_device_of(socket, error);

	if (ifindex < 0)
		return ifindex;
	if (rtnl_link_get_kernel(nl, ifindex, NULL, &link) || !link)
		return gw_fail(error, ENODEV, "the device to the peer cannot be found");
	if (rtnl_link_get_flags(link) & IFF_LOOPBACK)
		return gw_fail(error, ENODEV, "loopback is not shaped");
	return ifindex;
}

/* What is there now. */

/* The device's root qdisc; NULL if it has none. The caller puts it. */
static struct rtnl_qdisc *find_root(struct nl_cache *qdiscs, int ifindex)
{
	return rtnl_qdisc_get_by_parent(qdiscs, ifindex, TC_H_ROOT);
}

static bool is_ours(struct rtnl_qdisc *root)
{
	const char *kind = rtnl_tc_get_kind(TC_CAST(root));

	return rtnl_tc_get_handle(TC_CAST(root)) == ROOT_HANDLE && kind && !strcmp(kind, "htb");
}

/* Removes the device's root if it is a leftover; -EBUSY if it is an operator's. */
static int clear_device(struct nl_sock *nl, int ifindex, struct gw_error *error)
{
	_cleanup_cache_ struct nl_cache *qdiscs = NULL;
	_cleanup_qdisc_ struct rtnl_qdisc *root = NULL;
	char name[IF_NAMESIZE] = "?";
	int result = rtnl_qdisc_alloc_cache(nl, &qdiscs);

	if (result)
		return fail_nl(error, result, "list of qdiscs");
	root = find_root(qdiscs, ifindex);
	/* The kernel's own default has no handle. */
	if (!root || !rtnl_tc_get_handle(TC_CAST(root)))
		return 0;
	if (is_ours(root)) {
		result = rtnl_qdisc_delete(nl, root);
		return result ? fail_nl(error, result, "leftover of an earlier run") : 0;
	}
	(void)if_indextoname((unsigned int)ifindex, name);
	return gw_fail(error, EBUSY,
	               "the device %s has a traffic control of its own (%s), which is left alone; "
	               "bulk is paced instead",
	               name, rtnl_tc_get_kind(TC_CAST(root)));
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
	               err == EBUSY ? "another migration shapes this device; bulk is paced instead"
	                            : "the device cannot be held for shaping");
}

/* Building the tree. */

static uint32_t burst_bytes(uint64_t rate_bytes_per_s)
{
	uint64_t bytes = rate_bytes_per_s * BURST_US / 1000000;

	return (uint32_t)(bytes > BURST_BYTES_MIN ? bytes : BURST_BYTES_MIN);
}

/* `flags`: NLM_F_CREATE | NLM_F_EXCL for a new class, 0 to change one. */
static int put_class(struct nl_sock *nl, struct rtnl_link *link, const struct class_plan *plan,
                     uint64_t rate_bytes_per_s, int flags)
{
	_cleanup_class_ struct rtnl_class *class = rtnl_class_alloc();
	uint64_t own = rate_bytes_per_s / plan->share;
	int result;

	if (!class)
		return -NLE_NOMEM;
	if (own < RATE_BYTES_S_MIN)
		own = RATE_BYTES_S_MIN;
	rtnl_tc_set_link(TC_CAST(class), link);
	rtnl_tc_set_parent(TC_CAST(class),
	                   plan->parent_minor ? ROOT_HANDLE | plan->parent_minor : ROOT_HANDLE);
	rtnl_tc_set_handle(TC_CAST(class), ROOT_HANDLE | plan->minor);
	result = rtnl_tc_set_kind(TC_CAST(class), "htb");
	if (result)
		return result;
	(void)rtnl_htb_set_rate64(class, own);
	(void)rtnl_htb_set_ceil64(class, rate_bytes_per_s);
	(void)rtnl_htb_set_prio(class, plan->priority);
	(void)rtnl_htb_set_quantum(class, QUANTUM_BYTES);
	(void)rtnl_htb_set_rbuffer(class, burst_bytes(own));
	(void)rtnl_htb_set_cbuffer(class, burst_bytes(rate_bytes_per_s));
	return rtnl_class_add(nl, class, flags);
}

static int put_classes(struct nl_sock *nl, int ifindex, uint64_t rate_bytes_per_s, int flags)
{
	_cleanup_link_ struct rtnl_link *link = NULL;
	int result = rtnl_link_get_kernel(nl, ifindex, NULL, &link);

	if (!result && !link)
		result = -NLE_OBJ_NOTFOUND;
	for (size_t i = 0; !result && i < sizeof(plans) / sizeof(plans[0]); i++)
		result = put_class(nl, link, &plans[i], rate_bytes_per_s, flags);
	return result;
}

static int put_root(struct nl_sock *nl, int ifindex)
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
		result = rtnl_htb_set_defcls(root, MINOR_OTHERS);
	return result ? result : rtnl_qdisc_add(nl, root, NLM_F_CREATE | NLM_F_EXCL);
}

static int put_bulk_queue(struct nl_sock *nl, int ifindex)
{
	_cleanup_qdisc_ struct rtnl_qdisc *queue = rtnl_qdisc_alloc();
	int result;

	if (!queue)
		return -NLE_NOMEM;
	rtnl_tc_set_ifindex(TC_CAST(queue), ifindex);
	rtnl_tc_set_parent(TC_CAST(queue), ROOT_HANDLE | MINOR_BULK);
	result = rtnl_tc_set_kind(TC_CAST(queue), "pfifo");
	if (!result)
		result = rtnl_qdisc_fifo_set_limit(queue, BULK_QUEUE_PACKETS);
	return result ? result : rtnl_qdisc_add(nl, queue, NLM_F_CREATE | NLM_F_EXCL);
}

static void remove_root(struct nl_sock *nl, int ifindex)
{
	_cleanup_cache_ struct nl_cache *qdiscs = NULL;
	_cleanup_qdisc_ struct rtnl_qdisc *root = NULL;

	if (rtnl_qdisc_alloc_cache(nl, &qdiscs))
		return;
	root = find_root(qdiscs, ifindex);
	if (root && is_ours(root))
		(void)rtnl_qdisc_delete(nl, root);
}

static int check_rate(uint64_t rate_bytes_per_s, struct gw_error *error)
{
	if (rate_bytes_per_s < RATE_BYTES_S_MIN || rate_bytes_per_s > RATE_BYTES_S_MAX)
		return gw_fail(error, ERANGE,
		               "a link of %llu bytes/s is not shaped: the rate must be between "
		               "8 kbit/s and 17 Gbit/s",
		               (unsigned long long)rate_bytes_per_s);
	return 0;
}

int gw_shaping_install(struct gw_shaping *shaping, int socket, uint64_t rate_bytes_per_s,
                       struct gw_error *error)
{
	_cleanup_nl_ struct nl_sock *nl = NULL;
	_cleanup_close_ int hold = -1;
	int ifindex, result;

	*shaping = (struct gw_shaping){.hold = -1};
	result = check_rate(rate_bytes_per_s, error);
	if (!result)
		result = open_nl(&nl, error);
	if (result)
		return result;
	ifindex = find_device(nl, socket, error);
	if (ifindex < 0)
		return ifindex;
	hold = hold_device(ifindex, error);
	if (hold < 0)
		return hold;
	result = clear_device(nl, ifindex, error);
	if (result)
		return result;
	result = put_root(nl, ifindex);
	if (result)
		return fail_nl(error, result, "HTB");
	result = put_classes(nl, ifindex, rate_bytes_per_s, NLM_F_CREATE | NLM_F_EXCL);
	if (!result)
		result = put_bulk_queue(nl, ifindex);
	if (result) {
		remove_root(nl, ifindex);
		return fail_nl(error, result, "HTB's classes");
	}
	*shaping = (struct gw_shaping){ifindex, hold, rate_bytes_per_s};
	hold = -1;
	return 0;
}

int gw_shaping_set_rate(struct gw_shaping *shaping, uint64_t rate_bytes_per_s,
                        struct gw_error *error)
{
	_cleanup_nl_ struct nl_sock *nl = NULL;
	int result = check_rate(rate_bytes_per_s, error);

	if (!shaping->ifindex)
		return gw_fail(error, EINVAL, "no shaping is installed");
	if (!result)
		result = open_nl(&nl, error);
	if (result)
		return result;
	result = put_classes(nl, shaping->ifindex, rate_bytes_per_s, 0);
	if (result)
		return fail_nl(error, result, "the new rate");
	shaping->rate_bytes_per_s = rate_bytes_per_s;
	return 0;
}

static int mark(const struct gw_shaping *shaping, int socket, uint32_t minor,
                struct gw_error *error)
{
	uint32_t priority = ROOT_HANDLE | minor;

	if (!shaping->ifindex)
		return gw_fail(error, EINVAL, "no shaping is installed");
	if (setsockopt(socket, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)))
		return gw_fail(error, errno, "the connection cannot be put into a class: %s",
		               strerror(errno));
	return 0;
}

int gw_shaping_mark_urgent(const struct gw_shaping *shaping, int socket, struct gw_error *error)
{
	return mark(shaping, socket, MINOR_URGENT, error);
}

int gw_shaping_mark_bulk(const struct gw_shaping *shaping, int socket, struct gw_error *error)
{
	return mark(shaping, socket, MINOR_BULK, error);
}

void gw_shaping_remove(struct gw_shaping *shaping)
{
	_cleanup_nl_ struct nl_sock *nl = NULL;

	if (!shaping->ifindex)
		return;
	if (open_nl(&nl, NULL) == 0)
		remove_root(nl, shaping->ifindex);
	close(shaping->hold);
	*shaping = (struct gw_shaping){.hold = -1};
}
