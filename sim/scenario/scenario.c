/* SPDX-License-Identifier: MIT */
#include "sim/scenario/scenario.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "sim/scenario/keys.h"
#include "sim/trace/trace.h"

/* docs/simulator.md tells where each of these comes from. */
const struct sim_costs sim_costs_default = {
        .protect_ns_per_gib = 7500000,
        .scan_ns_per_gib = 500000,
        .scan_ns_per_dirty_page = 52,
        .first_write_ns = 1000,
        .survey_ns_per_gib = 26000000,
        .copy_bytes_per_s = 900000000,
        .place_ns_per_page = 570,
        .punch_ns_per_page = 570,
        .fault_ns = 70000,
        .stop_ns = 1000000,
        .cont_ns = 1000000,
        .save_ns = 6500000,
        .load_ns = 4100000,
        .reserve_ns = 86000000,
        .journal_ns = 20000,
        .shadow_start_ns = 58000000,
        .shadow_load_ns = 7600000,
        .shadow_look_ns = 1700000,
};

/* The native guest has no devices: as bench/fidelity.py found beside live moves of it. */
struct sim_costs sim_costs_of(const char *hypervisor)
{
	struct sim_costs costs = sim_costs_default;

	if (!strcmp(hypervisor, "native")) {
		costs.stop_ns = costs.cont_ns = 200000;
		costs.save_ns = costs.load_ns = 500000;
	}
	return costs;
}

const struct sim_shadow sim_shadow_default = {.divergence = 0.04, .speed = 1};

static const struct sim_link_config link_default = {.bytes_per_s = 125000000, .latency_ns = 100000};

#define SHARING_NS 1000000000u

static const struct sim_move move_default = {
        .policy = "precopy", .downtime_limit_ns = 300000000, .observe_ns = SIM_AS_POLICY};

static const struct sim_vm vm_default = {
        .vcpus = 1, .populated_share = 1, .state_bytes = 288000, .class = {.weight = 1}};

/* --- how it is moved ------------------------------------------------------------------------ */

/* As a person would write it after --set: 0.3 stays 0.3. */
static const char *setting_text(const json_t *value, char *text, size_t bytes)
{
	double back;

	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_integer(value)) {
		(void)snprintf(text, bytes, "%lld", (long long)json_integer_value(value));
		return text;
	}
	if (!json_is_real(value))
		return NULL;
	(void)snprintf(text, bytes, "%.15g", json_real_value(value));
	back = strtod(text, NULL);
	if (back < json_real_value(value) || back > json_real_value(value))
		(void)snprintf(text, bytes, "%.17g", json_real_value(value));
	return text;
}

static int read_setting(struct sim_reader *reader, struct sim_move *move, const char *key,
                        const json_t *value)
{
	struct sim_setting *setting = &move->settings[move->setting_count];
	char number[40];
	const char *text = setting_text(value, number, sizeof(number));

	if (!text)
		return sim_refuse(reader, key, value, "is neither a number nor text");
	if (!strcmp(key, "order")) {
		if (!*text || strlen(text) >= sizeof(move->order))
			return sim_refuse(reader, key, value, "is no push order");
		memcpy(move->order, text, strlen(text) + 1);
		return 0;
	}
	if (move->setting_count == SIM_SETTINGS_MAX)
		return sim_refuse(reader, key, value, "is one setting too many; %d is the most",
		                  SIM_SETTINGS_MAX);
	if (strlen(key) >= sizeof(setting->key) || strlen(text) >= sizeof(setting->value))
		return sim_refuse(reader, key, value, "is no setting: it is too long");
	memcpy(setting->key, key, strlen(key) + 1);
	memcpy(setting->value, text, strlen(text) + 1);
	move->setting_count++;
	return 0;
}

static int read_settings(struct sim_reader *reader, const json_t *settings, struct sim_move *move)
{
	const char *key;
	json_t *value;
	int err = 0;

	if (!json_is_object(settings))
		return sim_refuse(reader, "settings", settings, "is no object");
	sim_enter(reader, "settings");
	move->setting_count = 0;
	json_object_foreach((json_t *)settings, key, value)
	{
		err = read_setting(reader, move, key, value);
		if (err)
			return err;
	}
	sim_leave(reader);
	return 0;
}

/* Names of a table, for the sentence: " one two". */
static void add_name(char *names, size_t bytes, const char *name)
{
	size_t used = strlen(names);

	(void)snprintf(names + used, bytes - used, " %s", name);
}

static int bad_setting(struct sim_reader *reader, const struct sim_move *move, unsigned number,
                       bool unknown)
{
	const struct sim_setting *setting = &move->settings[number];
	struct gw_policy policy;
	struct gw_order order;
	int err;

	(void)gw_policy_init(&policy, move->policy);
	(void)gw_order_init(&order, sim_move_order(move));
	sim_enter(reader, "settings");
	if (unknown)
		err = sim_refuse(reader, setting->key, NULL,
		                 "'%s': policy %s has the settings \"%s\", order %s has \"%s\"",
		                 setting->value, move->policy, policy.kind->settings,
		                 order.kind->name, order.kind->settings);
	else
		err = sim_refuse(reader, setting->key, NULL, "'%s' is no value for it",
		                 setting->value);
	sim_leave(reader);
	return err;
}

static int bad_order(struct sim_reader *reader, const json_t *object, const struct sim_move *move)
{
	const json_t *settings = json_object_get(object, "settings");
	char names[256] = "";

	for (size_t i = 0; gw_orders[i]; i++)
		add_name(names, sizeof(names), gw_orders[i]->name);
	if (json_object_get(settings, "order"))
		sim_enter(reader, "settings");
	return sim_refuse(reader, "order", NULL, "'%s': there are%s", move->order, names);
}

static int check_move(struct sim_reader *reader, const json_t *object, const struct sim_move *move)
{
	struct gw_policy policy;
	struct gw_order order;
	char names[256] = "";
	unsigned bad;
	int err = sim_move_init(move, &policy, &order, &bad);

	if (!err)
		return 0;
	if (bad == SIM_BAD_POLICY) {
		for (size_t i = 0; gw_policies[i]; i++)
			add_name(names, sizeof(names), gw_policies[i]->name);
		return sim_refuse(reader, "policy", NULL, "'%s': there are%s", move->policy, names);
	}
	if (bad == SIM_BAD_ORDER)
		return bad_order(reader, object, move);
	return bad_setting(reader, move, bad, err == -ENOENT);
}

/* Another policy begins without the settings of the one before. */
static int read_move(struct sim_reader *reader, const json_t *object, struct sim_move *move)
{
	const json_t *settings = json_object_get(object, "settings");
	int err;

	if (json_object_get(object, "policy"))
		move->setting_count = 0;
	err = sim_read_keys(reader, object, sim_move_keys, move);
	if (json_object_get(object, "order") && json_object_get(settings, "order"))
		return sim_refuse(reader, "order", json_object_get(object, "order"),
		                  "is in the settings too");
	if (!err && settings)
		err = read_settings(reader, settings, move);
	return err ? err : check_move(reader, object, move);
}

/* --- what the guest does -------------------------------------------------------------------- */

struct building {
	struct sim_reader reader;
	struct sim_scenario *scenario;
	const json_t *top;
	struct sim_move move; /* of VMs that do not say otherwise */
	size_t vm_room;
	char **trace_names; /* as they are written, one for each of the scenario's traces */
};

/* Of the words, separated by spaces. */
static bool has_word(const char *words, const char *word)
{
	size_t bytes = strlen(word);

	for (; *words; words += strcspn(words, " "), words += *words == ' ')
		if (strcspn(words, " ") == bytes && !memcmp(words, word, bytes))
			return true;
	return false;
}

static int read_kind(struct sim_reader *reader, const json_t *object,
                     const struct sim_workload_kind **kind)
{
	const json_t *value = json_object_get(object, "kind");
	char names[256] = "";

	for (size_t i = 0; sim_workloads[i]; i++)
		add_name(names, sizeof(names), sim_workloads[i]->name);
	if (!value)
		return sim_refuse(reader, NULL, NULL, "needs a \"kind\"; there are%s", names);
	*kind = json_is_string(value) ? sim_workload_find(json_string_value(value)) : NULL;
	if (!*kind)
		return sim_refuse(reader, "kind", value, "is no kind of workload; there are%s",
		                  names);
	if (*kind == sim_workload_find("trace"))
		return sim_refuse(reader, "kind", value,
		                  "is played by \"trace\": FILE in place of "
		                  "\"workload\"");
	return 0;
}

static int known_to_kind(struct sim_reader *reader, const json_t *object,
                         const struct sim_workload_kind *kind)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		if (!has_word("kind write_rate read_rate cpu network", key) &&
		    !has_word(kind->keys, key))
			return sim_refuse(reader, key, value,
			                  "is not for %s, whose own keys are: %s", kind->name,
			                  kind->keys);
	}
	return 0;
}

static int check_workload(struct sim_reader *reader, const json_t *object, struct sim_vm *vm)
{
	const char *key, *problem;

	problem = sim_workload_check(&vm->workload, vm->ram_pages, vm->vcpus, &key);
	if (!problem)
		return 0;
	return sim_refuse(reader, key, json_object_get(object, key), "%s", problem);
}

static int read_workload(struct sim_reader *reader, const json_t *object, struct sim_vm *vm)
{
	const struct sim_workload_kind *kind;
	int err;

	sim_enter(reader, "workload");
	err = sim_known_keys(reader, object, sim_workload_keys, NULL);
	if (!err)
		err = read_kind(reader, object, &kind);
	if (!err)
		err = known_to_kind(reader, object, kind);
	if (err)
		return err;
	vm->workload = kind->defaults;
	err = sim_read_keys(reader, object, sim_workload_keys, &vm->workload);
	if (!err)
		err = check_workload(reader, object, vm);
	sim_leave(reader);
	return err;
}

static int add_trace(struct building *b, struct sim_trace *trace, const char *name)
{
	size_t count = b->scenario->trace_count;
	struct sim_trace **traces;
	char **names;

	traces = reallocarray(b->scenario->traces, count + 1, sizeof(struct sim_trace *));
	if (traces)
		b->scenario->traces = traces;
	names = reallocarray(b->trace_names, count + 1, sizeof(char *));
	if (names)
		b->trace_names = names;
	if (!traces || !names || !(names[count] = strdup(name))) {
		sim_trace_free(trace);
		return gw_fail(b->reader.error, ENOMEM, "no memory for the traces");
	}
	traces[count] = trace;
	b->scenario->trace_count++;
	return 0;
}

/* Relative to the scenario's folder; each file is read once. */
static int open_trace(struct building *b, const json_t *value, const struct sim_trace **found)
{
	const char *name = json_string_value(value), *folder = b->reader.folder;
	bool absolute = name && (*name == '/' || !folder);
	_cleanup_free_ char *path = NULL;
	struct gw_error problem = {""};
	struct sim_trace *trace;
	int err;

	if (!name)
		return sim_refuse(&b->reader, "trace", value, "is no file's name");
	for (size_t i = 0; i < b->scenario->trace_count; i++)
		if (!strcmp(b->trace_names[i], name)) {
			*found = b->scenario->traces[i];
			return 0;
		}
	if (asprintf(&path, "%s%s%s", absolute ? "" : folder, absolute ? "" : "/", name) < 0)
		return gw_fail(b->reader.error, ENOMEM, "no memory for a path");
	err = sim_trace_open(&trace, path, &problem);
	if (err)
		return sim_refuse(&b->reader, "trace", NULL, "%s", problem.text);
	*found = trace;
	return add_trace(b, trace, name);
}

/* What the recording knows of the VM, which plays it. */
static void as_recorded(struct sim_vm *vm, const struct sim_trace *trace)
{
	const struct sim_trace_head *head = sim_trace_head(trace);

	vm->workload = sim_workload_find("trace")->defaults;
	vm->workload.trace = trace;
	vm->ram_pages = head->ram_pages;
	vm->vcpus = head->vcpus;
	if (head->ram_pages)
		vm->populated_share = (double)head->populated_pages / (double)head->ram_pages;
	if (head->populated_pages)
		vm->zero_share = (double)head->zero_pages / (double)head->populated_pages;
	if (head->state_bytes)
		vm->state_bytes = head->state_bytes;
}

static void as_recorded_but(const struct sim_trace *trace, const json_t *object, struct sim_vm *vm)
{
	const struct sim_vm said = *vm;

	as_recorded(vm, trace);
	if (json_object_get(object, "ram"))
		vm->ram_pages = said.ram_pages;
	if (json_object_get(object, "vcpus"))
		vm->vcpus = said.vcpus;
	if (json_object_get(object, "populated"))
		vm->populated_share = said.populated_share;
	if (json_object_get(object, "zero"))
		vm->zero_share = said.zero_share;
	if (json_object_get(object, "state"))
		vm->state_bytes = said.state_bytes;
}

static int read_trace(struct building *b, const json_t *value, const json_t *vm_object,
                      struct sim_vm *vm)
{
	const char *key, *problem;
	const struct sim_trace *trace;
	int err = open_trace(b, value, &trace);

	if (err)
		return err;
	as_recorded_but(trace, vm_object, vm);
	vm->workload.from_ns = vm->trace_from_ns;
	problem = sim_workload_check(&vm->workload, vm->ram_pages, vm->vcpus, &key);
	return problem ? sim_refuse(&b->reader, "trace", value, "%s", problem) : 0;
}

/* From `object`, where the reader is. */
static int read_doings(struct building *b, const json_t *object, const json_t *vm_object,
                       struct sim_vm *vm)
{
	const json_t *workload = json_object_get(object, "workload");
	const json_t *trace = json_object_get(object, "trace");

	if (workload && trace)
		return sim_refuse(&b->reader, "trace", trace, "cannot stand beside \"workload\"");
	return trace ? read_trace(b, trace, vm_object, vm)
	             : read_workload(&b->reader, workload, vm);
}

/* The VM's own, or else the one that stands for all. */
static int find_doings(struct building *b, const json_t *object, struct sim_vm *vm)
{
	const struct sim_reader here = b->reader;
	int err;

	if (json_object_get(object, "workload") || json_object_get(object, "trace"))
		return read_doings(b, object, object, vm);
	if (!json_object_get(b->top, "workload") && !json_object_get(b->top, "trace"))
		return sim_refuse(&b->reader, NULL, NULL, "has neither \"workload\" nor \"trace\"");
	b->reader.depth = 0;
	err = read_doings(b, b->top, object, vm);
	b->reader = here;
	return err;
}

/* --- links ---------------------------------------------------------------------------------- */

static int read_link(struct sim_reader *reader, const json_t *object, struct sim_link_config *link)
{
	const json_t *name = json_object_get(object, "name");
	int err = sim_known_keys(reader, object, sim_link_keys, NULL);

	if (err)
		return err;
	*link = link_default;
	if (name && (!json_is_string(name) || !*json_string_value(name) ||
	             json_string_length(name) >= SIM_NAME_BYTES))
		return sim_refuse(reader, "name", name, "is no name");
	link->name = strdup(name ? json_string_value(name) : "link");
	if (!link->name)
		return gw_fail(reader->error, ENOMEM, "no memory for a link");
	return sim_read_keys(reader, object, sim_link_keys, link);
}

static const struct sim_link_config *find_link(const struct sim_scenario *s, const char *name,
                                               unsigned *number)
{
	for (*number = 0; *number < s->link_count; (*number)++)
		if (!strcmp(s->links[*number].name, name))
			return &s->links[*number];
	return NULL;
}

static int read_link_list(struct sim_reader *reader, const json_t *list, struct sim_scenario *s)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *object = json_array_get(list, i);
		unsigned twin;
		int err;

		sim_enter_number(reader, i);
		if (json_is_object(object) && !json_object_get(object, "name"))
			return sim_refuse(reader, NULL, NULL, "needs a \"name\"");
		s->link_count = i + 1;
		err = read_link(reader, object, &s->links[i]);
		if (err)
			return err;
		(void)find_link(s, s->links[i].name, &twin);
		if (twin < i)
			return sim_refuse(reader, "name", json_object_get(object, "name"),
			                  "is the name of two links");
		sim_leave(reader);
	}
	return 0;
}

static int read_links(struct sim_reader *reader, const json_t *top, struct sim_scenario *s)
{
	const json_t *one = json_object_get(top, "link"), *many = json_object_get(top, "links");
	size_t count = many ? json_array_size(many) : 1;
	_cleanup_json_ json_t *none = json_object();
	int err;

	if (one && many)
		return sim_refuse(reader, "links", many, "cannot stand beside \"link\"");
	if (many && (!count || count > SIM_LINKS_MAX))
		return sim_refuse(reader, "links", many, "is no list of 1 to %d links",
		                  SIM_LINKS_MAX);
	s->links = calloc(count, sizeof(*s->links));
	if (!s->links || !none)
		return gw_fail(reader->error, ENOMEM, "no memory for the links");
	sim_enter(reader, many ? "links" : "link");
	if (many) {
		err = read_link_list(reader, many, s);
	} else {
		s->link_count = 1;
		err = read_link(reader, one ? one : none, &s->links[0]);
	}
	if (!err)
		sim_leave(reader);
	return err;
}

static int add_step(struct building *b, const json_t *name, struct sim_vm *vm)
{
	struct sim_reader *reader = &b->reader;
	unsigned number;

	if (!json_is_string(name))
		return sim_refuse(reader, NULL, name, "is no link's name");
	if (!find_link(b->scenario, json_string_value(name), &number))
		return sim_refuse(reader, NULL, name, "is the name of no link");
	if (vm->path_count == SIM_PATH_MAX)
		return sim_refuse(reader, NULL, name, "is one link too many; %d is the most",
		                  SIM_PATH_MAX);
	for (unsigned i = 0; i < vm->path_count; i++)
		if (vm->path[i] == number)
			return sim_refuse(reader, NULL, name, "is on the way twice");
	vm->path[vm->path_count++] = number;
	return 0;
}

/* One name, or a list of them from the source to the destination. */
static int read_path(struct building *b, const json_t *object, struct sim_vm *vm)
{
	const json_t *over = json_object_get(object, "over");
	int err = 0;

	if (!over && b->scenario->link_count == 1) {
		vm->path[vm->path_count++] = 0;
		return 0;
	}
	if (!over)
		return sim_refuse(&b->reader, NULL, NULL,
		                  "needs \"over\": the names of the links it goes over");
	sim_enter(&b->reader, "over");
	if (!json_is_array(over))
		err = add_step(b, over, vm);
	else if (!json_array_size(over))
		return sim_refuse(&b->reader, NULL, over, "names no link");
	for (size_t i = 0; !err && i < json_array_size(over); i++) {
		sim_enter_number(&b->reader, i);
		err = add_step(b, json_array_get(over, i), vm);
		sim_leave(&b->reader);
	}
	sim_leave(&b->reader);
	return err;
}

static int check_class(struct building *b, const json_t *object, const struct sim_vm *vm)
{
	const struct sim_class *class = &vm->class;
	const json_t *guaranteed = json_object_get(object, "guaranteed");

	if (class->ceiling_bytes_per_s &&
	    class->guaranteed_bytes_per_s > class->ceiling_bytes_per_s)
		return sim_refuse(&b->reader, "guaranteed", guaranteed, "is above its ceiling");
	for (unsigned i = 0; i < vm->path_count; i++)
		if (class->guaranteed_bytes_per_s > b->scenario->links[vm->path[i]].bytes_per_s)
			return sim_refuse(&b->reader, "guaranteed", guaranteed,
			                  "is more than the link %s carries",
			                  b->scenario->links[vm->path[i]].name);
	return 0;
}

static int read_class(struct building *b, const json_t *object, struct sim_vm *vm)
{
	int err;

	if (!object)
		return 0;
	sim_enter(&b->reader, "class");
	err = sim_known_keys(&b->reader, object, sim_class_keys, NULL);
	if (!err)
		err = sim_read_keys(&b->reader, object, sim_class_keys, &vm->class);
	if (!err)
		err = check_class(b, object, vm);
	sim_leave(&b->reader);
	return err;
}

static int read_shadow(struct building *b, const json_t *object, struct sim_shadow *shadow)
{
	int err;

	if (!object)
		return 0;
	sim_enter(&b->reader, "shadow");
	err = sim_known_keys(&b->reader, object, sim_shadow_keys, NULL);
	if (!err)
		err = sim_read_keys(&b->reader, object, sim_shadow_keys, shadow);
	if (!err && !(shadow->speed >= 0.001 && shadow->speed <= 1000))
		err = sim_refuse(&b->reader, "speed", json_object_get(object, "speed"),
		                 "is not between a thousandth and a thousand");
	sim_leave(&b->reader);
	return err;
}

/* --- VMs ------------------------------------------------------------------------------------ */

static int read_vm(struct building *b, const json_t *object, struct sim_vm *vm)
{
	struct sim_reader *reader = &b->reader;
	int err = sim_known_keys(reader, object, sim_vm_keys, sim_move_keys);

	if (err)
		return err;
	*vm = vm_default;
	vm->shadow = sim_shadow_default;
	vm->move = b->move;
	err = sim_read_keys(reader, object, sim_vm_keys, vm);
	if (!err)
		err = read_move(reader, object, &vm->move);
	if (!err && !json_object_get(object, "ram") && !json_object_get(object, "trace") &&
	    !json_object_get(b->top, "trace"))
		err = sim_refuse(reader, NULL, NULL, "needs \"ram\"");
	if (!err)
		err = find_doings(b, object, vm);
	if (!err)
		err = read_path(b, object, vm);
	if (!err)
		err = read_shadow(b, json_object_get(object, "shadow"), &vm->shadow);
	return err ? err : read_class(b, json_object_get(object, "class"), vm);
}

static int read_count(struct building *b, const json_t *object, uint64_t *count)
{
	const json_t *value = json_object_get(object, "count");
	json_int_t most = SIM_VMS_MAX - (json_int_t)b->scenario->vm_count;

	*count = 1;
	if (!value)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 1)
		return sim_refuse(&b->reader, "count", value, "is no number of VMs");
	if (json_integer_value(value) > most)
		return sim_refuse(&b->reader, "count", value, "makes more than %d VMs",
		                  SIM_VMS_MAX);
	*count = (uint64_t)json_integer_value(value);
	return 0;
}

/* "web", or web-1, web-2, ... where one entry stands for many. */
static void name_vm(struct sim_vm *vm, const char *base, uint64_t number, uint64_t count)
{
	if (count == 1)
		(void)snprintf(vm->name, sizeof(vm->name), "%s", base);
	else
		(void)snprintf(vm->name, sizeof(vm->name), "%s-%llu", base,
		               (unsigned long long)number);
}

static bool good_name(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
	                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return strlen(name) <= SIM_VM_NAME_MAX && !strchr("_.-", *name) &&
	       !name[strspn(name, letters)];
}

static int make_room(struct building *b, uint64_t more)
{
	struct sim_scenario *s = b->scenario;
	size_t room = s->vm_count + (size_t)more;
	struct sim_vm *vms = s->vms;

	if (room <= b->vm_room)
		return 0;
	room = room < 2 * b->vm_room ? 2 * b->vm_room : room;
	vms = reallocarray(vms, room, sizeof(*vms));
	if (!vms)
		return gw_fail(b->reader.error, ENOMEM, "no memory for %zu VMs", room);
	s->vms = vms;
	b->vm_room = room;
	return 0;
}

static int add_vms(struct building *b, const json_t *object, size_t entry, bool alone)
{
	struct sim_scenario *s = b->scenario;
	char base[SIM_NAME_BYTES] = "vm";
	struct sim_vm vm;
	uint64_t count;
	int err = read_vm(b, object, &vm);

	if (!err)
		err = read_count(b, object, &count);
	if (err)
		return err;
	if (!alone)
		(void)snprintf(base, sizeof(base), "vm%zu", entry + 1);
	if (vm.name[0] && !good_name(vm.name))
		return sim_refuse(&b->reader, "name", json_object_get(object, "name"),
		                  "is no name: letters, digits, and - _ . after the first, at "
		                  "most %d",
		                  SIM_VM_NAME_MAX);
	if (vm.name[0])
		memcpy(base, vm.name, sizeof(base));
	err = make_room(b, count);
	if (err)
		return err;
	vm.entry = entry;
	for (uint64_t i = 1; i <= count; i++) {
		name_vm(&vm, base, i, count);
		s->vms[s->vm_count++] = vm;
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct sim_vm *const *one = a, *const *other = b;

	return strcmp((*one)->name, (*other)->name);
}

static int no_twins(struct building *b)
{
	struct sim_scenario *s = b->scenario;
	_cleanup_free_ const struct sim_vm **sorted =
	        calloc(s->vm_count, sizeof(const struct sim_vm *));

	if (!sorted)
		return gw_fail(b->reader.error, ENOMEM, "no memory for %zu VMs", s->vm_count);
	for (size_t i = 0; i < s->vm_count; i++)
		sorted[i] = &s->vms[i];
	qsort(sorted, s->vm_count, sizeof(const struct sim_vm *), by_name);
	for (size_t i = 1; i < s->vm_count; i++) {
		const struct sim_vm *one = sorted[i - 1], *other = sorted[i];

		if (strcmp(one->name, other->name) != 0)
			continue;
		sim_enter(&b->reader, "vms");
		sim_enter_number(&b->reader, one->entry > other->entry ? one->entry : other->entry);
		return sim_refuse(&b->reader, "name", NULL, "\"%s\" is the name of two VMs",
		                  one->name);
	}
	return 0;
}

static int read_vm_list(struct building *b, const json_t *list)
{
	int err = 0;

	if (!json_array_size(list))
		return sim_refuse(&b->reader, "vms", list, "is no list of VMs");
	sim_enter(&b->reader, "vms");
	for (size_t i = 0; !err && i < json_array_size(list); i++) {
		sim_enter_number(&b->reader, i);
		if (b->scenario->vm_count == SIM_VMS_MAX)
			return sim_refuse(&b->reader, NULL, NULL, "is more than %d VMs",
			                  SIM_VMS_MAX);
		err = add_vms(b, json_array_get(list, i), i, false);
		if (!err)
			sim_leave(&b->reader);
	}
	if (!err)
		sim_leave(&b->reader);
	return err ? err : no_twins(b);
}

static int read_vms(struct building *b)
{
	const json_t *one = json_object_get(b->top, "vm"), *many = json_object_get(b->top, "vms");
	int err;

	if (one && many)
		return sim_refuse(&b->reader, "vms", many, "cannot stand beside \"vm\"");
	if (many)
		return read_vm_list(b, many);
	if (!one)
		return sim_refuse(&b->reader, NULL, NULL, "has neither \"vm\" nor \"vms\"");
	sim_enter(&b->reader, "vm");
	err = add_vms(b, one, 0, true);
	if (!err)
		sim_leave(&b->reader);
	return err;
}

/* --- all of it ------------------------------------------------------------------------------ */

static int read_costs(struct sim_reader *reader, const json_t *object, struct sim_costs *costs)
{
	int err;

	*costs = sim_costs_default;
	if (!object)
		return 0;
	sim_enter(reader, "costs");
	err = sim_known_keys(reader, object, sim_cost_keys, NULL);
	if (!err)
		err = sim_read_keys(reader, object, sim_cost_keys, costs);
	sim_leave(reader);
	return err;
}

static int refuse_sharing(struct sim_reader *reader, const json_t *name)
{
	char names[128] = "";

	for (size_t i = 0; gw_bandwidths[i]; i++)
		add_name(names, sizeof(names), gw_bandwidths[i]->name);
	return sim_refuse(reader, "policy", name, "is no bandwidth policy; there are%s", names);
}

static int set_sharing(struct sim_reader *reader, const json_t *settings,
                       struct gw_bandwidth *policy)
{
	const char *key, *text;
	char number[40];
	json_t *value;

	if (settings && !json_is_object(settings))
		return sim_refuse(reader, "settings", settings, "is no object");
	sim_enter(reader, "settings");
	json_object_foreach((json_t *)settings, key, value)
	{
		text = setting_text(value, number, sizeof(number));
		if (!text || gw_bandwidth_set(policy, key, text))
			return sim_refuse(reader, key, value,
			                  "is no setting of %s, which has \"%s\"",
			                  policy->kind->name, policy->kind->settings);
	}
	sim_leave(reader);
	return 0;
}

static int read_sharing(struct sim_reader *reader, const json_t *object,
                        struct sim_sharing *sharing)
{
	const json_t *name = json_object_get(object, "policy");
	int err;

	sharing->interval_ns = SHARING_NS;
	if (!object)
		return 0;
	sim_enter(reader, "sharing");
	err = sim_known_keys(reader, object, sim_sharing_keys, NULL);
	if (!err)
		err = sim_read_keys(reader, object, sim_sharing_keys, sharing);
	if (err)
		return err;
	if (!json_is_string(name))
		return sim_refuse(reader, "policy", name,
		                  "is needed: the name of a bandwidth policy");
	if (gw_bandwidth_init(&sharing->policy, json_string_value(name)))
		return refuse_sharing(reader, name);
	err = set_sharing(reader, json_object_get(object, "settings"), &sharing->policy);
	sim_leave(reader);
	return err;
}

static int build(struct building *b)
{
	struct sim_reader *reader = &b->reader;
	int err = sim_known_keys(reader, b->top, sim_top_keys, sim_move_keys);

	if (!err)
		err = sim_read_keys(reader, b->top, sim_top_keys, b->scenario);
	if (!err)
		err = read_move(reader, b->top, &b->move);
	if (!err)
		err = read_costs(reader, json_object_get(b->top, "costs"), &b->scenario->costs);
	if (!err)
		err = read_sharing(reader, json_object_get(b->top, "sharing"),
		                   &b->scenario->sharing);
	if (!err)
		err = read_links(reader, b->top, b->scenario);
	return err ? err : read_vms(b);
}

/* The file's name without folder and ending. */
static void take_name(struct sim_scenario *scenario, const char *path)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	char *end;

	(void)snprintf(scenario->name, sizeof(scenario->name), "%s", base);
	end = strrchr(scenario->name, '.');
	if (end && end != scenario->name)
		*end = '\0';
}

int sim_scenario_parse(struct sim_scenario *scenario, const char *text, size_t size,
                       const char *name, const char *folder, struct gw_error *error)
{
	struct building b = {.reader = {text, size, name, folder, {{NULL, 0}}, 0, error},
	                     .scenario = scenario,
	                     .move = move_default};
	_cleanup_json_ json_t *top = NULL;
	json_error_t problem;
	int err;

	memset(scenario, 0, sizeof(*scenario));
	scenario->seed = 1;
	scenario->versions = true;
	take_name(scenario, name);
	if (size > SIM_SCENARIO_BYTES_MAX)
		return gw_fail(error, EINVAL,
		               "%s: is larger than %u MiB; \"count\": N repeats a VM", name,
		               SIM_SCENARIO_BYTES_MAX >> 20);
	top = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
	if (!top)
		return gw_fail(error, EINVAL, "%s:%d: %s", name, problem.line, problem.text);
	b.top = top;
	scenario->digest = XXH64(text, size, 0);
	err = build(&b);
	for (size_t i = 0; i < scenario->trace_count; i++)
		free(b.trace_names[i]);
	free(b.trace_names);
	if (err)
		sim_scenario_free(scenario);
	return err;
}

int sim_scenario_load(struct sim_scenario *scenario, const char *path, struct gw_error *error)
{
	size_t room = SIM_SCENARIO_BYTES_MAX + 1, size;
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = malloc(room);
	_cleanup_free_ char *folder = strdup(path);
	char *slash;

	memset(scenario, 0, sizeof(*scenario));
	if (!text || !folder)
		return gw_fail(error, ENOMEM, "no memory for %s", path);
	if (!file)
		return gw_fail(error, errno, "%s: %s", path, strerror(errno));
	size = fread(text, 1, room, file);
	if (ferror(file))
		return gw_fail(error, errno, "%s: %s", path, strerror(errno));
	slash = strrchr(folder, '/');
	if (slash)
		*slash = '\0';
	return sim_scenario_parse(scenario, text, size, path, slash ? folder : NULL, error);
}

int sim_scenario_of_trace(struct sim_scenario *scenario, const struct sim_trace *trace,
                          struct gw_error *error)
{
	struct sim_vm *vm;

	*scenario = (struct sim_scenario){.seed = 1, .versions = true, .costs = sim_costs_default};
	scenario->links = calloc(1, sizeof(*scenario->links));
	scenario->vms = vm = calloc(1, sizeof(*vm));
	if (!scenario->links || !vm) {
		sim_scenario_free(scenario);
		return gw_fail(error, ENOMEM, "no memory for a scenario");
	}
	scenario->link_count = scenario->vm_count = 1;
	scenario->links[0] = link_default;
	*vm = vm_default;
	vm->move = move_default;
	vm->shadow = sim_shadow_default;
	(void)snprintf(vm->name, sizeof(vm->name), "%.*s", SIM_NAME_BYTES - 1,
	               sim_trace_head(trace)->vm);
	vm->path_count = 1;
	as_recorded(vm, trace);
	return 0;
}

void sim_scenario_free(struct sim_scenario *scenario)
{
	for (size_t i = 0; i < scenario->link_count; i++)
		free((void *)scenario->links[i].name);
	for (size_t i = 0; i < scenario->trace_count; i++)
		sim_trace_free(scenario->traces[i]);
	free(scenario->links);
	free(scenario->vms);
	free(scenario->traces);
	memset(scenario, 0, sizeof(*scenario));
}
