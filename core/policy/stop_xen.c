/* SPDX-License-Identifier: MIT */
/* Xen's stop rules, of the legacy tool stack and of the modern one. */
#include "core/policy/kinds.h"

/* Legacy, xc_domain_save: max_iters 29, max_factor 3, and 50 pages sent + skipped. */
#define LEGACY_ROUNDS 29
#define LEGACY_PAGES  50
#define LEGACY_FACTOR 3
/* Modern, xc_sr_save: SPP_MAX_ITERATIONS and SPP_TARGET_DIRTY_COUNT. */
#define MODERN_ROUNDS 5
#define MODERN_PAGES  50

void gw_stop_xen_legacy(const struct gw_view *view, struct gw_verdict *verdict)
{
	uint64_t seen = view->sent_pages + view->skipped_pages;

	if (view->round >= LEGACY_ROUNDS)
		gw_verdict_say(verdict, GW_STOP_AND_COPY, "%u rounds done, Xen allows %d",
		               view->round, LEGACY_ROUNDS);
	else if (seen < LEGACY_PAGES)
		gw_verdict_say(verdict, GW_STOP_AND_COPY,
		               "%llu pages sent or skipped in the round, fewer than %d",
		               (unsigned long long)seen, LEGACY_PAGES);
	else if (view->sent_total_pages > LEGACY_FACTOR * view->ram_pages)
		gw_verdict_say(verdict, GW_STOP_AND_COPY,
		               "%llu pages sent in all, more than %d times memory (%llu)",
		               (unsigned long long)view->sent_total_pages, LEGACY_FACTOR,
		               (unsigned long long)view->ram_pages);
	else
		gw_verdict_say(verdict, GW_CONTINUE, "round %u of %d, %llu pages dirty",
		               view->round, LEGACY_ROUNDS, (unsigned long long)view->dirty_pages);
}

void gw_stop_xen_modern(const struct gw_view *view, struct gw_verdict *verdict)
{
	if (view->round >= MODERN_ROUNDS)
		gw_verdict_say(verdict, GW_STOP_AND_COPY, "%u rounds done, Xen allows %d",
		               view->round, MODERN_ROUNDS);
	else if (view->dirty_pages < MODERN_PAGES)
		gw_verdict_say(verdict, GW_STOP_AND_COPY, "%llu pages dirty, fewer than %d",
		               (unsigned long long)view->dirty_pages, MODERN_PAGES);
	else
		gw_verdict_say(verdict, GW_CONTINUE, "round %u of %d, %llu pages dirty",
		               view->round, MODERN_ROUNDS, (unsigned long long)view->dirty_pages);
}
