/* SPDX-License-Identifier: MIT */
/*
 * Traffic control on a real device: two network namespaces without names, joined by a veth pair.
 * They belong to this process and its helper, and vanish with them however the test ends.
 */
#include "pair.h"

#include "live/net/shaping.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define RATE       2000000u
#define BULK_FLOWS 12
#define NEAR       "10.77.0.1"
#define FAR        "10.77.0.2"

static struct {
	pid_t helper;
	int near_ns, far_ns;
} world;

static char *output_of(const char *command)
{
	char *text = calloc(1, 65536);
	FILE *pipe = popen(command, "r");

	assert_non_null(text);
	assert_non_null(pipe);
	assert_true(fread(text, 1, 65535, pipe) < 65535);
	assert_int_equal(pclose(pipe), 0);
	return text;
}

static void shell(const char *command)
{
	free(output_of(command));
}

/* A process that only holds the second namespace. */
static pid_t start_helper(void)
{
	int ready[2];
	char byte;
	pid_t child;

	if (pipe(ready))
		return -1;
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (child > 0 && read(ready[0], &byte, 1) != 1)
		child = -1;
	close(ready[0]);
	return child;
}

static int build_world(void **state)
{
	char text[400];

	(void)state;
	world.helper = start_helper();
	assert_true(world.helper > 0);
	(void)snprintf(text, sizeof(text), "/proc/%d/ns/net", world.helper);
	world.far_ns = open(text, O_RDONLY | O_CLOEXEC);
	world.near_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(world.far_ns >= 0 && world.near_ns >= 0);
	(void)snprintf(text, sizeof(text),
	               "ip link set lo up && ip link add g0 type veth peer name g1 netns %d &&"
	               "ip addr add " NEAR "/24 dev g0 && ip link set g0 up &&"
	               "nsenter -n -t %d ip addr add " FAR "/24 dev g1 &&"
	               "nsenter -n -t %d ip link set g1 up",
	               world.helper, world.helper, world.helper);
	shell(text);
	return 0;
}

static int destroy_world(void **state)
{
	(void)state;
	kill(world.helper, SIGKILL);
	waitpid(world.helper, NULL, 0);
	close(world.far_ns);
	close(world.near_ns);
	return 0;
}

/* ends[0] here, ends[1] in the other namespace. */
static void open_flow(int ends[2])
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	struct gw_error error;
	int listener;

	assert_int_equal(setns(world.far_ns, CLONE_NEWNET), 0);
	listener = gw_net_listen(FAR ":0", &error);
	assert_int_equal(setns(world.near_ns, CLONE_NEWNET), 0);
	assert_true(listener >= 0);
	at.sin_port = htons(port_of(listener));
	assert_int_equal(inet_pton(AF_INET, FAR, &at.sin_addr), 1);
	ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ends[0], (struct sockaddr *)&at, sizeof(at)), 0);
	assert_true(wait_for(listener, POLLIN));
	ends[1] = gw_net_accept(listener, NULL, 0, &error);
	assert_true(ends[1] >= 0);
	close(listener);
}

static void close_flow(int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

/* The number behind a word of `tc`; rates as bytes/s. */
static long long number_behind(const char *text, const char *word)
{
	const char *at = strstr(text, word);
	double value;
	char *unit;

	if (!at)
		return -1;
	value = strtod(at + strlen(word), &unit);
	if (!strncmp(unit, "Gbit", 4))
		value *= 1e9 / 8;
	else if (!strncmp(unit, "Mbit", 4))
		value *= 1e6 / 8;
	else if (!strncmp(unit, "Kbit", 4))
		value *= 1e3 / 8;
	else if (!strncmp(unit, "bit", 3))
		value /= 8;
	return (long long)value;
}

/* A field of the class; -1: no such class. (This `tc` shows classes as text even with -j.) */
static long long class_field(const char *handle, const char *field)
{
	char *text = output_of("tc -s class show dev g0"), *row, *end;
	char name[40], word[40];
	long long value = -1;

	(void)snprintf(name, sizeof(name), "class htb %s ", handle);
	(void)snprintf(word, sizeof(word), " %s ", field);
	row = strstr(text, name);
	if (row) {
		end = strstr(row + 1, "class htb ");
		if (end)
			*end = 0;
		value = number_behind(row, word);
	}
	free(text);
	return value;
}

static bool device_shows(const char *what)
{
	char *text = output_of("tc qdisc show dev g0");
	bool found = strstr(text, what) != NULL;

	free(text);
	return found;
}

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
	for (int i = 1; i <= 3; i++) {
		char handle[] = "474d:?0";
		handle[5] = (char)('0' + i);
		assert_true(class_field(handle, "ceil") == RATE);
		assert_true(class_field(handle, "rate") < RATE / 2);
	}
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

static void fill(int fd)
{
	static const uint8_t bytes[65536];
	int room = 1 << 20;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
}

static size_t drain(int fd)
{
	static uint8_t bytes[65536];
	ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	return got > 0 ? (size_t)got : 0;
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

/* All of it but a counter, which anybody's packets advance. */
static char *qdiscs(void)
{
	return output_of("tc qdisc show dev g0 | sed 's/direct_packets_stat [0-9]*//';"
	                 " tc class show dev g0");
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
	        cmocka_unit_test(test_leftovers_of_a_crash),
	        cmocka_unit_test(test_an_operators_qdisc),
	        cmocka_unit_test(test_loopback),
	        cmocka_unit_test(test_no_right),
	};

	if (unshare(CLONE_NEWNET)) {
		printf("skipped: no right to make a network namespace (%s)\n", strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, build_world, destroy_world);
}
