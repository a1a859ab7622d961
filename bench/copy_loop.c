/* SPDX-License-Identifier: MIT */
/*
 * bench/copy_loop.c - the yardstick of the bulk rate: how fast does memory go from one process to
 * another over loopback?
 *
 *     bare       a loop of send() and a loop of recv(), large blocks, nothing else
 *     fresh      the same, into memory that has no pages yet, as a VM's has none where it arrives
 *     frames     the same pages through gw_sender and gw_receiver, runs of 256 pages
 *     scattered  every other page only, so that each frame has 256 runs
 *
 * The four alternate, over the same two mappings, touched beforehand but for `fresh`; what arrived
 * is compared.
 */
#include "live/net/channel.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_BYTES ((size_t)1 << 20)
#define TIMEOUT_MS  10000
#define ROUNDS_MAX  101

enum mode { BARE, FRESH, FRAMES, SCATTERED, MODES };

static const char *const names[MODES] = {"bare", "fresh", "frames", "scattered"};

struct bench {
	uint8_t *from, *to;
	uint64_t pages;
	int listener;
	char address[32];
};

static bool is_bare(enum mode mode)
{
	return mode == BARE || mode == FRESH;
}

static void die(const char *what, const struct gw_error *error)
{
	(void)fprintf(stderr, "copy_loop: %s: %s\n", what, error ? error->text : strerror(errno));
	exit(1);
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Processor time of ours and of the children that have ended. */
static double cpu_s(void)
{
	struct rusage own, children;

	if (getrusage(RUSAGE_SELF, &own) || getrusage(RUSAGE_CHILDREN, &children))
		die("getrusage", NULL);
	return (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec + children.ru_utime.tv_sec +
	                children.ru_stime.tv_sec) +
	       (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec + children.ru_utime.tv_usec +
	                children.ru_stime.tv_usec) /
	               1e6;
}

static uint8_t *map_shared(size_t bytes, int fill)
{
	int fd = memfd_create("copy_loop", MFD_CLOEXEC);
	uint8_t *memory;

	if (fd < 0 || ftruncate(fd, (off_t)bytes))
		die("memory", NULL);
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("memory", NULL);
	close(fd);
	memset(memory, fill, bytes);
	return memory;
}

static void wait_for(int fd, short events)
{
	struct pollfd item = {.fd = fd, .events = events};

	if (poll(&item, 1, TIMEOUT_MS) != 1)
		die("the other process is silent", NULL);
}

static void bare_receive(const struct bench *bench, int fd)
{
	size_t at = 0, all = bench->pages * GW_PAGE_BYTES, want;
	ssize_t got;

	while (at < all) {
		want = all - at < BLOCK_BYTES ? all - at : BLOCK_BYTES;
		got = recv(fd, bench->to + at, want, 0);
		if (got <= 0)
			die("recv", NULL);
		at += (size_t)got;
	}
}

static void bare_send(const struct bench *bench, int fd)
{
	size_t at = 0, all = bench->pages * GW_PAGE_BYTES, want;
	ssize_t put;

	while (at < all) {
		want = all - at < BLOCK_BYTES ? all - at : BLOCK_BYTES;
		put = send(fd, bench->from + at, want, MSG_NOSIGNAL);
		if (put < 0)
			die("send", NULL);
		at += (size_t)put;
	}
}

static void frames_receive(const struct bench *bench, int fd)
{
	struct gw_receiver receiver;
	struct gw_error error;
	int result;

	if (gw_receiver_init(&receiver, fd, bench->to, bench->pages))
		die("receiver", NULL);
	do {
		result = gw_receiver_next(&receiver, &error);
		if (result < 0)
			die("receive", &error);
		if (result == 0)
			wait_for(fd, POLLIN);
	} while (result == 0 || receiver.frame.kind != GW_FRAME_END);
	gw_receiver_free(&receiver);
}

static void put_frame(struct gw_sender *sender, const struct gw_frame *frame)
{
	if (gw_sender_put(sender, frame))
		die("frame", NULL);
	do {
		if (gw_sender_flush(sender))
			die("flush", NULL);
		if (!gw_sender_idle(sender))
			wait_for(sender->fd, POLLOUT);
	} while (!gw_sender_idle(sender));
}

static uint64_t fill_frame(struct gw_frame *frame, uint64_t page, uint64_t pages, bool scattered)
{
	uint64_t count;

	frame->kind = GW_FRAME_PAGES;
	frame->number = frame->pages = frame->run_count = 0;
	while (page < pages && frame->pages < GW_FRAME_PAGES_MAX) {
		count = scattered ? 1 : GW_FRAME_PAGES_MAX;
		if (count > pages - page)
			count = pages - page;
		frame->runs[frame->run_count++] = (struct gw_run){page, count};
		frame->pages += (uint32_t)count;
		page += scattered ? 2 : count;
	}
	return page;
}

static void frames_send(const struct bench *bench, int fd, bool scattered)
{
	struct gw_sender sender;
	struct gw_frame frame;

	gw_sender_init(&sender, fd, bench->from);
	for (uint64_t page = 0; page < bench->pages;) {
		page = fill_frame(&frame, page, bench->pages, scattered);
		put_frame(&sender, &frame);
	}
	frame = (struct gw_frame){.kind = GW_FRAME_END};
	put_frame(&sender, &frame);
}

static int bare_socket(const struct bench *bench, bool accepts)
{
	struct sockaddr_storage at;
	socklen_t bytes = sizeof(at);
	int fd;

	if (accepts) {
		wait_for(bench->listener, POLLIN);
		return accept(bench->listener, NULL, NULL);
	}
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (getsockname(bench->listener, (struct sockaddr *)&at, &bytes) ||
	    connect(fd, (struct sockaddr *)&at, bytes))
		die("connect", NULL);
	return fd;
}

static int godwit_socket(const struct bench *bench, bool accepts)
{
	struct gw_id id = {{1}};
	enum gw_channel channel;
	struct gw_error error;
	int fd;

	if (!accepts) {
		fd = gw_net_connect(bench->address, GW_BULK, &id, TIMEOUT_MS, &error);
		if (fd < 0)
			die("connect", &error);
		return fd;
	}
	wait_for(bench->listener, POLLIN);
	fd = gw_net_accept(bench->listener, NULL, 0, &error);
	if (fd < 0 || gw_net_greet(fd, &channel, &id, TIMEOUT_MS, &error))
		die("greet", &error);
	return fd;
}

static void receiving_process(const struct bench *bench, enum mode mode)
{
	int fd = is_bare(mode) ? bare_socket(bench, true) : godwit_socket(bench, true);

	if (is_bare(mode))
		bare_receive(bench, fd);
	else
		frames_receive(bench, fd);
	if (send(fd, "", 1, MSG_NOSIGNAL) != 1)
		die("answer", NULL);
	close(fd);
	_exit(0);
}

static void compare(const struct bench *bench, enum mode mode)
{
	uint64_t step = mode == SCATTERED ? 2 : 1;

	for (uint64_t page = 0; page < bench->pages; page += step)
		if (memcmp(bench->from + page * GW_PAGE_BYTES, bench->to + page * GW_PAGE_BYTES,
		           GW_PAGE_BYTES) != 0) {
			(void)fprintf(stderr, "copy_loop: %s: page %llu differs\n", names[mode],
			              (unsigned long long)page);
			exit(1);
		}
}

/* One transfer; bytes of contents per second, and processor seconds of both sides a byte. */
static double run(const struct bench *bench, enum mode mode, double *cpu)
{
	uint64_t bytes = bench->pages * GW_PAGE_BYTES / (mode == SCATTERED ? 2 : 1);
	pid_t child;
	double start, took;
	int fd, status;
	char answer;

	if (mode == FRESH && madvise(bench->to, bench->pages * GW_PAGE_BYTES, MADV_REMOVE))
		die("memory", NULL);
	if (mode != FRESH)
		memset(bench->to, 0, bench->pages * GW_PAGE_BYTES);
	*cpu = -cpu_s();
	child = fork();
	if (child == 0)
		receiving_process(bench, mode);
	if (child < 0)
		die("fork", NULL);
	fd = is_bare(mode) ? bare_socket(bench, false) : godwit_socket(bench, false);
	start = now_s();
	if (is_bare(mode))
		bare_send(bench, fd);
	else
		frames_send(bench, fd, mode == SCATTERED);
	wait_for(fd, POLLIN);
	if (recv(fd, &answer, 1, 0) != 1)
		die("answer", NULL);
	took = now_s() - start;
	close(fd);
	if (waitpid(child, &status, 0) != child || status != 0)
		die("receiving process", NULL);
	*cpu = (*cpu + cpu_s()) / (double)bytes;
	compare(bench, mode);
	return (double)bytes / took;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void open_listener(struct bench *bench)
{
	struct sockaddr_in at;
	socklen_t bytes = sizeof(at);
	struct gw_error error;

	bench->listener = gw_net_listen("127.0.0.1:0", &error);
	if (bench->listener < 0)
		die("listen", &error);
	if (getsockname(bench->listener, (struct sockaddr *)&at, &bytes))
		die("listen", NULL);
	(void)snprintf(bench->address, sizeof(bench->address), "127.0.0.1:%u", ntohs(at.sin_port));
}

int main(int argc, char **argv)
{
	long mib = argc > 1 ? strtol(argv[1], NULL, 10) : 512;
	long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 7;
	static double rates[MODES][ROUNDS_MAX], cpu[MODES][ROUNDS_MAX];
	struct bench bench = {0};
	double bare = 0;

	if (mib < 1 || mib > 65536 || rounds < 1 || rounds > ROUNDS_MAX || argc > 3) {
		(void)fprintf(stderr, "usage: copy_loop [MIB [ROUNDS]]\n");
		return 2;
	}
	bench.pages = (uint64_t)mib << (20 - GW_PAGE_SHIFT);
	bench.from = map_shared(bench.pages * GW_PAGE_BYTES, 0x5a);
	bench.to = map_shared(bench.pages * GW_PAGE_BYTES, 0);
	for (uint64_t page = 0; page < bench.pages; page++)
		memcpy(bench.from + page * GW_PAGE_BYTES, &page, sizeof(page));
	open_listener(&bench);
	for (long round = 0; round < rounds; round++)
		for (int mode = 0; mode < MODES; mode++)
			rates[mode][round] = run(&bench, (enum mode)mode, &cpu[mode][round]);
	for (int mode = 0; mode < MODES; mode++) {
		qsort(rates[mode], (size_t)rounds, sizeof(double), ascending);
		qsort(cpu[mode], (size_t)rounds, sizeof(double), ascending);
		double median = rates[mode][rounds / 2];
		if (mode == BARE)
			bare = median;
		printf("%-10s %12.0f bytes/s  (%.0f to %.0f)  %3.0f %% of bare, %.2f CPU s/GB\n",
		       names[mode], median, rates[mode][0], rates[mode][rounds - 1],
		       100 * median / bare, cpu[mode][rounds / 2] * 1e9);
	}
	return 0;
}
