/* SPDX-License-Identifier: MIT */
#include "live/host/link.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/cleanup.h"
#include "live/host/journal.h"
#include "live/net/device.h"

#define LOST_AFTER_MS 15000 /* of silence that TCP itself notices */
#define FAREWELL_MS   1000
#define GREETING_MAX  128

/* Every connection began with a HELLO each way, before it came here. */
static uint64_t greeting_bytes(void)
{
	struct gw_message hello = {.kind = GW_MSG_HELLO, .hello.channel = GW_CONTROL};
	uint8_t bytes[GREETING_MAX];

	return 3 * 2 * gw_message_encode(&hello, bytes, sizeof(bytes));
}

int gw_link_set(struct gw_link *link, int control, int bulk, int urgent, uint64_t pages)
{
	struct gw_error ignored;

	link->control = gw_mailbox_new(control);
	if (!link->control)
		gw_cleanup_close(&control);
	link->urgent = gw_mailbox_new(urgent);
	if (!link->urgent)
		gw_cleanup_close(&urgent);
	link->bulk = bulk;
	link->frame_bytes = 0;
	link->past_bytes += greeting_bytes();
	link->up = true;
	if (!link->control || !link->urgent) {
		gw_link_close(link, false);
		return -ENOMEM;
	}
	gw_mailbox_set_pages(link->control, pages);
	gw_mailbox_set_pages(link->urgent, pages);
	(void)gw_net_watch(gw_mailbox_fd(link->control), LOST_AFTER_MS, &ignored);
	(void)gw_net_watch(gw_mailbox_fd(link->urgent), LOST_AFTER_MS, &ignored);
	(void)gw_net_watch(bulk, LOST_AFTER_MS, &ignored);
	return 0;
}

int gw_link_connect(struct gw_link *link, const char *to, const struct gw_id *id, uint64_t pages,
                    int timeout_ms, struct gw_error *error)
{
	int fds[3] = {-1, -1, -1}, i;
	static const enum gw_channel order[3] = {GW_BULK, GW_URGENT, GW_CONTROL};

	for (i = 0; i < 3; i++) {
		fds[i] = gw_net_connect(to, order[i], id, timeout_ms, error);
		if (fds[i] < 0) {
			int err = fds[i];

			while (i-- > 0)
				gw_cleanup_close(&fds[i]);
			return err;
		}
	}
	if (gw_link_set(link, fds[2], fds[0], fds[1], pages))
		return gw_fail(error, ENOMEM, "no memory for the connections");
	return 0;
}

static void say_farewell(struct gw_mailbox *control)
{
	struct pollfd item = {.fd = gw_mailbox_fd(control), .events = POLLOUT};
	int rounds = 10;

	while (rounds-- > 0 && !gw_mailbox_flush(control) && gw_mailbox_wants_to_write(control))
		(void)poll(&item, 1, FAREWELL_MS / 10);
}

void gw_link_close(struct gw_link *link, bool farewell)
{
	if (!link->up)
		return;
	if (link->control && farewell)
		say_farewell(link->control);
	link->past_bytes = gw_link_bytes(link);
	link->frame_bytes = 0;
	link->up = false;
	gw_mailbox_free(link->control);
	gw_mailbox_free(link->urgent);
	link->control = link->urgent = NULL;
	gw_cleanup_close(&link->bulk);
}

bool gw_link_failed(int err)
{
	return err == -ECONNREFUSED || err == -EHOSTUNREACH || err == -ENETUNREACH ||
	       err == -ETIMEDOUT || err == -ECONNRESET || err == -EPROTO || err == -EPROTONOSUPPORT;
}

uint64_t gw_link_bytes(const struct gw_link *link)
{
	uint64_t bytes = link->past_bytes;

	if (!link->up)
		return bytes;
	bytes += link->frame_bytes;
	if (link->control)
		bytes += gw_mailbox_sent_bytes(link->control) +
		         gw_mailbox_received_bytes(link->control);
	if (link->urgent)
		bytes += gw_mailbox_sent_bytes(link->urgent) +
		         gw_mailbox_received_bytes(link->urgent);
	return bytes;
}

int gw_link_look(const char *to, struct gw_link_facts *facts, int timeout_ms,
                 struct gw_error *error)
{
	struct gw_id nobody;
	int err = gw_id_random(&nobody, error), fd;

	if (err)
		return err;
	fd = gw_net_connect(to, GW_BULK, &nobody, timeout_ms, error);
	if (fd < 0)
		return fd;
	facts->latency_ns = gw_net_rtt_ns(fd) / 2;
	facts->device_bytes_per_s = gw_device_speed(fd);
	(void)close(fd);
	return 0;
}
