/* SPDX-License-Identifier: MIT */
/*
 * sim/inside.h - what the rooms of the virtual world share.
 */
#ifndef GW_SIM_INSIDE_H
#define GW_SIM_INSIDE_H

#include <errno.h>

#include "sim/world.h"

enum what { ANSWER, LOSS, CONNECT, PARCEL, RESTART, ROOM, TAKE_UP, COMMAND, GUEST };

struct happening {
	uint64_t at, order;
	enum what what;
	int side;
	unsigned incarnation; /* of the agent that it concerns */
	uint64_t epoch;       /* of the connections */
	int channel;
	struct gw_event event;
	void *data; /* owned: a text, words of a set, bytes, runs */
	size_t size;
	int detail;
	struct happening *next;
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

#define COMMANDS_MAX 8
#define LOAD_READS   3

struct vm {
	enum vm_state state;
	uint64_t busy_until;
	unsigned commands; /* under way */
	unsigned life;     /* commands of an earlier one are dropped */
};

struct source_host {
	struct vm vm;
	uint64_t *content; /* a version a page */
	bool *populated;   /* not a hole */
	bool *written;     /* since it was protected */
	bool tracking;
	bool released, resume_refused;
};

struct thread {
	bool waits, writes, told;
	uint64_t page, wakes, since;
};

struct destination_host {
	struct vm vm;
	uint64_t *content;
	bool *present;
	uint64_t *noted; /* digest as placed */
	bool uffd, armed, staged, digests_kept;
	bool loading, state_ended, refuse_run, refuse_reservation, released_said;
	struct thread thread[8 + 1]; /* the last one loads */
	unsigned reads_left;
};

struct agent {
	bool alive, has_journal, journal_open;
	unsigned incarnation;
	void *memory;
	uint64_t epoch; /* 0: no connections */
	uint64_t pages;
	enum gw_journal_record record;
	enum gw_outcome outcome;
	char end[2 * GW_TRACE_BYTES];
};

struct sim_world {
	struct sim_world_config config;
	uint64_t now, chance, order, lines, steps, version, writes_left;
	struct happening **heap;
	size_t heap_count, heap_room, waiting;
	struct agent agent[SIM_SIDES];
	bool restarting[SIM_SIDES], fail_next[SIM_SIDES];
	unsigned ticks, struck, helped, killed, refused;

	uint64_t epochs, cut_epoch, down_until, last[SIM_SIDES][4], wire_bytes;
	uint64_t news_ns; /* the link, or a map, came */
	uint64_t bulk_free, urgent_free, slow_ns;
	bool room_asked;

	struct source_host source;
	struct destination_host dest;
	bool switched, ran_there;
	uint64_t *expected; /* what the guest must see at the destination */
	struct gw_actions out[SIM_SIDES];
	char violation[256];
};

static inline bool sim_runs(const struct vm *vm)
{
	return vm->state == VM_RUNS;
}

extern const char *const sim_side_names[SIM_SIDES];

/* sim/faults.c */
bool sim_listens(const struct sim_world *w);
void sim_strike_at(struct sim_world *w, const char *text);
bool sim_person(struct sim_world *w);

/* sim/world.c */
uint64_t sim_dice_below(struct sim_world *w, uint64_t limit);
void *sim_need(size_t bytes);
void sim_violated(struct sim_world *w, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
void sim_line(struct sim_world *w, int side, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
struct happening *sim_will(struct sim_world *w, enum what what, int side, uint64_t at);

/* sim/agent.c */
void sim_answer(struct sim_world *w, int side, struct gw_event event, uint64_t delay);
void sim_answer_text(struct sim_world *w, int side, enum gw_event_kind kind, const char *text);
void sim_answer_set(struct sim_world *w, int side, enum gw_event_kind kind, const bool *members);
bool sim_journal_settled(enum gw_journal_record record);
void sim_crash(struct sim_world *w, int side, uint64_t for_ns);
void sim_start_source(struct sim_world *w);
void sim_start_destination(struct sim_world *w, bool fresh);
void sim_restart(struct sim_world *w, int side);
void sim_step(struct sim_world *w, int side, struct gw_event *event);
uint64_t sim_deadline(const struct sim_world *w, int side);
void sim_give_answer(struct sim_world *w, struct happening *h);
void sim_lose(struct sim_world *w, struct happening *h);

/* sim/wire.c */
void sim_put_on_wire(struct sim_world *w, int from, enum gw_channel channel, const uint8_t *bytes,
                     size_t size, uint64_t leaves);
void sim_notice_loss(struct sim_world *w, int side, uint64_t after, const char *why);
void sim_hang_up(struct sim_world *w, int side);
void sim_attach(struct sim_world *w);
void sim_connect_again(struct sim_world *w);
void sim_say(struct sim_world *w, int side, const struct gw_message *m);
void sim_say_map(struct sim_world *w, int side, const struct gw_set *set);
void sim_parcel_came(struct sim_world *w, struct happening *h);

/* sim/judge.c */
void sim_check_journals(struct sim_world *w);
void sim_judge(struct sim_world *w);

/* sim/hypervisor.c */
void sim_make_hosts(struct sim_world *w);
void sim_free_hosts(struct sim_world *w);
void sim_command(struct sim_world *w, int side, enum command what, uint64_t takes);
void sim_drop_commands(struct sim_world *w, int side);
void sim_go_on_loading(struct sim_world *w);
void sim_state_came(struct sim_world *w, bool last);
void sim_start_tracking(struct sim_world *w);
void sim_command_done(struct sim_world *w, struct happening *h);
void sim_kill_vm(struct sim_world *w, int side, const char *why);

/* sim/guest.c */
void sim_touch(struct sim_world *w, unsigned thread, uint64_t page, bool writes);
void sim_wake(struct sim_world *w, uint64_t page);
void sim_fault_again(struct sim_world *w);
void sim_guest_lives(struct sim_world *w, struct happening *h);

/* sim/source_host.c */
void sim_ask_for_room(struct sim_world *w);
void sim_take_up(struct sim_world *w, struct happening *h);
void sim_source_acts(struct sim_world *w, const struct gw_action *action);

/* sim/destination_host.c */
void sim_frame_came(struct sim_world *w, struct happening *h);
void sim_destination_acts(struct sim_world *w, const struct gw_action *action);

#endif
