/* SPDX-License-Identifier: MIT */
/*
 * guest/native/main.c - a process that plays a virtual machine, for tests and benches.
 *
 *     native-guest --ram FILE --control SOCKET [--name NAME] [--incoming | --paused] [--KEY
 * VALUE]...
 *
 * With --client FD in place of --control it serves one client, who is connected already; with
 * --private its memory is a view of the file that nobody else sees.
 *
 * Theory of operation: vCPU threads write and compare pages of a shared file (machine.h); what they
 * expect in each page is their device state, which goes over a stream socket (state.h). This thread
 * sits in ppoll() and never touches RAM, so it answers while vCPUs wait on page faults. Saving and
 * loading block on the socket they are given and have a thread of their own.
 *
 * The control socket takes one request a line; each has one answer, a line too:
 *
 *     status              status state=... pid=... KEY=VALUE... ram=PATH
 *     config              config KEY=VALUE...
 *     stop, cont          stopped; running
 *     save, load (+ fd)   saved; loaded
 *     verify              verified compared=N different=N SENTENCE
 *     clear               ok                    the longest gap counts anew
 *     poweroff, reset, panic                    ok, as soon as it is begun; then the event
 *     quit                ok
 *     anything refused    refused SENTENCE
 *
 * and tells every client: shutdown, reset, panicked, error SENTENCE (a page was not as it should
 * be); and every other client: resumed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest/native/state.h"

#define CLIENTS    8
#define NO_CLIENT  (-1)
#define LINE_BYTES 256

enum state { INCOMING, STOPPED, RUNNING };
enum pending { NOTHING, STOPPING, RESETTING, POWERING_OFF, PANICKING };
enum job_kind { NO_JOB, SAVING, LOADING };

static const char *const state_names[] = {"incoming", "stopped", "running"};

struct client {
	int fd;     /* -1: free */
	int passed; /* came by SCM_RIGHTS and waits for its request; -1: none */
	size_t used;
	char line[LINE_BYTES];
};

struct job {
	enum job_kind kind;
	int client, fd, result;
	struct guest *guest;
	pthread_t thread;
	_Atomic bool done;
	struct gw_error error;
};

struct guest {
	struct gw_machine machine;
	const char *name, *ram_path, *control_path;
	bool incoming, paused, loaded, quitting;
	int ready, listener;
	enum state state;
	enum pending pending;
	int pending_client;
	bool verifying;
	int verify_client;
	struct job job;
	struct client clients[CLIENTS];
};

static void drop_client(struct guest *guest, int index)
{
	struct client *client = &guest->clients[index];

	if (client->fd < 0)
		return;
	close(client->fd);
	if (client->passed >= 0)
		close(client->passed);
	*client = (struct client){.fd = -1, .passed = -1};
	if (guest->pending_client == index)
		guest->pending_client = NO_CLIENT;
	if (guest->verify_client == index)
		guest->verify_client = NO_CLIENT;
	if (guest->job.client == index)
		guest->job.client = NO_CLIENT;
}

static void answer(struct guest *guest, int index, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* A client that does not read its answers is let go, not waited for. */
static void answer(struct guest *guest, int index, const char *format, ...)
{
	char text[4096];
	va_list args;
	int length;

	if (index == NO_CLIENT || guest->clients[index].fd < 0)
		return;
	va_start(args, format);
	length = vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	if (length < 0 || (size_t)length > sizeof(text) - 2)
		length = (int)sizeof(text) - 2;
	text[length++] = '\n';
	if (send(guest->clients[index].fd, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) !=
	    length)
		drop_client(guest, index);
}

static void tell_all(struct guest *guest, const char *event, const char *text)
{
	for (int i = 0; i < CLIENTS; i++)
		answer(guest, i, "%s%s%s", event, *text ? " " : "", text);
}

/* ---- requests ---- */

static uint64_t sum(const struct guest *guest, size_t offset, bool largest)
{
	uint64_t total = 0;

	for (uint64_t i = 0; i < guest->machine.config.vcpus; i++) {
		const struct gw_vcpu_state *state = &guest->machine.vcpus[i].state;
		uint64_t value =
		        atomic_load((const _Atomic uint64_t *)((const char *)state + offset));

		if (largest)
			total = value > total ? value : total;
		else
			total += value;
	}
	return total;
}

#define SUM(guest, field)     sum(guest, offsetof(struct gw_vcpu_state, field), false)
#define LARGEST(guest, field) sum(guest, offsetof(struct gw_vcpu_state, field), true)

static void do_status(struct guest *guest, int client)
{
	char threads[16 * GW_NATIVE_MAX_VCPUS] = "";
	size_t used = 0;

	for (uint64_t i = 0; i < guest->machine.config.vcpus; i++)
		used += (size_t)snprintf(threads + used, sizeof(threads) - used, "%s%d",
		                         i ? "," : "",
		                         (int)atomic_load(&guest->machine.vcpus[i].tid));
	answer(guest, client,
	       "status state=%s pid=%d name=%s vcpus=%" PRIu64 " pages=%" PRIu64 " writes=%" PRIu64
	       " reads=%" PRIu64 " errors=%" PRIu64 " longest_gap_ns=%" PRIu64
	       " panicked=%d threads=%s ram=%s",
	       state_names[guest->state], (int)getpid(), guest->name, guest->machine.config.vcpus,
	       guest->machine.config.pages, SUM(guest, writes), SUM(guest, reads),
	       SUM(guest, errors), LARGEST(guest, longest_gap_ns), guest->machine.panicked, threads,
	       guest->ram_path);
}

static void do_config(struct guest *guest, int client)
{
	char text[1024] = "", value[32];
	size_t used = 0;

	for (size_t i = 0; i < GW_NATIVE_KEYS; i++) {
		gw_native_text(&guest->machine.config, &gw_native_keys[i], value);
		used += (size_t)snprintf(text + used, sizeof(text) - used, " %s=%s",
		                         gw_native_keys[i].name, value);
	}
	answer(guest, client, "config%s", text);
}

static void do_stop(struct guest *guest, int client)
{
	if (guest->state == INCOMING) {
		answer(guest, client,
		       "refused the guest waits for its device state and does not run");
		return;
	}
	gw_machine_run(&guest->machine, false);
	guest->pending = STOPPING;
	guest->pending_client = client;
}

static void do_cont(struct guest *guest, int client)
{
	int i;

	if (guest->state == INCOMING && !guest->loaded) {
		answer(guest, client, "refused no device state was loaded; load it before cont");
		return;
	}
	guest->state = RUNNING;
	gw_machine_run(&guest->machine, true);
	for (i = 0; i < CLIENTS; i++) /* first: who asked may count on it */
		if (i != client)
			answer(guest, i, "resumed");
	answer(guest, client, "running");
}

static void *job_main(void *argument)
{
	struct job *job = argument;
	uint64_t one = 1;

	if (job->kind == SAVING)
		job->result = gw_state_save(&job->guest->machine, job->fd, &job->error);
	else
		job->result = gw_state_load(&job->guest->machine, job->fd, &job->error);
	atomic_store(&job->done, true);
	(void)!write(job->guest->machine.notify, &one, sizeof(one));
	return NULL;
}

static const char *job_objection(struct guest *guest, enum job_kind kind, int fd)
{
	if (fd < 0)
		return "the request needs a stream socket passed with it";
	if (kind == SAVING && guest->state != STOPPED)
		return "the guest is not stopped; stop it before save";
	if (kind == LOADING && (guest->state != INCOMING || guest->loaded))
		return "the guest was not started as incoming, or was loaded already";
	if (!gw_machine_all_parked(&guest->machine))
		return "a compare of all pages is under way; try again when it is done";
	return NULL;
}

static void do_job(struct guest *guest, int client, enum job_kind kind)
{
	struct job *job = &guest->job;
	const int fd = guest->clients[client].passed;
	const char *objection = job_objection(guest, kind, fd);
	int result;

	guest->clients[client].passed = -1;
	if (objection) {
		if (fd >= 0)
			close(fd);
		answer(guest, client, "refused %s", objection);
		return;
	}
	*job = (struct job){.kind = kind, .client = client, .fd = fd, .guest = guest};
	result = pthread_create(&job->thread, NULL, job_main, job);
	if (result) {
		job->kind = NO_JOB;
		close(fd);
		answer(guest, client, "refused no thread could be started: %s", strerror(result));
	}
}

static void do_save(struct guest *guest, int client)
{
	do_job(guest, client, SAVING);
}

static void do_load(struct guest *guest, int client)
{
	do_job(guest, client, LOADING);
}

static void do_verify(struct guest *guest, int client)
{
	if (guest->state == INCOMING && !guest->loaded) {
		answer(guest, client,
		       "refused a guest that waits for its state must not touch memory");
	} else if (gw_machine_verify(&guest->machine)) {
		answer(guest, client, "refused a compare is under way already; wait for its end");
	} else {
		guest->verifying = true;
		guest->verify_client = client;
	}
}

static void do_clear(struct guest *guest, int client)
{
	gw_machine_clear(&guest->machine);
	answer(guest, client, "ok");
}

/* What a guest does to itself, it can do only while it runs. */
static bool begin_by_guest(struct guest *guest, int client, enum pending pending)
{
	if (guest->state != RUNNING || guest->machine.panicked) {
		answer(guest, client, "refused the guest does not run");
		return false;
	}
	guest->pending = pending;
	guest->pending_client = NO_CLIENT;
	if (pending == PANICKING)
		gw_machine_panic(&guest->machine);
	else
		gw_machine_run(&guest->machine, false);
	answer(guest, client, "ok");
	return true;
}

static void do_poweroff(struct guest *guest, int client)
{
	(void)begin_by_guest(guest, client, POWERING_OFF);
}

static void do_reset(struct guest *guest, int client)
{
	(void)begin_by_guest(guest, client, RESETTING);
}

static void do_panic(struct guest *guest, int client)
{
	(void)begin_by_guest(guest, client, PANICKING);
}

static void do_quit(struct guest *guest, int client)
{
	answer(guest, client, "ok");
	tell_all(guest, "shutdown", "");
	guest->quitting = true;
}

static const struct request {
	const char *name;
	void (*run)(struct guest *guest, int client);
	bool always; /* also while another request has no answer yet */
} requests[] = {
        {"status", do_status, true},      {"config", do_config, true}, {"clear", do_clear, true},
        {"quit", do_quit, true},          {"stop", do_stop, false},    {"cont", do_cont, false},
        {"save", do_save, false},         {"load", do_load, false},    {"verify", do_verify, false},
        {"poweroff", do_poweroff, false}, {"reset", do_reset, false},  {"panic", do_panic, false},
};

static void do_line(struct guest *guest, int client, const char *line)
{
	const bool busy = guest->pending != NOTHING || guest->job.kind != NO_JOB;

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		if (strcmp(line, requests[i].name) != 0)
			continue;
		if (busy && !requests[i].always)
			answer(guest, client, "refused the guest is busy with an earlier request");
		else
			requests[i].run(guest, client);
		return;
	}
	answer(guest, client, "refused there is no request \"%.40s\"", line);
}

/* ---- what is under way ---- */

static void finish_pending(struct guest *guest)
{
	const enum pending pending = guest->pending;

	if (pending == NOTHING || !gw_machine_all_parked(&guest->machine))
		return;
	guest->pending = NOTHING;
	switch (pending) {
	case STOPPING:
		guest->state = STOPPED;
		answer(guest, guest->pending_client, "stopped");
		break;
	case RESETTING:
		gw_machine_reset(&guest->machine);
		tell_all(guest, "reset", "");
		gw_machine_run(&guest->machine, true);
		break;
	case POWERING_OFF:
		tell_all(guest, "shutdown", "");
		guest->quitting = true;
		break;
	case PANICKING: tell_all(guest, "panicked", ""); break;
	case NOTHING: break;
	}
}

static void finish_verify(struct guest *guest)
{
	struct gw_machine *machine = &guest->machine;

	if (!guest->verifying || !gw_machine_verify_done(machine))
		return;
	guest->verifying = false;
	answer(guest, guest->verify_client,
	       "verified compared=%" PRIu64 " different=%" PRIu64 "%s%s", machine->verify_compared,
	       machine->verify_different, machine->verify_first[0] ? " " : "",
	       machine->verify_first);
}

static void finish_job(struct guest *guest)
{
	struct job *job = &guest->job;

	if (job->kind == NO_JOB || !atomic_load(&job->done))
		return;
	pthread_join(job->thread, NULL);
	if (job->result)
		answer(guest, job->client, "refused %s", job->error.text);
	else
		answer(guest, job->client, job->kind == SAVING ? "saved" : "loaded");
	if (job->kind == LOADING && !job->result) {
		guest->loaded = true;
		guest->state = STOPPED;
	}
	job->kind = NO_JOB;
}

static void progress(struct guest *guest)
{
	char text[200];

	while (gw_machine_finding(&guest->machine, text))
		tell_all(guest, "error", text);
	finish_job(guest);
	finish_verify(guest);
	finish_pending(guest);
}

/* ---- the control socket ---- */

static void accept_client(struct guest *guest)
{
	int fd = accept4(guest->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	for (int i = 0; i < CLIENTS; i++)
		if (guest->clients[i].fd < 0) {
			guest->clients[i] = (struct client){.fd = fd, .passed = -1};
			return;
		}
	close(fd);
}

/* Keeps the last one; there may be more in one message than were asked for. */
static void take_passed(struct client *client, struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
			if (client->passed >= 0)
				close(client->passed);
			memcpy(&client->passed, (unsigned char *)c + at, sizeof(int));
		}
	}
}

static ssize_t receive(struct client *client)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec space = {.iov_base = client->line + client->used,
	                      .iov_len = sizeof(client->line) - client->used};
	struct msghdr message = {.msg_iov = &space,
	                         .msg_iovlen = 1,
	                         .msg_control = control,
	                         .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(client->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (got > 0)
		take_passed(client, &message);
	return got;
}

static void serve_client(struct guest *guest, int index)
{
	struct client *client = &guest->clients[index];
	ssize_t got = receive(client);
	char *end;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		drop_client(guest, index);
		return;
	}
	client->used += (size_t)got;
	while (client->fd >= 0 && (end = memchr(client->line, '\n', client->used))) {
		char line[LINE_BYTES];
		size_t length = (size_t)(end - client->line);

		memcpy(line, client->line, length);
		line[length] = 0;
		client->used -= length + 1;
		memmove(client->line, end + 1, client->used);
		do_line(guest, index, line);
	}
	if (client->fd >= 0 && client->used == sizeof(client->line))
		drop_client(guest, index);
}

static void serve(struct guest *guest)
{
	struct pollfd polls[CLIENTS + 2];
	uint64_t count;

	polls[0] = (struct pollfd){.fd = guest->machine.notify, .events = POLLIN};
	polls[1] = (struct pollfd){.fd = guest->listener, .events = POLLIN};
	for (int i = 0; i < CLIENTS; i++)
		polls[i + 2] = (struct pollfd){.fd = guest->clients[i].fd, .events = POLLIN};
	if (ppoll(polls, CLIENTS + 2, NULL, NULL) < 0)
		return; /* a signal, or an agent that attached itself */
	if (polls[0].revents)
		(void)!read(guest->machine.notify, &count, sizeof(count));
	for (int i = 0; i < CLIENTS; i++)
		if (polls[i + 2].revents)
			serve_client(guest, i);
	if (polls[1].revents)
		accept_client(guest);
	progress(guest);
}

/* A socket that nobody listens on any more is what a killed guest left. */
static int bind_control(int fd, const struct sockaddr_un *address)
{
	int probe, refused;

	if (!bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	refused = connect(probe, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
	          errno == ECONNREFUSED;
	close(probe);
	if (!refused)
		return -EADDRINUSE;
	(void)unlink(address->sun_path);
	return bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
}

static int open_control(struct guest *guest, struct gw_error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int result;

	if (!guest->control_path)
		return 0;
	if (strlen(guest->control_path) >= sizeof(address.sun_path))
		return gw_fail(error, ENAMETOOLONG, "the control path %s is longer than %zu bytes",
		               guest->control_path, sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, guest->control_path, strlen(guest->control_path));
	guest->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (guest->listener < 0)
		return gw_fail(error, errno, "cannot make a socket: %s", strerror(errno));
	(void)umask(0077);
	result = bind_control(guest->listener, &address);
	if (!result && listen(guest->listener, CLIENTS))
		result = -errno;
	if (result)
		return gw_fail(error, -result, "cannot listen on %s: %s", guest->control_path,
		               strerror(-result));
	return 0;
}

/* ---- start ---- */

static int read_text_option(struct guest *guest, const char *option, const char *value,
                            struct gw_error *error)
{
	const struct gw_native_key *key = gw_native_key(option, strlen(option));

	if (key)
		return gw_native_set_text(&guest->machine.config, key, value, error);
	if (!strcmp(option, "ram"))
		guest->ram_path = value;
	else if (!strcmp(option, "control"))
		guest->control_path = value;
	else if (!strcmp(option, "client"))
		guest->clients[0].fd = atoi(value);
	else if (!strcmp(option, "name"))
		guest->name = value;
	else if (!strcmp(option, "ready"))
		guest->ready = atoi(value);
	else
		return gw_fail(error, EINVAL, "there is no option --%s", option);
	return 0;
}

static int read_options(struct guest *guest, int count, char **options, struct gw_error *error)
{
	for (int i = 1; i < count; i++) {
		int result = 0;

		if (!strcmp(options[i], "--incoming"))
			guest->incoming = true;
		else if (!strcmp(options[i], "--paused"))
			guest->paused = true;
		else if (!strcmp(options[i], "--private"))
			guest->machine.private_ram = true;
		else if (!strcmp(options[i], "--with-parent"))
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		else if (strncmp(options[i], "--", 2) != 0 || i + 1 == count)
			return gw_fail(error, EINVAL, "%s: an option without its value",
			               options[i]);
		else {
			result = read_text_option(guest, options[i] + 2, options[i + 1], error);
			i++;
		}
		if (result)
			return result;
	}
	if (!guest->ram_path || strchr(guest->ram_path, '\n') ||
	    !guest->control_path == (guest->clients[0].fd < 0))
		return gw_fail(error, EINVAL, "--ram FILE and --control SOCKET are needed");
	if (!gw_native_name_ok(guest->name))
		return gw_fail(error, EINVAL, "\"%.80s\" is no name for a guest", guest->name);
	return gw_native_config_check(&guest->machine.config, error);
}

static int start(struct guest *guest, int count, char **options, struct gw_error *error)
{
	int result = read_options(guest, count, options, error);
	uint64_t notified;

	if (!result)
		result = open_control(guest, error);
	if (!result)
		result = gw_machine_start(&guest->machine, guest->ram_path, guest->incoming, error);
	while (!result && !gw_machine_all_parked(&guest->machine)) {
		struct pollfd notify = {.fd = guest->machine.notify, .events = POLLIN};

		(void)poll(&notify, 1, -1);
		(void)!read(guest->machine.notify, &notified, sizeof(notified));
	}
	return result;
}

/* The one who started us hears that we are ready, or why not. */
static void report(const struct guest *guest, const char *text)
{
	if (guest->ready < 0) {
		(void)fprintf(stderr, "native-guest: %s\n", text);
		return;
	}
	(void)!write(guest->ready, text, strlen(text));
	close(guest->ready);
}

int main(int count, char **options)
{
	static struct guest guest;
	struct gw_error error;

	guest.name = "native";
	guest.ready = guest.listener = -1;
	guest.pending_client = guest.verify_client = guest.job.client = NO_CLIENT;
	for (int i = 0; i < CLIENTS; i++)
		guest.clients[i] = (struct client){.fd = -1, .passed = -1};
	gw_native_config_init(&guest.machine.config);
	if (start(&guest, count, options, &error)) {
		report(&guest, error.text);
		return 1;
	}
	guest.state = guest.incoming ? INCOMING : guest.paused ? STOPPED : RUNNING;
	gw_machine_run(&guest.machine, guest.state == RUNNING);
	report(&guest, "ready");
	while (!guest.quitting)
		serve(&guest);
	if (guest.control_path)
		(void)unlink(guest.control_path);
	/* vCPU threads may wait on page faults for ever: nobody joins them. */
	_exit(0);
}
