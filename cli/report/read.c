/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/report/report.h"

#define NUMBER_MAX 1e19 /* beyond what 64 bits hold it is none that godwit has written */

const struct gw_figure_kind gw_report_figures[GW_REPORT_FIGURES] = {
        [GW_REPORT_TOTAL] = {"total_time_ns", "total time", GW_UNIT_TIME},
        [GW_REPORT_DOWNTIME] = {"downtime_ns", "downtime", GW_UNIT_TIME},
        [GW_REPORT_UNAVAILABLE] = {"unavailable_ns", "unavailable", GW_UNIT_TIME},
        [GW_REPORT_BYTES] = {"bytes_on_link", "on the link", GW_UNIT_BYTES},
        [GW_REPORT_FAULTS] = {"faults", "faults", GW_UNIT_COUNT},
        [GW_REPORT_RESENT] = {"pages_resent", "sent again", GW_UNIT_COUNT},
};

/* --- fields ---------------------------------------------------------------------------------- */

double gw_report_number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	double number = json_is_number(value) ? json_number_value(value) : (double)NAN;

	return fabs(number) <= NUMBER_MAX ? number : (double)NAN;
}

const char *gw_report_string(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

char *gw_report_settings(const json_t *result)
{
	json_t *settings = json_object_get(result, "settings");
	const char *key;
	json_t *value;
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return NULL;
	json_object_foreach(settings, key, value)
	{
		(void)fprintf(out, "%s%s=", ftell(out) > 0 ? " " : "", key);
		if (json_is_string(value))
			(void)fputs(json_string_value(value), out);
		else if (json_is_number(value))
			(void)fprintf(out, "%.9g", json_number_value(value));
	}
	return fclose(out) ? NULL : text;
}

/* --- lists that grow ------------------------------------------------------------------------- */

/* The next free element, zeroed; NULL: no memory. */
static void *add(void *list, size_t *count, size_t *room, size_t bytes)
{
	void **items = list;

	if (*count == *room) {
		size_t more = 2 * *room + 16;
		void *grown = reallocarray(*items, more, bytes);

		if (!grown)
			return NULL;
		*items = grown;
		*room = more;
	}
	return memset((char *)*items + (*count)++ * bytes, 0, bytes);
}

#define ADD(report, what)                                                                          \
	add(&(report)->what##s, &(report)->what##_count, &(report)->what##_room,                   \
	    sizeof(*(report)->what##s))

/* --- groups ---------------------------------------------------------------------------------- */

/* What makes moves one group; all borrowed. */
struct kind {
	const char *world, *scenario, *policy, *settings, *order;
};

static int new_group(struct gw_report *report, const struct kind *kind)
{
	struct gw_report_group *group = ADD(report, group);

	if (!group)
		return -ENOMEM;
	group->world = strdup(kind->world);
	group->scenario = strdup(kind->scenario);
	group->policy = strdup(kind->policy);
	group->settings = strdup(kind->settings);
	group->order = strdup(kind->order);
	return group->world && group->scenario && group->policy && group->settings && group->order
	               ? 0
	               : -ENOMEM;
}

/* All but the order; the caller frees it. */
static char *key_of(const struct kind *kind)
{
	char *key;

	return asprintf(&key, "%s\n%s\n%s\n%s", kind->world, kind->scenario, kind->policy,
	                kind->settings) < 0
	               ? NULL
	               : key;
}

/* The index has for each key its groups, by their orders. */
static int find_group(struct gw_report *report, const struct kind *kind, size_t *found)
{
	_cleanup_free_ char *key = key_of(kind);
	json_t *orders, *at;

	if (!key)
		return -ENOMEM;
	if (!report->index)
		report->index = json_object();
	orders = json_object_get(report->index, key);
	if (!orders) {
		orders = json_object();
		if (json_object_set_new(report->index, key, orders))
			return -ENOMEM;
	}
	at = json_object_get(orders, kind->order);
	*found = at ? (size_t)json_integer_value(at) : report->group_count;
	if (at)
		return 0;
	if (json_object_set_new(orders, kind->order, json_integer((json_int_t)*found)))
		return -ENOMEM;
	return new_group(report, kind);
}

static void settle_orders(struct gw_report *report)
{
	const char *key, *order;
	json_t *orders, *at;

	json_object_foreach(report->index, key, orders) json_object_foreach(orders, order, at)
	        report->groups[json_integer_value(at)]
	                .orders = json_object_size(orders) > 1;
}

/* Of a bench, whose engine and mode are the policy, and whose workload is the scenario. */
static int group_of_bench(struct gw_report *report, const json_t *result, size_t *found)
{
	_cleanup_free_ char *policy = NULL;
	struct kind kind = {"live", gw_report_string(result, "workload"), "", "", ""};

	if (asprintf(&policy, "%s %s", gw_report_string(result, "engine"),
	             gw_report_string(result, "mode")) < 0) {
		policy = NULL;
		return -ENOMEM;
	}
	kind.policy = policy;
	return find_group(report, &kind, found);
}

static int group_of(struct gw_report *report, const json_t *result, size_t *found)
{
	_cleanup_free_ char *settings = gw_report_settings(result);
	struct kind kind = {gw_report_string(result, "world"), gw_report_string(result, "scenario"),
	                    gw_report_string(result, "policy"), settings,
	                    gw_report_string(result, "order")};

	if (*gw_report_string(result, "engine"))
		return group_of_bench(report, result, found);
	if (!settings)
		return -ENOMEM;
	if (!*kind.scenario)
		kind.scenario = gw_report_string(json_object_get(result, "vm"), "name");
	return find_group(report, &kind, found);
}

/* --- one value of a file --------------------------------------------------------------------- */

struct value {
	struct gw_report *report;
	const char *path;
	size_t line;
	struct gw_report_place place;
	struct gw_error *error;
};

static int wrong(const struct value *v, const char *what, const char *field)
{
	return gw_fail(v->error, EINVAL, "%s:%zu: %s%s", v->path, v->line, field, what);
}

static int check_numbers(const struct value *v, const json_t *object, const char *const *keys)
{
	for (; *keys; keys++) {
		if (json_object_get(object, *keys) && !(gw_report_number(object, *keys) >= 0))
			return wrong(v, " is no number from 0 on", *keys);
	}
	return 0;
}

static int check_rounds(const struct value *v, const json_t *rounds)
{
	static const char *const keys[] = {"dirty_pages",
	                                   "sent_pages",
	                                   "predicted_dirty_pages",
	                                   "deferred_pages",
	                                   "duration_ns",
	                                   "bandwidth_bytes_per_s",
	                                   "cpu_permille",
	                                   "memory_pages",
	                                   "network_bytes_per_s",
	                                   "link_bytes_per_s",
	                                   NULL};
	size_t i;
	json_t *round;
	int err = 0;

	if (rounds && !json_is_array(rounds))
		return wrong(v, " is no list", "rounds");
	json_array_foreach(rounds, i, round)
	{
		if (!json_is_object(round))
			return wrong(v, " has something that is no round", "rounds");
		err = check_numbers(v, round, keys);
		if (err)
			return err;
	}
	return 0;
}

static int check_move(const struct value *v, const json_t *result)
{
	static const char *const keys[] = {"total_time_ns",
	                                   "stopped_after_ns",
	                                   "downtime_ns",
	                                   "stall_ns",
	                                   "unavailable_ns",
	                                   "pages_sent",
	                                   "pages_resent",
	                                   "zero_pages",
	                                   "bytes_on_link",
	                                   "faults",
	                                   "start_ns",
	                                   "end_ns",
	                                   NULL};
	int err;

	if (!json_is_string(json_object_get(result, "policy")))
		return wrong(v, " is missing, or no text", "policy");
	if (!json_is_string(json_object_get(result, "outcome")))
		return wrong(v, " is missing, or no text", "outcome");
	if (!json_object_get(result, "total_time_ns"))
		return wrong(v, " is missing", "total_time_ns");
	err = check_numbers(v, result, keys);
	return err ? err : check_rounds(v, json_object_get(result, "rounds"));
}

static int add_move(const struct value *v, const json_t *result)
{
	struct gw_report *report = v->report;
	struct gw_report_move *move = ADD(report, move);
	struct gw_report_group *group;

	if (!move || group_of(report, result, &move->group))
		return gw_fail(v->error, ENOMEM, "no memory for the results");
	move->place = v->place;
	move->completed = !strcmp(gw_report_string(result, "outcome"), "completed");
	for (unsigned i = 0; i < GW_REPORT_FIGURES; i++)
		move->figures[i] = gw_report_number(result, gw_report_figures[i].key);
	group = &report->groups[move->group];
	group->moves++;
	group->completed += move->completed;
	if (!move->completed && !group->reason)
		group->reason = strdup(gw_report_string(result, "reason"));
	return 0;
}

/* VMs that one simulated run moved stand one behind the other. */
static int note_run(const struct value *v, const json_t *result)
{
	struct gw_report *report = v->report;
	const char *run = gw_report_string(result, "run");
	bool same = *run && !strcmp(run, report->run);
	struct gw_report_fleet *fleet =
	        report->fleet_count ? &report->fleets[report->fleet_count - 1] : NULL;
	size_t at = report->move_count - 1;

	(void)snprintf(report->run, sizeof(report->run), "%s", run);
	if (!same)
		return 0;
	if (fleet && fleet->moves && fleet->first + fleet->moves == at) {
		fleet->moves++;
		return 0;
	}
	fleet = ADD(report, fleet);
	if (!fleet)
		return gw_fail(v->error, ENOMEM, "no memory for the results");
	fleet->first = at - 1;
	fleet->moves = 2;
	return 0;
}

static int take_move(struct value *v, const json_t *result)
{
	int err = check_move(v, result);

	if (!err)
		err = add_move(v, result);
	return err ? err : note_run(v, result);
}

static int take_bench(struct value *v, const json_t *bench)
{
	const json_t *results = json_object_get(bench, "results");
	json_t *result;
	size_t i;
	int err = 0;

	if (!json_array_size(results))
		return wrong(v, " are no moves side by side", "results");
	json_array_foreach(results, i, result)
	{
		if (!*gw_report_string(result, "engine") ||
		    !json_is_string(json_object_get(result, "outcome")))
			return wrong(v, " are no moves side by side", "results");
		v->place.member = (int)i;
		err = add_move(v, result);
		if (err)
			return err;
	}
	return 0;
}

static int take_evacuation(struct value *v, const json_t *evacuation)
{
	json_t *vms = json_object_get(evacuation, "vms"), *vm;
	struct gw_report_fleet *fleet;
	size_t i;
	int err = 0;

	if (!json_is_array(vms))
		return wrong(v, " is missing, or no list", "vms");
	json_array_foreach(vms, i, vm)
	{
		static const char *const keys[] = {"begin_ns", "end_ns", NULL};
		const json_t *result = json_object_get(vm, "result");

		if (!json_is_string(json_object_get(vm, "name")))
			return wrong(v, " has a VM without a name", "vms");
		err = check_numbers(v, vm, keys);
		if (!err && result)
			err = check_move(v, result);
		if (err)
			return err;
	}
	fleet = ADD(v->report, fleet);
	if (!fleet)
		return gw_fail(v->error, ENOMEM, "no memory for the results");
	fleet->place = v->place;
	return 0;
}

static int take_estimate(struct value *v, const json_t *estimate)
{
	struct gw_report_place *place;

	if (!json_is_array(json_object_get(estimate, "policies")))
		return wrong(v, " is missing, or no list", "policies");
	place = ADD(v->report, estimate);
	if (!place)
		return gw_fail(v->error, ENOMEM, "no memory for the results");
	*place = v->place;
	return 0;
}

static int take(struct value *v, const json_t *json)
{
	static const struct {
		const char *schema;
		int (*take)(struct value *v, const json_t *json);
	} kinds[] = {
	        {"godwit.result/1", take_move},
	        {"godwit.evacuation/1", take_evacuation},
	        {"godwit.estimate/1", take_estimate},
	        {"godwit.bench/1", take_bench},
	};
	const char *schema = gw_report_string(json, "schema");

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(schema, kinds[i].schema))
			return kinds[i].take(v, json);
	return gw_fail(v->error, EINVAL,
	               "%s:%zu: this is %s; report takes what migrate, sim, evacuate, estimate "
	               "and bench write with --json",
	               v->path, v->line, *schema ? schema : "no result");
}

/* --- files ----------------------------------------------------------------------------------- */

static int read_text(struct gw_report_file *file, struct gw_error *error)
{
	_cleanup_fclose_ FILE *in =
	        strcmp(file->path, "-") != 0 ? fopen(file->path, "re") : fdopen(dup(0), "re");
	size_t room = 0, got;

	if (!in)
		return gw_fail(error, errno, "cannot read %s: %s", file->path, strerror(errno));
	do {
		if (room - file->bytes < 65536) {
			char *text = realloc(file->text, room = 2 * room + 131072);

			if (!text)
				return gw_fail(error, ENOMEM, "no memory for %s", file->path);
			file->text = text;
		}
		errno = 0;
		got = fread(file->text + file->bytes, 1, room - file->bytes, in);
		file->bytes += got;
	} while (got);
	if (ferror(in))
		return gw_fail(error, errno ? errno : EIO, "cannot read %s: %s", file->path,
		               strerror(errno ? errno : EIO));
	return 0;
}

static size_t blanks(const struct gw_report_file *file, size_t at)
{
	size_t begin = at;

	while (at < file->bytes && memchr(" \t\r\n", file->text[at], 4))
		at++;
	return at - begin;
}

static size_t lines_in(const char *text, size_t bytes)
{
	const char *end = text + bytes, *at = text;
	size_t lines = 0;

	for (; (at = memchr(at, '\n', (size_t)(end - at))); at++)
		lines++;
	return lines;
}

static int read_values(struct value *v, const struct gw_report_file *file, gw_report_told *told,
                       void *arg)
{
	size_t at = blanks(file, 0);

	v->line = 1 + lines_in(file->text, at);
	if (at == file->bytes)
		return gw_fail(v->error, EINVAL, "%s is empty: no result is in it", v->path);
	while (at < file->bytes) {
		json_error_t problem;
		json_t *json = json_loadb(file->text + at, file->bytes - at, JSON_DISABLE_EOF_CHECK,
		                          &problem);
		size_t length;
		int err;

		if (!json)
			return gw_fail(v->error, EINVAL, "%s:%zu: this is no JSON: %s", v->path,
			               v->line + (size_t)(problem.line > 0 ? problem.line - 1 : 0),
			               problem.text);
		v->place.offset = at;
		v->place.member = -1;
		err = take(v, json);
		json_decref(json);
		if (err)
			return err;
		length = (size_t)problem.position;
		length += blanks(file, at + length);
		v->line += lines_in(file->text + at, length);
		at += length;
		told(arg, v->path, at, file->bytes);
	}
	return 0;
}

int gw_report_read(struct gw_report *report, const char *path, gw_report_told *told, void *arg,
                   struct gw_error *error)
{
	struct gw_report_file *file = ADD(report, file);
	struct value v = {.report = report, .path = path, .error = error};
	int err;

	if (!file)
		return gw_fail(error, ENOMEM, "no memory for %s", path);
	file->path = path;
	err = read_text(file, error);
	if (err)
		return err;
	v.place.file = report->file_count - 1;
	report->run[0] = '\0';
	return read_values(&v, file, told, arg);
}

json_t *gw_report_load(const struct gw_report *report, const struct gw_report_place *place)
{
	const struct gw_report_file *file = &report->files[place->file];
	json_t *json = json_loadb(file->text + place->offset, file->bytes - place->offset,
	                          JSON_DISABLE_EOF_CHECK, NULL);
	json_t *member;

	if (place->member < 0)
		return json;
	member = json_incref(
	        json_array_get(json_object_get(json, "results"), (size_t)place->member));
	json_decref(json);
	return member;
}

/* --- spreads --------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
	const double *one = a, *other = b;

	return *one < *other ? -1 : *one > *other;
}

static void spread(struct gw_spread *s, double *values, size_t count)
{
	const double none = (double)NAN;

	*s = (struct gw_spread){count, none, none, none, none, none};
	if (!count)
		return;
	qsort(values, count, sizeof(*values), ascending);
	s->low = values[0];
	s->quarter = values[(count - 1) / 4];
	s->median = values[(count - 1) / 2];
	s->three_quarters = values[(count - 1) - (count - 1) / 4];
	s->high = values[count - 1];
}

/* The moves `members` of one group. */
static void settle_group(struct gw_report *report, struct gw_report_group *group,
                         const size_t *members, double *values)
{
	for (unsigned f = 0; f < GW_REPORT_FIGURES; f++) {
		size_t count = 0;

		for (size_t i = 0; i < group->moves; i++) {
			const struct gw_report_move *move = &report->moves[members[i]];

			if (move->completed && !isnan(move->figures[f]))
				values[count++] = move->figures[f];
		}
		spread(&group->spreads[f], values, count);
	}
	group->typical = members[0];
	for (size_t i = 0; i < group->moves; i++) {
		const struct gw_report_move *move = &report->moves[members[i]];

		if (move->completed &&
		    move->figures[GW_REPORT_TOTAL] == group->spreads[GW_REPORT_TOTAL].median) {
			group->typical = members[i];
			break;
		}
	}
}

int gw_report_settle(struct gw_report *report, struct gw_error *error)
{
	_cleanup_free_ size_t *members = calloc(report->move_count + 1, sizeof(*members));
	_cleanup_free_ size_t *begin = calloc(report->group_count + 1, sizeof(*begin));
	_cleanup_free_ double *values = calloc(report->move_count + 1, sizeof(*values));
	size_t at = 0;

	settle_orders(report);
	if (!members || !begin || !values)
		return gw_fail(error, ENOMEM, "no memory for the results");
	for (size_t g = 0; g < report->group_count; g++) {
		begin[g] = at;
		at += report->groups[g].moves;
	}
	for (size_t i = 0; i < report->move_count; i++)
		members[begin[report->moves[i].group]++] = i;
	for (size_t g = 0; g < report->group_count; g++)
		settle_group(report, &report->groups[g],
		             members + begin[g] - report->groups[g].moves, values);
	return 0;
}

void gw_report_free(struct gw_report *report)
{
	for (size_t i = 0; i < report->file_count; i++)
		free(report->files[i].text);
	for (size_t i = 0; i < report->group_count; i++) {
		free(report->groups[i].world);
		free(report->groups[i].scenario);
		free(report->groups[i].policy);
		free(report->groups[i].settings);
		free(report->groups[i].order);
		free(report->groups[i].reason);
	}
	free(report->files);
	free(report->moves);
	free(report->groups);
	free(report->fleets);
	free(report->estimates);
	json_decref(report->index);
}
