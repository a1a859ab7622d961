/* SPDX-License-Identifier: MIT */
#include "live/host/activity.h"

#include <sys/stat.h>

#include "live/host/clock.h"
#include "live/net/device.h"

/* The kernel counts the time of a thread that runs by its ticks. */
#define SHORT_NS 10000000u

void gw_activity_open(struct gw_activity_meter *meter, const struct gw_vm *vm,
                      const struct gw_ram *ram, int link)
{
	int ifindex;

	gw_activity_close(meter);
	meter->ram = ram;
	gw_usage_open(&meter->usage, vm);
	meter->used = gw_usage_read(&meter->usage);
	ifindex = gw_device_of(link, NULL);
	if (ifindex > 0 && gw_device_sent(ifindex, &meter->link_bytes))
		meter->ifindex = ifindex;
	meter->since_ns = gw_now_ns();
}

static uint64_t per_s(uint64_t bytes, uint64_t ns)
{
	return ns ? (uint64_t)((double)bytes * 1e9 / (double)ns) : 0;
}

static void read_usage(struct gw_activity_meter *meter, uint64_t ns, struct gw_activity *to)
{
	struct gw_usage_counts used = gw_usage_read(&meter->usage);

	to->cpu_known = meter->usage.cpu_known;
	to->network_known = meter->usage.network_known;
	if (to->cpu_known)
		to->cpu_permille =
		        gw_usage_permille(&meter->usage, used.cpu_ns - meter->used.cpu_ns, ns);
	if (to->network_known && used.network_bytes > meter->used.network_bytes)
		to->network_bytes_per_s = per_s(used.network_bytes - meter->used.network_bytes, ns);
	meter->used = used;
}

static void read_link(struct gw_activity_meter *meter, uint64_t ns, struct gw_activity *to)
{
	uint64_t bytes;

	to->link_known = meter->ifindex && gw_device_sent(meter->ifindex, &bytes);
	if (!to->link_known)
		return;
	to->link_bytes_per_s = bytes > meter->link_bytes ? per_s(bytes - meter->link_bytes, ns) : 0;
	meter->link_bytes = bytes;
}

/* What the file of guest memory has allocated; swapped pages count. */
static uint64_t memory_pages(const struct gw_ram *ram)
{
	struct stat status;

	return fstat(ram->fd, &status) ? 0 : (uint64_t)status.st_blocks * 512 / GW_PAGE_BYTES;
}

struct gw_activity gw_activity_read(struct gw_activity_meter *meter)
{
	struct gw_activity activity = {0};
	uint64_t now = gw_now_ns(), ns = now - meter->since_ns;

	if (!meter->ram || (ns < SHORT_NS && meter->last.memory_pages))
		return meter->last;
	read_usage(meter, ns, &activity);
	read_link(meter, ns, &activity);
	activity.memory_pages = memory_pages(meter->ram);
	meter->since_ns = now;
	meter->last = activity;
	return activity;
}

void gw_activity_close(struct gw_activity_meter *meter)
{
	gw_usage_close(&meter->usage);
	*meter = (struct gw_activity_meter){0};
}
