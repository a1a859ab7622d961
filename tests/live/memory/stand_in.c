/* SPDX-License-Identifier: MIT */
#include "tests/live/memory/stand_in.h"

#include <dirent.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "live/memory/probe.h"

struct inside {
	struct control *control;
	uint8_t *ram;
	uint64_t pages;
	int pipe;
	int ring;
	struct io_uring_params params;
};

void sleep_ms(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

static uint64_t *word_of(struct inside *in, uint64_t page)
{
	return (uint64_t *)(in->ram + page * GW_PAGE_BYTES);
}

static int pin(struct inside *in)
{
	struct iovec iov = {.iov_base = word_of(in, in->control->first), .iov_len = GW_PAGE_BYTES};

	in->ring = (int)syscall(SYS_io_uring_setup, 4, &in->params);
	if (in->ring < 0)
		return errno;
	return syscall(SYS_io_uring_register, in->ring, IORING_REGISTER_BUFFERS, &iov, 1) < 0
	               ? errno
	               : 0;
}

static int read_fixed(struct inside *in)
{
	struct io_uring_params *p = &in->params;
	uint8_t *sq = mmap(NULL, p->sq_off.array + p->sq_entries * sizeof(unsigned),
	                   PROT_READ | PROT_WRITE, MAP_SHARED, in->ring, IORING_OFF_SQ_RING);
	struct io_uring_sqe *sqes =
	        mmap(NULL, p->sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED,
	             in->ring, IORING_OFF_SQES);

	if (sq == MAP_FAILED || sqes == MAP_FAILED)
		return errno;
	sqes[0] = (struct io_uring_sqe){.opcode = IORING_OP_READ_FIXED,
	                                .fd = in->pipe,
	                                .off = UINT64_MAX,
	                                .addr = (uintptr_t)word_of(in, in->control->first),
	                                .len = GW_PAGE_BYTES};
	((unsigned *)(void *)(sq + p->sq_off.array))[0] = 0;
	__atomic_store_n((unsigned *)(void *)(sq + p->sq_off.tail), 1, __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, in->ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0
	               ? errno
	               : 0;
}

static void write_until_told(struct inside *in, uint64_t asked)
{
	struct control *c = in->control;
	uint64_t x = 88172645463325252ull + c->writes;

	while (c->asked == asked) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		/* Few enough writes a page that a lost one is not hidden by the next. */
		++*word_of(in, x % in->pages);
		c->writes++;
	}
}

static void do_job(struct inside *in, int job, uint64_t asked)
{
	struct control *c = in->control;
	uint64_t sum = 0;

	if (job == JOB_WRITE)
		write_until_told(in, asked);
	for (uint64_t page = c->first; page < c->first + c->count; page++) {
		if (job == JOB_TOUCH)
			*word_of(in, page) = c->value;
		else if (job == JOB_READ || job == JOB_SUM)
			sum += *(volatile uint64_t *)word_of(in, page);
	}
	if (job == JOB_SUM)
		c->value = sum;
	if (job == JOB_PUNCH &&
	    madvise(word_of(in, c->first), c->count * GW_PAGE_BYTES, MADV_REMOVE) < 0)
		c->failed = errno;
	if (job == JOB_PIN)
		c->failed = pin(in);
	if (job == JOB_FIXED)
		c->failed = read_fixed(in);
}

static void *work(void *arg)
{
	struct inside *in = arg;
	struct control *c = in->control;

	c->ready = 1;
	for (;;) {
		uint64_t asked = c->asked;

		if (asked == c->answered) {
			sched_yield();
			continue;
		}
		do_job(in, c->job, asked);
		c->answered = asked;
	}
	return NULL;
}

static void live(struct stand_in *s, uint8_t *ram, uint64_t pages, int flags)
{
	struct inside in = {.control = s->control, .ram = ram, .pages = pages, .pipe = s->pipe[0]};
	pthread_t worker;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (pthread_create(&worker, NULL, work, &in) != 0)
		_exit(1);
	for (;;) {
		if (flags & STAND_IN_POLL)
			(void)poll(NULL, 0, 1000000);
		else
			(void)ppoll(NULL, 0, NULL, NULL);
		s->control->polls++;
	}
}

void stand_in_start(struct stand_in *s, uint64_t pages, int flags)
{
	uint8_t *ram;

	*s = (struct stand_in){.fd = memfd_create("godwit-test", MFD_CLOEXEC)};
	if (s->fd < 0 || ftruncate(s->fd, (off_t)(pages * GW_PAGE_BYTES)) < 0 || pipe(s->pipe) < 0)
		abort();
	(void)snprintf(s->path, sizeof(s->path), "/proc/%d/fd/%d", (int)getpid(), s->fd);
	s->control = mmap(NULL, sizeof(*s->control), PROT_READ | PROT_WRITE,
	                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ram = mmap(NULL, pages * GW_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (s->control == MAP_FAILED || ram == MAP_FAILED)
		abort();
	for (uint64_t page = 0; page < pages && !(flags & STAND_IN_SPARSE); page++)
		*(uint64_t *)(void *)(ram + page * GW_PAGE_BYTES) = page + 1;
	s->pid = fork();
	if (s->pid < 0)
		abort();
	if (s->pid == 0)
		live(s, ram, pages, flags);
	munmap(ram, pages * GW_PAGE_BYTES);
	while (!s->control->ready)
		sched_yield();
}

void stand_in_end(struct stand_in *s)
{
	kill(s->pid, SIGKILL);
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
	munmap(s->control, sizeof(*s->control));
	close(s->fd);
	close(s->pipe[0]);
	close(s->pipe[1]);
}

void stand_in_begin(struct stand_in *s, enum job job, uint64_t first, uint64_t count,
                    uint64_t value)
{
	struct control *c = s->control;

	if (c->asked != c->answered)
		abort();
	c->first = first;
	c->count = count;
	c->value = value;
	c->job = job;
	c->asked++;
}

void stand_in_wait(struct stand_in *s)
{
	while (s->control->answered != s->control->asked && stand_in_alive(s))
		sched_yield();
}

void stand_in_do(struct stand_in *s, enum job job, uint64_t first, uint64_t count, uint64_t value)
{
	stand_in_begin(s, job, first, count, value);
	stand_in_wait(s);
	if (s->control->failed) {
		(void)fprintf(stderr, "job %d: %s\n", (int)job, strerror(s->control->failed));
		abort();
	}
}

void stand_in_write(struct stand_in *s)
{
	stand_in_begin(s, JOB_WRITE, 0, 0, 0);
}

void stand_in_rest(struct stand_in *s)
{
	s->control->job = JOB_REST;
	s->control->count = 0;
	s->control->asked++;
	stand_in_wait(s);
}

bool stand_in_alive(const struct stand_in *s)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)s->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == 0;
}

unsigned count_fds(pid_t pid)
{
	char name[64];
	unsigned count = 0;
	struct dirent *entry;
	DIR *fds;

	(void)snprintf(name, sizeof(name), "/proc/%d/fd", (int)pid);
	fds = opendir(name);
	while (fds && (entry = readdir(fds)))
		count += entry->d_name[0] != '.';
	if (fds)
		closedir(fds);
	return count;
}

void need(const char *what)
{
	struct gw_probe probe;
	const char *lacks;

	gw_probe_host(&probe);
	lacks = gw_probe_lacks(&probe, what);
	if (!lacks)
		return;
	(void)printf("skipped: %s\n", lacks);
	exit(77);
}
