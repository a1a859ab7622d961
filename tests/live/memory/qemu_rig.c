/* SPDX-License-Identifier: MIT */
#include "tests/live/memory/qemu_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/live/keeper.h"
#include "tests/live/memory/stand_in.h"

#define ARGS_MAX 48

static void run_qemu(const struct qemu *vm, int qmp, const char *accel, const char *const *args)
{
	char backend[160], chardev[64], mib[16];
	const char *argv[ARGS_MAX] = {QEMU,
	                              "-machine",
	                              "q35,memory-backend=ram0",
	                              "-accel",
	                              accel,
	                              "-m",
	                              mib,
	                              "-object",
	                              backend,
	                              "-mon",
	                              "chardev=qmp,mode=control",
	                              "-chardev",
	                              chardev,
	                              "-nodefaults",
	                              "-display",
	                              "none"};
	int null = open("/dev/null", O_RDWR), count = 16;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(mib, sizeof(mib), "%d", QEMU_MIB);
	(void)snprintf(backend, sizeof(backend),
	               "memory-backend-file,id=ram0,size=%dM,mem-path=%s,share=on", QEMU_MIB,
	               vm->path);
	(void)snprintf(chardev, sizeof(chardev), "socket,id=qmp,fd=%d", qmp);
	while (args && *args && count + 1 < ARGS_MAX)
		argv[count++] = *args++;
	dup2(null, STDIN_FILENO);
	execv(QEMU, (char **)argv);
	_exit(127);
}

/* Reads until the text was seen; false where it is refused or does not come. */
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
		if (strstr(got, "\"error\""))
			return false;
	}
	return false;
}

bool qemu_ask(struct qemu *vm, const char *request, const char *answer)
{
	size_t length = strlen(request);

	return write(vm->qmp, request, length) == (ssize_t)length && wait_for(vm->qmp, answer);
}

/* The firmware has begun. */
static bool has_written(const struct qemu *vm)
{
	struct stat file;

	for (unsigned tries = 0; tries < QEMU_WAITS * 100; tries++) {
		if (!stat(vm->path, &file) && file.st_blocks)
			return true;
		sleep_ms(10);
	}
	return false;
}

int qemu_start(struct qemu *vm, const char *accel, const char *const *args)
{
	struct timeval limit = {.tv_sec = QEMU_WAITS};
	struct gw_error error;
	int ends[2], ret;

	(void)snprintf(vm->path, sizeof(vm->path), "/dev/shm/godwit-test-%d", (int)getpid());
	keep(vm->path);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		return -1;
	vm->pid = fork();
	if (vm->pid == 0) {
		close(ends[0]);
		run_qemu(vm, ends[1], accel, args);
	}
	close(ends[1]);
	vm->qmp = ends[0];
	setsockopt(vm->qmp, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	ret = wait_for(vm->qmp, "QMP") &&
	      qemu_ask(vm, "{'execute':'qmp_capabilities'}\n", "return");
	ret = ret && has_written(vm) ? gw_ram_open(&vm->ram, vm->path, vm->pid, &error) : -1;
	unlink(vm->path); /* both have it open: nothing stays behind */
	if (ret < 0)
		(void)fprintf(stderr, "QEMU did not start\n");
	return ret;
}

void qemu_end(struct qemu *vm)
{
	kill(vm->pid, SIGKILL);
	waitpid(vm->pid, NULL, 0);
	gw_ram_close(&vm->ram);
	close(vm->qmp);
	unlink(vm->path);
}
