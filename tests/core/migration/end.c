/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/end.c - the END of a pull is acknowledged over the link that it came by.
 *
 * It takes a destination that is slow to end its faults, and a source that is replaced meanwhile:
 * torture met it once in a million runs, as a ROUND_ACK that the new source had not asked for.
 */
#include "core/migration/destination.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define PAGES 16

static struct gw_actions actions;

static const struct gw_action *found(enum gw_action_kind kind)
{
	for (size_t i = 0; i < actions.count; i++)
		if (actions.at[i].kind == kind)
			return &actions.at[i];
	return NULL;
}

static bool acks(void)
{
	for (size_t i = 0; i < actions.count; i++)
		if (actions.at[i].kind == GW_ACT_SEND &&
		    actions.at[i].message.kind == GW_MSG_ROUND_ACK)
			return true;
	return false;
}

static void takes(struct gw_destination *d, struct gw_event event)
{
	assert_int_equal(gw_destination_step(d, &event, &actions), 0);
}

static void happens(struct gw_destination *d, enum gw_event_kind kind)
{
	takes(d, (struct gw_event){.kind = kind, .text = ""});
}

static void hears(struct gw_destination *d, struct gw_message message)
{
	takes(d, (struct gw_event){.kind = GW_EV_MESSAGE, .message = &message});
}

static void marked(struct gw_destination *d, enum gw_frame_kind kind)
{
	struct gw_event event = {.kind = GW_EV_MARK, .mark = {.kind = kind, .number = 1}};

	takes(d, event);
}

/* What is missing is said twice: at the switch, and again by a source that takes up the pull. */
static void map(struct gw_destination *d, struct gw_run *missing, uint32_t count)
{
	struct gw_message switched = {.kind = GW_MSG_SWITCH}, map = {.kind = GW_MSG_MAP};

	switched.switched.pulls = true;
	map.map.runs = missing;
	map.map.count = count;
	map.map.last = true;
	hears(d, switched);
	hears(d, map);
}

/* A VM that is to be verified runs there, and its last page has come with the END. */
static struct gw_destination *pulled(void **memory)
{
	struct gw_destination_config config = {
	        .ram_pages = PAGES, .vcpus = 1, .serves_faults = true, .host = {{7}}};
	struct gw_message offer = {.kind = GW_MSG_OFFER};
	struct gw_run last = {3, 1};
	struct gw_destination *d;

	*memory = malloc(gw_destination_bytes(PAGES, 1));
	assert_non_null(*memory);
	d = gw_destination_init(*memory, &config);
	happens(d, GW_EV_LINK_UP);
	offer.offer.flags = GW_OFFER_PULLS | GW_OFFER_VERIFIES;
	hears(d, offer);
	happens(d, GW_EV_RESERVED);
	happens(d, GW_EV_JOURNALED);
	map(d, &last, 1);
	marked(d, GW_FRAME_SWITCH);
	happens(d, GW_EV_ARMED);
	happens(d, GW_EV_LOADED);
	happens(d, GW_EV_JOURNALED);
	hears(d, (struct gw_message){.kind = GW_MSG_COMMIT});
	happens(d, GW_EV_JOURNALED);
	happens(d, GW_EV_RUNNING);
	assert_int_equal(gw_destination_state(d), GW_STATE_PULL);
	takes(d, (struct gw_event){.kind = GW_EV_PLACED, .placed = {.runs = &last, .count = 1}});
	marked(d, GW_FRAME_END);
	assert_non_null(found(GW_ACT_DISARM));
	return d;
}

static void over_the_same_link_it_is_acknowledged(void **state)
{
	void *memory;
	struct gw_destination *d = pulled(&memory);

	(void)state;
	happens(d, GW_EV_DISARMED);
	assert_true(acks());
	free(memory);
}

static void over_another_link_only_its_own_is(void **state)
{
	struct gw_set there;
	uint64_t *words = calloc(gw_set_words(PAGES), sizeof(*words));
	void *memory;
	struct gw_destination *d = pulled(&memory);

	(void)state;
	gw_set_init(&there, words, PAGES);
	happens(d, GW_EV_LINK_LOST);
	happens(d, GW_EV_LINK_UP);
	hears(d, (struct gw_message){.kind = GW_MSG_RESUME});
	assert_non_null(found(GW_ACT_SURVEY));
	takes(d, (struct gw_event){.kind = GW_EV_SURVEYED, .set = &there});
	free(words);
	happens(d, GW_EV_DISARMED);
	assert_int_equal(found(GW_ACT_JOURNAL)->journal.record, GW_REC_WHOLE);
	assert_false(acks());
	map(d, NULL, 0);
	marked(d, GW_FRAME_END);
	assert_true(acks());
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(over_the_same_link_it_is_acknowledged),
	        cmocka_unit_test(over_another_link_only_its_own_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
