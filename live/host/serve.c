/* SPDX-License-Identifier: MIT */
/*
 * live/host/serve.c - the host agent.
 *
 * Theory of operation
 *
 * A connection says HELLO with its migration and channel. Bulk and urgent come first and are put
 * aside; the control connection completes the triple, which is handed to the session of that
 * migration: a child process, so that a defect met by one peer cannot touch another's VM. A session
 * that died with its question open is followed at once by another that reads its journal, and so
 * are those that an earlier agent left behind.
 *
 *   accept -> wait for HELLO (never longer than GREET_MS, never blocking the others)
 *          -> put aside, or triple -> session (new, living, or from its journal)
 */
#include "live/host/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/host/clock.h"
#include "live/host/journal.h"
#include "live/host/room.h"
#include "live/host/session.h"
#include "live/net/channel.h"

#define GREET_MS     3000
#define ASIDE_NS     15000000000ull /* how long bulk and urgent wait for their control */
#define PEERS_MAX    64
#define SESSIONS_MAX 64
#define BUSY_NS      3000000000ull /* a status that looks at a journal, an agent that is dying */
#define BUSY_LOOK_MS 20
#define EXIT_BUSY    75
#define BACK_OFF_NS  1000000000ull /* after a second crash in a row; doubled each time */
#define BACK_OFF_MAX 6
#define HELLO_BYTES  (GW_MESSAGE_HEADER_BYTES + 32)

struct peer {   /* has not yet said HELLO, or waits for its control connection */
	int fd; /* -1: free */
	bool greeted;
	enum gw_channel channel;
	struct gw_id id;
	uint64_t since_ns;
};

struct session {
	pid_t pid;         /* 0: free, or waits for retry_ns */
	uint64_t retry_ns; /* when what ended with its question open is followed by another */
	unsigned crashes;  /* in a row */
	struct gw_id id;
	int router;
};

struct server {
	const struct gw_serve_options *options;
	struct gw_probe probe;
	int listener;
	pid_t pid; /* its own */
	struct peer peers[PEERS_MAX];
	struct session sessions[SESSIONS_MAX];
};

static void drop(struct peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
}

static bool same_id(const struct gw_id *a, const struct gw_id *b)
{
	return !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/* --- sessions ------------------------------------------------------------------------------- */

static struct session *session_of(struct server *server, const struct gw_id *id)
{
	int i;

	for (i = 0; i < SESSIONS_MAX; i++)
		if (server->sessions[i].pid && same_id(&server->sessions[i].id, id))
			return &server->sessions[i];
	return NULL;
}

/*
 * Only where there is no journal is a migration a new one: to say "I never heard of it" of one
 * whose journal merely cannot be had just now would let the source run its copy beside ours.
 */
static int open_journal(struct gw_journal *journal, const char *dir, const struct gw_id *id,
                        struct gw_error *error)
{
	uint64_t until = gw_now_ns() + BUSY_NS;
	int err;

	do {
		err = gw_journal_open(journal, dir, id, GW_SIDE_DESTINATION, error);
		if (err == -EBUSY)
			(void)poll(NULL, 0, BUSY_LOOK_MS);
	} while (err == -EBUSY && gw_now_ns() < until);
	return err;
}

static _Noreturn void run_session(struct server *server, const struct gw_id *id, int router)
{
	struct gw_session_options options = {.host = server->options->host,
	                                     .probe = &server->probe,
	                                     .id = *id,
	                                     .router = router,
	                                     .trace = server->options->trace};
	struct gw_journal journal;
	struct gw_error error = {{0}};
	int i, err, identified = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != server->pid)
		_exit(1); /* it died before we could ask to be told */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	close(server->listener);
	for (i = 0; i < PEERS_MAX; i++)
		drop(&server->peers[i]);
	for (i = 0; i < SESSIONS_MAX; i++)
		if (server->sessions[i].pid)
			close(server->sessions[i].router);
	err = open_journal(&journal, options.host.dir, id, &error);
	/* Looked up after the journal: where the one was lost meanwhile, so is the other. */
	if (!err || err == -ENOENT)
		identified = gw_host_identity(&options.identity, options.host.dir, &error);
	if (identified)
		err = identified;
	else if (!err)
		err = gw_session_recover(&options, &journal, &error);
	else if (err == -ENOENT) /* any other failure is no proof that it never ran here */
		err = gw_session_run(&options, &error);
	if (err && error.text[0] && options.trace)
		(void)fprintf(options.trace, "a session ended: %s\n", error.text);
	if (options.trace)
		(void)fflush(options.trace);
	_exit(err == -EBUSY ? EXIT_BUSY : err ? 1 : 0);
}

/* The place of one that crashed is its own, so that its crashes are counted. */
static struct session *place_for_session(struct server *server, const struct gw_id *id)
{
	struct session *place = NULL;
	int i;

	for (i = 0; i < SESSIONS_MAX; i++) {
		struct session *s = &server->sessions[i];

		if (s->pid)
			continue;
		if (s->crashes && same_id(&s->id, id))
			return s;
		if (!place || (place->retry_ns && !s->retry_ns))
			place = s;
	}
	if (place)
		place->crashes = 0;
	return place;
}

static struct session *start_session(struct server *server, const struct gw_id *id)
{
	struct session *session = place_for_session(server, id);
	int pair[2];

	if (!session || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return NULL;
	if (server->options->trace)
		(void)fflush(server->options->trace);
	session->pid = fork();
	if (session->pid == 0) {
		close(pair[0]);
		run_session(server, id, pair[1]);
	}
	close(pair[1]);
	if (session->pid < 0) {
		session->pid = 0;
		close(pair[0]);
		return NULL;
	}
	session->id = *id;
	session->retry_ns = 0;
	session->router = pair[0];
	return session;
}

static bool waits(struct server *server, const struct gw_id *id)
{
	int i;

	for (i = 0; i < SESSIONS_MAX; i++)
		if (!server->sessions[i].pid && server->sessions[i].retry_ns > gw_now_ns() &&
		    same_id(&server->sessions[i].id, id))
			return true;
	return false;
}

static int take_up(const struct gw_journal *journal, void *arg)
{
	struct server *server = arg;

	if (journal->side == GW_SIDE_DESTINATION && !gw_journal_settled(journal->record) &&
	    journal->record != GW_REC_WHOLE && !session_of(server, &journal->id) &&
	    !waits(server, &journal->id))
		(void)start_session(server, &journal->id);
	return 0;
}

/* At once after the first crash; one that crashes again and again must not eat up the host. */
static void plan_retry(struct session *session)
{
	unsigned doublings = session->crashes < BACK_OFF_MAX ? session->crashes : BACK_OFF_MAX;

	session->retry_ns = gw_now_ns() + (doublings ? BACK_OFF_NS << (doublings - 1) : 1);
	session->crashes++;
}

static void retry(struct server *server)
{
	uint64_t now = gw_now_ns();
	bool due = false;
	int i;

	for (i = 0; i < SESSIONS_MAX; i++) {
		struct session *s = &server->sessions[i];

		if (s->pid || !s->retry_ns || s->retry_ns > now)
			continue;
		s->retry_ns = 0;
		due = true;
	}
	if (due)
		(void)gw_journal_each(server->options->host.dir, take_up, server);
}

/* A session that ended with its question open is followed by another. */
static void reap(struct server *server)
{
	int status, i;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < SESSIONS_MAX; i++) {
			if (server->sessions[i].pid != pid)
				continue;
			server->sessions[i].pid = 0;
			close(server->sessions[i].router);
			if (!WIFEXITED(status) || WEXITSTATUS(status) == EXIT_BUSY)
				plan_retry(&server->sessions[i]);
			else
				server->sessions[i].crashes = 0;
		}
	}
	retry(server);
}

/* --- connections ---------------------------------------------------------------------------- */

static struct peer *put_aside(struct server *server, const struct gw_id *id,
                              enum gw_channel channel)
{
	struct peer *newest = NULL;
	int i;

	for (i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &server->peers[i];

		if (p->fd >= 0 && p->greeted && p->channel == channel && same_id(&p->id, id) &&
		    (!newest || p->since_ns > newest->since_ns))
			newest = p;
	}
	return newest;
}

static void complete(struct server *server, struct peer *control)
{
	struct peer *bulk = put_aside(server, &control->id, GW_BULK);
	struct peer *urgent = put_aside(server, &control->id, GW_URGENT);
	struct session *session;
	int fds[3];

	if (bulk && urgent) {
		session = session_of(server, &control->id);
		if (!session)
			session = start_session(server, &control->id);
		fds[0] = control->fd;
		fds[1] = bulk->fd;
		fds[2] = urgent->fd;
		if (session)
			(void)gw_session_send_link(session->router, fds);
		drop(bulk);
		drop(urgent);
	}
	drop(control);
}

/* poll() is to say "readable" when so much is there (or the end): a part is not looked at. */
static void wake_at(int fd, int bytes)
{
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static void greet(struct server *server, struct peer *peer)
{
	uint8_t head[HELLO_BYTES];
	struct gw_error error;
	ssize_t n = recv(peer->fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	wake_at(peer->fd, 1);
	if (n < (ssize_t)sizeof(head) ||
	    gw_net_greet(peer->fd, &peer->channel, &peer->id, 200, &error)) {
		drop(peer);
		return;
	}
	peer->greeted = true;
	peer->since_ns = gw_now_ns();
	if (peer->channel == GW_ROOM) {
		gw_room_tell(peer->fd);
		drop(peer);
		return;
	}
	if (peer->channel == GW_CONTROL)
		complete(server, peer);
}

/* Idle connections cannot keep others out: the one that has been silent longest makes room. */
static struct peer *place_for_peer(struct server *server)
{
	struct peer *oldest = &server->peers[0];
	int i;

	for (i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &server->peers[i];

		if (p->fd < 0)
			return p;
		if (p->greeted == oldest->greeted ? p->since_ns < oldest->since_ns : !p->greeted)
			oldest = p;
	}
	return oldest;
}

static void welcome(struct server *server)
{
	struct gw_error error;
	struct peer *peer;
	char name[128];
	int fd = gw_net_accept(server->listener, name, sizeof(name), &error);

	if (fd < 0)
		return;
	peer = place_for_peer(server);
	drop(peer);
	wake_at(fd, HELLO_BYTES);
	*peer = (struct peer){.fd = fd, .since_ns = gw_now_ns()};
}

static void expire(struct server *server, uint64_t now)
{
	int i;

	for (i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &server->peers[i];
		uint64_t limit = p->greeted ? ASIDE_NS : GREET_MS * 1000000ull;

		if (p->fd >= 0 && now - p->since_ns > limit)
			drop(p);
	}
}

static bool turn(struct server *server)
{
	struct pollfd items[PEERS_MAX + 2];
	int i;

	items[0] = (struct pollfd){.fd = server->listener, .events = POLLIN};
	items[1] = (struct pollfd){.fd = server->options->stop_fd, .events = POLLIN};
	for (i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &server->peers[i];

		items[2 + i] = (struct pollfd){.fd = p->greeted ? -1 : p->fd, .events = POLLIN};
	}
	if (poll(items, PEERS_MAX + 2, 200) < 0 && errno != EINTR)
		return true;
	for (i = 0; i < PEERS_MAX; i++)
		if (server->peers[i].fd >= 0 && items[2 + i].fd >= 0 && items[2 + i].revents)
			greet(server, &server->peers[i]);
	if (items[0].revents)
		welcome(server);
	expire(server, gw_now_ns());
	reap(server);
	return server->options->stop_fd < 0 || !items[1].revents;
}

int gw_serve(const struct gw_serve_options *options, struct gw_error *error)
{
	struct server *server = calloc(1, sizeof(*server));
	struct gw_id identity; /* made now, while somebody looks */
	char address[128];
	int i;

	if (!server)
		return gw_fail(error, ENOMEM, "no memory for the agent");
	i = gw_host_identity(&identity, options->host.dir, error);
	if (i) {
		free(server);
		return i;
	}
	server->options = options;
	server->pid = getpid();
	for (i = 0; i < PEERS_MAX; i++)
		server->peers[i].fd = -1;
	server->listener = gw_net_listen(options->listen, error);
	if (server->listener < 0) {
		i = server->listener;
		free(server);
		return i;
	}
	if (!options->insecure && !gw_net_is_loopback(server->listener)) {
		close(server->listener);
		free(server);
		return gw_fail(error, EPERM,
		               "%s can be reached from other machines and nothing is encrypted "
		               "yet: listen on 127.0.0.1, or say --insecure",
		               options->listen);
	}
	gw_probe_host(&server->probe);
	(void)gw_journal_each(options->host.dir, take_up, server);
	gw_net_local_address(server->listener, address, sizeof(address));
	if (options->ready)
		options->ready(options->arg, address);
	while (turn(server))
		continue;
	close(server->listener);
	for (i = 0; i < PEERS_MAX; i++)
		drop(&server->peers[i]);
	free(server);
	return 0;
}
