/* SPDX-License-Identifier: MIT */
/*
 * run-ahead: post-copy while a shadow of the VM runs on at the source and shows which pages come
 * next (S4). What it does is in the order, core/order/queue.c.
 */
#include "core/policy/kinds.h"

static void decide(struct gw_policy *policy, const struct gw_view *view, struct gw_verdict *verdict)
{
	(void)policy;
	gw_verdict_say(verdict, GW_POST_COPY,
	               "all %llu pages are pulled after the switch, a shadow shows the order",
	               (unsigned long long)view->populated_pages);
}

const struct gw_policy_kind gw_policy_run_ahead = {
        .name = "run-ahead",
        .summary = "post-copy in the order that a copy running ahead shows (S4)",
        .settings = "",
        .order = "queue",
        .pulls = true,
        .decide = decide,
};
