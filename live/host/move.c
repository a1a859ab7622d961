/* SPDX-License-Identifier: MIT */
#include "live/host/move.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/host/control.h"
#include "live/host/journal.h"

#define ARGUMENTS_MAX 28
#define TEXTS_MAX     9

/* --- beginning ------------------------------------------------------------------------------- */

struct words {
	const char *argv[ARGUMENTS_MAX];
	size_t count;
	char texts[TEXTS_MAX][96];
	size_t used;
};

static void add(struct words *w, const char *word)
{
	w->argv[w->count++] = word;
}

static void add_number(struct words *w, const char *option, uint64_t value, const char *unit)
{
	char *text = w->texts[w->used++];

	(void)snprintf(text, sizeof(w->texts[0]), "%llu%s", (unsigned long long)value, unit);
	add(w, option);
	add(w, text);
}

static void add_file(struct words *w, const char *option, int fd)
{
	char *text = w->texts[w->used++];

	(void)snprintf(text, sizeof(w->texts[0]), "/proc/self/fd/%d", fd);
	add(w, option);
	add(w, text);
}

static void compose(struct words *w, const struct gw_move *move, const struct gw_move_order *o)
{
	add(w, o->program);
	add(w, o->policy ? "migrate" : "recover");
	add(w, o->name);
	add(w, "--quiet");
	add_file(w, "--json", move->result_fd);
	if (o->limit_bytes_per_s)
		add_number(w, "--bandwidth", o->limit_bytes_per_s, "B/s");
	if (o->granted_bytes_per_s)
		add_number(w, "--granted", o->granted_bytes_per_s, "B/s");
	if (o->traffic_class)
		add_number(w, "--class", o->traffic_class, "");
	if (!o->policy)
		return;
	add(w, "--to");
	add(w, o->to);
	add(w, "--policy");
	add(w, o->policy);
	if (o->downtime_ns)
		add_number(w, "--downtime", o->downtime_ns, "ns");
	if (o->deadline_ns)
		add_number(w, "--deadline", o->deadline_ns, "ns");
	if (o->verify)
		add(w, "--verify");
	if (o->observed_fd >= 0)
		add_file(w, "--observed", o->observed_fd);
}

static _Noreturn void become(const struct gw_move *move, const struct gw_move_order *o,
                             struct words *w, pid_t parent)
{
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Where the one that divides the link is killed, the moves that have not switched stay. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	(void)dup2(nothing, STDIN_FILENO);
	(void)dup2(nothing, STDOUT_FILENO);
	(void)dup2(move->said_fd, STDERR_FILENO);
	/* Both are opened by their names in /proc. */
	(void)fcntl(move->result_fd, F_SETFD, 0);
	if (o->observed_fd >= 0)
		(void)fcntl(o->observed_fd, F_SETFD, 0);
	(void)execv(w->argv[0], (char *const *)w->argv);
	_exit(127);
}

int gw_move_begin(struct gw_move *move, const struct gw_move_order *order, struct gw_error *error)
{
	struct words words = {.count = 0};
	pid_t parent = getpid();

	gw_move_clear(move);
	move->result_fd = memfd_create("godwit-result", MFD_CLOEXEC);
	move->said_fd = memfd_create("godwit-said", MFD_CLOEXEC);
	if (move->result_fd >= 0 && move->said_fd >= 0) {
		compose(&words, move, order);
		move->rate = order->granted_bytes_per_s;
		move->pid = fork();
		if (move->pid == 0)
			become(move, order, &words, parent);
		if (move->pid > 0)
			return 0;
	}
	(void)gw_fail(error, errno, "the move of %s cannot be begun: %s", order->name,
	              strerror(errno));
	gw_move_clear(move);
	return -EAGAIN;
}

/* --- while it runs --------------------------------------------------------------------------- */

struct search {
	const char *name;
	char *path;
	size_t room;
};

static int is_it(const struct gw_journal *journal, void *arg)
{
	const struct search *s = arg;

	if (journal->side != GW_SIDE_SOURCE || strcmp(journal->name, s->name) != 0)
		return 0;
	(void)snprintf(s->path, s->room, "%s", journal->path);
	return 1;
}

bool gw_move_ask(struct gw_move *move, const char *dir, const char *name,
                 struct gw_move_state *state)
{
	struct search search = {name, move->journal, sizeof(move->journal)};
	unsigned long long n[6];
	unsigned which, rounds;
	char answer[200];

	if (!move->pid)
		return false;
	if (!move->journal[0] && gw_journal_each(dir, is_it, &search) != 1)
		return false;
	if (gw_control_ask(move->journal, "state", answer, sizeof(answer), NULL) ||
	    sscanf(answer, "%u %llu %llu %llu %u %llu %llu %llu", &which, &n[0], &n[1], &n[2],
	           &rounds, &n[3], &n[4], &n[5]) != 8)
		return false;
	*state = (struct gw_move_state){.state = (enum gw_state)which,
	                                .done_pages = n[0],
	                                .all_pages = n[1],
	                                .sent_bytes = n[2],
	                                .rounds = rounds,
	                                .dirty_pages = n[3],
	                                .round_ns = n[4],
	                                .bandwidth_bytes_per_s = n[5]};
	return true;
}

void gw_move_grant(struct gw_move *move, uint64_t bytes_per_s)
{
	char command[40], answer[40];

	if (!move->pid || !move->journal[0] || move->rate == bytes_per_s)
		return;
	(void)snprintf(command, sizeof(command), "rate %llu", (unsigned long long)bytes_per_s);
	if (!gw_control_ask(move->journal, command, answer, sizeof(answer), NULL))
		move->rate = bytes_per_s;
}

void gw_move_stop(const struct gw_move *move)
{
	if (move->pid)
		(void)kill(move->pid, SIGTERM);
}

/* --- its end --------------------------------------------------------------------------------- */

/* From the beginning, as a stream that the caller closes. */
static FILE *stream_of(int *fd)
{
	FILE *file;

	(void)lseek(*fd, 0, SEEK_SET);
	file = fdopen(*fd, "r");
	if (file)
		*fd = -1;
	return file;
}

/* The last line that is the program's sentence. */
static void read_said(struct gw_move *move)
{
	_cleanup_fclose_ FILE *file = stream_of(&move->said_fd);
	char line[400];

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		(void)snprintf(move->said, sizeof(move->said), "%s",
		               strncmp(line, "godwit: ", 8) ? line : line + 8);
	}
}

static void read_result(struct gw_move *move)
{
	_cleanup_fclose_ FILE *file = stream_of(&move->result_fd);

	if (file)
		move->result = json_loadf(file, 0, NULL);
}

bool gw_move_ended(struct gw_move *move, bool *completed)
{
	int status;

	if (!move->pid || waitpid(move->pid, &status, WNOHANG) != move->pid)
		return false;
	move->pid = 0;
	read_result(move);
	*completed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (*completed)
		return true;
	read_said(move);
	if (!move->said[0])
		(void)snprintf(move->said, sizeof(move->said),
		               WIFSIGNALED(status) ? "its agent was killed by signal %d"
		                                   : "its agent ended with status %d",
		               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return true;
}

void gw_move_init(struct gw_move *move)
{
	*move = (struct gw_move){.result_fd = -1, .said_fd = -1};
}

void gw_move_clear(struct gw_move *move)
{
	gw_cleanup_close(&move->result_fd);
	gw_cleanup_close(&move->said_fd);
	json_decref(move->result);
	gw_move_init(move);
}
