/* SPDX-License-Identifier: MIT */
/*
 * core/migration/destination/faults.c - the destination, while pages are missing: who waits for
 * which page, and what is asked for.
 */
#include "core/migration/destination/parts.h"

static void give_zero(struct gw_actions *out, uint64_t page)
{
	gw_act(out, GW_ACT_ZERO)->page = page;
}

static void ask_for(struct gw_destination *d, struct gw_actions *out, uint64_t page)
{
	if (gw_set_has(&d->punch, page) || !d->link)
		return;
	gw_set_add(&d->punch, page);
	d->faults++;
	gw_act_send(out, (struct gw_message){.kind = GW_MSG_FAULT, .fault.page = page});
}

static struct waiter *waiter_for(struct gw_destination *d, int32_t thread)
{
	struct waiter *free_one = NULL;
	size_t i;

	for (i = 0; i < d->waiter_count; i++) {
		if (d->waiters[i].thread == thread)
			return &d->waiters[i];
		if (!d->waiters[i].thread && !free_one)
			free_one = &d->waiters[i];
	}
	return free_one;
}

static void settle_waiter(struct gw_destination *d, const struct gw_event *ev, struct waiter *w,
                          bool network)
{
	uint64_t waited = ev->now_ns - w->since_ns;

	if (network)
		gw_latencies_add(&d->latencies, waited);
	if (w->vcpu && d->running)
		d->stall_ns += waited;
	w->thread = 0;
	d->waiting--;
}

void gw_destination_fault(struct gw_destination *d, const struct gw_event *ev,
                          struct gw_actions *out)
{
	uint64_t page = ev->fault.page;
	struct waiter *w;

	if (page >= d->missing.pages || !d->armed)
		return;
	if (d->map_known && !gw_set_has(&d->missing, page)) {
		give_zero(out, page);
		return;
	}
	w = waiter_for(d, ev->fault.thread);
	if (w && (GW_PLANT != 4 || d->link)) { /* 4: forgets who waits while there is no link */
		d->waiting += !w->thread;
		*w = (struct waiter){ev->fault.thread, ev->fault.vcpu, page, ev->now_ns};
	}
	if (d->map_known)
		ask_for(d, out, page);
}

/* Whose pages are in now. */
void gw_destination_serve_waiters(struct gw_destination *d, const struct gw_event *ev)
{
	size_t i;

	for (i = 0; d->waiting && i < d->waiter_count; i++)
		if (d->waiters[i].thread && !gw_set_has(&d->missing, d->waiters[i].page))
			settle_waiter(d, ev, &d->waiters[i], true);
}

/* A new map came after a lost link: whoever still waits is served by it. */
void gw_destination_ask_again(struct gw_destination *d, const struct gw_event *ev,
                              struct gw_actions *out)
{
	size_t i;

	d->unserved = false;
	for (i = 0; i < d->waiter_count; i++) {
		struct waiter *w = &d->waiters[i];

		if (!w->thread)
			continue;
		if (out->count + 8 > GW_ACTIONS_MAX) {
			d->unserved = true;
			return;
		}
		if (gw_set_has(&d->missing, w->page)) {
			ask_for(d, out, w->page);
		} else {
			give_zero(out, w->page);
			settle_waiter(d, ev, w, false);
		}
	}
}
