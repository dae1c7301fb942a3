/* SPDX-License-Identifier: MIT */
/*
 * flow_handlers.h - a handler of the tests of links' policies, for every backend, as those of
 * actor_handlers.h.
 */
#include "rk_handler.h"

struct level_state {
	uint32_t outbox, high, low, wrong;
	uint64_t highest, lowest;
};

RK_BEGIN_DECLS
RK_DEVICE void test_note_levels(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);
RK_END_DECLS

/* Sends on to its second outbox, and keeps what it is told of it. */
RK_DEVICE void test_note_levels(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct level_state *s = (struct level_state *)state;
	const struct rk_level *level = (const struct rk_level *)rk_msg_payload(msg);

	if (rk_lane(ctx))
		return;
	if (msg->type == RK_MSG_HIGH) {
		s->wrong += s->high != s->low || level->outbox != 1;
		s->high++;
		s->highest = level->slots;
	} else if (msg->type == RK_MSG_LOW) {
		s->low++;
		s->wrong += s->high != s->low || level->outbox != 1;
		s->lowest = level->slots;
	} else if (msg->type >= RK_MSG_PACKET) {
		rk_send(ctx, 1, msg->type, msg->tag, rk_msg_payload(msg),
			rk_msg_payload_bytes(msg));
	}
}
