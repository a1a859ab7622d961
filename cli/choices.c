/* SPDX-License-Identifier: MIT */
#include "cli/choices.h"

#include "cli/options.h"
#include "core/order/order.h"
#include "core/policy/policy.h"
#include "core/predict/predictor.h"

#define INDENT 24

static void print_row(FILE *out, const char *name, const char *summary, const char *settings)
{
	(void)fprintf(out, "  %-*s", INDENT - 2, name);
	gw_cli_words(out, summary, INDENT, INDENT);
	if (!*settings)
		return;
	(void)fprintf(out, "%*s", INDENT, "");
	gw_cli_words(out, settings, INDENT, INDENT);
}

void gw_choices_print(FILE *out)
{
	(void)fprintf(out, "\npolicies, and their settings as they are if nothing is said:\n");
	for (size_t i = 0; gw_policies[i]; i++)
		print_row(out, gw_policies[i]->name, gw_policies[i]->summary,
		          gw_policies[i]->settings);
	(void)fprintf(out, "\norders of pages pushed after the switch, likewise:\n");
	for (size_t i = 0; gw_orders[i]; i++)
		print_row(out, gw_orders[i]->name, gw_orders[i]->summary, gw_orders[i]->settings);
	(void)fprintf(out,
	              "\nforecasts of a round, forecast=NAME with each policy that has rounds\n"
	              "(default %s):\n",
	              gw_count_predictors[0]->name);
	for (size_t i = 0; gw_count_predictors[i]; i++)
		print_row(out, gw_count_predictors[i]->name, gw_count_predictors[i]->summary, "");
}
