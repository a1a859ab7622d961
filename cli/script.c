/* SPDX-License-Identifier: MIT */
#include "cli/script.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* By meson. */
#define IN_BUILD GW_BUILD_DIR "/godwit"

int gw_script_find(struct gw_script *script, const char *name, const char *source,
                   const char *installed, struct gw_error *error)
{
	const char *folder;
	ssize_t length = readlink("/proc/self/exe", script->godwit, sizeof(script->godwit) - 1);

	if (length < 0)
		return gw_fail(error, errno, "cannot tell where godwit is: %s", strerror(errno));
	script->godwit[length] = '\0';
	folder = strcmp(script->godwit, IN_BUILD) != 0 ? installed : source;
	if (!folder)
		return gw_fail(error, ENOENT,
		               "this needs godwit's source tree: start it as build/godwit there");
	(void)snprintf(script->path, sizeof(script->path), "%s/%s", folder, name);
	if (access(script->path, R_OK))
		return gw_fail(error, errno, "%s: %s; install godwit whole", script->path,
		               strerror(errno));
	return 0;
}

int gw_script_start(const char *const *words, struct gw_error *error)
{
	(void)fflush(stdout);
	(void)execvp(words[0], (char *const *)words);
	return gw_fail(error, errno, "cannot start %s: %s", words[0], strerror(errno));
}
