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
#include <sys/stat.h>

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

static const char *device_name(int ifindex, char name[IF_NAMESIZE])
{
	return ifindex && if_indextoname((unsigned)ifindex, name) ? name : NULL;
}

/* The tree takes the place of what the kernel has at the device: only where the user says so. */
static int check_device(const struct gw_evacuation *e, const char *device, struct gw_error *error)
{
	if (!device)
		return gw_fail(error, ENODEV, "the device that leads to the hosts is not known");
	if (gw_device_is_bridge(e->ifindex))
		return gw_fail(error, EINVAL,
		               "%s is a bridge: name the port that leads to the hosts by --device",
		               device);
	if (!e->options.shape && strcmp(device, "lo") != 0)
		return gw_fail(error, EINVAL,
		               "no device was named for them: --device %s, if what the VMs send "
		               "leaves by it, too",
		               device);
	return 0;
}

static int install(struct gw_evacuation *e, struct gw_error *error)
{
	uint64_t carries = e->options.carries_bytes_per_s;
	char name[IF_NAMESIZE];
	const char *device = device_name(e->ifindex, name);
	int err = check_device(e, device, error);

	if (err)
		return err;
	if (!carries)
		carries = gw_device_carries(e->ifindex);
	/* Loopback carries nothing either, but that is not what is wrong with it. */
	if (!carries && strcmp(device, "lo") != 0)
		return gw_fail(error, EINVAL, "%s does not say what it carries: say --carries",
		               device);
	err = gw_classes_install(&e->classes, e->ifindex, carries ? carries : GW_ASSUMED_RATE,
	                         e->count, error);
	if (!err)
		(void)snprintf(e->enforced, sizeof(e->enforced),
		               "classes of traffic on %s, which %s %.6g Mbit/s", device,
		               e->options.carries_bytes_per_s ? "is held to" : "says it carries",
		               (double)carries * 8 / 1e6);
	return err;
}

/* Names of devices are those of a network namespace. */
static bool in_our_network(pid_t pid)
{
	struct stat ours, theirs;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return !stat("/proc/self/ns/net", &ours) && !stat(path, &theirs) &&
	       ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static void not_reserved(struct gw_evacuation *e, const struct gw_member *m, const char *by,
                         const char *why)
{
	char text[700];

	(void)snprintf(text, sizeof(text), "nothing is reserved for what %s sends by %s: %s",
	               m->name, by, why);
	note(e, text);
}

static void match(struct gw_evacuation *e, size_t slot)
{
	const struct gw_member *m = &e->members[slot];
	struct gw_error error;

	for (unsigned i = 0; i < m->usage.tap_count; i++) {
		const char *tap = m->usage.taps[i];

		if (!in_our_network(m->pid))
			not_reserved(e, m, tap, "it is in another network namespace");
		else if (gw_classes_match(&e->classes, slot, tap, &error))
			not_reserved(e, m, tap, error.text);
	}
	if (m->usage.untapped[0])
		not_reserved(e, m, m->usage.untapped,
		             "a network of that kind has no tap by which its packets are known");
}

/* A device that was named may be the wrong one. */
static void check_way(struct gw_evacuation *e, const struct gw_fleet_to *host)
{
	char named[IF_NAMESIZE], real[IF_NAMESIZE], text[500];

	if (!host->ifindex || gw_device_leads_by(host->ifindex, e->ifindex) ||
	    !device_name(e->ifindex, named) || !device_name(host->ifindex, real))
		return;
	(void)snprintf(text, sizeof(text),
	               "what moves to %s leaves by %s, so it is in no class of %s", host->name,
	               real, named);
	note(e, text);
}

void gw_fleet_shape(struct gw_evacuation *e)
{
	struct gw_error error;

	gw_htb_sweep();
	if (install(e, &error)) {
		not_enforced(e, error.text);
		return;
	}
	note(e, e->enforced);
	for (size_t i = 0; i < e->host_count; i++)
		check_way(e, &e->hosts[i]);
	for (size_t i = 0; i < e->count; i++)
		match(e, i);
}

/* A sixteenth for headers, of which IPv6's are 86 bytes for 1,428. */
static uint64_t with_headers(uint64_t payload)
{
	return payload + payload / 16;
}

/*
 * Where the policy reserves nothing, what the VM is going to send is no less its own. A quarter
 * more than is expected: what a VM sends that was held back says nothing about what it wants to
 * send, and by such forecasts its reservation would shrink and shrink. What it does not use of its
 * guarantee goes to others.
 */
static uint64_t reserved_for(const struct gw_member *m)
{
	uint64_t next = gw_traffic_next(&m->traffic);

	if (m->state == GW_MEMBER_MOVED)
		return 0;
	if (next < m->grant.reserved_bytes_per_s)
		next = m->grant.reserved_bytes_per_s;
	return with_headers(next + next / 4);
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

uint64_t gw_fleet_sent_by_others(const struct gw_evacuation *e, const size_t *members, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < e->count; i++)
		if (e->members[i].state != GW_MEMBER_MOVED)
			sum += gw_traffic_next(&e->members[i].traffic);
	for (size_t i = 0; i < count; i++)
		sum -= gw_traffic_next(&e->members[members[i]].traffic);
	return sum;
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
