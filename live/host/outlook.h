/* SPDX-License-Identifier: MIT */
/*
 * live/host/outlook.h - what is known before the first page goes: the way to the destination, and
 * the VM as it was observed.
 */
#ifndef GW_LIVE_HOST_OUTLOOK_H
#define GW_LIVE_HOST_OUTLOOK_H

#include "live/host/control.h"
#include "live/host/link.h"
#include "live/host/observe.h"

struct gw_outlook {
	const struct gw_observed *seen; /* all zeros: the VM was not observed */
	const struct gw_link_facts *way;
};

struct gw_migrate_options;

/*
 * Finds the destination, then watches the VM for as long as the options say. While it does,
 * `control` (NULL: none) is answered. -ECANCELED: somebody wants it aborted, by the options'
 * stop_fd or by `control`; else as gw_observe().
 */
int gw_outlook_watch(const struct gw_migrate_options *options, const struct gw_guest *guest,
                     const struct gw_ram *ram, struct gw_control *control,
                     struct gw_link_facts *way, struct gw_observed *seen, struct gw_error *error);

#endif
