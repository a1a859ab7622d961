/* SPDX-License-Identifier: MIT */
/*
 * live/net/socket.h - what a socket of each channel is set to.
 */
#ifndef GW_LIVE_NET_SOCKET_H
#define GW_LIVE_NET_SOCKET_H

#include "core/migration/message.h"

/* Options of the channel; best effort: a kernel without one of them is slower, not wrong. */
void gw_socket_prepare(int fd, enum gw_channel channel);

#endif
