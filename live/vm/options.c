/* SPDX-License-Identifier: MIT */
#include "live/vm/options.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void gw_options_clear(struct gw_options *options)
{
	for (unsigned i = 0; i < options->count; i++) {
		free(options->pair[i].key);
		free(options->pair[i].value);
	}
	options->count = 0;
}

static struct gw_option *find(const struct gw_options *options, const char *key)
{
	for (unsigned i = 0; i < options->count; i++)
		if (strcmp(options->pair[i].key, key) == 0)
			return (struct gw_option *)&options->pair[i];
	return NULL;
}

const char *gw_options_get(const struct gw_options *options, const char *key)
{
	const struct gw_option *pair = find(options, key);

	return pair ? pair->value : NULL;
}

int gw_options_set(struct gw_options *options, const char *key, const char *value)
{
	struct gw_option *pair = find(options, key);
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	if (pair) {
		free(pair->value);
		pair->value = copy;
		return 0;
	}
	pair = &options->pair[options->count];
	if (options->count < GW_OPTIONS_MAX)
		pair->key = strdup(key);
	if (options->count >= GW_OPTIONS_MAX || !pair->key) {
		free(copy);
		return -E2BIG;
	}
	pair->value = copy;
	options->count++;
	return 0;
}

void gw_options_drop(struct gw_options *options, const char *key)
{
	struct gw_option *pair = find(options, key);

	if (!pair)
		return;
	free(pair->key);
	free(pair->value);
	options->count--;
	memmove(pair, pair + 1, (size_t)(options->pair + options->count - pair) * sizeof(*pair));
}

static int add(struct gw_options *options, const char *key, const char *value,
               struct gw_error *error)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                              "0123456789._-";
	int rc;

	/* QEMU does not unescape keys: "a,,b=c" would be three pairs to it. */
	if (!key[0] || key[strspn(key, allowed)])
		return gw_fail(error, EINVAL, "\"%.60s\" is no key of an option.", key);
	if (find(options, key))
		return gw_fail(error, EINVAL, "The key %s comes twice in one option.", key);
	rc = gw_options_set(options, key, value);
	return rc < 0 ? gw_fail(error, -rc, "An option has more than %d keys.", GW_OPTIONS_MAX) : 0;
}

/* One scalar of the JSON form, as text; false: it is none. */
static bool scalar(const json_t *value, char *text, size_t room)
{
	int length = -1;

	if (json_is_string(value))
		length = snprintf(text, room, "%s", json_string_value(value));
	else if (json_is_integer(value))
		length = snprintf(text, room, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		length = snprintf(text, room, "%s", json_is_true(value) ? "on" : "off");
	else if (json_is_null(value))
		length = snprintf(text, room, "%s", "");
	return length >= 0 && (size_t)length < room;
}

static int flatten(struct gw_options *options, json_t *object, const char *prefix,
                   struct gw_error *error)
{
	char name[256], text[4096];
	const char *key;
	json_t *value;
	int rc = 0;

	json_object_foreach(object, key, value)
	{
		if ((size_t)snprintf(name, sizeof(name), "%s%s%s", prefix, key,
		                     json_is_object(value) ? "." : "") >= sizeof(name))
			return gw_fail(error, EINVAL, "An option has a key that is too long.");
		if (json_is_object(value)) {
			rc = flatten(options, value, name, error);
		} else if (scalar(value, text, sizeof(text))) {
			rc = add(options, name, text, error);
		} else {
			rc = gw_fail(error, ENOTSUP, "The key %s of an option is a list.", name);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Copies up to a comma that is not doubled; returns what follows. */
static const char *cut(const char *from, char *to)
{
	while (*from && !(from[0] == ',' && from[1] != ',')) {
		from += from[0] == ',';
		*to++ = *from++;
	}
	*to = '\0';
	return *from ? from + 1 : from;
}

static int parse_pairs(struct gw_options *options, const char *text, const char *implied,
                       struct gw_error *error)
{
	char *piece = malloc(strlen(text) + 1);
	bool first = true;
	int rc = 0;

	if (!piece)
		return gw_fail(error, ENOMEM, "Out of memory.");
	while (*text && rc == 0) {
		char *equals;

		text = cut(text, piece);
		equals = strchr(piece, '=');
		if (equals)
			*equals = '\0';
		if (first && !equals && implied)
			rc = add(options, implied, piece, error);
		else
			rc = add(options, piece, equals ? equals + 1 : "on", error);
		first = false;
	}
	free(piece);
	return rc;
}

int gw_options_parse(struct gw_options *options, const char *text, const char *implied,
                     struct gw_error *error)
{
	json_t *json;
	int rc;

	options->count = 0;
	if (text[0] != '{') {
		rc = parse_pairs(options, text, implied, error);
	} else {
		json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		rc = json_is_object(json) ? flatten(options, json, "", error)
		                          : gw_fail(error, EINVAL, "An option is no valid JSON.");
		json_decref(json);
	}
	if (rc < 0)
		gw_options_clear(options);
	return rc;
}

static char *escape(char *to, const char *from)
{
	for (; *from; from++) {
		if (*from == ',')
			*to++ = ',';
		*to++ = *from;
	}
	return to;
}

char *gw_options_text(const struct gw_options *options)
{
	size_t room = 1;
	char *text, *at;

	for (unsigned i = 0; i < options->count; i++)
		room += strlen(options->pair[i].key) * 2 + strlen(options->pair[i].value) * 2 + 2;
	text = at = malloc(room);
	for (unsigned i = 0; text && i < options->count; i++) {
		if (i)
			*at++ = ',';
		at = escape(at, options->pair[i].key);
		*at++ = '=';
		at = escape(at, options->pair[i].value);
	}
	if (text)
		*at = '\0';
	return text;
}

uint64_t gw_options_size(const char *text, uint64_t unit)
{
	static const char units[] = "bkmgt";
	const char *letter;
	char *end;
	uint64_t n;

	if (text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return 0;
	if (*end) {
		letter = strchr(units, *end | 0x20);
		if (!letter || end[1])
			return 0;
		unit = 1ull << (10 * (letter - units));
	}
	return n > UINT64_MAX / unit ? 0 : n * unit;
}
