/* SPDX-License-Identifier: MIT */
#include "live/host/observe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "live/host/clock.h"

#define ENOUGH 1 /* what was to be seen has been seen */

struct observing {
	const struct gw_guest *guest;
	const struct gw_observe_options *options;
	struct gw_observed *to;
	struct gw_slowness_meter meter;
	uint64_t until_ns; /* of the last window */
	bool told_gone;
};

static void note(void *arg, const char *sentence)
{
	const struct observing *o = arg;

	if (o->options->note)
		o->options->note(o->options->arg, sentence);
}

static int keep_populated(struct gw_observed *to, const struct gw_set *populated,
                          struct gw_error *error)
{
	uint64_t *words = calloc(gw_set_words(populated->pages), sizeof(*words));

	if (!words)
		return gw_fail(error, ENOMEM, "no memory to observe %llu pages",
		               (unsigned long long)populated->pages);
	gw_set_init(&to->populated, words, populated->pages);
	gw_set_copy(&to->populated, populated);
	return 0;
}

static int begin(void *arg, const struct gw_watch_facts *facts, struct gw_error *error)
{
	struct observing *o = arg;
	struct gw_observed *to = o->to;
	int err = keep_populated(to, facts->populated, error);

	to->observation.cpu_known = facts->cpu_known;
	to->observation.network_known = facts->network_known;
	to->ram_pages = facts->ram_pages;
	to->zero_pages = facts->zero_pages;
	to->state_bytes = facts->state_bytes;
	(void)snprintf(to->tracker, sizeof(to->tracker), "%s", facts->tracker);
	if (err)
		return err;
	if (o->guest->vm->paused)
		note(o, "the VM is paused: there is nothing to observe");
	return o->guest->vm->paused || !o->options->for_ns ? ENOUGH : 0;
}

static void tell_gone(struct observing *o)
{
	char text[120];

	if (o->told_gone || !o->to->windows.gone)
		return;
	o->told_gone = true;
	(void)snprintf(text, sizeof(text),
	               "what was observed takes more than %zu MB: only the newest windows are kept",
	               o->to->windows.bytes_max >> 20);
	note(o, text);
}

static int keep_window(void *arg, const struct gw_watch_window *window, struct gw_error *error)
{
	struct observing *o = arg;
	const struct gw_window like = {.start_ns = window->start_ns,
	                               .length_ns = window->length_ns,
	                               .read_sampled = window->read_sampled,
	                               .cpu_permille = window->cpu_permille,
	                               .network_bytes = window->network_bytes};
	uint64_t per_s =
	        (uint64_t)((double)gw_set_count(window->written) * 1e9 / (double)window->length_ns);

	(void)gw_windows_add(&o->to->windows, &like, window->written, window->read);
	tell_gone(o);
	gw_slowness_look(&o->meter, gw_now_ns(), &o->to->slowness);
	o->until_ns = window->start_ns + window->length_ns;
	if (o->options->goes_on &&
	    !o->options->goes_on(o->options->arg, o->until_ns, o->options->for_ns, per_s))
		return gw_fail(error, ECANCELED, "stopped by the user");
	return 0;
}

static void take_windows(struct gw_observed *to)
{
	to->observation.windows = gw_windows_all(&to->windows);
	to->observation.count = to->windows.count;
	for (size_t i = 0; i < to->windows.count; i++)
		to->observed_ns += to->windows.window[i].length_ns;
}

int gw_observe(const struct gw_guest *guest, const struct gw_ram *ram,
               const struct gw_observe_options *options, struct gw_observed *observed,
               struct gw_error *error)
{
	struct observing o = {.guest = guest, .options = options, .to = observed};
	const struct gw_watch_options watching = {.ram = ram,
	                                          .tracker = options->tracker,
	                                          .window_ns = GW_OBSERVE_WINDOW_NS,
	                                          .duration_ns = options->for_ns,
	                                          .read_every = GW_OBSERVE_READ_EVERY,
	                                          .count_zeros = options->count_zeros,
	                                          .stop_fd = -1,
	                                          .arg = &o,
	                                          .begin = begin,
	                                          .window = keep_window,
	                                          .note = note};
	int err;

	*observed = (struct gw_observed){.vcpus = guest->vm->vcpus,
	                                 .windows.bytes_max = GW_WINDOWS_BYTES_MAX};
	gw_slowness_open(&o.meter, guest->vm->pid, gw_now_ns());
	err = gw_watch(guest, &watching, error);
	gw_slowness_close(&o.meter);
	if (!err && o.until_ns < options->for_ns)
		err = gw_fail(error, ESRCH, "the VM ended while it was observed");
	if (err < 0)
		gw_observed_clear(observed);
	else
		take_windows(observed);
	return err < 0 ? err : 0;
}

void gw_observed_clear(struct gw_observed *observed)
{
	gw_windows_clear(&observed->windows);
	free(observed->populated.words);
	memset(observed, 0, sizeof(*observed));
}
