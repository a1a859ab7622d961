/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/resumed.c - somebody else resumes the VM after COMMIT was said.
 *
 * It is stopped again, for it may run at the destination. If COMMIT was lost with its link it never
 * ran there; but by then the VM has run on at the source and is not what is loaded there.
 */
#include "core/migration/source.h"

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

static void happens(struct gw_source *s, enum gw_event_kind kind)
{
	const struct gw_event event = {.kind = kind};

	assert_int_equal(gw_source_step(s, &event, &actions), 0);
}

static void stands_prepared(struct gw_source *s)
{
	struct gw_message message = {.kind = GW_MSG_STANDING};
	struct gw_event event = {.kind = GW_EV_MESSAGE, .message = &message};

	message.standing.standing = GW_STANDS_PREPARED;
	message.standing.host = (struct gw_id){{7}};
	assert_int_equal(gw_source_step(s, &event, &actions), 0);
}

/* COMMIT was said; a new link stands and the destination has been asked. */
static struct gw_source *committed(void **memory)
{
	struct gw_source_config config = {
	        .name = "vm", .vcpus = 1, .ram_pages = PAGES, .destination = {{7}}};
	struct gw_event recover = {.kind = GW_EV_RECOVER, .recover.record = GW_REC_COMMITTED};
	struct gw_event up = {.kind = GW_EV_LINK_UP, .text = "b"};
	struct gw_source *s;

	assert_int_equal(gw_policy_init(&config.policy, "postcopy"), 0);
	assert_int_equal(gw_order_init(&config.order, "linear"), 0);
	*memory = calloc(1, gw_source_bytes(&config.policy, &config.order, PAGES));
	assert_non_null(*memory);
	s = gw_source_init(*memory, &config);
	assert_int_equal(gw_source_step(s, &recover, &actions), 0);
	assert_int_equal(gw_source_step(s, &up, &actions), 0);
	return s;
}

static void it_is_not_given_away_again(void **state)
{
	void *memory;
	struct gw_source *s = committed(&memory);

	(void)state;
	happens(s, GW_EV_RUNNING);
	assert_non_null(found(GW_ACT_STOP));
	happens(s, GW_EV_STOPPED);
	stands_prepared(s);
	assert_null(found(GW_ACT_LOOK));
	assert_int_equal(found(GW_ACT_SEND)->message.kind, GW_MSG_ABORT);
	assert_non_null(found(GW_ACT_RESUME));
	assert_int_equal(gw_source_state(s), GW_STATE_CANCELLED);
	free(memory);
}

static void one_that_stood_is(void **state)
{
	void *memory;
	struct gw_source *s = committed(&memory);

	(void)state;
	stands_prepared(s);
	assert_non_null(found(GW_ACT_LOOK));
	happens(s, GW_EV_STOPPED);
	assert_int_equal(found(GW_ACT_JOURNAL)->journal.record, GW_REC_COMMITTED);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(it_is_not_given_away_again),
	        cmocka_unit_test(one_that_stood_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
