/* SPDX-License-Identifier: MIT */
/*
 * cli/predict_pages.c - `godwit predict pages FILE`: the predictors of pages against what happened.
 *
 * Each round is forecast from those before it. Of every page that was written in one of these, how
 * far the probability was off (Brier's score: the mean of the squares; 0 is perfect, a quarter is
 * what "one half" gets). Of the pages that are dirty, what S1's decision would have done with them:
 *
 *                      written again     not written
 *     left out         saved             wrong: it adds to the stop
 *     sent             in vain           as it should be
 *
 * and, so that scores that are no probabilities can be compared too, how many of the likelier half
 * were written again (S3's decision).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/predict.h"
#include "core/predict/predictor.h"
#include "core/predict/transitions.h"
#include "sim/trace/trace.h"

#define ROUNDS_MAX 100000

struct rounds {
	struct gw_page_list *at; /* owned */
	size_t count, room;
	uint64_t entries, pages, universe; /* in all, different ones, 1 + the largest */
};

/* What a predictor was worth. */
struct tally {
	struct gw_pages pages;
	void *memory; /* owned */
	uint64_t forecasts, forecasts_dirty;
	double off, off_dirty; /* squares */
	uint64_t left_out, saved, wrong, in_vain, half, half_saved;
};

struct trial {
	const struct gw_pages_asked *asked;
	struct gw_set before, now;        /* the dirty pages, and those written in the next round */
	struct gw_ranked *ranked, *spare; /* owned */
	struct tally *tallies;            /* owned; as gw_page_predictors */
	size_t kinds;
};

/* --- rounds -------------------------------------------------------------------------------- */

static struct gw_page_list *add_round(struct rounds *rounds, struct gw_error *error)
{
	if (rounds->count == ROUNDS_MAX) {
		(void)gw_fail(error, E2BIG, "more than %d rounds", ROUNDS_MAX);
		return NULL;
	}
	if (rounds->count == rounds->room) {
		size_t room = 2 * rounds->room + 64;
		struct gw_page_list *more = realloc(rounds->at, room * sizeof(*more));

		if (!more) {
			(void)gw_fail(error, ENOMEM, "no memory for so many rounds");
			return NULL;
		}
		rounds->at = more;
		rounds->room = room;
	}
	rounds->at[rounds->count] = (struct gw_page_list){0};
	return &rounds->at[rounds->count++];
}

static int read_lines(FILE *file, const char *path, struct rounds *rounds, struct gw_error *error)
{
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	char where[128];
	int r = 0;

	while (!r && getline(&line, &room, file) >= 0) {
		struct gw_page_list *round = add_round(rounds, error);

		if (!round)
			return -ENOMEM;
		(void)snprintf(where, sizeof(where), "%.90s, line %zu", path, rounds->count);
		r = gw_page_list_read(line, where, round, error);
	}
	if (!r && ferror(file))
		r = gw_fail(error, EIO, "cannot read %s", path);
	return r;
}

static int take_set(const struct gw_set *written, struct rounds *rounds, struct gw_error *error)
{
	struct gw_page_list *round = add_round(rounds, error);
	uint64_t page;
	int r = round ? 0 : -ENOMEM;

	for (page = gw_set_next(written, 0); !r && page < written->pages;
	     page = gw_set_next(written, page + 1))
		r = gw_page_list_add(round, page, error);
	return r;
}

/* Windows are joined until they are as long as a round; what is left at the end is none. */
static int join_windows(const struct sim_trace *trace, uint64_t round_ns, struct rounds *rounds,
                        struct gw_error *error)
{
	uint64_t pages = sim_trace_head(trace)->ram_pages, ns = 0;
	_cleanup_free_ uint64_t *words = calloc(gw_set_words(pages), sizeof(*words));
	struct gw_set written;
	int r = 0;

	if (!words)
		return gw_fail(error, ENOMEM, "no memory for so many pages");
	gw_set_init(&written, words, pages);
	for (size_t i = 0; !r && i < sim_trace_windows(trace); i++) {
		const struct gw_window *w = sim_trace_window(trace, i);

		for (size_t run = 0; run < w->written_count; run++)
			gw_set_add_run(&written, w->written[run]);
		ns += w->length_ns;
		if (ns < round_ns)
			continue;
		r = take_set(&written, rounds, error);
		gw_set_clear(&written);
		ns = 0;
	}
	return r;
}

static int read_file(const struct gw_pages_asked *asked, struct rounds *rounds,
                     struct gw_error *error)
{
	_cleanup_fclose_ FILE *file = fopen(asked->file, "re");
	struct sim_trace *trace;
	char magic[8] = "";
	int r;

	if (!file)
		return gw_fail(error, errno, "cannot read %s: %s", asked->file, strerror(errno));
	if (fread(magic, 1, sizeof(magic), file) != sizeof(magic) || memcmp(magic, "GWTRACE", 7)) {
		rewind(file);
		return read_lines(file, asked->file, rounds, error);
	}
	r = sim_trace_open(&trace, asked->file, error);
	if (r)
		return r;
	r = join_windows(trace, asked->round_ns, rounds, error);
	sim_trace_free(trace);
	return r;
}

static int measure(struct rounds *rounds, const struct gw_pages_asked *asked,
                   struct gw_error *error)
{
	_cleanup_free_ uint64_t *words = NULL;
	struct gw_set all;

	if (rounds->count <= asked->learn)
		return gw_fail(error, EINVAL,
		               "%s has %zu rounds; %llu to learn from and one to forecast are "
		               "needed",
		               asked->file, rounds->count, (unsigned long long)asked->learn);
	for (size_t r = 0; r < rounds->count; r++) {
		const struct gw_page_list *list = &rounds->at[r];

		rounds->entries += list->count;
		if (list->count && list->at[list->count - 1] >= rounds->universe)
			rounds->universe = list->at[list->count - 1] + 1;
	}
	if (!rounds->entries)
		return gw_fail(error, EINVAL, "%s holds no page in any round", asked->file);
	words = calloc(gw_set_words(rounds->universe), sizeof(*words));
	if (!words || rounds->entries > GW_PAGE_LIST_MAX)
		return gw_fail(error, ENOMEM, "no memory for so many pages");
	gw_set_init(&all, words, rounds->universe);
	for (size_t r = 0; r < rounds->count; r++)
		for (size_t i = 0; i < rounds->at[r].count; i++)
			gw_set_add(&all, rounds->at[r].at[i]);
	rounds->pages = gw_set_count(&all);
	return 0;
}

static void free_rounds(struct rounds *rounds)
{
	for (size_t r = 0; r < rounds->count; r++)
		free(rounds->at[r].at);
	free(rounds->at);
}

/* --- forecasts ----------------------------------------------------------------------------- */

static void judge_page(const struct trial *trial, struct tally *t, uint64_t page, uint64_t bits)
{
	unsigned rounds = gw_history_rounds(t->pages.history);
	struct gw_transitions counted = gw_transitions_of(bits, rounds);
	double p = t->pages.kind->probability(bits, rounds);
	bool written = gw_set_has(&trial->now, page);
	double off = (p - written) * (p - written);

	t->forecasts++;
	t->off += off;
	if (!counted.last)
		return;
	t->forecasts_dirty++;
	t->off_dirty += off;
	if (p > trial->asked->pt && gw_modification_rate(&counted) > trial->asked->rt) {
		t->left_out++;
		t->saved += written;
		t->wrong += !written;
	} else {
		t->in_vain += written;
	}
}

static void judge_half(const struct trial *trial, struct tally *t)
{
	uint64_t half = gw_set_count(&trial->before) / 2;
	size_t count = gw_pages_score(&t->pages, &trial->before, trial->ranked);

	gw_rank(trial->ranked, trial->spare, count);
	t->half += half;
	for (size_t i = 0; i < count && i < half; i++)
		t->half_saved += gw_set_has(&trial->now, trial->ranked[i].page);
}

static void judge_round(const struct trial *trial)
{
	for (size_t k = 0; k < trial->kinds; k++) {
		struct tally *t = &trial->tallies[k];
		uint64_t page, bits;
		uint32_t cursor = 0;

		while (t->pages.history && gw_history_next(t->pages.history, &cursor, &page, &bits))
			judge_page(trial, t, page, bits);
		judge_half(trial, t);
	}
}

static json_t *tell(const struct tally *t)
{
	json_t *row = json_pack("{s:s}", "name", t->pages.kind->name);

	if (t->pages.history) {
		json_object_set_new(row, "brier", json_real(t->off / (double)t->forecasts));
		if (t->forecasts_dirty)
			json_object_set_new(row, "brier_dirty",
			                    json_real(t->off_dirty / (double)t->forecasts_dirty));
		json_object_set_new(row, "deferred", json_integer((json_int_t)t->left_out));
		json_object_set_new(row, "saved", json_integer((json_int_t)t->saved));
		json_object_set_new(row, "wrong", json_integer((json_int_t)t->wrong));
		json_object_set_new(row, "in_vain", json_integer((json_int_t)t->in_vain));
	}
	json_object_set_new(row, "half", json_integer((json_int_t)t->half));
	json_object_set_new(row, "half_saved", json_integer((json_int_t)t->half_saved));
	return row;
}

/* Of each page that was written before the last round: its history, its forecasts, what was. */
static json_t *tell_table(const struct trial *trial)
{
	const struct gw_history *history = trial->tallies[0].pages.history;
	unsigned rounds = gw_history_rounds(history);
	json_t *table = json_array();
	uint64_t page, bits;
	uint32_t cursor = 0;

	while (gw_history_next(history, &cursor, &page, &bits)) {
		char text[GW_HISTORY_ROUNDS + 1] = "";
		json_t *row;

		for (unsigned i = 0; i < rounds; i++)
			text[i] = bits >> (rounds - 1 - i) & 1 ? '1' : '0';
		row = json_pack("{s:I,s:s,s:b}", "page", (json_int_t)page, "history", text,
		                "written", (int)gw_set_has(&trial->now, page));
		for (size_t k = 0; k < trial->kinds; k++) {
			const struct gw_page_predictor *kind = trial->tallies[k].pages.kind;

			if (kind->probability)
				json_object_set_new(row, kind->name,
				                    json_real(kind->probability(bits, rounds)));
		}
		json_array_append_new(table, row);
	}
	return table;
}

static void fill(struct gw_set *set, const struct gw_page_list *list)
{
	gw_set_clear(set);
	for (size_t i = 0; i < list->count; i++)
		gw_set_add(set, list->at[i]);
}

static void play(const struct rounds *rounds, struct trial *trial, json_t *result)
{
	for (size_t r = 0; r < rounds->count; r++) {
		fill(&trial->now, &rounds->at[r]);
		if (r >= trial->asked->learn)
			judge_round(trial);
		if (r + 1 == rounds->count && trial->asked->table)
			json_object_set_new(result, "table", tell_table(trial));
		for (size_t k = 0; k < trial->kinds; k++)
			(void)gw_pages_observe(&trial->tallies[k].pages, &trial->now);
		gw_set_copy(&trial->before, &trial->now);
	}
}

static int make_tallies(const struct rounds *rounds, struct trial *trial, struct gw_error *error)
{
	const struct gw_write_set_limits limits = {.windows = (uint32_t)rounds->count + 1,
	                                           .entries = (uint32_t)rounds->entries + 1,
	                                           .pages = 2 * (uint32_t)rounds->pages};

	while (gw_page_predictors[trial->kinds])
		trial->kinds++;
	trial->tallies = calloc(trial->kinds, sizeof(*trial->tallies));
	trial->ranked = calloc(limits.pages, sizeof(*trial->ranked));
	trial->spare = calloc(limits.pages, sizeof(*trial->spare));
	if (!trial->tallies || !trial->ranked || !trial->spare)
		return gw_fail(error, ENOMEM, "no memory for so many pages");
	for (size_t k = 0; k < trial->kinds; k++) {
		struct tally *t = &trial->tallies[k];

		t->memory = malloc(gw_pages_bytes(gw_page_predictors[k], &limits));
		if (!t->memory)
			return gw_fail(error, ENOMEM, "no memory for so many pages");
		gw_pages_start(&t->pages, gw_page_predictors[k], t->memory, &limits);
	}
	return 0;
}

static int try_all(const struct rounds *rounds, struct trial *trial, json_t *result,
                   struct gw_error *error)
{
	size_t words = gw_set_words(rounds->universe);
	_cleanup_free_ uint64_t *memory = calloc(2 * words, sizeof(*memory));
	json_t *rows = json_array();
	int r;

	json_object_set_new(result, "predictors", rows);
	if (!memory)
		return gw_fail(error, ENOMEM, "no memory for so many pages");
	gw_set_init(&trial->before, memory, rounds->universe);
	gw_set_init(&trial->now, memory + words, rounds->universe);
	r = make_tallies(rounds, trial, error);
	if (!r) {
		play(rounds, trial, result);
		json_object_set_new(result, "forecasts",
		                    json_integer((json_int_t)trial->tallies[0].forecasts));
	}
	for (size_t k = 0; !r && k < trial->kinds; k++)
		json_array_append_new(rows, tell(&trial->tallies[k]));
	for (size_t k = 0; trial->tallies && k < trial->kinds; k++)
		free(trial->tallies[k].memory);
	free(trial->tallies);
	free(trial->ranked);
	free(trial->spare);
	return r;
}

int gw_predict_pages(const struct gw_pages_asked *asked, json_t *result, struct gw_error *error)
{
	struct trial trial = {.asked = asked};
	struct rounds rounds = {0};
	int r = read_file(asked, &rounds, error);

	if (!r)
		r = measure(&rounds, asked, error);
	json_object_set_new(result, "schema", json_string("godwit.predict-pages/1"));
	json_object_set_new(result, "rounds", json_integer((json_int_t)rounds.count));
	json_object_set_new(result, "pages", json_integer((json_int_t)rounds.pages));
	if (!r)
		r = try_all(&rounds, &trial, result, error);
	free_rounds(&rounds);
	return r;
}
