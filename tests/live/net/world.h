/* SPDX-License-Identifier: MIT */
/*
 * tests/live/net/world.h - two network namespaces without names, joined by a veth pair: g0 is here,
 * g1 there. They belong to this process and its helper, and vanish with them however the test ends.
 */
#ifndef GW_TESTS_LIVE_NET_WORLD_H
#define GW_TESTS_LIVE_NET_WORLD_H

#include "pair.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define NEAR "10.77.0.1"
#define FAR  "10.77.0.2"
#define FAR6 "fd77::2"

static struct {
	pid_t helper;
	int near_ns, far_ns;
} world;

static inline char *output_of(const char *command)
{
	char *text = calloc(1, 65536);
	FILE *pipe = popen(command, "r");

	assert_non_null(text);
	assert_non_null(pipe);
	assert_true(fread(text, 1, 65535, pipe) < 65535);
	assert_int_equal(pclose(pipe), 0);
	return text;
}

static inline void shell(const char *command)
{
	free(output_of(command));
}

/* A process that only holds the second namespace. */
static inline pid_t start_helper(void)
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

static inline int build_world(void **state)
{
	char text[600];

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
	               "nsenter -n -t %d ip link set g1 up &&"
	               "ip addr add fd77::1/64 dev g0 nodad &&"
	               "ip addr add fe80::77:1/64 dev g0 nodad &&"
	               "nsenter -n -t %d ip addr add " FAR6 "/64 dev g1 nodad &&"
	               "nsenter -n -t %d ip addr add fe80::77:2/64 dev g1 nodad",
	               world.helper, world.helper, world.helper, world.helper, world.helper);
	shell(text);
	return 0;
}

static inline int destroy_world(void **state)
{
	(void)state;
	kill(world.helper, SIGKILL);
	waitpid(world.helper, NULL, 0);
	close(world.far_ns);
	close(world.near_ns);
	return 0;
}

/* A connection from `ns` to the address `to`, which is there: ends[0] here, ends[1] there. */
static inline void open_flow_to(int ns, const char *to, const char *at, int ends[2])
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *found;
	struct gw_error error;
	char text[80];
	int listener;

	(void)snprintf(text, sizeof(text), strchr(at, ':') ? "[%s]:0" : "%s:0", at);
	assert_int_equal(setns(world.far_ns, CLONE_NEWNET), 0);
	listener = gw_net_listen(text, &error);
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
	assert_true(listener >= 0);
	(void)snprintf(text, sizeof(text), "%d", port_of(listener));
	assert_int_equal(getaddrinfo(to, text, &hints, &found), 0);
	ends[0] = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ends[0], found->ai_addr, found->ai_addrlen), 0);
	freeaddrinfo(found);
	assert_true(wait_for(listener, POLLIN));
	ends[1] = gw_net_accept(listener, NULL, 0, &error);
	assert_true(ends[1] >= 0);
	assert_int_equal(setns(world.near_ns, CLONE_NEWNET), 0);
	close(listener);
}

/* ends[0] in this namespace, ends[1] in the other one. */
static inline void open_flow_from(int ns, int ends[2])
{
	open_flow_to(ns, FAR, FAR, ends);
}

static inline void open_flow(int ends[2])
{
	open_flow_from(world.near_ns, ends);
}

static inline void close_flow(int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

/* The number behind a word of `tc`; rates as bytes/s. */
static inline long long number_behind(const char *text, const char *word)
{
	const char *at = strstr(text, word);
	double value;
	char *unit;

	if (!at)
		return -1;
	value = strtod(at + strlen(word), &unit);
	if (!strncmp(unit, "Tbit", 4))
		value *= 1e12 / 8;
	else if (!strncmp(unit, "Gbit", 4))
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
static inline long long class_field(const char *handle, const char *field)
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

static inline bool device_shows(const char *what)
{
	char *text = output_of("tc qdisc show dev g0");
	bool found = strstr(text, what) != NULL;

	free(text);
	return found;
}

static inline void fill(int fd)
{
	static const uint8_t bytes[65536];
	int room = 1 << 20;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
}

static inline size_t drain(int fd)
{
	static uint8_t bytes[65536];
	ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	return got > 0 ? (size_t)got : 0;
}

/* All of it but a counter, which anybody's packets advance. */
static inline char *qdiscs(void)
{
	return output_of("tc qdisc show dev g0 | sed 's/direct_packets_stat [0-9]*//';"
	                 " tc class show dev g0");
}

#endif
