/* SPDX-License-Identifier: MIT */
/*
 * core/migration/destination/parts.h - what the files of the destination's machine share.
 *
 * In the order of the story: step.c, arrive.c, faults.c, run.c; when something goes wrong failure.c
 * and link.c. An event goes through step.c to the file of its state; each answers 0, or -EPROTO if
 * the peer broke the protocol.
 */
#ifndef GW_CORE_MIGRATION_DESTINATION_PARTS_H
#define GW_CORE_MIGRATION_DESTINATION_PARTS_H

#include "core/migration/destination.h"

#define SECOND 1000000000ull

#define WHO "destination"

#ifndef GW_PLANT
#define GW_PLANT 0 /* a bug that torture must find; see tests/sim */
#endif

struct waiter {
	int32_t thread; /* 0: free */
	bool vcpu;
	uint64_t page;
	uint64_t since_ns;
};

struct gw_destination {
	struct gw_destination_config config;
	enum gw_state state;
	struct gw_set placed;
	struct gw_set missing;
	struct gw_set punch; /* before the switch: stale; after it: asked for */
	struct waiter *waiters;
	size_t waiter_count, waiting;

	uint32_t flags; /* of the OFFER */
	bool link;
	bool switch_said, switch_marked, pulls;
	bool map_known, map_begun;
	bool map_awaited; /* the link is a new one, the map is from the old one */
	bool armed;       /* holes fault */
	bool loading;
	bool prepared;  /* the record is (being) written */
	bool committed; /* COMMIT came, or was taken up from the journal */
	bool resolved;  /* a person said instead that it is to run here */
	bool running;
	bool run_asked;
	bool taken_up;     /* from the journal, as `mine` */
	bool told_running; /* RESUME was answered so while `cont` was on its way */
	bool resume_asked; /* by the source, answered when it runs */
	bool end_marked;
	bool whole; /* runs, and every page is in */
	bool compared;
	bool digests_ended;
	bool destroying;
	bool unserved; /* waiters are left that the last step had no room for */
	bool finished;
	uint32_t end_number;
	uint32_t comparing; /* DIGESTS messages */
	uint32_t surveys;   /* under way */
	bool map_owed;      /* to RESUME, over this link */
	uint64_t heard_ns, committed_ns, whole_ns;
	uint64_t faults, stall_ns, placed_pages;
	uint64_t compared_pages, different_pages, first_different;
	struct gw_latencies latencies;
	char reason[GW_TRACE_BYTES];
};

/* arrive.c */
int gw_destination_offered(struct gw_destination *d, const struct gw_event *ev,
                           struct gw_actions *out);
void gw_destination_ack(const struct gw_destination *d, uint64_t round, struct gw_actions *out);
void gw_destination_placed(struct gw_destination *d, const struct gw_event *ev,
                           struct gw_actions *out);
int gw_destination_marked(struct gw_destination *d, const struct gw_event *ev,
                          struct gw_actions *out);
int gw_destination_switch_said(struct gw_destination *d, const struct gw_event *ev,
                               struct gw_actions *out);
int gw_destination_map_said(struct gw_destination *d, const struct gw_event *ev,
                            struct gw_actions *out);
void gw_destination_armed(struct gw_destination *d, struct gw_actions *out);
void gw_destination_loaded(struct gw_destination *d, struct gw_actions *out);

/* faults.c */
void gw_destination_fault(struct gw_destination *d, const struct gw_event *ev,
                          struct gw_actions *out);
void gw_destination_serve_waiters(struct gw_destination *d, const struct gw_event *ev);
void gw_destination_ask_again(struct gw_destination *d, const struct gw_event *ev,
                              struct gw_actions *out);

/* run.c */
int gw_destination_commit(struct gw_destination *d, const struct gw_event *ev,
                          struct gw_actions *out);
void gw_destination_running(struct gw_destination *d, const struct gw_event *ev,
                            struct gw_actions *out);
bool gw_destination_pulling(const struct gw_destination *d);
void gw_destination_maybe_pulled(struct gw_destination *d, struct gw_actions *out);
void gw_destination_say_done(struct gw_destination *d, struct gw_actions *out);
void gw_destination_became_whole(struct gw_destination *d, const struct gw_event *ev,
                                 struct gw_actions *out);
void gw_destination_compared(struct gw_destination *d, const struct gw_event *ev,
                             struct gw_actions *out);
int gw_destination_released(struct gw_destination *d, const struct gw_event *ev,
                            struct gw_actions *out);

/* failure.c */
void gw_destination_enter(struct gw_destination *d, const struct gw_event *ev,
                          struct gw_actions *out, enum gw_state state, const char *why);
void gw_destination_keep_reason(struct gw_destination *d, const char *text);
void gw_destination_finish(struct gw_destination *d, struct gw_actions *out,
                           enum gw_outcome outcome);
void gw_destination_destroy(struct gw_destination *d, const struct gw_event *ev,
                            struct gw_actions *out, enum gw_message_kind say, const char *why);
int gw_destination_aborted(struct gw_destination *d, const struct gw_event *ev,
                           struct gw_actions *out);
void gw_destination_vm_gone(struct gw_destination *d, const struct gw_event *ev,
                            struct gw_actions *out);
void gw_destination_failed(struct gw_destination *d, const struct gw_event *ev,
                           struct gw_actions *out);
void gw_destination_unwritten(struct gw_destination *d, const struct gw_event *ev,
                              struct gw_actions *out);
void gw_destination_run_refused(struct gw_destination *d, const struct gw_event *ev,
                                struct gw_actions *out);
void gw_destination_resolved(struct gw_destination *d, const struct gw_event *ev,
                             struct gw_actions *out);

/* link.c */
void gw_destination_surveyed(struct gw_destination *d, const struct gw_event *ev,
                             struct gw_actions *out);
void gw_destination_answer_resume(struct gw_destination *d, struct gw_actions *out);
void gw_destination_resume_asked(struct gw_destination *d, struct gw_actions *out);
void gw_destination_link_up(struct gw_destination *d, const struct gw_event *ev);
void gw_destination_link_lost(struct gw_destination *d, const struct gw_event *ev,
                              struct gw_actions *out);
void gw_destination_recover(struct gw_destination *d, const struct gw_event *ev,
                            struct gw_actions *out);
void gw_destination_tick(struct gw_destination *d, const struct gw_event *ev,
                         struct gw_actions *out);

#endif
