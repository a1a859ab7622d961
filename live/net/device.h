/* SPDX-License-Identifier: MIT */
/*
 * live/net/device.h - the network device that a connection leaves by.
 */
#ifndef GW_LIVE_NET_DEVICE_H
#define GW_LIVE_NET_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* The index of the device by which the socket reaches its peer; -ENODEV: none is found. */
int gw_device_of(int socket, struct gw_error *error);
/* Bytes that have left by it, whoever sent them. False: they cannot be read. */
bool gw_device_sent(int ifindex, uint64_t *bytes);
/* Its ports lead on: what it forwards from one to another does not leave by itself. */
bool gw_device_is_bridge(int ifindex);
/* The bridge or other device that it is a port of; 0: none. */
int gw_device_master(int ifindex);
/* What leaves by the device `from` leaves by the other one, too, or may: the one below it, or a
 * port of it. */
bool gw_device_leads_by(int from, int by);
/* Somebody filters what comes in by it (a qdisc of the kind ingress or clsact). */
bool gw_device_has_ingress(int ifindex);
/* What it says it carries, bytes a second; 0: it does not say. */
uint64_t gw_device_carries(int ifindex);
/* What the device by which the socket reaches its peer says it carries; 0: it does not say. */
uint64_t gw_device_speed(int socket);

#endif
