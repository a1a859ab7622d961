/* SPDX-License-Identifier: MIT */
/*
 * tests/fuzz/trace.c - any bytes into the reader of traces.
 *
 * The first byte of an input chooses whether the bytes are taken as they are, or become the
 * contents of blocks, compressed and with checksums that fit: else none would come past those.
 * What is read must be what its own writer writes again.
 */
#include "sim/trace/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "sim/trace/bytes.h"
#include "tests/fuzz/target.h"

#define PAGES 100000

static struct {
	unsigned long accepted, windows;
} seen;

bool target_report(unsigned long inputs)
{
	fprintf(stderr, "trace: %lu of %lu inputs read, %lu windows\n", seen.accepted, inputs,
	        seen.windows);
	return seen.accepted && seen.windows;
}

static void check_runs(const struct gw_run *runs, size_t count, uint64_t pages)
{
	uint64_t next = 0;

	for (size_t i = 0; i < count; i++) {
		require(runs[i].count && runs[i].first >= next && runs[i].first < pages &&
		                runs[i].count <= pages - runs[i].first,
		        "runs ascend, with gaps, within the memory");
		next = runs[i].first + runs[i].count + 1;
	}
}

static void check_window(const struct sim_trace *trace, const struct gw_window *w)
{
	uint64_t pages = sim_trace_head(trace)->ram_pages;

	require(w->length_ns && w->cpu_permille <= 1000, "a window has possible values");
	require(w->read_sampled || !w->read_count, "no reads where none were looked for");
	check_runs(w->written, w->written_count, pages);
	check_runs(w->read, w->read_count, pages);
}

static void same_runs(const struct gw_run *a, const struct gw_run *b, size_t count)
{
	require(!count || !memcmp(a, b, count * sizeof(*a)), "the same runs");
}

static void same(const struct sim_trace *a, const struct sim_trace *b)
{
	require(sim_trace_windows(a) == sim_trace_windows(b), "as many windows");
	require(gw_set_equal(sim_trace_populated(a), sim_trace_populated(b)), "the same pages");
	for (size_t i = 0; i < sim_trace_windows(a); i++) {
		const struct gw_window *v = sim_trace_window(a, i);
		const struct gw_window *w = sim_trace_window(b, i);

		require(v->start_ns == w->start_ns && v->length_ns == w->length_ns &&
		                v->cpu_permille == w->cpu_permille &&
		                v->network_bytes == w->network_bytes &&
		                v->written_count == w->written_count &&
		                v->read_count == w->read_count,
		        "the same windows");
		same_runs(v->written, w->written, v->written_count);
		same_runs(v->read, w->read, v->read_count);
	}
}

static void check_again(const struct sim_trace *trace)
{
	int fd = memfd_create("trace", MFD_CLOEXEC);
	struct sim_trace_writer *writer;
	struct sim_trace *again;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	require(!sim_trace_create(&writer, path, sim_trace_head(trace), sim_trace_populated(trace),
	                          NULL),
	        "it can be written");
	for (size_t i = 0; i < sim_trace_windows(trace); i++)
		require(!sim_trace_add(writer, sim_trace_window(trace, i), NULL),
		        "so can its windows");
	require(!sim_trace_close(writer, NULL), "and its end");
	require(!sim_trace_open(&again, path, NULL), "and read again");
	same(trace, again);
	sim_trace_free(again);
	close(fd);
}

static void check(const uint8_t *bytes, size_t size)
{
	struct gw_error error = {""};
	struct sim_trace *trace;
	int err = sim_trace_parse(&trace, bytes, size, "it", &error);

	target_count();
	if (err) {
		require(err == -EINVAL && strstr(error.text, "it: at byte "),
		        "what is no trace is refused at a place");
		return;
	}
	seen.accepted++;
	seen.windows += sim_trace_windows(trace);
	for (size_t i = 0; i < sim_trace_windows(trace); i++)
		check_window(trace, sim_trace_window(trace, i));
	check_again(trace);
	sim_trace_free(trace);
}

static uint8_t *block(uint8_t *at, uint64_t *chain, uint32_t kind, size_t stored, size_t raw,
                      uint32_t windows)
{
	trace_put(at, kind, 4);
	trace_put(at + 4, stored, 4);
	trace_put(at + 8, raw, 4);
	trace_put(at + 12, windows, 4);
	*chain = trace_checksum(*chain, at, at + TRACE_BLOCK_BYTES, stored);
	trace_put(at + 16, *chain, 8);
	return at + TRACE_BLOCK_BYTES + stored;
}

/* What an end has to say is found by the reader's own eyes: here, with a lenient one. */
struct tally {
	uint64_t windows, end_ns, populated;
};

static uint64_t take(const uint8_t **at, const uint8_t *end)
{
	uint64_t value;
	size_t used = trace_get_number(*at, (size_t)(end - *at), &value);

	*at = used ? *at + used : end;
	return value;
}

static uint64_t skip_runs(const uint8_t **at, const uint8_t *end, uint64_t runs)
{
	uint64_t pages = 0;

	for (; runs && *at < end; runs--) {
		(void)take(at, end);
		pages += take(at, end) + 1;
	}
	return pages;
}

static void tally_windows(struct tally *t, const uint8_t *at, const uint8_t *end)
{
	while (at < end && t->windows < 100) {
		uint64_t sampled;

		t->end_ns += take(&at, end);
		t->end_ns += take(&at, end);
		sampled = take(&at, end);
		(void)take(&at, end);
		(void)take(&at, end);
		(void)skip_runs(&at, end, take(&at, end));
		if (sampled)
			(void)skip_runs(&at, end, take(&at, end));
		t->windows++;
	}
}

/* populated bytes, window bytes */
static void check_repaired(const uint8_t *data, size_t size, size_t split)
{
	struct tally t = {0};
	const uint8_t *from = data, *cut = data + (split < size ? split : size);
	size_t bound = ZSTD_compressBound(size) + 1;
	uint8_t *file = calloc(1, 2 * bound + 4096), *at = file + TRACE_START_BYTES, *contents;
	uint64_t chain = 0;

	memcpy(file, TRACE_MAGIC, 8);
	trace_put(file + 8, TRACE_VERSION, 8);
	t.populated = skip_runs(&from, cut, UINT64_MAX);
	tally_windows(&t, cut, data + size);
	contents = at + TRACE_BLOCK_BYTES;
	trace_put(contents, PAGES, 8);
	trace_put(contents + 8, 4096, 4);
	trace_put(contents + 12, 1, 4);
	trace_put(contents + 16, 1, 8);
	trace_put(contents + 32, t.populated, 8);
	contents[56] = contents[72] = 'x';
	at = block(at, &chain, TRACE_HEAD, TRACE_HEAD_BYTES, TRACE_HEAD_BYTES, 0);
	at = block(at, &chain, TRACE_POPULATED,
	           ZSTD_compress(at + TRACE_BLOCK_BYTES, bound, data, (size_t)(cut - data), 1),
	           (size_t)(cut - data), 0);
	at = block(
	        at, &chain, TRACE_WINDOWS,
	        ZSTD_compress(at + TRACE_BLOCK_BYTES, bound, cut, size - (size_t)(cut - data), 1),
	        size - (size_t)(cut - data), (uint32_t)t.windows);
	trace_put(at + TRACE_BLOCK_BYTES, t.windows, 8);
	trace_put(at + TRACE_BLOCK_BYTES + 8, t.end_ns, 8);
	at = block(at, &chain, TRACE_END, TRACE_END_BYTES, TRACE_END_BYTES, 0);
	check(file, (size_t)(at - file));
	free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (data[0] & 0x80)
		check(data + 1, size - 1);
	else
		check_repaired(data + 2, size - 2, data[1]);
	return 0;
}
