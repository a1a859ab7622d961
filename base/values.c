/* SPDX-License-Identifier: MIT */
#include "base/values.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	uint64_t times;
	uint64_t per;
	bool any_case;
};

static const struct unit rate_units[] = {
        {"bit", 1, 8, true},
        {"kbit", 1000, 8, true},
        {"mbit", 1000000, 8, true},
        {"gbit", 1000000000, 8, true},
        {"tbit", 1000000000000, 8, true},
        {"B/s", 1, 1, false},
        {"kB/s", 1000, 1, false},
        {"KB/s", 1000, 1, false},
        {"MB/s", 1000000, 1, false},
        {"GB/s", 1000000000, 1, false},
        {"KiB/s", UINT64_C(1) << 10, 1, false},
        {"MiB/s", UINT64_C(1) << 20, 1, false},
        {"GiB/s", UINT64_C(1) << 30, 1, false},
        {NULL, 0, 0, false},
};

/* As QEMU reads them: powers of 1024. */
static const struct unit size_units[] = {
        {"", 1, 1, false},
        {"B", 1, 1, false},
        {"K", UINT64_C(1) << 10, 1, true},
        {"M", UINT64_C(1) << 20, 1, true},
        {"G", UINT64_C(1) << 30, 1, true},
        {"T", UINT64_C(1) << 40, 1, true},
        {"KiB", UINT64_C(1) << 10, 1, false},
        {"MiB", UINT64_C(1) << 20, 1, false},
        {"GiB", UINT64_C(1) << 30, 1, false},
        {"TiB", UINT64_C(1) << 40, 1, false},
        {NULL, 0, 0, false},
};

static const struct unit duration_units[] = {
        {"ns", 1, 1, false},
        {"us", 1000, 1, false},
        {"ms", 1000000, 1, false},
        {"s", 1000000000, 1, false},
        {"min", UINT64_C(60000000000), 1, false},
        {"m", UINT64_C(60000000000), 1, false},
        {"h", UINT64_C(3600000000000), 1, false},
        {NULL, 0, 0, false},
};

static const struct unit plain_units[] = {
        {"", 1, 1, false},
        {NULL, 0, 0, false},
};

static int fail(int err, const char **problem, const char *half_sentence)
{
	*problem = half_sentence;
	return -err;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads digits[.digits] as number / 10^n; *end is behind it. */
static int decimal(const char *text, uint64_t *number, uint64_t *scale, const char **end,
                   const char **problem)
{
	const char *at = text;
	bool fraction = false;

	*number = 0;
	*scale = 1;
	if (*at == '-')
		return fail(EINVAL, problem, "is negative");
	if (!is_digit(*at))
		return fail(EINVAL, problem, *at ? "does not begin with a number" : "is empty");
	for (; is_digit(*at) || (*at == '.' && !fraction && is_digit(at[1])); at++) {
		if (*at == '.') {
			fraction = true;
			continue;
		}
		if (__builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, (uint64_t)(*at - '0'), number) ||
		    (fraction && __builtin_mul_overflow(*scale, 10, scale)))
			return fail(ERANGE, problem,
			            fraction ? "has too many digits" : "is too large");
	}
	*end = at;
	return 0;
}

static const struct unit *find_unit(const struct unit *units, const char *name)
{
	for (; units->name; units++)
		if (!(units->any_case ? strcasecmp : strcmp)(units->name, name))
			return units;
	return NULL;
}

static int parse(const char *text, const struct unit *units, const char *no_unit,
                 const char *unknown_unit, uint64_t *value, const char **problem)
{
	const struct unit *unit;
	uint64_t number, scale;
	unsigned __int128 result;
	const char *end;
	int r;

	r = decimal(text, &number, &scale, &end, problem);
	if (r)
		return r;
	if (!number && !*end) { /* in any unit */
		*value = 0;
		return 0;
	}
	unit = find_unit(units, end);
	if (!unit)
		return fail(EINVAL, problem, *end ? unknown_unit : no_unit);
	result = (unsigned __int128)number * unit->times / ((unsigned __int128)scale * unit->per);
	if (result > UINT64_MAX)
		return fail(ERANGE, problem, "is too large");
	*value = (uint64_t)result;
	return 0;
}

int gw_parse_rate(const char *text, uint64_t *bytes_per_s, const char **problem)
{
	uint64_t value;
	int r = parse(text, rate_units, "has no unit; write a rate like 30mbit, 1gbit or 12.5MB/s",
	              "has an unknown unit; write a rate like 30mbit, 1gbit or 12.5MB/s", &value,
	              problem);

	if (!r && !value)
		return fail(EINVAL, problem, "is less than one byte per second");
	if (!r)
		*bytes_per_s = value;
	return r;
}

int gw_parse_size(const char *text, uint64_t *bytes, const char **problem)
{
	return parse(text, size_units, "", "has an unknown unit; write a size like 512M or 4G",
	             bytes, problem);
}

int gw_parse_duration(const char *text, uint64_t *ns, const char **problem)
{
	return parse(text, duration_units, "has no unit; write a duration like 300ms or 30s",
	             "has an unknown unit; write a duration like 300ms or 30s", ns, problem);
}

int gw_parse_number(const char *text, uint64_t *number, const char **problem)
{
	/* A fraction would be cut silently. */
	if (is_digit(*text) && strchr(text, '.'))
		return fail(EINVAL, problem, "is not a whole number");
	return parse(text, plain_units, "", "is not a whole number", number, problem);
}

static const char *show(char *text, unsigned long bytes, double value, double step,
                        const char *const *names, size_t count)
{
	size_t i = 0;

	while (i + 1 < count && value >= step) {
		value /= step;
		i++;
	}
	(void)snprintf(text, bytes, "%.*f %s", i ? 1 : 0, value, names[i]);
	return text;
}

const char *gw_show_rate(char *text, unsigned long bytes, double bytes_per_s)
{
	static const char *const names[] = {"B/s", "kB/s", "MB/s", "GB/s"};

	return show(text, bytes, bytes_per_s, 1000, names, 4);
}

const char *gw_show_size(char *text, unsigned long bytes, uint64_t size_bytes)
{
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};

	return show(text, bytes, (double)size_bytes, 1024, names, 5);
}

const char *gw_show_duration(char *text, unsigned long bytes, uint64_t ns)
{
	static const char *const names[] = {"ns", "us", "ms", "s"};

	return show(text, bytes, (double)ns, 1000, names, 4);
}

const char *gw_show_clock(char *text, unsigned long bytes, uint64_t seconds)
{
	if (seconds < 3600)
		(void)snprintf(text, bytes, "%u:%02u", (unsigned)(seconds / 60),
		               (unsigned)(seconds % 60));
	else
		(void)snprintf(text, bytes, "%llu:%02u:%02u", (unsigned long long)(seconds / 3600),
		               (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
	return text;
}
