/* SPDX-License-Identifier: MIT */
/*
 * split: measured rates of writing and reading say which part of memory goes before the switch
 * (S5).
 *
 *     V1 = V lw / (lw + lr)   sent iteratively: pages read most first, then pages that nothing
 *                             touched, then pages by how seldom they were written
 *     V3 = V - V1             never sent before the switch, pulled after it: on demand at the whole
 *                             rate, in the background at eta of it
 *
 * What lw and lr are. In equation 2 the volume written while v_(i-1) is sent is v_(i-1) lw / mu: a
 * volume that must be sent again, so that a page written ten times meanwhile counts once. A round
 * takes seconds, so lw is the pages written during the observation, each once, by its length. Reads
 * are sampled in some of the windows only; in those the pages read are counted, each once, and the
 * pages written, and lr is to lw as the one is to the other.
 *
 * The rounds are those of the model (core/model/hybrid.h), n + 1 passes over what is dirty of V1;
 * what is left of it then, at most l, goes while the VM stands. Where the model diverges, lw >= mu,
 * one pass is made, and what is left of V1 beyond l is pulled, too.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/model/hybrid.h"
#include "core/policy/kinds.h"
#include "core/policy/known_pages.h"
#include "core/setting.h"

/* What is written, or touched, in so long tells pages apart: as far ahead as it looks back. */
#define HORIZON_NS GW_OBSERVES_NS

struct split {
	uint64_t share;      /* eta, thousandths */
	uint64_t stop_bytes; /* l; 0: what the link carries in the downtime limit */
	struct gw_known_pages pages;
	struct gw_set first; /* V1, once it is chosen */
	struct gw_set known;
	bool observed;
	double write_rate, read_rate; /* bytes/s */
	uint64_t rounds;              /* that are to be made */
	uint64_t stop_pages;          /* of V1, that may go while the VM stands */
};

_Static_assert(sizeof(struct split) <= GW_POLICY_MEMORY, "fits");

static void init(struct gw_policy *policy)
{
	*(struct split *)policy->memory = (struct split){.share = 1000};
}

static int set(struct gw_policy *policy, const char *key, const char *value)
{
	struct split *s = (struct split *)policy->memory;
	uint64_t share;

	if (!strcmp(key, "background_share")) {
		if (gw_setting_share(value, &share) || !share)
			return -EINVAL;
		s->share = share;
		return 0;
	}
	if (!strcmp(key, "stop_limit"))
		return gw_setting_number(value, 0, (uint64_t)1 << 50, &s->stop_bytes);
	return -ENOENT;
}

static size_t bytes(const struct gw_policy *policy, uint64_t ram_pages)
{
	(void)policy;
	return gw_known_pages_bytes(ram_pages) + 2 * gw_set_words(ram_pages) * sizeof(uint64_t);
}

/* --- the rates ------------------------------------------------------------------------------- */

static uint64_t add_all(struct gw_set *to, const struct gw_run *runs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		gw_set_add_run(to, runs[i]);
	return gw_set_count(to);
}

/* Both sets are free until the rates are known. */
static void measure(struct split *s, const struct gw_observation *o)
{
	uint64_t ns = 0, sampled_ns = 0, written = 0, read = 0;
	double bytes_a_page;

	for (size_t i = 0; i < o->count; i++) {
		ns += o->windows[i].length_ns;
		written = add_all(&s->first, o->windows[i].written, o->windows[i].written_count);
	}
	s->observed = ns > 0;
	if (!ns)
		return;
	bytes_a_page = GW_PAGE_BYTES * 1e9 / (double)ns;
	s->write_rate = (double)written * bytes_a_page;
	gw_set_clear(&s->first);
	for (size_t i = 0, w = 0; i < o->count; i++) {
		const struct gw_window *window = &o->windows[i];

		if (!window->read_sampled)
			continue;
		sampled_ns += window->length_ns;
		read = add_all(&s->known, window->read, window->read_count);
		w = add_all(&s->first, window->written, window->written_count);
		s->read_rate = w ? s->write_rate * (double)read / (double)w
		                 : (double)read * GW_PAGE_BYTES * 1e9 / (double)sampled_ns;
	}
	gw_set_clear(&s->first);
	gw_set_clear(&s->known);
}

static void start(struct gw_policy *policy, void *memory, uint64_t ram_pages,
                  const struct gw_observation *observation)
{
	struct split *s = (struct split *)policy->memory;
	uint64_t *words = gw_known_pages_start(&s->pages, memory, ram_pages, observation);

	gw_set_init(&s->first, words, ram_pages);
	gw_set_init(&s->known, words + gw_set_words(ram_pages), ram_pages);
	measure(s, observation);
}

/* --- before the first pass ------------------------------------------------------------------- */

static uint64_t stop_bytes(const struct split *s, const struct gw_view *view)
{
	uint64_t bytes = s->stop_bytes
	                         ? s->stop_bytes
	                         : gw_rate_carries(gw_view_rate(view), view->downtime_limit_ns);

	return bytes ? bytes : GW_PAGE_BYTES;
}

static int model(const struct split *s, const struct gw_view *view, struct gw_model_times *times,
                 const char **why)
{
	const struct gw_model_input input = {
	        .volume = (double)view->populated_pages * GW_PAGE_BYTES,
	        .bandwidth = (double)gw_view_rate(view),
	        .write_rate = s->write_rate,
	        .read_rate = s->read_rate,
	        .stop_limit = (double)stop_bytes(s, view),
	        .background_share = (double)s->share / 1000,
	};

	return gw_model(GW_MODEL_HYBRID, &input, times, why);
}

/* Before the move starts: what it takes. A rate that nobody told is told anew after a round. */
static void announce(struct split *s, const struct gw_view *view, struct gw_verdict *verdict)
{
	double volume = (double)view->populated_pages * GW_PAGE_BYTES,
	       link = (double)gw_view_rate(view);
	bool known = view->bandwidth_bytes_per_s || view->limit_bytes_per_s;
	struct gw_model_times times;
	const char *why;

	if (model(s, view, &times, &why)) {
		gw_verdict_say(verdict, GW_POST_COPY, "no model of it: %s", why);
		return;
	}
	s->rounds = s->write_rate < link ? times.rounds + 1 : 1;
	if (s->write_rate >= link)
		gw_verdict_say(verdict, GW_CONTINUE,
		               "written %.1f MB/s, the link carries %s%.1f: iterations diverge, V1 "
		               "goes once and the rest is pulled",
		               s->write_rate / 1e6, known ? "" : "perhaps ", link / 1e6);
	else
		gw_verdict_say(
		        verdict, GW_CONTINUE,
		        "V1 %.1f of %.1f MB (written %.1f, read %.1f MB/s) in %llu rounds at "
		        "%s%.1f MB/s: Tm %.2f s, Td %.2f s",
		        volume / 1e6 * s->write_rate / (s->write_rate + s->read_rate), volume / 1e6,
		        s->write_rate / 1e6, s->read_rate / 1e6, (unsigned long long)s->rounds,
		        known ? "" : "perhaps ", link / 1e6, times.total_s, times.unavailable_s);
}

static void begin(struct split *s, const struct gw_view *view, struct gw_verdict *verdict)
{
	if (!s->observed) {
		s->rounds = 1;
		gw_verdict_say(verdict, GW_CONTINUE,
		               "the VM was not observed, its rates are not known: one pass over "
		               "%llu pages, as hybrid",
		               (unsigned long long)view->populated_pages);
		return;
	}
	if (s->write_rate + s->read_rate > 0 && s->write_rate > 0 && view->populated_pages) {
		announce(s, view, verdict);
		return;
	}
	gw_verdict_say(verdict, GW_POST_COPY, "nothing was written: V1 = 0, %llu pages to pull",
	               (unsigned long long)view->populated_pages);
}

/* Pages read, the most read first; pages written only, the seldomest first. */
static size_t collect(struct split *s, const struct gw_set *of, bool read)
{
	struct gw_renewal_outlook soon;
	struct gw_renewal_page page;
	uint64_t cursor = 0;
	size_t count = 0;

	gw_renewal_look_ahead(s->pages.renewal, HORIZON_NS, &soon);
	while (gw_renewal_next(s->pages.renewal, &cursor, &page)) {
		double stays = 1 - gw_renewal_written(&soon, &page);

		if (page.page >= of->pages || !gw_set_has(of, page.page) ||
		    (page.read_share > 0) != read)
			continue;
		gw_set_add(&s->known, page.page);
		s->pages.ranked[count++] =
		        (struct gw_ranked){(uint32_t)page.page, read        ? page.read_share
		                                                : stays > 0 ? (float)stays
		                                                            : 0};
	}
	gw_rank(s->pages.ranked, s->pages.spare, count);
	return count;
}

static uint64_t take(struct split *s, size_t count, uint64_t room)
{
	for (size_t i = 0; i < count && room; i++, room--)
		gw_set_add(&s->first, s->pages.ranked[i].page);
	return room;
}

static void choose_first(struct split *s, const struct gw_view *view)
{
	double share = s->observed ? s->write_rate / (s->write_rate + s->read_rate) : 1;
	uint64_t room = (uint64_t)(share * (double)view->dirty_pages + 0.5), at = 0;
	struct gw_run run;
	size_t count;

	room = take(s, collect(s, view->dirty, true), room);
	count = collect(s, view->dirty, false);
	while (room && gw_set_next_run(view->dirty, at, room, &run)) {
		uint64_t gap = gw_set_next_gap_before(&s->known, run.first, run.first + run.count);

		/* `known` now holds all that was touched: what is not in it was not. */
		at = gap;
		if (gap > run.first)
			continue;
		run.count = gw_set_next_before(&s->known, gap, run.first + run.count) - run.first;
		gw_set_add_run(&s->first, run);
		room -= run.count;
		at = run.first + run.count;
	}
	(void)take(s, count, room);
}

/* --- rounds ---------------------------------------------------------------------------------- */

static void go_on(struct split *s, const struct gw_view *view, struct gw_verdict *verdict)
{
	uint64_t left = gw_set_count_common(view->dirty, &s->first);
	struct gw_model_times times;
	char announced[64] = "";
	const char *why;

	if (view->round == 1 && s->observed && !model(s, view, &times, &why))
		(void)snprintf(announced, sizeof(announced), "; at %.1f MB/s Tm %.2f s, Td %.2f s",
		               (double)gw_view_rate(view) / 1e6, times.total_s,
		               times.unavailable_s);
	s->stop_pages = s->observed ? stop_bytes(s, view) / GW_PAGE_BYTES : 0;
	if (left > s->stop_pages && view->round < s->rounds)
		gw_verdict_say(verdict, GW_CONTINUE, "%llu pages of V1 left, %llu may stop%s",
		               (unsigned long long)left, (unsigned long long)s->stop_pages,
		               announced);
	else
		gw_verdict_say(
		        verdict, GW_POST_COPY,
		        "%llu pages of V1 left, %llu may go while the VM stands, %llu are of "
		        "V3%s",
		        (unsigned long long)left, (unsigned long long)s->stop_pages,
		        (unsigned long long)(view->dirty_pages - left), announced);
}

static void decide(struct gw_policy *policy, const struct gw_view *view, struct gw_verdict *verdict)
{
	struct split *s = (struct split *)policy->memory;

	if (!view->round)
		begin(s, view, verdict);
	else
		go_on(s, view, verdict);
	if (verdict->decision == GW_POST_COPY && s->share < 1000)
		verdict->rate_bytes_per_s = gw_view_rate(view) / 1000 * s->share;
}

static uint64_t choose(struct gw_policy *policy, const struct gw_view *view, struct gw_set *defer)
{
	struct split *s = (struct split *)policy->memory;

	if (!view->round)
		choose_first(s, view);
	gw_set_copy(defer, view->dirty);
	gw_set_subtract(defer, &s->first);
	return GW_NO_FORECAST;
}

/* --- the switch ------------------------------------------------------------------------------ */

/* Those of V3 that were read most, or else written most, are the likeliest to fault. */
static void rank(struct gw_policy *policy, const struct gw_set *left, struct gw_ranking *ranking)
{
	struct split *s = (struct split *)policy->memory;

	*ranking = gw_known_pages_rank(&s->pages, HORIZON_NS, left);
}

/* What is left of V1, at most l. */
static void keep(struct gw_policy *policy, const struct gw_set *written, struct gw_set *pull)
{
	struct split *s = (struct split *)policy->memory;
	uint64_t room = s->stop_pages, page;

	(void)written;
	for (page = gw_set_next(&s->first, 0); page < pull->pages && room;
	     page = gw_set_next(&s->first, page + 1)) {
		room -= gw_set_has(pull, page);
		gw_set_remove(pull, page);
	}
}

const struct gw_policy_kind gw_policy_split = {
        .name = "split",
        .summary =
                "what the VM's rates of writing and reading say iteratively, the rest pulled (S5)",
        .settings = "background_share=1 (above 0, to 1) stop_limit=0 (bytes; 0: by --downtime)",
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
