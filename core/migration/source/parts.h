/* SPDX-License-Identifier: MIT */
/*
 * core/migration/source/parts.h - what the files of the source's machine share.
 *
 * In the order of the story: step.c, reserve.c, rounds.c with send.c, switch.c, pull.c; beside them
 * shadow.c; when something goes wrong failure.c, link.c, deadlines.c. An event goes through step.c
 * to the file of its state; each answers 0, or -EPROTO if the peer broke the protocol.
 */
#ifndef GW_CORE_MIGRATION_SOURCE_PARTS_H
#define GW_CORE_MIGRATION_SOURCE_PARTS_H

#include "core/migration/source.h"
#include "core/predict/rounds.h"

#define SECOND 1000000000ull

#define MEASURE_NS (SECOND / 10) /* QEMU, migration.c: BUFFER_DELAY, 100 ms */

#define WHO "source"

#define SOMEBODY_RESUMED "somebody else resumed the VM in the middle of the switch"

#ifndef GW_PLANT
#define GW_PLANT 0 /* a bug that torture must find; see tests/sim */
#endif

/* The copy that runs ahead (S4). It owns nothing, and nothing waits for it. */
enum shadow {
	SHADOW_NONE,
	SHADOW_PREPARED,
	SHADOW_ASKED, /* to run */
	SHADOW_RUNS,
	SHADOW_HELD,
	SHADOW_OVER, /* ended or gone: there is no second one */
};

struct gw_source {
	struct gw_source_config config;
	enum gw_state state;
	struct gw_set owed;
	struct gw_set sent; /* at least once */
	/*
	 * Not to be sent in this round: written again, or deferred. At the switch to post-copy:
	 * to be pulled. On a new link after it: what is there.
	 */
	struct gw_set skip;

	size_t observed_windows; /* before the move */
	uint64_t observed_ns, observed_pages;

	unsigned round;
	uint64_t cursor;
	uint64_t populated_pages;
	uint64_t round_owed; /* at its beginning */
	uint64_t round_sent, round_skipped;
	uint64_t round_deferred, predicted_dirty;
	uint64_t round_start_ns;
	uint64_t previous_dirty;
	uint64_t peeked_ns;
	uint64_t bandwidth;
	uint64_t measured_ns, measured_bytes; /* since the last measurement was closed */
	uint64_t round_start_bytes;

	uint64_t begun_ns; /* Reservation accepted */
	uint64_t stopped_ns, commit_ns;
	uint64_t image_pages;   /* owed at the switch */
	uint64_t push_rate;     /* after the switch, as the policy asked; 0: the user's limit */
	uint64_t first_rate;    /* that the policy asked for before tracking began */
	uint64_t waiting_bytes; /* on the link, when something was last seen to go on */
	uint64_t heard_ns, pinged_ns, waiting_since_ns, lost_ns, retry_ns;

	bool sending; /* ROOM is wanted */
	bool marked;  /* the mark that ends this phase is out */
	bool tracking;
	bool track_asked;  /* until it tracks the VM may stand for an instant */
	bool pulls;        /* the switch was to post-copy */
	bool punching;     /* stale pages are being punched out there, the VM still runs */
	bool handing_over; /* that record is on disk */
	bool stop_asked;   /* we stopped the VM, or are about to */
	bool resuming;     /* back to the source: RUNNING is awaited */
	bool settled;      /* cancelled: the destination has confirmed, or need not */
	bool runs_here;    /* cancelled: the VM is as it was */
	bool link;         /* the connections stand */
	bool connecting;
	bool may_be_prepared; /* the destination may have said PREPARED, unheard */
	bool have_whole;      /* the MAP of what is there came to its end, over this link */
	bool looking;         /* whether the VM still stands, before COMMIT is said */
	bool committed;       /* COMMIT may have been heard, or may still be */
	bool ran_on;          /* after COMMIT was said, by somebody else: its image is changed */
	bool vm_ended;        /* in the switch: what is there is all that is left of it */
	bool asked;           /* RESUME was sent: STANDING says how it goes on */
	bool answered;        /* STANDING came over this link */
	bool stands;          /* and has said that the VM runs there */
	bool finished;
	bool digests_sent;
	enum shadow shadow;
	enum gw_outcome outcome;
	struct gw_rounds rounds;
	struct gw_metrics metrics;
	char reason[GW_TRACE_BYTES];
	struct gw_run runs[GW_FRAME_RUNS_MAX];
};

/* On a new link `owed` is out of date until the map of what is there has come. */
static inline bool gw_source_pushes(const struct gw_source *s)
{
	return s->state == GW_STATE_PULL && !s->marked && s->link && !s->asked;
}

/* While the VM stands between the two sides, or pages are owed, the link is worth a new attempt. */
static inline bool gw_source_needs_link(const struct gw_source *s)
{
	if (s->finished || s->link)
		return false;
	if (s->state == GW_STATE_CANCELLED)
		return !s->settled && s->may_be_prepared;
	return s->state >= GW_STATE_COMMITMENT && s->state <= GW_STATE_PULL;
}

/* reserve.c */
void gw_source_tell_observed(const struct gw_source *s, const struct gw_event *ev,
                             struct gw_actions *out);
void gw_source_offer(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_accepted(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);

/* rounds.c */
void gw_source_decide(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_tracking(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_scanned(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
int gw_source_round_acked(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);

/* send.c */
void gw_source_begin_sending(struct gw_source *s, const struct gw_event *ev);
void gw_source_measure(struct gw_source *s, const struct gw_event *ev);
void gw_source_emit(struct gw_source *s, struct gw_actions *out, enum gw_channel channel,
                    uint32_t count, uint32_t pages);
void gw_source_mark(struct gw_source *s, struct gw_actions *out, enum gw_frame_kind kind);
void gw_source_room(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);

/* switch.c */
void gw_source_begin_switch(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                            bool pulls, const char *why);
void gw_source_maybe_stop(struct gw_source *s, struct gw_actions *out);
void gw_source_announce_switch(struct gw_source *s, struct gw_actions *out,
                               const struct gw_set *missing);
void gw_source_switch_known(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_look(struct gw_source *s, struct gw_actions *out);
int gw_source_prepared(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_vm_stands(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_commit(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_activated(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                         uint64_t after_ns);

/* pull.c */
void gw_source_begin_digests(struct gw_source *s, struct gw_actions *out);
void gw_source_after_activation(struct gw_source *s, const struct gw_event *ev,
                                struct gw_actions *out);
void gw_source_push(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
int gw_source_fault(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
int gw_source_map_of_what_is_there(struct gw_source *s, const struct gw_event *ev,
                                   struct gw_actions *out);
void gw_source_take_up_pull(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
int gw_source_done(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);

/* shadow.c */
const char *gw_source_shadow_there(const struct gw_source *s);
void gw_source_prepare_shadow(struct gw_source *s, struct gw_actions *out);
void gw_source_run_shadow(struct gw_source *s, struct gw_actions *out);
void gw_source_end_shadow(struct gw_source *s, struct gw_actions *out);
void gw_source_shadow_started(struct gw_source *s, const struct gw_event *ev,
                              struct gw_actions *out);
void gw_source_shadow_gone(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_pace_shadow(struct gw_source *s, struct gw_actions *out);
void gw_source_touched(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_tell_order(struct gw_source *s, const struct gw_event *ev, uint64_t page,
                          struct gw_actions *out);

/* failure.c */
void gw_source_enter(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                     enum gw_state state, const char *why);
void gw_source_keep_reason(struct gw_source *s, const char *text);
void gw_source_finish(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                      enum gw_outcome outcome);
bool gw_source_is_ours(const struct gw_source *s);
void gw_source_settle(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_came_back(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_cancel(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                      const char *why, bool tell);
/* The same, where the source is not to blame for it. */
void gw_source_cancel_for(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                          enum gw_obstacle obstacle, const char *why, bool tell);
void gw_source_never_ran_there(struct gw_source *s, const struct gw_event *ev,
                               struct gw_actions *out, const char *why);
void gw_source_give_up_waiting(struct gw_source *s, const struct gw_event *ev,
                               struct gw_actions *out);
int gw_source_aborted(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_vm_gone(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_runs_again(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_user_abort(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_failed(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_run_refused(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_unwritten(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);

/* link.c */
void gw_source_reconnect(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_link_lost(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_link_up(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
int gw_source_standing(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_recover(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);
void gw_source_peer_broke_protocol(struct gw_source *s, const struct gw_event *ev,
                                   struct gw_actions *out);

/* deadlines.c */
void gw_source_tick(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out);

#endif
