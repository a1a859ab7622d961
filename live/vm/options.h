/* SPDX-License-Identifier: MIT */
/*
 * live/vm/options.h - QEMU's "key=value,key=value" and its JSON form, as a list of pairs.
 *
 * In values a comma is doubled. A JSON object is flattened: {"cache": {"direct": true}} is
 * cache.direct=on. What is written back is always the key=value form, escaped here, so a value can
 * never become a second pair.
 */
#ifndef GW_LIVE_VM_OPTIONS_H
#define GW_LIVE_VM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define GW_OPTIONS_MAX 96

struct gw_option {
	char *key, *value; /* owned */
};

struct gw_options {
	struct gw_option pair[GW_OPTIONS_MAX];
	unsigned count;
};

/*
 * `implied` is the key of a first value without one (NULL: none). A key alone is key=on. A key that
 * comes twice is refused: which of the two counts differs from option to option.
 */
int gw_options_parse(struct gw_options *options, const char *text, const char *implied,
                     struct gw_error *error);
void gw_options_clear(struct gw_options *options);
/* NULL: not there. Borrowed. */
const char *gw_options_get(const struct gw_options *options, const char *key);
/* Adds or replaces; -ENOMEM, -E2BIG. */
int gw_options_set(struct gw_options *options, const char *key, const char *value);
void gw_options_drop(struct gw_options *options, const char *key);
/* The text for the command line; the caller's. NULL: out of memory. */
char *gw_options_text(const struct gw_options *options);

/* "512M", "1G", "64" (in `unit` bytes) -> bytes; 0: not a size. */
uint64_t gw_options_size(const char *text, uint64_t unit);

#define _cleanup_options_ __attribute__((cleanup(gw_options_clear)))

#endif
