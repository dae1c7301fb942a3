// SPDX-License-Identifier: MIT
/* The actor l2_forward: every header it reads, every reason to drop, what it rewrites. */
#include "l2_aid.h"
#include "l2_forward.h"
#include "mdp3_aid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <cmocka.h>

struct last_sent {
	uint32_t count, bytes;
	uint8_t payload[RK_MSG_MAX_SLOTS * RK_CELL_BYTES];
};

static struct last_sent last;
static struct rk_l2_state state;
static struct l2_frame frame;

static void keep_last(void *user, uint32_t outbox, uint16_t type, uint32_t tag, const void *payload,
		      uint32_t bytes)
{
	(void)user;
	assert_int_equal(outbox, 0);
	assert_int_equal(type, RK_FRAME);
	assert_int_equal(tag, 7);
	last.count++;
	last.bytes = bytes;
	memcpy(last.payload, payload, bytes);
}

static void handle(struct rk_msg *msg)
{
	struct rk_ctx ctx = {.on_send = keep_last};

	rk_l2_forward(&ctx, &state, msg);
	free(msg);
}

static void start(enum rk_l2_arg arg, uint64_t value)
{
	uint64_t args[RK_L2_ARGS] = {0};

	memset(&state, 0, sizeof(state));
	memset(&last, 0, sizeof(last));
	args[arg] = value;
	handle(aid_message(RK_MSG_START, 0, 0, args, sizeof(args)));
}

/* The frame with its first @inline_bytes; @front has what else the message says. */
static void give_part(struct rk_frame front, uint32_t inline_bytes)
{
	static uint8_t payload[sizeof(struct rk_frame) + sizeof(frame.data)];

	front.bytes = (uint16_t)frame.bytes;
	front.inline_bytes = (uint16_t)inline_bytes;
	memcpy(payload, &front, sizeof(front));
	memcpy(payload + sizeof(front), frame.data, inline_bytes);
	handle(aid_message(RK_FRAME, RK_MSG_F_TIME, 7, payload,
			   (uint32_t)sizeof(front) + inline_bytes));
}

static void give(void)
{
	give_part((struct rk_frame){.port = 4}, frame.bytes);
}

static const struct rk_frame *answer(void)
{
	return (const struct rk_frame *)last.payload;
}

static void expect_forwarded(void)
{
	assert_int_equal(last.count, 1);
	assert_int_equal(answer()->verdict, RK_FRAME_FORWARD);
	assert_int_equal(state.counters.forwarded, 1);
	assert_int_equal(state.counters.dropped[RK_L2_FORWARD], 0);
}

static void expect_dropped(enum rk_l2_drop reason)
{
	assert_int_equal(last.count, 1);
	assert_int_equal(answer()->verdict, RK_FRAME_DROP);
	assert_int_equal(answer()->inline_bytes, 0);
	assert_int_equal(last.bytes, sizeof(struct rk_frame));
	assert_int_equal(state.counters.dropped[reason], 1);
	assert_int_equal(state.counters.dropped[RK_L2_FORWARD], 1);
	assert_int_equal(state.counters.forwarded, 0);
}

static void test_every_shape_is_read_and_forwarded(void **unused)
{
	(void)unused;
	for (uint32_t i = 0; i < 96; i++) {
		const struct l2_shape shape = {.tags = i % 3,
					       .options_bytes = i / 3 % 2 * 12,
					       .extensions = i / 3 % 2 * 3,
					       .payload_bytes = i % 48,
					       .fill = (uint8_t)i,
					       .ipv6 = i / 6 % 2,
					       .tcp = i / 12 % 2};

		start(RK_L2_PORT_XOR, 1);
		l2_build(&frame, &shape);
		give();
		expect_forwarded();
		assert_int_equal(answer()->port, 5);
		assert_int_equal(last.bytes, sizeof(struct rk_frame) + frame.bytes);
		assert_memory_equal(rk_frame_data(answer()), frame.data, frame.bytes);
		assert_int_equal(state.counters.kinds[RK_L2_VLAN], shape.tags == 1);
		assert_int_equal(state.counters.kinds[RK_L2_QINQ], shape.tags == 2);
		assert_int_equal(state.counters.kinds[RK_L2_IPV4], !shape.ipv6);
		assert_int_equal(state.counters.kinds[RK_L2_IPV6], shape.ipv6);
		assert_int_equal(state.counters.kinds[RK_L2_UDP], !shape.tcp);
		assert_int_equal(state.counters.kinds[RK_L2_TCP], shape.tcp);
	}
}

static void test_macs_are_rewritten(void **unused)
{
	const struct l2_shape shape = {.payload_bytes = 18};

	(void)unused;
	l2_build(&frame, &shape);
	start(RK_L2_SWAP_MACS, 1);
	give();
	assert_memory_equal(rk_frame_data(answer()), frame.data + 6, 6);
	assert_memory_equal(rk_frame_data(answer()) + 6, frame.data, 6);
	start(RK_L2_SOURCE_MAC, 0x0a0b0c0d0e0f);
	give();
	assert_memory_equal(rk_frame_data(answer()), frame.data, 6);
	assert_memory_equal(rk_frame_data(answer()) + 6, "\x0a\x0b\x0c\x0d\x0e\x0f", 6);
	start(RK_L2_DESTINATION_MAC, 0x0a0b0c0d0e0f);
	give();
	assert_memory_equal(rk_frame_data(answer()), "\x0a\x0b\x0c\x0d\x0e\x0f", 6);
	assert_memory_equal(rk_frame_data(answer()) + 6, frame.data + 6, frame.bytes - 6);
}

static void test_bad_checksums_are_dropped_by_reason(void **unused)
{
	(void)unused;
	for (uint32_t i = 0; i < 8; i++) {
		const struct l2_shape shape = {.payload_bytes = 30 + i % 2,
					       .ipv6 = i & 2 ? 1 : 0,
					       .tcp = i & 4 ? 1 : 0};

		l2_build(&frame, &shape);
		frame.data[frame.bytes - 1] ^= 1;
		start(RK_L2_PORT_XOR, 0);
		give();
		expect_dropped(RK_L2_L4_CHECKSUM);
		if (shape.ipv6)
			continue;
		l2_build(&frame, &shape);
		frame.data[frame.ip + 8]--;
		start(RK_L2_PORT_XOR, 0);
		give();
		expect_dropped(RK_L2_IP_CHECKSUM);
	}
	/* A datagram without a checksum has none to be wrong. */
	l2_build(&frame, &(struct l2_shape){.payload_bytes = 8});
	l2_put16(frame.data + frame.l4 + 6, 0);
	start(RK_L2_PORT_XOR, 0);
	give();
	expect_forwarded();
}

static void test_what_the_nic_found_counts(void **unused)
{
	(void)unused;
	l2_build(&frame, &(struct l2_shape){.payload_bytes = 8});
	start(RK_L2_PORT_XOR, 0);
	give_part((struct rk_frame){.flags = RK_FRAME_F_IP_BAD}, frame.bytes);
	expect_dropped(RK_L2_IP_CHECKSUM);
	start(RK_L2_PORT_XOR, 0);
	give_part((struct rk_frame){.flags = RK_FRAME_F_L4_BAD}, frame.bytes);
	expect_dropped(RK_L2_L4_CHECKSUM);
}

static void test_runts_and_lies_are_dropped(void **unused)
{
	const struct l2_shape shape = {.payload_bytes = 20};

	(void)unused;
	for (uint32_t bytes = 1; bytes < 62; bytes++) {
		l2_build(&frame, &shape);
		frame.bytes = bytes;
		start(RK_L2_PORT_XOR, 0);
		give();
		expect_dropped(bytes < 14 ? RK_L2_RUNT : RK_L2_MALFORMED);
	}
	l2_build(&frame, &shape);
	l2_put16(frame.data + frame.l4 + 4, 7); /* a UDP length below its header */
	start(RK_L2_PORT_XOR, 0);
	give();
	expect_dropped(RK_L2_MALFORMED);
	l2_build(&frame, &(struct l2_shape){.payload_bytes = 20, .ipv6 = 1, .extensions = 2});
	frame.data[frame.ip + 41] = 255; /* an extension beyond the packet */
	start(RK_L2_PORT_XOR, 0);
	give();
	expect_dropped(RK_L2_MALFORMED);
	l2_build(&frame, &(struct l2_shape){.tcp = 1});
	frame.data[frame.l4 + 12] = 0x60; /* a TCP header beyond the packet */
	start(RK_L2_PORT_XOR, 0);
	give();
	expect_dropped(RK_L2_MALFORMED);
}

static void test_rules_drop_by_port(void **unused)
{
	for (uint32_t tcp = 0; tcp < 2; tcp++) {
		const struct l2_shape shape = {.payload_bytes = 9, .tcp = (uint8_t)tcp};

		l2_build(&frame, &shape);
		start(tcp ? RK_L2_DROP_TCP_PORT : RK_L2_DROP_UDP_PORT, 5000);
		give();
		expect_dropped(RK_L2_RULE);
		start(tcp ? RK_L2_DROP_UDP_PORT : RK_L2_DROP_TCP_PORT, 5000);
		give();
		expect_forwarded();
	}
	(void)unused;
}

static void test_fragments_and_strangers_pass(void **unused)
{
	(void)unused;
	l2_build(&frame, &(struct l2_shape){.payload_bytes = 9});
	l2_put16(frame.data + frame.ip + 6, 0x2000);
	l2_put16(frame.data + frame.ip + 10, 0);
	l2_put16(frame.data + frame.ip + 10, ~l2_sum(frame.data + frame.ip, 20) & 0xffff);
	start(RK_L2_DROP_UDP_PORT, 5000);
	give();
	expect_forwarded();
	assert_int_equal(state.counters.kinds[RK_L2_FRAGMENT], 1);
	l2_put16(frame.data + 12, 0x0806);
	start(RK_L2_PORT_XOR, 0);
	give();
	expect_forwarded();
	assert_int_equal(state.counters.kinds[RK_L2_OTHER], 1);
}

/* A long frame: its head inline, all of it, or what follows the head, in a region. */
static void test_references_are_checked_and_summed(void **unused)
{
	uint64_t args[RK_L2_ARGS] = {0};

	l2_build(&frame, &(struct l2_shape){.payload_bytes = 1400, .fill = 0x5a});
	args[RK_L2_REGION] = (uint64_t)(uintptr_t)frame.data;
	args[RK_L2_REGION_BYTES] = frame.bytes;
	for (uint32_t split = 0; split < 2; split++) {
		for (uint32_t head = 60; head < 124; head++) {
			struct rk_frame front = {.flags = RK_FRAME_F_REFERENCE,
						 .offset = split ? head : 0,
						 .buffer = 3,
						 .ticket = 9};

			if (split)
				front.flags |= RK_FRAME_F_SPLIT;
			start(RK_L2_PORT_XOR, 0);
			handle(aid_message(RK_MSG_START, 0, 0, args, sizeof(args)));
			give_part(front, head);
			expect_forwarded();
			assert_int_equal(answer()->ticket, 9);
			assert_int_equal(answer()->buffer, 3);
			/* One byte more than the region has. */
			front.offset++;
			start(RK_L2_PORT_XOR, 0);
			handle(aid_message(RK_MSG_START, 0, 0, args, sizeof(args)));
			give_part(front, head);
			expect_dropped(RK_L2_REFERENCE);
			front.offset = UINT64_MAX - 4;
			start(RK_L2_PORT_XOR, 0);
			handle(aid_message(RK_MSG_START, 0, 0, args, sizeof(args)));
			give_part(front, head);
			expect_dropped(RK_L2_REFERENCE);
		}
	}
	frame.data[frame.bytes - 3] ^= 4;
	start(RK_L2_PORT_XOR, 0);
	handle(aid_message(RK_MSG_START, 0, 0, args, sizeof(args)));
	give_part((struct rk_frame){.flags = RK_FRAME_F_REFERENCE}, 64);
	expect_dropped(RK_L2_L4_CHECKSUM);
	/* Without the region nobody can tell. */
	start(RK_L2_PORT_XOR, 0);
	give_part((struct rk_frame){.flags = RK_FRAME_F_REFERENCE}, 64);
	expect_forwarded();
	(void)unused;
}

static uint32_t batch_sent;
static struct rk_msg batch_last[8];

static void keep_batch(void *user, uint32_t outbox, uint16_t type, uint32_t tag,
		       const void *payload, uint32_t bytes)
{
	(void)user;
	assert_int_equal(outbox, 0);
	assert_int_equal(bytes, RK_MSG_BODY_BYTES);
	batch_last[batch_sent].type = type;
	batch_last[batch_sent].tag = tag;
	memcpy(batch_last[batch_sent++].body, payload, bytes);
}

/* Heads in a row, with a stranger among them: the same verdicts as of whole frames. */
static void test_heads_are_judged_in_batches(void **unused)
{
	static const struct l2_shape shapes[] = {
		{.payload_bytes = 18}, {.payload_bytes = 900}, {.ipv6 = 1}, {.tcp = 1, .port = 9},
		{.tags = 1},	       {.payload_bytes = 18}};
	struct rk_ctx ctx = {.on_send = keep_batch};
	struct rk_msg msgs[7];
	struct rk_frame_head *head;

	(void)unused;
	start(RK_L2_SWAP_MACS, 1);
	state.args[RK_L2_PORT_XOR] = 1;
	state.args[RK_L2_DROP_TCP_PORT] = 9;
	memset(msgs, 0, sizeof(msgs));
	for (uint32_t i = 0; i < 6; i++) {
		head = (struct rk_frame_head *)msgs[i].body;
		l2_build(&frame, &shapes[i]);
		msgs[i] = (struct rk_msg){.type = RK_FRAME_HEAD, .slots = 1, .tag = 100 + i};
		head->bytes = (uint16_t)frame.bytes;
		head->port = 4;
		memcpy(head->data, frame.data, RK_FRAME_HEAD_BYTES);
	}
	((struct rk_frame_head *)msgs[5].body)->data[24] ^= 1; /* IP checksum */
	msgs[6] = msgs[0];
	msgs[0] = (struct rk_msg){.type = RK_MSG_USER, .slots = 1};
	batch_sent = 0;
	rk_l2_forward_batch(&ctx, &state, msgs, 7);
	assert_int_equal(batch_sent, 6);
	for (uint32_t i = 0; i < 6; i++) {
		bool dropped = i == 2 || i == 4;

		head = (struct rk_frame_head *)batch_last[i].body;
		assert_int_equal(batch_last[i].type, RK_FRAME_HEAD);
		assert_int_equal(batch_last[i].tag, i == 5 ? 100 : 101 + i);
		assert_int_equal(!!(head->flags & RK_FRAME_F_DROP), dropped);
		assert_int_equal(head->port, dropped ? 4 : 5);
		assert_int_equal(head->data[5], dropped ? 0x0b : 0x0a);
	}
	assert_int_equal(state.counters.frames, 6);
	assert_int_equal(state.counters.forwarded, 4);
	assert_int_equal(state.counters.dropped[RK_L2_RULE], 1);
	assert_int_equal(state.counters.dropped[RK_L2_IP_CHECKSUM], 1);
	assert_int_equal(state.counters.messages_ignored, 1);
	/* One by one it is the same; nobody there to take them is counted. */
	ctx.refuse = 1;
	rk_l2_forward_batch(&ctx, &state, &msgs[1], 3);
	rk_l2_forward(&ctx, &state, &msgs[1]);
	assert_int_equal(state.counters.sends_dropped, 4);
	assert_int_equal(state.counters.forwarded, 4);
	assert_int_equal(state.counters.dropped[RK_L2_FORWARD], 2);
}

static void test_only_frames_and_only_the_leader(void **unused)
{
	struct rk_ctx other = {.lane = 1, .on_send = keep_last};
	struct rk_msg *msg;

	(void)unused;
	start(RK_L2_PORT_XOR, 0);
	handle(aid_message(RK_MSG_USER + 9, 0, 7, "abc", 3));
	/* More inline bytes than the message, or the frame, has. */
	handle(aid_message(RK_FRAME, 0, 7, &(struct rk_frame){.bytes = 99, .inline_bytes = 99},
			   sizeof(struct rk_frame)));
	handle(aid_message(RK_FRAME, 0, 7, &(struct rk_frame){.bytes = 8, .inline_bytes = 9},
			   sizeof(struct rk_frame)));
	assert_int_equal(last.count, 0);
	assert_int_equal(state.counters.messages_ignored, 3);
	msg = aid_message(RK_FRAME, 0, 7, &(struct rk_frame){.bytes = 9, .inline_bytes = 9}, 32);
	rk_l2_forward(&other, &state, msg);
	free(msg);
	assert_int_equal(state.counters.frames, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_shape_is_read_and_forwarded),
		cmocka_unit_test(test_macs_are_rewritten),
		cmocka_unit_test(test_bad_checksums_are_dropped_by_reason),
		cmocka_unit_test(test_what_the_nic_found_counts),
		cmocka_unit_test(test_runts_and_lies_are_dropped),
		cmocka_unit_test(test_rules_drop_by_port),
		cmocka_unit_test(test_fragments_and_strangers_pass),
		cmocka_unit_test(test_references_are_checked_and_summed),
		cmocka_unit_test(test_heads_are_judged_in_batches),
		cmocka_unit_test(test_only_frames_and_only_the_leader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
