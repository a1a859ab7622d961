/* SPDX-License-Identifier: MIT */
/*
 * deferred: pre-copy that leaves out what is about to be written again (S1).
 *
 * Before every round but the first, each dirty page's probability to be modified in that round is
 * forecast from its own rounds so far. It is left out if that exceeds PT and the share of rounds in
 * which it was modified exceeds RT. QEMU's rule says when to stop; what was left out is dirty to
 * it, so it counts in the downtime. threshold=auto chooses PT before each round, and goes on after
 * QEMU's stop as long as a round of all that is dirty is likely to halve that.
 */
#include <errno.h>
#include <string.h>

#include "core/policy/kinds.h"
#include "core/predict/predictor.h"
#include "core/predict/transitions.h"
#include "core/setting.h"

/* Pages whose rounds are remembered: a working set of 4 GiB. The others are never left out. */
#define PAGES_MAX ((uint64_t)1 << 20)
/* A round that would send less than this share of what is dirty leaves out nothing. */
#define LEAST_SHARE 8

enum threshold { FIXED, AUTO };

struct deferred {
	const struct gw_page_predictor *predictor;
	unsigned threshold;
	uint64_t pt, rt; /* thousandths */
	uint64_t max_rounds;
	bool settling; /* this round could be the stop: nothing is left out of it */
	struct gw_settle settle;
	struct gw_history *history;
};

_Static_assert(sizeof(struct deferred) <= GW_POLICY_MEMORY, "fits");

static void init(struct gw_policy *policy)
{
	*(struct deferred *)policy->memory = (struct deferred){.predictor = gw_page_predictors[0],
	                                                       .pt = 500,
	                                                       .rt = 500,
	                                                       .settle.rounds = GW_SETTLE_ROUNDS};
}

/* Any that looks at a page alone: its score is a probability. */
static int set_predictor(struct deferred *d, const char *value)
{
	const struct gw_page_predictor *predictor = gw_page_predictor(value);

	if (!predictor || !predictor->probability)
		return -EINVAL;
	d->predictor = predictor;
	return 0;
}

static int set(struct gw_policy *policy, const char *key, const char *value)
{
	static const char *const thresholds[] = {"fixed", "auto", NULL};
	struct deferred *d = (struct deferred *)policy->memory;

	if (!strcmp(key, "predictor"))
		return set_predictor(d, value);
	if (!strcmp(key, "threshold"))
		return gw_setting_choice(value, thresholds, &d->threshold);
	if (!strcmp(key, "pt"))
		return gw_setting_share(value, &d->pt);
	if (!strcmp(key, "rt"))
		return gw_setting_share(value, &d->rt);
	if (!strcmp(key, "settle"))
		return gw_setting_number(value, 0, 1000, &d->settle.rounds);
	if (!strcmp(key, "max_rounds"))
		return gw_setting_number(value, 0, 1000000, &d->max_rounds);
	return -ENOENT;
}

static uint32_t pages_for(uint64_t ram_pages)
{
	return (uint32_t)(ram_pages < PAGES_MAX ? ram_pages : PAGES_MAX);
}

static size_t bytes(const struct gw_policy *policy, uint64_t ram_pages)
{
	(void)policy;
	return gw_history_bytes(pages_for(ram_pages));
}

static void start(struct gw_policy *policy, void *memory, uint64_t ram_pages,
                  const struct gw_observation *observation)
{
	(void)observation;
	((struct deferred *)policy->memory)->history =
	        gw_history_init(memory, pages_for(ram_pages));
}

/* lambda / mu: pages that the guest writes while the link carries one, by the last round. */
static double crowding(const struct gw_view *view)
{
	double carried =
	        (double)view->bandwidth_bytes_per_s / GW_PAGE_BYTES * (double)view->round_ns / 1e9;

	return carried > 0 ? (double)gw_set_count(view->written) / carried : 1;
}

/* Not even one that is written in every round. */
static bool leaves_out_none(const struct deferred *d)
{
	double most = d->predictor->probability(UINT64_MAX, GW_HISTORY_ROUNDS);

	return d->threshold == FIXED && (most * 1000 <= (double)d->pt || d->rt == 1000);
}

static void decide(struct gw_policy *policy, const struct gw_view *view, struct gw_verdict *verdict)
{
	struct deferred *d = (struct deferred *)policy->memory;
	uint64_t before;

	if (!view->round) {
		gw_verdict_say(verdict, GW_CONTINUE, "first pass over %llu pages%s",
		               (unsigned long long)view->populated_pages,
		               leaves_out_none(d) ? "; no page exceeds these thresholds, none will "
		                                    "be left out"
		                                  : "");
		return;
	}
	gw_history_add(d->history, view->written);
	gw_stop_qemu(view, verdict);
	before = d->settle.done;
	gw_settle(&d->settle, d->threshold == AUTO ? 2 * crowding(view) < 1 : gw_halved(view), view,
	          verdict);
	d->settling = d->threshold == AUTO && d->settle.done > before;
	if (verdict->decision == GW_CONTINUE)
		gw_stop_after(d->max_rounds, view, verdict);
}

/* That the page is modified in the next round; *rate: the share of the rounds in which it was. */
static double forecast(const struct deferred *d, uint64_t bits, double *rate)
{
	unsigned rounds = gw_history_rounds(d->history);
	struct gw_transitions t = gw_transitions_of(bits, rounds);

	*rate = gw_modification_rate(&t);
	return d->predictor->probability(bits, rounds);
}

/*
 * threshold=auto. To send a page takes the link's time for it, in which the guest writes others:
 * lambda / mu of them, at the rates of the last round. It spares one, unless it is written again,
 * which it is with probability p. So it is worth its time as long as
 *
 *     1 - p > lambda / mu,      PT = 1 - lambda / mu
 *
 * With a fast link nearly all is sent, with a slow one little; but so much that the round is one.
 */
#define STEPS 1000u

static uint64_t auto_threshold(const struct deferred *d, const struct gw_view *view)
{
	double worth = 1 - crowding(view), rate;
	uint64_t at_least = view->dirty_pages / LEAST_SHARE + 1, sent = 0, page, bits;
	uint64_t of_step[STEPS + 1] = {0}, known = 0;
	uint32_t cursor = 0;
	unsigned pt = 0;

	while (gw_history_next(d->history, &cursor, &page, &bits)) {
		if (!gw_set_has(view->dirty, page))
			continue;
		of_step[(unsigned)(forecast(d, bits, &rate) * STEPS)]++;
		known++;
	}
	sent = view->dirty_pages - known;
	while (pt < STEPS && ((double)pt < worth * STEPS || sent < at_least))
		sent += of_step[pt++];
	return pt;
}

static uint64_t choose(struct gw_policy *policy, const struct gw_view *view, struct gw_set *defer)
{
	const struct deferred *d = (const struct deferred *)policy->memory;
	bool is_auto = d->threshold == AUTO;
	double dirty = 0, kept = 0, p, rate;
	uint64_t pt, rt, page, bits;
	uint32_t cursor = 0;

	if (!view->round)
		return GW_NO_FORECAST;
	pt = d->settling ? 1000 : is_auto ? auto_threshold(d, view) : d->pt;
	rt = is_auto ? 0 : d->rt; /* p alone says what a transfer is worth */
	while (gw_history_next(d->history, &cursor, &page, &bits)) {
		p = forecast(d, bits, &rate);
		dirty += p;
		if (p * 1000 <= (double)pt || rate * 1000 <= (double)rt ||
		    !gw_set_has(view->dirty, page))
			continue;
		kept += 1 - p; /* it is dirty after the round even if nobody writes it */
		gw_set_add(defer, page);
	}
	if (LEAST_SHARE * (view->dirty_pages - gw_set_count(defer)) < view->dirty_pages) {
		gw_set_clear(defer);
		kept = 0;
	}
	return (uint64_t)(dirty + kept + 0.5);
}

const struct gw_policy_kind gw_policy_deferred = {
        .name = "deferred",
        .summary = "pre-copy that leaves out pages about to be written again (S1)",
        .settings =
                "predictor=markov (markov|gilbert-elliott|dirty-only|rate|last|ewma) "
                "threshold=fixed (fixed|auto) pt=0.5 rt=0.5 (0 to 1) settle=3 max_rounds=0 (none)",
        .init = init,
        .set = set,
        .decide = decide,
        .bytes = bytes,
        .start = start,
        .choose = choose,
};
