/* SPDX-License-Identifier: MIT */
/*
 * live/host/link.h - the three connections of a migration as one agent holds them, and what went
 * over them, also over those that were lost.
 */
#ifndef GW_LIVE_HOST_LINK_H
#define GW_LIVE_HOST_LINK_H

#include "live/net/channel.h"

struct gw_link {
	bool up;
	struct gw_mailbox *control;
	struct gw_mailbox *urgent; /* FAULT messages; its other direction carries frames */
	int bulk;
	uint64_t past_bytes;  /* over connections that are closed */
	uint64_t frame_bytes; /* over the present ones; kept up by senders and receivers */
};

/* Takes the descriptors over. -ENOMEM: they are closed. */
int gw_link_set(struct gw_link *link, int control, int bulk, int urgent, uint64_t pages);
/* Connects all three: bulk and urgent first, so that control announces a whole set. */
int gw_link_connect(struct gw_link *link, const char *to, const struct gw_id *id, uint64_t pages,
                    int timeout_ms, struct gw_error *error);
/* farewell: what is queued on control is waited for, a second at most. */
void gw_link_close(struct gw_link *link, bool farewell);
/* What can be told of the way to an agent before anything is sent. */
struct gw_link_facts {
	uint64_t latency_ns;         /* one way, as TCP saw it when it connected */
	uint64_t device_bytes_per_s; /* what the device that leads there says it carries; 0: nothing
	                              */
};
/* Connects to the agent, for that; fails where nobody listens. */
int gw_link_look(const char *to, struct gw_link_facts *facts, int timeout_ms,
                 struct gw_error *error);
/* Whether an error says that an agent was not reached, or no godwit that could be talked to. */
bool gw_link_failed(int err);
uint64_t gw_link_bytes(const struct gw_link *link);

#endif
