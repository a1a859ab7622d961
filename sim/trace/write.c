/* SPDX-License-Identifier: MIT */
#include "sim/trace/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "sim/trace/bytes.h"

#define LEVEL         3
#define BLOCK_BYTES   (1u << 20) /* a block is closed at this size... */
#define BLOCK_WINDOWS 200u       /* ...or after so many windows: at 50 ms, ten seconds */

struct sim_trace_writer {
	int fd;
	bool failed; /* a block could not be written: what follows would not be found */
	char *path;
	uint64_t ram_pages;
	uint64_t chain; /* checksum of the block before */
	uint64_t windows, end_ns;
	uint64_t memory; /* that a reader will need for the windows */
	uint8_t *raw, *stored;
	size_t used, room, stored_room;
	uint32_t in_block; /* windows */
};

static int no_memory(struct gw_error *error)
{
	return gw_fail(error, ENOMEM, "no memory for a trace");
}

static int write_all(struct sim_trace_writer *w, const uint8_t *bytes, size_t size,
                     struct gw_error *error)
{
	while (size) {
		ssize_t n = write(w->fd, bytes, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int err = n < 0 ? errno : EIO;

			w->failed = true;
			return gw_fail(error, err, "cannot write the trace %s: %s", w->path,
			               strerror(err));
		}
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

/* --- blocks --------------------------------------------------------------------------------- */

static int grow(uint8_t **bytes, size_t *room, size_t needed, struct gw_error *error)
{
	uint8_t *more;

	if (needed <= *room)
		return 0;
	needed += needed / 2;
	more = realloc(*bytes, needed);
	if (!more)
		return no_memory(error);
	*bytes = more;
	*room = needed;
	return 0;
}

/* `stored` has the block's contents behind room for its header. */
static int write_block(struct sim_trace_writer *w, enum trace_kind kind, size_t stored_bytes,
                       size_t raw_bytes, uint32_t windows, struct gw_error *error)
{
	uint8_t *header = w->stored;

	trace_put(header, kind, 4);
	trace_put(header + 4, stored_bytes, 4);
	trace_put(header + 8, raw_bytes, 4);
	trace_put(header + 12, windows, 4);
	w->chain = trace_checksum(w->chain, header, header + TRACE_BLOCK_BYTES, stored_bytes);
	trace_put(header + 16, w->chain, 8);
	return write_all(w, header, TRACE_BLOCK_BYTES + stored_bytes, error);
}

static int write_plain(struct sim_trace_writer *w, enum trace_kind kind, const uint8_t *bytes,
                       size_t size, struct gw_error *error)
{
	int err = grow(&w->stored, &w->stored_room, TRACE_BLOCK_BYTES + size, error);

	if (err)
		return err;
	memcpy(w->stored + TRACE_BLOCK_BYTES, bytes, size);
	return write_block(w, kind, size, size, 0, error);
}

/* What was gathered in `raw` becomes a block. */
static int flush(struct sim_trace_writer *w, enum trace_kind kind, struct gw_error *error)
{
	size_t bound = ZSTD_compressBound(w->used), bytes;
	int err;

	if (!w->used)
		return 0;
	err = grow(&w->stored, &w->stored_room, TRACE_BLOCK_BYTES + bound, error);
	if (err)
		return err;
	bytes = ZSTD_compress(w->stored + TRACE_BLOCK_BYTES, bound, w->raw, w->used, LEVEL);
	if (ZSTD_isError(bytes))
		return gw_fail(error, ENOMEM, "cannot compress the trace %s: %s", w->path,
		               ZSTD_getErrorName(bytes));
	err = write_block(w, kind, bytes, w->used, w->in_block, error);
	w->used = 0;
	w->in_block = 0;
	return err;
}

static void put_number(struct sim_trace_writer *w, uint64_t value)
{
	w->used += trace_put_number(w->raw + w->used, value);
}

/* The first run of a list says where it is; those behind it, how far they are from the last. */
static void put_run(struct sim_trace_writer *w, struct gw_run run, uint64_t *next)
{
	put_number(w, run.first - *next);
	put_number(w, run.count - 1);
	*next = run.first + run.count + 1;
}

/* --- windows -------------------------------------------------------------------------------- */

static bool runs_fit(const struct gw_run *runs, size_t count, uint64_t ram_pages)
{
	uint64_t next = 0;

	for (size_t i = 0; i < count; i++) {
		if (runs[i].first < next || runs[i].first >= ram_pages || !runs[i].count ||
		    runs[i].count > ram_pages - runs[i].first)
			return false;
		next = runs[i].first + runs[i].count + 1;
	}
	return true;
}

static int check_window(const struct sim_trace_writer *w, const struct gw_window *window,
                        struct gw_error *error)
{
	if (window->start_ns < w->end_ns || !window->length_ns ||
	    window->length_ns > UINT64_MAX - window->start_ns || window->cpu_permille > 1000 ||
	    (window->read_count && !window->read_sampled))
		return gw_fail(error, EINVAL, "window %llu of a trace has impossible values",
		               (unsigned long long)w->windows);
	if (!runs_fit(window->written, window->written_count, w->ram_pages) ||
	    !runs_fit(window->read, window->read_count, w->ram_pages))
		return gw_fail(error, EINVAL, "the runs of window %llu of a trace do not ascend",
		               (unsigned long long)w->windows);
	return 0;
}

static void put_runs(struct sim_trace_writer *w, const struct gw_run *runs, size_t count)
{
	uint64_t next = 0;

	put_number(w, count);
	for (size_t i = 0; i < count; i++)
		put_run(w, runs[i], &next);
}

static void put_window(struct sim_trace_writer *w, const struct gw_window *window)
{
	put_number(w, window->start_ns - w->end_ns);
	put_number(w, window->length_ns);
	put_number(w, window->read_sampled ? TRACE_FLAG_SAMPLED : 0);
	put_number(w, window->cpu_permille);
	put_number(w, window->network_bytes);
	put_runs(w, window->written, window->written_count);
	if (window->read_sampled)
		put_runs(w, window->read, window->read_count);
}

int sim_trace_add(struct sim_trace_writer *w, const struct gw_window *window,
                  struct gw_error *error)
{
	size_t runs = window->written_count + window->read_count;
	size_t longest = TRACE_WINDOW_BYTES + runs * 2 * TRACE_NUMBER_BYTES;
	uint64_t memory = sizeof(*window) + runs * sizeof(struct gw_run);
	int err = check_window(w, window, error);

	if (err)
		return err;
	if (memory > SIM_TRACE_MEMORY_MAX - w->memory || longest > TRACE_RAW_MAX)
		return gw_fail(error, EFBIG,
		               "the trace %s is full: take longer windows, or record for less time",
		               w->path);
	if (w->used + longest > TRACE_RAW_MAX)
		err = flush(w, TRACE_WINDOWS, error);
	if (!err)
		err = grow(&w->raw, &w->room, w->used + longest, error);
	if (err)
		return err;
	put_window(w, window);
	w->memory += memory;
	w->end_ns = window->start_ns + window->length_ns;
	w->windows++;
	w->in_block++;
	if (w->used >= BLOCK_BYTES || w->in_block >= BLOCK_WINDOWS)
		return flush(w, TRACE_WINDOWS, error);
	return 0;
}

/* --- beginning and end ---------------------------------------------------------------------- */

static int write_populated(struct sim_trace_writer *w, const struct gw_set *populated,
                           struct gw_error *error)
{
	struct gw_run run;
	uint64_t from = 0, next = 0;
	int err = grow(&w->raw, &w->room, BLOCK_BYTES + 2 * TRACE_NUMBER_BYTES, error);

	while (!err && gw_set_next_run(populated, from, populated->pages, &run)) {
		put_run(w, run, &next);
		from = run.first + run.count;
		if (w->used >= BLOCK_BYTES)
			err = flush(w, TRACE_POPULATED, error);
	}
	return err ? err : flush(w, TRACE_POPULATED, error);
}

static int write_start(struct sim_trace_writer *w, const struct sim_trace_head *head,
                       const struct gw_set *populated, struct gw_error *error)
{
	uint8_t start[TRACE_START_BYTES] = TRACE_MAGIC, bytes[TRACE_HEAD_BYTES] = {0};
	int err;

	trace_put(start + 8, TRACE_VERSION, 4);
	trace_put(bytes, head->ram_pages, 8);
	trace_put(bytes + 8, head->page_bytes, 4);
	trace_put(bytes + 12, head->vcpus, 4);
	trace_put(bytes + 16, head->window_ns, 8);
	trace_put(bytes + 24, head->state_bytes, 8);
	trace_put(bytes + 32, gw_set_count(populated), 8);
	trace_put(bytes + 40, head->zero_pages, 8);
	trace_put(bytes + 48, head->read_every, 4);
	trace_put(bytes + 52,
	          (head->cpu_known ? TRACE_FLAG_CPU : 0) |
	                  (head->network_known ? TRACE_FLAG_NETWORK : 0),
	          4);
	memcpy(bytes + 56, head->tracker, strnlen(head->tracker, 15));
	memcpy(bytes + 72, head->vm, strnlen(head->vm, 127));
	err = write_all(w, start, sizeof(start), error);
	if (!err)
		err = write_plain(w, TRACE_HEAD, bytes, sizeof(bytes), error);
	return err ? err : write_populated(w, populated, error);
}

static void release(struct sim_trace_writer *w)
{
	if (w->fd >= 0)
		close(w->fd);
	free(w->path);
	free(w->raw);
	free(w->stored);
	free(w);
}

int sim_trace_create(struct sim_trace_writer **writer, const char *path,
                     const struct sim_trace_head *head, const struct gw_set *populated,
                     struct gw_error *error)
{
	struct sim_trace_writer *w = calloc(1, sizeof(*w));
	int err;

	*writer = NULL;
	if (!w)
		return no_memory(error);
	w->ram_pages = head->ram_pages;
	w->path = strdup(path);
	w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (w->fd < 0)
		err = gw_fail(error, errno, "cannot make the trace %s: %s", path, strerror(errno));
	else
		err = w->path ? write_start(w, head, populated, error) : no_memory(error);
	if (err)
		release(w);
	else
		*writer = w;
	return err;
}

int sim_trace_close(struct sim_trace_writer *w, struct gw_error *error)
{
	uint8_t end[TRACE_END_BYTES];
	int err = w->failed ? gw_fail(error, EIO, "the trace %s is cut: it could not be written",
	                              w->path)
	                    : flush(w, TRACE_WINDOWS, error);

	trace_put(end, w->windows, 8);
	trace_put(end + 8, w->end_ns, 8);
	if (!err)
		err = write_plain(w, TRACE_END, end, sizeof(end), error);
	if (close(w->fd) < 0 && !err)
		err = gw_fail(error, errno, "cannot write the trace %s: %s", w->path,
		              strerror(errno));
	w->fd = -1;
	release(w);
	return err;
}
