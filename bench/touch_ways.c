/* SPDX-License-Identifier: MIT */
/*
 * bench/touch_ways.c - two ways to learn which pages a shadow touches first, side by side.
 *
 *     touch_ways [PAGES [WORK_NS [LOOK_US]]]
 *
 * A thread touches the pages of a private view of a file, each once, in a random order, a third of
 * them by writing, and computes WORK_NS after each. Another one observes it:
 *
 *     nobody    for comparison
 *     faults    a userfaultfd in minor mode; each touch waits until it is answered
 *     looks     write-protected by a userfaultfd (which makes the grain one page); every LOOK_US
 *               the page table is asked what is present
 *
 * Printed: how long the touching took, the processor time of the observer, how long after a touch
 * it was known (mean, 99th percentile), how many of those reported one after the other were touched
 * in that order, and how many pages the file holds that it had not held before.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "live/memory/uapi.h"

#define PAGE    4096u
#define REGIONS 4096
#define HOLES   16u /* every so many pages one is a hole in the file */

enum way { NOBODY, FAULTS, LOOKS };

struct run {
	enum way way;
	uint64_t pages, work_ns, look_ns;
	int file, uffd, pagemap;
	uint8_t *view;
	uint32_t *order;
	uint64_t *touched_ns, *known_ns;
	uint32_t *reported;
	uint64_t reports, observer_ns;
	_Atomic bool done;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static void must(const char *what, long result)
{
	if (result >= 0)
		return;
	(void)fprintf(stderr, "touch_ways: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *touch_all(void *arg)
{
	struct run *r = arg;

	for (uint64_t i = 0; i < r->pages; i++) {
		volatile uint8_t *page = r->view + (uint64_t)r->order[i] * PAGE;
		uint64_t until;

		r->touched_ns[r->order[i]] = now_ns();
		if (i % 3 == 0)
			*page = 1;
		else
			(void)*page;
		for (until = now_ns() + r->work_ns; now_ns() < until;)
			;
	}
	atomic_store(&r->done, true);
	return NULL;
}

static void report(struct run *r, uint64_t page)
{
	if (r->known_ns[page])
		return;
	r->known_ns[page] = now_ns();
	r->reported[r->reports++] = (uint32_t)page;
}

/* --- faults --------------------------------------------------------------------------------- */

static void let_go(struct run *r, const struct uffd_msg *m)
{
	struct uffdio_range range = {m->arg.pagefault.address & ~(uint64_t)(PAGE - 1), PAGE};
	struct gw_uffdio_continue own = {.range = range};
	struct uffdio_zeropage zero = {.range = range};

	if (m->arg.pagefault.flags & GW_UFFD_PAGEFAULT_FLAG_MINOR)
		must("continue", ioctl(r->uffd, GW_UFFDIO_CONTINUE, &own));
	else
		must("zero page", ioctl(r->uffd, UFFDIO_ZEROPAGE, &zero));
}

static void serve_faults(struct run *r)
{
	struct pollfd item = {.fd = r->uffd, .events = POLLIN};
	struct uffd_msg message;

	while (!atomic_load(&r->done)) {
		if (poll(&item, 1, 10) <= 0)
			continue;
		while (read(r->uffd, &message, sizeof(message)) == (ssize_t)sizeof(message)) {
			report(r, (message.arg.pagefault.address - (uintptr_t)r->view) / PAGE);
			let_go(r, &message);
		}
	}
}

/* --- looks ---------------------------------------------------------------------------------- */

static void look(struct run *r)
{
	static struct gw_page_region found[REGIONS];
	uint64_t start = (uintptr_t)r->view, end = start + r->pages * PAGE;

	while (start < end) {
		struct gw_pm_scan_arg scan = {.size = sizeof(scan),
		                              .start = start,
		                              .end = end,
		                              .vec = (uintptr_t)found,
		                              .vec_len = REGIONS,
		                              .category_mask = GW_PAGE_IS_PRESENT,
		                              .return_mask = GW_PAGE_IS_PRESENT};
		long count = ioctl(r->pagemap, GW_PAGEMAP_SCAN, &scan);

		must("scan", count);
		for (long i = 0; i < count; i++)
			for (uint64_t at = found[i].start; at < found[i].end; at += PAGE)
				report(r, (at - (uintptr_t)r->view) / PAGE);
		start = scan.walk_end;
	}
}

static void keep_looking(struct run *r)
{
	while (!atomic_load(&r->done)) {
		look(r);
		nanosleep(&(struct timespec){.tv_nsec = (long)r->look_ns}, NULL);
	}
	look(r);
}

/* --- a run ---------------------------------------------------------------------------------- */

static void begin_watching(struct run *r)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register all = {.range = {(uintptr_t)r->view, r->pages * PAGE},
	                              .mode = UFFDIO_REGISTER_MODE_MISSING |
	                                      GW_UFFDIO_REGISTER_MODE_MINOR};

	if (r->way == NOBODY)
		return;
	api.features = UFFD_FEATURE_MISSING_SHMEM | GW_UFFD_FEATURE_MINOR_SHMEM;
	if (r->way == LOOKS) {
		api.features = GW_UFFD_FEATURE_WP_ASYNC | GW_UFFD_FEATURE_WP_UNPOPULATED |
		               GW_UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
		all.mode = UFFDIO_REGISTER_MODE_WP;
	}
	r->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	must("userfaultfd", r->uffd);
	must("api", ioctl(r->uffd, UFFDIO_API, &api));
	must("register", ioctl(r->uffd, UFFDIO_REGISTER, &all));
	r->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	must("pagemap", r->pagemap);
}

static void make_file(struct run *r)
{
	uint8_t page[PAGE];

	memset(page, 7, sizeof(page));
	r->file = memfd_create("image", MFD_CLOEXEC);
	must("a file", r->file);
	must("a file", ftruncate(r->file, (off_t)(r->pages * PAGE)));
	for (uint64_t i = 0; i < r->pages; i++)
		if (i % HOLES)
			must("a file", pwrite(r->file, page, PAGE, (off_t)(i * PAGE)));
	r->view = mmap(NULL, r->pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, r->file, 0);
	if (r->view == MAP_FAILED)
		must("a view", -1);
	must("a view", madvise(r->view, r->pages * PAGE, MADV_RANDOM));
}

static void make_order(struct run *r)
{
	uint64_t random = 88172645463325252ull;

	for (uint64_t i = 0; i < r->pages; i++)
		r->order[i] = (uint32_t)i;
	for (uint64_t i = r->pages - 1; i > 0; i--) {
		uint64_t j;
		uint32_t kept = r->order[i];

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		j = random % (i + 1);
		r->order[i] = r->order[j];
		r->order[j] = kept;
	}
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void print_run(struct run *r, uint64_t took_ns, long long grown)
{
	static const char *const names[] = {"nobody", "faults", "looks"};
	uint64_t in_order = 0, sum = 0, p99 = 0;
	uint64_t *late = calloc(r->reports + 1, sizeof(*late));

	if (!late)
		must("memory", -1);
	for (uint64_t i = 0; i < r->reports; i++) {
		uint32_t page = r->reported[i];

		late[i] = r->known_ns[page] - r->touched_ns[page];
		sum += late[i];
		in_order += i && r->touched_ns[r->reported[i - 1]] <= r->touched_ns[page];
	}
	qsort(late, r->reports, sizeof(*late), by_size);
	if (r->reports)
		p99 = late[r->reports * 99 / 100];
	printf("%-7s %8.1f ms  observer %7.1f ms  known after %8.1f us, p99 %8.1f us  "
	       "in order %5.1f %%  grown by %lld pages\n",
	       names[r->way], (double)took_ns / 1e6, (double)r->observer_ns / 1e6,
	       r->reports ? (double)sum / (double)r->reports / 1e3 : 0, (double)p99 / 1e3,
	       r->reports > 1 ? 100.0 * (double)in_order / (double)(r->reports - 1) : 0, grown);
	free(late);
}

static void measure(enum way way, uint64_t pages, uint64_t work_ns, uint64_t look_ns)
{
	struct run r = {.way = way,
	                .pages = pages,
	                .work_ns = work_ns,
	                .look_ns = look_ns,
	                .uffd = -1,
	                .pagemap = -1};
	uint64_t began, cpu;
	struct stat before, after;
	pthread_t thread;

	r.order = calloc(pages, sizeof(*r.order));
	r.reported = calloc(pages, sizeof(*r.reported));
	r.touched_ns = calloc(pages, sizeof(*r.touched_ns));
	r.known_ns = calloc(pages, sizeof(*r.known_ns));
	if (!r.order || !r.reported || !r.touched_ns || !r.known_ns)
		must("memory", -1);
	make_file(&r);
	make_order(&r);
	begin_watching(&r);
	must("a file", fstat(r.file, &before));
	began = now_ns();
	cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	if (pthread_create(&thread, NULL, touch_all, &r))
		must("a thread", -1);
	if (way == FAULTS)
		serve_faults(&r);
	else if (way == LOOKS)
		keep_looking(&r);
	r.observer_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	pthread_join(thread, NULL);
	must("a file", fstat(r.file, &after));
	print_run(&r, now_ns() - began,
	          (long long)(after.st_blocks - before.st_blocks) * 512 / PAGE);
	if (r.uffd >= 0)
		close(r.uffd);
	if (r.pagemap >= 0)
		close(r.pagemap);
	munmap(r.view, pages * PAGE);
	close(r.file);
	free(r.order);
	free(r.reported);
	free(r.touched_ns);
	free(r.known_ns);
}

int main(int count, char **argument)
{
	uint64_t pages = count > 1 ? strtoull(argument[1], NULL, 10) : 32768;
	uint64_t work_ns = count > 2 ? strtoull(argument[2], NULL, 10) : 10000;
	uint64_t look_us = count > 3 ? strtoull(argument[3], NULL, 10) : 1500;

	for (enum way way = NOBODY; way <= LOOKS; way++)
		measure(way, pages, work_ns, look_us * 1000);
	return 0;
}
