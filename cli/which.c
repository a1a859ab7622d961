/* SPDX-License-Identifier: MIT */
#include "cli/which.h"

#include <errno.h>
#include <string.h>

#include "live/host/resolve.h"

int gw_which_check(const struct gw_which *which, struct gw_error *error)
{
	const char *tracker = which->tracker;

	if (which->pid > INT32_MAX)
		return gw_fail(error, EINVAL, "--pid %llu: no process has that number",
		               (unsigned long long)which->pid);
	if (tracker && strcmp(tracker, "pagemap") && strcmp(tracker, "digest"))
		return gw_fail(error, EINVAL, "--tracker %s: there are pagemap and digest",
		               tracker);
	return 0;
}

int gw_which_open(const struct gw_which *which, const char *dir, const char *name,
                  struct gw_guest *guest, struct gw_error *error)
{
	const struct gw_guest_where where = {
	        .dir = dir, .name = name, .pid = (pid_t)which->pid, .qmp = which->qmp};
	char pid_name[32];
	int err;

	(void)snprintf(pid_name, sizeof(pid_name), "pid-%d", (int)where.pid);
	err = gw_question_none(dir, name ? name : pid_name, where.pid, error);
	return err ? err : gw_guest_open(guest, &where, error);
}
