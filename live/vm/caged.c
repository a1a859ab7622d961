/* SPDX-License-Identifier: MIT */
/* The child's half of a cage: from clone to exec. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "live/vm/cage_own.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0 /* no call gets through: there is no cage here */
#endif

#define OTHER_ABI 0x40000000 /* x32's numbers begin here; nobody else has any */
#define NICE      10         /* about a tenth of what a busy process gets beside it */
#define HIGH_FD   200        /* above all that the program is given */

static int tell_fd; /* this process is a copy that nobody else runs in */

__attribute__((noreturn)) static void give_up(const char *step)
{
	struct gw_cage_word word = {step, errno};

	(void)!write(tell_fd, &word, sizeof(word));
	_exit(126);
}

static void must(const char *step, long result)
{
	if (result < 0)
		give_up(step);
}

/* Nobody may be left to end us when we are asked to go on: then the read finds the end of file. */
static void die_with_parent(void)
{
	char go;

	must("die with its parent", prctl(PR_SET_PDEATHSIG, SIGKILL));
	if (read(tell_fd, &go, 1) != 1)
		_exit(126);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		(void)signal(number, SIG_DFL);
	(void)signal(SIGXFSZ, SIG_IGN); /* a full disk is an error of the write */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The first to go when memory runs out. */
static void offer_to_oom_killer(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	must("be the first killed for memory", fd < 0 ? -1 : write(fd, "1000", 4));
	(void)close(fd);
}

static void limit_itself(uint64_t file_bytes)
{
	struct sched_param no_priority = {0};
	struct rlimit file = {file_bytes, file_bytes}, core = {0, 0};

	must("run in the background", sched_setscheduler(0, SCHED_BATCH, &no_priority));
	must("run in the background", setpriority(PRIO_PROCESS, 0, NICE));
	must("limit its files", setrlimit(RLIMIT_FSIZE, &file));
	must("limit its core", setrlimit(RLIMIT_CORE, &core));
}

/* In our network namespace, and never brought up: what is written to it is refused. */
static int open_tap(const char *name, bool many)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (many)
		request.ifr_flags = (short)(request.ifr_flags | IFF_MULTI_QUEUE);
	memcpy(request.ifr_name, name, strlen(name));
	must("make an isolated network interface",
	     fd < 0 ? -1 : ioctl(fd, (unsigned long)TUNSETIFF, &request));
	return fd;
}

static unsigned open_taps(const struct gw_cage_start *start, int *fds)
{
	char name[] = "shadow?";
	unsigned count = 0;

	for (unsigned i = 0; i < start->tap_count; i++) {
		name[sizeof(name) - 2] = (char)('a' + i);
		for (unsigned q = 0; q < start->taps[i]; q++)
			fds[count++] = open_tap(name, start->taps[i] > 1);
	}
	return count;
}

static int change_mount(const char *path, unsigned flags, uint64_t set, uint64_t clear)
{
	struct mount_attr change = {.attr_set = set, .attr_clr = clear};

	return (int)syscall(SYS_mount_setattr, AT_FDCWD, path, flags, &change, sizeof(change));
}

static void seal_files(bool kvm)
{
	must("keep its mounts to itself", mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	if (kvm)
		must("keep /dev/kvm", mount("/dev/kvm", "/dev/kvm", NULL, MS_BIND, NULL));
	must("make all files read-only",
	     change_mount("/", AT_RECURSIVE,
	                  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID, 0));
	if (kvm)
		must("keep /dev/kvm", change_mount("/dev/kvm", 0, 0, MOUNT_ATTR_NODEV));
}

/* Whose images these are is nothing to root's right to read; every other right goes. */
static void drop_rights(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct rights[2] = {0};

	for (unsigned long cap = 0; cap <= 63; cap++)
		if (cap != CAP_DAC_READ_SEARCH && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) > 0)
			must("drop its rights", prctl(PR_CAPBSET_DROP, cap, 0, 0, 0));
	rights[0].effective = rights[0].permitted = 1u << CAP_DAC_READ_SEARCH;
	must("drop its rights", syscall(SYS_capset, &head, rights));
	must("win no rights", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

/*
 * A file that is to be opened for writing is the parent's to decide on; a way to open one that
 * hides its flags from here does not exist. Read-only mounts hold for whatever gets past.
 */
static int filter_opens(void)
{
#define LOAD(field)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define DENY(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), RETURN(DENIED)
#define ASK(number, flags)                                                                         \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 4), LOAD(flags),                          \
	        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_ACCMODE, 0, 1),                             \
	        RETURN(SECCOMP_RET_USER_NOTIF), RETURN(SECCOMP_RET_ALLOW)
#define DENIED (SECCOMP_RET_ERRNO | ENOSYS)
	struct sock_filter program[] = {
	        LOAD(arch),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
	        RETURN(DENIED),
	        LOAD(nr),
	        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER_ABI, 0, 1),
	        RETURN(DENIED),
	        ASK(__NR_openat, args[2]),
#ifdef __NR_open
	        ASK(__NR_open, args[1]),
	        DENY(__NR_creat),
#endif
	        DENY(__NR_openat2),
	        DENY(__NR_open_by_handle_at),
	        DENY(__NR_socket), /* local and virtual-machine sockets know no network namespace */
	        RETURN(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog all = {.len = sizeof(program) / sizeof(program[0]), .filter = program};

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
	                    &all);
}

/* From here on we have no need of the parent's answers: nothing is opened any more. */
static void send_listener(int listener)
{
	struct gw_cage_word word = {NULL, 0};
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec data = {.iov_base = &word, .iov_len = sizeof(word)};
	struct msghdr message = {.msg_iov = &data,
	                         .msg_iovlen = 1,
	                         .msg_control = control,
	                         .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &listener, sizeof(int));
	must("have its opens decided on", sendmsg(tell_fd, &message, MSG_NOSIGNAL));
	(void)close(listener);
}

/* First out of the way of the numbers they are to have, then there. All else closes at exec. */
static void arrange_files(const struct gw_cage_start *start, int null, const int *taps,
                          unsigned tap_fds)
{
	unsigned count = GW_CAGE_FIRST_FD + start->fd_count + tap_fds;
	int from[GW_CAGE_FIRST_FD + GW_CAGE_FDS_MAX] = {null, start->log, start->log};
	int *others = from + GW_CAGE_FIRST_FD;

	for (unsigned i = 0; i < start->fd_count; i++)
		others[i] = start->fds[i];
	memcpy(others + start->fd_count, taps, tap_fds * sizeof(int));
	for (unsigned i = 0; i < count; i++)
		must("arrange its files", from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, HIGH_FD));
	for (unsigned i = 0; i < count; i++)
		must("arrange its files", dup2(from[i], (int)i));
	must("arrange its files", (long)syscall(SYS_close_range, count, ~0u, CLOSE_RANGE_CLOEXEC));
}

/* What arrange_files() gives a number to must not be in its way. */
static int lift(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);

	must("arrange its files", high);
	return high;
}

void gw_cage_enter(const struct gw_cage_start *start, int tell)
{
	int program, null, taps[GW_CAGE_FDS_MAX];
	unsigned tap_fds;

	tell_fd = tell;
	die_with_parent();
	tell_fd = lift(tell);
	program = lift(start->program);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	must("have an empty input", null);
	reset_signals();
	must("have a session of its own", setsid());
	offer_to_oom_killer();
	limit_itself(start->file_bytes);
	tap_fds = open_taps(start, taps);
	seal_files(start->kvm);
	arrange_files(start, null, taps, tap_fds);
	drop_rights();
	{
		int listener = filter_opens();

		must("have its opens decided on", listener);
		send_listener(listener);
	}
	(void)syscall(SYS_execveat, program, "", start->argv, environ, AT_EMPTY_PATH);
	give_up("run the VM's own program");
}
