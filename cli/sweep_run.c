/* SPDX-License-Identifier: MIT */
#include "cli/sweep_run.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "cli/plan.h"
#include "cli/result.h"
#include "sim/run.h"

#define LOOK_NS   100000000 /* how often the caller's thread looks */
#define PER_SHARE 1000000   /* shares of a run, so that they can be atomic */

/* --- one result ----------------------------------------------------------------------------- */

static json_t *settings_of(const struct sim_move *move)
{
	json_t *settings = json_object();

	for (unsigned i = 0; i < move->setting_count; i++)
		(void)json_object_set_new(settings, move->settings[i].key,
		                          gw_result_setting(move->settings[i].value));
	return settings;
}

static json_t *guest_json(const struct sim_vm_outcome *vm)
{
	json_t *json = json_pack("{s:I, s:I, s:I, s:I}", "faults", (json_int_t)vm->guest_faults,
	                         "stall_ns", (json_int_t)vm->guest_stall_ns, "longest_ns",
	                         (json_int_t)vm->guest_longest_ns, "first_writes",
	                         (json_int_t)vm->first_writes);

	if (vm->traffic_wanted_bytes)
		(void)json_object_set_new(json, "traffic",
		                          json_pack("{s:I, s:I}", "bytes",
		                                    (json_int_t)vm->traffic_bytes, "wanted_bytes",
		                                    (json_int_t)vm->traffic_wanted_bytes));
	if (vm->order[0])
		(void)json_object_update_new(
		        json, json_pack("{s:I, s:I, s:I}", "early_stall_ns",
		                        (json_int_t)vm->early_stall_ns, "touched_pages",
		                        (json_int_t)vm->touched_pages, "arrived_pages",
		                        (json_int_t)vm->arrived_pages));
	return json;
}

static json_t *result_json(const struct sim_vm_outcome *vm)
{
	const struct gw_result result = {
	        .world = "sim",
	        .name = vm->vm->name,
	        .policy = vm->vm->move.policy,
	        .order = vm->order,
	        .tracker = "",
	        .shaping = "",
	        .reason = vm->reason,
	        .outcome = vm->outcome,
	        .ram_bytes = vm->vm->ram_pages * GW_PAGE_BYTES,
	        .vcpus = vm->vm->vcpus,
	        .bandwidth_bytes_per_s = vm->bandwidth_bytes_per_s,
	        .latency_ns = vm->latency_ns,
	        .zero_pages = vm->zero_pages,
	        .state_bytes = vm->state_bytes,
	        .observation_ns = vm->observation_ns,
	        .metrics = &vm->metrics,
	        .rounds = vm->rounds,
	        .round_count = vm->round_count,
	};
	json_t *settings = settings_of(&vm->vm->move);
	json_t *json = gw_result_json(&result, settings);

	json_decref(settings);
	(void)json_object_set_new(json, "guest", guest_json(vm));
	if (json && vm->plan)
		gw_plan_tell(vm->plan, json);
	(void)json_object_set_new(json, "start_ns", json_integer((json_int_t)vm->start_ns));
	(void)json_object_set_new(json, "end_ns", json_integer((json_int_t)vm->end_ns));
	return json;
}

static int write_line(const struct gw_sweep *sweep, size_t run, const struct sim_vm_outcome *vm,
                      FILE *to)
{
	json_t *json = result_json(vm);
	char key[24];
	int err;

	(void)snprintf(key, sizeof(key), "%016" PRIx64, gw_sweep_key(sweep, run));
	(void)json_object_set_new(json, "scenario",
	                          json_string(gw_sweep_group(sweep, run)->scenario->name));
	(void)json_object_set_new(json, "seed",
	                          json_integer((json_int_t)gw_sweep_seed(sweep, run)));
	(void)json_object_set_new(json, "run", json_string(key));
	err = json_dumpf(json, to, JSON_COMPACT | JSON_REAL_PRECISION(15)) ||
	      fputc('\n', to) == EOF;
	json_decref(json);
	return err ? -ENOMEM : 0;
}

static int write_lines(const struct gw_sweep *sweep, size_t run, const struct sim_outcome *outcome,
                       struct gw_sweep_lines *lines)
{
	FILE *to = open_memstream(&lines->text, &lines->bytes);
	int err = to ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < outcome->vm_count; i++)
		err = write_line(sweep, run, &outcome->vms[i], to);
	if (to && fclose(to))
		err = -ENOMEM;
	lines->lines = outcome->vm_count;
	return err;
}

/* --- the threads ---------------------------------------------------------------------------- */

struct crew {
	struct gw_sweep_runner *runner;
	pthread_mutex_t lock;
	pthread_cond_t news;
	size_t next;            /* run to be begun */
	size_t done;            /* runs */
	unsigned working;       /* threads */
	int err;                /* the first */
	struct gw_error *error; /* of it */
	atomic_bool stop;
};

struct worker {
	pthread_t thread;
	struct crew *crew;
	atomic_uint share; /* of the run it plays */
};

static bool on_the_way(void *arg, const struct sim_progress *progress)
{
	struct worker *worker = arg;
	double all = progress->all ? (double)progress->all : 1;
	double phase = progress->all_pages
	                       ? (double)progress->done_pages / (double)progress->all_pages
	                       : 0;

	atomic_store(&worker->share,
	             (unsigned)(((double)progress->done + phase) / all * PER_SHARE));
	return !atomic_load(&worker->crew->stop);
}

static int play(struct worker *worker, size_t run, struct gw_sweep_lines *lines,
                struct gw_error *error)
{
	const struct gw_sweep_runner *runner = worker->crew->runner;
	const struct sim_run_options options = {
	        .trace = runner->trace, .progress = on_the_way, .arg = worker};
	struct sim_outcome outcome = {0};
	struct sim_scenario scenario;
	int err = gw_sweep_scenario(runner->sweep, run, &scenario, error);

	if (err)
		return err;
	err = sim_run(&scenario, &options, &outcome, error);
	if (!err && outcome.violation[0])
		err = gw_fail(error, EPROTO, "%s, seed %" PRIu64 ": must not be: %s", scenario.name,
		              scenario.seed, outcome.violation);
	if (!err && write_lines(runner->sweep, run, &outcome, lines))
		err = gw_fail(error, ENOMEM, "no memory for the results");
	sim_outcome_clear(&outcome);
	free(scenario.vms);
	return err;
}

/* The next run that nobody has played; the number of runs if there is none. */
static size_t take_run(struct crew *crew)
{
	size_t count = crew->runner->sweep->run_count;

	while (crew->next < count && crew->runner->runs[crew->next].text)
		crew->next++;
	return crew->next < count && !atomic_load(&crew->stop) ? crew->next++ : count;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct crew *crew = worker->crew;
	size_t count = crew->runner->sweep->run_count, run;

	(void)pthread_mutex_lock(&crew->lock);
	while ((run = take_run(crew)) < count) {
		struct gw_sweep_lines lines = {NULL, 0, 0};
		struct gw_error error = {""};
		int err;

		(void)pthread_mutex_unlock(&crew->lock);
		err = play(worker, run, &lines, &error);
		atomic_store(&worker->share, 0);
		(void)pthread_mutex_lock(&crew->lock);
		if (!err) {
			crew->runner->runs[run] = lines;
			crew->done++;
		} else if (!crew->err && err != -EINTR) {
			crew->err = gw_fail(crew->error, -err, "%s", error.text);
			atomic_store(&crew->stop, true);
		}
		(void)pthread_cond_signal(&crew->news);
	}
	crew->working--;
	(void)pthread_cond_signal(&crew->news);
	(void)pthread_mutex_unlock(&crew->lock);
	return NULL;
}

/* --- telling, in the caller's thread -------------------------------------------------------- */

static int tell(struct gw_sweep_runner *runner, size_t run, struct gw_error *error)
{
	struct gw_sweep_lines *lines = &runner->runs[run];
	const char *line = lines->text, *end = lines->text + lines->bytes;

	if (runner->out && (fwrite(lines->text, 1, lines->bytes, runner->out) < lines->bytes ||
	                    fflush(runner->out)))
		return gw_fail(error, errno, "cannot write results: %s", strerror(errno));
	while (runner->result && line < end) {
		size_t bytes = (size_t)((char *)memchr(line, '\n', (size_t)(end - line)) - line);
		json_t *json = json_loadb(line, bytes, 0, NULL);

		if (json)
			runner->result(runner->arg, run, json);
		json_decref(json);
		line += bytes + 1;
	}
	/* An empty text stays: the run has been played. */
	free(lines->text);
	lines->text = strdup("");
	lines->bytes = 0;
	return lines->text ? 0 : gw_fail(error, ENOMEM, "no memory for the results");
}

static void show(const struct crew *crew, const struct worker *workers, unsigned jobs)
{
	const struct gw_sweep_runner *runner = crew->runner;
	double share = (double)crew->done;

	if (!runner->progress)
		return;
	for (unsigned i = 0; i < jobs; i++)
		share += (double)atomic_load(&workers[i].share) / PER_SHARE;
	runner->progress(runner->arg, crew->done, share / (double)runner->sweep->run_count);
}

static bool asked_to_stop(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};

	return fd >= 0 && poll(&poller, 1, 0) > 0;
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

/* Until nobody works any more. Returns the first run that has not been told. */
static size_t attend(struct crew *crew, const struct worker *workers, unsigned jobs)
{
	struct gw_sweep_runner *runner = crew->runner;
	size_t told = 0, count = runner->sweep->run_count;

	(void)pthread_mutex_lock(&crew->lock);
	while (crew->working) {
		while (!crew->err && told < count && runner->runs[told].text)
			crew->err = tell(runner, told++, crew->error);
		if (crew->err || asked_to_stop(runner->stop_fd))
			atomic_store(&crew->stop, true);
		show(crew, workers, jobs);
		wait_for_news(crew);
	}
	(void)pthread_mutex_unlock(&crew->lock);
	return told;
}

static int finish(struct crew *crew, size_t told)
{
	struct gw_sweep_runner *runner = crew->runner;
	size_t count = runner->sweep->run_count;

	for (size_t i = told; i < count; i++)
		if (runner->runs[i].text && !crew->err)
			crew->err = tell(runner, i, crew->error);
	if (!crew->err && crew->done < count)
		return gw_fail(crew->error, EINTR, "stopped: %zu of %zu runs are done%s",
		               crew->done, count,
		               runner->out ? "; --resume goes on from there" : "");
	return crew->err;
}

int gw_sweep_run(struct gw_sweep_runner *runner, struct gw_error *error)
{
	struct crew crew = {.runner = runner, .error = error};
	unsigned jobs = runner->jobs, started;
	_cleanup_free_ struct worker *workers = calloc(jobs, sizeof(*workers));
	size_t told;

	if (!workers)
		return gw_fail(error, ENOMEM, "no memory for %u threads", jobs);
	for (size_t i = 0; i < runner->sweep->run_count; i++)
		crew.done += runner->runs[i].text != NULL;
	(void)pthread_mutex_init(&crew.lock, NULL);
	(void)pthread_cond_init(&crew.news, NULL);
	json_object_seed(0); /* once, before there are threads */
	(void)pthread_mutex_lock(&crew.lock);
	for (started = 0; started < jobs; started++) {
		workers[started].crew = &crew;
		if (pthread_create(&workers[started].thread, NULL, work, &workers[started]))
			break;
		crew.working++;
	}
	if (!started)
		crew.err = gw_fail(error, EAGAIN, "cannot start a thread");
	(void)pthread_mutex_unlock(&crew.lock);
	told = attend(&crew, workers, started);
	for (unsigned i = 0; i < started; i++)
		(void)pthread_join(workers[i].thread, NULL);
	(void)pthread_cond_destroy(&crew.news);
	(void)pthread_mutex_destroy(&crew.lock);
	return finish(&crew, told);
}

/* --- going on ------------------------------------------------------------------------------- */

struct by_key {
	uint64_t key;
	size_t run;
};

static int compare_keys(const void *a, const void *b)
{
	const struct by_key *one = a, *other = b;

	if (one->key != other->key)
		return one->key < other->key ? -1 : 1;
	return one->run < other->run ? -1 : one->run > other->run;
}

static struct by_key *all_keys(const struct gw_sweep *sweep)
{
	struct by_key *keys = calloc(sweep->run_count, sizeof(*keys));

	for (size_t i = 0; keys && i < sweep->run_count; i++)
		keys[i] = (struct by_key){gw_sweep_key(sweep, i), i};
	if (keys)
		qsort(keys, sweep->run_count, sizeof(*keys), compare_keys);
	return keys;
}

/* The first run of that key that still lacks lines; NULL: none, the line is of another sweep. */
static struct gw_sweep_lines *lacking(struct gw_sweep_runner *runner, const struct by_key *keys,
                                      uint64_t key)
{
	size_t low = 0, high = runner->sweep->run_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (keys[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < runner->sweep->run_count && keys[low].key == key; low++) {
		size_t run = keys[low].run;

		if (runner->runs[run].lines <
		    gw_sweep_group(runner->sweep, run)->scenario->vm_count)
			return &runner->runs[run];
	}
	return NULL;
}

static int append(struct gw_sweep_lines *lines, const char *line, size_t bytes)
{
	char *text = realloc(lines->text, lines->bytes + bytes + 1);

	if (!text)
		return -ENOMEM;
	memcpy(text + lines->bytes, line, bytes);
	lines->text = text;
	lines->bytes += bytes;
	lines->text[lines->bytes] = '\0';
	lines->lines++;
	return 0;
}

static int take_line(struct gw_sweep_runner *runner, const struct by_key *keys, const char *line,
                     size_t bytes)
{
	json_t *json = json_loadb(line, bytes, 0, NULL);
	const char *schema = json_string_value(json_object_get(json, "schema"));
	const char *name = json_string_value(json_object_get(json, "run"));
	struct gw_sweep_lines *lines = NULL;
	int err = schema && name && !strcmp(schema, "godwit.result/1") ? 0 : -EINVAL;

	if (!err)
		lines = lacking(runner, keys, strtoull(name, NULL, 16));
	json_decref(json);
	return lines ? append(lines, line, bytes) : err;
}

/* Of a run that was cut, nothing is kept. */
static size_t keep_complete(struct gw_sweep_runner *runner)
{
	size_t kept = 0;

	for (size_t i = 0; i < runner->sweep->run_count; i++) {
		struct gw_sweep_lines *lines = &runner->runs[i];

		if (lines->lines == gw_sweep_group(runner->sweep, i)->scenario->vm_count) {
			kept++;
			continue;
		}
		free(lines->text);
		*lines = (struct gw_sweep_lines){NULL, 0, 0};
	}
	return kept;
}

int gw_sweep_resume(struct gw_sweep_runner *runner, FILE *old, const char *name, size_t *kept,
                    struct gw_error *error)
{
	_cleanup_free_ struct by_key *keys = all_keys(runner->sweep);
	_cleanup_free_ char *line = NULL;
	size_t room = 0, number = 0;
	ssize_t bytes;
	int err = keys ? 0 : -ENOMEM;

	while (!err && (bytes = getline(&line, &room, old)) > 0 && line[bytes - 1] == '\n') {
		number++;
		err = take_line(runner, keys, line, (size_t)bytes);
	}
	*kept = keep_complete(runner);
	if (err == -EINVAL)
		return gw_fail(error, EINVAL,
		               "%s:%zu: is no result of a simulation; --resume would overwrite it",
		               name, number);
	return err ? gw_fail(error, -err, "%s: %s", name, strerror(-err)) : 0;
}

int gw_sweep_runner_init(struct gw_sweep_runner *runner, const struct gw_sweep *sweep,
                         struct gw_error *error)
{
	*runner = (struct gw_sweep_runner){.sweep = sweep, .jobs = 1, .stop_fd = -1};
	runner->runs = calloc(sweep->run_count, sizeof(*runner->runs));
	return runner->runs ? 0
	                    : gw_fail(error, ENOMEM, "no memory for %zu runs", sweep->run_count);
}

void gw_sweep_runner_clear(struct gw_sweep_runner *runner)
{
	for (size_t i = 0; runner->runs && i < runner->sweep->run_count; i++)
		free(runner->runs[i].text);
	free(runner->runs);
	runner->runs = NULL;
}
