/* SPDX-License-Identifier: MIT */
/*
 * live/host/shadow.h - the copy of a VM that runs ahead at the source (S4).
 *
 * After the switch the VM's memory stands here, frozen, as the image to send. A second process of
 * the VM's own program, started while the VM still ran, loads the same device state over a private
 * view of that image and runs on. What it touches for the first time, and in which order, is what
 * the VM at the destination is about to touch.
 *
 * It is never the VM: it lives in a cage (live/vm/cage.h), nothing it does is seen outside, and
 * whatever happens to it is a report here and nothing more. A thread of its own drives it, so that
 * neither its hypervisor nor its page faults ever make the agent wait.
 *
 *     prepare -> READY -> feed ... feed_end -> run -> STARTED, TOUCHED ...   (hold, go)
 *        '--------------- GONE at any time --------'        close: it is dead before this returns
 */
#ifndef GW_LIVE_HOST_SHADOW_H
#define GW_LIVE_HOST_SHADOW_H

#include "live/host/guest.h"
#include "live/memory/ram.h"

struct gw_shadow;

struct gw_shadow_limits {
	uint64_t memory_bytes; /* of its own, disks included; 0: half of the VM's, and what is free
	                        */
	uint64_t disk_bytes;   /* that one of its disks may have written */
	uint64_t cpu_ns;
	uint64_t time_ns; /* since it was prepared */
};

enum gw_shadow_report_kind {
	GW_SHADOW_READY = 1,
	GW_SHADOW_STARTED,
	GW_SHADOW_TOUCHED,
	GW_SHADOW_GONE
};

#define GW_SHADOW_RUNS 256

struct gw_shadow_report {
	enum gw_shadow_report_kind kind;
	struct gw_run runs[GW_SHADOW_RUNS]; /* TOUCHED: in the order of first touches */
	size_t count;
	char text[256]; /* GONE: why */
};

/* Sets the limits that hold where nobody gave others. */
void gw_shadow_limits_init(struct gw_shadow_limits *limits);

/*
 * While the VM runs: asks its hypervisor for what has to be known, and begins to start the copy.
 * Waits for that answer only. guest, ram: borrowed, ram until it is closed. -ENOTSUP: a VM that can
 * have no shadow.
 */
int gw_shadow_prepare(struct gw_shadow **shadow, struct gw_guest *guest, const struct gw_ram *ram,
                      const struct gw_shadow_limits *limits, struct gw_error *error);

/* Nothing below waits, but for gw_shadow_close(). */

/* The device state as it is saved, in pieces; copied. */
int gw_shadow_feed(struct gw_shadow *shadow, const void *bytes, size_t count);
void gw_shadow_feed_end(struct gw_shadow *shadow);
/* The image stands: it may run as soon as it has loaded. */
void gw_shadow_run(struct gw_shadow *shadow);
/* Whoever of it touches another page first waits until it is let go. */
void gw_shadow_hold(struct gw_shadow *shadow, bool hold);
/* Polled for input. */
int gw_shadow_fd(const struct gw_shadow *shadow);
/* False: nothing to report. GONE is the last. */
bool gw_shadow_next(struct gw_shadow *shadow, struct gw_shadow_report *report);
/* Ends it, without waiting for that. NULL: nothing. */
void gw_shadow_kill(struct gw_shadow *shadow);
/* Ends it and lets go of all that was its. NULL: nothing. */
void gw_shadow_close(struct gw_shadow *shadow);

#endif
