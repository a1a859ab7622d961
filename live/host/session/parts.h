/* SPDX-License-Identifier: MIT */
/*
 * live/host/session/parts.h - what the files of the destination's agent share.
 *
 * session.c sets up and tears down, loop.c turns, act.c carries out; the rest is what there is to
 * carry out: vm.c, pages.c, link.c.
 */
#ifndef GW_LIVE_HOST_SESSION_PARTS_H
#define GW_LIVE_HOST_SESSION_PARTS_H

#include "core/migration/destination.h"
#include "live/host/agent.h"
#include "live/host/control.h"
#include "live/host/link.h"
#include "live/host/session.h"
#include "live/memory/faults.h"
#include "live/memory/ram.h"

#define STATE_CHUNK 65536

struct bytes {
	uint8_t *at;
	size_t count, taken, room;
};

struct session {
	const struct gw_session_options *options;
	struct gw_journal journal;
	struct gw_guest guest;
	bool has_guest;
	bool vm_cut; /* its control connection broke */
	struct gw_ram ram;
	bool has_ram;
	struct gw_faults faults;
	bool has_faults;
	uint64_t *digests; /* one a page; NULL: not asked for */
	struct gw_event compared;
	struct gw_set pages;

	struct gw_destination *machine;
	uint64_t machine_pages; /* that it has room for */
	struct gw_actions actions;
	struct gw_answers answers;
	bool finished;

	struct gw_link link;
	struct gw_receiver bulk, urgent;
	bool receiving; /* the receivers are set up */
	bool orphan;    /* the server is gone: no other link will come */
	bool more;      /* frames may lie read in a receiver, unseen by poll() */

	int state_fd;
	bool run_asked;
	bool may_load; /* the stream may flow into the hypervisor */
	bool state_ended;
	struct bytes state;
	uint8_t *buffer; /* STATE_CHUNK */

	struct gw_control *control;
};

/* loop.c */
void gw_session_queue(struct session *s, enum gw_event_kind kind, const char *text);
void gw_session_lost(struct session *s, const char *why);
void gw_session_step(struct session *s, struct gw_event *event);
void gw_session_drain_queue(struct session *s);
void gw_session_turn(struct session *s);

/* act.c */
void gw_session_carry_out(struct session *s);

/* vm.c */
int gw_session_take_memory(struct session *s, struct gw_error *error);
void gw_session_act_reserve(struct session *s, const struct gw_action *action);
void gw_session_act_destroy(struct session *s);
void gw_session_act_run(struct session *s);
void gw_session_read_vm(struct session *s);
void gw_session_flush_state(struct session *s);
void gw_session_keep_state(struct session *s, const uint8_t *from, size_t count);
void gw_session_act_load(struct session *s);
void gw_session_end_state(struct session *s);
void gw_session_read_state(struct session *s);

/* pages.c */
void gw_session_act_punch(struct session *s, const struct gw_set *stale);
void gw_session_act_arm(struct session *s, const struct gw_set *missing);
void gw_session_act_disarm(struct session *s);
void gw_session_act_zero(struct session *s, uint64_t page);
void gw_session_stop_receiving(struct session *s);
int gw_session_start_receiving(struct session *s);
void gw_session_receive(struct session *s, struct gw_receiver *from);
void gw_session_read_faults(struct session *s);
void gw_session_compare(struct session *s, const struct gw_message *m);

/* link.c */
void gw_session_hang_up(struct session *s);
int gw_session_receive_link(int router, int fds[3]);
void gw_session_take_link(struct session *s);
void gw_session_read_control(struct session *s);

#endif
