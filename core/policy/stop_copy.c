/* SPDX-License-Identifier: MIT */
/* stop-copy: the VM stands still while all of its memory is sent. */
#include "core/policy/kinds.h"

static void decide(struct gw_policy *policy, const struct gw_view *view, struct gw_verdict *verdict)
{
	(void)policy;
	gw_verdict_say(verdict, GW_STOP_AND_COPY, "all %llu pages are sent while the VM is stopped",
	               (unsigned long long)view->populated_pages);
}

const struct gw_policy_kind gw_policy_stop_copy = {
        .name = "stop-copy",
        .summary = "stops the VM, sends everything, starts it at the destination",
        .settings = "",
        .at_once = true,
        .decide = decide,
};
