/* SPDX-License-Identifier: MIT */
#include "live/memory/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"

#define FEW_PAGES 64 /* so small a gap is looked at page by page, not up to the next hole */

/*
 * One line of /proc/PID/maps:
 *   7f0a40000000-7f0a60000000 rw-s 00000000 00:18 1042   /dev/shm/web.ram
 */
struct mapping {
	uint64_t start, end, offset, inode;
	unsigned major, minor;
	char permissions[5];
};

static bool parse_mapping(const char *line, struct mapping *m)
{
	return sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64, &m->start,
	              &m->end, m->permissions, &m->offset, &m->major, &m->minor, &m->inode) == 7;
}

static bool is_of_file(const struct mapping *m, const struct stat *st)
{
	return m->inode == st->st_ino && m->major == major(st->st_dev) &&
	       m->minor == minor(st->st_dev);
}

/*
 * The kernel may show one mapping as several neighbours; as long as they follow each other in
 * memory and in the file they serve as one.
 */
static int find_address(struct gw_ram *ram, char sharing, const char *path, const struct stat *st,
                        struct gw_error *error)
{
	_cleanup_fclose_ FILE *maps = NULL;
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	uint64_t next = 0;
	bool seen = false, is_private = false;
	char name[64];

	(void)snprintf(name, sizeof(name), "/proc/%d/maps", (int)ram->pid);
	maps = fopen(name, "re");
	if (!maps)
		return gw_fail(error, errno, "process %d cannot be looked into (%s): %s",
		               (int)ram->pid, name, strerror(errno));
	ram->address = 0;
	while (next < ram->bytes && getline(&line, &room, maps) >= 0) {
		struct mapping m;

		if (!parse_mapping(line, &m) || !is_of_file(&m, st))
			continue;
		seen = true;
		is_private |= m.permissions[3] != 's';
		if (m.offset == 0) {
			ram->address = m.start;
			next = 0;
		}
		if (m.offset == next && m.start == ram->address + next &&
		    m.permissions[3] == sharing)
			next += m.end - m.start;
	}
	if (next >= ram->bytes)
		return 0;
	if (!seen)
		return gw_fail(error, ENOENT,
		               "process %d has not mapped %s: it is not this VM's memory",
		               (int)ram->pid, path);
	if (is_private && sharing == 's')
		return gw_fail(error, ENOTSUP,
		               "process %d has mapped %s privately: start the VM with share=on",
		               (int)ram->pid, path);
	return gw_fail(error, ENOTSUP,
	               "process %d has mapped %s in pieces, and godwit needs it in one",
	               (int)ram->pid, path);
}

static int check_file(int fd, const char *path, struct stat *st, struct gw_error *error)
{
	struct statfs fs;

	if (fstat(fd, st) < 0 || fstatfs(fd, &fs) < 0)
		return gw_fail(error, errno, "cannot examine %s: %s", path, strerror(errno));
	if (!S_ISREG(st->st_mode))
		return gw_fail(error, EINVAL,
		               "%s is not a regular file: it cannot be a VM's memory", path);
	if (fs.f_type == HUGETLBFS_MAGIC)
		return gw_fail(error, ENOTSUP,
		               "%s is made of huge pages, which are not supported: use /dev/shm",
		               path);
	if (st->st_size <= 0 || st->st_size % GW_PAGE_BYTES)
		return gw_fail(error, EINVAL,
		               "%s has %lld bytes, which is no whole number of %u-byte pages", path,
		               (long long)st->st_size, GW_PAGE_BYTES);
	return 0;
}

int gw_ram_open(struct gw_ram *ram, const char *path, pid_t pid, struct gw_error *error)
{
	struct stat st;
	void *map;
	int ret;

	*ram = (struct gw_ram){.fd = open(path, O_RDWR | O_CLOEXEC), .pid = pid};
	if (ram->fd < 0)
		return gw_fail(error, errno, "cannot open the VM's memory %s: %s", path,
		               strerror(errno));
	ret = check_file(ram->fd, path, &st, error);
	if (ret < 0)
		goto fail;
	ram->bytes = (uint64_t)st.st_size;
	ram->pages = ram->bytes / GW_PAGE_BYTES;
	if (pid) { /* before we map it: the process may be this one */
		ret = find_address(ram, 's', path, &st, error);
		if (ret < 0)
			goto fail;
	}
	map = mmap(NULL, ram->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ram->fd, 0);
	if (map == MAP_FAILED) {
		ret = gw_fail(error, errno, "cannot map %s: %s", path, strerror(errno));
		goto fail;
	}
	ram->map = map;
	/* A huge page for one that is written here would fill its neighbours, yet to come, with
	 * zeros. */
	(void)madvise(map, ram->bytes, MADV_NOHUGEPAGE);
	return 0;
fail:
	gw_ram_close(ram);
	return ret;
}

int gw_ram_find_private(const struct gw_ram *ram, pid_t pid, uint64_t *address,
                        struct gw_error *error)
{
	struct gw_ram view = {.bytes = ram->bytes, .pid = pid};
	struct stat st;
	int ret;

	if (fstat(ram->fd, &st) < 0)
		return gw_fail(error, errno, "cannot examine the VM's memory: %s", strerror(errno));
	ret = find_address(&view, 'p', "the VM's memory", &st, error);
	*address = view.address;
	return ret;
}

void gw_ram_close(struct gw_ram *ram)
{
	if (ram->map)
		munmap(ram->map, ram->bytes);
	if (ram->fd >= 0)
		close(ram->fd);
	*ram = (struct gw_ram){.fd = -1};
}

int gw_ram_hold(const struct gw_ram *ram, const char *name, struct gw_error *error)
{
	if (flock(ram->fd, LOCK_EX | LOCK_NB))
		return gw_fail(error, EBUSY,
		               "another migration of %s is under way, or a recording: `godwit "
		               "status` shows migrations",
		               name);
	return 0;
}

static int64_t seek_page(const struct gw_ram *ram, uint64_t page, int whence)
{
	off_t at = lseek(ram->fd, (off_t)(page * GW_PAGE_BYTES), whence);

	if (at < 0)
		return errno == ENXIO ? (int64_t)ram->pages : -errno;
	return (int64_t)((uint64_t)at + (whence == SEEK_HOLE ? GW_PAGE_BYTES - 1 : 0)) /
	       (int64_t)GW_PAGE_BYTES;
}

/*
 * Only the gaps of the set are looked at: walking over data costs 20 ms a GiB and more, so a second
 * look, with the VM stopped, costs what has come since the first.
 */
int gw_ram_populated(const struct gw_ram *ram, struct gw_set *populated, struct gw_error *error)
{
	uint64_t at = gw_set_next_gap(populated, 0);

	while (at < ram->pages) {
		uint64_t end = gw_set_next(populated, at);
		int64_t data = seek_page(ram, at, SEEK_DATA), hole = data;

		if (data >= 0 && (uint64_t)data < end)
			hole = end - (uint64_t)data > FEW_PAGES
			               ? seek_page(ram, (uint64_t)data, SEEK_HOLE)
			               : data + 1;
		if (hole < 0)
			return gw_fail(error, (int)-hole,
			               "cannot find the holes of the VM's memory: %s",
			               strerror((int)-hole));
		if (hole > data)
			gw_set_add_run(populated,
			               (struct gw_run){(uint64_t)data, (uint64_t)(hole - data)});
		at = gw_set_next_gap(populated, hole > data ? (uint64_t)hole : end);
	}
	return 0;
}

int gw_ram_punch(const struct gw_ram *ram, struct gw_run run, struct gw_error *error)
{
	if (fallocate(ram->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	              (off_t)(run.first * GW_PAGE_BYTES), (off_t)(run.count * GW_PAGE_BYTES)) < 0)
		return gw_fail(error, errno,
		               "cannot make holes in the VM's memory (pages %" PRIu64
		               " and %" PRIu64 " more): %s",
		               run.first, run.count - 1, strerror(errno));
	return 0;
}

int gw_ram_clear(const struct gw_ram *ram, const struct gw_set *set, struct gw_error *error)
{
	struct gw_run run;
	uint64_t at = 0, end;
	int64_t data = 0;
	int rc = 0;

	while (rc == 0 && data >= 0 && gw_set_next_run(set, at, set->pages, &run)) {
		end = run.first + run.count;
		data = seek_page(ram, run.first, SEEK_DATA);
		at = data > (int64_t)end ? (uint64_t)data : end; /* nothing is there before it */
		if (data < 0 || (uint64_t)data >= end)
			continue;
		rc = gw_ram_punch(ram, run, error);
		data = rc == 0 ? seek_page(ram, run.first, SEEK_DATA) : data;
		if (rc == 0 && data >= 0 && (uint64_t)data < end)
			rc = gw_fail(error, EBUSY,
			             "page %" PRId64
			             " of the VM's memory cannot be made a hole: are huge pages "
			             "of its file system held by somebody?",
			             data);
	}
	if (data < 0)
		return gw_fail(error, (int)-data, "cannot find the holes of the VM's memory: %s",
		               strerror((int)-data));
	return rc;
}

/* Most pages that are not zero say so in their first bytes; the blocks after that vectorise. */
bool gw_page_is_zero(const void *page)
{
	const uint64_t *words = page;

	if (words[0] | words[GW_PAGE_BYTES / 16] | words[GW_PAGE_BYTES / 8 - 1])
		return false;
	for (size_t block = 0; block < GW_PAGE_BYTES / 8; block += 32) {
		uint64_t any = 0;

		for (size_t i = 0; i < 32; i++)
			any |= words[block + i];
		if (any)
			return false;
	}
	return true;
}
