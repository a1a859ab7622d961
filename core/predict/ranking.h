/* SPDX-License-Identifier: MIT */
/*
 * core/predict/ranking.h - pages by how likely they are to be touched, the likeliest first.
 */
#ifndef GW_CORE_PREDICT_RANKING_H
#define GW_CORE_PREDICT_RANKING_H

#include <stddef.h>
#include <stdint.h>

struct gw_ranked {
	uint32_t page; /* 16 TiB have no more */
	float score;   /* 0 or more */
};

/* Borrowed: each page once. */
struct gw_ranking {
	const struct gw_ranked *pages;
	size_t count;
};

/*
 * By falling score, equal ones as they stood; linear. `spare` has as much room. Scores within a
 * 16,000th of each other may count as equal where others lie very far from them.
 */
void gw_rank(struct gw_ranked *pages, struct gw_ranked *spare, size_t count);

#endif
