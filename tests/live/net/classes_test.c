/* SPDX-License-Identifier: MIT */
/*
 * Traffic control on a real device that migrations and a VM share: g0 is a port of the bridge br0,
 * and so is v0, by which a third namespace is reached as a guest is by its tap.
 */
#include "world.h"

#include "live/net/classes.h"

#include <net/if.h>
#include <netlink/route/class.h>
#include <netlink/route/qdisc/htb.h>

#include "live/net/netlink.h"

#define LINK      4000000u
#define FLOWS     4          /* of each */
#define WARM_UP   (2u << 20) /* the start's bursts are over and queues stand */
#define MEASURED  (10u << 20)
#define VM_SLOT   1u /* its migration is the second one */
#define MIGRATION "474d:100"

static struct {
	pid_t helper;
	int ns;
} guest;

static int build_bridge(void **state)
{
	char text[600];

	if (build_world(state))
		return -1;
	guest.helper = start_helper();
	assert_true(guest.helper > 0);
	(void)snprintf(text, sizeof(text), "/proc/%d/ns/net", guest.helper);
	guest.ns = open(text, O_RDONLY | O_CLOEXEC);
	assert_true(guest.ns >= 0);
	(void)snprintf(text, sizeof(text),
	               "ip addr del " NEAR "/24 dev g0 && ip link add br0 type bridge &&"
	               "ip link set g0 master br0 && ip addr add " NEAR "/24 dev br0 &&"
	               "ip link set br0 up && ip link add v0 type veth peer name v1 netns %d &&"
	               "ip link set v0 master br0 && ip link set v0 up &&"
	               "nsenter -n -t %d ip addr add 10.77.0.3/24 dev v1 &&"
	               "nsenter -n -t %d ip link set v1 up",
	               guest.helper, guest.helper, guest.helper);
	shell(text);
	return 0;
}

static int destroy_bridge(void **state)
{
	kill(guest.helper, SIGKILL);
	waitpid(guest.helper, NULL, 0);
	close(guest.ns);
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

/* All of it bulk, or all but the first flow. */
static void mark(const struct source *source, size_t slot, int first)
{
	struct gw_error error;

	for (int i = first; i < FLOWS; i++)
		assert_int_equal(gw_classes_mark(gw_classes_of(slot), source->ends[0][0],
		                                 source->ends[i][0], &error),
		                 0);
	if (first == 0)
		assert_int_equal(gw_classes_mark(gw_classes_of(slot), source->ends[1][0],
		                                 source->ends[0][0], &error),
		                 0);
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
	const struct gw_class_share shares[] = {{1000000, LINK, 0}, {500000, LINK, 2000000}};
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

static void test_ceilings_hold(void **state)
{
	const struct gw_class_share shares[] = {{250000, 500000, 0}, {250000, LINK, 0}};
	const struct gw_class_share turned[] = {{250000, LINK, 0}, {250000, 500000, 0}};
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
	assert_true(class_field(MIGRATION, "rate") == LINK / 40 * 19);
	assert_true(class_field("474d:107", "rate") == LINK / 40 * 19);
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
	        cmocka_unit_test_teardown(test_ceilings_hold, remove_tree),
	        cmocka_unit_test_teardown(test_urgent_before_bulk, remove_tree),
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
