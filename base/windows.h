/* SPDX-License-Identifier: MIT */
/*
 * base/windows.h - windows in which a VM is observed, kept one after the other.
 *
 *     runs    | written 0 | read 0 | written 1 | written 2 | read 2 | ...
 *
 * Bounded: where there is no room for the next window, the older half of them goes.
 */
#ifndef GW_BASE_WINDOWS_H
#define GW_BASE_WINDOWS_H

#include "core/predict/observation.h"

#define GW_WINDOWS_BYTES_MAX ((size_t)256 << 20)

/* All zeros but bytes_max at first. */
struct gw_windows {
	size_t bytes_max;
	struct gw_window *window; /* owned */
	struct gw_run *run;       /* owned: of all windows */
	size_t count, room;
	size_t run_count, run_room;
	uint64_t gone; /* windows that were let go */
};

/*
 * Adds a window like `like`, with the pages of these sets; `read` is looked at where it was
 * sampled. -ENOMEM: it does not fit by itself; it is gone too, and what follows begins anew.
 */
int gw_windows_add(struct gw_windows *windows, const struct gw_window *like,
                   const struct gw_set *written, const struct gw_set *read);
/* All of them, oldest first: valid until the next is added. */
const struct gw_window *gw_windows_all(struct gw_windows *windows);
/* Frees what is owned; bytes_max stays. */
void gw_windows_clear(struct gw_windows *windows);

#endif
