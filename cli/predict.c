/* SPDX-License-Identifier: MIT */
/*
 * cli/predict.c - `godwit predict`: one of the papers' predictors, on given data.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/values.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/predict.h"
#include "cli/verb.h"
#include "core/predict/gilbert_elliott.h"
#include "core/predict/grey.h"
#include "core/predict/markov.h"
#include "core/predict/predictor.h"
#include "core/predict/write_set.h"

#define STEPS_MAX 10000

/* What was asked for, whatever the predictor; each takes what is its own. */
struct asked {
	const char *bits, *b, *g, *e1, *e2;
	uint64_t steps, from;
	const char *windows, *dirty;
	bool plain, has_from;
	const char *input, *form, *residual;
	const char *pt, *rt;
	struct gw_pages_asked pages;
	const char *json;
};

/* --- S1 ------------------------------------------------------------------------------------ */

static int read_bits(const char *bits, struct gw_transitions *transitions, struct gw_error *error)
{
	*transitions = (struct gw_transitions){0};
	if (!bits || !*bits)
		return gw_fail(error, EINVAL, "predict needs --bits, such as 0110");
	for (; *bits; bits++) {
		if (*bits != '0' && *bits != '1')
			return gw_fail(error, EINVAL, "--bits holds '%c'; only 0 and 1 are bits",
			               *bits);
		gw_transitions_add(transitions, *bits == '1');
	}
	return 0;
}

static int markov(const struct asked *asked, json_t *result, struct gw_error *error)
{
	struct gw_transitions transitions;
	json_t *forecast = json_array();
	struct gw_markov m;
	int r = read_bits(asked->bits, &transitions, error);

	if (!r && (!asked->steps || asked->steps > STEPS_MAX))
		r = gw_fail(error, EINVAL, "--steps %llu is not between 1 and %d",
		            (unsigned long long)asked->steps, STEPS_MAX);
	if (!r) {
		m = gw_markov_of(&transitions);
		json_object_set_new(result, "p11", json_real(m.p11));
		json_object_set_new(result, "p01", json_real(m.p01));
		for (uint64_t k = 1; k <= asked->steps; k++)
			json_array_append_new(
			        forecast, json_real(gw_markov_forecast(&m, transitions.last, k)));
	}
	json_object_set_new(result, "forecast", forecast);
	return r;
}

static int read_probability(const char *option, const char *text, double *to,
                            struct gw_error *error)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0 && value <= 1))
		return gw_fail(error, EINVAL,
		               "--%s '%s' is no probability; it lies between 0 and 1", option,
		               text);
	*to = value;
	return 0;
}

static int read_gilbert(const struct asked *asked, struct gw_gilbert *m, struct gw_error *error)
{
	struct gw_transitions transitions;
	int r;

	if (!asked->b != !asked->g)
		return gw_fail(error, EINVAL, "--b and --g are given together");
	if (asked->b && asked->bits)
		return gw_fail(error, EINVAL, "give either --bits or --b and --g");
	if (asked->b) {
		*m = (struct gw_gilbert){.e1 = GW_GILBERT_E1, .e2 = GW_GILBERT_E2};
		r = read_probability("b", asked->b, &m->b, error);
		r = r ? r : read_probability("g", asked->g, &m->g, error);
		if (!r && m->b + m->g <= 0)
			r = gw_fail(error, EINVAL, "--b and --g are both 0: no state is ever left");
	} else {
		r = read_bits(asked->bits, &transitions, error);
		*m = gw_gilbert_of(&transitions);
	}
	if (!r && asked->e1)
		r = read_probability("e1", asked->e1, &m->e1, error);
	if (!r && asked->e2)
		r = read_probability("e2", asked->e2, &m->e2, error);
	return r;
}

static int gilbert_elliott(const struct asked *asked, json_t *result, struct gw_error *error)
{
	struct gw_gilbert m = {0};
	int r = read_gilbert(asked, &m, error);

	json_object_set_new(result, "b", json_real(m.b));
	json_object_set_new(result, "g", json_real(m.g));
	json_object_set_new(result, "p_good", json_real(1 - gw_gilbert_bad(&m)));
	json_object_set_new(result, "p_bad", json_real(gw_gilbert_bad(&m)));
	json_object_set_new(result, "expected", json_real(gw_gilbert_expected(&m)));
	return r;
}

/* --- S3 ------------------------------------------------------------------------------------ */

/* Line by line, twice: first how much there is, then the windows themselves. */
struct windows {
	uint64_t lines, entries, largest;
	struct gw_write_set *set;
	struct gw_run *runs;
};

static int take_window(struct windows *w, const struct gw_page_list *pages)
{
	if (!w->set) {
		w->lines++;
		w->entries += pages->count;
		if (pages->count && pages->at[pages->count - 1] > w->largest)
			w->largest = pages->at[pages->count - 1];
		return 0;
	}
	for (size_t i = 0; i < pages->count; i++)
		w->runs[i] = (struct gw_run){pages->at[i], 1};
	return gw_write_set_observe(w->set, w->runs, pages->count);
}

static int read_windows(const char *path, struct windows *w, struct gw_error *error)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	struct gw_page_list pages = {0};
	unsigned long number = 0;
	size_t room = 0;
	char where[128];
	int r = 0;

	if (!file)
		return gw_fail(error, errno, "cannot read %s: %s", path, strerror(errno));
	while (!r && getline(&line, &room, file) >= 0) {
		(void)snprintf(where, sizeof(where), "%.90s, line %lu", path, ++number);
		r = gw_page_list_read(line, where, &pages, error);
		if (!r && w->entries > GW_PAGE_LIST_MAX)
			r = gw_fail(error, E2BIG, "%s holds more than %u pages", path,
			            GW_PAGE_LIST_MAX);
		if (!r)
			r = take_window(w, &pages);
	}
	if (!r && ferror(file))
		r = gw_fail(error, EIO, "cannot read %s", path);
	free(pages.at);
	return r;
}

struct score {
	uint64_t page;
	double score;
};

/* Likeliest first; as likely: by number. */
static int compare_scores(const void *a, const void *b)
{
	const struct score *x = a, *y = b;

	if (x->score > y->score || x->score < y->score)
		return x->score > y->score ? -1 : 1;
	return (x->page > y->page) - (x->page < y->page);
}

static int list_scores(const struct gw_write_set *set, const char *key, uint64_t entries,
                       json_t *list, struct gw_error *error)
{
	_cleanup_free_ struct score *scores = calloc(entries + 1, sizeof(*scores));
	uint32_t count = 0;

	if (!scores)
		return gw_fail(error, ENOMEM, "no memory for so many pages");
	while (gw_write_set_known(set, count, &scores[count].page, &scores[count].score))
		count++;
	qsort(scores, count, sizeof(*scores), compare_scores);
	for (uint32_t i = 0; i < count && scores[i].score > 0; i++)
		json_array_append_new(list,
		                      json_pack("{s:I,s:f}", "page", (json_int_t)scores[i].page,
		                                key, scores[i].score));
	return 0;
}

static int make_set(struct windows *w, bool plain, void **memory, struct gw_error *error)
{
	struct gw_write_set_limits limits = {.windows = (uint32_t)w->lines + 2,
	                                     .entries = (uint32_t)w->entries + 1,
	                                     .pages = (uint32_t)w->entries + 1,
	                                     .plain = plain};

	*memory = malloc(gw_write_set_bytes(&limits));
	w->runs = malloc((w->entries + 1) * sizeof(*w->runs));
	if (!*memory || !w->runs)
		return gw_fail(error, ENOMEM, "no memory for so many pages");
	w->set = gw_write_set_init(*memory, &limits);
	return 0;
}

static int score_dirty(const struct gw_page_list *dirty, struct windows *w, struct gw_error *error)
{
	uint64_t last = dirty->count ? dirty->at[dirty->count - 1] : 0;
	_cleanup_free_ uint64_t *words = NULL;
	struct gw_set set;

	if (last > w->largest)
		last = w->largest; /* a page that no window holds has no followers */
	words = calloc(gw_set_words(last + 1), sizeof(*words));
	if (!words)
		return gw_fail(error, ENOMEM, "no memory for so many pages");
	gw_set_init(&set, words, last + 1);
	for (size_t i = 0; i < dirty->count; i++)
		if (dirty->at[i] <= last)
			gw_set_add(&set, dirty->at[i]);
	gw_write_set_score(w->set, &set);
	return 0;
}

static int forecast_writes(const struct asked *asked, const struct gw_page_list *dirty,
                           json_t *list, struct gw_error *error)
{
	_cleanup_free_ void *memory = NULL;
	struct windows w = {0};
	int r = read_windows(asked->windows, &w, error);

	if (!r)
		r = make_set(&w, asked->plain, &memory, error);
	if (!r)
		r = read_windows(asked->windows, &w, error);
	if (!r && gw_write_set_windows(w.set) != w.lines)
		r = gw_fail(error, EINVAL, "%s cannot be read twice; give a file", asked->windows);
	if (!r)
		r = score_dirty(dirty, &w, error);
	if (!r)
		r = list_scores(w.set, asked->has_from ? "probability" : "score", w.entries, list,
		                error);
	free(w.runs);
	return r;
}

static int write_set(const struct asked *asked, json_t *result, struct gw_error *error)
{
	struct gw_page_list dirty = {0};
	json_t *list = json_array();
	int r = 0;

	if (asked->has_from)
		json_object_set_new(result, "from", json_integer((json_int_t)asked->from));
	json_object_set_new(result, asked->has_from ? "transitions" : "pages", list);
	if (!asked->windows)
		r = gw_fail(error, EINVAL, "predict write-set needs --windows FILE");
	else if (!asked->dirty == !asked->has_from)
		r = gw_fail(error, EINVAL, "give either --dirty or --from");
	else if (asked->has_from)
		r = gw_page_list_add(&dirty, asked->from, error);
	else
		r = gw_page_list_read(asked->dirty, "--dirty", &dirty, error);
	if (!r)
		r = forecast_writes(asked, &dirty, list, error);
	free(dirty.at);
	return r;
}

/* --- S2 ------------------------------------------------------------------------------------ */

struct sheet {
	double x[(GW_GREY_ROWS_MAX + 1) * GW_GREY_SERIES_MAX];
	size_t rows;
	unsigned series;
	bool open; /* the last row's x1 is to be forecast */
};

/* x1,x2,...,xN */
static int read_head(char *line, const char *path, unsigned least, struct sheet *sheet,
                     struct gw_error *error)
{
	char *rest = line, *name, wanted[24];

	line[strcspn(line, "\r\n")] = '\0';
	while ((name = strsep(&rest, ","))) {
		(void)snprintf(wanted, sizeof(wanted), "x%u", sheet->series + 1);
		if (strcmp(name, wanted) != 0 || sheet->series == GW_GREY_SERIES_MAX)
			return gw_fail(
			        error, EINVAL,
			        "%s, line 1: '%s' stands where x1,...,xN is wanted, N at most "
			        "%d",
			        path, name, GW_GREY_SERIES_MAX);
		sheet->series++;
	}
	if (sheet->series < least)
		return gw_fail(error, EINVAL, "%s, line 1: x1 and at least one driver are needed",
		               path);
	return 0;
}

static int read_row(char *line, const char *path, struct sheet *sheet, struct gw_error *error)
{
	double *row = sheet->x + sheet->rows * sheet->series;
	size_t number = sheet->rows + 2;
	char *rest = line, *cell, *end;
	unsigned i = 0;

	if (sheet->open || sheet->rows > GW_GREY_ROWS_MAX)
		return gw_fail(error, EINVAL, "%s, line %zu: %s", path, number,
		               sheet->open ? "only the last row may leave x1 empty"
		                           : "there are too many rows");
	line[strcspn(line, "\r\n")] = '\0';
	for (; (cell = strsep(&rest, ",")); i++) {
		if (i == sheet->series)
			return gw_fail(error, EINVAL, "%s, line %zu has more than %u columns", path,
			               number, sheet->series);
		if (!i && !*cell) {
			sheet->open = true;
			continue;
		}
		row[i] = strtod(cell, &end);
		if (end == cell || *end || row[i] - row[i] < 0 || !(row[i] - row[i] <= 0))
			return gw_fail(error, EINVAL,
			               "%s, line %zu: x%u is '%s', which is no number", path,
			               number, i + 1, cell);
	}
	if (i != sheet->series)
		return gw_fail(error, EINVAL, "%s, line %zu has %u columns instead of %u", path,
		               number, i, sheet->series);
	sheet->rows++;
	return 0;
}

/* At least so many columns. */
static int read_sheet(const char *path, unsigned least, struct sheet *sheet, struct gw_error *error)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	int r = 0;

	if (!file)
		return gw_fail(error, errno, "cannot read %s: %s", path, strerror(errno));
	while (!r && getline(&line, &room, file) >= 0) {
		if (!sheet->series)
			r = read_head(line, path, least, sheet, error);
		else if (line[strspn(line, " \r\n")])
			r = read_row(line, path, sheet, error);
	}
	if (!r && !sheet->series)
		r = gw_fail(error, EINVAL, "%s holds nothing", path);
	return r;
}

static void tell_fit(const struct gw_grey_input *in, const struct gw_grey_fit *fit, bool open,
                     json_t *result)
{
	json_t *b = json_array(), *fitted = json_array(), *grades = json_array();

	for (unsigned i = 0; i + 1 < in->series; i++) {
		json_array_append_new(b, json_real(fit->b[i]));
		json_array_append_new(grades, json_real(gw_grey_grade(in, i + 1)));
	}
	for (size_t k = 0; k < in->rows; k++)
		json_array_append_new(fitted, json_real(fit->fitted[k]));
	json_object_set_new(result, "a", json_real(fit->a));
	json_object_set_new(result, "b", b);
	json_object_set_new(result, "fitted", fitted);
	if (open)
		json_object_set_new(result, "forecast", json_real(fit->forecast));
	json_object_set_new(result, "fallback", json_boolean(fit->fallback));
	if (fit->fallback)
		json_object_set_new(result, "reason", json_string(fit->fallback));
	json_object_set_new(result, "grades", grades);
	if (fit->residual_from)
		json_object_set_new(result, "residual_from",
		                    json_integer((json_int_t)fit->residual_from));
}

static int fit_sheet(const struct asked *asked, const struct sheet *sheet, json_t *result,
                     struct gw_error *error)
{
	_cleanup_free_ struct gw_grey_work *work = malloc(GW_GREY_WORK_BYTES(sheet->rows));
	_cleanup_free_ double *fitted = calloc(sheet->rows + 1, sizeof(*fitted));
	struct gw_grey_fit fit = {.fitted = fitted};
	size_t known = sheet->rows - sheet->open;
	const struct gw_grey_input in = {
	        .x = sheet->x,
	        .drivers =
	                sheet->x + (sheet->open || !known ? known : known - 1) * sheet->series + 1,
	        .rows = known,
	        .series = sheet->series,
	        .form = strcmp(asked->form, "whitening") == 0 ? GW_GREY_WHITENING
	                                                      : GW_GREY_DIFFERENCE,
	        .residual = strcmp(asked->residual, "on") == 0,
	        .limit = 1e300,
	};

	if (!work || !fitted)
		return gw_fail(error, ENOMEM, "no memory for the fit");
	if (gw_grey(&in, work, &fit))
		return gw_fail(error, EINVAL, "%s cannot be fitted: a number is not finite",
		               asked->input);
	tell_fit(&in, &fit, sheet->open, result);
	return 0;
}

static int grey(const struct asked *asked, json_t *result, struct gw_error *error)
{
	_cleanup_free_ struct sheet *sheet = calloc(1, sizeof(*sheet));
	int r;

	if (!sheet)
		return gw_fail(error, ENOMEM, "no memory for the table");
	if (!asked->input)
		return gw_fail(error, EINVAL, "predict grey needs --input FILE.csv");
	if (strcmp(asked->form, "whitening") != 0 && strcmp(asked->form, "difference") != 0)
		return gw_fail(error, EINVAL, "--form is whitening or difference, not '%s'",
		               asked->form);
	if (strcmp(asked->residual, "on") != 0 && strcmp(asked->residual, "off") != 0)
		return gw_fail(error, EINVAL, "--residual is on or off, not '%s'", asked->residual);
	r = read_sheet(asked->input, 2, sheet, error);
	return r ? r : fit_sheet(asked, sheet, result, error);
}

/* --- the plain ones ------------------------------------------------------------------------ */

static int forecast_bits(const struct gw_page_predictor *predictor, const struct asked *asked,
                         json_t *result, struct gw_error *error)
{
	struct gw_transitions transitions;
	uint64_t history = 0, length;
	int r = read_bits(asked->bits, &transitions, error);

	for (const char *bit = asked->bits; !r && *bit; bit++)
		history = history << 1 | (*bit == '1');
	length = transitions.samples < GW_HISTORY_ROUNDS ? transitions.samples : GW_HISTORY_ROUNDS;
	if (!r)
		json_object_set_new(result, "forecast",
		                    json_real(predictor->probability(history, (unsigned)length)));
	return r;
}

static int forecast_series(const struct gw_count_predictor *predictor, const struct asked *asked,
                           json_t *result, struct gw_error *error)
{
	_cleanup_free_ struct sheet *sheet = calloc(1, sizeof(*sheet));
	json_t *fitted = json_array();
	size_t known;
	int r;

	json_object_set_new(result, "fitted", fitted);
	if (!sheet)
		return gw_fail(error, ENOMEM, "no memory for the table");
	r = read_sheet(asked->input, 1, sheet, error);
	known = sheet->rows - sheet->open;
	if (!r && !known)
		r = gw_fail(error, EINVAL, "%s has no row with a known x1", asked->input);
	if (r)
		return r;
	for (size_t k = 0; k < known; k++)
		sheet->x[k] = sheet->x[k * sheet->series];
	for (size_t k = 0; k < known; k++)
		json_array_append_new(fitted, json_real(predictor->of_series(sheet->x, k ? k : 1)));
	json_object_set_new(result, "forecast", json_real(predictor->of_series(sheet->x, known)));
	return 0;
}

/* Some names are of both kinds; what is given says which is meant. */
static int plain(const char *name, const struct asked *asked, json_t *result,
                 struct gw_error *error)
{
	const struct gw_page_predictor *of_page = gw_page_predictor(name);
	const struct gw_count_predictor *of_series = gw_count_predictor(name);
	bool bits = of_page && of_page->probability, series = of_series && of_series->of_series;

	if (!bits && !series)
		return gw_fail(
		        error, EINVAL,
		        "there is no predictor '%s'; take markov, gilbert-elliott, "
		        "write-set, grey, dirty-only, rate, last, mean, weighted-mean, ewma, "
		        "or pages for all that forecast pages",
		        name);
	if (asked->input ? !series : !bits || !asked->bits)
		return gw_fail(error, EINVAL, "predict %s needs --%s", name,
		               bits && series ? "bits or --input"
		               : bits         ? "bits"
		                              : "input FILE.csv");
	return asked->input ? forecast_series(of_series, asked, result, error)
	                    : forecast_bits(of_page, asked, result, error);
}

static int pages(const struct asked *asked, json_t *result, struct gw_error *error)
{
	struct gw_pages_asked all = asked->pages;
	int r = 0;

	if (!all.file)
		return gw_fail(error, EINVAL,
		               "predict pages needs a file: a trace, or page numbers, a "
		               "line a round");
	if (!all.learn)
		return gw_fail(error, EINVAL, "--learn 0: there is nothing to forecast from");
	if (asked->pt)
		r = read_probability("pt", asked->pt, &all.pt, error);
	if (!r && asked->rt)
		r = read_probability("rt", asked->rt, &all.rt, error);
	return r ? r : gw_predict_pages(&all, result, error);
}

/* --- the verb ------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	int (*run)(const struct asked *asked, json_t *result, struct gw_error *error);
} predictors[] = {
        {"markov", markov},       {"gilbert-elliott", gilbert_elliott},
        {"write-set", write_set}, {"grey", grey},
        {"pages", pages},
};

static int predict(const char *name, const struct asked *asked, struct gw_error *error)
{
	int (*special)(const struct asked *, json_t *, struct gw_error *) = NULL;
	json_t *result;
	int r;

	for (size_t i = 0; i < sizeof(predictors) / sizeof(predictors[0]); i++) {
		if (!strcmp(name, predictors[i].name))
			special = predictors[i].run;
	}
	result = json_object();
	r = special ? special(asked, result, error) : plain(name, asked, result, error);
	if (!r)
		return gw_output_json(result, asked->json, error);
	json_decref(result);
	return r;
}

static int read_from(const char *text, struct asked *asked, struct gw_error *error)
{
	const char *problem;

	if (!text)
		return 0;
	asked->has_from = true;
	if (gw_parse_number(text, &asked->from, &problem) || asked->from >= GW_PAGE_NUMBER_MAX)
		return gw_fail(error, EINVAL, "--from '%s' is no page number", text);
	return 0;
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	struct asked asked = {
	        .steps = 1,
	        .form = "difference",
	        .residual = "on",
	        .pages = {.round_ns = 1000000000, .learn = 2, .pt = 0.5, .rt = 0.5},
	        .json = "-",
	};
	const char *from = NULL;
	const struct gw_cli_option options[] = {
	        {"bits", 0, GW_CLI_STRING, &asked.bits, "0110...",
	         "markov, gilbert-elliott: a page's history, oldest first"},
	        {"steps", 0, GW_CLI_NUMBER, &asked.steps, "K", "markov: rounds to forecast (1)"},
	        {"b", 0, GW_CLI_STRING, &asked.b, "B", "gilbert-elliott: P(G->B)"},
	        {"g", 0, GW_CLI_STRING, &asked.g, "G", "gilbert-elliott: P(B->G)"},
	        {"e1", 0, GW_CLI_STRING, &asked.e1, "P", "that a page is modified in G (0.1)"},
	        {"e2", 0, GW_CLI_STRING, &asked.e2, "P", "that a page is modified in B (0.9)"},
	        {"windows", 0, GW_CLI_STRING, &asked.windows, "FILE",
	         "write-set: one window a line, page numbers"},
	        {"dirty", 0, GW_CLI_STRING, &asked.dirty, "LIST",
	         "write-set: the pages that are dirty now"},
	        {"from", 0, GW_CLI_STRING, &from, "PAGE", "write-set: what follows this page"},
	        {"plain", 0, GW_CLI_FLAG, &asked.plain, NULL,
	         "write-set: count the next window's pages only"},
	        {"input", 0, GW_CLI_STRING, &asked.input, "FILE.csv",
	         "grey: x1,...,xN; the last x1 may be empty: it is forecast"},
	        {"form", 0, GW_CLI_STRING, &asked.form, "NAME",
	         "grey: difference or whitening (difference)"},
	        {"residual", 0, GW_CLI_STRING, &asked.residual, "on|off",
	         "grey: correct residuals of one sign (on)"},
	        {"round", 0, GW_CLI_DURATION, &asked.pages.round_ns, "DURATION",
	         "pages: how long a round of a trace is (1s)"},
	        {"learn", 0, GW_CLI_NUMBER, &asked.pages.learn, "N",
	         "pages: rounds before the first that is forecast (2)"},
	        {"pt", 0, GW_CLI_STRING, &asked.pt, "P", "pages: S1's threshold PT (0.5)"},
	        {"rt", 0, GW_CLI_STRING, &asked.rt, "P", "pages: S1's threshold RT (0.5)"},
	        {"table", 0, GW_CLI_FLAG, &asked.pages.table, NULL,
	         "pages: each page's forecast of the last round"},
	        {"json", 0, GW_CLI_STRING, &asked.json, "FILE",
	         "results; - is standard output (-)"},
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	enum gw_exit status;

	if (!gw_verb_options(verb, options, argc, argv, 1, 2, &operands, &status, error))
		return status;
	if (read_from(from, &asked, error))
		return GW_EXIT_USAGE;
	if (operands.count > 1 && strcmp(operands.items[0], "pages") != 0) {
		(void)gw_fail(error, EINVAL, "predict %s takes no file but by its options",
		              operands.items[0]);
		return GW_EXIT_USAGE;
	}
	asked.pages.file = operands.count > 1 ? operands.items[1] : NULL;
	return predict(operands.items[0], &asked, error) ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

const struct gw_verb gw_verb_predict = {
        .name = "predict",
        .usage = "markov|gilbert-elliott|write-set|grey|BASELINE [OPTION...], or pages FILE",
        .summary = "one of the papers' predictors, or all of pages, on given data",
        .run = run,
};
