/* SPDX-License-Identifier: MIT */
#include "sim/network/network.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/network/share.h"

#define BUCKETS 4096

/* A byte's billionth, in SIM_RATE_UNIT parts: what one unit of rate serves in a nanosecond. */
typedef __int128 service;
#define SERVICE_BYTE ((service)1000000000 * SIM_RATE_UNIT)

struct link {
	struct sim_link_config config;
	service carried;
};

struct key {
	unsigned links[SIM_FLOW_LINKS_MAX];
	size_t link_count;
	struct sim_class class;
	uint64_t want; /* 0: sends parcels */
};

/* Flows of one class over one path. */
struct bundle {
	struct sim_happening leaves; /* the next parcel */
	struct sim_sharer sharer;    /* .flows: that send now */
	struct sim_network *network;
	struct key key;
	uint64_t latency_ns;
	service served; /* to each flow, till served_ns */
	uint64_t served_ns;
	uint64_t shared_flows;  /* when rates were shared out last */
	uint64_t users;         /* flows, sending or not */
	struct sim_flow **heap; /* owned: that send parcels, the next to finish one first */
	size_t count, room;
	size_t place; /* among the busy bundles, from 1; 0: not */
	bool changed;
	struct bundle *next_changed, *next_in_bucket;
};

struct queue {
	struct sim_parcel *first, **end;
};

struct sim_flow {
	struct sim_happening arrives; /* the first parcel that is flying */
	struct bundle *bundle;
	struct sim_flow *next, **link; /* of all flows */
	void (*left)(void *owner);
	void *owner;
	struct queue waiting, flying;
	uint64_t waiting_bytes, left_bytes;
	service finish; /* of the first parcel that waits; of a flow that wants: when it began */
	service wanted; /* and got, by wants that are over */
	service spare;  /* unused of the nanosecond that ended at spare_ns */
	uint64_t spare_ns;
	uint64_t order; /* among equals */
	size_t place;   /* in the bundle's heap, from 1; 0: not */
	bool sends;
};

struct sim_network {
	struct sim_clock *clock;
	struct sim_happening shares_out;
	struct link *links;
	struct sim_pipe *pipes; /* one a link */
	size_t link_count;
	struct sim_sharer **busy; /* of bundles that have something to send */
	size_t busy_count, busy_room;
	struct bundle *changed;
	bool rates_changed;
	struct bundle *buckets[BUCKETS];
	struct sim_flow *flows, *spare_flows;
	struct bundle *spare_bundles;
	uint64_t order;
};

#define OWNER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static uint64_t rate_of(uint64_t bytes_per_s)
{
	return bytes_per_s < SIM_RATE_MAX / SIM_RATE_UNIT ? bytes_per_s * SIM_RATE_UNIT
	                                                  : SIM_RATE_MAX;
}

/* --- A bundle's service --- */

static service served_now(const struct bundle *bundle)
{
	uint64_t passed_ns = bundle->network->clock->now_ns - bundle->served_ns;

	return bundle->served + (service)bundle->sharer.rate * passed_ns;
}

static void account(const struct bundle *bundle, service more)
{
	for (size_t i = 0; i < bundle->key.link_count; i++)
		bundle->network->links[bundle->key.links[i]].carried += more;
}

static void serve(struct bundle *bundle)
{
	service now = served_now(bundle);

	if (now != bundle->served)
		account(bundle, (now - bundle->served) * (service)bundle->sharer.flows);
	bundle->served = now;
	bundle->served_ns = bundle->network->clock->now_ns;
}

/* Must have been served till now. */
static void plan(struct bundle *bundle)
{
	struct sim_clock *clock = bundle->network->clock;
	uint64_t at_ns = SIM_NEVER;

	if (bundle->count) {
		service missing = bundle->heap[0]->finish - bundle->served;
		uint64_t rate = bundle->sharer.rate;

		if (missing <= 0)
			at_ns = clock->now_ns;
		else if (rate && (missing - 1) / rate < SIM_NEVER - 1 - clock->now_ns)
			at_ns = clock->now_ns + (uint64_t)((missing - 1) / rate) + 1;
	}
	if (at_ns == SIM_NEVER || !sim_queued(&bundle->leaves) || bundle->leaves.at_ns != at_ns)
		sim_clock_at(clock, &bundle->leaves, at_ns);
}

/* --- A bundle's heap of flows --- */

static bool sooner(const struct sim_flow *a, const struct sim_flow *b)
{
	return a->finish != b->finish ? a->finish < b->finish : a->order < b->order;
}

static void put(struct bundle *bundle, size_t i, struct sim_flow *flow)
{
	bundle->heap[i] = flow;
	flow->place = i + 1;
}

static void rise(struct bundle *bundle, size_t i, struct sim_flow *flow)
{
	while (i && sooner(flow, bundle->heap[(i - 1) / 2])) {
		put(bundle, i, bundle->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(bundle, i, flow);
}

static void sink(struct bundle *bundle, size_t i, struct sim_flow *flow)
{
	size_t child;

	while ((child = 2 * i + 1) < bundle->count) {
		if (child + 1 < bundle->count &&
		    sooner(bundle->heap[child + 1], bundle->heap[child]))
			child++;
		if (!sooner(bundle->heap[child], flow))
			break;
		put(bundle, i, bundle->heap[child]);
		i = child;
	}
	put(bundle, i, flow);
}

static void heap_add(struct bundle *bundle, struct sim_flow *flow)
{
	if (bundle->count == bundle->room) {
		bundle->room = bundle->room ? 2 * bundle->room : 4;
		bundle->heap = need(realloc(bundle->heap, bundle->room * sizeof(flow)));
	}
	flow->order = bundle->network->order++;
	rise(bundle, bundle->count++, flow);
}

static void heap_remove(struct bundle *bundle, struct sim_flow *flow)
{
	size_t i = flow->place - 1;
	struct sim_flow *last = bundle->heap[--bundle->count];

	flow->place = 0;
	if (last == flow)
		return;
	if (i && sooner(last, bundle->heap[(i - 1) / 2]))
		rise(bundle, i, last);
	else
		sink(bundle, i, last);
}

/* --- Sharing out --- */

/* Rates are shared out when all that happens now has happened: each call moves it to the end. */
static void share_out_soon(struct sim_network *network)
{
	sim_clock_at(network->clock, &network->shares_out, network->clock->now_ns);
}

static void note(struct bundle *bundle)
{
	if (bundle->changed)
		return;
	bundle->changed = true;
	bundle->next_changed = bundle->network->changed;
	bundle->network->changed = bundle;
}

/*
 * The number of sending flows has changed. If it is what it was when rates were shared out, they
 * hold; and nobody gains if the only one stops. So a flow that is alone, and sends now and then,
 * has its rate without further ado.
 */
static void note_flows(struct bundle *bundle)
{
	struct sim_network *network = bundle->network;

	note(bundle);
	if (sim_queued(&network->shares_out))
		share_out_soon(network);
	else if (bundle->sharer.flows == bundle->shared_flows)
		plan(bundle);
	else if (bundle->sharer.flows || !bundle->place || network->busy_count > 1)
		share_out_soon(network);
}

static void set_busy(struct bundle *bundle)
{
	struct sim_network *network = bundle->network;

	if (bundle->sharer.flows && !bundle->place) {
		if (network->busy_count == network->busy_room) {
			network->busy_room = network->busy_room ? 2 * network->busy_room : 16;
			network->busy = need(realloc(network->busy,
			                             network->busy_room * sizeof(*network->busy)));
		}
		network->busy[network->busy_count++] = &bundle->sharer;
		bundle->place = network->busy_count;
	} else if (!bundle->sharer.flows && bundle->place) {
		struct sim_sharer *last = network->busy[--network->busy_count];

		network->busy[bundle->place - 1] = last;
		OWNER(last, struct bundle, sharer)->place = bundle->place;
		bundle->place = 0;
		bundle->sharer.rate = 0;
	}
}

static struct bundle **bucket_of(struct sim_network *network, const struct key *key)
{
	uint64_t hash = key->want;

	for (size_t i = 0; i < key->link_count; i++)
		hash = (hash ^ key->links[i]) * 0x9e3779b97f4a7c15u;
	hash = (hash ^ key->class.guaranteed_bytes_per_s) * 0x9e3779b97f4a7c15u;
	hash = (hash ^ key->class.ceiling_bytes_per_s) * 0x9e3779b97f4a7c15u;
	hash = (hash ^ key->class.priority ^ key->class.weight) * 0x9e3779b97f4a7c15u;
	return &network->buckets[hash >> 32 & (BUCKETS - 1)];
}

static void forget(struct bundle *bundle)
{
	struct sim_network *network = bundle->network;
	struct bundle **at = bucket_of(network, &bundle->key);

	while (*at != bundle)
		at = &(*at)->next_in_bucket;
	*at = bundle->next_in_bucket;
	bundle->next_in_bucket = network->spare_bundles;
	network->spare_bundles = bundle;
}

/* The bundles whose flows changed: true if rates must be shared out again. */
static bool take_changes(struct sim_network *network, struct bundle **changed)
{
	bool again = network->rates_changed;

	*changed = network->changed;
	network->changed = NULL;
	network->rates_changed = false;
	for (struct bundle *bundle = *changed; bundle; bundle = bundle->next_changed) {
		bundle->changed = false;
		again |= bundle->sharer.flows != bundle->shared_flows;
		bundle->shared_flows = bundle->sharer.flows;
		serve(bundle);
		set_busy(bundle);
	}
	return again;
}

static void share_anew(struct sim_network *network)
{
	for (size_t i = 0; i < network->busy_count; i++)
		serve(OWNER(network->busy[i], struct bundle, sharer));
	sim_share(network->busy, network->busy_count, network->pipes, network->link_count);
	for (size_t i = 0; i < network->busy_count; i++)
		plan(OWNER(network->busy[i], struct bundle, sharer));
}

static void share_out(struct sim_network *network)
{
	struct bundle *changed, *next;

	sim_clock_cancel(network->clock, &network->shares_out);
	if (take_changes(network, &changed))
		share_anew(network);
	for (struct bundle *bundle = changed; bundle; bundle = next) {
		next = bundle->next_changed;
		plan(bundle);
		if (!bundle->users)
			forget(bundle);
	}
}

static void on_share_out(struct sim_happening *happening)
{
	share_out(OWNER(happening, struct sim_network, shares_out));
}

/* --- Flows in bundles --- */

/* The flow has something to send from now on, or again in this instant. */
static void begin(struct sim_flow *flow, service missing)
{
	struct bundle *bundle = flow->bundle;

	serve(bundle);
	if (flow->spare && flow->spare_ns == bundle->served_ns) {
		missing -= flow->spare;
		account(bundle, flow->spare);
	}
	flow->spare = 0;
	flow->finish = bundle->served + missing;
	flow->sends = true;
	bundle->sharer.flows++;
	if (!bundle->key.want)
		heap_add(bundle, flow);
	note_flows(bundle);
}

/* It sends no more; what was missing to the finish of its first parcel. */
static service end(struct sim_flow *flow)
{
	struct bundle *bundle = flow->bundle;
	service missing;

	serve(bundle);
	missing = flow->finish - bundle->served;
	if (bundle->key.want) {
		flow->wanted -= missing;
	} else {
		heap_remove(bundle, flow);
		plan(bundle); /* it may have been about to leave in this instant */
		flow->spare = missing < 0 ? -missing : 0;
		flow->spare_ns = bundle->served_ns;
		account(bundle, -flow->spare);
	}
	flow->sends = false;
	bundle->sharer.flows--;
	note_flows(bundle);
	return missing > 0 ? missing : 0;
}

static void queue_init(struct queue *queue)
{
	queue->first = NULL;
	queue->end = &queue->first;
}

static void queue_push(struct queue *queue, struct sim_parcel *parcel)
{
	parcel->next = NULL;
	*queue->end = parcel;
	queue->end = &parcel->next;
}

static struct sim_parcel *queue_pop(struct queue *queue)
{
	struct sim_parcel *parcel = queue->first;

	queue->first = parcel->next;
	if (!queue->first)
		queue->end = &queue->first;
	return parcel;
}

static void fly(struct sim_flow *flow, struct sim_parcel *parcel)
{
	struct sim_clock *clock = flow->bundle->network->clock;

	parcel->comes.at_ns = clock->now_ns + flow->bundle->latency_ns;
	if (!flow->flying.first)
		sim_clock_at(clock, &flow->arrives, parcel->comes.at_ns);
	queue_push(&flow->flying, parcel);
}

static void on_arrives(struct sim_happening *happening)
{
	struct sim_flow *flow = OWNER(happening, struct sim_flow, arrives);
	struct sim_parcel *parcel = queue_pop(&flow->flying);

	if (flow->flying.first)
		sim_clock_at(flow->bundle->network->clock, happening,
		             flow->flying.first->comes.at_ns);
	/* Last, because it may close the flow. */
	parcel->comes.happens(&parcel->comes);
}

static void on_leaves(struct sim_happening *happening)
{
	struct bundle *bundle = OWNER(happening, struct bundle, leaves);
	struct sim_flow *flow = bundle->heap[0];
	struct sim_parcel *parcel = queue_pop(&flow->waiting);

	serve(bundle);
	flow->waiting_bytes -= parcel->bytes;
	flow->left_bytes += parcel->bytes;
	fly(flow, parcel);
	if (flow->waiting.first) {
		flow->finish += flow->waiting.first->bytes * SERVICE_BYTE;
		sink(bundle, 0, flow);
		plan(bundle);
	} else {
		(void)end(flow);
	}
	/* Last, because it may close the flow. */
	if (!flow->sends && flow->left)
		flow->left(flow->owner);
}

static void make_key(const struct sim_class *class, uint64_t want, struct key *key)
{
	key->class = class ? *class : (struct sim_class)
	{
		0
	};
	if (!key->class.weight)
		key->class.weight = 1;
	key->want = want;
}

static bool same(const struct key *a, const struct key *b)
{
	return a->want == b->want && a->link_count == b->link_count &&
	       a->class.guaranteed_bytes_per_s == b->class.guaranteed_bytes_per_s &&
	       a->class.ceiling_bytes_per_s == b->class.ceiling_bytes_per_s &&
	       a->class.priority == b->class.priority && a->class.weight == b->class.weight &&
	       !memcmp(a->links, b->links, a->link_count * sizeof(a->links[0]));
}

static void bundle_init(struct bundle *bundle, struct sim_network *network, const struct key *key)
{
	uint64_t ceiling = key->class.ceiling_bytes_per_s;

	bundle->leaves.happens = on_leaves;
	bundle->network = network;
	bundle->key = *key;
	bundle->sharer = (struct sim_sharer){
	        .links = bundle->key.links,
	        .link_count = key->link_count,
	        .guaranteed = rate_of(key->class.guaranteed_bytes_per_s),
	        .limit = ceiling ? rate_of(ceiling) : SIM_RATE_MAX,
	        .priority = key->class.priority,
	        .weight = key->class.weight,
	};
	if (key->want && rate_of(key->want) < bundle->sharer.limit)
		bundle->sharer.limit = rate_of(key->want);
	bundle->latency_ns = 0;
	for (size_t i = 0; i < key->link_count; i++)
		bundle->latency_ns += network->links[key->links[i]].config.latency_ns;
	bundle->served = 0;
	bundle->served_ns = network->clock->now_ns;
	bundle->shared_flows = 0;
}

static struct bundle *bundle_take(struct sim_network *network, const struct key *key)
{
	struct bundle **bucket = bucket_of(network, key), *bundle = *bucket;

	while (bundle && !same(&bundle->key, key))
		bundle = bundle->next_in_bucket;
	if (!bundle) {
		bundle = network->spare_bundles;
		if (bundle)
			network->spare_bundles = bundle->next_in_bucket;
		else
			bundle = need(calloc(1, sizeof(*bundle)));
		bundle_init(bundle, network, key);
		bundle->next_in_bucket = *bucket;
		*bucket = bundle;
	}
	bundle->users++;
	return bundle;
}

static void bundle_leave(struct bundle *bundle)
{
	if (--bundle->users)
		return;
	note(bundle);
	share_out_soon(bundle->network);
}

static void move(struct sim_flow *flow, const struct key *key)
{
	struct bundle *old = flow->bundle;
	service missing = flow->sends ? end(flow) : 0;

	flow->bundle = bundle_take(old->network, key);
	bundle_leave(old);
	if (key->want || flow->waiting.first)
		begin(flow, key->want ? 0 : missing);
}

/* --- What the header promises --- */

struct sim_network *sim_network_new(struct sim_clock *clock)
{
	struct sim_network *network = need(calloc(1, sizeof(*network)));

	network->clock = clock;
	network->shares_out.happens = on_share_out;
	return network;
}

static void discard(struct sim_flow *flow)
{
	struct sim_network *network = flow->bundle->network;

	sim_clock_cancel(network->clock, &flow->arrives);
	*flow->link = flow->next;
	if (flow->next)
		flow->next->link = flow->link;
	flow->next = network->spare_flows;
	network->spare_flows = flow;
}

void sim_network_reset(struct sim_network *network)
{
	while (network->flows) {
		if (network->flows->sends)
			(void)end(network->flows);
		bundle_leave(network->flows->bundle);
		discard(network->flows);
	}
	share_out(network);
	network->order = 0;
	for (unsigned i = 0; i < network->link_count; i++) {
		network->links[i].carried = 0;
		network->pipes[i].rate = rate_of(network->links[i].config.bytes_per_s);
	}
}

void sim_network_free(struct sim_network *network)
{
	if (!network)
		return;
	sim_network_reset(network);
	for (struct bundle *bundle; (bundle = network->spare_bundles);) {
		network->spare_bundles = bundle->next_in_bucket;
		free(bundle->heap);
		free(bundle);
	}
	for (struct sim_flow *flow; (flow = network->spare_flows);) {
		network->spare_flows = flow->next;
		free(flow);
	}
	free(network->busy);
	free(network->links);
	free(network->pipes);
	free(network);
}

unsigned sim_network_add_link(struct sim_network *network, const struct sim_link_config *config)
{
	size_t i = network->link_count++;

	network->links = need(realloc(network->links, (i + 1) * sizeof(network->links[0])));
	network->pipes = need(realloc(network->pipes, (i + 1) * sizeof(network->pipes[0])));
	network->links[i] = (struct link){.config = *config};
	network->pipes[i] = (struct sim_pipe){.rate = rate_of(config->bytes_per_s)};
	return (unsigned)i;
}

void sim_network_set_rate(struct sim_network *network, unsigned link, uint64_t bytes_per_s)
{
	network->pipes[link].rate = rate_of(bytes_per_s);
	network->rates_changed = true;
	share_out_soon(network);
}

uint64_t sim_network_carried(struct sim_network *network, unsigned link)
{
	for (size_t i = 0; i < network->busy_count; i++)
		serve(OWNER(network->busy[i], struct bundle, sharer));
	return (uint64_t)(network->links[link].carried / SERVICE_BYTE);
}

struct sim_flow *sim_flow_open(struct sim_network *network, const unsigned *links, size_t count,
                               const struct sim_class *class, void (*left)(void *owner),
                               void *owner)
{
	struct sim_flow *flow = network->spare_flows;
	struct key key = {.link_count = count};

	assert(count <= SIM_FLOW_LINKS_MAX);
	if (flow)
		network->spare_flows = flow->next;
	else
		flow = need(malloc(sizeof(*flow)));
	for (size_t i = 0; i < count; i++)
		key.links[i] = links[i];
	make_key(class, 0, &key);
	*flow = (struct sim_flow){.arrives.happens = on_arrives, .left = left, .owner = owner};
	flow->bundle = bundle_take(network, &key);
	queue_init(&flow->waiting);
	queue_init(&flow->flying);
	flow->next = network->flows;
	flow->link = &network->flows;
	if (flow->next)
		flow->next->link = &flow->next;
	network->flows = flow;
	return flow;
}

static void tell(struct sim_parcel *parcel, void (*lost)(struct sim_parcel *parcel))
{
	for (struct sim_parcel *next; parcel; parcel = next) {
		next = parcel->next;
		lost(parcel);
	}
}

void sim_flow_close(struct sim_flow *flow, void (*lost)(struct sim_parcel *parcel))
{
	struct sim_parcel *flying = flow->flying.first, *waiting = flow->waiting.first;

	if (flow->sends)
		(void)end(flow);
	bundle_leave(flow->bundle);
	discard(flow);
	if (!lost)
		return;
	tell(flying, lost);
	tell(waiting, lost);
}

void sim_flow_set_class(struct sim_flow *flow, const struct sim_class *class)
{
	struct key key = flow->bundle->key;

	make_key(class, key.want, &key);
	if (!same(&key, &flow->bundle->key))
		move(flow, &key);
}

void sim_flow_send(struct sim_flow *flow, struct sim_parcel *parcel)
{
	assert(!flow->bundle->key.want);
	flow->waiting_bytes += parcel->bytes;
	queue_push(&flow->waiting, parcel);
	if (!flow->sends)
		begin(flow, parcel->bytes * SERVICE_BYTE);
}

void sim_flow_want(struct sim_flow *flow, uint64_t bytes_per_s)
{
	struct key key = flow->bundle->key;

	assert(!flow->waiting.first);
	key.want = bytes_per_s;
	if (!same(&key, &flow->bundle->key))
		move(flow, &key);
}

/* What it has been given since it began to want, or of the parcels that wait. */
static uint64_t part_bytes(const struct sim_flow *flow)
{
	uint64_t most = flow->bundle->key.want ? UINT64_MAX : flow->waiting_bytes, bytes;
	service part;

	if (!flow->sends)
		return 0;
	part = served_now(flow->bundle) - flow->finish;
	if (flow->waiting.first)
		part += flow->waiting.first->bytes * SERVICE_BYTE;
	bytes = (uint64_t)(part / SERVICE_BYTE);
	return bytes < most ? bytes : most;
}

uint64_t sim_flow_queued_bytes(const struct sim_flow *flow)
{
	return flow->waiting_bytes - (flow->waiting.first ? part_bytes(flow) : 0);
}

uint64_t sim_flow_sent_bytes(const struct sim_flow *flow)
{
	return flow->left_bytes + (uint64_t)(flow->wanted / SERVICE_BYTE) + part_bytes(flow);
}

uint64_t sim_flow_rate(const struct sim_flow *flow)
{
	if (sim_queued(&flow->bundle->network->shares_out))
		share_out(flow->bundle->network);
	return flow->sends ? flow->bundle->sharer.rate / SIM_RATE_UNIT : 0;
}
