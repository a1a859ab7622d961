/* SPDX-License-Identifier: MIT */
/*
 * live/memory/uapi.h - what the kernel offers and older headers do not know yet.
 *
 * Values from the kernel's include/uapi/linux/userfaultfd.h and fs.h (6.7); they are its ABI.
 */
#ifndef GW_LIVE_MEMORY_UAPI_H
#define GW_LIVE_MEMORY_UAPI_H

#include <linux/ioctl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>

#define GW_USERFAULTFD_IOC_NEW             _IO(0xAA, 0x00) /* on /dev/userfaultfd; 6.1 */
#define GW_UFFD_FEATURE_MINOR_SHMEM        (1ull << 10) /* 5.14 */
#define GW_UFFDIO_REGISTER_MODE_MINOR      (1ull << 2)
#define GW_UFFD_PAGEFAULT_FLAG_MINOR       (1ull << 2)
#define GW_UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1ull << 12) /* 5.19 */
#define GW_UFFD_FEATURE_WP_UNPOPULATED     (1ull << 13) /* 6.4 */
#define GW_UFFD_FEATURE_WP_ASYNC           (1ull << 15) /* 6.7 */

#define GW_PAGE_IS_WRITTEN (1ull << 1)
#define GW_PAGE_IS_PRESENT (1ull << 3)

#define GW_PM_SCAN_WP_MATCHING   (1ull << 0)
#define GW_PM_SCAN_CHECK_WPASYNC (1ull << 1)

struct gw_uffdio_continue {
	struct uffdio_range range;
	uint64_t mode;
	int64_t mapped; /* out: bytes, or a negative errno */
};

#define GW_UFFDIO_CONTINUE _IOWR(0xAA, 0x07, struct gw_uffdio_continue)

struct gw_page_region {
	uint64_t start; /* addresses */
	uint64_t end;
	uint64_t categories;
};

struct gw_pm_scan_arg {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end; /* out: where the walk stopped */
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define GW_PAGEMAP_SCAN _IOWR('f', 16, struct gw_pm_scan_arg)

#endif
