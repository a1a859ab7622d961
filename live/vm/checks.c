/* SPDX-License-Identifier: MIT */
#include "live/vm/checks.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <linux/magic.h>

#include "base/cleanup.h"
#include "live/vm/kvm.h"
#include "live/vm/qemu.h"
#include "live/vm/registry.h"

#define ASK_MS      5000
#define LISTING_MAX (1u << 20)
#define RESERVE     (64ull << 20) /* what QEMU itself takes besides the guest's RAM */

extern char **environ;

/* --- source --------------------------------------------------------------------------------- */

static int ask(struct gw_vm *vm, const char *command, json_t *arguments, json_t **answer,
               struct gw_error *error)
{
	return gw_qmp_call(gw_qemu_qmp(vm), command, arguments, ASK_MS, answer, error);
}

static int check_backend(struct gw_vm *vm, const json_t *list, struct gw_error *error)
{
	const json_t *one = json_array_get(list, 0);
	const char *id = json_string_value(json_object_get(one, "id"));
	char path[128];
	json_t *type;
	bool file;
	int rc;

	if (json_array_size(list) > 1)
		return gw_fail(
		        error, ENOTSUP,
		        "%s has %zu memory backends: only a VM with a single one can be moved.",
		        vm->name, json_array_size(list));
	if (!id || !json_is_true(json_object_get(one, "share")))
		return gw_fail(
		        error, ENOTSUP,
		        "The RAM of %s is private to QEMU: start it with \"godwit run\", or with "
		        "share=on on its memory-backend-file.",
		        vm->name);
	(void)snprintf(path, sizeof(path), "/objects/%s", id);
	rc = ask(vm, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", "type"), &type,
	         error);
	if (rc < 0)
		return rc;
	file = json_string_value(type) && !strcmp(json_string_value(type), "memory-backend-file");
	json_decref(type);
	if (!file)
		return gw_fail(
		        error, ENOTSUP,
		        "The RAM of %s is not in a named file (memory-backend-file), so it cannot "
		        "be reached from outside.",
		        vm->name);
	return 0;
}

static int check_ram(struct gw_vm *vm, struct gw_error *error)
{
	struct statfs fs;
	json_t *list, *summary;
	long long plugged;
	int rc = ask(vm, "query-memdev", NULL, &list, error);

	if (rc < 0)
		return rc;
	rc = check_backend(vm, list, error);
	json_decref(list);
	if (rc == 0 && statfs(vm->ram_path, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC)
		rc = gw_fail(
		        error, ENOTSUP,
		        "The RAM of %s is on hugetlbfs, which is not supported: put it on tmpfs.",
		        vm->name);
	if (rc < 0)
		return rc;
	rc = ask(vm, "query-memory-size-summary", NULL, &summary, error);
	if (rc < 0)
		return rc;
	plugged = json_integer_value(json_object_get(summary, "plugged-memory"));
	json_decref(summary);
	if (plugged > 0)
		return gw_fail(error, ENOTSUP,
		               "%s has hot-plugged memory, which cannot be moved: unplug it.",
		               vm->name);
	return 0;
}

static int check_blockers(struct gw_vm *vm, struct gw_error *error)
{
	json_t *migration, *reasons;
	int rc = ask(vm, "query-migrate", NULL, &migration, error);

	if (rc < 0)
		return rc;
	reasons = json_object_get(migration, "blocked-reasons");
	if (json_array_size(reasons))
		rc = gw_fail(error, ENOTSUP, "QEMU says that %s cannot be moved: %s", vm->name,
		             json_string_value(json_array_get(reasons, 0)));
	json_decref(migration);
	return rc;
}

static int check_one_device(struct gw_vm *vm, const char *type, struct gw_source_facts *facts,
                            struct gw_error *error)
{
	if (strncmp(type, "child<vfio", 10) == 0 || strncmp(type, "child<vhost-user", 16) == 0 ||
	    strncmp(type, "child<vhost-vdpa", 16) == 0 || strncmp(type, "child<ivshmem", 13) == 0)
		return gw_fail(
		        error, ENOTSUP,
		        "%s has the device %.*s, which writes to guest memory unseen: unplug it "
		        "before the move.",
		        vm->name, (int)strcspn(type + 6, ">"), type + 6);
	if (strncmp(type, "child<virtio-balloon", 20) == 0)
		facts->balloon = true;
	return 0;
}

static int check_devices(struct gw_vm *vm, struct gw_source_facts *facts, struct gw_error *error)
{
	static const char *const places[] = {"/machine/peripheral", "/machine/peripheral-anon"};
	int rc = 0;

	for (unsigned p = 0; p < 2 && rc == 0; p++) {
		json_t *list, *one;
		size_t i;

		rc = ask(vm, "qom-list", json_pack("{s:s}", "path", places[p]), &list, error);
		if (rc < 0)
			break;
		json_array_foreach(list, i, one)
		{
			const char *type = json_string_value(json_object_get(one, "type"));

			if (rc == 0 && type)
				rc = check_one_device(vm, type, facts, error);
		}
		json_decref(list);
	}
	return rc;
}

/* Network back ends are in no list of QMP. */
static int check_networks(struct gw_vm *vm, struct gw_error *error)
{
	json_t *text;
	const char *info;
	int rc = ask(vm, "human-monitor-command",
	             json_pack("{s:s}", "command-line", "info network"), &text, error);

	if (rc < 0)
		return rc;
	info = json_string_value(text);
	if (info && (strstr(info, "type=vhost-user") || strstr(info, "type=vhost-vdpa") ||
	             strstr(info, "vhost-user") || strstr(info, "vhost-vdpa")))
		rc = gw_fail(
		        error, ENOTSUP,
		        "%s has a vhost-user or vDPA network, which writes to guest memory unseen: "
		        "give it a tap.",
		        vm->name);
	json_decref(text);
	return rc;
}

int gw_check_source(struct gw_vm *vm, const json_t *spec, struct gw_source_facts *facts,
                    struct gw_error *error)
{
	int rc;

	*facts = (struct gw_source_facts){.direct_io =
	                                          json_is_true(json_object_get(spec, "direct_io"))};
	rc = check_ram(vm, error);
	if (rc == 0)
		rc = check_devices(vm, facts, error);
	if (rc == 0)
		rc = check_networks(vm, error);
	if (rc == 0)
		rc = check_blockers(vm, error);
	return rc;
}

/* --- destination ---------------------------------------------------------------------------- */

/* What the program prints, cut at LISTING_MAX; NULL: it cannot be run. */
static char *listing(const char *program, const char *option, const char *value)
{
	char *argv[] = {(char *)program, (char *)option, (char *)value, NULL};
	_cleanup_fclose_ FILE *out = NULL;
	posix_spawn_file_actions_t actions;
	char *text = NULL;
	int pipes[2], rc;
	size_t got;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return NULL;
	out = fdopen(pipes[0], "r");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
	rc = posix_spawnp(&pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipes[1]);
	if (rc != 0 || !out)
		return NULL;
	text = malloc(LISTING_MAX + 1);
	got = text ? fread(text, 1, LISTING_MAX, out) : 0;
	if (text)
		text[got] = '\0';
	while (waitpid(pid, &rc, 0) < 0 && errno == EINTR)
		;
	return text;
}

void gw_qemu_binary_clear(struct gw_qemu_binary *binary)
{
	free(binary->machines);
	free(binary->cpus);
	memset(binary, 0, sizeof(*binary));
}

int gw_qemu_binary_probe(struct gw_qemu_binary *binary, const char *qemu, struct gw_error *error)
{
	_cleanup_free_ char *version = listing(qemu, "--version", NULL);

	memset(binary, 0, sizeof(*binary));
	if (!version ||
	    sscanf(version, "QEMU emulator version %d.%d", &binary->major, &binary->minor) != 2)
		return gw_fail(
		        error, ENOENT,
		        "%s is no QEMU that can be run here: install it, or name it with --qemu.",
		        qemu);
	binary->machines = listing(qemu, "-machine", "help");
	binary->cpus = listing(qemu, "-cpu", "help");
	if (binary->machines && binary->cpus)
		return 0;
	gw_qemu_binary_clear(binary);
	return gw_fail(error, EIO, "%s does not say which machines and CPUs it has.", qemu);
}

/* True if some line has `word` as its column `column`. */
static bool lists(const char *text, const char *word, unsigned column)
{
	size_t length = strlen(word);

	while (*text) {
		const char *at = text + strspn(text, " ");

		for (unsigned i = 0; i < column; i++) {
			at += strcspn(at, " \n");
			at += strspn(at, " ");
		}
		if (strncmp(at, word, length) == 0 && strchr(" \n", at[length]))
			return true;
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return false;
}

static int check_binary(const json_t *spec, const struct gw_qemu_binary *binary,
                        struct gw_error *error)
{
	const json_t *qemu = json_object_get(spec, "qemu");
	const char *machine = json_string_value(json_object_get(spec, "machine"));
	const char *type = json_string_value(json_object_get(spec, "cpu"));
	const char *accel = json_string_value(json_object_get(spec, "accel"));
	int major = (int)json_integer_value(json_array_get(qemu, 0));
	int minor = (int)json_integer_value(json_array_get(qemu, 1));
	char cpu[96], *end;

	if (binary->major < major || (binary->major == major && binary->minor < minor))
		return gw_fail(
		        error, ENOTSUP,
		        "The VM runs under QEMU %d.%d, and the destination has %d.%d: it needs the "
		        "same or a newer one.",
		        major, minor, binary->major, binary->minor);
	if (!lists(binary->machines, machine, 0))
		return gw_fail(error, ENOTSUP,
		               "The destination's QEMU does not know the machine type %s.",
		               machine);
	(void)snprintf(cpu, sizeof(cpu), "%s", type);
	end = strstr(cpu, "-x86_64-cpu");
	if (end)
		*end = '\0';
	if (!lists(binary->cpus, cpu, 1))
		return gw_fail(error, ENOTSUP,
		               "The destination's QEMU does not know the CPU model %s.", cpu);
	if (accel && strcmp(accel, "kvm") == 0 && !gw_kvm_works())
		return gw_fail(error, ENOTSUP,
		               "The VM runs under KVM, which the destination does not offer.");
	return 0;
}

static bool same_word(const json_t *a, const json_t *b)
{
	static const char *const of[] = {"cpuid-register", "cpuid-input-eax", "cpuid-input-ecx"};

	for (unsigned i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		const json_t *x = json_object_get(a, of[i]), *y = json_object_get(b, of[i]);

		if ((x || y) && !(x && y && json_equal(x, y)))
			return false;
	}
	return true;
}

static uint64_t features_of(const json_t *words, const json_t *like)
{
	const json_t *word;
	size_t i;

	json_array_foreach(words, i, word)
	{
		if (same_word(word, like))
			return (uint64_t)json_integer_value(json_object_get(word, "features"));
	}
	return 0;
}

int gw_check_processor(struct gw_vm *vm, const json_t *spec, struct gw_error *error)
{
	const json_t *theirs = json_object_get(spec, "features"), *word;
	json_t *ours = gw_spec_features(vm);
	size_t i;
	int rc = 0;

	json_array_foreach(theirs, i, word)
	{
		uint64_t has = (uint64_t)json_integer_value(json_object_get(word, "features"));
		uint64_t lacks = ours ? has & ~features_of(ours, word) : 0;
		const char *in = json_string_value(json_object_get(word, "cpuid-register"));

		if (rc == 0 && lacks)
			rc = gw_fail(error, ENOTSUP,
			             "The VM's processor has features that the destination's lacks "
			             "(CPUID %llx, %.3s: %llx): move it to a host of its kind, or "
			             "start it with -cpu and a model that both have.",
			             (unsigned long long)json_integer_value(
			                     json_object_get(word, "cpuid-input-eax")),
			             in ? in : "", (unsigned long long)lacks);
	}
	json_decref(ours);
	return rc;
}

static int check_disks(const json_t *spec, const struct gw_spec_host *host, struct gw_error *error)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(spec, "disks"), i, disk)
	{
		const char *old = json_string_value(json_object_get(disk, "path"));
		bool read_only = json_is_true(json_object_get(disk, "read_only")), mapped;
		char path[1024];
		int rc = gw_spec_map(host->maps, old, path, sizeof(path), &mapped, error);

		if (rc < 0)
			return rc;
		if (access(path, read_only ? R_OK : R_OK | W_OK) < 0)
			return gw_fail(
			        error, ENOENT,
			        "The disk %.200s cannot be opened at the destination (%s): share "
			        "it, or map it there with --map OLD=NEW.",
			        path, strerror(errno));
	}
	return 0;
}

static int check_net(const char *kind, const char *old, const struct gw_spec_host *host,
                     struct gw_error *error)
{
	char name[64], path[128];
	bool mapped;
	int rc = gw_spec_map(host->maps, old, name, sizeof(name), &mapped, error);

	if (rc < 0)
		return rc;
	(void)snprintf(path, sizeof(path), "/sys/class/net/%s/%s", name,
	               strcmp(kind, "tap") == 0 ? "tun_flags" : "bridge");
	if (strchr(name, '/') || name[0] == '.' || access(path, F_OK) < 0)
		return gw_fail(
		        error, ENOENT,
		        "The destination has no %s %s: create it, or map it there with --map "
		        "%.40s=NEW.",
		        strcmp(kind, "tap") == 0 ? "tap" : "bridge", name, old);
	return 0;
}

static int check_nets(const json_t *spec, const struct gw_spec_host *host, struct gw_error *error)
{
	const json_t *net;
	size_t i;
	int rc = 0;

	json_array_foreach(json_object_get(spec, "nets"), i, net)
	{
		const char *ifname = json_string_value(json_object_get(net, "ifname"));
		const char *bridge = json_string_value(json_object_get(net, "bridge"));

		if (rc == 0 && ifname)
			rc = check_net("tap", ifname, host, error);
		if (rc == 0 && bridge)
			rc = check_net("bridge", bridge, host, error);
	}
	return rc;
}

static uint64_t available_bytes(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			return kib << 10;
	return UINT64_MAX; /* not told: QEMU will say */
}

static int check_memory(const json_t *spec, const struct gw_spec_host *host, struct gw_error *error)
{
	uint64_t needed = (uint64_t)json_integer_value(
	        json_object_get(json_object_get(spec, "ram"), "bytes"));
	uint64_t there = available_bytes(), space;
	struct statvfs fs;
	char path[256];

	if (needed + RESERVE > there)
		return gw_fail(
		        error, ENOSPC,
		        "The VM needs %llu MiB of memory, and the destination has %llu MiB left.",
		        (unsigned long long)(needed >> 20), (unsigned long long)(there >> 20));
	(void)snprintf(path, sizeof(path), "%s", host->ram_path);
	if (statvfs(dirname(path), &fs) < 0)
		return gw_fail(error, ENOENT, "The directory for RAM files, %s, is not there.",
		               path);
	space = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (needed > space)
		return gw_fail(
		        error, ENOSPC,
		        "The VM needs %llu MiB in %s, and the destination has %llu MiB left there.",
		        (unsigned long long)(needed >> 20), path,
		        (unsigned long long)(space >> 20));
	return 0;
}

static int check_name(const char *name, struct gw_error *error)
{
	struct gw_record record;
	int rc = gw_name_check(name, error);

	if (rc < 0 || gw_registry_load(name, &record, NULL) < 0)
		return rc;
	if (gw_record_alive(&record))
		rc = gw_fail(error, EEXIST,
		             "The destination already runs a VM with the name %s (pid %d).", name,
		             (int)record.pid);
	gw_record_clear(&record);
	return rc;
}

int gw_check_destination(const json_t *spec, const struct gw_spec_host *host,
                         const struct gw_qemu_binary *binary, struct gw_error *error)
{
	int rc = check_name(host->name, error);

	if (rc == 0)
		rc = check_binary(spec, binary, error);
	if (rc == 0)
		rc = check_memory(spec, host, error);
	if (rc == 0)
		rc = check_disks(spec, host, error);
	if (rc == 0)
		rc = check_nets(spec, host, error);
	return rc;
}
