/* SPDX-License-Identifier: MIT */
/*
 * live/host/migrate/parts.h - what the files of the source's agent share.
 *
 * migrate.c sets up and tears down, loop.c turns, act.c carries out; the rest is what there is to
 * carry out: track.c, send.c, rate.c, vm.c, shadow.c, link.c, ask.c.
 */
#ifndef GW_LIVE_HOST_MIGRATE_PARTS_H
#define GW_LIVE_HOST_MIGRATE_PARTS_H

#include "live/host/activity.h"
#include "live/host/agent.h"
#include "live/host/control.h"
#include "live/host/link.h"
#include "live/host/migrate.h"
#include "live/host/shadow.h"
#include "live/memory/tracker.h"
#include "live/net/pacing.h"
#include "live/net/shaping.h"

#define STATE_CHUNK  (256u << 10)
#define DIGEST_CHUNK 4096u /* pages: 16 MiB, a few milliseconds of hashing */

struct agent {
	const struct gw_migrate_options *options;
	struct gw_migrate_result *result;
	struct gw_guest *guest; /* NULL: the hypervisor is gone, its memory file is not */
	struct gw_journal journal;
	struct gw_ram ram;
	struct gw_tracker tracker;
	bool tracking;
	bool surveyed;       /* `pages` still holds the data of an earlier look */
	struct gw_set pages; /* the set that an event carries */
	struct gw_set peeked;
	struct gw_run hot[GW_FRAME_RUNS_MAX];
	unsigned hot_count;
	struct gw_observed observed; /* before the machine begins */
	struct gw_policy policy;     /* the options', unless the plan is another */
	struct gw_order order;
	struct gw_link_facts way; /* to the destination, as first seen */
	struct gw_activity_meter meter;
	struct gw_activity activity; /* as of the last scan */

	struct gw_source *machine;
	struct gw_actions actions;
	struct gw_answers answers;
	bool finished;

	struct gw_link link;
	unsigned links;  /* how many have stood: tells the old one from the new */
	bool bulk_ended; /* the peer closed its half */
	struct gw_sender bulk, urgent;
	struct gw_frame next[2]; /* bulk frames that wait for the one before them */
	size_t next_count;
	struct gw_run *urgent_queue;
	size_t urgent_count, urgent_taken, urgent_room;
	struct gw_shaping shaping;
	bool shaped;
	struct gw_pacer pacer;
	uint64_t unread_ns; /* of bulk, at the last look */
	bool pacing, shaping_tried;
	uint64_t policy_rate, paced_rate, shaped_rate;
	uint64_t urgent_rate, urgent_acked, urgent_looked_ns; /* as last measured; 0: not yet */
	uint64_t granted_rate; /* by whoever divides the link among several moves; 0: all */

	int state_fd; /* our end of the device state stream */
	bool state_ended;
	uint8_t *buffer; /* STATE_CHUNK */
	uint8_t *copies; /* GW_FRAME_PAGES_MAX pages */
	bool draining;   /* the VM stands for an instant so that tracking sees all I/O */
	bool stopping;   /* `stop` is on its way: `cont` would be refused */
	bool resuming;   /* the VM is to run: nothing may make it wait */
	bool runs;       /* somebody resumed what we had stopped */
	uint64_t resume_at_ns, resume_until_ns; /* `cont` is asked for again; UINT64_MAX: not */

	struct gw_shadow *shadow; /* NULL: none, or none any more */
	bool shadow_ready;
	uint64_t survey_at_ns; /* waits for the shadow until then; UINT64_MAX: does not wait */

	bool digesting;
	uint64_t digest_at;
	uint64_t *digests; /* DIGEST_CHUNK */
	struct gw_set digest_pages;

	struct gw_control *control;
	uint64_t progress_ns;
};

/* loop.c */
void gw_migrate_queue(struct agent *a, enum gw_event_kind kind, const char *text);
void gw_migrate_lost(struct agent *a, const char *why);
void gw_migrate_step(struct agent *a, struct gw_event *event);
void gw_migrate_drain_queue(struct agent *a);
void gw_migrate_turn(struct agent *a);

/* act.c */
void gw_migrate_carry_out(struct agent *a);

/* send.c */
bool gw_migrate_bulk_idle(const struct agent *a);
void gw_migrate_flush_bulk(struct agent *a);
void gw_migrate_send_bulk_pages(struct agent *a, const struct gw_run *runs, uint32_t count);
void gw_migrate_flush_urgent(struct agent *a);
void gw_migrate_send_urgent_page(struct agent *a, struct gw_run run);
void gw_migrate_send_mark(struct agent *a, enum gw_frame_kind kind, uint32_t number);
void gw_migrate_begin_digests(struct agent *a);
void gw_migrate_send_digests(struct agent *a);

/* rate.c */
void gw_migrate_mark_connections(struct agent *a);
void gw_migrate_update_pace(struct agent *a);
void gw_migrate_grant(struct agent *a, uint64_t rate);

/* track.c */
void gw_migrate_stop_tracking(struct agent *a);
void gw_migrate_track(struct agent *a);
void gw_migrate_drained(struct agent *a);
void gw_migrate_scan(struct agent *a, bool final);
void gw_migrate_peek(struct agent *a);
void gw_migrate_survey(struct agent *a);
void gw_migrate_survey_if_due(struct agent *a);

/* vm.c */
void gw_migrate_save(struct agent *a);
void gw_migrate_stop(struct agent *a);
void gw_migrate_ask_to_run(struct agent *a);
void gw_migrate_resume(struct agent *a);
void gw_migrate_read_vm(struct agent *a);
void gw_migrate_look(struct agent *a);
void gw_migrate_read_state(struct agent *a);
void gw_migrate_take_return_path(struct agent *a, const struct gw_message *message);
void gw_migrate_remove_what_is_left(const struct gw_journal *j);

/* shadow.c */
void gw_migrate_prepare_shadow(struct agent *a);
void gw_migrate_end_shadow(struct agent *a);
void gw_migrate_tell_shadow(struct agent *a, enum gw_action_kind what);
void gw_migrate_feed_shadow(struct agent *a, size_t count);
void gw_migrate_read_shadow(struct agent *a);

/* link.c */
void gw_migrate_link_stands(struct agent *a);
void gw_migrate_connect_again(struct agent *a);
void gw_migrate_hang_up(struct agent *a);
void gw_migrate_read_mailbox(struct agent *a, struct gw_mailbox *box);
void gw_migrate_listen_to_bulk(struct agent *a);

/* ask.c */
void gw_migrate_answer_control(struct agent *a);

#endif
