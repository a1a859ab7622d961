/* SPDX-License-Identifier: MIT */
/*
 * cli/model.c - `godwit model`: S5's closed forms, on given numbers.
 */
#include "core/model/hybrid.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/values.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/verb.h"

static const char *const kinds[] = {[GW_MODEL_PRECOPY] = "precopy",
                                    [GW_MODEL_POSTCOPY] = "postcopy",
                                    [GW_MODEL_HYBRID] = "hybrid"};

#define MB 1e6

enum unit { PLAIN, VOLUME, RATE };

/* A plain number as it stands, in MB or MB/s; with a unit, as everywhere else. */
static int read_value(const char *option, const char *text, enum unit unit, double *to,
                      struct gw_error *error)
{
	uint64_t exact = 0;
	const char *problem = "is not a number";
	char *end;
	double value = strtod(text, &end);
	int r = -EINVAL;

	if (end != text && !*end) {
		*to = value;
		return 0;
	}
	if (unit == VOLUME)
		r = gw_parse_size(text, &exact, &problem);
	else if (unit == RATE)
		r = gw_parse_rate(text, &exact, &problem);
	if (r)
		return gw_fail(error, -r, "--%s '%s' %s", option, text, problem);
	*to = (double)exact / MB;
	return 0;
}

static json_t *seconds(double value)
{
	return isinf(value) ? json_string("infinite") : json_real(value);
}

static json_t *as_json(const struct gw_model_times *t)
{
	json_t *result = json_object();

	if (isinf(t->iterative_s))
		json_object_set_new(result, "n", json_string("infinite"));
	else
		json_object_set_new(result, "n", json_integer((json_int_t)t->rounds));
	json_object_set_new(result, "t1_s", seconds(t->iterative_s));
	json_object_set_new(result, "t2_s", seconds(t->stopped_s));
	json_object_set_new(result, "t3_s", seconds(t->pull_s));
	json_object_set_new(result, "total_s", seconds(t->total_s));
	json_object_set_new(result, "unavailable_s", seconds(t->unavailable_s));
	return result;
}

static int show(enum gw_model_kind kind, const struct gw_model_input *input, const char *json,
                struct gw_error *error)
{
	struct gw_model_times times;
	const char *why;

	if (gw_model(kind, input, &times, &why))
		return gw_fail(error, EINVAL, "%s", why);
	return gw_output_json(as_json(&times), json, error);
}

static int find_kind(const char *name, enum gw_model_kind *kind, struct gw_error *error)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(name, kinds[i]) != 0)
			continue;
		*kind = (enum gw_model_kind)i;
		return 0;
	}
	return gw_fail(error, EINVAL, "there is no model '%s'; take precopy, postcopy or hybrid",
	               name);
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	const char *volume = NULL, *bandwidth = NULL, *writes = "0", *reads = "0", *limit = "0";
	const char *share = "1", *state = "0", *json = "-";
	const struct gw_cli_option options[] = {
	        {"volume", 0, GW_CLI_STRING, &volume, "MB", "V, all that is to be moved"},
	        {"bandwidth", 0, GW_CLI_STRING, &bandwidth, "MB/s", "mu, the link's rate"},
	        {"write-rate", 0, GW_CLI_STRING, &writes, "MB/s", "lambda_w (0)"},
	        {"read-rate", 0, GW_CLI_STRING, &reads, "MB/s", "lambda_r (0)"},
	        {"stop-limit", 0, GW_CLI_STRING, &limit, "MB",
	         "l, sent while the VM stands; not of post-copy"},
	        {"background-share", 0, GW_CLI_STRING, &share, "ETA",
	         "of the link, for what nobody waits for (1)"},
	        {"state", 0, GW_CLI_STRING, &state, "MB",
	         "post-copy: sent while the VM stands (0)"},
	        {"json", 0, GW_CLI_STRING, &json, "FILE", "results; - is standard output (-)"},
	        GW_CLI_END,
	};
	struct gw_model_input input = {0};
	struct gw_cli_operands operands;
	enum gw_model_kind kind = GW_MODEL_HYBRID;
	enum gw_exit status;

	if (!gw_verb_options(verb, options, argc, argv, 1, 1, &operands, &status, error))
		return status;
	if (find_kind(operands.items[0], &kind, error))
		return GW_EXIT_USAGE;
	if (!volume || !bandwidth) {
		(void)gw_fail(error, EINVAL, "model needs --volume and --bandwidth");
		return GW_EXIT_USAGE;
	}
	if (read_value("volume", volume, VOLUME, &input.volume, error) ||
	    read_value("bandwidth", bandwidth, RATE, &input.bandwidth, error) ||
	    read_value("write-rate", writes, RATE, &input.write_rate, error) ||
	    read_value("read-rate", reads, RATE, &input.read_rate, error) ||
	    read_value("stop-limit", limit, VOLUME, &input.stop_limit, error) ||
	    read_value("background-share", share, PLAIN, &input.background_share, error) ||
	    read_value("state", state, VOLUME, &input.state, error))
		return GW_EXIT_USAGE;
	return show(kind, &input, json, error) ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

const struct gw_verb gw_verb_model = {
        .name = "model",
        .usage = "precopy|postcopy|hybrid --volume MB --bandwidth MB/s [OPTION...]",
        .summary = "the analytic model (S5): time and unavailability, told beforehand",
        .run = run,
};
