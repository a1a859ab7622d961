/* SPDX-License-Identifier: MIT */
#include "core/order/kinds.h"

#include <errno.h>
#include <string.h>

const struct gw_order_kind *const gw_orders[] = {
        &gw_order_demand,
        &gw_order_linear,
        &gw_order_bubble,
        &gw_order_forecast,
        &gw_order_queue,
        NULL,
};

int gw_order_init(struct gw_order *order, const char *name)
{
	for (size_t i = 0; gw_orders[i]; i++) {
		if (strcmp(gw_orders[i]->name, name) != 0)
			continue;
		memset(order, 0, sizeof(*order));
		order->kind = gw_orders[i];
		if (order->kind->init)
			order->kind->init(order);
		return 0;
	}
	return -ENOENT;
}

int gw_order_set(struct gw_order *order, const char *key, const char *value)
{
	return order->kind->set(order, key, value);
}

size_t gw_order_bytes(const struct gw_order *order, uint64_t ram_pages)
{
	return order->kind->bytes ? order->kind->bytes(order, ram_pages) : 0;
}

void gw_order_attach(struct gw_order *order, void *memory, uint64_t ram_pages)
{
	if (order->kind->attach)
		order->kind->attach(order, memory, ram_pages);
}

bool gw_order_wants_shadow(const struct gw_order *order)
{
	return order->kind->touched != NULL;
}

bool gw_order_comes_next(const struct gw_order *order, uint64_t page)
{
	return order->kind->comes_next && order->kind->comes_next(order, page);
}

uint64_t gw_order_deadline(const struct gw_order *order)
{
	return order->kind->deadline ? order->kind->deadline(order) : UINT64_MAX;
}

size_t gw_order_scan(uint64_t *cursor, const struct gw_set *left, struct gw_run *runs,
                     size_t max_runs, uint64_t max_pages)
{
	uint64_t start = *cursor < left->pages ? *cursor : 0, at = start, end = left->pages;
	bool wrapped = false;
	size_t n = 0;

	while (n < max_runs && max_pages) {
		struct gw_run run;

		if (!gw_set_next_run(left, at, max_pages, &run) || run.first >= end) {
			if (wrapped)
				break;
			wrapped = true;
			at = 0;
			end = start;
			continue;
		}
		if (run.count > end - run.first)
			run.count = end - run.first;
		runs[n++] = run;
		max_pages -= run.count;
		at = run.first + run.count;
		*cursor = at;
	}
	return n;
}

size_t gw_order_ranked(size_t *rank, const struct gw_ranking *likely, const struct gw_set *left,
                       struct gw_run *runs, size_t max_runs, uint64_t max_pages)
{
	size_t n = 0;

	for (; *rank < likely->count && n < max_runs && max_pages; (*rank)++) {
		uint64_t page = likely->pages[*rank].page;

		if (!gw_set_has(left, page))
			continue;
		gw_order_append(runs, &n, page);
		max_pages--;
	}
	return n;
}

void gw_order_append(struct gw_run *runs, size_t *count, uint64_t page)
{
	if (*count && runs[*count - 1].first + runs[*count - 1].count == page)
		runs[*count - 1].count++;
	else
		runs[(*count)++] = (struct gw_run){page, 1};
}
