/* SPDX-License-Identifier: MIT */
/*
 * core/migration/source/reserve.c - the source, Reservation: the VM is offered, the destination
 * accepts it.
 */
#include <string.h>

#include "core/migration/source/parts.h"

void gw_source_tell_observed(const struct gw_source *s, const struct gw_event *ev,
                             struct gw_actions *out)
{
	if (s->observed_windows)
		gw_trace(out, ev->now_ns, WHO,
		         "observed for %llu ms in %zu windows: %llu different pages were written",
		         (unsigned long long)(s->observed_ns / 1000000), s->observed_windows,
		         (unsigned long long)s->observed_pages);
}

void gw_source_offer(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	struct gw_message message = {.kind = GW_MSG_OFFER};

	message.offer.flags = (s->config.policy.kind->pulls ? GW_OFFER_PULLS : 0) |
	                      (s->config.verify ? GW_OFFER_VERIFIES : 0) |
	                      (s->config.paused ? GW_OFFER_PAUSED : 0);
	message.offer.vcpus = s->config.vcpus;
	message.offer.ram_bytes = s->config.ram_pages * GW_PAGE_BYTES;
	message.offer.name = s->config.name;
	message.offer.name_bytes = (uint32_t)strlen(s->config.name);
	message.offer.spec = s->config.spec;
	message.offer.spec_bytes = s->config.spec_bytes;
	s->link = true;
	s->heard_ns = ev->now_ns;
	gw_source_enter(s, ev, out, GW_STATE_RESERVATION, "the VM is offered to the destination");
	gw_act_send(out, message);
	gw_source_prepare_shadow(s, out); /* while the destination starts its hypervisor */
}

void gw_source_accepted(struct gw_source *s, const struct gw_event *ev, struct gw_actions *out)
{
	s->begun_ns = ev->now_ns;
	gw_source_enter(s, ev, out, GW_STATE_ITERATIVE_PRE_COPY,
	                "the destination has reserved its place");
	s->config.destination = ev->message->accept.host;
	gw_act(out, GW_ACT_PEER)->host = s->config.destination;
	gw_act_journal(out, GW_REC_LEAVING, false);
}
