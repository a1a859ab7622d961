/* SPDX-License-Identifier: MIT */
#include "core/bandwidth/traffic.h"

#define LEVEL 0.5 /* weight of the newest sample */
#define TREND 0.2
#define DAMP  0.8

void gw_traffic_add(struct gw_traffic *traffic, uint64_t bytes_per_s)
{
	double sample = (double)bytes_per_s, before = traffic->level;

	traffic->samples[traffic->count % GW_TRAFFIC_SAMPLES] = bytes_per_s;
	if (!traffic->count++) {
		traffic->level = sample;
		return;
	}
	traffic->level = LEVEL * sample + (1 - LEVEL) * (before + DAMP * traffic->trend);
	traffic->trend = TREND * (traffic->level - before) + (1 - TREND) * DAMP * traffic->trend;
}

uint64_t gw_traffic_mean(const struct gw_traffic *traffic)
{
	uint64_t n = traffic->count < GW_TRAFFIC_SAMPLES ? traffic->count : GW_TRAFFIC_SAMPLES;
	double sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum += (double)traffic->samples[i];
	return n ? (uint64_t)(sum / (double)n) : 0;
}

uint64_t gw_traffic_next(const struct gw_traffic *traffic)
{
	double next = traffic->level + DAMP * traffic->trend;

	return next > 0 ? (uint64_t)next : 0;
}
