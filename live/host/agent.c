/* SPDX-License-Identifier: MIT */
#include "live/host/agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* --- answers ------------------------------------------------------------------------------- */

void gw_answers_put(struct gw_answers *answers, enum gw_event_kind kind, const char *text)
{
	struct gw_answer *answer = &answers->ring[answers->put % GW_ANSWERS_MAX];

	if (answers->put - answers->taken >= GW_ANSWERS_MAX)
		return;
	answer->kind = kind;
	(void)snprintf(answer->text, sizeof(answer->text), "%s", text ? text : "");
	answers->put++;
}

void gw_answers_put_result(struct gw_answers *answers, enum gw_event_kind done, int err,
                           const struct gw_error *error)
{
	if (err)
		gw_answers_put(answers, GW_EV_FAILED, error->text);
	else
		gw_answers_put(answers, done, NULL);
}

void gw_answers_put_lost(struct gw_answers *answers, const char *why)
{
	size_t i;

	for (i = answers->taken; i < answers->put; i++)
		if (answers->ring[i % GW_ANSWERS_MAX].kind == GW_EV_LINK_LOST)
			return;
	gw_answers_put(answers, GW_EV_LINK_LOST, why);
}

bool gw_answers_any(const struct gw_answers *answers)
{
	return answers->taken < answers->put;
}

bool gw_answers_take(struct gw_answers *answers, struct gw_answer *answer)
{
	if (!gw_answers_any(answers))
		return false;
	*answer = answers->ring[answers->taken++ % GW_ANSWERS_MAX];
	return true;
}

/* --- the link ------------------------------------------------------------------------------ */

void gw_agent_send(struct gw_link *link, const struct gw_message *message,
                   struct gw_answers *answers)
{
	struct gw_mailbox *box = message->kind == GW_MSG_FAULT ? link->urgent : link->control;
	int err = link->up ? gw_mailbox_send(box, message) : 0;

	if (err)
		gw_answers_put_lost(answers, strerror(-err));
}

void gw_agent_send_map(struct gw_link *link, const struct gw_set *set, struct gw_answers *answers)
{
	struct gw_run *runs = malloc(GW_MAP_RUNS_MAX * sizeof(*runs));
	struct gw_message message;
	uint64_t cursor = 0;

	while (runs && gw_map_message(set, &cursor, runs, &message))
		gw_agent_send(link, &message, answers);
	if (!runs)
		gw_answers_put_lost(answers, "no memory for a map of pages");
	free(runs);
}

bool gw_actions_end(const struct gw_actions *actions)
{
	size_t i;

	for (i = 0; i < actions->count; i++)
		if (actions->at[i].kind == GW_ACT_FINISH)
			return true;
	return false;
}

/* --- the VM -------------------------------------------------------------------------------- */

int gw_agent_open_state(int *ours, int *the_vms, struct gw_error *error)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return gw_fail(error, errno, "no socket for the device state");
	*ours = pair[0];
	*the_vms = pair[1];
	return 0;
}

void gw_agent_note_guest(struct gw_journal *journal, const struct gw_guest *guest)
{
	const struct gw_vm *vm = guest->vm;

	(void)snprintf(journal->name, sizeof(journal->name), "%s", vm->name);
	(void)snprintf(journal->ram, sizeof(journal->ram), "%s", vm->ram_path);
	(void)snprintf(journal->kind, sizeof(journal->kind), "%s", guest->kind);
	(void)snprintf(journal->control, sizeof(journal->control), "%s", guest->control);
	journal->pid = vm->pid;
	journal->ram_bytes = vm->ram_bytes;
	journal->vcpus = vm->vcpus;
	journal->paused = vm->paused;
}

/* --- the loop ------------------------------------------------------------------------------ */

void gw_agent_watch(struct pollfd *item, int fd, bool in, bool out)
{
	item->fd = in || out ? fd : -1;
	item->events = (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0));
	item->revents = 0;
}
