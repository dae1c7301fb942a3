/* SPDX-License-Identifier: MIT */
/*
 * partition.h - fan-out by key: messages of one key go to one outbox, in their order.
 *
 * The key is @key_bytes at @key_offset of the payload. Its hash and the number of outboxes say
 * which outbox it is, on every backend the same. That number grows by RK_PARTITION_GROW, which
 * comes in the ring like any message: of N + 1 partitions the new one then takes its share, 1 / (N
 * + 1) of the keys, from the others, and no other key moves. (It is "jump consistent hashing", by
 * Lamping and Veach, in whole numbers.) So add partitions at the end, after linking them, and take
 * none away: what shrinks, or names partitions in another order, moves keys at will.
 *
 * Messages of a key that moves are in order on each of the two links, and not across them.
 */
#ifndef RK_PARTITION_H
#define RK_PARTITION_H

#include "rk_handler.h"

enum {
	RK_PARTITION_GROW = RK_MSG_USER + 0x40, /* payload: u64 partitions from now on */
	RK_PARTITION_MAX = 32,			/* outboxes of an actor */
};

/**
 * struct rk_partition_state - the actor's state
 * @partitions: outboxes 0 to @partitions - 1; the first argument, until it grows
 * @key_offset: the second argument
 * @key_bytes: the third
 * @sent: messages, by partition
 * @too_short: messages that do not hold a whole key: dropped
 * @refused: RK_PARTITION_GROW that did not name more partitions, up to RK_PARTITION_MAX
 * @sends_dropped: not taken by rk_send()
 */
struct rk_partition_state {
	uint64_t partitions;
	uint64_t key_offset;
	uint64_t key_bytes;
	uint64_t sent[RK_PARTITION_MAX];
	uint64_t too_short;
	uint64_t refused;
	uint64_t sends_dropped;
};

/* Mix a key of any length into a word. */
RK_HD uint64_t rk_partition_hash(const uint8_t *key, uint64_t bytes)
{
	uint64_t hash = bytes;

	for (uint64_t i = 0; i < bytes; i++) {
		hash = (hash ^ key[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return hash;
}

/**
 * rk_partition_of() - the partition of a key
 * @hash: rk_partition_hash() of the key
 * @partitions: how many there are
 *
 * The key's own sequence of numbers says at which counts of partitions it moved to the newest one;
 * the last of these moves is where it is.
 *
 * Context: any, host or device.
 * Return: 0 to @partitions - 1; 0 if there is none.
 */
RK_HD uint32_t rk_partition_of(uint64_t hash, uint32_t partitions)
{
	uint64_t is_in = 0, moves_to = 0;

	while (moves_to < partitions) {
		is_in = moves_to;
		hash = hash * 2862933555777941757ULL + 1;
		moves_to = ((is_in + 1) << 31) / ((hash >> 33) + 1);
	}
	return (uint32_t)is_in;
}

RK_BEGIN_DECLS

/**
 * rk_partition() - the handler
 * @ctx: the actor's context
 * @state: struct rk_partition_state
 * @msg: packets and the user's messages go out with the same type, tag, extensions and payload
 *
 * Context: called by a backend, host or device; all work is the leader's.
 */
RK_DEVICE void rk_partition(struct rk_ctx *ctx, void *state, const struct rk_msg *msg);

RK_END_DECLS

#endif
