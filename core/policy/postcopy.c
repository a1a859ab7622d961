/* SPDX-License-Identifier: MIT */
/* postcopy: hands the VM over at once and sends its memory afterwards (Hines and Gopalan 2009). */
#include "core/policy/kinds.h"

static void decide(struct gw_policy *policy, const struct gw_view *view, struct gw_verdict *verdict)
{
	(void)policy;
	gw_verdict_say(verdict, GW_POST_COPY, "all %llu pages are pulled after the switch",
	               (unsigned long long)view->populated_pages);
}

const struct gw_policy_kind gw_policy_postcopy = {
        .name = "postcopy",
        .summary = "hands the VM over at once, sends its memory while it runs",
        .settings = "",
        .pulls = true,
        .at_once = true,
        .decide = decide,
};
