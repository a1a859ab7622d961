/* SPDX-License-Identifier: MIT */
/* A real QEMU handed over to a second one, and every way back. */
#include "tests/live/vm/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void sockets(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static double ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void lay_down(struct rig *rig)
{
	assert_done(rig, gw_vm_prepare_save(rig->vm[0], &rig->error));
	assert_done(rig, gw_vm_stop(rig->vm[0], &rig->error));
	rig_await(rig, 0, GW_VM_STOPPED);
}

/* Stop, copy, save and load; the destination is left loaded and not running. */
static void hand_over(struct rig *rig)
{
	int pair[2];
	double t[5];

	sockets(pair);
	assert_done(rig, gw_vm_prepare_save(rig->vm[0], &rig->error));
	assert_done(rig, gw_vm_load(rig->vm[1], pair[1], &rig->error));
	t[0] = ms();
	assert_done(rig, gw_vm_stop(rig->vm[0], &rig->error));
	rig_await(rig, 0, GW_VM_STOPPED);
	t[1] = ms();
	rig_copy_ram(rig);
	t[2] = ms();
	assert_done(rig, gw_vm_save(rig->vm[0], pair[0], &rig->error));
	rig_await(rig, 1, GW_VM_LOADED);
	t[3] = ms();
	rig_await(rig, 0, GW_VM_SAVED);
	t[4] = ms();
	print_message("stop %.2f ms, copy %.2f ms, save+load %.2f ms, source told after %.2f ms\n",
	              t[1] - t[0], t[2] - t[1], t[3] - t[2], t[4] - t[2]);
}

static void test_open_learns_the_vm(void **state)
{
	struct rig *rig = *state;
	struct gw_qemu_where where = {.name = "again", .qmp_path = rig->qmp[0]};

	rig_start(rig, 0, false, NULL);
	assert_int_equal(rig->vm[0]->vcpus, 2);
	assert_true(rig->vm[0]->vcpu_threads[0] > 0 && rig->vm[0]->vcpu_threads[1] > 0);
	assert_int_not_equal(rig->vm[0]->vcpu_threads[0], rig->vm[0]->vcpu_threads[1]);
	assert_false(rig->vm[0]->paused);
	gw_vm_close(rig->vm[0]);
	rig->vm[0] = NULL;
	assert_done(rig, gw_qemu_open(&rig->vm[0], &where, &rig->error));
	assert_int_equal(rig->vm[0]->pid, rig->pid[0]);
	assert_string_equal(rig->vm[0]->ram_path, rig->ram[0]);
	assert_int_equal(rig->vm[0]->ram_bytes, 64 << 20);
}

static void test_moves(void **state)
{
	struct rig *rig = *state;
	struct stat st;
	double t;

	rig_start(rig, 0, false, NULL);
	rig_start(rig, 1, false, NULL);
	assert_int_equal(stat(rig->ram[1], &st), 0);
	assert_int_equal(st.st_blocks, 0);
	hand_over(rig);
	rig_assert_status(rig, 1, "paused");
	t = ms();
	assert_done(rig, gw_vm_cont(rig->vm[1], &rig->error));
	rig_await(rig, 1, GW_VM_RUNNING);
	print_message("cont %.2f ms\n", ms() - t);
	rig_assert_status(rig, 1, "running");
	rig_assert_status(rig, 0, "postmigrate");
	assert_done(rig, gw_vm_quit(rig->vm[0], &rig->error));
	rig_await(rig, 0, GW_VM_DIED);
}

/* What the source says until it waits for the return path. */
static size_t record(int fd, char *bytes, size_t room)
{
	double began = ms(), last = began;
	size_t sum = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t got = poll(&p, 1, 500) > 0 ? read(fd, bytes + sum, room - sum) : 0;

		if (got <= 0)
			break;
		sum += (size_t)got;
		last = ms();
	}
	print_message("save %.2f ms, %zu bytes\n", last - began, sum);
	return sum;
}

/* The stream is kept and carried over by hand, as two agents do: no RAM in it, and both ways. */
static void test_relayed_state(void **state)
{
	const size_t room = 4 << 20;
	struct rig *rig = *state;
	char *bytes = malloc(room), back[256];
	int from[2], to[2];
	size_t sum;
	ssize_t got;
	double t;

	rig_start(rig, 0, false, NULL);
	rig_start(rig, 1, false, NULL);
	lay_down(rig);
	sockets(from);
	sockets(to);
	assert_done(rig, gw_vm_save(rig->vm[0], from[0], &rig->error));
	sum = record(from[1], bytes, room);
	/* Firmware fills more than 1 MiB of the 64 MiB. */
	assert_true(sum > 1000 && sum < 1 << 20);
	rig_copy_ram(rig);
	assert_done(rig, gw_vm_load(rig->vm[1], to[1], &rig->error));
	t = ms();
	assert_int_equal(write(to[0], bytes, sum), (ssize_t)sum);
	rig_await(rig, 1, GW_VM_LOADED);
	print_message("load %.2f ms\n", ms() - t);
	while ((got = read(to[0], back, sizeof(back))) > 0)
		assert_int_equal(write(from[1], back, (size_t)got), got);
	shutdown(from[1], SHUT_WR);
	rig_await(rig, 0, GW_VM_SAVED);
	free(bytes);
	close(from[1]);
	close(to[0]);
}

static void test_paused_stays_paused(void **state)
{
	struct rig *rig = *state;
	struct gw_qemu_where where = {.name = "again", .qmp_path = rig->qmp[0]};

	rig_start(rig, 0, false, NULL);
	rig_start(rig, 1, true, NULL);
	assert_done(rig, gw_vm_stop(rig->vm[0], &rig->error));
	rig_await(rig, 0, GW_VM_STOPPED);
	gw_vm_close(rig->vm[0]);
	assert_done(rig, gw_qemu_open(&rig->vm[0], &where, &rig->error));
	assert_true(rig->vm[0]->paused);
	hand_over(rig);
	assert_done(rig, gw_vm_cont(rig->vm[1], &rig->error));
	rig_await(rig, 1, GW_VM_RUNNING);
	rig_assert_status(rig, 1, "paused");
}

static void roll_back(struct rig *rig)
{
	assert_done(rig, gw_vm_cont(rig->vm[0], &rig->error));
	rig_await(rig, 0, GW_VM_RUNNING);
	rig_assert_status(rig, 0, "running");
}

static void test_back_after_stop(void **state)
{
	struct rig *rig = *state;

	rig_start(rig, 0, false, NULL);
	lay_down(rig);
	rig_assert_status(rig, 0, "paused");
	roll_back(rig);
}

/* Nobody reads the stream: the save stands in the middle. */
static void test_back_during_save(void **state)
{
	struct rig *rig = *state;
	int pair[2];

	rig_start(rig, 0, false, NULL);
	for (int i = 0; i < 2; i++) {
		lay_down(rig);
		sockets(pair);
		assert_done(rig, gw_vm_save(rig->vm[0], pair[0], &rig->error));
		if (i == 1)
			usleep(100000);
		roll_back(rig);
		close(pair[1]);
	}
}

static void test_back_after_lost_link(void **state)
{
	struct rig *rig = *state;
	struct gw_vm_event event;
	int pair[2];

	rig_start(rig, 0, false, NULL);
	lay_down(rig);
	sockets(pair);
	close(pair[1]);
	assert_done(rig, gw_vm_save(rig->vm[0], pair[0], &rig->error));
	do {
		struct pollfd p = {.fd = gw_vm_fd(rig->vm[0]), .events = POLLIN};

		assert_int_equal(poll(&p, 1, 10000), 1);
	} while (gw_vm_next(rig->vm[0], &event) == 0);
	assert_int_equal(event.kind, GW_VM_REFUSED);
	assert_true(strlen(event.text) > 0);
	roll_back(rig);
}

static void test_back_after_save(void **state)
{
	struct rig *rig = *state;

	rig_start(rig, 0, false, NULL);
	rig_start(rig, 1, false, NULL);
	hand_over(rig);
	assert_done(rig, gw_vm_quit(rig->vm[1], &rig->error));
	roll_back(rig);
}

/* With an image: the loaded destination has not locked it, so the source can come back. */
static void test_images_are_fenced(void **state)
{
	struct rig *rig = *state;
	char drive[256], image[128];
	char *extra[] = {"-drive", drive, NULL};
	int fd;

	(void)snprintf(image, sizeof(image), "%s/disk.img", rig->dir);
	fd = open(image, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	(void)snprintf(drive, sizeof(drive), "file=%s,format=raw,if=virtio", image);
	rig_start(rig, 0, false, extra);
	rig_start(rig, 1, false, extra);
	hand_over(rig);
	roll_back(rig);
	/* Now the source has the lock: the other must not run. */
	assert_done(rig, gw_vm_cont(rig->vm[1], &rig->error));
	for (;;) {
		struct pollfd p = {.fd = gw_vm_fd(rig->vm[1]), .events = POLLIN};
		struct gw_vm_event event;

		if (gw_vm_next(rig->vm[1], &event) == 1) {
			assert_int_equal(event.kind, GW_VM_REFUSED);
			break;
		}
		assert_int_equal(poll(&p, 1, 10000), 1);
	}
	rig_assert_status(rig, 1, "paused");
}

static void test_garbage_is_not_loaded(void **state)
{
	struct rig *rig = *state;
	struct gw_vm_event event = {0};
	bool refused = false;
	int pair[2];

	rig_start(rig, 1, false, NULL);
	sockets(pair);
	assert_done(rig, gw_vm_load(rig->vm[1], pair[1], &rig->error));
	assert_int_equal(write(pair[0], "this is no device state at all..", 32), 32);
	while (event.kind != GW_VM_DIED) {
		struct pollfd p = {.fd = gw_vm_fd(rig->vm[1]), .events = POLLIN};

		if (gw_vm_next(rig->vm[1], &event) == 0)
			assert_int_equal(poll(&p, 1, 10000), 1);
		assert_int_not_equal(event.kind, GW_VM_LOADED);
		refused = refused || event.kind == GW_VM_REFUSED;
	}
	assert_true(refused);
	close(pair[0]);
}

static void test_death_is_told(void **state)
{
	struct rig *rig = *state;

	rig_start(rig, 0, false, NULL);
	kill(rig->pid[0], SIGKILL);
	rig_await(rig, 0, GW_VM_DIED);
	assert_int_equal(gw_vm_stop(rig->vm[0], &rig->error), -ESRCH);
}

static void test_quit_ends_it(void **state)
{
	struct rig *rig = *state;

	rig_start(rig, 0, false, NULL);
	assert_done(rig, gw_vm_quit(rig->vm[0], &rig->error));
	rig_await(rig, 0, GW_VM_SHUTDOWN);
	rig_await(rig, 0, GW_VM_DIED);
}

static void test_reset_and_pause_are_told(void **state)
{
	struct rig *rig = *state;
	struct gw_qmp *qmp;

	rig_start(rig, 0, false, NULL);
	qmp = gw_qemu_qmp(rig->vm[0]);
	assert_done(rig, gw_qmp_call(qmp, "system_reset", NULL, 5000, NULL, &rig->error));
	rig_await(rig, 0, GW_VM_RESET);
	assert_done(rig, gw_qmp_call(qmp, "stop", NULL, 5000, NULL, &rig->error));
	rig_await(rig, 0, GW_VM_STOPPED);
}

static bool has_capability(struct rig *rig, const char *name)
{
	json_t *list, *one;
	bool on = false;
	size_t i;

	assert_done(rig, gw_qmp_call(gw_qemu_qmp(rig->vm[0]), "query-migrate-capabilities", NULL,
	                             5000, &list, &rig->error));
	json_array_foreach(
	        list, i,
	        one) if (strcmp(json_string_value(json_object_get(one, "capability")), name) == 0)
	        on = json_is_true(json_object_get(one, "state"));
	json_decref(list);
	return on;
}

#define ROM_PAGES 4 /* that are named in any case */

/* The firmware sets up the disk's queue when it looks for something to boot. */
static void test_hot_pages(void **state)
{
	struct rig *rig = *state;
	char *extra[] = {"-drive", "driver=null-co,size=1M,if=none,id=d", "-device",
	                 "virtio-blk-pci,drive=d", NULL};
	struct gw_run runs[16];
	unsigned count = 0;

	rig_start(rig, 0, false, extra);
	for (int i = 0; i < 1200 && count <= ROM_PAGES; i++) {
		usleep(50000);
		count = gw_qemu_hot_pages(rig->vm[0], runs, 16);
	}
	assert_true(count > ROM_PAGES && count <= 16);
	for (unsigned i = 0; i < count; i++) {
		assert_true(runs[i].count == 1 && runs[i].first < (64 << 20) / GW_PAGE_BYTES);
		assert_true(i == 0 || runs[i].first > runs[i - 1].first);
	}
}

/* Someone else's later save of this VM must not leave its RAM out. */
static void test_close_leaves_no_capability(void **state)
{
	struct rig *rig = *state;
	struct gw_qemu_where where = {.name = "again", .qmp_path = rig->qmp[0]};

	rig_start(rig, 0, false, NULL);
	assert_done(rig, gw_vm_prepare_save(rig->vm[0], &rig->error));
	assert_true(has_capability(rig, "x-ignore-shared"));
	gw_vm_close(rig->vm[0]);
	assert_done(rig, gw_qemu_open(&rig->vm[0], &where, &rig->error));
	assert_false(has_capability(rig, "x-ignore-shared"));
	assert_false(has_capability(rig, "return-path"));
}

/* An agent that was killed closes nothing: who takes its VM over does. */
static void test_taken_over_it_is_left_as_it_was(void **state)
{
	struct rig *rig = *state;
	struct gw_qemu_where where = {.name = "again", .qmp_path = rig->qmp[0]};

	rig_start(rig, 0, false, NULL);
	assert_done(rig, gw_qmp_call(gw_qemu_qmp(rig->vm[0]), "migrate-set-capabilities",
	                             json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability",
	                                       "x-ignore-shared", "state", true),
	                             5000, NULL, &rig->error));
	gw_vm_close(rig->vm[0]);
	assert_done(rig, gw_qemu_open(&rig->vm[0], &where, &rig->error));
	assert_true(has_capability(rig, "x-ignore-shared"));
	gw_qemu_take_over(rig->vm[0]);
	gw_vm_close(rig->vm[0]);
	assert_done(rig, gw_qemu_open(&rig->vm[0], &where, &rig->error));
	assert_false(has_capability(rig, "x-ignore-shared"));
}

static void test_last_words(void **state)
{
	struct rig *rig = *state;
	char *argv[] = {"qemu-system-x86_64", "-machine", "nonsense", NULL};
	char *none[] = {"/no/such/qemu", NULL};
	struct gw_qemu_launch launch = {.name = "bad",
	                                .argv = argv,
	                                .qmp_path = rig->qmp[0],
	                                .ram_path = rig->ram[0],
	                                .log_path = rig->log[0]};

	assert_true(gw_qemu_start(&rig->vm[0], &launch, &rig->error) < 0);
	assert_non_null(strstr(rig->error.text, "QEMU did not start"));
	launch.argv = none;
	assert_int_equal(gw_qemu_start(&rig->vm[0], &launch, &rig->error), -ENOENT);
	assert_null(rig->vm[0]);
}

#define qemu_test(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        qemu_test(test_open_learns_the_vm),
	        qemu_test(test_moves),
	        qemu_test(test_relayed_state),
	        qemu_test(test_paused_stays_paused),
	        qemu_test(test_back_after_stop),
	        qemu_test(test_back_during_save),
	        qemu_test(test_back_after_lost_link),
	        qemu_test(test_back_after_save),
	        qemu_test(test_images_are_fenced),
	        qemu_test(test_garbage_is_not_loaded),
	        qemu_test(test_death_is_told),
	        qemu_test(test_quit_ends_it),
	        qemu_test(test_reset_and_pause_are_told),
	        qemu_test(test_hot_pages),
	        qemu_test(test_close_leaves_no_capability),
	        qemu_test(test_taken_over_it_is_left_as_it_was),
	        qemu_test(test_last_words),
	};

	if (system("command -v qemu-system-x86_64 >/dev/null") != 0) {
		print_message("skipped: qemu-system-x86_64 is not installed\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
