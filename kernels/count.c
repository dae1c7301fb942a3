// SPDX-License-Identifier: MIT
/*
 * count.c - the handler of count.h.
 */
#include "count.h"

static RK_DEVICE void reply(struct rk_ctx *ctx, struct rk_count_state *s, const struct rk_msg *msg)
{
	if (rk_send(ctx, 0, RK_COUNT_REPLY, msg->tag, &s->count, sizeof(s->count)))
		s->replies++;
	else
		s->sends_dropped++;
}

RK_DEVICE void rk_count(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct rk_count_state *s = (struct rk_count_state *)state;
	uint32_t bytes = rk_msg_payload_bytes(msg);

	if (rk_lane(ctx) || (msg->type < RK_MSG_USER && msg->type != RK_MSG_PACKET))
		return;
	if (msg->type == RK_COUNT_QUERY) {
		reply(ctx, s, msg);
		return;
	}
	if (msg->type == RK_MSG_PACKET) {
		const struct rk_packet *packet = (const struct rk_packet *)rk_msg_payload(msg);

		/* A packet that announces more than its cells hold counts as those cells. */
		if (bytes >= sizeof(*packet))
			bytes -= sizeof(*packet);
		else
			bytes = 0;
		if (bytes && packet->bytes < bytes)
			bytes = packet->bytes;
		s->count.packets++;
	}
	s->count.messages++;
	s->count.payload_bytes += bytes;
}
