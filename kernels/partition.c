// SPDX-License-Identifier: MIT
/*
 * partition.c - the handler of partition.h.
 */
#include "partition.h"

static RK_DEVICE void partition_start(struct rk_partition_state *s, const struct rk_msg *msg)
{
	const rk_msg_word *args = (const rk_msg_word *)rk_msg_payload(msg);

	s->partitions = args[0];
	if (s->partitions > RK_PARTITION_MAX)
		s->partitions = RK_PARTITION_MAX;
	s->key_offset = args[1];
	s->key_bytes = args[2];
}

static RK_DEVICE void partition_grow(struct rk_partition_state *s, const struct rk_msg *msg)
{
	uint64_t wanted = 0;

	if (rk_msg_payload_bytes(msg) >= sizeof(wanted))
		wanted = *(const rk_msg_word *)rk_msg_payload(msg);
	if (wanted > s->partitions && wanted <= RK_PARTITION_MAX)
		s->partitions = wanted;
	else
		s->refused++;
}

static RK_DEVICE void partition_route(struct rk_ctx *ctx, struct rk_partition_state *s,
				      const struct rk_msg *msg)
{
	uint64_t bytes = rk_msg_payload_bytes(msg);
	uint32_t to;

	if (s->key_bytes > bytes || s->key_offset > bytes - s->key_bytes) {
		s->too_short++;
		return;
	}
	to = rk_partition_of(rk_partition_hash(rk_msg_payload(msg) + s->key_offset, s->key_bytes),
			     (uint32_t)s->partitions);
	/* Whole cells: each type says by itself how much of them counts. */
	if (rk_send(ctx, to, msg->type, msg->tag, rk_msg_payload(msg), (uint32_t)bytes))
		s->sent[to]++;
	else
		s->sends_dropped++;
}

RK_DEVICE void rk_partition(struct rk_ctx *ctx, void *state, const struct rk_msg *msg)
{
	struct rk_partition_state *s = (struct rk_partition_state *)state;

	if (rk_lane(ctx))
		return;
	if (msg->type == RK_MSG_START)
		partition_start(s, msg);
	else if (msg->type == RK_PARTITION_GROW)
		partition_grow(s, msg);
	else if (msg->type >= RK_MSG_USER || msg->type == RK_MSG_PACKET)
		partition_route(ctx, s, msg);
}
