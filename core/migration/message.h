/* SPDX-License-Identifier: MIT */
/*
 * core/migration/message.h - what the two agents say to each other, and its bytes.
 *
 * Three TCP connections carry one migration. Each begins with HELLO in both directions:
 *
 *   control   messages, both ways
 *   bulk      page frames, source to destination (core/migration/frame.h)
 *   urgent    FAULT messages to the source, page frames to the destination
 *
 * A message on the wire, all numbers little-endian:
 *
 *   0        4        6        8
 *   | length | kind   | zero   | body ...        length = bytes of the body
 *
 * After HELLO each is followed by its seal (core/migration/seal.h), which the codec does not see.
 *
 * Decoding borrows from the caller's buffer: texts, runs and bytes are valid as long as it is.
 * Every decoder treats its input as hostile: lengths, counts and enums are checked, page runs must
 * be ascending, disjoint and inside the memory; anything else is -EPROTO. A message has one
 * encoding: what decodes encodes to the same bytes. Texts may hold any byte: clean them before
 * they reach a terminal.
 *
 * HELLO is the same in all versions, so that both sides can name the version they do not speak;
 * the decoder accepts any. In MAP a byte `last` comes first, then each run as two varints (7 bits
 * a byte, least first, the high bit says that more follow, no padding): the gap since the end of
 * the run before, and the count less one.
 *
 *     pages   .##...###.      runs  {1,2} {6,3}      varints  1 1 3 2
 */
#ifndef GW_CORE_MIGRATION_MESSAGE_H
#define GW_CORE_MIGRATION_MESSAGE_H

#include "core/page/set.h"

#define GW_WIRE_VERSION		2u
#define GW_WIRE_MAGIC		"godwit\r\n" /* 8 bytes; mangled by anything that is not binary-safe */
#define GW_ID_BYTES		16
#define GW_NAME_MAX		63	   /* bytes of a VM's name */
#define GW_REASON_MAX		400	   /* bytes of a sentence */
#define GW_MESSAGE_HEADER_BYTES 8
#define GW_MESSAGE_BODY_MAX	(1u << 20) /* 1 MiB */
#define GW_MAP_RUNS_MAX		16384	   /* runs in one MAP message */
#define GW_DIGESTS_MAX		65536	   /* digests in one DIGESTS message */

/* ROOM carries no migration: after HELLO the host says in a line what it has free, and hangs up. */
enum gw_channel { GW_CONTROL = 1, GW_BULK = 2, GW_URGENT = 3, GW_ROOM = 4 };

struct gw_id {
	uint8_t bytes[GW_ID_BYTES];
};

enum gw_message_kind {
	GW_MSG_HELLO = 1, /* both: magic, version, channel, migration */
	GW_MSG_OFFER,	  /* source: this VM, under this policy */
	GW_MSG_ACCEPT,	  /* destination: memory and hypervisor are reserved */
	GW_MSG_REFUSE,	  /* destination: no, and why */
	GW_MSG_ROUND_ACK, /* destination: all pages of this round are in place */
	GW_MSG_SWITCH,	  /* source: the VM is stopped; what follows is the moment of the switch */
	GW_MSG_MAP,	  /* runs: before SWITCH pages that are stale, after it pages that are missing,
			     from the destination (recovery) pages that are there */
	GW_MSG_STATE,	  /* a piece of the device state stream, or of its return path */
	GW_MSG_STATE_END, /* source: the device state stream ended cleanly */
	GW_MSG_PREPARED,  /* destination: everything is loaded, I could run it now */
	GW_MSG_COMMIT,	  /* source: it is yours; from here on I never resume it by myself */
	GW_MSG_ACTIVATED, /* destination: it runs (or stands paused, as it was) here */
	GW_MSG_DONE,	  /* destination: I need nothing more from you */
	GW_MSG_RELEASED,  /* source: my copy is gone */
	GW_MSG_ABORT,	  /* either: stop, and why */
	GW_MSG_ABORTED,	  /* destination: it never ran here and never will; source: confirmed */
	GW_MSG_FAULT,	  /* destination, on urgent: a vCPU waits for this page */
	GW_MSG_RESUME,	  /* source, after a lost link or a crash: where do you stand? */
	GW_MSG_STANDING,  /* destination: here */
	GW_MSG_DIGESTS,	  /* source: digests of pages at the moment of the switch */
	GW_MSG_VERDICT,	  /* destination: so many compared, so many different */
	GW_MSG_PING,	  /* either: are you there? */
	GW_MSG_PONG,
	GW_MSG_KINDS
};

/* Where a destination stands when a source comes back for a migration. */
enum gw_standing {
	GW_STANDS_UNKNOWN = 1, /* never heard of it, or it ended without running: it never will */
	GW_STANDS_PREPARED,    /* loaded, paused, waiting for COMMIT or ABORT */
	GW_STANDS_RUNNING,     /* it is mine; pages may be missing: a MAP of what is here follows */
	GW_STANDS_COMPLETE,    /* it is mine and whole */
	GW_STANDS_DOUBT,       /* the host was restarted since; a person must say */
};

enum { /* flags of OFFER and ACCEPT */
	GW_OFFER_PULLS = 1,    /* the policy may switch to post-copy */
	GW_OFFER_VERIFIES = 2, /* compare digests before the guest sees pages */
	GW_OFFER_PAUSED = 4,   /* the VM is paused and must stay so */
};

struct gw_message {
	enum gw_message_kind kind;
	union {
		struct {
			uint32_t version;
			enum gw_channel channel;
			struct gw_id id;
		} hello;
		struct {
			uint32_t flags;
			uint32_t vcpus;
			uint64_t ram_bytes; /* a multiple of GW_PAGE_BYTES, not 0 */
			const char *name;   /* not terminated; no '/', no control byte, no '.' first */
			uint32_t name_bytes; /* 1 to GW_NAME_MAX */
			const uint8_t *spec; /* JSON: live/vm/spec.h; opaque to the core */
			uint32_t spec_bytes;
		} offer;
		struct {
			uint32_t flags;
			struct gw_id host; /* the destination's, for good; not all zeros */
		} accept;
		struct { /* REFUSE, ABORT, ABORTED: a sentence, not terminated */
			const char *text;
			uint32_t bytes;
		} reason;
		struct {
			uint64_t round;
			uint64_t placed_pages; /* in all so far */
		} round_ack;
		struct {
			bool pulls;		/* pages are missing; a MAP follows */
			uint64_t missing_pages; /* how many the MAP will name; 0 if !pulls */
		} switched;
		struct {
			struct gw_run *runs; /* encode: borrowed; decode: see below */
			uint32_t count;
			bool last;
		} map;
		struct {
			const uint8_t *bytes;
			uint32_t count; /* at least 1 */
		} state;
		struct {
			uint64_t after_ns; /* from receipt of COMMIT to running */
		} activated;
		struct {
			uint64_t faults;	    /* pages asked for over the network */
			uint64_t stall_ns;	    /* waited, summed over vCPUs */
			uint64_t fault_p50_ns;
			uint64_t fault_p99_ns;
			uint64_t fault_max_ns;
			uint64_t placed_pages;
		} done;
		struct {
			uint64_t page;
		} fault;
		struct {
			enum gw_standing standing;
			struct gw_id host; /* who says so, as in ACCEPT */
		} standing;
		struct {
			uint64_t first;
			uint32_t count;
			const uint8_t *digests; /* count times 8 bytes, little-endian */
			bool last;
		} digests;
		struct {
			uint64_t compared;
			uint64_t different;
			uint64_t first_different; /* a page; meaningless if different == 0 */
		} verdict;
		struct {
			uint64_t token;
		} ping; /* and PONG */
	};
};

const char *gw_message_name(enum gw_message_kind kind);

bool gw_id_same(const struct gw_id *a, const struct gw_id *b);

/* Bytes of the message on the wire, header included; 0 if a field is out of its range. */
size_t gw_message_bytes(const struct gw_message *message);

/*
 * Writes the message; returns its bytes, or 0 if it does not fit into `room` or a field is out of
 * its range (a defect of the caller).
 */
size_t gw_message_encode(const struct gw_message *message, uint8_t *to, size_t room);

/*
 * Reads one message from the front of `from`. `pages` is the size of guest memory, against which
 * page numbers are checked (0 before OFFER: then no message that names pages is accepted).
 * The runs of a MAP are written to `runs`, which has room for GW_MAP_RUNS_MAX; with NULL no MAP is
 * accepted.
 * Returns 0 and sets *used; -EAGAIN if more bytes are needed (*used = how many in all are known to
 * be needed); -EPROTO if it is no message.
 */
int gw_message_decode(struct gw_message *message, const uint8_t *from, size_t bytes,
		      uint64_t pages, struct gw_run *runs, size_t *used);

/* Makes a message that carries a sentence (REFUSE, ABORT, ABORTED); borrows text, cuts it. */
struct gw_message gw_message_reason(enum gw_message_kind kind, const char *text);
/* The sentence that a message carries, terminated, cut to the room; returns `to`. */
const char *gw_message_text(const struct gw_message *message, char *to, size_t room);

#endif
