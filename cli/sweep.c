/* SPDX-License-Identifier: MIT */
#include "cli/sweep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/values.h"

/* --- what is asked for ---------------------------------------------------------------------- */

static struct gw_sweep_axis *axis_of(struct gw_sweep *sweep, const char *key)
{
	for (size_t i = 0; i < sweep->axis_count; i++)
		if (!strcmp(sweep->axes[i].key, key))
			return &sweep->axes[i];
	if (sweep->axis_count == SIM_SETTINGS_MAX)
		return NULL;
	(void)snprintf(sweep->axes[sweep->axis_count].key, sizeof(sweep->axes[0].key), "%s", key);
	return &sweep->axes[sweep->axis_count++];
}

static int add_choice(struct gw_sweep_axis *axis, const char *value, size_t bytes,
                      struct gw_error *error)
{
	struct sim_setting *choice = &axis->choices[axis->count];

	if (!bytes || bytes >= sizeof(choice->value))
		return gw_fail(error, EINVAL, "--set %s: '%.*s' is no value", axis->key, (int)bytes,
		               value);
	if (axis->count == GW_SWEEP_CHOICES_MAX)
		return gw_fail(error, EINVAL,
		               "--set %s: '%.*s' is one value too many; %d is the "
		               "most",
		               axis->key, (int)bytes, value, GW_SWEEP_CHOICES_MAX);
	memcpy(choice->key, axis->key, sizeof(choice->key));
	(void)snprintf(choice->value, sizeof(choice->value), "%.*s", (int)bytes, value);
	axis->count++;
	return 0;
}

int gw_sweep_set(struct gw_sweep *sweep, const char *text, struct gw_error *error)
{
	const char *value = strchr(text, '=');
	struct gw_sweep_axis *axis;
	char key[sizeof(sweep->axes[0].key)];
	int err = 0;

	if (!value || value == text || (size_t)(value - text) >= sizeof(key))
		return gw_fail(error, EINVAL, "--set %s: write it as key=value", text);
	(void)snprintf(key, sizeof(key), "%.*s", (int)(value - text), text);
	axis = axis_of(sweep, key);
	if (!axis)
		return gw_fail(error, EINVAL, "--set %s: is one setting too many; %d is the most",
		               text, SIM_SETTINGS_MAX);
	for (value++; !err; value++) {
		size_t bytes = strcspn(value, ",");

		err = add_choice(axis, value, bytes, error);
		value += bytes;
		if (!*value)
			break;
	}
	return err;
}

/* "7" or "1-100", at most `bytes` long. */
static int add_seeds(struct gw_sweep *sweep, const char *text, size_t bytes, struct gw_error *error)
{
	char first[48], *last;
	const char *problem = "is one range too many";
	uint64_t from = 0, to = 0;

	(void)snprintf(first, sizeof(first), "%.*s", (int)bytes, text);
	last = strchr(first, '-');
	if (last)
		*last++ = '\0';
	if (bytes >= sizeof(first) || sweep->seed_ranges == GW_SWEEP_CHOICES_MAX ||
	    gw_parse_number(first, &from, &problem) ||
	    gw_parse_number(last ? last : first, &to, &problem))
		return gw_fail(error, EINVAL, "--seed: '%.*s' %s", (int)bytes, text, problem);
	if (to < from || to > INT64_MAX)
		return gw_fail(error, EINVAL, "--seed: '%.*s' is no range", (int)bytes, text);
	if (to - from >= GW_SWEEP_RUNS_MAX)
		return gw_fail(error, EINVAL, "--seed: '%.*s' makes more than %d runs", (int)bytes,
		               text, GW_SWEEP_RUNS_MAX);
	sweep->seeds[sweep->seed_ranges].first = from;
	sweep->seeds[sweep->seed_ranges++].last = to;
	return 0;
}

int gw_sweep_seeds(struct gw_sweep *sweep, const char *text, struct gw_error *error)
{
	for (;; text++) {
		size_t bytes = strcspn(text, ",");
		int err = add_seeds(sweep, text, bytes, error);

		text += bytes;
		if (err || !*text)
			return err;
	}
}

/* --- moves of a group ----------------------------------------------------------------------- */

/* 0, -ENOENT if neither the move's policy nor its order knows the key, -EINVAL for the value. */
static int try_setting(const struct sim_move *move, const struct sim_setting *setting)
{
	struct sim_move with = *move;

	with.setting_count = 1;
	with.settings[0] = *setting;
	return sim_move_init(&with, &(struct gw_policy){0}, &(struct gw_order){0}, NULL);
}

/* Settings of the scenario that belonged to another policy, or order, are left behind. */
static void keep_known(struct sim_move *move)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < move->setting_count; i++)
		if (try_setting(move, &move->settings[i]) != -ENOENT)
			move->settings[kept++] = move->settings[i];
	move->setting_count = kept;
}

static int put_setting(struct sim_move *move, const struct sim_setting *setting)
{
	unsigned at = 0;

	while (at < move->setting_count && strcmp(move->settings[at].key, setting->key) != 0)
		at++;
	if (at == SIM_SETTINGS_MAX)
		return -E2BIG;
	if (at == move->setting_count)
		move->setting_count++;
	move->settings[at] = *setting;
	return 0;
}

static bool is_order(const struct sim_setting *setting)
{
	return !strcmp(setting->key, "order");
}

static void choose_names(const struct gw_sweep_group *group, struct sim_move *move)
{
	if (group->policy)
		(void)snprintf(move->policy, sizeof(move->policy), "%s", group->policy);
	for (unsigned i = 0; i < group->setting_count; i++)
		if (is_order(&group->settings[i]))
			(void)snprintf(move->order, sizeof(move->order), "%s",
			               group->settings[i].value);
}

static int change(const struct gw_sweep_group *group, struct sim_move *move, struct gw_error *error)
{
	choose_names(group, move);
	keep_known(move);
	for (unsigned i = 0; i < group->setting_count; i++) {
		const struct sim_setting *setting = &group->settings[i];
		int err = is_order(setting) ? -ENOENT : try_setting(move, setting);

		if (err == -ENOENT)
			continue;
		if (!err)
			err = put_setting(move, setting);
		if (err)
			return gw_fail(error, EINVAL, "--set %s=%s: '%s' is no value for it",
			               setting->key, setting->value, setting->value);
	}
	return 0;
}

int gw_sweep_scenario(const struct gw_sweep *sweep, size_t run, struct sim_scenario *copy,
                      struct gw_error *error)
{
	const struct gw_sweep_group *group = gw_sweep_group(sweep, run);
	int err = 0;

	*copy = *group->scenario;
	copy->seed = gw_sweep_seed(sweep, run);
	copy->vms = calloc(copy->vm_count, sizeof(*copy->vms));
	if (!copy->vms)
		return gw_fail(error, ENOMEM, "no memory for %zu VMs", copy->vm_count);
	memcpy(copy->vms, group->scenario->vms, copy->vm_count * sizeof(*copy->vms));
	for (size_t i = 0; !err && i < copy->vm_count; i++)
		err = change(group, &copy->vms[i].move, error);
	if (err) {
		free(copy->vms);
		copy->vms = NULL;
	}
	return err;
}

/* --- the plan ------------------------------------------------------------------------------- */

/* What is about push orders is nothing to a policy that never pulls. */
static bool knows(const struct sim_move *move, const struct sim_setting *setting)
{
	struct gw_policy policy;
	struct gw_order order;

	if (gw_policy_init(&policy, move->policy) || gw_order_init(&order, sim_move_order(move)))
		return false;
	if (gw_policy_set(&policy, setting->key, setting->value) != -ENOENT)
		return true;
	return policy.kind->pulls &&
	       (is_order(setting) || gw_order_set(&order, setting->key, setting->value) != -ENOENT);
}

/* Does any VM's move, as the group would have it, know the setting? */
static bool is_known(const struct gw_sweep_group *group, const struct sim_setting *setting)
{
	for (size_t i = 0; i < group->scenario->vm_count; i++) {
		const struct sim_vm *vm = &group->scenario->vms[i];
		struct sim_move move = vm->move;

		/* VMs of one entry are moved alike. */
		if (i && vm->entry == vm[-1].entry)
			continue;
		choose_names(group, &move);
		if (knows(&move, setting))
			return true;
	}
	return false;
}

static int add_group(struct gw_sweep *sweep, const struct gw_sweep_group *group,
                     struct gw_error *error)
{
	size_t count = sweep->group_count;

	if (count >= GW_SWEEP_RUNS_MAX)
		return gw_fail(error, EINVAL, "the sweep has more than %d runs", GW_SWEEP_RUNS_MAX);
	/* Powers of two: one step of growth when they are full. */
	if (!(count & (count - 1))) {
		size_t room = count ? 2 * count : 1;
		struct gw_sweep_group *groups =
		        reallocarray(sweep->groups, room, sizeof(*sweep->groups));

		if (!groups)
			return gw_fail(error, ENOMEM, "no memory for %zu groups of runs", room);
		sweep->groups = groups;
	}
	sweep->groups[sweep->group_count++] = *group;
	return 0;
}

/* Every choice of the axes from `axis` on, the last varying first. */
static int branch(struct gw_sweep *sweep, const struct gw_sweep_group *so_far, size_t axis,
                  bool *used, struct gw_error *error)
{
	struct gw_sweep_group group = *so_far;
	int err = 0;

	if (axis == sweep->axis_count)
		return add_group(sweep, &group, error);
	if (!is_known(&group, &sweep->axes[axis].choices[0]))
		return branch(sweep, &group, axis + 1, used, error);
	used[axis] = true;
	group.setting_count++;
	for (size_t i = 0; !err && i < sweep->axes[axis].count; i++) {
		group.settings[group.setting_count - 1] = sweep->axes[axis].choices[i];
		err = branch(sweep, &group, axis + 1, used, error);
	}
	return err;
}

static int check_names(const struct gw_sweep *sweep, struct gw_error *error)
{
	char names[256] = "";
	struct gw_policy policy;
	struct gw_order order;

	for (size_t i = 0; gw_policies[i]; i++)
		(void)snprintf(names + strlen(names), sizeof(names) - strlen(names), " %s",
		               gw_policies[i]->name);
	for (size_t i = 0; i < sweep->policy_count; i++)
		if (gw_policy_init(&policy, sweep->policies[i]))
			return gw_fail(error, EINVAL, "--policy %s: there are%s",
			               sweep->policies[i], names);
	*names = '\0';
	for (size_t i = 0; gw_orders[i]; i++)
		(void)snprintf(names + strlen(names), sizeof(names) - strlen(names), " %s",
		               gw_orders[i]->name);
	for (size_t i = 0; i < sweep->axis_count; i++)
		for (size_t k = 0; is_order(&sweep->axes[i].choices[0]) && k < sweep->axes[i].count;
		     k++)
			if (gw_order_init(&order, sweep->axes[i].choices[k].value))
				return gw_fail(error, EINVAL, "--set order=%s: there are%s",
				               sweep->axes[i].choices[k].value, names);
	return 0;
}

/* Orders first: which settings are known depends on them. */
static void orders_first(struct gw_sweep *sweep)
{
	for (size_t i = 1; i < sweep->axis_count; i++)
		if (is_order(&sweep->axes[i].choices[0])) {
			struct gw_sweep_axis order = sweep->axes[i];

			memmove(&sweep->axes[1], &sweep->axes[0], i * sizeof(order));
			sweep->axes[0] = order;
		}
}

static int check_groups(const struct gw_sweep *sweep, const bool *used, struct gw_error *error)
{
	for (size_t i = 0; i < sweep->axis_count; i++)
		if (!used[i])
			return gw_fail(error, EINVAL,
			               "--set %s: no policy and no push order of this sweep has it",
			               sweep->axes[i].key);
	for (size_t i = 0; i < sweep->group_count; i++) {
		struct sim_scenario copy;
		int err = gw_sweep_scenario(sweep, i * sweep->seeds_each, &copy, error);

		if (err)
			return err;
		free(copy.vms);
	}
	return 0;
}

static void count_seeds(struct gw_sweep *sweep)
{
	sweep->seeds_each = sweep->seed_ranges ? 0 : 1;
	for (size_t i = 0; i < sweep->seed_ranges; i++)
		sweep->seeds_each += (size_t)(sweep->seeds[i].last - sweep->seeds[i].first + 1);
}

int gw_sweep_plan(struct gw_sweep *sweep, struct gw_error *error)
{
	bool used[SIM_SETTINGS_MAX] = {false};
	size_t policies = sweep->policy_count ? sweep->policy_count : 1;
	int err = check_names(sweep, error);

	orders_first(sweep);
	count_seeds(sweep);
	for (size_t s = 0; !err && s < sweep->scenario_count; s++)
		for (size_t p = 0; !err && p < policies; p++) {
			const struct gw_sweep_group group = {
			        .scenario = &sweep->scenarios[s],
			        .policy = sweep->policy_count ? sweep->policies[p] : NULL};

			err = branch(sweep, &group, 0, used, error);
		}
	if (err)
		return err;
	if (sweep->group_count > GW_SWEEP_RUNS_MAX / sweep->seeds_each)
		return gw_fail(error, EINVAL, "the sweep has more than %d runs", GW_SWEEP_RUNS_MAX);
	sweep->run_count = sweep->group_count * sweep->seeds_each;
	return check_groups(sweep, used, error);
}

void gw_sweep_clear(struct gw_sweep *sweep)
{
	free(sweep->groups);
	memset(sweep, 0, sizeof(*sweep));
}

uint64_t gw_sweep_seed(const struct gw_sweep *sweep, size_t run)
{
	uint64_t number = run % sweep->seeds_each;

	for (size_t i = 0; i < sweep->seed_ranges; i++) {
		uint64_t count = sweep->seeds[i].last - sweep->seeds[i].first + 1;

		if (number < count)
			return sweep->seeds[i].first + number;
		number -= count;
	}
	return gw_sweep_group(sweep, run)->scenario->seed;
}

uint64_t gw_sweep_key(const struct gw_sweep *sweep, size_t run)
{
	const struct gw_sweep_group *group = gw_sweep_group(sweep, run);
	const uint64_t seed = gw_sweep_seed(sweep, run);
	uint64_t key = XXH64(&seed, sizeof(seed), group->scenario->digest);

	key = XXH64(group->policy, group->policy ? strlen(group->policy) : 0, key);
	for (unsigned i = 0; i < group->setting_count; i++) {
		const struct sim_setting *setting = &group->settings[i];

		key = XXH64(setting->key, strlen(setting->key), key);
		key = XXH64(setting->value, strlen(setting->value), key);
	}
	return key;
}
