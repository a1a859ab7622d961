/* SPDX-License-Identifier: MIT */
/*
 * core/predict/gilbert_elliott.h - S1's Gilbert-Elliott model of a page.
 *
 * Two states, G (clean) and B (dirtied): b = P(G->B), g = P(B->G). In G the page is modified with
 * probability e1, in B with e2. Stationary: P(G) = g/(g+b), P(B) = b/(g+b). b = 0.6 and g = 0.9
 * give 42 % (S1, equations 13 to 15; the paper prints P(G) twice, the figure fixes the reading).
 */
#ifndef GW_CORE_PREDICT_GILBERT_ELLIOTT_H
#define GW_CORE_PREDICT_GILBERT_ELLIOTT_H

#include "core/predict/transitions.h"

#define GW_GILBERT_E1 0.1 /* S1, section 3.2 */
#define GW_GILBERT_E2 0.9

struct gw_gilbert {
	double b, g;
	double e1, e2;
};

/* b and g from the page's own transitions, e1 and e2 as in the paper. */
struct gw_gilbert gw_gilbert_of(const struct gw_transitions *transitions);
/* P(B); with b = g = 0 no state is ever left, and both are as likely. */
double gw_gilbert_bad(const struct gw_gilbert *gilbert);
/* P(G) e1 + P(B) e2: that the page is modified. */
double gw_gilbert_expected(const struct gw_gilbert *gilbert);

#endif
