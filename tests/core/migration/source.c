/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/source.c - the source, where chance seldom leads: what it makes of what the
 * destination and its own hypervisor say at an odd time.
 */
#include "core/migration/source.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES  64
#define SECOND UINT64_C(1000000000)

static const struct gw_id there = {{7}}, elsewhere = {{9}};

static struct gw_actions actions;
static struct gw_source *source;
static void *memory;
static uint64_t now, link_bytes;

static const struct gw_action *found(enum gw_action_kind kind)
{
	for (size_t i = 0; i < actions.count; i++)
		if (actions.at[i].kind == kind)
			return &actions.at[i];
	return NULL;
}

static int step(struct gw_event event)
{
	event.now_ns = now;
	event.link_bytes = link_bytes;
	return gw_source_step(source, &event, &actions);
}

static void happens(enum gw_event_kind kind)
{
	assert_int_equal(step((struct gw_event){.kind = kind, .text = "so it is"}), 0);
}

/* Every page holds data. */
static void surveyed(void)
{
	static uint64_t words[GW_SET_WORDS(PAGES)];
	struct gw_set all;

	gw_set_init(&all, words, PAGES);
	gw_set_fill(&all);
	assert_int_equal(step((struct gw_event){.kind = GW_EV_SURVEYED, .set = &all}), 0);
}

static int hears(struct gw_message message)
{
	return step((struct gw_event){.kind = GW_EV_MESSAGE, .message = &message});
}

static int stands(enum gw_standing standing, struct gw_id host)
{
	return hears((struct gw_message){.kind = GW_MSG_STANDING,
	                                 .standing = {.standing = standing, .host = host}});
}

static void make(const char *policy, struct gw_id destination)
{
	struct gw_source_config config = {
	        .name = "vm", .vcpus = 1, .ram_pages = PAGES, .destination = destination};

	assert_int_equal(gw_policy_init(&config.policy, policy), 0);
	assert_int_equal(gw_order_init(&config.order, "linear"), 0);
	free(memory);
	memory = calloc(1, gw_source_bytes(&config.policy, &config.order, PAGES));
	assert_non_null(memory);
	source = gw_source_init(memory, &config);
	now = SECOND;
	link_bytes = 0;
}

/* An agent took it up, a new link stands and the destination has been asked. */
static void recovered(enum gw_journal_record record)
{
	make("postcopy", there);
	assert_int_equal(step((struct gw_event){.kind = GW_EV_RECOVER, .recover.record = record}),
	                 0);
	assert_non_null(found(GW_ACT_CONNECT));
	happens(GW_EV_LINK_UP);
}

static void accepted(const char *policy)
{
	make(policy, (struct gw_id){{0}});
	happens(GW_EV_START);
	assert_int_equal(hears((struct gw_message){.kind = GW_MSG_ACCEPT, .accept.host = there}),
	                 0);
	assert_int_equal(gw_source_state(source), GW_STATE_ITERATIVE_PRE_COPY);
}

/* What is left at the switch is known: all, for there were no rounds. */
static void stopped(const char *policy)
{
	accepted(policy);
	happens(GW_EV_JOURNALED);
	surveyed();
	happens(GW_EV_JOURNALED);
	happens(GW_EV_STOPPED);
	surveyed();
	assert_non_null(found(GW_ACT_SAVE));
}

/* The destination has it. */
static void given_away(const char *policy)
{
	stopped(policy);
	while (gw_source_wants_room(source))
		happens(GW_EV_ROOM);
	assert_int_equal(hears((struct gw_message){.kind = GW_MSG_PREPARED}), 0);
	happens(GW_EV_STOPPED);
	happens(GW_EV_JOURNALED);
	assert_int_equal(hears((struct gw_message){.kind = GW_MSG_ACTIVATED}), 0);
	assert_int_equal(gw_source_state(source), GW_STATE_ACTIVATION);
}

/* --- after COMMIT ---------------------------------------------------------------------------- */

/*
 * The VM has gone, and a person gave it up over there: it takes a `cont` that is refused after the
 * source has heard that the VM runs, `resolve --gone` at the destination, and a `recover` here.
 * Torture met it once in twelve million runs, as a source that connected anew for ever.
 */
static void given_up_there_it_is_left_to_a_person(void **state)
{
	const struct gw_action *end;

	(void)state;
	recovered(GW_REC_GONE);
	assert_int_equal(stands(GW_STANDS_UNKNOWN, there), 0);
	end = found(GW_ACT_FINISH);
	assert_non_null(end);
	assert_int_equal(end->finish.outcome, GW_UNFINISHED);
	assert_non_null(strstr(end->finish.text, "resolve"));
	assert_null(found(GW_ACT_JOURNAL));
	assert_null(found(GW_ACT_RESUME));
}

/*
 * Somebody else resumed it. It is stopped again, for it may run at the destination; but if COMMIT
 * was lost with its link, what has run on is not what is loaded there.
 */
static void one_that_ran_on_is_not_given_away_again(void **state)
{
	(void)state;
	recovered(GW_REC_COMMITTED);
	happens(GW_EV_RUNNING);
	assert_non_null(found(GW_ACT_STOP));
	happens(GW_EV_STOPPED);
	assert_int_equal(stands(GW_STANDS_PREPARED, there), 0);
	assert_null(found(GW_ACT_LOOK));
	assert_int_equal(found(GW_ACT_SEND)->message.kind, GW_MSG_ABORT);
	assert_non_null(found(GW_ACT_RESUME));
	assert_int_equal(gw_source_state(source), GW_STATE_CANCELLED);
}

static void one_that_stood_is(void **state)
{
	(void)state;
	recovered(GW_REC_COMMITTED);
	assert_int_equal(stands(GW_STANDS_PREPARED, there), 0);
	assert_non_null(found(GW_ACT_LOOK));
	happens(GW_EV_STOPPED);
	assert_int_equal(found(GW_ACT_JOURNAL)->journal.record, GW_REC_COMMITTED);
}

/* It is stopped again, but its pages were to be those of the switch: that is told. */
static void pages_of_one_that_ran_on_may_be_mixed(void **state)
{
	(void)state;
	given_away("postcopy");
	happens(GW_EV_RUNNING);
	assert_non_null(found(GW_ACT_STOP));
	happens(GW_EV_JOURNALED);
	while (gw_source_wants_room(source))
		happens(GW_EV_ROOM);
	assert_int_equal(hears((struct gw_message){.kind = GW_MSG_DONE}), 0);
	assert_int_equal(found(GW_ACT_FINISH)->finish.outcome, GW_COMPLETED);
	assert_non_null(strstr(found(GW_ACT_FINISH)->finish.text, "resumed it here"));
	assert_true(gw_source_metrics(source)->mixed);
}

/* An agent that takes it up finds it running. */
static void of_one_that_was_found_running_as_well(void **state)
{
	struct gw_message map = {.kind = GW_MSG_MAP, .map.last = true};

	(void)state;
	recovered(GW_REC_GONE);
	happens(GW_EV_RUNNING);
	assert_non_null(found(GW_ACT_STOP));
	assert_int_equal(stands(GW_STANDS_RUNNING, there), 0);
	assert_int_equal(hears(map), 0);
	surveyed();
	while (gw_source_wants_room(source))
		happens(GW_EV_ROOM);
	assert_int_equal(hears((struct gw_message){.kind = GW_MSG_DONE}), 0);
	assert_true(gw_source_metrics(source)->mixed);
}

static void of_one_that_was_sent_whole_they_are_not(void **state)
{
	(void)state;
	given_away("stop-copy");
	happens(GW_EV_RUNNING);
	happens(GW_EV_JOURNALED);
	assert_int_equal(hears((struct gw_message){.kind = GW_MSG_DONE}), 0);
	assert_non_null(found(GW_ACT_FINISH));
	assert_false(gw_source_metrics(source)->mixed);
}

/* --- a destination that says what it was not asked, or too early ----------------------------- */

static void standing_unasked(void **state)
{
	(void)state;
	for (int standing = GW_STANDS_UNKNOWN; standing <= GW_STANDS_DOUBT; standing++) {
		accepted("postcopy");
		assert_int_equal(stands((enum gw_standing)standing, elsewhere), -EPROTO);
		assert_int_equal(gw_source_state(source), GW_STATE_CANCELLED);
	}
}

static void done_before_a_page_was_pushed(void **state)
{
	(void)state;
	given_away("postcopy");
	assert_int_equal(hears((struct gw_message){.kind = GW_MSG_DONE}), -EPROTO);
	assert_null(found(GW_ACT_RELEASE));
}

/* --- while the VM stands --------------------------------------------------------------------- */

/* 15 s without progress are too long, whatever PING and PONG add; what the state adds is some. */
static void a_slow_link_may_carry_a_large_state(void **state)
{
	(void)state;
	stopped("postcopy");
	for (int i = 0; i < 6; i++) {
		now += 7 * SECOND;
		link_bytes += 7u << 20;
		assert_int_equal(hears((struct gw_message){.kind = GW_MSG_PONG}), 0);
		happens(GW_EV_TICK);
		assert_int_equal(gw_source_state(source), GW_STATE_STOP_AND_COPY);
	}
	for (int i = 0; i < 3; i++) {
		now += 6 * SECOND;
		link_bytes += 120;
		assert_int_equal(hears((struct gw_message){.kind = GW_MSG_PONG}), 0);
		happens(GW_EV_TICK);
	}
	assert_int_equal(gw_source_state(source), GW_STATE_CANCELLED);
}

/* Tracking was asked for and is refused, and the user's abort came first. */
static void what_failed_before_is_not_its_resumption(void **state)
{
	(void)state;
	accepted("precopy");
	happens(GW_EV_JOURNALED);
	surveyed();
	assert_non_null(found(GW_ACT_TRACK));
	happens(GW_EV_ABORT);
	assert_non_null(found(GW_ACT_RESUME));
	happens(GW_EV_FAILED);
	assert_null(found(GW_ACT_JOURNAL));
	happens(GW_EV_RUN_REFUSED);
	assert_int_equal(found(GW_ACT_JOURNAL)->journal.record, GW_REC_STAYED);
}

static int end(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(given_up_there_it_is_left_to_a_person),
	        cmocka_unit_test(one_that_ran_on_is_not_given_away_again),
	        cmocka_unit_test(one_that_stood_is),
	        cmocka_unit_test(pages_of_one_that_ran_on_may_be_mixed),
	        cmocka_unit_test(of_one_that_was_found_running_as_well),
	        cmocka_unit_test(of_one_that_was_sent_whole_they_are_not),
	        cmocka_unit_test(standing_unasked),
	        cmocka_unit_test(done_before_a_page_was_pushed),
	        cmocka_unit_test(a_slow_link_may_carry_a_large_state),
	        cmocka_unit_test(what_failed_before_is_not_its_resumption),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
