/* SPDX-License-Identifier: MIT */
#include "core/model/hybrid.h"

#include <errno.h>
#include <float.h>
#include <stdbool.h>
#include <stddef.h>

#define INFINITE __builtin_inf()
#define SQUARES  62

static bool is_finite(double x)
{
	return x >= -DBL_MAX && x <= DBL_MAX;
}

static const char *objection(enum gw_model_kind kind, const struct gw_model_input *in)
{
	if (!(in->volume > 0) || !is_finite(in->volume))
		return "the volume must be more than 0";
	if (!(in->bandwidth > 0) || !is_finite(in->bandwidth))
		return "the bandwidth must be more than 0";
	if (!(in->write_rate >= 0) || !is_finite(in->write_rate))
		return "the write rate must be 0 or more";
	if (!(in->read_rate >= 0) || !is_finite(in->read_rate))
		return "the read rate must be 0 or more";
	if (kind != GW_MODEL_POSTCOPY && (!(in->stop_limit > 0) || !is_finite(in->stop_limit)))
		return "the stop limit, what may be sent while the VM stands, must be more than 0";
	if (kind != GW_MODEL_PRECOPY && !(in->background_share > 0 && in->background_share <= 1))
		return "the background share must be more than 0 and at most 1";
	if (kind == GW_MODEL_POSTCOPY && (!(in->state >= 0) || !is_finite(in->state)))
		return "the state must be 0 or more";
	return NULL;
}

/*
 * The least n with ratio^n <= limit, and ratio^(n+1), for 0 < ratio < 1: by squares from the
 * largest down, so that a ratio just below 1 takes no longer than any other.
 */
static uint64_t steps_below(double ratio, double limit, double *next)
{
	double power[SQUARES], reached = 1;
	uint64_t n = 0;
	int i;

	power[0] = ratio;
	for (i = 1; i < SQUARES; i++)
		power[i] = power[i - 1] * power[i - 1];
	for (i = SQUARES - 1; i >= 0; i--) {
		if (reached * power[i] <= limit)
			continue;
		reached *= power[i];
		n += (uint64_t)1 << i;
	}
	if (reached > limit) {
		reached *= ratio;
		n++;
	}
	*next = reached * ratio;
	return n;
}

static void iterate(const struct gw_model_input *in, double volume, struct gw_model_times *times)
{
	double ratio = in->write_rate / in->bandwidth, next = ratio;

	times->iterative_s = volume / in->bandwidth;
	if (ratio >= 1)
		times->iterative_s = INFINITE;
	if (volume <= 0 || ratio <= 0 || ratio >= 1)
		return;
	if (volume > in->stop_limit)
		times->rounds = steps_below(ratio, in->stop_limit / volume, &next);
	times->iterative_s *= (1 - next) / (1 - ratio);
}

static void pull(const struct gw_model_input *in, double volume, struct gw_model_times *times)
{
	double mu = in->bandwidth, eta = in->background_share;
	double asked;

	times->pull_s = volume / (eta * mu + (1 - eta) * in->read_rate);
	asked = in->read_rate * times->pull_s;
	if (asked >= volume) {
		times->pull_s = volume / mu;
		asked = volume;
	}
	times->unavailable_s += asked / mu;
}

int gw_model(enum gw_model_kind kind, const struct gw_model_input *in, struct gw_model_times *times,
             const char **why)
{
	double touched = in->write_rate + in->read_rate;
	double first = kind == GW_MODEL_PRECOPY    ? in->volume
	               : kind == GW_MODEL_POSTCOPY ? 0
	               : touched > 0               ? in->volume * in->write_rate / touched
	                                           : 0;

	*why = objection(kind, in);
	if (*why)
		return -EINVAL;
	*times = (struct gw_model_times){0};
	if (kind != GW_MODEL_POSTCOPY)
		iterate(in, first, times);
	times->stopped_s = (kind == GW_MODEL_POSTCOPY ? in->state : in->stop_limit) / in->bandwidth;
	times->unavailable_s = times->stopped_s;
	if (kind != GW_MODEL_PRECOPY)
		pull(in, in->volume - first, times);
	times->total_s = times->iterative_s + times->stopped_s + times->pull_s;
	return 0;
}
