/* SPDX-License-Identifier: MIT */
/*
 * cli/progress.h - how far long work is, with its rate and the time left.
 *
 * On a terminal one line that is redrawn; elsewhere a plain line every few seconds and whenever
 * the label changes. Time is an argument.
 */
#ifndef GW_CLI_PROGRESS_H
#define GW_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define GW_PROGRESS_SAMPLES 16

struct gw_progress {
	FILE *out; /* borrowed */
	bool terminal;
	bool bare;  /* a share is counted, not bytes; it comes in jumps, and has no rate to show */
	bool drawn; /* a line stands there without its end */
	unsigned columns;
	char label[64];
	uint64_t beyond_ns; /* the caller's: what is expected after what the label says */
	uint64_t shown_ns;
	/* The last moments, for a rate that follows the link; a ring. */
	unsigned at, count;
	uint64_t when_ns[GW_PROGRESS_SAMPLES];
	uint64_t done_bytes[GW_PROGRESS_SAMPLES];
};

/* Looks whether `out` is a terminal, and how wide. */
void gw_progress_init(struct gw_progress *progress, FILE *out);
/* `label` may change; done_bytes may begin anew with it. all_bytes 0: not known. */
void gw_progress_update(struct gw_progress *progress, const char *label, uint64_t done_bytes,
                        uint64_t all_bytes, uint64_t now_ns);
/*
 * The same for work that takes its time: all_ns 0: until somebody ends it. `more` says what came of
 * it so far.
 */
void gw_progress_time(struct gw_progress *progress, const char *label, uint64_t done_ns,
                      uint64_t all_ns, const char *more, uint64_t now_ns);
/* The same for so many of so many things, that come in jumps: no rate. */
void gw_progress_share(struct gw_progress *progress, const char *label, uint64_t done, uint64_t all,
                       uint64_t now_ns);
/* Ends the line, so that other text can follow; updates may go on after it. */
void gw_progress_end(struct gw_progress *progress);

#endif
