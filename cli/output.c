/* SPDX-License-Identifier: MIT */
#include "cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FLAGS (JSON_INDENT(2) | JSON_REAL_PRECISION(15))

static int write_json(const json_t *result, const char *path)
{
	FILE *out = strcmp(path, "-") != 0 ? fopen(path, "we") : stdout;
	int r = 0;

	if (!out)
		return -errno;
	errno = EIO;
	if (json_dumpf(result, out, FLAGS) || fputc('\n', out) == EOF || fflush(out))
		r = -errno;
	if (out != stdout && fclose(out) && !r)
		r = -errno;
	return r;
}

int gw_output_json(json_t *result, const char *path, struct gw_error *error)
{
	int r;

	if (!result)
		return gw_fail(error, ENOMEM, "no memory for the result");
	r = write_json(result, path);
	json_decref(result);
	if (r)
		return gw_fail(error, -r, "cannot write results to %s: %s", path, strerror(-r));
	return 0;
}
