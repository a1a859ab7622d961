/* SPDX-License-Identifier: MIT */
/*
 * live/vm/registry.h - what this host knows of its VMs, on disk.
 *
 *   GODWIT_DIR/NAME/{vm.json, qmp.sock, log, lock}
 *   GODWIT_RAM_DIR/godwit-NAME-<random>.ram
 *
 * GODWIT_DIR is /var/lib/godwit for root, else ${XDG_STATE_HOME:-~/.local/state}/godwit;
 * GODWIT_RAM_DIR is /dev/shm.
 */
#ifndef GW_LIVE_VM_REGISTRY_H
#define GW_LIVE_VM_REGISTRY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct gw_record {
	char name[64];
	pid_t pid;
	uint64_t start_time; /* of the process, in clock ticks since boot: tells reused pids */
	char boot_id[40];
	char ram_path[256];
	uint64_t ram_bytes;
	char qmp_path[128];
	char log_path[256];
	json_t *argv; /* array of strings; owned */
};

/* Letters, digits, "._-", not starting with a dot, 1 to 63 bytes. */
int gw_name_check(const char *name, struct gw_error *error);

/* Where GODWIT_DIR is. */
int gw_registry_dir(char *path, size_t room, struct gw_error *error);
/* Makes the VM's directory (private to the user) and writes the path of `file` in it. */
int gw_registry_path(const char *name, const char *file, char *path, size_t room,
                     struct gw_error *error);
/* A fresh name for a RAM file; the file is not made. */
int gw_registry_ram_path(const char *name, char *path, size_t room, struct gw_error *error);
/*
 * Holds the VM for one migration, recording or run. Waits up to five seconds for another's end, then
 * -EBUSY. Close the fd to let go; whoever removes the VM does so before.
 */
int gw_registry_lock(const char *name, int *fd, struct gw_error *error);

/* Fills pid, start_time and boot_id. */
int gw_record_stamp(struct gw_record *record, pid_t pid, struct gw_error *error);
/* True if the very process of the record runs. */
bool gw_record_alive(const struct gw_record *record);
/* Written whole or not at all. */
int gw_registry_save(const struct gw_record *record, struct gw_error *error);
/* -ENOENT: no such VM. */
int gw_registry_load(const char *name, struct gw_record *record, struct gw_error *error);
void gw_record_clear(struct gw_record *record);
/* Removes vm.json, socket and log, and the directory if nothing else is in it. */
void gw_registry_remove(const char *name);
/* Calls for every VM that has a record, in no order, until `each` returns non-zero. */
int gw_registry_list(int (*each)(const struct gw_record *record, void *context), void *context,
                     struct gw_error *error);

/*
 * Starts a VM that can be moved: `args` are QEMU's (without the program), NULL-terminated; the RAM
 * backend, the control socket and an accelerator are added. Fills *record (clear it).
 * qemu: the program; NULL: qemu-system-x86_64.
 */
int gw_run(const char *name, const char *qemu, char *const *args, struct gw_record *record,
           struct gw_error *error);

#endif
