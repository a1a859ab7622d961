/* SPDX-License-Identifier: MIT */
/*
 * live/host/session/session.c - the destination's agent: one migration from its first message to
 * its end, or from where another agent left it.
 *
 * Theory of operation
 *
 * One thread, one poll, as at the source. Before the switch page contents are received straight
 * into guest memory; once faults are armed they go through a staging buffer and are placed
 * atomically, page by page, with whoever waits for them woken.
 *
 * Nothing here ever waits for the hypervisor: while one of its threads waits for a page it does not
 * answer, and the page comes through this very loop.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "base/cleanup.h"
#include "live/host/clock.h"
#include "live/host/session/parts.h"

#define FIRST_LINK_MS 10000
#define VCPUS_MAX     4096u

static int begin(struct session *s, const struct gw_session_options *options,
                 struct gw_error *error)
{
	memset(s, 0, sizeof(*s));
	s->options = options;
	s->journal.fd = -1;
	s->state_fd = -1;
	s->link.bulk = -1;
	s->buffer = malloc(STATE_CHUNK);
	return s->buffer ? 0 : gw_fail(error, ENOMEM, "no memory for a session");
}

static int make_machine(struct session *s, uint64_t pages, uint32_t vcpus, struct gw_error *error)
{
	const char *why = gw_probe_lacks(s->options->probe, "faults");
	struct gw_destination_config config = {
	        .id = s->options->id,
	        .host = s->options->identity,
	        .ram_pages = pages,
	        .vcpus = vcpus,
	        .serves_faults = why == NULL,
	        .why_no_faults = why ? why : "",
	};
	void *memory = malloc(gw_destination_bytes(pages, vcpus));

	if (!memory)
		return gw_fail(error, ENOMEM, "no memory to receive %llu pages",
		               (unsigned long long)pages);
	s->machine = gw_destination_init(memory, &config);
	s->machine_pages = pages;
	return 0;
}

static void give_back(struct session *s)
{
	gw_session_hang_up(s);
	gw_cleanup_close(&s->state_fd);
	if (s->has_faults)
		gw_faults_close(&s->faults);
	if (s->has_guest)
		gw_guest_close(&s->guest);
	gw_control_close(s->control);
	if (s->journal.record == GW_REC_WHOLE && s->finished &&
	    gw_destination_state(s->machine) == GW_STATE_RELEASED)
		s->journal.record = GW_REC_RELEASED;
	gw_journal_close(&s->journal);
	if (s->has_ram)
		gw_ram_close(&s->ram);
	free(s->pages.words);
	free(s->digests);
	free(s->machine);
	free(s->state.at);
	free(s->buffer);
}

/* What is set up by the peer's word alone must not eat up this host. */
static bool is_plausible(const struct gw_message *m, struct gw_error *why)
{
	struct sysinfo host;
	uint64_t most = UINT64_MAX;

	if (!sysinfo(&host))
		most = ((uint64_t)host.totalram + host.totalswap) * host.mem_unit;
	if (m->offer.ram_bytes > most) {
		(void)gw_fail(why, E2BIG,
		              "the VM has %llu MiB of memory, the destination %llu MiB in all",
		              (unsigned long long)m->offer.ram_bytes >> 20,
		              (unsigned long long)most >> 20);
		return false;
	}
	if (m->offer.vcpus <= VCPUS_MAX)
		return true;
	(void)gw_fail(why, E2BIG, "the VM has %u vCPUs: at most %u are received", m->offer.vcpus,
	              VCPUS_MAX);
	return false;
}

/* Waits for the first message, which says how large the VM is. */
static int first_message(struct session *s, struct gw_error *error)
{
	struct pollfd item = {.fd = s->options->router, .events = POLLIN};
	struct gw_message message;
	struct gw_event event = {.kind = GW_EV_MESSAGE, .message = &message};
	uint64_t deadline = gw_now_ns() + FIRST_LINK_MS * 1000000ull;
	struct gw_error why;
	int fds[3], got = 0, err;

	if (poll(&item, 1, FIRST_LINK_MS) != 1 ||
	    gw_session_receive_link(s->options->router, fds) != 1)
		return gw_fail(error, ETIMEDOUT, "no connection came");
	if (gw_link_set(&s->link, fds[0], fds[1], fds[2], 0))
		return gw_fail(error, ENOMEM, "no memory for the connections");
	item.fd = gw_mailbox_fd(s->link.control);
	while (!(got = gw_mailbox_next(s->link.control, &message, error))) {
		if (gw_now_ns() >= deadline)
			return gw_fail(error, ETIMEDOUT, "the peer offers nothing");
		(void)poll(&item, 1, gw_poll_ms(deadline, gw_now_ns()));
	}
	if (got < 0)
		return got;
	if (message.kind == GW_MSG_OFFER && !is_plausible(&message, &why)) {
		message = gw_message_reason(GW_MSG_REFUSE, why.text);
		(void)gw_mailbox_send(s->link.control, &message);
		return gw_fail(error, E2BIG, "%s", why.text);
	}
	if (message.kind == GW_MSG_OFFER)
		err = make_machine(s, message.offer.ram_bytes / GW_PAGE_BYTES, message.offer.vcpus,
		                   error);
	else
		err = make_machine(s, 0, 0, error);
	if (!err)
		gw_session_step(s, &event);
	return err;
}

int gw_session_run(const struct gw_session_options *options, struct gw_error *error)
{
	struct session s;
	int err = begin(&s, options, error);

	if (!err)
		err = first_message(&s, error);
	if (!err) {
		gw_session_drain_queue(&s);
		gw_session_read_control(
		        &s); /* what came with the first message, poll() does not tell */
	}
	while (!err && !s.finished)
		gw_session_turn(&s);
	give_back(&s);
	return err;
}

/* What of the VM is still there is taken up again: its process, its memory, its faults. */
static void take_up(struct session *s, bool *faults)
{
	const struct gw_journal *j = &s->journal;
	struct gw_error error;

	*faults = false;
	if (gw_guest_reopen(&s->guest, j->kind, j->name, j->control, j->pid, j->ram, j->paused,
	                    &error))
		return;
	s->has_guest = true;
	if (gw_ram_open(&s->ram, j->ram, j->pid, &error))
		return;
	s->has_ram = true;
	if (s->ram.bytes != j->ram_bytes) { /* not the file of this migration */
		gw_ram_close(&s->ram);
		s->has_ram = false;
		return;
	}
	if (gw_session_take_memory(s, &error))
		return;
	*faults = !gw_faults_reopen(&s->faults, &s->ram, &error);
	s->has_faults = *faults;
}

/*
 * Pages are missing and nothing makes their readers wait any more. What never ran is given back; of
 * what runs, the source must not drop its copy.
 */
static enum gw_journal_record without_faults(enum gw_journal_record record)
{
	switch (record) {
	case GW_REC_PREPARED: return GW_REC_RESERVED;
	case GW_REC_MINE: return GW_REC_DOUBT;
	default: return record;
	}
}

int gw_session_recover(const struct gw_session_options *options, struct gw_journal *journal,
                       struct gw_error *error)
{
	struct gw_event first = {.kind = GW_EV_RECOVER};
	struct session s;
	int err = begin(&s, options, error);

	if (err)
		return err;
	s.journal = *journal;
	first.recover.record = journal->record;
	if (!gw_journal_settled(journal->record) && journal->record != GW_REC_WHOLE)
		take_up(&s, &first.recover.faults);
	if (journal->pulls && !first.recover.faults)
		first.recover.record = without_faults(journal->record);
	err = make_machine(&s, journal->ram_bytes / GW_PAGE_BYTES, journal->vcpus, error);
	if (!err) {
		s.control = gw_control_open(s.journal.path, NULL);
		gw_session_step(&s, &first);
		gw_session_drain_queue(&s);
	}
	while (!err && !s.finished)
		gw_session_turn(&s);
	give_back(&s);
	return err;
}
