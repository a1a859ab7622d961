/* SPDX-License-Identifier: MIT */
/*
 * cli/predict.h - what the parts of `godwit predict` share.
 */
#ifndef GW_CLI_PREDICT_H
#define GW_CLI_PREDICT_H

#include <jansson.h>

#include "base/error.h"
#include "core/page/set.h"

#define GW_PAGE_LIST_MAX   (1u << 26)
#define GW_PAGE_NUMBER_MAX (1ull << 32) /* 16 TiB */

struct gw_page_list {
	uint64_t *at; /* owned */
	size_t count, room;
};

int gw_page_list_add(struct gw_page_list *pages, uint64_t page, struct gw_error *error);
/*
 * Page numbers between blanks and commas, in place of what was there; ascending and once each
 * afterwards. `where` begins the sentence of what is refused.
 */
int gw_page_list_read(const char *text, const char *where, struct gw_page_list *pages,
                      struct gw_error *error);

struct gw_pages_asked {
	const char *file;  /* a trace, or a line of page numbers a round */
	uint64_t round_ns; /* of a trace: its windows are joined to rounds as long as this */
	uint64_t learn;    /* rounds before the first that is forecast */
	double pt, rt;     /* S1's thresholds */
	bool table;        /* with each page's forecast of the last round */
};

/* Every predictor of pages, round by round, against what happened. */
int gw_predict_pages(const struct gw_pages_asked *asked, json_t *result, struct gw_error *error);

#endif
