/* SPDX-License-Identifier: MIT */
/* The parent's half of a cage: it makes the child, and decides on what that opens for writing. */
#include "live/vm/cage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/vm/cage_own.h"

#define NAMESPACES (CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)
#define PATH_ROOM  1024

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int fork_into_cage(struct gw_cage *cage, const struct gw_cage_start *start, int tell,
                          int ours, struct gw_error *error)
{
	struct clone_args how = {.flags = (NAMESPACES | CLONE_PIDFD) & ~0ull,
	                         .pidfd = (uintptr_t)&cage->pidfd,
	                         .exit_signal = SIGCHLD};

	cage->pid = (pid_t)syscall(SYS_clone3, &how, sizeof(how));
	if (cage->pid == 0) {
		(void)close(ours); /* else it would hold its own line to us open */
		gw_cage_enter(start, tell);
	}
	if (cage->pid > 0)
		return 0;
	cage->pid = 0;
	return gw_fail(error, errno, "no namespaces can be made for it: %s", strerror(errno));
}

/* Until the descriptor has something to read: it may have been stopped, or ended, before that. */
static int await(const struct gw_cage *cage, const struct gw_cage_start *start, int fd,
                 int64_t until)
{
	struct pollfd items[] = {{.fd = fd, .events = POLLIN},
	                         {.fd = cage->pidfd, .events = POLLIN},
	                         {.fd = start->cancel ? start->cancel : -1, .events = POLLIN}};
	int64_t left;

	while ((left = until - now_ms()) > 0) {
		if (poll(items, 3, (int)left) < 0 && errno != EINTR)
			return -errno;
		if (items[2].revents)
			return -ECANCELED;
		if (items[0].revents & POLLIN)
			return 0;
		if (items[0].revents || items[1].revents)
			return -ECHILD;
	}
	return -ETIMEDOUT;
}

/* The listener, or -1. */
static int passed_fd(struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int fd = -1;

	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

static int hear(int fd, int *listener, struct gw_error *error)
{
	struct gw_cage_word word = {0};
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec data = {.iov_base = &word, .iov_len = sizeof(word)};
	struct msghdr message = {.msg_iov = &data,
	                         .msg_iovlen = 1,
	                         .msg_control = control,
	                         .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);

	if (got != (ssize_t)sizeof(word))
		return gw_fail(error, ECHILD, "it ended at once");
	*listener = passed_fd(&message);
	if (!word.step && *listener >= 0)
		return 0;
	return gw_fail(error, word.err ? word.err : EPROTO, "it cannot %s: %s",
	               word.step ? word.step : "be heard", strerror(word.err));
}

/* --- what it opens for writing -------------------------------------------------------------- */

static bool read_path(const struct gw_cage *cage, uint64_t address, char *path)
{
	struct iovec here = {path, PATH_ROOM - 1},
	             there = {(void *)(uintptr_t)address, PATH_ROOM - 1};
	size_t to_page_end = 4096 - address % 4096;
	ssize_t got;

	if (there.iov_len > to_page_end) /* the next page may not be there */
		there.iov_len = to_page_end;
	got = process_vm_readv(cage->pid, &here, 1, &there, 1, 0);
	if (got > 0 && (size_t)got == to_page_end && !memchr(path, 0, (size_t)got)) {
		ssize_t more;

		here.iov_base = path + got;
		there = (struct iovec){(void *)(uintptr_t)(address + (uint64_t)got),
		                       PATH_ROOM - 1 - (size_t)got};
		more = process_vm_readv(cage->pid, &here, 1, &there, 1, 0);
		got = more > 0 ? got + more : -1; /* it does not end */
	}
	if (got <= 0)
		return false;
	path[got] = '\0';
	return true;
}

static uint64_t path_argument(const struct seccomp_data *call)
{
	return call->nr == __NR_openat ? call->args[1] : call->args[0];
}

/* 1: the image was opened; 0: something else was asked for and has its answer; -errno. */
static int decide(const struct gw_cage *cage, const struct gw_cage_start *start, int listener)
{
	struct seccomp_notif ask = {0};
	struct seccomp_notif_resp answer = {.error = -EROFS};
	struct seccomp_notif_addfd give = {.flags = SECCOMP_ADDFD_FLAG_SEND,
	                                   .srcfd = (uint32_t)start->image_fd,
	                                   .newfd_flags = O_CLOEXEC};
	char path[PATH_ROOM];

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &ask) < 0)
		return errno == EINTR || errno == ENOENT ? 0 : -errno;
	answer.id = give.id = ask.id;
	if (!read_path(cage, path_argument(&ask.data), path))
		path[0] = '\0';
	if (strcmp(path, start->image) == 0)
		return ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &give) < 0 ? -errno : 1;
	if (start->kvm && strcmp(path, "/dev/kvm") == 0) {
		answer.error = 0;
		answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE; /* mounts hold if it cheats */
	}
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0 && errno != ENOENT ? -errno
	                                                                                 : 0;
}

/* Once it has the image nobody listens any more, and no open for writing is ever answered again. */
static int hand_image(const struct gw_cage *cage, const struct gw_cage_start *start, int listener,
                      int64_t until)
{
	int rc = 0;

	while (rc == 0) {
		rc = await(cage, start, listener, until);
		if (rc == 0)
			rc = decide(cage, start, listener);
	}
	return rc < 0 ? rc : 0;
}

/* --- its beginning and end ------------------------------------------------------------------ */

static int await_start(struct gw_cage *cage, const struct gw_cage_start *start, int line,
                       struct gw_error *error)
{
	_cleanup_close_ int listener = -1;
	int64_t until = now_ms() + start->timeout_ms;
	int rc = write(line, "", 1) == 1 ? await(cage, start, line, until) : -ECHILD;

	if (rc == 0) {
		rc = hear(line, &listener, error);
		if (rc < 0)
			return rc;
		rc = hand_image(cage, start, listener, until);
	}
	if (rc == -ETIMEDOUT)
		return gw_fail(error, ETIMEDOUT, "it did not open its memory in %d ms",
		               start->timeout_ms);
	return rc < 0 ? gw_fail(error, -rc, "it ended as it started") : 0;
}

static bool too_many(const struct gw_cage_start *start)
{
	unsigned count = start->fd_count;

	for (unsigned i = 0; i < start->tap_count; i++)
		count += start->taps[i];
	return count > GW_CAGE_FDS_MAX;
}

int gw_cage_start(struct gw_cage *cage, const struct gw_cage_start *start, struct gw_error *error)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	int pair[2], rc;

	*cage = (struct gw_cage){.pidfd = -1};
	if (too_many(start))
		return gw_fail(error, E2BIG, "it has too many disks and network queues");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return gw_fail(error, errno, "no socket can be made: %s", strerror(errno));
	ours = pair[0];
	theirs = pair[1];
	rc = fork_into_cage(cage, start, theirs, ours, error);
	gw_cleanup_close(&theirs);
	if (rc == 0)
		rc = await_start(cage, start, ours, error);
	if (rc < 0)
		gw_cage_end(cage);
	return rc;
}

void gw_cage_end(struct gw_cage *cage)
{
	siginfo_t info;

	if (cage->pid <= 0)
		return;
	(void)pidfd_send_signal(cage->pidfd, SIGKILL, NULL, 0);
	while (waitid(P_PIDFD, (id_t)cage->pidfd, &info, WEXITED) < 0 && errno == EINTR)
		;
	close(cage->pidfd);
	*cage = (struct gw_cage){.pidfd = -1};
}
