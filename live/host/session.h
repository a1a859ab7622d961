/* SPDX-License-Identifier: MIT */
/*
 * live/host/session.h - the destination's agent for one migration, in a process of its own.
 */
#ifndef GW_LIVE_HOST_SESSION_H
#define GW_LIVE_HOST_SESSION_H

#include <stdio.h>

#include "core/migration/message.h"
#include "live/host/guest.h"
#include "live/host/journal.h"
#include "live/memory/probe.h"

struct gw_session_options {
	struct gw_host_settings host;
	const struct gw_probe *probe; /* what this host can do */
	struct gw_id id;
	struct gw_id identity; /* of this host */
	int router;            /* brings triples of connections (gw_session_send_link) */
	FILE *trace;           /* NULL: none */
};

/* Hands control, bulk and urgent to the session behind `router`. */
int gw_session_send_link(int router, const int fds[3]);

/* A new migration, or one that this host has settled; the first triple is on its way. */
int gw_session_run(const struct gw_session_options *options, struct gw_error *error);
/* Goes on where a crashed agent stopped; takes the journal over. */
int gw_session_recover(const struct gw_session_options *options, struct gw_journal *journal,
                       struct gw_error *error);

#endif
