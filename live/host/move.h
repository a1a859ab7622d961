/* SPDX-License-Identifier: MIT */
/*
 * live/host/move.h - one of many migrations: a process of its own, `godwit migrate`, that is asked
 * how it stands and told how fast it may go over its control socket.
 *
 * What goes wrong in one cannot touch another, and each is what a person could have typed.
 */
#ifndef GW_LIVE_HOST_MOVE_H
#define GW_LIVE_HOST_MOVE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "core/migration/state.h"

struct gw_move_order {
	const char *program; /* godwit itself */
	const char *name, *to;
	const char *policy;           /* NULL: an earlier migration is gone on with (`recover`) */
	uint64_t limit_bytes_per_s;   /* the user's, for this VM; 0: none */
	uint64_t granted_bytes_per_s; /* to begin with; 0: all of the link */
	uint32_t traffic_class;       /* 0: none */
	int observed_fd;              /* a recording of the VM, borrowed; -1: none */
	uint64_t downtime_ns, deadline_ns;
	bool verify;
};

struct gw_move {
	pid_t pid;              /* 0: none runs */
	int result_fd, said_fd; /* owned: files in memory, while it runs */
	char journal[512];      /* of its migration; "": not known yet */
	char said[400];         /* its sentence, once it has ended without success */
	json_t *result;         /* owned: as `migrate --json` gives it; NULL: none */
	uint64_t rate;          /* as last told; 0: none was */
};

/* Answer to "state" on a source's control socket, in this order, as decimal numbers. */
struct gw_move_state {
	enum gw_state state;
	uint64_t done_pages, all_pages; /* of this phase */
	uint64_t sent_bytes;            /* on the link */
	unsigned rounds;
	uint64_t dirty_pages, round_ns; /* of the last round */
	uint64_t bandwidth_bytes_per_s; /* measured in it; 0: not known */
};

void gw_move_init(struct gw_move *move);
int gw_move_begin(struct gw_move *move, const struct gw_move_order *order, struct gw_error *error);
/* False: it cannot be asked (yet, or any more). */
bool gw_move_ask(struct gw_move *move, const char *dir, const char *name,
                 struct gw_move_state *state);
/* 0: all of the link. It is told only what is new. */
void gw_move_grant(struct gw_move *move, uint64_t bytes_per_s);
/* The VM is to stay; it ends soon, unless the VM has been handed over. */
void gw_move_stop(const struct gw_move *move);
/* True once it has ended: *completed, result and said are filled in. Does not wait. */
bool gw_move_ended(struct gw_move *move, bool *completed);
void gw_move_clear(struct gw_move *move);

#endif
