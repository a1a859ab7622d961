/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <stdio.h>

int gw_fail(struct gw_error *e, int err, const char *format, ...)
{
	va_list args;

	if (e) {
		va_start(args, format);
		(void)vsnprintf(e->text, sizeof(e->text), format, args);
		va_end(args);
	}
	return -err;
}
