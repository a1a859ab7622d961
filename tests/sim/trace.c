/* SPDX-License-Identifier: MIT */
/* Trace files: what is written is read; what is damaged, cut or made up is refused at its place. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cmocka.h>

#include "sim/chance.h"
#include "sim/trace/bytes.h"
#include "sim/trace/trace.h"

#define PAGES    20000
#define RUNS_MAX 300

struct file {
	int fd; /* of a memfd */
	char path[64];
	uint8_t *bytes;
	size_t size;
};

static struct gw_error error;

static void file_make(struct file *file)
{
	*file = (struct file){.fd = memfd_create("trace", MFD_CLOEXEC)};
	assert_true(file->fd >= 0);
	(void)snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
}

static void file_read(struct file *file)
{
	struct stat st;

	assert_int_equal(fstat(file->fd, &st), 0);
	file->size = (size_t)st.st_size;
	file->bytes = malloc(file->size + 1);
	assert_int_equal(pread(file->fd, file->bytes, file->size, 0), file->size);
}

static void file_free(struct file *file)
{
	close(file->fd);
	free(file->bytes);
}

static struct sim_trace_head a_head(void)
{
	return (struct sim_trace_head){.vm = "web",
	                               .ram_pages = PAGES,
	                               .page_bytes = 4096,
	                               .vcpus = 2,
	                               .window_ns = 50000000,
	                               .state_bytes = 288000,
	                               .zero_pages = 1,
	                               .read_every = 4,
	                               .cpu_known = true,
	                               .tracker = "pagemap"};
}

static size_t random_runs(struct sim_chance *chance, struct gw_run runs[RUNS_MAX])
{
	size_t wanted = sim_chance_below(chance, RUNS_MAX), count = 0;
	uint64_t next = 0;

	while (count < wanted) {
		uint64_t first = next + sim_chance_below(chance, 100);

		if (first >= PAGES)
			break;
		runs[count].first = first;
		runs[count].count = 1 + sim_chance_below(chance, 30);
		if (runs[count].count > PAGES - first)
			runs[count].count = PAGES - first;
		next = first + runs[count++].count + 1;
	}
	return count;
}

static void random_set(struct sim_chance *chance, struct gw_set *set)
{
	static uint64_t words[GW_SET_WORDS(PAGES)];
	struct gw_run runs[RUNS_MAX];
	size_t count = random_runs(chance, runs);

	gw_set_init(set, words, PAGES);
	gw_set_add(set, PAGES / 2);
	for (size_t i = 0; i < count; i++)
		gw_set_add_run(set, runs[i]);
}

/* Windows are made anew from the seed wherever they are compared. */
static void random_window(struct sim_chance *chance, uint64_t *now, struct gw_window *w)
{
	static struct gw_run written[RUNS_MAX], read[RUNS_MAX];

	*w = (struct gw_window){
	        .start_ns = *now + sim_chance_below(chance, 3) * 1000,
	        .length_ns = 1 + sim_chance_below(chance, 60000000),
	        .written = written,
	        .read = read,
	        .written_count = random_runs(chance, written),
	        .read_sampled = sim_chance_below(chance, 2),
	        .cpu_permille = (uint32_t)sim_chance_below(chance, 1001),
	        .network_bytes = sim_chance_below(chance, 1u << 30),
	};
	if (w->read_sampled)
		w->read_count = random_runs(chance, read);
	*now = w->start_ns + w->length_ns;
}

static void write_random(struct file *file, uint64_t seed, unsigned windows)
{
	struct sim_chance chance;
	struct sim_trace_head head = a_head();
	struct sim_trace_writer *writer;
	struct gw_set populated;
	uint64_t now = 0;

	chance = sim_chance_of(seed, 0);
	random_set(&chance, &populated);
	file_make(file);
	assert_int_equal(sim_trace_create(&writer, file->path, &head, &populated, &error), 0);
	for (unsigned i = 0; i < windows; i++) {
		struct gw_window w;

		random_window(&chance, &now, &w);
		assert_int_equal(sim_trace_add(writer, &w, &error), 0);
	}
	assert_int_equal(sim_trace_close(writer, &error), 0);
	file_read(file);
}

static void same_window(const struct gw_window *a, const struct gw_window *b)
{
	assert_int_equal(a->start_ns, b->start_ns);
	assert_int_equal(a->length_ns, b->length_ns);
	assert_int_equal(a->read_sampled, b->read_sampled);
	assert_int_equal(a->cpu_permille, b->cpu_permille);
	assert_int_equal(a->network_bytes, b->network_bytes);
	assert_int_equal(a->written_count, b->written_count);
	assert_int_equal(a->read_count, b->read_count);
	if (a->written_count)
		assert_memory_equal(a->written, b->written,
		                    a->written_count * sizeof(struct gw_run));
	if (a->read_count)
		assert_memory_equal(a->read, b->read, a->read_count * sizeof(struct gw_run));
}

static void same_head(const struct sim_trace_head *a, const struct sim_trace_head *b)
{
	assert_string_equal(a->vm, b->vm);
	assert_string_equal(a->tracker, b->tracker);
	assert_int_equal(a->ram_pages, b->ram_pages);
	assert_int_equal(a->page_bytes, b->page_bytes);
	assert_int_equal(a->vcpus, b->vcpus);
	assert_int_equal(a->window_ns, b->window_ns);
	assert_int_equal(a->state_bytes, b->state_bytes);
	assert_int_equal(a->populated_pages, b->populated_pages);
	assert_int_equal(a->zero_pages, b->zero_pages);
	assert_int_equal(a->read_every, b->read_every);
	assert_int_equal(a->cpu_known, b->cpu_known);
	assert_int_equal(a->network_known, b->network_known);
}

static void check_random(const struct sim_trace *trace, uint64_t seed, unsigned windows)
{
	struct sim_chance chance;
	struct sim_trace_head head = a_head();
	struct gw_set populated;
	uint64_t now = 0;

	chance = sim_chance_of(seed, 0);
	random_set(&chance, &populated);
	head.populated_pages = gw_set_count(&populated);
	same_head(sim_trace_head(trace), &head);
	assert_true(gw_set_equal(sim_trace_populated(trace), &populated));
	assert_int_equal(sim_trace_windows(trace), windows);
	for (unsigned i = 0; i < windows; i++) {
		struct gw_window w;

		random_window(&chance, &now, &w);
		same_window(sim_trace_window(trace, i), &w);
	}
}

static void what_is_written_is_read(void **state)
{
	static const unsigned windows[] = {0, 1, 2, 199, 200, 201, 700};

	(void)state;
	for (size_t i = 0; i < sizeof(windows) / sizeof(*windows); i++) {
		struct sim_trace *trace;
		struct file file;

		write_random(&file, i, windows[i]);
		if (sim_trace_open(&trace, file.path, &error))
			fail_msg("%s", error.text);
		check_random(trace, i, windows[i]);
		sim_trace_free(trace);
		file_free(&file);
	}
}

/* Into memory of its own size, so that a sanitizer sees a read beyond it. */
static int parse_copy(const uint8_t *bytes, size_t size, struct sim_trace **trace)
{
	uint8_t *copy = malloc(size ? size : 1);
	int ret;

	memcpy(copy, bytes, size);
	ret = sim_trace_parse(trace, copy, size, "it", &error);
	free(copy);
	return ret;
}

static void refused(const uint8_t *bytes, size_t size, const char *what)
{
	struct sim_trace *trace;

	assert_int_equal(parse_copy(bytes, size, &trace), -EINVAL);
	assert_null(trace);
	if (!strstr(error.text, "it: at byte ") || !strstr(error.text, what))
		fail_msg("it says \"%s\" and not \"%s\"", error.text, what);
}

static void a_changed_byte_is_refused(void **state)
{
	struct file file;

	(void)state;
	write_random(&file, 5, 3);
	for (size_t i = 0; i < file.size; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			file.bytes[i] ^= (uint8_t)(1u << bit);
			refused(file.bytes, file.size, "");
			file.bytes[i] ^= (uint8_t)(1u << bit);
		}
	file_free(&file);
}

static void a_cut_is_refused_at_its_place(void **state)
{
	struct file file;
	char where[64];

	(void)state;
	write_random(&file, 6, 3);
	refused(file.bytes, 0, "no trace");
	for (size_t size = 8; size < file.size; size++) {
		(void)snprintf(where, sizeof(where), "at byte %zu: the file ends", size);
		refused(file.bytes, size, where);
		assert_non_null(strstr(error.text, "it was cut"));
	}
	file.bytes = realloc(file.bytes, file.size + 1);
	file.bytes[file.size] = 0;
	refused(file.bytes, file.size + 1, "follow the end");
	file_free(&file);
}

/* --- made-up files -------------------------------------------------------------------------- */

struct forged {
	uint8_t *bytes;
	size_t size;
	uint64_t chain;
};

static void forge_block(struct forged *f, uint32_t kind, const void *stored, size_t stored_bytes,
                        size_t raw_bytes, uint32_t windows)
{
	uint8_t *header;

	f->bytes = realloc(f->bytes, f->size + TRACE_BLOCK_BYTES + stored_bytes);
	header = f->bytes + f->size;
	trace_put(header, kind, 4);
	trace_put(header + 4, stored_bytes, 4);
	trace_put(header + 8, raw_bytes, 4);
	trace_put(header + 12, windows, 4);
	if (stored_bytes)
		memcpy(header + TRACE_BLOCK_BYTES, stored, stored_bytes);
	f->chain = trace_checksum(f->chain, header, header + TRACE_BLOCK_BYTES, stored_bytes);
	trace_put(header + 16, f->chain, 8);
	f->size += TRACE_BLOCK_BYTES + stored_bytes;
}

static void forge_packed(struct forged *f, uint32_t kind, const void *raw, size_t bytes,
                         size_t claimed, uint32_t windows)
{
	size_t bound = ZSTD_compressBound(bytes);
	uint8_t *stored = malloc(bound);

	forge_block(f, kind, stored, ZSTD_compress(stored, bound, raw, bytes, 1), claimed, windows);
	free(stored);
}

static void forge_start(struct forged *f, unsigned at, uint64_t value, unsigned size)
{
	uint8_t head[TRACE_HEAD_BYTES] = {0};

	*f = (struct forged){.bytes = malloc(TRACE_START_BYTES), .size = TRACE_START_BYTES};
	memcpy(f->bytes, TRACE_MAGIC, 8);
	trace_put(f->bytes + 8, TRACE_VERSION, 8);
	trace_put(head, 1000, 8);
	trace_put(head + 8, 4096, 4);
	trace_put(head + 12, 1, 4);
	trace_put(head + 16, 50000000, 8);
	head[56] = head[72] = 'x';
	trace_put(head + at, value, size);
	forge_block(f, TRACE_HEAD, head, sizeof(head), sizeof(head), 0);
}

static void forge_end(struct forged *f, uint64_t windows, uint64_t end_ns)
{
	uint8_t end[TRACE_END_BYTES];

	trace_put(end, windows, 8);
	trace_put(end + 8, end_ns, 8);
	forge_block(f, TRACE_END, end, sizeof(end), sizeof(end), 0);
}

static void refused_forgery(struct forged *f, const char *what)
{
	refused(f->bytes, f->size, what);
	free(f->bytes);
}

static void heads_that_lie_are_refused(void **state)
{
	static const struct {
		unsigned at, size;
		uint64_t value;
		const char *what;
	} lies[] = {
	        {0, 8, 0, "size of memory"},
	        {0, 8, SIM_TRACE_PAGES_MAX + 1, "size of memory"},
	        {0, 8, UINT64_MAX, "size of memory"},
	        {8, 4, 0, "size of pages"},
	        {8, 4, 4097, "size of pages"},
	        {12, 4, 0, "vCPUs"},
	        {12, 4, UINT32_MAX, "vCPUs"},
	        {16, 8, 0, "without a length"},
	        {32, 8, 1001, "more populated pages"},
	        {40, 8, 1, "zero pages"},
	        {52, 4, 4, "flags"},
	        {56, 1, 0, "no text"},
	        {72, 1, '\n', "no text"},
	        {74, 1, 'x', "no text"},
	};
	struct forged f;
	struct sim_trace *trace;

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		forge_start(&f, lies[i].at, lies[i].value, lies[i].size);
		forge_end(&f, 0, 0);
		refused_forgery(&f, lies[i].what);
	}
	forge_start(&f, 24, 77, 8); /* what was forged is not refused for how it is forged */
	forge_end(&f, 0, 0);
	if (parse_copy(f.bytes, f.size, &trace))
		fail_msg("%s", error.text);
	assert_int_equal(sim_trace_head(trace)->state_bytes, 77);
	sim_trace_free(trace);
	free(f.bytes);
}

static void contents_that_lie_are_refused(void **state)
{
	static const struct {
		uint32_t kind, windows;
		size_t size, claimed;
		const char *raw, *what;
	} lies[] = {
	        /* a run is: pages left out, pages more than one */
	        {TRACE_POPULATED, 0, 1, 1, "\1", "no whole number"},
	        {TRACE_POPULATED, 0, 3, 3, "\x80\0\0", "no whole number"},
	        {TRACE_POPULATED, 0, 11, 11, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\2\0",
	         "no whole number"},
	        {TRACE_POPULATED, 0, 3, 3, "\xe8\7\0", "beyond the VM's memory"},
	        {TRACE_POPULATED, 0, 3, 3, "\0\xe8\7", "beyond the VM's memory"},
	        {TRACE_POPULATED, 0, 12, 12, "\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0",
	         "beyond the VM's memory"},
	        {TRACE_POPULATED, 0, 11, 11, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0",
	         "beyond the VM's memory"},
	        {TRACE_POPULATED, 0, 5, 5, "\0\xe7\7\0\0", "beyond the VM's memory"},
	        {TRACE_POPULATED, 0, 2, 2, "\0\0", "other populated pages"},
	        {TRACE_POPULATED, 0, 2, 3, "\0\0", "has 2 bytes of contents and not 3"},
	        {TRACE_POPULATED, 0, 2, 1, "\0\0", "cannot be decompressed"},
	        {TRACE_POPULATED, 1, 2, 2, "\0\0", "out of its order"},
	        /* a window is: gap, length, flags, CPU, network, runs written, [read] */
	        {TRACE_WINDOWS, 1, 6, 6, "\0\0\0\0\0\0", "impossible values"},
	        {TRACE_WINDOWS, 1, 6, 6, "\0\1\2\0\0\0", "impossible values"},
	        {TRACE_WINDOWS, 1, 7, 7, "\0\1\0\xe9\7\0\0", "impossible values"},
	        {TRACE_WINDOWS, 1, 15, 15, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\1\0\0\0\0",
	         "impossible values"},
	        {TRACE_WINDOWS, 2, 21, 21,
	         "\0\5\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\1\0\0\0\0",
	         "impossible values"},
	        {TRACE_WINDOWS, 1, 8, 8, "\0\1\0\0\0\2\0\0", "more runs than it has room for"},
	        {TRACE_WINDOWS, 1, 15, 15, "\0\1\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1",
	         "more runs than it has room for"},
	        {TRACE_WINDOWS, UINT32_MAX, 6, 6, "\0\1\0\0\0\0", "no whole number"},
	        {TRACE_WINDOWS, 1, 7, 7, "\0\1\0\0\0\0\0", "after its last window"},
	        {TRACE_WINDOWS, 1, 6, 6, "\0\1\0\0\0\0", "speaks of other windows"},
	        {0x12345678, 0, 0, 0, "", "no block of a known kind"},
	        {TRACE_HEAD, 0, 0, 0, "", "out of its order"},
	};
	struct forged f;

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		forge_start(&f, 0, 1000, 8);
		forge_packed(&f, lies[i].kind, lies[i].raw, lies[i].size, lies[i].claimed,
		             lies[i].windows);
		forge_end(&f, 0, 0);
		refused_forgery(&f, lies[i].what);
	}
	forge_start(&f, 0, 1000, 8);
	forge_block(&f, TRACE_WINDOWS, "no zstd", 7, 100, 0);
	refused_forgery(&f, "cannot be decompressed");
	forge_start(&f, 0, 1000, 8);
	forge_packed(&f, TRACE_WINDOWS, "\0\1\0\0\0\0", 6, 6, 1);
	forge_packed(&f, TRACE_POPULATED, "\0\0", 2, 2, 0);
	refused_forgery(&f, "out of its order");
	forge_start(&f, 0, 1000, 8);
	forge_block(&f, TRACE_END, "", 0, 0, 0);
	refused_forgery(&f, "impossible size");
}

/* Few bytes that would become gigabytes. */
static void bombs_are_refused(void **state)
{
	enum { RUNS = 3 << 20, WINDOWS = 24 };
	size_t size = 10 + 2 * (size_t)RUNS;
	uint8_t *raw = calloc(1, size + 1), *at = raw;
	struct forged f;

	(void)state;
	at += trace_put_number(at, 0);
	at += trace_put_number(at, 1);
	at += 3;
	at += trace_put_number(at, RUNS);
	size = (size_t)(at - raw) + 2 * (size_t)RUNS;
	forge_start(&f, 0, SIM_TRACE_PAGES_MAX, 8);
	for (unsigned i = 0; i < WINDOWS; i++)
		forge_packed(&f, TRACE_WINDOWS, raw, size, size, 1);
	forge_end(&f, WINDOWS, WINDOWS);
	assert_true(f.size < 100000);
	refused_forgery(&f, "needs more memory than the 1024 MiB");

	forge_start(&f, 0, 1000, 8);
	forge_packed(&f, TRACE_WINDOWS, raw, size, TRACE_RAW_MAX + 1, 1);
	refused_forgery(&f, "are the most");
	free(raw);
}

/* --- the writer ----------------------------------------------------------------------------- */

static void windows_that_cannot_be_are_not_written(void **state)
{
	static const struct gw_run backwards[] = {{5, 1}, {3, 1}}, touching[] = {{5, 1}, {6, 1}},
	                           beyond[] = {{PAGES - 1, 2}}, none[] = {{5, 0}};
	const struct gw_window bad[] = {
	        {.length_ns = 0},
	        {.length_ns = 1, .cpu_permille = 1001},
	        {.length_ns = 1, .written = backwards, .written_count = 2},
	        {.length_ns = 1, .written = touching, .written_count = 2},
	        {.length_ns = 1, .written = beyond, .written_count = 1},
	        {.length_ns = 1, .written = none, .written_count = 1},
	        {.length_ns = 1, .read = beyond, .read_count = 1, .read_sampled = true},
	        {.length_ns = 1, .read = backwards, .read_count = 1},
	        {.start_ns = UINT64_MAX, .length_ns = 1},
	};
	struct sim_trace_head head = a_head();
	struct sim_trace_writer *writer;
	struct sim_trace *trace;
	struct sim_chance chance;
	struct gw_set populated;
	struct file file;

	(void)state;
	chance = sim_chance_of(1, 0);
	random_set(&chance, &populated);
	file_make(&file);
	assert_int_equal(sim_trace_create(&writer, file.path, &head, &populated, &error), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(sim_trace_add(writer, &bad[i], &error), -EINVAL);
	assert_int_equal(sim_trace_close(writer, &error), 0);
	assert_int_equal(sim_trace_open(&trace, file.path, &error), 0);
	assert_int_equal(sim_trace_windows(trace), 0);
	sim_trace_free(trace);
	file_free(&file);
}

static void full_disks_and_wrong_paths_are_told(void **state)
{
	struct sim_trace_head head = a_head();
	struct sim_trace_writer *writer;
	struct sim_trace *trace;
	struct sim_chance chance;
	struct gw_set populated;

	(void)state;
	chance = sim_chance_of(1, 0);
	random_set(&chance, &populated);
	assert_int_equal(sim_trace_create(&writer, "/dev/full", &head, &populated, &error),
	                 -ENOSPC);
	assert_null(writer);
	assert_int_equal(sim_trace_create(&writer, "/no/such/folder", &head, &populated, &error),
	                 -ENOENT);
	assert_non_null(strstr(error.text, "/no/such/folder"));
	assert_int_equal(sim_trace_open(&trace, "/no/such/file", &error), -ENOENT);
	assert_int_equal(sim_trace_open(&trace, "/dev/zero", &error), -EINVAL);
	assert_int_equal(sim_trace_open(&trace, "/proc/self/exe", &error), -EINVAL);
	assert_non_null(strstr(error.text, "at byte 0: this is no trace"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_written_is_read),
	        cmocka_unit_test(a_changed_byte_is_refused),
	        cmocka_unit_test(a_cut_is_refused_at_its_place),
	        cmocka_unit_test(heads_that_lie_are_refused),
	        cmocka_unit_test(contents_that_lie_are_refused),
	        cmocka_unit_test(bombs_are_refused),
	        cmocka_unit_test(windows_that_cannot_be_are_not_written),
	        cmocka_unit_test(full_disks_and_wrong_paths_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
