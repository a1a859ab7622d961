/* SPDX-License-Identifier: MIT */
/*
 * live/host/fleet_look.c - which VMs there are, whether they can be moved, and how they behave.
 *
 * Each VM is observed by a process of its own, all at the same time.
 */
#include "live/host/fleet.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/host/clock.h"
#include "live/host/observe.h"
#include "live/host/resolve.h"
#include "live/host/room.h"
#include "live/vm/native.h"
#include "live/vm/registry.h"

#define ASK_MS  3000
#define LOOK_MS 250
#define ESTIMATED_MAX                                                                              \
	48 /* of more the closed form must do: an estimate takes a core for a second */
#define SECOND_NS UINT64_C(1000000000)

/* --- which there are ------------------------------------------------------------------------- */

static int add(struct gw_evacuation *e, const char *name)
{
	struct gw_member *larger;

	for (size_t i = 0; i < e->count; i++)
		if (!strcmp(e->members[i].name, name))
			return 0;
	larger = reallocarray(e->members, e->count + 1, sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	e->members = larger;
	larger[e->count] = (struct gw_member){.host = GW_PLAN_NOWHERE, .observed_fd = -1};
	gw_move_init(&larger[e->count].move);
	(void)snprintf(larger[e->count++].name, sizeof(larger->name), "%s", name);
	return 0;
}

static int add_record(const struct gw_record *record, void *context)
{
	return gw_record_alive(record) ? add(context, record->name) : 0;
}

static int add_question(const struct gw_question *question, void *context)
{
	return question->journal.side == GW_SIDE_SOURCE ? add(context, question->journal.name) : 0;
}

/* Native guests have no record, but a socket. */
static int add_natives(struct gw_evacuation *e)
{
	DIR *dir = opendir(e->options.dir);
	struct dirent *entry;
	char path[512];
	int err = 0;

	while (dir && !err && (entry = readdir(dir))) {
		if (gw_name_check(entry->d_name, NULL))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s/" GW_NATIVE_CONTROL, e->options.dir,
		               entry->d_name);
		if (!access(path, F_OK))
			err = add(e, entry->d_name);
	}
	if (dir)
		closedir(dir);
	return err;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct gw_member *)a)->name, ((const struct gw_member *)b)->name);
}

static int find_all(struct gw_evacuation *e, struct gw_error *error)
{
	int err = gw_registry_list(add_record, e, error);

	if (!err)
		err = add_natives(e);
	if (!err)
		err = gw_questions_each(e->options.dir, NULL, add_question, e);
	if (err)
		return gw_fail(error, -err, "the VMs of this host cannot be listed");
	if (e->count)
		qsort(e->members, e->count, sizeof(*e->members), by_name);
	return 0;
}

static int find_named(struct gw_evacuation *e, char *const *names, size_t count,
                      struct gw_error *error)
{
	for (size_t i = 0; i < count; i++) {
		if (!gw_name_is_known(e->options.dir, names[i]))
			return gw_fail(error, ENOENT,
			               "no VM is named %s here: `godwit list` shows which there "
			               "are",
			               names[i]);
		if (add(e, names[i]))
			return gw_fail(error, ENOMEM, "no memory for %zu VMs", count);
	}
	return 0;
}

/* --- whether they can be moved --------------------------------------------------------------- */

static void stays(struct gw_member *m, const char *why)
{
	m->state = GW_MEMBER_STAYS;
	(void)snprintf(m->why, sizeof(m->why), "%s", why);
}

/* An earlier migration of it: true if it decides. */
static bool is_open_question(const struct gw_evacuation *e, struct gw_member *m)
{
	struct gw_question q;

	if (!gw_question_find(e->options.dir, m->name, &q))
		return false;
	if (q.agent) {
		stays(m, "it is being migrated already");
		return true;
	}
	if (!gw_question_holds_name(&q))
		return false;
	if (q.journal.side == GW_SIDE_DESTINATION || q.journal.record == GW_REC_DOUBT) {
		stays(m, gw_question_owner(&q));
		return true;
	}
	m->unfinished = true;
	m->ram_bytes = m->data_bytes = q.journal.ram_bytes;
	return true;
}

static void check(const struct gw_evacuation *e, struct gw_member *m)
{
	struct gw_guest_where where = {.dir = e->options.dir, .name = m->name};
	struct gw_error error = {{0}};
	struct gw_guest guest;

	if (is_open_question(e, m))
		return;
	if (gw_guest_open(&guest, &where, &error)) {
		stays(m, error.text);
		return;
	}
	m->pid = guest.vm->pid;
	m->ram_bytes = m->data_bytes = guest.vm->ram_bytes;
	gw_usage_open(&m->usage, guest.vm);
	m->used = gw_usage_read(&m->usage);
	gw_guest_close(&guest);
}

/* --- how they behave ------------------------------------------------------------------------- */

struct seen {
	bool valid;
	uint64_t data_bytes, dirty_bytes_per_s, hot_bytes;
	struct gw_fleet_way ways[GW_WAYS_MAX];
	size_t way_count;
};

/* Different pages written in each second, and in all. */
struct counting {
	struct gw_set second, all;
	uint64_t second_pages, second_ns; /* of the seconds that are over */
	uint64_t since_ns;
};

static void end_second(struct counting *c)
{
	c->second_pages += gw_set_count(&c->second);
	c->second_ns += c->since_ns;
	c->since_ns = 0;
	gw_set_clear(&c->second);
}

static void count_window(struct counting *c, const struct gw_window *w)
{
	for (size_t i = 0; i < w->written_count; i++) {
		gw_set_add_run(&c->second, w->written[i]);
		gw_set_add_run(&c->all, w->written[i]);
	}
	c->since_ns += w->length_ns;
	if (c->since_ns >= SECOND_NS)
		end_second(c);
}

static void evaluate(const struct gw_observed *o, struct seen *seen)
{
	size_t words = gw_set_words(o->ram_pages);
	_cleanup_free_ uint64_t *memory = calloc(2 * words, sizeof(*memory));
	struct counting c = {.since_ns = 0};
	uint64_t all, rate;

	if (!memory)
		return;
	gw_set_init(&c.second, memory, o->ram_pages);
	gw_set_init(&c.all, memory + words, o->ram_pages);
	for (size_t i = 0; i < o->observation.count; i++)
		count_window(&c, &o->observation.windows[i]);
	if (c.since_ns)
		end_second(&c);
	all = gw_set_count(&c.all);
	gw_set_union(&c.all, &o->populated);
	rate = c.second_ns ? (uint64_t)((double)c.second_pages * 1e9 / (double)c.second_ns) : 0;
	*seen = (struct seen){
	        .valid = true,
	        .data_bytes = (gw_set_count(&c.all) - o->zero_pages) * GW_PAGE_BYTES,
	        .dirty_bytes_per_s = rate * GW_PAGE_BYTES,
	        /* Every second the same pages: that is its working set, or most of it. */
	        .hot_bytes = all <= rate + rate / 4 ? (all + all / 4) * GW_PAGE_BYTES : 0,
	};
}

static _Noreturn void observe(const struct gw_evacuation *e, const struct gw_member *m, int to)
{
	struct gw_guest_where where = {.dir = e->options.dir, .name = m->name};
	struct gw_observe_options options = {.for_ns = e->options.observe_ns, .count_zeros = true};
	struct gw_error error;
	struct gw_guest guest;
	struct gw_observed observed;
	struct seen seen = {0};

	if (!gw_guest_open(&guest, &where, &error)) {
		if (!gw_observe(&guest, NULL, &options, &observed, &error))
			evaluate(&observed, &seen);
		if (seen.valid && e->options.estimate && observed.windows.count &&
		    e->count <= ESTIMATED_MAX)
			seen.way_count =
			        e->options.estimate(e, &guest, &observed, gw_fleet_alone(e, m),
			                            m->observed_fd, seen.ways);
		gw_guest_close(&guest);
	}
	_exit(write(to, &seen, sizeof(seen)) != sizeof(seen));
}

static pid_t begin_to_observe(const struct gw_evacuation *e, struct gw_member *m, int *from)
{
	int ends[2];
	pid_t pid;

	if (pipe(ends))
		return -1;
	m->observed_fd = memfd_create("godwit-observed", MFD_CLOEXEC);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		observe(e, m, ends[1]);
	}
	close(ends[1]);
	if (pid < 0)
		close(ends[0]);
	*from = ends[0];
	return pid;
}

/* What could not be observed is planned as if it wrote nothing; its interval says little then. */
static void take_seen(struct gw_member *m, pid_t pid, int from, uint64_t observed_ns)
{
	struct gw_usage_counts before = m->used;
	struct seen seen = {0};
	uint64_t cpu_ns;

	if (read(from, &seen, sizeof(seen)) == sizeof(seen) && seen.valid) {
		m->data_bytes = seen.data_bytes;
		m->dirty_bytes_per_s = seen.dirty_bytes_per_s;
		m->hot_bytes = seen.hot_bytes;
		m->way_count = seen.way_count;
		memcpy(m->ways, seen.ways, sizeof(m->ways));
	}
	close(from);
	(void)waitpid(pid, NULL, 0);
	m->used = gw_usage_read(&m->usage);
	if (!observed_ns || !m->usage.vcpus || m->used.cpu_ns < before.cpu_ns ||
	    m->used.sent_bytes < before.sent_bytes)
		return; /* it has ended meanwhile, or lost a thread or a tap */
	cpu_ns = m->used.cpu_ns - before.cpu_ns;
	m->cpu_permille = (uint32_t)(cpu_ns * 1000 / (observed_ns * m->usage.vcpus));
	gw_traffic_add(&m->traffic, (uint64_t)((double)(m->used.sent_bytes - before.sent_bytes) *
	                                       1e9 / (double)observed_ns));
}

/* The processes that observe, by their pipes; the last one is the user's wish to stop. */
struct observers {
	struct pollfd *pipes;
	pid_t *pids;
	size_t all, done;
};

static void stop_observing(const struct observers *o, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (o->pipes[i].fd < 0)
			continue;
		(void)kill(o->pids[i], SIGKILL);
		(void)waitpid(o->pids[i], NULL, 0);
		close(o->pipes[i].fd);
	}
}

static int await(struct gw_evacuation *e, struct observers *o, struct gw_error *error)
{
	uint64_t began_ns = gw_now_ns();

	while (o->done < o->all) {
		(void)poll(o->pipes, e->count + 1, LOOK_MS);
		if (o->pipes[e->count].revents) {
			stop_observing(o, e->count);
			return gw_fail(error, EINTR, "stopped: no VM has been moved");
		}
		for (size_t i = 0; i < e->count; i++) {
			if (o->pipes[i].fd < 0 || !o->pipes[i].revents)
				continue;
			take_seen(&e->members[i], o->pids[i], o->pipes[i].fd,
			          e->options.observe_ns);
			o->pipes[i].fd = -1;
			o->done++;
		}
		if (e->options.observing)
			e->options.observing(e->options.arg, gw_now_ns() - began_ns, o->done,
			                     o->all);
	}
	return 0;
}

int gw_fleet_observe(struct gw_evacuation *e, struct gw_error *error)
{
	_cleanup_free_ struct pollfd *pipes = calloc(e->count + 1, sizeof(*pipes));
	_cleanup_free_ pid_t *pids = calloc(e->count + 1, sizeof(*pids));
	struct observers o = {pipes, pids, 0, 0};

	if (!pipes || !pids)
		return gw_fail(error, ENOMEM, "no memory for %zu VMs", e->count);
	for (size_t i = 0; i < e->count; i++) {
		pipes[i] = (struct pollfd){.fd = -1, .events = POLLIN};
		if (e->members[i].pid)
			pids[i] = begin_to_observe(e, &e->members[i], &pipes[i].fd);
		if (pids[i] <= 0)
			pipes[i].fd = -1;
		o.all += pids[i] > 0;
	}
	pipes[e->count] = (struct pollfd){.fd = e->options.stop_fd, .events = POLLIN};
	return await(e, &o, error);
}

int gw_fleet_look(struct gw_evacuation *e, char *const *names, size_t count, struct gw_error *error)
{
	int err = count ? find_named(e, names, count, error) : find_all(e, error);

	if (err)
		return err;
	for (size_t i = 0; i < e->count; i++)
		check(e, &e->members[i]);
	return 0;
}

/* --- where they can go ----------------------------------------------------------------------- */

void gw_fleet_ask_hosts(struct gw_evacuation *e)
{
	for (size_t i = 0; i < e->host_count; i++) {
		struct gw_fleet_to *host = &e->hosts[i];
		struct gw_error error = {{0}};
		struct gw_room room;

		host->silent = gw_room_ask(host->name, ASK_MS, &room, &error) != 0;
		(void)snprintf(host->why, sizeof(host->why), "%s", error.text);
		if (host->silent)
			continue;
		host->free_bytes = room.free_bytes;
		host->ifindex = room.ifindex;
		if (!e->ifindex)
			e->ifindex = room.ifindex;
	}
}
