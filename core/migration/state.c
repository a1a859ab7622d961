/* SPDX-License-Identifier: MIT */
/*
 * core/migration/state.c - the names of the states, as S1 and the trace write them.
 */
#include "core/migration/state.h"

static const char *const names[GW_STATES] = {
        [GW_STATE_PRE_MIGRATION] = "Pre-Migration",
        [GW_STATE_RESERVATION] = "Reservation",
        [GW_STATE_ITERATIVE_PRE_COPY] = "Iterative Pre-Copy",
        [GW_STATE_STOP_AND_COPY] = "Stop-and-Copy",
        [GW_STATE_COMMITMENT] = "Commitment",
        [GW_STATE_ACTIVATION] = "Activation",
        [GW_STATE_PULL] = "Pull",
        [GW_STATE_RELEASED] = "Released",
        [GW_STATE_CANCELLED] = "Cancelled",
        [GW_STATE_DOUBT] = "Doubt",
};

const char *gw_state_name(enum gw_state state)
{
	return (unsigned)state < GW_STATES ? names[state] : "unknown";
}
