/* SPDX-License-Identifier: MIT */
#include "live/host/control.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

#define ANSWER_MS 5000
#define CLIENTS   8 /* that have not said anything yet: none of them is ever waited for */

struct gw_control {
	int listener, epoll;
	int peer; /* is answered next */
	int clients[CLIENTS];
	unsigned turn;
	struct sockaddr_un address;
};

static int address_of(const char *journal_path, struct sockaddr_un *address)
{
	int n;

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	n = snprintf(address->sun_path, sizeof(address->sun_path), "%s.sock", journal_path);
	return n < 0 || (size_t)n >= sizeof(address->sun_path) ? -ENAMETOOLONG : 0;
}

struct gw_control *gw_control_open(const char *journal_path, struct gw_error *error)
{
	struct gw_control *c = calloc(1, sizeof(*c));
	struct epoll_event event = {.events = EPOLLIN};
	int i;

	if (!c || address_of(journal_path, &c->address)) {
		free(c);
		(void)gw_fail(error, ENAMETOOLONG, "the path %s is too long for a socket",
		              journal_path);
		return NULL;
	}
	c->peer = c->epoll = -1;
	for (i = 0; i < CLIENTS; i++)
		c->clients[i] = -1;
	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)unlink(c->address.sun_path);
	if (c->listener < 0 ||
	    bind(c->listener, (struct sockaddr *)&c->address, sizeof(c->address)) ||
	    listen(c->listener, 4) || (c->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
	    epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->listener, &event)) {
		(void)gw_fail(error, errno, "cannot make the control socket %s: %s",
		              c->address.sun_path, strerror(errno));
		gw_control_close(c);
		return NULL;
	}
	return c;
}

void gw_control_close(struct gw_control *control)
{
	int i;

	if (!control)
		return;
	gw_cleanup_close(&control->peer);
	gw_cleanup_close(&control->epoll);
	for (i = 0; i < CLIENTS; i++)
		gw_cleanup_close(&control->clients[i]);
	if (control->listener >= 0) {
		close(control->listener);
		(void)unlink(control->address.sun_path);
	}
	free(control);
}

int gw_control_fd(const struct gw_control *control)
{
	return control->epoll;
}

/* The place of a new client; that of the one that has said nothing for longest if all are taken. */
static void welcome(struct gw_control *control)
{
	struct epoll_event event = {.events = EPOLLIN};
	int *place = &control->clients[control->turn++ % CLIENTS];
	int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	gw_cleanup_close(place);
	event.data.fd = *place = fd;
	(void)epoll_ctl(control->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* True: it said something, and is the peer that is answered. */
static bool hear(struct gw_control *control, int *client, char *command, size_t room)
{
	ssize_t n = recv(*client, command, room - 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		gw_cleanup_close(client);
		return false;
	}
	command[n] = '\0';
	command[strcspn(command, "\n")] = '\0';
	control->peer = *client;
	*client = -1;
	return true;
}

bool gw_control_next(struct gw_control *control, char *command, size_t room)
{
	int i;

	welcome(control);
	for (i = 0; i < CLIENTS; i++)
		if (control->clients[i] >= 0 && hear(control, &control->clients[i], command, room))
			return true;
	return false;
}

void gw_control_answer(struct gw_control *control, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)!send(control->peer, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(control->peer);
	control->peer = -1;
}

int gw_control_ask(const char *journal_path, const char *command, char *answer, size_t room,
                   struct gw_error *error)
{
	struct sockaddr_un address;
	struct pollfd item = {.events = POLLIN};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t n;

	if (fd < 0 || address_of(journal_path, &address))
		return gw_fail(error, ENAMETOOLONG, "no socket for %s", journal_path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return gw_fail(error, errno, "no agent is at work on it");
	item.fd = fd;
	if (send(fd, command, strlen(command), MSG_NOSIGNAL) < 0 || poll(&item, 1, ANSWER_MS) != 1)
		return gw_fail(error, ETIMEDOUT, "the agent does not answer");
	n = recv(fd, answer, room - 1, 0);
	if (n <= 0)
		return gw_fail(error, ECONNRESET, "the agent ended before it answered");
	answer[n] = '\0';
	answer[strcspn(answer, "\n")] = '\0';
	return 0;
}
