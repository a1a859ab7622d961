/* SPDX-License-Identifier: MIT */
/*
 * nrac-wc: NRAC's reservations and its order, and no idle link.
 *
 * Network-intensive VMs have what they are going to send reserved, whatever their migrations do
 * (but for a small share of the link, without which nothing would ever move away). Where the rest
 * does not cover what the others dirty, network-intensive VMs that are about to migrate wait (S2,
 * listing, line 8). Every migration first gets the rate at which its dirty set stays as it is, as
 * far as there is enough; what nobody reserved is then divided alike.
 */
#include <errno.h>
#include <string.h>

#include "core/bandwidth/divide.h"
#include "core/setting.h"

struct nrac_wc {
	uint64_t least_permille; /* of what is free: not for reservations */
};

_Static_assert(sizeof(struct nrac_wc) <= GW_BANDWIDTH_MEMORY, "fits");

static void init(struct gw_bandwidth *policy)
{
	((struct nrac_wc *)policy->memory)->least_permille = 50;
}

static int set(struct gw_bandwidth *policy, const char *key, const char *value)
{
	struct nrac_wc *p = (struct nrac_wc *)policy->memory;

	return strcmp(key, "least") != 0 ? -ENOENT : gw_setting_share(value, &p->least_permille);
}

/* What those that are not network-intensive dirty together. */
static uint64_t dirtied_by_others(const struct gw_bandwidth *policy, const struct gw_mover *movers,
                                  size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		if (movers[i].state < GW_MOVER_SWITCHES &&
		    gw_application_of(&policy->thresholds, &movers[i]) != GW_APP_NETWORK)
			sum += gw_limited(&movers[i], movers[i].dirty_bytes_per_s);
	return sum;
}

static void want(const struct gw_mover *movers, struct gw_grant *grants, size_t count, bool all)
{
	for (size_t i = 0; i < count; i++) {
		if (movers[i].state >= GW_MOVER_SWITCHES || grants[i].waits)
			continue;
		grants[i].want_bytes_per_s = all ? UINT64_MAX : movers[i].dirty_bytes_per_s;
		grants[i].reason = "its dirty rate, and a share of what is not reserved";
	}
}

static void divide(const struct gw_bandwidth *policy, const struct gw_uplink *link,
                   const struct gw_mover *movers, struct gw_grant *grants, size_t count)
{
	const struct nrac_wc *p = (const struct nrac_wc *)policy->memory;
	uint64_t free = gw_uplink_free(link);
	uint64_t least = free / 1000 * p->least_permille;

	free = least + gw_reserve(policy, movers, grants, count, free - least);
	free = gw_serve_switching(movers, grants, count, free);
	if (free < dirtied_by_others(policy, movers, count))
		for (size_t i = 0; i < count; i++)
			if (movers[i].state == GW_MOVER_WAITS &&
			    gw_application_of(&policy->thresholds, &movers[i]) == GW_APP_NETWORK)
				gw_wait(&grants[i],
				        "those that are not network-intensive go first");
	want(movers, grants, count, false);
	free = gw_fill(movers, grants, count, free);
	want(movers, grants, count, true);
	(void)gw_fill(movers, grants, count, free);
}

const struct gw_bandwidth_kind gw_bandwidth_nrac_wc = {
        .name = "nrac-wc",
        .summary = "S2's reservations and order; what nobody reserved goes to the migrations",
        .settings = "least=0.05 (of the link, for migrations in any case)",
        .init = init,
        .set = set,
        .divide = divide,
};
