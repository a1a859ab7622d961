/* SPDX-License-Identifier: MIT */
/* A control socket that does not speak QMP, or lies, or says too much. */
#include "tests/live/vm/rig.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define GREETING                                                                                   \
	"{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2, \"micro\": 0}}}}\n"
#define AGREED "{\"return\": {}, \"id\": 1}\n"

struct server {
	const char *first;  /* sent on connect */
	const char *second; /* sent after the first command */
	const char *third;  /* sent after the second, `times` times */
	unsigned times;
	bool hangs_up; /* after that */
};

static void put(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t sent = send(fd, text, left, MSG_NOSIGNAL);

		if (sent <= 0)
			_exit(0);
		text += sent;
		left -= (size_t)sent;
	}
}

static void serve(int listener, const struct server *s)
{
	char bytes[4096];
	int fd = accept(listener, NULL, NULL);

	put(fd, s->first);
	if (s->second && read(fd, bytes, sizeof(bytes)) > 0)
		put(fd, s->second);
	if (s->third && read(fd, bytes, sizeof(bytes)) > 0)
		for (unsigned i = 0; i < s->times; i++)
			put(fd, s->third);
	while (!s->hangs_up && read(fd, bytes, sizeof(bytes)) > 0)
		;
	_exit(0);
}

static void start_server(struct rig *rig, const struct server *s)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, rig->qmp[0], strlen(rig->qmp[0]) + 1);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	rig->pid[0] = fork();
	assert_true(rig->pid[0] >= 0);
	if (rig->pid[0] == 0)
		serve(listener, s);
	close(listener);
}

static int connect_to(struct rig *rig, struct gw_qmp **qmp, int timeout_ms)
{
	return gw_qmp_connect(qmp, rig->qmp[0], timeout_ms, &rig->error);
}

static void test_nobody_there(void **state)
{
	struct rig *rig = *state;
	struct gw_qmp *qmp;

	assert_int_equal(connect_to(rig, &qmp, 100), -ENOENT);
	assert_null(qmp);
}

static void test_silence(void **state)
{
	struct server s = {.first = ""};
	struct gw_qmp *qmp;

	start_server(*state, &s);
	assert_int_equal(connect_to(*state, &qmp, 100), -EBUSY);
}

static void test_no_qmp(void **state)
{
	static const char *const firsts[] = {"SSH-2.0-OpenSSH_9.2\n", "[]\n", "{}\n",
	                                     "{\"QMP\": 1}\n",        "\n",   "{\"return\": {}}\n"};
	struct rig *rig = *state;
	struct gw_qmp *qmp;

	for (unsigned i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
		struct server s = {.first = firsts[i]};

		start_server(rig, &s);
		assert_int_equal(connect_to(rig, &qmp, 5000), -EPROTO);
		assert_null(qmp);
		waitpid(rig->pid[0], NULL, 0);
		unlink(rig->qmp[0]);
	}
	rig->pid[0] = 0;
}

static void test_endless_line(void **state)
{
	struct server s = {.first = GREETING, .second = AGREED, .times = 4096};
	char *piece = malloc(4097);
	struct gw_qmp *qmp;
	struct rig *rig = *state;

	memset(piece, 'x', 4096);
	piece[4096] = '\0';
	s.third = piece;
	start_server(rig, &s);
	assert_done(rig, connect_to(rig, &qmp, 5000));
	assert_int_equal(gw_qmp_call(qmp, "query-status", NULL, 20000, NULL, &rig->error), -EPROTO);
	gw_qmp_close(qmp);
	free(piece);
}

static void test_flood_of_events(void **state)
{
	struct server s = {.first = GREETING,
	                   .second = AGREED,
	                   .third = "{\"event\": \"RTC_CHANGE\", \"data\": {\"offset\": 1}}\n",
	                   .times = GW_QMP_QUEUE_MAX + 10};
	struct gw_qmp *qmp;
	struct rig *rig = *state;

	start_server(rig, &s);
	assert_done(rig, connect_to(rig, &qmp, 5000));
	assert_int_equal(gw_qmp_call(qmp, "query-status", NULL, 20000, NULL, &rig->error), -EPROTO);
	gw_qmp_close(qmp);
}

/* Events in front of an answer are kept, in order, and the descriptor says so. */
static void test_events_are_kept(void **state)
{
	struct server s = {.first = GREETING,
	                   .second = AGREED,
	                   .third = "{\"event\": \"STOP\"}\n{\"event\": \"RESUME\"}\n"
	                            "{\"return\": {\"a\": 7}, \"id\": 2}\n",
	                   .times = 1};
	struct gw_qmp_message m;
	struct gw_qmp *qmp;
	json_t *result;
	struct rig *rig = *state;

	start_server(rig, &s);
	assert_done(rig, connect_to(rig, &qmp, 5000));
	assert_done(rig, gw_qmp_call(qmp, "query-status", NULL, 5000, &result, &rig->error));
	assert_int_equal(json_integer_value(json_object_get(result, "a")), 7);
	json_decref(result);
	assert_int_equal(gw_qmp_next(qmp, &m), 1);
	assert_string_equal(m.name, "STOP");
	assert_int_equal(gw_qmp_next(qmp, &m), 1);
	assert_string_equal(m.name, "RESUME");
	assert_int_equal(gw_qmp_next(qmp, &m), 0);
	gw_qmp_close(qmp);
}

static void test_refusal_has_its_words(void **state)
{
	struct server s = {.first = GREETING,
	                   .second = AGREED,
	                   .third = "{\"id\": 2, \"error\": {\"class\": \"GenericError\", "
	                            "\"desc\": \"not today\"}}\n",
	                   .times = 1};
	struct gw_qmp *qmp;
	struct rig *rig = *state;

	start_server(rig, &s);
	assert_done(rig, connect_to(rig, &qmp, 5000));
	assert_int_equal(gw_qmp_call(qmp, "query-status", NULL, 5000, NULL, &rig->error),
	                 -EREMOTEIO);
	assert_non_null(strstr(rig->error.text, "not today"));
	gw_qmp_close(qmp);
}

static void test_hangs_up(void **state)
{
	struct server s = {.first = GREETING,
	                   .second = AGREED,
	                   .third = "{\"event\": \"STOP\"",
	                   .times = 1,
	                   .hangs_up = true};
	struct gw_qmp *qmp;
	struct rig *rig = *state;

	start_server(rig, &s);
	assert_done(rig, connect_to(rig, &qmp, 5000));
	assert_int_equal(gw_qmp_call(qmp, "query-status", NULL, 5000, NULL, &rig->error),
	                 -ECONNRESET);
	gw_qmp_close(qmp);
}

#define qmp_test(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        qmp_test(test_nobody_there),
	        qmp_test(test_silence),
	        qmp_test(test_no_qmp),
	        qmp_test(test_endless_line),
	        qmp_test(test_flood_of_events),
	        qmp_test(test_events_are_kept),
	        qmp_test(test_refusal_has_its_words),
	        qmp_test(test_hangs_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
