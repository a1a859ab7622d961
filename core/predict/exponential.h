/* SPDX-License-Identifier: MIT */
/*
 * core/predict/exponential.h - without libm, whose last digit differs from machine to machine.
 */
#ifndef GW_CORE_PREDICT_EXPONENTIAL_H
#define GW_CORE_PREDICT_EXPONENTIAL_H

double gw_exponential(double x);
/* Of 0 < x <= 1. */
double gw_logarithm(double x);

#endif
