/* SPDX-License-Identifier: MIT */
/*
 * core/bandwidth/traffic.h - a VM's own traffic: what it was, and what it is going to be.
 *
 * S2 asks for the mean of the last k samples and for a time-series forecast, and names none. This
 * is Holt's: a level and a trend, each smoothed exponentially (Holt 1957; in Hyndman and
 * Athanasopoulos, Forecasting, 8.2), with the trend damped so that a burst is not prolonged.
 */
#ifndef GW_CORE_BANDWIDTH_TRAFFIC_H
#define GW_CORE_BANDWIDTH_TRAFFIC_H

#include <stdint.h>

#define GW_TRAFFIC_SAMPLES 8 /* k */

/* All zeros: nothing was seen yet. */
struct gw_traffic {
	uint64_t samples[GW_TRAFFIC_SAMPLES]; /* a ring, bytes a second */
	uint64_t count;                       /* that there have been */
	double level, trend;                  /* of Holt's forecast */
};

void gw_traffic_add(struct gw_traffic *traffic, uint64_t bytes_per_s);
/* Of the last GW_TRAFFIC_SAMPLES, or as many as there are; 0 before the first. */
uint64_t gw_traffic_mean(const struct gw_traffic *traffic);
/* The next sample: Napp. Never negative. */
uint64_t gw_traffic_next(const struct gw_traffic *traffic);

#endif
