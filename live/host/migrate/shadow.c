/* SPDX-License-Identifier: MIT */
/*
 * live/host/migrate/shadow.c - the source's agent, where the push order wants a copy of the VM that
 * runs ahead: between live/host/shadow.h and the machine.
 */
#include "live/host/migrate/parts.h"

/* It starts while the destination starts its hypervisor. */
void gw_migrate_prepare_shadow(struct agent *a)
{
	struct gw_shadow_limits limits;
	struct gw_error error;

	gw_shadow_limits_init(&limits);
	if (!a->guest)
		gw_migrate_queue(a, GW_EV_SHADOW_GONE, "the hypervisor is gone");
	else if (gw_shadow_prepare(&a->shadow, a->guest, &a->ram, &limits, &error))
		gw_migrate_queue(a, GW_EV_SHADOW_GONE, error.text);
}

void gw_migrate_end_shadow(struct agent *a)
{
	gw_shadow_close(a->shadow);
	a->shadow = NULL;
}

void gw_migrate_tell_shadow(struct agent *a, enum gw_action_kind what)
{
	if (!a->shadow)
		return;
	if (what == GW_ACT_SHADOW_RUN)
		gw_shadow_run(a->shadow);
	else if (what == GW_ACT_SHADOW_END)
		gw_shadow_kill(a->shadow);
	else
		gw_shadow_hold(a->shadow, what == GW_ACT_SHADOW_HOLD);
}

/* Of the buffer; 0 bytes: that was all. */
void gw_migrate_feed_shadow(struct agent *a, size_t count)
{
	if (!a->shadow)
		return;
	if (!count)
		gw_shadow_feed_end(a->shadow);
	else if (gw_shadow_feed(a->shadow, a->buffer, count))
		gw_shadow_kill(a->shadow);
}

static void lose_shadow(struct agent *a, const char *why)
{
	gw_migrate_queue(a, GW_EV_SHADOW_GONE, why);
	gw_migrate_end_shadow(a);
}

void gw_migrate_read_shadow(struct agent *a)
{
	struct gw_shadow_report report;
	struct gw_event event;

	while (a->shadow && !a->finished && gw_shadow_next(a->shadow, &report)) {
		event = (struct gw_event){.kind = GW_EV_TOUCHED};
		switch (report.kind) {
		case GW_SHADOW_READY: a->shadow_ready = true; break;
		case GW_SHADOW_STARTED: gw_migrate_queue(a, GW_EV_SHADOW_STARTED, NULL); break;
		case GW_SHADOW_GONE: lose_shadow(a, report.text); break;
		case GW_SHADOW_TOUCHED:
			event.touched.runs = report.runs;
			event.touched.count = report.count;
			gw_migrate_step(a, &event);
			break;
		}
		gw_migrate_drain_queue(a);
	}
}
