/* SPDX-License-Identifier: MIT */
/*
 * The format is QEMU's docs/interop/qcow2.txt, version 3. Four clusters make an empty image:
 *
 *   0 header | 1 refcount table | 2 refcount block | 3 L1 table (all zeros: nothing is allocated)
 */
#include "live/vm/overlay.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"

#define CLUSTER_BITS    16
#define CLUSTER         (1ull << CLUSTER_BITS)
#define L2_ENTRIES      (CLUSTER / 8)
#define L1_ENTRIES_MAX  (CLUSTER / 8) /* one cluster of them: 4 TiB */
#define REFCOUNT_ORDER  4             /* 16 bits */
#define CLUSTERS_IN_USE 4

struct header {
	char magic[4];
	uint32_t version;
	uint64_t backing_file_offset;
	uint32_t backing_file_size;
	uint32_t cluster_bits;
	uint64_t size;
	uint32_t crypt_method;
	uint32_t l1_size;
	uint64_t l1_table_offset;
	uint64_t refcount_table_offset;
	uint32_t refcount_table_clusters;
	uint32_t snapshots;
	uint64_t snapshots_offset;
	uint64_t incompatible, compatible, autoclear;
	uint32_t refcount_order;
	uint32_t header_length;
};

static struct header header_of(uint64_t bytes)
{
	uint64_t covered = CLUSTER * L2_ENTRIES;

	return (struct header){
	        .magic = {'Q', 'F', 'I', '\xfb'},
	        .version = htobe32(3),
	        .cluster_bits = htobe32(CLUSTER_BITS),
	        .size = htobe64(bytes),
	        .l1_size = htobe32((uint32_t)((bytes + covered - 1) / covered)),
	        .l1_table_offset = htobe64(3 * CLUSTER),
	        .refcount_table_offset = htobe64(CLUSTER),
	        .refcount_table_clusters = htobe32(1),
	        .refcount_order = htobe32(REFCOUNT_ORDER),
	        .header_length = htobe32(sizeof(struct header)),
	};
}

static bool put(int fd, const void *bytes, size_t count, uint64_t at)
{
	return pwrite(fd, bytes, count, (off_t)at) == (ssize_t)count;
}

int gw_overlay_make(uint64_t bytes, struct gw_error *error)
{
	struct header header = header_of(bytes);
	uint64_t block = htobe64(2 * CLUSTER);
	uint16_t used[CLUSTERS_IN_USE];
	int fd;

	if (bytes == 0 || bytes > CLUSTER * L2_ENTRIES * L1_ENTRIES_MAX)
		return gw_fail(error, ENOTSUP, "a disk of %llu bytes cannot be overlaid",
		               (unsigned long long)bytes);
	for (unsigned i = 0; i < CLUSTERS_IN_USE; i++)
		used[i] = htobe16(1);
	fd = memfd_create("overlay", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, CLUSTERS_IN_USE * CLUSTER) < 0 ||
	    !put(fd, &header, sizeof(header), 0) || !put(fd, &block, sizeof(block), CLUSTER) ||
	    !put(fd, used, sizeof(used), 2 * CLUSTER)) {
		int err = errno;

		gw_cleanup_close(&fd);
		return gw_fail(error, err, "no overlay can be made for a disk: %s", strerror(err));
	}
	return fd;
}
