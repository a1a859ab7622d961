/* SPDX-License-Identifier: MIT */
/* core/setting.h - the values of settings: 0, or -EINVAL and `to` untouched. */
#ifndef GW_CORE_SETTING_H
#define GW_CORE_SETTING_H

#include <stdint.h>

int gw_setting_number(const char *value, uint64_t least, uint64_t most, uint64_t *to);
/* "0" to "1" with at most three decimals, in thousandths: 0.125 is 125. */
int gw_setting_share(const char *value, uint64_t *to);
/* One of `names`, which NULL ends: *to is its place. */
int gw_setting_choice(const char *value, const char *const *names, unsigned *to);
/* "300ms", "30s", "5us", "7ns"; a plain number is nanoseconds. */
int gw_setting_duration(const char *value, uint64_t *to_ns);
/* "30mbit", "1gbit", "12MB/s"; a plain number is bytes a second. */
int gw_setting_rate(const char *value, uint64_t *to_bytes_per_s);

#endif
