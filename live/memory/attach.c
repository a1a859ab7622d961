/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The thread sits in its poll most of the time. PTRACE_INTERRUPT makes the
 * kernel break the poll off and, no signal being there to handle, start it again, also in an idle
 * process; PTRACE_SYSCALL stops it as it enters:
 *
 *   SEIZE, INTERRUPT     interrupted, the poll will be restarted
 *   SYSCALL              entry of the poll: put our call in its place
 *   SYSCALL              exit: take the result, rewind to make the poll again
 *   DETACH
 *
 * A thread that is elsewhere is followed from call to call until it polls.
 *
 * All this happens in a thread of our own, because the kernel ends the tracing when the tracing
 * thread ends: however we fail, nothing stays attached.
 */
#include "live/memory/attach.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/memory/attach_arch.h"
#include "live/memory/uapi.h"

#define EVENT_STOP        128 /* PTRACE_EVENT_STOP, which glibc's header has as an enumerator */
#define SYSCALL_STOP      (SIGTRAP | 0x80)
#define SPIN_NS           2000000l /* a stop comes within microseconds, as a rule */
#define NAP_NS            200000l
#define CALL_TIMEOUT_MS   5000 /* for a thread to come to its poll */
#define EXIT_TIMEOUT_NS   10000000000l
#define DETACH_TIMEOUT_NS 100000000l

/* The kernel's own errors, which only a tracer sees (include/linux/errno.h). */
#define KERNEL_ERESTARTSYS           512
#define KERNEL_ERESTART_RESTARTBLOCK 516

struct job {
	pid_t pid;
	long number;
	const unsigned long *args;
	unsigned count;
	int timeout_ms;
	long result;
	int ret;
	struct gw_error *error;
	bool poll_interrupted; /* restart_syscall is then this poll */
};

__attribute__((weak)) void gw_attach_reached(enum gw_attach_stage stage)
{
	(void)stage;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/*
 * The next stop of the thread: signal | event << 8. -ESRCH: it died (its exit status is left to
 * its parent); -ETIMEDOUT. The wait polls, as there is no wait with a time limit.
 */
static int wait_stop(pid_t pid, int64_t until_ns)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	int64_t began = now_ns();

	for (;;) {
		siginfo_t info = {0};
		int64_t now;

		if (waitid(P_PID, (id_t)pid, &info,
		           WEXITED | WSTOPPED | __WALL | WNOHANG | WNOWAIT) < 0)
			return errno == ECHILD ? -ESRCH : -errno;
		if (info.si_pid && info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED)
			return -ESRCH;
		if (info.si_pid) {
			(void)waitid(P_PID, (id_t)pid, &info, WSTOPPED | __WALL | WNOHANG);
			return info.si_status;
		}
		now = now_ns();
		if (now >= until_ns)
			return -ETIMEDOUT;
		if (now - began < SPIN_NS)
			sched_yield();
		else
			nanosleep(&nap, NULL);
	}
}

static int fail_stop(const struct job *job, int err)
{
	if (err == ESRCH)
		return gw_fail(job->error, ESRCH, "process %d ended while godwit attached to it",
		               (int)job->pid);
	if (err == ETIMEDOUT)
		return gw_fail(job->error, ETIMEDOUT,
		               "process %d did not come to its main loop's poll within %d ms: it "
		               "hangs, or it is no QEMU",
		               (int)job->pid, job->timeout_ms);
	return gw_fail(job->error, err, "process %d cannot be traced: %s", (int)job->pid,
	               strerror(err));
}

static int seize(struct job *job)
{
	int err;

	if (ptrace(PTRACE_SEIZE, job->pid, NULL, (void *)PTRACE_O_TRACESYSGOOD) < 0) {
		err = errno;
		if (err == ESRCH)
			return gw_fail(job->error, err, "there is no process %d", (int)job->pid);
		return gw_fail(job->error, err,
		               "godwit may not attach to process %d (%s): it needs CAP_SYS_PTRACE "
		               "or the same user with kernel.yama.ptrace_scope=0, and no debugger "
		               "on that process",
		               (int)job->pid, strerror(err));
	}
	if (ptrace(PTRACE_INTERRUPT, job->pid, NULL, NULL) < 0)
		return fail_stop(job, errno);
	gw_attach_reached(GW_ATTACH_SEIZED);
	return 0;
}

static int syscall_info(pid_t pid, struct __ptrace_syscall_info *info)
{
	*info = (struct __ptrace_syscall_info){0};
	return ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(*info), info) < 0 ? -errno : 0;
}

static bool at_poll_entry(struct job *job, int *err)
{
	struct __ptrace_syscall_info info;

	*err = -syscall_info(job->pid, &info);
	if (*err || info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return false;
	if (gw_arch_is_poll(info.arch, info.entry.nr))
		return true;
	if (gw_arch_is_restart(info.arch, info.entry.nr))
		return job->poll_interrupted;
	job->poll_interrupted = false;
	return false;
}

/* Follows the thread until it stands at the entry of a poll. */
static int go_to_poll(struct job *job, int64_t until_ns)
{
	for (;;) {
		int stop = wait_stop(job->pid, until_ns), err = 0;
		unsigned long deliver = 0;

		if (stop < 0)
			return fail_stop(job, -stop);
		if (stop >> 8 == EVENT_STOP) {
			if ((stop & 0xff) != SIGTRAP)
				return gw_fail(job->error, EBUSY,
				               "process %d was stopped by a signal: send it "
				               "SIGCONT first",
				               (int)job->pid);
			job->poll_interrupted = gw_arch_poll_interrupted(job->pid);
		} else if (stop == SYSCALL_STOP) {
			if (at_poll_entry(job, &err))
				return 0;
			if (err)
				return fail_stop(job, err);
		} else {
			deliver = (unsigned long)(stop & 0xff);
		}
		if (ptrace(PTRACE_SYSCALL, job->pid, NULL, (void *)deliver) < 0)
			return fail_stop(job, errno);
	}
}

static int call_here(struct job *job)
{
	struct gw_arch_saved saved;
	int ret, stop;

	gw_attach_reached(GW_ATTACH_AT_ENTRY);
	ret = gw_arch_replace(job->pid, job->number, job->args, job->count, &saved);
	if (ret < 0)
		return fail_stop(job, -ret);
	gw_attach_reached(GW_ATTACH_REPLACED);
	if (ptrace(PTRACE_SYSCALL, job->pid, NULL, NULL) < 0)
		return fail_stop(job, errno);
	stop = wait_stop(job->pid, now_ns() + EXIT_TIMEOUT_NS);
	if (stop < 0)
		return fail_stop(job, -stop);
	gw_attach_reached(GW_ATTACH_AT_EXIT);
	ret = gw_arch_rewind(job->pid, &saved, &job->result);
	if (ret < 0)
		return fail_stop(job, -ret);
	gw_attach_reached(GW_ATTACH_REWOUND);
	if (job->result <= -KERNEL_ERESTARTSYS && job->result >= -KERNEL_ERESTART_RESTARTBLOCK)
		job->result = -EINTR;
	return 0;
}

static void let_go(pid_t pid)
{
	if (ptrace(PTRACE_DETACH, pid, NULL, NULL) == 0)
		return;
	/* It runs: stop it to detach. If even that fails, the end of this thread detaches. */
	if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0 &&
	    wait_stop(pid, now_ns() + DETACH_TIMEOUT_NS) >= 0)
		(void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

static void *run_job(void *arg)
{
	struct job *job = arg;

	job->ret = seize(job);
	if (job->ret < 0)
		return NULL;
	job->ret = go_to_poll(job, now_ns() + (int64_t)job->timeout_ms * 1000000);
	if (job->ret == 0)
		job->ret = call_here(job);
	let_go(job->pid);
	return NULL;
}

int gw_attach_call(pid_t pid, long number, const unsigned long *args, unsigned count,
                   int timeout_ms, long *result, struct gw_error *error)
{
	struct job job = {.pid = pid,
	                  .number = number,
	                  .args = args,
	                  .count = count,
	                  .timeout_ms = timeout_ms,
	                  .error = error};
	pthread_t thread;
	int err;

	if (gw_arch_lacks())
		return gw_fail(error, ENOTSUP, "%s", gw_arch_lacks());
	err = pthread_create(&thread, NULL, run_job, &job);
	if (err)
		return gw_fail(error, err, "cannot start a thread to attach with: %s",
		               strerror(err));
	pthread_join(thread, NULL);
	*result = job.result;
	return job.ret;
}

int gw_attach_unmap_pages(pid_t pid, uint64_t address, uint64_t bytes, int timeout_ms,
                          struct gw_error *error)
{
	unsigned long args[] = {address, bytes, MADV_DONTNEED};
	long result;
	int ret = gw_attach_call(pid, SYS_madvise, args, 3, timeout_ms, &result, error);

	if (ret < 0 || result == 0)
		return ret;
	return gw_fail(error, (int)-result, "process %d cannot drop its page-table entries: %s",
	               (int)pid,
	               result == -EINVAL ? "its memory is locked" : strerror((int)-result));
}

static int take_userfaultfd(pid_t pid, long number, const unsigned long *args, unsigned count,
                            int *remote, struct gw_error *error)
{
	long result = 0;
	int ret, fd;

	ret = gw_attach_call(pid, number, args, count, CALL_TIMEOUT_MS, &result, error);
	if (ret < 0)
		return ret;
	if (result == -EPERM)
		return gw_fail(error, EPERM,
		               "process %d may not use userfaultfd: run the VM as root, or set "
		               "vm.unprivileged_userfaultfd=1",
		               (int)pid);
	if (result < 0)
		return gw_fail(error, (int)-result, "userfaultfd does not work in process %d: %s",
		               (int)pid, strerror((int)-result));
	*remote = (int)result;
	fd = gw_attach_take_fd(pid, *remote, error);
	if (fd < 0)
		(void)gw_attach_close_fd(pid, *remote, NULL);
	return fd;
}

int gw_attach_userfaultfd(pid_t pid, int *remote, struct gw_error *error)
{
	const unsigned long flags = O_CLOEXEC | O_NONBLOCK;

	return take_userfaultfd(pid, SYS_userfaultfd, &flags, 1, remote, error);
}

int gw_attach_device_userfaultfd(pid_t pid, int device, int *remote, struct gw_error *error)
{
	const unsigned long args[] = {(unsigned long)device, GW_USERFAULTFD_IOC_NEW,
	                              O_CLOEXEC | O_NONBLOCK};

	return take_userfaultfd(pid, SYS_ioctl, args, 3, remote, error);
}

int gw_attach_take_fd(pid_t pid, int remote, struct gw_error *error)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int fd;

	if (pidfd < 0)
		return gw_fail(error, errno, "there is no process %d: %s", (int)pid,
		               strerror(errno));
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, remote, 0);
	if (fd < 0)
		return gw_fail(error, errno,
		               "cannot take descriptor %d of process %d (pidfd_getfd): %s", remote,
		               (int)pid, strerror(errno));
	return fd;
}

int gw_attach_close_fd(pid_t pid, int remote, struct gw_error *error)
{
	unsigned long fd = (unsigned long)remote;
	long result = 0;
	int ret = gw_attach_call(pid, SYS_close, &fd, 1, CALL_TIMEOUT_MS, &result, error);

	if (ret < 0)
		return ret;
	if (result < 0)
		return gw_fail(error, (int)-result, "cannot close descriptor %d of process %d: %s",
		               remote, (int)pid, strerror((int)-result));
	return 0;
}

/* The features that were agreed on for a userfaultfd; -1: it is none. */
static int64_t features_of(pid_t pid, int fd)
{
	_cleanup_fclose_ FILE *info = NULL;
	char name[64], line[256], link[64] = "";
	unsigned version, features = 0;

	(void)snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)pid, fd);
	if (readlink(name, link, sizeof(link) - 1) < 0 ||
	    strcmp(link, "anon_inode:[userfaultfd]") != 0)
		return -1;
	(void)snprintf(name, sizeof(name), "/proc/%d/fdinfo/%d", (int)pid, fd);
	info = fopen(name, "re");
	while (info && fgets(line, sizeof(line), info))
		if (sscanf(line, "API: %x:%x:", &version, &features) == 2)
			return features;
	return -1;
}

/* The kernel adds bits of its own above, once something is agreed on. */
static bool has_features(pid_t pid, int fd, unsigned wanted)
{
	int64_t features = features_of(pid, fd);

	return features >= 0 && (wanted ? (features & 0xffff) == wanted : !features);
}

int gw_attach_find_userfaultfd(pid_t pid, unsigned features, int from)
{
	char name[64];
	struct dirent *entry;
	int found = -ENOENT;
	DIR *fds;

	(void)snprintf(name, sizeof(name), "/proc/%d/fd", (int)pid);
	fds = opendir(name);
	if (!fds)
		return -errno;
	while ((entry = readdir(fds))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] != '.' && fd >= from && (found < 0 || fd < found) &&
		    has_features(pid, fd, features))
			found = fd;
	}
	closedir(fds);
	return found;
}

void gw_attach_tidy(pid_t pid)
{
	int remote = -1;

	while ((remote = gw_attach_find_userfaultfd(pid, 0, remote + 1)) >= 0)
		(void)gw_attach_close_fd(pid, remote, NULL);
}
