/* SPDX-License-Identifier: MIT */
/* VMs that moved together: who when, what the link carried, and what was planned. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/report/chart.h"
#include "cli/report/report.h"

#define LEFT      150.0
#define RIGHT     (GW_CHART_WIDTH - 14)
#define TOP       8.0
#define ROW       20.0
#define LABELLED  60    /* rows; with more of them there is no room for names */
#define HEIGHT    900.0 /* of the rows then */
#define DRAWN_MAX 2000
#define BINS      360 /* of the link's use over time */
#define LINK      90.0
#define TABLE_MAX 400
#define WHOLE_MAX 12 /* VMs whose moves are shown whole */

/* One VM; times in ns, NAN where there is none. */
struct bar {
	const char *name; /* borrowed from `json` */
	const json_t *vm; /* of an evacuation, or NULL; borrowed */
	const json_t *result;
	double begin, end, planned_begin, planned_end;
	bool late;
};

struct fleet {
	json_t *json; /* the evacuation, or a list of the results; owned */
	struct bar *bars;
	size_t count;
	double end, deadline, link;
	bool planned, evacuation;
};

/* --- what there is --------------------------------------------------------------------------- */

static void bar_of_vm(struct bar *bar, const json_t *vm, double deadline)
{
	const json_t *planned = json_object_get(vm, "planned");

	bar->name = gw_report_string(vm, "name");
	bar->vm = vm;
	bar->result = json_object_get(vm, "result");
	bar->begin = gw_report_number(vm, "begin_ns");
	bar->end = gw_report_number(vm, "end_ns");
	bar->planned_begin = gw_report_number(planned, "begin_ns");
	bar->planned_end = gw_report_number(planned, "end_ns");
	bar->late = bar->end > deadline;
}

static void bar_of_move(struct bar *bar, const json_t *result)
{
	bar->name = gw_report_string(json_object_get(result, "vm"), "name");
	bar->result = result;
	bar->begin = gw_report_number(result, "start_ns");
	bar->end = gw_report_number(result, "end_ns");
	bar->planned_begin = bar->planned_end = (double)NAN;
}

static int by_begin(const void *a, const void *b)
{
	const struct bar *one = a, *other = b;
	double x = isnan(one->begin) ? one->planned_begin : one->begin;
	double y = isnan(other->begin) ? other->planned_begin : other->begin;

	if (isnan(x) || isnan(y))
		return isnan(x) - isnan(y);
	return x < y ? -1 : x > y;
}

static json_t *load_moves(const struct gw_report *report, const struct gw_report_fleet *fleet)
{
	json_t *list = json_array();

	for (size_t i = 0; i < fleet->moves; i++)
		(void)json_array_append_new(
		        list, gw_report_load(report, &report->moves[fleet->first + i].place));
	return list;
}

static int open_fleet(struct fleet *f, const struct gw_report *report,
                      const struct gw_report_fleet *from)
{
	json_t *list, *item;
	size_t i;

	*f = (struct fleet){.evacuation = !from->moves, .deadline = NAN, .link = NAN};
	f->json = f->evacuation ? gw_report_load(report, &from->place) : load_moves(report, from);
	list = f->evacuation ? json_object_get(f->json, "vms") : f->json;
	f->bars = calloc(json_array_size(list) + 1, sizeof(*f->bars));
	if (!f->bars)
		return -1;
	if (f->evacuation) {
		f->deadline = gw_report_number(f->json, "deadline_ns");
		f->link = gw_report_number(f->json, "link_bytes_per_s");
	}
	json_array_foreach(list, i, item)
	{
		struct bar *bar = &f->bars[f->count++];

		if (f->evacuation)
			bar_of_vm(bar, item, f->deadline);
		else
			bar_of_move(bar, item);
		f->end = fmax(f->end, fmax(fmax(0, bar->end), fmax(0, bar->planned_end)));
		f->planned |= !isnan(bar->planned_end);
	}
	f->end = fmax(f->end, fmax(0, f->deadline));
	f->end = fmax(f->end, 1);
	qsort(f->bars, f->count, sizeof(*f->bars), by_begin);
	return 0;
}

static void close_fleet(struct fleet *f)
{
	free(f->bars);
	json_decref(f->json);
}

/* --- in words -------------------------------------------------------------------------------- */

static double sum(const struct fleet *f, const char *key)
{
	double all = 0;

	for (size_t i = 0; i < f->count; i++)
		all += fmax(0, gw_report_number(f->bars[i].result, key));
	return all;
}

static size_t moved(const struct fleet *f)
{
	size_t count = 0;

	for (size_t i = 0; i < f->count; i++)
		count += !strcmp(gw_report_string(f->bars[i].result, "outcome"), "completed");
	return count;
}

static void tiles(struct gw_page *page, const struct fleet *f)
{
	const json_t *plan = f->evacuation ? json_object_get(f->json, "plan") : NULL;
	double total = f->evacuation ? gw_report_number(f->json, "total_time_ns") : f->end;
	double announced = gw_report_number(plan, "end_ns");
	char text[120] = "", shown[GW_SHOWN_BYTES];

	gw_page_tiles(page);
	if (!isnan(announced))
		(void)snprintf(text, sizeof(text), "announced: %s",
		               gw_page_show(shown, GW_UNIT_TIME, announced));
	gw_page_tile(page, isnan(total) ? "announced" : "until the last had moved", GW_UNIT_TIME,
	             isnan(total) ? announced : total, text);
	if (!isnan(total)) {
		(void)snprintf(text, sizeof(text), "of %zu", f->count);
		gw_page_tile(page, "VMs moved", GW_UNIT_COUNT, (double)moved(f), text);
		gw_page_tile(page, "unavailable", GW_UNIT_TIME, sum(f, "unavailable_ns"),
		             "all VMs together");
		gw_page_tile(page, "on the link", GW_UNIT_BYTES, sum(f, "bytes_on_link"), "");
	}
	gw_page_tile(page, "deadline", GW_UNIT_TIME, f->deadline, "for the last of them");
	gw_page_tiles_end(page);
}

static void say_late(struct gw_page *page, const struct fleet *f)
{
	size_t late = 0, told = 0;

	for (size_t i = 0; i < f->count; i++)
		late += f->bars[i].late;
	if (!late)
		return;
	gw_page_markup(page, "<p class=\"warn\">");
	gw_page_say(page, "%zu of %zu VMs moved after the deadline: ", late, f->count);
	for (size_t i = 0; i < f->count && told < 20; i++)
		if (f->bars[i].late)
			gw_page_say(page, "%s%s", told++ ? ", " : "", f->bars[i].name);
	gw_page_say(page, late > told ? ", …" : ".");
	gw_page_markup(page, "</p>\n");
}

/* --- who when -------------------------------------------------------------------------------- */

static const char *style_of(const struct bar *bar)
{
	if (strcmp(gw_report_string(bar->result, "outcome"), "completed") != 0)
		return "f-stop";
	return bar->late ? "f-late" : "f-round";
}

static void tell_bar(const struct bar *bar, char *text, size_t bytes)
{
	char begin[GW_SHOWN_BYTES], end[GW_SHOWN_BYTES], stood[GW_SHOWN_BYTES];

	(void)snprintf(
	        text, bytes, "%.80s: %s to %s, unavailable %s", bar->name,
	        gw_page_show(begin, GW_UNIT_TIME, bar->begin),
	        gw_page_show(end, GW_UNIT_TIME, bar->end),
	        gw_page_show(stood, GW_UNIT_TIME, gw_report_number(bar->result, "unavailable_ns")));
}

static void draw_bar(struct gw_page *page, const struct gw_scale *x, double y, double height,
                     const struct bar *bar)
{
	struct gw_course course;
	double from;
	char told[300];

	if (!isnan(bar->planned_end) && height > 4)
		gw_chart_box(page, gw_scale_at(x, bar->planned_begin), y + height * 0.12,
		             gw_scale_at(x, bar->planned_end) - gw_scale_at(x, bar->planned_begin),
		             height * 0.76, 1, "f-plan", NULL);
	if (isnan(bar->begin) || isnan(bar->end))
		return;
	tell_bar(bar, told, sizeof(told));
	gw_chart_box(page, gw_scale_at(x, bar->begin), y + height * 0.26,
	             gw_scale_at(x, bar->end) - gw_scale_at(x, bar->begin), height * 0.48, 0.6,
	             style_of(bar), height > 4 ? told : NULL);
	if (!bar->result || height <= 4)
		return;
	gw_report_course(bar->result, &course);
	from = bar->end - course.total;
	if (course.switched)
		gw_chart_box(page, gw_scale_at(x, from + course.stop), y + height * 0.12,
		             gw_scale_at(x, from + course.resume) -
		                     gw_scale_at(x, from + course.stop),
		             height * 0.76, 2, "f-stop", "downtime");
}

static double gantt(struct gw_page *page, const struct gw_scale *x, const struct fleet *f)
{
	bool labelled = f->count <= LABELLED;
	double row = labelled ? ROW : fmax(HEIGHT / (double)f->count, 0.45);
	size_t stride = f->count / DRAWN_MAX + 1, drawn = 0;
	double height = row * (double)((f->count + stride - 1) / stride);
	char text[100];

	gw_chart_axis_x(page, x, TOP, TOP + height + 22 + LINK);
	for (size_t i = 0; i < f->count; i += stride, drawn++) {
		double y = TOP + row * (double)drawn;

		if (labelled)
			gw_chart_words(page, LEFT - 10, y + 14, GW_ANCHOR_END, "",
			               gw_page_shorten(text, sizeof(text), f->bars[i].name, 17));
		draw_bar(page, x, y, row, &f->bars[i]);
	}
	if (!labelled) {
		(void)snprintf(text, sizeof(text), "%zu VMs", f->count);
		gw_chart_words(page, LEFT - 10, TOP + 14, GW_ANCHOR_END, "soft", text);
		(void)snprintf(text, sizeof(text), "every %zuth is drawn", stride);
		if (stride > 1)
			gw_chart_words(page, LEFT - 10, TOP + 28, GW_ANCHOR_END, "soft", text);
	}
	return TOP + height;
}

/* --- the link's use -------------------------------------------------------------------------- */

/* Over time: what was measured on the link in a round, or else what the moves sent. */
struct use {
	double width;                        /* of a bin, ns */
	double sent[BINS];                   /* bytes */
	double carried[BINS], watched[BINS]; /* rate times time, and that time */
};

static void pour(double *bins, double width, double from, double to, double amount)
{
	if (!(to > from) || !(amount > 0))
		return;
	for (int i = (int)fmin(BINS, fmax(0, from / width)); i < BINS && i * width < to; i++)
		bins[i] += amount / (to - from) *
		           fmax(0, fmin(to, (i + 1) * width) - fmax(from, i * width));
}

/* Each round at its rate, what is left evenly until the end. */
static void use_of_move(struct use *use, const struct bar *bar)
{
	struct gw_course course;
	double left = gw_report_number(bar->result, "bytes_on_link"), at;
	json_t *round;
	size_t i;

	if (isnan(bar->end) || isnan(left))
		return;
	gw_report_course(bar->result, &course);
	at = bar->end - course.total + course.first_round;
	json_array_foreach(course.rounds, i, round)
	{
		double lasts = fmax(0, gw_report_number(round, "duration_ns"));
		double sent =
		        fmax(0, gw_report_number(round, "bandwidth_bytes_per_s")) * lasts / 1e9;
		double link = gw_report_number(round, "link_bytes_per_s");

		pour(use->sent, use->width, at, at + lasts, fmin(sent, left));
		if (!isnan(link)) {
			pour(use->carried, use->width, at, at + lasts, link * lasts);
			pour(use->watched, use->width, at, at + lasts, lasts);
		}
		left -= fmin(sent, left);
		at += lasts;
	}
	pour(use->sent, use->width, at, bar->end, left);
}

static double rate_at(const struct use *use, int bin)
{
	if (use->watched[bin] > use->width / 2)
		return use->carried[bin] / use->watched[bin];
	return use->sent[bin] / use->width * 1e9;
}

static void link_use(struct gw_page *page, const struct gw_scale *x, double top,
                     const struct fleet *f)
{
	struct use use = {.width = f->end / BINS};
	struct gw_scale y = {.from = top + LINK, .to = top, .unit = GW_UNIT_RATE};

	for (size_t i = 0; i < f->count; i++)
		use_of_move(&use, &f->bars[i]);
	y.high = fmax(0, f->link);
	for (int i = 0; i < BINS; i++)
		y.high = fmax(y.high, rate_at(&use, i));
	gw_scale_fit(&y, false);
	gw_chart_axis_y(page, &y, 3, LEFT, RIGHT);
	gw_page_markup(page, "<path class=\"f-area\" d=\"M%.1f %.1f", x->from, y.from);
	for (int i = 0; i < BINS; i++)
		gw_page_markup(page, "V%.1fH%.1f", gw_scale_at(&y, rate_at(&use, i)),
		               gw_scale_at(x, (i + 1) * use.width));
	gw_page_markup(page, "V%.1fZ\"/>\n", y.from);
	if (!isnan(f->link))
		gw_chart_line(page, x->from, gw_scale_at(&y, f->link), x->to,
		              gw_scale_at(&y, f->link), "limit");
}

static void picture(struct gw_page *page, const struct fleet *f)
{
	struct gw_scale x = {0, f->end * 1.01, LEFT, RIGHT, GW_UNIT_TIME, false};
	size_t stride = f->count / DRAWN_MAX + 1;
	double row = f->count <= LABELLED ? ROW : fmax(HEIGHT / (double)f->count, 0.45);
	double height = TOP + row * (double)((f->count + stride - 1) / stride) + 22 + LINK + 22;
	double bottom;

	gw_chart_open(
	        page, height, "Who moved when, and what the link carried",
	        "A row for each VM: an outline for what was planned, a bar for what happened, "
	        "a mark for its downtime; below, the rate of all moves together.");
	bottom = gantt(page, &x, f);
	link_use(page, &x, bottom + 22, f);
	if (!isnan(f->deadline))
		gw_chart_line(page, gw_scale_at(&x, f->deadline), TOP - 4,
		              gw_scale_at(&x, f->deadline), bottom + 22 + LINK, "limit");
	gw_chart_close(page);
	gw_page_legend(page);
	gw_page_legend_item(page, "f-round", "moves");
	if (f->deadline > 0)
		gw_page_legend_item(page, "f-late", "moves, and is late");
	if (f->planned)
		gw_page_legend_item(page, "f-plan", "as planned");
	gw_page_legend_item(page, "f-stop", "downtime, or failed");
	gw_page_legend_item(page, "f-area", "what the link carried, round by round");
	if (!isnan(f->deadline) || !isnan(f->link))
		gw_page_markup(page, "<li>dashed: deadline, and what the moves may use</li>");
	gw_page_legend_end(page);
}

/* --- as a table ------------------------------------------------------------------------------ */

static void table_row(struct gw_page *page, const struct fleet *f, const struct bar *bar)
{
	const char *outcome = bar->vm ? gw_report_string(bar->vm, "outcome")
	                              : gw_report_string(bar->result, "outcome");
	const char *reason = bar->vm ? gw_report_string(bar->vm, "reason") : "";
	char text[600];

	gw_page_row(page);
	gw_page_head_cell(page, bar->name);
	(void)snprintf(text, sizeof(text), "%s%s%s%s", outcome, bar->late ? ", late" : "",
	               *reason ? ": " : "", reason);
	gw_page_text_cell(page, text);
	gw_page_text_cell(page, gw_report_string(bar->result, "policy"));
	if (f->evacuation)
		gw_page_text_cell(page, gw_report_string(bar->vm, "host"));
	if (f->planned) {
		gw_page_data_cell(page, GW_UNIT_TIME, bar->planned_begin);
		gw_page_data_cell(page, GW_UNIT_TIME, bar->planned_end);
	}
	gw_page_data_cell(page, GW_UNIT_TIME, bar->begin);
	gw_page_data_cell(page, GW_UNIT_TIME, bar->end);
	gw_page_data_cell(page, GW_UNIT_TIME, gw_report_number(bar->result, "downtime_ns"));
	gw_page_data_cell(page, GW_UNIT_TIME, gw_report_number(bar->result, "unavailable_ns"));
	gw_page_data_cell(page, GW_UNIT_BYTES, gw_report_number(bar->result, "bytes_on_link"));
	gw_page_row_end(page);
}

static void table(struct gw_page *page, const struct fleet *f)
{
	const char *headings[16] = {"VM", "outcome", "policy"};
	static const char *const rest[] = {">began", ">ended", ">downtime", ">unavailable",
	                                   ">on the link"};
	size_t n = 3;

	if (f->evacuation)
		headings[n++] = "to";
	if (f->planned) {
		headings[n++] = ">planned from";
		headings[n++] = ">to";
	}
	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
		headings[n++] = rest[i];
	headings[n] = NULL;
	gw_page_table(page, "In the order in which they began.", headings);
	for (size_t i = 0; i < f->count && i < TABLE_MAX; i++)
		table_row(page, f, &f->bars[i]);
	gw_page_table_end(page);
	if (f->count > TABLE_MAX)
		gw_page_say(page, "The first %d of %zu VMs.", TABLE_MAX, f->count);
}

static void whole_moves(struct gw_page *page, const struct fleet *f)
{
	for (size_t i = 0; i < f->count && i < WHOLE_MAX; i++) {
		const struct bar *bar = &f->bars[i];

		if (!bar->result)
			continue;
		gw_page_markup(page, "<details><summary><bdi>");
		gw_page_text(page, bar->name);
		gw_page_markup(page, "</bdi> <small>");
		gw_page_say(page, "%s", gw_report_string(bar->result, "policy"));
		gw_page_markup(page, "</small></summary>\n");
		gw_report_sentence(page, bar->result);
		gw_report_move(page, bar->result);
		gw_page_markup(page, "</details>\n");
	}
}

void gw_report_fleet(struct gw_page *page, const struct gw_report *report,
                     const struct gw_report_fleet *fleet)
{
	struct fleet f;

	if (!open_fleet(&f, report, fleet)) {
		tiles(page, &f);
		say_late(page, &f);
		picture(page, &f);
		table(page, &f);
		whole_moves(page, &f);
	}
	close_fleet(&f);
}

/* --- several evacuations --------------------------------------------------------------------- */

static void evacuation_row(struct gw_page *page, const struct fleet *f, const char *path)
{
	const json_t *plan = json_object_get(f->json, "plan");
	size_t late = 0;
	char text[64];

	for (size_t i = 0; i < f->count; i++)
		late += f->bars[i].late;
	gw_page_row(page);
	gw_page_head_cell(page, path);
	gw_page_text_cell(page, gw_report_string(f->json, "sharing"));
	(void)snprintf(text, sizeof(text), "%zu of %zu", moved(f), f->count);
	gw_page_markup(page, "<td class=\"n\">%s</td>", text);
	gw_page_data_cell(page, GW_UNIT_COUNT, isnan(f->deadline) ? (double)NAN : (double)late);
	gw_page_data_cell(page, GW_UNIT_TIME, gw_report_number(plan, "end_ns"));
	gw_page_data_cell(page, GW_UNIT_TIME, gw_report_number(f->json, "total_time_ns"));
	gw_page_data_cell(page, GW_UNIT_TIME, sum(f, "unavailable_ns"));
	gw_page_data_cell(page, GW_UNIT_BYTES, sum(f, "bytes_on_link"));
	gw_page_row_end(page);
}

void gw_report_evacuations(struct gw_page *page, const struct gw_report *report)
{
	static const char *const headings[] = {"result",       "sharing",      ">moved",
	                                       ">late",        ">announced",   ">took",
	                                       ">unavailable", ">on the link", NULL};
	struct fleet f;

	gw_page_table(page, "Unavailable and bytes of all VMs of each together.", headings);
	for (size_t i = 0; i < report->fleet_count && i < TABLE_MAX; i++) {
		if (report->fleets[i].moves)
			continue;
		if (!open_fleet(&f, report, &report->fleets[i]))
			evacuation_row(page, &f, report->files[report->fleets[i].place.file].path);
		close_fleet(&f);
	}
	gw_page_table_end(page);
}
