/* SPDX-License-Identifier: MIT */
#include "core/setting.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Reads leading digits; NULL if there are none or they do not fit. */
static const char *digits(const char *value, uint64_t *to)
{
	const char *at = value;
	uint64_t n = 0;

	for (; *at >= '0' && *at <= '9'; at++) {
		uint64_t digit = (uint64_t)(*at - '0');

		if (n > (UINT64_MAX - digit) / 10)
			return NULL;
		n = n * 10 + digit;
	}
	*to = n;
	return at == value ? NULL : at;
}

int gw_setting_number(const char *value, uint64_t least, uint64_t most, uint64_t *to)
{
	uint64_t n;
	const char *end = digits(value, &n);

	if (!end || *end || n < least || n > most)
		return -EINVAL;
	*to = n;
	return 0;
}

int gw_setting_share(const char *value, uint64_t *to)
{
	uint64_t whole, n;
	const char *at = digits(value, &whole);

	if (!at || whole > 1 || (*at && (*at != '.' || !at[1])))
		return -EINVAL;
	n = whole * 1000;
	at += *at == '.';
	for (uint64_t worth = 100; *at && worth; at++, worth /= 10) {
		if (*at < '0' || *at > '9')
			return -EINVAL;
		n += (uint64_t)(*at - '0') * worth;
	}
	if (*at || n > 1000)
		return -EINVAL;
	*to = n;
	return 0;
}

int gw_setting_choice(const char *value, const char *const *names, unsigned *to)
{
	for (unsigned i = 0; names[i]; i++) {
		if (!strcmp(names[i], value)) {
			*to = i;
			return 0;
		}
	}
	return -EINVAL;
}

struct unit {
	const char *name;
	uint64_t worth;
};

/* A whole number of one of the units, which an empty worth ends. */
static int measured(const char *value, const struct unit *units, uint64_t *to)
{
	uint64_t n;
	const char *end = digits(value, &n);

	if (!end)
		return -EINVAL;
	for (; units->worth; units++) {
		if (strcmp(end, units->name) != 0)
			continue;
		if (n > UINT64_MAX / units->worth)
			return -EINVAL;
		*to = n * units->worth;
		return 0;
	}
	return -EINVAL;
}

int gw_setting_duration(const char *value, uint64_t *to_ns)
{
	static const struct unit units[] = {{"", 1},         {"ns", 1},         {"us", 1000},
	                                    {"ms", 1000000}, {"s", 1000000000}, {NULL, 0}};

	return measured(value, units, to_ns);
}

int gw_setting_rate(const char *value, uint64_t *to_bytes_per_s)
{
	static const struct unit units[] = {
	        {"", 1},    {"kbit", 125},  {"mbit", 125000},  {"gbit", 125000000},
	        {"B/s", 1}, {"kB/s", 1000}, {"MB/s", 1000000}, {"GB/s", 1000000000},
	        {NULL, 0},
	};

	return measured(value, units, to_bytes_per_s);
}
