/* SPDX-License-Identifier: MIT */
/*
 * base/error.h - one sentence for a person, one errno for the code.
 *
 * Outside core/ every function that can fail takes a `struct gw_error *` as its last argument and
 * returns 0 or -errno. The sentence is added once, where the context is known, says what is wrong
 * and what to do, and is printed once, by the command line. NULL is allowed: the text is dropped.
 */
#ifndef GW_BASE_ERROR_H
#define GW_BASE_ERROR_H

#include <stdarg.h>

struct gw_error {
	char text[512];
};

/* Writes the sentence into e (may be NULL) and returns -err; err is a positive errno. */
int gw_fail(struct gw_error *e, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
