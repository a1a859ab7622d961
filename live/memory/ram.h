/* SPDX-License-Identifier: MIT */
/*
 * live/memory/ram.h - a guest's RAM: a named shared file, our mapping of it, and where the
 * hypervisor has mapped it.
 */
#ifndef GW_LIVE_MEMORY_RAM_H
#define GW_LIVE_MEMORY_RAM_H

#include <sys/types.h>

#include "base/error.h"
#include "core/page/set.h"

struct gw_ram {
	int fd;         /* owned */
	uint8_t *map;   /* our mapping, shared, read and write */
	uint64_t bytes; /* a multiple of GW_PAGE_BYTES */
	uint64_t pages;
	pid_t pid;        /* the hypervisor; 0: none has it mapped */
	uint64_t address; /* of the file's first byte in the hypervisor's address space */
};

/* Opens and maps the file. pid 0: do not look for the hypervisor's mapping. */
int gw_ram_open(struct gw_ram *ram, const char *path, pid_t pid, struct gw_error *error);
void gw_ram_close(struct gw_ram *ram);
/* Where another process has mapped all of the file privately: *address. */
int gw_ram_find_private(const struct gw_ram *ram, pid_t pid, uint64_t *address,
                        struct gw_error *error);
/*
 * Until it is closed: by whatever name, pid or journal the VM was found, it is migrated or recorded
 * once at a time. -EBUSY.
 */
int gw_ram_hold(const struct gw_ram *ram, const char *name, struct gw_error *error);

/*
 * Adds the pages that hold data (SEEK_DATA); holes are zero and must not be read. Pages that are in
 * the set already stay in it.
 */
int gw_ram_populated(const struct gw_ram *ram, struct gw_set *populated, struct gw_error *error);
/* Makes holes of the pages of a run. */
int gw_ram_punch(const struct gw_ram *ram, struct gw_run run, struct gw_error *error);

/*
 * Makes holes of those pages of the set that are there, however they came there. -EBUSY: one stays,
 * though it was punched; huge pages that somebody holds do that.
 */
int gw_ram_clear(const struct gw_ram *ram, const struct gw_set *set, struct gw_error *error);

/* True if all of the page's bytes are zero. Reads: only for pages known to be populated. */
bool gw_page_is_zero(const void *page);

#endif
