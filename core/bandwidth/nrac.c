/* SPDX-License-Identifier: MIT */
/*
 * nrac: S2's network bandwidth reserve adjustment, to the letter, in both of its readings.
 *
 * For VM n with the free bandwidth Nf, its dirty rate De and its own traffic's forecast Napp:
 *
 *                                    the listing (section 5)         the text (below it)
 *     not network-intensive
 *       Nf <  De                     Nc = Nf; network-intensive VMs about to migrate are delayed
 *       Nf >= De                     Nc = De                         nothing is adjusted: Nc = Nf
 *     network-intensive
 *       Nf >  Napp + De              Nc = Napp + De: Napp is the     Nf - Napp, and Napp is
 *                                    VM's own, De the migration's    the VM's own
 *       Nf <= Napp + De              Nc = Nf, nothing is reserved    the same
 *
 * The paper has one migration at a time. With several, each finds what those before it have left:
 * first those under way, then those that are about to begin, network-intensive ones last. What a
 * VM without a reservation sends itself is not free for the others.
 *
 * Nc = De is exactly the rate at which a dirty set does not shrink: nrac-wc is what one can use.
 */
#include <errno.h>
#include <string.h>

#include "core/bandwidth/divide.h"
#include "core/setting.h"

#define LEAST_PART 64 /* of the link: no migration begins with less */

enum reading { LISTING, TEXT };

struct nrac {
	enum reading reading;
};

_Static_assert(sizeof(struct nrac) <= GW_BANDWIDTH_MEMORY, "fits");

/* What is divided, as it goes down. */
struct dividing {
	enum reading reading;
	uint64_t free;       /* of migrations and reservations */
	uint64_t least;      /* with which one begins */
	uint64_t unreserved; /* the VMs' own traffic that has no reservation */
	bool delays;         /* a VM that is not network-intensive has less than it dirties */
};

static int set(struct gw_bandwidth *policy, const char *key, const char *value)
{
	static const char *const readings[] = {"listing", "text", NULL};
	struct nrac *p = (struct nrac *)policy->memory;
	unsigned n;

	if (strcmp(key, "reading") != 0)
		return -ENOENT;
	if (gw_setting_choice(value, readings, &n))
		return -EINVAL;
	p->reading = (enum reading)n;
	return 0;
}

static uint64_t less(uint64_t from, uint64_t what)
{
	return from > what ? from - what : 0;
}

/* Nc of a VM that is not network-intensive. */
static void adjust(struct dividing *d, const struct gw_mover *mover, struct gw_grant *grant,
                   uint64_t free)
{
	uint64_t dirty = mover->dirty_bytes_per_s;

	if (free < dirty) {
		d->delays = true;
		grant->rate_bytes_per_s = free;
		grant->reason = "dirties more than is free: all of it";
	} else {
		grant->rate_bytes_per_s = d->reading == LISTING ? dirty : free;
		grant->reason = d->reading == LISTING ? "its dirty rate" : "enough is free";
	}
}

/* Nc of one that is. */
static void adjust_network(const struct dividing *d, const struct gw_mover *mover,
                           struct gw_grant *grant, uint64_t free)
{
	uint64_t own = mover->traffic_next_bytes_per_s, dirty = mover->dirty_bytes_per_s;
	bool fits = own < free && dirty < free - own;

	if (d->reading == TEXT) {
		grant->reserved_bytes_per_s = own < free ? own : free;
		grant->rate_bytes_per_s = free - grant->reserved_bytes_per_s;
		grant->reason = "what its own traffic leaves";
	} else if (fits) {
		grant->reserved_bytes_per_s = own;
		grant->rate_bytes_per_s = dirty;
		grant->reason = "its own traffic, and its dirty rate";
	} else {
		grant->rate_bytes_per_s = free;
		grant->reason = "too little is free to reserve";
	}
}

static void grant_one(struct dividing *d, const struct gw_bandwidth *policy,
                      const struct gw_mover *mover, struct gw_grant *grant)
{
	bool network = gw_application_of(&policy->thresholds, mover) == GW_APP_NETWORK;
	uint64_t others = less(d->unreserved, mover->traffic_bytes_per_s);
	uint64_t free = less(d->free, others);

	if (network && d->delays && mover->state == GW_MOVER_WAITS) {
		gw_wait(grant, "those that are not network-intensive go first");
		return;
	}
	if (network)
		adjust_network(d, mover, grant, free);
	else
		adjust(d, mover, grant, free);
	grant->rate_bytes_per_s = gw_limited(mover, grant->rate_bytes_per_s);
	d->free -= grant->rate_bytes_per_s + grant->reserved_bytes_per_s;
	if (grant->reserved_bytes_per_s)
		d->unreserved = others;
	if (mover->state == GW_MOVER_WAITS && free < d->least)
		gw_wait(grant, "nothing is free");
}

/* Who is served when: those under way, then those that begin, network-intensive ones last. */
static unsigned turn_of(const struct gw_bandwidth *policy, const struct gw_mover *mover)
{
	if (mover->state != GW_MOVER_WAITS)
		return 0;
	return gw_application_of(&policy->thresholds, mover) == GW_APP_NETWORK ? 2 : 1;
}

static void divide(const struct gw_bandwidth *policy, const struct gw_uplink *link,
                   const struct gw_mover *movers, struct gw_grant *grants, size_t count)
{
	struct dividing d = {.reading = ((const struct nrac *)policy->memory)->reading};

	d.least = link->total_bytes_per_s / LEAST_PART;
	d.free = gw_serve_switching(movers, grants, count, gw_uplink_free(link));
	for (size_t i = 0; i < count; i++)
		d.unreserved += movers[i].traffic_bytes_per_s;
	for (unsigned turn = 0; turn < 3; turn++)
		for (size_t i = 0; i < count; i++)
			if (movers[i].state < GW_MOVER_SWITCHES &&
			    turn_of(policy, &movers[i]) == turn)
				grant_one(&d, policy, &movers[i], &grants[i]);
}

const struct gw_bandwidth_kind gw_bandwidth_nrac = {
        .name = "nrac",
        .summary = "S2 to the letter: a migration gets what the VM dirties, its traffic a reserve",
        .settings = "reading=listing (listing|text)",
        .set = set,
        .divide = divide,
};
