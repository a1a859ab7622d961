/* SPDX-License-Identifier: MIT */
/* sim/torture.c - plans the runs, shares them out to threads, adds up what they met. */
#include "sim/torture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/chance.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS           1000000ull
#define SECOND       1000000000ull
#define BLOCK        64 /* runs that a thread takes at once */
#define WINDOW_NS    (50 * MS)
#define WINDOWS_MAX  3 /* in which a VM is observed, where its policy wants that */

/* --- what is moved ------------------------------------------------------------------------- */

static const struct {
	const char *policy, *key, *value;
} policies[] = {
        {"stop-copy", NULL, NULL},  {"precopy", "stop", "qemu"}, {"precopy", "stop", "clark"},
        {"precopy", "stop", "xen"}, {"postcopy", NULL, NULL},    {"hybrid", NULL, NULL},
        {"hybrid", "rounds", "2"},
};

static const char *const orders[] = {"linear", "bubble", "demand"};

/* Those that leave pages out of rounds, or rank them. */
static const struct chooser {
	const char *policy, *order, *settings[2][2];
} choosers[] = {
        {"deferred", "linear", {{"predictor", "markov"}, {"max_rounds", "12"}}},
        {"deferred", "linear", {{"predictor", "gilbert-elliott"}, {"max_rounds", "9"}}},
        {"deferred", "linear", {{"threshold", "auto"}, {"max_rounds", "12"}}},
        {"sdf-hybrid", "forecast", {{"alpha", "0"}, {"dirty_threshold", "0"}}},
        {"sdf-hybrid", "forecast", {{"alpha", "0.2"}}},
        {"sdf-hybrid", "linear", {{"alpha", "0.7"}}},
        {"sdf-hybrid", "demand", {{"alpha", "0"}}},
        {"sdf-hybrid", "forecast", {{"alpha", "auto"}}},
        {"split", "forecast", {{"background_share", "0.3"}}},
        {"split", "linear", {{"stop_limit", "4096"}}},
        {"wws-hybrid", "forecast", {{NULL}}},
        {"wws-hybrid", "demand", {{"stop_share", "0"}, {"worth", "1000"}}},
        {"postcopy", "forecast", {{NULL}}},
        {"run-ahead", "queue", {{"window", "2"}}},
        {"run-ahead", "queue", {{"ahead", "1us"}}},
        {"hybrid", "queue", {{"ahead", "1us"}, {"window", "1"}}},
        {"sdf-hybrid", "queue", {{"alpha", "0"}}},
        {"split", "queue", {{"background_share", "0.3"}, {"window", "2"}}},
        {"wws-hybrid", "queue", {{"stop_share", "0"}, {"ahead", "1us"}}},
};

static void choose_chooser(struct sim_world_config *config, size_t number)
{
	config->policy = choosers[number].policy;
	config->order = choosers[number].order;
	config->downtime_ns = 25 * MS; /* wws-hybrid keeps nothing below 20 */
	memcpy(config->settings, choosers[number].settings, sizeof(choosers[number].settings));
}

static bool observes(const struct sim_world_config *config)
{
	struct gw_policy policy;

	return !gw_policy_init(&policy, config->policy) && gw_policy_observes_ns(&policy);
}

static void choose(struct sim_world_config *config, size_t policy, size_t order)
{
	config->policy = policies[policy].policy;
	config->order = orders[order];
	config->settings[0][0] = policies[policy].key;
	config->settings[0][1] = policies[policy].value;
	if (!strcmp(config->policy, "precopy")) {
		config->settings[1][0] = "max_rounds";
		config->settings[1][1] = "6";
	}
}

/* --- at random ----------------------------------------------------------------------------- */

/* Small numbers as likely as large ones. */
static uint64_t any_size(struct sim_chance *chance, unsigned bits)
{
	return sim_chance_below(chance, (uint64_t)1 << (1 + sim_chance_below(chance, bits)));
}

/* Half of them where ownership passes, or a state is entered; the others anywhere. */
static void place_at_random(struct sim_planned *planned, struct sim_chance *chance)
{
	planned->line = 1 + any_size(chance, 7);
	switch (sim_chance_below(chance, 6)) {
	case 0:
		planned->moment =
		        SIM_MOMENT_RECORDS + 1 + (unsigned)sim_chance_below(chance, GW_RECORDS - 1);
		break;
	case 1:
		planned->moment = SIM_MOMENT_SAYS + GW_MSG_OFFER +
		                  (unsigned)sim_chance_below(chance, GW_MSG_KINDS - GW_MSG_OFFER);
		break;
	case 2:
		planned->moment =
		        SIM_MOMENT_ENTERS + 1 + (unsigned)sim_chance_below(chance, GW_STATES - 1);
		break;
	default: break;
	}
}

static void plan_at_random(struct sim_planned *planned, struct sim_chance *chance)
{
	planned->fault = (enum sim_fault)(1 + sim_chance_below(chance, SIM_FAULT_KILL_SHADOW - 1));
	place_at_random(planned, chance);
	planned->for_ns = MS + any_size(chance, planned->fault == SIM_FAULT_SLOW ? 31 : 36);
	planned->side = (int)sim_chance_below(chance, SIM_SIDES);
	planned->silent = !sim_chance_below(chance, 4);
}

/* One draw a statement: the order of others is the compiler's. */
static void invent_guest(struct sim_world_config *config, struct sim_chance *chance)
{
	config->pages = sim_chance_below(chance, 8) ? 62 : 300;
	config->pages = 2 + sim_chance_below(chance, config->pages);
	config->vcpus = 1 + (uint32_t)sim_chance_below(chance, 4);
	config->write_ns = 200000 + any_size(chance, 22);
	config->touch_ns = 50000 + any_size(chance, 20);
	config->touches = 1 + any_size(chance, 8);
	config->wakes = any_size(chance, 6);
	config->paused = !sim_chance_below(chance, 12);
	config->hot = (uint32_t)sim_chance_below(
	        chance, 1 + (config->pages < SIM_HOT_MAX ? config->pages : SIM_HOT_MAX));
}

static void invent_hosts(struct sim_world_config *config, struct sim_chance *chance)
{
	config->latency_ns = 10000 + any_size(chance, 24);
	config->bytes_per_s = 20000000 + any_size(chance, 28);
	config->jitter = (unsigned)sim_chance_below(chance, 6);
	config->no_faults = !sim_chance_below(chance, 40);
	config->drains = !sim_chance_below(chance, 3);
}

static void invent_move(struct sim_world_config *config, struct sim_chance *chance)
{
	size_t policy = sim_chance_below(chance, COUNT(policies));
	size_t order = sim_chance_below(chance, COUNT(orders));

	choose(config, policy, order);
	config->deadline_ns = sim_chance_below(chance, 4) ? 0 : 50 * MS;
	config->verify = sim_chance_below(chance, 2);
}

/* What befalls a shadow, beside or in place of the rest. */
static void invent_shadow(struct sim_world_config *config, struct sim_chance *chance)
{
	static const enum sim_fault faults[] = {SIM_FAULT_KILL_SHADOW, SIM_FAULT_FAIL_SHADOW,
	                                        SIM_FAULT_HANG_SHADOW};
	struct sim_planned *planned = &config->planned[sim_chance_below(chance, SIM_PLANNED_MAX)];

	config->divergence = (double)sim_chance_below(chance, 5) / 4;
	if (sim_chance_below(chance, 2))
		return;
	*planned = (struct sim_planned){.fault = faults[sim_chance_below(chance, COUNT(faults))]};
	place_at_random(planned, chance);
}

static void invent(struct sim_world_config *config, uint64_t seed)
{
	struct sim_chance chance = sim_chance_of(seed, 1), others = sim_chance_of(seed, 4);
	struct sim_chance shadows = sim_chance_of(seed, 5);
	size_t faults = 0, i;

	*config = (struct sim_world_config){.seed = seed, .person = true};
	invent_guest(config, &chance);
	invent_hosts(config, &chance);
	invent_move(config, &chance);
	/* By chances of their own: what they do not choose stays the same run. */
	if (!sim_chance_below(&others, 4))
		choose_chooser(config, sim_chance_below(&others, COUNT(choosers)));
	if (observes(config))
		config->observe_ns = sim_chance_below(&others, WINDOWS_MAX + 1) * WINDOW_NS;
	if (sim_chance_below(&chance, 16))
		faults = 1 + sim_chance_below(&chance, SIM_PLANNED_MAX);
	for (i = 0; i < faults; i++)
		plan_at_random(&config->planned[i], &chance);
	if (!strcmp(config->order, "queue"))
		invent_shadow(config, &shadows);
}

/* --- systematically ------------------------------------------------------------------------ */

/* Short: the link or the agent is back before anybody gives up. Long: after that. */
#define SHORT_NS (5 * MS)
#define LONG_NS  (40 * SECOND)

static const struct sim_planned variants[] = {
        {.fault = SIM_FAULT_CUT, .for_ns = SHORT_NS},
        {.fault = SIM_FAULT_CUT, .for_ns = LONG_NS},
        {.fault = SIM_FAULT_CUT, .for_ns = SHORT_NS, .silent = true, .side = SIM_SOURCE},
        {.fault = SIM_FAULT_CUT, .for_ns = SHORT_NS, .silent = true, .side = SIM_DESTINATION},
        {.fault = SIM_FAULT_CRASH_SOURCE, .for_ns = SHORT_NS},
        {.fault = SIM_FAULT_CRASH_SOURCE, .for_ns = LONG_NS},
        {.fault = SIM_FAULT_CRASH_DESTINATION, .for_ns = SHORT_NS},
        {.fault = SIM_FAULT_CRASH_DESTINATION, .for_ns = LONG_NS},
        {.fault = SIM_FAULT_TEAR_SOURCE, .for_ns = SHORT_NS},
        {.fault = SIM_FAULT_TEAR_DESTINATION, .for_ns = SHORT_NS},
        {.fault = SIM_FAULT_RESTART_SOURCE, .for_ns = LONG_NS},
        {.fault = SIM_FAULT_RESTART_DESTINATION, .for_ns = LONG_NS},
        {.fault = SIM_FAULT_KILL_SOURCE_VM},
        {.fault = SIM_FAULT_KILL_DESTINATION_VM},
        {.fault = SIM_FAULT_POWER_OFF},
        {.fault = SIM_FAULT_ABORT},
        {.fault = SIM_FAULT_ABORT_DESTINATION},
        {.fault = SIM_FAULT_RECOVER},
        {.fault = SIM_FAULT_RESOLVE},
        {.fault = SIM_FAULT_REFUSE_RUN},
        {.fault = SIM_FAULT_REFUSE_RESERVATION},
        {.fault = SIM_FAULT_FAIL_SOURCE},
        {.fault = SIM_FAULT_FAIL_DESTINATION},
        {.fault = SIM_FAULT_RESUME_SOURCE},
        {.fault = SIM_FAULT_FORGET_DESTINATION, .for_ns = SHORT_NS},
        {.fault = SIM_FAULT_FULL_SOURCE},
        {.fault = SIM_FAULT_FULL_DESTINATION},
        {.fault = SIM_FAULT_KILL_SHADOW},
        {.fault = SIM_FAULT_FAIL_SHADOW},
        {.fault = SIM_FAULT_HANG_SHADOW},
        {.fault = SIM_FAULT_SLOW, .for_ns = SHORT_NS},
        {.fault = SIM_FAULT_SLOW, .for_ns = SECOND},
        {.fault = SIM_FAULT_DELAY, .for_ns = SHORT_NS, .side = SIM_SOURCE},
        {.fault = SIM_FAULT_DELAY, .for_ns = SHORT_NS, .side = SIM_DESTINATION},
        {.fault = SIM_FAULT_DELAY, .for_ns = LONG_NS, .side = SIM_SOURCE},
        {.fault = SIM_FAULT_DELAY, .for_ns = LONG_NS, .side = SIM_DESTINATION},
        {.fault = SIM_FAULT_REORDER, .for_ns = SHORT_NS, .side = SIM_SOURCE},
        {.fault = SIM_FAULT_REORDER, .for_ns = SHORT_NS, .side = SIM_DESTINATION},
        {.fault = SIM_FAULT_DUPLICATE, .side = SIM_SOURCE},
        {.fault = SIM_FAULT_DUPLICATE, .side = SIM_DESTINATION},
        {.fault = SIM_FAULT_TRUNCATE, .side = SIM_SOURCE},
        {.fault = SIM_FAULT_TRUNCATE, .side = SIM_DESTINATION},
        {.fault = SIM_FAULT_CORRUPT, .side = SIM_SOURCE},
        {.fault = SIM_FAULT_CORRUPT, .side = SIM_DESTINATION},
};

enum { PLAIN, VERIFIED, PAUSED, DRAINED, KINDS };

#define COURSES ((COUNT(policies) * COUNT(orders) + COUNT(choosers)) * KINDS)

static void fault_free(struct sim_world_config *config, size_t course)
{
	size_t kind = course % KINDS;

	*config = (struct sim_world_config){
	        .seed = 1 + course,
	        .pages = 60,
	        .vcpus = 2,
	        .latency_ns = 200000,
	        .bytes_per_s = 50000000,
	        .write_ns = MS,
	        .touch_ns = MS,
	        .touches = 100,
	        .wakes = 6,
	        .verify = kind == VERIFIED,
	        .paused = kind == PAUSED,
	        .drains = kind == DRAINED,
	        .person = true,
	        .frames = true,
	};
	course /= KINDS;
	if (course < COUNT(policies) * COUNT(orders))
		choose(config, course / COUNT(orders), course % COUNT(orders));
	else
		choose_chooser(config, course - COUNT(policies) * COUNT(orders));
	if (observes(config))
		config->observe_ns = WINDOWS_MAX * WINDOW_NS;
}

/* Lines of the courses before each one. */
static uint64_t lines_before[COURSES + 1];
static pthread_once_t measured = PTHREAD_ONCE_INIT;

static void measure(void)
{
	struct sim_world_config config;
	struct sim_world *w = NULL;
	size_t i;

	for (i = 0; i < COURSES; i++) {
		fault_free(&config, i);
		if (w)
			sim_world_reset(w, &config);
		else
			w = sim_world_new(&config);
		sim_world_run(w);
		lines_before[i + 1] = lines_before[i] + sim_world_lines(w);
	}
	sim_world_free(w);
}

uint64_t sim_torture_cases(void)
{
	(void)pthread_once(&measured, measure);
	return lines_before[COURSES] * COUNT(variants);
}

static void look_up(struct sim_world_config *config, uint64_t number)
{
	uint64_t at = (number - 1) / COUNT(variants);
	size_t course = 0;

	while (lines_before[course + 1] <= at)
		course++;
	fault_free(config, course);
	config->planned[0] = variants[(number - 1) % COUNT(variants)];
	config->planned[0].line = 1 + at - lines_before[course];
}

/* --- one run ------------------------------------------------------------------------------- */

static void plan(bool systematic, uint64_t number, struct sim_world_config *config)
{
	if (systematic)
		look_up(config, number);
	else
		invent(config, number);
	config->frames = true;
}

static void add_up(struct sim_tally *tally, const struct sim_world *w)
{
	size_t count, i;
	const struct sim_strike *strikes = sim_world_strikes(w, &count);
	int side, state;

	tally->runs++;
	tally->faulted += count != 0;
	tally->lines += sim_world_lines(w);
	tally->ended[sim_world_record(w, SIM_SOURCE)]++;
	for (side = 0; side < SIM_SIDES; side++) {
		for (i = 0; i < count; i++)
			tally->met[side][strikes[i].state[side]][strikes[i].fault]++;
		for (state = 0; state <= GW_STATES; state++)
			tally->reached[side][state] += sim_world_states(w, side) >> state & 1;
	}
	for (i = 0; i < count; i++)
		tally->faults[strikes[i].fault]++;
}

/* Keeps those with the lowest numbers, in their order. */
static void add_failure(struct sim_tally *tally, const struct sim_failure *failure)
{
	size_t i = tally->failures;

	if (i == SIM_FAILURES_MAX) {
		if (tally->failure[--i].number <= failure->number)
			return;
	} else {
		tally->failures++;
	}
	for (; i && tally->failure[i - 1].number > failure->number; i--)
		tally->failure[i] = tally->failure[i - 1];
	tally->failure[i] = *failure;
}

static void judge(struct sim_tally *tally, const struct sim_world *w, uint64_t number)
{
	struct sim_failure failure = {.number = number};

	if (!sim_world_violation(w))
		return;
	tally->violations++;
	(void)snprintf(failure.why, sizeof(failure.why), "%s", sim_world_violation(w));
	add_failure(tally, &failure);
}

static bool fails(const struct sim_world_config *config)
{
	struct sim_world *w = sim_world_new(config);
	bool failed;

	sim_world_run(w);
	failed = sim_world_violation(w);
	sim_world_free(w);
	return failed;
}

static void append(struct sim_failure *failure, const struct sim_planned *planned)
{
	size_t used = strlen(failure->needs);
	char where[64];

	if (planned->moment >= SIM_MOMENT_ENTERS)
		(void)snprintf(where, sizeof(where), "`%s`",
		               gw_state_name(planned->moment - SIM_MOMENT_ENTERS));
	else if (planned->moment >= SIM_MOMENT_RECORDS)
		(void)snprintf(where, sizeof(where), "`journal: %s`",
		               gw_journal_record_name(planned->moment - SIM_MOMENT_RECORDS));
	else if (planned->moment)
		(void)snprintf(where, sizeof(where), "`says %s`",
		               gw_message_name(planned->moment - SIM_MOMENT_SAYS));
	else
		(void)snprintf(where, sizeof(where), "line %llu",
		               (unsigned long long)planned->line);
	(void)snprintf(failure->needs + used, sizeof(failure->needs) - used, "%s%s at %s",
	               used ? "; " : "", sim_fault_name(planned->fault), where);
}

/* Leaves out one fault after the other, as long as it still fails. */
static void shrink(bool systematic, struct sim_failure *failure)
{
	struct sim_world_config config;
	struct sim_planned kept;
	int i;

	plan(systematic, failure->number, &config);
	failure->needs[0] = '\0';
	for (i = 0; i < SIM_PLANNED_MAX; i++) {
		kept = config.planned[i];
		if (!kept.fault)
			continue;
		config.planned[i].fault = SIM_FAULT_NONE;
		if (fails(&config))
			continue;
		config.planned[i] = kept;
		append(failure, &kept);
	}
}

bool sim_torture_one(bool systematic, uint64_t number, FILE *trace, struct sim_failure *failure)
{
	struct sim_world_config config;
	struct sim_tally tally = {0};
	struct sim_world *w;

	(void)sim_torture_cases();
	plan(systematic, number, &config);
	config.trace = trace;
	w = sim_world_new(&config);
	sim_world_run(w);
	judge(&tally, w, number);
	sim_world_free(w);
	if (tally.violations) {
		*failure = tally.failure[0];
		shrink(systematic, failure);
	}
	return !tally.violations;
}

/* --- many ---------------------------------------------------------------------------------- */

struct shared {
	const struct sim_torture *torture;
	atomic_uint_fast64_t taken, done;
};

struct worker {
	struct shared *shared;
	pthread_t thread;
	struct sim_tally tally;
};

static void run_block(struct worker *worker, struct sim_world **w, uint64_t from, uint64_t to)
{
	const struct sim_torture *t = worker->shared->torture;
	struct sim_world_config config;

	for (; from < to; from++) {
		plan(t->systematic, t->first + from, &config);
		if (*w)
			sim_world_reset(*w, &config);
		else
			*w = sim_world_new(&config);
		sim_world_run(*w);
		add_up(&worker->tally, *w);
		judge(&worker->tally, *w, t->first + from);
	}
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct shared *shared = worker->shared;
	uint64_t runs = shared->torture->runs, from, to;
	struct sim_world *w = NULL;

	while ((from = atomic_fetch_add(&shared->taken, BLOCK)) < runs) {
		to = from + BLOCK < runs ? from + BLOCK : runs;
		run_block(worker, &w, from, to);
		atomic_fetch_add(&shared->done, to - from);
	}
	if (w)
		sim_world_free(w);
	return NULL;
}

static void merge(struct sim_tally *into, const struct sim_tally *tally)
{
	int side, state, fault, record;
	size_t i;

	into->runs += tally->runs;
	into->faulted += tally->faulted;
	into->lines += tally->lines;
	into->violations += tally->violations;
	for (fault = 0; fault < SIM_FAULTS; fault++)
		into->faults[fault] += tally->faults[fault];
	for (record = 0; record < GW_RECORDS; record++)
		into->ended[record] += tally->ended[record];
	for (side = 0; side < SIM_SIDES; side++) {
		for (state = 0; state <= GW_STATES; state++) {
			into->reached[side][state] += tally->reached[side][state];
			for (fault = 0; fault < SIM_FAULTS; fault++)
				into->met[side][state][fault] += tally->met[side][state][fault];
		}
	}
	for (i = 0; i < tally->failures; i++)
		add_failure(into, &tally->failure[i]);
}

static void watch(struct shared *shared)
{
	const struct sim_torture *t = shared->torture;
	const struct timespec pause = {.tv_nsec = 50000000};
	uint64_t done;

	while (t->progress && (done = atomic_load(&shared->done)) < t->runs) {
		t->progress(t->arg, done, t->runs);
		(void)nanosleep(&pause, NULL);
	}
}

int sim_torture(const struct sim_torture *torture, struct sim_tally *tally)
{
	struct shared shared = {.torture = torture};
	struct worker *workers = calloc(torture->jobs, sizeof(*workers));
	unsigned started, i;
	int err = 0;

	memset(tally, 0, sizeof(*tally));
	if (!workers)
		return -ENOMEM;
	(void)sim_torture_cases();
	for (started = 0; started < torture->jobs && !err; started += !err) {
		workers[started].shared = &shared;
		err = -pthread_create(&workers[started].thread, NULL, work, &workers[started]);
	}
	if (err)
		atomic_store(&shared.taken, torture->runs);
	else
		watch(&shared);
	for (i = 0; i < started; i++) {
		(void)pthread_join(workers[i].thread, NULL);
		merge(tally, &workers[i].tally);
	}
	for (i = 0; i < tally->failures; i++)
		shrink(torture->systematic, &tally->failure[i]);
	free(workers);
	return err;
}
