/* SPDX-License-Identifier: MIT */
/*
 * live/vm/qmp.h - QEMU's control socket, without waiting.
 *
 * Commands are sent with an id; what comes back (answers and events, in QEMU's order) is read with
 * gw_qmp_next(). gw_qmp_call() waits for one answer and is for set-up phases only: what arrives
 * meanwhile is kept for gw_qmp_next(), and the descriptor stays readable for it.
 *
 * The other end is not trusted: lines have a longest length, the queue has a longest length, and
 * anything that is not QMP breaks the connection with -EPROTO.
 */
#ifndef GW_LIVE_VM_QMP_H
#define GW_LIVE_VM_QMP_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define GW_QMP_LINE_MAX  (8u << 20) /* bytes; query-named-block-nodes of a large VM is 100 KiB */
#define GW_QMP_QUEUE_MAX 4096u      /* messages that nobody has asked for yet */

struct gw_qmp;

enum gw_qmp_kind { GW_QMP_ANSWER = 1, GW_QMP_ERROR, GW_QMP_EVENT };

struct gw_qmp_message {
	enum gw_qmp_kind kind;
	uint64_t id;    /* of the command; 0: an event */
	char name[64];  /* of the event, or the error's class */
	char text[256]; /* of the error */
	json_t *data;   /* owned by whoever took the message; may be NULL */
};

/* Connects, waits for the greeting and negotiates. */
int gw_qmp_connect(struct gw_qmp **qmp, const char *path, int timeout_ms, struct gw_error *error);
/* The same over a socket that is connected already, and taken over. */
int gw_qmp_adopt(struct gw_qmp **qmp, int sock, int timeout_ms, struct gw_error *error);
void gw_qmp_close(struct gw_qmp *qmp);

/* Polled for input; stays the same until gw_qmp_close(). */
int gw_qmp_fd(const struct gw_qmp *qmp);
/* The process that listens on the socket. */
pid_t gw_qmp_peer(const struct gw_qmp *qmp);
/* From the greeting: {"qemu": {"major", "minor", "micro"}, "package"}; borrowed. */
const json_t *gw_qmp_version(const struct gw_qmp *qmp);

/*
 * Sends one command. `arguments` is taken over (NULL: none); `fd`, if not -1, goes along with it
 * and stays the caller's. *id (may be NULL) is never 0.
 */
int gw_qmp_send(struct gw_qmp *qmp, const char *command, json_t *arguments, int fd, uint64_t *id,
                struct gw_error *error);
/* 1: a message was written; 0: none now; -errno: the connection is broken. */
int gw_qmp_next(struct gw_qmp *qmp, struct gw_qmp_message *message);
void gw_qmp_message_clear(struct gw_qmp_message *message);

/*
 * Sends and waits for the answer. *result (may be NULL) is the caller's. -EREMOTEIO: QEMU refused;
 * -ETIMEDOUT: no answer. `arguments` as above.
 */
int gw_qmp_call(struct gw_qmp *qmp, const char *command, json_t *arguments, int timeout_ms,
                json_t **result, struct gw_error *error);

#endif
