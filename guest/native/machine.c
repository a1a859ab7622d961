/* SPDX-License-Identifier: MIT */
#include "guest/native/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)
/* A vCPU with nothing to do still turns this often, so that its longest gap means something. */
#define HEARTBEAT_NS UINT64_C(1000000)
/* Work that a stalled vCPU makes up for; what is older is lost, as on a real machine. */
#define DEBT_NS UINT64_C(10000000)

#define GET(field)        atomic_load_explicit(&(field), memory_order_relaxed)
#define SET(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t page_of(const struct gw_vcpu *vcpu, uint64_t k)
{
	return k * vcpu->machine->config.vcpus + vcpu->index;
}

static uint64_t *words_of(const struct gw_machine *machine, uint64_t page)
{
	return (uint64_t *)(void *)(machine->ram + page * GW_NATIVE_PAGE_BYTES);
}

static uint64_t draw(struct gw_vcpu *vcpu)
{
	uint64_t state = GET(vcpu->state.random), value = gw_random(&state);

	SET(vcpu->state.random, state);
	return value;
}

/* Uniform in [0, below); below < 2^32. */
static uint64_t draw_below(struct gw_vcpu *vcpu, uint64_t below)
{
	return (draw(vcpu) >> 32) * below >> 32;
}

static bool draw_percent(struct gw_vcpu *vcpu, uint64_t percent)
{
	return percent && draw_below(vcpu, 100) < percent;
}

/* Under the lock. The counts are of findings; which pages they are, only of the first few. */
static void note_finding(struct gw_machine *machine, const char text[200])
{
	uint64_t one = 1;

	if (machine->findings >= GW_MAX_FINDINGS)
		return;
	memcpy(machine->finding[machine->findings++], text, sizeof(machine->finding[0]));
	(void)!write(machine->notify, &one, sizeof(one));
}

static void write_page(struct gw_vcpu *vcpu, uint64_t k)
{
	struct gw_machine *machine = vcpu->machine;
	const uint64_t page = page_of(vcpu, k);
	const bool zero = draw_percent(vcpu, machine->config.zero);

	vcpu->stamps[k] = gw_stamp_next(vcpu->stamps[k], zero);
	gw_contents_write(&machine->contents, page, vcpu->stamps[k], words_of(machine, page));
}

static void read_page(struct gw_vcpu *vcpu, uint64_t k)
{
	struct gw_machine *machine = vcpu->machine;
	const uint64_t page = page_of(vcpu, k), *words = words_of(machine, page);
	char text[200];

	if (gw_contents_equal(&machine->contents, page, vcpu->stamps[k], words))
		return;
	gw_contents_explain(&machine->contents, page, vcpu->stamps[k], words, text, sizeof(text));
	SET(vcpu->state.errors, GET(vcpu->state.errors) + 1);
	pthread_mutex_lock(&machine->lock);
	note_finding(machine, text);
	pthread_mutex_unlock(&machine->lock);
}

/* Which of its pages comes next. */
static uint64_t choose(struct gw_vcpu *vcpu, _Atomic uint64_t *cursor)
{
	const struct gw_native_config *config = &vcpu->machine->config;
	const uint64_t width = vcpu->high - vcpu->low, step = GET(*cursor);
	uint64_t moved;

	SET(*cursor, step + 1);
	switch (config->pattern) {
	case GW_NATIVE_SEQUENTIAL: return vcpu->low + step % width;
	case GW_NATIVE_LOCALITY:
		if (!draw_percent(vcpu, config->skew))
			return draw_below(vcpu, vcpu->own);
		moved = step / 1000 * config->drift;
		return (vcpu->low + moved % vcpu->own + draw_below(vcpu, width)) % vcpu->own;
	default: return vcpu->low + draw_below(vcpu, width);
	}
}

static void pace_start(struct gw_pace *pace, uint64_t rate, uint64_t vcpus, uint64_t now)
{
	pace->due_ns = now;
	pace->rest_ps = 0;
	if (rate == GW_NATIVE_RATE_MAX)
		pace->interval_ps = 0;
	else
		pace->interval_ps = rate ? 1000 * NS_PER_S * vcpus / rate : UINT64_MAX;
}

static bool pace_due(const struct gw_pace *pace, uint64_t now)
{
	return !pace->interval_ps || (pace->interval_ps != UINT64_MAX && pace->due_ns <= now);
}

static void pace_next(struct gw_pace *pace, uint64_t now)
{
	if (!pace->interval_ps)
		return;
	pace->rest_ps += pace->interval_ps;
	pace->due_ns += pace->rest_ps / 1000;
	pace->rest_ps %= 1000;
	if (pace->due_ns + DEBT_NS < now)
		pace->due_ns = now - DEBT_NS;
}

static bool quiet(const struct gw_vcpu *vcpu)
{
	const struct gw_native_config *config = &vcpu->machine->config;

	if (config->pattern == GW_NATIVE_IDLE || vcpu->low == vcpu->high)
		return true;
	return config->pattern == GW_NATIVE_PHASES &&
	       GET(vcpu->state.ran_ns) / (config->phase_ms * 1000000) % 2 == 1;
}

/* Notes that the vCPU was alive now; what lies between is its gap, whether it ran then or stood. */
static uint64_t alive(struct gw_vcpu *vcpu, bool ran)
{
	const uint64_t now = now_ns(), last = GET(vcpu->state.last_ns);

	if (last && now > last) {
		if (ran)
			SET(vcpu->state.ran_ns, GET(vcpu->state.ran_ns) + now - last);
		if (now - last > GET(vcpu->state.longest_gap_ns))
			SET(vcpu->state.longest_gap_ns, now - last);
	}
	SET(vcpu->state.last_ns, now);
	return now;
}

/* Sleeps until something is due; a sleep that was meant is no gap, only what it takes beyond. */
static void rest(struct gw_vcpu *vcpu, bool silent)
{
	struct gw_machine *machine = vcpu->machine;
	const uint64_t before = GET(vcpu->state.last_ns);
	uint64_t until = before + HEARTBEAT_NS, now;
	struct timespec wait;

	if (!silent && vcpu->write.interval_ps != UINT64_MAX && vcpu->write.due_ns < until)
		until = vcpu->write.due_ns;
	if (!silent && vcpu->read.interval_ps != UINT64_MAX && vcpu->read.due_ns < until)
		until = vcpu->read.due_ns;
	wait = (struct timespec){.tv_nsec = (long)(until > before ? until - before : 0)};
	(void)syscall(SYS_futex, &machine->attention, FUTEX_WAIT_PRIVATE, 0, &wait, NULL, 0);
	now = now_ns();
	if (now > until)
		now = until;
	if (now > before) {
		SET(vcpu->state.ran_ns, GET(vcpu->state.ran_ns) + now - before);
		SET(vcpu->state.last_ns, now);
	}
	(void)alive(vcpu, true);
}

static void turn(struct gw_vcpu *vcpu)
{
	const bool silent = quiet(vcpu);
	const uint64_t now = GET(vcpu->state.last_ns);
	const bool write = !silent && pace_due(&vcpu->write, now);
	const bool read = !silent && pace_due(&vcpu->read, now);

	if (write) {
		write_page(vcpu, choose(vcpu, &vcpu->state.write_cursor));
		SET(vcpu->state.writes, GET(vcpu->state.writes) + 1);
		pace_next(&vcpu->write, alive(vcpu, true));
	}
	if (read) {
		read_page(vcpu, choose(vcpu, &vcpu->state.read_cursor));
		SET(vcpu->state.reads, GET(vcpu->state.reads) + 1);
		pace_next(&vcpu->read, alive(vcpu, true));
	}
	if (!write && !read)
		rest(vcpu, silent);
}

/*
 * A page that is to be zero and is a hole in the file is right, and is not read: reading would
 * allocate it. A page that is to hold something is read whatever the file says: it may be on its
 * way.
 */
static bool is_hole(const struct gw_machine *machine, uint64_t page)
{
	const off_t at = (off_t)(page * GW_NATIVE_PAGE_BYTES);
	const off_t data = lseek(machine->ram_fd, at, SEEK_DATA);

	return data < 0 ? errno == ENXIO : data >= at + (off_t)GW_NATIVE_PAGE_BYTES;
}

static void verify_own(struct gw_vcpu *vcpu, uint64_t *different, char first[200])
{
	struct gw_machine *machine = vcpu->machine;

	*different = 0;
	for (uint64_t k = 0; k < vcpu->own; k++) {
		const uint64_t page = page_of(vcpu, k), *words = words_of(machine, page);
		const uint32_t stamp = vcpu->stamps[k];

		if (stamp & GW_STAMP_ZERO && is_hole(machine, page))
			continue;
		if (gw_contents_equal(&machine->contents, page, stamp, words))
			continue;
		if (!(*different)++)
			gw_contents_explain(&machine->contents, page, stamp, words, first, 200);
	}
}

/* Under the lock, which it lets go while it compares. */
static void verify(struct gw_vcpu *vcpu)
{
	struct gw_machine *machine = vcpu->machine;
	const uint64_t start = now_ns(), last = GET(vcpu->state.last_ns);
	uint64_t different, one = 1;
	char first[200] = "";

	pthread_mutex_unlock(&machine->lock);
	verify_own(vcpu, &different, first);
	if (last) /* the compare is no gap of the guest's */
		SET(vcpu->state.last_ns, last + now_ns() - start);
	pthread_mutex_lock(&machine->lock);
	vcpu->verified = machine->verify_wanted;
	machine->verify_compared += vcpu->own;
	machine->verify_different += different;
	if (different && !machine->verify_first[0])
		memcpy(machine->verify_first, first, sizeof(first));
	if (!--machine->verify_left)
		(void)!write(machine->notify, &one, sizeof(one));
}

static void park(struct gw_vcpu *vcpu)
{
	struct gw_machine *machine = vcpu->machine;
	uint64_t one = 1;

	if (++machine->parked == machine->config.vcpus)
		(void)!write(machine->notify, &one, sizeof(one));
	while (!machine->run && !machine->end && vcpu->verified == machine->verify_wanted)
		pthread_cond_wait(&machine->changed, &machine->lock);
	machine->parked--;
}

/* Under the lock: is there anything that a vCPU has to leave its work for? */
static void set_attention(struct gw_machine *machine)
{
	const bool wanted = !machine->run || machine->end || machine->verify_left;

	atomic_store(&machine->attention, wanted);
	if (wanted)
		(void)syscall(SYS_futex, &machine->attention, FUTEX_WAKE_PRIVATE, INT_MAX, NULL,
		              NULL, 0);
	pthread_cond_broadcast(&machine->changed);
}

static void pace_again(struct gw_vcpu *vcpu)
{
	const struct gw_native_config *config = &vcpu->machine->config;
	const uint64_t now = alive(vcpu, false);

	pace_start(&vcpu->write, config->writes, config->vcpus, now);
	pace_start(&vcpu->read, config->reads, config->vcpus, now);
}

/* Returns true when the thread is to end. */
static bool attend(struct gw_vcpu *vcpu)
{
	struct gw_machine *machine = vcpu->machine;
	bool was_parked = false, end;

	pthread_mutex_lock(&machine->lock);
	while (!machine->end && (!machine->run || vcpu->verified != machine->verify_wanted)) {
		if (vcpu->verified != machine->verify_wanted) {
			verify(vcpu);
			set_attention(machine);
		} else {
			park(vcpu);
			was_parked = true;
		}
	}
	end = machine->end;
	pthread_mutex_unlock(&machine->lock);
	if (was_parked && !end)
		pace_again(vcpu);
	return end;
}

static void populate(struct gw_vcpu *vcpu)
{
	for (uint64_t k = 0; k < vcpu->own && page_of(vcpu, k) < vcpu->machine->config.populate;
	     k++)
		write_page(vcpu, k);
}

static void *vcpu_main(void *argument)
{
	struct gw_vcpu *vcpu = argument;

	atomic_store(&vcpu->tid, gettid());
	if (vcpu->machine->populate)
		populate(vcpu);
	for (;;) {
		if (atomic_load_explicit(&vcpu->machine->attention, memory_order_acquire)) {
			if (attend(vcpu))
				return NULL;
		} else {
			turn(vcpu);
		}
	}
}

static void seed_vcpu(struct gw_vcpu *vcpu)
{
	SET(vcpu->state.random,
	    gw_mix(vcpu->machine->config.seed * GW_NATIVE_MAX_VCPUS + vcpu->index));
	SET(vcpu->state.write_cursor, 0);
	SET(vcpu->state.read_cursor, 0);
}

static int vcpu_init(struct gw_machine *machine, uint64_t index)
{
	const struct gw_native_config *config = &machine->config;
	const uint64_t up = config->vcpus - 1 - index;
	const uint64_t end = config->set ? config->offset + config->set : config->pages;
	struct gw_vcpu *vcpu = &machine->vcpus[index];

	memset(vcpu, 0, sizeof(*vcpu));
	vcpu->machine = machine;
	vcpu->index = index;
	vcpu->own = (config->pages + up) / config->vcpus;
	vcpu->low = (config->offset + up) / config->vcpus;
	vcpu->high = (end + up) / config->vcpus;
	vcpu->stamps = malloc(vcpu->own * sizeof(*vcpu->stamps));
	if (!vcpu->stamps)
		return -ENOMEM;
	for (uint64_t k = 0; k < vcpu->own; k++)
		vcpu->stamps[k] = GW_STAMP_UNTOUCHED;
	seed_vcpu(vcpu);
	return 0;
}

static int open_ram(struct gw_machine *machine, const char *path, struct gw_error *error)
{
	const uint64_t bytes = machine->config.pages * GW_NATIVE_PAGE_BYTES;
	struct stat status;

	machine->ram_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (machine->ram_fd < 0 || fstat(machine->ram_fd, &status))
		return gw_fail(error, errno, "cannot open the RAM file %s: %s", path,
		               strerror(errno));
	if (!S_ISREG(status.st_mode) || (status.st_size && (uint64_t)status.st_size != bytes))
		return gw_fail(error, EINVAL,
		               "%s is not a file of %" PRIu64 " bytes; give a new name or the "
		               "right number of pages",
		               path, bytes);
	if (!status.st_size && ftruncate(machine->ram_fd, (off_t)bytes))
		return gw_fail(error, errno, "cannot make %s %" PRIu64 " bytes long: %s", path,
		               bytes, strerror(errno));
	machine->ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	                    machine->private_ram ? MAP_PRIVATE : MAP_SHARED, machine->ram_fd, 0);
	if (machine->ram == MAP_FAILED)
		return gw_fail(error, errno, "cannot map %s: %s", path, strerror(errno));
	return 0;
}

static int start_threads(struct gw_machine *machine, struct gw_error *error)
{
	for (uint64_t i = 0; i < machine->config.vcpus; i++)
		if (vcpu_init(machine, i))
			return gw_fail(error, ENOMEM, "no memory for the versions of the pages");
	for (uint64_t i = 0; i < machine->config.vcpus; i++) {
		struct gw_vcpu *vcpu = &machine->vcpus[i];
		int result = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);

		if (result)
			return gw_fail(error, result, "cannot start a vCPU thread: %s",
			               strerror(result));
		while (!atomic_load(&vcpu->tid))
			(void)sched_yield();
	}
	return 0;
}

int gw_machine_start(struct gw_machine *machine, const char *ram_path, bool incoming,
                     struct gw_error *error)
{
	int result = open_ram(machine, ram_path, error);

	if (result)
		return result;
	machine->populate = !incoming;
	machine->notify = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	machine->vcpus = aligned_alloc(128, machine->config.vcpus * sizeof(struct gw_vcpu));
	if (machine->notify < 0 || !machine->vcpus)
		return gw_fail(error, ENOMEM, "no memory for %" PRIu64 " vCPUs",
		               machine->config.vcpus);
	pthread_mutex_init(&machine->lock, NULL);
	pthread_cond_init(&machine->changed, NULL);
	gw_contents_init(&machine->contents, machine->config.seed, machine->config.fill);
	atomic_store(&machine->attention, 1);
	return start_threads(machine, error);
}

void gw_machine_run(struct gw_machine *machine, bool run)
{
	pthread_mutex_lock(&machine->lock);
	machine->run = run && !machine->panicked;
	set_attention(machine);
	pthread_mutex_unlock(&machine->lock);
}

bool gw_machine_all_parked(struct gw_machine *machine)
{
	bool all;

	pthread_mutex_lock(&machine->lock);
	all = machine->parked == machine->config.vcpus && !machine->run;
	pthread_mutex_unlock(&machine->lock);
	return all;
}

void gw_machine_panic(struct gw_machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	machine->panicked = true;
	pthread_mutex_unlock(&machine->lock);
	gw_machine_run(machine, false);
}

void gw_machine_reset(struct gw_machine *machine)
{
	for (uint64_t i = 0; i < machine->config.vcpus; i++)
		seed_vcpu(&machine->vcpus[i]);
}

int gw_machine_verify(struct gw_machine *machine)
{
	int result = -EBUSY;

	pthread_mutex_lock(&machine->lock);
	if (!machine->verify_left) {
		machine->verify_wanted++;
		machine->verify_left = (unsigned)machine->config.vcpus;
		machine->verify_compared = 0;
		machine->verify_different = 0;
		machine->verify_first[0] = 0;
		set_attention(machine);
		result = 0;
	}
	pthread_mutex_unlock(&machine->lock);
	return result;
}

bool gw_machine_verify_done(struct gw_machine *machine)
{
	bool done;

	pthread_mutex_lock(&machine->lock);
	done = !machine->verify_left;
	pthread_mutex_unlock(&machine->lock);
	return done;
}

int gw_machine_finding(struct gw_machine *machine, char text[200])
{
	int told = 0;

	pthread_mutex_lock(&machine->lock);
	if (machine->findings_told < machine->findings) {
		memcpy(text, machine->finding[machine->findings_told++], 200);
		told = 1;
	}
	pthread_mutex_unlock(&machine->lock);
	return told;
}

void gw_machine_clear(struct gw_machine *machine)
{
	for (uint64_t i = 0; i < machine->config.vcpus; i++)
		SET(machine->vcpus[i].state.longest_gap_ns, 0);
}
