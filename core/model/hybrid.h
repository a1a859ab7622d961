/* SPDX-License-Identifier: MIT */
/*
 * core/model/hybrid.h - S5's closed forms: what a migration takes, told beforehand.
 *
 * Hybrid migration in three parts (S5, equations 1 to 12): V1 = V lw/(lw+lr) is sent iteratively
 * while the VM runs; l is sent while it stands; V3 = V - V1 is pulled afterwards, on demand at the
 * whole rate, in the background at its share.
 *
 *     T1 = sum over i = 0..n of V1 (lw/mu)^i / mu        n = ceil(log_{mu/lw}(V1/l)), at least 0
 *     T2 = l / mu
 *     T3 = V3 / (eta mu + (1 - eta) lr)                  Va = lr T3, asked for by faults
 *        = V3 / mu, Va = V3                              once lr T3 reaches V3
 *     total = T1 + T2 + T3                               unavailable = T2 + Va / mu
 *
 * Pre-copy is V1 = V with no T3, post-copy V3 = V with no T1 and T2 = state / mu. Volumes and rates
 * may have any unit as long as it is one unit; times are in seconds.
 */
#ifndef GW_CORE_MODEL_HYBRID_H
#define GW_CORE_MODEL_HYBRID_H

#include <stdint.h>

enum gw_model_kind { GW_MODEL_PRECOPY, GW_MODEL_POSTCOPY, GW_MODEL_HYBRID };

struct gw_model_input {
	double volume;           /* V, more than 0 */
	double bandwidth;        /* mu, more than 0 */
	double write_rate;       /* lambda_w, at least 0 */
	double read_rate;        /* lambda_r, at least 0 */
	double stop_limit;       /* l, more than 0 but for post-copy */
	double background_share; /* eta, in (0, 1] */
	double state;            /* post-copy: sent while the VM stands, at least 0 */
};

/* Times are INFINITY where the iterative part diverges (lambda_w >= mu). */
struct gw_model_times {
	uint64_t rounds; /* n */
	double iterative_s, stopped_s, pull_s;
	double total_s, unavailable_s;
};

/* 0, or -EINVAL and *why: which value is impossible. */
int gw_model(enum gw_model_kind kind, const struct gw_model_input *input,
             struct gw_model_times *times, const char **why);

#endif
