/* SPDX-License-Identifier: MIT */
/*
 * live/net/classes.c - an HTB tree for all that leaves by a device.
 *
 *     root
 *       1       the link
 *         2       what is nobody's                          priority 3
 *         100     a migration: guarantee and ceiling
 *           101     urgent                                  priority 0
 *           102     bulk                                    priority 7
 *         103     its VM's own traffic, guaranteed          priority 3
 *         104     the next migration
 *         ...
 *
 * HTB serves classes inside their own guarantee first, the deepest before the others, and then
 * those that borrow, by priority. So reservations come first, then migrations up to theirs, and
 * what is left goes to urgent pages, to other traffic, and to bulk last. Inside a migration nearly
 * all is borrowed from its own class, which makes priority decide between urgent and bulk.
 */
#include "live/net/classes.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <unistd.h>

#include "live/net/device.h"
#include "live/net/origin.h"

enum { MINOR_LINK = 0x1, MINOR_OTHERS = 0x2, MINOR_FIRST = 0x100, MINORS_EACH = 4 };
enum { URGENT = 1, BULK = 2, OWN = 3 };

#define LEAST_SHARE 20 /* part of the link */

uint32_t gw_classes_of(size_t slot)
{
	return MINOR_FIRST + MINORS_EACH * (uint32_t)slot;
}

int gw_classes_install(struct gw_classes *c, int ifindex, uint64_t link, size_t count,
                       struct gw_error *error)
{
	const struct gw_htb_class classes[] = {
	        {MINOR_LINK, 0, 0, link, link, 0},
	        {MINOR_OTHERS, MINOR_LINK, 3, link, link, 0},
	};
	int err = gw_htb_check_rate(link, error);

	*c = (struct gw_classes){.htb.hold = -1};
	if (!err && count > GW_CLASSES_MAX)
		err = gw_fail(error, ERANGE, "%zu VMs are too many for traffic classes", count);
	if (!err)
		err = gw_htb_install(&c->htb, ifindex, MINOR_OTHERS, error);
	if (err)
		return err;
	c->link_bytes_per_s = c->others = link;
	c->count = count;
	c->shares = calloc(count + 1, sizeof(*c->shares));
	c->matched = calloc(count + 1, sizeof(*c->matched));
	err = c->shares && c->matched
	              ? gw_htb_put(&c->htb, classes, sizeof(classes) / sizeof(classes[0]), true,
	                           error)
	              : gw_fail(error, ENOMEM, "no memory for the classes of %zu VMs", count);
	if (err)
		gw_classes_remove(c);
	return err;
}

static struct gw_htb_class own_class(const struct gw_classes *c, size_t slot, uint64_t reserved)
{
	return (struct gw_htb_class){gw_classes_of(slot) + OWN, MINOR_LINK, 3, reserved,
	                             c->link_bytes_per_s,       0};
}

/* The tap tells the tree, for as long as its descriptor is kept. */
static int follow(struct gw_classes *c, const char *tap, uint32_t minor, struct gw_error *error)
{
	int err = c->follows ? 0 : gw_htb_follow(&c->htb, error), fd, *taps;

	if (err)
		return err;
	c->follows = true;
	taps = reallocarray(c->taps, c->tap_count + 1, sizeof(*taps));
	if (!taps)
		return gw_fail(error, ENOMEM, "no memory for the tap %s", tap);
	c->taps = taps;
	fd = gw_origin_write(tap, (uint16_t)minor, error);
	if (fd < 0)
		return fd;
	taps[c->tap_count++] = fd;
	return 0;
}

static int match_last_device(const struct gw_classes *c, const char *tap, uint32_t minor,
                             const struct gw_error *why, struct gw_error *error)
{
	int bridge = gw_device_master((int)if_nametoindex(tap));

	if (bridge && bridge != gw_device_master(c->htb.ifindex))
		return gw_fail(error, EOPNOTSUPP,
		               "its bridge does not lead to this device but by routing, and %s",
		               why->text);
	return gw_htb_match(&c->htb, tap, minor, error);
}

int gw_classes_match(struct gw_classes *c, size_t slot, const char *tap, struct gw_error *error)
{
	struct gw_htb_class own = own_class(c, slot, 0);
	int err = c->matched[slot] ? 0 : gw_htb_put(&c->htb, &own, 1, true, error);
	struct gw_error why;

	if (err)
		return err;
	c->matched[slot] = true;
	err = follow(c, tap, own.minor, &why);
	if (err == -EPERM || err == -EOPNOTSUPP)
		return match_last_device(c, tap, own.minor, &why, error);
	return err ? gw_fail(error, -err, "%s", why.text) : 0;
}

/* --- dividing -------------------------------------------------------------------------------- */

/* By what guarantees are multiplied, so that they fit beside the least of the others. */
struct factors {
	double moves, reserved;
};

static struct gw_class_share scaled(const struct gw_class_share *share, struct factors by)
{
	return (struct gw_class_share){(uint64_t)((double)share->rate * by.moves), share->ceiling,
	                               (uint64_t)((double)share->reserved * by.reserved)};
}

static double factor_of(double sum, double room)
{
	return sum > room ? room / sum : 1;
}

/* Reservations hold: what is too much is taken from the moves, but for a least of theirs. */
static struct factors factors_of(const struct gw_classes *c, const struct gw_class_share *shares,
                                 uint64_t *others)
{
	double link = (double)c->link_bytes_per_s, least = link / LEAST_SHARE;
	double room = link - least, moves = 0, reserved = 0;
	struct factors by;

	for (size_t i = 0; i < c->count; i++) {
		moves += (double)shares[i].rate;
		reserved += (double)shares[i].reserved;
	}
	*others = (uint64_t)(moves + reserved < room ? link - moves - reserved : least);
	by.reserved = factor_of(reserved, room - (moves < least ? moves : least));
	by.moves = factor_of(moves, room - reserved * by.reserved);
	return by;
}

static int put_migration(const struct gw_classes *c, size_t slot,
                         const struct gw_class_share *share, struct gw_error *error)
{
	uint32_t all = gw_classes_of(slot);
	uint64_t ceiling = share->ceiling;
	uint64_t rate = share->rate < ceiling ? share->rate : ceiling;
	const struct gw_htb_class classes[] = {
	        {all, MINOR_LINK, 0, rate, ceiling, 0},
	        {all + URGENT, all, 0, rate / 4, ceiling, 0},
	        {all + BULK, all, 7, rate / 100, ceiling, GW_BULK_QUEUE_PACKETS},
	};

	return gw_htb_put(&c->htb, classes, sizeof(classes) / sizeof(classes[0]),
	                  !c->shares[slot].ceiling, error);
}

static int put_slot(struct gw_classes *c, size_t slot, const struct gw_class_share *share,
                    struct gw_error *error)
{
	struct gw_class_share *is = &c->shares[slot];
	struct gw_htb_class own = own_class(c, slot, share->reserved);
	int err = 0;

	if (share->ceiling && (share->rate != is->rate || share->ceiling != is->ceiling)) {
		err = put_migration(c, slot, share, error);
		if (!err) {
			is->rate = share->rate;
			is->ceiling = share->ceiling;
		}
	}
	if (!err && c->matched[slot] && share->reserved != is->reserved) {
		err = gw_htb_put(&c->htb, &own, 1, false, error);
		if (!err)
			is->reserved = share->reserved;
	}
	return err;
}

int gw_classes_divide(struct gw_classes *c, const struct gw_class_share *shares,
                      struct gw_error *error)
{
	struct gw_htb_class class = {MINOR_OTHERS, MINOR_LINK, 3, 0, c->link_bytes_per_s, 0};
	struct factors by = factors_of(c, shares, &class.rate_bytes_per_s);
	int err = 0;

	if (class.rate_bytes_per_s != c->others)
		err = gw_htb_put(&c->htb, &class, 1, false, error);
	if (!err)
		c->others = class.rate_bytes_per_s;
	for (size_t i = 0; !err && i < c->count; i++) {
		struct gw_class_share share = scaled(&shares[i], by);

		err = put_slot(c, i, &share, error);
	}
	return err;
}

/* --- and the rest ---------------------------------------------------------------------------- */

int gw_classes_mark_urgent(uint32_t class, int socket, struct gw_error *error)
{
	return gw_htb_mark(socket, class + URGENT, error);
}

int gw_classes_mark_bulk(uint32_t class, int socket, struct gw_error *error)
{
	return gw_htb_mark(socket, class + BULK, error);
}

void gw_classes_remove(struct gw_classes *c)
{
	gw_htb_remove(&c->htb);
	for (size_t i = 0; i < c->tap_count; i++)
		close(c->taps[i]);
	free(c->taps);
	free(c->shares);
	free(c->matched);
	*c = (struct gw_classes){.htb.hold = -1};
}
