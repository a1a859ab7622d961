/* SPDX-License-Identifier: MIT */
/*
 * auto: stands for another policy, which the world takes in its place once the VM has been
 * observed: it estimates every one (sim/estimate.h), and gw_choose() says which
 * (core/model/estimate.h). A move under auto itself gives up, so that none ever begins.
 */
#include "core/policy/kinds.h"

static void decide(struct gw_policy *policy, const struct gw_view *view, struct gw_verdict *verdict)
{
	(void)policy;
	(void)view;
	gw_verdict_say(verdict, GW_GIVE_UP, "no policy was chosen");
}

const struct gw_policy_kind gw_policy_auto = {
        .name = "auto",
        .summary = "observes the VM, estimates every policy, takes the one that suits it",
        .settings = "observe=8s",
        .chooses = true,
        .at_once = true,
        .decide = decide,
        .observes_ns = GW_OBSERVES_NS,
};
