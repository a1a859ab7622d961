/* SPDX-License-Identifier: MIT */
/*
 * cli/serve.c - `godwit serve`: the host agent that receives VMs.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

#include "base/cleanup.h"
#include "cli/options.h"
#include "cli/verb.h"
#include "live/host/serve.h"
#include "live/vm/registry.h"

#define QEMU "qemu-system-x86_64"

static void ready(void *arg, const char *address)
{
	(void)arg;
	(void)printf("godwit listens on %s\n", address);
	(void)fflush(stdout);
}

static int stop_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static const char **terminated(struct gw_cli_list *list, const char *items[GW_CLI_LIST_MAX + 1])
{
	size_t i;

	for (i = 0; i < list->count; i++)
		items[i] = list->items[i];
	items[list->count] = NULL;
	return items;
}

static int check_maps(const struct gw_cli_list *maps, struct gw_error *error)
{
	size_t i;

	for (i = 0; i < maps->count; i++) {
		const char *middle = strchr(maps->items[i], '=');

		if (!middle || middle == maps->items[i] || !middle[1])
			return gw_fail(error, EINVAL, "--map %s: write it as OLD=NEW",
			               maps->items[i]);
	}
	return 0;
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	struct gw_cli_list maps = {0}, images = {0};
	const char *map_items[GW_CLI_LIST_MAX + 1], *image_items[GW_CLI_LIST_MAX + 1];
	const char *trace = NULL;
	struct gw_serve_options o = {.listen = "127.0.0.1", .host.qemu = QEMU, .ready = ready};
	const struct gw_cli_option options[] = {
	        {"listen", 'l', GW_CLI_STRING, &o.listen, "ADDRESS[:PORT]",
	         "default 127.0.0.1, port 4909"},
	        {"insecure", 0, GW_CLI_FLAG, &o.insecure, NULL,
	         "allow other addresses than loopback: nothing is encrypted yet"},
	        {"qemu", 0, GW_CLI_STRING, &o.host.qemu, "PATH",
	         "the only QEMU that is started, whatever a peer asks for"},
	        {"native-guest", 0, GW_CLI_STRING, &o.host.native, "PATH",
	         "accept native guests too, and start them with this"},
	        {"map", 'm', GW_CLI_LIST, &maps, "OLD=NEW",
	         "a tap, bridge or image path that has another name here"},
	        {"images", 'i', GW_CLI_LIST, &images, "DIR",
	         "images may lie below it, besides where --map points"},
	        {"trace", 0, GW_CLI_STRING, &trace, "FILE",
	         "one event a line; - is standard error"},
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	struct gw_qemu_binary binary;
	struct gw_error no_qemu;
	char dir[200];
	enum gw_exit status;
	int err;

	if (!gw_verb_options(verb, options, argc, argv, 0, 0, &operands, &status, error))
		return status;
	if (check_maps(&maps, error))
		return GW_EXIT_USAGE;
	o.host.maps = terminated(&maps, map_items);
	o.host.image_dirs = terminated(&images, image_items);
	o.host.dir = dir;
	if (gw_registry_dir(dir, sizeof(dir), error))
		return GW_EXIT_FAILED;
	if (trace) {
		o.trace = strcmp(trace, "-") ? fopen(trace, "ae") : stderr;
		if (!o.trace) {
			(void)gw_fail(error, errno, "--trace %s: %s", trace, strerror(errno));
			return GW_EXIT_FAILED;
		}
		(void)setvbuf(o.trace, NULL, _IOLBF, 0);
	}
	_cleanup_close_ int stop = stop_signals();
	o.stop_fd = stop;
	if (!gw_qemu_binary_probe(&binary, o.host.qemu, &no_qemu))
		o.host.binary = &binary;
	else
		(void)fprintf(stderr, "godwit: no QEMU guests are received: %s\n", no_qemu.text);
	err = gw_serve(&o, error);
	if (o.host.binary)
		gw_qemu_binary_clear(&binary);
	return err ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

const struct gw_verb gw_verb_serve = {
        .name = "serve",
        .usage = "[OPTION...]",
        .summary = "receive VMs: the agent of this host",
        .run = run,
};
