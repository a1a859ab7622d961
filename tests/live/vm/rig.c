/* SPDX-License-Identifier: MIT */
#include "tests/live/vm/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "tests/live/keeper.h"

#define PATIENCE_MS 20000

int rig_setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	const char *base;

	if (!rig)
		return -1;
	/* What QEMU's start leaves behind comes to us, so nothing stays as a zombie. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/godwit-vm-XXXXXX");
	if (!mkdtemp(rig->dir))
		return -1;
	keep(rig->dir);
	base = strrchr(rig->dir, '/') + 1;
	for (int side = 0; side < 2; side++) {
		(void)snprintf(rig->ram[side], sizeof(rig->ram[side]), "/dev/shm/%s-%d.ram", base,
		               side);
		keep(rig->ram[side]);
		(void)snprintf(rig->qmp[side], sizeof(rig->qmp[side]), "%s/%d.qmp", rig->dir, side);
		(void)snprintf(rig->log[side], sizeof(rig->log[side]), "%s/%d.log", rig->dir, side);
	}
	*state = rig;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;
	char command[128];
	int left = 0;

	for (int side = 0; side < 2; side++) {
		if (rig->pid[side] > 0 && kill(rig->pid[side], 0) == 0)
			(void)kill(rig->pid[side], SIGKILL);
		if (rig->pid[side] > 0)
			(void)waitpid(rig->pid[side], NULL, 0);
		gw_vm_close(rig->vm[side]);
		(void)unlink(rig->ram[side]);
	}
	(void)snprintf(command, sizeof(command), "rm -rf %s", rig->dir);
	left = system(command);
	free(rig);
	return left;
}

void rig_start(struct rig *rig, int side, bool paused, char *const *extra)
{
	char backend[320], qmp[256];
	char *argv[64] = {"qemu-system-x86_64",
	                  "-nodefaults",
	                  "-no-user-config",
	                  "-display",
	                  "none",
	                  "-machine",
	                  "q35,memory-backend=ram0",
	                  "-m",
	                  "64",
	                  "-smp",
	                  "2",
	                  "-accel",
	                  "tcg,thread=multi",
	                  "-object",
	                  backend,
	                  "-qmp",
	                  qmp};
	struct gw_qemu_launch launch = {.name = "small",
	                                .argv = argv,
	                                .qmp_path = rig->qmp[side],
	                                .ram_path = rig->ram[side],
	                                .log_path = rig->log[side],
	                                .incoming = side == 1,
	                                .paused = paused};
	int n = 17;

	(void)snprintf(backend, sizeof(backend),
	               "memory-backend-file,id=ram0,size=64M,mem-path=%s,share=on", rig->ram[side]);
	(void)snprintf(qmp, sizeof(qmp), "unix:%s,server=on,wait=off", rig->qmp[side]);
	if (side == 1) {
		argv[n++] = "-incoming";
		argv[n++] = "defer";
	}
	if (side == 1 || paused)
		argv[n++] = "-S";
	for (int i = 0; extra && extra[i]; i++)
		argv[n++] = extra[i];
	assert_done(rig, gw_qemu_start(&rig->vm[side], &launch, &rig->error));
	rig->pid[side] = rig->vm[side]->pid;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct gw_vm_event rig_await(struct rig *rig, int side, enum gw_vm_event_kind kind)
{
	int64_t until = now_ms() + PATIENCE_MS;
	struct gw_vm_event event = {0};

	while (now_ms() < until) {
		struct pollfd p = {.fd = gw_vm_fd(rig->vm[side]), .events = POLLIN};
		int rc = gw_vm_next(rig->vm[side], &event);

		if (rc < 0)
			fail_msg("the connection broke: %s", strerror(-rc));
		if (rc > 0 && event.kind == kind)
			return event;
		if (rc > 0 && event.kind == GW_VM_REFUSED)
			fail_msg("refused: %s", event.text);
		if (rc == 0)
			(void)poll(&p, 1, 1000);
	}
	fail_msg("event %d did not come", (int)kind);
	return event;
}

void rig_assert_status(struct rig *rig, int side, const char *status)
{
	char is[32];

	assert_done(rig, gw_qemu_status(rig->vm[side], is, sizeof(is), &rig->error));
	assert_string_equal(is, status);
}

void rig_copy_ram(struct rig *rig)
{
	_cleanup_close_ int from = open(rig->ram[0], O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int to = open(rig->ram[1], O_RDWR | O_CLOEXEC);
	size_t bytes = (size_t)rig->vm[0]->ram_bytes;
	char *a = mmap(NULL, bytes, PROT_READ, MAP_SHARED, from, 0);
	char *b = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, to, 0);

	assert_ptr_not_equal(a, MAP_FAILED);
	assert_ptr_not_equal(b, MAP_FAILED);
	memcpy(b, a, bytes);
	munmap(a, bytes);
	munmap(b, bytes);
}
