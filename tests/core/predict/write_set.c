/* SPDX-License-Identifier: MIT */
/* S3's forecast: the paper's example to the digit; the factored score is the matrix's. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/predict/write_set.h"

#define PAGES   24
#define WINDOWS 12

static struct gw_write_set *make(struct gw_write_set_limits limits)
{
	void *memory = malloc(gw_write_set_bytes(&limits));

	assert_non_null(memory);
	return gw_write_set_init(memory, &limits);
}

static void observe(struct gw_write_set *set, const char *members)
{
	struct gw_run runs[PAGES];
	size_t count = 0;

	for (uint64_t page = 0; page < strlen(members); page++)
		if (members[page] == '#')
			runs[count++] = (struct gw_run){page, 1};
	assert_int_equal(gw_write_set_observe(set, runs, count), 0);
}

static double score_of(const struct gw_write_set *set, uint64_t page)
{
	uint64_t known;
	double score;

	for (uint32_t i = 0; gw_write_set_known(set, i, &known, &score); i++)
		if (known == page)
			return score;
	return 0;
}

static double share(struct gw_write_set *set, uint64_t from, uint64_t to)
{
	uint64_t *words = calloc(gw_set_words(PAGES), sizeof(*words));
	struct gw_set dirty;
	double score;

	assert_non_null(words);
	gw_set_init(&dirty, words, PAGES);
	gw_set_add(&dirty, from);
	gw_write_set_score(set, &dirty);
	score = score_of(set, to);
	free(words);
	return score;
}

static void is(double value, double wanted)
{
	if (fabs(value - wanted) > 1e-12)
		fail_msg("%.15f is not %.15f", value, wanted);
}

/* W1 = {w1, w2}, W2 = {w2, w3, w4}, W3 = {w1, w4, w5}. */
static void show_paper(struct gw_write_set *set)
{
	observe(set, ".##...");
	observe(set, "..###.");
	observe(set, ".#..##");
}

static void gives_the_papers_figures(void **state)
{
	struct gw_write_set *set = make((struct gw_write_set_limits){8, 64, 16, false});

	(void)state;
	show_paper(set);
	is(share(set, 1, 2), 0.50);
	is(share(set, 1, 3), 0.25);
	is(share(set, 1, 4), 0.25);
	is(share(set, 1, 1), 0);
	is(share(set, 1, 5), 0);
	is(share(set, 5, 1), 0); /* its window has no next one */
	free(set);
}

static void plain_counting_gives_thirds(void **state)
{
	struct gw_write_set *set = make((struct gw_write_set_limits){8, 64, 16, true});

	(void)state;
	show_paper(set);
	for (uint64_t page = 2; page <= 4; page++)
		is(share(set, 1, page), 1.0 / 3);
	free(set);
}

/* What adds up and is taken off again leaves exactly nothing. */
static void no_rounding_is_left(void **state)
{
	(void)state;
	for (int times = 1; times < 20; times++) {
		struct gw_write_set *set = make((struct gw_write_set_limits){64, 640, 64, false});

		for (int i = 0; i < times; i++) {
			observe(set, "##....");
			observe(set, "..###.");
		}
		assert_false(share(set, 0, 0) > 0 || share(set, 0, 0) < 0);
		free(set);
	}
}

struct model {
	bool in[WINDOWS][PAGES];
	double follows[PAGES][PAGES];
};

static void count(struct model *m, int windows, bool plain)
{
	memset(m->follows, 0, sizeof(m->follows));
	for (int t = 0; t + 1 < windows; t++)
		for (int i = 0; i < PAGES; i++)
			for (int j = 0; m->in[t][i] && j < PAGES; j++)
				m->follows[i][j] +=
				        m->in[t + 1][j] + (!plain && i != j && m->in[t][j]);
	for (int i = 0; i < PAGES; i++) {
		double all = 0;

		for (int j = 0; j < PAGES; j++)
			all += m->follows[i][j];
		for (int j = 0; all > 0 && j < PAGES; j++)
			m->follows[i][j] /= all;
	}
}

static void is_the_matrix(bool plain)
{
	struct gw_write_set *set =
	        make((struct gw_write_set_limits){WINDOWS, WINDOWS * PAGES, 2 * PAGES, plain});
	uint64_t *words = calloc(gw_set_words(PAGES), sizeof(*words));
	struct gw_set dirty;
	struct model m = {0};
	int windows = 1 + rand() % WINDOWS;

	assert_non_null(words);
	gw_set_init(&dirty, words, PAGES);
	for (int t = 0; t < windows; t++) {
		char members[PAGES + 1] = "";

		for (int i = 0; i < PAGES; i++) {
			m.in[t][i] = rand() % 4 == 0;
			members[i] = m.in[t][i] ? '#' : '.';
		}
		observe(set, members);
	}
	count(&m, windows, plain);
	for (uint64_t i = 0; i < PAGES; i++)
		if (rand() % 2)
			gw_set_add(&dirty, i);
	gw_write_set_score(set, &dirty);
	for (uint64_t j = 0; j < PAGES; j++) {
		double wanted = 0;

		for (uint64_t i = 0; i < PAGES; i++)
			wanted += gw_set_has(&dirty, i) ? m.follows[i][j] : 0;
		if (fabs(score_of(set, j) - wanted) > 1e-9)
			fail_msg("page %d: %.12f, by the matrix %.12f", (int)j, score_of(set, j),
			         wanted);
	}
	free(words);
	free(set);
}

static void the_factored_score_is_the_matrix(void **state)
{
	(void)state;
	srand(11);
	for (int turn = 0; turn < 500; turn++)
		is_the_matrix(turn % 2);
}

enum { MANY = 20000, SEEN = 12 };

/* More slots than a tile has, in windows that bring old and new pages in any order. */
static void large_sets_are_scored_alike(void **state)
{
	struct gw_write_set *set =
	        make((struct gw_write_set_limits){16, SEEN * MANY, 2 * MANY, false});
	static bool in[SEEN][MANY];
	static double followers[MANY], wanted[MANY];
	static struct gw_run runs[MANY];
	uint64_t *words = calloc(gw_set_words(MANY), sizeof(*words)), page;
	size_t size[SEEN] = {0}, known = 0;
	struct gw_set dirty;
	double score;

	(void)state;
	srand(8);
	gw_set_init(&dirty, words, MANY);
	for (uint64_t i = 0; i < MANY; i++)
		if (rand() % 3 == 0)
			gw_set_add(&dirty, i);
	for (int t = 0; t < SEEN; t++) {
		for (uint64_t i = 0; i < MANY; i++) {
			in[t][i] = rand() % 5 == 0;
			if (in[t][i])
				runs[size[t]++] = (struct gw_run){i, 1};
		}
		assert_int_equal(gw_write_set_observe(set, runs, size[t]), 0);
	}
	for (int t = 0; t + 1 < SEEN; t++)
		for (int i = 0; i < MANY; i++)
			followers[i] += in[t][i] ? (double)(size[t] - 1 + size[t + 1]) : 0;
	for (int t = 0; t + 1 < SEEN; t++) {
		double weight = 0;

		for (uint64_t i = 0; i < MANY; i++)
			if (in[t][i] && gw_set_has(&dirty, i))
				weight += 1 / followers[i];
		for (uint64_t i = 0; i < MANY; i++)
			wanted[i] += weight * (in[t + 1][i] + in[t][i]) -
			             (in[t][i] && gw_set_has(&dirty, i) ? 1 / followers[i] : 0);
	}
	gw_write_set_score(set, &dirty);
	for (uint32_t i = 0; gw_write_set_known(set, i, &page, &score); i++, known++)
		assert_true(fabs(score - wanted[page]) < 1e-9);
	assert_in_range(known, MANY / 10 * 9, MANY);
	free(words);
	free(set);
}

/*
 * The score with its loops as plain as can be, in the order in which it adds: pages are numbered as
 * they come, tile after tile, of each window every other page into the same sum.
 */
struct plain {
	uint32_t slots, windows;
	uint32_t slot[MANY], page[MANY]; /* slot + 1 of a page; page of a slot */
	bool in[SEEN][MANY];             /* by slot */
	double followers[MANY], counted[MANY], score[MANY], weight[SEEN];
};

static void plain_observes(struct plain *p, const struct gw_run *runs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t *slot = &p->slot[runs[i].first];

		if (!*slot) {
			p->page[p->slots] = (uint32_t)runs[i].first;
			*slot = ++p->slots;
		}
		p->in[p->windows][*slot - 1] = true;
	}
	p->windows++;
}

static uint32_t size_of(const struct plain *p, uint32_t window)
{
	uint32_t size = 0;

	for (uint32_t s = 0; s < p->slots; s++)
		size += p->in[window][s];
	return size;
}

static void plain_weighs(struct plain *p, uint32_t t, uint32_t tile)
{
	double sums[2] = {0};
	unsigned number = 0;

	for (uint32_t s = tile; s < p->slots && s < tile + 8192; s++)
		if (p->in[t][s])
			sums[number++ % 2] += p->score[s];
	p->weight[t] += sums[0] + sums[1];
}

static void plain_scores(struct plain *p, const struct gw_set *dirty)
{
	double before = 0;

	for (uint32_t t = 0; t + 1 < p->windows; t++)
		for (uint32_t s = 0, all = size_of(p, t) + size_of(p, t + 1) - 1; s < p->slots;
		     s++) {
			p->followers[s] += p->in[t][s] ? all : 0;
			p->counted[s] += p->in[t][s];
		}
	for (uint32_t s = 0; s < p->slots; s++)
		p->score[s] = gw_set_has(dirty, p->page[s]) && p->followers[s] > 0
		                      ? 1 / p->followers[s]
		                      : 0;
	for (uint32_t tile = 0; tile < p->slots; tile += 8192)
		for (uint32_t t = 0; t + 1 < p->windows; t++)
			plain_weighs(p, t, tile);
	for (uint32_t s = 0; s < p->slots; s++)
		p->score[s] *= -p->counted[s];
	for (uint32_t t = 0; t < p->windows; t++) {
		double gets = before + p->weight[t];

		before = p->weight[t];
		for (uint32_t s = 0; s < p->slots; s++)
			if (p->in[t][s])
				p->score[s] += gets;
	}
	for (uint32_t s = 0; s < p->slots; s++)
		if (p->score[s] * (p->followers[s] + 1) < 1e-12 * p->counted[s])
			p->score[s] = 0;
}

/* Windows of none, a few and many pages, so that tiles end in the middle of a step, and at one. */
static void scores_are_the_plain_loops_to_the_bit(void **state)
{
	struct gw_write_set *set =
	        make((struct gw_write_set_limits){16, SEEN * MANY, 2 * MANY, false});
	static struct plain p;
	static struct gw_run runs[MANY];
	uint64_t *words = calloc(gw_set_words(MANY), sizeof(*words)), page;
	struct gw_set dirty;
	double score;

	(void)state;
	srand(21);
	gw_set_init(&dirty, words, MANY);
	for (uint64_t i = 0; i < MANY; i++)
		if (rand() % 3)
			gw_set_add(&dirty, i);
	for (int t = 0; t < SEEN; t++) {
		const int one_in[] = {2, 7, 1000, 40, 3, 20000};
		size_t count = 0;

		for (uint64_t i = 0; i < MANY; i++)
			if (rand() % one_in[t % 6] == 0)
				runs[count++] = (struct gw_run){i, 1};
		assert_int_equal(gw_write_set_observe(set, runs, count), 0);
		plain_observes(&p, runs, count);
	}
	plain_scores(&p, &dirty);
	gw_write_set_score(set, &dirty);
	for (uint32_t s = 0; s < p.slots; s++) {
		assert_true(gw_write_set_known(set, s, &page, &score));
		assert_int_equal(page, p.page[s]);
		assert_memory_equal(&score, &p.score[s], sizeof(score));
	}
	assert_false(gw_write_set_known(set, p.slots, &page, &score));
	free(words);
	free(set);
}

static void probabilities_sum_to_one(void **state)
{
	struct gw_write_set *set = make((struct gw_write_set_limits){8, 64, 16, false});

	(void)state;
	show_paper(set);
	for (uint64_t from = 1; from <= 4; from++) {
		double sum = 0;

		for (uint64_t to = 0; to < PAGES; to++)
			sum += share(set, from, to);
		is(sum, 1);
	}
	free(set);
}

/* Whatever went, what stays counts as if it had been all. */
static void old_windows_go_without_a_trace(void **state)
{
	struct gw_write_set *small = make((struct gw_write_set_limits){6, 60, 40, false});
	static char seen[300][PAGES + 1];
	bool went = false;

	(void)state;
	srand(5);
	for (int turn = 0; turn < 300; turn++) {
		struct gw_write_set *fresh = make((struct gw_write_set_limits){6, 600, 48, false});
		int kept;

		for (int i = 0; i < PAGES; i++)
			seen[turn][i] = rand() % 3 ? '.' : '#';
		observe(small, seen[turn]);
		kept = (int)gw_write_set_windows(small);
		went |= kept < turn + 1;
		for (int t = turn + 1 - kept; t <= turn; t++)
			observe(fresh, seen[t]);
		for (uint64_t page = 0; page < PAGES; page++)
			is(share(small, 3, page), share(fresh, 3, page));
		free(fresh);
	}
	assert_true(went);
	free(small);
}

static void a_window_that_is_too_large_is_left_out(void **state)
{
	struct gw_write_set *set = make((struct gw_write_set_limits){4, 10, 8, false});
	const struct gw_run large = {0, 9};

	(void)state;
	show_paper(set);
	assert_int_equal(gw_write_set_observe(set, &large, 1), -E2BIG);
	assert_int_equal(gw_write_set_windows(set), 0);
	show_paper(set);
	is(share(set, 1, 2), 0.50);
	free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(gives_the_papers_figures),
	        cmocka_unit_test(plain_counting_gives_thirds),
	        cmocka_unit_test(no_rounding_is_left),
	        cmocka_unit_test(the_factored_score_is_the_matrix),
	        cmocka_unit_test(large_sets_are_scored_alike),
	        cmocka_unit_test(scores_are_the_plain_loops_to_the_bit),
	        cmocka_unit_test(probabilities_sum_to_one),
	        cmocka_unit_test(old_windows_go_without_a_trace),
	        cmocka_unit_test(a_window_that_is_too_large_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
