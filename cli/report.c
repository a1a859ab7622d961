/* SPDX-License-Identifier: MIT */
/*
 * cli/report.c - `godwit report RESULT... -o FILE.html`: results as one page to look at.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/report/report.h"
#include "cli/verb.h"

#define PATIENCE_NS UINT64_C(1000000000) /* so long nothing is said */

struct reading {
	struct gw_progress bar;
	uint64_t began_ns;
	bool quiet, shown;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void told(void *arg, const char *path, size_t done, size_t all)
{
	struct reading *reading = arg;
	char label[48];

	if (reading->quiet || now_ns() - reading->began_ns < PATIENCE_NS)
		return;
	(void)snprintf(label, sizeof(label), "reading %.38s", path);
	gw_progress_update(&reading->bar, label, done, all, now_ns());
	reading->shown = true;
}

static int read_all(struct gw_report *report, const struct gw_cli_operands *operands, bool quiet,
                    struct gw_error *error)
{
	struct reading reading = {.quiet = quiet, .began_ns = now_ns()};
	int err = 0;

	gw_progress_init(&reading.bar, stderr);
	for (int i = 0; i < operands->count && !err; i++)
		err = gw_report_read(report, operands->items[i], told, &reading, error);
	if (reading.shown)
		gw_progress_end(&reading.bar);
	return err ? err : gw_report_settle(report, error);
}

/* No result is lost to a slip of the hand. */
static int check_target(const char *output, const struct gw_cli_operands *operands,
                        struct gw_error *error)
{
	struct stat target, source;

	if (!output)
		return gw_fail(error, EINVAL, "report needs -o FILE.html, where the page goes");
	if (!strcmp(output, "-") || stat(output, &target))
		return 0;
	for (int i = 0; i < operands->count; i++)
		if (!stat(operands->items[i], &source) && source.st_dev == target.st_dev &&
		    source.st_ino == target.st_ino && S_ISREG(target.st_mode))
			return gw_fail(error, EEXIST,
			               "%s is one of the results: -o names another file", output);
	return 0;
}

static int write_page(const struct gw_report *report, FILE *out)
{
	struct gw_page page = {.out = out};

	errno = EIO;
	gw_report_page(&page, report, GW_VERSION);
	return fflush(out) || ferror(out) ? -errno : 0;
}

/* A file of its own beside it takes its place once all of it is written. */
static int replace(const struct gw_report *report, const char *path)
{
	_cleanup_free_ char *name = NULL;
	mode_t mask = umask(0);
	FILE *out;
	int fd, err;

	(void)umask(mask);
	if (asprintf(&name, "%s.XXXXXX", path) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	out = fdopen(fd, "w");
	err = out ? write_page(report, out) : -errno;
	if (!err && fchmod(fd, 0666 & ~mask))
		err = -errno;
	if ((out ? fclose(out) : close(fd)) && !err)
		err = -errno;
	if (!err && rename(name, path))
		err = -errno;
	if (err)
		(void)unlink(name);
	return err;
}

static int write_to(const struct gw_report *report, const char *output, struct gw_error *error)
{
	char resolved[PATH_MAX];
	const char *path = realpath(output, resolved) ? resolved : output;
	struct stat target;
	int err;

	if (!strcmp(output, "-")) {
		err = write_page(report, stdout);
	} else if (!stat(path, &target) && !S_ISREG(target.st_mode) && !S_ISDIR(target.st_mode)) {
		_cleanup_fclose_ FILE *out = fopen(path, "we");

		err = out ? write_page(report, out) : -errno;
	} else {
		err = replace(report, path);
	}
	if (err)
		return gw_fail(error, -err, "cannot write the page to %s: %s", output,
		               strerror(-err));
	return 0;
}

static enum gw_exit run(const struct gw_verb *verb, int argc, char **argv, struct gw_error *error)
{
	const char *output = NULL;
	bool quiet = false;
	const struct gw_cli_option options[] = {
	        {"output", 'o', GW_CLI_STRING, &output, "FILE.html",
	         "the page; - is standard output"},
	        {"quiet", 'q', GW_CLI_FLAG, &quiet, NULL, "no progress"},
	        GW_CLI_END,
	};
	struct gw_cli_operands operands;
	struct gw_report report = {0};
	enum gw_exit status;
	int err;

	if (!gw_verb_options(verb, options, argc, argv, 1, INT_MAX, &operands, &status, error))
		return status;
	if (check_target(output, &operands, error))
		return GW_EXIT_USAGE;
	err = read_all(&report, &operands, quiet, error);
	if (!err)
		err = write_to(&report, output, error);
	gw_report_free(&report);
	return err ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

static void help(FILE *out)
{
	(void)fprintf(out,
	              "\nRESULT is what migrate, sim, evacuate, estimate or bench wrote with "
	              "--json;\nseveral are set side by side. The page needs no network and no "
	              "script.\n");
}

const struct gw_verb gw_verb_report = {
        .name = "report",
        .usage = "RESULT... -o FILE.html [OPTION...]",
        .summary = "results as one page to look at",
        .run = run,
        .help = help,
};
