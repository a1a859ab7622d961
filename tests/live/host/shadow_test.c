/* SPDX-License-Identifier: MIT */
/* The shadow of a native guest: it is exact, it leaves the image alone, and it ends. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

#include "live/host/shadow.h"
#include "live/memory/faults.h"
#include "live/vm/launch.h"
#include "live/vm/native.h"
#include "tests/live/keeper.h"

#define PAGES       4096u
#define STATE_BYTES (1u << 20)
#define SEEN        3000u
#define PATIENCE_MS 20000

struct scene {
	char dir[64], ram_path[96];
	struct gw_guest guest; /* the source, stopped and saved */
	struct gw_ram ram;
	uint8_t state[STATE_BYTES];
	size_t state_count;
	struct gw_shadow_limits limits;
	struct gw_shadow *shadow;
	uint64_t touched[SEEN];
	size_t seen;
};

static struct gw_native_config config_of(void)
{
	struct gw_native_config config;

	gw_native_config_init(&config);
	config.pages = PAGES;
	config.vcpus = 1;
	config.pattern = GW_NATIVE_RANDOM;
	config.writes = GW_NATIVE_RATE_MAX;
	config.reads = 0;
	config.populate = PAGES;
	config.seed = 11;
	return config;
}

static void start_guest(struct gw_vm **vm, const char *dir, const char *ram_path, bool incoming)
{
	struct gw_native_config config = config_of();
	struct gw_native_start start = {.binary = getenv("GW_NATIVE_GUEST"),
	                                .dir = dir,
	                                .ram_path = ram_path,
	                                .incoming = incoming,
	                                .with_parent = true};
	struct gw_error error;

	if (gw_native_start(vm, &start, "test", &config, &error))
		fail_msg("%s", error.text);
}

static void expect(struct gw_vm *vm, enum gw_vm_event_kind kind)
{
	struct pollfd item = {.fd = gw_vm_fd(vm), .events = POLLIN};
	struct gw_vm_event event;

	while (gw_vm_next(vm, &event) != 1)
		assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
	assert_int_equal(event.kind, kind);
}

static void save_state(struct scene *s)
{
	int pair[2];
	ssize_t n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(gw_vm_save(s->guest.vm, pair[1], NULL), 0);
	while ((n = read(pair[0], s->state + s->state_count, STATE_BYTES - s->state_count)) > 0)
		s->state_count += (size_t)n;
	close(pair[0]);
	expect(s->guest.vm, GW_VM_SAVED);
}

static int set_up(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct gw_error error;

	assert_non_null(s);
	(void)snprintf(s->dir, sizeof(s->dir), "/dev/shm/godwit-shadow-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	keep(s->dir);
	(void)snprintf(s->ram_path, sizeof(s->ram_path), "%s/ram", s->dir);
	start_guest(&s->guest.vm, s->dir, s->ram_path, false);
	(void)snprintf(s->guest.kind, sizeof(s->guest.kind), "native");
	s->guest.spec = gw_native_spec(s->guest.vm, &error);
	assert_non_null(s->guest.spec);
	s->guest.lock = -1;
	if (gw_ram_open(&s->ram, s->ram_path, s->guest.vm->pid, &error))
		fail_msg("%s", error.text);
	gw_shadow_limits_init(&s->limits);
	*state = s;
	return 0;
}

static void remove_dir(const char *dir)
{
	static const char *const files[] = {"ram", "native.sock"};
	char path[128];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(dir);
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	gw_shadow_close(s->shadow);
	gw_ram_close(&s->ram);
	(void)gw_vm_quit(s->guest.vm, NULL);
	gw_vm_close(s->guest.vm);
	free(s->guest.spec);
	remove_dir(s->dir);
	free(s);
	return 0;
}

/* --- steps ---------------------------------------------------------------------------------- */

static void prepare(struct scene *s)
{
	struct gw_error error;

	if (gw_shadow_prepare(&s->shadow, &s->guest, &s->ram, &s->limits, &error))
		fail_msg("%s", error.text);
}

static void stop_and_save(struct scene *s)
{
	assert_int_equal(gw_vm_stop(s->guest.vm, NULL), 0);
	expect(s->guest.vm, GW_VM_STOPPED);
	save_state(s);
}

static void run(struct scene *s)
{
	size_t half = s->state_count / 2;

	assert_int_equal(gw_shadow_feed(s->shadow, s->state, half), 0);
	assert_int_equal(gw_shadow_feed(s->shadow, s->state + half, s->state_count - half), 0);
	gw_shadow_feed_end(s->shadow);
	gw_shadow_run(s->shadow);
}

static void keep_touches(struct scene *s, const struct gw_shadow_report *report)
{
	for (size_t i = 0; i < report->count; i++)
		for (uint64_t k = 0; k < report->runs[i].count && s->seen < SEEN; k++)
			s->touched[s->seen++] = report->runs[i].first + k;
}

/* Takes reports until one of that kind; touches are kept on the way. */
static void await(struct scene *s, enum gw_shadow_report_kind kind, struct gw_shadow_report *report)
{
	struct pollfd item = {.fd = gw_shadow_fd(s->shadow), .events = POLLIN};

	for (;;) {
		while (gw_shadow_next(s->shadow, report)) {
			if (report->kind == GW_SHADOW_TOUCHED)
				keep_touches(s, report);
			if (report->kind == kind)
				return;
			if (report->kind == GW_SHADOW_GONE)
				fail_msg("the shadow is gone: %s", report->text);
		}
		assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
	}
}

static void await_touches(struct scene *s, size_t count)
{
	struct gw_shadow_report report;

	while (s->seen < count)
		await(s, GW_SHADOW_TOUCHED, &report);
}

/* The one process whose memory is a private view of the image; 0: there is none. */
static pid_t shadow_pid(const struct scene *s)
{
	DIR *dir = opendir("/proc");
	char path[300], line[512];
	struct dirent *entry;
	pid_t found = 0;

	assert_non_null(dir);
	while (!found && (entry = readdir(dir))) {
		FILE *f;

		(void)snprintf(path, sizeof(path), "/proc/%s/maps", entry->d_name);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			if (strstr(line, s->ram_path) && strstr(line, "rw-p"))
				found = (pid_t)strtol(entry->d_name, NULL, 10);
		if (f)
			(void)fclose(f);
	}
	closedir(dir);
	return found;
}

static uint64_t image_digest(const struct scene *s)
{
	return XXH3_64bits(s->ram.map, s->ram.bytes);
}

static blkcnt_t image_blocks(const struct scene *s)
{
	struct stat st;

	assert_int_equal(fstat(s->ram.fd, &st), 0);
	return st.st_blocks;
}

/* --- tests ---------------------------------------------------------------------------------- */

/* The guest itself, started from the same state with no page there: the order of its faults. */
static void watch_target(struct scene *s, uint64_t *order)
{
	char dir[64] = "/dev/shm/godwit-target-XXXXXX", ram_path[96];
	struct gw_faults faults;
	struct gw_fault fault;
	struct gw_ram ram;
	struct gw_vm *vm;
	int pair[2];

	assert_non_null(mkdtemp(dir));
	keep(dir);
	(void)snprintf(ram_path, sizeof(ram_path), "%s/ram", dir);
	start_guest(&vm, dir, ram_path, true);
	assert_int_equal(gw_ram_open(&ram, ram_path, vm->pid, NULL), 0);
	assert_int_equal(gw_faults_open(&faults, &ram, NULL), 0);
	assert_int_equal(gw_faults_arm(&faults, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(gw_vm_load(vm, pair[1], NULL), 0);
	assert_int_equal(write(pair[0], s->state, s->state_count), s->state_count);
	close(pair[0]);
	expect(vm, GW_VM_LOADED);
	assert_int_equal(gw_vm_cont(vm, NULL), 0);
	for (size_t seen = 0; seen < SEEN;) {
		struct pollfd item = {.fd = faults.fd, .events = POLLIN};
		int got = gw_faults_next(&faults, &fault, NULL);

		assert_true(got >= 0);
		if (!got) {
			assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
			continue;
		}
		order[seen++] = fault.page;
		assert_int_equal(gw_faults_place(&faults, (struct gw_run){fault.page, 1},
		                                 s->ram.map + fault.page * GW_PAGE_BYTES, NULL),
		                 0);
	}
	(void)gw_vm_quit(vm, NULL);
	gw_faults_close(&faults);
	gw_vm_close(vm);
	gw_ram_close(&ram);
	remove_dir(dir);
}

static void touches_what_the_target_touches(void **state)
{
	struct scene *s = *state;
	struct gw_shadow_report report;
	uint64_t target[SEEN];

	prepare(s);
	await(s, GW_SHADOW_READY, &report);
	stop_and_save(s);
	run(s);
	await(s, GW_SHADOW_STARTED, &report);
	await_touches(s, SEEN);
	watch_target(s, target);
	for (size_t i = 0; i < SEEN; i++)
		if (s->touched[i] != target[i])
			fail_msg("touch %zu: page %llu at the shadow, %llu at the target", i,
			         (unsigned long long)s->touched[i], (unsigned long long)target[i]);
}

static void leaves_the_image_alone(void **state)
{
	struct scene *s = *state;
	struct gw_shadow_report report;
	struct gw_run hole = {.first = 100, .count = 50};
	uint64_t digest;
	blkcnt_t blocks;

	prepare(s);
	await(s, GW_SHADOW_READY, &report);
	stop_and_save(s);
	assert_int_equal(gw_ram_punch(&s->ram, hole, NULL), 0);
	blocks = image_blocks(s);
	run(s);
	await_touches(s, SEEN);
	gw_shadow_close(s->shadow);
	s->shadow = NULL;
	/* It read and wrote holes, too, and even those are holes still. */
	assert_int_equal(image_blocks(s), blocks);
	digest = image_digest(s);
	assert_int_equal(gw_ram_punch(&s->ram, hole, NULL), 0);
	assert_int_equal(image_digest(s), digest);
	/* The VM goes on from there as if nothing had been. */
	assert_int_equal(shadow_pid(s), 0);
}

static void the_vm_goes_on(void **state)
{
	struct scene *s = *state;
	struct gw_shadow_report report;
	struct gw_native_verdict verdict;
	uint64_t digest;

	prepare(s);
	await(s, GW_SHADOW_READY, &report);
	stop_and_save(s);
	digest = image_digest(s);
	run(s);
	await_touches(s, SEEN);
	assert_int_equal(image_digest(s), digest);
	gw_shadow_kill(s->shadow);
	assert_int_equal(gw_vm_cont(s->guest.vm, NULL), 0);
	expect(s->guest.vm, GW_VM_RUNNING);
	assert_int_equal(gw_native_verify(s->guest.vm, &verdict, NULL), 0);
	assert_int_equal(verdict.different, 0);
}

static void stands_while_it_is_held(void **state)
{
	struct scene *s = *state;
	struct gw_shadow_report report;
	size_t held;

	prepare(s);
	await(s, GW_SHADOW_READY, &report);
	stop_and_save(s);
	gw_shadow_hold(s->shadow, true);
	run(s);
	await(s, GW_SHADOW_STARTED, &report);
	nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
	while (gw_shadow_next(s->shadow, &report))
		keep_touches(s, &report);
	held = s->seen;
	assert_in_range(held, 0, 8); /* what loading itself touched */
	gw_shadow_hold(s->shadow, false);
	await_touches(s, held + 1000);
}

/* A ring that nobody reads holds it, too. */
static void stands_while_nobody_listens(void **state)
{
	struct scene *s = *state;
	struct gw_shadow_report report;

	prepare(s);
	await(s, GW_SHADOW_READY, &report);
	stop_and_save(s);
	run(s);
	await_touches(s, 1);
	nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	await_touches(s, SEEN);
}

static void says_that_it_is_gone(void **state)
{
	struct scene *s = *state;
	struct gw_shadow_report report;
	pid_t pid;
	int pidfd;

	prepare(s);
	await(s, GW_SHADOW_READY, &report);
	pid = shadow_pid(s);
	assert_true(pid > 0);
	pidfd = pidfd_open(pid, 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	await(s, GW_SHADOW_GONE, &report);
	assert_non_null(strstr(report.text, "signal 9"));
	assert_true(gw_process_gone(pidfd, PATIENCE_MS));
	close(pidfd);
	assert_false(gw_shadow_next(s->shadow, &report));
}

static void a_damaged_state(void **state)
{
	struct scene *s = *state;
	struct gw_shadow_report report;

	prepare(s);
	await(s, GW_SHADOW_READY, &report);
	stop_and_save(s);
	s->state[s->state_count / 2] ^= 1;
	run(s);
	await(s, GW_SHADOW_GONE, &report);
	assert_non_null(strstr(report.text, "damaged"));
}

static void no_memory_for_it(void **state)
{
	struct scene *s = *state;
	struct gw_error error;

	s->limits.memory_bytes = 1 << 20;
	assert_int_equal(gw_shadow_prepare(&s->shadow, &s->guest, &s->ram, &s->limits, &error),
	                 -ENOMEM);
	assert_non_null(strstr(error.text, "1 MiB"));
	assert_null(s->shadow);
}

/* What it may use is used up: by its writes (memory), by its work, by its being there. */
static void runs_into(struct scene *s, const char *why)
{
	struct gw_shadow_report report;

	prepare(s);
	await(s, GW_SHADOW_READY, &report);
	stop_and_save(s);
	run(s);
	await(s, GW_SHADOW_GONE, &report);
	if (!strstr(report.text, why))
		fail_msg("gone: %s", report.text);
	assert_int_equal(shadow_pid(s), 0);
}

static void its_processor_time(void **state)
{
	struct scene *s = *state;

	s->limits.cpu_ns = 50000000;
	runs_into(s, "processor");
}

static void its_time(void **state)
{
	struct scene *s = *state;

	s->limits.time_ns = 4000000000; /* it comes to run before, on a busy machine, too */
	runs_into(s, "are over");
}

static void closed_at_any_time(void **state)
{
	struct scene *s = *state;

	for (long us = 0; us < 100000; us += 4000) {
		prepare(s);
		nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
		gw_shadow_close(s->shadow);
		s->shadow = NULL;
		assert_int_equal(shadow_pid(s), 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        TEST(touches_what_the_target_touches),
	        TEST(leaves_the_image_alone),
	        TEST(the_vm_goes_on),
	        TEST(stands_while_it_is_held),
	        TEST(stands_while_nobody_listens),
	        TEST(says_that_it_is_gone),
	        TEST(a_damaged_state),
	        TEST(no_memory_for_it),
	        TEST(its_processor_time),
	        TEST(its_time),
	        TEST(closed_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
