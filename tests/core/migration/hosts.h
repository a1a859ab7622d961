/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/hosts.h - the inside of the world: what world.c and hosts.c share.
 */
#ifndef GW_TESTS_HOSTS_H
#define GW_TESTS_HOSTS_H

#include <errno.h>

#include "tests/core/migration/world.h"

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
	bool released, resume_refused, resumed_behind;
	bool looked_at; /* COMMIT follows: from here on the disks' locks keep others off */
	struct gw_id peer;
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
	uint8_t identity;
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

struct world {
	struct world_config config;
	struct gw_run hot[HOT_MAX];
	uint64_t now, chance, order, lines, steps, version, writes_left;
	struct happening **heap;
	size_t heap_count, heap_room, waiting;
	struct agent agent[SIDES];
	bool restarting[SIDES], fail_next[SIDES];
	unsigned ticks, struck, helped, killed, refused;

	uint64_t epochs, cut_epoch, down_until, last[SIDES][4], wire_bytes;
	uint64_t news_ns; /* the link, or a map, came */
	uint64_t bulk_free, urgent_free, slow_ns;
	bool room_asked;

	struct source_host source;
	struct destination_host dest;
	bool switched, ran_there, forgotten;
	uint64_t *expected; /* what the guest must see at the destination */
	struct gw_actions out[SIDES];
	char violation[256];
};

extern const char *const side_names[SIDES];

/* world.c */
uint64_t dice(struct world *w);
uint64_t dice_below(struct world *w, uint64_t limit);
void *need(size_t bytes);
void violated(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void line(struct world *w, int side, const char *format, ...) __attribute__((format(printf, 3, 4)));
struct happening *will(struct world *w, enum what what, int side, uint64_t at);
void answer(struct world *w, int side, struct gw_event event, uint64_t delay);
void answer_text(struct world *w, int side, enum gw_event_kind kind, const char *text);
void answer_set(struct world *w, int side, enum gw_event_kind kind, const bool *members);
void put_on_wire(struct world *w, int from, enum gw_channel channel, const uint8_t *bytes,
                 size_t size, uint64_t leaves);
void say(struct world *w, int side, const struct gw_message *m);
void step(struct world *w, int side, struct gw_event *event);
bool journal_settled(enum gw_journal_record record);

/* hosts.c */
void make_hosts(struct world *w);
void free_hosts(struct world *w);
void source_acts(struct world *w, const struct gw_action *action);
void destination_acts(struct world *w, const struct gw_action *action);
void command_done(struct world *w, struct happening *h);
void drop_commands(struct world *w, int side);
void resume_behind(struct world *w);
void kill_vm(struct world *w, int side, const char *why);
void ask_for_room(struct world *w);
void take_up(struct world *w, struct happening *h);
void frame_came(struct world *w, struct happening *h);
void state_came(struct world *w, bool last);
void guest_lives(struct world *w, struct happening *h);
void fault_again(struct world *w);
void judge(struct world *w);

#endif
