/* SPDX-License-Identifier: MIT */
/* core/predict/kinds.h - the predictors, for the tables. */
#ifndef GW_CORE_PREDICT_KINDS_H
#define GW_CORE_PREDICT_KINDS_H

#include "core/predict/predictor.h"

extern const struct gw_page_predictor gw_predict_markov, gw_predict_dirty_only,
        gw_predict_gilbert_elliott, gw_predict_rate, gw_predict_page_last, gw_predict_page_ewma,
        gw_predict_write_set;

extern const struct gw_count_predictor gw_predict_footprint, gw_predict_last, gw_predict_mean,
        gw_predict_weighted_mean, gw_predict_ewma, gw_predict_grey, gw_predict_grey_plain,
        gw_predict_grey_whitening, gw_predict_grey_whitening_plain;

#endif
