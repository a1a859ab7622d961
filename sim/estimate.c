/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The first sample of each candidate is played before any second one; what
 * does not complete there, which takes longest, is not played again. candidates x samples are so
 * many simulated moves that have nothing to do with each other; threads take them one by one, and
 * where a figure goes depends on the move's number alone. So the estimate is the same for any
 * number of threads.
 */
#include "sim/estimate.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/run.h"
#include "sim/trace/extend.h"

#define CANDIDATES_MAX 32
#define LOOK_NS        50000000
#define PASSES_MAX     6 /* over memory */
#define ROUNDS_MAX     100

/* --- the candidates ------------------------------------------------------------------------- */

/* Beside each policy as it is: settings worth a row of their own where the policy knows them. */
static const struct sim_setting variants[] = {
        {"order", "bubble"},
        {"alpha", "0.7"},
};

/* Of one policy; the limits are the asked move's. */
static struct sim_move plain(const struct gw_policy_kind *kind, const struct sim_move *asked)
{
	struct sim_move move = *asked;

	(void)snprintf(move.policy, sizeof(move.policy), "%s", kind->name);
	move.order[0] = '\0';
	move.setting_count = 0;
	return move;
}

static bool vary(struct sim_move *move, const struct gw_policy_kind *kind,
                 const struct sim_setting *setting)
{
	struct gw_policy policy;
	struct gw_order order;

	if (!strcmp(setting->key, "order")) {
		if (!kind->pulls || !strcmp(setting->value, sim_move_order(move)))
			return false;
		(void)snprintf(move->order, sizeof(move->order), "%s", setting->value);
	} else {
		move->settings[move->setting_count++] = *setting;
	}
	return !sim_move_init(move, &policy, &order, NULL);
}

/* Another order is worth a row where the policy has none of its own. */
static bool fits(const struct gw_policy_kind *kind, const struct sim_setting *setting)
{
	return strcmp(setting->key, "order") != 0 || !kind->order;
}

static size_t list_named(struct sim_move *moves, const struct sim_move *asked,
                         const char *const *names)
{
	struct gw_policy policy;
	size_t count = 0;

	for (; *names && count < CANDIDATES_MAX; names++)
		if (!gw_policy_init(&policy, *names) && !policy.kind->chooses)
			moves[count++] = plain(policy.kind, asked);
	return count;
}

static size_t list_candidates(struct sim_move *moves, const struct sim_move *asked)
{
	size_t count = 0;

	for (size_t i = 0; gw_policies[i] && count < CANDIDATES_MAX; i++) {
		const struct gw_policy_kind *kind = gw_policies[i];

		if (kind->chooses)
			continue;
		moves[count++] = plain(kind, asked);
		for (size_t k = 0; k < sizeof(variants) / sizeof(variants[0]); k++) {
			struct sim_move move = plain(kind, asked);

			if (count < CANDIDATES_MAX && fits(kind, &variants[k]) &&
			    vary(&move, kind, &variants[k]))
				moves[count++] = move;
		}
	}
	return count;
}

/* --- the samples ---------------------------------------------------------------------------- */

struct sample {
	struct sim_extended future; /* owned: what was observed, and what may follow */
	struct sim_costs costs;
	uint64_t link_permyriad; /* of the rate that was told */
	unsigned turns;          /* of others, before each of an agent's own */
	uint64_t seed;
};

/* Within +-doubt of 10,000. */
static uint64_t about(struct sim_chance *chance, uint64_t doubt)
{
	return 10000 - doubt + sim_chance_below(chance, 2 * doubt + 1);
}

/*
 * Where processors are short work takes longer in two ways: a share of it meets others who want the
 * same processor, and who has slept waits for some of their turns before its own.
 */
#define TURN_NS       1000000u
#define TURNS_MAX     64u
#define COPIES_A_TURN 8u /* a turn is lost in so many times as long as it takes to copy */
#define FAULTS_A_TURN 8u /* and in so many faults: who serves them is mostly awake */

static uint32_t slowness_of(const struct sim_estimate_options *options, struct sim_chance *chance)
{
	if (!options->slowness_count)
		return 1000;
	return options->slowness[sim_chance_below(chance, options->slowness_count)];
}

static double mean_slowness(const struct sim_estimate_options *options)
{
	double sum = 0;

	for (size_t i = 0; i < options->slowness_count; i++)
		sum += options->slowness[i];
	return options->slowness_count ? sum / 1000 / (double)options->slowness_count : 1;
}

/* In the mean half as many as work takes longer. */
static unsigned turns_of_others(uint32_t slowness, struct sim_chance *chance)
{
	unsigned turns = 0;

	while (turns < TURNS_MAX && sim_chance_below(chance, slowness + 1000u) >= 2000)
		turns++;
	return turns;
}

static uint64_t scaled(uint64_t value, uint32_t slowness, struct sim_chance *chance)
{
	uint64_t permyriad = about(chance, SIM_DOUBT_COSTS_PERCENT * 100u);
	uint64_t permille = 1000 + sim_chance_below(chance, slowness - 1000 + 1u);

	return (uint64_t)((unsigned __int128)value * permyriad * permille / 10000000);
}

/* What the agents' hosts take for what happens while the VM stands, or waits. */
static void doubt_costs(struct sim_costs *costs, uint32_t slowness, unsigned turns,
                        struct sim_chance *chance)
{
	uint64_t *const work[] = {&costs->scan_ns_per_gib, &costs->scan_ns_per_dirty_page,
	                          &costs->fault_ns,        &costs->stop_ns,
	                          &costs->cont_ns,         &costs->save_ns,
	                          &costs->load_ns,         &costs->reserve_ns};
	uint64_t *const commands[] = {&costs->stop_ns, &costs->cont_ns, &costs->save_ns,
	                              &costs->load_ns};

	for (size_t i = 0; i < sizeof(work) / sizeof(work[0]); i++)
		*work[i] = scaled(*work[i], slowness, chance);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		*commands[i] += turns * TURN_NS;
	costs->fault_ns += turns * TURN_NS / FAULTS_A_TURN;
}

static uint64_t length_of(const struct sim_trace *trace)
{
	const struct gw_window *last = sim_trace_window(trace, sim_trace_windows(trace) - 1);

	return last->start_ns + last->length_ns;
}

/* The bound on what was not seen is a lower one: the first sample takes it as it is. */
static uint32_t unseen_permille(unsigned sample, struct sim_chance *chance)
{
	uint64_t more = sim_chance_below(chance, 1000 * (SIM_DOUBT_UNSEEN - 1) + 1);

	return 1000 + (sample ? (uint32_t)more : 0);
}

/* What was observed has happened; it goes on at so many points of it, the first where it began. */
static int draw_samples(struct sample *samples, unsigned count, const struct sim_scenario *scenario,
                        const struct sim_trace *trace, uint64_t length_ns,
                        const struct sim_estimate_options *options)
{
	size_t windows = sim_trace_windows(trace);
	int err = 0;

	for (unsigned i = 0; i < count && !err; i++) {
		struct sim_chance chance = sim_chance_of(options->seed, i);
		uint32_t slowness = slowness_of(options, &chance);

		samples[i].link_permyriad = about(&chance, SIM_DOUBT_LINK_PERMILLE * 10u);
		samples[i].costs = scenario->costs;
		samples[i].turns = turns_of_others(slowness, &chance);
		doubt_costs(&samples[i].costs, slowness, samples[i].turns, &chance);
		samples[i].seed = sim_chance_next(&chance);
		err = sim_trace_extend(&samples[i].future, trace, windows * i / count, length_ns,
		                       unseen_permille(i, &chance), samples[i].seed);
	}
	return err;
}

/* --- playing -------------------------------------------------------------------------------- */

struct outcome {
	bool completed;
	char reason[GW_REASON_BYTES];
	uint64_t figures[GW_FIGURES];
	struct gw_course course;
};

struct crew {
	const struct sim_scenario *scenario;
	const struct sim_vm *vm;
	struct gw_observation observation;
	uint64_t observed_ns;
	const struct sim_move *moves;
	const struct sample *samples;
	unsigned sample_count;
	size_t move_count;
	struct outcome *outcomes; /* of sample s, move m: s * move_count + m */
	size_t all, count;        /* outcomes; and those that are being played now */
	uint64_t limit_ns;
	double slowness; /* as it was in the mean */
	pthread_mutex_t lock;
	pthread_cond_t news;
	size_t next, done;
	unsigned working;
	int err;
	bool stop;
};

/* What has not converged by then will not. */
static uint64_t endless_ns(const struct sim_scenario *scenario, const struct sim_vm *vm)
{
	uint64_t rate = UINT64_MAX;
	double pass_s;

	for (unsigned i = 0; i < vm->path_count; i++)
		if (scenario->links[vm->path[i]].bytes_per_s < rate)
			rate = scenario->links[vm->path[i]].bytes_per_s;
	if (vm->move.limit_bytes_per_s && vm->move.limit_bytes_per_s < rate)
		rate = vm->move.limit_bytes_per_s;
	pass_s = (double)vm->ram_pages * vm->populated_share * GW_PAGE_BYTES /
	         (double)(rate + !rate);
	return (uint64_t)((PASSES_MAX * pass_s + 10) * 1e9);
}

static void take_course(struct gw_course *course, const struct sim_vm_outcome *vm)
{
	uint64_t left_ns = vm->end_ns - vm->rounds_end_ns;

	for (size_t i = vm->round_count; i--;) {
		const struct gw_round *round = &vm->rounds[i];

		if (i < GW_COURSE_ROUNDS)
			course->at[i] = (struct gw_course_round){left_ns, round->dirty_pages,
			                                         round->bandwidth_bytes_per_s};
		left_ns += round->duration_ns;
	}
	course->rounds =
	        vm->round_count < GW_COURSE_ROUNDS ? (unsigned)vm->round_count : GW_COURSE_ROUNDS;
}

/* In a few words, whatever its last round was about. */
static void say_endless(char *text, size_t bytes, const struct sim_vm_outcome *vm)
{
	const struct gw_round *last = &vm->rounds[vm->round_count - 1];
	double dirty = (double)last->dirty_pages * GW_PAGE_BYTES / 1e6;

	(void)snprintf(
	        text, bytes,
	        "does not converge: %.1f MB dirty after %zu rounds; the VM dirties %.0f MB/s, "
	        "the link carries %.0f MB/s",
	        dirty, vm->round_count, dirty * 1e9 / (double)(last->duration_ns + 1),
	        (double)last->bandwidth_bytes_per_s / 1e6);
}

static void take(struct outcome *out, const struct sim_vm_outcome *vm)
{
	const struct gw_metrics *m = &vm->metrics;

	out->completed = vm->outcome == GW_COMPLETED;
	(void)snprintf(out->reason, sizeof(out->reason), "%.*s", GW_REASON_BYTES - 1, vm->reason);
	if (vm->outcome == GW_UNFINISHED && vm->round_count)
		say_endless(out->reason, sizeof(out->reason), vm);
	out->figures[GW_FIGURE_TOTAL_TIME] = m->total_time_ns;
	out->figures[GW_FIGURE_DOWNTIME] = m->downtime_ns;
	out->figures[GW_FIGURE_UNAVAILABLE] = m->downtime_ns + m->stall_ns;
	out->figures[GW_FIGURE_FAULTS] = m->faults;
	out->figures[GW_FIGURE_BYTES] = m->bytes_on_link;
	take_course(&out->course, vm);
}

/* A byte takes the link's time for it, and what its copying waits beyond that. */
static uint64_t rate_in(const struct sample *sample, uint64_t bytes_per_s)
{
	double rate = (double)bytes_per_s * (double)sample->link_permyriad / 10000;
	double waits =
	        (double)sample->turns / COPIES_A_TURN / (double)sample->costs.copy_bytes_per_s;

	return (uint64_t)(rate / (1 + rate * waits));
}

static int play(const struct crew *crew, size_t number, struct gw_error *error)
{
	const struct sample *sample = &crew->samples[number / crew->move_count];
	size_t move = number % crew->move_count;
	struct sim_scenario scenario = *crew->scenario;
	struct sim_vm vm = *crew->vm;
	const struct sim_run_options options = {.limit_ns = crew->limit_ns,
	                                        .limit_rounds = ROUNDS_MAX};
	struct sim_outcome outcome;
	int err;

	if (number >= crew->move_count && !crew->outcomes[move].completed)
		return 0;
	scenario.links = calloc(scenario.link_count, sizeof(*scenario.links));
	if (!scenario.links)
		return gw_fail(error, ENOMEM, "no memory for the links");
	for (size_t i = 0; i < scenario.link_count; i++) {
		scenario.links[i] = crew->scenario->links[i];
		scenario.links[i].bytes_per_s = rate_in(sample, scenario.links[i].bytes_per_s);
	}
	vm.workload.trace = sample->future.trace;
	vm.workload.from_ns = crew->observed_ns;
	vm.observation = crew->observation;
	vm.start_ns = 0;
	vm.move = crew->moves[move];
	scenario.vms = &vm;
	scenario.vm_count = 1;
	scenario.versions = false;
	scenario.costs = sample->costs;
	scenario.seed = sample->seed;
	err = sim_run(&scenario, &options, &outcome, error);
	if (!err)
		take(&crew->outcomes[number], &outcome.vms[0]);
	sim_outcome_clear(&outcome);
	free(scenario.links);
	return err;
}

static void *work(void *arg)
{
	struct crew *crew = arg;
	struct gw_error ignored;

	(void)pthread_mutex_lock(&crew->lock);
	while (crew->next < crew->count && !crew->stop) {
		size_t number = crew->next++;
		int err;

		(void)pthread_mutex_unlock(&crew->lock);
		err = play(crew, number, &ignored);
		(void)pthread_mutex_lock(&crew->lock);
		crew->done++;
		crew->stop |= err != 0;
		crew->err = err ? err : crew->err;
		(void)pthread_cond_signal(&crew->news);
	}
	crew->working--;
	(void)pthread_cond_signal(&crew->news);
	(void)pthread_mutex_unlock(&crew->lock);
	return NULL;
}

static void wait_for_news(struct crew *crew)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += LOOK_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_cond_timedwait(&crew->news, &crew->lock, &until);
}

static bool tells(const struct crew *crew, const struct sim_estimate_options *options)
{
	return !options->progress || options->progress(options->arg, crew->done, crew->all);
}

static void play_here(struct crew *crew, const struct sim_estimate_options *options)
{
	struct gw_error ignored;

	for (; crew->done < crew->count && !crew->err; crew->done++)
		crew->err = tells(crew, options) ? play(crew, crew->done, &ignored) : -EINTR;
}

/* From crew->next to crew->count. */
static int play_some(struct crew *crew, const struct sim_estimate_options *options)
{
	pthread_t *threads = calloc(options->jobs + 1, sizeof(*threads));
	unsigned started = 0;

	(void)pthread_mutex_init(&crew->lock, NULL);
	(void)pthread_cond_init(&crew->news, NULL);
	(void)pthread_mutex_lock(&crew->lock);
	while (threads && started < options->jobs &&
	       !pthread_create(&threads[started], NULL, work, crew))
		started++;
	crew->working = started;
	while (crew->working) {
		if (!crew->stop && !tells(crew, options)) {
			crew->stop = true;
			crew->err = -EINTR;
		}
		wait_for_news(crew);
	}
	(void)pthread_mutex_unlock(&crew->lock);
	for (unsigned i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	if (!started)
		play_here(crew, options);
	free(threads);
	(void)pthread_cond_destroy(&crew->news);
	(void)pthread_mutex_destroy(&crew->lock);
	return crew->err;
}

static int play_all(struct crew *crew, const struct sim_estimate_options *options)
{
	int err;

	crew->count = crew->move_count;
	err = play_some(crew, options);
	crew->count = crew->all;
	crew->next = crew->move_count;
	return err ? err : play_some(crew, options);
}

/* --- the forecasts -------------------------------------------------------------------------- */

static void name_settings(struct gw_forecast *f, const struct sim_move *move)
{
	size_t used = 0;

	for (unsigned i = 0; i < move->setting_count && used < sizeof(f->settings); i++)
		used += (size_t)snprintf(f->settings + used, sizeof(f->settings) - used, "%s%s=%s",
		                         used ? " " : "", move->settings[i].key,
		                         move->settings[i].value);
	if (move->order[0] && used < sizeof(f->settings))
		(void)snprintf(f->settings + used, sizeof(f->settings) - used, "%sorder=%s",
		               used ? " " : "", move->order);
}

static size_t values_of(const struct crew *crew, size_t move, enum gw_figure figure,
                        uint64_t values[SIM_ESTIMATE_SAMPLES_MAX])
{
	size_t count = 0;

	for (unsigned i = 0; i < crew->sample_count; i++) {
		const struct outcome *outcome = &crew->outcomes[i * crew->move_count + move];

		if (outcome->completed)
			values[count++] = outcome->figures[figure];
	}
	return count;
}

/* `f` has its downtime. */
static struct gw_interval unavailable_of(const struct crew *crew, size_t move,
                                         const struct gw_forecast *f)
{
	uint64_t downtimes[SIM_ESTIMATE_SAMPLES_MAX], stalls[SIM_ESTIMATE_SAMPLES_MAX];
	size_t count = values_of(crew, move, GW_FIGURE_UNAVAILABLE, stalls);

	if (!f->pulls)
		return f->figures[GW_FIGURE_DOWNTIME];
	(void)values_of(crew, move, GW_FIGURE_DOWNTIME, downtimes);
	for (size_t i = 0; i < count; i++)
		stalls[i] -= downtimes[i];
	return gw_unavailable_of(&f->figures[GW_FIGURE_DOWNTIME], crew->slowness, stalls, count);
}

static struct gw_interval interval_of(const struct crew *crew, size_t move,
                                      const struct gw_forecast *f, enum gw_figure figure)
{
	uint64_t values[SIM_ESTIMATE_SAMPLES_MAX];

	if (figure == GW_FIGURE_UNAVAILABLE)
		return unavailable_of(crew, move, f);
	return gw_interval_of(figure, crew->slowness, values,
	                      values_of(crew, move, figure, values));
}

/* Of the sample whose total time is the middle one. */
static const struct gw_course *course_of(const struct crew *crew, size_t move,
                                         const struct gw_forecast *f)
{
	size_t at = move;

	while (crew->outcomes[at].figures[GW_FIGURE_TOTAL_TIME] !=
	               f->figures[GW_FIGURE_TOTAL_TIME].middle ||
	       !crew->outcomes[at].completed)
		at += crew->move_count;
	return &crew->outcomes[at].course;
}

#define COPY_HEAP (UINT64_C(256) << 20) /* of its hypervisor */

uint64_t sim_copy_bytes(const struct sim_vm *vm)
{
	return vm->ram_pages * GW_PAGE_BYTES / 2 + COPY_HEAP;
}

static void forecast(struct gw_forecast *f, const struct crew *crew, size_t number)
{
	const struct sim_move *move = &crew->moves[number];
	struct gw_policy policy;
	struct gw_order order;

	(void)sim_move_init(move, &policy, &order, NULL);
	*f = (struct gw_forecast){.pulls = policy.kind->pulls};
	if (f->pulls && gw_order_wants_shadow(&order))
		f->copy_bytes = sim_copy_bytes(crew->vm);
	(void)snprintf(f->policy, sizeof(f->policy), "%s", move->policy);
	name_settings(f, move);
	for (unsigned i = 0; i < crew->sample_count && (!i || f->completed); i++) {
		const struct outcome *outcome = &crew->outcomes[i * crew->move_count + number];

		f->samples++;
		f->completed += outcome->completed;
		if (!outcome->completed && !f->obstacle[0])
			(void)snprintf(f->obstacle, sizeof(f->obstacle), "%s", outcome->reason);
	}
	for (unsigned i = 0; i < GW_FIGURES && f->completed; i++)
		f->figures[i] = interval_of(crew, number, f, (enum gw_figure)i);
	if (f->completed)
		f->course = *course_of(crew, number, f);
}

static double write_rate(const struct sim_trace *trace)
{
	double pages = 0, ns = 0;

	for (size_t i = 0; i < sim_trace_windows(trace); i++) {
		const struct gw_window *window = sim_trace_window(trace, i);

		ns += (double)window->length_ns;
		for (size_t k = 0; k < window->written_count; k++)
			pages += (double)window->written[k].count;
	}
	return ns > 0 ? pages * GW_PAGE_BYTES * 1e9 / ns : 0;
}

static struct gw_observation observation_of(const struct sim_trace *trace)
{
	const struct sim_trace_head *head = sim_trace_head(trace);

	return (struct gw_observation){.windows = sim_trace_window(trace, 0),
	                               .count = sim_trace_windows(trace),
	                               .cpu_known = head->cpu_known,
	                               .network_known = head->network_known};
}

/* The moves are listed; there is room for the rest. */
static int estimate_listed(struct sim_estimate *e, struct crew *crew,
                           const struct sim_estimate_options *options)
{
	const struct sim_trace *trace = crew->vm->workload.trace;
	struct sample samples[SIM_ESTIMATE_SAMPLES_MAX] = {0};
	int err;

	crew->moves = e->moves;
	crew->samples = samples;
	crew->observation = observation_of(trace);
	crew->move_count = e->count;
	crew->all = e->count * crew->sample_count;
	crew->limit_ns = endless_ns(crew->scenario, crew->vm);
	crew->observed_ns = length_of(trace);
	crew->slowness = mean_slowness(options);
	err = draw_samples(samples, crew->sample_count, crew->scenario, trace,
	                   2 * crew->observed_ns + crew->limit_ns / 2, options);
	if (!err)
		err = play_all(crew, options);
	for (unsigned i = 0; i < crew->sample_count; i++)
		sim_extended_clear(&samples[i].future);
	for (size_t i = 0; i < e->count && !err; i++)
		forecast(&e->forecasts[i], crew, i);
	e->written_bytes_per_s = write_rate(trace);
	return err;
}

static int estimate(struct sim_estimate *e, const struct sim_scenario *scenario, size_t vm,
                    bool every_policy, const struct sim_estimate_options *options,
                    struct gw_error *error)
{
	struct crew crew = {.scenario = scenario, .vm = &scenario->vms[vm]};
	int err = -ENOMEM;

	*e = (struct sim_estimate){.moves = calloc(CANDIDATES_MAX, sizeof(*e->moves)),
	                           .forecasts = calloc(CANDIDATES_MAX, sizeof(*e->forecasts))};
	crew.sample_count = options->samples ? options->samples : SIM_ESTIMATE_SAMPLES;
	crew.outcomes = calloc((size_t)CANDIDATES_MAX * crew.sample_count, sizeof(*crew.outcomes));
	if (e->moves && e->forecasts && crew.outcomes) {
		e->moves[0] = crew.vm->move;
		e->count = 1;
		if (every_policy)
			e->count = options->policies
			                   ? list_named(e->moves, &crew.vm->move, options->policies)
			                   : list_candidates(e->moves, &crew.vm->move);
		err = estimate_listed(e, &crew, options);
	}
	free(crew.outcomes);
	if (!err)
		return 0;
	sim_estimate_clear(e);
	return err == -EINTR ? gw_fail(error, EINTR, "stopped by the user")
	                     : gw_fail(error, -err, "cannot estimate: %s", strerror(-err));
}

int sim_estimate(struct sim_estimate *e, const struct sim_scenario *scenario, size_t vm,
                 const struct sim_estimate_options *options, struct gw_error *error)
{
	return estimate(e, scenario, vm, true, options, error);
}

void sim_estimate_clear(struct sim_estimate *estimate)
{
	free(estimate->moves);
	free(estimate->forecasts);
	*estimate = (struct sim_estimate){0};
}

/* --- the plan ------------------------------------------------------------------------------- */

bool sim_move_chooses(const struct sim_move *move)
{
	struct gw_policy policy;

	return !gw_policy_init(&policy, move->policy) && policy.kind->chooses;
}

/* No more than the shadow may take. */
static uint64_t spare_bytes(const struct sim_vm *vm)
{
	if (vm->shadow.fails)
		return 0;
	return vm->shadow.memory_pages ? vm->shadow.memory_pages * GW_PAGE_BYTES : UINT64_MAX;
}

int sim_plan_make(struct sim_plan *plan, const struct sim_scenario *scenario, size_t vm,
                  const struct sim_estimate_options *options, struct gw_error *error)
{
	const struct sim_move *asked = &scenario->vms[vm].move;
	const struct gw_limits limits = {asked->downtime_limit_ns, asked->deadline_ns,
	                                 spare_bytes(&scenario->vms[vm])};
	bool chooses = sim_move_chooses(asked);
	struct gw_choice choice;
	int err;

	*plan = (struct sim_plan){.taken = 0};
	err = estimate(&plan->estimate, scenario, vm, chooses, options, error);
	if (err || !chooses)
		return err;
	gw_choose(&choice, plan->estimate.forecasts, plan->estimate.count, &limits);
	plan->taken = choice.taken;
	memcpy(plan->reason, choice.reason, sizeof(plan->reason));
	return 0;
}

void sim_plan_clear(struct sim_plan *plan)
{
	sim_estimate_clear(&plan->estimate);
}
