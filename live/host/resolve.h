/* SPDX-License-Identifier: MIT */
/*
 * live/host/resolve.h - what a person may ask and say about a migration that this host knows: how
 * it stands, that it is to stop, and, where neither side can tell, who runs the VM.
 *
 * A migration is known by its journal (journal.h); while an agent is at work on it, the agent is
 * asked, and nothing is done behind its back.
 */
#ifndef GW_LIVE_HOST_RESOLVE_H
#define GW_LIVE_HOST_RESOLVE_H

#include "live/host/journal.h"

struct gw_question {
	struct gw_journal journal; /* fd is not open */
	bool agent;                /* one is at work on it */
	char state[32];            /* what the agent says; "" without one */
	uint64_t done_bytes, all_bytes;
};

/*
 * Calls back for every migration that is not settled, of one VM or (name NULL) of all; stops when
 * it returns not 0, and returns that.
 */
int gw_questions_each(const char *dir, const char *name,
                      int (*call)(const struct gw_question *question, void *arg), void *arg);
/* The one that matters of a VM: what is open comes before what is only not tidied up. */
bool gw_question_find(const char *dir, const char *name, struct gw_question *question);
/* Likewise of the VM that this process runs, whatever it is called here. */
bool gw_question_find_process(const char *dir, pid_t pid, struct gw_question *question);
/* True while the VM's memory here may still be needed, so that its name is not free. */
bool gw_question_holds_name(const struct gw_question *question);
/*
 * 0, or -EBUSY: an earlier migration of this VM that is not settled comes first, and so does one
 * under way. A VM given by its pid (else 0) may be known here by another name: it came from
 * elsewhere.
 */
int gw_question_none(const char *dir, const char *name, pid_t pid, struct gw_error *error);
/* Who may run the VM, in a few words: "this host", "in doubt: ...". */
const char *gw_question_owner(const struct gw_question *question);
/* What a person can do about it, as a verb to type; "" if nothing needs to be done. */
const char *gw_question_advice(const struct gw_question *question);

/* Is there anything of that name on this host: a VM, or a migration of one? */
bool gw_name_is_known(const char *dir, const char *name);

#define GW_SAID_BYTES 256

/* Asks the agent to stop and waits for it to end. `said`: what came of it, for the user. */
int gw_abort(const char *dir, const char *name, char said[GW_SAID_BYTES], struct gw_error *error);

enum gw_answer {
	GW_RUN_HERE, /* it runs nowhere else: it is to run here */
	GW_GONE,     /* it is not to run here (any more): what is left of it here goes */
};

/* A person has looked at both hosts. -EINVAL: there is no doubt to resolve. */
int gw_resolve(const char *dir, const char *name, enum gw_answer answer, char said[GW_SAID_BYTES],
               struct gw_error *error);

#endif
