/* SPDX-License-Identifier: MIT */
/*
 * live/net/channel.h - the TCP connections of one migration.
 *
 * All sockets are non-blocking; nothing here waits except gw_net_connect and the handshake, which
 * take a time limit.
 */
#ifndef GW_LIVE_NET_CHANNEL_H
#define GW_LIVE_NET_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "core/migration/frame.h"
#include "core/migration/message.h"
#include "core/migration/seal.h"

#define GW_DEFAULT_PORT 4909

/* Listens on ADDRESS[:PORT] ("[::1]:4909", "127.0.0.1", ":0" ...). Returns the socket. */
int gw_net_listen(const char *address, struct gw_error *error);
/* True if everything the socket listens on is a loopback address. */
bool gw_net_is_loopback(int fd);
/* ADDRESS:PORT that the socket has here. */
void gw_net_local_address(int fd, char *text, size_t room);
int gw_net_accept(int listener, char *peer, size_t peer_bytes, struct gw_error *error);

/* Connects and says HELLO; waits for the peer's HELLO for the same migration and channel. */
int gw_net_connect(const char *host, enum gw_channel channel, const struct gw_id *id,
                   int timeout_ms, struct gw_error *error);
/* The accepting side's half: reads the peer's HELLO, and answers it. */
int gw_net_greet(int fd, enum gw_channel *channel, struct gw_id *id, int timeout_ms,
                 struct gw_error *error);

/* How a lost link is noticed by TCP itself: keepalive and user timeout. */
int gw_net_watch(int fd, int timeout_ms, struct gw_error *error);
/* Kernel pacing of what the socket sends; 0: none. */
int gw_net_pace(int fd, uint64_t bytes_per_s, struct gw_error *error);
/* After the switch: what waits unsent in the kernel delays who waits for a page of it. */
int gw_net_keep_queue_short(int fd, struct gw_error *error);
/* What a connection has done since it began; zeros where the kernel does not say. */
struct gw_net_flow {
	uint64_t acked_bytes; /* by the peer's kernel */
	uint64_t unread_ns;   /* that nothing could be sent because the peer did not read */
	bool empty;           /* the kernel has nothing of it that is not on its way */
};
struct gw_net_flow gw_net_look(int fd);
uint64_t gw_net_rtt_ns(int fd);
/* The rate of so much payload together with its headers, which traffic control counts as well. */
uint64_t gw_net_with_headers(int fd, uint64_t payload_bytes_per_s);

/*
 * Messages over a control or urgent connection. Sending never waits: what the socket does not take
 * is queued and goes out in gw_mailbox_flush().
 */
struct gw_mailbox;

struct gw_mailbox *gw_mailbox_new(int fd); /* owns fd; NULL: no memory */
void gw_mailbox_free(struct gw_mailbox *box);
int gw_mailbox_fd(const struct gw_mailbox *box);
/* Page numbers in what arrives are checked against this; 0 until it is set. */
void gw_mailbox_set_pages(struct gw_mailbox *box, uint64_t pages);
/*
 * 0, or -errno: the connection is lost (-ENOBUFS: the peer left 64 MiB unread; -EINVAL: the
 * message has a field out of its range, a defect of the caller, and nothing was sent).
 */
int gw_mailbox_send(struct gw_mailbox *box, const struct gw_message *message);
int gw_mailbox_flush(struct gw_mailbox *box);
bool gw_mailbox_wants_to_write(const struct gw_mailbox *box);
size_t gw_mailbox_queued_bytes(const struct gw_mailbox *box);
/*
 * 1: a message, valid until the next call; 0: none now; -EPROTO: garbage, error says what;
 * -ECONNRESET: the peer is gone (end of file is never a message).
 */
int gw_mailbox_next(struct gw_mailbox *box, struct gw_message *message, struct gw_error *error);
/* Bytes that went over the connection so far, both ways apart. */
uint64_t gw_mailbox_sent_bytes(const struct gw_mailbox *box);
uint64_t gw_mailbox_received_bytes(const struct gw_mailbox *box);

/*
 * Page frames going out: one frame at a time, gathered from guest memory without a copy.
 */
struct gw_sender {
	int fd;                /* borrowed */
	const uint8_t *memory; /* guest memory, borrowed */
	uint64_t sent_bytes;   /* in all */
	size_t iov_at, iov_count;
	uint64_t sealed; /* frames */
	struct iovec iov[GW_FRAME_RUNS_MAX + 1];
	uint8_t head[GW_FRAME_BYTES_MAX + GW_SEAL_BYTES];
};

void gw_sender_init(struct gw_sender *sender, int fd, const uint8_t *memory);
/*
 * Takes a frame up; only when idle. PAGES: contents are read as the socket takes them, so the runs
 * must lie in memory. -EINVAL: the frame's counts do not agree (a defect of the caller).
 */
int gw_sender_put(struct gw_sender *sender, const struct gw_frame *frame);
/* The same, with the contents from elsewhere: frame->pages of them, borrowed until it is idle. */
int gw_sender_put_contents(struct gw_sender *sender, const struct gw_frame *frame,
                           const uint8_t *contents);
bool gw_sender_idle(const struct gw_sender *sender);
/* Writes what the socket takes: 0, or -errno: the connection is lost. */
int gw_sender_flush(struct gw_sender *sender);

/*
 * Page frames coming in. Contents land where `place` says: straight in guest memory (before the
 * switch), or in a staging buffer (after it, for atomic placement).
 */
struct gw_receiver {
	int fd;           /* borrowed */
	uint64_t pages;   /* size of guest memory */
	uint8_t *memory;  /* guest memory, borrowed */
	uint8_t *staging; /* GW_FRAME_PAGES_MAX pages, owned */
	bool staged;      /* contents go to staging */
	uint64_t received_bytes;
	size_t head_have;
	size_t body_have; /* bytes of contents that are in */
	bool have_frame;
	uint64_t opened; /* frames */
	struct gw_frame frame;
	uint8_t head[GW_FRAME_BYTES_MAX + GW_SEAL_BYTES];
};

int gw_receiver_init(struct gw_receiver *receiver, int fd, uint8_t *memory, uint64_t pages);
void gw_receiver_free(struct gw_receiver *receiver);
/*
 * 1: a whole frame is in (receiver->frame; contents are in memory or in receiver->staging);
 * 0: more must arrive; -EPROTO garbage; -ECONNRESET the peer is gone.
 */
int gw_receiver_next(struct gw_receiver *receiver, struct gw_error *error);

#endif
