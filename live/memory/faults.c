/* SPDX-License-Identifier: MIT */
#include "live/memory/faults.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/memory/attach.h"
#include "live/memory/uapi.h"

/*
 * Never user faults only: those of KVM and of system calls are the kernel's. The set also tells our
 * descriptor from a tracker's or anybody else's in the hypervisor's fdinfo.
 */
#define FEATURES (UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_THREAD_ID)

static struct uffdio_range range_of(const struct gw_faults *faults, struct gw_run run)
{
	return (struct uffdio_range){.start = faults->ram->address + run.first * GW_PAGE_BYTES,
	                             .len = run.count * GW_PAGE_BYTES};
}

static struct uffdio_range whole(const struct gw_faults *faults)
{
	return range_of(faults, (struct gw_run){.first = 0, .count = faults->ram->pages});
}

int gw_faults_open(struct gw_faults *faults, const struct gw_ram *ram, struct gw_error *error)
{
	struct uffdio_api api = {.api = UFFD_API, .features = FEATURES};

	*faults = (struct gw_faults){.fd = -1, .remote_fd = -1, .ram = ram};
	faults->fd = gw_attach_userfaultfd(ram->pid, &faults->remote_fd, error);
	if (faults->fd < 0)
		return faults->fd;
	if (ioctl(faults->fd, UFFDIO_API, &api) == 0)
		return 0;
	(void)gw_attach_close_fd(ram->pid, faults->remote_fd, NULL);
	gw_faults_close(faults);
	return gw_fail(error, ENOTSUP,
	               "this kernel does not report faults of shared memory: post-copy is not "
	               "possible here");
}

/* Only the descriptor that holds the registration may register again. */
static bool holds_range(const struct gw_faults *faults)
{
	struct uffdio_register reg = {.range = whole(faults), .mode = UFFDIO_REGISTER_MODE_MISSING};

	return ioctl(faults->fd, UFFDIO_REGISTER, &reg) == 0;
}

static int wake(struct gw_faults *faults, struct uffdio_range range, struct gw_error *error)
{
	if (ioctl(faults->fd, UFFDIO_WAKE, &range) == 0 || errno == ENOENT)
		return 0;
	return gw_fail(error, errno, "cannot wake the waiting threads of process %d: %s",
	               (int)faults->ram->pid, strerror(errno));
}

static int find_ours(struct gw_faults *faults)
{
	int remote = -1;

	while ((remote = gw_attach_find_userfaultfd(faults->ram->pid, FEATURES, remote + 1)) >= 0) {
		faults->fd = gw_attach_take_fd(faults->ram->pid, remote, NULL);
		if (faults->fd >= 0 && holds_range(faults)) {
			faults->remote_fd = remote;
			return 0;
		}
		gw_faults_close(faults);
	}
	return remote;
}

int gw_faults_reopen(struct gw_faults *faults, const struct gw_ram *ram, struct gw_error *error)
{
	int ret;

	*faults = (struct gw_faults){.fd = -1, .remote_fd = -1, .ram = ram};
	ret = find_ours(faults);
	if (ret == -ENOENT)
		return gw_fail(error, ENOENT,
		               "process %d holds no descriptor of an interrupted post-copy",
		               (int)ram->pid);
	if (ret < 0)
		return gw_fail(error, -ret, "cannot look into process %d: %s", (int)ram->pid,
		               strerror(-ret));
	/* A fault that the dead agent had read is not reported again, unless it is taken anew. */
	ret = wake(faults, whole(faults), error);
	if (ret < 0)
		gw_faults_close(faults);
	return ret;
}

int gw_faults_arm(struct gw_faults *faults, struct gw_error *error)
{
	struct uffdio_register reg = {.range = whole(faults), .mode = UFFDIO_REGISTER_MODE_MISSING};

	if (ioctl(faults->fd, UFFDIO_REGISTER, &reg) == 0)
		return 0;
	return gw_fail(error, errno, "cannot catch the missing pages of process %d: %s",
	               (int)faults->ram->pid, strerror(errno));
}

int gw_faults_next(struct gw_faults *faults, struct gw_fault *fault, struct gw_error *error)
{
	const struct gw_ram *ram = faults->ram;
	struct uffd_msg msg;
	uint64_t address;

	for (;;) {
		ssize_t got = read(faults->fd, &msg, sizeof(msg));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return 0;
		if (got < 0)
			return gw_fail(error, errno, "cannot read the faults of process %d: %s",
			               (int)ram->pid, strerror(errno));
		address = msg.arg.pagefault.address;
		if (got == sizeof(msg) && msg.event == UFFD_EVENT_PAGEFAULT &&
		    address >= ram->address && address - ram->address < ram->bytes)
			break;
	}
	fault->page = (address - ram->address) / GW_PAGE_BYTES;
	fault->thread = (pid_t)msg.arg.pagefault.feat.ptid;
	return 1;
}

/* One call of the kernel: how far it came in bytes, or a negative errno for the first page. */
static int64_t copy_once(struct gw_faults *faults, struct gw_run run, const void *contents)
{
	struct uffdio_range range = range_of(faults, run);
	struct uffdio_copy copy = {
	        .dst = range.start, .src = (uintptr_t)contents, .len = range.len};

	if (ioctl(faults->fd, UFFDIO_COPY, &copy) == 0)
		return (int64_t)range.len;
	return errno == EAGAIN && copy.copy > 0 ? copy.copy : -errno;
}

static int64_t zero_once(struct gw_faults *faults, struct gw_run run)
{
	struct uffdio_zeropage zero = {.range = range_of(faults, run)};

	if (ioctl(faults->fd, UFFDIO_ZEROPAGE, &zero) == 0)
		return (int64_t)zero.range.len;
	return errno == EAGAIN && zero.zeropage > 0 ? zero.zeropage : -errno;
}

static int fail_place(const struct gw_faults *faults, uint64_t page, int err,
                      struct gw_error *error)
{
	int pid = (int)faults->ram->pid;

	if (err == ESRCH)
		return gw_fail(error, err, "the VM's process %d is gone", pid);
	if (err == ENOMEM || err == ENOSPC)
		return gw_fail(error, err,
		               "no memory is left for page %" PRIu64
		               " of the VM: free some, or make the file system of its RAM larger",
		               page);
	return gw_fail(error, err, "cannot place page %" PRIu64 " in process %d: %s", page, pid,
	               strerror(err));
}

/* NULL contents: zeros. */
static int place(struct gw_faults *faults, struct gw_run run, const uint8_t *contents,
                 struct gw_error *error)
{
	while (run.count) {
		int64_t done = contents ? copy_once(faults, run, contents) : zero_once(faults, run);
		struct gw_run here = {.first = run.first, .count = 1};
		int ret;

		if (done == -EAGAIN || done == -EINTR) {
			sched_yield(); /* the hypervisor's mappings are changing */
			continue;
		}
		if (done == -EEXIST) {
			/* It is there; a thread that faulted before it came may still sleep. */
			ret = wake(faults, range_of(faults, here), error);
			if (ret < 0)
				return ret;
			done = GW_PAGE_BYTES;
		}
		if (done < 0)
			return fail_place(faults, run.first, (int)-done, error);
		run.first += (uint64_t)done / GW_PAGE_BYTES;
		run.count -= (uint64_t)done / GW_PAGE_BYTES;
		if (contents)
			contents += done;
	}
	return 0;
}

int gw_faults_place(struct gw_faults *faults, struct gw_run run, const void *contents,
                    struct gw_error *error)
{
	return place(faults, run, contents, error);
}

int gw_faults_zero(struct gw_faults *faults, struct gw_run run, struct gw_error *error)
{
	return place(faults, run, NULL, error);
}

/* Pages that are holes even now are zero from here on, as they were at the source. */
int gw_faults_finish(struct gw_faults *faults, struct gw_error *error)
{
	struct uffdio_range range = whole(faults);
	int ret = 0;

	if (ioctl(faults->fd, UFFDIO_UNREGISTER, &range) < 0)
		ret = gw_fail(error, errno, "cannot end the catching of faults in process %d: %s",
		              (int)faults->ram->pid, strerror(errno));
	if (ret == 0)
		ret = gw_attach_close_fd(faults->ram->pid, faults->remote_fd, error);
	gw_faults_close(faults);
	return ret;
}

void gw_faults_close(struct gw_faults *faults)
{
	if (faults->fd >= 0)
		close(faults->fd);
	faults->fd = -1;
}
