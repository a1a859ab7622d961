/* SPDX-License-Identifier: MIT */
/* tests/sim/planted.h - GW_PLANT as a number that is known only when the test runs. */
#ifndef GW_TESTS_SIM_PLANTED_H
#define GW_TESTS_SIM_PLANTED_H

extern int planted_bug;

#define GW_PLANT planted_bug

#endif
