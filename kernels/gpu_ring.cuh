/* SPDX-License-Identifier: MIT */
/*
 * gpu_ring.cuh - the two ends of a ring on the GPU: a warp polls eight slots and stores eight.
 */
#ifndef RK_GPU_RING_CUH
#define RK_GPU_RING_CUH

#include "gpu_lane.h"
#include "gpu_layout.h"
#include "gpu_ptx.cuh"

#define RK_FULL_WARP 0xffffffffu
#define RK_POLL_SLOTS 8 /* of one warp: four lanes a slot */

/*
 * Where the slot of @position lies, and its tag. By the lower half of the position: the upper one
 * changes neither for a capacity of 2^RK_GPU_CAPACITY_LOG2 at most, and 32 bits take half the
 * instructions.
 */
static __device__ __forceinline__ uint64_t rk_slot_at(uint64_t slots, uint64_t position,
						      uint32_t capacity_log2)
{
	uint32_t index = (uint32_t)position & ((1u << capacity_log2) - 1);

	return slots + (uint64_t)index * RK_SLOT_BYTES;
}

static __device__ __forceinline__ uint64_t rk_tag_at(uint64_t position, uint32_t capacity_log2)
{
	return (uint64_t)((((uint32_t)position >> capacity_log2) + 1) << 24) << 32;
}

/* Nothing is taken from an inbox that is not open. */
enum rk_gpu_inbox_closed {
	RK_INBOX_OPEN,
	RK_INBOX_CLOSED,
	RK_INBOX_HELD, /* while a snapshot is taken: see gpu_cut.cuh */
};

/* @closed: enum rk_gpu_inbox_closed; @shared: enum rk_gpu_shared_by */
struct rk_gpu_rx {
	uint64_t slots;
	uint64_t credit;
	uint64_t position;
	uint64_t credited;
	uint32_t capacity_log2;
	uint16_t closed;
	uint16_t shared;
};

struct rk_gpu_tx {
	uint64_t slots;
	uint64_t credit;
	uint64_t position;
	uint64_t limit; /* position up to which slots are known to be free */
	uint32_t capacity_log2;
	uint16_t closed;
	uint16_t shared;
};

/* Slots of one message, at most: half the ring, and what its header can say. */
static __device__ __forceinline__ uint32_t rk_max_slots(uint32_t capacity_log2)
{
	return capacity_log2 > 8 ? RK_MSG_MAX_SLOTS : 1u << (capacity_log2 - 1);
}

/* --- Receiving --- */

/* One cell, no unknown flag, no deadline to be judged, a type that is not the runtime's own. */
static __device__ __forceinline__ bool rk_head_is_plain(uint64_t word0)
{
	const uint32_t flags = (0xffu & ~RK_MSG_F_ALL) | RK_MSG_F_DEADLINE;

	return (word0 & (0xff000000u | flags << 16)) == 0x01000000u &&
	       (word0 & 0xffff) >= RK_MSG_PACKET;
}

/* Slots before the first that has a lane, of its four, which is not in @good. */
static __device__ __forceinline__ uint32_t rk_leading_slots(uint32_t good)
{
	return good == RK_FULL_WARP ? RK_POLL_SLOTS : (uint32_t)(__ffs((int)~good) - 1) / 4;
}

/* Ask for the words of this lane of the eight slots from @position on. */
static __device__ __forceinline__ void rk_poll_load(struct rk_words *words,
						    const struct rk_gpu_rx *rx, uint64_t position,
						    uint32_t lane, bool mixed)
{
	rk_load_words_of(words,
			 rk_slot_at(rx->slots, position + lane / 4, rx->capacity_log2) +
				 lane % 4 * sizeof(struct rk_words),
			 rx->shared, mixed);
}

/* The lanes whose words have come, with the @tag that each expects. All lanes of the warp. */
static __device__ __forceinline__ uint32_t rk_poll_there(uint64_t tag, struct rk_words words)
{
	return __ballot_sync(RK_FULL_WARP,
			     !(((words.w0 ^ tag) | (words.w1 ^ tag)) & RK_WORD_TAG_MASK));
}

/* Of those that are @there, the lanes whose words are of plain messages. All lanes of the warp. */
static __device__ __forceinline__ uint32_t rk_poll_plain(uint32_t there, uint32_t lane,
							 struct rk_words words)
{
	return there & __ballot_sync(RK_FULL_WARP, lane % 4 || rk_head_is_plain(words.w0));
}

/* Of eight slots that were loaded, the lanes whose words have come, and those of them that are of
 * plain messages.
 */
struct rk_found {
	uint32_t there;
	uint32_t plain;
};

/* Judge what rk_poll_load() loaded. All lanes of the warp. */
static __device__ __forceinline__ struct rk_found rk_poll_judge(const struct rk_gpu_rx *rx,
								uint64_t position, uint32_t lane,
								struct rk_words words)
{
	struct rk_found found;

	found.there = rk_poll_there(rk_tag_at(position + lane / 4, rx->capacity_log2), words);
	found.plain = rk_poll_plain(found.there, lane, words);
	return found;
}

/* Whether the first slot of eight is among those lanes. */
static __device__ __forceinline__ bool rk_has_first(uint32_t lanes)
{
	return (lanes & 0xf) == 0xf;
}

/* Unpack this lane's part of a slot to the cells of its eight. */
static __device__ __forceinline__ void rk_put_cell(uint8_t *cells, uint32_t lane,
						   struct rk_words words)
{
	const struct rk_pieces pieces = rk_lane_unpack(lane % 4, words);
	uint8_t *cell = cells + lane / 4 * RK_CELL_BYTES;
	uint32_t *four = (uint32_t *)(cell + rk_lane_four(lane % 4));

	four[0] = pieces.four[0];
	four[1] = pieces.four[1];
	four[2] = pieces.four[2];
	*(uint16_t *)(cell + rk_lane_two(lane % 4)) = pieces.two;
}

/*
 * Hand slots back. R1: pairs with A1 in rk_ring_tx_free() and rk_believe(). The loads that read
 * the slots have come back: their tags decided that we are here. A store cannot overtake what
 * decides whether it happens, so a fence, which would wait for this warp's replies to cross the
 * bus, has nothing to add.
 */
static __device__ __forceinline__ void rk_give_credit(struct rk_gpu_rx *rx)
{
	rk_store_word_to(rx->credit, rx->position, rx->shared);
	rx->credited = rx->position;
}

static __device__ __forceinline__ bool rk_credit_is_due(const struct rk_gpu_rx *rx)
{
	return (uint32_t)(rx->position - rx->credited) << 3 >> rx->capacity_log2;
}

/* Take nothing more from a ring; its producer learns why when it next looks at the credit. */
static __device__ __forceinline__ void rk_refuse(const struct rk_gpu_rx *rx, uint32_t reason)
{
	rk_store_word_to(rx->credit + 8, reason, rx->shared);
}

/* One cell by one lane; false when it is not there. For control and long messages. */
static __device__ bool rk_load_cell(const struct rk_gpu_rx *rx, uint64_t position, uint64_t *cell)
{
	uint64_t at = rk_slot_at(rx->slots, position, rx->capacity_log2);
	uint64_t tag = rk_tag_at(position, rx->capacity_log2), word[RK_SLOT_WORDS], stale = 0;

	for (uint32_t i = 0; i < RK_SLOT_WORDS; i += 2) {
		struct rk_words two;

		rk_load_words_of(&two, at + 8 * i, rx->shared, true);

		word[i] = two.w0;
		word[i + 1] = two.w1;
		stale |= (two.w0 ^ tag) | (two.w1 ^ tag);
	}
	if (stale & RK_WORD_TAG_MASK)
		return false;
	for (uint32_t i = 0; i < 7; i++)
		cell[i] = rk_slot_cell(word, i);
	return true;
}

/* --- Sending --- */

/*
 * Believe the credit @now of a ring. A1: pairs with R1 in rk_ring_rx_credit() and rk_give_credit().
 * It is asked with a relaxed load: the slots are written only if it came back with room, and a
 * store does not overtake the load that decides it; of an acquire, which empties the L1 cache,
 * nothing is needed, for no slot is read.
 */
static __device__ __forceinline__ void rk_believe(struct rk_gpu_tx *tx, struct rk_words now)
{
	uint64_t capacity = 1ull << tx->capacity_log2, before = tx->limit - capacity;

	if (now.w0 - before > tx->position - before)
		tx->closed = RK_CLOSE_BAD_CREDIT;
	else
		tx->limit = now.w0 + capacity;
	if (now.w1)
		tx->closed = (uint16_t)now.w1;
}

/* Slots that may be written now; asks for the credit when @wanted are not known to be free. */
static __device__ __forceinline__ uint64_t rk_tx_room(struct rk_gpu_tx *tx, uint64_t wanted)
{
	struct rk_words now;

	if (tx->limit - tx->position < wanted && !tx->closed) {
		rk_load_words_of(&now, tx->credit, tx->shared, true);
		rk_believe(tx, now);
	}
	return tx->closed ? 0 : tx->limit - tx->position;
}

/*
 * Store @count cells from @cells on at @position: four lanes a slot, its 64 bytes in one piece;
 * @lanes lanes share the slots out.
 */
static __device__ __forceinline__ void rk_store_cells(const struct rk_gpu_tx *tx, uint64_t position,
						      const uint8_t *cells, uint32_t count,
						      uint32_t lane, uint32_t lanes)
{
	uint32_t k = lane % 4;

#pragma unroll 1
	for (uint32_t i = lane / 4; i < count; i += lanes / 4) {
		const uint8_t *cell = cells + i * RK_CELL_BYTES;
		const uint32_t *four = (const uint32_t *)(cell + rk_lane_four(k));
		struct rk_pieces pieces;

		pieces.four[0] = four[0];
		pieces.four[1] = four[1];
		pieces.four[2] = four[2];
		pieces.two = *(const uint16_t *)(cell + rk_lane_two(k));
		rk_store_words_to(
			rk_slot_at(tx->slots, position + i, tx->capacity_log2) + 16 * k,
			rk_lane_pack(k, pieces, rk_tag_at(position + i, tx->capacity_log2)),
			tx->shared);
	}
}

/* One cell by one lane. */
static __device__ __forceinline__ void rk_store_cell(const struct rk_gpu_tx *tx, uint64_t position,
				     const uint64_t *cell)
{
	uint64_t at = rk_slot_at(tx->slots, position, tx->capacity_log2);
	uint64_t tag = rk_tag_at(position, tx->capacity_log2);

	for (uint32_t i = 0; i < RK_SLOT_WORDS; i += 2) {
		struct rk_words words;

		words.w0 = rk_slot_word(cell, i) | tag;
		words.w1 = rk_slot_word(cell, i + 1) | tag;
		rk_store_words_to(at + 8 * i, words, tx->shared);
	}
}

#endif
