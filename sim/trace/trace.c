/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. Blocks are taken one after the other: length against what is there, then
 * checksum, then contents. So what is decompressed and decoded is what was written, unless somebody
 * made it up; and a made-up file meets limits before it is given memory: a block decompresses to at
 * most TRACE_RAW_MAX bytes, into a buffer of the size it states, and its runs are counted before
 * room is made for them.
 */
#include "sim/trace/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "sim/trace/bytes.h"

#define FILE_MAX (1ll << 30)

struct chunk { /* the runs of one block's windows */
	struct chunk *next;
	struct gw_run runs[];
};

struct sim_trace {
	struct sim_trace_head head;
	struct gw_set populated, filled; /* own their words; filled may have none */
	struct gw_window *windows;
	size_t count, room;
	struct chunk *chunks;
	uint64_t memory;
};

struct block {
	enum trace_kind kind;
	uint64_t offset; /* in the file */
	const uint8_t *stored;
	uint32_t stored_bytes, raw_bytes, windows;
};

struct reader {
	struct sim_trace *trace;
	const uint8_t *bytes;
	size_t size, at;
	const char *name;
	struct gw_error *error;
	uint64_t chain;
	struct block block;
	/* The contents of the block, decompressed. */
	const uint8_t *raw;
	size_t raw_at;
	uint8_t *room; /* owned */
	size_t room_bytes;
	uint64_t next_populated, populated_pages;
	uint64_t end_ns;
};

static int refuse(struct reader *r, uint64_t offset, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static int refuse(struct reader *r, uint64_t offset, const char *format, ...)
{
	char what[300];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	return gw_fail(r->error, EINVAL, "%s: at byte %llu: %s", r->name,
	               (unsigned long long)offset, what);
}

/* Of contents: the block's place in the file, and the place in what it holds. */
static int refuse_contents(struct reader *r, const char *what)
{
	return refuse(r, r->block.offset, "the block there holds, at byte %zu of its contents, %s",
	              r->raw_at, what);
}

static int no_memory(struct reader *r)
{
	return gw_fail(r->error, ENOMEM, "%s: no memory for the trace", r->name);
}

/* --- blocks --------------------------------------------------------------------------------- */

static int cut(struct reader *r, uint64_t needed)
{
	return refuse(r, r->size,
	              "the file ends, but its block at byte %zu needs %llu bytes more: it was cut, "
	              "after %zu whole windows",
	              r->at, (unsigned long long)needed, r->trace->count);
}

static bool is_kind(uint32_t kind)
{
	return kind == TRACE_HEAD || kind == TRACE_POPULATED || kind == TRACE_WINDOWS ||
	       kind == TRACE_END;
}

/* The block at r->at; afterwards r->at is behind it. */
static int next_block(struct reader *r)
{
	const uint8_t *header = r->bytes + r->at;
	size_t left = r->size - r->at;
	struct block *b = &r->block;
	uint64_t sum;

	if (left < TRACE_BLOCK_BYTES)
		return cut(r, TRACE_BLOCK_BYTES - left);
	*b = (struct block){.kind = (enum trace_kind)trace_get(header, 4),
	                    .offset = r->at,
	                    .stored = header + TRACE_BLOCK_BYTES,
	                    .stored_bytes = (uint32_t)trace_get(header + 4, 4),
	                    .raw_bytes = (uint32_t)trace_get(header + 8, 4),
	                    .windows = (uint32_t)trace_get(header + 12, 4)};
	if (!is_kind((uint32_t)b->kind))
		return refuse(r, r->at, "no block of a known kind begins there");
	left -= TRACE_BLOCK_BYTES;
	if (b->stored_bytes > left)
		return cut(r, b->stored_bytes - left);
	sum = trace_checksum(r->chain, header, b->stored, b->stored_bytes);
	if (sum != trace_get(header + TRACE_SUMMED_BYTES, 8))
		return refuse(
		        r, r->at,
		        "the block of %u bytes that begins there is damaged: its checksum does "
		        "not fit",
		        TRACE_BLOCK_BYTES + b->stored_bytes);
	r->chain = sum;
	r->at += TRACE_BLOCK_BYTES + b->stored_bytes;
	return 0;
}

/* Makes r->raw of the block's contents. */
static int decompress(struct reader *r)
{
	const struct block *b = &r->block;
	size_t n;

	if (b->raw_bytes > TRACE_RAW_MAX)
		return refuse(r, b->offset,
		              "the block there claims %u bytes of contents, and %u are the most",
		              b->raw_bytes, TRACE_RAW_MAX);
	if (b->raw_bytes > r->room_bytes) {
		uint8_t *room = realloc(r->room, b->raw_bytes);

		if (!room)
			return no_memory(r);
		r->room = room;
		r->room_bytes = b->raw_bytes;
	}
	n = ZSTD_decompress(r->room, b->raw_bytes, b->stored, b->stored_bytes);
	if (ZSTD_isError(n))
		return refuse(r, b->offset, "the block there cannot be decompressed: %s",
		              ZSTD_getErrorName(n));
	if (n != b->raw_bytes)
		return refuse(r, b->offset, "the block there has %zu bytes of contents and not %u",
		              n, b->raw_bytes);
	r->raw = r->room;
	r->raw_at = 0;
	return 0;
}

/* --- numbers and runs ----------------------------------------------------------------------- */

static int number(struct reader *r, uint64_t *value)
{
	size_t used = trace_get_number(r->raw + r->raw_at, r->block.raw_bytes - r->raw_at, value);

	if (!used)
		return refuse_contents(r, "no whole number");
	r->raw_at += used;
	return 0;
}

/* *next: the least page number the run may begin with; moved behind it. */
static int take_run(struct reader *r, uint64_t *next, struct gw_run *run)
{
	uint64_t pages = r->trace->head.ram_pages, skip, more;
	size_t at = r->raw_at;
	int err = number(r, &skip);

	if (!err)
		err = number(r, &more);
	if (err)
		return err;
	if (*next >= pages || skip >= pages - *next || more >= pages - *next - skip) {
		r->raw_at = at;
		return refuse_contents(r, "a run of pages beyond the VM's memory");
	}
	*run = (struct gw_run){.first = *next + skip, .count = more + 1};
	*next = run->first + run->count + 1;
	return 0;
}

/* into NULL: only looks at them. */
static int take_runs(struct reader *r, struct gw_run *into, size_t *count)
{
	uint64_t runs, next = 0;
	struct gw_run run;
	int err = number(r, &runs);

	if (err)
		return err;
	if (runs > (r->block.raw_bytes - r->raw_at) / 2)
		return refuse_contents(r, "a list of more runs than it has room for");
	for (uint64_t i = 0; i < runs && !err; i++) {
		err = take_run(r, &next, &run);
		if (into && !err)
			into[i] = run;
	}
	*count = (size_t)runs;
	return err;
}

/* --- contents ------------------------------------------------------------------------------- */

static bool take_text(const uint8_t *from, char *to, size_t size)
{
	size_t length = 0;

	while (length < size && from[length] >= ' ' && from[length] != 0x7f)
		length++;
	for (size_t i = length; i < size; i++)
		if (from[i])
			return false;
	memcpy(to, from, size);
	return length > 0 && length < size;
}

static const char *wrong_in_head(const struct sim_trace_head *h)
{
	if (!h->ram_pages || h->ram_pages > SIM_TRACE_PAGES_MAX)
		return "an impossible size of memory";
	if (h->page_bytes < 512 || h->page_bytes > 1u << 30 ||
	    (h->page_bytes & (h->page_bytes - 1)))
		return "an impossible size of pages";
	if (!h->vcpus || h->vcpus > 1u << 16)
		return "an impossible number of vCPUs";
	if (!h->window_ns)
		return "windows without a length";
	if (h->populated_pages > h->ram_pages || h->zero_pages > h->populated_pages)
		return "more populated pages than memory, or more zero pages than populated ones";
	return NULL;
}

static int take_head(struct reader *r)
{
	struct sim_trace_head *h = &r->trace->head;
	const uint8_t *from = r->block.stored;
	const char *wrong;
	uint64_t flags;

	if (r->block.kind != TRACE_HEAD || r->block.stored_bytes != TRACE_HEAD_BYTES ||
	    r->block.raw_bytes != TRACE_HEAD_BYTES || r->block.windows)
		return refuse(r, r->block.offset, "the block there is not the head of a trace");
	h->ram_pages = trace_get(from, 8);
	h->page_bytes = (uint32_t)trace_get(from + 8, 4);
	h->vcpus = (uint32_t)trace_get(from + 12, 4);
	h->window_ns = trace_get(from + 16, 8);
	h->state_bytes = trace_get(from + 24, 8);
	h->populated_pages = trace_get(from + 32, 8);
	h->zero_pages = trace_get(from + 40, 8);
	h->read_every = (uint32_t)trace_get(from + 48, 4);
	flags = trace_get(from + 52, 4);
	h->cpu_known = flags & TRACE_FLAG_CPU;
	h->network_known = flags & TRACE_FLAG_NETWORK;
	wrong = wrong_in_head(h);
	if (flags & ~(uint64_t)(TRACE_FLAG_CPU | TRACE_FLAG_NETWORK))
		wrong = "flags that are not known";
	if (!take_text(from + 56, h->tracker, sizeof(h->tracker)) ||
	    !take_text(from + 72, h->vm, sizeof(h->vm)))
		wrong = "a name that is no text";
	if (wrong)
		return refuse(r, r->block.offset, "the head of the trace has %s", wrong);
	gw_set_init(&r->trace->populated, calloc(gw_set_words(h->ram_pages), sizeof(uint64_t)),
	            h->ram_pages);
	return r->trace->populated.words ? 0 : no_memory(r);
}

static int take_populated(struct reader *r)
{
	int err = decompress(r);

	while (!err && r->raw_at < r->block.raw_bytes) {
		struct gw_run run;

		err = take_run(r, &r->next_populated, &run);
		if (err)
			break;
		gw_set_add_run(&r->trace->populated, run);
		r->populated_pages += run.count;
	}
	return err;
}

static int window_head(struct reader *r, struct gw_window *w, uint64_t *end_ns)
{
	uint64_t gap, flags, cpu;
	int err = number(r, &gap);

	if (!err)
		err = number(r, &w->length_ns);
	if (!err)
		err = number(r, &flags);
	if (!err)
		err = number(r, &cpu);
	if (!err)
		err = number(r, &w->network_bytes);
	if (err)
		return err;
	if (!w->length_ns || gap > UINT64_MAX - *end_ns ||
	    w->length_ns > UINT64_MAX - *end_ns - gap || flags > TRACE_FLAG_SAMPLED || cpu > 1000)
		return refuse_contents(r, "a window with impossible values");
	w->start_ns = *end_ns + gap;
	w->cpu_permille = (uint32_t)cpu;
	w->read_sampled = flags & TRACE_FLAG_SAMPLED;
	*end_ns = w->start_ns + w->length_ns;
	return 0;
}

/* One window; runs go to *into and move it on, or (NULL) are only looked at. */
static int take_window(struct reader *r, struct gw_window *w, struct gw_run **into,
                       uint64_t *end_ns)
{
	struct gw_run *runs = into ? *into : NULL;
	int err = window_head(r, w, end_ns);

	if (!err)
		err = take_runs(r, runs, &w->written_count);
	w->written = runs;
	if (runs)
		runs += w->written_count;
	if (!err && w->read_sampled)
		err = take_runs(r, runs, &w->read_count);
	w->read = runs;
	if (into)
		*into = runs + w->read_count;
	return err;
}

/* Looks at all windows of the block and counts their runs. */
static int count_runs(struct reader *r, uint64_t *runs)
{
	uint64_t end_ns = r->end_ns;
	int err = 0;

	*runs = 0;
	for (uint32_t i = 0; i < r->block.windows && !err; i++) {
		struct gw_window w = {0};

		err = take_window(r, &w, NULL, &end_ns);
		*runs += w.written_count + w.read_count;
	}
	if (!err && r->raw_at != r->block.raw_bytes)
		err = refuse_contents(r, "something after its last window");
	return err;
}

static int make_room(struct reader *r, uint64_t runs, struct chunk **chunk)
{
	struct sim_trace *t = r->trace;
	size_t windows = r->block.windows;
	uint64_t bytes = runs * sizeof(struct gw_run) + windows * sizeof(*t->windows);

	if (bytes > SIM_TRACE_MEMORY_MAX - t->memory)
		return refuse(r, r->block.offset,
		              "with the block there the trace needs more memory than the %llu MiB "
		              "that are the most",
		              SIM_TRACE_MEMORY_MAX >> 20);
	t->memory += bytes;
	if (t->count + windows > t->room) {
		size_t room = t->count + windows + t->room / 2;
		struct gw_window *more = realloc(t->windows, room * sizeof(*more));

		if (!more)
			return no_memory(r);
		t->windows = more;
		t->room = room;
	}
	*chunk = malloc(sizeof(**chunk) + runs * sizeof(struct gw_run));
	if (!*chunk)
		return no_memory(r);
	(*chunk)->next = t->chunks;
	t->chunks = *chunk;
	return 0;
}

static int take_windows(struct reader *r)
{
	struct sim_trace *t = r->trace;
	struct chunk *chunk;
	struct gw_run *into;
	uint64_t runs;
	int err = decompress(r);

	if (!err)
		err = count_runs(r, &runs);
	if (!err)
		err = make_room(r, runs, &chunk);
	if (err)
		return err;
	into = chunk->runs;
	r->raw_at = 0;
	for (uint32_t i = 0; i < r->block.windows && !err; i++) {
		struct gw_window *w = &t->windows[t->count];

		*w = (struct gw_window){0};
		err = take_window(r, w, &into, &r->end_ns);
		t->count += !err;
	}
	return err;
}

static int take_end(struct reader *r)
{
	const struct block *b = &r->block;

	if (b->stored_bytes != TRACE_END_BYTES || b->raw_bytes != TRACE_END_BYTES || b->windows)
		return refuse(r, b->offset, "the end of the trace has an impossible size");
	if (trace_get(b->stored, 8) != r->trace->count || trace_get(b->stored + 8, 8) != r->end_ns)
		return refuse(r, b->offset, "the trace's end speaks of other windows than it has");
	if (r->populated_pages != r->trace->head.populated_pages)
		return refuse(r, b->offset,
		              "the trace has other populated pages than its head says");
	if (r->at < r->size)
		return refuse(r, r->at, "%zu bytes follow the end of the trace", r->size - r->at);
	return 0;
}

/* --- the file ------------------------------------------------------------------------------- */

static int check_start(struct reader *r)
{
	size_t there = r->size < 8 ? r->size : 8;

	if (!r->size || memcmp(r->bytes, TRACE_MAGIC, there) != 0)
		return refuse(r, 0, "this is no trace made by godwit record");
	if (r->size < TRACE_START_BYTES)
		return refuse(r, r->size, "the file ends within its first %u bytes: it was cut",
		              TRACE_START_BYTES);
	if (trace_get(r->bytes + 8, 4) != TRACE_VERSION)
		return refuse(r, 8, "this is a trace of version %llu, and %u is known",
		              (unsigned long long)trace_get(r->bytes + 8, 4), TRACE_VERSION);
	if (trace_get(r->bytes + 12, 4))
		return refuse(r, 12, "four zero bytes belong there");
	r->at = TRACE_START_BYTES;
	return 0;
}

static int take_blocks(struct reader *r)
{
	enum trace_kind last = TRACE_HEAD;
	int err = next_block(r);

	if (!err)
		err = take_head(r);
	while (!err) {
		err = next_block(r);
		if (err)
			return err;
		if (r->block.kind == TRACE_END)
			return take_end(r);
		if (r->block.kind == TRACE_WINDOWS)
			err = take_windows(r);
		else if (r->block.kind == TRACE_POPULATED && last != TRACE_WINDOWS &&
		         !r->block.windows)
			err = take_populated(r);
		else
			err = refuse(r, r->block.offset, "the block there is out of its order");
		last = r->block.kind;
	}
	return err;
}

int sim_trace_parse(struct sim_trace **trace, const uint8_t *bytes, size_t size, const char *name,
                    struct gw_error *error)
{
	struct reader r = {.trace = calloc(1, sizeof(**trace)),
	                   .bytes = bytes,
	                   .size = size,
	                   .name = name,
	                   .error = error};
	int err;

	*trace = NULL;
	if (!r.trace)
		return no_memory(&r);
	err = check_start(&r);
	if (!err)
		err = take_blocks(&r);
	free(r.room);
	if (err)
		sim_trace_free(r.trace);
	else
		*trace = r.trace;
	return err;
}

/* Read, not mapped: a file that shrinks meanwhile must not be a fault. */
static int read_file(const char *path, uint8_t **bytes, size_t *size, struct gw_error *error)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n = 1;

	if (fd < 0 || fstat(fd, &st) < 0)
		return gw_fail(error, errno, "cannot open the trace %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		return gw_fail(error, EINVAL, "%s is no trace: that is a file of at most %lld MiB",
		               path, FILE_MAX >> 20);
	*bytes = malloc((size_t)st.st_size + 1);
	if (!*bytes)
		return gw_fail(error, ENOMEM, "%s: no memory for the trace", path);
	for (*size = 0; n > 0 && *size < (size_t)st.st_size; *size += (size_t)n) {
		n = read(fd, *bytes + *size, (size_t)st.st_size - *size);
		if (n < 0)
			return gw_fail(error, errno, "cannot read the trace %s: %s", path,
			               strerror(errno));
	}
	return 0;
}

int sim_trace_open(struct sim_trace **trace, const char *path, struct gw_error *error)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size = 0;
	int err = read_file(path, &bytes, &size, error);

	*trace = NULL;
	return err ? err : sim_trace_parse(trace, bytes, size, path, error);
}

static struct sim_trace *make(const struct sim_trace_head *head, const struct gw_set *populated,
                              const struct gw_set *filled, const struct gw_window *windows,
                              size_t count)
{
	struct sim_trace *t = calloc(1, sizeof(*t));
	uint64_t from_ns = count ? windows[0].start_ns : 0;

	if (!t)
		return NULL;
	t->head = *head;
	t->windows = calloc(count ? count : 1, sizeof(*t->windows));
	gw_set_init(&t->populated, calloc(gw_set_words(head->ram_pages), sizeof(uint64_t)),
	            head->ram_pages);
	if (filled)
		gw_set_init(&t->filled, calloc(gw_set_words(head->ram_pages), sizeof(uint64_t)),
		            head->ram_pages);
	if (!t->windows || !t->populated.words || (filled && !t->filled.words)) {
		sim_trace_free(t);
		return NULL;
	}
	if (filled)
		gw_set_copy(&t->filled, filled);
	gw_set_copy(&t->populated, populated);
	t->head.populated_pages = gw_set_count(populated);
	for (; t->count < count; t->count++) {
		t->windows[t->count] = windows[t->count];
		t->windows[t->count].start_ns -= from_ns;
	}
	return t;
}

struct sim_trace *sim_trace_of(const struct sim_trace_head *head, const struct gw_set *populated,
                               const struct gw_window *windows, size_t count)
{
	return make(head, populated, NULL, windows, count);
}

struct sim_trace *sim_trace_with(const struct sim_trace *trace, const struct gw_window *windows,
                                 size_t count)
{
	return make(&trace->head, &trace->populated, sim_trace_filled(trace), windows, count);
}

static int new_set(struct gw_set *set, uint64_t pages)
{
	gw_set_init(set, calloc(gw_set_words(pages), sizeof(uint64_t)), pages);
	return set->words ? 0 : -ENOMEM;
}

static void add_written(const struct sim_trace *trace, size_t windows, struct gw_set *written)
{
	for (size_t i = 0; i < windows; i++)
		for (size_t k = 0; k < trace->windows[i].written_count; k++)
			gw_set_add_run(written, trace->windows[i].written[k]);
}

/* What was written before holds data, and what was zero elsewhere still is. */
static struct sim_trace *part_of(const struct sim_trace *trace, size_t first, size_t last,
                                 struct gw_set *populated, struct gw_set *filled)
{
	struct sim_trace_head head = trace->head;

	add_written(trace, first, filled);
	gw_set_copy(populated, &trace->populated);
	gw_set_union(populated, filled);
	if (head.populated_pages)
		head.zero_pages = (uint64_t)((unsigned __int128)head.zero_pages *
		                             gw_set_count(populated) / head.populated_pages);
	return make(&head, populated, filled, trace->windows + first, last - first);
}

struct sim_trace *sim_trace_part(const struct sim_trace *trace, uint64_t from_ns, uint64_t for_ns)
{
	uint64_t end_ns = for_ns > UINT64_MAX - from_ns ? UINT64_MAX : from_ns + for_ns;
	struct gw_set populated = {0}, filled = {0};
	struct sim_trace *part = NULL;
	size_t first = 0, last;

	while (first < trace->count && trace->windows[first].start_ns < from_ns)
		first++;
	for (last = first; last < trace->count; last++)
		if (trace->windows[last].start_ns + trace->windows[last].length_ns > end_ns)
			break;
	if (!new_set(&populated, trace->head.ram_pages) && !new_set(&filled, trace->head.ram_pages))
		part = part_of(trace, first, last, &populated, &filled);
	free(populated.words);
	free(filled.words);
	return part;
}

void sim_trace_free(struct sim_trace *trace)
{
	if (!trace)
		return;
	while (trace->chunks) {
		struct chunk *next = trace->chunks->next;

		free(trace->chunks);
		trace->chunks = next;
	}
	free(trace->windows);
	free(trace->populated.words);
	free(trace->filled.words);
	free(trace);
}

const struct sim_trace_head *sim_trace_head(const struct sim_trace *trace)
{
	return &trace->head;
}

const struct gw_set *sim_trace_populated(const struct sim_trace *trace)
{
	return &trace->populated;
}

const struct gw_set *sim_trace_filled(const struct sim_trace *trace)
{
	return trace->filled.words ? &trace->filled : NULL;
}

size_t sim_trace_windows(const struct sim_trace *trace)
{
	return trace->count;
}

const struct gw_window *sim_trace_window(const struct sim_trace *trace, size_t number)
{
	return &trace->windows[number];
}
