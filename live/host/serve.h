/* SPDX-License-Identifier: MIT */
/*
 * live/host/serve.h - the host agent: it listens, and gives each migration a process of its own.
 */
#ifndef GW_LIVE_HOST_SERVE_H
#define GW_LIVE_HOST_SERVE_H

#include <stdbool.h>
#include <stdio.h>

#include "live/host/guest.h"
#include "live/memory/probe.h"

struct gw_serve_options {
	struct gw_host_settings host;
	const char *listen; /* ADDRESS[:PORT] */
	bool insecure;      /* other addresses than loopback are allowed */
	FILE *trace;        /* NULL: none */
	int stop_fd;        /* readable: end */
	void (*ready)(void *arg, const char *address);
	void *arg;
};

/*
 * Serves until asked to stop. Migrations that an earlier agent left open are taken up first. On a
 * stop, sessions that may still be given back to their source are ended by that; those that hold
 * the only running copy go on as long as this process lives.
 */
int gw_serve(const struct gw_serve_options *options, struct gw_error *error);

#endif
