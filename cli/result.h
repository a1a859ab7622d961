/* SPDX-License-Identifier: MIT */
/*
 * cli/result.h - what a migration cost: as the result file (godwit.result/1), and for a person.
 */
#ifndef GW_CLI_RESULT_H
#define GW_CLI_RESULT_H

#include <jansson.h>
#include <stdio.h>

#include "live/host/migrate.h"

/* `settings`: an object, borrowed. Fields that do not apply are left out. NULL: no memory. */
json_t *gw_result_json(const struct gw_migrate_result *result, json_t *settings);
void gw_result_print(const struct gw_migrate_result *result, FILE *out);

#endif
