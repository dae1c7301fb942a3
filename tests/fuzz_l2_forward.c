// SPDX-License-Identifier: MIT
/*
 * Bytes to frames to l2_forward: nothing out of bounds, every frame answered once and accounted
 * for, as a whole and as a head. Input: u8 flags, u8 inline bytes, u16 offset within the region, then the frame; what is
 * beyond the inline bytes is the region.
 */
#include "l2_aid.h"
#include "l2_forward.h"
#include "mdp3_aid.h"

#include <stdio.h>

#define CHECK(condition)                                                            \
	do {                                                                        \
		if (!(condition)) {                                                 \
			fprintf(stderr, "fuzz_l2: %s does not hold\n", #condition); \
			abort();                                                    \
		}                                                                   \
	} while (0)

static void on_send(void *user, uint32_t outbox, uint16_t type, uint32_t tag, const void *payload,
		    uint32_t bytes)
{
	const struct rk_frame *frame = payload;

	if (type == RK_FRAME_HEAD) {
		CHECK(outbox == 0 && tag == 3 && bytes == sizeof(struct rk_frame_head));
		++*(uint32_t *)user;
		return;
	}
	CHECK(outbox == 0 && type == RK_FRAME && tag == 3);
	CHECK(bytes == sizeof(*frame) + frame->inline_bytes);
	CHECK(frame->verdict <= RK_FRAME_DROP);
	++*(uint32_t *)user;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rk_l2_state state;
	uint64_t args[RK_L2_ARGS] = {0}, dropped = 0;
	struct rk_frame front = {.port = 1};
	uint32_t sent = 0, bytes;
	struct rk_ctx ctx = {.on_send = on_send, .user = &sent};
	struct rk_msg *msg;
	uint8_t *payload;

	if (size < 4 || size > 8192)
		return 0;
	bytes = (uint32_t)size - 4;
	front.flags = data[0] & 15;
	front.bytes = (uint16_t)bytes;
	front.inline_bytes = front.flags & RK_FRAME_F_REFERENCE && data[1] < bytes ? data[1]
										  : front.bytes;
	front.offset = (uint64_t)data[2] << 8 | data[3];
	args[RK_L2_REGION] = (uint64_t)(uintptr_t)data + 4;
	args[RK_L2_REGION_BYTES] = bytes;
	args[RK_L2_SWAP_MACS] = data[0] >> 7;
	args[RK_L2_DROP_UDP_PORT] = 5000;
	memset(&state, 0, sizeof(state));
	msg = aid_message(RK_MSG_START, 0, 0, args, sizeof(args));
	rk_l2_forward(&ctx, &state, msg);
	free(msg);
	payload = malloc(sizeof(front) + front.inline_bytes);
	CHECK(payload);
	memcpy(payload, &front, sizeof(front));
	memcpy(payload + sizeof(front), data + 4, front.inline_bytes);
	msg = aid_message(RK_FRAME, RK_MSG_F_TIME, 3, payload,
			  (uint32_t)sizeof(front) + front.inline_bytes);
	rk_l2_forward(&ctx, &state, msg);
	free(msg);
	free(payload);
	msg = aid_message(RK_FRAME_HEAD, 0, 3, "", 0);
	((struct rk_frame_head *)msg->body)->bytes = front.bytes;
	memcpy(((struct rk_frame_head *)msg->body)->data, data + 4,
	       bytes < RK_FRAME_HEAD_BYTES ? bytes : RK_FRAME_HEAD_BYTES);
	rk_l2_forward(&ctx, &state, msg);
	free(msg);
	for (int i = RK_L2_FORWARD + 1; i < RK_L2_DROPS; i++)
		dropped += state.counters.dropped[i];
	CHECK(sent == 2 && state.counters.frames == 2);
	CHECK(state.counters.forwarded + state.counters.dropped[RK_L2_FORWARD] == 2);
	CHECK(dropped == state.counters.dropped[RK_L2_FORWARD]);
	return 0;
}
