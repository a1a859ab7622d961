/* SPDX-License-Identifier: MIT */
/*
 * live/vm/qemu.h - QEMU as a gw_vm: device state over a descriptor, guest RAM left alone.
 *
 * Both sides run with the capabilities x-ignore-shared (the stream holds device state only) and
 * return-path (the source says "completed" only after the destination has loaded everything), so
 * GW_VM_SAVED comes after the peer's GW_VM_LOADED, and the relay between them must carry both
 * directions. A destination takes image locks at cont, not at load (late-block-activate).
 *
 *   source       open -> prepare_save -> stop -> save -> quit        (cont at any point: rollback)
 *   destination  start incoming -> load -> cont                      (quit at any point)
 *
 * The capabilities are switched off again by gw_vm_close(): a VM that is later saved by someone
 * else must not lose its RAM.
 */
#ifndef GW_LIVE_VM_QEMU_H
#define GW_LIVE_VM_QEMU_H

#include "core/page/set.h"
#include "live/vm/qmp.h"
#include "live/vm/vm.h"

struct gw_qemu_where {
	const char *name;
	pid_t pid; /* 0: the process that listens on the socket */
	const char *qmp_path;
	const char *ram_path; /* NULL: ask QEMU */
	const char *log_path; /* NULL: unknown; its last line explains a failure */
};

/*
 * Attaches to a running QEMU. vm->paused is "no vCPU runs now": after a crash of the agent the
 * caller, who has the journal, sets it to what the guest's owner wants.
 */
int gw_qemu_open(struct gw_vm **vm, const struct gw_qemu_where *where, struct gw_error *error);

/* An agent that died had prepared this VM: gw_vm_close() undoes that for it. */
void gw_qemu_take_over(struct gw_vm *vm);

struct gw_qemu_launch {
	const char *name;
	char *const *argv;
	const char *qmp_path; /* what argv tells QEMU */
	const char *ram_path;
	const char *log_path;
	bool incoming;  /* argv has -incoming defer -S: prepares for load, RAM is made all holes */
	bool paused;    /* incoming only: the guest was paused and must stay so */
	int timeout_ms; /* 0: 30 s */
};

/* Starts QEMU, detached; on failure it is gone and the sentence holds its last words. */
int gw_qemu_start(struct gw_vm **vm, const struct gw_qemu_launch *launch, struct gw_error *error);

struct gw_qemu_adopt {
	const char *name;
	pid_t pid;
	int control; /* QMP, connected; taken over */
	const char *ram_path, *log_path;
	int timeout_ms; /* until it greets */
};

/* A QEMU that somebody else started with -incoming defer -S; its RAM is left as it is. Waits. */
int gw_qemu_adopt(struct gw_vm **vm, const struct gw_qemu_adopt *adopt, struct gw_error *error);

/* For set-up phases; borrowed. */
struct gw_qmp *gw_qemu_qmp(struct gw_vm *vm);
/* Waits: QEMU's run state, such as "running", "paused", "postmigrate". */
int gw_qemu_status(struct gw_vm *vm, char *status, size_t room, struct gw_error *error);
/*
 * Waits. Source: what the destination's QEMU reads while it loads, active virtio rings above all
 * (runs of one page, ascending, at most `max`). A hint, for PC machines: 0 is a fine answer.
 */
unsigned gw_qemu_hot_pages(struct gw_vm *vm, struct gw_run *runs, unsigned max);
/* Makes a hole of the whole file and checks that it is one. */
int gw_qemu_empty_ram(const char *ram_path, struct gw_error *error);

#endif
