/* SPDX-License-Identifier: MIT */
#include "core/predict/grey.h"

#include <errno.h>
#include <float.h>
#include <stdint.h>
#include <string.h>

#include "core/predict/series.h"

/* lapacke.h, whose other declarations are not for core. */
#define COLUMN_MAJOR 102
int32_t LAPACKE_dgelsy_work(int layout, int32_t m, int32_t n, int32_t nrhs, double *a, int32_t lda,
                            double *b, int32_t ldb, int32_t *jpvt, double rcond, int32_t *rank,
                            double *work, int32_t lwork);

#define A_LIMIT     2    /* |a| beyond which a grey model says nothing (Deng; Liu & Lin, 2006) */
#define A_TINY      1e-9 /* U/a is lost in rounding */
#define RANK_LIMIT  1e-10
#define TAIL_MIN    5 /* S - k0 >= 4 */
#define LAPACK_WORK (2 * GW_GREY_SERIES_MAX + 64 * (GW_GREY_SERIES_MAX + 1))
#define DISTINGUISH 0.5

struct gw_grey_work {
	double sum[GW_GREY_SERIES_MAX]; /* of each series so far */
	double lapack[LAPACK_WORK];
	double *b; /* columns of `room` each */
	double *y, *tail;
	size_t room;
	double rows[];
};

_Static_assert(sizeof(struct gw_grey_work) + (GW_GREY_SERIES_MAX + 2) * sizeof(double) <=
                       GW_GREY_WORK_BYTES(1),
               "fits");

static void lay_out(struct gw_grey_work *work, size_t rows)
{
	work->room = rows;
	work->b = work->rows;
	work->y = work->b + GW_GREY_SERIES_MAX * rows;
	work->tail = work->y + rows;
}

static double magnitude(double x)
{
	return x < 0 ? -x : x;
}

static bool is_finite(double x)
{
	return x >= -DBL_MAX && x <= DBL_MAX;
}

/* Newton's; exact enough for a norm. */
static double square_root(double x)
{
	double root = x > 1 ? x : 1;

	for (int i = 0; i < 600 && x > 0; i++) {
		double next = (root + x / root) / 2;

		if (next >= root)
			break;
		root = next;
	}
	return x > 0 ? root : 0;
}

/* Without libm, whose last digit differs from machine to machine. */
static double exponential(double x)
{
	double sum = 1, term = 1;
	int halvings = 0;

	for (; magnitude(x) > 0.25 && halvings < 40; halvings++)
		x /= 2;
	for (int i = 1; i < 20; i++) {
		term *= x / i;
		sum += term;
	}
	for (; halvings; halvings--)
		sum *= sum;
	return sum;
}

static double clamp(double x, double limit)
{
	return !(x > 0) ? 0 : x > limit ? limit : x;
}

/*
 * Least squares of `rows` equations in work->b and work->y; false if no finite solution comes out.
 */
static bool solve(struct gw_grey_work *work, size_t rows, unsigned unknowns, double *solution)
{
	double scale[GW_GREY_SERIES_MAX];
	int32_t pivot[GW_GREY_SERIES_MAX] = {0}, rank;

	for (unsigned c = 0; c < unknowns; c++) {
		double *column = work->b + c * work->room, norm = 0;

		for (size_t k = 0; k < rows; k++)
			norm += column[k] * column[k];
		scale[c] = norm > 0 ? 1 / square_root(norm) : 1;
		for (size_t k = 0; k < rows; k++)
			column[k] *= scale[c];
	}
	if (LAPACKE_dgelsy_work(COLUMN_MAJOR, (int32_t)rows, (int32_t)unknowns, 1, work->b,
	                        (int32_t)work->room, work->y, (int32_t)work->room, pivot,
	                        RANK_LIMIT, &rank, work->lapack, LAPACK_WORK))
		return false;
	for (unsigned c = 0; c < unknowns; c++) {
		solution[c] = work->y[c] * scale[c];
		if (!is_finite(solution[c]))
			return false;
	}
	return true;
}

/* --- GM(1,1) of the residuals' tail -------------------------------------------------------- */

struct tail_model {
	double a, u, first;
};

static bool fit_tail(struct gw_grey_work *work, size_t count, struct tail_model *model)
{
	double sum = work->tail[0], solution[2];

	for (size_t k = 1; k < count; k++) {
		work->b[k - 1] = -(sum + work->tail[k] / 2);
		work->b[work->room + k - 1] = 1;
		work->y[k - 1] = work->tail[k];
		sum += work->tail[k];
	}
	if (!solve(work, count - 1, 2, solution) || magnitude(solution[0]) >= A_LIMIT)
		return false;
	*model = (struct tail_model){solution[0], solution[1], work->tail[0]};
	return true;
}

/* The k-th of the tail, from 0. */
static double tail_at(const struct tail_model *m, size_t k)
{
	if (!k)
		return m->first;
	if (magnitude(m->a) < A_TINY)
		return m->u;
	return (1 - exponential(m->a)) * (m->first - m->u / m->a) * exponential(-m->a * (double)k);
}

static int sign_of(double x)
{
	return x < 0 ? -1 : x > 0;
}

/* Where the tail of one sign begins, from 0 for the first row; `rows` if it is too short. */
static size_t tail_from(const struct gw_grey_input *in, const struct gw_grey_fit *fit)
{
	size_t from = in->rows - 1;
	int sign = sign_of(in->x[from * in->series] - fit->fitted[from]);

	while (sign && from > 1 &&
	       sign_of(in->x[(from - 1) * in->series] - fit->fitted[from - 1]) == sign)
		from--;
	return sign && in->rows - from >= TAIL_MIN ? from : in->rows;
}

static void correct(const struct gw_grey_input *in, struct gw_grey_work *work,
                    struct gw_grey_fit *fit)
{
	size_t from = tail_from(in, fit);
	struct tail_model model;
	int sign;

	if (from == in->rows)
		return;
	for (size_t k = from; k < in->rows; k++)
		work->tail[k - from] = magnitude(in->x[k * in->series] - fit->fitted[k]);
	sign = sign_of(in->x[from * in->series] - fit->fitted[from]);
	if (!fit_tail(work, in->rows - from, &model))
		return;
	for (size_t k = from; k < in->rows; k++)
		fit->fitted[k] += sign * tail_at(&model, k - from);
	fit->forecast += sign * tail_at(&model, in->rows - from);
	fit->residual_from = from + 1;
}

/* --- GM(1,N) ------------------------------------------------------------------------------- */

static void add_row(double *sum, const double *row, unsigned series)
{
	for (unsigned i = 0; i < series; i++)
		sum[i] += row[i];
}

/* NULL, or why there are none. */
static const char *fit_parameters(const struct gw_grey_input *in, struct gw_grey_work *work,
                                  struct gw_grey_fit *fit)
{
	double solution[GW_GREY_SERIES_MAX] = {0};

	memset(work->sum, 0, sizeof(work->sum));
	add_row(work->sum, in->x, in->series);
	for (size_t k = 1; k < in->rows; k++) {
		const double *row = in->x + k * in->series;

		add_row(work->sum, row, in->series);
		work->b[k - 1] = -(work->sum[0] - row[0] / 2);
		for (unsigned i = 1; i < in->series; i++)
			work->b[i * work->room + k - 1] = work->sum[i];
		work->y[k - 1] = row[0];
	}
	if (!solve(work, in->rows - 1, in->series, solution))
		return "the fit has no finite solution";
	if (magnitude(solution[0]) >= A_LIMIT)
		return "|a| is 2 or more";
	fit->a = solution[0];
	memcpy(fit->b, solution + 1, (in->series - 1) * sizeof(double));
	return NULL;
}

static double driven(const struct gw_grey_fit *fit, const double *sum, unsigned series)
{
	double u = 0;

	for (unsigned i = 1; i < series; i++)
		u += fit->b[i - 1] * sum[i];
	return u;
}

/* x1 of row k, from 0; `sum` holds the drivers up to k, and x1 up to k - 1. */
static double respond(const struct gw_grey_input *in, const struct gw_grey_fit *fit,
                      const double *sum, size_t k, double *accumulated)
{
	double u = driven(fit, sum, in->series), before = *accumulated;

	if (in->form == GW_GREY_DIFFERENCE || magnitude(fit->a) < A_TINY)
		return (u - fit->a * sum[0]) / (1 + fit->a / 2);
	u /= fit->a;
	*accumulated = (in->x[0] - u) * exponential(-fit->a * (double)k) + u;
	return *accumulated - before;
}

static void simulate(const struct gw_grey_input *in, struct gw_grey_work *work,
                     struct gw_grey_fit *fit)
{
	double accumulated = in->x[0];

	memset(work->sum, 0, sizeof(work->sum));
	add_row(work->sum, in->x, in->series);
	fit->fitted[0] = in->x[0];
	for (size_t k = 1; k <= in->rows; k++) {
		const double *row = k < in->rows ? in->x + k * in->series + 1 : in->drivers;
		double value;

		add_row(work->sum + 1, row, in->series - 1);
		value = respond(in, fit, work->sum, k, &accumulated);
		if (k == in->rows)
			fit->forecast = value;
		else
			fit->fitted[k] = value;
		if (k < in->rows)
			work->sum[0] += in->x[k * in->series];
	}
}

static void fall_back(const struct gw_grey_input *in, struct gw_grey_work *work,
                      struct gw_grey_fit *fit, const char *why)
{
	for (size_t k = 0; k < in->rows; k++)
		work->tail[k] = in->x[k * in->series];
	memset(fit->b, 0, sizeof(fit->b));
	fit->a = 0;
	fit->fallback = why;
	fit->residual_from = 0;
	for (size_t k = 0; k < in->rows; k++)
		fit->fitted[k] = k ? gw_series_ewma(work->tail, k, GW_EWMA_WEIGHT) : work->tail[0];
	fit->forecast = gw_series_ewma(work->tail, in->rows, GW_EWMA_WEIGHT);
}

static bool is_constant(const struct gw_grey_input *in)
{
	for (size_t k = 1; k < in->rows; k++)
		if (in->x[k * in->series] < in->x[0] || in->x[k * in->series] > in->x[0])
			return false;
	return true;
}

static bool is_sound(const struct gw_grey_input *in)
{
	if (in->series < 2 || in->series > GW_GREY_SERIES_MAX || in->rows > GW_GREY_ROWS_MAX ||
	    !(in->limit >= 0))
		return false;
	for (size_t i = 0; i < in->rows * in->series; i++)
		if (!is_finite(in->x[i]))
			return false;
	for (unsigned i = 0; i + 1 < in->series; i++)
		if (!is_finite(in->drivers[i]))
			return false;
	return true;
}

static bool is_finite_fit(const struct gw_grey_input *in, const struct gw_grey_fit *fit)
{
	bool finite = is_finite(fit->forecast);

	for (size_t k = 0; k < in->rows; k++)
		finite = finite && is_finite(fit->fitted[k]);
	return finite;
}

static const char *fit_model(const struct gw_grey_input *in, struct gw_grey_work *work,
                             struct gw_grey_fit *fit)
{
	const char *why;

	if (in->rows < in->series + 1)
		return "there are too few rounds";
	if (is_constant(in))
		return "the series is constant";
	why = fit_parameters(in, work, fit);
	if (why)
		return why;
	simulate(in, work, fit);
	if (in->residual)
		correct(in, work, fit);
	return is_finite_fit(in, fit) ? NULL : "the fit leaves the numbers' range";
}

int gw_grey(const struct gw_grey_input *in, struct gw_grey_work *work, struct gw_grey_fit *fit)
{
	const char *why;

	if (!is_sound(in))
		return -EINVAL;
	lay_out(work, in->rows);
	fit->residual_from = 0;
	fit->fallback = NULL;
	why = fit_model(in, work, fit);
	if (why)
		fall_back(in, work, fit, why);
	for (size_t k = 0; k < in->rows; k++)
		fit->fitted[k] = clamp(fit->fitted[k], in->limit);
	fit->forecast = clamp(fit->forecast, in->limit);
	return 0;
}

/* --- relational grade ---------------------------------------------------------------------- */

static double mean_of(const struct gw_grey_input *in, unsigned column)
{
	double sum = 0;

	for (size_t k = 0; k < in->rows; k++)
		sum += in->x[k * in->series + column];
	return in->rows ? sum / (double)in->rows : 0;
}

static double distance(const struct gw_grey_input *in, size_t k, unsigned column, double mean)
{
	double own = mean_of(in, 0);

	return magnitude((magnitude(own) > 0 ? in->x[k * in->series] / own : 0) -
	                 (magnitude(mean) > 0 ? in->x[k * in->series + column] / mean : 0));
}

double gw_grey_grade(const struct gw_grey_input *in, unsigned driver)
{
	double least = DBL_MAX, most = 0, sum = 0;

	for (unsigned i = 1; i < in->series; i++) {
		double mean = mean_of(in, i);

		for (size_t k = 0; k < in->rows; k++) {
			double d = distance(in, k, i, mean);

			least = d < least ? d : least;
			most = d > most ? d : most;
		}
	}
	if (!in->rows || !(most > 0))
		return 1;
	for (size_t k = 0; k < in->rows; k++)
		sum += (least + DISTINGUISH * most) /
		       (distance(in, k, driver, mean_of(in, driver)) + DISTINGUISH * most);
	return sum / (double)in->rows;
}
