/* SPDX-License-Identifier: MIT */
#include "core/predict/exponential.h"

#define LN_2 0.69314718055994530942

double gw_exponential(double x)
{
	double sum = 1, term = 1;
	int halvings = 0;

	for (; (x < 0 ? -x : x) > 0.25 && halvings < 40; halvings++)
		x /= 2;
	for (int i = 1; i < 20; i++) {
		term *= x / i;
		sum += term;
	}
	for (; halvings; halvings--)
		sum *= sum;
	return sum;
}

/* ln x = n ln 2 - 2 artanh((1 - y) / (1 + y)) with x = 2^n y and y from 1/2 to 1. */
double gw_logarithm(double x)
{
	double sum = 0, square, term;
	int n = 0;

	for (; x < 0.5 && n > -1100; n--)
		x *= 2;
	term = (1 - x) / (1 + x);
	square = term * term;
	for (int i = 1; i < 40; i += 2, term *= square)
		sum += term / i;
	return n * LN_2 - 2 * sum;
}
