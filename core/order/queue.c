/* SPDX-License-Identifier: MIT */
/*
 * queue: first what the guest is about to need, as the shadow shows (S4).
 *
 *   1  pages waited for           on the urgent connection, before any order
 *   2  pages the shadow touched   in first-touch order
 *   3  neighbours of faults       core/order/bubbles.h
 *   4  the rest                   as the policy ranks it, then linearly from the last fault on
 *
 *     touched   5 9 2 7 8 ....    each page once
 *                   ^ head        left of it handed out; with a new link it goes back to the start
 *
 * Where it leaves out a page or two between others that it touched, the guest, which may do
 * otherwise, gets them too; but not where it leaves out so many that this is how the program
 * strides.
 *
 *     touched   5 6 . 8      pushed   5 6 7 8
 *
 * A shadow is no oracle: interrupts, time and input are its own. A window of faults that it hardly
 * foretold, better than chance would, takes the priority from its pages. While they have none it
 * can show what it is worth: pages that come in time do not fault, so that before only its failures
 * were seen. When it has won the priority back it takes four times as many faults to lose it again.
 */
#include <errno.h>
#include <string.h>

#include "core/order/bubbles.h"
#include "core/order/kinds.h"
#include "core/setting.h"

#define TOUCHED_MAX ((uint64_t)1 << 20) /* of them waiting, 4 GiB */
#define WINDOW_MAX  ((uint64_t)1 << 20)

#define GAP_MAX     2  /* pages */
#define GAPS_WINDOW 32 /* pages handed out ... */
#define GAPS_MAX    16 /* ... with so many gaps: more are a stride */

struct queue {
	struct gw_bubbles bubbles;
	struct gw_set touched; /* ever */
	struct gw_set waiting; /* of these, to be sent */
	struct gw_set sent;    /* of these, handed out in their order since the link stands */
	struct gw_set missed;  /* not foretold, of this judgement's faults */
	uint64_t *log;         /* in first-touch order */
	size_t head, count, room;
	unsigned popped, gaps; /* in this window of gaps */
	bool strides;          /* as the last one showed */
	size_t rank;
	uint64_t cursor;
	bool again;              /* what waits is to be found out anew */
	uint64_t window;         /* setting: faults of a judgement */
	uint64_t lost, won_back; /* settings, thousandths: priority is lost below, won back from */
	uint64_t patience;       /* faults of the next judgement */
	unsigned faults, right;  /* since the last one */
};

_Static_assert(sizeof(struct queue) <= GW_ORDER_MEMORY, "fits");

static struct queue *queue_of(struct gw_order *order)
{
	return (struct queue *)order->memory;
}

static void init(struct gw_order *order)
{
	struct queue *q = queue_of(order);

	order->foresight.ahead_ns = 300000000;
	q->bubbles.pivots = 8;
	q->window = 32;
	q->lost = 250;
	q->won_back = 800;
}

static int set(struct gw_order *order, const char *key, const char *value)
{
	struct queue *q = queue_of(order);

	if (!strcmp(key, "ahead"))
		return gw_setting_duration(value, &order->foresight.ahead_ns);
	if (!strcmp(key, "window"))
		return gw_setting_number(value, 1, WINDOW_MAX, &q->window);
	if (!strcmp(key, "astray"))
		return gw_setting_share(value, &q->lost);
	if (!strcmp(key, "trusted"))
		return gw_setting_share(value, &q->won_back);
	return gw_bubbles_set(&q->bubbles, key, value);
}

static uint64_t room_for(uint64_t ram_pages)
{
	return ram_pages < TOUCHED_MAX ? ram_pages : TOUCHED_MAX;
}

static size_t bytes(const struct gw_order *order, uint64_t ram_pages)
{
	(void)order;
	return (4 * gw_set_words(ram_pages) + (size_t)room_for(ram_pages)) * sizeof(uint64_t);
}

static void attach(struct gw_order *order, void *memory, uint64_t ram_pages)
{
	struct queue *q = queue_of(order);
	size_t n = gw_set_words(ram_pages);
	uint64_t *words = memory;

	gw_set_init(&q->touched, words, ram_pages);
	gw_set_init(&q->waiting, words + n, ram_pages);
	gw_set_init(&q->sent, words + 2 * n, ram_pages);
	gw_set_init(&q->missed, words + 3 * n, ram_pages);
	q->log = words + 4 * n;
	q->room = (size_t)room_for(ram_pages);
	q->patience = q->window;
}

static void start(struct gw_order *order, uint64_t now_ns)
{
	struct queue *q = queue_of(order);

	(void)now_ns;
	gw_bubbles_start(&q->bubbles);
	q->cursor = q->head = q->rank = 0;
	q->again = true;
	gw_set_clear(&q->sent);
}

static void look_again(struct gw_order *order, const struct gw_set *left)
{
	struct queue *q = queue_of(order);

	if (!q->again)
		return;
	q->again = false;
	gw_set_copy(&q->waiting, &q->touched);
	gw_set_intersect(&q->waiting, left);
	order->foresight.waiting_pages = gw_set_count(&q->waiting);
}

/* Forgets those that were handed out. */
static void make_room(struct queue *q)
{
	size_t kept = 0;

	for (size_t i = q->head; i < q->count; i++)
		if (gw_set_has(&q->waiting, q->log[i]))
			q->log[kept++] = q->log[i];
	q->head = 0;
	q->count = kept;
}

static bool touch(struct gw_order *order, const struct gw_set *left, uint64_t page)
{
	struct queue *q = queue_of(order);

	if (gw_set_has(&q->touched, page))
		return true;
	if (q->count == q->room)
		make_room(q);
	if (q->count == q->room)
		return false;
	q->log[q->count++] = page;
	gw_set_add(&q->touched, page);
	if (gw_set_has(&q->missed, page)) { /* right, but late */
		gw_set_remove(&q->missed, page);
		q->right++;
	}
	order->foresight.touched_pages++;
	if (gw_set_has(left, page)) {
		gw_set_add(&q->waiting, page);
		order->foresight.waiting_pages++;
	}
	return true;
}

static void touched(struct gw_order *order, const struct gw_set *left, const struct gw_run *runs,
                    size_t count)
{
	look_again(order, left);
	for (size_t i = 0; i < count; i++) {
		uint64_t end = runs[i].first + runs[i].count;

		if (end > left->pages || end < runs[i].first)
			continue;
		for (uint64_t page = runs[i].first; page < end; page++)
			if (!touch(order, left, page))
				return;
	}
}

/* In thousandths how much better than chance it foretold, which is right where much is waiting. */
static uint64_t skill(const struct gw_order *order, const struct gw_set *left, uint64_t right,
                      uint64_t faults)
{
	uint64_t all = gw_set_count(left), share = right * 1000 / faults;
	uint64_t chance = all ? order->foresight.waiting_pages * 1000 / all : 0;

	if (chance >= 1000)
		return 1000; /* there is no other page */
	return share > chance ? (share - chance) * 1000 / (1000 - chance) : 0;
}

/* A page that the shadow touches soon after its fault was foretold too late, but not wrongly. */
static void judge(struct gw_order *order, const struct gw_set *left, uint64_t page, bool right)
{
	struct gw_foresight *f = &order->foresight;
	struct queue *q = queue_of(order);
	uint64_t worth;

	q->faults++;
	q->right += right;
	if (!right)
		gw_set_add(&q->missed, page);
	if (q->faults < (f->astray ? q->window : q->patience))
		return;
	worth = skill(order, left, q->right, q->faults);
	f->judged = q->faults;
	f->right = q->right;
	q->faults = q->right = 0;
	gw_set_clear(&q->missed);
	if (!f->astray && worth < q->lost) {
		f->astray = true;
	} else if (f->astray && worth >= q->won_back) {
		f->astray = false;
		if (q->patience < WINDOW_MAX)
			q->patience *= 4;
	}
}

/* True if it did until now. */
static bool waits_no_more(struct gw_order *order, uint64_t page)
{
	struct queue *q = queue_of(order);

	if (!gw_set_has(&q->waiting, page))
		return false;
	gw_set_remove(&q->waiting, page);
	order->foresight.waiting_pages--;
	return true;
}

static void fault(struct gw_order *order, const struct gw_set *left, uint64_t page, uint64_t now_ns)
{
	struct gw_foresight *f = &order->foresight;
	struct queue *q = queue_of(order);
	bool foretold = gw_set_has(&q->touched, page);

	(void)now_ns;
	look_again(order, left);
	(void)waits_no_more(order, page);
	if (gw_bubbles_fault(&q->bubbles, page))
		q->cursor = page;
	if (!f->touched_pages)
		return;
	f->faults++;
	f->foretold += foretold;
	judge(order, left, page, foretold);
}

/* How many pages right before this one are missing and untouched, between it and another touched.
 */
static uint64_t gap_before(const struct queue *q, const struct gw_set *left, uint64_t page)
{
	uint64_t gap = 0;

	while (gap <= GAP_MAX && gap < page && gw_set_has(left, page - gap - 1) &&
	       !gw_set_has(&q->touched, page - gap - 1))
		gap++;
	return gap && gap <= GAP_MAX && gap < page && gw_set_has(&q->touched, page - gap - 1) ? gap
	                                                                                      : 0;
}

static void watch_gaps(struct queue *q, bool gap)
{
	q->gaps += gap;
	if (++q->popped < GAPS_WINDOW)
		return;
	q->strides = q->gaps > GAPS_MAX;
	q->popped = q->gaps = 0;
}

/* With what it leaves out before it. */
static void hand_out(struct queue *q, struct gw_run *runs, size_t *count, uint64_t page,
                     uint64_t gap)
{
	for (uint64_t at = page - gap; at <= page; at++) {
		gw_set_add(&q->sent, at);
		gw_order_append(runs, count, at);
	}
}

static size_t pop(struct gw_order *order, const struct gw_set *left, struct gw_run *runs,
                  size_t max_runs, uint64_t max_pages)
{
	struct queue *q = queue_of(order);
	size_t n = 0;

	for (; q->head < q->count && n < max_runs && max_pages; q->head++) {
		uint64_t page = q->log[q->head];
		uint64_t gap = gap_before(q, left, page), filled = q->strides ? 0 : gap;

		if (!gw_set_has(left, page)) {
			(void)waits_no_more(order, page);
			continue;
		}
		if (filled >= max_pages && n)
			break; /* the next frame has room for both */
		if (filled >= max_pages)
			filled = 0;
		(void)waits_no_more(order, page);
		watch_gaps(q, gap != 0);
		hand_out(q, runs, &n, page, filled);
		max_pages -= filled + 1;
	}
	return n;
}

static bool comes_next(const struct gw_order *order, uint64_t page)
{
	return gw_set_has(&((const struct queue *)order->memory)->sent, page);
}

static size_t choose(struct gw_order *order, const struct gw_set *left, struct gw_run *runs,
                     size_t max_runs, uint64_t max_pages)
{
	struct queue *q = queue_of(order);
	size_t n = 0;

	if (!order->foresight.astray)
		n = pop(order, left, runs, max_runs, max_pages);
	if (!n)
		n = gw_bubbles_next(&q->bubbles, left, runs, max_runs, max_pages);
	if (!n)
		n = gw_order_ranked(&q->rank, &order->likely, left, runs, max_runs, max_pages);
	return n ? n : gw_order_scan(&q->cursor, left, runs, max_runs, max_pages);
}

static size_t next(struct gw_order *order, const struct gw_set *left, uint64_t now_ns,
                   struct gw_run *runs, size_t max_runs, uint64_t max_pages)
{
	struct queue *q = queue_of(order);
	size_t n;

	(void)now_ns;
	look_again(order, left);
	n = choose(order, left, runs, max_runs, max_pages);
	for (size_t i = 0; i < n; i++) {
		order->foresight.waiting_pages -= gw_set_count_run(&q->waiting, runs[i]);
		gw_set_remove_run(&q->waiting, runs[i]);
	}
	return n;
}

const struct gw_order_kind gw_order_queue = {
        .name = "queue",
        .summary = "what a copy that runs ahead at the source touches first (S4)",
        .settings = "ahead=300ms window=32 astray=0.25 trusted=0.8 pivots=8 (to 64) "
                    "direction=both (both|forward)",
        .init = init,
        .set = set,
        .start = start,
        .fault = fault,
        .next = next,
        .bytes = bytes,
        .attach = attach,
        .comes_next = comes_next,
        .touched = touched,
};
