/* SPDX-License-Identifier: MIT */
/*
 * cli/report/page.h - writes one page: HTML that is XML as well, with nothing outside itself.
 *
 * Whatever comes out of a result file goes through gw_page_text() or gw_page_say(), which escape
 * it; gw_page_markup() is for the program's own words and for numbers. What could not be written
 * is seen by ferror() in the end.
 */
#ifndef GW_CLI_REPORT_PAGE_H
#define GW_CLI_REPORT_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct gw_page {
	FILE *out; /* borrowed */
	unsigned ids;
};

enum gw_unit {
	GW_UNIT_TIME,   /* ns */
	GW_UNIT_BYTES,  /* shown in MB, as rates are */
	GW_UNIT_MEMORY, /* bytes, shown in MiB, as QEMU has it */
	GW_UNIT_RATE,   /* bytes a second */
	GW_UNIT_COUNT,
	GW_UNIT_PERMILLE, /* shown in percent */
	GW_UNIT_PLAIN,    /* a number as it is, such as a setting's */
};

#define GW_SHOWN_BYTES 48

void gw_page_markup(struct gw_page *page, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
void gw_page_text(struct gw_page *page, const char *text);
void gw_page_say(struct gw_page *page, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* Three digits of it, "12.1 ms"; returns text, of GW_SHOWN_BYTES. */
const char *gw_page_show(char *text, enum gw_unit unit, double value);
/* The same in HTML, with the exact value beside it. NAN: a dash. */
void gw_page_data(struct gw_page *page, enum gw_unit unit, double value);
/* A span of `count` letters at most, for a label with no room for more; returns text. */
const char *gw_page_shorten(char *text, size_t bytes, const char *from, size_t count);

/* `title` is escaped. */
void gw_page_open(struct gw_page *page, const char *title);
void gw_page_close(struct gw_page *page);
void gw_page_section(struct gw_page *page, const char *id, const char *heading);
void gw_page_section_end(struct gw_page *page);

/* A heading that begins with '>' is of a column of numbers. */
void gw_page_table(struct gw_page *page, const char *caption, const char *const *headings);
void gw_page_table_end(struct gw_page *page);
void gw_page_row(struct gw_page *page);
void gw_page_row_end(struct gw_page *page);
void gw_page_head_cell(struct gw_page *page, const char *text);
void gw_page_text_cell(struct gw_page *page, const char *text);
void gw_page_data_cell(struct gw_page *page, enum gw_unit unit, double value);

/* One of the figures that stand in a row at the top. */
void gw_page_tiles(struct gw_page *page);
void gw_page_tile(struct gw_page *page, const char *name, enum gw_unit unit, double value,
                  const char *note);
void gw_page_tiles_end(struct gw_page *page);

/* What a colour means: a list behind a picture. `style` is a class of the style sheet. */
void gw_page_legend(struct gw_page *page);
void gw_page_legend_item(struct gw_page *page, const char *style, const char *text);
void gw_page_legend_end(struct gw_page *page);

extern const char gw_page_style[];

#endif
