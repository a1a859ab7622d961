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
	const struct gw_event event = {.kind = kind, .text = ""};

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

/* Its tracking is asked for. */
static struct gw_source *tracked(void **memory)
{
	struct gw_source_config config = {.name = "vm", .vcpus = 1, .ram_pages = PAGES};
	struct gw_message accept = {.kind = GW_MSG_ACCEPT, .accept.host = {{7}}};
	struct gw_event accepted = {.kind = GW_EV_MESSAGE, .message = &accept};
	uint64_t *words = calloc(gw_set_words(PAGES), sizeof(*words));
	struct gw_set data;
	struct gw_source *s;

	assert_int_equal(gw_policy_init(&config.policy, "precopy"), 0);
	assert_int_equal(gw_order_init(&config.order, "linear"), 0);
	*memory = calloc(1, gw_source_bytes(&config.policy, &config.order, PAGES));
	assert_non_null(*memory);
	s = gw_source_init(*memory, &config);
	happens(s, GW_EV_START);
	assert_int_equal(gw_source_step(s, &accepted, &actions), 0);
	happens(s, GW_EV_JOURNALED);
	gw_set_init(&data, words, PAGES);
	gw_set_add(&data, 3);
	assert_int_equal(gw_source_step(s, &(struct gw_event){.kind = GW_EV_SURVEYED, .set = &data},
	                                &actions),
	                 0);
	free(words);
	assert_non_null(found(GW_ACT_TRACK));
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

/* Tracking was asked for and refused, and the user's abort came first. */
static void what_failed_before_is_not_its_resumption(void **state)
{
	struct gw_event abort = {.kind = GW_EV_ABORT, .text = "stopped by the user"};
	void *memory;
	struct gw_source *s = tracked(&memory);

	(void)state;
	assert_int_equal(gw_source_step(s, &abort, &actions), 0);
	assert_non_null(found(GW_ACT_RESUME));
	happens(s, GW_EV_FAILED);
	assert_null(found(GW_ACT_JOURNAL));
	happens(s, GW_EV_RUN_REFUSED);
	assert_int_equal(found(GW_ACT_JOURNAL)->journal.record, GW_REC_STAYED);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(it_is_not_given_away_again),
	        cmocka_unit_test(one_that_stood_is),
	        cmocka_unit_test(what_failed_before_is_not_its_resumption),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
