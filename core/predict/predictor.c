/* SPDX-License-Identifier: MIT */
#include "core/predict/predictor.h"

#include <string.h>

#include "core/predict/kinds.h"

const struct gw_page_predictor *const gw_page_predictors[] = {
        &gw_predict_markov,     &gw_predict_gilbert_elliott,
        &gw_predict_dirty_only, &gw_predict_rate,
        &gw_predict_page_last,  &gw_predict_page_ewma,
        &gw_predict_write_set,  NULL,
};

const struct gw_count_predictor *const gw_count_predictors[] = {
        &gw_predict_footprint,
        &gw_predict_last,
        &gw_predict_mean,
        &gw_predict_weighted_mean,
        &gw_predict_ewma,
        &gw_predict_grey,
        &gw_predict_grey_plain,
        &gw_predict_grey_whitening,
        &gw_predict_grey_whitening_plain,
        NULL,
};

const struct gw_page_predictor *gw_page_predictor(const char *name)
{
	for (size_t i = 0; gw_page_predictors[i]; i++)
		if (!strcmp(gw_page_predictors[i]->name, name))
			return gw_page_predictors[i];
	return NULL;
}

const struct gw_count_predictor *gw_count_predictor(const char *name)
{
	for (size_t i = 0; gw_count_predictors[i]; i++)
		if (!strcmp(gw_count_predictors[i]->name, name))
			return gw_count_predictors[i];
	return NULL;
}

size_t gw_pages_bytes(const struct gw_page_predictor *kind,
                      const struct gw_write_set_limits *limits)
{
	return kind->probability ? gw_history_bytes(limits->pages) : gw_write_set_bytes(limits);
}

void gw_pages_start(struct gw_pages *pages, const struct gw_page_predictor *kind, void *memory,
                    const struct gw_write_set_limits *limits)
{
	*pages = (struct gw_pages){.kind = kind};
	if (kind->probability)
		pages->history = gw_history_init(memory, limits->pages);
	else
		pages->windows = gw_write_set_init(memory, limits);
}

int gw_pages_observe(struct gw_pages *pages, const struct gw_set *written)
{
	if (pages->windows)
		return gw_write_set_observe_set(pages->windows, written);
	gw_history_add(pages->history, written);
	return 0;
}

size_t gw_pages_score(struct gw_pages *pages, const struct gw_set *dirty, struct gw_ranked *to)
{
	unsigned rounds;
	uint64_t page, bits;
	uint32_t cursor = 0;
	size_t count = 0;

	if (pages->windows) {
		gw_write_set_score(pages->windows, dirty);
		return gw_write_set_dirty(pages->windows, to);
	}
	rounds = gw_history_rounds(pages->history);
	while (gw_history_next(pages->history, &cursor, &page, &bits)) {
		double p = gw_set_has(dirty, page) ? pages->kind->probability(bits, rounds) : 0;

		if (p > 0)
			to[count++] = (struct gw_ranked){(uint32_t)page, (float)p};
	}
	return count;
}
