/* SPDX-License-Identifier: MIT */
#include "live/vm/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/vm/options.h"

/* --- vCPUs: the first number of schedstat is the time a thread has run, in ns ---------------- */

static void open_threads(struct gw_usage *usage, const struct gw_vm *vm)
{
	unsigned opened = 0;

	usage->threads = malloc((vm->vcpus ? vm->vcpus : 1) * sizeof(*usage->threads));
	if (!usage->threads)
		return;
	usage->vcpus = vm->vcpus;
	for (unsigned i = 0; i < vm->vcpus; i++) {
		char path[80];

		(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", (int)vm->pid,
		               (int)vm->vcpu_threads[i]);
		usage->threads[i] = open(path, O_RDONLY | O_CLOEXEC);
		opened += usage->threads[i] >= 0;
	}
	usage->cpu_known = opened && opened == vm->vcpus;
}

static bool read_thread(int fd, uint64_t *ns)
{
	char line[80];
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);

	if (n <= 0)
		return false;
	line[n] = '\0';
	return sscanf(line, "%" SCNu64, ns) == 1;
}

static uint64_t read_threads(struct gw_usage *usage)
{
	uint64_t sum = 0, ns;

	for (unsigned i = 0; usage->cpu_known && i < usage->vcpus; i++) {
		usage->cpu_known = read_thread(usage->threads[i], &ns);
		sum += usage->cpu_known ? ns : 0;
	}
	return usage->cpu_known ? sum : 0;
}

/* --- taps: a descriptor of one tells its name, the network namespace its counters ------------ */

static void add_tap(struct gw_usage *usage, const char *name)
{
	for (unsigned i = 0; i < usage->tap_count; i++)
		if (!strcmp(usage->taps[i], name))
			return; /* another queue of it */
	if (usage->tap_count < GW_USAGE_TAPS)
		(void)snprintf(usage->taps[usage->tap_count++], sizeof(usage->taps[0]), "%s", name);
}

static void find_taps(struct gw_usage *usage)
{
	char path[64], file[340], line[128], name[16];
	struct dirent *entry;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)usage->pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		_cleanup_fclose_ FILE *f = NULL;

		(void)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		f = entry->d_name[0] == '.' ? NULL : fopen(file, "re");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "iff: %15s", name) == 1)
				add_tap(usage, name);
	}
	if (dir)
		closedir(dir);
}

static bool is_tap(const char *type)
{
	return !strcmp(type, "tap") || !strcmp(type, "bridge");
}

/* What comes after -netdev or -nic; what is no tap is carried by sockets, or by another process. */
static void take_network(struct gw_usage *usage, const char *value, unsigned *taps)
{
	_cleanup_options_ struct gw_options o = {0};
	const char *type =
	        gw_options_parse(&o, value, "type", NULL) ? NULL : gw_options_get(&o, "type");

	if (!type)
		return;
	*taps += is_tap(type);
	if (!is_tap(type) && strcmp(type, "none") != 0)
		(void)snprintf(usage->untapped, sizeof(usage->untapped), "%s", type);
}

static void find_untapped(struct gw_usage *usage)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *word = NULL;
	bool network = false;
	unsigned taps = 0;
	size_t room = 0;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)usage->pid);
	f = fopen(path, "re");
	while (f && getdelim(&word, &room, '\0', f) > 0) {
		if (network)
			take_network(usage, word, &taps);
		network = !strcmp(word, "-netdev") || !strcmp(word, "-nic");
	}
	/* A macvtap's descriptor looks like a tap's to QEMU, but does not tell its device. */
	if (!usage->untapped[0] && taps > usage->tap_count)
		(void)snprintf(usage->untapped, sizeof(usage->untapped), "macvtap");
}

/* "  tap0: RX-BYTES 7 more TX-BYTES ...": what the host receives the VM has sent. */
static bool read_interface(const char *line, char name[16], uint64_t *sent, uint64_t *received)
{
	return sscanf(line, " %15[^: ]: %" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %" SCNu64, name,
	              sent, received) == 3;
}

static void read_taps(struct gw_usage *usage, struct gw_usage_counts *counts)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[256], name[16];
	uint64_t sent, received, all_sent = 0, all = 0;
	unsigned found = 0;

	if (!usage->tap_count)
		return;
	(void)snprintf(path, sizeof(path), "/proc/%d/net/dev", (int)usage->pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (!read_interface(line, name, &sent, &received))
			continue;
		for (unsigned i = 0; i < usage->tap_count; i++)
			if (!strcmp(usage->taps[i], name)) {
				all_sent += sent;
				all += sent + received;
				found++;
			}
	}
	usage->network_known = found == usage->tap_count;
	if (!usage->network_known)
		return;
	counts->network_bytes = all;
	counts->sent_bytes = all_sent;
}

void gw_usage_open(struct gw_usage *usage, const struct gw_vm *vm)
{
	*usage = (struct gw_usage){.pid = vm->pid};
	open_threads(usage, vm);
	find_taps(usage);
	find_untapped(usage);
	(void)gw_usage_read(usage);
}

struct gw_usage_counts gw_usage_read(struct gw_usage *usage)
{
	struct gw_usage_counts counts = {.cpu_ns = read_threads(usage)};

	read_taps(usage, &counts);
	return counts;
}

uint32_t gw_usage_permille(const struct gw_usage *usage, uint64_t cpu_ns, uint64_t length_ns)
{
	double all = (double)length_ns * usage->vcpus;
	double share = all > 0 ? (double)cpu_ns * 1000 / all + 0.5 : 0;

	return share > 1000 ? 1000 : (uint32_t)share;
}

void gw_usage_close(struct gw_usage *usage)
{
	for (unsigned i = 0; i < usage->vcpus; i++)
		if (usage->threads[i] >= 0)
			close(usage->threads[i]);
	free(usage->threads);
	*usage = (struct gw_usage){0};
}
