/* SPDX-License-Identifier: MIT */
/*
 * wws-hybrid: the writable working set goes last, and as little of it as can be is pulled.
 *
 * Our own answer to S3's question, how many rounds before post-copy. Where S3 sends the half that
 * is least likely to be written, and goes on by one factor, this policy asks of each page what
 * core/predict/renewal.h says of it, and weighs one kind of time against another.
 *
 *   rounds       leave out what is likelier to be written in them than some chance, from the first
 *                one on: that which makes them and what follows send least in vain. So what is
 *                written least goes first, and what is written most in the last and shortest rounds
 *   the end      a round is worth it while it takes more unavailable time off the switch than it
 *                adds to the total, weighted by `worth`, and as long as no more is sent than the
 *                original hybrid would have sent
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
#include "core/policy/known_pages.h"
#include "core/setting.h"

/* A round's own time: its scan, and that the link is idle until its end is known. */
#define ROUND_NS 2000000.0
/* What is written until the VM stands is sent in vain, too: thousandths of W1 for that. */
#define MARGIN 50
/* A forecast is corrected by no more than this, and not by a handful of pages. */
#define PACE_MAX   2
#define PACE_PAGES 16
/* Of the downtime limit, before any page: stop, device state, cont (docs/bench.md, 12 to 20 ms). */
#define SWITCH_NS 20000000u

/* A round that leaves out the pages which are written in it with more than a chance. */
struct round {
	double most;  /* that chance */
	double share; /* of the others, as far as they are known, that it sends */
	double ns;
	double leaves_out;
	double in_vain; /* pages written in it that have been sent, in it or before */
	double spares;  /* ns of unavailable time, if the switch came after it and not now */
};

struct wws {
	uint64_t stop_share; /* thousandths */
	uint64_t worth;
	uint64_t max_rounds;
	struct gw_known_pages known;
	uint64_t hybrid_sends; /* P + W1; 0: not yet known */
	uint64_t kept_most;    /* pages that may go while the VM stands */
	size_t kept;           /* of the ranked pages: those worth it */
	double page_ns, fault_ns;
	struct round next; /* as it was planned */
	double pace;       /* how much faster the VM writes than was forecast */
};

_Static_assert(sizeof(struct wws) <= GW_POLICY_MEMORY, "fits");

static void init(struct gw_policy *policy)
{
	*(struct wws *)policy->memory =
	        (struct wws){.stop_share = 500, .worth = 10, .max_rounds = 60};
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
	return -ENOENT;
}

static size_t bytes(const struct gw_policy *policy, uint64_t ram_pages)
{
	(void)policy;
	return gw_known_pages_bytes(ram_pages);
}

static void start(struct gw_policy *policy, void *memory, uint64_t ram_pages,
                  const struct gw_observation *observation)
{
	struct wws *w = (struct wws *)policy->memory;

	w->pace = 1;
	(void)gw_known_pages_start(&w->known, memory, ram_pages, observation);
}

/* --- what a page, and a fault, takes ------------------------------------------------------- */

static void learn_link(struct wws *w, const struct gw_view *view)
{
	uint64_t rate = gw_view_rate(view);
	uint64_t limit = view->downtime_limit_ns;
	uint64_t most = limit > SWITCH_NS ? limit - SWITCH_NS : 0, stop;

	w->page_ns = GW_PAGE_BYTES * 1e9 / (double)rate;
	w->fault_ns = gw_view_fault_ns(view, w->page_ns);
	stop = limit / 1000 * w->stop_share;
	w->kept_most = gw_rate_carries(rate, stop < most ? stop : most) / GW_PAGE_BYTES;
}

/* Unavailable time that a page costs at the switch if it is touched with this chance. */
static double cost_of(const struct wws *w, double touched)
{
	double pulled = touched * w->fault_ns;

	return pulled < w->page_ns ? pulled : w->page_ns;
}

/* --- rounds -------------------------------------------------------------------------------- */

/* The pages by class and age: all that a plan need know of them. */
struct census {
	uint64_t count; /* dirty ones */
	double clean[GW_RENEWAL_CLASSES][GW_RENEWAL_AGES];
	double dirty[GW_RENEWAL_CLASSES][GW_RENEWAL_AGES];
	double cost[GW_RENEWAL_CLASSES][GW_RENEWAL_AGES]; /* ns of unavailable time at the switch */
};

static void take_census(const struct wws *w, const struct gw_set *dirty, uint64_t count,
                        struct census *census)
{
	struct gw_renewal_outlook in_pull;
	struct gw_renewal_page page;
	uint64_t cursor = 0;

	*census = (struct census){.count = count};
	gw_renewal_look_ahead(w->known.renewal, (uint64_t)((double)count * w->page_ns), &in_pull);
	while (gw_renewal_next(w->known.renewal, &cursor, &page)) {
		if (page.class >= GW_RENEWAL_CLASSES || page.page >= dirty->pages)
			continue;
		if (!gw_set_has(dirty, page.page)) {
			census->clean[page.class][page.age]++;
			continue;
		}
		census->dirty[page.class][page.age]++;
		census->cost[page.class][page.age] +=
		        cost_of(w, gw_renewal_touched(&in_pull, &page));
	}
}

/* What comes of a round of so long, of which this is the outlook. */
static void weigh(const struct census *census, const struct gw_renewal_outlook *outlook, double ns,
                  struct round *round)
{
	*round = (struct round){.most = round->most,
	                        .share = round->share,
	                        .ns = ns,
	                        .in_vain = outlook->newcomers};
	for (unsigned c = 0; c < GW_RENEWAL_CLASSES; c++) {
		for (unsigned a = 0; a < GW_RENEWAL_AGES; a++) {
			double written = (double)outlook->written[c][a];

			if (census->clean[c][a] + census->dirty[c][a] <= 0)
				continue; /* most are: no page is in them */
			round->in_vain += census->clean[c][a] * written;
			if (written > round->most) {
				round->leaves_out += census->dirty[c][a];
				continue;
			}
			round->leaves_out += census->dirty[c][a] * (1 - round->share);
			round->in_vain += census->dirty[c][a] * round->share * written;
			round->spares += census->cost[c][a] * round->share * (1 - written);
		}
	}
}

/* Outlooks of the lengths that a round may have, each two thirds of the one before. */
#define LENGTHS 24
struct lengths {
	double ns[LENGTHS];
	struct gw_renewal_outlook outlook[LENGTHS];
};

static void look_ahead(const struct wws *w, double ns, struct gw_renewal_outlook *outlook)
{
	gw_renewal_look_ahead(w->known.renewal, (uint64_t)(ns * w->pace), outlook);
}

static void measure(const struct wws *w, uint64_t pages, struct lengths *lengths)
{
	double ns = (double)pages * w->page_ns;

	for (int i = 0; i < LENGTHS; i++, ns *= 2.0 / 3) {
		lengths->ns[i] = ns + ROUND_NS;
		look_ahead(w, lengths->ns[i], &lengths->outlook[i]);
	}
}

/* The shortest that is long enough for so many pages. */
static int length_for(const struct wws *w, const struct lengths *lengths, double pages)
{
	int i = LENGTHS - 1;

	while (i && lengths->ns[i] < pages * w->page_ns + ROUND_NS)
		i--;
	return i;
}

/*
 * A round is as long as what it sends takes, and the longer it is the more is left out because it
 * is written meanwhile: the shortest for which both agree. Returns which.
 */
static int fit(const struct wws *w, const struct census *census, const struct lengths *lengths,
               struct round *round)
{
	for (int i = LENGTHS - 1;; i--) {
		weigh(census, &lengths->outlook[i], lengths->ns[i], round);
		if (!i || length_for(w, lengths, (double)census->count - round->leaves_out) >= i)
			return i;
	}
}

static double gain_of(const struct wws *w, const struct round *round)
{
	return round->spares * (double)w->worth - round->in_vain * w->page_ns - ROUND_NS;
}

/* Pages that the round after this one would send in vain if it sent all that this one leaves. */
static double in_vain_of_rest(const struct census *census, const struct round *round,
                              const struct gw_renewal_outlook *now,
                              const struct gw_renewal_outlook *then)
{
	double sum = 0;

	for (unsigned c = 0; c < GW_RENEWAL_CLASSES; c++) {
		for (unsigned a = 0; a < GW_RENEWAL_AGES; a++) {
			double written = (double)now->written[c][a];
			double dirty = written > round->most
			                       ? 1
			                       : 1 - round->share + round->share * written;

			sum += census->dirty[c][a] * dirty * (double)then->written[c][a];
		}
	}
	return sum;
}

static const double chances[] = {0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.02};
#define CHANCES (sizeof(chances) / sizeof(chances[0]))
/* Pages that are all alike can still be sent in part. */
static const double shares[] = {1, 0.5, 0.25};
#define SHARES (sizeof(shares) / sizeof(shares[0]))

/*
 * Of the rounds that are worth it and send no more than `spare` pages in vain that with which it
 * and the one after it, which sends the rest, send least in vain; false if there is none. What is
 * written least goes first, so that what is written most goes last, in the shortest rounds.
 */
static bool plan(const struct wws *w, const struct census *census, double spare, bool first,
                 struct round *best)
{
	struct lengths lengths;
	double least = -1;

	measure(w, census->count, &lengths);
	for (size_t i = 0; i < CHANCES * SHARES; i++) {
		struct round round = {.most = chances[i / SHARES], .share = shares[i % SHARES]};
		int now = fit(w, census, &lengths, &round);
		int then = length_for(w, &lengths, round.leaves_out + round.in_vain);
		double sum;

		if (!first && (round.in_vain > spare || gain_of(w, &round) <= 0))
			continue;
		sum = round.in_vain + in_vain_of_rest(census, &round, &lengths.outlook[now],
		                                      &lengths.outlook[then]);
		if (least >= 0 && sum >= least)
			continue;
		least = sum;
		*best = round;
	}
	return least >= 0;
}

/*
 * Pages that may yet be sent in vain: what hybrid sends twice, less what we did, and what the link
 * would have carried while it waited for the ends of our rounds.
 */
static double spare_of(const struct wws *w, const struct gw_view *view)
{
	return (double)w->hybrid_sends - (double)(view->sent_total_pages + view->dirty_pages) -
	       view->round * ROUND_NS / w->page_ns;
}

/* Its first pass is longer than ours by what we left out, and more is written meanwhile. */
static void learn_hybrid(struct wws *w, const struct gw_view *view)
{
	double longer = ((double)view->populated_pages - (double)view->sent_pages) * w->page_ns;
	struct round rest = {.share = 1};
	struct gw_renewal_outlook outlook;
	struct census census;
	double written;

	take_census(w, view->written, view->dirty_pages, &census); /* the others are clean */
	look_ahead(w, longer > 0 ? longer : 0, &outlook);
	weigh(&census, &outlook, longer, &rest);
	written = (double)gw_set_count(view->written) + rest.in_vain;
	w->hybrid_sends = view->populated_pages + (uint64_t)(written * (1000 - MARGIN) / 1000);
}

static void another(struct wws *w, const struct gw_view *view, struct gw_verdict *verdict)
{
	double spare = spare_of(w, view);
	struct census census;

	take_census(w, view->dirty, view->dirty_pages, &census);
	if (plan(w, &census, spare, false, &w->next))
		gw_verdict_say(verdict, GW_CONTINUE,
		               "the next takes %.1f ms off the switch and sends %.0f pages in "
		               "vain; %.0f may be",
		               w->next.spares / 1e6, w->next.in_vain, spare);
	else
		gw_verdict_say(verdict, GW_POST_COPY,
		               "%llu pages left; no round would be worth it, with %.0f pages that "
		               "may be sent in vain",
		               (unsigned long long)view->dirty_pages, spare > 0 ? spare : 0);
}

/* VMs are known to write faster while they are moved; what a round has shown holds for the next. */
static void learn_pace(struct wws *w, const struct gw_view *view)
{
	double written = (double)view->dirty_pages - w->next.leaves_out;

	if (w->next.in_vain < PACE_PAGES || written < PACE_PAGES)
		return;
	w->pace *= written / w->next.in_vain;
	w->pace = w->pace < 1 ? 1 : w->pace > PACE_MAX ? PACE_MAX : w->pace;
}

static void decide(struct gw_policy *policy, const struct gw_view *view, struct gw_verdict *verdict)
{
	struct wws *w = (struct wws *)policy->memory;

	learn_link(w, view);
	if (!view->round) {
		gw_verdict_say(verdict, GW_CONTINUE, "first pass over %llu pages%s",
		               (unsigned long long)view->populated_pages,
		               gw_renewal_ready(w->known.renewal)
		                       ? ""
		                       : "; the VM was not observed: it leaves out none");
		return;
	}
	gw_renewal_round(w->known.renewal, view->written, view->round_ns);
	if (view->round == 1)
		learn_hybrid(w, view);
	learn_pace(w, view);
	if (!view->dirty_pages || !gw_renewal_ready(w->known.renewal))
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
		another(w, view, verdict);
}

static uint64_t choose(struct gw_policy *policy, const struct gw_view *view, struct gw_set *defer)
{
	struct wws *w = (struct wws *)policy->memory;
	struct gw_renewal_outlook outlook;
	struct gw_renewal_page page;
	uint64_t cursor = 0;
	double taken = 0;

	if (!gw_renewal_ready(w->known.renewal))
		return GW_NO_FORECAST;
	if (!view->round) {
		struct census census;

		take_census(w, view->dirty, view->dirty_pages, &census);
		(void)plan(w, &census, 0, true, &w->next);
	}
	gw_renewal_look_ahead(w->known.renewal, (uint64_t)(w->next.ns * w->pace), &outlook);
	while (gw_renewal_next(w->known.renewal, &cursor, &page)) {
		if (page.class >= GW_RENEWAL_CLASSES || page.page >= view->ram_pages ||
		    !gw_set_has(view->dirty, page.page))
			continue;
		if (gw_renewal_written(&outlook, &page) <= w->next.most)
			taken += w->next.share;
		if (taken >= 1)
			taken -= 1;
		else
			gw_set_add(defer, page.page);
	}
	return (uint64_t)(w->next.leaves_out + w->next.in_vain);
}

/* --- the switch ---------------------------------------------------------------------------- */

/*
 * All known pages, because some that are clean now are written before the VM stands. Those worth to
 * be sent while it does come first: both orders are that of the chance of a touch.
 */
static void rank(struct gw_policy *policy, const struct gw_set *left, struct gw_ranking *ranking)
{
	struct wws *w = (struct wws *)policy->memory;
	const uint64_t pull_ns = (uint64_t)((double)gw_set_count(left) * w->page_ns);

	*ranking = gw_known_pages_rank(&w->known, pull_ns, NULL);
	for (w->kept = 0; w->kept < ranking->count; w->kept++)
		if ((double)w->known.ranked[w->kept].score * w->fault_ns <= w->page_ns)
			break;
}

static void keep(struct gw_policy *policy, const struct gw_set *written, struct gw_set *pull)
{
	struct wws *w = (struct wws *)policy->memory;
	uint64_t room = w->kept_most, page;

	if (!gw_renewal_ready(w->known.renewal))
		return;
	for (size_t i = 0; i < w->kept && room; i++) {
		if (!gw_set_has(pull, w->known.ranked[i].page))
			continue;
		gw_set_remove(pull, w->known.ranked[i].page);
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
        .settings = "worth=10 (0 to 1000) stop_share=0.5 (0 to 1) max_rounds=60",
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
        .keep = keep,
};
