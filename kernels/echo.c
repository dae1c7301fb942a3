// SPDX-License-Identifier: MIT
/*
 * echo.c - the handlers of echo.h.
 */
#include "echo.h"

RK_DEVICE void rk_echo(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct rk_echo_state *s = (struct rk_echo_state *)state;

	if (rk_lane(ctx) || (msg->type < RK_MSG_USER && msg->type != RK_MSG_PACKET))
		return;
	/* Whole cells: each type says by itself how much of them counts. */
	if (rk_send(ctx, 0, msg->type, msg->tag, rk_msg_payload(msg), rk_msg_payload_bytes(msg)))
		s->messages++;
	else
		s->sends_dropped++;
}

RK_DEVICE void rk_echo_batch(struct rk_ctx *ctx, void *state, struct rk_msg *msgs, uint32_t count)
{
	struct rk_echo_state *s = (struct rk_echo_state *)state;
	uint32_t sent = rk_send_batch(ctx, 0, msgs, count);

	if (rk_lane(ctx))
		return;
	s->messages += sent;
	s->sends_dropped += count - sent;
}
