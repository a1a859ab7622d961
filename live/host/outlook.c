/* SPDX-License-Identifier: MIT */
#include "live/host/outlook.h"

#include <poll.h>
#include <string.h>

#include "live/host/migrate.h"

#define CONNECT_MS 3000

struct watching {
	const struct gw_migrate_options *options;
	struct gw_control *control;
};

static bool abort_asked(const struct watching *w)
{
	struct pollfd item = {.fd = w->options->stop_fd, .events = POLLIN};
	char command[64];
	bool aborts = false;

	while (w->control && gw_control_next(w->control, command, sizeof(command))) {
		bool abort = !strcmp(command, "abort");

		aborts |= abort;
		gw_control_answer(w->control, abort ? "ok\n" : "observing 0 0\n");
	}
	return aborts || poll(&item, 1, 0) > 0;
}

static bool goes_on(void *arg, uint64_t done_ns, uint64_t all_ns, uint64_t pages_per_s)
{
	const struct watching *w = arg;

	if (w->options->observing)
		w->options->observing(w->options->arg, done_ns, all_ns, pages_per_s);
	return !abort_asked(w);
}

static void note(void *arg, const char *sentence)
{
	const struct watching *w = arg;

	if (w->options->note)
		w->options->note(w->options->arg, sentence);
}

int gw_outlook_watch(const struct gw_migrate_options *options, const struct gw_guest *guest,
                     const struct gw_ram *ram, struct gw_control *control,
                     struct gw_link_facts *way, struct gw_observed *seen, struct gw_error *error)
{
	struct watching watching = {.options = options, .control = control};
	const struct gw_observe_options how = {.tracker = options->tracker,
	                                       .for_ns = options->observe_ns,
	                                       .count_zeros = options->plan != NULL,
	                                       .arg = &watching,
	                                       .goes_on = goes_on,
	                                       .note = note};
	/* Nobody waits for seconds to hear that there is nobody to move it to. */
	int err = gw_link_look(options->to, way, CONNECT_MS, error);

	return err ? err : gw_observe(guest, ram, &how, seen, error);
}
