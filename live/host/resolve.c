/* SPDX-License-Identifier: MIT */
#include "live/host/resolve.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "live/host/clock.h"
#include "live/host/control.h"
#include "live/host/guest.h"
#include "live/memory/ram.h"
#include "live/vm/native.h"
#include "live/vm/registry.h"

#define ABORT_NS   60000000000ull /* the VM is resumed and the destination told by then */
#define RUNNING_NS 30000000000ull
#define LOOK_MS    20

/* --- looking -------------------------------------------------------------------------------- */

/* "Iterative Pre-Copy 1200 4096": a state, and pages done of all. */
static void read_answer(struct gw_question *q, char *answer)
{
	unsigned long long done = 0, all = 0;
	char *end = answer + strlen(answer), *at = end;
	int words;

	for (words = 0; words < 2 && at > answer; words++)
		for (at--; at > answer && *at != ' ';)
			at--;
	if (sscanf(at, "%llu %llu", &done, &all) == 2)
		*at = '\0';
	(void)snprintf(q->state, sizeof(q->state), "%s", answer);
	q->done_bytes = done * GW_PAGE_BYTES;
	q->all_bytes = all * GW_PAGE_BYTES;
}

static void ask_agent(struct gw_question *q, int journal_fd)
{
	char answer[128];
	int err = gw_control_ask(q->journal.path, "status", answer, sizeof(answer), NULL);

	if (!err) {
		q->agent = true;
		read_answer(q, answer);
	} else if (err == -ENAMETOOLONG) { /* it works without a socket: who holds the lock? */
		q->agent = flock(journal_fd, LOCK_EX | LOCK_NB) != 0;
	} else {
		q->agent = err != -ENOENT && err != -ECONNREFUSED;
	}
	if (q->agent && !q->state[0])
		(void)snprintf(q->state, sizeof(q->state), "busy");
}

struct search {
	const char *name;
	int (*call)(const struct gw_question *question, void *arg);
	void *arg;
};

static int look(const struct gw_journal *journal, void *arg)
{
	const struct search *search = arg;
	struct gw_question q = {.journal = *journal};

	if (gw_journal_settled(journal->record) ||
	    (search->name && strcmp(journal->name, search->name) != 0))
		return 0;
	q.journal.fd = -1;
	ask_agent(&q, journal->fd);
	return search->call(&q, search->arg);
}

int gw_questions_each(const char *dir, const char *name,
                      int (*call)(const struct gw_question *question, void *arg), void *arg)
{
	struct search search = {.name = name, .call = call, .arg = arg};

	return gw_journal_each(dir, look, &search);
}

bool gw_question_holds_name(const struct gw_question *q)
{
	return q->journal.record != GW_REC_WHOLE;
}

/* Whoever has the memory mapped is this VM, however deaf; a reused pid has not. */
static bool runs_on(const struct gw_journal *j, pid_t pid)
{
	struct gw_ram ram;

	if (gw_ram_open(&ram, j->ram, pid, NULL))
		return false;
	gw_ram_close(&ram);
	return true;
}

struct first {
	struct gw_question *question;
	pid_t pid; /* 0: any */
	bool any;
};

static int keep(const struct gw_question *q, void *arg)
{
	struct first *first = arg;

	if (first->pid && !runs_on(&q->journal, first->pid))
		return 0;
	*first->question = *q;
	first->any = true;
	return gw_question_holds_name(q);
}

bool gw_question_find(const char *dir, const char *name, struct gw_question *question)
{
	struct first first = {.question = question};

	(void)gw_questions_each(dir, name, keep, &first);
	return first.any;
}

bool gw_question_find_process(const char *dir, pid_t pid, struct gw_question *question)
{
	struct first first = {.question = question, .pid = pid};

	(void)gw_questions_each(dir, NULL, keep, &first);
	return first.any;
}

static int is_open(const struct gw_question *question, struct gw_error *error)
{
	const char *name = question->journal.name;

	if (question->agent)
		return gw_fail(error, EBUSY,
		               "another migration of %s is under way: `godwit status %s` shows how "
		               "far it is",
		               name, name);
	return gw_fail(error, EBUSY,
	               "an earlier migration of %s is not finished: `godwit recover %s` first",
	               name, name);
}

int gw_question_none(const char *dir, const char *name, pid_t pid, struct gw_error *error)
{
	struct gw_question question;

	if (pid && gw_question_find_process(dir, pid, &question) &&
	    gw_question_holds_name(&question))
		return is_open(&question, error);
	if (gw_question_find(dir, name, &question) && gw_question_holds_name(&question))
		return is_open(&question, error);
	return 0;
}

const char *gw_question_owner(const struct gw_question *q)
{
	switch (q->journal.record) {
	case GW_REC_LEAVING:
	case GW_REC_HANDING_OVER: return "this host";
	case GW_REC_COMMITTED: return "in doubt: handed over, not confirmed";
	case GW_REC_GONE: return "the destination; pages are still here";
	case GW_REC_RESERVED: return "the source";
	case GW_REC_PREPARED: return "in doubt: only the source knows";
	case GW_REC_MINE: return "this host; pages may be missing";
	case GW_REC_WHOLE: return "this host";
	case GW_REC_DOUBT: return "in doubt: a person must say";
	default: return q->journal.side == GW_SIDE_SOURCE ? "this host" : "the source";
	}
}

const char *gw_question_advice(const struct gw_question *q)
{
	bool source = q->journal.side == GW_SIDE_SOURCE;

	if (q->agent || q->journal.record == GW_REC_WHOLE)
		return "";
	if (q->journal.record == GW_REC_DOUBT)
		return source ? "recover, or resolve --run-here|--gone"
		              : "resolve --run-here|--gone";
	return source ? "recover" : "serve";
}

bool gw_name_is_known(const char *dir, const char *name)
{
	char path[512];
	struct gw_question q;
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);

	return (n > 0 && (size_t)n < sizeof(path) && !access(path, F_OK)) ||
	       gw_question_find(dir, name, &q);
}

/* Finds it, or says why there is nothing to be done about `name`. */
static int find(const char *dir, const char *name, struct gw_question *q, struct gw_error *error)
{
	int err = gw_name_check(name, error);

	if (err)
		return err;
	if (gw_question_find(dir, name, q))
		return 0;
	if (gw_name_is_known(dir, name))
		return gw_fail(error, ENOENT, "no migration of %s is under way or unfinished here",
		               name);
	return gw_fail(
	        error, ENOENT,
	        "no VM is named %s here, and no migration of one is under way: `godwit list` "
	        "and `godwit status` show what there is",
	        name);
}

/* --- abort ---------------------------------------------------------------------------------- */

static int nobody_to_abort(const struct gw_question *q, struct gw_error *error)
{
	const char *name = q->journal.name;

	if (q->journal.side == GW_SIDE_DESTINATION)
		return gw_fail(
		        error, ESRCH,
		        "no agent is at work on the migration of %s: `godwit serve` takes it "
		        "up again, the source's `godwit recover %s` ends it",
		        name, name);
	return gw_fail(
	        error, ESRCH,
	        "no agent is at work on the migration of %s: `godwit recover %s` takes it up "
	        "and ends it",
	        name, name);
}

static bool is_over(const struct gw_question *q)
{
	char answer[128];

	return access(q->journal.path, F_OK) ||
	       gw_control_ask(q->journal.path, "status", answer, sizeof(answer), NULL) ==
	               -ECONNREFUSED;
}

static int wait_for_end(const struct gw_question *q, char said[GW_SAID_BYTES],
                        struct gw_error *error)
{
	uint64_t until = gw_now_ns() + ABORT_NS;

	while (!is_over(q)) {
		if (gw_now_ns() > until)
			return gw_fail(error, ETIMEDOUT,
			               "the migration of %s was asked to stop and has not ended "
			               "yet: `godwit status %s` shows how it stands",
			               q->journal.name, q->journal.name);
		(void)poll(NULL, 0, LOOK_MS);
	}
	(void)snprintf(said, GW_SAID_BYTES, "the migration of %s was stopped: the VM is %s",
	               q->journal.name,
	               q->journal.side == GW_SIDE_SOURCE ? "here, as it was"
	                                                 : "at the source, as it was");
	return 0;
}

int gw_abort(const char *dir, const char *name, char said[GW_SAID_BYTES], struct gw_error *error)
{
	struct gw_question q;
	char answer[128];
	int err = find(dir, name, &q, error);

	if (err)
		return err;
	if (!gw_question_holds_name(&q))
		return gw_fail(error, ENOENT, "%s has arrived here: there is nothing to abort",
		               name);
	if (!q.agent)
		return nobody_to_abort(&q, error);
	err = gw_control_ask(q.journal.path, "abort", answer, sizeof(answer), error);
	if (err == -ECONNREFUSED || err == -ENOENT)
		return gw_fail(error, ENOENT,
		               "the migration of %s has just ended: `godwit status %s`", name,
		               name);
	if (err)
		return err;
	if (strcmp(answer, "ok") != 0)
		return gw_fail(error, EPERM,
		               "the migration of %s cannot be aborted any more: the VM has been "
		               "handed over (%.60s)",
		               name, q.state);
	return wait_for_end(&q, said, error);
}

/* --- resolve: at the source ----------------------------------------------------------------- */

static int wait_until_it_runs(struct gw_vm *vm, struct gw_error *error)
{
	uint64_t until = gw_now_ns() + RUNNING_NS;
	struct pollfd item = {.fd = gw_vm_fd(vm), .events = POLLIN};
	struct gw_vm_event event = {0};
	int got;

	for (;;) {
		got = gw_vm_next(vm, &event);
		if (got == 1 && event.kind == GW_VM_RUNNING)
			return 0;
		if (got == 1 && (event.kind == GW_VM_REFUSED || event.kind == GW_VM_DIED))
			return gw_fail(error, EIO, "%s does not run: %.300s", vm->name, event.text);
		if (got < 0)
			return gw_fail(error, -got, "the control connection of %s broke", vm->name);
		if (gw_now_ns() > until)
			return gw_fail(error, ETIMEDOUT, "%s did not say that it runs", vm->name);
		if (!got)
			(void)poll(&item, 1, LOOK_MS);
	}
}

static int reopen(struct gw_guest *guest, const struct gw_journal *j, struct gw_error *error)
{
	return gw_guest_reopen(guest, j->kind, j->name, j->control, j->pid, j->ram, j->paused,
	                       error);
}

static int run_here(const struct gw_journal *j, struct gw_error *error)
{
	struct gw_guest guest;
	struct gw_error why;
	int err = reopen(&guest, j, &why);

	if (err)
		return gw_fail(error, -err,
		               "%s cannot run here any more: %.200s; `godwit resolve %s --gone` "
		               "drops what is left of it",
		               j->name, why.text, j->name);
	err = gw_vm_cont(guest.vm, error);
	if (!err)
		err = wait_until_it_runs(guest.vm, error);
	gw_guest_close(&guest);
	return err;
}

/* Of a hypervisor that is gone, or never came up. */
static void sweep(const struct gw_journal *j)
{
	(void)unlink(j->ram);
	if (!strcmp(j->kind, "native"))
		(void)unlink(j->control);
	gw_registry_remove(j->name);
}

static bool is_alive(const struct gw_journal *j)
{
	return runs_on(j, j->pid);
}

static int drop(const struct gw_journal *j, struct gw_error *error)
{
	struct gw_guest guest;
	struct gw_error why;
	int err = reopen(&guest, j, &why);

	if (!err) {
		gw_guest_remove(&guest);
		return 0;
	}
	if (is_alive(j))
		return gw_fail(error, EBUSY,
		               "the hypervisor of %s (pid %d) does not answer (%.150s): end it and "
		               "say this again",
		               j->name, (int)j->pid, why.text);
	sweep(j);
	return 0;
}

static bool is_doubt(enum gw_journal_record record)
{
	return record == GW_REC_COMMITTED || record == GW_REC_DOUBT || record == GW_REC_GONE;
}

static void say_source(const struct gw_journal *j, enum gw_answer answer, char said[GW_SAID_BYTES])
{
	const char *was = j->paused ? "is here again, paused as it was" : "runs here again";

	if (answer == GW_GONE)
		(void)snprintf(said, GW_SAID_BYTES, "%s: nothing of it is left on this host",
		               j->name);
	else
		(void)snprintf(said, GW_SAID_BYTES, "%s %s, from the moment of the switch", j->name,
		               was);
}

static int resolve_source(struct gw_journal *j, enum gw_answer answer, char said[GW_SAID_BYTES],
                          struct gw_error *error)
{
	int err;

	/* Nothing to recover either, once hypervisor or memory are gone. */
	if (!is_doubt(j->record) && (answer == GW_RUN_HERE || is_alive(j)))
		return gw_fail(
		        error, EINVAL,
		        "there is no doubt about %s: it is at this host; `godwit recover %s` "
		        "ends the migration",
		        j->name, j->name);
	err = answer == GW_RUN_HERE ? run_here(j, error) : drop(j, error);
	if (!err)
		err = gw_journal_write(j, answer == GW_RUN_HERE ? GW_REC_STAYED : GW_REC_RELEASED,
		                       true, error);
	if (!err)
		say_source(j, answer, said);
	return err;
}

/* --- resolve: at the destination ------------------------------------------------------------ */

static int resolve_by_agent(const struct gw_question *q, enum gw_answer answer,
                            char said[GW_SAID_BYTES], struct gw_error *error)
{
	const char *name = q->journal.name;
	char text[128];
	int err;

	if (q->journal.side == GW_SIDE_SOURCE)
		return gw_fail(error, EBUSY,
		               "an agent is at work on the migration of %s (%.30s): let it end, or "
		               "stop it, before you decide",
		               name, q->state);
	err = gw_control_ask(q->journal.path, answer == GW_RUN_HERE ? "run-here" : "gone", text,
	                     sizeof(text), error);
	if (err)
		return err;
	if (strcmp(text, "ok") != 0)
		return gw_fail(error, EINVAL, "%s: the agent %.100s", name, text);
	(void)snprintf(said, GW_SAID_BYTES,
	               answer == GW_RUN_HERE ? "%s runs here"
	                                     : "%s: nothing of it is left on this host",
	               name);
	return 0;
}

/* Without an agent what stands here can be dropped, but only an agent can bring it to life. */
static int resolve_destination(struct gw_journal *j, enum gw_answer answer,
                               char said[GW_SAID_BYTES], struct gw_error *error)
{
	int err;

	if (j->record != GW_REC_PREPARED && j->record != GW_REC_DOUBT)
		return gw_fail(error, EINVAL,
		               "there is no doubt about %s (recorded: %s): start `godwit serve`, "
		               "which takes it up",
		               j->name, gw_journal_record_name(j->record));
	if (answer == GW_RUN_HERE)
		return gw_fail(
		        error, ESRCH,
		        "no agent is at work on %s: start `godwit serve`, then say this again",
		        j->name);
	err = drop(j, error);
	if (!err)
		err = gw_journal_write(j, GW_REC_NEVER, true, error);
	if (!err)
		say_source(j, answer, said);
	return err;
}

int gw_resolve(const char *dir, const char *name, enum gw_answer answer, char said[GW_SAID_BYTES],
               struct gw_error *error)
{
	struct gw_question q;
	struct gw_journal j;
	int err = find(dir, name, &q, error);

	if (err)
		return err;
	if (!gw_question_holds_name(&q))
		return gw_fail(error, EINVAL, "there is no doubt about %s: it has arrived here",
		               name);
	if (q.agent)
		return resolve_by_agent(&q, answer, said, error);
	err = gw_journal_open(&j, dir, &q.journal.id, q.journal.side, error);
	if (err)
		return err;
	err = (j.side == GW_SIDE_SOURCE ? resolve_source : resolve_destination)(&j, answer, said,
	                                                                        error);
	gw_journal_close(&j);
	return err;
}
