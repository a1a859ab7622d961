/* SPDX-License-Identifier: MIT */
/*
 * core/migration/source.c - the side that the VM leaves.
 *
 * Theory of operation
 *
 * `owed` holds the pages that the destination lacks, or has in an old version. It begins as all
 * pages with data; a page that is sent leaves it, a page that a scan reports comes back. A round
 * sends what is owed, less what the policy leaves out, in ascending order; at the switch what is
 * still owed is either sent with the VM stopped (pre-copy) or named in a MAP and pulled afterwards
 * (post-copy).
 *
 *          cursor
 *            v
 *   owed  ...|##..#....###.#     sent this round: left of the cursor
 *
 * Ownership: the VM is ours until COMMIT is said, which is after the record `committed` and never
 * before; from there on we resume the VM only if the very host that reserved its place says
 * ABORTED, that it has never heard of the migration, or that it still waits for COMMIT. Everything
 * that goes wrong earlier ends in cancel().
 */
#include "core/migration/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/predict/rounds.h"

#define SECOND 1000000000ull

#define ACCEPT_TIMEOUT_NS (60 * SECOND) /* the destination starts a hypervisor meanwhile */
#define LINK_TIMEOUT_NS   (15 * SECOND)
#define SWITCH_TIMEOUT_NS (15 * SECOND)
#define RECONNECT_NS      (30 * SECOND)
#define FAREWELL_NS       (5 * SECOND) /* how long the last word is waited for */
#define PING_NS           (2 * SECOND)
#define RETRY_NS          (SECOND / 4)  /* between two attempts to connect */
#define PEEK_NS           (SECOND / 50) /* xen peeks per batch; a peek costs 0.5 ms per GiB */
#define MEASURE_NS        (SECOND / 10) /* QEMU, migration.c: BUFFER_DELAY, 100 ms */

/*
 * A faulted page that is on its way already arrives with its frame: small frames keep that short.
 * Where the link carries more in the time that is to be kept, larger ones cost less.
 */
#define PULL_FRAME_NS    300000
#define PULL_PAGES_MIN   4
#define PULL_PAGES_FIRST 8 /* while the rate is not known */
#define PULL_PAGES_MAX   64

#define WHO "source"

#ifndef GW_PLANT
#define GW_PLANT 0 /* a bug that torture must find; see tests/sim */
#endif

/* The copy that runs ahead (S4). It owns nothing, and nothing waits for it. */
enum shadow {
	SHADOW_NONE,
	SHADOW_PREPARED,
	SHADOW_ASKED, /* to run */
	SHADOW_RUNS,
	SHADOW_HELD,
	SHADOW_OVER, /* ended or gone: there is no second one */
};

struct gw_source {
	struct gw_source_config config;
	enum gw_state state;
	struct gw_set owed;
	struct gw_set sent; /* at least once */
	/*
	 * Not to be sent in this round: written again, or deferred. At the switch to post-copy:
	 * to be pulled. On a new link after it: what is there.
	 */
	struct gw_set skip;

	size_t observed_windows; /* before the move */
	uint64_t observed_ns, observed_pages;

	unsigned round;
	uint64_t cursor;
	uint64_t populated_pages;
	uint64_t round_owed; /* at its beginning */
	uint64_t round_sent, round_skipped;
	uint64_t round_deferred, predicted_dirty;
	uint64_t round_start_ns;
	uint64_t previous_dirty;
	uint64_t peeked_ns;
	uint64_t bandwidth;
	uint64_t measured_ns, measured_bytes; /* since the last measurement was closed */
	uint64_t round_start_bytes;

	uint64_t begun_ns; /* Reservation accepted */
	uint64_t stopped_ns, commit_ns;
	uint64_t image_pages; /* owed at the switch */
	uint64_t push_rate;   /* after the switch, as the policy asked; 0: the user's limit */
	uint64_t first_rate;  /* that the policy asked for before tracking began */
	uint64_t heard_ns, pinged_ns, waiting_since_ns, lost_ns, retry_ns;

	bool sending; /* ROOM is wanted */
	bool marked;  /* the mark that ends this phase is out */
	bool tracking;
	bool track_asked;  /* until it tracks the VM may stand for an instant */
	bool pulls;        /* the switch was to post-copy */
	bool punching;     /* stale pages are being punched out there, the VM still runs */
	bool handing_over; /* that record is on disk */
	bool stop_asked;   /* we stopped the VM, or are about to */
	bool resuming;     /* back to the source: RUNNING is awaited */
	bool settled;      /* cancelled: the destination has confirmed, or need not */
	bool runs_here;    /* cancelled: the VM is as it was */
	bool link;         /* the connections stand */
	bool connecting;
	bool may_be_prepared; /* the destination may have said PREPARED, unheard */
	bool have_whole;      /* the MAP of what is there came to its end, over this link */
	bool looking;         /* whether the VM still stands, before COMMIT is said */
	bool committed;       /* COMMIT may have been heard, or may still be */
	bool vm_ended;        /* in the switch: what is there is all that is left of it */
	bool asked;           /* RESUME was sent: STANDING says how it goes on */
	bool answered;        /* STANDING came over this link */
	bool stands;          /* and has said that the VM runs there */
	bool finished;
	bool digests_sent;
	enum shadow shadow;
	enum gw_outcome outcome;
	struct gw_rounds rounds;
	struct gw_metrics metrics;
	char reason[GW_TRACE_BYTES];
	struct gw_run runs[GW_FRAME_RUNS_MAX];
};

/* --- memory, views ------------------------------------------------------------------------- */

static size_t policy_bytes(const struct gw_policy *policy, uint64_t ram_pages)
{
	return (gw_policy_bytes(policy, ram_pages) + 7) / 8 * 8;
}

size_t gw_source_bytes(const struct gw_policy *policy, const struct gw_order *order,
                       uint64_t ram_pages)
{
	return sizeof(struct gw_source) + 3 * gw_set_words(ram_pages) * sizeof(uint64_t) +
	       policy_bytes(policy, ram_pages) + gw_order_bytes(order, ram_pages);
}

/* How much it is; `skip` is not needed yet. */
static void count_observed(struct gw_source *s, const struct gw_observation *observation)
{
	s->observed_windows = observation->count;
	for (size_t i = 0; i < observation->count; i++) {
		const struct gw_window *window = &observation->windows[i];

		s->observed_ns += window->length_ns;
		for (size_t r = 0; r < window->written_count; r++)
			gw_set_add_run(&s->skip, window->written[r]);
	}
	s->observed_pages = gw_set_count(&s->skip);
	if (s->observed_pages)
		gw_set_clear(&s->skip);
}

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
	return value ? value : fallback;
}

struct gw_source *gw_source_init(void *memory, const struct gw_source_config *config)
{
	struct gw_source *s = memory;
	uint64_t *words = (uint64_t *)(void *)(s + 1);
	size_t n = gw_set_words(config->ram_pages);

	memset(s, 0, sizeof(*s));
	s->config = *config;
	s->config.accept_timeout_ns = or_default(config->accept_timeout_ns, ACCEPT_TIMEOUT_NS);
	s->config.link_timeout_ns = or_default(config->link_timeout_ns, LINK_TIMEOUT_NS);
	s->config.switch_timeout_ns = or_default(config->switch_timeout_ns, SWITCH_TIMEOUT_NS);
	s->config.reconnect_ns = or_default(config->reconnect_ns, RECONNECT_NS);
	gw_set_init(&s->owed, words, config->ram_pages);
	gw_set_init(&s->sent, words + n, config->ram_pages);
	gw_set_init(&s->skip, words + 2 * n, config->ram_pages);
	gw_policy_start(&s->config.policy, words + 3 * n, config->ram_pages, &config->observation);
	gw_order_attach(&s->config.order,
	                words + 3 * n + policy_bytes(&config->policy, config->ram_pages) / 8,
	                config->ram_pages);
	gw_rounds_start(&s->rounds, &config->observation, &s->skip);
	count_observed(s, &config->observation);
	s->config.observation = (struct gw_observation){0};
	s->state = GW_STATE_PRE_MIGRATION;
	return s;
}

enum gw_state gw_source_state(const struct gw_source *source)
{
	return source->state;
}

const struct gw_metrics *gw_source_metrics(const struct gw_source *source)
{
	return &source->metrics;
}

/* On a new link `owed` is out of date until the map of what is there has come. */
static bool pushes(const struct gw_source *s)
{
	return s->state == GW_STATE_PULL && !s->marked && s->link && !s->asked;
}

bool gw_source_wants_room(const struct gw_source *s)
{
	return s->sending && s->link && !s->finished && (s->state != GW_STATE_PULL || pushes(s));
}

void gw_source_progress(const struct gw_source *s, uint64_t *done, uint64_t *all)
{
	bool after = s->state >= GW_STATE_COMMITMENT;

	*all = after ? s->image_pages : s->round_owed;
	*done = after ? s->image_pages - gw_set_count(&s->owed) : s->round_sent + s->round_skipped;
}

/* --- small words --------------------------------------------------------------------------- */

static void enter(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                  enum gw_state state, const char *why)
{
	gw_trace(out, ev->now_ns, WHO, "%s -> %s: %s", gw_state_name(s->state),
	         gw_state_name(state), why);
	s->state = state;
	s->waiting_since_ns = ev->now_ns;
}

static void send(struct gw_actions *out, struct gw_message message)
{
	gw_act(out, GW_ACT_SEND)->message = message;
}

static void send_plain(struct gw_actions *out, enum gw_message_kind kind)
{
	send(out, (struct gw_message){.kind = kind});
}

static void journal(struct gw_actions *out, enum gw_journal_record record, bool durable)
{
	struct gw_action *action = gw_act(out, GW_ACT_JOURNAL);

	action->journal.record = record;
	action->journal.durable = durable;
}

/* --- the shadow ---------------------------------------------------------------------------- */

/* What it is ahead by before the link's rate is known: a bulk connection's worth. */
#define AHEAD_PAGES_FIRST 1024
#define AHEAD_PAGES_MIN   16
#define AHEAD_PAGES_MAX   ((uint64_t)1 << 19)

static bool shadow_lives(const struct gw_source *s)
{
	return s->shadow != SHADOW_NONE && s->shadow != SHADOW_OVER;
}

static const char *shadow_there(const struct gw_source *s)
{
	if (!gw_order_wants_shadow(&s->config.order) || s->shadow == SHADOW_RUNS ||
	    s->shadow == SHADOW_HELD)
		return "";
	return shadow_lives(s) ? ", the shadow does not run yet" : " without a shadow";
}

static void prepare_shadow(struct gw_source *s, struct gw_actions *out)
{
	if (!gw_order_wants_shadow(&s->config.order) || !s->config.policy.kind->pulls ||
	    s->config.paused)
		return;
	s->shadow = SHADOW_PREPARED;
	gw_act(out, GW_ACT_SHADOW_PREPARE);
}

static void run_shadow(struct gw_source *s, struct gw_actions *out)
{
	if (s->shadow != SHADOW_PREPARED || !s->pulls)
		return;
	s->shadow = SHADOW_ASKED;
	gw_act(out, GW_ACT_SHADOW_RUN);
}

static void end_shadow(struct gw_source *s, struct gw_actions *out)
{
	if (!shadow_lives(s))
		return;
	s->shadow = SHADOW_OVER;
	gw_act(out, GW_ACT_SHADOW_END);
}

static void shadow_started(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->shadow != SHADOW_ASKED)
		return;
	s->shadow = SHADOW_RUNS;
	s->metrics.shadow_ran = true;
	gw_trace(out, ev->now_ns, WHO, "the shadow runs, %llu us after the VM was stopped",
	         (unsigned long long)((ev->now_ns - s->stopped_ns) / 1000));
}

static void shadow_gone(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (!shadow_lives(s))
		return;
	s->shadow = SHADOW_OVER;
	gw_trace(out, ev->now_ns, WHO, "the shadow %s, neighbours of faults go first: %.200s",
	         s->metrics.shadow_ran ? "is gone" : "could not be started", ev->text);
}

/* Far ahead it would only take what the sending needs: it stands until half of that is sent. */
static void pace_shadow(struct gw_source *s, struct gw_actions *out)
{
	const struct gw_foresight *f = &s->config.order.foresight;
	double carries = (double)s->bandwidth / GW_PAGE_BYTES * (double)f->ahead_ns / SECOND;
	uint64_t limit = AHEAD_PAGES_FIRST;

	if (s->bandwidth)
		limit = carries < AHEAD_PAGES_MAX ? (uint64_t)carries : AHEAD_PAGES_MAX;
	if (limit < AHEAD_PAGES_MIN)
		limit = AHEAD_PAGES_MIN;
	if (s->shadow == SHADOW_RUNS && f->waiting_pages > limit) {
		s->shadow = SHADOW_HELD;
		gw_act(out, GW_ACT_SHADOW_HOLD);
	} else if (s->shadow == SHADOW_HELD && f->waiting_pages <= limit / 2) {
		s->shadow = SHADOW_RUNS;
		gw_act(out, GW_ACT_SHADOW_GO);
	}
}

static void touched(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_order *order = &s->config.order;

	if (s->shadow != SHADOW_RUNS && s->shadow != SHADOW_HELD)
		return;
	order->kind->touched(order, &s->owed, ev->touched.runs, ev->touched.count);
	s->metrics.shadow_pages = order->foresight.touched_pages;
	pace_shadow(s, out);
}

/* The destination waits for the page. */
static void tell_order(struct gw_source *s, const struct gw_event *ev, uint64_t page,
                       struct gw_actions *out)
{
	struct gw_order *order = &s->config.order;
	const struct gw_foresight *f = &order->foresight;
	bool astray = f->astray;

	order->kind->fault(order, &s->owed, page, ev->now_ns);
	s->metrics.faults_watched = f->faults;
	s->metrics.faults_foretold = f->foretold;
	if (f->astray == astray)
		return;
	gw_trace(out, ev->now_ns, WHO, "%u of %u faults on pages that the shadow had touched: %s",
	         f->right, f->judged,
	         f->astray ? "it leads astray, its pages lose priority"
	                   : "it shows the way, its pages have priority again");
}

/* --- the end ------------------------------------------------------------------------------- */

static void finish(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                   enum gw_outcome outcome)
{
	struct gw_action *action;

	if (s->finished)
		return;
	s->finished = true;
	s->sending = false;
	end_shadow(s, out);
	if (s->begun_ns)
		s->metrics.total_time_ns = ev->now_ns - s->begun_ns;
	s->metrics.bytes_on_link = ev->link_bytes;
	gw_act(out, GW_ACT_HANG_UP);
	action = gw_act(out, GW_ACT_FINISH);
	action->finish.outcome = outcome;
	action->finish.text = s->reason;
}

static void keep_reason(struct gw_source *s, const char *text)
{
	if (!s->reason[0])
		(void)snprintf(s->reason, sizeof(s->reason), "%s", text);
}

static const char *text_of(const struct gw_message *message, char *to, size_t room)
{
	size_t n = message->reason.bytes < room - 1 ? message->reason.bytes : room - 1;

	memcpy(to, message->reason.text, n);
	to[n] = '\0';
	return to;
}

/* COMMIT was not said, or is known to be lost: the VM is ours, whatever else is on its way. */
static bool is_ours(const struct gw_source *s)
{
	return s->state < GW_STATE_COMMITMENT || (s->state == GW_STATE_COMMITMENT && !s->committed);
}

/* --- going back: the VM stays at the source ------------------------------------------------ */

static void settle(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->runs_here && s->settled)
		finish(s, ev, out, s->outcome);
}

static void came_back(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	s->runs_here = true;
	s->resuming = false;
	journal(out, GW_REC_STAYED, true);
	settle(s, ev, out);
}

/*
 * Only ever reached while the VM is ours. The VM comes first: it is resumed before the destination
 * is told. If the destination may have prepared itself it is told even over a new connection, so
 * that nothing is left there. What was recorded as given away is taken back before it is used.
 */
static void cancel(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                   const char *why, bool tell)
{
	bool given_away = s->state == GW_STATE_COMMITMENT;

	if (s->state == GW_STATE_CANCELLED || s->finished)
		return;
	if (s->vm_ended)
		(void)snprintf(s->reason, sizeof(s->reason),
		               "%.200s, and the VM had ended at the source", why);
	keep_reason(s, why);
	s->outcome = s->vm_ended ? GW_LOST : GW_STAYED;
	s->sending = false;
	enter(s, ev, out, GW_STATE_CANCELLED, why);
	if (given_away)
		journal(out, GW_REC_HANDING_OVER, false);
	if (GW_PLANT != 14) /* 14: it runs on beside the VM */
		end_shadow(s, out);
	gw_act(out, GW_ACT_LET_GO);
	s->tracking = false;
	s->settled = !tell && !s->may_be_prepared;
	if (tell && s->link)
		send(out, gw_message_reason(GW_MSG_ABORT, s->reason));
	else if (tell && !s->may_be_prepared)
		s->settled = true;
	s->lost_ns = ev->now_ns;
	if ((s->stop_asked || s->track_asked) && !s->vm_ended) {
		s->resuming = true;
		gw_act(out, GW_ACT_RESUME);
	} else {
		came_back(s, ev, out);
	}
}

static void vm_gone(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	char why[GW_TRACE_BYTES];

	(void)snprintf(why, sizeof(why), "the VM ended at the source: %.160s", ev->text);
	/*
	 * After the switch the image alone is needed, and it is a file of its own. Whether the
	 * device state was whole the destination finds out: only a whole one can be loaded.
	 */
	if ((s->state == GW_STATE_STOP_AND_COPY && s->may_be_prepared) ||
	    (s->state >= GW_STATE_COMMITMENT && s->state <= GW_STATE_RELEASED)) {
		s->vm_ended = true;
		gw_trace(out, ev->now_ns, WHO, "%.200s", why);
		return;
	}
	if (s->state == GW_STATE_CANCELLED) {
		s->outcome = GW_LOST;
		if (!s->runs_here)
			came_back(s, ev, out); /* as far as it can: no question stays open */
		return;
	}
	s->stop_asked = s->track_asked = false;
	cancel(s, ev, out, why, true);
	s->outcome = GW_LOST;
}

/*
 * `cont` by somebody else. What was handed over is stopped again: it may run there, and its image
 * is needed as it was.
 */
static void runs_again(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state < GW_STATE_STOP_AND_COPY || s->state > GW_STATE_PULL ||
	    (s->state == GW_STATE_STOP_AND_COPY && !s->stopped_ns))
		return;
	if (is_ours(s)) {
		cancel(s, ev, out, "somebody else resumed the VM in the middle of the switch",
		       true);
		return;
	}
	gw_trace(out, ev->now_ns, WHO,
	         "somebody else resumed the VM, which was handed over: it is stopped again");
	gw_act(out, GW_ACT_STOP);
}

static void give_up_waiting(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state == GW_STATE_ACTIVATION || s->state == GW_STATE_PULL) {
		keep_reason(s, "the link is gone and the VM, which runs at the destination, waits "
		               "for pages: `recover` goes on where this stopped");
		finish(s, ev, out, GW_UNFINISHED);
		return;
	}
	if (GW_PLANT == 2) { /* resumes after COMMIT because nobody answers */
		s->stop_asked = true;
		cancel(s, ev, out, "the destination is silent", false);
		return;
	}
	enter(s, ev, out, GW_STATE_DOUBT, "the destination cannot be asked");
	keep_reason(s, "the destination was lost in the moment of the handover and may run the VM: "
	               "`recover` asks again, `resolve --run-here|--gone` lets you say");
	journal(out, GW_REC_DOUBT, true);
	finish(s, ev, out, GW_DOUBTED);
}

/* --- rounds -------------------------------------------------------------------------------- */

static void begin_sending(struct gw_source *s, const struct gw_event *ev)
{
	s->cursor = 0;
	s->round_sent = 0;
	s->round_skipped = s->round_deferred = 0;
	s->predicted_dirty = GW_NO_FORECAST;
	s->round_owed = gw_set_count(&s->owed);
	s->round_start_ns = ev->now_ns;
	s->round_start_bytes = ev->link_bytes;
	s->peeked_ns = ev->now_ns;
	s->marked = false;
	s->sending = true;
	gw_set_clear(&s->skip);
}

static void begin_round(struct gw_source *s, const struct gw_event *ev, uint64_t rate,
                        struct gw_actions *out)
{
	s->round++;
	gw_act(out, GW_ACT_RATE)->rate_bytes_per_s = rate;
	begin_sending(s, ev);
}

/* While the VM still runs here: afterwards somebody waits for every page. */
static void rank(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_ranking *likely = &s->config.order.likely;

	gw_policy_rank(&s->config.policy, &s->owed, likely);
	if (likely->count)
		gw_trace(out, ev->now_ns, WHO, "%zu pages have a score, page %llu has the highest",
		         likely->count, (unsigned long long)likely->pages[0].page);
}

static void begin_switch(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                         bool pulls, const char *why)
{
	s->pulls = pulls;
	s->sending = false;
	if (!pulls)
		end_shadow(s, out);
	enter(s, ev, out, GW_STATE_STOP_AND_COPY, why);
	if (pulls)
		rank(s, ev, out);
	/* What is stale already can be punched out there while the VM still runs here. */
	s->punching = pulls && s->round;
	if (s->punching)
		gw_act(out, GW_ACT_MAP)->set = &s->owed;
	journal(out, GW_REC_HANDING_OVER, true);
}

static void view_of(const struct gw_source *s, const struct gw_event *ev, struct gw_view *view)
{
	uint64_t deferred = s->round_deferred;

	*view = (struct gw_view){
	        .round = s->round,
	        .now_ns = ev->now_ns - s->begun_ns,
	        .ram_pages = s->config.ram_pages,
	        .populated_pages = s->populated_pages,
	        .dirty_pages = gw_set_count(&s->owed),
	        .previous_dirty_pages = s->previous_dirty,
	        .sent_pages = s->round_sent,
	        .skipped_pages = s->round_skipped - deferred,
	        .sent_total_pages = s->metrics.pages_sent,
	        .round_ns = s->round ? ev->now_ns - s->round_start_ns : 0,
	        .bandwidth_bytes_per_s = s->bandwidth,
	        .limit_bytes_per_s = s->config.limit_bytes_per_s,
	        .latency_ns = s->config.latency_ns,
	        .vcpus = s->config.vcpus,
	        .state_bytes = s->config.state_bytes,
	        .downtime_limit_ns = s->config.downtime_limit_ns,
	        .deadline_ns = s->config.deadline_ns,
	        .dirty = &s->owed,
	        .written = s->round ? ev->set : NULL,
	        .activity = s->round ? ev->activity : (struct gw_activity){0},
	};
}

static void report_round(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                         const struct gw_view *view, const struct gw_verdict *verdict)
{
	struct gw_round *round;

	if (!s->round) {
		gw_trace(out, ev->now_ns, WHO, "%llu of %llu pages hold data: %s (%s)",
		         (unsigned long long)view->populated_pages,
		         (unsigned long long)view->ram_pages, gw_decision_name(verdict->decision),
		         verdict->reason);
		return;
	}
	gw_trace(out, ev->now_ns, WHO,
	         "round %u: sent %llu pages in %llu.%03llu s, %llu dirty: %s (%s)", s->round,
	         (unsigned long long)view->sent_pages,
	         (unsigned long long)(view->round_ns / SECOND),
	         (unsigned long long)(view->round_ns % SECOND / 1000000u),
	         (unsigned long long)view->dirty_pages, gw_decision_name(verdict->decision),
	         verdict->reason);
	round = &out->round;
	gw_act(out, GW_ACT_ROUND)->round = round;
	*round = (struct gw_round){
	        .round = s->round,
	        .sent_pages = view->sent_pages,
	        .skipped_pages = view->skipped_pages,
	        .deferred_pages = s->round_deferred,
	        .dirty_pages = view->dirty_pages,
	        .predicted_dirty_pages = s->predicted_dirty,
	        .sdf = gw_view_sdf(view),
	        .duration_ns = view->round_ns,
	        .bandwidth_bytes_per_s = view->bandwidth_bytes_per_s,
	        .activity = view->activity,
	        .decision = verdict->decision,
	};
	memcpy(round->reason, verdict->reason, sizeof(round->reason));
}

static float known(bool is_known, uint64_t value)
{
	return is_known ? (float)value : -1;
}

static void remember_round(struct gw_source *s, const struct gw_view *view)
{
	const struct gw_activity *a = &view->activity;
	const struct gw_seen seen = {
	        .dirty_pages = (float)view->dirty_pages,
	        .written_pages = (float)gw_set_count(view->written),
	        .left_out_pages = (float)s->round_deferred,
	        .seconds = (float)view->round_ns / (float)SECOND,
	        .cpu = known(a->cpu_known, a->cpu_permille),
	        .memory = known(a->memory_pages, a->memory_pages),
	        .network = known(a->network_known, a->network_bytes_per_s),
	        .link = known(a->link_known, a->link_bytes_per_s),
	};

	gw_rounds_add(&s->rounds, &seen);
}

/* At the rate of the rounds so far; what a round takes besides is as in the last one. */
static double next_round_s(const struct gw_source *s, const struct gw_view *view, uint64_t rate,
                           double pages)
{
	double bytes_per_s = (double)(rate ? rate : view->bandwidth_bytes_per_s);
	double besides;

	if (!view->round)
		bytes_per_s = (double)(rate ? rate : s->config.limit_bytes_per_s);
	if (!(bytes_per_s > 0))
		return -1;
	besides = (double)view->round_ns / (double)SECOND -
	          (double)view->sent_pages * GW_PAGE_BYTES / bytes_per_s;
	return (besides > 0 ? besides : 0) + pages * GW_PAGE_BYTES / bytes_per_s;
}

static struct gw_round_forecast forecast_round(const struct gw_source *s,
                                               const struct gw_view *view, uint64_t rate)
{
	uint64_t sent = view->dirty_pages - s->round_deferred;
	const struct gw_next_round next = {
	        .left_out_pages = (double)s->round_deferred,
	        .seconds = next_round_s(s, view, rate, (double)sent),
	        .most_pages = (double)view->ram_pages,
	};

	return gw_rounds_forecast(&s->rounds, s->config.policy.forecast, &next);
}

static void tell_plan(const struct gw_source *s, const struct gw_event *ev,
                      const struct gw_view *view, const char *who, struct gw_actions *out)
{
	unsigned long long left_out = s->round_deferred, dirty = view->dirty_pages;
	char plan[64] = "", expects[128] = "";

	if (left_out)
		(void)snprintf(plan, sizeof(plan), "leaves out %llu of %llu pages", left_out,
		               dirty);
	else
		(void)snprintf(plan, sizeof(plan), "is to send %llu pages", dirty);
	if (s->predicted_dirty != GW_NO_FORECAST)
		(void)snprintf(expects, sizeof(expects), ", expects %llu dirty after it (%s)",
		               (unsigned long long)s->predicted_dirty, who);
	if (left_out || *expects)
		gw_trace(out, ev->now_ns, WHO, "round %u %s%s", s->round, plan, expects);
}

static void leave_out(struct gw_source *s, const struct gw_event *ev, const struct gw_view *view,
                      uint64_t rate, struct gw_actions *out)
{
	const struct gw_policy *policy = &s->config.policy;
	struct gw_round_forecast forecast;
	char who[96];

	s->predicted_dirty = gw_policy_choose(&s->config.policy, view, &s->skip);
	s->round_deferred = gw_set_count(&s->skip);
	(void)snprintf(who, sizeof(who), "%s", policy->kind->name);
	if (s->predicted_dirty == GW_NO_FORECAST) {
		forecast = forecast_round(s, view, rate);
		if (forecast.pages >= 0)
			s->predicted_dirty = (uint64_t)(forecast.pages + 0.5);
		(void)snprintf(who, sizeof(who), "%s%s",
		               forecast.fallback ? "ewma: " : policy->forecast->name,
		               forecast.fallback ? forecast.fallback : "");
	}
	tell_plan(s, ev, view, who, out);
}

static void decide(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_view view;
	struct gw_verdict verdict = {0};
	uint64_t dirty;

	view_of(s, ev, &view);
	if (view.round)
		remember_round(s, &view);
	gw_policy_decide(&s->config.policy, &view, &verdict);
	report_round(s, ev, out, &view, &verdict);
	dirty = view.dirty_pages;
	s->previous_dirty = dirty;
	switch (verdict.decision) {
	case GW_CONTINUE:
		if (s->tracking) {
			begin_round(s, ev, verdict.rate_bytes_per_s, out);
			leave_out(s, ev, &view, verdict.rate_bytes_per_s, out);
		} else {
			s->first_rate = verdict.rate_bytes_per_s;
			s->track_asked = true;
			gw_act(out, GW_ACT_TRACK);
		}
		break;
	case GW_STOP_AND_COPY: begin_switch(s, ev, out, false, verdict.reason); break;
	case GW_POST_COPY:
		s->push_rate = verdict.rate_bytes_per_s;
		begin_switch(s, ev, out, true, verdict.reason);
		break;
	case GW_GIVE_UP: cancel(s, ev, out, verdict.reason, true); break;
	}
}

/* What went over the link since the round, or the last part of Pull, began. */
static void measure(struct gw_source *s, const struct gw_event *ev)
{
	s->measured_ns += ev->now_ns - s->round_start_ns;
	s->measured_bytes += ev->link_bytes - s->round_start_bytes;
	if (s->measured_ns && (s->measured_ns >= MEASURE_NS || !s->bandwidth))
		s->bandwidth = (uint64_t)((double)s->measured_bytes * 1e9 / (double)s->measured_ns);
	if (s->measured_ns >= MEASURE_NS)
		s->measured_ns = s->measured_bytes = 0;
}

/* The next frame of the round: ascending, runs as long as they are. */
static uint32_t gather(struct gw_source *s, uint32_t *pages)
{
	uint32_t count = 0;
	struct gw_run run;

	*pages = 0;
	while (count < GW_FRAME_RUNS_MAX && *pages < GW_FRAME_PAGES_MAX &&
	       gw_set_next_run(&s->owed, s->cursor, GW_FRAME_PAGES_MAX - *pages, &run)) {
		uint64_t end = run.first + run.count;
		uint64_t skip = gw_set_next_before(&s->skip, run.first, end);

		if (skip == run.first) {
			s->cursor = gw_set_next_gap_before(&s->skip, run.first, end);
			s->round_skipped += s->cursor - run.first;
			continue;
		}
		run.count = skip - run.first;
		s->cursor = run.first + run.count;
		s->runs[count++] = run;
		*pages += (uint32_t)run.count;
	}
	return count;
}

static void emit(struct gw_source *s, struct gw_actions *out, enum gw_channel channel,
                 uint32_t count, uint32_t pages)
{
	struct gw_action *action = gw_act(out, GW_ACT_PAGES);
	uint32_t i;

	action->pages.channel = channel;
	action->pages.runs = s->runs;
	action->pages.count = count;
	action->pages.pages = pages;
	for (i = 0; i < count; i++) {
		gw_set_remove_run(&s->owed, s->runs[i]);
		s->metrics.pages_resent += gw_set_count_run(&s->sent, s->runs[i]);
		gw_set_add_run(&s->sent, s->runs[i]);
	}
	s->round_sent += pages;
	s->metrics.pages_sent += pages;
}

static void mark(struct gw_source *s, struct gw_actions *out, enum gw_frame_kind kind)
{
	struct gw_action *action = gw_act(out, GW_ACT_MARK);

	action->mark.kind = kind;
	action->mark.number = s->round;
	s->marked = true;
	s->sending = false;
}

/* --- the switch ---------------------------------------------------------------------------- */

static void announce_switch(struct gw_source *s, struct gw_actions *out,
                            const struct gw_set *missing)
{
	struct gw_message message = {.kind = GW_MSG_SWITCH};

	message.switched.pulls = s->pulls;
	message.switched.missing_pages = s->pulls ? gw_set_count(missing) : 0;
	send(out, message);
	if (s->pulls)
		gw_act(out, GW_ACT_MAP)->set = missing;
}

static void stopped(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	s->stopped_ns = ev->now_ns;
	gw_trace(out, ev->now_ns, WHO, "the VM is stopped");
	if (s->tracking)
		gw_act(out, GW_ACT_SCAN)->final = true;
	else
		gw_act(out, GW_ACT_SURVEY);
}

/* Loading would fault on these, one after the other, while the VM stands. */
static void send_hot(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	uint32_t i, count = 0;

	for (i = 0; i < s->config.hot_count && count < GW_FRAME_PAGES_MAX; i++)
		if (gw_set_has(&s->owed, s->config.hot[i].first))
			s->runs[count++] = s->config.hot[i];
	if (!count)
		return;
	gw_trace(out, ev->now_ns, WHO, "%u pages that loading may read go first", count);
	emit(s, out, GW_BULK, count, count);
}

/* What is needed at once may cost less time now than by a fault: the policy says. */
static void keep(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	uint64_t kept;

	gw_set_copy(&s->skip, &s->owed);
	gw_policy_keep(&s->config.policy, ev->kind == GW_EV_SCANNED ? ev->set : NULL, &s->skip);
	kept = s->image_pages - gw_set_count(&s->skip);
	s->image_pages -= kept;
	if (kept)
		gw_trace(out, ev->now_ns, WHO,
		         "%llu pages go before the handover, while the VM stands",
		         (unsigned long long)kept);
}

/* What is owed now is the last word: the VM is stopped. */
static void switch_known(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->pulls)
		send_hot(s, ev, out);
	s->image_pages = gw_set_count(&s->owed);
	begin_sending(s, ev);
	if (s->pulls)
		keep(s, ev, out);
	gw_trace(out, ev->now_ns, WHO, "%llu pages are left at the switch, to be %s",
	         (unsigned long long)s->image_pages, s->pulls ? "pulled" : "sent");
	announce_switch(s, out, &s->skip);
	if (s->pulls && s->image_pages == gw_set_count(&s->owed))
		mark(s, out, GW_FRAME_SWITCH);
	gw_act(out, GW_ACT_SAVE);
	s->may_be_prepared = true;
	s->waiting_since_ns = ev->now_ns;
}

static void activated(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                      uint64_t after_ns)
{
	if (s->commit_ns) {
		uint64_t trip = ev->now_ns - s->commit_ns;
		uint64_t back = trip > after_ns ? (trip - after_ns) / 2 : 0;

		s->metrics.downtime_ns = ev->now_ns - back - s->stopped_ns;
		s->metrics.stopped_after_ns = s->stopped_ns - s->begun_ns;
		s->metrics.downtime_known = s->stopped_ns != 0;
	}
	enter(s, ev, out, GW_STATE_ACTIVATION, "the destination has the VM");
	journal(out, GW_REC_GONE, true);
	if (s->asked &&
	    !s->stands) /* pages on their way were lost with the link: ask what is there */
		send_plain(out, GW_MSG_RESUME);
}

/* Before COMMIT: nobody else may have resumed the VM. */
static void look(struct gw_source *s, struct gw_actions *out)
{
	s->looking = true;
	if (GW_PLANT == 7) /* does not look */
		journal(out, GW_REC_COMMITTED, false);
	else
		gw_act(out, GW_ACT_LOOK);
}

static void begin_digests(struct gw_source *s, struct gw_actions *out)
{
	if (s->config.verify && !s->digests_sent) {
		s->digests_sent = true;
		gw_act(out, GW_ACT_DIGESTS);
	}
}

static void begin_pull(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	char why[120];

	(void)snprintf(why, sizeof(why), "%llu pages to push, order %s%s",
	               (unsigned long long)gw_set_count(&s->owed), s->config.order.kind->name,
	               shadow_there(s));
	enter(s, ev, out, GW_STATE_PULL, why);
	s->round_start_ns = ev->now_ns;
	s->round_start_bytes = ev->link_bytes;
	gw_act(out, GW_ACT_RATE)->rate_bytes_per_s = s->push_rate;
	s->config.order.kind->start(&s->config.order, ev->now_ns);
	s->marked = false;
	s->sending = true;
}

static void after_activation(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->pulls)
		begin_pull(s, ev, out);
	else
		begin_digests(s, out);
}

static void release(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                    const char *why)
{
	enter(s, ev, out, GW_STATE_RELEASED, why);
	/* The record comes last: a crash before it finds out again, one after it finds nothing. */
	gw_act(out, GW_ACT_RELEASE);
	journal(out, GW_REC_RELEASED, true);
	send_plain(out, GW_MSG_RELEASED);
	keep_reason(s, "the VM runs at the destination");
	finish(s, ev, out, GW_COMPLETED);
}

/* --- room on the bulk connection ----------------------------------------------------------- */

static uint32_t pull_pages(struct gw_source *s, const struct gw_event *ev)
{
	uint64_t pages;

	if (ev->now_ns - s->round_start_ns >= MEASURE_NS) {
		measure(s, ev);
		s->round_start_ns = ev->now_ns;
		s->round_start_bytes = ev->link_bytes;
	}
	if (!s->bandwidth)
		return PULL_PAGES_FIRST;
	pages = s->bandwidth / GW_PAGE_BYTES * PULL_FRAME_NS / SECOND;
	if (pages < PULL_PAGES_MIN)
		return PULL_PAGES_MIN;
	return pages < PULL_PAGES_MAX ? (uint32_t)pages : PULL_PAGES_MAX;
}

static void push(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	uint32_t count, pages = 0, i;

	count = (uint32_t)s->config.order.kind->next(&s->config.order, &s->owed, ev->now_ns,
	                                             s->runs, GW_FRAME_RUNS_MAX, pull_pages(s, ev));
	for (i = 0; i < count; i++)
		pages += (uint32_t)s->runs[i].count;
	if (count)
		emit(s, out, GW_BULK, count, pages);
	pace_shadow(s, out);
	if (gw_set_empty(&s->owed)) {
		mark(s, out, GW_FRAME_END);
		end_shadow(s, out);
	} else if (!count) {
		s->sending = false; /* until a fault, or the order's deadline */
	}
}

static void room(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	uint32_t pages, count;

	if (!gw_source_wants_room(s) || s->marked)
		return;
	if (s->state == GW_STATE_PULL) {
		push(s, ev, out);
		return;
	}
	if (s->state == GW_STATE_ITERATIVE_PRE_COPY && gw_policy_peeks(&s->config.policy) &&
	    ev->now_ns - s->peeked_ns >= PEEK_NS) {
		s->peeked_ns = ev->now_ns;
		gw_act(out, GW_ACT_PEEK);
		return;
	}
	count = gather(s, &pages);
	if (count)
		emit(s, out, GW_BULK, count, pages);
	else
		mark(s, out, s->state == GW_STATE_STOP_AND_COPY ? GW_FRAME_SWITCH : GW_FRAME_ROUND);
	if (s->marked)
		s->waiting_since_ns = ev->now_ns;
}

/* --- after a lost link --------------------------------------------------------------------- */

/* While the VM stands between the two sides, or pages are owed, the link is worth a new attempt. */
static bool needs_link(const struct gw_source *s)
{
	if (s->finished || s->link)
		return false;
	if (s->state == GW_STATE_CANCELLED)
		return !s->settled && s->may_be_prepared;
	return s->state >= GW_STATE_COMMITMENT && s->state <= GW_STATE_PULL;
}

static void reconnect(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->connecting || !needs_link(s))
		return;
	s->connecting = true;
	s->retry_ns = ev->now_ns;
	gw_act(out, GW_ACT_CONNECT);
}

static void link_lost(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	bool was_up = s->link;
	char why[GW_TRACE_BYTES];

	if (s->finished)
		return;
	s->link = false;
	s->connecting = false;
	s->have_whole = s->answered = false;
	if (was_up) {
		gw_act(out, GW_ACT_HANG_UP);
		s->lost_ns = ev->now_ns;
		s->sending = false;
		gw_trace(out, ev->now_ns, WHO, "the link is lost in %s: %.120s",
		         gw_state_name(s->state), ev->text);
	}
	if (is_ours(s)) {
		(void)snprintf(why, sizeof(why), "the link to the destination was lost: %.150s",
		               ev->text);
		cancel(s, ev, out, why, true);
	} else if (s->state == GW_STATE_CANCELLED && !s->may_be_prepared) {
		s->settled = true;
		settle(s, ev, out);
	}
	s->retry_ns = ev->now_ns;
	if (was_up)
		reconnect(s, ev, out);
}

static void link_up(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	s->link = true;
	s->connecting = false;
	s->heard_ns = ev->now_ns;
	if (s->finished)
		return;
	gw_trace(out, ev->now_ns, WHO, "the link stands again");
	if (s->state == GW_STATE_CANCELLED) {
		send(out, gw_message_reason(GW_MSG_ABORT, s->reason));
	} else {
		s->asked = true;
		s->stands = false;
		send_plain(out, GW_MSG_RESUME);
	}
}

static void never_ran_there(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                            const char *why)
{
	s->stop_asked = true;
	s->may_be_prepared = false;
	cancel(s, ev, out, why, false);
}

/* The destination says so only of what it never ran; a stranger says so of everything. */
static int unknown_there(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	bool same = gw_id_same(&ev->message->standing.host, &s->config.destination);

	if (GW_PLANT == 6) /* believes whoever answers */
		same |= s->state == GW_STATE_COMMITMENT;
	if (!same) {
		keep_reason(s,
		            "another host answers than the one to which the VM was handed over, "
		            "or it has lost its journals: that it knows nothing of the VM proves "
		            "nothing; `recover --to` names the right one, `resolve "
		            "--run-here|--gone` lets you say");
		give_up_waiting(s, ev, out);
		return 0;
	}
	if (s->state == GW_STATE_ACTIVATION || s->state == GW_STATE_PULL) {
		keep_reason(s, "the destination, to which the VM has gone, knows nothing of it any "
		               "more: somebody said there that it is gone; `resolve "
		               "--run-here|--gone` lets you say what becomes of it here");
		give_up_waiting(s, ev, out);
		return 0;
	}
	if (s->state != GW_STATE_COMMITMENT)
		return -EPROTO;
	never_ran_there(s, ev, out, "the destination never ran the VM");
	return 0;
}

/* On a new link it waits for COMMIT: one that was said on an old link never comes. */
static int prepared_there(struct gw_source *s, bool asked_for, struct gw_actions *out)
{
	if (s->state != GW_STATE_COMMITMENT || !asked_for)
		return -EPROTO;
	s->committed = false;
	look(s, out);
	return 0;
}

static int standing(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	enum gw_standing where = ev->message->standing.standing;
	bool asked_for = s->asked && !s->answered;

	s->answered = true;
	if (s->state == GW_STATE_CANCELLED)
		return where == GW_STANDS_RUNNING || where == GW_STANDS_COMPLETE ? -EPROTO : 0;
	switch (where) {
	case GW_STANDS_UNKNOWN: return unknown_there(s, ev, out);
	case GW_STANDS_PREPARED: return prepared_there(s, asked_for, out);
	case GW_STANDS_RUNNING:
		s->pulls = s->stands = true;
		if (s->state == GW_STATE_COMMITMENT)
			activated(s, ev, out, 0);
		gw_set_clear(&s->skip); /* the MAP of what is there follows */
		return 0;
	case GW_STANDS_COMPLETE:
		/* All pages are in; what it says next is DONE. */
		s->pulls = false;
		s->marked = s->stands = true;
		if (s->state == GW_STATE_COMMITMENT)
			activated(s, ev, out, 0);
		return 0;
	case GW_STANDS_DOUBT:
		if (s->state != GW_STATE_COMMITMENT)
			keep_reason(s, "the destination, to which the VM has gone, does not know "
			               "whether it may run: `resolve` there");
		give_up_waiting(s, ev, out);
		return 0;
	}
	return -EPROTO;
}

static int map_of_what_is_there(struct gw_source *s, const struct gw_event *ev,
                                struct gw_actions *out)
{
	const struct gw_message *m = ev->message;
	uint32_t i;

	if (!s->pulls || (s->state != GW_STATE_ACTIVATION && s->state != GW_STATE_PULL))
		return -EPROTO;
	for (i = 0; i < m->map.count; i++)
		gw_set_add_run(&s->skip, m->map.runs[i]);
	s->have_whole = m->map.last;
	if (m->map.last)
		gw_act(out, GW_ACT_SURVEY);
	return 0;
}

/* The image is frozen: what it holds and the destination lacks is owed. */
static void take_up_pull(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (GW_PLANT != 12) { /* 12: what was on its way counts as there */
		gw_set_copy(&s->owed, ev->set);
		gw_set_subtract(&s->owed, &s->skip);
	}
	s->image_pages = gw_set_count(&s->owed);
	s->digests_sent = s->asked = false;
	announce_switch(s, out, &s->owed);
	begin_pull(s, ev, out);
}

/* --- events -------------------------------------------------------------------------------- */

static void tell_observed(const struct gw_source *s, const struct gw_event *ev,
                          struct gw_actions *out)
{
	if (s->observed_windows)
		gw_trace(out, ev->now_ns, WHO,
		         "observed for %llu ms in %zu windows: %llu different pages were written",
		         (unsigned long long)(s->observed_ns / 1000000), s->observed_windows,
		         (unsigned long long)s->observed_pages);
}

static void offer(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_message message = {.kind = GW_MSG_OFFER};

	message.offer.flags = (s->config.policy.kind->pulls ? GW_OFFER_PULLS : 0) |
	                      (s->config.verify ? GW_OFFER_VERIFIES : 0) |
	                      (s->config.paused ? GW_OFFER_PAUSED : 0);
	message.offer.vcpus = s->config.vcpus;
	message.offer.ram_bytes = s->config.ram_pages * GW_PAGE_BYTES;
	message.offer.name = s->config.name;
	message.offer.name_bytes = (uint32_t)strlen(s->config.name);
	message.offer.spec = s->config.spec;
	message.offer.spec_bytes = s->config.spec_bytes;
	s->link = true;
	s->heard_ns = ev->now_ns;
	enter(s, ev, out, GW_STATE_RESERVATION, "the VM is offered to the destination");
	send(out, message);
	prepare_shadow(s, out); /* while the destination starts its hypervisor */
}

static void accepted(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	s->begun_ns = ev->now_ns;
	enter(s, ev, out, GW_STATE_ITERATIVE_PRE_COPY, "the destination has reserved its place");
	s->config.destination = ev->message->accept.host;
	gw_act(out, GW_ACT_PEER)->host = s->config.destination;
	journal(out, GW_REC_LEAVING, false);
}

/* Once the record is on disk and what was stale is out of the way there. */
static void maybe_stop(struct gw_source *s, struct gw_actions *out)
{
	if (!s->handing_over || s->punching || s->stop_asked)
		return;
	s->stop_asked = true;
	gw_act(out, GW_ACT_STOP);
}

static void journaled(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	switch (s->state) {
	case GW_STATE_ITERATIVE_PRE_COPY: gw_act(out, GW_ACT_SURVEY); break;
	case GW_STATE_STOP_AND_COPY:
		s->handing_over = true;
		maybe_stop(s, out);
		break;
	case GW_STATE_COMMITMENT:
		if (GW_PLANT == 1)
			break;
		s->committed = true;
		s->commit_ns = ev->now_ns;
		send_plain(out, GW_MSG_COMMIT);
		break;
	case GW_STATE_ACTIVATION:
		if (!s->asked)
			after_activation(s, ev, out);
		break;
	default: break;
	}
}

static void surveyed(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state == GW_STATE_ACTIVATION || s->state == GW_STATE_PULL) {
		if (s->have_whole) /* else it answers for a link that is gone */
			take_up_pull(s, ev, out);
		return;
	}
	if (s->state != GW_STATE_ITERATIVE_PRE_COPY && s->state != GW_STATE_STOP_AND_COPY)
		return;
	gw_set_copy(&s->owed, ev->set);
	s->populated_pages = gw_set_count(&s->owed);
	if (s->state == GW_STATE_STOP_AND_COPY)
		switch_known(s, ev, out);
	else
		decide(s, ev, out);
}

static void tracking(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_view view;

	if (s->state != GW_STATE_ITERATIVE_PRE_COPY) {
		gw_act(out, GW_ACT_LET_GO);
		return;
	}
	s->tracking = true;
	s->track_asked = false;
	gw_set_copy(&s->owed, ev->set);
	s->populated_pages = gw_set_count(&s->owed);
	s->previous_dirty = s->populated_pages;
	view_of(s, ev, &view);
	begin_round(s, ev, s->first_rate, out);
	leave_out(s, ev, &view, s->first_rate, out);
}

static void scanned(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state != GW_STATE_ITERATIVE_PRE_COPY && s->state != GW_STATE_STOP_AND_COPY)
		return;
	if (GW_PLANT != 9 || s->state != GW_STATE_STOP_AND_COPY) /* 9: the last scan is ignored */
		gw_set_union(&s->owed, ev->set);
	if (s->state == GW_STATE_STOP_AND_COPY)
		switch_known(s, ev, out);
	else
		decide(s, ev, out);
}

static int round_acked(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->asked && !s->answered)
		return 0; /* said before RESUME was heard, to which the answer says it all */
	if (s->state == GW_STATE_PULL && s->marked) {
		begin_digests(s, out); /* every page is in place there */
		return 0;
	}
	if (s->state == GW_STATE_STOP_AND_COPY && s->punching) {
		s->punching = false;
		maybe_stop(s, out);
		return 0;
	}
	if (s->state != GW_STATE_ITERATIVE_PRE_COPY)
		return s->state == GW_STATE_CANCELLED ? 0 : -EPROTO;
	if (!s->marked || ev->message->round_ack.round != s->round)
		return -EPROTO;
	s->marked = false; /* a second one would scan twice, and be taken for the last scan */
	measure(s, ev);
	gw_act(out, GW_ACT_SCAN)->final = false;
	return 0;
}

static int prepared(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state == GW_STATE_CANCELLED)
		return 0; /* our ABORT is on its way */
	if (s->state != GW_STATE_STOP_AND_COPY || !s->marked)
		return -EPROTO;
	enter(s, ev, out, GW_STATE_COMMITMENT, "the destination is prepared");
	if (GW_PLANT == 1) /* COMMIT before the record */
		send_plain(out, GW_MSG_COMMIT);
	look(s, out);
	return 0;
}

/* As we asked, or as the last look before COMMIT found it. */
static void vm_stands(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state == GW_STATE_STOP_AND_COPY && s->stop_asked && !s->stopped_ns) {
		stopped(s, ev, out);
	} else if (s->state == GW_STATE_COMMITMENT && s->looking) {
		s->looking = false;
		journal(out, GW_REC_COMMITTED, false);
	}
}

static int fault(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	uint64_t page = ev->message->fault.page;

	if (s->state == GW_STATE_CANCELLED)
		return 0;
	if (s->state < GW_STATE_STOP_AND_COPY || s->state > GW_STATE_PULL)
		return -EPROTO;
	if (!s->pulls && !s->asked) /* who was asked is known to pull only by its answer */
		return -EPROTO;
	if (page >= s->owed.pages)
		return -EPROTO;
	s->waiting_since_ns = ev->now_ns;
	/* Not owed any more: it lies in bulk's queue. Sent once more it need not wait for that. */
	if (!pushes(s) || !gw_order_comes_next(&s->config.order, page)) {
		s->runs[0] = (struct gw_run){page, 1};
		emit(s, out, GW_URGENT, 1, 1);
	}
	if (pushes(s)) {
		tell_order(s, ev, page, out);
		s->sending = true;
	}
	return 0;
}

static int done(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	const struct gw_message *m = ev->message;

	if (s->state != GW_STATE_ACTIVATION && s->state != GW_STATE_PULL)
		return -EPROTO;
	/* On a new link it may have become whole by what came over the old one. */
	if (s->state == GW_STATE_PULL && !s->marked && !s->stands)
		return -EPROTO;
	s->metrics.faults = m->done.faults;
	s->metrics.stall_ns = m->done.stall_ns / (s->config.vcpus ? s->config.vcpus : 1);
	s->metrics.fault_p50_ns = m->done.fault_p50_ns;
	s->metrics.fault_p99_ns = m->done.fault_p99_ns;
	s->metrics.fault_max_ns = m->done.fault_max_ns;
	release(s, ev, out, "the destination needs nothing more");
	return 0;
}

/* It ran there, if only for an instant: our copy is kept, but only a person may run it. */
static void ended_there(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out,
                        const char *why)
{
	(void)snprintf(s->reason, sizeof(s->reason),
	               "%.100s; the copy of the moment of the switch is kept here: `resolve "
	               "--run-here` runs it, `resolve --gone` drops it",
	               why);
	enter(s, ev, out, GW_STATE_DOUBT, why);
	journal(out, GW_REC_DOUBT, true);
	finish(s, ev, out, GW_LOST);
}

static int aborted(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_event lost = *ev;
	char text[GW_TRACE_BYTES];

	text_of(ev->message, text, sizeof(text));
	if (s->state <= GW_STATE_PULL && s->asked && !s->answered &&
	    ev->message->kind == GW_MSG_ABORTED) {
		lost.text = "who says ABORTED has not said who it is";
		link_lost(s, &lost, out); /* and asks again */
		return 0;
	}
	switch (s->state) {
	case GW_STATE_CANCELLED:
		s->settled = true;
		settle(s, ev, out);
		return 0;
	case GW_STATE_RESERVATION:
	case GW_STATE_ITERATIVE_PRE_COPY:
	case GW_STATE_STOP_AND_COPY:
		s->may_be_prepared = false;
		cancel(s, ev, out, text, ev->message->kind == GW_MSG_ABORT);
		return 0;
	case GW_STATE_COMMITMENT:
		if (ev->message->kind == GW_MSG_ABORTED)
			never_ran_there(s, ev, out, text);
		else
			ended_there(s, ev, out, text);
		return 0;
	case GW_STATE_ACTIVATION:
	case GW_STATE_PULL:
		if (ev->message->kind == GW_MSG_ABORTED)
			return -EPROTO;
		ended_there(s, ev, out, text);
		return 0;
	default: return -EPROTO;
	}
}

static int message(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	const struct gw_message *m = ev->message;
	char text[GW_TRACE_BYTES];

	s->heard_ns = ev->now_ns;
	switch (m->kind) {
	case GW_MSG_ACCEPT:
		if (s->state != GW_STATE_RESERVATION)
			return s->state == GW_STATE_CANCELLED ? 0 : -EPROTO;
		accepted(s, ev, out);
		return 0;
	case GW_MSG_REFUSE:
		if (s->state != GW_STATE_RESERVATION)
			return s->state == GW_STATE_CANCELLED ? 0 : -EPROTO;
		cancel(s, ev, out, text_of(m, text, sizeof(text)), false);
		return 0;
	case GW_MSG_ROUND_ACK: return round_acked(s, ev, out);
	case GW_MSG_PREPARED: return prepared(s, ev, out);
	case GW_MSG_ACTIVATED:
		if (s->state != GW_STATE_COMMITMENT)
			return -EPROTO;
		activated(s, ev, out, m->activated.after_ns);
		return 0;
	case GW_MSG_FAULT: return fault(s, ev, out);
	case GW_MSG_DONE: return done(s, ev, out);
	case GW_MSG_ABORT:
	case GW_MSG_ABORTED: return aborted(s, ev, out);
	case GW_MSG_STANDING: return standing(s, ev, out);
	case GW_MSG_MAP: return map_of_what_is_there(s, ev, out);
	case GW_MSG_VERDICT:
		s->metrics.verified = true;
		s->metrics.pages_compared = m->verdict.compared;
		s->metrics.pages_different = m->verdict.different;
		s->metrics.first_different = m->verdict.first_different;
		return 0;
	case GW_MSG_PING:
		send(out, (struct gw_message){.kind = GW_MSG_PONG, .ping = m->ping});
		return 0;
	case GW_MSG_PONG: return 0;
	default: return -EPROTO;
	}
}

static void user_abort(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (is_ours(s))
		cancel(s, ev, out, ev->text, true);
	else if (s->state != GW_STATE_CANCELLED)
		gw_trace(out, ev->now_ns, WHO,
		         "abort is refused in %s: the VM has been handed over",
		         gw_state_name(s->state));
}

static void failed(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (is_ours(s)) {
		cancel(s, ev, out, ev->text, true);
		return;
	}
	gw_trace(out, ev->now_ns, WHO, "%.200s", ev->text);
	if (s->state == GW_STATE_CANCELLED && s->resuming) {
		/* The VM stands here, stopped: it is ours, but a person must look. */
		(void)snprintf(s->reason, sizeof(s->reason),
		               "the VM is at the source but could not be resumed: %.140s",
		               ev->text);
		came_back(s, ev, out);
	}
}

/*
 * Neither a VM that is taken back is kept waiting for that, nor one that runs there: instead of
 * `gone` the record `committed` stands, by which another agent asks the destination.
 */
static void unwritten(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state == GW_STATE_CANCELLED)
		gw_trace(out, ev->now_ns, WHO, "%.200s", ev->text);
	else
		failed(s, ev, out);
	if (s->state == GW_STATE_ACTIVATION && !s->asked)
		after_activation(s, ev, out);
}

static void recover(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	s->lost_ns = ev->now_ns;
	s->begun_ns = ev->now_ns;
	gw_trace(out, ev->now_ns, WHO, "taking up a migration that was left as `%s`",
	         gw_journal_record_name(ev->recover.record));
	switch (ev->recover.record) {
	case GW_REC_LEAVING:
		s->track_asked = true; /* it may have been standing when the agent died */
		cancel(s, ev, out, "the agent was restarted during the move", false);
		break;
	case GW_REC_HANDING_OVER:
		/* COMMIT was never sent: the record `committed` would stand in its place. */
		s->stop_asked = true;
		s->may_be_prepared = true;
		cancel(s, ev, out, "the agent was restarted during the move", true);
		reconnect(s, ev, out);
		break;
	case GW_REC_COMMITTED:
	case GW_REC_DOUBT:
		s->committed = true; /* perhaps: what fails now gives nothing back */
		s->stop_asked = s->may_be_prepared = true;
		s->state = GW_STATE_COMMITMENT;
		reconnect(s, ev, out);
		break;
	case GW_REC_GONE:
		s->state = GW_STATE_PULL;
		s->pulls = true;
		reconnect(s, ev, out);
		break;
	default:
		keep_reason(s, "there is nothing to recover");
		finish(s, ev, out, GW_STAYED);
		break;
	}
}

static void silence(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_event lost = *ev;

	if (ev->now_ns - s->heard_ns >= s->config.link_timeout_ns) {
		lost.text = "the destination has been silent for too long";
		link_lost(s, &lost, out);
	} else if (ev->now_ns - s->heard_ns >= PING_NS && ev->now_ns - s->pinged_ns >= PING_NS) {
		s->pinged_ns = ev->now_ns;
		send(out, (struct gw_message){.kind = GW_MSG_PING, .ping.token = ev->now_ns});
	}
}

static bool watches_silence(const struct gw_source *s)
{
	return s->link && s->state >= GW_STATE_ITERATIVE_PRE_COPY && s->state <= GW_STATE_PULL;
}

static void tick(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	if (s->state == GW_STATE_RESERVATION &&
	    ev->now_ns - s->waiting_since_ns >= s->config.accept_timeout_ns) {
		cancel(s, ev, out, "the destination did not answer the offer in time", true);
		return;
	}
	if (s->state == GW_STATE_STOP_AND_COPY && s->marked &&
	    ev->now_ns - s->waiting_since_ns >= s->config.switch_timeout_ns) {
		cancel(s, ev, out, "the destination did not load the device state in time", true);
		return;
	}
	if (s->state == GW_STATE_CANCELLED && !s->settled) {
		uint64_t limit = s->link ? FAREWELL_NS : s->config.reconnect_ns;

		if (ev->now_ns - s->lost_ns >= limit) {
			s->settled = true;
			settle(s, ev, out);
			return;
		}
	}
	if (needs_link(s)) {
		if (ev->now_ns - s->lost_ns >= s->config.reconnect_ns)
			give_up_waiting(s, ev, out);
		else if (ev->now_ns - s->retry_ns >= RETRY_NS)
			reconnect(s, ev, out);
		return;
	}
	if (pushes(s))
		s->sending = true; /* the order said when to ask again */
	if (watches_silence(s))
		silence(s, ev, out);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t gw_source_deadline(const struct gw_source *s)
{
	uint64_t when = UINT64_MAX;

	if (s->finished)
		return when;
	if (s->state == GW_STATE_RESERVATION)
		when = earlier(when, s->waiting_since_ns + s->config.accept_timeout_ns);
	if (s->state == GW_STATE_STOP_AND_COPY && s->marked)
		when = earlier(when, s->waiting_since_ns + s->config.switch_timeout_ns);
	if (s->state == GW_STATE_CANCELLED && !s->settled)
		when = earlier(when, s->lost_ns + (s->link ? FAREWELL_NS : s->config.reconnect_ns));
	if (needs_link(s)) {
		when = earlier(when, s->lost_ns + s->config.reconnect_ns);
		if (!s->connecting)
			when = earlier(when, s->retry_ns + RETRY_NS);
	}
	if (pushes(s) && !s->sending)
		when = earlier(when, gw_order_deadline(&s->config.order));
	if (watches_silence(s)) {
		uint64_t last = s->heard_ns > s->pinged_ns ? s->heard_ns : s->pinged_ns;

		when = earlier(when, last + PING_NS);
		when = earlier(when, s->heard_ns + s->config.link_timeout_ns);
	}
	return when;
}

static void peer_broke_protocol(struct gw_source *s, const struct gw_event *ev,
                                struct gw_actions *out)
{
	struct gw_event lost = *ev;
	char text[GW_TRACE_BYTES];

	(void)snprintf(text, sizeof(text), "the destination broke the protocol: %s in %s",
	               gw_message_name(ev->message->kind), gw_state_name(s->state));
	lost.text = text;
	link_lost(s, &lost, out);
}

int gw_source_step(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	int err = 0;

	gw_actions_begin(out);
	if (s->finished)
		return 0;
	switch (ev->kind) {
	case GW_EV_START:
		tell_observed(s, ev, out);
		offer(s, ev, out);
		break;
	case GW_EV_RECOVER: recover(s, ev, out); break;
	case GW_EV_MESSAGE: err = message(s, ev, out); break;
	case GW_EV_JOURNALED: journaled(s, ev, out); break;
	case GW_EV_SURVEYED: surveyed(s, ev, out); break;
	case GW_EV_TRACKING: tracking(s, ev, out); break;
	case GW_EV_ROOM: room(s, ev, out); break;
	case GW_EV_SCANNED: scanned(s, ev, out); break;
	case GW_EV_PEEKED: gw_set_union(&s->skip, ev->set); break;
	case GW_EV_STOPPED: vm_stands(s, ev, out); break;
	case GW_EV_SAVED:
		s->waiting_since_ns = ev->now_ns;
		gw_trace(out, ev->now_ns, WHO, "the device state is saved");
		run_shadow(s, out);
		break;
	case GW_EV_SHADOW_STARTED: shadow_started(s, ev, out); break;
	case GW_EV_TOUCHED: touched(s, ev, out); break;
	case GW_EV_SHADOW_GONE: shadow_gone(s, ev, out); break;
	case GW_EV_RUNNING:
		if (s->state == GW_STATE_CANCELLED && s->resuming)
			came_back(s, ev, out);
		else
			runs_again(s, ev, out);
		break;
	case GW_EV_LINK_UP: link_up(s, ev, out); break;
	case GW_EV_LINK_LOST: link_lost(s, ev, out); break;
	case GW_EV_VM_GONE: vm_gone(s, ev, out); break;
	case GW_EV_FAILED: failed(s, ev, out); break;
	case GW_EV_UNWRITTEN: unwritten(s, ev, out); break;
	case GW_EV_ABORT: user_abort(s, ev, out); break;
	case GW_EV_TICK: tick(s, ev, out); break;
	default: break;
	}
	if (err == -EPROTO)
		peer_broke_protocol(s, ev, out);
	s->metrics.bytes_on_link = ev->link_bytes;
	return err;
}
