// SPDX-License-Identifier: MIT
/*
 * broadcast.c - the handlers of broadcast.h.
 */
#include "broadcast.h"

RK_DEVICE void rk_broadcast(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct rk_broadcast_state *s = (struct rk_broadcast_state *)state;

	if (rk_lane(ctx))
		return;
	if (msg->type == RK_MSG_START)
		s->outboxes = *(const rk_msg_word *)rk_msg_payload(msg);
	if (msg->type < RK_MSG_USER && msg->type != RK_MSG_PACKET)
		return;
	s->messages++;
	for (uint32_t i = 0; i < s->outboxes; i++) {
		/* Whole cells: each type says by itself how much of them counts. */
		if (rk_send(ctx, i, msg->type, msg->tag, rk_msg_payload(msg),
			    rk_msg_payload_bytes(msg)))
			s->sent++;
		else
			s->sends_dropped++;
	}
}

RK_DEVICE void rk_broadcast_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs,
				  uint32_t count)
{
	struct rk_broadcast_state *s = (struct rk_broadcast_state *)state;

	for (uint32_t i = 0; i < s->outboxes; i++) {
		uint32_t sent = rk_send_batch(ctx, i, msgs, count);

		if (rk_lane(ctx))
			continue;
		rk_add(ctx, &s->sent, sent);
		if (sent < count)
			rk_add(ctx, &s->sends_dropped, count - sent);
	}
	if (!rk_lane(ctx))
		rk_add(ctx, &s->messages, count);
}
