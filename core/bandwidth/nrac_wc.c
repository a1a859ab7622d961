/* SPDX-License-Identifier: MIT */
/*
 * nrac-wc: NRAC's reservations and its order, and no idle link.
 *
 * Network-intensive VMs have what they are going to send reserved, whatever their migrations do
 * (but for a small share of the link, without which nothing would ever move away). What nobody
 * reserved goes to the migrations, to one after the other: S2 has them follow each other, those
 * that are not network-intensive first (listing, line 8), and two that share would both send again
 * what is dirtied meanwhile. Only what the first cannot use, because of its limit, is the next
 * one's; where nothing is left a migration waits with its beginning.
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

/* Who is served when: those under way, then those that begin, network-intensive ones last. */
static unsigned turn_of(const struct gw_bandwidth *policy, const struct gw_mover *mover)
{
	if (mover->state != GW_MOVER_WAITS)
		return 0;
	return gw_application_of(&policy->thresholds, mover) == GW_APP_NETWORK ? 2 : 1;
}

/* Returns what is left. */
static uint64_t serve(const struct gw_mover *mover, struct gw_grant *grant, uint64_t free)
{
	grant->rate_bytes_per_s = gw_limited(mover, free);
	grant->reason = grant->rate_bytes_per_s ? "what nobody reserved" : "nothing is left";
	if (!grant->rate_bytes_per_s && mover->state == GW_MOVER_WAITS)
		gw_wait(grant, "nothing is left");
	return free - grant->rate_bytes_per_s;
}

static void divide(const struct gw_bandwidth *policy, const struct gw_uplink *link,
                   const struct gw_mover *movers, struct gw_grant *grants, size_t count)
{
	const struct nrac_wc *p = (const struct nrac_wc *)policy->memory;
	uint64_t free = gw_uplink_free(link);
	uint64_t least = free / 1000 * p->least_permille;
	bool delays;

	free = least + gw_reserve(policy, movers, grants, count, free - least);
	free = gw_serve_switching(movers, grants, count, free);
	delays = free < dirtied_by_others(policy, movers, count);
	for (unsigned turn = 0; turn < 3; turn++) {
		for (size_t i = 0; i < count; i++) {
			if (movers[i].state >= GW_MOVER_SWITCHES ||
			    turn_of(policy, &movers[i]) != turn)
				continue;
			if (delays && turn == 2)
				gw_wait(&grants[i],
				        "those that are not network-intensive go first");
			else
				free = serve(&movers[i], &grants[i], free);
		}
	}
}

const struct gw_bandwidth_kind gw_bandwidth_nrac_wc = {
        .name = "nrac-wc",
        .summary = "S2's reservations and order; all that nobody reserved goes to migrations, one "
                   "by one",
        .settings = "least=0.05 (of the link, for migrations in any case)",
        .init = init,
        .set = set,
        .divide = divide,
};
