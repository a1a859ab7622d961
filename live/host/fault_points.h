/* SPDX-License-Identifier: MIT */
/*
 * live/host/fault_points.h - named moments of a migration at which a test may strike.
 *
 * GODWIT_FAULT=before-RECORD or after-RECORD in an agent's environment: it stops itself (SIGSTOP)
 * just before, or just after, that record goes into its journal, so that a test can kill whichever
 * of the four processes it wants in a state that otherwise lasts an instant. The journal's records
 * are what ownership hangs on, so they are the points that matter; two agents never write a record
 * of the same name, except `doubt`. Without the variable nothing happens.
 */
#ifndef GW_LIVE_HOST_FAULT_POINTS_H
#define GW_LIVE_HOST_FAULT_POINTS_H

enum gw_fault_when { GW_FAULT_BEFORE, GW_FAULT_AFTER };

void gw_fault_point(enum gw_fault_when when, const char *record);

#endif
