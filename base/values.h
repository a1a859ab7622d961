/* SPDX-License-Identifier: MIT */
/*
 * base/values.h - rates, sizes and durations as people write them.
 *
 * A value is decimal digits, perhaps with a fraction, and a unit: 30mbit, 12.5MB/s, 1.5G, 300ms.
 * No sign, no exponent. The result is exact, cut to the whole byte or nanosecond.
 */
#ifndef GW_BASE_VALUES_H
#define GW_BASE_VALUES_H

#include <stdint.h>

/*
 * 0, or -EINVAL (not a value, or an unknown unit), or -ERANGE (too large). *problem then points to
 * a constant half-sentence that fits behind the quoted value: "has no unit; write ...".
 */
int gw_parse_rate(const char *text, uint64_t *bytes_per_s, const char **problem);
int gw_parse_size(const char *text, uint64_t *bytes, const char **problem);
int gw_parse_duration(const char *text, uint64_t *ns, const char **problem);
int gw_parse_number(const char *text, uint64_t *number, const char **problem);

/* "12.5 MB/s", "512.0 MiB", "0:07", "1.4 ms"; returns text. */
const char *gw_show_rate(char *text, unsigned long bytes, double bytes_per_s);
const char *gw_show_size(char *text, unsigned long bytes, uint64_t size_bytes);
const char *gw_show_clock(char *text, unsigned long bytes, uint64_t seconds);
const char *gw_show_duration(char *text, unsigned long bytes, uint64_t ns);

#endif
