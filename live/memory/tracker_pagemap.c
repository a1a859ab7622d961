/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. A userfaultfd of the hypervisor's address space, taken out of it, keeps its
 * RAM write-protected asynchronously: the kernel lets the first write to a page through and drops
 * the protection, and PAGEMAP_SCAN finds the pages without it. A scan goes
 *
 *   1. GET over all RAM: which runs were written? (protects nothing: cheap, and KVM keeps its
 *      mappings of the rest)
 *   2. GET + WP over those runs, which adds what was written meanwhile
 *   3. the sender reads the pages
 *
 * Protect before read: a write after 2 is in the next scan, one before it is in what is read. The
 * kernel may report the tail of a range twice, so results go into a set and are never summed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "live/memory/attach.h"
#include "live/memory/tracker_own.h"
#include "live/memory/uapi.h"

#define FEATURES                                                                                   \
	(GW_UFFD_FEATURE_WP_ASYNC | GW_UFFD_FEATURE_WP_UNPOPULATED |                               \
	 GW_UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_PAGEFAULT_FLAG_WP)
#define REGIONS 4096
/* Runs this near are protected by one call; KVM drops its mappings of what lies between. */
#define MERGE_PAGES 8

struct pagemap {
	int uffd;
	int pagemap;
	int pidfd;
	blkcnt_t blocks; /* of the file, at the last look at its holes */
	struct gw_set found;
	struct gw_set scratch;
	struct gw_set ever; /* direct_io: reported at least once */
	uint64_t *digests;  /* direct_io: of the bytes last sent; 0: not sent since reported */
	struct gw_page_region regions[REGIONS];
};

static void release(struct pagemap *p)
{
	if (p->uffd >= 0)
		close(p->uffd); /* ends the protection, too */
	if (p->pagemap >= 0)
		close(p->pagemap);
	if (p->pidfd >= 0)
		close(p->pidfd);
	free(p->found.words);
	free(p->scratch.words);
	free(p->ever.words);
	free(p->digests);
	free(p);
}

static int open_process(struct pagemap *p, pid_t pid, struct gw_error *error)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "/proc/%d/pagemap", (int)pid);
	p->pagemap = open(name, O_RDONLY | O_CLOEXEC);
	if (p->pagemap < 0)
		return gw_fail(error, errno, "cannot open %s: %s", name, strerror(errno));
	p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p->pidfd < 0)
		return gw_fail(error, errno, "there is no process %d: %s", (int)pid,
		               strerror(errno));
	return 0;
}

static int register_ram(struct pagemap *p, const struct gw_ram *ram, struct gw_error *error)
{
	struct uffdio_api api = {.api = UFFD_API, .features = FEATURES};
	struct uffdio_register reg = {.range = {.start = ram->address, .len = ram->bytes},
	                              .mode = UFFDIO_REGISTER_MODE_WP};

	if (ioctl(p->uffd, UFFDIO_API, &api) < 0)
		return gw_fail(error, ENOTSUP,
		               "this kernel cannot track writes asynchronously (it needs Linux 6.7 "
		               "or later)");
	if (ioctl(p->uffd, UFFDIO_REGISTER, &reg) == 0)
		return 0;
	if (errno == EBUSY)
		return gw_fail(error, EBUSY,
		               "the memory of process %d is being tracked already: is another "
		               "migration of this VM under way?",
		               (int)ram->pid);
	return gw_fail(error, errno, "the memory of process %d cannot be tracked: %s",
	               (int)ram->pid, strerror(errno));
}

static int take_userfaultfd(struct pagemap *p, pid_t pid, struct gw_error *error)
{
	int remote, ret;

	p->uffd = gw_attach_userfaultfd(pid, &remote, error);
	if (p->uffd < 0)
		return p->uffd;
	/* Ours is the only one from here on: if we die, tracking ends by itself. */
	ret = gw_attach_close_fd(pid, remote, error);
	return ret;
}

static int scan_error(const struct gw_ram *ram, int err, struct gw_error *error)
{
	if (err == EPERM)
		return gw_fail(error, err,
		               "the memory of process %d is not tracked any more: begin again",
		               (int)ram->pid);
	if (err == ENOTTY || err == EINVAL)
		return gw_fail(error, ENOTSUP,
		               "this kernel has no PAGEMAP_SCAN (it needs Linux 6.7 or later)");
	return gw_fail(error, err, "cannot scan the page tables of process %d: %s", (int)ram->pid,
	               strerror(err));
}

/* Adds the pages of a run in that category; with WP_MATCHING in flags, protects them again. */
static int collect(struct gw_tracker *tracker, struct gw_run run, uint64_t category, uint64_t flags,
                   struct gw_set *into, struct gw_error *error)
{
	struct pagemap *p = tracker->own;
	uint64_t base = tracker->ram->address;
	struct gw_pm_scan_arg arg = {.size = sizeof(arg),
	                             .flags = flags | GW_PM_SCAN_CHECK_WPASYNC,
	                             .start = base + run.first * GW_PAGE_BYTES,
	                             .end = base + (run.first + run.count) * GW_PAGE_BYTES,
	                             .vec = (uintptr_t)p->regions,
	                             .vec_len = REGIONS,
	                             .category_mask = category,
	                             .return_mask = category};

	while (arg.start < arg.end) {
		int n = ioctl(p->pagemap, GW_PAGEMAP_SCAN, &arg);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return scan_error(tracker->ram, errno, error);
		for (int i = 0; i < n; i++) {
			const struct gw_page_region *r = &p->regions[i];

			gw_set_add_run(into, (struct gw_run){(r->start - base) / GW_PAGE_BYTES,
			                                     (r->end - r->start) / GW_PAGE_BYTES});
		}
		if (arg.walk_end <= arg.start && n == 0)
			return gw_fail(error, EIO, "a scan of the page tables does not advance");
		arg.start = arg.walk_end;
	}
	return 0;
}

static int check_alive(const struct gw_tracker *tracker, struct gw_error *error)
{
	const struct pagemap *p = tracker->own;
	struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};

	/* Memory that is gone has no written pages: never take that for a clean scan. */
	if (poll(&pfd, 1, 0) == 1)
		return gw_fail(error, ESRCH, "the VM's process %d is gone", (int)tracker->ram->pid);
	return 0;
}

static struct gw_run all_of(const struct gw_ram *ram)
{
	return (struct gw_run){.first = 0, .count = ram->pages};
}

static int pagemap_peek(struct gw_tracker *tracker, struct gw_set *dirty, struct gw_error *error)
{
	int ret = check_alive(tracker, error);

	if (ret < 0)
		return ret;
	return collect(tracker, all_of(tracker->ram), GW_PAGE_IS_WRITTEN, 0, dirty, error);
}

static int pagemap_open(struct gw_tracker *tracker, struct gw_error *error)
{
	const struct gw_ram *ram = tracker->ram;
	struct pagemap *p = calloc(1, sizeof(*p));
	int ret;

	if (!p)
		return gw_fail(error, ENOMEM, "out of memory");
	p->uffd = p->pagemap = p->pidfd = -1;
	ret = gw_own_set(&p->found, ram->pages, error);
	if (ret == 0)
		ret = gw_own_set(&p->scratch, ram->pages, error);
	if (ret == 0 && tracker->direct_io) {
		ret = gw_own_set(&p->ever, ram->pages, error);
		p->digests = calloc(ram->pages, sizeof(*p->digests));
		if (ret == 0 && !p->digests)
			ret = gw_fail(error, ENOMEM, "out of memory for digests");
	}
	if (ret == 0)
		ret = open_process(p, ram->pid, error);
	if (ret == 0)
		ret = take_userfaultfd(p, ram->pid, error);
	if (ret == 0)
		ret = register_ram(p, ram, error);
	tracker->own = p;
	if (ret == 0) {
		ret = pagemap_peek(tracker, &p->found, error);
		gw_set_clear(&p->found);
	}
	if (ret < 0) {
		release(p);
		tracker->own = NULL;
		return ret;
	}
	tracker->wants_copies = tracker->direct_io;
	return 0;
}

static int count_blocks(const struct gw_ram *ram, blkcnt_t *blocks, struct gw_error *error)
{
	struct stat st;

	if (fstat(ram->fd, &st) < 0)
		return gw_fail(error, errno, "cannot examine the VM's memory: %s", strerror(errno));
	*blocks = st.st_blocks;
	return 0;
}

/* Protected first, listed second: a page that comes into being in between is in both. */
static int pagemap_start(struct gw_tracker *tracker, struct gw_set *populated,
                         struct gw_error *error)
{
	const struct gw_ram *ram = tracker->ram;
	struct pagemap *p = tracker->own;
	struct uffdio_writeprotect wp = {.range = {.start = ram->address, .len = ram->bytes},
	                                 .mode = UFFDIO_WRITEPROTECT_MODE_WP};
	int ret;

	while (ioctl(p->uffd, UFFDIO_WRITEPROTECT, &wp) < 0)
		if (errno != EAGAIN)
			return gw_fail(error, errno,
			               "the memory of process %d cannot be write-protected: %s",
			               (int)ram->pid, strerror(errno));
	ret = count_blocks(ram, &p->blocks, error);
	return ret < 0 ? ret : gw_ram_populated(ram, populated, error);
}

static int protect(struct gw_tracker *tracker, struct gw_set *found, struct gw_error *error)
{
	struct gw_run run, next;
	uint64_t from = 0;
	int ret;

	while (gw_set_next_run(found, from, found->pages, &run)) {
		from = run.first + run.count;
		while (gw_set_next_run(found, from, found->pages, &next) &&
		       next.first - from <= MERGE_PAGES) {
			from = next.first + next.count;
			run.count = from - run.first;
		}
		ret = collect(tracker, run, GW_PAGE_IS_WRITTEN, GW_PM_SCAN_WP_MATCHING, found,
		              error);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/*
 * Looking for holes costs milliseconds a GiB, so while the VM runs it is done only if the number
 * of blocks changed or a page that was a hole was written; what that leaves out is found at the
 * final scan, which always looks.
 */
static int look_at_holes(struct gw_tracker *tracker, bool final, struct gw_error *error)
{
	struct pagemap *p = tracker->own;
	blkcnt_t blocks = 0;
	int ret;

	if (!tracker->may_punch) {
		gw_set_subtract(&tracker->holes, &p->found); /* it is written, so it is there */
		return 0;
	}
	ret = count_blocks(tracker->ram, &blocks, error);
	if (ret < 0)
		return ret;
	if (!final && blocks == p->blocks && !gw_set_count_common(&p->found, &tracker->holes))
		return 0;
	p->blocks = blocks;
	return gw_holes_compare(tracker, &p->scratch, &p->found, error);
}

/* Pages ever reported that are not what was sent: direct I/O changed them unseen. */
static void compare_digests(struct gw_tracker *tracker)
{
	struct pagemap *p = tracker->own;

	for (uint64_t page = gw_set_next(&p->ever, 0); page < p->ever.pages;
	     page = gw_set_next(&p->ever, page + 1)) {
		if (gw_set_has(&p->found, page) || gw_set_has(&tracker->holes, page))
			continue;
		if (gw_page_digest(tracker->ram->map + page * GW_PAGE_BYTES) != p->digests[page])
			gw_set_add(&p->found, page);
	}
}

static int pagemap_scan(struct gw_tracker *tracker, struct gw_set *dirty, bool final,
                        struct gw_error *error)
{
	struct pagemap *p = tracker->own;
	int ret;

	gw_set_clear(&p->found);
	ret = pagemap_peek(tracker, &p->found, error);
	if (ret == 0)
		ret = protect(tracker, &p->found, error);
	/* What was protected again must be reported, even if a later step fails. */
	gw_set_union(dirty, &p->found);
	if (ret == 0)
		ret = look_at_holes(tracker, final, error);
	if (ret == 0)
		ret = check_alive(tracker, error);
	if (ret < 0)
		return ret;
	if (tracker->direct_io) {
		if (final)
			compare_digests(tracker);
		gw_set_union(&p->ever, &p->found);
	}
	gw_set_union(dirty, &p->found);
	return 0;
}

static void pagemap_sending(struct gw_tracker *tracker, struct gw_run run, const void *contents)
{
	struct pagemap *p = tracker->own;
	const uint8_t *bytes = contents;

	for (uint64_t i = 0; i < run.count; i++)
		if (gw_set_has(&p->ever, run.first + i))
			p->digests[run.first + i] = gw_page_digest(bytes + i * GW_PAGE_BYTES);
}

static int pagemap_forget(struct gw_tracker *tracker, int timeout_ms, struct gw_error *error)
{
	const struct gw_ram *ram = tracker->ram;

	return gw_attach_unmap_pages(ram->pid, ram->address, ram->bytes, timeout_ms, error);
}

/* Where writes are tracked a fault brings its own page and no neighbours: the grain is a page. */
static int pagemap_accessed(struct gw_tracker *tracker, struct gw_set *pages,
                            struct gw_error *error)
{
	return collect(tracker, all_of(tracker->ram), GW_PAGE_IS_PRESENT, 0, pages, error);
}

static void pagemap_stop(struct gw_tracker *tracker)
{
	release(tracker->own);
}

const struct gw_tracker_kind gw_tracker_pagemap = {
        .name = "pagemap",
        .summary = "the kernel's page tables say what was written (Linux 6.7 or later, root)",
        .needs_pid = true,
        .open = pagemap_open,
        .start = pagemap_start,
        .scan = pagemap_scan,
        .peek = pagemap_peek,
        .sending = pagemap_sending,
        .stop = pagemap_stop,
        .forget = pagemap_forget,
        .accessed = pagemap_accessed,
};
