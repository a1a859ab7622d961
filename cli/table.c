/* SPDX-License-Identifier: MIT */
#include "cli/table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Letters, not bytes: continuation bytes of UTF-8 take no room. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

int gw_table_init(struct gw_table *table, const char *const *headings)
{
	const char *texts[GW_TABLE_COLUMNS];
	size_t i;

	memset(table, 0, sizeof(*table));
	for (i = 0; headings[i]; i++) {
		if (i == GW_TABLE_COLUMNS)
			return -E2BIG;
		table->right[i] = headings[i][0] == '>';
		texts[i] = headings[i] + table->right[i];
	}
	if (!i)
		return -EINVAL;
	table->columns = i;
	return gw_table_add(table, texts);
}

int gw_table_add(struct gw_table *table, const char *const *texts)
{
	size_t i;

	if (table->rows == table->room) {
		size_t room = table->room ? table->room * 2 : 8;
		char **cells = realloc(table->cells, room * table->columns * sizeof(*cells));

		if (!cells)
			return -ENOMEM;
		table->cells = cells;
		table->room = room;
	}
	for (i = 0; i < table->columns; i++) {
		char *copy = strdup(texts[i] ? texts[i] : "-");

		if (!copy) {
			while (i--)
				free(table->cells[table->rows * table->columns + i]);
			return -ENOMEM;
		}
		table->cells[table->rows * table->columns + i] = copy;
	}
	table->rows++;
	return 0;
}

static void pad(FILE *out, size_t spaces)
{
	(void)fprintf(out, "%*s", (int)spaces, "");
}

/* Of each column the width; 0 where no row has anything. */
static void measure(const struct gw_table *table, size_t widest[GW_TABLE_COLUMNS])
{
	bool empty[GW_TABLE_COLUMNS];
	size_t i;

	for (i = 0; i < table->columns; i++)
		empty[i] = table->rows > 1;
	for (i = 0; i < table->rows * table->columns; i++) {
		size_t width = width_of(table->cells[i]), column = i % table->columns;

		if (i >= table->columns && strcmp(table->cells[i], "-") != 0)
			empty[column] = false;
		if (width > widest[column])
			widest[column] = width;
	}
	for (i = 0; i < table->columns; i++)
		widest[i] = empty[i] ? 0 : widest[i];
}

void gw_table_print(const struct gw_table *table, FILE *out)
{
	size_t widest[GW_TABLE_COLUMNS] = {0};
	size_t i, row;

	measure(table, widest);
	for (row = 0; row < table->rows; row++) {
		size_t blanks = 0; /* none at the end of a line */

		for (i = 0; i < table->columns; i++) {
			const char *text = table->cells[row * table->columns + i];
			size_t width = width_of(text);
			size_t spaces = widest[i] > width ? widest[i] - width : 0;

			if (!width || !widest[i]) {
				blanks += widest[i] ? widest[i] + 2 : 0;
				continue;
			}
			pad(out, blanks + (table->right[i] ? spaces : 0));
			(void)fputs(text, out);
			blanks = 2 + (table->right[i] ? 0 : spaces);
		}
		(void)fputc('\n', out);
	}
}

void gw_table_free(struct gw_table *table)
{
	size_t i;

	for (i = 0; i < table->rows * table->columns; i++)
		free(table->cells[i]);
	free(table->cells);
	memset(table, 0, sizeof(*table));
}
