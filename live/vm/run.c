/* SPDX-License-Identifier: MIT */
/* Turns a plain QEMU command line into one of a VM that can be moved, and starts it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "live/vm/kvm.h"
#include "live/vm/options.h"
#include "live/vm/qemu.h"
#include "live/vm/registry.h"

#define ARGS_MAX  256
#define RAM_BYTES (128ull << 20) /* QEMU's default */

struct line { /* the command line in the making */
	json_t *argv;
	uint64_t ram_bytes;
	bool machine, accel;
};

static void push(struct line *l, const char *text)
{
	json_array_append_new(l->argv, json_string(text));
}

static int take_machine(struct line *l, const char *value, struct gw_error *error)
{
	_cleanup_options_ struct gw_options o = {0};
	_cleanup_free_ char *text = NULL;
	int rc = gw_options_parse(&o, value, "type", error);

	if (rc < 0)
		return rc;
	if (gw_options_get(&o, "memory-backend"))
		return gw_fail(
		        error, EINVAL,
		        "-machine memory-backend= conflicts with the RAM file that godwit adds: "
		        "leave it out.");
	l->machine = true;
	l->accel = l->accel || gw_options_get(&o, "accel");
	rc = gw_options_set(&o, "memory-backend", "ram0");
	text = rc < 0 ? NULL : gw_options_text(&o);
	if (!text)
		return gw_fail(error, ENOMEM, "Out of memory.");
	push(l, text);
	return 0;
}

static int take_memory(struct line *l, const char *value, struct gw_error *error)
{
	_cleanup_options_ struct gw_options o = {0};
	const char *size;
	int rc = gw_options_parse(&o, value, "size", error);

	if (rc < 0)
		return rc;
	if (gw_options_get(&o, "slots") || gw_options_get(&o, "maxmem"))
		return gw_fail(
		        error, ENOTSUP,
		        "-m slots=,maxmem= means several memory backends, which cannot be moved: "
		        "give the size alone.");
	size = gw_options_get(&o, "size");
	l->ram_bytes = size ? gw_options_size(size, 1 << 20) : 0;
	if (!l->ram_bytes || l->ram_bytes % 4096)
		return gw_fail(error, EINVAL, "-m %s is no size of memory.", value);
	push(l, value);
	return 0;
}

static int refuse(const char *option, const char *value, struct gw_error *error)
{
	static const char *const no[] = {"mem-path", "mem-prealloc", "daemonize", "incoming",
	                                 "snapshot", "pidfile",      "readconfig"};

	for (unsigned i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (strcmp(option, no[i]) == 0)
			return gw_fail(
			        error, EINVAL,
			        "-%s does not go together with \"godwit run\": leave it out.",
			        option);
	if (strcmp(option, "object") == 0 && value && strstr(value, "memory-backend-"))
		return gw_fail(
		        error, EINVAL,
		        "-object memory-backend-... conflicts with the RAM file that godwit adds: "
		        "leave it out.");
	if (strcmp(option, "numa") == 0 && value && strstr(value, "memdev"))
		return gw_fail(error, ENOTSUP, "-numa memdev= cannot be moved: leave it out.");
	return 0;
}

static int take_args(struct line *l, char *const *args, struct gw_error *error)
{
	int rc = 0;

	for (int i = 0; args[i] && rc == 0; i++) {
		const char *option = args[i], *value = args[i + 1];

		push(l, args[i]);
		if (option[0] != '-')
			continue;
		option += option[1] == '-' ? 2 : 1;
		rc = refuse(option, value, error);
		l->accel = l->accel || strcmp(option, "accel") == 0 ||
		           strcmp(option, "enable-kvm") == 0;
		if (rc < 0 || !value)
			continue;
		if (strcmp(option, "machine") == 0 || strcmp(option, "M") == 0)
			rc = take_machine(l, args[++i], error);
		else if (strcmp(option, "m") == 0)
			rc = take_memory(l, args[++i], error);
	}
	return rc;
}

static void push_pair(struct line *l, const char *option, struct gw_options *o)
{
	_cleanup_free_ char *text = gw_options_text(o);

	push(l, option);
	push(l, text ? text : "");
}

static void add_ours(struct line *l, const struct gw_record *r)
{
	_cleanup_options_ struct gw_options ram = {0}, qmp = {0};
	char number[32];

	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)l->ram_bytes);
	(void)gw_options_set(&ram, "qom-type", "memory-backend-file");
	(void)gw_options_set(&ram, "id", "ram0");
	(void)gw_options_set(&ram, "size", number);
	(void)gw_options_set(&ram, "mem-path", r->ram_path);
	(void)gw_options_set(&ram, "share", "on");
	push_pair(l, "-object", &ram);
	if (!l->machine) {
		push(l, "-machine");
		push(l, "memory-backend=ram0");
	}
	if (!l->accel) {
		push(l, "-accel");
		push(l, gw_accelerator());
	}
	(void)gw_options_set(&qmp, "backend", "socket");
	(void)gw_options_set(&qmp, "id", "godwit-qmp");
	(void)gw_options_set(&qmp, "path", r->qmp_path);
	(void)gw_options_set(&qmp, "server", "on");
	(void)gw_options_set(&qmp, "wait", "off");
	push_pair(l, "-chardev", &qmp);
	push(l, "-mon");
	push(l, "chardev=godwit-qmp,mode=control");
	push(l, "-name");
	push(l, r->name);
}

static int start(struct gw_record *r, struct gw_error *error)
{
	struct gw_qemu_launch launch = {.name = r->name,
	                                .qmp_path = r->qmp_path,
	                                .ram_path = r->ram_path,
	                                .log_path = r->log_path};
	char *argv[ARGS_MAX + 1];
	size_t count = json_array_size(r->argv);
	struct gw_vm *vm;
	int rc;

	if (count > ARGS_MAX)
		return gw_fail(error, E2BIG, "More than %d arguments for QEMU.", ARGS_MAX);
	for (size_t i = 0; i < count; i++)
		argv[i] = (char *)json_string_value(json_array_get(r->argv, i));
	argv[count] = NULL;
	launch.argv = argv;
	rc = gw_qemu_start(&vm, &launch, error);
	if (rc < 0)
		return rc;
	r->ram_bytes = vm->ram_bytes;
	rc = gw_record_stamp(r, vm->pid, error);
	if (rc == 0)
		rc = gw_registry_save(r, error);
	if (rc < 0)
		(void)gw_vm_quit(vm, NULL);
	gw_vm_close(vm);
	return rc;
}

static int name_paths(struct gw_record *r, const char *name, struct gw_error *error)
{
	int rc = gw_registry_path(name, "qmp.sock", r->qmp_path, sizeof(r->qmp_path), error);

	if (rc == 0 && strlen(r->qmp_path) > 107)
		rc = gw_fail(
		        error, ENAMETOOLONG,
		        "The control socket's path %s is longer than the 107 bytes that a Unix "
		        "socket may have: choose a shorter GODWIT_DIR.",
		        r->qmp_path);
	if (rc == 0)
		rc = gw_registry_path(name, "log", r->log_path, sizeof(r->log_path), error);
	if (rc == 0)
		rc = gw_registry_ram_path(name, r->ram_path, sizeof(r->ram_path), error);
	(void)snprintf(r->name, sizeof(r->name), "%s", name);
	return rc;
}

static int not_running(const char *name, struct gw_error *error)
{
	struct gw_record old;
	bool alive;

	if (gw_registry_load(name, &old, NULL) < 0)
		return 0;
	alive = gw_record_alive(&old);
	if (alive)
		(void)gw_fail(error, EEXIST, "%s already runs here (pid %d).", name, (int)old.pid);
	else if (old.ram_path[0])
		(void)unlink(old.ram_path); /* of a VM that is gone */
	gw_record_clear(&old);
	return alive ? -EEXIST : 0;
}

int gw_run(const char *name, const char *qemu, char *const *args, struct gw_record *record,
           struct gw_error *error)
{
	struct line line = {.argv = json_array(), .ram_bytes = RAM_BYTES};
	_cleanup_close_ int lock = -1;
	int rc;

	memset(record, 0, sizeof(*record));
	record->argv = line.argv;
	push(&line, qemu ? qemu : "qemu-system-x86_64");
	rc = gw_registry_lock(name, &lock, error);
	if (rc == 0)
		rc = not_running(name, error);
	if (rc < 0)
		return rc;
	rc = name_paths(record, name, error);
	if (rc == 0)
		rc = take_args(&line, args, error);
	if (rc == 0) {
		add_ours(&line, record);
		(void)unlink(record->qmp_path);
		rc = start(record, error);
	}
	if (rc < 0) {
		(void)unlink(record->ram_path);
		gw_registry_remove(name);
	}
	return rc;
}
