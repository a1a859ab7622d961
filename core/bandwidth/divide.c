/* SPDX-License-Identifier: MIT */
#include "core/bandwidth/divide.h"

uint64_t gw_uplink_free(const struct gw_uplink *link)
{
	return link->total_bytes_per_s > link->used_bytes_per_s
	               ? link->total_bytes_per_s - link->used_bytes_per_s
	               : 0;
}

uint64_t gw_limited(const struct gw_mover *mover, uint64_t rate_bytes_per_s)
{
	uint64_t limit = mover->limit_bytes_per_s, way = mover->way_bytes_per_s;

	if (way && (!limit || way < limit))
		limit = way;
	return limit && limit < rate_bytes_per_s ? limit : rate_bytes_per_s;
}

/* How much more it wants. */
static uint64_t lacks(const struct gw_mover *mover, const struct gw_grant *grant)
{
	uint64_t want = gw_limited(mover, grant->want_bytes_per_s);

	return want > grant->rate_bytes_per_s ? want - grant->rate_bytes_per_s : 0;
}

/* Those that lack no more than the share get all they lack; returns whether there were any. */
static bool satisfy(const struct gw_mover *movers, struct gw_grant *grants, size_t count,
                    uint64_t share, uint64_t *free)
{
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		uint64_t more = lacks(&movers[i], &grants[i]);

		if (!more || more > share)
			continue;
		grants[i].rate_bytes_per_s += more;
		*free -= more;
		any = true;
	}
	return any;
}

uint64_t gw_fill(const struct gw_mover *movers, struct gw_grant *grants, size_t count,
                 uint64_t free)
{
	uint64_t open;

	do {
		open = 0;
		for (size_t i = 0; i < count; i++)
			open += lacks(&movers[i], &grants[i]) > 0;
	} while (open && satisfy(movers, grants, count, free / open, &free));
	/* Each lacks more than its share. */
	for (size_t i = 0; open && i < count; i++) {
		uint64_t share = free / open + (free % open > 0);

		if (!lacks(&movers[i], &grants[i]))
			continue;
		grants[i].rate_bytes_per_s += share;
		free -= share;
		open--;
	}
	return free;
}

uint64_t gw_usable(const struct gw_uplink *link, const struct gw_mover *mover)
{
	double rate =
	        link->next_ns ? (double)mover->left_bytes * 8e9 / (double)link->next_ns : 1e18;

	return rate < 1e18 ? (uint64_t)rate : UINT64_MAX;
}

uint64_t gw_serve_switching(const struct gw_mover *movers, struct gw_grant *grants, size_t count,
                            uint64_t free)
{
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		if (movers[i].state < GW_MOVER_SWITCHES)
			continue;
		any |= movers[i].state == GW_MOVER_SWITCHES;
		grants[i].want_bytes_per_s = movers[i].state == GW_MOVER_SWITCHES ? UINT64_MAX : 0;
		grants[i].reason = grants[i].want_bytes_per_s ? "its users wait" : "all is sent";
	}
	if (any)
		free = gw_fill(movers, grants, count, free);
	for (size_t i = 0; any && i < count; i++)
		grants[i].want_bytes_per_s = 0;
	return free;
}

uint64_t gw_reserve(const struct gw_bandwidth *policy, const struct gw_mover *movers,
                    struct gw_grant *grants, size_t count, uint64_t free)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t next = movers[i].traffic_next_bytes_per_s;

		if (gw_application_of(&policy->thresholds, &movers[i]) != GW_APP_NETWORK)
			continue;
		grants[i].reserved_bytes_per_s = next < free ? next : free;
		free -= grants[i].reserved_bytes_per_s;
	}
	return free;
}

void gw_wait(struct gw_grant *grant, const char *reason)
{
	grant->waits = true;
	grant->rate_bytes_per_s = 0;
	grant->reason = reason;
}
