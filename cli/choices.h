/* SPDX-License-Identifier: MIT */
/*
 * cli/choices.h - the policies, orders and forecasts that there are, for a verb's --help.
 */
#ifndef GW_CLI_CHOICES_H
#define GW_CLI_CHOICES_H

#include <stdio.h>

void gw_choices_print(FILE *out);

#endif
