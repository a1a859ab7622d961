/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/given_up.c - the VM has gone, and a person gave it up over there.
 *
 * It takes a `cont` that is refused after the source has heard that the VM runs, a person who says
 * `resolve --gone` at the destination, and a `recover` at the source: torture met it once in twelve
 * million runs, as a source that connected anew for ever.
 */
#include "core/migration/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

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

static struct gw_source *recovered(struct gw_id destination, void **memory)
{
	struct gw_source_config config = {
	        .name = "vm", .vcpus = 1, .ram_pages = PAGES, .destination = destination};
	struct gw_event recover = {.kind = GW_EV_RECOVER, .recover.record = GW_REC_GONE};
	struct gw_source *s;

	assert_int_equal(gw_policy_init(&config.policy, "postcopy"), 0);
	assert_int_equal(gw_order_init(&config.order, "linear"), 0);
	*memory = calloc(1, gw_source_bytes(&config.policy, &config.order, PAGES));
	assert_non_null(*memory);
	s = gw_source_init(*memory, &config);
	assert_int_equal(gw_source_step(s, &recover, &actions), 0);
	assert_non_null(found(GW_ACT_CONNECT));
	assert_int_equal(
	        gw_source_step(s, &(struct gw_event){.kind = GW_EV_LINK_UP, .text = "b"}, &actions),
	        0);
	return s;
}

/* It ends, keeps its record, and says who can say more. */
static void the_source_ends_and_leaves_it_to_a_person(void **state)
{
	const struct gw_id there = {{7}};
	struct gw_message message = {.kind = GW_MSG_STANDING};
	struct gw_event event = {.kind = GW_EV_MESSAGE, .message = &message};
	const struct gw_action *end;
	struct gw_source *s;
	void *memory;

	(void)state;
	message.standing.standing = GW_STANDS_UNKNOWN;
	message.standing.host = there;
	s = recovered(there, &memory);
	assert_int_equal(gw_source_step(s, &event, &actions), 0);
	end = found(GW_ACT_FINISH);
	assert_non_null(end);
	assert_int_equal(end->finish.outcome, GW_UNFINISHED);
	assert_non_null(strstr(end->finish.text, "resolve"));
	assert_null(found(GW_ACT_JOURNAL));
	assert_null(found(GW_ACT_RESUME));
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_source_ends_and_leaves_it_to_a_person),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
