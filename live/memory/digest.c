/* SPDX-License-Identifier: MIT */
#include "live/memory/digest.h"

#include <xxhash.h>

#include "live/memory/ram.h"

uint64_t gw_page_digest(const void *page)
{
	uint64_t digest = XXH3_64bits(page, GW_PAGE_BYTES);

	return digest ? digest : 1;
}

uint64_t gw_page_digest_or_zero(const void *page)
{
	return gw_page_is_zero(page) ? 0 : gw_page_digest(page);
}
