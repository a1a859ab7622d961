/* SPDX-License-Identifier: MIT */
/*
 * live/net/shaping.c - an HTB tree on the device that a migration leaves by.
 *
 *     root
 *       1     the migration, no faster than the rate
 *         10    urgent           priority 0
 *         20    bulk             priority 7
 *       30    everything else, as fast as without a tree
 *
 * Theory of operation: the rate is what this migration was seen to get of the link, or may have, so
 * the queue is here and not behind the device. It says nothing about anybody else, who must not
 * notice. Urgent and bulk may borrow up to the whole rate, and what is left over goes to the lowest
 * priority number that asks. But a class inside its own guaranteed rate is served before any class
 * that borrows, whatever their priorities; so bulk's guarantee is next to nothing and that of
 * urgent is more than urgent ever needs.
 */
#include "live/net/shaping.h"

#include "live/net/device.h"

#include <errno.h>

enum { MINOR_RATE = 0x1, MINOR_URGENT = 0x10, MINOR_BULK = 0x20, MINOR_OTHERS = 0x30 };

static int put_classes(const struct gw_shaping *shaping, uint64_t rate, bool add,
                       struct gw_error *error)
{
	const struct gw_htb_class classes[] = {
	        {MINOR_RATE, 0, 0, rate, rate, 0},
	        {MINOR_URGENT, MINOR_RATE, 0, rate / 4, rate, 0},
	        {MINOR_BULK, MINOR_RATE, 7, rate / 100, rate, GW_BULK_QUEUE_PACKETS},
	        {MINOR_OTHERS, 0, 3, GW_HTB_RATE_MAX, GW_HTB_RATE_MAX, 0},
	};

	return gw_htb_put(&shaping->htb, classes, sizeof(classes) / sizeof(classes[0]), add, error);
}

int gw_shaping_install(struct gw_shaping *shaping, int socket, uint64_t rate_bytes_per_s,
                       struct gw_error *error)
{
	int result = gw_htb_check_rate(rate_bytes_per_s, error), ifindex;

	*shaping = (struct gw_shaping){.htb.hold = -1};
	if (result)
		return result;
	ifindex = gw_device_of(socket, error);
	if (ifindex < 0)
		return ifindex;
	result = gw_htb_install(&shaping->htb, ifindex, MINOR_OTHERS, error);
	if (result)
		return result;
	result = put_classes(shaping, rate_bytes_per_s, true, error);
	if (result)
		gw_shaping_remove(shaping);
	return result;
}

int gw_shaping_set_rate(struct gw_shaping *shaping, uint64_t rate_bytes_per_s,
                        struct gw_error *error)
{
	int result = gw_htb_check_rate(rate_bytes_per_s, error);

	if (!shaping->htb.ifindex)
		return gw_fail(error, EINVAL, "no shaping is installed");
	return result ? result : put_classes(shaping, rate_bytes_per_s, false, error);
}

static int mark(const struct gw_shaping *shaping, int socket, uint32_t minor,
                struct gw_error *error)
{
	if (!shaping->htb.ifindex)
		return gw_fail(error, EINVAL, "no shaping is installed");
	return gw_htb_mark(socket, minor, error);
}

int gw_shaping_mark_urgent(const struct gw_shaping *shaping, int socket, struct gw_error *error)
{
	return mark(shaping, socket, MINOR_URGENT, error);
}

int gw_shaping_mark_bulk(const struct gw_shaping *shaping, int socket, struct gw_error *error)
{
	return mark(shaping, socket, MINOR_BULK, error);
}

void gw_shaping_remove(struct gw_shaping *shaping)
{
	gw_htb_remove(&shaping->htb);
}
