/* SPDX-License-Identifier: MIT */
/*
 * core/migration/source/step.c - the side that the VM leaves: its memory, and where each event
 * goes.
 *
 * Theory of operation
 *
 * `owed` holds the pages that the destination lacks, or has in an old version. It begins as all
 * pages with data; a page that is sent leaves it, a page that a scan reports comes back. A round
 * sends what is owed, less what the policy leaves out, in ascending order; at the switch what is
 * still owed is either sent with the VM stopped (pre-copy) or named in a MAP and pulled afterwards
 * (post-copy).
 *
 *          cursor
 *            v
 *   owed  ...|##..#....###.#     sent this round: left of the cursor
 *
 * Ownership: the VM is ours until COMMIT is said, which is after the record `committed` and never
 * before; from there on we resume the VM only if the very host that reserved its place says
 * ABORTED, that it has never heard of the migration, or that it still waits for COMMIT. Everything
 * that goes wrong earlier ends in gw_source_cancel().
 */
#include <errno.h>
#include <string.h>

#include "core/migration/source/parts.h"

#define ACCEPT_TIMEOUT_NS (60 * SECOND) /* the destination starts a hypervisor meanwhile */
#define LINK_TIMEOUT_NS   (15 * SECOND)
#define SWITCH_TIMEOUT_NS (15 * SECOND)
#define RECONNECT_NS      (30 * SECOND)

static size_t policy_bytes(const struct gw_policy *policy, uint64_t ram_pages)
{
	return (gw_policy_bytes(policy, ram_pages) + 7) / 8 * 8;
}

size_t gw_source_bytes(const struct gw_policy *policy, const struct gw_order *order,
                       uint64_t ram_pages)
{
	return sizeof(struct gw_source) + 3 * gw_set_words(ram_pages) * sizeof(uint64_t) +
	       policy_bytes(policy, ram_pages) + gw_order_bytes(order, ram_pages);
}

/* How much it is; `skip` is not needed yet. */
static void count_observed(struct gw_source *s, const struct gw_observation *observation)
{
	s->observed_windows = observation->count;
	for (size_t i = 0; i < observation->count; i++) {
		const struct gw_window *window = &observation->windows[i];

		s->observed_ns += window->length_ns;
		for (size_t r = 0; r < window->written_count; r++)
			gw_set_add_run(&s->skip, window->written[r]);
	}
	s->observed_pages = gw_set_count(&s->skip);
	if (s->observed_pages)
		gw_set_clear(&s->skip);
}

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
	return value ? value : fallback;
}

struct gw_source *gw_source_init(void *memory, const struct gw_source_config *config)
{
	struct gw_source *s = memory;
	uint64_t *words = (uint64_t *)(void *)(s + 1);
	size_t n = gw_set_words(config->ram_pages);

	memset(s, 0, sizeof(*s));
	s->config = *config;
	s->config.accept_timeout_ns = or_default(config->accept_timeout_ns, ACCEPT_TIMEOUT_NS);
	s->config.link_timeout_ns = or_default(config->link_timeout_ns, LINK_TIMEOUT_NS);
	s->config.switch_timeout_ns = or_default(config->switch_timeout_ns, SWITCH_TIMEOUT_NS);
	s->config.reconnect_ns = or_default(config->reconnect_ns, RECONNECT_NS);
	gw_set_init(&s->owed, words, config->ram_pages);
	gw_set_init(&s->sent, words + n, config->ram_pages);
	gw_set_init(&s->skip, words + 2 * n, config->ram_pages);
	gw_policy_start(&s->config.policy, words + 3 * n, config->ram_pages, &config->observation);
	gw_order_attach(&s->config.order,
	                words + 3 * n + policy_bytes(&config->policy, config->ram_pages) / 8,
	                config->ram_pages);
	gw_rounds_start(&s->rounds, &config->observation, &s->skip);
	count_observed(s, &config->observation);
	s->config.observation = (struct gw_observation){0};
	s->state = GW_STATE_PRE_MIGRATION;
	return s;
}

enum gw_state gw_source_state(const struct gw_source *source)
{
	return source->state;
}

const struct gw_metrics *gw_source_metrics(const struct gw_source *source)
{
	return &source->metrics;
}

void gw_source_progress(const struct gw_source *s, uint64_t *done, uint64_t *all)
{
	bool after = s->state >= GW_STATE_COMMITMENT;

	*all = after ? s->image_pages : s->round_owed;
	*done = after ? s->image_pages - gw_set_count(&s->owed) : s->round_sent + s->round_skipped;
}

static void journaled(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	switch (s->state) {
	case GW_STATE_ITERATIVE_PRE_COPY: gw_act(out, GW_ACT_SURVEY); break;
	case GW_STATE_STOP_AND_COPY:
		s->handing_over = true;
		gw_source_maybe_stop(s, out);
		break;
	case GW_STATE_COMMITMENT: gw_source_commit(s, ev, out); break;
	case GW_STATE_ACTIVATION:
		if (!s->asked)
			gw_source_after_activation(s, ev, out);
		break;
	default: break;
	}
}

static void surveyed(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state == GW_STATE_ACTIVATION || s->state == GW_STATE_PULL) {
		if (s->have_whole) /* else it answers for a link that is gone */
			gw_source_take_up_pull(s, ev, out);
		return;
	}
	if (s->state != GW_STATE_ITERATIVE_PRE_COPY && s->state != GW_STATE_STOP_AND_COPY)
		return;
	gw_set_copy(&s->owed, ev->set);
	s->populated_pages = gw_set_count(&s->owed);
	if (s->state == GW_STATE_STOP_AND_COPY)
		gw_source_switch_known(s, ev, out);
	else
		gw_source_decide(s, ev, out);
}

static int message(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	const struct gw_message *m = ev->message;
	char text[GW_TRACE_BYTES];

	s->heard_ns = ev->now_ns;
	switch (m->kind) {
	case GW_MSG_ACCEPT:
		if (s->state != GW_STATE_RESERVATION)
			return s->state == GW_STATE_CANCELLED ? 0 : -EPROTO;
		gw_source_accepted(s, ev, out);
		return 0;
	case GW_MSG_REFUSE:
		if (s->state != GW_STATE_RESERVATION)
			return s->state == GW_STATE_CANCELLED ? 0 : -EPROTO;
		gw_source_cancel_for(s, ev, out, GW_AT_DESTINATION,
		                     gw_message_text(m, text, sizeof(text)), false);
		return 0;
	case GW_MSG_ROUND_ACK: return gw_source_round_acked(s, ev, out);
	case GW_MSG_PREPARED: return gw_source_prepared(s, ev, out);
	case GW_MSG_ACTIVATED:
		if (s->state != GW_STATE_COMMITMENT)
			return -EPROTO;
		gw_source_activated(s, ev, out, m->activated.after_ns);
		return 0;
	case GW_MSG_FAULT: return gw_source_fault(s, ev, out);
	case GW_MSG_DONE: return gw_source_done(s, ev, out);
	case GW_MSG_ABORT:
	case GW_MSG_ABORTED: return gw_source_aborted(s, ev, out);
	case GW_MSG_STANDING: return gw_source_standing(s, ev, out);
	case GW_MSG_MAP: return gw_source_map_of_what_is_there(s, ev, out);
	case GW_MSG_VERDICT:
		s->metrics.verified = true;
		s->metrics.pages_compared = m->verdict.compared;
		s->metrics.pages_different = m->verdict.different;
		s->metrics.first_different = m->verdict.first_different;
		return 0;
	case GW_MSG_PING:
		gw_act_send(out, (struct gw_message){.kind = GW_MSG_PONG, .ping = m->ping});
		return 0;
	case GW_MSG_PONG: return 0;
	default: return -EPROTO;
	}
}

int gw_source_step(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	int err = 0;

	gw_actions_begin(out);
	if (s->finished)
		return 0;
	switch (ev->kind) {
	case GW_EV_START:
		gw_source_tell_observed(s, ev, out);
		gw_source_offer(s, ev, out);
		break;
	case GW_EV_RECOVER: gw_source_recover(s, ev, out); break;
	case GW_EV_MESSAGE: err = message(s, ev, out); break;
	case GW_EV_JOURNALED: journaled(s, ev, out); break;
	case GW_EV_SURVEYED: surveyed(s, ev, out); break;
	case GW_EV_TRACKING: gw_source_tracking(s, ev, out); break;
	case GW_EV_ROOM: gw_source_room(s, ev, out); break;
	case GW_EV_SCANNED: gw_source_scanned(s, ev, out); break;
	case GW_EV_PEEKED: gw_set_union(&s->skip, ev->set); break;
	case GW_EV_STOPPED: gw_source_vm_stands(s, ev, out); break;
	case GW_EV_SAVED:
		s->waiting_since_ns = ev->now_ns;
		gw_trace(out, ev->now_ns, WHO, "the device state is saved");
		gw_source_run_shadow(s, out);
		break;
	case GW_EV_SHADOW_STARTED: gw_source_shadow_started(s, ev, out); break;
	case GW_EV_TOUCHED: gw_source_touched(s, ev, out); break;
	case GW_EV_SHADOW_GONE: gw_source_shadow_gone(s, ev, out); break;
	case GW_EV_RUNNING:
		if (s->state == GW_STATE_CANCELLED && s->resuming)
			gw_source_came_back(s, ev, out);
		else
			gw_source_runs_again(s, ev, out);
		break;
	case GW_EV_LINK_UP: gw_source_link_up(s, ev, out); break;
	case GW_EV_LINK_LOST: gw_source_link_lost(s, ev, out); break;
	case GW_EV_VM_GONE: gw_source_vm_gone(s, ev, out); break;
	case GW_EV_FAILED: gw_source_failed(s, ev, out); break;
	case GW_EV_RUN_REFUSED: gw_source_run_refused(s, ev, out); break;
	case GW_EV_UNWRITTEN: gw_source_unwritten(s, ev, out); break;
	case GW_EV_ABORT: gw_source_user_abort(s, ev, out); break;
	case GW_EV_TICK: gw_source_tick(s, ev, out); break;
	default: break;
	}
	if (err == -EPROTO)
		gw_source_peer_broke_protocol(s, ev, out);
	s->metrics.bytes_on_link = ev->link_bytes;
	return err;
}
