/* SPDX-License-Identifier: MIT */
/*
 * live/host/migrate/link.c - the source's agent: the three connections, made, heard and dropped.
 */
#include <errno.h>
#include <sys/socket.h>

#include "live/host/migrate/parts.h"

#define RECONNECT_MS 1000

void gw_migrate_link_stands(struct agent *a)
{
	a->links++;
	a->bulk_ended = a->digesting = false;
	gw_sender_init(&a->bulk, a->link.bulk, a->ram.map);
	gw_sender_init(&a->urgent, gw_mailbox_fd(a->link.urgent), a->ram.map);
	a->next_count = 0;
	a->urgent_count = a->urgent_taken = 0;
	a->paced_rate = 0;
	a->pacing = false;
	gw_migrate_mark_connections(a);
	gw_migrate_update_pace(a);
}

void gw_migrate_connect_again(struct agent *a)
{
	struct gw_error error;

	if (a->resuming) {
		gw_migrate_queue(a, GW_EV_LINK_LOST, "the VM is being resumed first");
		return;
	}
	if (gw_link_connect(&a->link, a->journal.peer, &a->journal.id, a->ram.pages, RECONNECT_MS,
	                    &error)) {
		gw_migrate_queue(a, GW_EV_LINK_LOST, error.text);
		return;
	}
	gw_migrate_link_stands(a);
	gw_migrate_queue(a, GW_EV_LINK_UP, NULL);
}

void gw_migrate_hang_up(struct agent *a)
{
	if (!a->link.up)
		return;
	a->link.frame_bytes = a->bulk.sent_bytes + a->urgent.sent_bytes;
	gw_link_close(&a->link, gw_actions_end(&a->actions));
	a->bulk.sent_bytes = a->urgent.sent_bytes = 0;
}

void gw_migrate_read_mailbox(struct agent *a, struct gw_mailbox *box)
{
	struct gw_error error;
	struct gw_message message;
	unsigned link = a->links;
	int got = 0;

	while ((got = gw_mailbox_next(box, &message, &error)) == 1) {
		struct gw_event event = {.kind = GW_EV_MESSAGE, .message = &message};

		if (message.kind == GW_MSG_STATE &&
		    gw_source_state(a->machine) >= GW_STATE_STOP_AND_COPY) {
			gw_migrate_take_return_path(a, &message);
			continue;
		}
		gw_migrate_step(a, &event);
		/* The step may have hung up, and connected anew: the mailbox is gone then. */
		if (a->finished || !a->link.up || a->links != link)
			return;
	}
	if (got < 0)
		gw_migrate_lost(a, error.text);
}

/*
 * Nothing is ever said on bulk this way. Its end alone is no loss yet: what control has to say may
 * still be on its way, and is heard first.
 */
void gw_migrate_listen_to_bulk(struct agent *a)
{
	uint8_t bytes[64];
	ssize_t n = recv(a->link.bulk, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n > 0)
		gw_migrate_lost(a, "the destination sent what is no message of the protocol");
	else if (n == 0)
		a->bulk_ended = true;
	else if (errno != EAGAIN && errno != EINTR)
		gw_migrate_lost(a, "the bulk connection broke");
}
