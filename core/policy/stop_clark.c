/* SPDX-License-Identifier: MIT */
/* Clark et al. 2005, section 5.3: Xen's rule, with a rate that follows the dirty rate. */
#include "core/policy/kinds.h"

#define MBIT 125000u /* bytes/s */
/* Clark et al. 2005: the limits of their measurements, and the constant increment. */
#define FIRST_RATE (100u * MBIT)
#define MOST_RATE  (500u * MBIT)
#define STEP_RATE  (50u * MBIT)

uint64_t gw_clark_first_rate(void)
{
	return FIRST_RATE;
}

void gw_stop_clark(const struct gw_view *view, struct gw_verdict *verdict)
{
	double rate = gw_view_dirty_rate(view) + STEP_RATE;

	gw_stop_xen_legacy(view, verdict);
	if (verdict->decision != GW_CONTINUE)
		return;
	if (rate > MOST_RATE) {
		gw_verdict_say(verdict, GW_STOP_AND_COPY,
		               "the next round needs %.0f Mbit/s, the maximum is %u", rate / MBIT,
		               MOST_RATE / MBIT);
		return;
	}
	verdict->rate_bytes_per_s = rate < FIRST_RATE ? FIRST_RATE : (uint64_t)rate;
	gw_verdict_say(verdict, GW_CONTINUE, "%llu pages dirty, next round at %.0f Mbit/s",
	               (unsigned long long)view->dirty_pages,
	               (double)verdict->rate_bytes_per_s / MBIT);
}
