/* SPDX-License-Identifier: MIT */
/*
 * core/policy/policy.h - what a migration policy sees and answers.
 *
 * A policy is asked once before the first pass (round 0) and once after every round. It looks at a
 * read-only view and gives one decision with its reason. It keeps what it must remember in
 * caller's memory, knows no clock (time is in the view) and sends nothing itself.
 *
 * A policy may leave pages out of the next round. They stay owed: they count as dirty, are chosen
 * anew before the round after it, and go in stop-and-copy or are pulled at the latest.
 *
 * Adding a policy: one file, one row in policy.c's table, one trace test.
 */
#ifndef GW_CORE_POLICY_POLICY_H
#define GW_CORE_POLICY_POLICY_H

#include "core/page/set.h"
#include "core/predict/observation.h"
#include "core/predict/ranking.h"
#include "core/predict/rounds.h"

enum gw_decision {
	GW_CONTINUE,      /* send another round of dirty pages */
	GW_STOP_AND_COPY, /* stop the VM, send what is left, hand over */
	GW_POST_COPY,     /* stop the VM, hand over, pull what is left */
	GW_GIVE_UP,       /* the limits cannot be kept; the VM stays at the source */
};

const char *gw_decision_name(enum gw_decision decision);

/* After round n, in S3's terms: S(n) = sent_pages, V2(n) = dirty_pages, R(n) = sent_total_pages. */
struct gw_view {
	unsigned round;                 /* rounds completed; 0 before the first */
	uint64_t now_ns;                /* since Reservation was accepted */
	uint64_t ram_pages;             /* size of guest memory */
	uint64_t populated_pages;       /* pages that are not holes, V2(0) */
	uint64_t dirty_pages;           /* V2(n) */
	uint64_t previous_dirty_pages;  /* V2(n-1) */
	uint64_t sent_pages;            /* S(n), zero pages included */
	uint64_t skipped_pages;         /* dirtied again before their turn came (xen, clark) */
	uint64_t sent_total_pages;      /* R(n) */
	uint64_t round_ns;              /* duration of round n */
	uint64_t bandwidth_bytes_per_s; /* measured over at least 100 ms; 0: not yet known */
	uint64_t limit_bytes_per_s;     /* user's rate limit; 0: none */
	uint64_t latency_ns;            /* of the link, one way; 0: not known */
	uint32_t vcpus;                 /* among which stalls are divided */
	uint64_t state_bytes;           /* expected size of the device state */
	uint64_t downtime_limit_ns;     /* user's limit */
	uint64_t deadline_ns;           /* total time the user allows; 0: none */
	const struct gw_set *dirty;     /* borrowed: the pages themselves */
	const struct gw_set *written;   /* borrowed: those written in round n; NULL in round 0 */
	struct gw_activity activity;    /* in round n; all zeros in round 0 */
};

#define GW_REASON_BYTES 192

struct gw_verdict {
	enum gw_decision decision;
	/* For the next round, or for what is pushed after the switch; 0: the user's limit. */
	uint64_t rate_bytes_per_s;
	char reason[GW_REASON_BYTES]; /* a few words, for the trace and the user */
};

/* S3, equation 7: what a page sent in this round was worth. At most 1; 0 if none was sent. */
double gw_view_sdf(const struct gw_view *view);

#define GW_POLICY_MEMORY 256
/* For so long a policy that forecasts from windows wants to see a VM (S3, section 3.1: 160 of 50 ms). */
#define GW_OBSERVES_NS UINT64_C(8000000000)
#define GW_NO_FORECAST UINT64_MAX

/* A policy's settings and memory: plain bytes, copied with the struct until it is started. */
struct gw_policy {
	const struct gw_policy_kind *kind;
	/* Who forecasts a round where the policy itself does not. */
	const struct gw_count_predictor *forecast;
	uint64_t observes_ns; /* as the user says; UINT64_MAX: as is needed */
	_Alignas(16) unsigned char memory[GW_POLICY_MEMORY];
};

struct gw_policy_kind {
	const char *name;
	const char *summary;  /* one line for --help */
	const char *settings; /* "key=default ..." for --help; "" if none */
	const char *order;    /* the push order that goes with it; NULL: linear */
	bool pulls;           /* may answer GW_POST_COPY: the destination must serve faults */
	bool chooses;         /* stands for another, taken once the VM has been observed */
	bool at_once;         /* has no rounds, and so nothing to forecast */
	void (*init)(struct gw_policy *policy);
	/* 0, -ENOENT for an unknown key, -EINVAL for a bad value. */
	int (*set)(struct gw_policy *policy, const char *key, const char *value);
	/* True if pages dirtied again should be skipped within a round. NULL: never. */
	bool (*peeks)(const struct gw_policy *policy);
	void (*decide)(struct gw_policy *policy, const struct gw_view *view,
	               struct gw_verdict *verdict);
	/* What it remembers of single pages, in caller's memory, aligned as words. NULL: nothing.
	 */
	size_t (*bytes)(const struct gw_policy *policy, uint64_t ram_pages);
	/* What was observed before the move is borrowed for the call; it may be empty. */
	void (*start)(struct gw_policy *policy, void *memory, uint64_t ram_pages,
	              const struct gw_observation *observation);
	uint64_t observes_ns; /* for so long the VM should be observed before its move */
	/*
	 * After GW_CONTINUE: adds to `defer`, which is empty, the pages of view->dirty that the
	 * next round leaves out; in round 0 those that the first pass does. Returns how many pages
	 * it expects to be dirty after that round, or GW_NO_FORECAST. NULL: leaves out none.
	 */
	uint64_t (*choose)(struct gw_policy *policy, const struct gw_view *view,
	                   struct gw_set *defer);
	/*
	 * After GW_POST_COPY, while the VM still runs: pages likeliest to be needed first, as far
	 * as they have a score. `left` is dirty now; a page may be named that is written only
	 * before the VM stops.
	 */
	void (*rank)(struct gw_policy *policy, const struct gw_set *left,
	             struct gw_ranking *ranking);
	/*
	 * Once the VM has stopped: takes out of `pull`, the pages that are left, those that are to
	 * be sent before the handover; the VM stands meanwhile. `written`: since `rank`. NULL:
	 * none.
	 */
	void (*keep)(struct gw_policy *policy, const struct gw_set *written, struct gw_set *pull);
};

/* The table, ended by NULL. */
extern const struct gw_policy_kind *const gw_policies[];

/* 0, or -ENOENT: no such policy. */
int gw_policy_init(struct gw_policy *policy, const char *name);
/*
 * Besides its own settings each policy has `observe`, a duration, and each with rounds `forecast`,
 * a name of gw_count_predictors.
 */
int gw_policy_set(struct gw_policy *policy, const char *key, const char *value);
/* The push order to take where the user names none. */
const char *gw_policy_order(const struct gw_policy *policy);
/* Once all is set and before the first question: bytes of memory, and that memory. */
size_t gw_policy_bytes(const struct gw_policy *policy, uint64_t ram_pages);
void gw_policy_start(struct gw_policy *policy, void *memory, uint64_t ram_pages,
                     const struct gw_observation *observation);
/* For how long the world is to observe the VM before the move; 0: not at all. */
uint64_t gw_policy_observes_ns(const struct gw_policy *policy);
bool gw_policy_peeks(const struct gw_policy *policy);
void gw_policy_decide(struct gw_policy *policy, const struct gw_view *view,
                      struct gw_verdict *verdict);
/* As the callbacks above; `defer` need not be empty. */
uint64_t gw_policy_choose(struct gw_policy *policy, const struct gw_view *view,
                          struct gw_set *defer);
void gw_policy_rank(struct gw_policy *policy, const struct gw_set *left,
                    struct gw_ranking *ranking);
/* `written` may be NULL: not known. */
void gw_policy_keep(struct gw_policy *policy, const struct gw_set *written, struct gw_set *pull);

#endif
