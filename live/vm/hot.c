/* SPDX-License-Identifier: MIT */
/* The pages that a destination's QEMU reads while it loads device state: virtio rings, a ROM. */
#include <stdlib.h>
#include <string.h>

#include "live/vm/qemu.h"

#define ASK_MS   2000
#define QUEUES   64 /* of one device that are looked at */
#define FOUR_GIB (1ull << 32)
/* kvmvapic goes through its option ROM after loading: these, as seen with QEMU 7.2. */
#define ROM_FIRST 0xc0
#define ROM_PAGES 4

/* Where the PC machines put the hole below 4 GiB. */
static uint64_t low_memory(const struct gw_vm *vm, bool q35)
{
	uint64_t most = q35 ? 0xb0000000ull : 0xe0000000ull,
	         low = q35 ? 0x80000000ull : 0xc0000000ull;

	return vm->ram_bytes >= most ? low : vm->ram_bytes;
}

static unsigned add_page(const struct gw_vm *vm, uint64_t low, const json_t *address,
                         struct gw_run *runs, unsigned count, unsigned max)
{
	uint64_t at = (uint64_t)json_integer_value(address);

	if (at >= FOUR_GIB)
		at = at - FOUR_GIB + low;
	else if (at >= low)
		return count;
	at /= GW_PAGE_BYTES;
	if (at == 0 || at >= vm->ram_bytes / GW_PAGE_BYTES || count >= max)
		return count;
	for (unsigned i = 0; i < count; i++)
		if (runs[i].first == at)
			return count;
	runs[count] = (struct gw_run){.first = at, .count = 1};
	return count + 1;
}

static unsigned add_device(struct gw_vm *vm, uint64_t low, const char *path, struct gw_run *runs,
                           unsigned count, unsigned max)
{
	for (int queue = 0; queue < QUEUES; queue++) {
		json_t *status;

		if (gw_qmp_call(gw_qemu_qmp(vm), "x-query-virtio-queue-status",
		                json_pack("{s:s, s:i}", "path", path, "queue", queue), ASK_MS,
		                &status, NULL) < 0)
			break;
		count = add_page(vm, low, json_object_get(status, "vring-desc"), runs, count, max);
		count = add_page(vm, low, json_object_get(status, "vring-avail"), runs, count, max);
		count = add_page(vm, low, json_object_get(status, "vring-used"), runs, count, max);
		json_decref(status);
	}
	return count;
}

static int by_page(const void *a, const void *b)
{
	uint64_t x = ((const struct gw_run *)a)->first, y = ((const struct gw_run *)b)->first;

	return (x > y) - (x < y);
}

unsigned gw_qemu_hot_pages(struct gw_vm *vm, struct gw_run *runs, unsigned max)
{
	json_t *devices, *device, *type = NULL;
	uint64_t low, pages = vm->ram_bytes / GW_PAGE_BYTES;
	unsigned count = 0;
	size_t i;

	if (gw_qmp_call(gw_qemu_qmp(vm), "x-query-virtio", NULL, ASK_MS, &devices, NULL) < 0)
		return 0;
	(void)gw_qmp_call(gw_qemu_qmp(vm), "qom-get",
	                  json_pack("{s:s, s:s}", "path", "/machine", "property", "type"), ASK_MS,
	                  &type, NULL);
	low = low_memory(vm, json_string_value(type) && strstr(json_string_value(type), "q35"));
	json_decref(type);
	json_array_foreach(devices, i, device)
	{
		const char *path = json_string_value(json_object_get(device, "path"));

		if (path)
			count = add_device(vm, low, path, runs, count, max);
	}
	json_decref(devices);
	for (i = 0; i < ROM_PAGES && count < max && ROM_FIRST + i < pages; i++)
		runs[count++] = (struct gw_run){.first = ROM_FIRST + i, .count = 1};
	qsort(runs, count, sizeof(*runs), by_page);
	return count;
}
