/* SPDX-License-Identifier: MIT */
/*
 * core/migration/state.h - the states of a migration and who owns the VM in each.
 *
 * The names are S1's six steps (section 2), plus Pull for post-copy.
 *
 *      Pre-Migration -> Reservation -> Iterative Pre-Copy -> Stop-and-Copy -> Commitment
 *                            |                                                     |
 *                            '----------(stop-copy, postcopy)----> ...             v
 *      Released <---------------------------- (pre-copy) ---------------------- Activation
 *          ^                                                                       |
 *          '---------------------------------- Pull <--------- (post-copy) --------'
 *
 *   state               owner         abort does                    a lost link does
 *   Pre-Migration       source        ends, nothing was begun       ends
 *   Reservation         source        ends; destination destroys    same as abort
 *   Iterative Pre-Copy  source        ends; destination destroys    same as abort
 *   Stop-and-Copy       source        VM resumes at the source      same as abort
 *   Commitment          in doubt (1)  refused                       reconnect; ask; never guess
 *   Activation          destination   refused                       reconnect; finish
 *   Pull                destination   refused                       faulting vCPUs wait; reconnect
 *   Released            destination   refused                       nothing is left to do
 *   Cancelled           source        already so                    nothing is left to do
 *   Doubt               recorded (2)  refused                       `recover`, or a person
 *
 * (1) At the source, from the moment COMMIT is said until ACTIVATED or ABORTED arrives (before it
 *     the VM is the source's, and all is as in Stop-and-Copy); at the destination from the moment
 *     PREPARED is journalled until COMMIT or ABORT arrives. While either side is in doubt the VM
 *     runs nowhere.
 * (2) Neither side resolves it alone: `recover` asks the other side, `resolve` lets a person say.
 *
 * docs/protocol.md has the argument in full.
 */
#ifndef GW_CORE_MIGRATION_STATE_H
#define GW_CORE_MIGRATION_STATE_H

enum gw_state {
	GW_STATE_PRE_MIGRATION,
	GW_STATE_RESERVATION,
	GW_STATE_ITERATIVE_PRE_COPY,
	GW_STATE_STOP_AND_COPY,
	GW_STATE_COMMITMENT,
	GW_STATE_ACTIVATION,
	GW_STATE_PULL,
	GW_STATE_RELEASED,
	GW_STATE_CANCELLED,
	GW_STATE_DOUBT,
	GW_STATES /* how many there are */
};

const char *gw_state_name(enum gw_state state);

#endif
