/* SPDX-License-Identifier: MIT */
#include "cli/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/values.h"
#include "cli/output.h"
#include "sim/trace/trace.h"

struct pages { /* of all windows in which they were looked for */
	uint64_t windows, sum, min, median, max;
	uint64_t set; /* in any window */
};

struct summary {
	const struct sim_trace_head *head;
	uint64_t windows, ns, window_ns; /* window_ns: the median's */
	struct pages written, read;
	double cpu_permille; /* mean, by time */
	uint64_t network_bytes;
};

/* --- counting ------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *values, uint64_t count)
{
	if (!count)
		return 0;
	qsort(values, count, sizeof(*values), ascending);
	return values[count / 2];
}

static uint64_t add_runs(struct gw_set *set, const struct gw_run *runs, size_t count)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < count; i++) {
		gw_set_add_run(set, runs[i]);
		pages += runs[i].count;
	}
	return pages;
}

static void count_pages(const struct sim_trace *trace, bool read, struct gw_set *set,
                        uint64_t *values, struct pages *pages)
{
	gw_set_clear(set);
	*pages = (struct pages){.min = UINT64_MAX};
	for (size_t i = 0; i < sim_trace_windows(trace); i++) {
		const struct gw_window *w = sim_trace_window(trace, i);
		uint64_t n;

		if (read && !w->read_sampled)
			continue;
		n = read ? add_runs(set, w->read, w->read_count)
		         : add_runs(set, w->written, w->written_count);
		values[pages->windows++] = n;
		pages->sum += n;
		pages->min = n < pages->min ? n : pages->min;
		pages->max = n > pages->max ? n : pages->max;
	}
	pages->median = median(values, pages->windows);
	pages->set = gw_set_count(set);
	if (!pages->windows)
		pages->min = 0;
}

static void count_time(const struct sim_trace *trace, uint64_t *values, struct summary *s)
{
	double cpu = 0;

	for (size_t i = 0; i < s->windows; i++) {
		const struct gw_window *w = sim_trace_window(trace, i);

		values[i] = w->length_ns;
		s->ns += w->length_ns;
		cpu += (double)w->cpu_permille * (double)w->length_ns;
		s->network_bytes += w->network_bytes;
	}
	s->window_ns = median(values, s->windows);
	s->cpu_permille = s->ns ? cpu / (double)s->ns : 0;
}

static int sum_up(const struct sim_trace *trace, struct summary *s, struct gw_error *error)
{
	uint64_t pages = sim_trace_head(trace)->ram_pages, windows = sim_trace_windows(trace);
	_cleanup_free_ uint64_t *words = calloc(gw_set_words(pages), sizeof(*words));
	_cleanup_free_ uint64_t *values = calloc(windows + 1, sizeof(*values));
	struct gw_set set;

	if (!words || !values)
		return gw_fail(error, ENOMEM, "no memory to sum the trace up");
	gw_set_init(&set, words, pages);
	*s = (struct summary){.head = sim_trace_head(trace), .windows = windows};
	count_time(trace, values, s);
	count_pages(trace, false, &set, values, &s->written);
	count_pages(trace, true, &set, values, &s->read);
	return 0;
}

/* --- telling -------------------------------------------------------------------------------- */

static bool is_stdout(const char *path)
{
	return path && !strcmp(path, "-");
}

static double per_second(uint64_t sum, uint64_t ns)
{
	return ns ? (double)sum * 1e9 / (double)ns : 0;
}

static json_t *pages_json(const struct pages *pages)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "windows", (json_int_t)pages->windows, "min",
	                 (json_int_t)pages->min, "median", (json_int_t)pages->median, "max",
	                 (json_int_t)pages->max, "set", (json_int_t)pages->set);
}

static json_t *as_json(const char *path, const struct summary *s)
{
	const struct sim_trace_head *h = s->head;
	json_t *j = json_pack(
	        "{s:s, s:s, s:{s:s, s:I, s:i, s:i}, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "schema",
	        "godwit.trace/1", "file", path, "vm", "name", h->vm, "ram_bytes",
	        (json_int_t)h->ram_pages * h->page_bytes, "page_bytes", (int)h->page_bytes,
	        "vcpus", (int)h->vcpus, "tracker", h->tracker, "window_ns",
	        (json_int_t)h->window_ns, "windows", (json_int_t)s->windows, "duration_ns",
	        (json_int_t)s->ns, "populated_pages", (json_int_t)h->populated_pages, "zero_pages",
	        (json_int_t)h->zero_pages, "written_pages", pages_json(&s->written));

	if (!j)
		return NULL;
	if (s->read.windows)
		(void)json_object_set_new(j, "read_pages", pages_json(&s->read));
	if (h->cpu_known)
		(void)json_object_set_new(j, "cpu_share", json_real(s->cpu_permille / 1000));
	if (h->network_known)
		(void)json_object_set_new(j, "network_bytes",
		                          json_integer((json_int_t)s->network_bytes));
	return j;
}

static void print_pages(const struct summary *s, const char *what, const struct pages *pages)
{
	char size[32];

	(void)printf(
	        "%s: %llu pages a window in the median, %llu to %llu; %llu pages (%s) in all\n",
	        what, (unsigned long long)pages->median, (unsigned long long)pages->min,
	        (unsigned long long)pages->max, (unsigned long long)pages->set,
	        gw_show_size(size, sizeof(size), pages->set * s->head->page_bytes));
}

static void print(const struct summary *s)
{
	const struct sim_trace_head *h = s->head;
	char size[32], all[32], window[32], rate[32];

	(void)printf("%s: %s, %u vCPU%s; %llu pages populated, %llu of them zero\n", h->vm,
	             gw_show_size(size, sizeof(size), h->ram_pages * h->page_bytes), h->vcpus,
	             h->vcpus == 1 ? "" : "s", (unsigned long long)h->populated_pages,
	             (unsigned long long)h->zero_pages);
	(void)printf("recorded: %s in %llu windows of %s (tracker %s)\n",
	             gw_show_duration(all, sizeof(all), s->ns), (unsigned long long)s->windows,
	             gw_show_duration(window, sizeof(window), s->window_ns), h->tracker);
	print_pages(s, "written", &s->written);
	if (s->read.windows) {
		print_pages(s, "read", &s->read);
		(void)printf("reads were looked at in %llu of the windows\n",
		             (unsigned long long)s->read.windows);
	}
	if (h->cpu_known)
		(void)printf("CPU: %.1f %% of its vCPUs\n", s->cpu_permille / 10);
	if (h->network_known)
		(void)printf("network: %s\n",
		             gw_show_rate(rate, sizeof(rate), per_second(s->network_bytes, s->ns)));
}

/* --- windows -------------------------------------------------------------------------------- */

static void print_runs(FILE *out, const struct gw_run *runs, size_t count)
{
	const char *space = "";

	for (size_t i = 0; i < count; i++)
		for (uint64_t page = 0; page < runs[i].count; page++) {
			(void)fprintf(out, "%s%llu", space,
			              (unsigned long long)runs[i].first + page);
			space = " ";
		}
	(void)fputc('\n', out);
}

static int write_windows(const struct sim_trace *trace, bool read, const char *path,
                         struct gw_error *error)
{
	FILE *out = strcmp(path, "-") ? fopen(path, "we") : stdout;
	int failed = 0;

	for (size_t i = 0; out && i < sim_trace_windows(trace); i++) {
		const struct gw_window *w = sim_trace_window(trace, i);

		if (!read)
			print_runs(out, w->written, w->written_count);
		else if (w->read_sampled)
			print_runs(out, w->read, w->read_count);
	}
	if (out)
		failed = fflush(out) | ferror(out);
	if (out && out != stdout)
		failed |= fclose(out);
	if (!out || failed)
		return gw_fail(error, EIO, "cannot write windows to %s: %s", path, strerror(errno));
	return 0;
}

static int tell(const struct sim_trace *trace, const char *path, const struct gw_record_show *how,
                struct gw_error *error)
{
	struct summary s;
	int err = 0;

	if (how->windows)
		err = write_windows(trace, false, how->windows, error);
	if (!err && how->read_windows)
		err = write_windows(trace, true, how->read_windows, error);
	if (err)
		return err;
	err = sum_up(trace, &s, error);
	if (err)
		return err;
	if (!is_stdout(how->json) && !is_stdout(how->windows) && !is_stdout(how->read_windows))
		print(&s);
	return how->json ? gw_output_json(as_json(path, &s), how->json, error) : 0;
}

int gw_record_show(const char *path, const struct gw_record_show *how, struct gw_error *error)
{
	struct sim_trace *trace;
	int err = sim_trace_open(&trace, path, error);

	if (err)
		return err;
	err = tell(trace, path, how, error);
	sim_trace_free(trace);
	return err;
}
