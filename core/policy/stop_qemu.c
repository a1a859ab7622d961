/* SPDX-License-Identifier: MIT */
/*
 * QEMU's stop rule: stop once what is pending can be sent within the downtime limit. The bandwidth
 * in the view is sampled over at least 100 ms, as QEMU does.
 */
#include "core/policy/kinds.h"

/* QEMU's default of the migration parameter downtime-limit. */
#define QEMU_DOWNTIME_NS 300000000u

/* What the link carries in so short a time is not worth another round. */
#define SETTLE_WORTH_NS 5000000u

#define MB(bytes) ((double)(bytes) / 1e6)

void gw_stop_qemu(const struct gw_view *view, struct gw_verdict *verdict)
{
	uint64_t limit = view->downtime_limit_ns ? view->downtime_limit_ns : QEMU_DOWNTIME_NS;
	uint64_t pending = view->dirty_pages * GW_PAGE_BYTES + view->state_bytes;
	uint64_t carries = gw_rate_carries(view->bandwidth_bytes_per_s, limit);
	double dirties = MB(gw_view_dirty_rate(view)), link = MB(view->bandwidth_bytes_per_s);
	bool grows = view->dirty_pages >= view->previous_dirty_pages;

	if (!view->bandwidth_bytes_per_s && view->dirty_pages)
		gw_verdict_say(verdict, GW_CONTINUE, "%.1f MB pending, bandwidth not yet known",
		               MB(pending));
	else if (pending <= carries || !view->dirty_pages)
		gw_verdict_say(verdict, GW_STOP_AND_COPY,
		               "%.1f MB pending, the link carries %.1f MB in %.0f ms", MB(pending),
		               MB(carries), (double)limit / 1e6);
	else if (view->deadline_ns && view->now_ns >= view->deadline_ns)
		gw_verdict_say(verdict, GW_GIVE_UP,
		               "the guest dirties %.0f MB/s, the link carries %.0f MB/s: the "
		               "downtime limit of %.0f ms cannot be kept within %.0f s; use policy "
		               "hybrid or postcopy, or raise --downtime",
		               dirties, link, (double)limit / 1e6, (double)view->deadline_ns / 1e9);
	else if (grows)
		gw_verdict_say(verdict, GW_CONTINUE,
		               "does not converge: %.1f MB pending, %.1f MB allowed; the guest "
		               "dirties %.0f MB/s, the link carries %.0f MB/s",
		               MB(pending), MB(carries), dirties, link);
	else
		gw_verdict_say(verdict, GW_CONTINUE, "%.1f MB pending, %.1f MB allowed",
		               MB(pending), MB(carries));
}

bool gw_halved(const struct gw_view *view)
{
	return 2 * view->dirty_pages <= view->previous_dirty_pages;
}

/*
 * QEMU stops as soon as the limit can be kept. As long as a round still halves what is dirty, one
 * more costs little time and halves the downtime too.
 */
void gw_settle(struct gw_settle *settle, bool halves, const struct gw_view *view,
               struct gw_verdict *verdict)
{
	uint64_t pending = view->dirty_pages * GW_PAGE_BYTES;

	if (verdict->decision != GW_STOP_AND_COPY || settle->done >= settle->rounds || !halves ||
	    pending <= gw_rate_carries(view->bandwidth_bytes_per_s, SETTLE_WORTH_NS) ||
	    (view->deadline_ns && view->now_ns >= view->deadline_ns))
		return;
	settle->done++;
	gw_verdict_say(
	        verdict, GW_CONTINUE,
	        "the limit could be kept now; %.1f MB dirty, which a round more is likely to "
	        "halve: once more",
	        (double)pending / 1e6);
}
