/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/unasked.c - a destination that says what it was not asked, or too early.
 *
 * By neither may the source be brought to let go of a VM that nobody else can have.
 */
#include "core/migration/source.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define PAGES 64

static struct gw_actions actions;
static uint64_t words[GW_SET_WORDS(PAGES)];

static bool told(enum gw_action_kind kind)
{
	for (size_t i = 0; i < actions.count; i++)
		if (actions.at[i].kind == kind)
			return true;
	return false;
}

static void happens(struct gw_source *s, enum gw_event_kind kind)
{
	struct gw_event event = {.kind = kind, .text = ""};
	struct gw_set set;

	gw_set_init(&set, words, PAGES);
	gw_set_fill(&set);
	if (kind == GW_EV_SURVEYED)
		event.set = &set;
	assert_int_equal(gw_source_step(s, &event, &actions), 0);
}

static int hears(struct gw_source *s, struct gw_message message)
{
	struct gw_event event = {.kind = GW_EV_MESSAGE, .message = &message};

	return gw_source_step(s, &event, &actions);
}

/* The destination has reserved its place. */
static struct gw_source *accepted(void **memory)
{
	struct gw_source_config config = {.name = "vm", .vcpus = 1, .ram_pages = PAGES};
	struct gw_source *s;

	assert_int_equal(gw_policy_init(&config.policy, "postcopy"), 0);
	assert_int_equal(gw_order_init(&config.order, "linear"), 0);
	*memory = calloc(1, gw_source_bytes(&config.policy, &config.order, PAGES));
	assert_non_null(*memory);
	s = gw_source_init(*memory, &config);
	happens(s, GW_EV_START);
	assert_int_equal(hears(s, (struct gw_message){.kind = GW_MSG_ACCEPT, .accept.host = {{7}}}),
	                 0);
	assert_int_equal(gw_source_state(s), GW_STATE_ITERATIVE_PRE_COPY);
	return s;
}

/* It runs there, all its pages are here. */
static struct gw_source *activated(void **memory)
{
	struct gw_source *s = accepted(memory);

	happens(s, GW_EV_JOURNALED);
	happens(s, GW_EV_SURVEYED);
	happens(s, GW_EV_JOURNALED);
	happens(s, GW_EV_STOPPED);
	happens(s, GW_EV_SURVEYED);
	assert_true(told(GW_ACT_SAVE));
	assert_int_equal(hears(s, (struct gw_message){.kind = GW_MSG_PREPARED}), 0);
	happens(s, GW_EV_STOPPED);
	happens(s, GW_EV_JOURNALED);
	assert_int_equal(hears(s, (struct gw_message){.kind = GW_MSG_ACTIVATED}), 0);
	assert_int_equal(gw_source_state(s), GW_STATE_ACTIVATION);
	return s;
}

static void where_it_stands(void **state)
{
	static const enum gw_standing all[] = {GW_STANDS_UNKNOWN, GW_STANDS_PREPARED,
	                                       GW_STANDS_RUNNING, GW_STANDS_COMPLETE,
	                                       GW_STANDS_DOUBT};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		void *memory;
		struct gw_source *s = accepted(&memory);
		struct gw_message message = {.kind = GW_MSG_STANDING};

		message.standing.standing = all[i];
		message.standing.host = (struct gw_id){{9}};
		assert_int_equal(hears(s, message), -EPROTO);
		assert_int_equal(gw_source_state(s), GW_STATE_CANCELLED);
		free(memory);
	}
}

static void done_before_a_page_was_pushed(void **state)
{
	void *memory;
	struct gw_source *s = activated(&memory);

	(void)state;
	assert_int_equal(hears(s, (struct gw_message){.kind = GW_MSG_DONE}), -EPROTO);
	assert_false(told(GW_ACT_RELEASE));
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(where_it_stands),
	        cmocka_unit_test(done_before_a_page_was_pushed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
