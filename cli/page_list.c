/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/predict.h"

static int compare_pages(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int gw_page_list_add(struct gw_page_list *pages, uint64_t page, struct gw_error *error)
{
	if (pages->count == GW_PAGE_LIST_MAX)
		return gw_fail(error, E2BIG, "more than %u pages", GW_PAGE_LIST_MAX);
	if (pages->count == pages->room) {
		size_t room = pages->room ? 2 * pages->room : 1024;
		uint64_t *more = realloc(pages->at, room * sizeof(*more));

		if (!more)
			return gw_fail(error, ENOMEM, "no memory for so many pages");
		pages->at = more;
		pages->room = room;
	}
	pages->at[pages->count++] = page;
	return 0;
}

int gw_page_list_read(const char *text, const char *where, struct gw_page_list *pages,
                      struct gw_error *error)
{
	size_t kept = 0;

	pages->count = 0;
	for (text += strspn(text, " ,\t\r\n"); *text; text += strspn(text, " ,\t\r\n")) {
		char *end;
		unsigned long long page = strtoull(text, &end, 10);

		if (*text < '0' || *text > '9' || page >= GW_PAGE_NUMBER_MAX ||
		    (*end && !strchr(" ,\t\r\n", *end)))
			return gw_fail(error, EINVAL, "%s: '%.*s' is no page number", where,
			               (int)strcspn(text, " ,\t\r\n"), text);
		if (gw_page_list_add(pages, page, error))
			return -ENOMEM;
		text = end;
	}
	if (pages->count)
		qsort(pages->at, pages->count, sizeof(*pages->at), compare_pages);
	for (size_t i = 0; i < pages->count; i++)
		if (!kept || pages->at[kept - 1] != pages->at[i])
			pages->at[kept++] = pages->at[i];
	pages->count = kept;
	return 0;
}
