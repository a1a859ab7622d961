/* SPDX-License-Identifier: MIT */
#include "cli/estimate.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/values.h"
#include "cli/result.h"
#include "cli/table.h"

/* --- as JSON -------------------------------------------------------------------------------- */

json_t *gw_interval_json(const struct gw_interval *interval)
{
	return json_pack("{s:I, s:I, s:I}", "low", (json_int_t)interval->low, "middle",
	                 (json_int_t)interval->middle, "high", (json_int_t)interval->high);
}

json_t *gw_move_settings_json(const struct sim_move *move)
{
	json_t *settings = json_object();

	for (unsigned i = 0; i < move->setting_count; i++)
		(void)json_object_set_new(settings, move->settings[i].key,
		                          gw_result_setting(move->settings[i].value));
	if (move->order[0])
		(void)json_object_set_new(settings, "order", json_string(move->order));
	return settings;
}

static json_t *forecast_json(const struct gw_forecast *f, const struct sim_move *move)
{
	json_t *row = json_pack("{s:s, s:o, s:i, s:i}", "policy", f->policy, "settings",
	                        gw_move_settings_json(move), "samples", (int)f->samples,
	                        "completed", (int)f->completed);

	if (f->obstacle[0])
		(void)json_object_set_new(row, "obstacle", json_string(f->obstacle));
	for (unsigned i = 0; i < GW_FIGURES && f->completed; i++)
		if (i != GW_FIGURE_FAULTS || f->pulls)
			(void)json_object_set_new(row, gw_figure_name((enum gw_figure)i),
			                          gw_interval_json(&f->figures[i]));
	return row;
}

static json_t *recommendation(const struct sim_plan *plan)
{
	json_t *json = json_object();

	if (plan->taken != GW_CHOICE_NONE) {
		const struct sim_move *move = &plan->estimate.moves[plan->taken];

		(void)json_object_set_new(json, "policy", json_string(move->policy));
		(void)json_object_set_new(json, "settings", gw_move_settings_json(move));
	}
	(void)json_object_set_new(json, "reason", json_string(plan->reason));
	return json;
}

static json_t *link_json(const struct gw_estimate_about *about)
{
	const struct sim_vm *vm = &about->scenario->vms[0];
	uint64_t rate = UINT64_MAX, latency = 0;

	for (unsigned i = 0; i < vm->path_count; i++) {
		const struct sim_link_config *link = &about->scenario->links[vm->path[i]];

		rate = link->bytes_per_s < rate ? link->bytes_per_s : rate;
		latency += link->latency_ns;
	}
	return json_pack("{s:I, s:I}", "bandwidth_bytes_per_s", (json_int_t)rate, "latency_ns",
	                 (json_int_t)latency);
}

static json_t *limits_json(const struct sim_move *move)
{
	json_t *limits = json_object();

	(void)json_object_set_new(limits, "downtime_ns",
	                          json_integer((json_int_t)move->downtime_limit_ns));
	if (move->deadline_ns)
		(void)json_object_set_new(limits, "deadline_ns",
		                          json_integer((json_int_t)move->deadline_ns));
	return limits;
}

json_t *gw_estimate_json(const struct sim_plan *plan, const struct gw_estimate_about *about)
{
	const struct sim_vm *vm = &about->scenario->vms[0];
	const struct sim_estimate *e = &plan->estimate;
	uint64_t ram_bytes = vm->ram_pages * GW_PAGE_BYTES;
	json_t *rows = json_array();

	for (size_t i = 0; i < e->count; i++)
		(void)json_array_append_new(rows, forecast_json(&e->forecasts[i], &e->moves[i]));
	return json_pack("{s:s, s:{s:s, s:I, s:i}, s:o, s:I, s:f, s:o, s:o, s:o}", "schema",
	                 "godwit.estimate/1", "vm", "name", vm->name, "ram_bytes",
	                 (json_int_t)ram_bytes, "vcpus", (int)vm->vcpus,
	                 "link", link_json(about), "observation_ns",
	                 (json_int_t)about->observation_ns, "written_bytes_per_s",
	                 e->written_bytes_per_s, "limits", limits_json(&vm->move), "policies", rows,
	                 "recommendation", recommendation(plan));
}

/* --- for a person --------------------------------------------------------------------------- */

/* "6.70 (6.52 to 7.10) s" */
static const char *range_text(char *text, size_t bytes, const struct gw_interval *x, double unit,
                              const char *name)
{
	double middle = (double)x->middle / unit;
	int digits = unit <= 1 ? 0 : middle >= 100 ? 0 : middle >= 10 ? 1 : 2;

	(void)snprintf(text, bytes, "%.*f (%.*f to %.*f)%s", digits, middle, digits,
	               (double)x->low / unit, digits, (double)x->high / unit, name);
	return text;
}

static const char *figure_text(char *text, size_t bytes, enum gw_figure figure,
                               const struct gw_interval *x)
{
	if (figure == GW_FIGURE_FAULTS)
		return range_text(text, bytes, x, 1, "");
	if (figure == GW_FIGURE_BYTES)
		return range_text(text, bytes, x, 1e6, " MB");
	return x->middle < 1000000000 ? range_text(text, bytes, x, 1e6, " ms")
	                              : range_text(text, bytes, x, 1e9, " s");
}

static int add_row(struct gw_table *table, const struct gw_forecast *f)
{
	char figures[GW_FIGURES][64];
	const char *texts[2 + GW_FIGURES] = {f->policy, f->settings[0] ? f->settings : NULL};

	for (unsigned i = 0; i < GW_FIGURES; i++)
		texts[2 + i] = f->completed < f->samples || (i == GW_FIGURE_FAULTS && !f->pulls)
		                       ? NULL
		                       : figure_text(figures[i], sizeof(figures[i]),
		                                     (enum gw_figure)i, &f->figures[i]);
	return gw_table_add(table, texts);
}

static void print_obstacles(const struct sim_estimate *e, FILE *out)
{
	for (size_t i = 0; i < e->count; i++) {
		const struct gw_forecast *f = &e->forecasts[i];

		if (f->completed < f->samples)
			(void)fprintf(out, "%s%s%s: completed in %u of %u simulated moves; %s\n",
			              f->policy, f->settings[0] ? " " : "", f->settings,
			              f->completed, f->samples, f->obstacle);
	}
}

int gw_estimate_print(const struct sim_plan *plan, const struct gw_estimate_about *about, FILE *out)
{
	static const char *const headings[] = {
	        "POLICY",       "SETTINGS", ">TOTAL TIME", ">DOWNTIME",
	        ">UNAVAILABLE", ">FAULTS",  ">ON LINK",    NULL};
	const struct sim_vm *vm = &about->scenario->vms[0];
	const struct sim_estimate *e = &plan->estimate;
	struct gw_table table;
	char size[32], length[32], written[32];
	int err = gw_table_init(&table, headings);

	(void)fprintf(out,
	              "%s: %s of memory, observed for %s; it writes %s. Nine in ten moves lie "
	              "in the brackets.\n",
	              vm->name, gw_show_size(size, sizeof(size), vm->ram_pages * GW_PAGE_BYTES),
	              gw_show_duration(length, sizeof(length), about->observation_ns),
	              gw_show_rate(written, sizeof(written), e->written_bytes_per_s));
	for (size_t i = 0; i < e->count && !err; i++)
		err = add_row(&table, &e->forecasts[i]);
	if (!err)
		gw_table_print(&table, out);
	gw_table_free(&table);
	print_obstacles(e, out);
	(void)fprintf(out, "%s\n", plan->reason);
	return err;
}
