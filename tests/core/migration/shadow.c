/* SPDX-License-Identifier: MIT */
/* What the source asks of its shadow, when, and that nothing else depends on it. */
#include "core/migration/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES 4096
#define MS    1000000u

static struct gw_actions actions;
static struct gw_source *source;
static struct gw_set all;
static uint64_t words[GW_SET_WORDS(PAGES)];
static uint64_t now, bytes; /* on the link */
static void *memory;

static unsigned count(enum gw_action_kind kind)
{
	unsigned n = 0;

	for (size_t i = 0; i < actions.count; i++)
		n += actions.at[i].kind == kind;
	return n;
}

static size_t place(enum gw_action_kind kind)
{
	size_t i = 0;

	while (i < actions.count && actions.at[i].kind != kind)
		i++;
	assert_true(i < actions.count);
	return i;
}

static bool says(const char *words_of_it)
{
	for (size_t i = 0; i < actions.count; i++)
		if (actions.at[i].kind == GW_ACT_TRACE && strstr(actions.at[i].text, words_of_it))
			return true;
	return false;
}

static void step(struct gw_event event)
{
	event.now_ns = now += MS / 10;
	event.link_bytes = bytes;
	assert_int_equal(gw_source_step(source, &event, &actions), 0);
}

static void happens(enum gw_event_kind kind)
{
	step((struct gw_event){.kind = kind, .text = "so it is"});
}

static void hears(enum gw_message_kind kind)
{
	struct gw_message message = {.kind = kind};

	step((struct gw_event){.kind = GW_EV_MESSAGE, .message = &message});
}

static void hears_no(enum gw_message_kind kind)
{
	struct gw_message message = gw_message_reason(kind, "no");

	step((struct gw_event){.kind = GW_EV_MESSAGE, .message = &message});
}

static void touches(uint64_t first, uint64_t pages)
{
	struct gw_run run = {first, pages};

	step((struct gw_event){.kind = GW_EV_TOUCHED, .touched = {&run, 1}});
}

/* A policy that might have pulled, and does not. */
static void stops(struct gw_policy *policy, const struct gw_view *view, struct gw_verdict *verdict)
{
	(void)policy;
	(void)view;
	verdict->decision = GW_STOP_AND_COPY;
}

static const struct gw_policy_kind stopping = {
        .name = "stopping", .settings = "", .pulls = true, .decide = stops};

static void offered(const char *policy, const char *order, bool paused)
{
	struct gw_source_config config = {
	        .name = "vm", .vcpus = 1, .ram_pages = PAGES, .paused = paused};

	now = bytes = 0;
	gw_set_init(&all, words, PAGES);
	gw_set_fill(&all);
	if (policy)
		assert_int_equal(gw_policy_init(&config.policy, policy), 0);
	else
		config.policy.kind = &stopping;
	assert_int_equal(gw_order_init(&config.order, order), 0);
	free(memory);
	memory = malloc(gw_source_bytes(&config.policy, &config.order, PAGES));
	assert_non_null(memory);
	source = gw_source_init(memory, &config);
	happens(GW_EV_START);
}

/* Until the VM is stopped, and what is left is known. */
static void switched(void)
{
	hears(GW_MSG_ACCEPT);
	happens(GW_EV_JOURNALED);
	step((struct gw_event){.kind = GW_EV_SURVEYED, .set = &all});
	happens(GW_EV_JOURNALED);
	happens(GW_EV_STOPPED);
	step((struct gw_event){.kind = GW_EV_SURVEYED, .set = &all});
	assert_int_equal(count(GW_ACT_SAVE), 1);
}

static void pulls(void)
{
	hears(GW_MSG_PREPARED);
	happens(GW_EV_STOPPED);
	happens(GW_EV_JOURNALED);
	hears(GW_MSG_ACTIVATED);
	happens(GW_EV_JOURNALED);
	assert_int_equal(gw_source_state(source), GW_STATE_PULL);
}

static uint64_t pushes(void)
{
	uint64_t before = gw_source_metrics(source)->pages_sent, pages;

	happens(GW_EV_ROOM);
	pages = gw_source_metrics(source)->pages_sent - before;
	bytes += pages * GW_PAGE_BYTES;
	return pages;
}

static void it_goes_with_its_order(void **state)
{
	(void)state;
	offered("run-ahead", "queue", false);
	assert_int_equal(count(GW_ACT_SHADOW_PREPARE), 1);
	offered("hybrid", "queue", false);
	assert_int_equal(count(GW_ACT_SHADOW_PREPARE), 1);
	offered("run-ahead", "linear", false);
	assert_int_equal(count(GW_ACT_SHADOW_PREPARE), 0);
	offered("precopy", "queue", false); /* pushes nothing after the switch */
	assert_int_equal(count(GW_ACT_SHADOW_PREPARE), 0);
	offered("run-ahead", "queue", true); /* nothing will run */
	assert_int_equal(count(GW_ACT_SHADOW_PREPARE), 0);
}

static void from_the_first_to_the_last_page(void **state)
{
	unsigned ended = 0;

	(void)state;
	offered("run-ahead", "queue", false);
	switched();
	assert_int_equal(count(GW_ACT_SHADOW_RUN), 0); /* there is no state yet */
	happens(GW_EV_SAVED);
	assert_int_equal(count(GW_ACT_SHADOW_RUN), 1);
	touches(7, 1); /* before it runs: none of its own */
	assert_int_equal(gw_source_metrics(source)->shadow_pages, 0);
	happens(GW_EV_SHADOW_STARTED);
	assert_true(says("the shadow runs"));
	touches(3000, 9);
	pulls();
	assert_int_equal(gw_source_metrics(source)->shadow_pages, 9);
	(void)pushes();
	assert_int_equal(actions.at[place(GW_ACT_PAGES)].pages.runs[0].first, 3000);
	for (unsigned i = 0; i < PAGES && gw_source_wants_room(source); i++) {
		(void)pushes();
		ended += count(GW_ACT_SHADOW_END);
	}
	assert_int_equal(ended, 1);
	assert_true(place(GW_ACT_MARK) < place(GW_ACT_SHADOW_END));
	assert_true(gw_source_metrics(source)->shadow_ran);
	/* What still comes of it is of no interest. */
	touches(1, 1);
	happens(GW_EV_SHADOW_GONE);
	assert_int_equal(actions.count, 0);
	hears(GW_MSG_DONE);
	assert_int_equal(count(GW_ACT_FINISH), 1);
	assert_int_equal(count(GW_ACT_SHADOW_END), 0);
}

/* So far ahead as the link can use: at first a thousand pages, then what it carries in 300 ms. */
static void it_is_held_and_let_go(void **state)
{
	uint64_t waiting = 1025;

	(void)state;
	offered("run-ahead", "queue", false);
	switched();
	happens(GW_EV_SAVED);
	happens(GW_EV_SHADOW_STARTED);
	touches(1000, 1024);
	assert_int_equal(count(GW_ACT_SHADOW_HOLD), 0);
	touches(2024, 1);
	assert_int_equal(count(GW_ACT_SHADOW_HOLD), 1);
	touches(100, 1); /* it was on its way */
	assert_int_equal(count(GW_ACT_SHADOW_HOLD), 0);
	assert_int_equal(gw_source_metrics(source)->shadow_pages, 1026);
	pulls();
	for (waiting = 1026; waiting > 512; waiting -= pushes())
		assert_int_equal(count(GW_ACT_SHADOW_GO), 0);
	assert_int_equal(count(GW_ACT_SHADOW_GO), 1);
	/* 80 pages in a millisecond: 300 ms of it are 24,000. */
	now += 200 * MS;
	bytes += 64u << 20;
	(void)pushes();
	touches(2100, 1900);
	assert_int_equal(count(GW_ACT_SHADOW_HOLD), 0);
}

/* Before it is asked to run, while it starts, when it runs. */
static void it_may_go_at_any_time(void **state)
{
	(void)state;
	for (unsigned when = 0; when < 3; when++) {
		offered("run-ahead", "queue", false);
		if (!when)
			happens(GW_EV_SHADOW_GONE);
		switched();
		happens(GW_EV_SAVED);
		assert_int_equal(count(GW_ACT_SHADOW_RUN), when != 0);
		if (when == 2)
			happens(GW_EV_SHADOW_STARTED);
		if (when)
			happens(GW_EV_SHADOW_GONE);
		if (when) {
			assert_true(
			        says(when == 2 ? "the shadow is gone" : "could not be started"));
			assert_true(says("so it is"));
		}
		assert_int_equal(gw_source_state(source), GW_STATE_STOP_AND_COPY);
		happens(GW_EV_SHADOW_STARTED); /* too late */
		touches(5, 1);
		assert_int_equal(gw_source_metrics(source)->shadow_pages, 0);
		pulls();
		assert_true(says("without a shadow"));
		assert_true(pushes() > 0);
		assert_int_equal(count(GW_ACT_SHADOW_END), 0);
	}
}

/* The VM is taken back: first the shadow goes, then the VM goes on. */
static void it_ends_before_the_vm_is_resumed(void **state)
{
	(void)state;
	offered("run-ahead", "queue", false);
	switched();
	happens(GW_EV_SAVED);
	happens(GW_EV_SHADOW_STARTED);
	happens(GW_EV_ABORT);
	assert_true(place(GW_ACT_SHADOW_END) < place(GW_ACT_RESUME));
	happens(GW_EV_RUNNING);
	hears_no(GW_MSG_ABORTED);
	assert_int_equal(count(GW_ACT_SHADOW_END), 0);
}

static void it_ends_where_nothing_is_pulled(void **state)
{
	(void)state;
	offered("hybrid", "queue", false);
	hears_no(GW_MSG_REFUSE);
	assert_int_equal(count(GW_ACT_SHADOW_END), 1);
	offered(NULL, "queue", false);
	assert_int_equal(count(GW_ACT_SHADOW_PREPARE), 1);
	hears(GW_MSG_ACCEPT);
	happens(GW_EV_JOURNALED);
	step((struct gw_event){.kind = GW_EV_SURVEYED, .set = &all});
	assert_int_equal(count(GW_ACT_SHADOW_END), 1);
	offered("run-ahead", "queue", false);
	switched();
	happens(GW_EV_SAVED);
	pulls();
	happens(GW_EV_LINK_LOST);
	assert_int_equal(count(GW_ACT_SHADOW_END), 0);
	now += 60000000000u;
	happens(GW_EV_TICK);
	assert_int_equal(count(GW_ACT_FINISH), 1);
	assert_int_equal(count(GW_ACT_SHADOW_END), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(it_goes_with_its_order),
	        cmocka_unit_test(from_the_first_to_the_last_page),
	        cmocka_unit_test(it_is_held_and_let_go),
	        cmocka_unit_test(it_may_go_at_any_time),
	        cmocka_unit_test(it_ends_before_the_vm_is_resumed),
	        cmocka_unit_test(it_ends_where_nothing_is_pulled),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(memory);
	return failed;
}
