/* SPDX-License-Identifier: MIT */
/*
 * tests/sim/network.c - links that are shared: small cases by hand, then random ones against a
 * model that is slow, without bundles, and right by inspection.
 */
#include "sim/network/network.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/chance.h"

#define MB        1000000u
#define FLOWS_MAX 12
#define LINKS_MAX 4
#define PARCELS   400
#define CHAIN     30000
#define SECOND_NS 1000000000ull

struct bench {
	struct sim_clock clock;
	struct sim_network *network;
};

struct letter {
	struct sim_parcel parcel;
	const struct sim_clock *clock;
	uint64_t came_ns;
	unsigned came, lost;
};

static void bench_init(struct bench *bench)
{
	sim_clock_init(&bench->clock);
	bench->network = sim_network_new(&bench->clock);
}

static void bench_free(struct bench *bench)
{
	sim_network_free(bench->network);
	sim_clock_free(&bench->clock);
}

static unsigned add_link(struct bench *bench, uint64_t bytes_per_s, uint64_t latency_ns)
{
	return sim_network_add_link(bench->network,
	                            &(struct sim_link_config){.name = "link",
	                                                      .bytes_per_s = bytes_per_s,
	                                                      .latency_ns = latency_ns});
}

static struct sim_flow *open_flow(struct bench *bench, unsigned link, struct sim_class class)
{
	return sim_flow_open(bench->network, &link, 1, &class, NULL, NULL);
}

static void letter_comes(struct sim_happening *happening)
{
	struct letter *letter = (struct letter *)happening; /* its first member's first member */

	letter->came++;
	letter->came_ns = letter->clock->now_ns;
	assert_int_equal(letter->came_ns, letter->parcel.comes.at_ns);
}

static void letter_lost(struct sim_parcel *parcel)
{
	((struct letter *)parcel)->lost++;
}

static void post(struct bench *bench, struct sim_flow *flow, struct letter *letter, uint64_t bytes)
{
	*letter = (struct letter){.parcel = {.comes.happens = letter_comes, .bytes = bytes},
	                          .clock = &bench->clock};
	sim_flow_send(flow, &letter->parcel);
}

static void run(struct bench *bench)
{
	while (sim_clock_step(&bench->clock))
		;
}

static void nothing(struct sim_happening *happening)
{
	(void)happening;
}

static void run_till(struct bench *bench, uint64_t at_ns)
{
	struct sim_happening end = {.happens = nothing};

	sim_clock_at(&bench->clock, &end, at_ns);
	while (sim_queued(&end))
		assert_true(sim_clock_step(&bench->clock));
}

static void test_alone(void **state)
{
	struct bench b;
	struct letter letters[3];

	(void)state;
	bench_init(&b);
	struct sim_flow *flow = open_flow(&b, add_link(&b, 3, 7), (struct sim_class){0});
	for (unsigned i = 0; i < 3; i++)
		post(&b, flow, &letters[i], 1);
	assert_int_equal(sim_flow_rate(flow), 3);
	run(&b);
	/* Thirds of a second, each rounded up by itself. */
	assert_int_equal(letters[0].came_ns, 333333334 + 7);
	assert_int_equal(letters[1].came_ns, 666666667 + 7);
	assert_int_equal(letters[2].came_ns, 1000000000 + 7);
	assert_int_equal(sim_network_carried(b.network, 0), 3);
	assert_int_equal(sim_flow_rate(flow), 0);
	bench_free(&b);
}

struct chain {
	struct bench *bench;
	struct sim_flow *flow;
	struct letter letters[CHAIN];
	unsigned sent;
};

static void chain_goes_on(void *owner)
{
	struct chain *chain = owner;

	if (chain->sent < CHAIN)
		post(chain->bench, chain->flow, &chain->letters[chain->sent++], 1);
}

/* What is sent in the instant in which the last parcel leaves loses nothing of that nanosecond. */
static void test_no_drift(void **state)
{
	struct bench b;
	static struct chain chain;

	(void)state;
	bench_init(&b);
	unsigned link = add_link(&b, 3 * MB, 0);
	chain.bench = &b;
	chain.flow = sim_flow_open(b.network, &link, 1, NULL, chain_goes_on, &chain);
	chain_goes_on(&chain);
	run(&b);
	assert_int_equal(b.clock.now_ns, 10000000);
	assert_int_equal(sim_network_carried(b.network, link), CHAIN);
	bench_free(&b);
}

/* Two links: A shares the first with B and the second with C; C gets what A cannot use. */
static void test_max_min(void **state)
{
	struct bench b;
	struct letter letters[3];

	(void)state;
	bench_init(&b);
	unsigned links[] = {add_link(&b, 100 * MB, 0), add_link(&b, 300 * MB, 0)};
	struct sim_flow *a = sim_flow_open(b.network, links, 2, NULL, NULL, NULL);
	struct sim_flow *own[] = {open_flow(&b, links[0], (struct sim_class){0}),
	                          open_flow(&b, links[1], (struct sim_class){0})};
	post(&b, a, &letters[0], 50 * MB);
	post(&b, own[0], &letters[1], 75 * MB);
	post(&b, own[1], &letters[2], 300 * MB);
	assert_int_equal(sim_flow_rate(a), 50 * MB);
	assert_int_equal(sim_flow_rate(own[0]), 50 * MB);
	assert_int_equal(sim_flow_rate(own[1]), 250 * MB);
	run_till(&b, SECOND_NS / 2);
	assert_int_equal(sim_flow_queued_bytes(a), 25 * MB);
	assert_int_equal(sim_flow_sent_bytes(own[1]), 125 * MB);
	assert_int_equal(sim_network_carried(b.network, links[1]), 150 * MB);
	run(&b);
	assert_int_equal(letters[0].came_ns, SECOND_NS);
	assert_int_equal(letters[1].came_ns, SECOND_NS * 5 / 4);
	assert_int_equal(letters[2].came_ns, SECOND_NS + SECOND_NS / 6 + 1);
	bench_free(&b);
}

static void test_classes(void **state)
{
	struct bench b;
	struct letter letters[5];

	(void)state;
	bench_init(&b);
	unsigned link = add_link(&b, 100 * MB, 0);
	struct sim_flow *first = open_flow(
	        &b, link, (struct sim_class){.priority = 0, .ceiling_bytes_per_s = 40 * MB});
	struct sim_flow *light = open_flow(&b, link, (struct sim_class){.priority = 1});
	struct sim_flow *heavy =
	        open_flow(&b, link, (struct sim_class){.priority = 1, .weight = 3});
	struct sim_flow *last = open_flow(
	        &b, link, (struct sim_class){.priority = 2, .guaranteed_bytes_per_s = 20 * MB});
	struct sim_flow *never = open_flow(&b, link, (struct sim_class){.priority = 3});
	struct sim_flow *all[] = {first, light, heavy, last, never};

	for (unsigned i = 0; i < 5; i++)
		post(&b, all[i], &letters[i], 1000 * MB);
	assert_int_equal(sim_flow_rate(first), 40 * MB);
	assert_int_equal(sim_flow_rate(light), 10 * MB);
	assert_int_equal(sim_flow_rate(heavy), 30 * MB);
	assert_int_equal(sim_flow_rate(last), 20 * MB);
	assert_int_equal(sim_flow_rate(never), 0);

	sim_flow_set_class(first, &(struct sim_class){.priority = 3});
	assert_int_equal(sim_flow_rate(light), 20 * MB);
	assert_int_equal(sim_flow_rate(heavy), 60 * MB);
	assert_int_equal(sim_flow_rate(first), 0);
	/* Guarantees of more than there is share it. */
	sim_flow_set_class(first, &(struct sim_class){.guaranteed_bytes_per_s = 90 * MB});
	assert_int_equal(sim_flow_rate(first), 80 * MB);
	assert_int_equal(sim_flow_rate(last), 20 * MB);
	run(&b);
	assert_int_equal(sim_network_carried(b.network, link), 5000ull * MB);
	bench_free(&b);
}

static void test_wants(void **state)
{
	struct bench b;
	struct letter letter;

	(void)state;
	bench_init(&b);
	unsigned link = add_link(&b, 100 * MB, 0);
	struct sim_flow *guest = open_flow(&b, link, (struct sim_class){0});
	struct sim_flow *move = open_flow(&b, link, (struct sim_class){0});

	sim_flow_want(guest, 30 * MB);
	post(&b, move, &letter, 90 * MB);
	assert_int_equal(sim_flow_rate(guest), 30 * MB);
	assert_int_equal(sim_flow_rate(move), 70 * MB);
	run_till(&b, SECOND_NS);
	sim_flow_want(guest, 500 * MB);
	assert_int_equal(sim_flow_rate(guest), 50 * MB);
	run(&b);
	assert_int_equal(letter.came_ns, SECOND_NS + SECOND_NS * 2 / 5);
	assert_int_equal(sim_flow_rate(guest), 100 * MB);
	sim_flow_want(guest, 0);
	assert_int_equal(sim_flow_rate(guest), 0);
	assert_int_equal(sim_flow_sent_bytes(guest), 50 * MB);
	assert_int_equal(sim_network_carried(b.network, link), 140 * MB);
	/* The flow may send, now that it wants no more. */
	post(&b, guest, &letter, 10 * MB);
	assert_int_equal(sim_flow_queued_bytes(guest), 10 * MB);
	run(&b);
	assert_int_equal(sim_flow_sent_bytes(guest), 60 * MB);
	bench_free(&b);
}

static void test_cut(void **state)
{
	struct bench b;
	struct letter letters[3];

	(void)state;
	bench_init(&b);
	unsigned link = add_link(&b, 10 * MB, SECOND_NS);
	struct sim_flow *flow = open_flow(&b, link, (struct sim_class){0});
	for (unsigned i = 0; i < 3; i++)
		post(&b, flow, &letters[i], 10 * MB);
	run_till(&b, SECOND_NS * 3 / 2);
	sim_network_set_rate(b.network, link, 0);
	assert_int_equal(sim_flow_rate(flow), 0);
	run_till(&b, SECOND_NS * 10);
	assert_int_equal(letters[0].came_ns, 2 * SECOND_NS); /* it had left */
	assert_int_equal(letters[1].came, 0);
	assert_int_equal(sim_flow_queued_bytes(flow), 15 * MB);
	sim_network_set_rate(b.network, link, 5 * MB);
	run_till(&b, SECOND_NS * 11 + SECOND_NS / 2);
	assert_int_equal(letters[1].came, 0); /* it flies */
	sim_flow_close(flow, letter_lost);
	run(&b);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(letters[i].came, i == 0);
		assert_int_equal(letters[i].lost, i != 0);
	}
	assert_int_equal(sim_network_carried(b.network, link), 22500000);

	sim_network_reset(b.network);
	sim_clock_reset(&b.clock);
	assert_int_equal(sim_network_carried(b.network, link), 0);
	flow = open_flow(&b, link, (struct sim_class){0});
	post(&b, flow, &letters[0], 10 * MB);
	run(&b);
	assert_int_equal(letters[0].came_ns, 2 * SECOND_NS);
	bench_free(&b);
}

static void close_it(void *owner)
{
	struct chain *chain = owner;

	sim_flow_close(chain->flow, letter_lost);
}

/* The last byte's leaving may close the flow; what flies is lost, the others go on. */
static void test_left_may_close(void **state)
{
	static struct chain chain;
	struct letter others[2];
	struct bench b;

	(void)state;
	bench_init(&b);
	unsigned link = add_link(&b, 30 * MB, SECOND_NS);
	struct sim_flow *other = open_flow(&b, link, (struct sim_class){0});
	chain.flow = sim_flow_open(b.network, &link, 1, NULL, close_it, &chain);
	post(&b, other, &others[0], 20 * MB);
	post(&b, chain.flow, &chain.letters[0], 10 * MB);
	post(&b, chain.flow, &chain.letters[1], 5 * MB);
	run(&b);
	assert_int_equal(chain.letters[0].lost + chain.letters[1].lost, 2);
	assert_int_equal(others[0].came_ns, SECOND_NS * 7 / 6 + SECOND_NS + 1);
	bench_free(&b);
}

struct closing {
	struct sim_happening happening;
	struct sim_flow *flow[2];
};

static void close_both(struct sim_happening *happening)
{
	struct closing *closing = (struct closing *)happening;

	for (int i = 0; i < 2; i++)
		sim_flow_close(closing->flow[i], letter_lost);
}

/* Closed in the very instant in which its parcel would leave: another's does not leave for it. */
static void test_close_in_the_instant_of_leaving(void **state)
{
	(void)state;
	for (unsigned others = 0; others < 2; others++) {
		struct closing closing = {.happening.happens = close_both};
		struct letter letter[3] = {0};
		struct bench b;

		bench_init(&b);
		unsigned link = add_link(&b, 20 * MB, 0), elsewhere = add_link(&b, MB, 0);
		sim_clock_at(&b.clock, &closing.happening, 2 * SECOND_NS);
		closing.flow[0] = open_flow(&b, elsewhere, (struct sim_class){0});
		closing.flow[1] = open_flow(&b, link, (struct sim_class){0});
		post(&b, closing.flow[0], &letter[0], 100 * MB);
		post(&b, closing.flow[1], &letter[1], (others ? 20 : 40) * MB);
		if (others)
			post(&b, open_flow(&b, link, (struct sim_class){0}), &letter[2], 40 * MB);
		run(&b);
		assert_int_equal(letter[0].lost + letter[1].lost, 2);
		assert_int_equal(letter[2].came_ns, others ? 3 * SECOND_NS : 0);
		bench_free(&b);
	}
}

/* As many as a fleet, all of one class: the link is shared to the last byte, round by round. */
static void test_fleet(void **state)
{
	enum { FLEET = 10000, EACH = 5 };
	static struct letter letters[FLEET][EACH];
	struct bench b;

	(void)state;
	bench_init(&b);
	unsigned link = add_link(&b, 100 * MB, 0);
	for (unsigned i = 0; i < FLEET; i++) {
		struct sim_flow *flow = open_flow(&b, link, (struct sim_class){0});

		for (unsigned k = 0; k < EACH; k++)
			post(&b, flow, &letters[i][k], 4096);
	}
	run(&b);
	for (unsigned i = 0; i < FLEET; i++)
		for (unsigned k = 0; k < EACH; k++)
			assert_int_equal(letters[i][k].came_ns, (k + 1) * 409600000ull);
	assert_int_equal(sim_network_carried(b.network, link), 4096ull * FLEET * EACH);
	bench_free(&b);
}

/* --- Random networks --- */

struct plan_flow {
	unsigned links[LINKS_MAX];
	size_t link_count;
	struct sim_class class;
};

struct plan_parcel {
	uint64_t at_ns, bytes;
	unsigned flow;
};

struct plan {
	uint64_t rates[LINKS_MAX];
	unsigned link_count, flow_count;
	struct plan_flow flows[FLOWS_MAX];
	struct plan_parcel parcels[PARCELS]; /* in time's order */
	uint64_t cut_ns, open_ns;            /* of link 0 */
};

static struct sim_class draw_class(struct sim_chance *chance)
{
	struct sim_class class = {.priority = (unsigned)sim_chance_below(chance, 3),
	                          .weight = (unsigned)sim_chance_below(chance, 4)};

	if (!sim_chance_below(chance, 3))
		class.guaranteed_bytes_per_s = 1000 + sim_chance_below(chance, 40 * MB);
	if (!sim_chance_below(chance, 3))
		class.ceiling_bytes_per_s =
		        class.guaranteed_bytes_per_s + 1000 + sim_chance_below(chance, 40 * MB);
	return class;
}

static void draw_plan(struct plan *plan, struct sim_chance *chance)
{
	uint64_t at_ns = 0;

	plan->link_count = 1 + (unsigned)sim_chance_below(chance, LINKS_MAX);
	plan->flow_count = 1 + (unsigned)sim_chance_below(chance, FLOWS_MAX);
	for (unsigned i = 0; i < plan->link_count; i++)
		plan->rates[i] = MB + sim_chance_below(chance, 100 * MB);
	for (unsigned i = 0; i < plan->flow_count; i++) {
		struct plan_flow *flow = &plan->flows[i];

		if (i && !sim_chance_below(chance, 2)) { /* a bundle */
			*flow = plan->flows[i - 1];
			continue;
		}
		flow->link_count = 0;
		for (unsigned k = 0; k < plan->link_count; k++)
			if (sim_chance_below(chance, 2))
				flow->links[flow->link_count++] = k;
		if (!flow->link_count)
			flow->links[flow->link_count++] = 0;
		flow->class = draw_class(chance);
	}
	for (unsigned i = 0; i < PARCELS; i++) {
		at_ns += sim_chance_below(chance, 3) ? sim_chance_below(chance, 2 * MB) : 0;
		plan->parcels[i] =
		        (struct plan_parcel){at_ns, 1 + sim_chance_below(chance, 50000),
		                             (unsigned)sim_chance_below(chance, plan->flow_count)};
	}
	plan->cut_ns = sim_chance_below(chance, at_ns + 1);
	plan->open_ns = plan->cut_ns + sim_chance_below(chance, 100 * MB);
}

/* The model: each flow by itself, in long double. */

struct model {
	const struct plan *plan;
	long double rates[LINKS_MAX], left[LINKS_MAX];
	long double rate[FLOWS_MAX];
	long double goal[FLOWS_MAX];
	bool rises[FLOWS_MAX];
};

static long double model_weight(const struct model *m, unsigned flow)
{
	return m->plan->flows[flow].class.weight ? m->plan->flows[flow].class.weight : 1;
}

static bool uses(const struct model *m, unsigned flow, unsigned link)
{
	for (size_t k = 0; k < m->plan->flows[flow].link_count; k++)
		if (m->plan->flows[flow].links[k] == link)
			return true;
	return false;
}

static long double model_step(const struct model *m)
{
	long double step = INFINITY;

	for (unsigned i = 0; i < m->plan->flow_count; i++)
		if (m->rises[i])
			step = fminl(step, (m->goal[i] - m->rate[i]) / model_weight(m, i));
	for (unsigned k = 0; k < m->plan->link_count; k++) {
		long double weight = 0;

		for (unsigned i = 0; i < m->plan->flow_count; i++)
			weight += m->rises[i] && uses(m, i, k) ? model_weight(m, i) : 0;
		if (weight > 0)
			step = fminl(step, m->left[k] / weight);
	}
	return step;
}

static void model_fill(struct model *m)
{
	for (bool any = true; any;) {
		long double step = model_step(m);

		any = false;
		for (unsigned i = 0; i < m->plan->flow_count; i++) {
			if (!m->rises[i])
				continue;
			m->rate[i] += step * model_weight(m, i);
			for (unsigned k = 0; k < m->plan->link_count; k++)
				m->left[k] -= uses(m, i, k) ? step * model_weight(m, i) : 0;
		}
		for (unsigned i = 0; i < m->plan->flow_count; i++) {
			m->rises[i] = m->rises[i] && m->goal[i] - m->rate[i] > 1e-6L;
			for (unsigned k = 0; k < m->plan->link_count; k++)
				m->rises[i] = m->rises[i] && !(uses(m, i, k) && m->left[k] < 1e-6L);
			any |= m->rises[i];
		}
	}
}

static void model_share(struct model *m, const bool *sends)
{
	const struct plan *plan = m->plan;

	memcpy(m->left, m->rates, sizeof(m->left));
	for (int stage = -1; stage < 3; stage++) {
		bool any = false;

		for (unsigned i = 0; i < plan->flow_count; i++) {
			const struct sim_class *class = &plan->flows[i].class;
			long double ceiling = class->ceiling_bytes_per_s;

			if (stage < 0) {
				m->rate[i] = 0;
				m->goal[i] = class->guaranteed_bytes_per_s;
			} else {
				m->goal[i] = class->ceiling_bytes_per_s ? ceiling : 1e15L;
			}
			m->rises[i] = sends[i] && m->goal[i] > m->rate[i] &&
			              (stage < 0 || class->priority == (unsigned)stage);
			for (unsigned k = 0; k < plan->link_count; k++)
				m->rises[i] = m->rises[i] && !(uses(m, i, k) && m->left[k] < 1e-6L);
			any |= m->rises[i];
		}
		if (any)
			model_fill(m);
	}
}

struct progress {
	unsigned queue[PARCELS], first, count;
	long double missing; /* bytes of the first one */
};

static long double next_leave(const struct model *m, const struct progress *flows,
                              const bool *sends)
{
	long double wait = INFINITY;

	for (unsigned i = 0; i < m->plan->flow_count; i++)
		if (sends[i] && m->rate[i] > 1e-9L)
			wait = fminl(wait, flows[i].missing / m->rate[i] * 1e9L);
	return wait;
}

/* When each parcel leaves. */
static void model_run(const struct plan *plan, long double *left_ns)
{
	static struct progress flows[FLOWS_MAX];
	struct model m = {.plan = plan};
	unsigned sent = 0, gone = 0;
	long double now = 0;

	memset(flows, 0, sizeof(flows));
	while (gone < PARCELS) {
		bool sends[FLOWS_MAX];
		long double until;

		for (unsigned k = 0; k < plan->link_count; k++)
			m.rates[k] = k == 0 && now >= plan->cut_ns && now < plan->open_ns
			                     ? 0
			                     : plan->rates[k];
		for (unsigned i = 0; i < plan->flow_count; i++)
			sends[i] = flows[i].first < flows[i].count;
		model_share(&m, sends);
		until = now + next_leave(&m, flows, sends);
		if (sent < PARCELS)
			until = fminl(until, plan->parcels[sent].at_ns);
		if (now < plan->cut_ns)
			until = fminl(until, plan->cut_ns);
		else if (now < plan->open_ns)
			until = fminl(until, plan->open_ns);
		for (unsigned i = 0; i < plan->flow_count; i++) {
			struct progress *flow = &flows[i];

			if (!sends[i])
				continue;
			flow->missing -= m.rate[i] * (until - now) / 1e9L;
			if (flow->missing > 1e-7L)
				continue;
			left_ns[flow->queue[flow->first++]] = until;
			gone++;
			if (flow->first < flow->count)
				flow->missing = plan->parcels[flow->queue[flow->first]].bytes;
		}
		now = until;
		while (sent < PARCELS && plan->parcels[sent].at_ns <= now) {
			struct progress *flow = &flows[plan->parcels[sent].flow];

			if (flow->first == flow->count)
				flow->missing = plan->parcels[sent].bytes;
			flow->queue[flow->count++] = sent++;
		}
	}
}

static void check_rates(struct bench *b, const struct plan *plan, struct sim_flow *const *flows)
{
	struct model m = {.plan = plan};
	bool sends[FLOWS_MAX];

	for (unsigned k = 0; k < plan->link_count; k++)
		m.rates[k] = plan->rates[k];
	if (b->clock.now_ns >= plan->cut_ns && b->clock.now_ns < plan->open_ns)
		m.rates[0] = 0;
	for (unsigned i = 0; i < plan->flow_count; i++)
		sends[i] = sim_flow_queued_bytes(flows[i]) > 0;
	model_share(&m, sends);
	for (unsigned i = 0; i < plan->flow_count; i++)
		assert_true(fabsl(m.rate[i] - sim_flow_rate(flows[i])) < 2);
}

struct change {
	struct sim_happening happening;
	struct sim_network *network;
	uint64_t bytes_per_s; /* of link 0 */
};

static void change_rate(struct sim_happening *happening)
{
	struct change *change = (struct change *)happening;

	sim_network_set_rate(change->network, 0, change->bytes_per_s);
}

static void real_run(struct bench *b, const struct plan *plan, struct letter *letters,
                     uint64_t *carried)
{
	struct change cut = {{.happens = change_rate}, b->network, 0};
	struct change reopen = {{.happens = change_rate}, b->network, plan->rates[0]};
	struct sim_flow *flows[FLOWS_MAX];
	unsigned sent = 0;

	sim_clock_at(&b->clock, &cut.happening, plan->cut_ns);
	sim_clock_at(&b->clock, &reopen.happening, plan->open_ns);
	for (unsigned i = 0; i < plan->flow_count; i++)
		flows[i] =
		        sim_flow_open(b->network, plan->flows[i].links, plan->flows[i].link_count,
		                      &plan->flows[i].class, NULL, NULL);
	while (sent < PARCELS) {
		run_till(b, plan->parcels[sent].at_ns);
		do {
			post(b, flows[plan->parcels[sent].flow], &letters[sent],
			     plan->parcels[sent].bytes);
			sent++;
		} while (sent < PARCELS && plan->parcels[sent].at_ns == b->clock.now_ns);
		while (sim_clock_next(&b->clock) == b->clock.now_ns)
			sim_clock_step(&b->clock);
		check_rates(b, plan, flows);
	}
	run(b);
	for (unsigned k = 0; k < plan->link_count; k++)
		carried[k] = sim_network_carried(b->network, k);
	for (unsigned i = 0; i < plan->flow_count; i++) {
		assert_int_equal(sim_flow_queued_bytes(flows[i]), 0);
		sim_flow_close(flows[i], NULL);
	}
}

static void check_run(const struct plan *plan, const struct letter *letters,
                      const uint64_t *carried)
{
	static long double left_ns[PARCELS];
	uint64_t bytes[LINKS_MAX] = {0};

	model_run(plan, left_ns);
	for (unsigned i = 0; i < PARCELS; i++) {
		const struct plan_parcel *parcel = &plan->parcels[i];
		const struct plan_flow *flow = &plan->flows[parcel->flow];

		assert_int_equal(letters[i].came, 1);
		/* The network's instants are whole; each may be a nanosecond late. */
		if (fabsl(left_ns[i] - letters[i].came_ns) > 4 * PARCELS)
			fail_msg("parcel %u left at %llu ns, not %.1Lf", i,
			         (unsigned long long)letters[i].came_ns, left_ns[i]);
		for (size_t k = 0; k < flow->link_count; k++)
			bytes[flow->links[k]] += parcel->bytes;
	}
	assert_memory_equal(carried, bytes, sizeof(bytes));
}

static void test_random(void **state)
{
	static struct letter letters[2][PARCELS];
	static struct plan plan;
	struct sim_chance chance = sim_chance_of(1, 2);

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		uint64_t carried[2][LINKS_MAX] = {{0}};
		struct bench b;

		bench_init(&b);
		draw_plan(&plan, &chance);
		for (unsigned i = 0; i < plan.link_count; i++)
			add_link(&b, plan.rates[i], 0);
		real_run(&b, &plan, letters[0], carried[0]);
		check_run(&plan, letters[0], carried[0]);
		/* Once more in the same network: the same, to the nanosecond. */
		sim_network_reset(b.network);
		sim_clock_reset(&b.clock);
		real_run(&b, &plan, letters[1], carried[1]);
		for (unsigned i = 0; i < PARCELS; i++)
			assert_int_equal(letters[0][i].came_ns, letters[1][i].came_ns);
		assert_memory_equal(carried[0], carried[1], sizeof(carried[0]));
		bench_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_alone),
	        cmocka_unit_test(test_no_drift),
	        cmocka_unit_test(test_max_min),
	        cmocka_unit_test(test_classes),
	        cmocka_unit_test(test_wants),
	        cmocka_unit_test(test_cut),
	        cmocka_unit_test(test_left_may_close),
	        cmocka_unit_test(test_close_in_the_instant_of_leaving),
	        cmocka_unit_test(test_fleet),
	        cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
