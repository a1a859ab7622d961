/* SPDX-License-Identifier: MIT */
/* What a caged program cannot do, and that it never outlives whoever started it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "live/vm/cage.h"
#include "live/vm/launch.h"
#include "tests/live/keeper.h"

#define PAGE 4096

struct place {
	char dir[64], image[128], file[128];
	int log, listener, image_fd;
	char port[16];
	char *argv[5];
	struct gw_cage_start start;
	unsigned taps[1];
};

static void put_file(const char *path, char letter)
{
	char page[PAGE];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	memset(page, letter, sizeof(page));
	assert_int_equal(write(fd, page, sizeof(page)), sizeof(page));
	close(fd);
}

static bool holds(const char *path, char letter)
{
	char page[PAGE] = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool same = read(fd, page, sizeof(page)) == (ssize_t)sizeof(page);

	close(fd);
	for (size_t i = 0; i < sizeof(page); i++)
		same = same && page[i] == letter;
	return same;
}

static void listen_somewhere(struct place *p)
{
	struct sockaddr_in here = {.sin_family = AF_INET,
	                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(here);

	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&here, sizeof(here)), 0);
	assert_int_equal(listen(p->listener, 4), 0);
	assert_int_equal(getsockname(p->listener, (struct sockaddr *)&here, &size), 0);
	(void)snprintf(p->port, sizeof(p->port), "%u", ntohs(here.sin_port));
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	char *program = getenv("GW_INTRUDER");

	if (!p || !program)
		return -1;
	(void)snprintf(p->dir, sizeof(p->dir), "/dev/shm/godwit-cage-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	keep(p->dir);
	(void)snprintf(p->image, sizeof(p->image), "%s/image", p->dir);
	(void)snprintf(p->file, sizeof(p->file), "%s/file", p->dir);
	put_file(p->image, 'i');
	put_file(p->file, 'f');
	listen_somewhere(p);
	p->log = memfd_create("log", MFD_CLOEXEC);
	p->image_fd = open(p->image, O_RDONLY | O_CLOEXEC);
	p->argv[0] = program;
	p->argv[1] = p->image;
	p->argv[2] = p->file;
	p->argv[3] = p->port;
	p->taps[0] = 1;
	p->start = (struct gw_cage_start){.program = open(p->argv[0], O_RDONLY | O_CLOEXEC),
	                                  .argv = p->argv,
	                                  .log = p->log,
	                                  .taps = p->taps,
	                                  .tap_count = 1,
	                                  .image = p->image,
	                                  .image_fd = p->image_fd,
	                                  .file_bytes = 1 << 20,
	                                  .timeout_ms = 5000};
	assert_true(p->start.program >= 0);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	(void)unlink(p->image);
	(void)unlink(p->file);
	(void)rmdir(p->dir);
	close(p->log);
	close(p->listener);
	close(p->image_fd);
	close(p->start.program);
	free(p);
	return 0;
}

static void read_log(const struct place *p, char *text, size_t room)
{
	ssize_t got = pread(p->log, text, room - 1, 0);

	text[got > 0 ? got : 0] = '\0';
}

static void await_end_of_tries(const struct place *p, char *text, size_t room)
{
	for (int i = 0; i < 1000; i++) {
		read_log(p, text, room);
		if (strstr(text, "end done"))
			return;
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	fail_msg("the program did not come to its end:\n%s", text);
}

static void nothing_leaves(void **state)
{
	struct place *p = *state;
	struct gw_cage cage;
	struct gw_error error = {{0}};
	char text[4096], *line, *rest = text;

	if (gw_cage_start(&cage, &p->start, &error) < 0)
		fail_msg("%s", error.text);
	await_end_of_tries(p, text, sizeof(text));
	while ((line = strsep(&rest, "\n")) && line[0]) {
		bool may = !strncmp(line, "image-private", 13) || !strncmp(line, "file-read", 9) ||
		           !strncmp(line, "end", 3);

		if (strcmp(strrchr(line, ' '), may ? " done" : " refused") != 0)
			fail_msg("in the cage: %s", line);
	}
	gw_cage_end(&cage);
	assert_true(holds(p->image, 'i'));
	assert_true(holds(p->file, 'f'));
	assert_int_equal(accept4(p->listener, NULL, NULL, SOCK_CLOEXEC), -1);
}

static void children_end_with_it(void **state)
{
	struct place *p = *state;
	struct gw_cage cage;
	char text[4096], path[64];
	pid_t child = 0;
	FILE *f;

	assert_int_equal(gw_cage_start(&cage, &p->start, NULL), 0);
	await_end_of_tries(p, text, sizeof(text));
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)cage.pid,
	               (int)cage.pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &child), 1);
	(void)fclose(f);
	gw_cage_end(&cage);
	assert_int_equal(cage.pid, 0);
	assert_int_equal(kill(child, 0), -1);
	assert_int_equal(errno, ESRCH);
}

/* Its parent is killed: as it waits to begin, or when it has begun. */
static void ends_with_its_parent(void **state)
{
	struct place *p = *state;

	for (unsigned us = 0; us < 12000; us += 400) {
		int line[2], pidfd;
		struct gw_cage cage = {0};
		pid_t parent;

		assert_int_equal(pipe2(line, O_CLOEXEC), 0);
		parent = fork();
		if (parent == 0) {
			if (gw_cage_start(&cage, &p->start, NULL) < 0)
				_exit(1);
			(void)!write(line[1], &cage.pid, sizeof(cage.pid));
			for (;;)
				pause();
		}
		close(line[1]);
		nanosleep(&(struct timespec){.tv_nsec = us * 1000L}, NULL);
		if (us > 8000) {
			assert_int_equal(read(line[0], &cage.pid, sizeof(cage.pid)),
			                 sizeof(cage.pid));
			pidfd = pidfd_open(cage.pid, 0);
			assert_true(pidfd >= 0);
		} else {
			pidfd = -1;
		}
		kill(parent, SIGKILL);
		waitpid(parent, NULL, 0);
		/* Every copy of the line is closed when everyone is gone. */
		assert_int_equal(poll(&(struct pollfd){.fd = line[0], .events = POLLIN}, 1, 5000),
		                 1);
		if (pidfd >= 0) {
			assert_true(gw_process_gone(pidfd, 5000));
			close(pidfd);
		}
		close(line[0]);
	}
}

static void *start_and_return(void *arg)
{
	struct gw_cage *cage = ((void **)arg)[1];

	(void)gw_cage_start(cage, ((void **)arg)[0], NULL);
	return NULL;
}

static void ends_with_the_thread(void **state)
{
	struct place *p = *state;
	struct gw_cage cage = {0};
	void *arg[2] = {&p->start, &cage};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, start_and_return, arg), 0);
	pthread_join(thread, NULL);
	assert_true(cage.pid > 0);
	assert_true(gw_process_gone(cage.pidfd, 5000));
	gw_cage_end(&cage);
}

static void a_file_cannot_grow(void **state)
{
	struct place *p = *state;
	struct gw_cage cage;
	char path[64], line[256];
	bool found = false;
	FILE *f;

	assert_int_equal(gw_cage_start(&cage, &p->start, NULL), 0);
	(void)snprintf(path, sizeof(path), "/proc/%d/limits", (int)cage.pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		found = found || (!strncmp(line, "Max file size", 13) && strstr(line, "1048576 "));
	if (f)
		(void)fclose(f);
	gw_cage_end(&cage);
	assert_true(found);
}

static void a_program_that_ends(void **state)
{
	struct place *p = *state;
	struct gw_cage cage;
	struct gw_error error = {{0}};

	p->argv[3] = NULL;
	assert_int_equal(gw_cage_start(&cage, &p->start, &error), -ECHILD);
	assert_string_equal(error.text, "it ended as it started");
	assert_int_equal(cage.pid, 0);
}

/* Nobody wants it any more, or it takes too long: however it hangs, the caller does not. */
static void a_start_that_hangs(void **state)
{
	struct place *p = *state;
	struct gw_cage cage;
	struct gw_error error = {{0}};
	int bell = eventfd(1, EFD_CLOEXEC);

	p->argv[0] = (char *)"/bin/sleep"; /* it never opens the image */
	p->argv[1] = (char *)"60";
	p->argv[2] = NULL;
	close(p->start.program);
	p->start.program = open(p->argv[0], O_RDONLY | O_CLOEXEC);
	p->start.timeout_ms = 200;
	assert_int_equal(gw_cage_start(&cage, &p->start, &error), -ETIMEDOUT);
	assert_int_equal(cage.pid, 0);
	p->start.timeout_ms = 60000;
	p->start.cancel = bell;
	assert_int_equal(gw_cage_start(&cage, &p->start, &error), -ECANCELED);
	assert_int_equal(cage.pid, 0);
	close(bell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(nothing_leaves, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(children_end_with_it, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(ends_with_its_parent, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(ends_with_the_thread, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(a_file_cannot_grow, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(a_program_that_ends, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(a_start_that_hangs, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
