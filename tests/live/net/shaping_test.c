/* SPDX-License-Identifier: MIT */
/*
 * Traffic control on a real device, for one migration.
 */
#include "world.h"

#include <net/if.h>

#include "live/net/device.h"
#include "live/net/shaping.h"

#define RATE       2000000u
#define BULK_FLOWS 12

static void test_installed_and_removed(void **state)
{
	char *before = output_of("tc qdisc show dev g0"), *after;
	struct gw_shaping shaping;
	struct gw_error error;
	int flow[2];

	(void)state;
	open_flow(flow);
	if (gw_shaping_install(&shaping, flow[0], RATE, &error))
		fail_msg("%s", error.text);
	assert_true(shaping.htb.ifindex > 0);
	assert_true(device_shows("htb 474d: root"));
	assert_true(class_field("474d:1", "rate") == RATE);
	assert_true(class_field("474d:10", "prio") == 0);
	assert_true(class_field("474d:20", "prio") == 7);
	assert_true(class_field("474d:30", "prio") == 3);
	for (int i = 1; i <= 2; i++) {
		char handle[] = "474d:?0";
		handle[5] = (char)('0' + i);
		assert_true(class_field(handle, "ceil") == RATE);
		assert_true(class_field(handle, "rate") < RATE / 2);
	}
	/* The migration's rate is nobody else's. */
	assert_true(class_field("474d:30", "rate") == (long long)GW_HTB_RATE_MAX);
	assert_true(class_field("474d:30", "ceil") == (long long)GW_HTB_RATE_MAX);
	assert_int_equal(gw_shaping_set_rate(&shaping, 3 * RATE, &error), 0);
	assert_true(class_field("474d:1", "rate") == 3 * RATE);
	assert_true(class_field("474d:20", "ceil") == 3 * RATE);
	assert_true(class_field("474d:20", "prio") == 7);
	assert_int_equal(gw_shaping_set_rate(&shaping, 0, &error), -ERANGE);
	gw_shaping_remove(&shaping);
	assert_int_equal(shaping.htb.ifindex, 0);
	gw_shaping_remove(&shaping);
	after = output_of("tc qdisc show dev g0");
	assert_string_equal(before, after);
	assert_int_equal(gw_shaping_set_rate(&shaping, RATE, &error), -EINVAL);
	assert_int_equal(gw_shaping_mark_bulk(&shaping, flow[0], &error), -EINVAL);
	free(before);
	free(after);
	close_flow(flow);
}

/* Reads bulk until it has brought so many bytes; or, with urgent, until that brings one. */
static size_t read_bulk(int bulk[][2], size_t bytes, int urgent)
{
	struct pollfd items[BULK_FLOWS + 1] = {{.fd = urgent, .events = POLLIN}};
	size_t seen = 0;

	for (int i = 0; i < BULK_FLOWS; i++)
		items[i + 1] = (struct pollfd){.fd = bulk[i][1], .events = POLLIN};
	while (seen < bytes) {
		assert_true(poll(items, BULK_FLOWS + 1, PATIENCE_MS) > 0);
		if (urgent >= 0 && items[0].revents)
			return seen;
		for (int i = 0; i < BULK_FLOWS; i++)
			seen += items[i + 1].revents ? drain(items[i + 1].fd) : 0;
	}
	return seen;
}

static size_t unsent(int bulk[][2])
{
	size_t sum = 0;
	struct {
		int room[9];
	} memory;
	socklen_t bytes;

	for (int i = 0; i < BULK_FLOWS; i++) {
		bytes = sizeof(memory);
		assert_int_equal(
		        getsockopt(bulk[i][0], SOL_SOCKET, 55 /* SO_MEMINFO */, &memory, &bytes),
		        0);
		sum += (size_t)memory.room[5]; /* SK_MEMINFO_WMEM_QUEUED */
	}
	return sum;
}

static void test_urgent_overtakes_bulk(void **state)
{
	int bulk[BULK_FLOWS][2], urgent[2];
	size_t overtaken, worst = 0;
	struct gw_shaping shaping;
	struct gw_error error;

	(void)state;
	open_flow(urgent);
	assert_int_equal(gw_shaping_install(&shaping, urgent[0], RATE, &error), 0);
	assert_int_equal(gw_shaping_mark_urgent(&shaping, urgent[0], &error), 0);
	for (int i = 0; i < BULK_FLOWS; i++) {
		open_flow(bulk[i]);
		assert_int_equal(gw_shaping_mark_bulk(&shaping, bulk[i][0], &error), 0);
		fill(bulk[i][0]);
	}
	/* The start's bursts are over and queues stand. */
	(void)read_bulk(bulk, 2 * RATE / 4, -1);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < BULK_FLOWS; i++)
			fill(bulk[i][0]);
		write_all(urgent[0], "!", 1);
		overtaken = read_bulk(bulk, 8u << 20, urgent[1]);
		assert_int_equal(drain(urgent[1]), 1);
		worst = overtaken > worst ? overtaken : worst;
	}
	printf("bulk before an urgent byte: at most %zu of %zu waiting bytes; its queue: %lld\n",
	       worst, unsent(bulk), class_field("474d:20", "backlog"));
	assert_true(unsent(bulk) > 4u << 20);
	assert_true(worst < 192u << 10);
	gw_shaping_remove(&shaping);
	for (int i = 0; i < BULK_FLOWS; i++)
		close_flow(bulk[i]);
	close_flow(urgent);
}

/* Much more than the migration's rate, and none of it had to borrow or to wait. */
static void test_nobody_else_is_slower(void **state)
{
	struct gw_shaping shaping;
	struct gw_error error;
	size_t seen = 0;
	int other[2];

	(void)state;
	open_flow(other);
	assert_int_equal(gw_shaping_install(&shaping, other[0], RATE, &error), 0);
	while (seen < 20 * (size_t)RATE) {
		fill(other[0]);
		assert_true(wait_for(other[1], POLLIN));
		seen += drain(other[1]);
	}
	assert_true(class_field("474d:30", "Sent") >= 20ll * RATE);
	assert_true(class_field("474d:30", "lended:") > 0);
	assert_int_equal(class_field("474d:30", "borrowed:"), 0);
	gw_shaping_remove(&shaping);
	close_flow(other);
}

/* The tree's classes count what bulk and urgent send over the link to this address. */
static void classifies(const char *to, const char *at)
{
	struct gw_shaping shaping;
	struct gw_error error;
	int bulk[2], urgent[2];
	size_t seen = 0;

	open_flow_to(world.near_ns, to, at, bulk);
	open_flow_to(world.near_ns, to, at, urgent);
	assert_int_equal(gw_device_of(bulk[0], &error), if_nametoindex("g0"));
	assert_int_equal(gw_shaping_install(&shaping, bulk[0], RATE, &error), 0);
	assert_int_equal(gw_shaping_mark_bulk(&shaping, bulk[0], &error), 0);
	assert_int_equal(gw_shaping_mark_urgent(&shaping, urgent[0], &error), 0);
	while (seen < RATE / 2) {
		fill(bulk[0]);
		assert_true(wait_for(bulk[1], POLLIN));
		seen += drain(bulk[1]);
	}
	write_all(urgent[0], "!", 1);
	assert_true(wait_for(urgent[1], POLLIN));
	assert_true(class_field("474d:20", "Sent") >= RATE / 2);
	assert_in_range(class_field("474d:10", "Sent"), 1, 1000);
	assert_in_range(class_field("474d:30", "Sent"), 0, 1000);
	gw_shaping_remove(&shaping);
	close_flow(bulk);
	close_flow(urgent);
}

static void test_every_address(void **state)
{
	(void)state;
	classifies(FAR, FAR);
	classifies(FAR6, FAR6);
	classifies("::ffff:" FAR, FAR);
	/* The same network is on every device: only the one that is named with it tells which. */
	shell("ip link add h0 type veth peer name h1 && ip addr add fe80::77:1/64 dev h0 nodad &&"
	      "ip link set h0 up && ip link set h1 up &&"
	      "ip route add fe80::/64 dev h0 metric 100");
	classifies("fe80::77:2%g0", "::");
	shell("ip link del h0");
}

/* A process that installs, says with what result, and waits; then it dies without removing. */
static pid_t install_elsewhere(int socket, int *lifeline)
{
	int up[2], down[2], result = 1;
	struct gw_shaping shaping;
	pid_t child;

	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	assert_int_equal(pipe2(down, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		close(down[1]);
		result = gw_shaping_install(&shaping, socket, RATE, NULL);
		if (write(up[1], &result, sizeof(result)) != sizeof(result))
			_exit(1);
		(void)!read(down[0], &result, sizeof(result));
		_exit(0);
	}
	close(up[1]);
	close(down[0]);
	assert_int_equal(read(up[0], &result, sizeof(result)), sizeof(result));
	close(up[0]);
	assert_int_equal(result, 0);
	*lifeline = down[1];
	return child;
}

static void test_leftovers_of_a_crash(void **state)
{
	struct gw_shaping shaping;
	struct gw_error error;
	int flow[2], lifeline;
	pid_t child;

	(void)state;
	open_flow(flow);
	child = install_elsewhere(flow[0], &lifeline);
	/* While its owner lives, it is not a leftover. */
	assert_int_equal(gw_shaping_install(&shaping, flow[0], 5 * RATE, &error), -EBUSY);
	assert_non_null(strstr(error.text, "another migration"));
	gw_shaping_remove(&shaping);
	assert_true(class_field("474d:1", "rate") == RATE);
	close(lifeline);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(device_shows("htb 474d: root"));
	assert_int_equal(gw_shaping_install(&shaping, flow[0], 5 * RATE, &error), 0);
	assert_true(class_field("474d:1", "rate") == 5 * RATE);
	gw_shaping_remove(&shaping);
	assert_false(device_shows("htb"));
	close_flow(flow);
}

static void leaves_alone(const char *qdisc)
{
	struct gw_shaping shaping;
	struct gw_error error;
	char command[200], *before, *after;
	int flow[2];

	(void)snprintf(command, sizeof(command), "tc qdisc add dev g0 root %s", qdisc);
	shell(command);
	open_flow(flow);
	before = qdiscs();
	assert_int_equal(gw_shaping_install(&shaping, flow[0], RATE, &error), -EBUSY);
	assert_non_null(strstr(error.text, "g0"));
	assert_int_equal(shaping.htb.ifindex, 0);
	gw_shaping_remove(&shaping);
	after = qdiscs();
	assert_string_equal(before, after);
	free(before);
	free(after);
	close_flow(flow);
	shell("tc qdisc del dev g0 root");
}

static void test_an_operators_qdisc(void **state)
{
	(void)state;
	leaves_alone("tbf rate 400mbit burst 64k latency 20ms");
	leaves_alone("handle 1: htb default 1");
	leaves_alone("handle 474d: tbf rate 400mbit burst 64k latency 20ms");
}

/* Also where /sys is that of another network namespace, as here. */
static void test_what_a_device_carries(void **state)
{
	(void)state;
	assert_int_equal(gw_device_carries((int)if_nametoindex("g0")), 1250000000);
	assert_int_equal(gw_device_carries((int)if_nametoindex("lo")), 0);
	assert_int_equal(gw_device_carries(999999), 0);
}

static void test_loopback(void **state)
{
	struct gw_shaping shaping;
	struct gw_error error;
	int ends[2];

	(void)state;
	open_pair(ends);
	assert_int_equal(gw_shaping_install(&shaping, ends[0], RATE, &error), -ENODEV);
	assert_non_null(strstr(error.text, "loopback"));
	close_flow(ends);
}

static void test_no_right(void **state)
{
	struct gw_shaping shaping;
	struct gw_error error = {""};
	int flow[2], status;
	pid_t child;

	(void)state;
	open_flow(flow);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		if (setuid(65534))
			_exit(2);
		status = gw_shaping_install(&shaping, flow[0], RATE, &error);
		_exit(status == -EPERM && strstr(error.text, "root") ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_false(device_shows("htb"));
	close_flow(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_installed_and_removed),
	        cmocka_unit_test(test_urgent_overtakes_bulk),
	        cmocka_unit_test(test_nobody_else_is_slower),
	        cmocka_unit_test(test_every_address),
	        cmocka_unit_test(test_leftovers_of_a_crash),
	        cmocka_unit_test(test_an_operators_qdisc),
	        cmocka_unit_test(test_what_a_device_carries),
	        cmocka_unit_test(test_loopback),
	        cmocka_unit_test(test_no_right),
	};

	if (unshare(CLONE_NEWNET)) {
		printf("skipped: no right to make a network namespace (%s)\n", strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, build_world, destroy_world);
}
