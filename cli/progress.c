/* SPDX-License-Identifier: MIT */
#include "cli/progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/values.h"

#define NS_PER_S        UINT64_C(1000000000)
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
	/* What comes in jumps has no rate but that since its beginning. */
	progress->at =
	        progress->bare ? progress->count != 0 : (progress->at + 1) % GW_PROGRESS_SAMPLES;
	progress->when_ns[progress->at] = now_ns;
	progress->done_bytes[progress->at] = done_bytes;
	if (progress->count < (progress->bare ? 2 : GW_PROGRESS_SAMPLES))
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
	double per_s = rate(progress), left_s;
	char speed[32] = "", left[24] = "", size[32];

	if (per_s > 0 && !progress->bare)
		(void)gw_show_rate(speed, sizeof(speed), per_s);
	left_s = (double)progress->beyond_ns / 1e9;
	if (per_s > 0 && all > done)
		left_s += (double)(all - done) / per_s;
	if (per_s > 0 && left_s > 0 && left_s < 1e6)
		(void)gw_show_clock(left, sizeof(left), (uint64_t)(left_s + 0.999));
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

/* Takes the label; whether it is a new one. */
static bool relabel(struct gw_progress *progress, const char *label)
{
	if (!strncmp(label, progress->label, sizeof(progress->label) - 1))
		return false;
	(void)snprintf(progress->label, sizeof(progress->label), "%s", label);
	progress->count = 0;
	return true;
}

static bool is_due(struct gw_progress *progress, bool fresh, uint64_t now_ns)
{
	uint64_t pause = progress->terminal ? REDRAW_NS : PLAIN_NS;

	if (!fresh && now_ns - progress->shown_ns < pause)
		return false;
	progress->shown_ns = now_ns;
	return true;
}

static void show(struct gw_progress *progress, uint64_t done, uint64_t all, const char *text)
{
	if (progress->terminal)
		draw_bar(progress, done, all, text);
	else
		(void)fprintf(progress->out, "%s  %s\n", progress->label, text);
}

void gw_progress_update(struct gw_progress *progress, const char *label, uint64_t done_bytes,
                        uint64_t all_bytes, uint64_t now_ns)
{
	bool fresh = relabel(progress, label);
	char text[96];

	if (all_bytes && done_bytes > all_bytes)
		done_bytes = all_bytes;
	/* Sampled at the pace of redrawing, so that the ring spans a second or more. */
	if (!progress->count || now_ns - progress->when_ns[progress->at] >= REDRAW_NS)
		sample(progress, done_bytes, now_ns);
	if (!is_due(progress, fresh, now_ns))
		return;
	figures(progress, done_bytes, all_bytes, text, sizeof(text));
	show(progress, done_bytes, all_bytes, text);
}

void gw_progress_share(struct gw_progress *progress, const char *label, uint64_t done, uint64_t all,
                       uint64_t now_ns)
{
	progress->bare = true;
	gw_progress_update(progress, label, done, all, now_ns);
	progress->bare = false;
}

void gw_progress_time(struct gw_progress *progress, const char *label, uint64_t done_ns,
                      uint64_t all_ns, const char *more, uint64_t now_ns)
{
	char text[160], clock[24];

	if (!is_due(progress, relabel(progress, label), now_ns))
		return;
	if (all_ns && done_ns > all_ns)
		done_ns = all_ns;
	(void)gw_show_clock(clock, sizeof(clock),
	                    ((all_ns ? all_ns - done_ns : done_ns) + NS_PER_S / 2) / NS_PER_S);
	if (all_ns)
		(void)snprintf(text, sizeof(text), "%3u%%  %s  %s left",
		               (unsigned)(100.0 * (double)done_ns / (double)all_ns), more, clock);
	else
		(void)snprintf(text, sizeof(text), "%s  %s", clock, more);
	show(progress, done_ns, all_ns, text);
}

void gw_progress_end(struct gw_progress *progress)
{
	if (progress->drawn)
		(void)fputc('\n', progress->out);
	progress->drawn = false;
	progress->label[0] = '\0';
	(void)fflush(progress->out);
}
