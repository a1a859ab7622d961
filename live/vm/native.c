/* SPDX-License-Identifier: MIT */
#include "live/vm/native.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#define EVENTS          32u
#define INPUT_BYTES     8192u
#define ANSWER_MS       60000
#define POLITE_MS       2000
#define SPEC_MAX_BYTES  65536u
#define SPEC_OTHER_KEYS 3u /* schema, kind, name */

struct native {
	struct gw_vm vm;
	int control, pidfd, epoll;
	int wake; /* readable while events are queued that came in during a command */
	bool ended, died;
	bool saving, cont_wanted; /* a rollback: the guest takes `cont` only after the save's end */
	char input[INPUT_BYTES];
	size_t used;
	struct gw_vm_event events[EVENTS];
	unsigned first, count;
};

static struct native *native_of(struct gw_vm *vm)
{
	return (struct native *)vm;
}

/* ---- events ---- */

static void push(struct native *native, enum gw_vm_event_kind kind, const char *text)
{
	struct gw_vm_event *event = &native->events[(native->first + native->count) % EVENTS];

	event->kind = kind;
	(void)snprintf(event->text, sizeof(event->text), "%s", text);
	native->count++;
}

static bool pop(struct native *native, struct gw_vm_event *event)
{
	if (!native->count)
		return false;
	*event = native->events[native->first];
	native->first = (native->first + 1) % EVENTS;
	native->count--;
	return true;
}

/* The rest of the line if its first word is `word`. */
static const char *after_word(const char *line, const char *word)
{
	const size_t length = strlen(word);

	if (strncmp(line, word, length) != 0 || (line[length] && line[length] != ' '))
		return NULL;
	return line[length] ? line + length + 1 : line + length;
}

static int send_request(struct native *native, const char *request, int fd, struct gw_error *error);

/* True if the line was the end of a save that nobody wants any more. */
static bool ends_save(struct native *native, const char *line)
{
	bool wanted = native->cont_wanted;
	struct gw_error error;

	if (!native->saving || (!after_word(line, "saved") && !after_word(line, "refused")))
		return false;
	native->saving = native->cont_wanted = false;
	if (wanted && send_request(native, "cont", -1, &error))
		push(native, GW_VM_REFUSED, error.text);
	return wanted;
}

static void take_line(struct native *native, const char *line)
{
	static const struct {
		const char *word;
		enum gw_vm_event_kind kind;
	} words[] = {
	        {"stopped", GW_VM_STOPPED}, {"running", GW_VM_RUNNING},
	        {"saved", GW_VM_SAVED},     {"loaded", GW_VM_LOADED},
	        {"refused", GW_VM_REFUSED}, {"shutdown", GW_VM_SHUTDOWN},
	        {"reset", GW_VM_RESET},     {"panicked", GW_VM_PANICKED},
	        {"resumed", GW_VM_RUNNING},
	};

	if (ends_save(native, line))
		return;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const char *text = after_word(line, words[i].word);

		if (text)
			push(native, words[i].kind, text);
	}
}

/* Reads what is there. The connection ends when the guest does; the pidfd says that too. */
static int fill(struct native *native)
{
	ssize_t got;

	if (native->ended)
		return 0;
	got = recv(native->control, native->input + native->used, INPUT_BYTES - native->used,
	           MSG_DONTWAIT);
	if (got > 0) {
		native->used += (size_t)got;
		return 0;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (native->used == INPUT_BYTES)
		return -EPROTO;
	native->ended = true;
	(void)epoll_ctl(native->epoll, EPOLL_CTL_DEL, native->control, NULL);
	return 0;
}

/* Takes one whole line out of the input. */
static bool next_line(struct native *native, char line[INPUT_BYTES])
{
	const char *end = memchr(native->input, '\n', native->used);
	size_t length;

	if (!end)
		return false;
	length = (size_t)(end - native->input);
	memcpy(line, native->input, length);
	line[length] = 0;
	native->used -= length + 1;
	memmove(native->input, end + 1, native->used);
	return true;
}

static bool is_dead(const struct native *native, int wait_ms)
{
	struct pollfd poll_fd = {.fd = native->pidfd, .events = POLLIN};

	return poll(&poll_fd, 1, wait_ms) > 0;
}

/* It is our child only if we started it. */
static void reap(const struct native *native, char *text, size_t size)
{
	siginfo_t info = {0};

	(void)snprintf(text, size, "the native guest's process is gone");
	if (waitid(P_PIDFD, (id_t)native->pidfd, &info, WEXITED | WNOHANG) || !info.si_pid)
		return;
	if (info.si_code == CLD_EXITED)
		(void)snprintf(text, size, "the native guest ended with status %d", info.si_status);
	else
		(void)snprintf(text, size, "the native guest was ended by signal %d (%s)",
		               info.si_status, strsignal(info.si_status));
}

static void note_death(struct native *native)
{
	char text[128];

	if (native->died || !native->ended || !is_dead(native, 0))
		return;
	native->died = true;
	(void)epoll_ctl(native->epoll, EPOLL_CTL_DEL, native->pidfd, NULL);
	reap(native, text, sizeof(text));
	push(native, GW_VM_DIED, text);
}

/* One place stays free for the last event of all. */
static void take_lines(struct native *native)
{
	char line[INPUT_BYTES];

	while (native->count < EVENTS - 1 && next_line(native, line))
		take_line(native, line);
}

static int native_next(struct gw_vm *vm, struct gw_vm_event *event)
{
	struct native *native = native_of(vm);
	uint64_t woken;
	int result;

	if (pop(native, event))
		return 1;
	(void)!read(native->wake, &woken, sizeof(woken));
	take_lines(native);
	if (!native->count) {
		result = fill(native);
		if (result)
			return result;
		take_lines(native);
	}
	if (!native->count)
		note_death(native);
	/* What stays queued is taken before the caller polls again. */
	return pop(native, event);
}

static int native_fd(struct gw_vm *vm)
{
	return native_of(vm)->epoll;
}

/* ---- requests ---- */

/* fd < 0: none goes with it. */
static int send_request(struct native *native, const char *request, int fd, struct gw_error *error)
{
	char line[128], control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	const int length = snprintf(line, sizeof(line), "%s\n", request);
	struct iovec data = {.iov_base = line, .iov_len = (size_t)length};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

	if (length < 0 || (size_t)length >= sizeof(line))
		return gw_fail(error, EINVAL, "native guest: the request is too long");
	if (fd >= 0) {
		struct cmsghdr *header;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(int));
	}
	if (sendmsg(native->control, &message, MSG_DONTWAIT | MSG_NOSIGNAL) != length)
		return gw_fail(error, EPIPE,
		               "the native guest %s does not take \"%s\": its connection is broken",
		               native->vm.name, request);
	return 0;
}

static int native_prepare_save(struct gw_vm *vm, struct gw_error *error)
{
	(void)vm;
	(void)error;
	return 0;
}

static int native_stop(struct gw_vm *vm, struct gw_error *error)
{
	return send_request(native_of(vm), "stop", -1, error);
}

/* A guest that was paused when it was opened, or is to be, stays so. */
static int native_cont(struct gw_vm *vm, struct gw_error *error)
{
	struct native *native = native_of(vm);
	uint64_t one = 1;

	if (vm->paused) {
		push(native, GW_VM_RUNNING, "");
		(void)!write(native->wake, &one, sizeof(one));
		return 0;
	}
	if (native->saving) {
		native->cont_wanted = true;
		return 0;
	}
	return send_request(native, "cont", -1, error);
}

static int native_save(struct gw_vm *vm, int fd, struct gw_error *error)
{
	_cleanup_close_ int owned = fd;
	struct native *native = native_of(vm);
	int err = send_request(native, "save", owned, error);

	native->saving = !err;
	return err;
}

static int native_load(struct gw_vm *vm, int fd, struct gw_error *error)
{
	_cleanup_close_ int owned = fd;

	return send_request(native_of(vm), "load", owned, error);
}

static int native_quit(struct gw_vm *vm, struct gw_error *error)
{
	struct native *native = native_of(vm);

	if (send_request(native, "quit", -1, NULL) || !is_dead(native, POLITE_MS)) {
		(void)syscall(SYS_pidfd_send_signal, native->pidfd, SIGKILL, NULL, 0);
		if (!is_dead(native, POLITE_MS))
			return gw_fail(error, ETIMEDOUT,
			               "the native guest %s (pid %d) does not end", vm->name,
			               (int)vm->pid);
	}
	return 0;
}

static void native_close(struct gw_vm *vm)
{
	struct native *native = native_of(vm);
	char text[128];

	if (native->pidfd >= 0)
		reap(native, text, sizeof(text));
	gw_cleanup_close(&native->control);
	gw_cleanup_close(&native->pidfd);
	gw_cleanup_close(&native->epoll);
	gw_cleanup_close(&native->wake);
	free(vm->vcpu_threads);
	free(native);
}

const struct gw_vm_kind gw_vm_native = {
        .name = "native",
        .fd = native_fd,
        .next = native_next,
        .prepare_save = native_prepare_save,
        .stop = native_stop,
        .save = native_save,
        .load = native_load,
        .cont = native_cont,
        .quit = native_quit,
        .close = native_close,
};

/* ---- commands that wait ---- */

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static const char *answer_word(const char *request)
{
	static const char *const words[][2] = {
	        {"status", "status"}, {"config", "config"}, {"verify", "verified"},
	        {"stop", "stopped"},  {"cont", "running"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(request, words[i][0]))
			return words[i][1];
	return "ok";
}

/* 1: `line` answers the request; 0: nothing yet; events on the way are kept for gw_vm_next(). */
static int look_for_answer(struct native *native, const char *word, char line[INPUT_BYTES])
{
	const int result = fill(native);
	uint64_t one = 1;

	if (result)
		return result;
	while (next_line(native, line)) {
		if (after_word(line, word) || after_word(line, "refused"))
			return 1;
		if (native->count == EVENTS - 1)
			return -ENOBUFS;
		take_line(native, line);
		if (native->count)
			(void)!write(native->wake, &one, sizeof(one));
	}
	return native->ended ? -EPIPE : 0;
}

static int wait_for_answer(struct native *native, const char *request, char line[INPUT_BYTES],
                           struct gw_error *error)
{
	const uint64_t until = now_ms() + ANSWER_MS;
	struct pollfd poll_fd = {.fd = native->control, .events = POLLIN};
	int result = 0;

	while (!result) {
		const uint64_t now = now_ms();

		result = look_for_answer(native, answer_word(request), line);
		if (!result && now >= until)
			result = -ETIMEDOUT;
		if (!result)
			(void)poll(&poll_fd, 1, (int)(until - now));
	}
	if (result < 0)
		return gw_fail(error, -result, "the native guest %s did not answer \"%s\": %s",
		               native->vm.name, request, strerror(-result));
	return 0;
}

int gw_native_command(struct gw_vm *vm, const char *request, char *answer, size_t size,
                      struct gw_error *error)
{
	struct native *native = native_of(vm);
	char line[INPUT_BYTES] = "";
	const char *refused;
	int result = send_request(native, request, -1, error);

	if (!result)
		result = wait_for_answer(native, request, line, error);
	if (result)
		return result;
	refused = after_word(line, "refused");
	if (refused)
		return gw_fail(error, EPERM, "the native guest %s refused \"%s\": %.300s", vm->name,
		               request, refused);
	if (answer)
		(void)snprintf(answer, size, "%s", line);
	return 0;
}

/* Where the value of " key=" starts, in a line of them. */
static const char *value_of(const char *line, const char *key)
{
	const size_t length = strlen(key);

	for (const char *at = strchr(line, ' '); at; at = strchr(at + 1, ' '))
		if (!strncmp(at + 1, key, length) && at[1 + length] == '=')
			return at + 1 + length + 1;
	return "";
}

static uint64_t number_of(const char *line, const char *key)
{
	return strtoull(value_of(line, key), NULL, 10);
}

static void word_of(const char *line, const char *key, char *text, size_t size)
{
	const char *value = value_of(line, key);

	(void)snprintf(text, size, "%.*s", (int)strcspn(value, " "), value);
}

int gw_native_verify(struct gw_vm *vm, struct gw_native_verdict *verdict, struct gw_error *error)
{
	char line[INPUT_BYTES];
	const char *first;
	int result = gw_native_command(vm, "verify", line, sizeof(line), error);

	if (result)
		return result;
	verdict->compared = number_of(line, "compared");
	verdict->different = number_of(line, "different");
	first = strchr(value_of(line, "different"), ' ');
	(void)snprintf(verdict->first, sizeof(verdict->first), "%s", first ? first + 1 : "");
	return 0;
}

int gw_native_get_status(struct gw_vm *vm, struct gw_native_status *status, struct gw_error *error)
{
	char line[INPUT_BYTES], state[16];
	int result = gw_native_command(vm, "status", line, sizeof(line), error);

	if (result)
		return result;
	word_of(line, "state", state, sizeof(state));
	*status = (struct gw_native_status){
	        .writes = number_of(line, "writes"),
	        .reads = number_of(line, "reads"),
	        .errors = number_of(line, "errors"),
	        .longest_gap_ns = number_of(line, "longest_gap_ns"),
	        .running = !strcmp(state, "running"),
	        .panicked = number_of(line, "panicked") != 0,
	};
	return 0;
}

/* ---- open ---- */

static int watch(struct native *native, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(native->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int connect_control(struct native *native, const char *path, struct gw_error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	int length;

	if (!stat(path, &status) && S_ISDIR(status.st_mode))
		length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", path,
		                  GW_NATIVE_CONTROL);
	else
		length = snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (length < 0 || (size_t)length >= sizeof(address.sun_path))
		return gw_fail(error, ENAMETOOLONG,
		               "the path %.200s is too long for a socket; use a shorter folder",
		               path);
	native->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (native->control < 0 ||
	    connect(native->control, (const struct sockaddr *)&address, sizeof(address)))
		return gw_fail(error, errno, "no native guest listens on %s: %s", address.sun_path,
		               strerror(errno));
	return 0;
}

static int find_process(struct native *native, struct gw_error *error)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(native->control, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return gw_fail(error, errno, "cannot tell who runs the native guest: %s",
		               strerror(errno));
	native->vm.pid = peer.pid;
	return 0;
}

static int watch_process(struct native *native, struct gw_error *error)
{
	native->pidfd = (int)syscall(SYS_pidfd_open, native->vm.pid, 0);
	native->epoll = epoll_create1(EPOLL_CLOEXEC);
	native->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (native->pidfd < 0 || native->epoll < 0 || native->wake < 0 ||
	    watch(native, native->control) || watch(native, native->pidfd) ||
	    watch(native, native->wake))
		return gw_fail(error, errno, "cannot watch the native guest (pid %d): %s",
		               (int)native->vm.pid, strerror(errno));
	return 0;
}

static int learn(struct native *native, struct gw_error *error)
{
	struct gw_vm *vm = &native->vm;
	char line[INPUT_BYTES], state[16];
	const char *thread;
	int result = gw_native_command(vm, "status", line, sizeof(line), error);

	if (result)
		return result;
	word_of(line, "state", state, sizeof(state));
	word_of(line, "name", vm->name, sizeof(vm->name));
	vm->paused = strcmp(state, "running") != 0;
	vm->ram_bytes = number_of(line, "pages") * GW_NATIVE_PAGE_BYTES;
	vm->vcpus = (unsigned)number_of(line, "vcpus");
	if (!vm->ram_bytes || !vm->vcpus || vm->vcpus > GW_NATIVE_MAX_VCPUS)
		return gw_fail(error, EPROTO, "what listens there is no native guest");
	/* The last one in the line, for it may contain spaces. */
	(void)snprintf(vm->ram_path, sizeof(vm->ram_path), "%s", value_of(line, "ram"));
	vm->vcpu_threads = calloc(vm->vcpus, sizeof(*vm->vcpu_threads));
	if (!vm->vcpu_threads)
		return gw_fail(error, ENOMEM, "no memory for a native guest");
	thread = value_of(line, "threads");
	for (unsigned i = 0; i < vm->vcpus; i++) {
		char *end;

		vm->vcpu_threads[i] = (pid_t)strtol(thread, &end, 10);
		thread = *end == ',' ? end + 1 : end;
	}
	return 0;
}

static struct native *make(int control)
{
	struct native *native = calloc(1, sizeof(*native));

	if (!native)
		return NULL;
	native->vm.kind = &gw_vm_native;
	native->control = control;
	native->pidfd = native->epoll = native->wake = -1;
	return native;
}

int gw_native_open(struct gw_vm **vm, const char *path, struct gw_error *error)
{
	struct native *native = make(-1);
	int result;

	if (!native)
		return gw_fail(error, ENOMEM, "no memory for a native guest");
	result = connect_control(native, path, error);
	if (!result)
		result = find_process(native, error);
	if (!result)
		result = watch_process(native, error);
	if (!result)
		result = learn(native, error);
	if (result) {
		native_close(&native->vm);
		return result;
	}
	*vm = &native->vm;
	return 0;
}

int gw_native_adopt(struct gw_vm **vm, pid_t pid, int control, struct gw_error *error)
{
	struct native *native = make(control);
	int result;

	if (!native) {
		close(control);
		return gw_fail(error, ENOMEM, "no memory for a native guest");
	}
	native->vm.pid = pid;
	result = watch_process(native, error);
	if (!result)
		result = learn(native, error);
	if (result) {
		native_close(&native->vm);
		return result;
	}
	native->vm.paused = false;
	*vm = &native->vm;
	return 0;
}

/* ---- start ---- */

#define ARGUMENTS (12 + 2 * GW_NATIVE_KEYS)

struct command_line {
	char *argument[ARGUMENTS];
	char text[ARGUMENTS][64]; /* of those that had to be made */
	unsigned count;
};

static void add(struct command_line *line, const char *argument)
{
	line->argument[line->count++] = (char *)(uintptr_t)argument;
}

static void make_command_line(struct command_line *line, const struct gw_native_start *start,
                              const char *name, const struct gw_native_config *config,
                              const char *control, const char *ready)
{
	line->count = 0;
	add(line, start->binary);
	add(line, "--ram");
	add(line, start->ram_path);
	add(line, "--control");
	add(line, control);
	add(line, "--ready");
	add(line, ready);
	add(line, "--name");
	add(line, name);
	if (start->with_parent)
		add(line, "--with-parent");
	if (start->incoming || start->paused)
		add(line, start->incoming ? "--incoming" : "--paused");
	for (size_t i = 0; i < GW_NATIVE_KEYS; i++) {
		char *key = line->text[2 * i], *value = line->text[2 * i + 1];

		(void)snprintf(key, 64, "--%s", gw_native_keys[i].name);
		gw_native_text(config, &gw_native_keys[i], value);
		add(line, key);
		add(line, value);
	}
	add(line, NULL);
}

/* Between fork and exec: only what is safe there. */
__attribute__((noreturn)) static void become(const struct command_line *line, int ready)
{
	static const char sorry[] = "the native-guest binary cannot be run";
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC), i;
	sigset_t none;

	/* The guest outlives us: it must not hold our terminal or pipes open. */
	for (i = 0; nothing >= 0 && i < 3; i++)
		(void)dup2(nothing, i);
	(void)setsid();
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* An ignored signal stays ignored over exec. */
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGHUP, SIG_DFL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)syscall(SYS_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
	(void)fcntl(ready, F_SETFD, 0);
	(void)execv(line->argument[0], line->argument);
	(void)!write(ready, sorry, sizeof(sorry) - 1);
	_exit(127);
}

/* The guest writes "ready", or one sentence, and closes. */
static int wait_ready(int fd, const char *binary, struct gw_error *error)
{
	char text[400] = "";
	size_t used = 0;
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	while (used < sizeof(text) - 1 && poll(&poll_fd, 1, ANSWER_MS) > 0) {
		ssize_t got = read(fd, text + used, sizeof(text) - 1 - used);

		if (got <= 0)
			break;
		used += (size_t)got;
	}
	if (!strcmp(text, "ready"))
		return 0;
	return gw_fail(error, ECHILD, "%s did not start: %s", binary,
	               used ? text : "it ended without a word");
}

static void kill_child(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static int spawn(const struct gw_native_start *start, const char *name,
                 const struct gw_native_config *config, const char *control, pid_t *pid,
                 struct gw_error *error)
{
	_cleanup_close_ int hear = -1;
	struct command_line line;
	char number[16];
	int ready[2], result;

	if (pipe2(ready, O_CLOEXEC))
		return gw_fail(error, errno, "cannot make a pipe: %s", strerror(errno));
	hear = ready[0];
	(void)snprintf(number, sizeof(number), "%d", ready[1]);
	make_command_line(&line, start, name, config, control, number);
	*pid = fork();
	if (!*pid)
		become(&line, ready[1]);
	result = -errno;
	close(ready[1]);
	if (*pid < 0)
		return gw_fail(error, -result, "cannot start a process: %s", strerror(-result));
	result = wait_ready(hear, start->binary, error);
	if (result)
		kill_child(*pid);
	return result;
}

int gw_native_start(struct gw_vm **vm, const struct gw_native_start *start, const char *name,
                    const struct gw_native_config *config, struct gw_error *error)
{
	char control[256];
	int length, result = gw_native_config_check(config, error);
	pid_t pid = -1;

	if (result)
		return result;
	if (!gw_native_name_ok(name))
		return gw_fail(error, EINVAL,
		               "\"%.80s\" is no name for a guest; take letters, digits, . _ -",
		               name);
	length = snprintf(control, sizeof(control), "%s/%s", start->dir, GW_NATIVE_CONTROL);
	if (length < 0 || (size_t)length >= sizeof(control) ||
	    strlen(start->ram_path) >= sizeof((*vm)->ram_path))
		return gw_fail(error, ENAMETOOLONG, "a path of the native guest is too long");
	result = spawn(start, name, config, control, &pid, error);
	if (result)
		return result;
	result = gw_native_open(vm, control, error);
	if (result)
		kill_child(pid);
	else
		(*vm)->paused = start->paused;
	return result;
}

/* ---- the description ---- */

char *gw_native_spec(struct gw_vm *vm, struct gw_error *error)
{
	char line[INPUT_BYTES], value[32];
	json_auto_t *spec = json_object();
	char *text = NULL;

	if (gw_native_command(vm, "config", line, sizeof(line), error))
		return NULL;
	(void)json_object_set_new(spec, "schema", json_string("godwit.vm/1"));
	(void)json_object_set_new(spec, "kind", json_string("native"));
	(void)json_object_set_new(spec, "name", json_string(vm->name));
	for (size_t i = 0; i < GW_NATIVE_KEYS; i++) {
		const char *key = gw_native_keys[i].name;

		word_of(line, key, value, sizeof(value));
		if (value[0] >= '0' && value[0] <= '9')
			(void)json_object_set_new(spec, key,
			                          json_integer(strtoll(value, NULL, 10)));
		else
			(void)json_object_set_new(spec, key, json_string(value));
	}
	text = json_dumps(spec, JSON_COMPACT);
	if (!text)
		(void)gw_fail(error, ENOMEM, "no memory for the guest's description");
	return text;
}

static int bad_value(const char *key, struct gw_error *error)
{
	char shown[41];
	size_t i;

	for (i = 0; i < sizeof(shown) - 1 && key[i]; i++)
		shown[i] = (char)(key[i] < ' ' || key[i] > '~' ? '?' : key[i]);
	shown[i] = 0;
	return gw_fail(error, EINVAL,
	               "the guest's description has \"%s\", which is unknown or not as it must be",
	               shown);
}

/* Words of letters and digits are all there is; nothing else is even repeated in a message. */
static bool is_word(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(text);
}

static int parse_member(const char *name, const json_t *value, struct gw_native_config *config,
                        char guest_name[64], struct gw_error *error)
{
	const struct gw_native_key *key = gw_native_key(name, strlen(name));
	const char *text = json_string_value(value);

	if (key && text && is_word(text))
		return gw_native_set_text(config, key, text, error);
	if (key && json_is_integer(value) && json_integer_value(value) >= 0 &&
	    key->value != GW_NATIVE_PATTERN)
		return gw_native_set_number(config, key, (uint64_t)json_integer_value(value),
		                            error);
	if (!key && text && !strcmp(name, "schema") && !strcmp(text, "godwit.vm/1"))
		return 0;
	if (!key && text && !strcmp(name, "kind") && !strcmp(text, "native"))
		return 0;
	if (!key && text && !strcmp(name, "name") && gw_native_name_ok(text)) {
		(void)snprintf(guest_name, 64, "%s", text);
		return 0;
	}
	return bad_value(name, error);
}

int gw_native_parse_spec(const char *json, size_t bytes, struct gw_native_config *config,
                         char name[64], struct gw_error *error)
{
	json_auto_t *spec = NULL;
	const char *key;
	json_t *value;

	if (bytes <= SPEC_MAX_BYTES)
		spec = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(spec))
		return gw_fail(error, EINVAL, "the guest's description is not a JSON object");
	gw_native_config_init(config);
	json_object_foreach(spec, key, value)
	{
		int result = parse_member(key, value, config, name, error);

		if (result)
			return result;
	}
	/* No key is unknown and none comes twice, so as many as there are keys are all of them. */
	if (json_object_size(spec) != SPEC_OTHER_KEYS + GW_NATIVE_KEYS)
		return gw_fail(error, EINVAL,
		               "the guest's description has %zu members where it needs %u",
		               json_object_size(spec), SPEC_OTHER_KEYS + GW_NATIVE_KEYS);
	return gw_native_config_check(config, error);
}

int gw_native_start_from_spec(struct gw_vm **vm, const struct gw_native_start *start,
                              const char *json, size_t bytes, struct gw_error *error)
{
	struct gw_native_config config;
	char name[64];
	int result = gw_native_parse_spec(json, bytes, &config, name, error);

	return result ? result : gw_native_start(vm, start, name, &config, error);
}

int gw_native_shadow_argv(const char *spec, const char *ram_path, int client, json_t **argv,
                          struct gw_error *error)
{
	struct gw_native_config config;
	char name[64], value[64];
	int result = gw_native_parse_spec(spec, strlen(spec), &config, name, error);

	*argv = NULL;
	if (result)
		return result;
	(void)snprintf(value, sizeof(value), "%d", client);
	*argv = json_pack("[s, s, s, s, s, s, s, s, s]", "native-guest", "--private", "--incoming",
	                  "--name", name, "--ram", ram_path, "--client", value);
	for (size_t i = 0; i < GW_NATIVE_KEYS; i++) {
		gw_native_text(&config, &gw_native_keys[i], value);
		json_array_append_new(*argv, json_sprintf("--%s", gw_native_keys[i].name));
		json_array_append_new(*argv, json_string(value));
	}
	return 0;
}
