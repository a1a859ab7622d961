/* SPDX-License-Identifier: MIT */
/*
 * guest/linux/workload.c - the work of the small Linux guest, and its own witness.
 *
 * Theory of Operation
 *
 * One thread writes. Every page of its memory holds a content that is a function of (page number,
 * version); the versions stand in a table of their own. Before a page is rewritten, and in a slow
 * sweep over everything, its content is compared with what its version says: a page that a move
 * lost, mixed up or brought in an old state is counted as a memory error, and repaired so that it
 * counts once. After every operation the thread looks at the guest's clock and keeps the longest
 * time since the operation before: that is how long the guest itself stood still while its clock
 * ran (waiting for pages, not being paused).
 *
 * The main thread serves TCP. Each line from a client is a command, answered at once by one line
 * of JSON:
 *
 *	ping			nothing but the answer (so does an empty line)
 *	clear			the answer, and then the longest gap starts at zero
 *	rate N			N pages are rewritten a second
 *	pattern NAME		random, sequential, locality, idle
 *	corrupt			flips one byte of the working set; the check must find it
 *	disk N			every 100 ms, N blocks of /dev/vda are written or verified (0: stop)
 *	poweroff, reset, panic	the answer, and then the guest does that
 *
 * The answer: {"seq", "command", "ops", "writes", "swept", "rounds", "errors", "gap_us",
 * "uptime_ms", "rate", "disk_ops", "disk_errors"}; seq counts the lines of this connection, rounds
 * the complete sweeps; an unknown command yields "error" as well.
 *
 * Two threads make it another kind of VM. One keeps a processor busy for godwit.spin per cent of
 *the time. One serves a stream on the port after that: a client sends "N", and gets N bytes a
 *second of what is in memory, for as long as it stays. What could not be sent in time is not made
 *up for.
 *
 * Kernel command line: godwit.ws=64M (rewritten memory), godwit.alloc=64M (all memory, at least
 * ws), godwit.rate=2000 (pages/s), godwit.sweep=1000 (pages/s), godwit.pattern=random,
 * godwit.port=7070, godwit.disk=0, godwit.spin=0,
 * godwit.clear=0. The address, godwit.ip=10.77.0.2/24, is the init
 *script's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include <linux/fs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define PAGE_BYTES    4096u
#define PAGE_WORDS    (PAGE_BYTES / 8u)
#define BEAT_NS       2000000u  /* the writer wakes this often; its gap is never shorter */
#define LATE_NS       20000000u /* a beat never makes up for more than this */
#define CLIENTS       16u
#define DISK_BEAT_US  100000u
#define KEPT_FREE     (2u << 20)
#define SPIN_BEAT_NS  10000000u
#define STREAM_BUFFER 131072 /* what waits in the kernel for a link that is busy */

enum pattern {
	PATTERN_RANDOM,
	PATTERN_SEQUENTIAL,
	PATTERN_LOCALITY,
	PATTERN_IDLE,
};

static const char *const pattern_names[] = {"random", "sequential", "locality", "idle"};

/* What the threads share. Counters are the writer's and the disk thread's, wishes the server's. */
struct work {
	uint64_t *memory;
	uint32_t *version;
	uint64_t pages;    /* all of them, swept */
	uint64_t ws_pages; /* the first of them, rewritten */
	uint64_t sweep_rate;
	int streams; /* listens */

	_Atomic uint64_t rate;
	_Atomic int pattern;
	_Atomic bool corrupt;
	_Atomic bool clear;
	_Atomic uint64_t disk_blocks;

	_Atomic uint64_t writes, swept, rounds, errors, ops, gap_ns;
	_Atomic uint64_t disk_ops, disk_errors;
};

/* What the writer alone knows. */
struct writer {
	struct work *work;
	uint64_t random;
	uint64_t next;  /* sequential: the page to rewrite next */
	uint64_t hot;   /* locality: where the hot window begins */
	uint64_t sweep; /* the page to verify next */
	uint64_t last_ns;
	uint64_t write_credit, sweep_credit; /* in pages * ns, carried from beat to beat */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* splitmix64's mixer: every bit of the input moves every bit of the result. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t random_below(struct writer *w, uint64_t limit)
{
	w->random += 0x9e3779b97f4a7c15u;
	return mix(w->random) % limit;
}

static uint64_t content(uint64_t page, uint32_t version)
{
	return mix(page << 32 | version) | 1u;
}

static void fill(uint64_t *words, uint64_t page, uint32_t version)
{
	uint64_t value = content(page, version);

	for (unsigned i = 0; i < PAGE_WORDS; i++)
		words[i] = value + i * 0x9e3779b97f4a7c15u;
}

static bool matches(const uint64_t *words, uint64_t page, uint32_t version)
{
	uint64_t value = content(page, version), difference = 0;

	for (unsigned i = 0; i < PAGE_WORDS; i++)
		difference |= words[i] ^ (value + i * 0x9e3779b97f4a7c15u);
	return difference == 0;
}

/* One operation is over: the gap since the one before ends here. */
static void beat(struct writer *w)
{
	uint64_t now = now_ns(), gap = now - w->last_ns;

	if (atomic_exchange(&w->work->clear, false))
		w->work->gap_ns = 0;
	if (gap > w->work->gap_ns)
		w->work->gap_ns = gap;
	w->last_ns = now;
	w->work->ops++;
}

static void check(struct writer *w, uint64_t page)
{
	uint64_t *words = w->work->memory + page * PAGE_WORDS;

	if (matches(words, page, w->work->version[page]))
		return;
	w->work->errors++;
	fill(words, page, w->work->version[page]);
}

static uint64_t choose(struct writer *w)
{
	uint64_t pages = w->work->ws_pages, window = pages / 10u + 1u;
	int pattern = w->work->pattern;

	switch (pattern) {
	case PATTERN_SEQUENTIAL: return w->next++ % pages;
	case PATTERN_LOCALITY:
		/* Nine writes of ten into a tenth of the memory, which moves on by a page a tick.
		 */
		if (random_below(w, 10u) == 0)
			return random_below(w, pages);
		if (random_below(w, 100u) == 0)
			w->hot++;
		return (w->hot + random_below(w, window)) % pages;
	default: return random_below(w, pages);
	}
}

static void rewrite(struct writer *w)
{
	uint64_t page = choose(w);

	check(w, page);
	fill(w->work->memory + page * PAGE_WORDS, page, ++w->work->version[page]);
	w->work->writes++;
	beat(w);
}

static void sweep(struct writer *w)
{
	check(w, w->sweep);
	w->work->swept++;
	if (++w->sweep == w->work->pages) {
		w->sweep = 0;
		w->work->rounds++;
	}
	beat(w);
}

/* The planted error lies just before the sweep, or at the start, so that it is found soon. */
static void plant(struct writer *w)
{
	uint64_t page = (w->sweep + 16u) % w->work->ws_pages;
	unsigned char *bytes = (unsigned char *)(w->work->memory + page * PAGE_WORDS);

	bytes[random_below(w, PAGE_BYTES)] ^= (unsigned char)(1u << random_below(w, 8u));
}

/*
 * How many pages a rate has earned since the beat before; what is left over stays in the credit.
 * What a long stop would have earned is not made up for.
 */
static uint64_t due(uint64_t *credit, uint64_t rate, uint64_t elapsed_ns)
{
	uint64_t pages;

	*credit += rate * (elapsed_ns < LATE_NS ? elapsed_ns : LATE_NS);
	pages = *credit / 1000000000u;
	*credit %= 1000000000u;
	return pages;
}

static void *writer_thread(void *argument)
{
	struct writer w = {.work = argument, .random = 1, .last_ns = now_ns()};
	uint64_t started = now_ns();

	for (;;) {
		struct timespec pause = {0};
		uint64_t now = now_ns(), elapsed = now - started;

		started = now;
		if (atomic_exchange(&w.work->corrupt, false))
			plant(&w);
		if (w.work->pattern != PATTERN_IDLE)
			for (uint64_t n = due(&w.write_credit, w.work->rate, elapsed); n > 0; n--)
				rewrite(&w);
		for (uint64_t n = due(&w.sweep_credit, w.work->sweep_rate, elapsed); n > 0; n--)
			sweep(&w);
		beat(&w);
		now = now_ns();
		if (now - started < BEAT_NS) {
			pause.tv_nsec = (long)(BEAT_NS - (now - started));
			clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
		}
	}
	return NULL;
}

/*
 * The disk: blocks of one page, content like memory's, direct, so that the device itself writes
 * into guest memory. Even rounds write all blocks, odd rounds read and verify them.
 */
static void disk_round(struct work *work, int fd, uint64_t *buffer, uint64_t blocks, uint64_t round)
{
	uint32_t version = (uint32_t)(round / 2u);

	for (uint64_t block = 0; block < blocks; block++) {
		off_t at = (off_t)(block * PAGE_BYTES);
		bool good;

		if (round % 2u == 0) {
			fill(buffer, block, version);
			good = pwrite(fd, buffer, PAGE_BYTES, at) == PAGE_BYTES;
		} else {
			memset(buffer, 0, PAGE_BYTES);
			good = pread(fd, buffer, PAGE_BYTES, at) == PAGE_BYTES &&
			       matches(buffer, block, version);
		}
		work->disk_ops++;
		if (!good)
			work->disk_errors++;
	}
}

static void *disk_thread(void *argument)
{
	struct work *work = argument;
	uint64_t *buffer = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	uint64_t bytes = 0, blocks = 0, round = 0;
	int fd = open("/dev/vda", O_RDWR | O_DIRECT);

	if (fd < 0 || !buffer || ioctl(fd, BLKGETSIZE64, &bytes) != 0)
		return NULL;
	for (;;) {
		/* The number of blocks changes only before a round of writing. */
		if (round % 2u == 0)
			blocks = work->disk_blocks;
		if (blocks > bytes / PAGE_BYTES)
			blocks = bytes / PAGE_BYTES;
		if (blocks > 0)
			disk_round(work, fd, buffer, blocks, round++);
		usleep(DISK_BEAT_US);
	}
	return NULL;
}

static void *spin_thread(void *argument)
{
	uint64_t busy_ns = *(const uint64_t *)argument * SPIN_BEAT_NS / 100u, number = 1;
	struct timespec pause = {.tv_nsec = (long)(SPIN_BEAT_NS - busy_ns)};

	for (;;) {
		for (uint64_t end = now_ns() + busy_ns; now_ns() < end;)
			for (unsigned i = 0; i < 1000; i++)
				number = mix(number);
		if (pause.tv_nsec > 0)
			clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	}
	return NULL;
}

static int pattern_of(const char *name)
{
	for (int i = 0; i < (int)(sizeof(pattern_names) / sizeof(*pattern_names)); i++)
		if (strcmp(name, pattern_names[i]) == 0)
			return i;
	return -1;
}

static void give_up(const char *what)
{
	printf("godwit guest: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- commands ---- */

struct client {
	int fd; /* -1: free */
	uint64_t seq;
	size_t length;
	char line[256];
};

static void trigger_panic(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY);

	if (fd < 0 || write(fd, "c", 1) != 1)
		give_up("cannot panic");
}

/* NULL: done or to be done after the answer; else what is wrong with the command. */
static const char *obey(struct work *work, const char *word, const char *value)
{
	char *end;
	uint64_t number = strtoull(value, &end, 10);
	bool is_number = *value >= '0' && *value <= '9' && *end == '\0';

	if (strcmp(word, "rate") == 0 && is_number)
		work->rate = number;
	else if (strcmp(word, "disk") == 0 && is_number)
		work->disk_blocks = number;
	else if (strcmp(word, "pattern") == 0 && pattern_of(value) >= 0)
		work->pattern = pattern_of(value);
	else if (strcmp(word, "corrupt") == 0)
		work->corrupt = true;
	else if (strcmp(word, "rate") == 0 || strcmp(word, "disk") == 0)
		return "this command wants a number";
	else if (strcmp(word, "pattern") == 0)
		return "this pattern is not known";
	else if (strcmp(word, "ping") && strcmp(word, "clear") && strcmp(word, "poweroff") &&
	         strcmp(word, "reset") && strcmp(word, "panic"))
		return "this command is not known";
	return NULL;
}

static bool answer(struct work *work, struct client *client, const char *word, const char *wrong)
{
	char text[768];
	uint64_t now = now_ns();
	int length = snprintf(
	        text, sizeof(text),
	        "{\"seq\": %ju, \"command\": \"%s\", %s%s%s\"ops\": %ju, \"writes\": %ju, "
	        "\"swept\": %ju, \"rounds\": %ju, \"errors\": %ju, \"gap_us\": %ju, "
	        "\"uptime_ms\": %ju, \"rate\": %ju, \"disk_ops\": %ju, \"disk_errors\": %ju}\n",
	        (uintmax_t)++client->seq, wrong ? "?" : word, wrong ? "\"error\": \"" : "",
	        wrong ? wrong : "", wrong ? "\", " : "", (uintmax_t)work->ops,
	        (uintmax_t)work->writes, (uintmax_t)work->swept, (uintmax_t)work->rounds,
	        (uintmax_t)work->errors, (uintmax_t)(work->gap_ns / 1000u),
	        (uintmax_t)(now / 1000000u), (uintmax_t)work->rate, (uintmax_t)work->disk_ops,
	        (uintmax_t)work->disk_errors);

	return send(client->fd, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) == length;
}

/* The last words reach the client before the guest is gone. */
static void farewell(struct client *client)
{
	struct pollfd closed = {.fd = client->fd, .events = POLLIN};

	shutdown(client->fd, SHUT_WR);
	poll(&closed, 1, 500);
}

static bool serve_line(struct work *work, struct client *client, char *line)
{
	char word[32] = "ping", value[32] = "";
	const char *wrong;

	sscanf(line, "%31s %31s", word, value);
	wrong = obey(work, word, value);
	if (!answer(work, client, word, wrong))
		return false;
	if (wrong)
		return true;
	if (strcmp(word, "clear") == 0) {
		work->clear = true;
	} else if (strcmp(word, "poweroff") == 0) {
		farewell(client);
		reboot(RB_POWER_OFF);
	} else if (strcmp(word, "reset") == 0) {
		farewell(client);
		reboot(RB_AUTOBOOT);
	} else if (strcmp(word, "panic") == 0) {
		farewell(client);
		trigger_panic();
	}
	return true;
}

/* False: this client is done with. */
static bool serve_input(struct work *work, struct client *client)
{
	size_t room = sizeof(client->line) - 1u - client->length;
	ssize_t got = recv(client->fd, client->line + client->length, room, MSG_DONTWAIT);
	char *start = client->line, *end;

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got == 0)
		return false;
	client->length += (size_t)got;
	client->line[client->length] = '\0';
	while ((end = memchr(start, '\n', client->length))) {
		*end = '\0';
		if (!serve_line(work, client, start))
			return false;
		client->length -= (size_t)(end + 1 - start);
		start = end + 1;
	}
	memmove(client->line, start, client->length);
	return client->length < sizeof(client->line) - 1u;
}

static void welcome(int listener, struct client *clients)
{
	int one = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (clients[i].fd < 0) {
			clients[i] = (struct client){.fd = fd};
			return;
		}
	}
	close(fd);
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		give_up("cannot make a socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0 || listen(fd, 8) != 0)
		give_up("cannot listen");
	return fd;
}

static void serve(struct work *work, int listener)
{
	struct client clients[CLIENTS];
	struct pollfd polled[CLIENTS + 1u] = {[CLIENTS] = {.fd = listener, .events = POLLIN}};

	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i] = (struct client){.fd = -1};
	for (;;) {
		for (unsigned i = 0; i < CLIENTS; i++)
			polled[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
		if (poll(polled, CLIENTS + 1u, -1) < 0)
			continue;
		for (unsigned i = 0; i < CLIENTS; i++) {
			if (polled[i].revents != 0 && !serve_input(work, &clients[i])) {
				close(clients[i].fd);
				clients[i].fd = -1;
			}
		}
		if (polled[CLIENTS].revents != 0)
			welcome(listener, clients);
	}
}

/* ---- the stream ---- */

static bool send_all(int fd, const unsigned char *bytes, size_t count)
{
	while (count > 0) {
		ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		bytes += sent;
		count -= (size_t)sent;
	}
	return true;
}

/* Until the client is gone. */
static void stream_to(const struct work *work, int fd)
{
	const unsigned char *memory = (const unsigned char *)work->memory;
	uint64_t size = work->pages * PAGE_BYTES, at = 0, rate, credit = 0, last = now_ns();
	char line[32] = "";

	if (recv(fd, line, sizeof(line) - 1u, 0) <= 0)
		return;
	rate = strtoull(line, NULL, 10);
	for (;;) {
		uint64_t now = now_ns(), bytes = due(&credit, rate, now - last);

		last = now;
		if (at + bytes > size)
			at = 0;
		if (bytes > size || !send_all(fd, memory + at, bytes))
			return;
		at += bytes;
		usleep(BEAT_NS / 1000u);
	}
}

static void *stream_thread(void *argument)
{
	struct work *work = argument;
	int size = STREAM_BUFFER;

	for (;;) {
		int fd = accept4(work->streams, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		stream_to(work, fd);
		close(fd);
	}
	return NULL;
}

/* ---- settings ---- */

static const char *option(const char *name, char *value, size_t size, const char *fallback)
{
	char line[4096] = "", key[64];
	FILE *file = fopen("/proc/cmdline", "re");
	const char *found;

	if (file && !fgets(line, sizeof(line), file))
		line[0] = '\0';
	if (file)
		fclose(file);
	snprintf(key, sizeof(key), "godwit.%s=", name);
	found = strstr(line, key);
	snprintf(value, size, "%s", found ? found + strlen(key) : fallback);
	value[strcspn(value, " \n")] = '\0';
	return value;
}

/* "64M", "4096K", "2000". */
static uint64_t option_number(const char *name, const char *fallback)
{
	char text[32], *end;
	uint64_t number = strtoull(option(name, text, sizeof(text), fallback), &end, 10);

	switch (*end) {
	case 'G': return number << 30;
	case 'M': return number << 20;
	case 'K': return number << 10;
	default: return number;
	}
}

/* What the kernel's start left in memory that is free now becomes zeros, which a move need not
 * send. */
static void clear_free(void)
{
	struct sysinfo info;
	size_t size;
	unsigned char *memory;

	if (sysinfo(&info) != 0 || info.freeram < 2 * KEPT_FREE)
		return;
	size = info.freeram - KEPT_FREE;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return;
	for (size_t at = 0; at < size; at += PAGE_BYTES)
		((volatile unsigned char *)memory)[at] = 0;
	munmap(memory, size);
}

static void allocate(struct work *work)
{
	uint64_t ws = option_number("ws", "64M") / PAGE_BYTES;
	uint64_t all = option_number("alloc", "0") / PAGE_BYTES;

	work->ws_pages = ws > 0 ? ws : 1;
	work->pages = all > work->ws_pages ? all : work->ws_pages;
	work->memory = mmap(NULL, work->pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	work->version = calloc(work->pages, sizeof(*work->version));
	if (work->memory == MAP_FAILED || !work->version)
		give_up("godwit.alloc or godwit.ws is larger than this guest's memory");
	for (uint64_t page = 0; page < work->pages; page++)
		fill(work->memory + page * PAGE_WORDS, page, 0);
}

int main(void)
{
	static struct work work;
	static uint64_t spin;
	char name[32];
	pthread_t writer, disk, stream, spinner;
	uint16_t port;
	int listener;

	signal(SIGPIPE, SIG_IGN);
	work.pattern = pattern_of(option("pattern", name, sizeof(name), "random"));
	if (work.pattern < 0) {
		printf("godwit guest: godwit.pattern=%s is not known\n", name);
		return 1;
	}
	work.rate = option_number("rate", "2000");
	work.sweep_rate = option_number("sweep", "1000");
	work.disk_blocks = option_number("disk", "0");
	spin = option_number("spin", "0");
	if (option_number("clear", "0"))
		clear_free();
	allocate(&work);
	port = (uint16_t)option_number("port", "7070");
	listener = listen_on(port);
	work.streams = listen_on((uint16_t)(port + 1u));
	if (pthread_create(&writer, NULL, writer_thread, &work) != 0 ||
	    pthread_create(&disk, NULL, disk_thread, &work) != 0 ||
	    pthread_create(&stream, NULL, stream_thread, &work) != 0 ||
	    (spin > 0 && spin <= 100u && pthread_create(&spinner, NULL, spin_thread, &spin) != 0))
		give_up("cannot start a thread");
	printf("godwit guest ready\n");
	fflush(stdout);
	serve(&work, listener);
	return 0;
}
