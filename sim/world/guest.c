/* SPDX-License-Identifier: MIT */
/*
 * sim/world/guest.c - what the guest does to its memory, here and there.
 *
 * Before the switch its touches are carried out up to now whenever somebody looks. After it each
 * vCPU runs ahead over pages that are there, for they stay, up to the next that is missing: there
 * it stops at that instant, unless the page has come by then, and waits until it does.
 *
 *      now                         here it may wait
 *       v                           v
 *   ----+--touch--touch-----touch---?
 */
#include "sim/world/inside.h"

#include <string.h>

/* Order `demand` pushes what nobody asked for after a second; latencies are below 17 ms. */
#define WAIT_MAX_NS 700000000u

/* More than this is not made up for, as in guest/native/machine.c. */
#define LATE_MAX_NS   10000000u
#define AHEAD         4096 /* touches in one go */
#define CLEARS_ONE_IN 16u  /* of a small world's writes leaves a page of zeros */

static uint64_t later(uint64_t at, uint64_t by)
{
	return at > SIM_NEVER - by ? SIM_NEVER : at + by;
}

/*
 * A vCPU that waited for a page is behind its schedule, and has less idle time until it is not:
 * work that comes by a clock or over the network does not stop coming. What its CPU is busy with
 * takes as long as ever.
 */
static void think(struct migration *m, struct thread *t)
{
	uint64_t made_up = 0;

	sim_workload_next(m->workload, t->number, &t->next);
	if (t->late_ns && t->next.think_ns != SIM_NEVER) {
		made_up = t->next.think_ns / 1000 * m->idle_permille;
		if (made_up > t->late_ns)
			made_up = t->late_ns;
		t->late_ns -= made_up;
	}
	t->at_ns = later(t->at_ns, t->next.think_ns - made_up);
}

/* --- beginning and end --------------------------------------------------------------------- */

static struct sim_class class_of_traffic(const struct migration *m)
{
	bool here = sim_runs(&m->source.vm) || m->phase == PHASE_WAITS;

	return (struct sim_class){.priority = 1,
	                          .guaranteed_bytes_per_s = here ? m->reserved_bytes_per_s : 0};
}

void sim_guest_sends(struct migration *m, unsigned link)
{
	struct sim_class class = class_of_traffic(m);

	if (m->traffic || !m->spec.workload.network_bytes_per_s)
		return;
	m->traffic = sim_flow_open(m->world->network, &link, 1, &class, NULL, NULL);
	sim_flow_want(m->traffic, m->spec.workload.network_bytes_per_s);
	m->own.since_ns = sim_now(m);
	m->own.sent_bytes = m->seen_bytes = 0;
	m->seen_ns = sim_now(m);
}

void sim_guest_reserve(struct migration *m, uint64_t bytes_per_s)
{
	struct sim_class class;

	if (m->reserved_bytes_per_s == bytes_per_s)
		return;
	m->reserved_bytes_per_s = bytes_per_s;
	class = class_of_traffic(m);
	if (m->traffic)
		sim_flow_set_class(m->traffic, &class);
}

/* Takes up what the flow has carried since the last time. */
static void count_traffic(struct migration *m)
{
	uint64_t sent, now = sim_now(m);

	if (!m->traffic)
		return;
	sent = sim_flow_sent_bytes(m->traffic);
	m->own.bytes += sent - m->own.sent_bytes;
	m->own.wanted_bytes += (uint64_t)((unsigned __int128)(now - m->own.since_ns) *
	                                  m->spec.workload.network_bytes_per_s / SIM_BILLION);
	m->own.sent_bytes = sent;
	m->own.since_ns = now;
}

void sim_guest_counts_traffic(struct migration *m)
{
	count_traffic(m);
	m->own.bytes = m->own.wanted_bytes = 0;
}

void sim_guest_traffic(struct migration *m, uint64_t *bytes, uint64_t *wanted_bytes)
{
	count_traffic(m);
	*bytes = m->own.bytes;
	*wanted_bytes = m->own.wanted_bytes;
}

static void ends_traffic(struct migration *m)
{
	count_traffic(m);
	if (!m->traffic)
		return;
	m->traffic_bytes += sim_flow_sent_bytes(m->traffic);
	sim_flow_close(m->traffic, NULL);
	m->traffic = NULL;
}

static void touch_came(struct sim_happening *self);

void sim_guest_init(struct migration *m)
{
	unsigned i, count = m->spec.vcpus + 1;

	m->idle_permille = 1000 - (unsigned)(m->spec.workload.cpu_share * 1000);
	m->workload = sim_workload_new(&m->spec.workload, m->spec.ram_pages, m->spec.vcpus,
	                               sim_chance_next(&m->chance));
	m->threads = sim_take(m->world, count * sizeof(*m->threads));
	memset(m->threads, 0, count * sizeof(*m->threads));
	for (i = 0; i < count; i++) {
		m->threads[i].m = m;
		m->threads[i].number = i;
		m->threads[i].touches.happens = touch_came;
		m->threads[i].left = m->config.touches ? m->config.touches : SIM_NEVER;
		if (i < m->spec.vcpus)
			think(m, &m->threads[i]);
	}
	m->lives_since_ns = sim_now(m);
	m->guest_stands = true;
	m->source.vm.state = VM_STOPPED;
	if (m->spec.paused)
		return;
	m->source.vm.state = VM_RUNS;
	sim_guest_goes_on(m);
}

/* What it did meanwhile does not count against what it does before the switch. */
void sim_guest_was_observed(struct migration *m)
{
	unsigned i;

	m->first_writes = 0;
	for (i = 0; i < m->spec.vcpus; i++) {
		struct thread *t = &m->threads[i];

		if (!t->left) { /* it fell asleep */
			t->at_ns = sim_now(m);
			think(m, t);
		}
		t->left = m->config.touches ? m->config.touches : SIM_NEVER;
	}
}

void sim_guest_free(struct migration *m)
{
	sim_guest_ends(m);
	sim_workload_free(m->workload);
	m->workload = NULL;
	sim_give(m->world, m->threads);
	m->threads = NULL;
}

void sim_guest_ends(struct migration *m)
{
	unsigned i;

	for (i = 0; i <= sim_loader(m); i++) {
		m->threads[i].waits = false;
		sim_clock_cancel(&m->world->clock, &m->threads[i].touches);
	}
	m->waiters = 0;
	if (!sim_runs(&m->source.vm) && !sim_runs(&m->dest.vm))
		ends_traffic(m);
}

/* --- at the source ------------------------------------------------------------------------- */

static void fills(struct migration *m, uint64_t page)
{
	bool clears = m->config.pages && !sim_dice_below(m, CLEARS_ONE_IN);

	gw_set_add(&m->source.populated, page);
	if (clears)
		gw_set_remove(&m->source.full, page);
	else
		gw_set_add(&m->source.full, page);
	if (m->source.content)
		m->source.content[page] = clears ? 0 : (uint32_t)++m->version;
}

/* The first write to a protected page costs the guest a fault. */
static void writes_here(struct migration *m, struct thread *t)
{
	uint64_t page = t->next.page;

	fills(m, page);
	if (!m->source.tracking || gw_set_has(&m->source.written, page))
		return;
	gw_set_add(&m->source.written, page);
	t->at_ns = later(t->at_ns, m->world->costs.first_write_ns);
	m->first_writes++;
}

static bool is_awake(struct thread *t)
{
	if (!t->left)
		t->at_ns = SIM_NEVER;
	else if (t->left != SIM_NEVER)
		t->left--;
	return t->at_ns != SIM_NEVER;
}

void sim_guest_lives(struct migration *m)
{
	uint64_t now = sim_now(m);
	unsigned i;

	if (m->guest_stands || !sim_runs(&m->source.vm))
		return;
	for (i = 0; i < m->spec.vcpus; i++) {
		struct thread *t = &m->threads[i];

		while (t->at_ns <= now && is_awake(t)) {
			if (t->next.writes)
				writes_here(m, t);
			else if (m->observer)
				sim_sees_read(m, t->next.page);
			think(m, t);
		}
	}
}

void sim_guest_stops(struct migration *m)
{
	unsigned i;

	if (m->guest_stands)
		return;
	sim_guest_lives(m);
	for (i = 0; i < m->spec.vcpus; i++)
		if (m->threads[i].at_ns != SIM_NEVER)
			m->threads[i].at_ns -= sim_now(m);
	m->guest_stands = true;
	m->stood_ns = sim_now(m);
	ends_traffic(m);
	sim_divide_soon(m);
}

static void wakes_up(struct migration *m, unsigned link)
{
	unsigned i;

	for (i = 0; i < m->spec.vcpus; i++)
		m->threads[i].at_ns = later(m->threads[i].at_ns, sim_now(m));
	m->guest_stands = false;
	if (m->stood_ns && sim_now(m) - m->stood_ns > m->stood_for_ns)
		m->stood_for_ns = sim_now(m) - m->stood_ns;
	sim_guest_sends(m, link);
}

void sim_guest_goes_on(struct migration *m)
{
	if (m->guest_stands)
		wakes_up(m, m->spec.path[0]);
}

/* --- at the destination -------------------------------------------------------------------- */

static void tell_fault(struct migration *m, const struct thread *t)
{
	struct gw_event event = {.kind = GW_EV_FAULT};

	event.fault.page = t->next.page;
	event.fault.thread = (int32_t)t->number + 1;
	event.fault.vcpu = t->number != sim_loader(m);
	if (m->agent[SIM_DESTINATION].alive)
		sim_answer(m, SIM_DESTINATION, event, m->world->costs.fault_ns / 2);
}

static bool misses(const struct migration *m, const struct thread *t)
{
	return m->dest.armed && !gw_set_has(&m->dest.present, t->next.page);
}

static void begins_to_wait(struct migration *m, struct thread *t)
{
	t->waits = t->waited = true;
	t->since = sim_now(m);
	m->waiters++;
	tell_fault(m, t);
}

/* What is not there reads as zeros when nothing faults any more. */
static void sees(struct migration *m, const struct thread *t)
{
	uint64_t page = t->next.page;
	uint32_t seen;

	if (!m->dest.content)
		return;
	seen = gw_set_has(&m->dest.present, page) ? m->dest.content[page] : 0;
	if (!m->spec.paused && !m->hurt_pages && !m->source.resumed_behind &&
	    seen != m->expected[page])
		sim_violated(m, "the guest sees version %u of page %llu, not %u", seen,
		             (unsigned long long)page, m->expected[page]);
	if (t->next.writes)
		m->dest.content[page] = m->expected[page] = (uint32_t)++m->version;
}

static void touches_there(struct migration *m, struct thread *t)
{
	sees(m, t);
	if (gw_set_has(&m->dest.untouched, t->next.page)) {
		gw_set_remove(&m->dest.untouched, t->next.page);
		m->touched_pages++;
		m->arrived_pages += !t->waited;
	}
	t->waited = false;
	if (t->next.writes)
		gw_set_add(&m->dest.present, t->next.page);
	if (t->left != SIM_NEVER)
		t->left--;
	think(m, t);
}

/* Nothing can be missed any more, and nobody looks at what it sees. */
static bool goes_unwatched(const struct migration *m)
{
	return !m->dest.armed && !m->config.pages;
}

static void runs_ahead(struct migration *m, struct thread *t)
{
	struct sim_clock *clock = &m->world->clock;
	unsigned touches = 0;

	while (t->left && !t->waits && t->at_ns != SIM_NEVER && !goes_unwatched(m)) {
		bool missing = misses(m, t);

		if (missing && t->at_ns <= clock->now_ns) {
			begins_to_wait(m, t);
		} else if (missing || ++touches > AHEAD) {
			sim_clock_at(clock, &t->touches, t->at_ns);
			return;
		} else {
			touches_there(m, t);
		}
	}
}

static void touch_came(struct sim_happening *self)
{
	struct thread *t = SIM_OWNER(self, struct thread, touches);
	struct migration *m = t->m;

	if (sim_runs(&m->dest.vm))
		runs_ahead(m, t);
	sim_happened(m);
}

void sim_guest_runs_there(struct migration *m)
{
	unsigned i;

	wakes_up(m, m->spec.path[m->spec.path_count - 1]);
	m->ran_ns = sim_now(m);
	gw_set_copy(&m->dest.untouched, &m->dest.present);
	gw_set_invert(&m->dest.untouched);
	for (i = 0; i < m->spec.vcpus; i++) {
		struct thread *t = &m->threads[i];

		if (!t->left) { /* it fell asleep before the switch */
			t->at_ns = sim_now(m);
			think(m, t);
		}
		t->left = m->config.pages ? m->config.wakes : SIM_NEVER;
		runs_ahead(m, t);
	}
}

void sim_read(struct migration *m, uint64_t page)
{
	struct thread *t = &m->threads[sim_loader(m)];

	t->next = (struct sim_touch){.page = page};
	if (misses(m, t))
		begins_to_wait(m, t);
	else
		sees(m, t);
}

/* --- who waits ----------------------------------------------------------------------------- */

/* While the link stands a fault is served at once, also one from before it stood. */
static void check_wait(struct migration *m, const struct thread *t)
{
	uint64_t since = t->since > m->wire.news_ns ? t->since : m->wire.news_ns;

	if (m->config.pages && !m->slow_ns && !m->late && !m->hurt &&
	    sim_now(m) - since > WAIT_MAX_NS)
		sim_violated(m, "a thread has waited too long for page %llu",
		             (unsigned long long)t->next.page);
}

/* How much of its waiting, which ends at at_ns, falls into the first second. */
static uint64_t early_part(const struct migration *m, const struct thread *t)
{
	uint64_t end = m->ran_ns + SIM_BILLION < t->at_ns ? m->ran_ns + SIM_BILLION : t->at_ns;

	return end > t->since ? end - t->since : 0;
}

static void waits_no_more(struct migration *m, struct thread *t)
{
	uint64_t waited;

	check_wait(m, t);
	t->waits = false;
	m->waiters--;
	if (t->number == sim_loader(m)) {
		sees(m, t);
		sim_go_on_loading(m);
		return;
	}
	t->at_ns = sim_now(m) + m->world->costs.fault_ns / 2;
	waited = t->at_ns - t->since;
	t->stall_ns += waited;
	m->early_stall_ns += early_part(m, t);
	t->late_ns = t->late_ns + waited < LATE_MAX_NS ? t->late_ns + waited : LATE_MAX_NS;
	if (waited > t->longest_ns)
		t->longest_ns = waited;
	m->guest_faults++;
	runs_ahead(m, t);
}

void sim_wake(struct migration *m, struct gw_run run)
{
	unsigned i;

	for (i = 0; m->waiters && i <= sim_loader(m); i++) {
		struct thread *t = &m->threads[i];

		if (t->waits && t->next.page - run.first < run.count)
			waits_no_more(m, t);
	}
}

void sim_wake_all(struct migration *m)
{
	unsigned i;

	for (i = 0; m->waiters && i <= sim_loader(m); i++)
		if (m->threads[i].waits)
			waits_no_more(m, &m->threads[i]);
}

/* A new agent has the faults woken, so that they come again. */
void sim_fault_again(struct migration *m)
{
	unsigned i;

	for (i = 0; i <= sim_loader(m); i++)
		if (m->threads[i].waits)
			tell_fault(m, &m->threads[i]);
}
