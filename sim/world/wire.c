/* SPDX-License-Identifier: MIT */
/*
 * sim/world/wire.c - the three connections: bytes on their way, cuts, new connections.
 *
 *   to the destination   three flows over the links, then a hop of the small world's own
 *   back to the source   messages alone: a latency, and never a queue
 *
 * A parcel that has crossed is worked off by who receives it before it counts as come.
 */
#include "sim/world/inside.h"

#include <string.h>

#define TURN_NS      1000u                /* an agent's way round its loop for one frame */
#define WINDOW_BYTES (UINT64_C(16) << 20) /* of TCP: sent, and not yet taken in */
#define TURN_FRAMES  4 /* that the kernel takes at a time: live/host/migrate/loop.c */
/* With versions; an action makes a frame with contents and one of zeros, and a mark. */
#define FRAME_BYTES_MAX                                                                            \
	(GW_FRAME_BYTES_MAX + 3 * (GW_FRAME_HEADER_BYTES + GW_SEAL_BYTES) +                        \
	 GW_FRAME_PAGES_MAX * sizeof(uint32_t))
/* Of TCP over Ethernet, with timestamps: what a link carries besides (14 + 20 + 32 bytes of
 * headers). */
#define SEGMENT_BYTES 1448u
#define HEADER_BYTES  66u

static bool stands(const struct migration *m, int side)
{
	return m->agent[side].epoch > m->wire.cut_epoch;
}

/* --- room for bulk ------------------------------------------------------------------------- */

static bool takes_a_frame(const struct migration *m)
{
	const struct wire *wire = &m->wire;

	return m->agent[SIM_SOURCE].alive && wire->flow[GW_BULK] && !wire->turn &&
	       !sim_flow_queued_bytes(wire->flow[GW_BULK]) &&
	       wire->unplaced_bytes <= WINDOW_BYTES &&
	       gw_source_wants_room(m->agent[SIM_SOURCE].memory);
}

void sim_ask_for_room(struct migration *m)
{
	if (!sim_queued(&m->wire.room) && takes_a_frame(m))
		sim_clock_at(&m->world->clock, &m->wire.room, m->wire.sender_free_ns);
}

/* In Pull no frame waits behind another; a small world wants every step for itself. */
static bool takes_turns(const struct migration *m)
{
	return !m->config.pages && gw_source_state(m->agent[SIM_SOURCE].memory) != GW_STATE_PULL;
}

static void take_a_turn(struct migration *m)
{
	const struct agent *a = &m->agent[SIM_SOURCE];
	unsigned frames = 0;
	struct parcel *turn = sim_parcel_new(m, GW_BULK, TURN_FRAMES * FRAME_BYTES_MAX);

	turn->size = 0;
	m->wire.turn = turn;
	m->wire.turn_bytes = 0;
	while (frames++ < TURN_FRAMES && a->alive && gw_source_wants_room(a->memory))
		sim_step(m, SIM_SOURCE, &(struct gw_event){.kind = GW_EV_ROOM});
	m->wire.turn = NULL;
	if (turn->size)
		sim_put_on_wire(m, SIM_SOURCE, turn, m->wire.turn_bytes);
	else
		sim_give(m->world, turn);
	sim_ask_for_room(m);
}

static void give_room(struct migration *m)
{
	struct wire *wire = &m->wire;

	if (!takes_a_frame(m))
		return;
	if (wire->sender_free_ns > sim_now(m)) {
		sim_ask_for_room(m);
		return;
	}
	wire->sender_free_ns = sim_now(m) + TURN_NS;
	if (takes_turns(m))
		take_a_turn(m);
	else
		sim_step(m, SIM_SOURCE, &(struct gw_event){.kind = GW_EV_ROOM});
}

void sim_room_came(struct sim_happening *self)
{
	struct migration *m = SIM_OWNER(self, struct migration, wire.room);

	give_room(m);
	sim_happened(m);
}

static void bulk_left(void *owner)
{
	struct migration *m = owner;

	if (!sim_queued(&m->wire.room))
		give_room(m);
	sim_happened(m);
}

/* --- on the way ---------------------------------------------------------------------------- */

struct parcel *sim_parcel_new(struct migration *m, enum gw_channel channel, size_t size)
{
	struct parcel *parcel = sim_take(m->world, sizeof(*parcel) + size);

	parcel->m = m;
	parcel->channel = channel;
	parcel->pages = 0;
	parcel->size = size;
	return parcel;
}

struct parcel *sim_parcel_for(struct migration *m, enum gw_channel channel, size_t size,
                              uint8_t **to)
{
	struct parcel *parcel = channel == GW_BULK ? m->wire.turn : NULL;

	if (parcel) {
		*to = parcel->bytes + parcel->size;
		parcel->size += size;
	} else {
		parcel = sim_parcel_new(m, channel, size);
		*to = parcel->bytes;
	}
	return parcel;
}

void sim_put_frame(struct migration *m, struct parcel *parcel, uint64_t bytes)
{
	if (parcel == m->wire.turn)
		m->wire.turn_bytes += bytes;
	else
		sim_put_on_wire(m, SIM_SOURCE, parcel, bytes);
}

static void leave_the_way(struct parcel *parcel)
{
	struct migration *m = parcel->m;

	m->waiting--;
	if (parcel->channel == GW_BULK && parcel->to == SIM_DESTINATION &&
	    parcel->epoch == m->wire.epochs)
		m->wire.unplaced_bytes -= parcel->p.bytes;
}

static void lost(struct sim_parcel *p)
{
	struct parcel *parcel = SIM_OWNER(p, struct parcel, p);

	leave_the_way(parcel);
	sim_give(parcel->m->world, parcel);
}

static void hear_of_loss(struct migration *m, int side, const char *why)
{
	struct agent *a = &m->agent[side];

	if (!a->alive || !a->epoch)
		return;
	a->epoch = 0;
	sim_step(m, side, &(struct gw_event){.kind = GW_EV_LINK_LOST, .text = why});
}

/* It is no message, or no frame: the link counts as lost, on both sides. */
static void garbage_came(struct migration *m, int side)
{
	uint64_t epoch = m->agent[side].epoch;

	if (!m->hurt)
		sim_violated(m, "%s cannot decode what it was sent", sim_side_names[side]);
	sim_step(m, side,
	         &(struct gw_event){.kind = GW_EV_LINK_LOST, .text = "what came is no message"});
	if (m->agent[side].epoch == epoch)
		sim_hang_up(m, side);
}

static bool is_heard(const struct migration *m, const struct parcel *parcel)
{
	const struct agent *a = &m->agent[parcel->to];

	return a->alive && a->epoch == parcel->epoch && stands(m, parcel->to);
}

/* What is not whole waits for more. */
static void keep_rest(struct migration *m, struct stream *stream, const uint8_t *bytes, size_t size)
{
	stream->rest = sim_take(m->world, size);
	stream->rest_bytes = size;
	memcpy(stream->rest, bytes, size);
}

static void take_apart(struct migration *m, const struct parcel *parcel, const uint8_t *bytes,
                       size_t size)
{
	struct stream *stream = &m->wire.stream[!parcel->to][parcel->channel];
	bool frames = parcel->to == SIM_DESTINATION && parcel->channel != GW_CONTROL;
	size_t at = 0, used = 0;
	int err = 0;

	while (!err && at < size && is_heard(m, parcel)) {
		err = frames ? sim_frame_came(m, stream, bytes + at, size - at, &used)
		             : sim_message_came(m, parcel->to, stream, bytes + at, size - at,
		                                &used);
		at += err ? 0 : used;
	}
	if (err == -EAGAIN && m->hurt)
		keep_rest(m, stream, bytes + at, size - at);
	else if (err)
		garbage_came(m, parcel->to);
}

/* Behind what was left over. */
static void take_apart_joined(struct migration *m, const struct parcel *parcel)
{
	struct stream *stream = &m->wire.stream[!parcel->to][parcel->channel];
	size_t size = stream->rest_bytes + parcel->size;
	uint8_t *bytes = sim_take(m->world, size);

	memcpy(bytes, stream->rest, stream->rest_bytes);
	memcpy(bytes + stream->rest_bytes, parcel->bytes, parcel->size);
	sim_give(m->world, stream->rest);
	stream->rest = NULL;
	take_apart(m, parcel, bytes, size);
	sim_give(m->world, bytes);
}

static void deliver(struct migration *m, struct parcel *parcel)
{
	if (!is_heard(m, parcel))
		return;
	if (!parcel->size)
		hear_of_loss(m, parcel->to, "the peer hung up");
	else if (m->wire.stream[!parcel->to][parcel->channel].rest)
		take_apart_joined(m, parcel);
	else
		take_apart(m, parcel, parcel->bytes, parcel->size);
}

static void comes(struct sim_happening *self)
{
	struct parcel *parcel = SIM_OWNER(self, struct parcel, p.comes);
	struct migration *m = parcel->m;

	leave_the_way(parcel);
	deliver(m, parcel);
	sim_give(m->world, parcel);
	sim_ask_for_room(m);
	sim_happened(m);
}

/* Parcels of one channel stay in their order, whatever the dice say. */
static uint64_t after_the_last(struct migration *m, int from, enum gw_channel channel, uint64_t at)
{
	struct stream *stream = &m->wire.stream[from][channel];

	at += stream->late_ns;
	if (m->config.jitter)
		at += sim_dice_below(m, m->wire.back_ns);
	if (at < stream->last_ns)
		at = stream->last_ns;
	stream->last_ns = at;
	return at;
}

static uint64_t work_of(const struct migration *m, const struct parcel *parcel)
{
	const struct sim_costs *costs = &m->world->costs;

	if (m->dest.staged)
		return parcel->pages * costs->place_ns_per_page;
	return sim_takes(parcel->pages * GW_PAGE_BYTES, costs->copy_bytes_per_s);
}

static void wait_for(struct inbox *box)
{
	sim_clock_at(&box->m->world->clock, &box->done,
	             box->first ? box->first->done_ns : SIM_NEVER);
}

void sim_parcel_done(struct sim_happening *self)
{
	struct inbox *box = SIM_OWNER(self, struct inbox, done);
	struct parcel *parcel = box->first;

	box->first = parcel->next;
	wait_for(box);
	comes(&parcel->p.comes);
}

/* At the destination's host: it takes one parcel of a connection after the other. */
static void crossed(struct sim_happening *self)
{
	struct parcel *parcel = SIM_OWNER(self, struct parcel, p.comes);
	struct migration *m = parcel->m;
	struct inbox *box = &m->wire.inbox[parcel->channel];
	uint64_t at = after_the_last(m, SIM_SOURCE, parcel->channel, sim_now(m) + m->wire.hop_ns);

	if (at < box->free_ns)
		at = box->free_ns;
	at += work_of(m, parcel);
	box->free_ns = parcel->done_ns = at;
	if (at <= sim_now(m) && !box->first) {
		comes(self);
		return;
	}
	parcel->next = NULL;
	if (box->first)
		box->last->next = parcel;
	else
		box->first = parcel;
	box->last = parcel;
	if (box->first == parcel)
		wait_for(box);
}

static void send_back(struct migration *m, struct parcel *parcel)
{
	uint64_t at = sim_now(m);

	if (at < m->wire.answerer_free_ns)
		at = m->wire.answerer_free_ns;
	at = after_the_last(m, SIM_DESTINATION, parcel->channel, at + m->wire.back_ns);
	parcel->p.comes.happens = comes;
	parcel->p.comes.place = 0;
	sim_clock_at(&m->world->clock, &parcel->p.comes, at);
}

uint64_t sim_with_headers(uint64_t bytes)
{
	return bytes + (bytes + SEGMENT_BYTES - 1) / SEGMENT_BYTES * HEADER_BYTES;
}

static void send(struct migration *m, int from, struct parcel *parcel, uint64_t bytes)
{
	parcel->to = !from;
	parcel->epoch = m->agent[from].epoch;
	parcel->p.bytes = sim_with_headers(bytes);
	m->wire.bytes += bytes;
	m->waiting++;
	if (from == SIM_DESTINATION) {
		send_back(m, parcel);
		return;
	}
	if (parcel->channel == GW_BULK)
		m->wire.unplaced_bytes += parcel->p.bytes;
	parcel->p.comes = (struct sim_happening){.happens = crossed};
	sim_flow_send(m->wire.flow[parcel->channel], &parcel->p);
}

static void send_hurt(struct migration *m, int from, struct parcel *parcel, uint64_t bytes)
{
	enum sim_fault fault = sim_hurt(m, from, parcel);
	struct parcel *twin;

	if (fault == SIM_FAULT_DUPLICATE) {
		twin = sim_parcel_new(m, parcel->channel, parcel->size);
		memcpy(twin->bytes, parcel->bytes, parcel->size);
		send(m, from, twin, bytes);
	}
	if (parcel->size)
		send(m, from, parcel, bytes);
	else
		sim_give(m->world, parcel);
}

void sim_put_on_wire(struct migration *m, int from, struct parcel *parcel, uint64_t bytes)
{
	if (!m->agent[from].alive || !stands(m, from) || !m->wire.flow[parcel->channel]) {
		sim_give(m->world, parcel);
		return;
	}
	if (m->hurts[from] && parcel->size)
		send_hurt(m, from, parcel, bytes);
	else
		send(m, from, parcel, bytes);
}

/* --- flows --------------------------------------------------------------------------------- */

static uint64_t lower(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

/* Urgent pages go before all else; what the user limits is payload. */
static struct sim_class class_of_bulk(const struct migration *m)
{
	struct sim_class class = m->spec.class;
	uint64_t rate = lower(m->spec.move.limit_bytes_per_s, m->wire.asked_bytes_per_s);

	class.ceiling_bytes_per_s = lower(class.ceiling_bytes_per_s, sim_with_headers(rate));
	if (m->share)
		class.ceiling_bytes_per_s =
		        lower(class.ceiling_bytes_per_s,
		              m->granted_bytes_per_s ? m->granted_bytes_per_s : 1);
	class.priority++;
	return class;
}

static void reclass(struct migration *m)
{
	struct sim_class class = class_of_bulk(m);

	if (m->wire.flow[GW_BULK])
		sim_flow_set_class(m->wire.flow[GW_BULK], &class);
}

void sim_set_rate(struct migration *m, uint64_t bytes_per_s)
{
	m->wire.asked_bytes_per_s = bytes_per_s;
	reclass(m);
}

void sim_grant(struct migration *m, uint64_t bytes_per_s)
{
	if (m->granted_bytes_per_s == bytes_per_s)
		return;
	m->granted_bytes_per_s = bytes_per_s;
	reclass(m);
}

void sim_detach(struct migration *m)
{
	int channel;

	for (channel = 0; channel < 4; channel++) {
		if (m->wire.flow[channel])
			sim_flow_close(m->wire.flow[channel], lost);
		m->wire.flow[channel] = NULL;
	}
	sim_clock_cancel(&m->world->clock, &m->wire.room);
}

static void open_flows(struct migration *m)
{
	struct sim_network *network = m->world->network;
	struct sim_class bulk = class_of_bulk(m), urgent = {0};
	struct sim_class control = {.priority = bulk.priority};
	const unsigned *path = m->spec.path;
	size_t count = m->spec.path_count;

	m->wire.flow[GW_BULK] = sim_flow_open(network, path, count, &bulk, bulk_left, m);
	m->wire.flow[GW_URGENT] = sim_flow_open(network, path, count, &urgent, NULL, NULL);
	m->wire.flow[GW_CONTROL] = sim_flow_open(network, path, count, &control, NULL, NULL);
}

/* Each connection begins with a HELLO each way. */
static uint64_t greeting_bytes(void)
{
	return 6 * gw_message_bytes(
	                   &(struct gw_message){.kind = GW_MSG_HELLO, .hello.channel = GW_CONTROL});
}

static void begin_stream(struct migration *m, struct stream *stream)
{
	sim_give(m->world, stream->rest);
	*stream = (struct stream){.last_ns = sim_now(m)};
}

void sim_attach(struct migration *m)
{
	struct wire *wire = &m->wire;
	int side, channel;

	sim_detach(m);
	wire->epochs++;
	for (channel = 0; channel < 4; channel++) {
		begin_stream(m, &wire->stream[SIM_SOURCE][channel]);
		begin_stream(m, &wire->stream[SIM_DESTINATION][channel]);
		wire->inbox[channel].free_ns = sim_now(m);
	}
	for (side = 0; side < SIM_SIDES; side++)
		m->agent[side].epoch = wire->epochs;
	wire->unplaced_bytes = 0;
	wire->sender_free_ns = wire->answerer_free_ns = wire->news_ns = sim_now(m);
	wire->bytes += greeting_bytes();
	open_flows(m);
}

/* --- losing, and connecting anew ----------------------------------------------------------- */

static void notice_loss(struct migration *m, int side, uint64_t after, const char *why)
{
	struct happening *h = sim_will(m, LOSS, side, sim_now(m) + after);

	h->event.text = why;
}

void sim_lose(struct migration *m, struct happening *h)
{
	if (m->agent[h->side].epoch == h->epoch)
		hear_of_loss(m, h->side, h->event.text);
}

void sim_cut(struct migration *m, const struct sim_planned *plan)
{
	int side;

	m->wire.cut_epoch = m->wire.epochs;
	m->wire.down_until = sim_now(m) + plan->for_ns;
	sim_detach(m);
	for (side = 0; side < SIM_SIDES; side++)
		if (m->agent[side].epoch && !(plan->silent && side == plan->side))
			notice_loss(m, side, m->config.jitter ? sim_dice_below(m, 400000) : 1000,
			            "the connection was reset");
}

/* What was said before comes; then the end of the stream. */
void sim_hang_up(struct migration *m, int side)
{
	struct agent *a = &m->agent[side], *other = &m->agent[!side];

	if (a->epoch && other->epoch == a->epoch && stands(m, side))
		sim_put_on_wire(m, side, sim_parcel_new(m, GW_CONTROL, 0), 1);
	a->epoch = 0;
}

/* The destination's router: hands the connections to whom they belong. */
static bool route(struct migration *m)
{
	struct agent *d = &m->agent[SIM_DESTINATION];
	bool known;

	if (sim_now(m) < m->wire.down_until || (!d->alive && m->restarting[SIM_DESTINATION]))
		return false;
	hear_of_loss(m, SIM_DESTINATION, "the source connected anew");
	known = d->alive || (d->has_journal && !sim_journal_settled(d->record));
	if (!d->alive)
		sim_start_destination(m, sim_journal_settled(d->record) || !d->has_journal);
	if (!d->alive)
		return false;
	sim_attach(m);
	if (known)
		sim_will(m, ANSWER, SIM_DESTINATION, sim_now(m) + 1000)->event.kind = GW_EV_LINK_UP;
	return true;
}

void sim_connect_again(struct migration *m)
{
	if (route(m))
		sim_will(m, ANSWER, SIM_SOURCE, sim_now(m) + 1)->event.kind = GW_EV_LINK_UP;
	else
		sim_answer_text(m, SIM_SOURCE, GW_EV_LINK_LOST, "no connection could be made");
}
