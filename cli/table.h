/* SPDX-License-Identifier: MIT */
/*
 * cli/table.h - text in aligned columns.
 *
 *     NAME  POLICY   DOWNTIME
 *     web   precopy   12.0 ms
 */
#ifndef GW_CLI_TABLE_H
#define GW_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#define GW_TABLE_COLUMNS 16

struct gw_table {
	size_t columns;
	size_t rows; /* the heading is the first */
	size_t room;
	char **cells;                 /* rows x columns, owned */
	char right[GW_TABLE_COLUMNS]; /* numbers: aligned to the right */
};

/* Headings; one that begins with '>' aligns its column to the right. Ended by NULL. */
int gw_table_init(struct gw_table *table, const char *const *headings);
/* One text a column, copied; NULL is shown as "-". */
int gw_table_add(struct gw_table *table, const char *const *texts);
/* A column in which no row has anything is left out. */
void gw_table_print(const struct gw_table *table, FILE *out);
void gw_table_free(struct gw_table *table);

#endif
