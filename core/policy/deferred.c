/* SPDX-License-Identifier: MIT */
/*
 * deferred: pre-copy that leaves out what is about to be written again (S1).
 *
 * Before every round but the first, each dirty page's probability to be modified in that round is
 * forecast from its own rounds so far. It is left out if that exceeds PT and the share of rounds in
 * which it was modified exceeds RT. QEMU's rule says when to stop; what was left out is dirty to
 * it, so it counts in the downtime.
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

static void decide(struct gw_policy *policy, const struct gw_view *view, struct gw_verdict *verdict)
{
	struct deferred *d = (struct deferred *)policy->memory;

	if (!view->round) {
		gw_verdict_say(verdict, GW_CONTINUE, "first pass over %llu pages",
		               (unsigned long long)view->populated_pages);
		return;
	}
	gw_history_add(d->history, view->written);
	gw_stop_qemu(view, verdict);
	gw_settle(&d->settle, view, verdict);
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
 * threshold=auto. To send a page is in vain with probability p; to leave it out adds, with
 * probability 1 - p, a page to the stop that sending it would have spared. Below p = 1/2 a transfer
 * is likelier to last than not. Above, what leaving out may add to the stop is taken as long as it
 * fits into the downtime that the user allows, the likeliest pages first: PT is the p where that is
 * used up.
 */
#define STEPS 500u /* of a thousandth each, from 1/2 on */

static unsigned step_of(double p)
{
	unsigned step = (unsigned)(p * 1000 - 500);

	return step < STEPS ? step : STEPS - 1;
}

static uint64_t auto_threshold(const struct deferred *d, const struct gw_view *view)
{
	uint64_t room = gw_rate_carries(view->bandwidth_bytes_per_s, view->downtime_limit_ns);
	double left = (double)(room / GW_PAGE_BYTES), spared[STEPS] = {0}, rate;
	uint64_t page, bits;
	uint32_t cursor = 0;
	unsigned step = STEPS;

	while (gw_history_next(d->history, &cursor, &page, &bits)) {
		double p = gw_set_has(view->dirty, page) ? forecast(d, bits, &rate) : 0;

		if (p > 0.5)
			spared[step_of(p)] += 1 - p;
	}
	while (step && spared[step - 1] <= left)
		left -= spared[--step];
	return 500 + step;
}

static uint64_t choose(struct gw_policy *policy, const struct gw_view *view, struct gw_set *defer)
{
	const struct deferred *d = (const struct deferred *)policy->memory;
	uint64_t pt = d->threshold == AUTO ? auto_threshold(d, view) : d->pt, page, bits;
	double dirty = 0, kept = 0, p, rate;
	uint32_t cursor = 0;

	if (!view->round)
		return GW_NO_FORECAST;
	while (gw_history_next(d->history, &cursor, &page, &bits)) {
		p = forecast(d, bits, &rate);
		dirty += p;
		if (p * 1000 <= (double)pt || rate * 1000 <= (double)d->rt ||
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
