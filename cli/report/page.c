/* SPDX-License-Identifier: MIT */
#include "cli/report/page.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* --- text ------------------------------------------------------------------------------------ */

void gw_page_markup(struct gw_page *page, const char *format, ...)
{
	va_list words;

	va_start(words, format);
	(void)vfprintf(page->out, format, words);
	va_end(words);
}

/* What XML has no room for, escaped or not: control characters, and U+FFFE and U+FFFF. */
static size_t forbidden(const unsigned char *c)
{
	if (*c < ' ' && *c != '\t' && *c != '\n')
		return 1;
	if (*c == 0x7f)
		return 1;
	return c[0] == 0xef && c[1] == 0xbf && (c[2] == 0xbe || c[2] == 0xbf) ? 3 : 0;
}

void gw_page_text(struct gw_page *page, const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	while (*c) {
		size_t bad = forbidden(c);

		if (bad)
			(void)fputs("\xef\xbf\xbd", page->out);
		else if (*c == '<')
			(void)fputs("&lt;", page->out);
		else if (*c == '>')
			(void)fputs("&gt;", page->out);
		else if (*c == '&')
			(void)fputs("&amp;", page->out);
		else if (*c == '"')
			(void)fputs("&quot;", page->out);
		else if (*c == '\'')
			(void)fputs("&#39;", page->out);
		else
			(void)fputc(*c, page->out);
		c += bad ? bad : 1;
	}
}

void gw_page_say(struct gw_page *page, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list words;
	int length;

	va_start(words, format);
	length = vasprintf(&text, format, words);
	va_end(words);
	if (length < 0)
		text = NULL;
	gw_page_text(page, text ? text : "…");
}

const char *gw_page_shorten(char *text, size_t bytes, const char *from, size_t count)
{
	size_t used = 0, letters = 0;
	const char *c = from;

	for (; *c && used + 8 < bytes; c++) {
		letters += ((unsigned char)*c & 0xc0) != 0x80;
		if (letters > count)
			break;
		text[used++] = *c;
	}
	text[used] = '\0';
	if (*c)
		(void)strcpy(text + used, "…");
	return text;
}

/* --- numbers --------------------------------------------------------------------------------- */

/* "37,068" */
static void grouped(char *text, double value)
{
	char digits[32];
	size_t length, used = 0;

	(void)snprintf(digits, sizeof(digits), "%.0f", value);
	length = strlen(digits);
	for (size_t i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0 && digits[i - 1] != '-')
			text[used++] = ',';
		text[used++] = digits[i];
	}
	text[used] = '\0';
}

struct step {
	double from; /* the least value that is shown so */
	double unit;
	const char *name;
};

static void stepped(char *text, double value, const struct step *steps)
{
	while (steps[1].name && value < steps->from)
		steps++;
	value /= steps->unit;
	(void)snprintf(text, GW_SHOWN_BYTES, "%.*f %s",
	               value == 0 || value >= 99.95 || steps->unit <= 1 ? 0
	               : value >= 9.995                                 ? 1
	                                                                : 2,
	               value, steps->name);
}

const char *gw_page_show(char *text, enum gw_unit unit, double value)
{
	static const struct step times[] = {{36e12, 3600e9, "h"}, {600e9, 60e9, "min"},
	                                    {0.9995e9, 1e9, "s"}, {0.9995e6, 1e6, "ms"},
	                                    {999.5, 1e3, "µs"},   {0, 1, "ns"},
	                                    {0, 1, NULL}};
	static const struct step sizes[] = {
	        {0.9995e12, 1e12, "TB"}, {9.995e9, 1e9, "GB"}, {0.9995e6, 1e6, "MB"},
	        {999.5, 1e3, "kB"},      {0, 1, "B"},          {0, 1, NULL}};
	static const struct step memory[] = {{1099511627776.0, 1099511627776.0, "TiB"},
	                                     {1073741824.0, 1073741824.0, "GiB"},
	                                     {1048576.0, 1048576.0, "MiB"},
	                                     {1024, 1024, "KiB"},
	                                     {0, 1, "B"},
	                                     {0, 1, NULL}};

	if (isnan(value) || value == 0)
		return strcpy(text, value == 0 ? "0" : "–");
	switch (unit) {
	case GW_UNIT_TIME: stepped(text, value, times); break;
	case GW_UNIT_MEMORY: stepped(text, value, memory); break;
	case GW_UNIT_BYTES: stepped(text, value, sizes); break;
	case GW_UNIT_RATE:
		stepped(text, value, sizes);
		(void)strncat(text, "/s", GW_SHOWN_BYTES - strlen(text) - 1);
		break;
	case GW_UNIT_PERMILLE: (void)snprintf(text, GW_SHOWN_BYTES, "%.3g %%", value / 10); break;
	case GW_UNIT_PLAIN: (void)snprintf(text, GW_SHOWN_BYTES, "%.3g", value); break;
	case GW_UNIT_COUNT: grouped(text, value < 1e18 ? value : 1e18); break;
	}
	return text;
}

void gw_page_data(struct gw_page *page, enum gw_unit unit, double value)
{
	char text[GW_SHOWN_BYTES];

	if (isnan(value))
		gw_page_markup(page, "–");
	else
		gw_page_markup(page, "<data value=\"%.17g\">%s</data>", value,
		               gw_page_show(text, unit, value));
}

/* --- parts of a page ------------------------------------------------------------------------- */

void gw_page_open(struct gw_page *page, const char *title)
{
	gw_page_markup(page, "<!DOCTYPE html>\n"
	                     "<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n"
	                     "<meta charset=\"utf-8\"/>\n"
	                     "<meta name=\"viewport\" content=\"width=device-width, "
	                     "initial-scale=1\"/>\n"
	                     "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
	                     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
	                     "'none'; style-src 'unsafe-inline'\"/>\n<title>");
	gw_page_text(page, title);
	gw_page_markup(page, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n",
	               gw_page_style);
}

void gw_page_close(struct gw_page *page)
{
	gw_page_markup(page, "</main>\n</body>\n</html>\n");
}

void gw_page_section(struct gw_page *page, const char *id, const char *heading)
{
	gw_page_markup(page, "<section id=\"%s\">\n<h2>", id);
	gw_page_text(page, heading);
	gw_page_markup(page, "</h2>\n");
}

void gw_page_section_end(struct gw_page *page)
{
	gw_page_markup(page, "</section>\n");
}

void gw_page_table(struct gw_page *page, const char *caption, const char *const *headings)
{
	gw_page_markup(page, "<div class=\"scroll\"><table>\n<caption>");
	gw_page_text(page, caption);
	gw_page_markup(page, "</caption>\n<thead><tr>");
	for (; *headings; headings++) {
		bool right = **headings == '>';

		gw_page_markup(page, "<th scope=\"col\"%s>", right ? " class=\"n\"" : "");
		gw_page_text(page, *headings + right);
		gw_page_markup(page, "</th>");
	}
	gw_page_markup(page, "</tr></thead>\n<tbody>\n");
}

void gw_page_table_end(struct gw_page *page)
{
	gw_page_markup(page, "</tbody></table></div>\n");
}

void gw_page_row(struct gw_page *page)
{
	gw_page_markup(page, "<tr>");
}

void gw_page_row_end(struct gw_page *page)
{
	gw_page_markup(page, "</tr>\n");
}

void gw_page_head_cell(struct gw_page *page, const char *text)
{
	gw_page_markup(page, "<th scope=\"row\"><bdi>");
	gw_page_text(page, text);
	gw_page_markup(page, "</bdi></th>");
}

void gw_page_text_cell(struct gw_page *page, const char *text)
{
	gw_page_markup(page, "<td>");
	gw_page_text(page, text);
	gw_page_markup(page, "</td>");
}

void gw_page_data_cell(struct gw_page *page, enum gw_unit unit, double value)
{
	gw_page_markup(page, "<td class=\"n\">");
	gw_page_data(page, unit, value);
	gw_page_markup(page, "</td>");
}

void gw_page_tiles(struct gw_page *page)
{
	gw_page_markup(page, "<dl class=\"tiles\">\n");
}

void gw_page_tile(struct gw_page *page, const char *name, enum gw_unit unit, double value,
                  const char *note)
{
	if (isnan(value))
		return;
	gw_page_markup(page, "<div><dt>%s</dt><dd>", name);
	gw_page_data(page, unit, value);
	gw_page_markup(page, "</dd><dd class=\"note\">");
	gw_page_text(page, note);
	gw_page_markup(page, "</dd></div>\n");
}

void gw_page_tiles_end(struct gw_page *page)
{
	gw_page_markup(page, "</dl>\n");
}

void gw_page_legend(struct gw_page *page)
{
	gw_page_markup(page, "<ul class=\"legend\">");
}

void gw_page_legend_item(struct gw_page *page, const char *style, const char *text)
{
	gw_page_markup(page,
	               "<li><svg width=\"14\" height=\"14\" aria-hidden=\"true\">"
	               "<rect class=\"%s\" x=\"1\" y=\"1\" width=\"12\" height=\"12\" rx=\"2\"/>"
	               "</svg> ",
	               style);
	gw_page_text(page, text);
	gw_page_markup(page, "</li>");
}

void gw_page_legend_end(struct gw_page *page)
{
	gw_page_markup(page, "</ul>\n");
}
