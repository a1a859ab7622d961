/* SPDX-License-Identifier: MIT */
/*
 * core/model/course.h - how a move is expected to go on from the end of each of its rounds.
 *
 *     |--- round 1 ---|-- round 2 --|- 3 -|stop|   pull   |
 *                                   |<----- left_ns ----->|   of round 2
 *
 * Dirty rates are higher during a move than before it, by two to three times as operators report,
 * and links slower. So what was expected behind the present round is scaled by what the last round
 * left to send, in time, beside what it was expected to leave.
 */
#ifndef GW_CORE_MODEL_COURSE_H
#define GW_CORE_MODEL_COURSE_H

#include <stdint.h>

#define GW_COURSE_ROUNDS 64 /* later ones are expected to be as the last of these */
#define GW_COURSE_SCALE  8  /* at most so many times more or less than expected */

struct gw_course_round {
	uint64_t left_ns; /* from its end to the move's */
	uint64_t dirty_pages, bytes_per_s;
};

struct gw_course {
	unsigned rounds;
	struct gw_course_round at[GW_COURSE_ROUNDS];
};

/*
 * What is expected to come after the round that is under way. `done` rounds have ended, the last of
 * them as `last` says; NULL: none has.
 */
uint64_t gw_course_beyond(const struct gw_course *course, unsigned done,
                          const struct gw_course_round *last);

#endif
