/* SPDX-License-Identifier: MIT */
/*
 * live/net/pacing.h - how fast bulk may go while urgent pages share the link with it.
 *
 * Bulk just below what the link carries leaves no queue in which an urgent page would wait. The
 * pacer learns the link's rate from acknowledged bytes, sends at GW_PACER_SHARE of it (at all of it
 * where traffic control keeps both together below the link), and now and then offers a little more:
 * where the link took it, it became faster, and the next offer is larger; where it did not, the
 * next one comes later. A queue that it caused, by an offer, at the start or when the link became
 * slower, it lets empty.
 *
 * A sender or receiver without a processor carries less, too, but the link is not to blame: then
 * the connection had nothing to send, or nobody to read it, which a slower link never brings about.
 * Such windows say nothing against the link.
 *
 * It opens no socket and reads no clock; the caller asks the kernel (gw_net_look)
 * and tells the kernel (gw_net_pace).
 */
#ifndef GW_LIVE_NET_PACING_H
#define GW_LIVE_NET_PACING_H

#include <stdbool.h>
#include <stdint.h>

#define GW_PACER_WINDOW_NS    UINT64_C(100000000)
#define GW_PACER_SHARE        95 /* per cent of the link */
#define GW_PACER_LEVEL        3  /* windows without gain that are alike: the link */
#define GW_PACER_PROBE_EVERY  10 /* windows to the first offer of more, and after one was taken */
#define GW_PACER_PROBE_SELDOM 40 /* windows between two at most, if none is taken */

struct gw_pacer {
	uint64_t limit_bytes_per_s; /* the user's; 0: none */
	uint64_t link_bytes_per_s;  /* what the link is believed to carry; 0: not known yet */
	uint64_t most_bytes_per_s;  /* that it was believed to carry, forgotten by and by */
	uint64_t rate_bytes_per_s;  /* what bulk may send now; 0: not paced */
	uint64_t window_start_ns, window_acked_bytes;
	uint64_t last_ns, dry_ns; /* of this window, while the link was kept waiting */
	uint64_t short_ns;        /* a window while the link is not known, or a queue empties */
	uint64_t level[GW_PACER_LEVEL]; /* the last windows at the start that brought no gain */
	uint64_t best_bytes_per_s;      /* of the windows since the link last fell short */
	uint32_t levels;
	uint32_t share;         /* per cent of the link that is offered mostly */
	uint32_t gain;          /* and now */
	uint32_t next_gain;     /* of the next offer of more */
	uint32_t windows;       /* since the last offer of more, or since the start */
	uint32_t probe_every;   /* so many of them to the next */
	uint32_t short_windows; /* one after the other that carried less than was offered */
	bool started;
	bool busy; /* bulk had something to send all through this window */
};

/* `rtt_ns`: of the link while it is idle; how soon TCP can be seen to gain no more. */
void gw_pacer_init(struct gw_pacer *pacer, uint64_t limit_bytes_per_s, uint64_t rtt_ns);
/* From now on urgent pages overtake bulk in a class of their own: bulk may have all of the link. */
void gw_pacer_shaped(struct gw_pacer *pacer);
/* What earlier rounds measured: it need not be found again. */
void gw_pacer_learned(struct gw_pacer *pacer, uint64_t link_bytes_per_s);
/* A new limit of the user's; 0: none. */
void gw_pacer_limit(struct gw_pacer *pacer, uint64_t limit_bytes_per_s);

/* What was seen at one look. */
struct gw_pacer_look {
	uint64_t acked_bytes; /* of all that shares the link with bulk, since the connections began
	                       */
	bool busy;            /* bulk has more to send: a window in which it had not says nothing */
	bool dry; /* since the last look the sender or the receiver kept the link waiting */
};

/* Called often. Returns the rate for gw_net_pace(), 0: none. */
uint64_t gw_pacer_update(struct gw_pacer *pacer, uint64_t now_ns, const struct gw_pacer_look *look);

#endif
