/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The agent and the shadow's thread share one struct, a mutex and two
 * eventfds: `ask` wakes the thread, `tell` the agent.
 *
 *   agent   feed ->  state bytes ->  thread -> the copy's load
 *           run, hold, kill      ->  thread -> cont; faults are left waiting; SIGKILL
 *           next         <-  ring of touched pages  <-  thread  <- userfaultfd
 *
 * The ring has a bounded length; while it is full, or the copy is held, no fault is answered, so
 * the copy stands. The cage ends with the thread that made it (PR_SET_PDEATHSIG), and that thread
 * with the process.
 */
#include "live/host/shadow.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/host/agent.h"
#include "live/host/clock.h"
#include "live/host/room.h"
#include "live/memory/touches.h"
#include "live/vm/cage.h"
#include "live/vm/launch.h"
#include "live/vm/native.h"
#include "live/vm/overlay.h"
#include "live/vm/qemu.h"
#include "live/vm/shadow_command.h"
#include "live/vm/spec.h"

/* What it inherits: the first two here, the rest as its command says. */
#define DEVICE_FD   GW_CAGE_FIRST_FD
#define CONTROL_FD  (GW_CAGE_FIRST_FD + 1)
#define ASK_MS      1000
#define START_MS    5000
#define LOAD_NS     20000000000ull /* from the first byte of its state until it runs */
#define LOOK_NS     10000000ull    /* between two looks at what it uses */
#define RING        16384u         /* touched pages that the agent has not taken; a power of two */
#define BATCH       64
#define STATE_MAX   (256u << 20)
#define LEAST_BYTES (64u << 20)  /* less memory than this starts no hypervisor */
#define HEAP_BYTES  (256u << 20) /* of a hypervisor, beside its guest's pages */

struct gw_shadow {
	/* Fixed once the thread runs. */
	struct gw_shadow_limits limits;
	const struct gw_ram *ram;
	char kind[16], name[64], ram_path[256];
	struct gw_shadow_command command;
	int program; /* what runs the VM */
	int device;  /* /dev/userfaultfd */
	int ask, tell;
	int cancel; /* readable once it is killed */
	pthread_t thread;
	uint64_t began_ns;

	/* Of the thread. */
	struct gw_cage cage;
	struct gw_vm *vm;
	struct gw_touches touches;
	int log, state_fd;
	int overlays[GW_SHADOW_DISKS];
	bool loading, loaded, running;
	uint64_t load_by_ns, look_ns;
	struct gw_touch waiting[BATCH]; /* read and not let go */
	unsigned waiting_count;

	/* Of both, under the lock. */
	pthread_mutex_t lock;
	uint8_t *state;
	size_t state_count, state_room, state_sent;
	bool state_ended, may_run, held, killed;
	int kill_fd; /* the process's, while it may be killed; borrowed */
	bool ready, ready_told, started, started_told, gone, gone_told;
	char why[256];
	uint32_t ring[RING];
	size_t ring_put, ring_taken;
};

void gw_shadow_limits_init(struct gw_shadow_limits *limits)
{
	*limits = (struct gw_shadow_limits){
	        .disk_bytes = 256u << 20, .cpu_ns = 120000000000ull, .time_ns = 600000000000ull};
}

static void ring_bell(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

static void quiet_bell(int fd)
{
	uint64_t rung;

	(void)!read(fd, &rung, sizeof(rung));
}

/* Of the thread: something for the agent to take. */
static void tell(struct gw_shadow *s, bool *flag)
{
	pthread_mutex_lock(&s->lock);
	*flag = true;
	pthread_mutex_unlock(&s->lock);
	ring_bell(s->tell);
}

/* --- what it may use ------------------------------------------------------------------------ */

static int set_memory_limit(struct gw_shadow *s, struct gw_error *error)
{
	uint64_t free_half = gw_room_memory() / 2;

	if (!s->limits.memory_bytes)
		s->limits.memory_bytes = s->ram->bytes / 2 + HEAP_BYTES;
	if (s->limits.memory_bytes > free_half)
		s->limits.memory_bytes = free_half;
	if (s->limits.memory_bytes < LEAST_BYTES)
		return gw_fail(error, ENOMEM, "it may use %llu MiB of this host's memory, too few",
		               (unsigned long long)(s->limits.memory_bytes >> 20));
	return 0;
}

/* Anonymous pages: what it copied of the image, and its heap. */
static uint64_t own_bytes(const struct gw_shadow *s)
{
	unsigned long long resident = 0, shared = 0;
	char path[64];
	_cleanup_fclose_ FILE *f = NULL;
	uint64_t bytes = 0;
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)s->cage.pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%*s %llu %llu", &resident, &shared) == 2 && resident > shared)
		bytes = (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
	for (unsigned i = 0; i < s->command.disk_count; i++)
		if (s->overlays[i] >= 0 && fstat(s->overlays[i], &st) == 0)
			bytes += (uint64_t)st.st_blocks * 512;
	return bytes;
}

static uint64_t cpu_ns(const struct gw_shadow *s)
{
	clockid_t clock;
	struct timespec used;

	if (clock_getcpuclockid(s->cage.pid, &clock) || clock_gettime(clock, &used))
		return 0;
	return (uint64_t)used.tv_sec * 1000000000ull + (uint64_t)used.tv_nsec;
}

static int check_limits(struct gw_shadow *s, struct gw_error *error)
{
	uint64_t now = gw_now_ns();

	if (now - s->look_ns < LOOK_NS)
		return 0;
	s->look_ns = now;
	if (own_bytes(s) > s->limits.memory_bytes)
		return gw_fail(error, ENOMEM, "it had used the %llu MiB of memory that it may use",
		               (unsigned long long)(s->limits.memory_bytes >> 20));
	if (cpu_ns(s) > s->limits.cpu_ns)
		return gw_fail(error, ETIME, "it had used the %llu s of processor that it may use",
		               (unsigned long long)(s->limits.cpu_ns / 1000000000ull));
	if (now - s->began_ns > s->limits.time_ns)
		return gw_fail(error, ETIME, "its %llu s are over",
		               (unsigned long long)(s->limits.time_ns / 1000000000ull));
	if (s->loading && !s->running && now > s->load_by_ns)
		return gw_fail(error, ETIMEDOUT, "it did not come to run in %llu s",
		               (unsigned long long)(LOAD_NS / 1000000000ull));
	return 0;
}

/* --- start ---------------------------------------------------------------------------------- */

static int make_overlays(struct gw_shadow *s, int *fds, struct gw_error *error)
{
	for (unsigned i = 0; i < s->command.disk_count; i++) {
		s->overlays[i] = gw_overlay_make(s->command.disks[i].bytes, error);
		if (s->overlays[i] < 0)
			return s->overlays[i];
		fds[i] = s->overlays[i];
	}
	return 0;
}

static int start_cage(struct gw_shadow *s, int control, struct gw_error *error)
{
	_cleanup_close_ int image = -1;
	_cleanup_free_ char **argv = gw_spec_strings(s->command.argv);
	int fds[2 + GW_SHADOW_DISKS] = {s->device, control};
	struct gw_cage_start start = {.program = s->program,
	                              .argv = argv,
	                              .log = s->log,
	                              .fds = fds,
	                              .fd_count = 2 + s->command.disk_count,
	                              .taps = s->command.taps,
	                              .tap_count = s->command.tap_count,
	                              .kvm = s->command.kvm,
	                              .image = s->ram_path,
	                              .file_bytes = s->limits.disk_bytes,
	                              .timeout_ms = START_MS,
	                              .cancel = s->cancel};
	int rc;

	if (!argv)
		return gw_fail(error, ENOMEM, "no memory for a command line");
	image = open(s->ram_path, O_RDONLY | O_CLOEXEC);
	if (image < 0)
		return gw_fail(error, errno, "the VM's memory cannot be opened: %s",
		               strerror(errno));
	start.image_fd = image;
	rc = make_overlays(s, fds + 2, error);
	return rc < 0 ? rc : gw_cage_start(&s->cage, &start, error);
}

static int adopt(struct gw_shadow *s, int control, struct gw_error *error)
{
	char log_path[64];
	struct gw_qemu_adopt adopted = {.name = s->name,
	                                .pid = s->cage.pid,
	                                .control = control,
	                                .ram_path = s->ram_path,
	                                .log_path = log_path,
	                                .timeout_ms = START_MS};

	(void)snprintf(log_path, sizeof(log_path), "/proc/self/fd/%d", s->log);
	if (!strcmp(s->kind, "native"))
		return gw_native_adopt(&s->vm, s->cage.pid, control, error);
	return gw_qemu_adopt(&s->vm, &adopted, error);
}

/* A program that ended has said why. */
static void add_last_words(const struct gw_shadow *s, struct gw_error *error)
{
	char path[64], last[200];
	size_t used = strlen(error->text);

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", s->log);
	gw_log_tail(path, last, sizeof(last));
	if (last[0])
		(void)snprintf(error->text + used, sizeof(error->text) - used, ": %s", last);
}

static void may_be_killed(struct gw_shadow *s, bool may)
{
	pthread_mutex_lock(&s->lock);
	s->kill_fd = may ? s->cage.pidfd : -1;
	pthread_mutex_unlock(&s->lock);
}

static int start(struct gw_shadow *s, struct gw_error *error)
{
	_cleanup_close_ int theirs = -1;
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return gw_fail(error, errno, "no socket can be made: %s", strerror(errno));
	theirs = pair[1];
	rc = start_cage(s, theirs, error);
	gw_cleanup_close(&theirs);
	if (rc < 0) {
		close(pair[0]);
		add_last_words(s, error);
		return rc;
	}
	may_be_killed(s, true);
	rc = adopt(s, pair[0], error);
	return rc < 0 ? rc : gw_touches_open(&s->touches, s->ram, s->cage.pid, DEVICE_FD, error);
}

/* --- its state ------------------------------------------------------------------------------ */

static int begin_load(struct gw_shadow *s, struct gw_error *error)
{
	int theirs, rc = gw_agent_open_state(&s->state_fd, &theirs, error);

	if (rc == 0)
		rc = gw_vm_load(s->vm, theirs, error);
	s->loading = rc == 0;
	s->load_by_ns = gw_now_ns() + LOAD_NS;
	return rc;
}

/* Under the lock: the agent may be about to move the bytes. */
static int send_state(struct gw_shadow *s)
{
	while (s->state_sent < s->state_count) {
		ssize_t n = send(s->state_fd, s->state + s->state_sent,
		                 s->state_count - s->state_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		s->state_sent += (size_t)n;
	}
	if (s->state_ended)
		(void)shutdown(s->state_fd, SHUT_WR);
	return 0;
}

/* What it says back is of no use to anybody. */
static void drop_return_path(struct gw_shadow *s)
{
	char bytes[4096];

	while (recv(s->state_fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static int serve_state(struct gw_shadow *s, struct gw_error *error)
{
	bool may;
	int rc = 0;

	/* Not while the VM's state is saved: that is downtime, and takes the same processors. */
	pthread_mutex_lock(&s->lock);
	may = s->may_run && s->state_count > 0;
	pthread_mutex_unlock(&s->lock);
	if (may && !s->loading)
		rc = begin_load(s, error);
	if (rc < 0 || !s->loading || s->loaded)
		return rc;
	pthread_mutex_lock(&s->lock);
	rc = send_state(s);
	pthread_mutex_unlock(&s->lock);
	if (rc < 0 && rc != -EPIPE) /* its own word on why comes with its events */
		return gw_fail(error, -rc, "its state cannot be handed over: %s", strerror(-rc));
	drop_return_path(s);
	return 0;
}

/* --- what it does --------------------------------------------------------------------------- */

static int vm_event(struct gw_shadow *s, const struct gw_vm_event *event, struct gw_error *error)
{
	switch (event->kind) {
	case GW_VM_LOADED: s->loaded = true; return 0;
	case GW_VM_RUNNING: tell(s, &s->started); return 0;
	case GW_VM_STOPPED:
	case GW_VM_SAVED: return 0;
	case GW_VM_REFUSED: return gw_fail(error, EPERM, "%s", event->text);
	case GW_VM_SHUTDOWN: return gw_fail(error, ESHUTDOWN, "its guest powered itself off");
	case GW_VM_RESET: return gw_fail(error, ESHUTDOWN, "its guest rebooted");
	case GW_VM_PANICKED: return gw_fail(error, ESHUTDOWN, "its guest panicked");
	case GW_VM_DIED: break;
	}
	return gw_fail(error, ESRCH, "%s", event->text);
}

static int serve_vm(struct gw_shadow *s, struct gw_error *error)
{
	struct gw_vm_event event = {0};
	int got, rc = 0;

	while (rc == 0 && (got = gw_vm_next(s->vm, &event)) != 0)
		rc = got < 0 ? gw_fail(error, -got, "its control connection broke")
		             : vm_event(s, &event, error);
	return rc;
}

static int let_it_run(struct gw_shadow *s, struct gw_error *error)
{
	bool may;

	pthread_mutex_lock(&s->lock);
	may = s->may_run;
	pthread_mutex_unlock(&s->lock);
	if (!may || !s->loaded || s->running)
		return 0;
	s->running = true;
	return gw_vm_cont(s->vm, error);
}

/* Notes a page for the agent. False: there is no room, or it is held. */
static bool note(struct gw_shadow *s, const struct gw_touch *touch)
{
	bool may;

	pthread_mutex_lock(&s->lock);
	may = s->ring_put - s->ring_taken < RING && (!s->held || !s->running);
	if (may && !touch->hole)
		s->ring[s->ring_put++ % RING] = (uint32_t)touch->page;
	pthread_mutex_unlock(&s->lock);
	return may;
}

/* Lets go of those that wait, in order, as far as it may. */
static int let_go(struct gw_shadow *s, struct gw_error *error)
{
	unsigned done = 0;
	int rc = 0;

	while (rc == 0 && done < s->waiting_count && note(s, &s->waiting[done]))
		rc = gw_touches_let_go(&s->touches, &s->waiting[done++]);
	s->waiting_count -= done;
	memmove(s->waiting, s->waiting + done, s->waiting_count * sizeof(s->waiting[0]));
	if (done && s->running)
		ring_bell(s->tell);
	if (rc < 0)
		return gw_fail(error, -rc, "a page cannot be shown to it: %s", strerror(-rc));
	return 0;
}

static int serve_touches(struct gw_shadow *s, struct gw_error *error)
{
	int got, rc = let_go(s, error);

	while (rc == 0 && s->waiting_count == 0) {
		got = gw_touches_read(&s->touches, s->waiting, BATCH);
		if (got < 0)
			return gw_fail(error, -got, "its touches cannot be read: %s",
			               strerror(-got));
		if (got == 0)
			break;
		s->waiting_count = (unsigned)got;
		rc = let_go(s, error);
	}
	return rc;
}

static bool is_killed(struct gw_shadow *s)
{
	bool killed;

	pthread_mutex_lock(&s->lock);
	killed = s->killed;
	pthread_mutex_unlock(&s->lock);
	return killed;
}

static void await(struct gw_shadow *s)
{
	bool state_waits;
	struct pollfd items[4] = {{.fd = s->ask, .events = POLLIN},
	                          {.fd = gw_vm_fd(s->vm), .events = POLLIN},
	                          {.fd = s->waiting_count ? -1 : s->touches.fd, .events = POLLIN},
	                          {.fd = -1}};

	pthread_mutex_lock(&s->lock);
	state_waits = s->state_sent < s->state_count;
	pthread_mutex_unlock(&s->lock);
	if (s->loading && !s->loaded && state_waits)
		items[3] = (struct pollfd){.fd = s->state_fd, .events = POLLOUT};
	(void)poll(items, 4, (int)(LOOK_NS / 1000000));
	quiet_bell(s->ask);
}

static void live(struct gw_shadow *s, struct gw_error *error)
{
	int rc = 0;

	tell(s, &s->ready);
	while (rc == 0 && !is_killed(s)) {
		await(s);
		rc = serve_touches(s, error);
		if (rc == 0)
			rc = serve_state(s, error);
		if (rc == 0)
			rc = serve_vm(s, error);
		if (rc == 0)
			rc = let_it_run(s, error);
		if (rc == 0)
			rc = check_limits(s, error);
	}
}

/* Its process first: nothing of it runs when the rest is taken from under it. */
static void bury(struct gw_shadow *s)
{
	may_be_killed(s, false);
	gw_cage_end(&s->cage);
	gw_touches_close(&s->touches);
	if (s->vm)
		gw_vm_close(s->vm);
	s->vm = NULL;
	gw_cleanup_close(&s->state_fd);
	for (unsigned i = 0; i < GW_SHADOW_DISKS; i++)
		gw_cleanup_close(&s->overlays[i]);
}

static void *thread_main(void *arg)
{
	struct gw_shadow *s = arg;
	struct gw_error error = {{0}};

	if (!is_killed(s) && start(s, &error) == 0)
		live(s, &error);
	bury(s);
	pthread_mutex_lock(&s->lock);
	s->gone = true;
	(void)snprintf(s->why, sizeof(s->why), "%.250s", error.text);
	pthread_mutex_unlock(&s->lock);
	ring_bell(s->tell);
	return NULL;
}

/* --- the agent's side ----------------------------------------------------------------------- */

/* The very program that runs the VM, whatever its path holds by now. */
static int open_program(struct gw_shadow *s, pid_t pid, struct gw_error *error)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	s->program = open(path, O_RDONLY | O_CLOEXEC);
	return s->program < 0 ? gw_fail(error, errno, "the VM's program cannot be opened: %s",
	                                strerror(errno))
	                      : 0;
}

static int make_command(struct gw_shadow *s, struct gw_guest *guest, struct gw_error *error)
{
	json_auto_t *spec = NULL, *block = NULL;
	int rc;

	if (!strcmp(s->kind, "native"))
		return gw_native_shadow_argv(guest->spec, s->ram_path, CONTROL_FD, &s->command.argv,
		                             error);
	rc = gw_spec_parse(guest->spec, strlen(guest->spec), &spec, error);
	if (rc == 0)
		rc = gw_qmp_call(gw_qemu_qmp(guest->vm), "query-block", NULL, ASK_MS, &block,
		                 error);
	return rc < 0 ? rc
	              : gw_shadow_command_make(&s->command, spec, block, s->ram_path, CONTROL_FD,
	                                       error);
}

static int make_ready(struct gw_shadow *s, struct gw_guest *guest, struct gw_error *error)
{
	int rc;

	s->ask = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->tell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->log = memfd_create("shadow", MFD_CLOEXEC);
	if (s->ask < 0 || s->tell < 0 || s->cancel < 0 || s->log < 0)
		return gw_fail(error, errno, "no descriptor can be made: %s", strerror(errno));
	s->device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (s->device < 0)
		return gw_fail(error, ENOTSUP, "/dev/userfaultfd (Linux 6.1) cannot be opened: %s",
		               strerror(errno));
	rc = set_memory_limit(s, error);
	if (rc == 0)
		rc = open_program(s, guest->vm->pid, error);
	return rc < 0 ? rc : make_command(s, guest, error);
}

static void give_back(struct gw_shadow *s)
{
	gw_shadow_command_clear(&s->command);
	gw_cleanup_close(&s->program);
	gw_cleanup_close(&s->device);
	gw_cleanup_close(&s->ask);
	gw_cleanup_close(&s->tell);
	gw_cleanup_close(&s->cancel);
	gw_cleanup_close(&s->log);
	pthread_mutex_destroy(&s->lock);
	free(s->state);
	free(s);
}

static struct gw_shadow *make(const struct gw_guest *guest, const struct gw_ram *ram,
                              const struct gw_shadow_limits *limits)
{
	struct gw_shadow *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->limits = *limits;
	s->ram = ram;
	s->began_ns = gw_now_ns();
	s->program = s->device = s->ask = s->tell = s->cancel = s->log = s->state_fd = s->kill_fd =
	        -1;
	s->touches.fd = s->cage.pidfd = -1;
	for (unsigned i = 0; i < GW_SHADOW_DISKS; i++)
		s->overlays[i] = -1;
	pthread_mutex_init(&s->lock, NULL);
	(void)snprintf(s->kind, sizeof(s->kind), "%s", guest->kind);
	(void)snprintf(s->name, sizeof(s->name), "%s", guest->vm->name);
	(void)snprintf(s->ram_path, sizeof(s->ram_path), "%s", guest->vm->ram_path);
	return s;
}

int gw_shadow_prepare(struct gw_shadow **shadow, struct gw_guest *guest, const struct gw_ram *ram,
                      const struct gw_shadow_limits *limits, struct gw_error *error)
{
	struct gw_shadow *s = make(guest, ram, limits);
	int rc;

	*shadow = NULL;
	if (!s)
		return gw_fail(error, ENOMEM, "no memory for a shadow");
	rc = make_ready(s, guest, error);
	if (rc == 0) {
		rc = pthread_create(&s->thread, NULL, thread_main, s);
		if (rc)
			rc = gw_fail(error, rc, "no thread can be started: %s", strerror(rc));
	}
	if (rc < 0)
		give_back(s);
	else
		*shadow = s;
	return rc;
}

static int make_room(struct gw_shadow *s, size_t count)
{
	size_t room = s->state_room ? s->state_room : 1u << 20;
	uint8_t *larger;

	while (room < s->state_count + count)
		room *= 2;
	if (room == s->state_room)
		return 0;
	if (room > STATE_MAX)
		return -EFBIG;
	larger = realloc(s->state, room);
	if (!larger)
		return -ENOMEM;
	s->state = larger;
	s->state_room = room;
	return 0;
}

int gw_shadow_feed(struct gw_shadow *s, const void *bytes, size_t count)
{
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = make_room(s, count);
	if (rc == 0) {
		memcpy(s->state + s->state_count, bytes, count);
		s->state_count += count;
	}
	pthread_mutex_unlock(&s->lock);
	ring_bell(s->ask);
	return rc;
}

static void set(struct gw_shadow *s, bool *flag, bool value)
{
	pthread_mutex_lock(&s->lock);
	*flag = value;
	pthread_mutex_unlock(&s->lock);
	ring_bell(s->ask);
}

void gw_shadow_feed_end(struct gw_shadow *s)
{
	set(s, &s->state_ended, true);
}

void gw_shadow_run(struct gw_shadow *s)
{
	set(s, &s->may_run, true);
}

void gw_shadow_hold(struct gw_shadow *s, bool hold)
{
	set(s, &s->held, hold);
}

int gw_shadow_fd(const struct gw_shadow *s)
{
	return s->tell;
}

/* Neighbours that were touched one after the other make one run. */
static void take_touches(struct gw_shadow *s, struct gw_shadow_report *report)
{
	bool was_full = s->ring_put - s->ring_taken == RING;

	report->count = 0;
	while (s->ring_taken != s->ring_put) {
		uint64_t page = s->ring[s->ring_taken % RING];
		struct gw_run *last = report->count ? &report->runs[report->count - 1] : NULL;

		if (last && last->first + last->count == page)
			last->count++;
		else if (report->count == GW_SHADOW_RUNS)
			break;
		else
			report->runs[report->count++] = (struct gw_run){page, 1};
		s->ring_taken++;
	}
	if (was_full)
		ring_bell(s->ask);
}

bool gw_shadow_next(struct gw_shadow *s, struct gw_shadow_report *report)
{
	report->kind = 0;
	quiet_bell(s->tell);
	pthread_mutex_lock(&s->lock);
	if (s->ready && !s->ready_told) {
		s->ready_told = true;
		report->kind = GW_SHADOW_READY;
	} else if (s->started && !s->started_told) {
		s->started_told = true;
		report->kind = GW_SHADOW_STARTED;
	} else if (s->started && s->ring_taken != s->ring_put) {
		report->kind = GW_SHADOW_TOUCHED;
		take_touches(s, report);
	} else if (s->gone && !s->gone_told) {
		s->gone_told = true;
		report->kind = GW_SHADOW_GONE;
		(void)snprintf(report->text, sizeof(report->text), "%s", s->why);
	}
	pthread_mutex_unlock(&s->lock);
	return report->kind != 0;
}

void gw_shadow_kill(struct gw_shadow *s)
{
	if (!s)
		return;
	set(s, &s->killed, true);
	ring_bell(s->cancel);
	pthread_mutex_lock(&s->lock);
	if (s->kill_fd >= 0) /* now: the thread may be waiting for its answer */
		(void)pidfd_send_signal(s->kill_fd, SIGKILL, NULL, 0);
	pthread_mutex_unlock(&s->lock);
}

void gw_shadow_close(struct gw_shadow *s)
{
	if (!s)
		return;
	gw_shadow_kill(s);
	pthread_join(s->thread, NULL);
	give_back(s);
}
