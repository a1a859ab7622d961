/* SPDX-License-Identifier: MIT */
/*
 * live/host/migrate/rate.c - the source's agent: how fast bulk may go, and how urgent pages get
 * before it.
 */
#include <stdio.h>

#include "live/host/clock.h"
#include "live/host/migrate/parts.h"
#include "live/net/classes.h"

#define BULK_LEAST 20 /* part of the limit, however many pages are urgent */

static uint64_t lower_rate(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

/* The user's limit, or what the move was granted: the lower. */
static uint64_t limit_of(const struct agent *a)
{
	return lower_rate(a->options->bandwidth_bytes_per_s, a->granted_rate);
}

static void set_pace(struct agent *a, uint64_t rate)
{
	if (!a->link.up || rate == a->paced_rate)
		return;
	a->paced_rate = rate;
	(void)gw_net_pace(a->link.bulk, rate, NULL);
}

/* Control is urgent, too: it carries the device state, for which the VM stands. */
static int mark(const struct agent *a, struct gw_error *error)
{
	const int urgent[] = {gw_mailbox_fd(a->link.control), gw_mailbox_fd(a->link.urgent)};
	uint32_t class = a->options->traffic_class;
	int err = class ? gw_classes_mark_bulk(class, a->link.bulk, error)
	                : gw_shaping_mark_bulk(&a->shaping, a->link.bulk, error);

	for (int i = 0; !err && i < 2; i++)
		err = class ? gw_classes_mark_urgent(class, urgent[i], error)
		            : gw_shaping_mark_urgent(&a->shaping, urgent[i], error);
	return err;
}

/* Takes effect only where nobody else has shaped the device; *error says why not. */
static bool shape(struct agent *a, uint64_t rate, struct gw_error *error)
{
	if (gw_shaping_install(&a->shaping, a->link.bulk, rate, error))
		return false;
	if (!mark(a, error))
		return true;
	gw_shaping_remove(&a->shaping);
	return false;
}

/* The class leaves urgent pages their share: bulk need not. */
static void use_all(struct agent *a)
{
	gw_pacer_shaped(&a->pacer);
	gw_pacer_limit(&a->pacer, limit_of(a));
}

static void describe_shaping(struct agent *a, const struct gw_error *error)
{
	(void)snprintf(
	        a->result->shaping, sizeof(a->result->shaping), "%s%.120s",
	        a->shaped ? "an HTB class of highest priority" : "paced bulk only: ", error->text);
}

static void shape_once(struct agent *a, uint64_t rate)
{
	struct gw_error error = {{0}};

	a->shaping_tried = true;
	a->shaped = shape(a, gw_net_with_headers(a->link.bulk, rate), &error);
	a->shaped_rate = rate;
	if (a->shaped)
		use_all(a);
	describe_shaping(a, &error);
}

/* Into the class that was given to this move, or into its own, where it has made some. */
void gw_migrate_mark_connections(struct agent *a)
{
	struct gw_error error = {{0}};

	if (a->options->traffic_class) {
		a->shaped = !mark(a, &error);
		describe_shaping(a, &error);
	} else if (a->shaped) {
		(void)mark(a, NULL);
	}
	a->urgent_acked = a->urgent_rate = a->urgent_looked_ns = 0;
}

/*
 * The class is of the link, whatever bulk offers of it now: urgent pages may use all of it. Offered
 * more than that, bulk must get through to the link to see whether it carries that.
 */
static void adapt_class(struct agent *a)
{
	uint64_t rate = a->pacer.link_bytes_per_s;

	if (!rate || a->options->traffic_class)
		return;
	if (a->pacer.rate_bytes_per_s > rate)
		rate = a->pacer.rate_bytes_per_s;
	rate = lower_rate(limit_of(a), rate);
	if (!a->shaping_tried) {
		shape_once(a, rate);
	} else if (a->shaped && rate != a->shaped_rate) {
		a->shaped_rate = rate;
		(void)gw_shaping_set_rate(&a->shaping, gw_net_with_headers(a->link.bulk, rate),
		                          NULL);
	}
}

static void begin_pacing(struct agent *a)
{
	a->pacing = true;
	gw_pacer_init(&a->pacer, limit_of(a) / 100 * GW_PACER_SHARE,
	              gw_net_rtt_ns(gw_mailbox_fd(a->link.urgent)));
	if (a->shaped)
		use_all(a);
	if (a->result->bandwidth_bytes_per_s)
		gw_pacer_learned(&a->pacer, a->result->bandwidth_bytes_per_s);
	(void)gw_net_keep_queue_short(a->link.bulk, NULL);
}

/*
 * The user's limit is of all that is sent: bulk has what urgent pages leave of it. What was granted
 * is for bulk alone; a pulled VM is granted more as soon as its state is known, and must not wait
 * for pages that are paced as before.
 */
static uint64_t beside_urgent(struct agent *a, uint64_t rate, uint64_t urgent_acked)
{
	uint64_t limit = a->options->bandwidth_bytes_per_s, least = limit / BULK_LEAST;
	uint64_t now = gw_now_ns(), passed = now - a->urgent_looked_ns;

	if (!limit)
		return rate;
	if (!a->urgent_looked_ns)
		(void)gw_net_pace(gw_mailbox_fd(a->link.urgent), limit, NULL);
	if (passed >= GW_PACER_WINDOW_NS) {
		a->urgent_rate =
		        (uint64_t)((double)(urgent_acked - a->urgent_acked) * 1e9 / (double)passed);
		a->urgent_acked = urgent_acked;
		a->urgent_looked_ns = now;
	}
	return lower_rate(rate, limit > a->urgent_rate + least ? limit - a->urgent_rate : least);
}

/*
 * After the switch urgent pages must not queue behind bulk: where we may they have a traffic class
 * of their own, before bulk's in all that the link was seen to carry; else bulk goes just below
 * that.
 */
static void pace_pull(struct agent *a)
{
	struct gw_net_flow bulk = gw_net_look(a->link.bulk);
	struct gw_net_flow urgent = gw_net_look(gw_mailbox_fd(a->link.urgent));
	struct gw_pacer_look look = {
	        .acked_bytes = bulk.acked_bytes + urgent.acked_bytes,
	        .busy = !gw_migrate_bulk_idle(a) || gw_source_wants_room(a->machine),
	        .dry = bulk.empty || bulk.unread_ns > a->unread_ns,
	};

	if (!a->pacing)
		begin_pacing(a);
	a->unread_ns = bulk.unread_ns;
	(void)gw_pacer_update(&a->pacer, gw_now_ns(), &look);
	adapt_class(a);
	set_pace(a, beside_urgent(a, a->pacer.rate_bytes_per_s, urgent.acked_bytes));
}

void gw_migrate_update_pace(struct agent *a)
{
	if (!a->link.up)
		return;
	if (gw_source_state(a->machine) == GW_STATE_PULL)
		pace_pull(a);
	else
		set_pace(a, lower_rate(limit_of(a), a->policy_rate));
}

void gw_migrate_grant(struct agent *a, uint64_t rate)
{
	a->granted_rate = rate;
	if (a->pacing)
		gw_pacer_limit(&a->pacer,
		               a->shaped ? limit_of(a) : limit_of(a) / 100 * GW_PACER_SHARE);
	gw_migrate_update_pace(a);
}
