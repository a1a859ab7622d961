/* SPDX-License-Identifier: MIT */
#include "live/net/pacing.h"

#define FIRST_GAIN    105 /* per cent of the link: the first offer of more */
#define LAST_GAIN     200
#define DRAIN_GAIN    50                    /* while the queue that was caused empties */
#define DRAIN_NS      UINT64_C(10000000000) /* at most so long */
#define START_WINDOWS 20 /* unpaced at most so long, while TCP finds the rate by itself */
#define LUMPS         80 /* per cent: acknowledgements are for 64 KiB at a time */
#define SHORT_WINDOWS 3  /* so many in a row, and the link has become slower */
#define SHORT_OF      90 /* per cent of what was offered */
#define FLOOR         50 /* per cent of the most that was believed: no step falls below */
#define FORGET        75 /* per cent of it that are left when the link has fallen short */
#define DRY_SHARE     10 /* per cent of a window that the link may be kept waiting */
#define ROUND_TRIPS   4  /* in a short window: TCP doubles what is in flight in one */
#define SHORTEST_NS   UINT64_C(10000000)

static uint64_t percent(uint64_t of, uint64_t share)
{
	return of / 100 * share + of % 100 * share / 100;
}

static uint64_t between(uint64_t least, uint64_t value, uint64_t most)
{
	return value < least ? least : value > most ? most : value;
}

void gw_pacer_init(struct gw_pacer *pacer, uint64_t limit_bytes_per_s, uint64_t rtt_ns)
{
	*pacer = (struct gw_pacer){.share = GW_PACER_SHARE,
	                           .gain = GW_PACER_SHARE,
	                           .next_gain = FIRST_GAIN,
	                           .probe_every = GW_PACER_PROBE_EVERY};
	pacer->short_ns = between(SHORTEST_NS, ROUND_TRIPS * rtt_ns, GW_PACER_WINDOW_NS);
	gw_pacer_limit(pacer, limit_bytes_per_s);
}

static void set_rate(struct gw_pacer *pacer)
{
	uint64_t rate = percent(pacer->link_bytes_per_s, pacer->gain);

	if (pacer->limit_bytes_per_s && (!rate || rate > pacer->limit_bytes_per_s))
		rate = pacer->limit_bytes_per_s;
	pacer->rate_bytes_per_s = rate;
}

/*
 * A sender or receiver without a processor looks like a slow link. Belief in one must not feed on
 * itself: what is not offered is not measured. So it falls by steps, and has time to rise between.
 */
static void believe(struct gw_pacer *pacer, uint64_t link_bytes_per_s)
{
	uint64_t least = percent(pacer->most_bytes_per_s, FLOOR);

	pacer->link_bytes_per_s = link_bytes_per_s > least ? link_bytes_per_s : least;
	if (pacer->link_bytes_per_s > pacer->most_bytes_per_s)
		pacer->most_bytes_per_s = pacer->link_bytes_per_s;
}

void gw_pacer_limit(struct gw_pacer *pacer, uint64_t limit_bytes_per_s)
{
	pacer->limit_bytes_per_s = limit_bytes_per_s;
	set_rate(pacer);
}

void gw_pacer_learned(struct gw_pacer *pacer, uint64_t link_bytes_per_s)
{
	believe(pacer, link_bytes_per_s);
	set_rate(pacer);
}

void gw_pacer_shaped(struct gw_pacer *pacer)
{
	if (pacer->gain == pacer->share)
		pacer->gain = 100;
	pacer->share = 100;
	set_rate(pacer);
}

static void begin_drain(struct gw_pacer *pacer)
{
	pacer->windows = 0;
	pacer->gain = DRAIN_GAIN;
}

/* The middle one of three windows; 0 if they differ by more than acknowledgements come in lumps. */
static uint64_t level(const uint64_t of[GW_PACER_LEVEL])
{
	uint64_t least = of[0] < of[1] ? of[0] : of[1], most = of[0] < of[1] ? of[1] : of[0];
	uint64_t middle = between(least, of[2], most);

	least = of[2] < least ? of[2] : least;
	most = of[2] > most ? of[2] : most;
	return least < percent(most, LUMPS) ? 0 : middle;
}

/*
 * Before the link is known: wait until TCP no longer gains a tenth a window, and windows are alike:
 * in the first ones a token bucket is still full, in others somebody had no processor.
 */
static uint64_t find(struct gw_pacer *pacer, uint64_t measured)
{
	uint64_t best = pacer->best_bytes_per_s, link;

	if (measured > best)
		pacer->best_bytes_per_s = measured;
	if (measured > percent(best, 110))
		pacer->levels = 0;
	else
		pacer->level[pacer->levels++ % GW_PACER_LEVEL] = measured;
	link = pacer->levels < GW_PACER_LEVEL ? 0 : level(pacer->level);
	if (!link && ++pacer->windows >= START_WINDOWS)
		link = pacer->best_bytes_per_s;
	return link;
}

static void start(struct gw_pacer *pacer, uint64_t measured)
{
	uint64_t link = find(pacer, measured);

	if (!link)
		return;
	believe(pacer, link);
	/* Where the user's limit was reached, the link carries more: all of the limit is used. */
	if (pacer->limit_bytes_per_s && link >= percent(pacer->limit_bytes_per_s, 97))
		believe(pacer, percent(pacer->limit_bytes_per_s, 106));
	pacer->best_bytes_per_s = 0;
	begin_drain(pacer);
}

/* As long as more is acknowledged than is offered, a queue is emptying. */
static void drain(struct gw_pacer *pacer, uint64_t measured)
{
	if (measured > percent(pacer->link_bytes_per_s, DRAIN_GAIN + 35) &&
	    ++pacer->windows * pacer->short_ns < DRAIN_NS)
		return;
	pacer->gain = pacer->share;
	pacer->windows = 0;
}

/* An offer of more ended: did the link take it? */
static void judge_offer(struct gw_pacer *pacer, uint64_t measured, bool dry)
{
	uint64_t link = pacer->link_bytes_per_s, least = percent(link, 98);
	bool was_more =
	        pacer->rate_bytes_per_s >= link; /* unless the user's limit was in the way */

	if (measured <= percent(link, 102)) {
		pacer->next_gain = FIRST_GAIN;
		if (pacer->probe_every < GW_PACER_PROBE_SELDOM)
			pacer->probe_every *= 2;
		/* What it carried of more than it can is what it can; one bad window says little.
		 */
		if (measured < link && was_more && !dry)
			believe(pacer, measured > least ? measured : least);
		begin_drain(pacer);
		return;
	}
	believe(pacer, measured);
	pacer->gain = pacer->share;
	pacer->next_gain = 100 + (pacer->next_gain - 100) * 2;
	if (pacer->next_gain > LAST_GAIN)
		pacer->next_gain = LAST_GAIN;
	/* After a window to drain what the offer may have queued, the next one. */
	pacer->probe_every = GW_PACER_PROBE_EVERY;
	pacer->windows = GW_PACER_PROBE_EVERY - 1;
}

/* Carried less than offered, window after window: the link is what it carried at best. */
static bool fell_short(struct gw_pacer *pacer, uint64_t measured, bool dry)
{
	if (measured >= percent(pacer->rate_bytes_per_s, SHORT_OF)) {
		pacer->short_windows = 0;
		pacer->best_bytes_per_s = 0;
		return false;
	}
	if (dry)
		return true;
	if (measured > pacer->best_bytes_per_s)
		pacer->best_bytes_per_s = measured;
	if (++pacer->short_windows < SHORT_WINDOWS)
		return true;
	if (pacer->best_bytes_per_s)
		believe(pacer, pacer->best_bytes_per_s);
	pacer->most_bytes_per_s = percent(pacer->most_bytes_per_s, FORGET);
	pacer->short_windows = 0;
	pacer->best_bytes_per_s = 0;
	pacer->next_gain = FIRST_GAIN;
	pacer->probe_every = GW_PACER_PROBE_EVERY;
	begin_drain(pacer);
	return true;
}

static void judge(struct gw_pacer *pacer, uint64_t measured, bool dry)
{
	if (!pacer->link_bytes_per_s) {
		start(pacer, measured);
	} else if (pacer->gain == DRAIN_GAIN) {
		drain(pacer, measured);
	} else if (pacer->gain > pacer->share) {
		judge_offer(pacer, measured, dry);
	} else if (!fell_short(pacer, measured, dry) && ++pacer->windows >= pacer->probe_every) {
		pacer->gain = pacer->next_gain;
	}
	set_rate(pacer);
}

/* Where a queue stands, or is being caused, what is to be seen is seen soon. */
static uint64_t window_ns(const struct gw_pacer *pacer)
{
	bool queued = !pacer->link_bytes_per_s || pacer->gain == DRAIN_GAIN;

	return queued ? pacer->short_ns : GW_PACER_WINDOW_NS;
}

static void open_window(struct gw_pacer *pacer, uint64_t now_ns, const struct gw_pacer_look *look)
{
	pacer->started = true;
	pacer->busy = look->busy;
	pacer->dry_ns = 0;
	pacer->window_start_ns = now_ns;
	pacer->window_acked_bytes = look->acked_bytes;
}

uint64_t gw_pacer_update(struct gw_pacer *pacer, uint64_t now_ns, const struct gw_pacer_look *look)
{
	uint64_t took_ns = now_ns - pacer->window_start_ns;
	uint64_t acked = look->acked_bytes - pacer->window_acked_bytes;

	pacer->busy &= look->busy;
	pacer->dry_ns += look->dry ? now_ns - pacer->last_ns : 0;
	pacer->last_ns = now_ns;
	if (pacer->started && took_ns < window_ns(pacer))
		return pacer->rate_bytes_per_s;
	if (pacer->started && pacer->busy)
		judge(pacer, (uint64_t)((double)acked * 1e9 / (double)took_ns),
		      pacer->dry_ns > percent(took_ns, DRY_SHARE));
	open_window(pacer, now_ns, look);
	return pacer->rate_bytes_per_s;
}
