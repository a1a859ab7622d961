/* SPDX-License-Identifier: MIT */
/*
 * sdf-hybrid: pre-copy as long as a page sent pays, then post-copy (S3).
 *
 * Each round sends the half of the dirty pages that are least likely to be written meanwhile, by
 * the forecast of core/predict/write_set.h: its windows are those in which the VM was observed
 * before its move, and then the pages written in each round. So does the first (section 4.1: at
 * alpha = 1 "only half of the memory pages selected by Markov Model are transferred in advance"):
 * the working set is reached by halving what is not in it. Where nothing was observed, or with
 * first=whole, the first pass sends all. A round has paid if
 *
 *     SDF(n) = (V2(n-1) - V2(n)) / S(n) > alpha
 *
 * (section 3.2 and the derivation; algorithm 1 prints the comparison the other way round). After
 * the switch the likeliest pages are pushed first.
 *
 * alpha=auto, which the paper leaves to future work (section 6). Of S pages that a round sends,
 * V2(n-1) - V2(n) stay clean; these would have been sent in any case. The others, S less those,
 * make the move longer by t each, the time of a page on the link. Each page fewer at the switch
 * saves a fault with chance q, that is q f of stall, f being what a fault stalls a vCPU, divided by
 * vCPUs. A round pays if it saves more than it costs:
 *
 *     (V2(n-1) - V2(n)) q f > (S - V2(n-1) + V2(n)) t     <=>     SDF(n) > t / (t + q f) = alpha
 *
 * That is asked of the round to come, which does worse than this one, by about as much as this one
 * did than the one before: so much is added to alpha. It has a meaning then: a second of total time
 * for a second of stall. All three are known after a round: t from the measured bandwidth; f from
 * the latency; q from how fast the VM touches other pages than before: W in the T of the round. To
 * push V2 pages takes V2 t, a page waits for half of it, and meanwhile W / T x V2 t / 2 of the V2
 * are touched: q = W t / 2 T, at most 1.
 */
#include <errno.h>
#include <string.h>

#include "core/policy/kinds.h"
#include "core/predict/write_set.h"
#include "core/setting.h"

/*
 * What is remembered: a working set of 4 GiB, the 160 windows of 8 s (section 3.1) and as many
 * rounds as may follow. Beyond, old windows go.
 */
#define PAGES_MAX   ((uint64_t)1 << 20)
#define ENTRIES_MAX ((uint64_t)1 << 23)
#define WINDOWS     256

enum { WHOLE, HALF };

struct sdf {
	uint64_t alpha; /* thousandths; of the last round, if it is auto */
	bool automatic;
	double last_sdf; /* of the round before */
	unsigned first;  /* what the first pass sends */
	uint64_t dirty_threshold;
	struct gw_write_set *windows;
	struct gw_ranked *ranked, *spare;
};

_Static_assert(sizeof(struct sdf) <= GW_POLICY_MEMORY, "fits");

static void init(struct gw_policy *policy)
{
	*(struct sdf *)policy->memory =
	        (struct sdf){.alpha = 500, .first = HALF, .dirty_threshold = 50};
}

static int set(struct gw_policy *policy, const char *key, const char *value)
{
	static const char *const firsts[] = {[WHOLE] = "whole", [HALF] = "half", [HALF + 1] = NULL};
	struct sdf *s = (struct sdf *)policy->memory;

	if (!strcmp(key, "alpha")) {
		s->automatic = !strcmp(value, "auto");
		return s->automatic ? 0 : gw_setting_share(value, &s->alpha);
	}
	if (!strcmp(key, "first"))
		return gw_setting_choice(value, firsts, &s->first);
	if (!strcmp(key, "dirty_threshold"))
		return gw_setting_number(value, 0, (uint64_t)1 << 40, &s->dirty_threshold);
	return -ENOENT;
}

static struct gw_write_set_limits limits_for(uint64_t ram_pages)
{
	uint32_t pages = (uint32_t)(ram_pages < PAGES_MAX ? ram_pages : PAGES_MAX);
	uint64_t entries = (uint64_t)WINDOWS * pages;

	/* Pages twice, because a window must fit beside all of its pages. */
	return (struct gw_write_set_limits){
	        .windows = WINDOWS,
	        .entries = (uint32_t)(entries < ENTRIES_MAX ? entries : ENTRIES_MAX),
	        .pages = 2 * pages};
}

/* What follows them is aligned as words are. */
static size_t windows_bytes(const struct gw_write_set_limits *limits)
{
	return (gw_write_set_bytes(limits) + 7) / 8 * 8;
}

static size_t bytes(const struct gw_policy *policy, uint64_t ram_pages)
{
	struct gw_write_set_limits limits = limits_for(ram_pages);

	(void)policy;
	return windows_bytes(&limits) + 2 * (size_t)limits.pages * sizeof(struct gw_ranked);
}

static void start(struct gw_policy *policy, void *memory, uint64_t ram_pages,
                  const struct gw_observation *observation)
{
	struct gw_write_set_limits limits = limits_for(ram_pages);
	struct sdf *s = (struct sdf *)policy->memory;

	s->windows = gw_write_set_init(memory, &limits);
	s->ranked = (struct gw_ranked *)(void *)((char *)memory + windows_bytes(&limits));
	s->spare = s->ranked + limits.pages;
	for (size_t i = 0; i < observation->count; i++)
		(void)gw_write_set_observe(s->windows, observation->windows[i].written,
		                           observation->windows[i].written_count);
}

/* t / (t + q f); see above. */
static uint64_t best_alpha(const struct gw_view *view)
{
	double rate = (double)view->bandwidth_bytes_per_s, page_ns, touched, fault_ns;

	if (!view->bandwidth_bytes_per_s || !view->round_ns)
		return 1000; /* a link that carries nothing: no further round */
	page_ns = GW_PAGE_BYTES * 1e9 / rate;
	fault_ns = gw_view_fault_ns(view, page_ns);
	touched = (double)gw_set_count(view->written) * page_ns / (2 * (double)view->round_ns);
	if (touched > 1)
		touched = 1;
	return (uint64_t)(1000 * page_ns / (page_ns + touched * fault_ns) + 0.5);
}

/* By how much the next round is likely to do worse than this one, in thousandths. */
static uint64_t worse_by(struct sdf *s, const struct gw_view *view)
{
	double now = gw_view_sdf(view), last = view->round > 1 ? s->last_sdf : 1;

	s->last_sdf = now;
	return now < last ? (uint64_t)(1000 * (last - now)) : 0;
}

/* Which half is the less likely one takes an observation. */
static bool halves_first(const struct sdf *s)
{
	return s->first == HALF && gw_write_set_windows(s->windows) > 1;
}

static void decide(struct gw_policy *policy, const struct gw_view *view, struct gw_verdict *verdict)
{
	struct sdf *s = (struct sdf *)policy->memory;
	uint64_t before = view->previous_dirty_pages, now = view->dirty_pages;
	double alpha;

	if (!view->round) {
		gw_verdict_say(verdict, GW_CONTINUE, "first pass over %s%llu pages%s",
		               halves_first(s) ? "half of " : "",
		               (unsigned long long)view->populated_pages,
		               s->first == HALF && !halves_first(s)
		                       ? "; the VM was not observed: it leaves out none"
		                       : "");
		return;
	}
	if (s->automatic)
		s->alpha = best_alpha(view) + worse_by(s, view);
	if (s->alpha > 1000)
		s->alpha = 1000;
	alpha = (double)s->alpha / 1000;
	/* A window that is too large to be remembered is no window: those before it stay. */
	(void)gw_write_set_observe_set(s->windows, view->written);
	if (now <= s->dirty_threshold)
		gw_verdict_say(verdict, GW_POST_COPY, "%llu pages dirty, %llu may be pulled",
		               (unsigned long long)now, (unsigned long long)s->dirty_threshold);
	else if (view->deadline_ns && view->now_ns >= view->deadline_ns)
		gw_verdict_say(verdict, GW_POST_COPY, "%llu pages dirty, the deadline has come",
		               (unsigned long long)now);
	else if (before > now && 1000 * (before - now) > s->alpha * view->sent_pages)
		gw_verdict_say(verdict, GW_CONTINUE,
		               "SDF %.3f, more than alpha %.3f: %llu of %llu"
		               " pages dirty",
		               gw_view_sdf(view), alpha, (unsigned long long)now,
		               (unsigned long long)before);
	else
		gw_verdict_say(verdict, GW_POST_COPY,
		               "SDF %.3f, not more than alpha %.3f: %llu pages left to pull",
		               gw_view_sdf(view), alpha, (unsigned long long)now);
}

static void rank(struct gw_policy *policy, const struct gw_set *left, struct gw_ranking *ranking)
{
	struct sdf *s = (struct sdf *)policy->memory;
	size_t count;

	gw_write_set_score(s->windows, left);
	count = gw_write_set_dirty(s->windows, s->ranked);
	gw_rank(s->ranked, s->spare, count);
	*ranking = (struct gw_ranking){s->ranked, count};
}

/* Pages without a score are all alike; those at the end of memory then have the later turn. */
static uint64_t choose(struct gw_policy *policy, const struct gw_view *view, struct gw_set *defer)
{
	struct sdf *s = (struct sdf *)policy->memory;
	uint64_t half = view->dirty_pages / 2, at = view->dirty->pages;
	struct gw_ranking likely;

	if (!view->round && !halves_first(s))
		return GW_NO_FORECAST;
	rank(policy, view->dirty, &likely);
	for (size_t i = 0; i < likely.count && half; i++, half--)
		gw_set_add(defer, likely.pages[i].page);
	while (half) {
		at = gw_set_previous(view->dirty, at - 1);
		if (gw_set_has(defer, at))
			continue;
		gw_set_add(defer, at);
		half--;
	}
	return GW_NO_FORECAST;
}

const struct gw_policy_kind gw_policy_sdf_hybrid = {
        .name = "sdf-hybrid",
        .summary = "pre-copy of what is least likely written while that pays, then post-copy (S3)",
        .settings = "alpha=0.5 (0 to 1, auto) first=half (half|whole) dirty_threshold=50",
        .order = "forecast",
        .pulls = true,
        .init = init,
        .set = set,
        .decide = decide,
        .bytes = bytes,
        .start = start,
        .observes_ns = GW_OBSERVES_NS,
        .choose = choose,
        .rank = rank,
};
