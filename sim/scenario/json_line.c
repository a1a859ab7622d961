/* SPDX-License-Identifier: MIT */
#include "sim/scenario/json_line.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

struct walk {
	const char *at, *end;
	unsigned long line;
};

static void space(struct walk *w)
{
	for (; w->at < w->end && strchr(" \t\r\n", *w->at) && *w->at; w->at++)
		w->line += *w->at == '\n';
}

/* Over a string, from quote to quote. */
static void string(struct walk *w)
{
	for (w->at++; w->at < w->end && *w->at != '"'; w->at++)
		if (*w->at == '\\')
			w->at++;
	if (w->at < w->end)
		w->at++;
}

/* Over a whole value: brackets are counted outside strings. */
static void value(struct walk *w)
{
	size_t depth = 0;

	for (space(w); w->at < w->end; space(w)) {
		char c = *w->at;

		if (!depth && strchr(",]}", c) && c)
			return;
		if (c == '"') {
			string(w);
			continue;
		}
		depth += c == '[' || c == '{';
		depth -= c == ']' || c == '}';
		w->at++;
	}
}

/* Behind the comma, if there is one; else the object or array ends here. */
static bool more(struct walk *w)
{
	space(w);
	if (w->at >= w->end || *w->at != ',')
		return false;
	w->at++;
	space(w);
	return true;
}

/* A key may be written with escapes; then it is read by the parser's own rules. */
static bool is_key(const char *from, const char *end, const char *key)
{
	size_t bytes = (size_t)(end - from);
	json_t *read;
	bool same;

	if (!memchr(from, '\\', bytes))
		return bytes == strlen(key) + 2 && !memcmp(from + 1, key, bytes - 2);
	read = json_loadb(from, bytes, JSON_DECODE_ANY, NULL);
	same = read && !strcmp(json_string_value(read), key);
	json_decref(read);
	return same;
}

static bool enter_object(struct walk *w, const char *key, unsigned long *line)
{
	w->at++;
	space(w);
	if (w->at >= w->end || *w->at != '"')
		return false;
	do {
		const char *from = w->at;
		unsigned long here = w->line;
		bool found;

		string(w);
		found = is_key(from, w->at, key);
		space(w);
		w->at++; /* the colon */
		space(w);
		if (found) {
			*line = here;
			return true;
		}
		value(w);
	} while (more(w));
	return false;
}

static bool enter_array(struct walk *w, size_t number, unsigned long *line)
{
	w->at++;
	space(w);
	for (; number; number--) {
		value(w);
		if (!more(w))
			return false;
	}
	*line = w->line;
	return true;
}

unsigned long sim_json_line(const char *text, size_t size, const struct sim_json_step *path,
                            size_t steps)
{
	struct walk w = {text, text + size, 1};
	unsigned long line;
	bool found = true;

	space(&w);
	line = w.line;
	for (size_t i = 0; found && i < steps && w.at < w.end; i++) {
		if (path[i].key)
			found = *w.at == '{' && enter_object(&w, path[i].key, &line);
		else
			found = *w.at == '[' && enter_array(&w, path[i].number, &line);
	}
	return line;
}
