/* SPDX-License-Identifier: MIT */
/*
 * core/predict/grey.h - S2's GM(1,N): how many pages will be dirty, from what the VM is doing.
 *
 * Row k holds x1, the dirty pages of round k, and its drivers x2 ... xN, which were seen in the
 * round before and so are known when round k is to be forecast (S2, section 4, steps 1 to 7):
 *
 *     xi(1)(k) = sum of xi(0)(1..k)           z(k) = (x1(1)(k) + x1(1)(k-1)) / 2
 *     x1(0)(k) + a z(k) = sum of bi xi(1)(k)  least squares over k = 2..S
 *
 *     whitening    x1(1)(k) = (x1(0)(1) - U/a) exp(-a (k-1)) + U/a,  U = sum of bi xi(1)(k)
 *     difference   x1(0)(k) = (U - a x1(1)(k-1)) / (1 + a/2)
 *
 * Residuals whose last five or more have one sign are fitted by GM(1,1) and added (step 7).
 *
 * Columns are scaled to unit norm and solved by LAPACK's dgelsy, which reveals the rank: B'B, as
 * the paper has it, squares a condition number that is large already. A fit with |a| >= 2, a
 * constant or all-zero x1 and fewer than N + 1 rows fall back to an exponentially weighted mean.
 */
#ifndef GW_CORE_PREDICT_GREY_H
#define GW_CORE_PREDICT_GREY_H

#include <stdbool.h>
#include <stddef.h>

#define GW_GREY_SERIES_MAX 8
#define GW_GREY_ROWS_MAX   512 /* beyond, the oldest say nothing of what comes next */

enum gw_grey_form { GW_GREY_DIFFERENCE, GW_GREY_WHITENING };

struct gw_grey_input {
	const double *x;       /* rows * series values, row by row; borrowed */
	const double *drivers; /* x2 ... xN of the row that is to be forecast; borrowed */
	size_t rows;           /* S: those with a known x1; at most GW_GREY_ROWS_MAX */
	unsigned series;       /* N, from 2 */
	enum gw_grey_form form;
	bool residual;
	double limit; /* pages of the VM: a forecast lies in [0, limit] */
};

struct gw_grey_fit {
	double a, b[GW_GREY_SERIES_MAX - 1];
	double *fitted; /* `rows` values; the caller's */
	double forecast;
	const char *fallback; /* why it is the weighted mean instead; NULL: it is not */
	size_t residual_from; /* k0, from 1; 0: no correction */
};

/* What a fit of so many rows needs besides: 80 bytes a row and 5 KiB; the caller's. */
struct gw_grey_work;
#define GW_GREY_WORK_BYTES(rows) (4864 + 80 * (size_t)(rows))

/* `work` is for as many rows as `input` has. 0; -EINVAL: a value is not finite, or a count is out
 * of its range. */
int gw_grey(const struct gw_grey_input *input, struct gw_grey_work *work, struct gw_grey_fit *fit);

/*
 * Deng's grey relational grade of a driver (a column, from 1 for x2) with x1, both divided by their
 * means, with the distinguishing coefficient 0.5: 1 for the same course.
 */
double gw_grey_grade(const struct gw_grey_input *input, unsigned driver);

#endif
