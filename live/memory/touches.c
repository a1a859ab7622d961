/* SPDX-License-Identifier: MIT */
#include "live/memory/touches.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/memory/attach.h"
#include "live/memory/uapi.h"

#define FEATURES  (UFFD_FEATURE_MISSING_SHMEM | GW_UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_THREAD_ID)
#define MESSAGES  64
#define ATTACH_MS 2000

static struct uffdio_range page_range(const struct gw_touches *touches, uint64_t page)
{
	return (struct uffdio_range){.start = touches->address + page * GW_PAGE_BYTES,
	                             .len = GW_PAGE_BYTES};
}

static int watch(struct gw_touches *touches, struct gw_error *error)
{
	struct uffdio_api api = {.api = UFFD_API, .features = FEATURES};
	struct uffdio_register all = {
	        .range = {.start = touches->address, .len = touches->ram->bytes},
	        .mode = UFFDIO_REGISTER_MODE_MISSING | GW_UFFDIO_REGISTER_MODE_MINOR};

	if (ioctl(touches->fd, UFFDIO_API, &api) < 0)
		return gw_fail(error, ENOTSUP,
		               "this kernel does not report first touches of shared memory (it "
		               "needs Linux 5.14 or later)");
	if (ioctl(touches->fd, UFFDIO_REGISTER, &all) < 0)
		return gw_fail(error, errno, "its memory cannot be watched: %s", strerror(errno));
	return 0;
}

int gw_touches_open(struct gw_touches *touches, const struct gw_ram *ram, pid_t pid, int device,
                    struct gw_error *error)
{
	int remote, ret;

	*touches = (struct gw_touches){.fd = -1, .ram = ram};
	ret = gw_ram_find_private(ram, pid, &touches->address, error);
	if (ret < 0)
		return ret;
	touches->fd = gw_attach_device_userfaultfd(pid, device, &remote, error);
	if (touches->fd < 0)
		return touches->fd;
	ret = watch(touches, error);
	if (ret == 0)
		ret = gw_attach_unmap_pages(pid, touches->address, ram->bytes, ATTACH_MS, error);
	if (ret < 0)
		gw_touches_close(touches);
	return ret;
}

int gw_touches_read(struct gw_touches *touches, struct gw_touch *at, unsigned max)
{
	struct uffd_msg messages[MESSAGES];
	ssize_t got = read(touches->fd, messages,
	                   (max < MESSAGES ? max : MESSAGES) * sizeof(messages[0]));
	int count = 0;

	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (size_t i = 0; i < (size_t)got / sizeof(messages[0]); i++) {
		const struct uffd_msg *m = &messages[i];
		uint64_t offset = m->arg.pagefault.address - touches->address;

		if (m->event != UFFD_EVENT_PAGEFAULT || offset >= touches->ram->bytes)
			continue;
		at[count++] = (struct gw_touch){
		        .page = offset / GW_PAGE_BYTES,
		        .hole = !(m->arg.pagefault.flags & GW_UFFD_PAGEFAULT_FLAG_MINOR)};
	}
	return count;
}

static int fill(const struct gw_touches *touches, const struct gw_touch *touch)
{
	struct uffdio_range range = page_range(touches, touch->page);
	struct uffdio_zeropage zero = {.range = range};
	struct gw_uffdio_continue own = {.range = range};

	if (touch->hole)
		return ioctl(touches->fd, UFFDIO_ZEROPAGE, &zero) < 0 ? -errno : 0;
	return ioctl(touches->fd, GW_UFFDIO_CONTINUE, &own) < 0 ? -errno : 0;
}

int gw_touches_let_go(struct gw_touches *touches, const struct gw_touch *touch)
{
	struct uffdio_range range = page_range(touches, touch->page);
	int ret;

	do
		ret = fill(touches, touch);
	while (ret == -EAGAIN || ret == -EINTR); /* its mappings are changing */
	if (ret == -EEXIST)                      /* another thread's touch let it go */
		ret = ioctl(touches->fd, UFFDIO_WAKE, &range) < 0 ? -errno : 0;
	return ret;
}

void gw_touches_close(struct gw_touches *touches)
{
	gw_cleanup_close(&touches->fd);
}
