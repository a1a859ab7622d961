/* SPDX-License-Identifier: MIT */
/*
 * sim/world/shadow.c - the copy of the VM that runs ahead at the source (S4).
 *
 * It stands where the guest was stopped, misses no page, and goes on at its own speed. Some of its
 * touches go elsewhere, for interrupts, time and input are its own. What it touched first is told
 * at the next look:
 *
 *     touches   a b a c | b d . . . | . e         (. a page touched before)
 *     told              {a b c}   {d}     {e}
 *
 * It lives no longer than the agent that asked for it.
 */
#include "sim/world/inside.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 512u  /* runs that are told at once */
#define AHEAD 4096u /* touches in one go */

#define FULL_SPEED 1000u

struct shadow_vcpu {
	struct sim_touch next;
	uint64_t at_ns; /* of the next touch; while it stands: how long after it goes on */
};

static bool lives(const struct shadow *s)
{
	return s->state != SHADOW_NONE && s->state != SHADOW_DEAD;
}

/* --- its vCPUs ----------------------------------------------------------------------------- */

static uint64_t anywhere(struct migration *m, struct shadow *s)
{
	uint64_t from = sim_chance_below(&s->chance, m->spec.ram_pages);
	uint64_t page = gw_set_next(&m->source.populated, from);

	if (page >= m->spec.ram_pages)
		page = gw_set_next(&m->source.populated, 0);
	return page < m->spec.ram_pages ? page : from;
}

static void strays(struct migration *m, struct shadow *s, struct shadow_vcpu *v)
{
	if ((sim_chance_next(&s->chance) >> 32) < s->diverges)
		v->next.page = anywhere(m, s);
}

static void think(struct migration *m, struct shadow *s, unsigned number)
{
	struct shadow_vcpu *v = &s->vcpus[number];
	unsigned __int128 at = v->at_ns;

	sim_workload_next(s->workload, number, &v->next);
	strays(m, s, v);
	at += (unsigned __int128)v->next.think_ns * FULL_SPEED / s->speed_permille;
	v->at_ns = v->next.think_ns == SIM_NEVER || at > SIM_NEVER ? SIM_NEVER : (uint64_t)at;
}

static unsigned earliest(const struct migration *m, const struct shadow *s)
{
	unsigned first = 0;

	for (unsigned i = 1; i < m->spec.vcpus; i++)
		if (s->vcpus[i].at_ns < s->vcpus[first].at_ns)
			first = i;
	return first;
}

static void writes(struct shadow *s, const struct sim_touch *touch)
{
	if (!touch->writes || gw_set_has(&s->written, touch->page))
		return;
	gw_set_add(&s->written, touch->page);
	s->written_pages++;
}

/* --- life and death ------------------------------------------------------------------------ */

static void forget(struct migration *m, struct shadow *s)
{
	s->state = SHADOW_DEAD;
	sim_clock_cancel(&m->world->clock, &s->acts);
	sim_workload_free(s->workload);
	s->workload = NULL;
}

static void dies(struct migration *m, const char *why)
{
	if (!lives(&m->shadow))
		return;
	forget(m, &m->shadow);
	sim_line(m, SIM_SOURCE, "shadow: %s", why);
	if (m->agent[SIM_SOURCE].alive)
		sim_answer_text(m, SIM_SOURCE, GW_EV_SHADOW_GONE, why);
}

void sim_shadow_end(struct migration *m)
{
	if (!lives(&m->shadow))
		return;
	forget(m, &m->shadow);
	sim_line(m, SIM_SOURCE, "shadow: ended");
}

void sim_shadow_killed(struct migration *m)
{
	dies(m, "it was killed");
}

bool sim_shadow_lives(const struct migration *m)
{
	return lives(&m->shadow);
}

void sim_shadow_free(struct migration *m)
{
	struct shadow *s = &m->shadow;

	forget(m, s);
	sim_give(m->world, s->vcpus);
	sim_give(m->world, s->runs);
	sim_give(m->world, s->touched.words);
	sim_give(m->world, s->written.words);
	memset(s, 0, sizeof(*s));
}

/* --- touches ------------------------------------------------------------------------------- */

static void tell(struct migration *m, struct shadow *s)
{
	struct gw_event event = {.kind = GW_EV_TOUCHED};

	if (!s->count)
		return;
	event.touched.runs = s->runs;
	event.touched.count = s->count;
	s->count = 0;
	sim_line(m, SIM_SOURCE, "shadow: has touched %u pages more", s->new_pages);
	s->new_pages = 0;
	if (!s->hangs && lives(s))
		sim_step(m, SIM_SOURCE, &event);
}

static void touches(struct shadow *s, uint64_t page)
{
	struct gw_run *last = s->count ? &s->runs[s->count - 1] : NULL;

	gw_set_add(&s->touched, page);
	s->touched_pages++;
	s->new_pages++;
	if (last && last->first + last->count == page)
		last->count++;
	else
		s->runs[s->count++] = (struct gw_run){page, 1};
}

/* False if it does nothing more now; then *when is its next touch that tells something. */
static bool touches_one(struct migration *m, struct shadow *s, uint64_t *when)
{
	unsigned number = earliest(m, s);
	struct shadow_vcpu *v = &s->vcpus[number];
	bool new = !gw_set_has(&s->touched, v->next.page);

	*when = v->at_ns;
	if (v->at_ns == SIM_NEVER || (new && v->at_ns > sim_now(m)))
		return false;
	if (new)
		touches(s, v->next.page);
	writes(s, &v->next);
	think(m, s, number);
	return true;
}

static uint64_t end_of_life(const struct migration *m)
{
	return m->spec.shadow.life_ns ? m->shadow.began_ns + m->spec.shadow.life_ns : SIM_NEVER;
}

static void look_at(struct migration *m, uint64_t when)
{
	uint64_t look = m->world->costs.shadow_look_ns, last = end_of_life(m);

	if (when != SIM_NEVER && look)
		when = when > SIM_NEVER - look ? SIM_NEVER : (when / look + 1) * look;
	sim_clock_at(&m->world->clock, &m->shadow.acts, when < last ? when : last);
}

/* It has touched every page and may write every page: nothing more of it is to be seen. */
static bool has_told_all(const struct migration *m, const struct shadow *s)
{
	uint64_t limit = m->spec.shadow.memory_pages;

	return s->touched_pages == m->spec.ram_pages && (!limit || limit >= m->spec.ram_pages);
}

static void goes_on(struct migration *m, struct shadow *s)
{
	uint64_t when = SIM_NEVER, limit = m->spec.shadow.memory_pages;

	if (sim_now(m) >= end_of_life(m)) {
		dies(m, "it died");
		return;
	}
	if (has_told_all(m, s)) {
		look_at(m, SIM_NEVER);
		return;
	}
	for (unsigned i = 0; i < AHEAD && s->count < BATCH && touches_one(m, s, &when); i++)
		;
	if (limit && s->written_pages > limit) {
		dies(m, "it has written as much memory as it may");
		return;
	}
	look_at(m, when);
	tell(m, s);
}

/* --- what the agent asks for --------------------------------------------------------------- */

static void runs(struct migration *m, struct shadow *s)
{
	s->state = SHADOW_RUNS;
	s->began_ns = sim_now(m);
	for (unsigned i = 0; i < m->spec.vcpus; i++)
		if (s->vcpus[i].at_ns != SIM_NEVER)
			s->vcpus[i].at_ns += sim_now(m);
	sim_line(m, SIM_SOURCE, "shadow: runs");
	if (!s->hangs && lives(s))
		sim_step(m, SIM_SOURCE, &(struct gw_event){.kind = GW_EV_SHADOW_STARTED});
	if (s->state == SHADOW_RUNS)
		look_at(m, s->vcpus[earliest(m, s)].at_ns);
}

static void acts(struct sim_happening *self)
{
	struct shadow *s = SIM_OWNER(self, struct shadow, acts);
	struct migration *m = s->m;

	if (s->state == SHADOW_LOADS)
		runs(m, s);
	else if (s->state == SHADOW_RUNS)
		goes_on(m, s);
	sim_happened(m);
}

static bool fails(struct migration *m)
{
	bool now = m->shadow.fails || m->spec.shadow.fails;

	m->shadow.fails = false;
	if (now)
		dies(m, "no memory for it");
	return now;
}

static void new_set(struct migration *m, struct gw_set *set)
{
	uint64_t pages = m->spec.ram_pages;

	gw_set_init(set, sim_take(m->world, gw_set_words(pages) * sizeof(uint64_t)), pages);
}

void sim_shadow_prepare(struct migration *m)
{
	struct shadow *s = &m->shadow;
	double speed = m->spec.shadow.speed * FULL_SPEED;

	if (lives(s))
		sim_violated(m, "there is a shadow already");
	sim_shadow_free(m);
	*s = (struct shadow){.m = m, .state = SHADOW_READY, .acts.happens = acts};
	s->ready_ns = sim_now(m) + m->world->costs.shadow_start_ns + m->slow_ns;
	s->chance = sim_chance_of(m->chance.state, 9);
	s->diverges = (uint64_t)(m->spec.shadow.divergence * 4294967296.0);
	s->speed_permille = speed < 1 ? 1 : (unsigned)speed;
	s->vcpus = sim_take(m->world, m->spec.vcpus * sizeof(*s->vcpus));
	s->runs = sim_take(m->world, BATCH * sizeof(*s->runs));
	new_set(m, &s->touched);
	new_set(m, &s->written);
	sim_line(m, SIM_SOURCE, "shadow: is prepared");
	(void)fails(m);
}

void sim_shadow_takes_over(struct migration *m)
{
	struct shadow *s = &m->shadow;

	if (s->state != SHADOW_READY || s->workload)
		return;
	s->workload = sim_workload_copy(m->workload);
	if (!s->workload)
		abort();
	for (unsigned i = 0; i < m->spec.vcpus; i++)
		s->vcpus[i] = (struct shadow_vcpu){m->threads[i].next, m->threads[i].at_ns};
}

void sim_shadow_run(struct migration *m)
{
	struct shadow *s = &m->shadow;
	uint64_t at = s->ready_ns > sim_now(m) ? s->ready_ns : sim_now(m);

	if (sim_runs(&m->source.vm) && !m->source.resumed_behind)
		sim_violated(m, "a shadow is asked for and its VM still runs");
	if (!lives(s) || fails(m))
		return; /* that it is gone was said, or is on its way */
	if (!s->workload) {
		sim_violated(m, "a shadow is asked for without a state");
		return;
	}
	s->state = SHADOW_LOADS;
	sim_clock_at(&m->world->clock, &s->acts, at + m->world->costs.shadow_load_ns + m->slow_ns);
}

void sim_shadow_hold(struct migration *m, bool hold)
{
	struct shadow *s = &m->shadow;
	uint64_t now = sim_now(m);

	if (s->state != (hold ? SHADOW_RUNS : SHADOW_HELD))
		return;
	s->state = hold ? SHADOW_HELD : SHADOW_RUNS;
	sim_line(m, SIM_SOURCE, "shadow: %s", hold ? "stands" : "goes on");
	for (unsigned i = 0; i < m->spec.vcpus; i++) {
		uint64_t *at = &s->vcpus[i].at_ns;

		if (*at == SIM_NEVER)
			continue;
		if (hold)
			*at = *at > now ? *at - now : 0;
		else
			*at += now;
	}
	if (!lives(s))
		return;
	look_at(m, hold ? SIM_NEVER : s->vcpus[earliest(m, s)].at_ns);
}
