/* SPDX-License-Identifier: MIT */
/*
 * live/memory/digest.h - digests of pages: 64 bits of XXH3.
 */
#ifndef GW_LIVE_MEMORY_DIGEST_H
#define GW_LIVE_MEMORY_DIGEST_H

#include <stdint.h>

/* Never 0, which stands for "none was taken". */
uint64_t gw_page_digest(const void *page);
/* The same, but 0 for a page of zeros: a hole has the digest of a page written with zeros. */
uint64_t gw_page_digest_or_zero(const void *page);

#endif
