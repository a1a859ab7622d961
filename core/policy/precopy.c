/* SPDX-License-Identifier: MIT */
/* precopy: rounds of dirty pages until a stop rule says that the rest is small enough. */
#include <errno.h>
#include <string.h>

#include "core/policy/kinds.h"
#include "core/setting.h"

enum rule { QEMU, CLARK, XEN };

struct precopy {
	enum rule rule;
	bool modern;         /* which of Xen's two */
	uint64_t max_rounds; /* 0: none beyond the rule's own */
	struct gw_settle settle;
};

_Static_assert(sizeof(struct precopy) <= GW_POLICY_MEMORY, "fits");

static int set(struct gw_policy *policy, const char *key, const char *value)
{
	static const char *const rules[] = {"qemu", "clark", "xen", NULL};
	static const char *const xens[] = {"legacy", "modern", NULL};
	struct precopy *p = (struct precopy *)policy->memory;
	unsigned n;

	if (!strcmp(key, "settle"))
		return gw_setting_number(value, 0, 1000, &p->settle.rounds);
	if (!strcmp(key, "max_rounds"))
		return gw_setting_number(value, 0, 1000000, &p->max_rounds);
	if (!strcmp(key, "stop")) {
		if (gw_setting_choice(value, rules, &n))
			return -EINVAL;
		p->rule = (enum rule)n;
		return 0;
	}
	if (!strcmp(key, "xen")) {
		if (gw_setting_choice(value, xens, &n))
			return -EINVAL;
		p->modern = n == 1;
		return 0;
	}
	return -ENOENT;
}

static bool peeks(const struct gw_policy *policy)
{
	const struct precopy *p = (const struct precopy *)policy->memory;

	return p->rule == CLARK || (p->rule == XEN && !p->modern);
}

static void init(struct gw_policy *policy)
{
	((struct precopy *)policy->memory)->settle.rounds = GW_SETTLE_ROUNDS;
}

static void decide(struct gw_policy *policy, const struct gw_view *view, struct gw_verdict *verdict)
{
	struct precopy *p = (struct precopy *)policy->memory;

	if (!view->round) {
		gw_verdict_say(verdict, GW_CONTINUE, "first pass over %llu pages",
		               (unsigned long long)view->populated_pages);
		verdict->rate_bytes_per_s = p->rule == CLARK ? gw_clark_first_rate() : 0;
		return;
	}
	switch (p->rule) {
	case QEMU:
		gw_stop_qemu(view, verdict);
		gw_settle(&p->settle, gw_halved(view), view, verdict);
		break;
	case CLARK: gw_stop_clark(view, verdict); break;
	case XEN: (p->modern ? gw_stop_xen_modern : gw_stop_xen_legacy)(view, verdict); break;
	}
	if (verdict->decision == GW_CONTINUE)
		gw_stop_after(p->max_rounds, view, verdict);
}

const struct gw_policy_kind gw_policy_precopy = {
        .name = "precopy",
        .summary = "sends dirty pages round by round, stops the VM for the last few",
        .settings = "stop=qemu (qemu|clark|xen) settle=3 xen=legacy (legacy|modern) "
                    "max_rounds=0 (none)",
        .init = init,
        .set = set,
        .peeks = peeks,
        .decide = decide,
};
