/* SPDX-License-Identifier: MIT */
#include "live/vm/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/cleanup.h"
#include "live/vm/launch.h"

#define SETUP_MS       5000 /* a command of a set-up phase; QEMU answers in 1 ms when healthy */
#define QUIT_MS        3000
#define START_MS       30000
#define GREETING_MS    2000
#define CLOSE_MS       500
#define RETRY_NS       2000000    /* between two looks at a migration that is being cancelled */
#define LINGER_NS      1000000000 /* from end of file on QMP to "the connection is broken" */
#define BANDWIDTH_MAX  1000000000000LL
#define BANDWIDTH_QEMU 134217728LL /* QEMU's default */
#define QUEUE_MAX      32

enum request { IDLE, STOPPING, SAVING, LOADING, CONTINUING };

struct qemu {
	struct gw_vm vm; /* first: the kinds cast */
	struct gw_qmp *qmp;
	int epoll, pidfd, timer;
	int stream; /* our hold on the socket that QEMU saves to or loads from */
	enum request request;
	uint64_t id;      /* of the command whose answer decides the request */
	uint64_t fd_id;   /* of getfd before it */
	uint64_t why_id;  /* of query-migrate, asked for the reason of a failure */
	uint64_t look_id; /* of query-migrate or query-status during a rollback */
	bool migrating;   /* QEMU is in an outgoing migration */
	bool saved;       /* a save ended, well or badly: QEMU may be in postmigrate */
	bool prepared;    /* capabilities are on */
	bool dead, cut;   /* the process is gone; the connection is gone */
	bool cut_told;
	int64_t cut_at;      /* ms, monotonic */
	long long bandwidth; /* as found */
	char log_path[256];
	struct gw_vm_event queue[QUEUE_MAX];
	unsigned queued;
};

static struct qemu *of(struct gw_vm *vm)
{
	return (struct qemu *)vm;
}

struct gw_qmp *gw_qemu_qmp(struct gw_vm *vm)
{
	return of(vm)->qmp;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void arm(struct qemu *q, long ns)
{
	struct itimerspec at = {.it_value = {ns / 1000000000, ns % 1000000000}};

	(void)timerfd_settime(q->timer, 0, &at, NULL);
}

__attribute__((format(printf, 3, 4))) static void tell(struct qemu *q, enum gw_vm_event_kind kind,
                                                       const char *format, ...)
{
	struct gw_vm_event *event = &q->queue[q->queued];
	va_list args;

	if (q->queued == QUEUE_MAX) /* nobody reads; the newest is dropped */
		return;
	event->kind = kind;
	va_start(args, format);
	(void)vsnprintf(event->text, sizeof(event->text), format, args);
	va_end(args);
	q->queued++;
	arm(q, 1); /* makes the descriptor readable */
}

static bool pop(struct qemu *q, struct gw_vm_event *event)
{
	if (q->queued == 0)
		return false;
	*event = q->queue[0];
	memmove(q->queue, q->queue + 1, --q->queued * sizeof(q->queue[0]));
	return true;
}

/*
 * QEMU writes device state with its big lock held: if nobody reads, it answers no command, not even
 * migrate_cancel. Shutting the socket down wakes it.
 */
static void cut_stream(struct qemu *q)
{
	if (q->stream >= 0) {
		(void)shutdown(q->stream, SHUT_RDWR);
		close(q->stream);
	}
	q->stream = -1;
}

static void refused(struct qemu *q, const char *why)
{
	cut_stream(q); /* the other end must see it end */
	q->request = IDLE;
	tell(q, GW_VM_REFUSED, "%s", why);
}

/* --- answers and events of QEMU ------------------------------------------------------------- */

static void look(struct qemu *q, const char *command)
{
	(void)gw_qmp_send(q->qmp, command, NULL, -1, &q->look_id, NULL);
}

static void send_cont(struct qemu *q)
{
	if (q->vm.paused) {
		q->request = IDLE;
		tell(q, GW_VM_RUNNING, "stays paused, as it was");
	} else {
		(void)gw_qmp_send(q->qmp, "cont", NULL, -1, &q->id, NULL);
	}
}

/*
 * A rollback after save: cancel if it still runs, look until it has ended, look until QEMU has
 * left finish-migrate (in which it refuses cont), then cont.
 */
static void on_look(struct qemu *q, const struct gw_qmp_message *m)
{
	const char *status = json_string_value(json_object_get(m->data, "status"));
	bool over = !status || strcmp(status, "completed") == 0 || strcmp(status, "failed") == 0 ||
	            strcmp(status, "cancelled") == 0 || strcmp(status, "none") == 0;

	q->look_id = 0;
	if (q->request != CONTINUING)
		return;
	if (q->migrating && over) {
		q->migrating = false;
		look(q, "query-status");
	} else if (q->migrating || (status && strcmp(status, "finish-migrate") == 0)) {
		arm(q, RETRY_NS);
	} else {
		send_cont(q);
	}
}

static void on_timer(struct qemu *q)
{
	uint64_t ticks;

	if (read(q->timer, &ticks, sizeof(ticks)) < 0)
		return;
	if (q->request == CONTINUING && q->saved && q->id == 0 && q->look_id == 0 && !q->cut)
		look(q, q->migrating ? "query-migrate" : "query-status");
	if (q->cut && !q->dead && now_ms() - q->cut_at >= LINGER_NS / 1000000)
		q->cut_told = true;
	else if (q->cut && !q->dead)
		arm(q, LINGER_NS);
}

static void on_answer(struct qemu *q, const struct gw_qmp_message *m)
{
	const char *why = json_string_value(json_object_get(m->data, "error-desc"));

	if (m->id == q->look_id && q->look_id) {
		on_look(q, m);
	} else if (m->id == q->why_id && q->why_id) {
		q->why_id = 0;
		refused(q, why ? why : "QEMU could not save the device state.");
	} else if (m->id == q->id && q->request == STOPPING) {
		q->request = IDLE;
		tell(q, GW_VM_STOPPED, "stopped");
	} else if (m->id == q->id && q->request == CONTINUING) {
		q->request = IDLE;
		tell(q, GW_VM_RUNNING, "running");
	}
}

static void on_error(struct qemu *q, const struct gw_qmp_message *m)
{
	if (m->id == q->look_id && q->look_id) {
		q->look_id = 0;
		if (q->request == CONTINUING)
			arm(q, RETRY_NS);
		return;
	}
	if (m->id != q->id || q->id == 0 || q->request == IDLE)
		return;
	if (q->request == SAVING)
		q->migrating = false;
	refused(q, m->text);
}

static void on_migration(struct qemu *q, const char *status)
{
	char last[200];

	if (q->stream >= 0 && strcmp(status, "completed") == 0) {
		close(q->stream); /* the other end must see the end of file */
		q->stream = -1;
	}
	if (q->request == SAVING && strcmp(status, "completed") == 0) {
		q->migrating = false;
		q->request = IDLE;
		tell(q, GW_VM_SAVED, "device state saved");
	} else if (q->request == SAVING && strcmp(status, "cancelled") == 0) {
		q->migrating = false;
		refused(q, "Saving the device state was cancelled.");
	} else if (q->request == SAVING && strcmp(status, "failed") == 0) {
		q->migrating = false;
		(void)gw_qmp_send(q->qmp, "query-migrate", NULL, -1, &q->why_id, NULL);
	} else if (q->request == LOADING && strcmp(status, "completed") == 0) {
		q->request = IDLE;
		tell(q, GW_VM_LOADED, "device state loaded");
	} else if (q->request == LOADING && strcmp(status, "failed") == 0) {
		gw_log_tail(q->log_path, last, sizeof(last));
		refused(q, last[0] ? last : "QEMU could not load the device state.");
	}
}

/*
 * Nothing can go wrong with a `cont` any more when QEMU says RESUME. Its answer may come much
 * later: a vCPU that takes an interrupt first waits for missing pages with QEMU's big lock held.
 */
static void on_resume(struct qemu *q)
{
	bool ours = q->request == CONTINUING;

	if (ours && !q->id)
		return; /* ours is still to come */
	if (ours)
		q->request = IDLE;
	tell(q, GW_VM_RUNNING, ours ? "running" : "resumed by someone else");
}

static void on_event(struct qemu *q, const struct gw_qmp_message *m)
{
	const char *status = json_string_value(json_object_get(m->data, "status"));
	const char *reason = json_string_value(json_object_get(m->data, "reason"));

	if (strcmp(m->name, "MIGRATION") == 0 && status)
		on_migration(q, status);
	else if (strcmp(m->name, "SHUTDOWN") == 0)
		tell(q, GW_VM_SHUTDOWN, "shut down (%s)", reason ? reason : "no reason given");
	else if (strcmp(m->name, "RESET") == 0)
		tell(q, GW_VM_RESET, "reset (%s)", reason ? reason : "no reason given");
	else if (strcmp(m->name, "GUEST_PANICKED") == 0)
		tell(q, GW_VM_PANICKED, "the guest panicked");
	else if (strcmp(m->name, "STOP") == 0 && q->request != STOPPING && q->request != SAVING)
		tell(q, GW_VM_STOPPED, "paused by someone else");
	else if (strcmp(m->name, "RESUME") == 0)
		on_resume(q);
}

static void on_death(struct qemu *q)
{
	char last[180];

	q->dead = true;
	cut_stream(q);
	gw_log_tail(q->log_path, last, sizeof(last));
	/*
	 * A `cont` that was not answered may have been carried out, and what was saved may be the
	 * whole state: death alone says nothing.
	 */
	if (q->request == STOPPING)
		refused(q, "QEMU ended before it had answered.");
	else if (q->request == LOADING)
		refused(q, last[0] ? last : "QEMU ended while it loaded the device state.");
	(void)epoll_ctl(q->epoll, EPOLL_CTL_DEL, q->pidfd, NULL);
	tell(q, GW_VM_DIED, "QEMU (pid %d) is gone%s%s", (int)q->vm.pid, last[0] ? ": " : "", last);
}

/* End of file on QMP: death follows within moments, or the connection alone is broken. */
static void on_cut(struct qemu *q)
{
	q->cut = true;
	q->cut_at = now_ms();
	(void)epoll_ctl(q->epoll, EPOLL_CTL_DEL, gw_qmp_fd(q->qmp), NULL);
	arm(q, LINGER_NS);
}

static void on_message(struct qemu *q, struct gw_qmp_message *m)
{
	if (m->kind == GW_QMP_ANSWER)
		on_answer(q, m);
	else if (m->kind == GW_QMP_ERROR)
		on_error(q, m);
	else
		on_event(q, m);
	gw_qmp_message_clear(m);
}

static int qemu_next(struct gw_vm *vm, struct gw_vm_event *event)
{
	struct qemu *q = of(vm);
	struct gw_qmp_message m;
	int rc;

	memset(event, 0, sizeof(*event));
	on_timer(q);
	for (;;) {
		if (pop(q, event)) {
			if (q->queued)
				arm(q, 1);
			return 1;
		}
		if (q->cut_told)
			return -ECONNRESET;
		rc = q->cut ? 0 : gw_qmp_next(q->qmp, &m);
		if (rc > 0) {
			on_message(q, &m);
			continue;
		}
		if (rc < 0)
			on_cut(q);
		if (q->dead || !gw_process_gone(q->pidfd, 0))
			return 0;
		/* Its last words may have come between the two looks. */
		if (!q->cut && gw_qmp_next(q->qmp, &m) > 0)
			on_message(q, &m);
		else
			on_death(q);
	}
}

static int qemu_fd(struct gw_vm *vm)
{
	return of(vm)->epoll;
}

/* --- requests ------------------------------------------------------------------------------- */

/* It alone carries out what QMP asks; the other threads of a killed QEMU may take longer to end. */
static bool main_thread_ended(pid_t pid)
{
	char path[64], text[256], *state;
	_cleanup_fclose_ FILE *file = NULL;
	size_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	text[n] = '\0';
	state = strrchr(text, ')'); /* "PID (name) S ..." */
	return !state || !state[1] || state[2] == 'Z' || state[2] == 'X';
}

static int begin(struct qemu *q, enum request request, struct gw_error *error)
{
	/* Also where its end has not been read yet: what is asked of the dead was not carried out.
	 */
	if (q->dead || main_thread_ended(q->vm.pid))
		return gw_fail(error, ESRCH, "QEMU of %s is gone.", q->vm.name);
	if (q->request != IDLE)
		return gw_fail(error, EBUSY, "QEMU of %s is still busy with another request.",
		               q->vm.name);
	q->request = request;
	q->id = 0;
	return 0;
}

static int qemu_stop(struct gw_vm *vm, struct gw_error *error)
{
	struct qemu *q = of(vm);
	int rc = begin(q, STOPPING, error);

	if (rc == 0)
		rc = gw_qmp_send(q->qmp, "stop", NULL, -1, &q->id, error);
	if (rc < 0 && rc != -EBUSY)
		q->request = IDLE;
	return rc;
}

/* Hands over the descriptor and names it in one go: no round trip between the two. */
static int hand_over(struct qemu *q, const char *command, int fd, struct gw_error *error)
{
	int rc = gw_qmp_send(q->qmp, "getfd", json_pack("{s:s}", "fdname", "godwit"), fd, &q->fd_id,
	                     error);

	if (rc == 0)
		rc = gw_qmp_send(q->qmp, command, json_pack("{s:s}", "uri", "fd:godwit"), -1,
		                 &q->id, error);
	if (rc < 0)
		q->request = IDLE;
	if (q->stream >= 0)
		close(q->stream);
	q->stream = rc == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	return rc;
}

static int qemu_save(struct gw_vm *vm, int fd, struct gw_error *error)
{
	_cleanup_close_ int owned = fd;
	struct qemu *q = of(vm);
	int rc = q->prepared ? begin(q, SAVING, error)
	                     : gw_fail(error, EINVAL, "The save of %s was not prepared.", vm->name);

	if (rc < 0)
		return rc;
	rc = hand_over(q, "migrate", owned, error);
	q->migrating = q->saved = rc == 0;
	return rc;
}

static int qemu_load(struct gw_vm *vm, int fd, struct gw_error *error)
{
	_cleanup_close_ int owned = fd;
	struct qemu *q = of(vm);
	int rc = begin(q, LOADING, error);

	return rc < 0 ? rc : hand_over(q, "migrate-incoming", owned, error);
}

static int qemu_cont(struct gw_vm *vm, struct gw_error *error)
{
	struct qemu *q = of(vm);
	int rc;

	if (q->request == STOPPING || q->request == SAVING || q->why_id)
		q->request = IDLE; /* rollback: its outcome no longer matters */
	q->why_id = 0;
	rc = begin(q, CONTINUING, error);
	if (rc < 0)
		return rc;
	if (q->migrating)
		cut_stream(q);
	if (q->migrating)
		rc = gw_qmp_send(q->qmp, "migrate_cancel", NULL, -1, NULL, error);
	if (rc == 0 && q->saved)
		look(q, q->migrating ? "query-migrate" : "query-status");
	else if (rc == 0)
		send_cont(q);
	else
		q->request = IDLE;
	return rc;
}

static int qemu_quit(struct gw_vm *vm, struct gw_error *error)
{
	struct qemu *q = of(vm);

	cut_stream(q);
	if (!q->cut && !q->dead && gw_qmp_send(q->qmp, "quit", NULL, -1, NULL, NULL) == 0)
		(void)gw_process_gone(q->pidfd, QUIT_MS);
	return gw_process_end(q->pidfd, error);
}

/* --- set-up --------------------------------------------------------------------------------- */

static int capabilities(struct qemu *q, bool on, bool destination, int timeout_ms,
                        struct gw_error *error)
{
	static const char *const names[] = {"x-ignore-shared", "return-path", "events",
	                                    "late-block-activate"};
	unsigned count = on && !destination ? 3 : 4;
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(list,
		                      json_pack("{s:s, s:b}", "capability", names[i], "state", on));
	return gw_qmp_call(q->qmp, "migrate-set-capabilities",
	                   json_pack("{s:o}", "capabilities", list), timeout_ms, NULL, error);
}

static int bandwidth(struct qemu *q, long long bytes_per_s, int timeout_ms, struct gw_error *error)
{
	return gw_qmp_call(q->qmp, "migrate-set-parameters",
	                   json_pack("{s:I}", "max-bandwidth", (json_int_t)bytes_per_s), timeout_ms,
	                   NULL, error);
}

int gw_qemu_status(struct gw_vm *vm, char *status, size_t room, struct gw_error *error)
{
	json_t *answer;
	const char *text;
	int rc = gw_qmp_call(of(vm)->qmp, "query-status", NULL, SETUP_MS, &answer, error);

	if (rc < 0)
		return rc;
	text = json_string_value(json_object_get(answer, "status"));
	(void)snprintf(status, room, "%s", text ? text : "");
	json_decref(answer);
	return 0;
}

static int qemu_prepare_save(struct gw_vm *vm, struct gw_error *error)
{
	struct qemu *q = of(vm);
	json_t *parameters;
	char status[32];
	int rc = gw_qemu_status(vm, status, sizeof(status), error);

	if (rc < 0)
		return rc;
	if (strcmp(status, "postmigrate") == 0)
		return gw_fail(
		        error, EBUSY,
		        "%s was paused by an earlier migration: resume it before it moves again.",
		        vm->name);
	if (strcmp(status, "suspended") == 0)
		return gw_fail(error, EBUSY,
		               "The guest of %s sleeps (suspended to RAM): wake it first.",
		               vm->name);
	rc = gw_qmp_call(q->qmp, "query-migrate-parameters", NULL, SETUP_MS, &parameters, error);
	if (rc < 0)
		return rc;
	q->bandwidth = json_integer_value(json_object_get(parameters, "max-bandwidth"));
	json_decref(parameters);
	if (q->bandwidth <= 0 || q->bandwidth == BANDWIDTH_MAX)
		q->bandwidth = BANDWIDTH_QEMU;
	rc = capabilities(q, true, false, SETUP_MS, error);
	if (rc == 0)
		rc = bandwidth(q, BANDWIDTH_MAX, SETUP_MS, error);
	q->prepared = rc == 0;
	return rc;
}

static void qemu_close(struct gw_vm *vm)
{
	struct qemu *q = of(vm);

	if (q->qmp && q->prepared && !q->cut && q->pidfd >= 0 && !gw_process_gone(q->pidfd, 0)) {
		(void)capabilities(q, false, false, CLOSE_MS, NULL);
		if (q->bandwidth)
			(void)bandwidth(q, q->bandwidth, CLOSE_MS, NULL);
	}
	if (q->stream >= 0)
		close(q->stream);
	gw_qmp_close(q->qmp);
	if (q->pidfd >= 0)
		close(q->pidfd);
	if (q->timer >= 0)
		close(q->timer);
	if (q->epoll >= 0)
		close(q->epoll);
	free(vm->vcpu_threads);
	free(q);
}

static const struct gw_vm_kind qemu_kind = {
        .name = "qemu",
        .fd = qemu_fd,
        .next = qemu_next,
        .prepare_save = qemu_prepare_save,
        .stop = qemu_stop,
        .save = qemu_save,
        .load = qemu_load,
        .cont = qemu_cont,
        .quit = qemu_quit,
        .close = qemu_close,
};

static struct qemu *make(const char *name, const char *log_path)
{
	struct qemu *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->vm.kind = &qemu_kind;
	q->epoll = q->pidfd = q->timer = q->stream = -1;
	(void)snprintf(q->vm.name, sizeof(q->vm.name), "%s", name);
	(void)snprintf(q->log_path, sizeof(q->log_path), "%s", log_path ? log_path : "");
	return q;
}

/* Opens what gw_vm_fd() consists of; the pidfd may already be there. */
static int watch(struct qemu *q, struct gw_error *error)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (q->pidfd < 0)
		q->pidfd = pidfd_open(q->vm.pid, 0);
	if (q->pidfd < 0)
		return gw_fail(error, errno, "There is no process %d.", (int)q->vm.pid);
	q->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	q->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (q->timer < 0 || q->epoll < 0 ||
	    epoll_ctl(q->epoll, EPOLL_CTL_ADD, gw_qmp_fd(q->qmp), &event) < 0 ||
	    epoll_ctl(q->epoll, EPOLL_CTL_ADD, q->timer, &event) < 0 ||
	    epoll_ctl(q->epoll, EPOLL_CTL_ADD, q->pidfd, &event) < 0)
		return gw_fail(error, errno, "Cannot watch QEMU: %s.", strerror(errno));
	return 0;
}

static int learn_vcpus(struct qemu *q, struct gw_error *error)
{
	json_t *cpus, *cpu;
	size_t i, count;
	int rc = gw_qmp_call(q->qmp, "query-cpus-fast", NULL, SETUP_MS, &cpus, error);

	if (rc < 0)
		return rc;
	count = json_array_size(cpus);
	q->vm.vcpu_threads = calloc(count ? count : 1, sizeof(pid_t));
	if (!q->vm.vcpu_threads)
		count = 0;
	json_array_foreach(cpus, i, cpu) if (i < count) q->vm.vcpu_threads[i] =
	        (pid_t)json_integer_value(json_object_get(cpu, "thread-id"));
	q->vm.vcpus = (unsigned)count;
	json_decref(cpus);
	return 0;
}

static int get_property(struct qemu *q, const char *path, const char *property, json_t **value)
{
	return gw_qmp_call(q->qmp, "qom-get",
	                   json_pack("{s:s, s:s}", "path", path, "property", property), SETUP_MS,
	                   value, NULL);
}

static int ask_ram_path(struct qemu *q, struct gw_error *error)
{
	json_t *backend = NULL, *path = NULL;
	int rc = get_property(q, "/machine", "memory-backend", &backend);

	if (rc == 0 && json_string_length(backend))
		rc = get_property(q, json_string_value(backend), "mem-path", &path);
	else
		rc = -ENOENT;
	if (rc == 0)
		(void)snprintf(q->vm.ram_path, sizeof(q->vm.ram_path), "%s",
		               json_string_value(path) ? json_string_value(path) : "");
	json_decref(backend);
	json_decref(path);
	if (rc < 0 || q->vm.ram_path[0] != '/')
		return gw_fail(
		        error, ENOTSUP,
		        "The RAM of %s is not in a named shared file: start it with "
		        "\"godwit run\", or with -object memory-backend-file,...,share=on and "
		        "-machine memory-backend=.",
		        q->vm.name);
	return 0;
}

static int learn_ram(struct qemu *q, const char *path, struct gw_error *error)
{
	struct stat st;
	int rc = 0;

	if (path)
		(void)snprintf(q->vm.ram_path, sizeof(q->vm.ram_path), "%s", path);
	else
		rc = ask_ram_path(q, error);
	if (rc < 0)
		return rc;
	if (stat(q->vm.ram_path, &st) < 0 || !S_ISREG(st.st_mode))
		return gw_fail(
		        error, ENOENT,
		        "The RAM file %s of %s cannot be opened by its name: it was deleted, or "
		        "is of another mount namespace.",
		        q->vm.ram_path, q->vm.name);
	q->vm.ram_bytes = (uint64_t)st.st_size;
	return 0;
}

static int learn(struct qemu *q, const char *ram_path, struct gw_error *error)
{
	char status[32];
	json_t *migration;
	const char *text;
	int rc = gw_qemu_status(&q->vm, status, sizeof(status), error);

	q->vm.paused = strcmp(status, "running") != 0;
	if (rc == 0)
		rc = gw_qmp_call(q->qmp, "query-migrate", NULL, SETUP_MS, &migration, error);
	if (rc < 0)
		return rc;
	text = json_string_value(json_object_get(migration, "status"));
	q->migrating = text && strcmp(status, "inmigrate") != 0 && strcmp(text, "none") != 0 &&
	               strcmp(text, "completed") != 0 && strcmp(text, "failed") != 0 &&
	               strcmp(text, "cancelled") != 0;
	q->saved = q->migrating || strcmp(status, "postmigrate") == 0 ||
	           strcmp(status, "finish-migrate") == 0;
	json_decref(migration);
	rc = learn_vcpus(q, error);
	return rc < 0 ? rc : learn_ram(q, ram_path, error);
}

int gw_qemu_open(struct gw_vm **vm, const struct gw_qemu_where *where, struct gw_error *error)
{
	struct qemu *q = make(where->name, where->log_path);
	int rc;

	*vm = NULL;
	if (!q)
		return gw_fail(error, ENOMEM, "Out of memory.");
	rc = gw_qmp_connect(&q->qmp, where->qmp_path, GREETING_MS, error);
	if (rc == 0) {
		q->vm.pid = where->pid ? where->pid : gw_qmp_peer(q->qmp);
		rc = watch(q, error);
	}
	if (rc == 0)
		rc = learn(q, where->ram_path, error);
	if (rc < 0)
		qemu_close(&q->vm);
	else
		*vm = &q->vm;
	return rc;
}

/* What the bandwidth was before is known to nobody any more. */
void gw_qemu_take_over(struct gw_vm *vm)
{
	of(vm)->prepared = true;
	of(vm)->bandwidth = BANDWIDTH_QEMU;
}

int gw_qemu_empty_ram(const char *ram_path, struct gw_error *error)
{
	_cleanup_close_ int fd = open(ram_path, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return gw_fail(error, errno, "Cannot open the RAM file %s: %s.", ram_path,
		               strerror(errno));
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, st.st_size) < 0)
		return gw_fail(error, errno, "The RAM file %s cannot be emptied: %s.", ram_path,
		               strerror(errno));
	if (lseek(fd, 0, SEEK_DATA) >= 0)
		return gw_fail(error, EIO, "The RAM file %s is written to by someone.", ram_path);
	return 0;
}

/* Until the socket is there and greets, or QEMU has ended. */
static int await_qmp(struct qemu *q, const struct gw_qemu_launch *launch, struct gw_error *error)
{
	int timeout_ms = launch->timeout_ms ? launch->timeout_ms : START_MS;
	int64_t until = now_ms() + timeout_ms;
	char last[256];

	while (gw_qmp_connect(&q->qmp, launch->qmp_path, timeout_ms, error) < 0) {
		if (gw_process_gone(q->pidfd, 3)) {
			gw_log_tail(launch->log_path, last, sizeof(last));
			return gw_fail(error, ECHILD, "QEMU did not start: %s",
			               last[0] ? last : "it said nothing.");
		}
		if (now_ms() > until)
			return -ETIMEDOUT; /* connect's sentence stands */
	}
	return 0;
}

int gw_qemu_start(struct gw_vm **vm, const struct gw_qemu_launch *launch, struct gw_error *error)
{
	struct qemu *q = make(launch->name, launch->log_path);
	int rc;

	*vm = NULL;
	if (!q)
		return gw_fail(error, ENOMEM, "Out of memory.");
	rc = gw_launch(launch->argv, launch->log_path, &q->vm.pid, &q->pidfd, error);
	if (rc == 0)
		rc = await_qmp(q, launch, error);
	if (rc == 0)
		rc = watch(q, error);
	if (rc == 0)
		rc = learn(q, launch->ram_path, error);
	if (rc == 0 && launch->incoming) {
		q->vm.paused = launch->paused;
		/*
		 * Nobody says cont to a paused guest: with late-block-activate its images would
		 * stay inactive, and the next move ends QEMU 7.2 in an assertion
		 * (bdrv_inactivate_recurse).
		 */
		rc = capabilities(q, true, !launch->paused, SETUP_MS, error);
		q->prepared = rc == 0;
	}
	if (rc == 0 && launch->incoming)
		rc = gw_qemu_empty_ram(launch->ram_path, error);
	if (rc < 0) {
		if (q->pidfd >= 0)
			(void)gw_process_end(q->pidfd, NULL);
		qemu_close(&q->vm);
		return rc;
	}
	*vm = &q->vm;
	return 0;
}

int gw_qemu_adopt(struct gw_vm **vm, const struct gw_qemu_adopt *adopt, struct gw_error *error)
{
	struct qemu *q = make(adopt->name, adopt->log_path);
	int rc;

	*vm = NULL;
	if (!q) {
		close(adopt->control);
		return gw_fail(error, ENOMEM, "Out of memory.");
	}
	q->vm.pid = adopt->pid;
	rc = gw_qmp_adopt(&q->qmp, adopt->control, adopt->timeout_ms, error);
	if (rc == 0)
		rc = watch(q, error);
	if (rc == 0)
		rc = learn(q, adopt->ram_path, error);
	if (rc == 0)
		rc = capabilities(q, true, true, SETUP_MS, error);
	if (rc < 0) {
		qemu_close(&q->vm);
		return rc;
	}
	q->vm.paused = false;
	*vm = &q->vm;
	return 0;
}
