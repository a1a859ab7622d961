/* SPDX-License-Identifier: MIT */
/*
 * live/host/guest.h - a VM on this host as the agents see it: what runs it, and how it is
 * described to another host. Behind it stand QEMU and the native guest.
 */
#ifndef GW_LIVE_HOST_GUEST_H
#define GW_LIVE_HOST_GUEST_H

#include "core/page/set.h"
#include "live/vm/checks.h"
#include "live/vm/vm.h"

struct gw_guest {
	struct gw_vm *vm;     /* owned */
	char *spec;           /* owned: JSON, what the other host starts it from */
	char kind[16];        /* "qemu", "native" */
	char control[256];    /* its control socket */
	bool direct_io;       /* its disks write to guest memory behind the page tables */
	bool runs;            /* reopened: it was found running */
	bool balloon;         /* pages may become holes while it runs */
	uint64_t state_bytes; /* expected size of the device state */
	int lock;             /* owned: no other migration of this VM may begin */
};

struct gw_guest_where {
	const char *dir;  /* GODWIT_DIR */
	const char *name; /* NULL: by pid */
	pid_t pid;
	const char *qmp; /* control socket; NULL: known to the registry, or found */
};

/* The source's half of Pre-Migration: opens, and checks that the VM can be moved at all. */
int gw_guest_open(struct gw_guest *guest, const struct gw_guest_where *where,
                  struct gw_error *error);
/* An agent that follows a crashed one: no checks. */
int gw_guest_reopen(struct gw_guest *guest, const char *kind, const char *name, const char *control,
                    pid_t pid, const char *ram, bool paused, struct gw_error *error);
/* Source: pages that the other host will read first, as gw_qemu_hot_pages() tells them. Waits. */
unsigned gw_guest_hot_pages(struct gw_guest *guest, struct gw_run *runs, unsigned max);
/* Lets go; the VM goes on. */
void gw_guest_close(struct gw_guest *guest);
/* The VM is gone from this host: its process, its memory, its entry. */
void gw_guest_remove(struct gw_guest *guest);

/* What this host's agent is willing to do for a VM that comes. */
struct gw_host_settings {
	const char *dir;
	const char *qemu;                    /* the only binary that is started for a QEMU guest */
	const struct gw_qemu_binary *binary; /* what that QEMU offers; NULL: none is there */
	const char *native;                  /* likewise for a native guest; NULL: none */
	const char *const *maps;       /* "OLD=NEW": taps, bridges, image paths; ended by NULL */
	const char *const *image_dirs; /* images may lie below these; ended by NULL */
};

/*
 * The destination's half: checks the description, starts the VM so that it waits for its state, its
 * memory all holes. The sentence of a failure goes to the source as it is.
 */
int gw_guest_start(struct gw_guest *guest, const struct gw_host_settings *settings,
                   const char *name, const char *spec, size_t spec_bytes, uint64_t ram_bytes,
                   uint32_t vcpus, bool paused, struct gw_error *error);

#endif
