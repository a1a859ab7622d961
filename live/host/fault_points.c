/* SPDX-License-Identifier: MIT */
#include "live/host/fault_points.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void gw_fault_point(enum gw_fault_when when, const char *record)
{
	const char *word = when == GW_FAULT_BEFORE ? "before-" : "after-";
	const char *named = getenv("GODWIT_FAULT");

	if (named && !strncmp(named, word, strlen(word)) && !strcmp(named + strlen(word), record))
		(void)raise(SIGSTOP);
}
