/* SPDX-License-Identifier: MIT */
#include "cli/progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/values.h"

#define REDRAW_NS       UINT64_C(100000000)
#define PLAIN_NS        UINT64_C(5000000000)
#define BAR_MAX         30
#define COLUMNS_DEFAULT 80

void gw_progress_init(struct gw_progress *progress, FILE *out)
{
	struct winsize size;

	memset(progress, 0, sizeof(*progress));
	progress->out = out;
	progress->terminal = isatty(fileno(out)) == 1;
	progress->columns = COLUMNS_DEFAULT;
	if (progress->terminal && !ioctl(fileno(out), TIOCGWINSZ, &size) && size.ws_col)
		progress->columns = size.ws_col;
}

static void sample(struct gw_progress *progress, uint64_t done_bytes, uint64_t now_ns)
{
	progress->at = (progress->at + 1) % GW_PROGRESS_SAMPLES;
	progress->when_ns[progress->at] = now_ns;
	progress->done_bytes[progress->at] = done_bytes;
	if (progress->count < GW_PROGRESS_SAMPLES)
		progress->count++;
}

static double rate(const struct gw_progress *progress)
{
	unsigned first =
	        (progress->at + GW_PROGRESS_SAMPLES + 1 - progress->count) % GW_PROGRESS_SAMPLES;
	uint64_t ns = progress->when_ns[progress->at] - progress->when_ns[first];
	uint64_t now = progress->done_bytes[progress->at], then = progress->done_bytes[first];

	return ns && now > then ? (double)(now - then) * 1e9 / (double)ns : 0;
}

/* "  52%  48.2 MB/s  0:07 left" */
static void figures(const struct gw_progress *progress, uint64_t done, uint64_t all, char *text,
                    size_t bytes)
{
	double per_s = rate(progress);
	char speed[32] = "", left[24] = "", size[32];

	if (per_s > 0 && !progress->bare)
		(void)gw_show_rate(speed, sizeof(speed), per_s);
	if (per_s > 0 && all > done && (double)(all - done) / per_s < 1e6)
		(void)gw_show_clock(left, sizeof(left),
		                    (uint64_t)((double)(all - done) / per_s + 0.999));
	(void)gw_show_size(size, sizeof(size), done);
	if (all)
		(void)snprintf(text, bytes, "%3u%%",
		               (unsigned)(100.0 * (double)done / (double)all));
	else
		(void)snprintf(text, bytes, "%s", size);
	(void)snprintf(text + strlen(text), bytes - strlen(text), "%s%s%s%s%s", *speed ? "  " : "",
	               speed, *left ? "  " : "", left, *left ? " left" : "");
}

static void draw_bar(struct gw_progress *progress, uint64_t done, uint64_t all, const char *text)
{
	char bar[BAR_MAX + 4] = "";
	size_t taken = strlen(progress->label) + strlen(text) + 8;
	size_t room = progress->columns > taken ? progress->columns - taken : 0;

	if (room > BAR_MAX)
		room = BAR_MAX;
	if (all && room >= 5) {
		size_t full = (size_t)((double)done / (double)all * (double)room);

		bar[0] = '[';
		memset(bar + 1, '.', room);
		memset(bar + 1, '#', full < room ? full : room);
		memcpy(bar + 1 + room, "]", 2);
	}
	(void)fprintf(progress->out, "\r%s  %s %s\033[K", progress->label, bar, text);
	(void)fflush(progress->out);
	progress->drawn = true;
}

void gw_progress_update(struct gw_progress *progress, const char *label, uint64_t done_bytes,
                        uint64_t all_bytes, uint64_t now_ns)
{
	bool fresh = strncmp(label, progress->label, sizeof(progress->label) - 1) != 0;
	uint64_t pause = progress->terminal ? REDRAW_NS : PLAIN_NS;
	char text[96];

	if (all_bytes && done_bytes > all_bytes)
		done_bytes = all_bytes;
	if (fresh) {
		(void)snprintf(progress->label, sizeof(progress->label), "%s", label);
		progress->count = 0;
	}
	/* Sampled at the pace of redrawing, so that the ring spans a second or more. */
	if (!progress->count || now_ns - progress->when_ns[progress->at] >= REDRAW_NS)
		sample(progress, done_bytes, now_ns);
	if (!fresh && now_ns - progress->shown_ns < pause)
		return;
	progress->shown_ns = now_ns;
	figures(progress, done_bytes, all_bytes, text, sizeof(text));
	if (progress->terminal)
		draw_bar(progress, done_bytes, all_bytes, text);
	else
		(void)fprintf(progress->out, "%s  %s\n", progress->label, text);
}

void gw_progress_end(struct gw_progress *progress)
{
	if (progress->drawn)
		(void)fputc('\n', progress->out);
	progress->drawn = false;
	progress->label[0] = '\0';
	(void)fflush(progress->out);
}
