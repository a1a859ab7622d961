/* SPDX-License-Identifier: MIT */
#include "core/bandwidth/bandwidth.h"

#include <errno.h>
#include <string.h>

#include "core/bandwidth/divide.h"
#include "core/setting.h"

const struct gw_bandwidth_kind *const gw_bandwidths[] = {
        &gw_bandwidth_fair, &gw_bandwidth_nrac, &gw_bandwidth_nrac_wc, &gw_bandwidth_deadline, NULL,
};

static const struct gw_thresholds thresholds_default = {
        .network_bytes_per_s = 1250000,
        .dirty_bytes_per_s = 8000000,
        .cpu_permille = 300,
};

int gw_bandwidth_init(struct gw_bandwidth *policy, const char *name)
{
	for (size_t i = 0; gw_bandwidths[i]; i++) {
		if (strcmp(gw_bandwidths[i]->name, name) != 0)
			continue;
		memset(policy, 0, sizeof(*policy));
		policy->kind = gw_bandwidths[i];
		policy->thresholds = thresholds_default;
		if (policy->kind->init)
			policy->kind->init(policy);
		return 0;
	}
	return -ENOENT;
}

int gw_bandwidth_set(struct gw_bandwidth *policy, const char *key, const char *value)
{
	if (!strcmp(key, "network_above"))
		return gw_setting_rate(value, &policy->thresholds.network_bytes_per_s);
	if (!strcmp(key, "memory_above"))
		return gw_setting_rate(value, &policy->thresholds.dirty_bytes_per_s);
	if (!strcmp(key, "cpu_above"))
		return gw_setting_share(value, &policy->thresholds.cpu_permille);
	return policy->kind->set ? policy->kind->set(policy, key, value) : -ENOENT;
}

void gw_bandwidth_divide(const struct gw_bandwidth *policy, const struct gw_uplink *link,
                         const struct gw_mover *movers, struct gw_grant *grants, size_t count)
{
	memset(grants, 0, count * sizeof(*grants));
	policy->kind->divide(policy, link, movers, grants, count);
}

enum gw_application gw_application_of(const struct gw_thresholds *thresholds,
                                      const struct gw_mover *mover)
{
	if (mover->traffic_bytes_per_s > thresholds->network_bytes_per_s)
		return GW_APP_NETWORK;
	if (mover->dirty_bytes_per_s > thresholds->dirty_bytes_per_s)
		return GW_APP_MEMORY;
	return mover->cpu_permille > thresholds->cpu_permille ? GW_APP_CPU : GW_APP_IDLE;
}

enum gw_mover_state gw_mover_state_of(enum gw_state state)
{
	if (state < GW_STATE_ITERATIVE_PRE_COPY)
		return GW_MOVER_BEGINS;
	if (state < GW_STATE_STOP_AND_COPY)
		return GW_MOVER_COPIES;
	return state == GW_STATE_STOP_AND_COPY || state == GW_STATE_PULL ? GW_MOVER_SWITCHES
	                                                                 : GW_MOVER_SETTLES;
}

uint64_t gw_precopy_ns(uint64_t left_bytes, uint64_t dirty_bytes_per_s, uint64_t rate_bytes_per_s)
{
	double ns;

	if (rate_bytes_per_s <= dirty_bytes_per_s)
		return left_bytes ? UINT64_MAX : 0;
	ns = (double)left_bytes * 1e9 / (double)(rate_bytes_per_s - dirty_bytes_per_s);
	return ns < 1e18 ? (uint64_t)ns : UINT64_MAX;
}
