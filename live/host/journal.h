/* SPDX-License-Identifier: MIT */
/*
 * live/host/journal.h - what an agent must know again after a crash: who may run the VM.
 *
 * One small text file a migration and side, in DIR/.journal/ID.SIDE. Its first lines say what
 * the migration is; every later line is a record, the last whole one counts (a torn line at the end
 * is not whole: each ends with a checksum of its own).
 *
 *     godwit-journal/1
 *     name web
 *     peer 10.78.0.2:4909
 *     boot 2f1c...               boot_id of the host: records that were not made durable
 *     ram /dev/shm/...           are worth nothing once it has changed
 *     host 5f0e... 1b2c3d4e      at the source: the identity of the destination's host
 *     record reserved 9a31c2f0
 *     record prepared 77e0113b
 *
 * A migration that is settled on this side leaves no file.
 */
#ifndef GW_LIVE_HOST_JOURNAL_H
#define GW_LIVE_HOST_JOURNAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "core/migration/event.h"

enum gw_side { GW_SIDE_SOURCE, GW_SIDE_DESTINATION };

struct gw_journal {
	enum gw_side side;
	struct gw_id id;
	char path[512];
	char name[GW_NAME_MAX + 1];
	char peer[256];    /* source: HOST:PORT */
	struct gw_id host; /* source: which host that is; all zeros: not known (yet) */
	char ram[256];     /* the guest's memory file on this host */
	char control[256]; /* the hypervisor's control socket on this host */
	char kind[16];     /* "qemu", "native" */
	char boot[64];
	pid_t pid; /* of the hypervisor */
	uint64_t ram_bytes;
	uint32_t vcpus;
	bool paused;   /* the VM does not run and must not be started */
	bool verifies; /* source: the destination was told to wait for digests */
	bool pulls;    /* destination: pages are missing here, and fault */
	enum gw_journal_record record;
	int fd; /* owned; -1: closed. Locked while an agent works on the migration */
};

void gw_id_text(const struct gw_id *id, char text[2 * GW_ID_BYTES + 1]);
int gw_id_random(struct gw_id *id, struct gw_error *error);
/* This host's boot_id. */
void gw_boot_id(char *text, size_t room);
/*
 * Who this host is to other hosts: made once, and kept beside the journals, so that whoever loses
 * the ones loses the other. -EBADMSG: the file is damaged.
 */
int gw_host_identity(struct gw_id *host, const char *dir, struct gw_error *error);

/* Creates the file with what the fields say. */
int gw_journal_create(struct gw_journal *journal, const char *dir, struct gw_error *error);
int gw_journal_write(struct gw_journal *journal, enum gw_journal_record record, bool durable,
                     struct gw_error *error);
/* Says which host the destination is; durable with the next durable record. */
int gw_journal_note_host(struct gw_journal *journal, const struct gw_id *host,
                         struct gw_error *error);
/* Says that from now on pages are missing here, or that all are in. */
int gw_journal_note_pulls(struct gw_journal *journal, bool pulls, struct gw_error *error);
/*
 * Opens an existing one and locks it. -ENOENT: none. -EBUSY: an agent works on it. If the host was
 * restarted since, a record that leaves the question open is turned into GW_REC_DOUBT.
 */
int gw_journal_open(struct gw_journal *journal, const char *dir, const struct gw_id *id,
                    enum gw_side side, struct gw_error *error);
/* Calls back for every journal in the directory (without locking); stops when it returns not 0. */
int gw_journal_each(const char *dir, int (*call)(const struct gw_journal *journal, void *arg),
                    void *arg);
/* The open question about a VM on this host: -ENOENT if there is none. */
int gw_journal_find(struct gw_journal *journal, const char *dir, const char *name,
                    struct gw_error *error);
/* True if the record settles the matter on its side. */
bool gw_journal_settled(enum gw_journal_record record);
/* Closes; removes the file if it is settled. */
void gw_journal_close(struct gw_journal *journal);

#endif
