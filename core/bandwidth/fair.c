/* SPDX-License-Identifier: MIT */
/* fair: every migration the same, nothing reserved: what a link does by itself that shares fairly.
 */
#include "core/bandwidth/divide.h"

static void divide(const struct gw_bandwidth *policy, const struct gw_uplink *link,
                   const struct gw_mover *movers, struct gw_grant *grants, size_t count)
{
	uint64_t free = gw_serve_switching(movers, grants, count, gw_uplink_free(link));

	(void)policy;
	for (size_t i = 0; i < count; i++) {
		if (movers[i].state >= GW_MOVER_SWITCHES)
			continue;
		grants[i].want_bytes_per_s = UINT64_MAX;
		grants[i].reason = "an equal share";
	}
	(void)gw_fill(movers, grants, count, free);
}

const struct gw_bandwidth_kind gw_bandwidth_fair = {
        .name = "fair",
        .summary = "every migration the same share, nothing reserved",
        .settings = "",
        .divide = divide,
};
