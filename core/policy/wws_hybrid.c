/* SPDX-License-Identifier: MIT */
/*
 * wws-hybrid: the writable working set goes last, and as little of it as can be is pulled.
 *
 * Our own answer to S3's question, how many rounds before post-copy. Where S3 sends the half that
 * is least likely to be written, and goes on by one factor, this policy asks of each page what
 * core/predict/renewal.h says of it, and weighs one kind of time against another.
 *
 *   first pass   leaves out pages that are rather written than not before it ends: they would be
 *                sent in vain
 *   rounds       send the others of what is dirty; the shorter a round, the more of the working set
 *                is likely to outlast it. A round is worth it while it takes more unavailable time
 *                off the switch than it adds to the total, weighted by `worth`, and as long as no
 *                more is sent than the original hybrid would have sent
 *   the switch   a page costs t = page / bandwidth if it goes while the VM stands, and q f / vcpus
 *                if it is pulled: q is the chance that it is touched before it is pushed, f what a
 *                fault takes. It goes at once where that is less, which shortens downtime and stall
 *                together; never for longer than `stop_share` of the downtime limit
 *   the pull     in the order of the chance of a touch, reads included
 *
 * The original hybrid sends all populated pages P once, and then those that were written meanwhile,
 * W1: these we see, too. So `sent + left <= P + W1` keeps the total time at hybrid's or below.
 */
#include <errno.h>
#include <string.h>

#include "core/policy/kinds.h"
#include "core/predict/renewal.h"
#include "core/setting.h"

#define PAGES_MAX ((uint64_t)1 << 20)

/* Gigabit Ethernet's, until a rate was measured. */
#define BANDWIDTH_FIRST 125000000u

/*
 * What a fault takes beside two latencies and its page: into and out of the agents 70 us, and
 * behind what has been pushed, half a frame of 300 us (docs/simulator.md, source.c).
 */
#define FAULT_NS 220000.0
/* A round's own time: its scan, and that the link is idle until its end is known. */
#define ROUND_NS 2000000.0
/* Of the downtime limit, before any page: stop, device state, cont (docs/bench.md, 12 to 20 ms). */
#define SWITCH_NS 20000000u

struct wws {
	uint64_t stop_share; /* thousandths */
	uint64_t worth;
	uint64_t max_rounds;
	uint64_t observe_ns;
	struct gw_renewal *pages;
	struct gw_ranked *ranked, *spare;
	uint64_t ram_pages;
	uint64_t hybrid_sends; /* P + W1; 0: not yet known */
	uint64_t kept_most;    /* pages that may go while the VM stands */
	size_t kept;           /* of the ranked pages: those worth it */
	double page_ns, fault_ns;
	uint64_t horizon_ns;
};

_Static_assert(sizeof(struct wws) <= GW_POLICY_MEMORY, "fits");

static void init(struct gw_policy *policy)
{
	*(struct wws *)policy->memory = (struct wws){
	        .stop_share = 500, .worth = 10, .max_rounds = 20, .observe_ns = 8000000000};
}

static int set(struct gw_policy *policy, const char *key, const char *value)
{
	struct wws *w = (struct wws *)policy->memory;

	if (!strcmp(key, "stop_share"))
		return gw_setting_share(value, &w->stop_share);
	if (!strcmp(key, "worth"))
		return gw_setting_number(value, 0, 1000, &w->worth);
	if (!strcmp(key, "max_rounds"))
		return gw_setting_number(value, 1, 1000000, &w->max_rounds);
	if (!strcmp(key, "observe"))
		return gw_setting_duration(value, &w->observe_ns);
	return -ENOENT;
}

static uint64_t observes_ns(const struct gw_policy *policy)
{
	return ((const struct wws *)policy->memory)->observe_ns;
}

static uint32_t pages_for(uint64_t ram_pages)
{
	return (uint32_t)(ram_pages < PAGES_MAX ? ram_pages : PAGES_MAX);
}

static size_t bytes(const struct gw_policy *policy, uint64_t ram_pages)
{
	uint32_t pages = pages_for(ram_pages);

	(void)policy;
	return gw_renewal_bytes(pages) + 2 * (size_t)pages * sizeof(struct gw_ranked);
}

static void start(struct gw_policy *policy, void *memory, uint64_t ram_pages,
                  const struct gw_observation *observation)
{
	struct wws *w = (struct wws *)policy->memory;
	uint32_t pages = pages_for(ram_pages);

	w->pages = gw_renewal_init(memory, pages);
	w->ranked = (struct gw_ranked *)(void *)((char *)memory + gw_renewal_bytes(pages));
	w->spare = w->ranked + pages;
	w->ram_pages = ram_pages;
	gw_renewal_observe(w->pages, observation);
}

/* --- what a page, and a fault, takes ------------------------------------------------------- */

static void learn_link(struct wws *w, const struct gw_view *view)
{
	uint64_t rate = view->bandwidth_bytes_per_s ? view->bandwidth_bytes_per_s
	                : view->limit_bytes_per_s   ? view->limit_bytes_per_s
	                                            : BANDWIDTH_FIRST;
	uint64_t limit = view->downtime_limit_ns, stop;

	w->page_ns = GW_PAGE_BYTES * 1e9 / (double)rate;
	w->fault_ns = (2 * (double)view->latency_ns + w->page_ns + FAULT_NS) /
	              (view->vcpus ? view->vcpus : 1);
	stop = limit / 1000 * w->stop_share;
	if (stop > limit - SWITCH_NS)
		stop = limit > SWITCH_NS ? limit - SWITCH_NS : 0;
	w->kept_most = gw_rate_carries(rate, stop) / GW_PAGE_BYTES;
}

/* Unavailable time that a page costs at the switch if it is touched with this chance. */
static double cost_of(const struct wws *w, double touched)
{
	double pulled = touched * w->fault_ns;

	return pulled < w->page_ns ? pulled : w->page_ns;
}

/* --- rounds -------------------------------------------------------------------------------- */

/* What a round that sends the pages rather not written would do. */
struct round {
	uint64_t ns;
	uint64_t leaves_out;
	double in_vain;       /* pages that it sends and that are written all the same */
	double before, after; /* ns of unavailable time if the switch came before it, after it */
};

static bool sends(double written)
{
	return written <= 0.5;
}

/* `horizon`: how long what is left takes to be pushed. */
static void weigh(const struct wws *w, const struct gw_set *dirty, uint64_t count, uint64_t ns,
                  struct round *round)
{
	struct gw_renewal_outlook in_round, in_pull;
	struct gw_renewal_page page;
	uint64_t cursor = 0;

	gw_renewal_look_ahead(w->pages, ns, &in_round);
	gw_renewal_look_ahead(w->pages, (uint64_t)((double)count * w->page_ns), &in_pull);
	*round = (struct round){.ns = ns};
	while (gw_renewal_next(w->pages, &cursor, &page)) {
		double written, cost;

		if (page.page >= dirty->pages || !gw_set_has(dirty, page.page))
			continue;
		written = gw_renewal_written(&in_round, &page);
		cost = cost_of(w, gw_renewal_touched(&in_pull, &page));
		round->before += cost;
		if (sends(written)) {
			round->in_vain += written;
			round->after += written * cost;
		} else {
			round->leaves_out++;
			round->after += cost;
		}
	}
}

/* A round is as long as what it sends, which depends on how long it is: twice is near enough. */
static void plan(const struct wws *w, const struct gw_set *dirty, uint64_t count,
                 struct round *round)
{
	uint64_t sent = count;

	for (int i = 0; i < 3; i++) {
		uint64_t ns = (uint64_t)((double)sent * w->page_ns + ROUND_NS);

		weigh(w, dirty, count, ns, round);
		sent = count - round->leaves_out;
	}
}

static bool another(struct wws *w, const struct gw_view *view, struct gw_verdict *verdict)
{
	uint64_t left = view->dirty_pages, sent = view->sent_total_pages;
	struct round round;

	plan(w, view->dirty, left, &round);
	if (round.leaves_out >= left) {
		gw_verdict_say(verdict, GW_POST_COPY,
		               "all of %llu pages left are hot: a round would send them in vain",
		               (unsigned long long)left);
		return false;
	}
	if ((double)(sent + left) + round.in_vain > (double)w->hybrid_sends) {
		gw_verdict_say(verdict, GW_POST_COPY,
		               "%llu pages left; a round more would send more than hybrid's %llu",
		               (unsigned long long)left, (unsigned long long)w->hybrid_sends);
		return false;
	}
	if ((round.before - round.after) * (double)w->worth <=
	    round.in_vain * w->page_ns + ROUND_NS) {
		gw_verdict_say(verdict, GW_POST_COPY,
		               "%llu pages left; a round more takes %.1f ms off the switch, and "
		               "%.1f ms in vain",
		               (unsigned long long)left, (round.before - round.after) / 1e6,
		               (round.in_vain * w->page_ns + ROUND_NS) / 1e6);
		return false;
	}
	gw_verdict_say(verdict, GW_CONTINUE,
	               "the next takes %.1f ms off the switch and sends %.0f of %llu pages in vain",
	               (round.before - round.after) / 1e6, round.in_vain,
	               (unsigned long long)(left - round.leaves_out));
	return true;
}

static void decide(struct gw_policy *policy, const struct gw_view *view, struct gw_verdict *verdict)
{
	struct wws *w = (struct wws *)policy->memory;

	learn_link(w, view);
	if (!view->round) {
		gw_verdict_say(verdict, GW_CONTINUE, "first pass over %llu pages%s",
		               (unsigned long long)view->populated_pages,
		               gw_renewal_ready(w->pages)
		                       ? ""
		                       : "; the VM was not observed: it leaves out none");
		return;
	}
	gw_renewal_round(w->pages, view->written, view->round_ns);
	if (view->round == 1)
		w->hybrid_sends = view->populated_pages + gw_set_count(view->written);
	if (!view->dirty_pages || !gw_renewal_ready(w->pages))
		gw_verdict_say(verdict, GW_POST_COPY, "%llu pages left%s",
		               (unsigned long long)view->dirty_pages,
		               view->dirty_pages ? "; the VM was not observed: as hybrid" : "");
	else if (view->deadline_ns && view->now_ns >= view->deadline_ns)
		gw_verdict_say(verdict, GW_POST_COPY, "%llu pages left, the deadline has come",
		               (unsigned long long)view->dirty_pages);
	else if (view->round >= w->max_rounds)
		gw_verdict_say(verdict, GW_POST_COPY, "%llu pages left, max_rounds is %llu",
		               (unsigned long long)view->dirty_pages,
		               (unsigned long long)w->max_rounds);
	else
		(void)another(w, view, verdict);
}

static uint64_t choose(struct gw_policy *policy, const struct gw_view *view, struct gw_set *defer)
{
	struct wws *w = (struct wws *)policy->memory;
	struct gw_renewal_outlook outlook;
	struct gw_renewal_page page;
	struct round round;
	uint64_t cursor = 0;

	if (!gw_renewal_ready(w->pages))
		return GW_NO_FORECAST;
	plan(w, view->dirty, view->dirty_pages, &round);
	gw_renewal_look_ahead(w->pages, round.ns, &outlook);
	while (gw_renewal_next(w->pages, &cursor, &page))
		if (page.page < view->ram_pages && gw_set_has(view->dirty, page.page) &&
		    !sends(gw_renewal_written(&outlook, &page)))
			gw_set_add(defer, page.page);
	return round.leaves_out + (uint64_t)round.in_vain;
}

/* --- the switch ---------------------------------------------------------------------------- */

/*
 * All known pages, because some that are clean now are written before the VM stands. Those worth to
 * be sent while it does come first: both orders are that of the chance of a touch.
 */
static void rank(struct gw_policy *policy, const struct gw_set *left, struct gw_ranking *ranking)
{
	struct wws *w = (struct wws *)policy->memory;
	struct gw_renewal_outlook soon;
	struct gw_renewal_page page;
	uint64_t cursor = 0;
	size_t count = 0;

	gw_renewal_look_ahead(w->pages, (uint64_t)((double)gw_set_count(left) * w->page_ns), &soon);
	while (gw_renewal_next(w->pages, &cursor, &page)) {
		double touched = gw_renewal_touched(&soon, &page);

		if (touched > 0 && page.page < w->ram_pages)
			w->ranked[count++] =
			        (struct gw_ranked){(uint32_t)page.page, (float)touched};
	}
	gw_rank(w->ranked, w->spare, count);
	for (w->kept = 0; w->kept < count; w->kept++)
		if ((double)w->ranked[w->kept].score * w->fault_ns <= w->page_ns)
			break;
	*ranking = (struct gw_ranking){w->ranked, count};
}

static void keep(struct gw_policy *policy, const struct gw_set *written, struct gw_set *pull)
{
	struct wws *w = (struct wws *)policy->memory;
	uint64_t room = w->kept_most, page;

	if (!gw_renewal_ready(w->pages))
		return;
	for (size_t i = 0; i < w->kept && room; i++) {
		if (!gw_set_has(pull, w->ranked[i].page))
			continue;
		gw_set_remove(pull, w->ranked[i].page);
		room--;
	}
	/* Who was written a moment ago is in use. */
	for (page = written ? gw_set_next(written, 0) : pull->pages; page < pull->pages && room;
	     page = gw_set_next(written, page + 1)) {
		room -= gw_set_has(pull, page);
		gw_set_remove(pull, page);
	}
}

const struct gw_policy_kind gw_policy_wws_hybrid = {
        .name = "wws-hybrid",
        .summary = "the writable working set last, what is needed at once with the VM stopped",
        .settings = "worth=10 (0 to 1000) stop_share=0.5 (0 to 1) max_rounds=20 observe=8s",
        .order = "forecast",
        .pulls = true,
        .init = init,
        .set = set,
        .decide = decide,
        .bytes = bytes,
        .start = start,
        .observes_ns = observes_ns,
        .choose = choose,
        .rank = rank,
        .keep = keep,
};
