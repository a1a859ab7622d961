/* SPDX-License-Identifier: MIT */
#include "live/host/guest.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/host/journal.h"
#include "live/vm/native.h"
#include "live/vm/qemu.h"
#include "live/vm/registry.h"
#include "live/vm/spec.h"

static void clear(struct gw_guest *guest)
{
	memset(guest, 0, sizeof(*guest));
	guest->lock = -1;
}

unsigned gw_guest_hot_pages(struct gw_guest *guest, struct gw_run *runs, unsigned max)
{
	return strcmp(guest->kind, "qemu") ? 0 : gw_qemu_hot_pages(guest->vm, runs, max);
}

void gw_guest_close(struct gw_guest *guest)
{
	if (guest->vm)
		gw_vm_close(guest->vm);
	free(guest->spec);
	if (guest->lock >= 0)
		close(guest->lock);
	clear(guest);
}

/* The name is held until nothing is left of its VM: the next of that name must find it empty. */
void gw_guest_remove(struct gw_guest *guest)
{
	char name[sizeof(guest->vm->name)], ram[sizeof(guest->vm->ram_path)];
	int lock = guest->lock;

	if (!guest->vm)
		return;
	guest->lock = -1;
	(void)snprintf(name, sizeof(name), "%s", guest->vm->name);
	(void)snprintf(ram, sizeof(ram), "%s", guest->vm->ram_path);
	(void)gw_vm_quit(guest->vm, NULL);
	if (!strcmp(guest->kind, "native"))
		(void)unlink(guest->control);
	gw_guest_close(guest);
	(void)unlink(ram);
	gw_registry_remove(name);
	if (lock >= 0)
		close(lock);
}

/* --- at the source -------------------------------------------------------------------------- */

static int open_native(struct gw_guest *guest, const char *path, struct gw_error *error)
{
	int err = gw_native_open(&guest->vm, path, error);

	if (err)
		return err;
	(void)snprintf(guest->kind, sizeof(guest->kind), "native");
	(void)snprintf(guest->control, sizeof(guest->control), "%s", path);
	guest->spec = gw_native_spec(guest->vm, error);
	guest->state_bytes = guest->vm->ram_bytes / 4096 * sizeof(uint32_t); /* a version a page */
	return guest->spec ? 0 : -EIO;
}

static int describe_qemu(struct gw_guest *guest, const json_t *argv, struct gw_error *error)
{
	struct gw_source_facts facts = {0};
	json_t *spec;
	int err = gw_spec_make(guest->vm, argv, &spec, error);

	if (err)
		return err;
	err = gw_check_source(guest->vm, spec, &facts, error);
	guest->direct_io = facts.direct_io;
	guest->balloon = facts.balloon;
	guest->spec = err ? NULL : json_dumps(spec, JSON_COMPACT);
	json_decref(spec);
	if (err)
		return err;
	return guest->spec ? 0 : gw_fail(error, ENOMEM, "no memory for the VM's description");
}

static int open_qemu(struct gw_guest *guest, const struct gw_qemu_where *where, const json_t *argv,
                     struct gw_error *error)
{
	int err = gw_qemu_open(&guest->vm, where, error);

	if (err)
		return err;
	(void)snprintf(guest->kind, sizeof(guest->kind), "qemu");
	(void)snprintf(guest->control, sizeof(guest->control), "%s", where->qmp_path);
	return describe_qemu(guest, argv, error);
}

static int no_such_vm(const char *name, struct gw_error *error)
{
	return gw_fail(error, ENOENT,
	               "no VM is named %s here: `godwit list` shows those that `godwit run` "
	               "started; others are given by --pid",
	               name);
}

static int open_registered(struct gw_guest *guest, const char *name, struct gw_error *error)
{
	struct gw_record record;
	struct gw_qemu_where where;
	int err = gw_registry_load(name, &record, error);

	if (err == -ENOENT) {
		gw_registry_remove(name); /* it left while its name was waited for */
		return no_such_vm(name, error);
	}
	if (err)
		return err;
	if (!gw_record_alive(&record)) {
		gw_record_clear(&record);
		return gw_fail(error, ESRCH, "the VM %s does not run any more", name);
	}
	where = (struct gw_qemu_where){.name = name,
	                               .pid = record.pid,
	                               .qmp_path = record.qmp_path,
	                               .ram_path = record.ram_path,
	                               .log_path = record.log_path};
	err = open_qemu(guest, &where, record.argv, error);
	gw_record_clear(&record);
	return err;
}

/* The control socket that a QEMU not started by us was given: -qmp unix:PATH or a chardev. */
static bool find_qmp(pid_t pid, char *path, size_t room)
{
	char file[64], text[65536], *at, *end;
	_cleanup_fclose_ FILE *f = NULL;
	size_t n;

	(void)snprintf(file, sizeof(file), "/proc/%d/cmdline", (int)pid);
	f = fopen(file, "re");
	n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	text[n] = '\0';
	for (at = text, end = text + n; at < end; at += strlen(at) + 1) {
		char *value = at + strlen(at) + 1;

		if (strcmp(at, "-qmp") || value >= end || strncmp(value, "unix:", 5))
			continue;
		(void)snprintf(path, room, "%.*s", (int)strcspn(value + 5, ","), value + 5);
		return true;
	}
	return false;
}

static int open_by_pid(struct gw_guest *guest, const struct gw_guest_where *where,
                       struct gw_error *error)
{
	char name[32], qmp[108];
	struct gw_qemu_where at = {.name = where->name, .pid = where->pid, .qmp_path = where->qmp};

	if (kill(where->pid, 0) && errno == ESRCH)
		return gw_fail(error, ESRCH, "no process has the pid %d", (int)where->pid);
	(void)snprintf(name, sizeof(name), "pid-%d", (int)where->pid);
	if (!at.name)
		at.name = name;
	if (!at.qmp_path && find_qmp(where->pid, qmp, sizeof(qmp)))
		at.qmp_path = qmp;
	if (!at.qmp_path)
		return gw_fail(error, EINVAL,
		               "process %d has no -qmp unix:PATH on its command line: give its "
		               "control socket by --qmp",
		               (int)where->pid);
	return open_qemu(guest, &at, NULL, error);
}

static int must_be_known(const char *name, struct gw_error *error)
{
	char dir[200], path[300];
	int err = gw_name_check(name, error);

	if (!err)
		err = gw_registry_dir(dir, sizeof(dir), error);
	if (err)
		return err;
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) ? no_such_vm(name, error) : 0;
}

int gw_guest_open(struct gw_guest *guest, const struct gw_guest_where *where,
                  struct gw_error *error)
{
	char native[300];
	int err = 0;

	clear(guest);
	if (where->name && !where->pid)
		err = must_be_known(where->name, error);
	else if (where->name)
		err = gw_name_check(where->name, error);
	if (!err && where->pid)
		err = open_by_pid(guest, where, error);
	else if (!err)
		err = gw_registry_lock(where->name, &guest->lock, error);
	if (!err && !where->pid) {
		err = gw_registry_path(where->name, GW_NATIVE_CONTROL, native, sizeof(native),
		                       error);
		if (!err && !access(native, F_OK))
			err = open_native(guest, native, error);
		else if (!err)
			err = open_registered(guest, where->name, error);
	}
	if (err) {
		gw_guest_close(guest);
	}
	return err;
}

int gw_guest_reopen(struct gw_guest *guest, const char *kind, const char *name, const char *control,
                    pid_t pid, const char *ram, bool paused, struct gw_error *error)
{
	struct gw_qemu_where where = {
	        .name = name, .pid = pid, .qmp_path = control, .ram_path = ram};
	int err;

	clear(guest);
	if (!strcmp(kind, "native"))
		err = gw_native_open(&guest->vm, control, error);
	else
		err = gw_qemu_open(&guest->vm, &where, error);
	if (err) {
		gw_guest_close(guest);
		return err;
	}
	if (strcmp(kind, "native") != 0)
		gw_qemu_take_over(guest->vm);
	guest->runs = !guest->vm->paused;
	guest->vm->paused = paused;
	(void)snprintf(guest->kind, sizeof(guest->kind), "%s", kind);
	(void)snprintf(guest->control, sizeof(guest->control), "%s", control);
	(void)snprintf(guest->vm->name, sizeof(guest->vm->name), "%s", name);
	return 0;
}

/* --- at the destination --------------------------------------------------------------------- */

/* Beside godwit others fill that file system too: what was free now may still run out. */
static int room_for(const char *ram, uint64_t bytes, struct gw_error *error)
{
	char dir[256];
	struct statvfs fs;

	(void)snprintf(dir, sizeof(dir), "%s", ram);
	*strrchr(dir, '/') = '\0';
	if (statvfs(dir, &fs) || (uint64_t)fs.f_bavail * fs.f_frsize >= bytes)
		return 0; /* where it cannot be told, making the file will tell */
	return gw_fail(error, ENOSPC,
	               "the VM needs %llu MiB of memory and %s on the destination has %llu MiB "
	               "free",
	               (unsigned long long)(bytes >> 20), dir,
	               (unsigned long long)((uint64_t)fs.f_bavail * fs.f_frsize >> 20));
}

static int start_native(struct gw_guest *guest, const struct gw_host_settings *settings,
                        const char *name, const char *spec, size_t bytes, uint64_t ram_bytes,
                        bool paused, struct gw_error *error)
{
	char control[256], dir[256], ram[256];
	struct gw_native_start start = {.binary = settings->native,
	                                .dir = dir,
	                                .ram_path = ram,
	                                .incoming = true,
	                                .paused = paused};
	int err;

	if (!settings->native)
		return gw_fail(error, ENOTSUP, "this host runs no native guests");
	err = gw_registry_path(name, GW_NATIVE_CONTROL, control, sizeof(control), error);
	if (err)
		return err;
	(void)snprintf(dir, sizeof(dir), "%s", control);
	*strrchr(dir, '/') = '\0';
	err = gw_registry_ram_path(name, ram, sizeof(ram), error);
	if (!err)
		err = room_for(ram, ram_bytes, error);
	if (!err)
		err = gw_native_start_from_spec(&guest->vm, &start, spec, bytes, error);
	if (err) {
		(void)unlink(ram);
		return err;
	}
	(void)snprintf(guest->kind, sizeof(guest->kind), "native");
	(void)snprintf(guest->control, sizeof(guest->control), "%s", control);
	return 0;
}

static int launch_qemu(struct gw_guest *guest, struct gw_record *record, bool paused,
                       struct gw_error *error)
{
	_cleanup_free_ char **argv = gw_spec_strings(record->argv);
	struct gw_qemu_launch launch = {.name = record->name,
	                                .argv = argv,
	                                .qmp_path = record->qmp_path,
	                                .ram_path = record->ram_path,
	                                .log_path = record->log_path,
	                                .incoming = true,
	                                .paused = paused};
	int err;

	if (!argv)
		return gw_fail(error, ENOMEM, "no memory for a command line");
	err = gw_qemu_start(&guest->vm, &launch, error);
	if (!err)
		err = gw_record_stamp(record, guest->vm->pid, error);
	if (!err) {
		record->ram_bytes = guest->vm->ram_bytes;
		err = gw_registry_save(record, error);
	}
	return err;
}

static int start_qemu(struct gw_guest *guest, const struct gw_host_settings *settings,
                      const char *name, const char *bytes, size_t count, bool paused,
                      struct gw_error *error)
{
	struct gw_record record = {0};
	struct gw_spec_host host = {.name = name,
	                            .qemu = settings->qemu,
	                            .ram_path = record.ram_path,
	                            .qmp_path = record.qmp_path,
	                            .maps = settings->maps,
	                            .image_dirs = settings->image_dirs};
	json_t *spec;
	int err = gw_spec_parse(bytes, count, &spec, error);

	if (err)
		return err;
	(void)snprintf(record.name, sizeof(record.name), "%s", name);
	err = gw_registry_path(name, "qmp.sock", record.qmp_path, sizeof(record.qmp_path), error);
	if (!err)
		err = gw_registry_path(name, "log", record.log_path, sizeof(record.log_path),
		                       error);
	if (!err)
		err = gw_registry_ram_path(name, record.ram_path, sizeof(record.ram_path), error);
	if (!err && !settings->binary)
		err = gw_fail(error, ENOENT, "there is no QEMU on the destination: %s",
		              settings->qemu);
	if (!err)
		err = gw_check_destination(spec, &host, settings->binary, error);
	if (!err)
		err = gw_spec_destination_argv(spec, &host, &record.argv, error);
	if (!err)
		err = launch_qemu(guest, &record, paused, error);
	if (!err)
		err = gw_check_processor(guest->vm, spec, error);
	json_decref(spec);
	(void)snprintf(guest->kind, sizeof(guest->kind), "qemu");
	(void)snprintf(guest->control, sizeof(guest->control), "%s", record.qmp_path);
	if (err)
		(void)unlink(record.ram_path);
	gw_record_clear(&record);
	return err;
}

static bool is_native(const char *spec, size_t bytes)
{
	json_t *json = json_loadb(spec, bytes, 0, NULL);
	const char *kind = json_string_value(json_object_get(json, "kind"));
	bool native = kind && !strcmp(kind, "native");

	json_decref(json);
	return native;
}

struct search {
	const char *name;
	bool found;
};

static int is_open(const struct gw_journal *journal, void *arg)
{
	struct search *search = arg;

	search->found = !strcmp(journal->name, search->name) &&
	                !gw_journal_settled(journal->record) && journal->record != GW_REC_WHOLE;
	return search->found;
}

static int name_is_free(const char *name, const char *dir, struct gw_error *error)
{
	struct gw_record record;
	struct search open = {.name = name};
	char native[300];
	bool alive = false;

	(void)gw_journal_each(dir, is_open, &open);
	if (open.found)
		return gw_fail(
		        error, EBUSY,
		        "a migration of %s is unfinished on the destination: `godwit status` "
		        "there says how it stands",
		        name);
	if (!gw_registry_load(name, &record, NULL)) {
		alive = gw_record_alive(&record);
		if (!alive && record.ram_path[0])
			(void)unlink(record.ram_path); /* of a VM that is gone */
		gw_record_clear(&record);
	}
	if (!alive && !gw_registry_path(name, GW_NATIVE_CONTROL, native, sizeof(native), NULL))
		alive = !access(native, F_OK);
	return alive ? gw_fail(error, EEXIST, "a VM named %s runs on the destination already", name)
	             : 0;
}

int gw_guest_start(struct gw_guest *guest, const struct gw_host_settings *settings,
                   const char *name, const char *spec, size_t spec_bytes, uint64_t ram_bytes,
                   uint32_t vcpus, bool paused, struct gw_error *error)
{
	bool registered = false;
	int err;

	clear(guest);
	err = gw_name_check(name, error);
	if (!err) {
		err = gw_registry_lock(name, &guest->lock, error);
		if (!err)
			err = name_is_free(name, settings->dir, error);
		registered = !err;
	}
	if (!err && is_native(spec, spec_bytes))
		err = start_native(guest, settings, name, spec, spec_bytes, ram_bytes, paused,
		                   error);
	else if (!err)
		err = start_qemu(guest, settings, name, spec, spec_bytes, paused, error);
	if (!err && (guest->vm->ram_bytes != ram_bytes || guest->vm->vcpus != vcpus))
		err = gw_fail(error, EPROTO,
		              "the VM was announced with %llu bytes of memory and %u vCPUs, but "
		              "its description makes %llu and %u",
		              (unsigned long long)ram_bytes, vcpus,
		              (unsigned long long)guest->vm->ram_bytes, guest->vm->vcpus);
	if (err && guest->vm) {
		gw_guest_remove(guest);
	} else if (err) {
		if (registered)
			gw_registry_remove(name);
		gw_guest_close(guest);
	}
	return err;
}
