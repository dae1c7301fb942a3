// SPDX-License-Identifier: MIT
/*
 * The small shipped actors, echo and count, and the table in which all are found.
 */
#include "actors.h"
#include "count.h"
#include "echo.h"
#include "mdp3_aid.h"
#include "rk_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct last_sent {
	uint32_t count, outbox, tag, bytes;
	uint16_t type;
	uint8_t payload[256];
};

static void keep_last(void *user, uint32_t outbox, uint16_t type, uint32_t tag, const void *payload,
		      uint32_t bytes)
{
	struct last_sent *last = user;

	assert_true(bytes <= sizeof(last->payload));
	last->count++;
	last->outbox = outbox;
	last->type = type;
	last->tag = tag;
	last->bytes = bytes;
	memcpy(last->payload, payload, bytes);
}

static void run_actor(rk_handler_fn *handle, struct rk_ctx *ctx, void *state, struct rk_msg *msg)
{
	handle(ctx, state, msg);
	free(msg);
}

static void test_echo_sends_back_unchanged(void **unused)
{
	struct last_sent last = {0};
	struct rk_ctx ctx = {.on_send = keep_last, .user = &last};
	struct rk_echo_state state = {0};

	(void)unused;
	run_actor(rk_echo, &ctx, &state, aid_message(RK_MSG_START, 0, 0, NULL, 0));
	assert_int_equal(last.count, 0);
	run_actor(rk_echo, &ctx, &state, aid_message(RK_MSG_USER + 9, RK_MSG_F_ALL, 7, "abc", 3));
	assert_int_equal(last.count, 1);
	assert_int_equal(last.type, RK_MSG_USER + 9);
	assert_int_equal(last.tag, 7);
	assert_memory_equal(last.payload, "abc", 4);
	run_actor(rk_echo, &ctx, &state, aid_packet(0, 1, 5, "datagram", 8, 8));
	assert_int_equal(last.type, RK_MSG_PACKET);
	assert_int_equal(last.payload[8], 8);
	assert_memory_equal(last.payload + 16, "datagram", 8);
	run_actor(rk_echo, &ctx, &state, aid_message(RK_MSG_STOP, 0, 0, NULL, 0));
	ctx.lane = 1;
	run_actor(rk_echo, &ctx, &state, aid_message(RK_MSG_USER, 0, 0, NULL, 0));
	ctx.lane = 0;
	ctx.refuse = 1;
	run_actor(rk_echo, &ctx, &state, aid_message(RK_MSG_USER, 0, 0, NULL, 0));
	assert_int_equal(last.count, 2);
	assert_int_equal(state.messages, 2);
	assert_int_equal(state.sends_dropped, 1);
}

static void test_count_counts_and_replies(void **unused)
{
	struct last_sent last = {0};
	struct rk_ctx ctx = {.on_send = keep_last, .user = &last};
	struct rk_count_state state = {0};
	struct rk_count_reply reply;

	(void)unused;
	run_actor(rk_count, &ctx, &state, aid_message(RK_MSG_START, 0, 0, NULL, 0));
	run_actor(rk_count, &ctx, &state, aid_message(RK_MSG_USER, 0, 0, "x", 1));
	run_actor(rk_count, &ctx, &state, aid_packet(0, 0, 1, "datagram", 8, 8));
	run_actor(rk_count, &ctx, &state, aid_packet(0, 0, 1, "datagram", 8, UINT32_MAX));
	assert_int_equal(last.count, 0);
	run_actor(rk_count, &ctx, &state, aid_message(RK_COUNT_QUERY, 0, 42, NULL, 0));
	assert_int_equal(last.count, 1);
	assert_int_equal(last.type, RK_COUNT_REPLY);
	assert_int_equal(last.tag, 42);
	assert_int_equal(last.bytes, sizeof(reply));
	memcpy(&reply, last.payload, sizeof(reply));
	assert_int_equal(reply.messages, 3);
	assert_int_equal(reply.packets, 2);
	/* One cell, 8 bytes, and what the cell of a liar holds. */
	assert_int_equal(reply.payload_bytes, 48 + 8 + 32);
}

static void test_actors_are_found_by_name(void **unused)
{
	const struct rk_actor_type *type;
	uint32_t count = 0;

	(void)unused;
	for (; (type = rk_actor_type_at(count)); count++) {
		assert_ptr_equal(rk_actor_type_find(type->name), type);
		assert_true(strlen(type->summary) > 0);
		assert_non_null(type->handle);
		for (const struct rk_counter_name *at = type->counters; at->name; at++) {
			assert_int_equal(at->offset % 8, 0);
			assert_true(at->offset + 8 <= type->state_bytes);
		}
	}
	assert_int_equal(count, 8);
	assert_null(rk_actor_type_find("mdp4"));
	assert_non_null(strstr(rk_errmsg(), "mdp4"));
	assert_non_null(strstr(rk_errmsg(), "mdp3_book"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo_sends_back_unchanged),
		cmocka_unit_test(test_count_counts_and_replies),
		cmocka_unit_test(test_actors_are_found_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
