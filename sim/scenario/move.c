/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "sim/scenario/scenario.h"

static int apply(const struct sim_setting *setting, struct gw_policy *policy,
                 struct gw_order *order)
{
	int err = gw_policy_set(policy, setting->key, setting->value);

	return err == -ENOENT ? gw_order_set(order, setting->key, setting->value) : err;
}

int sim_move_init(const struct sim_move *move, struct gw_policy *policy, struct gw_order *order,
                  unsigned *bad)
{
	unsigned at = SIM_BAD_POLICY;
	int err = gw_policy_init(policy, move->policy);

	if (!err) {
		at = SIM_BAD_ORDER;
		err = gw_order_init(order, move->order);
	}
	for (unsigned i = 0; !err && i < move->setting_count; i++) {
		at = i;
		err = apply(&move->settings[i], policy, order);
	}
	if (err && bad)
		*bad = at;
	return err;
}
