/* SPDX-License-Identifier: MIT */
/*
 * cli/script.h - verbs that Python carries out: where their scripts lie, and how they are started.
 */
#ifndef GW_CLI_SCRIPT_H
#define GW_CLI_SCRIPT_H

#include "base/error.h"

struct gw_script {
	char godwit[4096]; /* this program */
	char path[4096];
};

/*
 * `name` lies in `source` if this program has not left the folder it was built in, else in
 * `installed`; NULL: it is not installed, which is an error there.
 */
int gw_script_find(struct gw_script *script, const char *name, const char *source,
                   const char *installed, struct gw_error *error);
/* words: python3, the script, its words, NULL. Only returns if it could not be started. */
int gw_script_start(const char *const *words, struct gw_error *error);

#endif
