/* SPDX-License-Identifier: MIT */
#include "core/predict/series.h"

#include "core/predict/kinds.h"

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

static double ewma(const double *values, size_t count)
{
	return gw_series_ewma(values, count, GW_EWMA_WEIGHT);
}

const struct gw_count_predictor gw_predict_last = {
        .name = "last",
        .summary = "as many as after the last round",
        .of_series = gw_series_last,
};

const struct gw_count_predictor gw_predict_mean = {
        .name = "mean",
        .summary = "the mean of all rounds so far",
        .of_series = gw_series_mean,
};

const struct gw_count_predictor gw_predict_weighted_mean = {
        .name = "weighted-mean",
        .summary = "the k-th round counts k times",
        .of_series = gw_series_weighted_mean,
};

const struct gw_count_predictor gw_predict_ewma = {
        .name = "ewma",
        .summary = "each round counts half as much as the next one",
        .of_series = ewma,
};
