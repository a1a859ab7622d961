/* SPDX-License-Identifier: MIT */
/*
 * bench/delay_link.c - a link of a given rate and latency between two network namespaces.
 *
 *     delay-link NETNS_A NETNS_B BITS_PER_S ONE_WAY_US QUEUE_MS
 *
 * Makes the interface `link0`, a tap, in each, says "ready" and carries Ethernet frames from one to
 * the other until its input ends. A frame leaves when those before it have left at the rate, and
 * arrives so much later; what would wait longer than the queue is long is dropped. Round trips,
 * windows and losses are then what they are on such a link, which no relay of connections can give.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define FRAME_BYTES 9216u
#define FRAMES      8192u /* on their way, one way; a power of two */
#define PREAMBLE    24u   /* bytes a frame takes on a wire beside itself */

struct frame {
	uint64_t arrives_ns;
	size_t bytes;
	uint8_t data[FRAME_BYTES];
};

struct way {
	int in, out;
	uint64_t free_ns; /* when the last one has left */
	struct frame *ring;
	size_t put, taken;
};

struct link {
	uint64_t bits_per_s, delay_ns, queue_ns;
	struct way way[2];
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
	(void)fprintf(stderr, "delay-link: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_tap(const char *netns)
{
	struct ifreq request = {.ifr_name = "link0", .ifr_flags = IFF_TAP | IFF_NO_PI};
	char path[256];
	int ns, fd;

	(void)snprintf(path, sizeof(path), "/run/netns/%s", netns);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET))
		fail(path);
	close(ns);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || ioctl(fd, (unsigned long)TUNSETIFF, &request) < 0)
		fail("a tap");
	return fd;
}

/* Takes in what came; what finds the queue too long is dropped. */
static void take(const struct link *link, struct way *way)
{
	struct frame spare, *frame;
	uint64_t now = now_ns();

	for (;;) {
		bool full = way->put - way->taken == FRAMES;
		ssize_t got;

		frame = full ? &spare : &way->ring[way->put % FRAMES];
		got = read(way->in, frame->data, sizeof(frame->data));
		if (got <= 0)
			return;
		if (way->free_ns < now)
			way->free_ns = now;
		if (full || way->free_ns - now > link->queue_ns)
			continue;
		way->free_ns += ((uint64_t)got + PREAMBLE) * 8 * 1000000000ull / link->bits_per_s;
		frame->arrives_ns = way->free_ns + link->delay_ns;
		frame->bytes = (size_t)got;
		way->put++;
	}
}

/* Gives out what has arrived. When the next one does; UINT64_MAX: there is none. */
static uint64_t give(struct way *way)
{
	while (way->taken != way->put) {
		struct frame *frame = &way->ring[way->taken % FRAMES];

		if (frame->arrives_ns > now_ns())
			return frame->arrives_ns;
		(void)!write(way->out, frame->data, frame->bytes);
		way->taken++;
	}
	return UINT64_MAX;
}

static void carry(struct link *link)
{
	struct pollfd items[3] = {{.fd = link->way[0].in, .events = POLLIN},
	                          {.fd = link->way[1].in, .events = POLLIN},
	                          {.fd = STDIN_FILENO, .events = POLLIN}};
	char end[64];

	for (;;) {
		uint64_t first = give(&link->way[0]), second = give(&link->way[1]), now = now_ns();
		uint64_t next = first < second ? first : second;
		uint64_t left = next > now ? next - now : 0;
		struct timespec wait = {(time_t)(left / 1000000000ull),
		                        (long)(left % 1000000000ull)};

		if (ppoll(items, 3, next == UINT64_MAX ? NULL : &wait, NULL) < 0 && errno != EINTR)
			fail("poll");
		if (items[2].revents && read(STDIN_FILENO, end, sizeof(end)) <= 0)
			return;
		take(link, &link->way[0]);
		take(link, &link->way[1]);
	}
}

int main(int count, char **argument)
{
	struct sched_param first = {.sched_priority = 10};
	struct link link;
	int a, b;

	if (count != 6) {
		(void)fprintf(stderr,
		              "usage: delay-link NETNS_A NETNS_B BITS_PER_S ONE_WAY_US QUEUE_MS\n");
		return 2;
	}
	a = open_tap(argument[1]);
	b = open_tap(argument[2]);
	link = (struct link){.bits_per_s = strtoull(argument[3], NULL, 10),
	                     .delay_ns = strtoull(argument[4], NULL, 10) * 1000,
	                     .queue_ns = strtoull(argument[5], NULL, 10) * 1000000,
	                     .way = {{.in = a, .out = b}, {.in = b, .out = a}}};
	for (int i = 0; i < 2; i++)
		link.way[i].ring = calloc(FRAMES, sizeof(struct frame));
	if (!link.bits_per_s || !link.way[0].ring || !link.way[1].ring)
		fail("no such link");
	/* A wire is never late. */
	(void)sched_setscheduler(0, SCHED_FIFO, &first);
	(void)prctl(PR_SET_TIMERSLACK, 1ul);
	(void)puts("ready");
	(void)fflush(stdout);
	carry(&link);
	return 0;
}
