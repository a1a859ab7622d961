/* SPDX-License-Identifier: MIT */
/*
 * sim/network/network.h - links and the flows that share them.
 *
 * A fluid model: at every instant each flow that has something to send has a rate. Each link first
 * gives every class its guaranteed rate, then shares what is left: the lowest priority number
 * first, and within a priority max-min fair by weight (progressive filling; Bertsekas & Gallager,
 * Data Networks, 6.5.2), never above a class's ceiling. With no guarantees and one priority this
 * is plain max-min fairness; with them it is what HTB does. sim/network/share.h has the rules.
 *
 * Parcels of one flow leave in their order, one after the other at the flow's rate, and come a
 * latency later. A cut link (rate 0) holds back what has not left; what has, comes.
 *
 * Theory of operation. Flows of one class over one path have one rate, and are kept as a bundle:
 * its service, what each of them has been given so far, grows at that rate, and a parcel has left
 * when the service reaches the parcel's finish (start-time fair queueing; Goyal, Vin, Cheng,
 * SIGCOMM 1996). So a rate that changes touches a bundle, not its flows, and a parcel costs one
 * step in a heap. Rates are shared out anew only when a bundle's number of sending flows or a
 * link's rate has changed, once an instant. Service is counted exactly, in 1/65536 of a byte's
 * billionth: what a parcel leaves of its last nanosecond goes to the next one of its flow.
 */
#ifndef GW_SIM_NETWORK_H
#define GW_SIM_NETWORK_H

#include "sim/clock.h"

#define SIM_FLOW_LINKS_MAX 8

struct sim_link_config {
	const char *name;            /* borrowed */
	uint64_t bytes_per_s;        /* 0: cut; anything above 64 TiB/s counts as that */
	uint64_t latency_ns;         /* one way */
	uint64_t cut_ns, cut_for_ns; /* whose every connection breaks then, for so long; 0: never */
};

/* As in HTB: rate, ceil, prio; weight as quantum. Each flow has the guarantee and the ceiling of
 * its class for itself. */
struct sim_class {
	uint64_t guaranteed_bytes_per_s; /* 0: none */
	uint64_t ceiling_bytes_per_s;    /* 0: the link's */
	unsigned priority;               /* 0 first */
	unsigned weight;                 /* 0 counts as 1 */
};

struct sim_parcel {
	/* At the other end. The owner sets .happens; the network calls it, so that the parcel
	 * itself is never queued in the clock. .at_ns says when, once the parcel has left. */
	struct sim_happening comes;
	uint64_t bytes;          /* at least 1 */
	struct sim_parcel *next; /* the network's */
};

struct sim_network;
struct sim_flow;

/* Borrows the clock. */
struct sim_network *sim_network_new(struct sim_clock *clock);
/* Every flow is gone, nobody is told; links stay, as they were configured, and have carried
 * nothing. Keeps memory, for a next run. Before sim_clock_reset. */
void sim_network_reset(struct sim_network *network);
void sim_network_free(struct sim_network *network);

/* Returns the link's number, from 0. */
unsigned sim_network_add_link(struct sim_network *network, const struct sim_link_config *config);
void sim_network_set_rate(struct sim_network *network, unsigned link, uint64_t bytes_per_s);
/* Bytes that have gone over it. */
uint64_t sim_network_carried(struct sim_network *network, unsigned link);

/* A flow over these links in their order, at most SIM_FLOW_LINKS_MAX. `left`, which may be NULL, is
 * called with `owner` when its last queued byte has left (never from inside sim_flow_send); it may
 * do anything, even close the flow. */
struct sim_flow *sim_flow_open(struct sim_network *network, const unsigned *links, size_t count,
                               const struct sim_class *class, void (*left)(void *owner),
                               void *owner);
/* Parcels on their way never come: their owners are told by `lost`, which may be NULL. */
void sim_flow_close(struct sim_flow *flow, void (*lost)(struct sim_parcel *parcel));
void sim_flow_set_class(struct sim_flow *flow, const struct sim_class *class);
/* The parcel is the network's until it comes or is lost. */
void sim_flow_send(struct sim_flow *flow, struct sim_parcel *parcel);
/* Traffic without parcels, such as a guest's own: wants so much from now on. A flow that wants
 * sends no parcels. */
void sim_flow_want(struct sim_flow *flow, uint64_t bytes_per_s);
/* Not yet left, and since the beginning. */
uint64_t sim_flow_queued_bytes(const struct sim_flow *flow);
uint64_t sim_flow_sent_bytes(const struct sim_flow *flow);
uint64_t sim_flow_rate(const struct sim_flow *flow);

#endif
