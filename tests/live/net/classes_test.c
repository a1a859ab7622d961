/* SPDX-License-Identifier: MIT */
/*
 * Traffic control on a real device that migrations and a VM share: g0 is a port of the bridge br0,
 * and so is v0, by which a third namespace is reached as a guest is by its tap.
 */
#include "world.h"

#include "live/net/classes.h"

#include <linux/bpf.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netlink/route/class.h>
#include <netlink/route/qdisc/htb.h>
#include <sys/syscall.h>

#include "live/net/netlink.h"

#define LINK      8000000u
#define FLOWS     4          /* of each */
#define WARM_UP   (2u << 20) /* the start's bursts are over and queues stand */
#define MEASURED  (10u << 20)
#define VM_SLOT   1u /* its migration is the second one */
#define MIGRATION "474d:100"

/* Each a namespace behind a veth of the bridge's: v1 behind v0, and so on. */
struct guest {
	pid_t helper;
	int ns;
	const char *tap;
};

static struct guest guest, routed[2];

static void add_guest(struct guest *to, const char *bridge, const char *tap, const char *own)
{
	char text[600];

	to->tap = tap;
	to->helper = start_helper();
	assert_true(to->helper > 0);
	(void)snprintf(text, sizeof(text), "/proc/%d/ns/net", to->helper);
	to->ns = open(text, O_RDONLY | O_CLOEXEC);
	assert_true(to->ns >= 0);
	(void)snprintf(text, sizeof(text),
	               "ip link add %s type veth peer name eth0 netns %d &&"
	               "ip link set %s master %s && ip link set %s up &&"
	               "nsenter -n -t %d ip addr add %s dev eth0 &&"
	               "nsenter -n -t %d ip link set eth0 up",
	               tap, to->helper, tap, bridge, tap, to->helper, own, to->helper);
	shell(text);
}

static void remove_guest(struct guest *from)
{
	char text[40];

	(void)snprintf(text, sizeof(text), "ip link del %s", from->tap);
	shell(text);
	kill(from->helper, SIGKILL);
	waitpid(from->helper, NULL, 0);
	close(from->ns);
}

static int build_bridge(void **state)
{
	if (build_world(state))
		return -1;
	shell("ip addr del " NEAR "/24 dev g0 && ip link add br0 type bridge &&"
	      "ip link set g0 master br0 && ip addr add " NEAR "/24 dev br0 &&"
	      "ip link set br0 up");
	add_guest(&guest, "br0", "v0", "10.77.0.3/24");
	return 0;
}

static int destroy_bridge(void **state)
{
	remove_guest(&guest);
	return destroy_world(state);
}

/* Of the test that runs: taken away however it ends. */
static struct gw_classes classes;

static int remove_tree(void **state)
{
	(void)state;
	gw_classes_remove(&classes);
	return 0;
}

static int device(void)
{
	return (int)if_nametoindex("g0");
}

static void install(void)
{
	struct gw_error error;

	if (gw_classes_install(&classes, device(), LINK, 2, &error))
		fail_msg("%s", error.text);
}

static void divide(const struct gw_class_share *shares)
{
	struct gw_error error;

	if (gw_classes_divide(&classes, shares, &error))
		fail_msg("%s", error.text);
}

/* --- traffic --------------------------------------------------------------------------------- */

struct source {
	int ends[FLOWS][2];
	size_t bytes; /* that arrived */
};

static void open_source(struct source *source, int ns)
{
	source->bytes = 0;
	for (int i = 0; i < FLOWS; i++)
		open_flow_from(ns, source->ends[i]);
}

/* All of it bulk, but for so many urgent flows. */
static void mark(const struct source *source, size_t slot, int urgent)
{
	uint32_t class = gw_classes_of(slot);
	struct gw_error error;

	for (int i = 0; i < FLOWS; i++) {
		int socket = source->ends[i][0];

		assert_int_equal(i < urgent ? gw_classes_mark_urgent(class, socket, &error)
		                            : gw_classes_mark_bulk(class, socket, &error),
		                 0);
	}
}

static void close_source(struct source *source)
{
	for (int i = 0; i < FLOWS; i++)
		close_flow(source->ends[i]);
}

/* Everybody sends what he can, until so many bytes have arrived from all of them. */
static void send_all(struct source **sources, size_t count, size_t bytes)
{
	size_t seen = 0, got;

	for (size_t s = 0; s < count; s++)
		sources[s]->bytes = 0;
	while (seen < bytes) {
		struct pollfd items[4 * FLOWS];

		for (size_t i = 0; i < count * FLOWS; i++) {
			fill(sources[i / FLOWS]->ends[i % FLOWS][0]);
			items[i] = (struct pollfd){.fd = sources[i / FLOWS]->ends[i % FLOWS][1],
			                           .events = POLLIN};
		}
		assert_true(poll(items, count * FLOWS, PATIENCE_MS) > 0);
		for (size_t i = 0; i < count * FLOWS; i++) {
			got = drain(items[i].fd);
			sources[i / FLOWS]->bytes += got;
			seen += got;
		}
	}
}

/* Each source's part of what arrived, in percent. */
static void measure(struct source **sources, size_t count, unsigned *percent)
{
	size_t sum = 0;

	send_all(sources, count, WARM_UP);
	send_all(sources, count, MEASURED);
	for (size_t i = 0; i < count; i++)
		sum += sources[i]->bytes;
	for (size_t i = 0; i < count; i++) {
		percent[i] = (unsigned)(sources[i]->bytes * 100 / sum);
		printf("%s%u %%", i ? ", " : "", percent[i]);
	}
	printf("\n");
}

static void test_a_vm_keeps_its_reservation(void **state)
{
	const struct gw_class_share shares[] = {{LINK / 4, LINK, 0}, {LINK / 8, LINK, LINK / 2}};
	struct source first, second, vm, others;
	struct source *all[] = {&vm, &first, &second, &others};
	struct gw_error error;
	unsigned percent[4];

	(void)state;
	install();
	assert_int_equal(gw_classes_match(&classes, VM_SLOT, "v0", &error), 0);
	divide(shares);
	open_source(&first, world.near_ns);
	open_source(&second, world.near_ns);
	open_source(&others, world.near_ns);
	open_source(&vm, guest.ns);
	for (size_t i = 0; i < 2; i++)
		mark(i ? &second : &first, i, 0);
	printf("VM, first, second migration, others: ");
	measure(all, 4, percent);
	assert_in_range(percent[0], 44, 60); /* 50 */
	assert_in_range(percent[1], 20, 31); /* 25 */
	assert_in_range(percent[2], 8, 18);  /* 12.5 */
	assert_in_range(percent[3], 8, 18);
	gw_classes_remove(&classes);
	for (size_t i = 0; i < 4; i++)
		close_source(all[i]);
}

/* Guarantees are more than the link: those of the moves are lowered. */
static void test_reservations_come_first(void **state)
{
	const struct gw_class_share shares[] = {{LINK, LINK, 0}, {LINK / 2, LINK, LINK / 2}};
	struct gw_error error;
	long long moves;

	(void)state;
	install();
	assert_int_equal(gw_classes_match(&classes, VM_SLOT, "v0", &error), 0);
	divide(shares);
	moves = class_field(MIGRATION, "rate") + class_field("474d:104", "rate");
	assert_true(class_field("474d:107", "rate") == LINK / 2);
	assert_true(moves > LINK / 10 * 4 && moves < LINK / 2);
}

static void test_ceilings_hold(void **state)
{
	const struct gw_class_share shares[] = {{LINK / 16, LINK / 8, 0}, {LINK / 16, LINK, 0}};
	const struct gw_class_share turned[] = {{LINK / 16, LINK, 0}, {LINK / 16, LINK / 8, 0}};
	struct source first, second, *all[] = {&first, &second};
	unsigned percent[2];

	(void)state;
	install();
	divide(shares);
	open_source(&first, world.near_ns);
	open_source(&second, world.near_ns);
	mark(&first, 0, 0);
	mark(&second, 1, 0);
	measure(all, 2, percent);
	assert_in_range(percent[0], 6, 20); /* 12.5 */
	divide(turned);
	measure(all, 2, percent);
	assert_in_range(percent[1], 6, 20);
	gw_classes_remove(&classes);
	close_source(&first);
	close_source(&second);
}

static void test_urgent_before_bulk(void **state)
{
	const struct gw_class_share shares[] = {{LINK / 2, LINK / 2, 0}, {0, 0, 0}};
	struct source source, *all[] = {&source};
	long long urgent, bulk;

	(void)state;
	install();
	divide(shares);
	open_source(&source, world.near_ns);
	mark(&source, 0, 1);
	send_all(all, 1, MEASURED);
	urgent = class_field("474d:101", "Sent");
	bulk = class_field("474d:102", "Sent");
	printf("urgent %lld, bulk %lld bytes\n", urgent, bulk);
	assert_true(bulk > 0);
	assert_true(urgent > 4 * bulk);
	gw_classes_remove(&classes);
	close_source(&source);
}

/* --- the tree -------------------------------------------------------------------------------- */

static void test_installed_and_removed(void **state)
{
	const struct gw_class_share shares[] = {{1000000, 2000000, 0}, {0, 0, 500000}};
	const struct gw_class_share too_much[] = {{LINK, LINK, 0}, {0, 0, LINK}};
	char *before = output_of("tc qdisc show"), *after;
	struct gw_error error;

	(void)state;
	install();
	assert_true(class_field("474d:1", "rate") == LINK);
	assert_true(class_field("474d:2", "rate") == LINK);
	assert_true(class_field(MIGRATION, "rate") == -1);
	divide(shares);
	assert_true(class_field(MIGRATION, "rate") == 1000000);
	assert_true(class_field(MIGRATION, "ceil") == 2000000);
	assert_true(class_field("474d:101", "prio") == 0);
	assert_true(class_field("474d:102", "prio") == 7);
	/* Nobody's packets are in the second VM's class, so it has none. */
	assert_true(class_field("474d:107", "rate") == -1);
	assert_true(class_field("474d:2", "rate") == LINK - 1500000);
	assert_int_equal(gw_classes_match(&classes, VM_SLOT, "v0", &error), 0);
	assert_int_equal(gw_classes_match(&classes, VM_SLOT, "no0", &error), -ENODEV);
	divide(shares);
	assert_true(class_field("474d:107", "rate") == 500000);
	assert_true(class_field("474d:107", "ceil") == LINK);
	/* Guarantees fit into the link, and leave the others something. */
	divide(too_much);
	assert_true(class_field("474d:2", "rate") == LINK / 20);
	assert_true(class_field(MIGRATION, "rate") == LINK / 20);
	assert_true(class_field("474d:107", "rate") == LINK / 20 * 18);
	gw_classes_remove(&classes);
	gw_classes_remove(&classes);
	after = output_of("tc qdisc show");
	assert_string_equal(before, after);
	assert_int_equal(gw_classes_install(&classes, device(), 0, 2, &error), -ERANGE);
	assert_int_equal(gw_classes_install(&classes, device(), LINK, 1 << 20, &error), -ERANGE);
	free(before);
	free(after);
}

/* As the kernel has it, to the byte; -1: no such class. */
static int64_t rate_of(uint32_t minor, int (*get)(struct rtnl_class *, uint64_t *))
{
	_cleanup_nl_ struct nl_sock *nl = nl_socket_alloc();
	struct nl_cache *cache = NULL;
	struct rtnl_class *class;
	uint64_t rate = UINT64_MAX;

	assert_non_null(nl);
	assert_int_equal(nl_connect(nl, NETLINK_ROUTE), 0);
	assert_int_equal(rtnl_class_alloc_cache(nl, device(), &cache), 0);
	class = rtnl_class_get(cache, device(), 0x474d0000 | minor);
	if (class) {
		assert_int_equal(get(class, &rate), 0);
		rtnl_class_put(class);
	}
	nl_cache_free(cache);
	return (int64_t)rate;
}

/* Bytes a second of 25, 100 and 400 Gbit/s, and of 17.18, which is 2^31. */
static void test_fast_devices(void **state)
{
	const uint64_t links[] = {3125000000, 12500000000, 50000000000, UINT64_C(1) << 31};
	struct gw_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		const struct gw_class_share shares[] = {{links[i] / 2 + 1, links[i] - 1, 0},
		                                        {0, 0, links[i] / 4 + 1}};

		if (gw_classes_install(&classes, device(), links[i], 2, &error))
			fail_msg("%s", error.text);
		assert_int_equal(gw_classes_match(&classes, VM_SLOT, "v0", &error), 0);
		divide(shares);
		assert_int_equal(rate_of(0x1, rtnl_htb_get_rate64), links[i]);
		assert_int_equal(rate_of(0x1, rtnl_htb_get_ceil64), links[i]);
		assert_int_equal(rate_of(0x100, rtnl_htb_get_rate64), links[i] / 2 + 1);
		assert_int_equal(rate_of(0x100, rtnl_htb_get_ceil64), links[i] - 1);
		assert_int_equal(rate_of(0x107, rtnl_htb_get_rate64), links[i] / 4 + 1);
		gw_classes_remove(&classes);
	}
	assert_int_equal(gw_classes_install(&classes, device(), UINT64_MAX, 2, &error), -ERANGE);
}

/* --- whose packets --------------------------------------------------------------------------- */

/* Two guests behind br1, which leads nowhere: this namespace routes for them. */
static void build_router(void)
{
	char text[300];

	shell("ip link add br1 type bridge && ip addr add 10.79.0.1/24 dev br1 &&"
	      "ip link set br1 up && echo 1 >/proc/sys/net/ipv4/ip_forward");
	add_guest(&routed[0], "br1", "r0", "10.79.0.2/24");
	add_guest(&routed[1], "br1", "r1", "10.79.0.3/24");
	(void)snprintf(text, sizeof(text),
	               "nsenter -n -t %d ip route add default via 10.79.0.1 &&"
	               "nsenter -n -t %d ip route add default via 10.79.0.1 &&"
	               "nsenter -n -t %d ip route replace 10.79.0.0/24 via " NEAR,
	               routed[0].helper, routed[1].helper, world.helper);
	shell(text);
}

static int destroy_router(void **state)
{
	remove_guest(&routed[0]);
	remove_guest(&routed[1]);
	shell("ip link del br1");
	return remove_tree(state);
}

/* Sends so much from the namespace, and waits until it is there. */
static void send_from(int ns, size_t bytes)
{
	size_t seen = 0;
	int ends[2];

	open_flow_from(ns, ends);
	while (seen < bytes) {
		fill(ends[0]);
		assert_true(wait_for(ends[1], POLLIN));
		seen += drain(ends[1]);
	}
	close_flow(ends);
}

/* BPF programs that look at what comes in by the device. */
static int programs_at(const char *name)
{
	union bpf_attr attr = {.query = {.attach_type = 46 /* TCX_INGRESS */}};

	attr.query.target_fd = (uint32_t)if_nametoindex(name);
	assert_int_equal(syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof(attr)), 0);
	return (int)attr.query.prog_cnt;
}

#define MUCH 1000000

static void test_guests_behind_a_router(void **state)
{
	struct gw_class_share shares[] = {{0, 0, LINK / 2}, {0, 0, LINK / 4}};
	struct gw_error error;
	long long first, second;

	(void)state;
	build_router();
	install();
	assert_int_equal(gw_classes_match(&classes, 0, "r0", &error), 0);
	assert_int_equal(gw_classes_match(&classes, 1, "r1", &error), 0);
	divide(shares);
	send_from(routed[0].ns, 2 * MUCH);
	send_from(routed[1].ns, MUCH);
	first = class_field("474d:103", "Sent");
	second = class_field("474d:107", "Sent");
	printf("first %lld, second %lld, others %lld bytes\n", first, second,
	       class_field("474d:2", "Sent"));
	assert_in_range(first, 2 * MUCH, 10 * MUCH);
	assert_in_range(second, MUCH, 10 * MUCH);
	assert_in_range(class_field("474d:2", "Sent"), 0, MUCH / 10);
	assert_int_equal(programs_at("r0"), 1);
	gw_classes_remove(&classes);
	assert_int_equal(programs_at("r0"), 0);
}

/* Then only bridges that lead to the device are seen through. */
static void without_bpf(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	struct gw_error error;

	assert_int_equal(syscall(SYS_capget, &head, data), 0);
	data[0].effective &= ~(1u << CAP_SYS_ADMIN);
	data[1].effective &= ~(1u << (CAP_BPF - 32));
	assert_int_equal(syscall(SYS_capset, &head, data), 0);
	install();
	assert_int_equal(gw_classes_match(&classes, 0, "r0", &error), -EOPNOTSUPP);
	assert_non_null(strstr(error.text, "by routing"));
	assert_non_null(strstr(error.text, "CAP_BPF"));
	assert_int_equal(gw_classes_match(&classes, VM_SLOT, "v0", &error), 0);
	data[0].effective |= data[0].permitted;
	data[1].effective |= data[1].permitted;
	assert_int_equal(syscall(SYS_capset, &head, data), 0);
}

static void test_without_bpf(void **state)
{
	(void)state;
	build_router();
	without_bpf();
	send_from(guest.ns, MUCH);
	assert_in_range(class_field("474d:107", "Sent"), MUCH, 10 * MUCH);
	gw_classes_remove(&classes);
}

/* What an operator does at a tap is done as before; it numbers packets, too. */
static void test_an_operators_filter_at_a_tap(void **state)
{
	static const char show[] = "tc qdisc show dev v0; tc filter show dev v0 ingress;"
	                           " tc filter show dev v0 egress";
	struct gw_error error;
	char *before, *during, *after;

	(void)state;
	shell("tc qdisc add dev v0 clsact && tc filter add dev v0 ingress u32 match ip dst " FAR
	      " flowid 1:1");
	before = output_of(show);
	install();
	assert_int_equal(gw_classes_match(&classes, VM_SLOT, "v0", &error), 0);
	assert_int_equal(programs_at("v0"), 0);
	during = output_of(show);
	send_from(guest.ns, MUCH);
	assert_in_range(class_field("474d:107", "Sent"), MUCH, 10 * MUCH);
	gw_classes_remove(&classes);
	after = output_of(show);
	assert_string_equal(before, during);
	assert_string_equal(before, after);
	shell("tc qdisc del dev v0 clsact");
	free(before);
	free(during);
	free(after);
}

/* The next device of that name is somebody else's. */
static void test_a_taps_name_is_used_again(void **state)
{
	struct guest other;
	struct gw_error error;

	(void)state;
	install();
	add_guest(&other, "br0", "v5", "10.77.0.5/24");
	assert_int_equal(gw_classes_match(&classes, VM_SLOT, "v5", &error), 0);
	remove_guest(&other);
	add_guest(&other, "br0", "v5", "10.77.0.5/24");
	send_from(other.ns, MUCH);
	assert_in_range(class_field("474d:107", "Sent"), 0, 1000);
	assert_in_range(class_field("474d:2", "Sent"), MUCH, 10 * MUCH);
	gw_classes_remove(&classes);
	remove_guest(&other);
}

/* --- what may be there already, or go -------------------------------------------------------- */

/* Of ours, on all devices. */
static int trees(void)
{
	char *text = output_of("tc qdisc show | grep -c 'htb 474d: ' || true");
	int count = atoi(text);

	free(text);
	return count;
}

static void test_leftovers_of_a_crash(void **state)
{
	const struct gw_class_share shares[] = {{1000000, 2000000, 0}, {0, 0, 500000}};
	struct gw_error error;
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		_exit(gw_classes_install(&classes, device(), LINK, 2, NULL) ||
		      gw_classes_match(&classes, VM_SLOT, "v0", NULL) ||
		      gw_classes_divide(&classes, shares, NULL));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_true(class_field(MIGRATION, "rate") == 1000000);
	assert_int_equal(programs_at("v0"), 0);
	install();
	assert_true(class_field(MIGRATION, "rate") == -1);
	/* While its owner lives, it is not a leftover. */
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct gw_classes theirs;

		_exit(gw_classes_install(&theirs, device(), LINK, 2, NULL) == -EBUSY ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(gw_classes_match(&classes, VM_SLOT, "v0", &error), 0);
	gw_classes_remove(&classes);
	assert_false(device_shows("htb"));
}

static int install_elsewhere(const char *name)
{
	return gw_classes_install(&classes, (int)if_nametoindex(name), LINK, 1, NULL);
}

/* The next start may be over another device, or over none. */
static void test_leftovers_on_other_devices(void **state)
{
	const char *const names[] = {"g0", "v0", "br0"};
	int status;

	(void)state;
	for (int i = 0; i < 3; i++) {
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0) {
			signal(SIGSEGV, SIG_DFL);
			_exit(install_elsewhere(names[i]) ? 1 : 0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		/* What crashed before was swept by this start. */
		assert_int_equal(trees(), 1);
	}
	install();
	assert_int_equal(trees(), 1);
	assert_true(device_shows("htb 474d: root"));
	gw_htb_sweep();
	assert_int_equal(trees(), 1); /* it is held */
	gw_classes_remove(&classes);
	assert_int_equal(trees(), 0);
}

/* Removed while it was in use, and replaced: what is there by then is not ours. */
static void test_replaced_by_the_operator(void **state)
{
	const struct gw_class_share shares[] = {{1000000, 2000000, 0}, {0, 0, 500000}};
	struct gw_error error;
	char *before, *after;

	(void)state;
	install();
	shell("tc qdisc replace dev g0 root handle 1: htb default 1");
	before = qdiscs();
	assert_true(gw_classes_divide(&classes, shares, &error) < 0);
	gw_classes_remove(&classes);
	after = qdiscs();
	assert_string_equal(before, after);
	shell("tc qdisc del dev g0 root");
	free(before);
	free(after);
}

static void test_the_device_vanishes(void **state)
{
	const struct gw_class_share shares[] = {{1000000, 2000000, 0}, {0, 0, 500000}};
	struct gw_error error;

	(void)state;
	shell("ip link add gone0 type veth peer name gone1");
	assert_int_equal(install_elsewhere("gone0"), 0);
	shell("ip link del gone0");
	assert_int_equal(gw_classes_divide(&classes, shares, &error), -ENODEV);
	assert_int_equal(gw_classes_match(&classes, 0, "v0", &error), -ENODEV);
	gw_classes_remove(&classes);
	assert_int_equal(gw_classes_install(&classes, 999999, LINK, 1, &error), -ENODEV);
}

static void test_an_operators_qdisc(void **state)
{
	struct gw_error error;
	char *before, *after;

	(void)state;
	shell("tc qdisc add dev g0 root handle 474d: tbf rate 400mbit burst 64k latency 20ms");
	before = qdiscs();
	assert_int_equal(gw_classes_install(&classes, device(), LINK, 2, &error), -EBUSY);
	assert_non_null(strstr(error.text, "g0 has a traffic control of its own"));
	gw_classes_remove(&classes);
	after = qdiscs();
	assert_string_equal(before, after);
	shell("tc qdisc del dev g0 root");
	free(before);
	free(after);
}

static void test_no_right(void **state)
{
	struct gw_error error = {""};
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		if (setuid(65534))
			_exit(2);
		status = gw_classes_install(&classes, device(), LINK, 2, &error);
		_exit(status == -EPERM && strstr(error.text, "root") ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_false(device_shows("htb"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_teardown(test_installed_and_removed, remove_tree),
	        cmocka_unit_test_teardown(test_fast_devices, remove_tree),
	        cmocka_unit_test_teardown(test_a_vm_keeps_its_reservation, remove_tree),
	        cmocka_unit_test_teardown(test_reservations_come_first, remove_tree),
	        cmocka_unit_test_teardown(test_ceilings_hold, remove_tree),
	        cmocka_unit_test_teardown(test_urgent_before_bulk, remove_tree),
	        cmocka_unit_test_teardown(test_guests_behind_a_router, destroy_router),
	        cmocka_unit_test_teardown(test_without_bpf, destroy_router),
	        cmocka_unit_test_teardown(test_an_operators_filter_at_a_tap, remove_tree),
	        cmocka_unit_test_teardown(test_a_taps_name_is_used_again, remove_tree),
	        cmocka_unit_test_teardown(test_leftovers_of_a_crash, remove_tree),
	        cmocka_unit_test_teardown(test_leftovers_on_other_devices, remove_tree),
	        cmocka_unit_test_teardown(test_replaced_by_the_operator, remove_tree),
	        cmocka_unit_test_teardown(test_the_device_vanishes, remove_tree),
	        cmocka_unit_test_teardown(test_an_operators_qdisc, remove_tree),
	        cmocka_unit_test_teardown(test_no_right, remove_tree),
	};

	if (unshare(CLONE_NEWNET)) {
		printf("skipped: no right to make a network namespace (%s)\n", strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, build_bridge, destroy_bridge);
}
