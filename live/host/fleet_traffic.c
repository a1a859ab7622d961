/* SPDX-License-Identifier: MIT */
/*
 * live/host/fleet_traffic.c - what was granted to the moves and kept for the VMs, as classes of
 * traffic on the device that the moves leave by.
 *
 * Slots are the members' places.
 */
#include "live/host/fleet.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "live/net/device.h"

static void note(struct gw_evacuation *e, const char *sentence)
{
	if (e->options.note)
		e->options.note(e->options.arg, sentence);
}

static void not_enforced(struct gw_evacuation *e, const char *why)
{
	(void)snprintf(e->enforced, sizeof(e->enforced),
	               "reservations are not enforced, only the moves' own rates: %s", why);
	note(e, e->enforced);
}

static int install(struct gw_evacuation *e, struct gw_error *error)
{
	uint64_t carries = e->options.carries_bytes_per_s;
	char device[IF_NAMESIZE] = "";

	if (!e->ifindex || !if_indextoname((unsigned)e->ifindex, device))
		return gw_fail(error, ENODEV, "the device that leads to the hosts is not known");
	if (gw_device_is_bridge(e->ifindex))
		return gw_fail(error, EINVAL,
		               "%s is a bridge: name the port that leads to the hosts by --device",
		               device);
	if (!carries)
		carries = gw_device_carries(e->ifindex);
	/* Loopback carries nothing either, but that is not what is wrong with it. */
	if (!carries && strcmp(device, "lo") != 0)
		return gw_fail(error, EINVAL, "%s does not say what it carries: say --carries",
		               device);
	(void)snprintf(e->enforced, sizeof(e->enforced), "classes of traffic on %s", device);
	return gw_classes_install(&e->classes, e->ifindex, carries ? carries : GW_ASSUMED_RATE,
	                          e->count, error);
}

static void match(struct gw_evacuation *e, size_t slot)
{
	const struct gw_member *m = &e->members[slot];
	struct gw_error error;
	char text[500];

	for (unsigned i = 0; i < m->usage.tap_count; i++) {
		if (!gw_classes_match(&e->classes, slot, m->usage.taps[i], &error))
			continue;
		(void)snprintf(text, sizeof(text),
		               "nothing is reserved for what %s sends by %s: %s", m->name,
		               m->usage.taps[i], error.text);
		note(e, text);
	}
}

void gw_fleet_shape(struct gw_evacuation *e)
{
	struct gw_error error;

	if (install(e, &error)) {
		not_enforced(e, error.text);
		return;
	}
	for (size_t i = 0; i < e->count; i++)
		match(e, i);
}

/* A twentieth for headers. */
static uint64_t with_headers(uint64_t payload)
{
	return payload + payload / 20;
}

/* Where the policy reserves nothing, what the VM is going to send is no less its own. */
static uint64_t reserved_for(const struct gw_member *m)
{
	uint64_t next = gw_traffic_next(&m->traffic);

	if (m->state == GW_MEMBER_MOVED)
		return 0;
	return with_headers(m->grant.reserved_bytes_per_s > next ? m->grant.reserved_bytes_per_s
	                                                         : next);
}

static struct gw_class_share share_of(const struct gw_evacuation *e, const struct gw_member *m)
{
	uint64_t link = e->classes.link_bytes_per_s, ceiling = with_headers(m->rate_bytes_per_s);

	if (m->state != GW_MEMBER_MOVES && m->state != GW_MEMBER_WAITS)
		return (struct gw_class_share){.reserved = reserved_for(m)};
	return (struct gw_class_share){
	        .rate = with_headers(m->grant.rate_bytes_per_s),
	        .ceiling = ceiling && ceiling < link ? ceiling : link,
	        .reserved = reserved_for(m),
	};
}

void gw_fleet_share(struct gw_evacuation *e)
{
	_cleanup_free_ struct gw_class_share *shares = calloc(e->count + 1, sizeof(*shares));
	struct gw_error error;

	if (!e->classes.htb.ifindex || !shares)
		return;
	for (size_t i = 0; i < e->count; i++)
		shares[i] = share_of(e, &e->members[i]);
	if (!gw_classes_divide(&e->classes, shares, &error))
		return;
	gw_classes_remove(&e->classes);
	not_enforced(e, error.text);
}

uint32_t gw_fleet_class(const struct gw_evacuation *e, const struct gw_member *m)
{
	return e->classes.htb.ifindex ? gw_classes_of((size_t)(m - e->members)) : 0;
}

void gw_fleet_unshape(struct gw_evacuation *e)
{
	gw_classes_remove(&e->classes);
}
