/* SPDX-License-Identifier: MIT */
/*
 * cli/report/report.h - what the result files hold, and the parts of the page made of it.
 *
 * A sweep may have a hundred thousand moves: of each only the figures are kept, and where it
 * stands, so that the few that are shown whole can be read again.
 */
#ifndef GW_CLI_REPORT_REPORT_H
#define GW_CLI_REPORT_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cli/report/page.h"

enum gw_report_figure {
	GW_REPORT_TOTAL,
	GW_REPORT_DOWNTIME,
	GW_REPORT_UNAVAILABLE,
	GW_REPORT_BYTES,
	GW_REPORT_FAULTS,
	GW_REPORT_RESENT,
	GW_REPORT_FIGURES,
};

struct gw_figure_kind {
	const char *key; /* in a result */
	const char *name;
	enum gw_unit unit;
};

extern const struct gw_figure_kind gw_report_figures[GW_REPORT_FIGURES];

struct gw_report_file {
	const char *path; /* borrowed */
	char *text;       /* owned */
	size_t bytes;
};

/* Where one result begins; of a bench, which of its results it is. */
struct gw_report_place {
	size_t file, offset;
	int member; /* -1: the whole of it */
};

struct gw_report_move {
	struct gw_report_place place;
	size_t group;
	bool completed;
	double figures[GW_REPORT_FIGURES]; /* NAN: not told */
};

/* Of the moves of a group that completed; all are figures that were measured. */
struct gw_spread {
	size_t count;
	double low, quarter, median, three_quarters, high; /* NAN without any */
};

/* The same world, scenario, policy and settings. */
struct gw_report_group {
	char *world, *scenario, *policy, *settings, *order; /* owned; "" for what is not told */
	bool orders;  /* others differ from it in their order alone */
	char *reason; /* of the first that did not complete; owned, or NULL */
	size_t moves, completed;
	size_t typical; /* the move with the median total time; the first, if none completed */
	struct gw_spread spreads[GW_REPORT_FIGURES];
};

/* VMs that moved together: one evacuation, or the moves of one simulated run. */
struct gw_report_fleet {
	struct gw_report_place place; /* of the evacuation */
	size_t first, moves;          /* of the run; 0 moves: an evacuation */
};

struct gw_report {
	struct gw_report_file *files;
	struct gw_report_move *moves;
	struct gw_report_group *groups;
	struct gw_report_fleet *fleets;
	struct gw_report_place *estimates;
	size_t file_count, move_count, group_count, fleet_count, estimate_count;
	size_t file_room, move_room, group_room, fleet_room, estimate_room;
	json_t *index; /* of the groups, by what makes them one */
	char run[64];  /* of the last move */
};

/* Told while a file is read; done and all in bytes. */
typedef void gw_report_told(void *arg, const char *path, size_t done, size_t all);

/*
 * Adds all results of a file; borrows `path`. The error names file and line; -EINVAL if it holds no
 * result, or something else.
 */
int gw_report_read(struct gw_report *report, const char *path, gw_report_told *told, void *arg,
                   struct gw_error *error);
/* After the last file: groups in order, with their spreads. */
int gw_report_settle(struct gw_report *report, struct gw_error *error);
void gw_report_free(struct gw_report *report);

/* Reads one again; the caller owns it. NULL: no memory. */
json_t *gw_report_load(const struct gw_report *report, const struct gw_report_place *place);

/* A field of an object; NAN or "" if it is not there, or something else. NULL object: likewise. */
double gw_report_number(const json_t *object, const char *key);
const char *gw_report_string(const json_t *object, const char *key);
/* "alpha=0.3 order=bubble" as it was set, "" if all is by default; the caller frees it. */
char *gw_report_settings(const json_t *result);

/* When what happened in a migration, in ns from its beginning. */
struct gw_course {
	double total, first_round, stop, resume;
	double rounds_ns, rounds_pages;
	const json_t *rounds; /* borrowed from the result */
	bool switched, pulls;
};

void gw_report_course(const json_t *result, struct gw_course *course);

/* A row of small pictures that stand side by side, one for each figure. */
struct gw_panel_row {
	const char *label; /* borrowed, as `spreads` is */
	const struct gw_spread *spreads;
	bool live, marked;
};

/* All figures that any row has; `title` says what the rows are. */
void gw_report_panels(struct gw_page *page, const char *title, const struct gw_panel_row *rows,
                      size_t count);
/* The median, and below it the least and the greatest. */
void gw_report_spread_cell(struct gw_page *page, enum gw_unit unit, const struct gw_spread *s);

/* --- the parts of a page --------------------------------------------------------------------- */

void gw_report_page(struct gw_page *page, const struct gw_report *report, const char *version);
/* One migration: what happened when, its rounds, its faults. */
void gw_report_sentence(struct gw_page *page, const json_t *result);
void gw_report_move(struct gw_page *page, const json_t *result);
void gw_report_announced(struct gw_page *page, const json_t *result);
void gw_report_rounds(struct gw_page *page, const json_t *result);
/* Several, by group. */
void gw_report_compare(struct gw_page *page, const struct gw_report *report);
/* A point for each of many groups: unavailable over total time. */
void gw_report_trade(struct gw_page *page, const struct gw_report_group *const *groups,
                     size_t count);
/* Curves over a setting, for groups that differ in it alone. */
void gw_report_knobs(struct gw_page *page, const struct gw_report_group *const *groups,
                     size_t count);
void gw_report_fleet(struct gw_page *page, const struct gw_report *report,
                     const struct gw_report_fleet *fleet);
/* All evacuations in one table. */
void gw_report_evacuations(struct gw_page *page, const struct gw_report *report);
void gw_report_estimate(struct gw_page *page, const json_t *estimate);
/* A group in a few words: "sdf-hybrid alpha=0.3"; returns text. */
const char *gw_report_label(const struct gw_report_group *group, char *text, size_t bytes);

#endif
