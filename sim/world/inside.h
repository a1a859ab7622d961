/* SPDX-License-Identifier: MIT */
/*
 * sim/world/inside.h - what the rooms of the virtual world share.
 *
 *   world        clock, network, memory for what happens, any number of migrations
 *   migration    two agents (a machine each), the wire between them, a host on each side
 *   agent        a machine and its journal; a crash loses all but the journal
 *   host         a hypervisor, which outlives the agent, and guest memory
 *
 * Everything that will happen to a migration is a `struct happening`, a `struct parcel`, or one of
 * the few happenings that it holds itself (a deadline, a vCPU's next touch).
 */
#ifndef GW_SIM_INSIDE_H
#define GW_SIM_INSIDE_H

#include <errno.h>

#include "base/windows.h"
#include "core/bandwidth/traffic.h"
#include "core/migration/seal.h"
#include "sim/chance.h"
#include "sim/scenario/scenario.h"
#include "sim/world/world.h"

#define SIM_OWNER(pointer, type, member)                                                           \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define SIM_BILLION 1000000000ull

struct migration;

enum what { ANSWER, LOSS, CONNECT, RESTART, COMMAND, DIGEST };

struct happening {
	struct sim_happening at;
	struct migration *m;
	enum what what;
	int side;
	unsigned incarnation; /* of the agent that it concerns */
	uint64_t epoch;       /* of the connections */
	struct gw_event event;
	int detail;    /* the command */
	unsigned life; /* of the hypervisor */
};

/* Bytes on their way. Contents are versions, which stand for the pages' bytes. */
struct parcel {
	struct sim_parcel p;
	struct migration *m;
	struct parcel *next; /* in the inbox */
	int to;
	enum gw_channel channel;
	uint64_t epoch;
	uint64_t pages, done_ns;
	size_t size; /* 0: the sender hung up */
	uint8_t bytes[];
};

enum vm_state {
	VM_NONE,
	VM_INCOMING, /* started, waits for the device state */
	VM_LOADED,
	VM_RUNS,
	VM_STOPPED,
	VM_SAVED,
	VM_DEAD,
};

enum command { DO_STOP, DO_SAVE, DO_RESUME, DO_RESERVE, DO_LOAD, DO_RUN, DO_TRACK };

struct vm {
	enum vm_state state;
	uint64_t busy_until;
	unsigned life; /* commands of an earlier one are dropped */
};

struct source_host {
	struct vm vm;
	uint32_t *content; /* a version a page; NULL: not kept */
	struct gw_set populated, full, written, scanned;
	bool tracking;
	bool surveyed; /* once at least */
	bool released, resume_refused, resumed_behind;
	bool looked_at; /* COMMIT follows: from here on the disks' locks keep others off */
	struct gw_id peer;
};

/* A vCPU, or the thread that loads the device state. */
struct thread {
	struct sim_happening touches;
	struct migration *m;
	unsigned number;
	struct sim_touch next;
	uint64_t at_ns; /* of the next touch; while the VM stands: how long after it goes on */
	bool waits;
	bool waited;          /* for the next touch's page */
	uint64_t since, left; /* touches until it sleeps */
	uint64_t stall_ns, longest_ns;
	uint64_t late_ns; /* behind its own schedule: what it has to make up for */
};

struct destination_host {
	struct vm vm;
	uint32_t *content;
	uint32_t *noted; /* digest as placed */
	struct gw_set present;
	struct gw_set untouched; /* of what was missing when the VM began to run here */
	bool uffd, armed, staged, digests_kept;
	bool load_asked, loading, state_ended, refuse_run, refuse_reservation, released_said;
	uint8_t identity;
	unsigned reads_left;
};

enum shadow_state {
	SHADOW_NONE,
	SHADOW_READY,
	SHADOW_LOADS,
	SHADOW_RUNS,
	SHADOW_HELD,
	SHADOW_DEAD,
};

struct shadow {
	struct sim_happening acts; /* it begins to run; it is looked at */
	struct migration *m;
	enum shadow_state state;
	bool fails, hangs; /* the next request to it; all of them, and it says nothing more */
	uint64_t ready_ns, began_ns;
	struct sim_chance chance;
	uint64_t diverges; /* share of its touches, of 2^32 */
	unsigned speed_permille;
	struct sim_workload *workload; /* as the guest's, when that was stopped */
	struct shadow_vcpu *vcpus;
	struct gw_set touched, written;
	uint64_t touched_pages, written_pages;
	struct gw_run *runs; /* touched and not yet told */
	unsigned count, new_pages;
};

struct agent {
	struct sim_happening deadline;
	struct migration *m;
	int side;
	bool alive, has_journal, journal_open;
	unsigned incarnation;
	void *memory;
	uint64_t epoch; /* 0: no connections */
	uint64_t pages;
	enum gw_journal_record record;
	enum gw_outcome outcome;
	char end[2 * GW_TRACE_BYTES];
	enum gw_state state; /* of the machine, as far as it was told; GW_STATES: none is alive */
	unsigned states;     /* a bit for each that was reached */
	bool tears;          /* dies over its next record ... */
	uint64_t tears_ns;   /* ... for so long */
};

/* One direction of one connection. */
struct stream {
	uint64_t sent, received; /* messages, or frames */
	uint64_t last_ns;        /* when the last parcel comes */
	uint64_t late_ns;        /* so much later than it would */
	uint8_t *rest;           /* of a message or frame that is not whole */
	size_t rest_bytes;
};

/* What one of the destination's connections has received, and not yet worked off. */
struct inbox {
	struct sim_happening done; /* with the first */
	struct migration *m;
	struct parcel *first, *last;
	uint64_t free_ns;
};

struct wire {
	struct sim_flow *flow[4];           /* to the destination, by channel; NULL: none open */
	struct stream stream[SIM_SIDES][4]; /* from that side, by channel */
	uint64_t hop_ns;                    /* to the destination, beyond the links' latency */
	uint64_t back_ns;                   /* to the source: the way back is never full */
	uint64_t asked_bytes_per_s;         /* by the machine, for bulk */
	uint64_t bytes;                     /* as the source counts them, both ways */
	uint64_t epochs, cut_epoch, down_until;
	uint64_t news_ns; /* the link, or a map, came */
	uint64_t unplaced_bytes;
	struct parcel *turn; /* frames that the sender takes at a time; NULL: not now */
	uint64_t turn_bytes;
	uint64_t sender_free_ns, answerer_free_ns;
	struct inbox inbox[4];
	struct sim_happening room;
};

enum phase { PHASE_WAITS, PHASE_OBSERVES, PHASE_MOVES, PHASE_OVER };

/* What has been counted up to an instant, of a VM and of the link out of its host. */
struct sim_counts {
	uint64_t at_ns, network_bytes, link_bytes;
};

struct sim_observer; /* sim/world/observe.c */

struct migration {
	struct sim_world *world;
	unsigned number;
	enum phase phase;
	struct sim_vm spec;
	struct sim_world_config config; /* what is to go wrong; in a scenario nothing */
	struct sim_happening begins, breaks;
	uint64_t breaks_for_ns;

	struct sim_chance chance;
	uint64_t lines, steps, version;
	size_t waiting; /* happenings and parcels, guests apart */
	unsigned ticks, helped, losses, killed, refused;
	uint64_t slow_ns, ticked_ns;
	bool restarting[SIM_SIDES], fail_next[SIM_SIDES], full[SIM_SIDES];

	unsigned moment; /* what the next line announces */
	struct sim_strike strikes[SIM_STRIKES_MAX];
	size_t struck;
	enum sim_fault hurts[SIM_SIDES]; /* what befalls the next bytes of that side */
	uint64_t hurts_ns[SIM_SIDES];
	bool hurt;       /* some were: a breach of the protocol is no defect */
	bool hurt_pages; /* a page's contents were: only its digest can tell */
	bool told_same;  /* by a VERDICT */
	bool late;       /* some come late */
	bool image_lost; /* the source's host went down */
	bool never_unwritten; /* the destination's journal says more than is there */

	struct agent agent[SIM_SIDES];
	struct wire wire;
	struct source_host source;
	struct destination_host dest;
	struct shadow shadow;
	struct sim_workload *workload;
	struct thread *threads; /* the vCPUs, and the loader behind them */
	unsigned waiters, idle_permille;
	uint32_t *expected; /* what the guest must see at the destination */
	bool ran_there, guest_stands, forgotten, said_gone;
	struct gw_run hot[SIM_HOT_MAX]; /* that loading may read, as the source believes */
	uint32_t hot_count;
	struct sim_flow *traffic; /* the guest's own */
	struct own_traffic {
		uint64_t since_ns, sent_bytes; /* the flow, when it was last looked at */
		uint64_t bytes, wanted_bytes;  /* while it ran, since the move began */
	} own;
	struct share *share;     /* of a link, of which this is one; NULL: nobody coordinates */
	struct gw_traffic seen;  /* of its own traffic, by the coordinator */
	uint64_t seen_bytes, seen_ns;
	uint64_t granted_bytes_per_s, reserved_bytes_per_s;
	enum gw_mover_state divided_as; /* when its link was last divided anew for it */
	uint64_t traffic_bytes;   /* of its flows that are closed */
	struct sim_observer *observer; /* NULL: it is not observed before its move */
	uint64_t observed_ns;
	struct sim_counts counted;     /* when its round began */
	uint64_t lives_since_ns;
	uint64_t first_writes, guest_faults;
	/* Pages missing at the switch that the guest touched, and those that had come by then. */
	uint64_t touched_pages, arrived_pages;
	uint64_t ran_ns;                 /* when it began to run at the destination */
	uint64_t early_stall_ns;         /* of all vCPUs, in the first second after that */
	uint64_t stood_ns, stood_for_ns; /* since when, and the longest until now */
	uint64_t digest_at, zero_pages;
	struct sim_vm_outcome *result; /* NULL: nobody asks */
	bool is_due;                   /* to be looked after ... */
	struct migration *next_due;
};

#define SIM_POOL_CLASSES 48

struct sim_world {
	struct sim_clock clock;
	struct sim_network *network;
	const struct sim_scenario *scenario; /* borrowed; NULL: a small world has none */
	struct sim_costs costs;
	bool versions;
	FILE *trace;
	struct block *blocks, *spare[SIM_POOL_CLASSES];
	struct migration *migrations, *due;
	size_t count, next, running, over;
	unsigned at_once;
	uint64_t limit_ns;
	size_t limit_rounds; /* 0: none */
	const struct sim_estimate_options *estimate; /* borrowed; NULL: the usual */
	struct coordinator *coordinator; /* NULL: moves begin as the scenario says */
	char violation[256];
	/* Between two uses they hold nothing. */
	struct gw_run *runs_in, *runs_out;
	struct gw_frame frame, zeros;
	struct gw_actions out[SIM_SIDES];
};

static inline uint64_t sim_now(const struct migration *m)
{
	return m->world->clock.now_ns;
}

static inline bool sim_runs(const struct vm *vm)
{
	return vm->state == VM_RUNS;
}

static inline struct vm *sim_vm_at(struct migration *m, int side)
{
	return side == SIM_SOURCE ? &m->source.vm : &m->dest.vm;
}

static inline unsigned sim_loader(const struct migration *m)
{
	return m->spec.vcpus;
}

/* What it takes to move so many bytes; a rate of 0 takes no time. */
static inline uint64_t sim_takes(uint64_t bytes, uint64_t bytes_per_s)
{
	return bytes_per_s ? (uint64_t)((unsigned __int128)bytes * SIM_BILLION / bytes_per_s) : 0;
}

static inline uint64_t sim_per_gib(const struct migration *m, uint64_t ns_per_gib)
{
	return m->spec.ram_pages * ns_per_gib >> (30 - GW_PAGE_SHIFT);
}

extern const char *const sim_side_names[SIM_SIDES];

/* sim/world/pool.c: memory for what happens; never fails. All of it is taken back by a reset. */
void *sim_take(struct sim_world *w, size_t bytes);
void sim_give(struct sim_world *w, void *memory);
void sim_pool_reset(struct sim_world *w);
void sim_pool_free(struct sim_world *w);
void *sim_need(size_t bytes);

/* sim/world/world.c */
uint64_t sim_dice_below(struct migration *m, uint64_t limit);
void sim_violated(struct migration *m, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
void sim_line(struct migration *m, int side, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
struct happening *sim_will(struct migration *m, enum what what, int side, uint64_t at);
/* Something happened to it: is it over? */
void sim_happened(struct migration *m);
struct sim_world *sim_world_empty(size_t migrations);
/* In the order of their beginnings, before sim_world_begin. */
struct migration *sim_world_add(struct sim_world *w, uint64_t seed);
void sim_world_begin(struct sim_world *w);
/* False when there is nothing more. */
bool sim_world_turn(struct sim_world *w);

/* sim/world/coordinator.c */
void sim_coordinate(struct sim_world *w, const struct sim_sharing *sharing,
                    const struct sim_link_config *links, size_t link_count);
void sim_coordinator_free(struct sim_world *w);
/* Something changed that the sharing goes by: the link is divided anew. Nothing if nobody does. */
void sim_divide_soon(struct migration *m);
/* Likewise, if its source's step brought it into another state of a mover. */
void sim_has_stepped(struct migration *m);
/* The move is over, or was never begun. */
void sim_leaves_link(struct migration *m);

/* sim/run.c */
void sim_take_beginning(struct migration *m);
void sim_take_result(struct migration *m);
void sim_take_round(struct migration *m, const struct gw_round *round);

/* sim/world/faults.c */
bool sim_listens(const struct migration *m);
void sim_strike_at(struct migration *m, const char *text);
bool sim_person(struct migration *m);
/* Does to the parcel what is due to the next bytes of that side, and says what it was. */
enum sim_fault sim_hurt(struct migration *m, int from, struct parcel *parcel);
void sim_lose_patience(struct migration *m);

/* sim/world/agent.c */
void sim_answer(struct migration *m, int side, struct gw_event event, uint64_t delay);
void sim_answer_plain(struct migration *m, int side, enum gw_event_kind kind, uint64_t delay);
/* The text outlives the world. */
void sim_answer_text(struct migration *m, int side, enum gw_event_kind kind, const char *text);
void sim_give_answer(struct migration *m, struct happening *h);
bool sim_journal_settled(enum gw_journal_record record);
void sim_crash(struct migration *m, int side, uint64_t for_ns);
void sim_start_source(struct migration *m);
void sim_start_destination(struct migration *m, bool fresh);
void sim_restart(struct migration *m, int side);
void sim_step(struct migration *m, int side, struct gw_event *event);
void sim_deadline_came(struct sim_happening *self);

/* sim/world/wire.c */
void sim_attach(struct migration *m);
void sim_detach(struct migration *m);
void sim_cut(struct migration *m, const struct sim_planned *plan);
void sim_hang_up(struct migration *m, int side);
void sim_lose(struct migration *m, struct happening *h);
void sim_connect_again(struct migration *m);
void sim_set_rate(struct migration *m, uint64_t bytes_per_s);
/* What a link carries for so many bytes, or a rate, of payload. */
uint64_t sim_with_headers(uint64_t bytes);
/* The granted rate, as it is on the link. */
void sim_grant(struct migration *m, uint64_t bytes_per_s);
struct parcel *sim_parcel_new(struct migration *m, enum gw_channel channel, size_t size);
/* For one more frame of that size: of this turn, or one of its own. *to: where it is to be put. */
struct parcel *sim_parcel_for(struct migration *m, enum gw_channel channel, size_t size,
                              uint8_t **to);
void sim_put_frame(struct migration *m, struct parcel *parcel, uint64_t bytes);
/* `bytes` on the link: contents of pages count, and do not travel. */
void sim_put_on_wire(struct migration *m, int from, struct parcel *parcel, uint64_t bytes);
void sim_ask_for_room(struct migration *m);
void sim_room_came(struct sim_happening *self);
void sim_parcel_done(struct sim_happening *self);

/* sim/world/talk.c */
void sim_say(struct migration *m, int side, const struct gw_message *message);
/* Of which `more` bytes count, and do not travel. */
void sim_say_long(struct migration *m, int side, const struct gw_message *message, uint64_t more);
void sim_say_map(struct migration *m, int side, const struct gw_set *set);
/* As gw_message_decode(): 0 and *used, -EAGAIN, -EPROTO. */
int sim_message_came(struct migration *m, int side, struct stream *stream, const uint8_t *bytes,
                     size_t size, size_t *used);

/* sim/world/hypervisor.c */
void sim_command(struct migration *m, int side, enum command what, uint64_t takes);
void sim_command_done(struct migration *m, struct happening *h);
void sim_resume_behind(struct migration *m);
void sim_look(struct migration *m);
void sim_drop_commands(struct migration *m, int side);
void sim_kill_vm(struct migration *m, int side, const char *why);
void sim_state_came(struct migration *m, bool last);
void sim_go_on_loading(struct migration *m);
void sim_save(struct migration *m);
void sim_load(struct migration *m);
void sim_start_tracking(struct migration *m);

/* sim/world/guest.c */
void sim_guest_init(struct migration *m);
void sim_guest_free(struct migration *m);
/* It was watched, and is to move now. */
void sim_guest_was_observed(struct migration *m);
/* Carries out what the guest at the source has done until now. */
void sim_guest_lives(struct migration *m);
void sim_guest_stops(struct migration *m);
void sim_guest_goes_on(struct migration *m);
void sim_guest_runs_there(struct migration *m);
void sim_guest_ends(struct migration *m);
/* The guest's own, over the link out of its host; while it stands there is none. */
void sim_guest_sends(struct migration *m, unsigned link);
/* While it is at the source: so much of the link is its own. */
void sim_guest_reserve(struct migration *m, uint64_t bytes_per_s);
/* Since the move began, while it ran: what it sent, and what it wanted to. */
void sim_guest_traffic(struct migration *m, uint64_t *bytes, uint64_t *wanted_bytes);
/* The move begins: what was sent before does not count. */
void sim_guest_counts_traffic(struct migration *m);
/* By the thread that loads the device state. */
void sim_read(struct migration *m, uint64_t page);
/* Pages have come: who waits for one goes on. */
void sim_wake(struct migration *m, struct gw_run run);
void sim_wake_all(struct migration *m);
void sim_fault_again(struct migration *m);

/* sim/world/observe.c */
/* For how long its guest is to be watched before it moves. */
uint64_t sim_observes_ns(const struct migration *m);
/* More than 0. Then `begins` happens again. */
void sim_observe(struct migration *m, uint64_t for_ns);
/* While the guest is watched. */
void sim_sees_read(struct migration *m, uint64_t page);
/* Valid until it is freed. */
struct gw_observation sim_observed(struct migration *m);
uint64_t sim_observed_ns(struct migration *m);
void sim_observer_free(struct migration *m);
/* What it does from now on, and has done since. */
void sim_activity_begins(struct migration *m);
struct gw_activity sim_activity(struct migration *m);

/* sim/world/shadow.c */
void sim_shadow_prepare(struct migration *m);
/* The guest has been stopped: this is where the shadow will go on from. */
void sim_shadow_takes_over(struct migration *m);
void sim_shadow_run(struct migration *m);
void sim_shadow_hold(struct migration *m, bool hold);
void sim_shadow_end(struct migration *m);
/* By somebody else: the agent hears of it. */
void sim_shadow_killed(struct migration *m);
bool sim_shadow_lives(const struct migration *m);
void sim_shadow_free(struct migration *m);

/* sim/world/plan.c */
/* The move that its policy stands for becomes its own. False: there is none. */
bool sim_take_plan(struct migration *m, struct gw_error *why);

/* sim/world/memory.c */
void sim_memory_init(struct migration *m);
void sim_memory_free(struct migration *m);

/* sim/world/source_host.c, sim/world/destination_host.c */
void sim_source_acts(struct migration *m, const struct gw_action *action);
void sim_digest_turn(struct migration *m);
/* What was written becomes `scanned`. */
void sim_take_written(struct migration *m);
void sim_destination_acts(struct migration *m, const struct gw_action *action);
/* As sim_message_came(). */
int sim_frame_came(struct migration *m, struct stream *stream, const uint8_t *bytes, size_t size,
                   size_t *used);

/* sim/world/judge.c */
void sim_check_journals(struct migration *m);
void sim_judge(struct migration *m);

#endif
