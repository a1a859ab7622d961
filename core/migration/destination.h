/* SPDX-License-Identifier: MIT */
/*
 * core/migration/destination.h - the side that the VM comes to.
 *
 * Its memory is made when OFFER has said how large the VM is: the caller decodes the first message,
 * provides gw_destination_bytes() and hands the message to gw_destination_step().
 */
#ifndef GW_CORE_MIGRATION_DESTINATION_H
#define GW_CORE_MIGRATION_DESTINATION_H

#include "core/migration/event.h"

struct gw_destination_config {
	struct gw_id id;
	struct gw_id host; /* who we are; not all zeros */
	uint64_t ram_pages;
	uint32_t vcpus;
	bool serves_faults;        /* this host can do post-copy ... */
	const char *why_no_faults; /* ... or the sentence why not; borrowed */
	uint64_t link_timeout_ns;  /* 0: the default */
};

struct gw_destination;

size_t gw_destination_bytes(uint64_t ram_pages, uint32_t vcpus);
struct gw_destination *gw_destination_init(void *memory,
                                           const struct gw_destination_config *config);
int gw_destination_step(struct gw_destination *destination, const struct gw_event *event,
                        struct gw_actions *actions);
uint64_t gw_destination_deadline(const struct gw_destination *destination);

enum gw_state gw_destination_state(const struct gw_destination *destination);
bool gw_destination_verifies(const struct gw_destination *destination);

#endif
