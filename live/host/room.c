/* SPDX-License-Identifier: MIT */
#include "live/host/room.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "live/host/journal.h"
#include "live/net/channel.h"
#include "live/net/device.h"
#include "live/vm/registry.h"

uint64_t gw_room_memory(void)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kib;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			return kib << 10;
	return UINT64_MAX;
}

/* Where guests' memory lies, and of what is left of the host's own: the less. */
static uint64_t free_bytes(void)
{
	uint64_t memory = gw_room_memory(), room;
	struct gw_error error;
	struct statvfs fs;
	char path[256];

	if (gw_registry_ram_path("room", path, sizeof(path), &error))
		return 0;
	*strrchr(path, '/') = '\0';
	if (statvfs(path, &fs))
		return 0;
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	return room < memory ? room : memory;
}

void gw_room_tell(int fd)
{
	char line[64];
	int bytes = snprintf(line, sizeof(line), "free %" PRIu64 "\n", free_bytes());

	(void)!send(fd, line, (size_t)bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int gw_room_ask(const char *host, int timeout_ms, struct gw_room *room, struct gw_error *error)
{
	struct pollfd item = {.events = POLLIN};
	_cleanup_close_ int fd = -1;
	struct gw_id id;
	char line[64];
	ssize_t n;
	int err = gw_id_random(&id, error);

	if (err)
		return err;
	fd = gw_net_connect(host, GW_ROOM, &id, timeout_ms, error);
	if (fd < 0)
		return fd;
	item.fd = fd;
	if (poll(&item, 1, timeout_ms) != 1)
		return gw_fail(error, ETIMEDOUT, "'%s' does not say how much memory it has free",
		               host);
	n = recv(fd, line, sizeof(line) - 1, 0);
	line[n > 0 ? n : 0] = '\0';
	if (sscanf(line, "free %" SCNu64, &room->free_bytes) != 1)
		return gw_fail(error, EPROTO, "'%s' does not say how much memory it has free",
		               host);
	room->ifindex = gw_device_of(fd, NULL);
	if (room->ifindex < 0)
		room->ifindex = 0;
	return 0;
}
