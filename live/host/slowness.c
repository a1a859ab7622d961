/* SPDX-License-Identifier: MIT */
#include "live/host/slowness.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define PERMILLE_MAX 5000u /* who hardly ran says little */

static void open_thread(struct gw_slowness_meter *meter, const char *path)
{
	meter->threads[meter->count++] = open(path, O_RDONLY | O_CLOEXEC);
}

static void open_threads(struct gw_slowness_meter *meter, pid_t pid)
{
	char path[340];
	struct dirent *entry;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && meter->count < GW_SLOWNESS_THREADS && (entry = readdir(dir))) {
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid,
		               entry->d_name);
		if (entry->d_name[0] != '.')
			open_thread(meter, path);
	}
	if (dir)
		closedir(dir);
}

/* One that has ended counts no more. */
static void add_thread(int fd, struct gw_slowness_part *to)
{
	uint64_t run_ns, wait_ns;
	char line[80];
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);

	if (n <= 0)
		return;
	line[n] = '\0';
	if (sscanf(line, "%" SCNu64 " %" SCNu64, &run_ns, &wait_ns) != 2)
		return;
	to->run_ns += run_ns;
	to->wait_ns += wait_ns;
}

static struct gw_slowness_part so_far(const struct gw_slowness_meter *meter, unsigned from,
                                      unsigned to)
{
	struct gw_slowness_part part = {0};

	for (unsigned i = from; i < to; i++)
		add_thread(meter->threads[i], &part);
	return part;
}

/* 0: they did not run, or one of them has ended. */
static uint32_t permille(const struct gw_slowness_part *was, const struct gw_slowness_part *is)
{
	double share;

	if (is->run_ns <= was->run_ns || is->wait_ns < was->wait_ns)
		return 0;
	share = (double)(is->wait_ns - was->wait_ns) / (double)(is->run_ns - was->run_ns);
	return share < PERMILLE_MAX / 1000 - 1 ? 1000 + (uint32_t)(1000 * share) : PERMILLE_MAX;
}

void gw_slowness_open(struct gw_slowness_meter *meter, pid_t pid, uint64_t now_ns)
{
	*meter = (struct gw_slowness_meter){.since_ns = now_ns};
	open_thread(meter, "/proc/thread-self/schedstat");
	open_threads(meter, pid);
	meter->agent = so_far(meter, 0, 1);
	meter->vm = so_far(meter, 1, meter->count);
}

void gw_slowness_look(struct gw_slowness_meter *meter, uint64_t now_ns, struct gw_slowness *to)
{
	struct gw_slowness_part agent, vm;
	uint32_t ours, its;

	if (now_ns - meter->since_ns < GW_SLOWNESS_EVERY_NS)
		return;
	agent = so_far(meter, 0, 1);
	vm = so_far(meter, 1, meter->count);
	ours = permille(&meter->agent, &agent);
	its = permille(&meter->vm, &vm);
	if (ours || its)
		to->permille[to->count++ % GW_SLOWNESS_KEPT] = ours > its ? ours : its;
	meter->agent = agent;
	meter->vm = vm;
	meter->since_ns = now_ns;
}

void gw_slowness_close(struct gw_slowness_meter *meter)
{
	while (meter->count)
		(void)close(meter->threads[--meter->count]);
}
