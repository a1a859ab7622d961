/* SPDX-License-Identifier: MIT */
#include "sim/scenario/keys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/values.h"

#define FIELD(type, field) offsetof(type, field), sizeof(((type *)NULL)->field)
#define DURATION(name, s, f)                                                                       \
	{                                                                                          \
		name, SIM_KEY_DURATION, FIELD(s, f), 0, SIM_DURATION_MAX_NS                        \
	}
#define RATE(name, s, f, least)                                                                    \
	{                                                                                          \
		name, SIM_KEY_RATE, FIELD(s, f), least, SIM_RATE_MAX                               \
	}
#define PAGES(name, s, f, least)                                                                   \
	{                                                                                          \
		name, SIM_KEY_PAGES, FIELD(s, f), least, SIM_RAM_PAGES_MAX                         \
	}
#define WHOLE(name, s, f, least, most)                                                             \
	{                                                                                          \
		name, SIM_KEY_WHOLE, FIELD(s, f), least, most                                      \
	}
#define SIMPLE(name, type, s, f)                                                                   \
	{                                                                                          \
		name, type, FIELD(s, f), 0, 0                                                      \
	}
#define OTHER(name)                                                                                \
	{                                                                                          \
		name, SIM_KEY_OTHER, 0, 0, 0, 0                                                    \
	}
#define END                                                                                        \
	{                                                                                          \
		NULL, SIM_KEY_OTHER, 0, 0, 0, 0                                                    \
	}

const struct sim_key sim_top_keys[] = {
        SIMPLE("look", SIM_KEY_TEXT, struct sim_scenario, look),
        WHOLE("seed", struct sim_scenario, seed, 0, INT64_MAX),
        WHOLE("at_once", struct sim_scenario, at_once, 1, SIM_VMS_MAX),
        SIMPLE("versions", SIM_KEY_FLAG, struct sim_scenario, versions),
        OTHER("vm"),
        OTHER("vms"),
        OTHER("link"),
        OTHER("links"),
        OTHER("workload"),
        OTHER("trace"),
        OTHER("costs"),
        OTHER("sharing"),
        END,
};

const struct sim_key sim_sharing_keys[] = {
        OTHER("policy"),
        OTHER("settings"),
        WHOLE("at_once", struct sim_sharing, at_once, 1, SIM_VMS_MAX),
        {"interval", SIM_KEY_DURATION, FIELD(struct sim_sharing, interval_ns), 1000000,
         SIM_DURATION_MAX_NS},
        END,
};

const struct sim_key sim_link_keys[] = {
        OTHER("name"),
        RATE("bandwidth", struct sim_link_config, bytes_per_s, 1),
        DURATION("latency", struct sim_link_config, latency_ns),
        DURATION("cut_at", struct sim_link_config, cut_ns),
        DURATION("cut_for", struct sim_link_config, cut_for_ns),
        END,
};

const struct sim_key sim_vm_keys[] = {
        SIMPLE("name", SIM_KEY_TEXT, struct sim_vm, name),
        OTHER("count"),
        PAGES("ram", struct sim_vm, ram_pages, 1),
        WHOLE("vcpus", struct sim_vm, vcpus, 1, SIM_VCPUS_MAX),
        SIMPLE("populated", SIM_KEY_SHARE, struct sim_vm, populated_share),
        SIMPLE("zero", SIM_KEY_SHARE, struct sim_vm, zero_share),
        {"state", SIM_KEY_SIZE, FIELD(struct sim_vm, state_bytes), 1, SIM_STATE_MAX_BYTES},
        DURATION("start", struct sim_vm, start_ns),
        DURATION("by", struct sim_vm, by_ns),
        WHOLE("priority", struct sim_vm, priority, 0, 1000),
        DURATION("trace_from", struct sim_vm, trace_from_ns),
        SIMPLE("paused", SIM_KEY_FLAG, struct sim_vm, paused),
        OTHER("over"),
        OTHER("class"),
        OTHER("shadow"),
        OTHER("workload"),
        OTHER("trace"),
        END,
};

const struct sim_key sim_shadow_keys[] = {
        SIMPLE("divergence", SIM_KEY_SHARE, struct sim_shadow, divergence),
        SIMPLE("speed", SIM_KEY_REAL, struct sim_shadow, speed),
        PAGES("memory", struct sim_shadow, memory_pages, 0),
        DURATION("life", struct sim_shadow, life_ns),
        SIMPLE("fails", SIM_KEY_FLAG, struct sim_shadow, fails),
        END,
};

const struct sim_key sim_move_keys[] = {
        SIMPLE("policy", SIM_KEY_TEXT, struct sim_move, policy),
        SIMPLE("order", SIM_KEY_TEXT, struct sim_move, order),
        OTHER("settings"),
        RATE("bandwidth", struct sim_move, limit_bytes_per_s, 1),
        {"downtime", SIM_KEY_DURATION, FIELD(struct sim_move, downtime_limit_ns), 1,
         SIM_DURATION_MAX_NS},
        {"deadline", SIM_KEY_DURATION, FIELD(struct sim_move, deadline_ns), 1, SIM_DURATION_MAX_NS},
        DURATION("observe", struct sim_move, observe_ns),
        SIMPLE("verify", SIM_KEY_FLAG, struct sim_move, verify),
        END,
};

const struct sim_key sim_class_keys[] = {
        RATE("guaranteed", struct sim_class, guaranteed_bytes_per_s, 1),
        RATE("ceiling", struct sim_class, ceiling_bytes_per_s, 1),
        WHOLE("priority", struct sim_class, priority, 0, 7),
        WHOLE("weight", struct sim_class, weight, 1, 1000000),
        END,
};

const struct sim_key sim_workload_keys[] = {
        OTHER("kind"),
        SIMPLE("write_rate", SIM_KEY_REAL, struct sim_workload_config, write_pages_per_s),
        SIMPLE("read_rate", SIM_KEY_REAL, struct sim_workload_config, read_pages_per_s),
        SIMPLE("cpu", SIM_KEY_REAL, struct sim_workload_config, cpu_share),
        RATE("network", struct sim_workload_config, network_bytes_per_s, 0),
        PAGES("working_set", struct sim_workload_config, set_pages, 1),
        PAGES("offset", struct sim_workload_config, offset_pages, 0),
        SIMPLE("skew", SIM_KEY_REAL, struct sim_workload_config, skew),
        SIMPLE("drift", SIM_KEY_REAL, struct sim_workload_config, drift_pages_per_s),
        PAGES("stride", struct sim_workload_config, stride_pages, 1),
        {"phase", SIM_KEY_DURATION, FIELD(struct sim_workload_config, phase_ns), 1,
         SIM_DURATION_MAX_NS},
        WHOLE("phases", struct sim_workload_config, phases, 1, SIM_PHASES_MAX),
        {"burst", SIM_KEY_DURATION, FIELD(struct sim_workload_config, burst_ns), 1,
         SIM_DURATION_MAX_NS},
        END,
};

const struct sim_key sim_cost_keys[] = {
        DURATION("protect_per_gib", struct sim_costs, protect_ns_per_gib),
        DURATION("scan_per_gib", struct sim_costs, scan_ns_per_gib),
        DURATION("scan_per_dirty_page", struct sim_costs, scan_ns_per_dirty_page),
        DURATION("first_write", struct sim_costs, first_write_ns),
        DURATION("survey_per_gib", struct sim_costs, survey_ns_per_gib),
        RATE("copy", struct sim_costs, copy_bytes_per_s, 1),
        DURATION("place_per_page", struct sim_costs, place_ns_per_page),
        DURATION("punch_per_page", struct sim_costs, punch_ns_per_page),
        DURATION("fault", struct sim_costs, fault_ns),
        DURATION("stop", struct sim_costs, stop_ns),
        DURATION("cont", struct sim_costs, cont_ns),
        DURATION("save", struct sim_costs, save_ns),
        DURATION("load", struct sim_costs, load_ns),
        DURATION("reserve", struct sim_costs, reserve_ns),
        DURATION("journal", struct sim_costs, journal_ns),
        DURATION("shadow_start", struct sim_costs, shadow_start_ns),
        DURATION("shadow_load", struct sim_costs, shadow_load_ns),
        DURATION("shadow_look", struct sim_costs, shadow_look_ns),
        END,
};

/* --- where it stands ------------------------------------------------------------------------ */

void sim_enter(struct sim_reader *reader, const char *key)
{
	reader->path[reader->depth++] = (struct sim_json_step){key, 0};
}

void sim_enter_number(struct sim_reader *reader, size_t number)
{
	reader->path[reader->depth++] = (struct sim_json_step){NULL, number};
}

void sim_leave(struct sim_reader *reader)
{
	reader->depth--;
}

/* "vms[3].workload.skew"; long ones are cut. */
static void show_path(const struct sim_reader *reader, char *text, size_t bytes)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < reader->depth && used < bytes; i++) {
		const struct sim_json_step *step = &reader->path[i];
		int n = step->key ? snprintf(text + used, bytes - used, "%s%.60s", i ? "." : "",
		                             step->key)
		                  : snprintf(text + used, bytes - used, "[%zu]", step->number);

		used += (size_t)n;
	}
}

#define SHOWN_MAX 60

/* As it is written, on one line. */
static void show_value(const json_t *value, char *text, size_t bytes)
{
	_cleanup_free_ char *all = NULL;

	if (!value)
		return;
	all = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
	(void)snprintf(text, bytes, " %.*s%s", SHOWN_MAX, all ? all : "?",
	               all && strlen(all) > SHOWN_MAX ? "..." : "");
}

int sim_refuse(struct sim_reader *reader, const char *key, const json_t *value, const char *format,
               ...)
{
	char path[200], shown[SHOWN_MAX + 8] = "", problem[256];
	unsigned long line;
	va_list args;

	if (key)
		sim_enter(reader, key);
	line = sim_json_line(reader->text, reader->size, reader->path, reader->depth);
	show_path(reader, path, sizeof(path));
	if (key)
		sim_leave(reader);
	show_value(value, shown, sizeof(shown));
	va_start(args, format);
	(void)vsnprintf(problem, sizeof(problem), format, args);
	va_end(args);
	return gw_fail(reader->error, EINVAL, "%s:%lu: %s%s%s %s", reader->name, line, path,
	               *path ? ":" : "the scenario", shown, problem);
}

/* --- values --------------------------------------------------------------------------------- */

/* Reals such as 1e9 are taken if they are whole. NULL, or what is wrong. */
static const char *whole(const json_t *value, uint64_t *to)
{
	double real;

	if (json_is_integer(value)) {
		if (json_integer_value(value) < 0)
			return "is negative";
		*to = (uint64_t)json_integer_value(value);
		return NULL;
	}
	if (!json_is_real(value))
		return "is no number";
	real = json_real_value(value);
	if (real < 0)
		return "is negative";
	if (real > 9007199254740992.0) /* 2^53: beyond, reals are no whole numbers of their own */
		return "is too large";
	*to = (uint64_t)real;
	return (double)*to < real ? "is not a whole number" : NULL;
}

static const char *measure(const struct sim_key *key, const json_t *value, uint64_t *to)
{
	static int (*const parsers[])(const char *, uint64_t *, const char **) = {
	        [SIM_KEY_SIZE] = gw_parse_size,
	        [SIM_KEY_PAGES] = gw_parse_size,
	        [SIM_KEY_RATE] = gw_parse_rate,
	        [SIM_KEY_DURATION] = gw_parse_duration,
	};
	const char *problem = NULL;

	if (key->type == SIM_KEY_WHOLE || !json_is_string(value))
		return whole(value, to);
	(void)parsers[key->type](json_string_value(value), to, &problem);
	return problem;
}

static int read_whole(struct sim_reader *reader, const struct sim_key *key, const json_t *value,
                      unsigned char *field)
{
	uint64_t number = 0;
	const char *problem = measure(key, value, &number);
	unsigned narrow;

	if (problem)
		return sim_refuse(reader, key->name, value, "%s", problem);
	if (key->type == SIM_KEY_PAGES) {
		if (number % GW_PAGE_BYTES)
			return sim_refuse(reader, key->name, value,
			                  "is not a multiple of a page, %u bytes", GW_PAGE_BYTES);
		number /= GW_PAGE_BYTES;
	}
	if (number < key->least)
		return sim_refuse(reader, key->name, value,
		                  key->least == 1 ? "is zero" : "is too small");
	if (number > key->most)
		return sim_refuse(reader, key->name, value, "is more than the simulator takes");
	narrow = (unsigned)number;
	if (key->bytes == sizeof(narrow))
		memcpy(field, &narrow, sizeof(narrow));
	else
		memcpy(field, &number, sizeof(number));
	return 0;
}

static int read_real(struct sim_reader *reader, const struct sim_key *key, const json_t *value,
                     void *field)
{
	double real = json_number_value(value);

	if (!json_is_number(value))
		return sim_refuse(reader, key->name, value, "is no number");
	if (key->type == SIM_KEY_SHARE && !(real >= 0 && real <= 1))
		return sim_refuse(reader, key->name, value, "is no share between 0 and 1");
	memcpy(field, &real, sizeof(real));
	return 0;
}

static int read_text(struct sim_reader *reader, const struct sim_key *key, const json_t *value,
                     char *field)
{
	const char *text = json_string_value(value);

	if (!text)
		return sim_refuse(reader, key->name, value, "is no text");
	if (!*text)
		return sim_refuse(reader, key->name, value, "is empty");
	if (strlen(text) >= key->bytes)
		return sim_refuse(reader, key->name, value, "is longer than %zu bytes",
		                  key->bytes - 1);
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return sim_refuse(reader, key->name, value, "has a control character");
	memcpy(field, text, strlen(text) + 1);
	return 0;
}

static int read_key(struct sim_reader *reader, const struct sim_key *key, const json_t *value,
                    unsigned char *field)
{
	bool flag = json_is_true(value);

	switch (key->type) {
	case SIM_KEY_OTHER: return 0;
	case SIM_KEY_TEXT: return read_text(reader, key, value, (char *)field);
	case SIM_KEY_REAL:
	case SIM_KEY_SHARE: return read_real(reader, key, value, field);
	case SIM_KEY_FLAG:
		if (!json_is_boolean(value))
			return sim_refuse(reader, key->name, value, "is neither true nor false");
		memcpy(field, &flag, sizeof(flag));
		return 0;
	default: return read_whole(reader, key, value, field);
	}
}

int sim_read_keys(struct sim_reader *reader, const json_t *object, const struct sim_key *keys,
                  void *into)
{
	int err = 0;

	for (; keys->name && !err; keys++) {
		const json_t *value = json_object_get(object, keys->name);

		if (value)
			err = read_key(reader, keys, value, (unsigned char *)into + keys->offset);
	}
	return err;
}

static bool has_key(const struct sim_key *keys, const char *name)
{
	for (; keys && keys->name; keys++)
		if (!strcmp(keys->name, name))
			return true;
	return false;
}

int sim_known_keys(struct sim_reader *reader, const json_t *object, const struct sim_key *first,
                   const struct sim_key *second)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return sim_refuse(reader, NULL, object, "is no object");
	json_object_foreach((json_t *)object, name, value) if (
	        !has_key(first, name) &&
	        !has_key(second, name)) return sim_refuse(reader, name, value,
	                                                  "is under a key that is not known here");
	return 0;
}
