/* SPDX-License-Identifier: MIT */
/*
 * live/host/agent.h - what the source's agent and the destination's have in common.
 *
 * An action that can be done at once is answered by an event of the machine. It waits here for its
 * turn, so that step() is never entered from within.
 */
#ifndef GW_LIVE_HOST_AGENT_H
#define GW_LIVE_HOST_AGENT_H

#include <poll.h>

#include "core/migration/event.h"
#include "live/host/guest.h"
#include "live/host/journal.h"
#include "live/host/link.h"

#define GW_ANSWERS_MAX 32 /* a step asks for fewer */

struct gw_answer {
	enum gw_event_kind kind;
	char text[GW_TRACE_BYTES];
};

/* A ring; all zeros is an empty one. */
struct gw_answers {
	struct gw_answer ring[GW_ANSWERS_MAX];
	size_t put, taken;
};

/* text: copied; NULL is none. */
void gw_answers_put(struct gw_answers *answers, enum gw_event_kind kind, const char *text);
/* `done`, or GW_EV_FAILED with the error's text where err is set. */
void gw_answers_put_result(struct gw_answers *answers, enum gw_event_kind done, int err,
                           const struct gw_error *error);
/* Once is enough, however many messages of a step met the broken link: the ring is short. */
void gw_answers_put_lost(struct gw_answers *answers, const char *why);
bool gw_answers_any(const struct gw_answers *answers);
/* False: none waits. */
bool gw_answers_take(struct gw_answers *answers, struct gw_answer *answer);

/* FAULT on urgent, all else on control. Over a link that does not stand nothing is said. */
void gw_agent_send(struct gw_link *link, const struct gw_message *message,
                   struct gw_answers *answers);
void gw_agent_send_map(struct gw_link *link, const struct gw_set *set, struct gw_answers *answers);

/* Only an end has last words: a lost link's peer may be dead, and nothing is to wait for it. */
bool gw_actions_end(const struct gw_actions *actions);

/* A socket pair for the device state: *ours is kept, *the_vms given away. 0 or -errno. */
int gw_agent_open_state(int *ours, int *the_vms, struct gw_error *error);

/* What a journal says of the VM, for an agent that may follow this one. */
void gw_agent_note_guest(struct gw_journal *journal, const struct gw_guest *guest);

/* fd < 0, or neither in nor out: not watched. */
void gw_agent_watch(struct pollfd *item, int fd, bool in, bool out);

#endif
