/* SPDX-License-Identifier: MIT */
#include "core/model/course.h"

#include <stddef.h>

/* What it takes to send what is dirty. */
static double sending(const struct gw_course_round *round)
{
	return round->bytes_per_s ? (double)round->dirty_pages / (double)round->bytes_per_s : 0;
}

static double scale(const struct gw_course_round *expected, const struct gw_course_round *was)
{
	double of_it = sending(expected), measured = sending(was), times;

	if (of_it <= 0 || measured <= 0)
		return 1;
	times = measured / of_it;
	if (times > GW_COURSE_SCALE)
		return GW_COURSE_SCALE;
	return times < 1.0 / GW_COURSE_SCALE ? 1.0 / GW_COURSE_SCALE : times;
}

uint64_t gw_course_beyond(const struct gw_course *course, unsigned done,
                          const struct gw_course_round *last)
{
	double left;

	if (done >= course->rounds)
		return 0;
	left = (double)course->at[done].left_ns;
	if (done && last)
		left *= scale(&course->at[done - 1], last);
	return left < 9e18 ? (uint64_t)left : UINT64_MAX;
}
