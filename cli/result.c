/* SPDX-License-Identifier: MIT */
#include "cli/result.h"

#include <inttypes.h>
#include <string.h>

#include "base/values.h"

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* What is not known is left out. */
static void add_activity(json_t *row, const struct gw_activity *activity)
{
	if (activity->cpu_known)
		(void)json_object_set_new(row, "cpu_permille",
		                          json_integer(activity->cpu_permille));
	if (activity->memory_pages)
		(void)json_object_set_new(row, "memory_pages", number(activity->memory_pages));
	if (activity->network_known)
		(void)json_object_set_new(row, "network_bytes_per_s",
		                          number(activity->network_bytes_per_s));
	if (activity->link_known)
		(void)json_object_set_new(row, "link_bytes_per_s",
		                          number(activity->link_bytes_per_s));
}

static json_t *rounds_json(const struct gw_result *r)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < r->round_count; i++) {
		const struct gw_round *round = &r->rounds[i];
		json_t *row = json_object();

		(void)json_object_set_new(row, "round", json_integer(round->round));
		(void)json_object_set_new(row, "dirty_pages", number(round->dirty_pages));
		(void)json_object_set_new(row, "sent_pages", number(round->sent_pages));
		if (round->predicted_dirty_pages != GW_NO_FORECAST)
			(void)json_object_set_new(row, "predicted_dirty_pages",
			                          number(round->predicted_dirty_pages));
		(void)json_object_set_new(row, "deferred_pages", number(round->deferred_pages));
		(void)json_object_set_new(row, "sdf", json_real(round->sdf));
		if (round->skipped_pages)
			(void)json_object_set_new(row, "skipped_pages",
			                          number(round->skipped_pages));
		(void)json_object_set_new(row, "duration_ns", number(round->duration_ns));
		if (round->bandwidth_bytes_per_s)
			(void)json_object_set_new(row, "bandwidth_bytes_per_s",
			                          number(round->bandwidth_bytes_per_s));
		add_activity(row, &round->activity);
		(void)json_object_set_new(row, "decision",
		                          json_string(gw_decision_name(round->decision)));
		(void)json_object_set_new(row, "reason", json_string(round->reason));
		(void)json_array_append_new(list, row);
	}
	return list;
}

static void add_link(json_t *json, const struct gw_result *r)
{
	json_t *link = json_object();

	if (r->bandwidth_bytes_per_s)
		(void)json_object_set_new(link, "bandwidth_bytes_per_s",
		                          number(r->bandwidth_bytes_per_s));
	if (r->latency_ns)
		(void)json_object_set_new(link, "latency_ns", number(r->latency_ns));
	if (json_object_size(link))
		(void)json_object_set_new(json, "link", link);
	else
		json_decref(link);
}

static void add_costs(json_t *json, const struct gw_result *r)
{
	const struct gw_metrics *m = r->metrics;

	(void)json_object_set_new(json, "total_time_ns", number(m->total_time_ns));
	if (m->downtime_known) {
		(void)json_object_set_new(json, "stopped_after_ns", number(m->stopped_after_ns));
		(void)json_object_set_new(json, "downtime_ns", number(m->downtime_ns));
		(void)json_object_set_new(json, "stall_ns", number(m->stall_ns));
		(void)json_object_set_new(json, "unavailable_ns",
		                          number(m->downtime_ns + m->stall_ns));
	}
	(void)json_object_set_new(json, "pages_sent", number(m->pages_sent));
	(void)json_object_set_new(json, "pages_resent", number(m->pages_resent));
	(void)json_object_set_new(json, "zero_pages", number(r->zero_pages));
	(void)json_object_set_new(json, "bytes_on_link", number(m->bytes_on_link));
	if (!r->order[0])
		return;
	(void)json_object_set_new(json, "faults", number(m->faults));
	if (m->faults)
		(void)json_object_set_new(
		        json, "fault_latency_ns",
		        json_pack("{s:I, s:I, s:I}", "p50", (json_int_t)m->fault_p50_ns, "p99",
		                  (json_int_t)m->fault_p99_ns, "max", (json_int_t)m->fault_max_ns));
}

/* Where the push order takes a copy that runs ahead. */
static void add_shadow(json_t *json, const struct gw_result *r)
{
	const struct gw_metrics *m = r->metrics;

	if (strcmp(r->order, "queue") != 0)
		return;
	(void)json_object_set_new(json, "shadow",
	                          json_pack("{s:b, s:I, s:I, s:I}", "ran", (int)m->shadow_ran,
	                                    "touched_pages", (json_int_t)m->shadow_pages, "faults",
	                                    (json_int_t)m->faults_watched, "foretold",
	                                    (json_int_t)m->faults_foretold));
}

json_t *gw_result_setting(const char *text)
{
	json_t *number = json_loads(text, JSON_DECODE_ANY, NULL);

	if (json_is_number(number))
		return number;
	json_decref(number);
	return json_string(text);
}

json_t *gw_result_json(const struct gw_result *r, json_t *settings)
{
	const struct gw_metrics *m = r->metrics;
	json_t *json = json_pack("{s:s, s:s, s:s, s:O}", "schema", "godwit.result/1", "world",
	                         r->world, "policy", r->policy, "settings", settings);

	if (!json)
		return NULL;
	(void)json_object_set_new(json, "vm",
	                          json_pack("{s:s, s:I, s:i, s:i}", "name", r->name, "ram_bytes",
	                                    (json_int_t)r->ram_bytes, "page_bytes",
	                                    (int)GW_PAGE_BYTES, "vcpus", (int)r->vcpus));
	add_link(json, r);
	if (r->tracker[0])
		(void)json_object_set_new(json, "tracker", json_string(r->tracker));
	if (r->order[0])
		(void)json_object_set_new(json, "order", json_string(r->order));
	if (r->shaping[0])
		(void)json_object_set_new(json, "urgent_pages", json_string(r->shaping));
	(void)json_object_set_new(json, "observation_ns", number(r->observation_ns));
	(void)json_object_set_new(json, "outcome", json_string(gw_outcome_name(r->outcome)));
	(void)json_object_set_new(json, "reason", json_string(r->reason));
	if (r->outcome == GW_STAYED)
		(void)json_object_set_new(json, "obstacle",
		                          json_string(gw_obstacle_name(m->obstacle)));
	add_costs(json, r);
	add_shadow(json, r);
	(void)json_object_set_new(json, "state_bytes", number(r->state_bytes));
	(void)json_object_set_new(json, "rounds", rounds_json(r));
	if (m->verified)
		(void)json_object_set_new(
		        json, "verified",
		        json_pack("{s:I, s:I}", "pages_compared", (json_int_t)m->pages_compared,
		                  "pages_different", (json_int_t)m->pages_different));
	return json;
}

static void line(FILE *out, const char *what, const char *value, const char *note)
{
	(void)fprintf(out, "  %-16s %s%s%s\n", what, value, note[0] ? "  " : "", note);
}

static void print_faults(const struct gw_result *r, FILE *out)
{
	const struct gw_metrics *m = r->metrics;
	char stall[32], p50[32], p99[32], longest[32], text[160];

	if (!r->order[0])
		return;
	line(out, "stall", gw_show_duration(stall, sizeof(stall), m->stall_ns),
	     "each vCPU waited for pages");
	(void)snprintf(text, sizeof(text), "%" PRIu64, m->faults);
	if (m->faults)
		(void)snprintf(text, sizeof(text), "%" PRIu64 " (p50 %s, p99 %s, longest %s)",
		               m->faults, gw_show_duration(p50, sizeof(p50), m->fault_p50_ns),
		               gw_show_duration(p99, sizeof(p99), m->fault_p99_ns),
		               gw_show_duration(longest, sizeof(longest), m->fault_max_ns));
	line(out, "network faults", text, "");
}

void gw_result_print(const struct gw_result *r, FILE *out)
{
	const struct gw_metrics *m = r->metrics;
	char a[64], b[64], text[200];

	if (r->outcome != GW_COMPLETED)
		return;
	(void)fprintf(out, "%s has moved: policy %s%s%s%s%s\n", r->name, r->policy,
	              r->order[0] ? ", order " : "", r->order, r->tracker[0] ? ", tracker " : "",
	              r->tracker);
	if (r->observation_ns)
		line(out, "observed for", gw_show_duration(a, sizeof(a), r->observation_ns),
		     "before the move");
	line(out, "total time", gw_show_duration(a, sizeof(a), m->total_time_ns), "");
	if (m->downtime_known)
		line(out, "downtime", gw_show_duration(a, sizeof(a), m->downtime_ns), "");
	print_faults(r, out);
	(void)snprintf(text, sizeof(text),
	               "%s, %" PRIu64 " pages (%" PRIu64 " again, %" PRIu64 " zero)",
	               gw_show_size(b, sizeof(b), m->bytes_on_link), m->pages_sent, m->pages_resent,
	               r->zero_pages);
	line(out, "on the link", text, "");
	if (m->verified) {
		(void)snprintf(text, sizeof(text),
		               "%" PRIu64 " pages compared, %" PRIu64 " different",
		               m->pages_compared, m->pages_different);
		line(out, "verified", text, "");
	}
}
