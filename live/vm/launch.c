/* SPDX-License-Identifier: MIT */
#include "live/vm/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/cleanup.h"

#define TERM_WAIT_MS 3000
#define KILL_WAIT_MS 10000

struct verdict { /* what the started process tells us before it becomes the program */
	pid_t pid;
	int err;
};

static void say(int fd, pid_t pid, int err)
{
	struct verdict v = {pid, err};

	if (write(fd, &v, sizeof(v)) < 0)
		_exit(126);
}

/* Between fork and exec: async-signal-safe calls only. */
static void become(char *const *argv, int log, int tell)
{
	sigset_t none;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		say(tell, 0, errno);
	/* Descriptors of libraries may lack the flag. */
	(void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	say(tell, getpid(), 0);
	execvp(argv[0], argv);
	say(tell, 0, errno);
	_exit(127);
}

static int hear(int fd, pid_t *pid)
{
	struct verdict v;
	int err = ECHILD;

	while (read(fd, &v, sizeof(v)) == (ssize_t)sizeof(v)) {
		if (v.pid > 0)
			*pid = v.pid;
		err = v.err;
	}
	return err;
}

int gw_launch(char *const *argv, const char *log_path, pid_t *pid, int *pidfd,
              struct gw_error *error)
{
	_cleanup_close_ int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	_cleanup_close_ int reads = -1;
	int pipes[2], status, err;
	pid_t child;

	if (log < 0)
		return gw_fail(error, errno, "Cannot write the log %s: %s.", log_path,
		               strerror(errno));
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return gw_fail(error, errno, "Cannot start %s: %s.", argv[0], strerror(errno));
	reads = pipes[0];
	child = fork();
	if (child == 0) {
		if (setsid() < 0)
			_exit(126);
		child = fork();
		if (child == 0)
			become(argv, log, pipes[1]);
		_exit(child < 0 ? 126 : 0);
	}
	close(pipes[1]);
	if (child < 0)
		return gw_fail(error, EAGAIN, "Cannot start %s: no process can be made.", argv[0]);
	*pid = 0;
	err = hear(reads, pid);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (err || *pid <= 0)
		return gw_fail(error, err ? err : ECHILD, "Cannot start %s: %s.", argv[0],
		               strerror(err ? err : ECHILD));
	*pidfd = pidfd_open(*pid, 0);
	if (*pidfd < 0) /* it was there a moment ago */
		return gw_fail(error, ESRCH, "%s ended at once; see %s.", argv[0], log_path);
	return 0;
}

bool gw_process_gone(int pidfd, int timeout_ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int rc;

	do
		rc = poll(&p, 1, timeout_ms);
	while (rc < 0 && errno == EINTR);
	return rc > 0;
}

int gw_process_end(int pidfd, struct gw_error *error)
{
	siginfo_t info;

	if (!gw_process_gone(pidfd, 0)) {
		(void)pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
		if (!gw_process_gone(pidfd, TERM_WAIT_MS))
			(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
		if (!gw_process_gone(pidfd, KILL_WAIT_MS))
			return gw_fail(error, ETIMEDOUT,
			               "The hypervisor does not end, even killed.");
	}
	(void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG); /* if it is a child of ours */
	return 0;
}

void gw_log_tail(const char *log_path, char *text, size_t room)
{
	_cleanup_close_ int fd = open(log_path, O_RDONLY | O_CLOEXEC);
	char tail[2048];
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	off_t from = end > (off_t)sizeof(tail) - 1 ? end - (off_t)sizeof(tail) + 1 : 0;
	ssize_t got = fd < 0 ? 0 : pread(fd, tail, sizeof(tail) - 1, from);
	char *last;

	text[0] = '\0';
	if (got <= 0)
		return;
	while (got > 0 && (tail[got - 1] == '\n' || tail[got - 1] == '\r'))
		got--;
	tail[got] = '\0';
	last = strrchr(tail, '\n');
	(void)snprintf(text, room, "%s", last ? last + 1 : tail);
}
