/* SPDX-License-Identifier: MIT */
#include "core/predict/series.h"

double gw_series_last(const double *values, size_t count)
{
	return count ? values[count - 1] : 0;
}

double gw_series_mean(const double *values, size_t count)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += values[i];
	return count ? sum / (double)count : 0;
}

double gw_series_weighted_mean(const double *values, size_t count)
{
	double sum = 0, weights = 0;

	for (size_t i = 0; i < count; i++) {
		sum += values[i] * (double)(i + 1);
		weights += (double)(i + 1);
	}
	return count ? sum / weights : 0;
}

double gw_series_ewma(const double *values, size_t count, double weight)
{
	double mean = count ? values[0] : 0;

	for (size_t i = 1; i < count; i++)
		mean += weight * (values[i] - mean);
	return mean;
}
