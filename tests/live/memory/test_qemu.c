/* SPDX-License-Identifier: MIT */
/* A real, idle QEMU (its firmware runs, no guest): attached to and tracked, again and again. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "live/memory/faults.h"
#include "live/memory/tracker.h"
#include "tests/live/memory/stand_in.h"

#define QEMU    "/usr/bin/qemu-system-x86_64"
#define MIB     64
#define TIMES   50
#define READY_S 30

struct vm {
	pid_t pid;
	int qmp;
	char path[64];
	struct gw_ram ram;
};

static void run_qemu(const struct vm *vm, int qmp)
{
	char backend[160], chardev[64];
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(backend, sizeof(backend),
	               "memory-backend-file,id=ram0,size=%dM,mem-path=%s,share=on", MIB, vm->path);
	(void)snprintf(chardev, sizeof(chardev), "socket,id=qmp,fd=%d", qmp);
	dup2(null, STDIN_FILENO);
	execl(QEMU, QEMU, "-machine", "q35,memory-backend=ram0", "-accel", "tcg", "-m", "64",
	      "-object", backend, "-nodefaults", "-display", "none", "-chardev", chardev, "-mon",
	      "chardev=qmp,mode=control", (char *)NULL);
	_exit(127);
}

/* Reads until the text was seen; false at the end of the stream or when it does not come. */
static bool wait_for(int fd, const char *text)
{
	char got[65536];
	size_t have = 0;

	while (have + 1 < sizeof(got)) {
		ssize_t n = read(fd, got + have, sizeof(got) - 1 - have);

		if (n <= 0)
			return false;
		have += (size_t)n;
		got[have] = '\0';
		if (strstr(got, text))
			return true;
	}
	return false;
}

static bool ask(struct vm *vm, const char *request, const char *answer)
{
	size_t length = strlen(request);

	return write(vm->qmp, request, length) == (ssize_t)length && wait_for(vm->qmp, answer);
}

/* The firmware has begun. */
static bool has_written(const struct vm *vm)
{
	struct stat file;

	for (unsigned tries = 0; tries < READY_S * 100; tries++) {
		if (!stat(vm->path, &file) && file.st_blocks)
			return true;
		sleep_ms(10);
	}
	return false;
}

static int start(void **state)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	struct timeval limit = {.tv_sec = READY_S};
	struct gw_error error;
	int ends[2], ret;

	(void)snprintf(vm->path, sizeof(vm->path), "/dev/shm/godwit-test-%d", (int)getpid());
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		return -1;
	vm->pid = fork();
	if (vm->pid == 0) {
		close(ends[0]);
		run_qemu(vm, ends[1]);
	}
	close(ends[1]);
	vm->qmp = ends[0];
	setsockopt(vm->qmp, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	*state = vm;
	ret = wait_for(vm->qmp, "QMP") && ask(vm, "{'execute':'qmp_capabilities'}\n", "return");
	ret = ret && has_written(vm) ? gw_ram_open(&vm->ram, vm->path, vm->pid, &error) : -1;
	unlink(vm->path); /* both have it open: nothing stays behind */
	if (ret < 0)
		(void)fprintf(stderr, "QEMU did not start\n");
	return ret;
}

static int end(void **state)
{
	struct vm *vm = *state;

	kill(vm->pid, SIGKILL);
	waitpid(vm->pid, NULL, 0);
	gw_ram_close(&vm->ram);
	close(vm->qmp);
	unlink(vm->path);
	free(vm);
	return 0;
}

static void tracked_many_times(void **state)
{
	struct vm *vm = *state;
	struct gw_set dirty;
	unsigned fds = count_fds(vm->pid);

	gw_set_init(&dirty, calloc(gw_set_words(vm->ram.pages), 8), vm->ram.pages);
	for (unsigned i = 0; i < TIMES; i++) {
		struct gw_error error = {""};
		struct gw_tracker tracker;

		if (gw_tracker_open(&tracker, "pagemap", &vm->ram, false, &error) < 0)
			fail_msg("attempt %u: %s", i, error.text);
		gw_set_clear(&dirty);
		assert_int_equal(gw_tracker_start(&tracker, &dirty, &error), 0);
		assert_true(gw_set_count(&dirty) > 0);
		assert_int_equal(gw_tracker_scan(&tracker, &dirty, false, &error), 0);
		assert_int_equal(count_fds(vm->pid), fds);
		gw_tracker_close(&tracker);
		assert_true(ask(vm, "{'execute':'query-status'}\n", "running"));
	}
	free(dirty.words);
}

static void reset_writes_are_seen(void **state)
{
	struct vm *vm = *state;
	struct gw_error error;
	struct gw_tracker tracker;
	struct gw_set dirty;
	unsigned tries = 0;

	gw_set_init(&dirty, calloc(gw_set_words(vm->ram.pages), 8), vm->ram.pages);
	assert_int_equal(gw_tracker_open(&tracker, "pagemap", &vm->ram, false, &error), 0);
	assert_int_equal(gw_tracker_start(&tracker, &dirty, &error), 0);
	gw_set_clear(&dirty);
	/* The firmware starts again and writes. */
	assert_true(ask(vm, "{'execute':'system_reset'}\n", "return"));
	while (gw_set_empty(&dirty) && tries++ < READY_S * 100) {
		assert_int_equal(gw_tracker_scan(&tracker, &dirty, false, &error), 0);
		sleep_ms(10);
	}
	assert_false(gw_set_empty(&dirty));
	gw_tracker_close(&tracker);
	free(dirty.words);
}

static void faults_open_and_finish(void **state)
{
	struct vm *vm = *state;
	struct gw_error error;
	unsigned fds = count_fds(vm->pid);

	for (unsigned i = 0; i < 10; i++) {
		struct gw_faults faults;

		assert_int_equal(gw_faults_open(&faults, &vm->ram, &error), 0);
		assert_int_equal(gw_faults_arm(&faults, &error), 0);
		gw_faults_close(&faults);
		assert_int_equal(count_fds(vm->pid), fds + 1);
		assert_int_equal(gw_faults_reopen(&faults, &vm->ram, &error), 0);
		assert_int_equal(gw_faults_finish(&faults, &error), 0);
		assert_int_equal(count_fds(vm->pid), fds);
	}
	assert_true(ask(vm, "{'execute':'query-status'}\n", "running"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(tracked_many_times),
	        cmocka_unit_test(reset_writes_are_seen),
	        cmocka_unit_test(faults_open_and_finish),
	};

	need("pagemap");
	if (access(QEMU, X_OK) != 0) {
		(void)printf("skipped: there is no " QEMU "\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, start, end);
}
