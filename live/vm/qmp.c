/* SPDX-License-Identifier: MIT */
#include "live/vm/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/cleanup.h"

struct node {
	struct gw_qmp_message message;
	struct node *next;
};

struct gw_qmp {
	int sock;
	int bell; /* an eventfd, readable while the queue is not empty */
	int epoll;
	int broken; /* a positive errno, once the connection is of no use */
	pid_t peer;
	uint64_t last_id;
	char *line; /* what was read and is not yet a whole line */
	size_t used;
	size_t looked; /* no newline in the first so many bytes */
	size_t room;
	struct node *first, *last;
	unsigned queued;
	json_t *version;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void gw_qmp_message_clear(struct gw_qmp_message *message)
{
	json_decref(message->data);
	message->data = NULL;
}

static int broken(struct gw_qmp *qmp, int err)
{
	if (!qmp->broken)
		qmp->broken = err;
	return -qmp->broken;
}

static int enqueue(struct gw_qmp *qmp, const struct gw_qmp_message *message)
{
	struct node *node;
	uint64_t one = 1;

	if (qmp->queued >= GW_QMP_QUEUE_MAX)
		return -EPROTO;
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	node->message = *message;
	if (qmp->last)
		qmp->last->next = node;
	else
		qmp->first = node;
	qmp->last = node;
	if (qmp->queued++ == 0 && write(qmp->bell, &one, sizeof(one)) < 0)
		return -errno;
	return 0;
}

static bool dequeue(struct gw_qmp *qmp, struct gw_qmp_message *message)
{
	struct node *node = qmp->first;
	uint64_t rung;

	if (!node)
		return false;
	*message = node->message;
	qmp->first = node->next;
	if (!qmp->first)
		qmp->last = NULL;
	if (--qmp->queued == 0 && read(qmp->bell, &rung, sizeof(rung)) < 0)
		(void)broken(qmp, errno);
	free(node);
	return true;
}

static void copy_text(char *to, size_t room, const json_t *from)
{
	const char *text = json_string_value(from);

	(void)snprintf(to, room, "%s", text ? text : "");
}

/* One line of QMP -> one message; `json` is used up. */
static int take_line(struct gw_qmp *qmp, json_t *json)
{
	struct gw_qmp_message m = {.id = (uint64_t)json_integer_value(json_object_get(json, "id"))};
	json_t *event = json_object_get(json, "event");
	json_t *refused = json_object_get(json, "error");
	json_t *data = NULL;
	int rc;

	if (json_is_string(event)) {
		m.kind = GW_QMP_EVENT;
		m.id = 0;
		copy_text(m.name, sizeof(m.name), event);
		data = json_object_get(json, "data");
	} else if (json_is_object(refused)) {
		m.kind = GW_QMP_ERROR;
		copy_text(m.name, sizeof(m.name), json_object_get(refused, "class"));
		copy_text(m.text, sizeof(m.text), json_object_get(refused, "desc"));
	} else if ((data = json_object_get(json, "return"))) {
		m.kind = GW_QMP_ANSWER;
	} else {
		json_decref(json);
		return -EPROTO;
	}
	m.data = json_incref(data);
	json_decref(json);
	rc = enqueue(qmp, &m);
	if (rc < 0)
		gw_qmp_message_clear(&m);
	return rc;
}

static int take_greeting(struct gw_qmp *qmp, json_t *json)
{
	json_t *version = json_object_get(json_object_get(json, "QMP"), "version");

	if (!json_is_object(version)) {
		json_decref(json);
		return -EPROTO;
	}
	qmp->version = json_incref(version);
	json_decref(json);
	return 0;
}

/* Cuts whole lines off the front of what was read. */
static int take_lines(struct gw_qmp *qmp)
{
	size_t start = 0;
	int rc = 0;

	while (rc == 0) {
		char *end = memchr(qmp->line + qmp->looked, '\n', qmp->used - qmp->looked);
		size_t length;
		json_t *json;

		if (!end)
			break;
		length = (size_t)(end - (qmp->line + start));
		json = json_loadb(qmp->line + start, length, 0, NULL);
		start = (size_t)(end - qmp->line) + 1;
		qmp->looked = start;
		if (!json_is_object(json)) {
			json_decref(json);
			rc = -EPROTO;
		} else {
			rc = qmp->version ? take_line(qmp, json) : take_greeting(qmp, json);
		}
	}
	memmove(qmp->line, qmp->line + start, qmp->used - start);
	qmp->used -= start;
	qmp->looked = qmp->used;
	return rc;
}

static int make_room(struct gw_qmp *qmp)
{
	size_t room = qmp->room ? qmp->room * 2 : 16384;
	char *line;

	if (qmp->used < qmp->room)
		return 0;
	if (room > GW_QMP_LINE_MAX)
		return -EPROTO;
	line = realloc(qmp->line, room);
	if (!line)
		return -ENOMEM;
	qmp->line = line;
	qmp->room = room;
	return 0;
}

/* Reads what is there; does not wait. */
static int drain(struct gw_qmp *qmp)
{
	ssize_t got;
	int rc;

	while (!qmp->broken) {
		rc = make_room(qmp);
		if (rc < 0)
			return broken(qmp, -rc);
		got = recv(qmp->sock, qmp->line + qmp->used, qmp->room - qmp->used, MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (got <= 0)
			return broken(qmp, got < 0 ? errno : ECONNRESET);
		qmp->used += (size_t)got;
		rc = take_lines(qmp);
		if (rc < 0)
			return broken(qmp, -rc);
	}
	return -qmp->broken;
}

int gw_qmp_next(struct gw_qmp *qmp, struct gw_qmp_message *message)
{
	memset(message, 0, sizeof(*message));
	if (dequeue(qmp, message))
		return 1;
	(void)drain(qmp);
	if (dequeue(qmp, message))
		return 1;
	return -qmp->broken;
}

int gw_qmp_fd(const struct gw_qmp *qmp)
{
	return qmp->epoll;
}

pid_t gw_qmp_peer(const struct gw_qmp *qmp)
{
	return qmp->peer;
}

const json_t *gw_qmp_version(const struct gw_qmp *qmp)
{
	return qmp->version;
}

static int send_bytes(struct gw_qmp *qmp, char *text, size_t length, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {text, length};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &fd, sizeof(fd));
	}
	do
		sent = sendmsg(qmp->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	/* Half a command cannot be taken back. */
	return (size_t)sent == length ? 0 : broken(qmp, ENOBUFS);
}

int gw_qmp_send(struct gw_qmp *qmp, const char *command, json_t *arguments, int fd, uint64_t *id,
                struct gw_error *error)
{
	_cleanup_free_ char *text = NULL;
	json_t *json =
	        json_pack("{s:s, s:I}", "execute", command, "id", (json_int_t)++qmp->last_id);
	size_t length;
	int rc;

	if (arguments && json_object_set_new(json, "arguments", arguments) < 0)
		text = NULL;
	else
		text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (!text)
		return gw_fail(error, EINVAL, "The QEMU command %s cannot be written as JSON.",
		               command);
	if (id)
		*id = qmp->last_id;
	length = strlen(text);
	text[length] = '\n'; /* in place of the terminator */
	rc = qmp->broken ? -qmp->broken : send_bytes(qmp, text, length + 1, fd);
	if (rc < 0)
		return gw_fail(error, -rc, "QEMU does not take the command %s: %s.", command,
		               strerror(-rc));
	return 0;
}

/* Takes the answer to `id` out of the queue, wherever it stands. */
static bool pick(struct gw_qmp *qmp, uint64_t id, struct gw_qmp_message *message)
{
	struct node *keep = NULL, *keep_last = NULL;
	struct gw_qmp_message m;
	bool found = false;
	unsigned kept = 0;

	for (struct node *n = qmp->first; n; n = n->next)
		found = found || (n->message.kind != GW_QMP_EVENT && n->message.id == id);
	if (!found)
		return false;
	found = false;
	while (dequeue(qmp, &m)) {
		struct node *node;

		if (!found && m.kind != GW_QMP_EVENT && m.id == id) {
			*message = m;
			found = true;
			continue;
		}
		node = calloc(1, sizeof(*node));
		if (!node) {
			gw_qmp_message_clear(&m);
			(void)broken(qmp, ENOMEM);
			continue;
		}
		node->message = m;
		if (keep_last)
			keep_last->next = node;
		else
			keep = node;
		keep_last = node;
		kept++;
	}
	qmp->first = keep;
	qmp->last = keep_last;
	qmp->queued = kept;
	if (kept) {
		uint64_t one = 1;

		if (write(qmp->bell, &one, sizeof(one)) < 0)
			(void)broken(qmp, errno);
	}
	return true;
}

static int wait_input(const struct gw_qmp *qmp, int64_t until)
{
	struct pollfd p = {.fd = qmp->sock, .events = POLLIN};
	int64_t left = until - now_ms();
	int rc;

	if (left <= 0)
		return -ETIMEDOUT;
	rc = poll(&p, 1, (int)left);
	if (rc < 0 && errno != EINTR)
		return -errno;
	return 0;
}

int gw_qmp_call(struct gw_qmp *qmp, const char *command, json_t *arguments, int timeout_ms,
                json_t **result, struct gw_error *error)
{
	int64_t until = now_ms() + timeout_ms;
	struct gw_qmp_message m = {0};
	uint64_t id;
	int rc;

	if (result)
		*result = NULL;
	rc = gw_qmp_send(qmp, command, arguments, -1, &id, error);
	if (rc < 0)
		return rc;
	while (!pick(qmp, id, &m)) {
		rc = drain(qmp);
		if (pick(qmp, id, &m))
			break;
		if (rc == 0)
			rc = wait_input(qmp, until);
		if (rc == -ETIMEDOUT)
			return gw_fail(error, ETIMEDOUT, "QEMU did not answer %s within %d ms.",
			               command, timeout_ms);
		if (rc < 0)
			return gw_fail(error, -rc, "QEMU's control socket broke during %s: %s.",
			               command, strerror(-rc));
	}
	if (m.kind == GW_QMP_ERROR) {
		gw_qmp_message_clear(&m);
		return gw_fail(error, EREMOTEIO, "QEMU refuses %s: %s", command, m.text);
	}
	if (result)
		*result = m.data;
	else
		gw_qmp_message_clear(&m);
	return 0;
}

void gw_qmp_close(struct gw_qmp *qmp)
{
	struct gw_qmp_message m;

	if (!qmp)
		return;
	while (dequeue(qmp, &m))
		gw_qmp_message_clear(&m);
	if (qmp->sock >= 0)
		close(qmp->sock);
	if (qmp->bell >= 0)
		close(qmp->bell);
	if (qmp->epoll >= 0)
		close(qmp->epoll);
	json_decref(qmp->version);
	free(qmp->line);
	free(qmp);
}

static int open_socket(struct gw_qmp *qmp, const char *path, struct gw_error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ucred peer = {0};
	socklen_t length = sizeof(peer);

	if (strlen(path) >= sizeof(address.sun_path))
		return gw_fail(
		        error, ENAMETOOLONG,
		        "The control socket's path %s is longer than the %zu bytes that a Unix "
		        "socket may have: choose a shorter directory (GODWIT_DIR).",
		        path, sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	qmp->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (qmp->sock < 0 || connect(qmp->sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return gw_fail(error, errno, "QEMU's control socket %s does not answer: %s.", path,
		               strerror(errno));
	if (getsockopt(qmp->sock, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0)
		qmp->peer = peer.pid;
	return 0;
}

static int open_poll(struct gw_qmp *qmp, struct gw_error *error)
{
	struct epoll_event event = {.events = EPOLLIN};

	qmp->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	qmp->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (qmp->bell < 0 || qmp->epoll < 0 ||
	    epoll_ctl(qmp->epoll, EPOLL_CTL_ADD, qmp->sock, &event) < 0 ||
	    epoll_ctl(qmp->epoll, EPOLL_CTL_ADD, qmp->bell, &event) < 0)
		return gw_fail(error, errno, "Cannot watch QEMU's control socket: %s.",
		               strerror(errno));
	return 0;
}

static int greet(struct gw_qmp *qmp, const char *path, int timeout_ms, struct gw_error *error)
{
	int64_t until = now_ms() + timeout_ms;
	int rc = 0;

	while (!qmp->version && rc == 0) {
		rc = drain(qmp);
		if (rc == 0 && !qmp->version)
			rc = wait_input(qmp, until);
	}
	if (qmp->version)
		return gw_qmp_call(qmp, "qmp_capabilities", NULL, timeout_ms, NULL, error);
	if (rc == -ETIMEDOUT)
		return gw_fail(
		        error, EBUSY,
		        "QEMU's control socket %s sends no greeting: another program holds it; "
		        "give godwit a socket of its own (a second -qmp option).",
		        path);
	if (rc == -EPROTO)
		return gw_fail(error, EPROTO, "What answers on %s is not QEMU's control protocol.",
		               path);
	return gw_fail(error, -rc, "QEMU's control socket %s broke: %s.", path, strerror(-rc));
}

static int begin(struct gw_qmp *qmp, const char *path, int timeout_ms, struct gw_error *error)
{
	int rc = open_poll(qmp, error);

	return rc < 0 ? rc : greet(qmp, path, timeout_ms, error);
}

static struct gw_qmp *make(int sock)
{
	struct gw_qmp *qmp = calloc(1, sizeof(*qmp));

	if (qmp)
		*qmp = (struct gw_qmp){.sock = sock, .bell = -1, .epoll = -1};
	return qmp;
}

int gw_qmp_connect(struct gw_qmp **out, const char *path, int timeout_ms, struct gw_error *error)
{
	struct gw_qmp *qmp = make(-1);
	int rc;

	*out = NULL;
	if (!qmp)
		return gw_fail(error, ENOMEM, "Out of memory.");
	rc = open_socket(qmp, path, error);
	if (rc == 0)
		rc = begin(qmp, path, timeout_ms, error);
	if (rc < 0) {
		gw_qmp_close(qmp);
		return rc;
	}
	*out = qmp;
	return 0;
}

int gw_qmp_adopt(struct gw_qmp **out, int sock, int timeout_ms, struct gw_error *error)
{
	struct gw_qmp *qmp = make(sock);
	int rc;

	*out = NULL;
	if (!qmp) {
		close(sock);
		return gw_fail(error, ENOMEM, "Out of memory.");
	}
	rc = begin(qmp, "(inherited)", timeout_ms, error);
	if (rc < 0) {
		gw_qmp_close(qmp);
		return rc;
	}
	*out = qmp;
	return 0;
}
