/* SPDX-License-Identifier: MIT */
/*
 * live/memory/touches.h - which page of a private view of a VM's memory is touched first, and next.
 *
 * A userfaultfd of the process that has the view, in MINOR and MISSING mode, made inside it
 * (live/memory/attach.h): a first touch of a page that the file holds is a minor fault, of a hole a
 * missing one. Who touches waits until it is let go, so the order is exact, nobody gets further
 * than allowed, and the file is left as it is, holes included: what is let go is the file's page,
 * read-only (a write copies it), or the zero page.
 */
#ifndef GW_LIVE_MEMORY_TOUCHES_H
#define GW_LIVE_MEMORY_TOUCHES_H

#include "live/memory/ram.h"

struct gw_touches {
	int fd; /* non-blocking; poll for input */
	uint64_t address;
	const struct gw_ram *ram; /* of the VM; borrowed */
};

struct gw_touch {
	uint64_t page;
	bool hole;
};

/*
 * All that `pid`, whose view it is, has of the file so far is dropped, its own writes included: it
 * sees the file as it will be when it touches it. device: its descriptor of /dev/userfaultfd. Waits
 * for its main thread to come to its poll.
 */
int gw_touches_open(struct gw_touches *touches, const struct gw_ram *ram, pid_t pid, int device,
                    struct gw_error *error);
/* Reads at most `max`, oldest first. How many, or -errno. Each waits to be let go. */
int gw_touches_read(struct gw_touches *touches, struct gw_touch *at, unsigned max);
/* 0 or -errno; -ESRCH: the process is gone. */
int gw_touches_let_go(struct gw_touches *touches, const struct gw_touch *touch);
/* Who still waits goes on, unseen. */
void gw_touches_close(struct gw_touches *touches);

#endif
