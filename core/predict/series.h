/* SPDX-License-Identifier: MIT */
/*
 * core/predict/series.h - the plain forecasts of a series that the papers compare theirs with.
 *
 * Of `count` values, oldest first; 0 if there are none.
 */
#ifndef GW_CORE_PREDICT_SERIES_H
#define GW_CORE_PREDICT_SERIES_H

#include <stddef.h>

#define GW_EWMA_WEIGHT 0.5 /* of the newest value */

double gw_series_last(const double *values, size_t count);
double gw_series_mean(const double *values, size_t count);
/* The k-th value, from 1, has weight k (S2, section 5.2: the newer, the heavier). */
double gw_series_weighted_mean(const double *values, size_t count);
/* Exponentially weighted: the first value begins it. */
double gw_series_ewma(const double *values, size_t count, double weight);

#endif
