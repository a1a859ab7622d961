/* SPDX-License-Identifier: MIT */
#include "core/policy/kinds.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/predict/predictor.h"
#include "core/setting.h"

#define GIGABIT 125000000u /* bytes/s */
#define SECOND  1000000000u

const struct gw_policy_kind *const gw_policies[] = {
        &gw_policy_stop_copy,
        &gw_policy_precopy,
        &gw_policy_postcopy,
        &gw_policy_hybrid,
        &gw_policy_deferred,
        &gw_policy_sdf_hybrid,
        &gw_policy_split,
        &gw_policy_wws_hybrid,
        &gw_policy_run_ahead,
        &gw_policy_auto,
        NULL,
};

const char *gw_decision_name(enum gw_decision decision)
{
	switch (decision) {
	case GW_CONTINUE: return "continue";
	case GW_STOP_AND_COPY: return "stop-and-copy";
	case GW_POST_COPY: return "post-copy";
	case GW_GIVE_UP: return "give up";
	}
	return "unknown";
}

int gw_policy_init(struct gw_policy *policy, const char *name)
{
	for (size_t i = 0; gw_policies[i]; i++) {
		if (strcmp(gw_policies[i]->name, name) != 0)
			continue;
		memset(policy, 0, sizeof(*policy));
		policy->kind = gw_policies[i];
		policy->forecast = gw_count_predictors[0];
		policy->observes_ns = UINT64_MAX;
		if (policy->kind->init)
			policy->kind->init(policy);
		return 0;
	}
	return -ENOENT;
}

static int set_forecast(struct gw_policy *policy, const char *value)
{
	const struct gw_count_predictor *predictor = gw_count_predictor(value);

	if (!predictor)
		return -EINVAL;
	policy->forecast = predictor;
	return 0;
}

int gw_policy_set(struct gw_policy *policy, const char *key, const char *value)
{
	int err = policy->kind->set ? policy->kind->set(policy, key, value) : -ENOENT;

	if (err != -ENOENT)
		return err;
	if (!strcmp(key, "observe"))
		return gw_setting_duration(value, &policy->observes_ns);
	if (!strcmp(key, "forecast") && !policy->kind->at_once)
		return set_forecast(policy, value);
	return -ENOENT;
}

const char *gw_policy_order(const struct gw_policy *policy)
{
	return policy->kind->order ? policy->kind->order : "linear";
}

size_t gw_policy_bytes(const struct gw_policy *policy, uint64_t ram_pages)
{
	return policy->kind->bytes ? policy->kind->bytes(policy, ram_pages) : 0;
}

void gw_policy_start(struct gw_policy *policy, void *memory, uint64_t ram_pages,
                     const struct gw_observation *observation)
{
	if (policy->kind->start)
		policy->kind->start(policy, memory, ram_pages, observation);
}

uint64_t gw_policy_observes_ns(const struct gw_policy *policy)
{
	uint64_t own = policy->kind->observes_ns;
	uint64_t forecast = policy->kind->at_once ? 0 : policy->forecast->observes_ns;

	if (policy->observes_ns != UINT64_MAX)
		return policy->observes_ns;
	return own > forecast ? own : forecast;
}

bool gw_policy_peeks(const struct gw_policy *policy)
{
	return policy->kind->peeks && policy->kind->peeks(policy);
}

void gw_policy_decide(struct gw_policy *policy, const struct gw_view *view,
                      struct gw_verdict *verdict)
{
	memset(verdict, 0, sizeof(*verdict));
	policy->kind->decide(policy, view, verdict);
}

uint64_t gw_policy_choose(struct gw_policy *policy, const struct gw_view *view,
                          struct gw_set *defer)
{
	gw_set_clear(defer);
	if (!policy->kind->choose)
		return GW_NO_FORECAST;
	return policy->kind->choose(policy, view, defer);
}

void gw_policy_rank(struct gw_policy *policy, const struct gw_set *left, struct gw_ranking *ranking)
{
	*ranking = (struct gw_ranking){0};
	if (policy->kind->rank)
		policy->kind->rank(policy, left, ranking);
}

void gw_policy_keep(struct gw_policy *policy, const struct gw_set *written, struct gw_set *pull)
{
	if (policy->kind->keep)
		policy->kind->keep(policy, written, pull);
}

void gw_verdict_say(struct gw_verdict *verdict, enum gw_decision decision, const char *format, ...)
{
	va_list args;

	verdict->decision = decision;
	va_start(args, format);
	(void)vsnprintf(verdict->reason, sizeof(verdict->reason), format, args);
	va_end(args);
}

void gw_stop_after(uint64_t max_rounds, const struct gw_view *view, struct gw_verdict *verdict)
{
	if (max_rounds && view->round >= max_rounds)
		gw_verdict_say(verdict, GW_STOP_AND_COPY,
		               "%u rounds done, max_rounds is %llu; %llu pages left", view->round,
		               (unsigned long long)max_rounds,
		               (unsigned long long)view->dirty_pages);
}

uint64_t gw_rate_carries(uint64_t bytes_per_s, uint64_t ns)
{
	uint64_t seconds = ns / SECOND, rest = ns % SECOND, whole, part;

	if (__builtin_mul_overflow(bytes_per_s, seconds, &whole))
		return UINT64_MAX;
	/* The rate is split as well: rate * rest would overflow above 18 GB/s. */
	part = bytes_per_s / SECOND * rest + bytes_per_s % SECOND * rest / SECOND;
	return whole > UINT64_MAX - part ? UINT64_MAX : whole + part;
}

double gw_view_sdf(const struct gw_view *view)
{
	if (!view->sent_pages)
		return 0;
	return ((double)view->previous_dirty_pages - (double)view->dirty_pages) /
	       (double)view->sent_pages;
}

uint64_t gw_view_rate(const struct gw_view *view)
{
	return view->bandwidth_bytes_per_s ? view->bandwidth_bytes_per_s
	       : view->limit_bytes_per_s   ? view->limit_bytes_per_s
	                                   : GIGABIT;
}

double gw_view_fault_ns(const struct gw_view *view, double page_ns)
{
	return (2 * (double)view->latency_ns + page_ns + 70e3 + 150e3) /
	       (view->vcpus ? view->vcpus : 1);
}

double gw_view_dirty_rate(const struct gw_view *view)
{
	uint64_t pages;

	if (!view->round_ns)
		return 0;
	/* What a policy left out is dirty, but perhaps not written. */
	pages = view->written ? gw_set_count(view->written) : view->dirty_pages;
	return (double)pages * GW_PAGE_BYTES * SECOND / (double)view->round_ns;
}
