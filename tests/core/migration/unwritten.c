/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/unwritten.c - a record that cannot be written, where a person is at work.
 *
 * What becomes of the other records that are not written is tried in torture.
 */
#include "core/migration/destination.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define PAGES 16

static struct gw_actions actions;

static bool acts(struct gw_destination *d, struct gw_event event, enum gw_action_kind kind)
{
	size_t i;

	assert_int_equal(gw_destination_step(d, &event, &actions), 0);
	for (i = 0; i < actions.count; i++)
		if (actions.at[i].kind == kind)
			return true;
	return false;
}

/* The source may be gone for ever, and this VM be the last one. */
static void what_a_person_keeps_is_not_destroyed(void **state)
{
	struct gw_destination_config config = {.ram_pages = PAGES, .vcpus = 1};
	struct gw_event recover = {.kind = GW_EV_RECOVER, .recover.record = GW_REC_PREPARED};
	struct gw_event here = {.kind = GW_EV_RESOLVED_HERE};
	struct gw_event full = {.kind = GW_EV_UNWRITTEN, .text = "the disk is full"};
	void *memory = malloc(gw_destination_bytes(PAGES, 1));
	struct gw_destination *d = gw_destination_init(memory, &config);

	(void)state;
	(void)acts(d, recover, GW_ACT_TRACE);
	assert_true(acts(d, here, GW_ACT_JOURNAL));
	assert_false(acts(d, full, GW_ACT_DESTROY));
	assert_int_equal(gw_destination_state(d), GW_STATE_COMMITMENT);
	assert_true(acts(d, here, GW_ACT_JOURNAL));
	assert_true(acts(d, (struct gw_event){.kind = GW_EV_JOURNALED}, GW_ACT_RUN));
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_a_person_keeps_is_not_destroyed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
