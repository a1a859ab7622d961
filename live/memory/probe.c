/* SPDX-License-Identifier: MIT */
#include "live/memory/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/memory/attach.h"
#include "live/memory/uapi.h"
#include "live/vm/kvm.h"

#define TRY_BYTES  (4 * 4096ul)
#define TIMEOUT_MS 2000
#define WP_FEATURES                                                                                \
	(GW_UFFD_FEATURE_WP_ASYNC | GW_UFFD_FEATURE_WP_UNPOPULATED |                               \
	 GW_UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_PAGEFAULT_FLAG_WP)

/* The child stands where a hypervisor would: in its poll, with shared memory at `memory`. */
static pid_t start_child(void *memory)
{
	pid_t parent = getpid(), pid = fork();

	(void)memory;
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent)
		(void)ppoll(NULL, 0, NULL, NULL);
	_exit(0);
}

static bool try_register(int fd, void *memory, uint64_t features, uint64_t mode)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	struct uffdio_register reg = {.range = {.start = (uintptr_t)memory, .len = TRY_BYTES},
	                              .mode = mode};

	return ioctl(fd, UFFDIO_API, &api) == 0 && ioctl(fd, UFFDIO_REGISTER, &reg) == 0;
}

static bool try_scan(pid_t pid, void *memory)
{
	struct gw_page_region region;
	struct gw_pm_scan_arg arg = {.size = sizeof(arg),
	                             .flags = GW_PM_SCAN_CHECK_WPASYNC,
	                             .start = (uintptr_t)memory,
	                             .end = (uintptr_t)memory + TRY_BYTES,
	                             .vec = (uintptr_t)&region,
	                             .vec_len = 1,
	                             .category_mask = GW_PAGE_IS_WRITTEN,
	                             .return_mask = GW_PAGE_IS_WRITTEN};
	_cleanup_close_ int fd = -1;
	char name[64];

	(void)snprintf(name, sizeof(name), "/proc/%d/pagemap", (int)pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && ioctl(fd, GW_PAGEMAP_SCAN, &arg) >= 0;
}

static void try_userfaultfd(struct gw_probe *probe, pid_t pid, void *memory)
{
	_cleanup_close_ int missing = -1, wp = -1;
	int remote;

	missing = gw_attach_userfaultfd(pid, &remote, NULL);
	if (missing < 0)
		return;
	probe->userfaultfd = true;
	probe->missing_shmem =
	        try_register(missing, memory, UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_THREAD_ID,
	                     UFFDIO_REGISTER_MODE_MISSING);
	/* A range has one userfaultfd at a time: both ends of this one go. */
	(void)gw_attach_close_fd(pid, remote, NULL);
	close(missing);
	missing = -1;
	wp = gw_attach_userfaultfd(pid, &remote, NULL);
	if (wp < 0)
		return;
	probe->wp_async = try_register(wp, memory, WP_FEATURES, UFFDIO_REGISTER_MODE_WP);
	probe->pagemap_scan = probe->wp_async && try_scan(pid, memory);
}

static void try_child(struct gw_probe *probe, void *memory)
{
	_cleanup_close_ int fd = -1, null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid = start_child(memory);
	long result = 0;

	if (pid < 0)
		return;
	probe->ptrace = gw_attach_call(pid, SYS_getpid, NULL, 0, TIMEOUT_MS, &result, NULL) == 0 &&
	                result == pid;
	fd = null >= 0 ? gw_attach_take_fd(pid, null, NULL) : -1;
	probe->pidfd_getfd = fd >= 0;
	if (probe->ptrace && probe->pidfd_getfd)
		try_userfaultfd(probe, pid, memory);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Takes away the queueing discipline of a device that does not exist: rights are checked first. */
static bool try_net_admin(void)
{
	struct {
		struct nlmsghdr head;
		struct tcmsg tc;
	} request = {.head = {.nlmsg_len = sizeof(request),
	                      .nlmsg_type = RTM_DELQDISC,
	                      .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
	             .tc = {.tcm_family = AF_UNSPEC, .tcm_ifindex = 0x7fffffff}};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[256];
	} answer = {0};
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || send(fd, &request, sizeof(request), 0) != sizeof(request))
		return false;
	return recv(fd, &answer, sizeof(answer), 0) >= (ssize_t)sizeof(answer.head) &&
	       answer.head.nlmsg_type == NLMSG_ERROR && answer.error.error != -EPERM;
}

/* In the order in which one thing needs the other. */
static const char *lacks_attach(const struct gw_probe *probe)
{
	if (!probe->ptrace)
		return "godwit may not attach to another process (ptrace): it needs CAP_SYS_PTRACE "
		       "and a container that allows it";
	if (!probe->pidfd_getfd)
		return "godwit may not take a descriptor of another process (pidfd_getfd, Linux "
		       "5.6 or later): it needs CAP_SYS_PTRACE and a container that allows it";
	if (!probe->userfaultfd)
		return "userfaultfd is not allowed here: run as root in a container that allows "
		       "it, or set vm.unprivileged_userfaultfd=1";
	return NULL;
}

const char *gw_probe_lacks(const struct gw_probe *probe, const char *what)
{
	const char *lacks;

	if (strcmp(what, "digest") == 0)
		return NULL;
	lacks = lacks_attach(probe);
	if (strcmp(what, "faults") == 0) {
		if (lacks || probe->missing_shmem)
			return lacks;
		return "this kernel does not report faults of shared memory";
	}
	if (strcmp(what, "pagemap") == 0) {
		if (lacks || (probe->wp_async && probe->pagemap_scan))
			return lacks;
		return "this kernel cannot track writes asynchronously (Linux 6.7 or later can)";
	}
	return "there is no such thing to probe for";
}

static const char *lacks_kvm(const struct gw_probe *probe)
{
	if (!probe->kvm)
		return "/dev/kvm does not work, so guests are emulated";
	return probe->hardware ? ""
	                       : "/dev/kvm works, but no processor that virtualises is behind it, "
	                         "so guests are emulated unless they ask for it";
}

static void describe(struct gw_probe *probe)
{
	const char *pagemap = gw_probe_lacks(probe, "pagemap");
	const char *faults = gw_probe_lacks(probe, "faults");
	const char *without = lacks_kvm(probe);
	char text[512] = "";

	if (pagemap && faults && strcmp(pagemap, faults) == 0)
		(void)snprintf(text, sizeof(text),
		               "%s; without it there is no post-copy, and writes are tracked by "
		               "digest",
		               pagemap);
	else if (pagemap)
		(void)snprintf(text, sizeof(text), "%s; writes are tracked by digest", pagemap);
	else if (faults)
		(void)snprintf(text, sizeof(text), "%s; there is no post-copy", faults);
	(void)snprintf(probe->missing, sizeof(probe->missing), "%s%s%s%s%s", text,
	               *text && !probe->net_admin ? "; " : "",
	               probe->net_admin ? ""
	                                : "traffic control needs CAP_NET_ADMIN, so bulk is "
	                                  "paced instead",
	               (*text || !probe->net_admin) && *without ? "; " : "", without);
}

void gw_probe_host(struct gw_probe *probe)
{
	struct utsname name;
	void *memory;

	*probe = (struct gw_probe){0};
	if (uname(&name) == 0)
		(void)snprintf(probe->kernel, sizeof(probe->kernel), "%s", name.release);
	memory = mmap(NULL, TRY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory != MAP_FAILED) {
		try_child(probe, memory);
		munmap(memory, TRY_BYTES);
	}
	probe->net_admin = try_net_admin();
	probe->kvm = gw_kvm_works();
	probe->hardware = gw_kvm_hardware();
	describe(probe);
}
