/* SPDX-License-Identifier: MIT */
/*
 * tests/core/migration/state.c - the names that traces and people see.
 */
#include "core/migration/state.h"
#include "core/migration/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void states_have_the_names_of_s1(void **state)
{
	(void)state;
	assert_string_equal(gw_state_name(GW_STATE_PRE_MIGRATION), "Pre-Migration");
	assert_string_equal(gw_state_name(GW_STATE_RESERVATION), "Reservation");
	assert_string_equal(gw_state_name(GW_STATE_ITERATIVE_PRE_COPY), "Iterative Pre-Copy");
	assert_string_equal(gw_state_name(GW_STATE_STOP_AND_COPY), "Stop-and-Copy");
	assert_string_equal(gw_state_name(GW_STATE_COMMITMENT), "Commitment");
	assert_string_equal(gw_state_name(GW_STATE_ACTIVATION), "Activation");
	assert_string_equal(gw_state_name(GW_STATE_PULL), "Pull");
	assert_string_equal(gw_state_name(GW_STATE_RELEASED), "Released");
	assert_string_equal(gw_state_name(GW_STATE_CANCELLED), "Cancelled");
	assert_string_equal(gw_state_name(GW_STATE_DOUBT), "Doubt");
	assert_string_equal(gw_state_name(GW_STATES), "unknown");
	assert_string_equal(gw_state_name((enum gw_state) - 1), "unknown");
}

static void messages_have_their_names(void **state)
{
	(void)state;
	assert_string_equal(gw_message_name(GW_MSG_HELLO), "HELLO");
	assert_string_equal(gw_message_name(GW_MSG_OFFER), "OFFER");
	assert_string_equal(gw_message_name(GW_MSG_ROUND_ACK), "ROUND_ACK");
	assert_string_equal(gw_message_name(GW_MSG_STATE_END), "STATE_END");
	assert_string_equal(gw_message_name(GW_MSG_PONG), "PONG");
	for (int kind = GW_MSG_HELLO; kind < GW_MSG_KINDS; kind++)
		assert_non_null(gw_message_name((enum gw_message_kind)kind));
	assert_string_equal(gw_message_name((enum gw_message_kind)0), "unknown");
	assert_string_equal(gw_message_name(GW_MSG_KINDS), "unknown");
	assert_string_equal(gw_message_name((enum gw_message_kind) - 1), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(states_have_the_names_of_s1),
	        cmocka_unit_test(messages_have_their_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
