/* SPDX-License-Identifier: MIT */
/*
 * live/host/migrate/migrate.c - the source's agent: one move from its beginning to its end, or from
 * where another agent left it.
 *
 * Theory of operation
 *
 * One thread, one poll (loop.c). Whatever happens outside - a message, room on the bulk connection,
 * an answer of the VM - becomes an event for the core's machine; the actions it gives back are
 * carried out in their order (act.c). An action that can be done at once is answered by an event
 * put into a short queue, so that step() is never entered from within.
 *
 *     poll -> event -> gw_source_step -> actions -> socket, VM, tracker, journal
 *                 ^                                     |
 *                 '------------- queue -----------------'
 *
 * The VM's shadow, where the push order wants one, has a thread of its own (live/host/shadow.h);
 * its reports are events like all others.
 *
 * Page contents go from the mapped guest memory to the socket without a copy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "live/host/clock.h"
#include "live/host/migrate/parts.h"
#include "live/memory/attach.h"

#define CONNECT_MS        3000
#define STATE_BYTES_GUESS (1u << 20)

static void begin(struct agent *a, const struct gw_migrate_options *options,
                  struct gw_migrate_result *result)
{
	memset(a, 0, sizeof(*a));
	memset(result, 0, sizeof(*result));
	a->options = options;
	a->granted_rate = options->granted_bytes_per_s;
	a->policy = options->policy;
	a->order = options->order;
	a->result = result;
	a->resume_at_ns = a->survey_at_ns = UINT64_MAX;
	a->state_fd = -1;
	a->journal.fd = -1;
	a->ram.fd = -1;
	a->link.bulk = -1;
}

static int take_memory(struct agent *a, uint64_t pages, struct gw_error *error)
{
	size_t words = gw_set_words(pages);
	void *machine = malloc(gw_source_bytes(&a->policy, &a->order, pages));
	uint64_t *sets = calloc(3 * words, sizeof(*sets));

	a->machine = machine;
	a->buffer = malloc(STATE_CHUNK);
	a->copies = malloc((size_t)GW_FRAME_PAGES_MAX * GW_PAGE_BYTES);
	a->digests = malloc(DIGEST_CHUNK * sizeof(*a->digests));
	if (!machine || !sets || !a->buffer || !a->copies || !a->digests) {
		free(sets);
		return gw_fail(error, ENOMEM, "no memory to track %llu pages",
		               (unsigned long long)pages);
	}
	gw_set_init(&a->pages, sets, pages);
	gw_set_init(&a->peeked, sets + words, pages);
	gw_set_init(&a->digest_pages, sets + 2 * words, pages);
	return 0;
}

static void give_back(struct agent *a)
{
	gw_migrate_end_shadow(a);
	gw_migrate_stop_tracking(a);
	gw_observed_clear(&a->observed);
	gw_migrate_hang_up(a);
	if (a->shaped)
		gw_shaping_remove(&a->shaping);
	gw_cleanup_close(&a->state_fd);
	gw_control_close(a->control);
	gw_journal_close(&a->journal);
	gw_ram_close(&a->ram);
	free(a->machine);
	free(a->pages.words);
	free(a->buffer);
	free(a->copies);
	free(a->digests);
	free(a->urgent_queue);
}

static void config_of(const struct agent *a, const struct gw_guest *guest,
                      struct gw_source_config *config)
{
	const struct gw_migrate_options *o = a->options;

	*config = (struct gw_source_config){
	        .policy = a->policy,
	        .order = a->order,
	        .observation = a->observed.observation,
	        .id = a->journal.id,
	        .name = a->journal.name,
	        .hot = a->hot,
	        .hot_count = a->hot_count,
	        .vcpus = a->journal.vcpus,
	        .ram_pages = a->ram.pages,
	        .limit_bytes_per_s = o->bandwidth_bytes_per_s,
	        .downtime_limit_ns = o->downtime_ns,
	        .deadline_ns = o->deadline_ns,
	        .reconnect_ns = o->reconnect_ns,
	        .latency_ns = a->link.up ? gw_net_rtt_ns(gw_mailbox_fd(a->link.control)) / 2 : 0,
	        .state_bytes = STATE_BYTES_GUESS,
	        .verify = a->journal.verifies,
	        .paused = a->journal.paused,
	        .destination = a->journal.host,
	};
	if (guest && guest->spec) {
		config->spec = (const uint8_t *)guest->spec;
		config->spec_bytes = (uint32_t)strlen(guest->spec);
		if (guest->state_bytes)
			config->state_bytes = guest->state_bytes;
	}
}

static void describe(struct agent *a)
{
	struct gw_migrate_result *r = a->result;

	(void)snprintf(r->name, sizeof(r->name), "%s", a->journal.name);
	(void)snprintf(r->policy, sizeof(r->policy), "%s", a->policy.kind->name);
	if (a->policy.kind->pulls)
		(void)snprintf(r->order, sizeof(r->order), "%s", a->order.kind->name);
	r->ram_bytes = a->ram.bytes;
	r->vcpus = a->journal.vcpus;
}

static int open_journal(struct agent *a, struct gw_error *error)
{
	struct gw_journal *j = &a->journal;
	int err = gw_id_random(&j->id, error);

	if (err)
		return err;
	j->side = GW_SIDE_SOURCE;
	j->verifies = a->options->verify;
	gw_agent_note_guest(j, a->guest);
	(void)snprintf(j->peer, sizeof(j->peer), "%s", a->options->to);
	err = gw_journal_create(j, a->options->dir, error);
	return err ? err : gw_journal_write(j, GW_REC_LEAVING, false, error);
}

static void run(struct agent *a, struct gw_event *first)
{
	struct gw_source_config config;

	config_of(a, a->guest, &config);
	a->machine = gw_source_init(a->machine, &config);
	gw_observed_clear(&a->observed);
	gw_migrate_step(a, first);
	gw_migrate_drain_queue(a);
	while (!a->finished) {
		if (a->link.up)
			a->result->latency_ns = gw_net_rtt_ns(gw_mailbox_fd(a->link.control)) / 2;
		gw_migrate_turn(a);
	}
	a->result->metrics = *gw_source_metrics(a->machine);
	a->result->metrics.bytes_on_link = gw_link_bytes(&a->link); /* with the last word */
}

/* The VM is as it was, or it has ended of itself. */
static void ends_early(struct agent *a, int err, const struct gw_error *why)
{
	struct gw_migrate_result *r = a->result;

	r->outcome = err == -ECANCELED ? GW_STAYED : GW_LOST;
	(void)snprintf(r->reason, sizeof(r->reason), "%s", why->text);
	(void)gw_journal_write(&a->journal, GW_REC_STAYED, false, NULL);
	a->finished = true;
}

static int observe(struct agent *a, struct gw_error *error)
{
	int err = 0;

	a->observed.observation = a->options->observation;
	if (!a->observed.observation.count && a->options->observe_ns)
		err = gw_outlook_watch(a->options, a->guest, &a->ram, a->control, &a->way,
		                       &a->observed, error);
	for (size_t i = 0; i < a->observed.observation.count; i++)
		a->result->observation_ns += a->observed.observation.windows[i].length_ns;
	if (err != -ECANCELED && err != -ESRCH)
		return err;
	ends_early(a, err, error);
	return 0;
}

static int plan(struct agent *a, struct gw_error *error)
{
	const struct gw_outlook outlook = {.seen = &a->observed, .way = &a->way};
	int err = 0;

	if (!a->options->plan)
		return 0;
	if (!a->way.latency_ns)
		err = gw_link_look(a->options->to, &a->way, CONNECT_MS, error);
	if (!err)
		err = a->options->plan(a->options->arg, &outlook, &a->policy, &a->order, error);
	describe(a);
	return err;
}

static int observe_and_move(struct agent *a, struct gw_error *error)
{
	struct gw_event start = {.kind = GW_EV_START};
	int err;

	a->control = gw_control_open(a->journal.path, NULL);
	describe(a);
	err = observe(a, error);
	if (!err && !a->finished)
		err = plan(a, error);
	if (!err && !a->finished)
		err = take_memory(a, a->ram.pages, error);
	if (err || a->finished)
		return err;
	if (a->policy.kind->pulls)
		a->hot_count = gw_guest_hot_pages(a->guest, a->hot, GW_FRAME_RUNS_MAX);
	err = gw_link_connect(&a->link, a->options->to, &a->journal.id, a->ram.pages, CONNECT_MS,
	                      error);
	if (err)
		return err;
	gw_migrate_link_stands(a);
	run(a, &start);
	return 0;
}

int gw_migrate(struct gw_guest *guest, const struct gw_migrate_options *options,
               struct gw_migrate_result *result, struct gw_error *error)
{
	struct agent a;
	int err;

	begin(&a, options, result);
	a.guest = guest;
	err = gw_ram_open(&a.ram, guest->vm->ram_path, guest->vm->pid, error);
	if (!err)
		err = gw_ram_hold(&a.ram, guest->vm->name, error);
	if (!err)
		err = gw_vm_prepare_save(guest->vm, error);
	if (!err)
		err = open_journal(&a, error);
	if (!err)
		err = observe_and_move(&a, error);
	if (err && a.journal.fd >= 0)
		(void)gw_journal_write(&a.journal, GW_REC_STAYED, false, NULL);
	give_back(&a);
	return err;
}

/*
 * An agent died between its last record and the end of the VM's process here. That process is ended
 * only if it holds the very memory file of this migration: a VM of that name may have come since.
 */
static int finish_release(struct agent *a)
{
	struct gw_journal *j = &a->journal;
	struct gw_guest guest;
	struct gw_ram ram;

	if (!gw_guest_reopen(&guest, j->kind, j->name, j->control, j->pid, j->ram, j->paused,
	                     NULL)) {
		if (!gw_ram_open(&ram, j->ram, guest.vm->pid, NULL)) {
			gw_ram_close(&ram);
			gw_guest_remove(&guest);
		} else {
			gw_guest_close(&guest);
		}
	} else if (!access(j->ram, F_OK)) {
		gw_migrate_remove_what_is_left(j);
	}
	(void)snprintf(a->result->name, sizeof(a->result->name), "%s", j->name);
	(void)snprintf(a->result->policy, sizeof(a->result->policy), "%s", a->policy.kind->name);
	(void)snprintf(a->result->reason, sizeof(a->result->reason),
	               "the VM runs at the destination; what was left here is removed");
	a->result->outcome = GW_COMPLETED;
	give_back(a);
	return 0;
}

int gw_migrate_recover(struct gw_journal *journal, const struct gw_migrate_options *options,
                       struct gw_migrate_result *result, struct gw_error *error)
{
	struct gw_event first = {.kind = GW_EV_RECOVER, .recover.record = journal->record};
	struct gw_guest guest;
	struct agent a;
	int err;

	begin(&a, options, result);
	a.journal = *journal;
	/* `gone`, and the memory too: only a release takes it away, just before its record. */
	if (journal->record == GW_REC_RELEASED ||
	    (journal->record == GW_REC_GONE && access(journal->ram, F_OK) && errno == ENOENT)) {
		a.journal.record = GW_REC_RELEASED;
		return finish_release(&a);
	}
	if (!gw_guest_reopen(&guest, journal->kind, journal->name, journal->control, journal->pid,
	                     journal->ram, journal->paused, error)) {
		a.guest = &guest;
		a.runs = guest.runs;
		gw_attach_tidy(guest.vm->pid);
	}
	err = gw_ram_open(&a.ram, journal->ram, 0, error);
	if (!err)
		err = gw_ram_hold(&a.ram, journal->name, error);
	if (!err)
		err = take_memory(&a, a.ram.pages, error);
	if (!err) {
		a.control = gw_control_open(a.journal.path, NULL);
		describe(&a);
		if (a.runs)
			gw_migrate_queue(&a, GW_EV_RUNNING, NULL);
		run(&a, &first);
	}
	if (a.guest)
		gw_guest_close(a.guest);
	give_back(&a);
	return err;
}

void gw_migrate_result_clear(struct gw_migrate_result *result)
{
	free(result->rounds);
	memset(result, 0, sizeof(*result));
}
