/* SPDX-License-Identifier: MIT */
/*
 * live/memory/tracker.h - which pages of a running VM were written.
 *
 * Two kinds: `pagemap` (userfaultfd write-protection taken from the hypervisor + PAGEMAP_SCAN,
 * Linux >= 6.7) and `digest` (a digest of each page as last sent; needs no rights).
 *
 * The contract that makes it race-free: scan() returns sets, and whoever reads a page for sending
 * reads it after the scan that reported it. A page written after a scan returned is in a later one.
 * After the VM was stopped, scan(final) is exact. A page that was punched and afterwards only read
 * by the guest (a balloon's page taken back and read before it is written: its contents are
 * undefined for the guest) is the one change that `pagemap` does not see.
 *
 * Direct I/O. A page pinned for a direct read changes without a page fault, so `pagemap` cannot
 * report it; but pinning it was a write fault. So when direct_io is set the caller starts tracking
 * while the VM is stopped (its I/O drained): every page that is pinned later is reported as written
 * at least once, and it suffices to keep digests of pages ever reported and to compare at the end.
 *
 * Digests are of the bytes that went out, not of the page: a page can change and change back
 * between two looks at it. So when `wants_copies` is set, the sender of a running VM's page copies
 * it first, calls gw_tracker_sending() with the copy, and sends that copy. A change after the copy
 * was made is found at the next scan.
 *
 * Memory: 8 bytes a page for digests where they are kept, and three bits a page.
 */
#ifndef GW_LIVE_MEMORY_TRACKER_H
#define GW_LIVE_MEMORY_TRACKER_H

#include "live/memory/ram.h"

struct gw_tracker;

struct gw_tracker_kind {
	const char *name;
	const char *summary;
	bool needs_pid; /* works on the hypervisor, not on the file alone */
	/* Takes what it needs from the host: fails if it does not work on this VM. */
	int (*open)(struct gw_tracker *tracker, struct gw_error *error);
	/*
	 * Starts tracking; on return `populated` (an empty set) holds the pages that have data;
	 * writes after that are reported by scan().
	 */
	int (*start)(struct gw_tracker *tracker, struct gw_set *populated, struct gw_error *error);
	/*
	 * Adds pages written, or turned into holes, since the last scan; forgets them (`digest`:
	 * as soon as they are sent). Afterwards the pages in `holes` are not to be read: they are
	 * zero, and reading would allocate them.
	 */
	int (*scan)(struct gw_tracker *tracker, struct gw_set *dirty, bool final,
	            struct gw_error *error);
	/* Adds pages written since the last scan without forgetting them (may be a guess). */
	int (*peek)(struct gw_tracker *tracker, struct gw_set *dirty, struct gw_error *error);
	/* The sender is about to send these bytes, zero pages included, holes not. */
	void (*sending)(struct gw_tracker *tracker, struct gw_run run, const void *contents);
	void (*stop)(struct gw_tracker *tracker);
	/* Both NULL where it cannot tell which pages are accessed; see gw_tracker_forget(). */
	int (*forget)(struct gw_tracker *tracker, int timeout_ms, struct gw_error *error);
	int (*accessed)(struct gw_tracker *tracker, struct gw_set *pages, struct gw_error *error);
	/*
	 * Of a kind that looks at all memory in each round and once more while the VM stands: how
	 * long that takes for these pages, measured on a few of them. NULL: it does not.
	 */
	uint64_t (*pass_ns)(struct gw_tracker *tracker, const struct gw_set *populated);
};

struct gw_tracker {
	const struct gw_tracker_kind *kind;
	const struct gw_ram *ram; /* borrowed */
	bool direct_io;           /* set before start: writes may come that are not reported */
	bool may_punch;           /* pages may become holes (a balloon): true unless it is said */
	bool wants_copies;        /* see above; else sending() need not be called */
	struct gw_set holes;      /* owned: pages that were holes at the last scan */
	void *own;
};

/*
 * "pagemap", "digest", or NULL: the best that works on this VM; then *error says, also when 0 is
 * returned, why it is not pagemap (an empty text if it is).
 */
int gw_tracker_open(struct gw_tracker *tracker, const char *name, const struct gw_ram *ram,
                    bool direct_io, struct gw_error *error);
int gw_tracker_start(struct gw_tracker *tracker, struct gw_set *populated, struct gw_error *error);
int gw_tracker_scan(struct gw_tracker *tracker, struct gw_set *dirty, bool final,
                    struct gw_error *error);
int gw_tracker_peek(struct gw_tracker *tracker, struct gw_set *dirty, struct gw_error *error);
void gw_tracker_sending(struct gw_tracker *tracker, struct gw_run run, const void *contents);
/*
 * Which pages are read. forget() empties the hypervisor's page tables, accessed() adds the pages
 * that came back since: those that were read or written, by the guest or by the hypervisor. The
 * guest pays a minor fault for each, so this is for now and then. What was written is found as
 * ever: scan() after accessed(), and what is in the second alone was read. timeout_ms: for the
 * hypervisor to come to its poll. -ENOTSUP: this tracker cannot.
 */
int gw_tracker_forget(struct gw_tracker *tracker, int timeout_ms, struct gw_error *error);
int gw_tracker_accessed(struct gw_tracker *tracker, struct gw_set *pages, struct gw_error *error);
/* Ends tracking; nothing is left in the hypervisor. */
void gw_tracker_close(struct gw_tracker *tracker);

#endif
