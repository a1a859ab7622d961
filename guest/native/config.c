/* SPDX-License-Identifier: MIT */
#include "guest/native/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY(field) #field, offsetof(struct gw_native_config, field)

const struct gw_native_key gw_native_keys[GW_NATIVE_KEYS] = {
        {KEY(pages), GW_NATIVE_NUMBER, 4096, 1, UINT64_C(1) << 28},
        {KEY(vcpus), GW_NATIVE_NUMBER, 1, 1, GW_NATIVE_MAX_VCPUS},
        {KEY(pattern), GW_NATIVE_PATTERN, GW_NATIVE_RANDOM, 0, GW_NATIVE_PATTERNS - 1},
        {KEY(writes), GW_NATIVE_RATE, 1000, 0, 1000000000},
        {KEY(reads), GW_NATIVE_RATE, 1000, 0, 1000000000},
        {KEY(set), GW_NATIVE_NUMBER, 0, 0, UINT64_C(1) << 28},
        {KEY(offset), GW_NATIVE_NUMBER, 0, 0, UINT64_C(1) << 28},
        {KEY(skew), GW_NATIVE_NUMBER, 90, 0, 100},
        {KEY(drift), GW_NATIVE_NUMBER, 0, 0, UINT64_C(1) << 28},
        {KEY(phase_ms), GW_NATIVE_NUMBER, 1000, 1, 86400000},
        {KEY(zero), GW_NATIVE_NUMBER, 0, 0, 100},
        {KEY(fill), GW_NATIVE_NUMBER, 100, 1, 100},
        {KEY(populate), GW_NATIVE_NUMBER, 0, 0, UINT64_C(1) << 28},
        {KEY(seed), GW_NATIVE_NUMBER, 1, 0, INT64_MAX},
};

static const char *const pattern_names[GW_NATIVE_PATTERNS] = {
        "idle", "random", "locality", "sequential", "phases",
};

const struct gw_native_key *gw_native_key(const char *name, size_t length)
{
	for (size_t i = 0; i < GW_NATIVE_KEYS; i++)
		if (strlen(gw_native_keys[i].name) == length &&
		    !memcmp(gw_native_keys[i].name, name, length))
			return &gw_native_keys[i];
	return NULL;
}

static uint64_t *field(struct gw_native_config *config, const struct gw_native_key *key)
{
	return (uint64_t *)((char *)config + key->offset);
}

uint64_t gw_native_get(const struct gw_native_config *config, const struct gw_native_key *key)
{
	return *(const uint64_t *)((const char *)config + key->offset);
}

void gw_native_config_init(struct gw_native_config *config)
{
	for (size_t i = 0; i < GW_NATIVE_KEYS; i++)
		*field(config, &gw_native_keys[i]) = gw_native_keys[i].standard;
}

int gw_native_set_number(struct gw_native_config *config, const struct gw_native_key *key,
                         uint64_t number, struct gw_error *error)
{
	if (number < key->min || number > key->max)
		return gw_fail(error, EINVAL,
		               "native guest: %s must be from %" PRIu64 " to %" PRIu64
		               ", not %" PRIu64,
		               key->name, key->min, key->max, number);
	*field(config, key) = number;
	return 0;
}

int gw_native_set_text(struct gw_native_config *config, const struct gw_native_key *key,
                       const char *text, struct gw_error *error)
{
	unsigned long long number;
	char *end;

	if (key->value == GW_NATIVE_RATE && !strcmp(text, "max")) {
		*field(config, key) = GW_NATIVE_RATE_MAX;
		return 0;
	}
	if (key->value == GW_NATIVE_PATTERN) {
		for (uint64_t i = 0; i < GW_NATIVE_PATTERNS; i++)
			if (!strcmp(text, pattern_names[i])) {
				*field(config, key) = i;
				return 0;
			}
		return gw_fail(error, EINVAL,
		               "native guest: there is no pattern \"%.32s\"; take idle, random, "
		               "locality, sequential or phases",
		               text);
	}
	errno = 0;
	number = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno)
		return gw_fail(error, EINVAL, "native guest: %s needs a number, not \"%.32s\"",
		               key->name, text);
	return gw_native_set_number(config, key, number, error);
}

void gw_native_text(const struct gw_native_config *config, const struct gw_native_key *key,
                    char text[32])
{
	uint64_t number = gw_native_get(config, key);

	if (key->value == GW_NATIVE_RATE && number == GW_NATIVE_RATE_MAX)
		(void)snprintf(text, 32, "max");
	else if (key->value == GW_NATIVE_PATTERN)
		(void)snprintf(text, 32, "%s", pattern_names[number]);
	else
		(void)snprintf(text, 32, "%" PRIu64, number);
}

int gw_native_config_check(const struct gw_native_config *config, struct gw_error *error)
{
	if (config->vcpus > config->pages)
		return gw_fail(error, EINVAL,
		               "native guest: more vCPUs than pages; give it %" PRIu64
		               " pages or more",
		               config->vcpus);
	if (config->offset >= config->pages || config->set > config->pages - config->offset)
		return gw_fail(error, EINVAL,
		               "native guest: the working set ends after the last of %" PRIu64
		               " pages; make set or offset smaller",
		               config->pages);
	if (config->populate > config->pages)
		return gw_fail(error, EINVAL,
		               "native guest: populate is more than the %" PRIu64
		               " pages there are; make it smaller",
		               config->pages);
	return 0;
}

bool gw_native_name_ok(const char *name)
{
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                             "0123456789._-");

	return length > 0 && length < 64 && !name[length] && name[0] != '.';
}
