/* SPDX-License-Identifier: MIT */
/* hybrid: a fixed number of pre-copy rounds, then post-copy; one round is S3's original hybrid. */
#include <errno.h>
#include <string.h>

#include "core/policy/kinds.h"
#include "core/setting.h"

struct hybrid {
	uint64_t rounds;
};

_Static_assert(sizeof(struct hybrid) <= GW_POLICY_MEMORY, "fits");

static void init(struct gw_policy *policy)
{
	((struct hybrid *)policy->memory)->rounds = 1;
}

static int set(struct gw_policy *policy, const char *key, const char *value)
{
	struct hybrid *h = (struct hybrid *)policy->memory;

	return strcmp(key, "rounds") ? -ENOENT : gw_setting_number(value, 0, 1000000, &h->rounds);
}

static void decide(struct gw_policy *policy, const struct gw_view *view, struct gw_verdict *verdict)
{
	const struct hybrid *h = (const struct hybrid *)policy->memory;
	bool more = view->round < h->rounds;

	gw_verdict_say(verdict, more ? GW_CONTINUE : GW_POST_COPY,
	               "%u of %llu rounds done, %llu pages %s", view->round,
	               (unsigned long long)h->rounds, (unsigned long long)view->dirty_pages,
	               more ? "to send" : "left to pull");
}

const struct gw_policy_kind gw_policy_hybrid = {
        .name = "hybrid",
        .summary = "some rounds of pre-copy, then post-copy for what is left",
        .settings = "rounds=1",
        .pulls = true,
        .init = init,
        .set = set,
        .decide = decide,
};
