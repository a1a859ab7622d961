/* SPDX-License-Identifier: MIT */
/*
 * core/migration/event.h - what a world tells the machines, and what they tell it to do.
 *
 * step(machine, event, actions): the world carries out the actions in their order. An action that
 * names an event in brackets is answered by that event, or by GW_EV_FAILED; what asks for `cont`, by
 * GW_EV_RUN_REFUSED, for a request before it may fail as well. The world may answer at once or
 * later, but never from inside step(). Pointers in an event are borrowed for the call,
 * pointers in an action until the next step of that machine, to which the same actions are given.
 */
#ifndef GW_CORE_MIGRATION_EVENT_H
#define GW_CORE_MIGRATION_EVENT_H

#include "core/migration/frame.h"
#include "core/migration/message.h"
#include "core/migration/metrics.h"
#include "core/migration/state.h"
#include "core/page/set.h"
#include "core/predict/observation.h"

/* One line a record in each agent's journal; the last one says who may run the VM. */
enum gw_journal_record {
	GW_REC_NONE,
	/* source */
	GW_REC_LEAVING,      /* a migration has begun; the VM is mine */
	GW_REC_HANDING_OVER, /* the VM is being stopped; still mine: COMMIT was not sent */
	GW_REC_COMMITTED,    /* COMMIT may have been sent: only the destination knows */
	GW_REC_GONE,         /* it runs there; my copy may still be needed */
	GW_REC_RELEASED,     /* nothing here is needed any more */
	GW_REC_STAYED,       /* the migration ended, the VM is mine */
	/* destination */
	GW_REC_RESERVED, /* memory and hypervisor are reserved; nothing ran */
	GW_REC_PREPARED, /* loaded and paused; only the source knows */
	GW_REC_MINE,     /* it runs here (or was just about to) */
	GW_REC_WHOLE,    /* it runs here and every page is in */
	GW_REC_NEVER,    /* it never ran here and never will */
	/* both */
	GW_REC_DOUBT, /* no side can tell; a person must */
	GW_RECORDS
};

const char *gw_journal_record_name(enum gw_journal_record record);

enum gw_event_kind {
	/* both */
	GW_EV_TICK,      /* the deadline has come */
	GW_EV_MESSAGE,   /* control, or FAULT on urgent */
	GW_EV_LINK_UP,   /* all three connections stand again (text: with whom) */
	GW_EV_LINK_LOST, /* any of them broke, or could not be made again (text: why) */
	GW_EV_ABORT,     /* a person wants to stop it (text) */
	GW_EV_JOURNALED, /* the record is written */
	GW_EV_UNWRITTEN, /* it could not be (text) */
	GW_EV_SURVEYED,  /* set: the pages that hold data */
	GW_EV_RUNNING,   /* the VM runs here (or stands paused, as it was), whoever asked for it */
	GW_EV_RUN_REFUSED, /* `cont` was refused, or never asked: it does not run (text) */
	GW_EV_VM_GONE,   /* the guest powered off, or the hypervisor died (text) */
	GW_EV_FAILED,    /* what was asked for failed (text) */
	GW_EV_RECOVER,   /* first event of an agent that follows a crashed one (record) */
	/* source */
	GW_EV_START,    /* the connections stand */
	GW_EV_TRACKING, /* set: the pages that hold data; writes are tracked from before it */
	GW_EV_SCANNED,  /* set: pages written since the last scan */
	GW_EV_PEEKED,   /* set: pages written so far in this round */
	GW_EV_ROOM,     /* the bulk connection takes another frame */
	GW_EV_STOPPED,  /* no vCPU runs, I/O is drained */
	GW_EV_SAVED,    /* the device state stream is out */
	GW_EV_SHADOW_STARTED, /* the copy that runs ahead runs */
	GW_EV_TOUCHED,  /* touched: runs in the order in which the shadow first touched them */
	GW_EV_SHADOW_GONE, /* it could not be started, or is no more; unasked, at any time (text) */
	/* destination */
	GW_EV_RESERVED,  /* memory and hypervisor are there */
	GW_EV_PLACED,    /* runs: pages are in the guest's memory */
	GW_EV_MARK,      /* a frame without pages came on bulk */
	GW_EV_FAULT,     /* a thread waits for a page */
	GW_EV_ARMED,     /* holes fault from now on */
	GW_EV_LOADED,    /* the device state is in */
	GW_EV_DISARMED,  /* nothing faults any more, nothing is left in the hypervisor */
	GW_EV_DESTROYED, /* hypervisor and memory are gone */
	GW_EV_COMPARED,  /* a DIGESTS message was compared */
	GW_EV_RESOLVED_HERE, /* a person says: it is to run here */
	GW_EV_RESOLVED_GONE, /* a person says: it is not to run here */
	GW_EVENTS
};

struct gw_event {
	enum gw_event_kind kind;
	uint64_t now_ns;     /* a monotonic clock */
	uint64_t link_bytes; /* gone over the three connections so far, both ways */
	struct gw_activity activity; /* SCANNED: since the last one, or since TRACKING */
	union {
		const struct gw_message *message;
		const struct gw_set *set;
		const char *text;
		struct {
			const struct gw_run *runs;
			size_t count;
		} placed;
		struct {
			const struct gw_run *runs; /* each ascending; a page may come again */
			size_t count;
		} touched;
		struct {
			enum gw_frame_kind kind;
			uint32_t number;
		} mark;
		struct {
			uint64_t page;
			int32_t thread;
			bool vcpu; /* the thread is a vCPU */
		} fault;
		struct {
			uint64_t compared, different, first_different;
			bool last;
		} compared;
		struct {
			enum gw_journal_record record;
			bool faults; /* destination: the hypervisor's faults could be taken up again
			              */
		} recover;
	};
};

enum gw_action_kind {
	/* both */
	GW_ACT_TRACE,   /* text: a line for the trace, and for the user */
	GW_ACT_SEND,    /* message, on control (FAULT: on urgent) */
	GW_ACT_MAP,     /* set: as MAP messages (gw_map_message) */
	/* record [GW_EV_JOURNALED or GW_EV_UNWRITTEN]; durable: must survive the host too */
	GW_ACT_JOURNAL,
	GW_ACT_SURVEY,  /* [GW_EV_SURVEYED] */
	GW_ACT_HANG_UP, /* close the connections */
	GW_ACT_FINISH,  /* outcome, text: the machine has ended */
	/* source */
	GW_ACT_TRACK,   /* [GW_EV_TRACKING] */
	GW_ACT_SCAN,    /* [GW_EV_SCANNED] final: the VM is stopped */
	GW_ACT_PEEK,    /* [GW_EV_PEEKED] */
	GW_ACT_PAGES,   /* channel, runs: as a frame */
	GW_ACT_MARK,    /* mark: as a frame, on bulk */
	GW_ACT_RATE,    /* rate_bytes_per_s for bulk; 0: the user's limit */
	GW_ACT_STOP,    /* [GW_EV_STOPPED] */
	GW_ACT_LOOK,    /* [GW_EV_STOPPED, or GW_EV_RUNNING if somebody else resumed the VM] */
	GW_ACT_PEER,    /* host: the destination's; kept in the journal, failure is GW_EV_FAILED */
	GW_ACT_SAVE,    /* [GW_EV_SAVED] the stream goes as STATE messages, then STATE_END */
	GW_ACT_RESUME,  /* [GW_EV_RUNNING] take the VM up again here, as it was */
	GW_ACT_LET_GO,  /* end tracking; nothing is left in the hypervisor */
	GW_ACT_DIGESTS, /* send the digests of all pages as DIGESTS messages */
	GW_ACT_ROUND,   /* round: for the result */
	/*
	 * The shadow: a copy of the VM that runs ahead at the source (S4). Nobody waits for it, and
	 * whatever happens to it is GW_EV_SHADOW_GONE, never GW_EV_FAILED. At most one lives; each
	 * of these is asked for at most once, HOLD and GO apart.
	 */
	GW_ACT_SHADOW_PREPARE, /* make ready what takes long; the VM still runs here */
	GW_ACT_SHADOW_RUN,     /* from the state as saved, on the frozen image [SHADOW_STARTED] */
	GW_ACT_SHADOW_HOLD,    /* it is far enough ahead: it stands still */
	GW_ACT_SHADOW_GO,      /* ... and goes on */
	GW_ACT_SHADOW_END,     /* kill it; nothing answers */
	GW_ACT_CONNECT, /* make all connections again [GW_EV_LINK_UP or GW_EV_LINK_LOST] */
	GW_ACT_RELEASE, /* end the hypervisor here, remove its memory */
	/* destination */
	GW_ACT_RESERVE, /* message: the OFFER [GW_EV_RESERVED] */
	GW_ACT_PUNCH,   /* set: make holes of these pages */
	GW_ACT_ARM,     /* set: let these fault: none of them is to be there [GW_EV_ARMED] */
	GW_ACT_LOAD,    /* feed the device state [GW_EV_LOADED] */
	GW_ACT_RUN,     /* [GW_EV_RUNNING] */
	GW_ACT_ZERO,    /* page: give a zero page to who waits for it */
	GW_ACT_DISARM,  /* [GW_EV_DISARMED] */
	GW_ACT_DESTROY, /* [GW_EV_DESTROYED] */
	GW_ACT_COMPARE, /* message: the DIGESTS [GW_EV_COMPARED] */
	GW_ACTIONS
};

#define GW_TRACE_BYTES 512

struct gw_action {
	enum gw_action_kind kind;
	union {
		const char *text;
		struct gw_message message;
		const struct gw_set *set;
		const struct gw_round *round;
		uint64_t rate_bytes_per_s;
		uint64_t page;
		bool final;
		struct gw_id host;
		struct {
			enum gw_journal_record record;
			bool durable;
		} journal;
		struct {
			enum gw_channel channel;
			const struct gw_run *runs;
			uint32_t count;
			uint32_t pages;
		} pages;
		struct {
			enum gw_frame_kind kind;
			uint32_t number;
		} mark;
		struct {
			enum gw_outcome outcome;
			const char *text;
		} finish;
	};
};

#define GW_ACTIONS_MAX	 64
#define GW_ACTIONS_TEXTS 4096 /* bytes of the lines that one step may trace */

/* The world's memory, all zero at first. */
struct gw_actions {
	bool quiet; /* nobody reads the trace: its lines come as GW_ACT_TRACE with an empty text */
	size_t count;
	struct gw_action at[GW_ACTIONS_MAX];
	struct gw_round round; /* a step ends at most one */
	size_t text_bytes;
	char texts[GW_ACTIONS_TEXTS];
};

/*
 * Cuts a set into MAP messages: fills `message` with the next at most GW_MAP_RUNS_MAX runs from
 * *cursor on (0 at first); returns false when the last one has been made. An empty set makes one
 * message without runs.
 */
bool gw_map_message(const struct gw_set *set, uint64_t *cursor, struct gw_run *runs,
                    struct gw_message *message);

/* For the machines: begins a step; appends an action, or a line ("12.345678 source  text"). */
void gw_actions_begin(struct gw_actions *actions);
struct gw_action *gw_act(struct gw_actions *actions, enum gw_action_kind kind);
void gw_act_send(struct gw_actions *actions, struct gw_message message);
void gw_act_say(struct gw_actions *actions, enum gw_message_kind kind); /* one without a body */
void gw_act_journal(struct gw_actions *actions, enum gw_journal_record record, bool durable);
/* HANG_UP and FINISH; text: borrowed as long as the machine lives. */
void gw_act_finish(struct gw_actions *actions, enum gw_outcome outcome, const char *text);
void gw_trace(struct gw_actions *actions, uint64_t now_ns, const char *who, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

#endif
